"""Forking: one call to several destinations is one call, whatever they do."""

import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.calls.forking import ELSEWHERE, Fork, ForkedLeg
from trunkline.calls.states import CallState, IllegalTransitionError, next_state
from trunkline.errors import UsageError
from trunkline.media.lane import Lane, StreamInlet
from trunkline.media.testing import MemoryOutlet
from trunkline.transports.leg import (
    Answered,
    DialOptions,
    Digit,
    EarlyMedia,
    Ended,
    Held,
    Leg,
    LegEvent,
    LegObserver,
    LegReplaced,
    Party,
    Ringing,
    TransferAsked,
)

from .fakes import FakeLeg, FakeMedia, FakeRequest

NOTHING = DialOptions()


class Attempt:
    """A destination that says what the test says."""

    transport = "sip"
    direction = "outbound"
    takes_keys = True

    def __init__(self, target: str, observer: LegObserver) -> None:
        self.id = target
        self.observer = observer
        self.party = Party("alice", target)
        self.lane: Lane | None = None
        self.did: list[tuple[Any, ...]] = []
        self.over = False
        self.ends_when_hung_up = True

    def tell(self, event: LegEvent, now: float = 1.0) -> None:
        if self.over:
            return
        self.over = isinstance(event, Ended)
        if isinstance(event, EarlyMedia | Answered) and self.lane is None:
            self.lane = Lane(self.id, inlet=StreamInlet(8000), outlet=MemoryOutlet())
        self.observer(self, event, now)  # type: ignore[arg-type]

    def hangup(self, reason: str = "hangup") -> None:
        self.did.append(("hangup", reason))
        if self.ends_when_hung_up:
            self.tell(Ended(reason, "us", 487))

    def send_dtmf(self, digits: str, duration_ms: int = 100) -> None:
        self.did.append(("dtmf", digits, duration_ms))

    def hold(self, *, silent: bool = False) -> None:
        self.did.append(("hold", silent))

    def resume(self) -> None:
        self.did.append(("resume",))

    def statistics(self) -> Mapping[str, float]:
        return {"received": 7.0}


class Timer:
    def __init__(self, at: float, callback: Callable[[], object]) -> None:
        self.at, self.callback, self.cancelled = at, callback, False

    def cancel(self) -> None:
        self.cancelled = True


class World:
    """A transport, a loop, and what the fork said."""

    def __init__(
        self, count: int = 3, *, refuse: frozenset[str] = frozenset(), **fork: Any
    ) -> None:
        self.attempts: list[Attempt] = []
        self.timers: list[Timer] = []
        self.soon: list[tuple[Any, ...]] = []
        self.said: list[LegEvent] = []
        self.at: list[float] = []
        self.refuse = refuse
        self.options = DialOptions(trunk="t")
        self.leg = ForkedLeg(
            Fork(tuple("abcdefgh"[:count]), **fork),
            self,
            self,
            caller="me",
            headers={"X": "1"},
            observer=lambda leg, event, now: (self.said.append(event), self.at.append(now)),
            options=self.options,
        )

    def dial(
        self,
        target: str,
        *,
        caller: str,
        headers: Mapping[str, str],
        observer: LegObserver,
        options: DialOptions = NOTHING,
    ) -> Leg:
        assert (caller, headers, options) == ("me", {"X": "1"}, self.options)
        if target in self.refuse:
            raise UsageError("no address")
        self.attempts.append(Attempt(target, observer))
        return self.attempts[-1]  # type: ignore[return-value]

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        self.timers.append(Timer(delay, callback))
        return self.timers[-1]

    def call_soon(self, callback: Callable[..., object], *args: object) -> None:
        self.soon.append((callback, *args))

    def time(self) -> float:
        return 42.0

    def fire(self) -> None:
        timer = self.timers.pop(0)
        if not timer.cancelled:
            timer.callback()

    def turn(self) -> None:
        while self.soon:
            callback, *args = self.soon.pop(0)
            callback(*args)


def test_all_are_called_at_once_and_the_first_to_answer_has_the_call() -> None:
    world = World()
    a, b, c = world.attempts
    a.tell(Ringing())
    b.tell(Ringing())
    b.tell(Answered())
    assert world.said == [Ringing(180), Answered()]
    assert a.did == c.did == [("hangup", ELSEWHERE)]
    assert not b.did
    assert world.leg.lane is b.lane
    assert world.leg.party.callee == "b"
    b.tell(Held())
    b.tell(Digit("5", 100))
    b.tell(Ended("hangup", "them"))
    assert world.said[2:] == [Held(), Digit("5", 100), Ended("hangup", "them")]


