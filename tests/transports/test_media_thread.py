"""The media thread: work goes over, results come back, and it ends."""

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable

import pytest

from trunkline.errors import UsageError
from trunkline.media.engine import Engine
from trunkline.transports.media_thread import MediaThread


def run(test: Callable[[MediaThread], Awaitable[None]]) -> None:
    async def main() -> None:
        media = MediaThread(Engine(), asyncio.get_running_loop())
        media.start()
        try:
            await test(media)
        finally:
            await media.stop()
            await media.stop()

    asyncio.run(main())


def test_functions_run_on_the_media_thread_and_their_results_come_back() -> None:
    async def test(media: MediaThread) -> None:
        assert await media.run(lambda: threading.current_thread().name) == "media"
        assert await media.run(max, 1, 2) == 2
        with pytest.raises(ZeroDivisionError):
            await media.run(lambda: 1 // 0)

        async def where() -> str:
            await asyncio.sleep(0)
            return threading.current_thread().name

        assert await media.run_async(where) == "media"

    run(test)


def test_a_call_that_was_cancelled_does_not_run() -> None:
    async def test(media: MediaThread) -> None:
        ran: list[int] = []
        gate = threading.Event()
        media.call(gate.wait)
        future = media.call(ran.append, 1)
        assert future.cancel()
        gate.set()
        await media.run(lambda: None)
        assert ran == []

    run(test)


def test_the_engine_is_ticked_and_one_that_fails_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test(media: MediaThread) -> None:
        ticked = threading.Event()
        phases: list[int] = []

        def tick(phase: int, now: float) -> None:
            phases.append(phase)
            if len(phases) == 4:
                ticked.set()
            raise ValueError("a bug")

        media.engine.tick = tick  # type: ignore[method-assign]
        assert await asyncio.to_thread(ticked.wait, 5)

    run(test)
    assert "the media engine failed in phase" in caplog.text


def test_it_starts_once_and_makes_the_interpreter_switch_quickly() -> None:
    async def test(media: MediaThread) -> None:
        with pytest.raises(UsageError, match="runs already"):
            media.start()
        assert sys.getswitchinterval() <= 0.0011

    run(test)


def test_what_was_opened_is_closed_last_first_and_a_failure_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    closed: list[int] = []

    async def test(media: MediaThread) -> None:
        async def close(number: int) -> None:
            closed.append(number)
            if number == 2:
                raise OSError("no")

        for number in (1, 2, 3):
            media.on_close(lambda number=number: close(number))

    run(test)
    assert closed == [3, 2, 1] and "closing" in caplog.text


def test_posts_cross_to_the_applications_loop() -> None:
    async def test(media: MediaThread) -> None:
        told = asyncio.Event()
        await media.run(media.to_app.post, told.set)
        await asyncio.wait_for(told.wait(), 5)

    run(test)
