"""One call over several ways: what its observer sees, and when the next way is tried."""

from collections.abc import Mapping
from typing import Any

import pytest

from trunkline.calls.compound import each_leg, taken
from trunkline.calls.errors import TrunkBusyError
from trunkline.calls.hunting import Hunt
from trunkline.errors import UsageError
from trunkline.transports.leg import (
    Answered,
    EarlyMedia,
    Ended,
    HoldableLeg,
    HoldChanged,
    Leg,
    LegEvent,
    LegObserver,
    LegReplaced,
    Ringing,
    TransferAsked,
)

from .fakes import FakeLeg, FakeMedia, FakeRequest, HoldingLeg


class Way:
    """A way that the test drives; its leg may report things while it is begun."""

    trunk = "t"

    def __init__(self, leg: FakeLeg | None = None, *at_once: LegEvent, full: bool = False) -> None:
        self.leg = leg or FakeLeg(FakeMedia(), direction="outbound")
        self.at_once = at_once
        self.full = full
        self.heard: list[LegEvent] = []
        self.begun = False

    def begin(self, observer: LegObserver) -> Leg:
        if self.full:
            raise TrunkBusyError("+49", self.trunk, 5)
        self.begun = True
        self.leg.observer = observer
        for event in self.at_once:
            self.leg.tell(event)
        return self.leg

    def told(self, leg: Leg, event: LegEvent, now: float) -> None:
        self.heard.append(event)

    def goes_on(self, end: Ended, rang: bool) -> bool:
        return end.code in (408, 503)

    def attempt(self) -> Mapping[str, Any]:
        return {"began": self.begun}


class Caller:
    """Who observes a hunt."""

    def __init__(self, *ways: Way) -> None:
        self.events: list[LegEvent] = []
        self.hunt = Hunt(ways, self, "+491", "+4930")

    def __call__(self, leg: Leg, event: LegEvent, now: float) -> None:
        self.events.append(event)


def failed(code: int = 503) -> Ended:
    return Ended("error", "them", code)


def test_the_first_way_that_is_answered_is_the_call() -> None:
    first, second = Way(), Way()
    caller = Caller(first, second)
    first.leg.tell(Ringing())
    first.leg.tell(Answered())
    first.leg.tell(Ended("hangup", "them"))
    assert [type(event) for event in caller.events] == [Ringing, Answered, Ended]
    assert not second.begun and caller.hunt.current is first.leg


def test_a_way_that_fails_is_followed_by_the_next_and_nobody_sees_it_end() -> None:
    ways = [Way(), Way(), Way()]
    caller = Caller(*ways)
    ways[0].leg.tell(failed(503))
    ways[1].leg.tell(Ringing())
    ways[1].leg.tell(failed(408))
    ways[2].leg.tell(Ringing())
    ways[2].leg.tell(Answered())
    assert [type(event) for event in caller.events] == [Ringing, Ringing, Answered]
    assert caller.hunt.attempts == [{"began": True}] * 3
    assert [type(event) for event in ways[0].heard] == [Ended]


def test_what_is_final_ends_the_call() -> None:
    first, second = Way(), Way()
    caller = Caller(first, second)
    first.leg.tell(Ended("busy", "them", 486))
    assert caller.events == [Ended("busy", "them", 486)] and not second.begun


def test_the_last_failure_ends_the_call() -> None:
    first, second = Way(), Way()
    caller = Caller(first, second)
    first.leg.tell(failed(503))
    second.leg.tell(failed(408))
    assert caller.events == [failed(408)]


def test_after_early_media_or_the_answer_no_other_way_is_tried() -> None:
    for event in (EarlyMedia(), Answered()):
        first, second = Way(), Way()
        caller = Caller(first, second)
        first.leg.tell(event)
        first.leg.tell(failed())
        assert caller.events == [event, failed()] and not second.begun


def test_there_is_one_end_however_much_a_leg_says() -> None:
    way = Way()
    caller = Caller(way)
    way.leg.tell(Ended("hangup", "them"))
    way.leg.tell(Ended("hangup", "them"))
    way.leg.tell(Ringing())
    assert caller.events == [Ended("hangup", "them")]