def test_two_who_answer_at_the_same_instant_have_one_winner() -> None:
    world = World(2)
    a, b = world.attempts
    a.ends_when_hung_up = b.ends_when_hung_up = False
    a.tell(Answered())
    b.tell(Answered())  # it crossed the CANCEL: acknowledged by its leg, and now hung up
    assert b.did == [("hangup", ELSEWHERE), ("hangup", ELSEWHERE)]
    b.tell(Ended(ELSEWHERE, "us"))
    assert world.said == [Answered()]
    a.tell(Ended("hangup", "them"))
    assert world.said == [Answered(), Ended("hangup", "them")]


def test_who_declines_for_everybody_ends_it() -> None:
    world = World()
    a, b, c = world.attempts
    b.tell(Ended("rejected", "them", 603))
    assert a.did == c.did == [("hangup", "cancelled")]
    assert world.said == [Ended("rejected", "them", 603)]


def test_it_waits_for_those_it_cancelled_before_it_ends() -> None:
    world = World(2)
    a, b = world.attempts
    a.ends_when_hung_up = False
    b.tell(Ended("busy", "them", 600))
    assert not world.said
    a.tell(Answered())  # too late: it was declined for everybody
    assert a.did[-1] == ("hangup", ELSEWHERE)
    a.tell(Ended("hangup", "us"))
    assert world.said == [Ended("busy", "them", 600)]


@pytest.mark.parametrize(
    ("codes", "best"),
    [
        ((486, 404, 408), 486),
        ((408, 404, 503), 404),
        ((480, 500, 408), 408),
        ((503, 302, 500), 302),
        ((500, 503, 504), 500),
        ((487, 488, 500), 488),
    ],
)
def test_when_nobody_answers_it_ends_with_the_best_of_what_was_said(
    codes: tuple[int, ...], best: int
) -> None:
    world = World()
    for attempt, code in zip(world.attempts, codes, strict=True):
        attempt.tell(Ended("rejected", "them", code))
    assert world.said == [Ended("rejected", "them", best)]


def test_the_first_early_media_is_heard_and_no_other() -> None:
    world = World()
    a, b, c = world.attempts
    b.tell(EarlyMedia())
    c.tell(EarlyMedia())
    a.tell(Ringing())
    assert world.said == [EarlyMedia()]
    assert world.leg.lane is b.lane
    b.tell(Digit("1", 80))
    c.tell(Digit("2", 80))
    assert world.said == [EarlyMedia(), Digit("1", 80)]
    c.tell(Answered())
    assert world.leg.lane is c.lane, "who answers is heard from now on"
    assert world.said[-1] == Answered()


def test_early_media_may_be_nobodys() -> None:
    world = World(early_media="none")
    world.attempts[1].tell(EarlyMedia())
    assert world.said == [Ringing(180)]
    assert world.leg.lane is None


def test_when_the_one_that_is_heard_fails_another_may_be_heard() -> None:
    world = World(2)
    a, b = world.attempts
    a.tell(EarlyMedia())
    a.tell(Ended("rejected", "them", 480))
    assert world.leg.lane is None
    b.tell(EarlyMedia())
    assert world.leg.lane is b.lane


def test_they_are_called_one_after_the_other_if_so_wished() -> None:
    world = World(stagger_seconds=5.0)
    assert [one.id for one in world.attempts] == ["a"]
    assert world.timers[0].at == 5.0
    world.fire()
    assert [one.id for one in world.attempts] == ["a", "b"]
    world.attempts[0].tell(Answered())
    world.fire()
    assert [one.id for one in world.attempts] == ["a", "b"], "the third is not wanted any more"
    assert world.said == [Answered()]


def test_the_next_is_called_at_once_when_all_before_have_failed() -> None:
    world = World(stagger_seconds=5.0)
    world.attempts[0].tell(Ended("busy", "them", 486))
    assert [one.id for one in world.attempts] == ["a", "b"]
    assert not world.said
    world.attempts[1].tell(Ended("busy", "them", 486))
    world.attempts[2].tell(Ended("timeout", "them", 408))
    assert world.said == [Ended("busy", "them", 486)]


