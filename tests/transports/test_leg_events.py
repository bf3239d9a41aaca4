"""Events of a leg come in order, later, and to whoever observes by then."""

import asyncio
import weakref
from typing import Any

import pytest

from trunkline.transports.leg import Answered, Digit, Ended, Ringing
from trunkline.transports.leg_events import LegEvents


class Leg:
    id = "leg-1"


def test_events_wait_for_an_observer_and_come_in_order() -> None:
    async def main() -> None:
        events = LegEvents(Leg(), asyncio.get_running_loop())  # type: ignore[arg-type]
        seen: list[Any] = []
        events.emit(Ringing())
        await asyncio.sleep(0)
        events.observe(lambda leg, event, now: seen.append((leg.id, event, now > 0)))
        events.emit(Answered())
        assert seen == []  # never from inside a call to the leg
        await asyncio.sleep(0)
        assert seen == [("leg-1", Ringing(), True), ("leg-1", Answered(), True)]

    asyncio.run(main())


def test_an_event_that_an_observer_causes_follows_the_one_it_saw() -> None:
    async def main() -> None:
        events = LegEvents(Leg(), asyncio.get_running_loop())  # type: ignore[arg-type]
        seen: list[str] = []

        def observer(leg: Any, event: Any, now: float) -> None:
            if isinstance(event, Answered):
                events.emit(Ended("hangup", "us"))
            seen.append(type(event).__name__)

        events.observe(observer)
        events.emit(Answered())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert seen == ["Answered", "Ended"]

    asyncio.run(main())


def test_an_observer_that_fails_is_logged_and_hears_the_next(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        events = LegEvents(Leg(), asyncio.get_running_loop())  # type: ignore[arg-type]
        seen: list[str] = []

        def observer(leg: Any, event: Any, now: float) -> None:
            seen.append(event.digit)
            raise ValueError("theirs")

        events.observe(observer)
        events.emit(Digit("1", 0))
        events.emit(Digit("2", 0))
        await asyncio.sleep(0)
        assert seen == ["1", "2"]

    asyncio.run(main())
    assert "observer of leg leg-1 failed" in caplog.text


def test_the_observer_is_let_go_after_the_end() -> None:
    class Call:
        def observe(self, leg: Any, event: Any, now: float) -> None: ...

    async def main() -> None:
        events = LegEvents(Leg(), asyncio.get_running_loop())  # type: ignore[arg-type]
        call = Call()
        held = weakref.ref(call)
        events.observe(call.observe)
        events.emit(Ended("hangup", "us"))
        del call
        await asyncio.sleep(0)
        assert held() is None

    asyncio.run(main())
