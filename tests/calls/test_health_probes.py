"""Questions to gateways: when they are due, and what becomes of the answers."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from trunkline.calls.health import HealthSettings
from trunkline.calls.health_probes import HealthProbes
from trunkline.calls.trunk_states import Trunks
from trunkline.calls.trunks import Gateway, Trunk
from trunkline.sip.hop import Hop
from trunkline.sip.probing import OptionsAnswer


class Endpoint:
    """Notes the questions; the test answers."""

    def __init__(self) -> None:
        self.agent: Any = self
        self.time = 10.0
        self.flushed = 0
        self.asked: list[tuple[str, Hop, Callable[[OptionsAnswer, float], None], float]] = []

    def ask_options(self, uri: str, hop: Hop, told: Any, now: float, timeout: float) -> None:
        self.asked.append((uri, hop, told, timeout))

    def now(self) -> float:
        return self.time

    def flush(self) -> None:
        self.flushed += 1


class Loop:
    """A loop that turns when the test says so."""

    def __init__(self) -> None:
        self.next: Callable[[], None] | None = None

    def call_later(self, seconds: float, function: Callable[[], None]) -> Any:
        self.next = function
        return self

    def cancel(self) -> None:
        self.next = None


class World:
    def __init__(self, **health: float) -> None:
        settings = HealthSettings(**health)  # type: ignore[arg-type]
        gateways = (Gateway("sip:10.0.0.1"), Gateway("sips:gw.example"))
        self.trunks = Trunks([Trunk(name="a", gateways=gateways, health=settings)])
        self.endpoint, self.loop = Endpoint(), Loop()
        self.changed: list[tuple[str, str, bool]] = []
        self.probes = HealthProbes(
            self.trunks, self.endpoint, self.loop,  # type: ignore[arg-type]
            lambda *change: self.changed.append(change),
        )  # fmt: skip
        self.probes.start()

    def answer(self, code: int, question: int = 0, **answer: float) -> None:
        self.endpoint.asked[question][2](OptionsAnswer(code, **answer), self.endpoint.time)

    def turn(self, seconds: float) -> None:
        self.endpoint.time += seconds
        assert self.loop.next is not None
        self.loop.next()


def test_every_gateway_is_asked_with_the_trunks_name_and_patience() -> None:
    world = World(timeout_seconds=2)
    assert [(uri, hop.host, hop.transport, hop.profile, patience)
            for uri, hop, _, patience in world.endpoint.asked] == [
        ("sip:10.0.0.1", "10.0.0.1", "UDP", "a", 2),
        ("sips:gw.example", "gw.example", "TLS", "a", 2),
    ]  # fmt: skip
    assert world.endpoint.flushed == world.probes.asked == 2


def test_it_is_asked_again_when_it_is_due_and_not_before() -> None:
    world = World(options_seconds=30)
    for _ in range(4):
        world.turn(0.01)
    first = len(world.endpoint.asked)
    assert first <= 4
    world.turn(33.1)
    assert len(world.endpoint.asked) >= 4


def test_a_gateway_that_goes_down_or_comes_up_is_told_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(misses=1, hits=1)
    with caplog.at_level(logging.WARNING):
        world.answer(0)
        world.answer(0)
        world.answer(200, round_trip_seconds=0.01)
    assert world.changed == [("a", "sip:10.0.0.1", False), ("a", "sip:10.0.0.1", True)]
    assert "is down" in caplog.text and "is up" in caplog.text
    assert world.trunks.state("a").health["sip:10.0.0.1"].round_trip_ms == 10.0


def test_an_answer_of_a_gateway_that_is_gone_by_now_does_no_harm() -> None:
    world = World(misses=1)
    world.trunks.remove("a")
    world.answer(0)
    assert world.changed == [("a", "sip:10.0.0.1", False)] and not world.trunks.summaries()


def test_a_pause_is_taken_from_the_answer() -> None:
    world = World()
    world.answer(503, retry_after_seconds=60.0)
    assert world.trunks.state("a").health["sip:10.0.0.1"].paused_until == 70.0


def test_who_asks_by_hand_is_told_too() -> None:
    world, told = World(options_seconds=0), []
    assert not world.endpoint.asked
    state = world.trunks.state("a")
    world.probes.ask(state, "sip:10.0.0.1", state.health["sip:10.0.0.1"], told.append)
    world.answer(405)
    assert [answer.code for answer in told] == [405]


def test_after_the_stop_nothing_is_asked() -> None:
    world = World()
    asyncio.run(world.probes.stop())
    assert world.loop.next is None