def test_a_destination_that_cannot_be_called_is_one_that_failed() -> None:
    world = World(refuse=frozenset("b"))
    assert [one.id for one in world.attempts] == ["a", "c"]
    for attempt in world.attempts:
        attempt.tell(Ended("busy", "them", 486))
    assert world.said == [Ended("busy", "them", 486)]
    with pytest.raises(UsageError, match="no address"):
        World(refuse=frozenset("a"))
    with pytest.raises(UsageError, match="nobody"):
        World(0)


def test_a_last_destination_that_cannot_be_called_ends_it() -> None:
    world = World(2, refuse=frozenset("b"), stagger_seconds=1.0)
    world.attempts[0].tell(Ended("rejected", "them", 500))
    world.turn()
    assert [type(one) for one in world.said] == [Ended]
    assert world.at[0] > 0


@pytest.mark.parametrize("answered", [False, True])
def test_hanging_up_ends_whatever_there_is(answered: bool) -> None:
    world = World()
    if answered:
        world.attempts[2].tell(Answered())
    world.leg.hangup("cancelled")
    world.leg.hangup("cancelled")
    world.turn()
    assert [one for one in world.said if isinstance(one, Ended)] == [
        Ended("cancelled", "us", 487 if answered else None)
    ]
    assert all(one.over for one in world.attempts)


def test_what_is_done_to_it_is_done_to_the_winner() -> None:
    world = World(2)
    for refused in (world.leg.hold, world.leg.resume, lambda: world.leg.send_dtmf("1")):
        with pytest.raises(UsageError):
            refused()
    _, b = world.attempts
    b.tell(Answered())
    world.leg.hold(silent=True)
    world.leg.resume()
    world.leg.send_dtmf("12", 80)
    assert b.did == [("hold", True), ("resume",), ("dtmf", "12", 80)]
    assert world.leg.statistics() == {"received": 7.0}
    assert world.leg.takes_keys
    assert world.leg.transport == "sip"
    for nothing in (world.leg.ring, world.leg.early_media, world.leg.answer):
        nothing()
    world.leg.reject(486)
    assert len(b.did) == 3


def test_what_attempts_ask_is_passed_on_or_declined() -> None:
    world = World(2)
    a, b = world.attempts
    other, request = FakeLeg(FakeMedia()), FakeRequest()
    other.observer = lambda *_: None
    pickup = LegReplaced(other, lambda _: None)  # type: ignore[arg-type]
    a.tell(pickup)
    assert world.said == [pickup], "who rings may be picked up"
    a.tell(TransferAsked(request))  # type: ignore[arg-type]
    assert request.said == [("refused", 481)], "who has not answered has no call to transfer"
    a.ends_when_hung_up = False
    b.tell(Answered())
    a.tell(pickup)
    assert other.did == [("reject", 481)]
    b.tell(TransferAsked(request))  # type: ignore[arg-type]
    assert world.said[-1] == TransferAsked(request)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 2**32), st.integers(1, 5), st.sampled_from([0.0, 1.0]))
def test_whatever_happens_it_is_one_call_that_ends_once(
    seed: int, count: int, stagger: float
) -> None:
    rng = random.Random(seed)
    world = World(count, stagger_seconds=stagger)
    state = CallState.NEW
    for _ in range(60):
        live = [one for one in world.attempts if not one.over]
        choices: list[Callable[[], object]] = [world.turn]
        if world.timers:
            choices.append(world.fire)
        for one in live:
            one.ends_when_hung_up = rng.random() < 0.5
            event = rng.choice(
                [
                    Ringing(),
                    EarlyMedia(),
                    Answered(),
                    Ended("busy", "them", rng.choice([486, 503, 603, None])),
                ]
            )
            up = any(isinstance(said, Answered) for said in world.said)
            if not (up and one is world.leg._winner and not isinstance(event, Ended)):
                choices.append(lambda one=one, event=event: one.tell(event))
        if rng.random() < 0.05:
            choices.append(world.leg.hangup)
        rng.choice(choices)()
    world.leg.hangup()
    for one in world.attempts:
        one.tell(Ended("hangup", "us"))
    world.turn()
    for event in world.said:
        try:
            state = next_state(state, event)
        except IllegalTransitionError:
            pytest.fail(f"{world.said}")
    assert state is CallState.ENDED
    assert sum(isinstance(one, Answered) for one in world.said) <= 1
    assert sum(isinstance(one, Ended) for one in world.said) == 1
