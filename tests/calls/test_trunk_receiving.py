"""Calls in over trunks: the channel that was taken finds its call, and is given back."""

from typing import Any

import pytest

from trunkline.calls.limits import LimitSettings
from trunkline.calls.numbers import NumberPlan
from trunkline.calls.trunk_receiving import Arrivals
from trunkline.calls.trunk_states import Trunks
from trunkline.calls.trunks import Trunk
from trunkline.transports.leg import Answered, Ended, LegEvent, Party

from .fakes import FakeLeg, FakeMedia


class World:
    def __init__(self, **limits: Any) -> None:
        self.trunks = Trunks(
            [
                Trunk(
                    name="a",
                    addresses=("192.0.2.1",),
                    plan=NumberPlan("49"),
                    limits=LimitSettings(**limits),
                )
            ]
        )
        self.arrivals = Arrivals(self.trunks)

    @property
    def channels(self) -> int:
        return self.trunks.state("a").limits.channels


def leg(call_id: str = "1", trunk: str = "a") -> FakeLeg:
    made = FakeLeg(FakeMedia())
    made.party = Party("030555", "030123456", {"Call-ID": call_id}, trunk=trunk)
    return made


def test_a_call_finds_its_channel_and_gives_it_back_at_its_end() -> None:
    world = World(channels=1)
    assert world.arrivals.admit("a", "1", 0.0) is None
    arrived = world.arrivals.receive(leg(), 0.0)
    assert arrived is not None and not arrived.refused and world.channels == 1
    heard: list[LegEvent] = []
    watch = arrived.watched(lambda leg, event, now: heard.append(event))
    watch(leg(), Answered(), 1.0)
    watch(leg(), Ended("hangup", "them"), 11.0)
    assert [type(event) for event in heard] == [Answered, Ended] and world.channels == 0
    shown = world.trunks.summaries()[0]
    assert (shown["attempts_in"], shown["answered_in"], shown["average_seconds"]) == (1, 1, 10)


def test_its_numbers_are_in_e164() -> None:
    world = World()
    world.arrivals.admit("a", "1", 0.0)
    arrived = world.arrivals.receive(leg(), 0.0)
    assert arrived is not None
    assert (arrived.party.caller, arrived.party.callee) == ("+4930555", "+4930123456")


@pytest.mark.parametrize("trunk", ["", "gone"])
def test_a_call_over_no_trunk_is_none_of_ours(trunk: str) -> None:
    assert World().arrivals.receive(leg(trunk=trunk), 0.0) is None


def test_two_calls_with_one_call_id_have_a_channel_each() -> None:
    world = World(channels=2)
    for _ in range(2):
        assert world.arrivals.admit("a", "1", 0.0) is None
    calls = [world.arrivals.receive(leg(), 0.0) for _ in range(2)]
    assert all(call is not None and not call.refused for call in calls) and world.channels == 2


def test_what_is_cancelled_gives_back_its_token_too() -> None:
    world = World(calls_per_second=1)
    assert world.arrivals.admit("a", "1", 0.0) is None
    world.arrivals.cancel("1")
    assert world.arrivals.admit("a", "2", 0.1) is None
    assert world.arrivals.admit("a", "3", 0.2) is not None


def test_a_call_whose_channel_was_given_up_takes_another_or_is_refused() -> None:
    world = World(channels=1)
    world.arrivals.admit("a", "1", 0.0)
    world.arrivals.admit("a", "2", 5.0)
    first = world.arrivals.receive(leg("1"), 5.0)
    second = world.arrivals.receive(leg("2"), 5.0)
    assert first is not None and first.refused
    assert second is not None and not second.refused
    first.watched(lambda *_: None)(leg(), Ended("rejected", "us", 503), 5.0)
    assert world.channels == 1, "it had none to give back"


def test_a_refusal_is_counted() -> None:
    world = World(channels=1)
    world.arrivals.admit("a", "1", 0.0)
    refusal = world.arrivals.admit("a", "2", 0.0)
    assert refusal is not None and refusal.reason == "channels"
    assert world.trunks.summaries()[0]["codes"] == {"503": 1}