def test_what_an_abandoned_attempt_still_says_is_not_the_calls() -> None:
    first, second = Way(), Way()
    caller = Caller(first, second)
    first.leg.tell(failed())
    first.leg.tell(Answered())
    assert caller.events == [] and len(first.heard) == 2


def test_who_hangs_up_tries_no_other_way_and_ends_with_that_word() -> None:
    first, second = Way(), Way()
    caller = Caller(first, second)
    caller.hunt.hangup("no-answer")
    assert caller.events == [Ended("no-answer", "us")] and not second.begun


def test_a_way_without_room_is_passed_over() -> None:
    full, good = Way(full=True), Way()
    caller = Caller(full, good)
    good.leg.tell(Answered())
    assert caller.events == [Answered()] and caller.hunt.attempts == [{"began": True}]


def test_a_way_without_room_after_a_failure_ends_the_call_with_the_failure() -> None:
    first, full = Way(), Way(full=True)
    caller = Caller(first, full)
    first.leg.tell(failed())
    assert caller.events == [failed()]


def test_where_no_way_can_be_begun_the_last_reason_is_raised() -> None:
    with pytest.raises(TrunkBusyError):
        Caller(Way(full=True), Way(full=True))
    with pytest.raises(UsageError, match="no trunk carries"):
        Caller()


def test_what_a_leg_reports_while_it_is_begun_is_not_lost() -> None:
    caller = Caller(Way(None, failed()), Way(None, Ringing(), Answered()))
    assert caller.events == [Ringing(), Answered()]


def test_it_is_called_what_the_application_called() -> None:
    caller = Caller(Way())
    assert (caller.hunt.party.caller, caller.hunt.party.callee) == ("+491", "+4930")
    assert caller.hunt.party.trunk == "t"
    assert caller.hunt.id == "leg" and caller.hunt.transport == "sip"


def test_what_is_asked_of_it_is_done_by_the_attempt() -> None:
    leg = HoldingLeg(FakeMedia())
    caller = Caller(Way(leg))
    hunt = caller.hunt
    assert isinstance(hunt, HoldableLeg)
    hunt.hold()
    hunt.resume()
    hunt.send_dtmf("5")
    assert leg.did == [("hold", False), ("resume",), ("dtmf", "5")]
    assert [type(event) for event in caller.events] == [HoldChanged] * 2
    assert hunt.statistics() == {"received": 1.0} and hunt.lane is None
    assert hunt.media_facts() is None and hunt.jitter_statistics() is None
    for nothing in (hunt.ring, hunt.early_media, hunt.answer):
        nothing()
    hunt.reject(486)


def test_a_leg_that_cannot_hold_says_so() -> None:
    with pytest.raises(UsageError):
        Caller(Way()).hunt.hold()


def test_every_attempt_is_told_to_who_follows_them() -> None:
    ways = [Way(), Way()]
    caller = Caller(*ways)
    seen: list[Leg] = []
    each_leg(caller.hunt, seen.append)
    ways[0].leg.tell(failed())
    assert seen == [ways[0].leg, ways[1].leg] and taken(caller.hunt) is ways[1].leg


def test_nobody_waits_for_an_abandoned_attempts_transfer() -> None:
    first, second = Way(), Way()
    caller = Caller(first, second)
    first.leg.tell(failed())
    request = FakeRequest()
    first.leg.tell(TransferAsked(request))  # type: ignore[arg-type]
    other = FakeLeg(FakeMedia())
    other.observer = lambda *_: None
    first.leg.tell(LegReplaced(other, lambda _: None))  # type: ignore[arg-type]
    assert request.said == [("refused", 481)] and other.did == [("reject", 481)]
    assert caller.events == []
    second.leg.tell(TransferAsked(request))  # type: ignore[arg-type]
    assert caller.events == [TransferAsked(request)]  # type: ignore[arg-type]
