"""The watchdog finds the task that blocks a loop, and says where."""

import asyncio
import threading
import time

from trunkline.transports.watchdog import Watchdog


def watched(work, limit: float = 0.05) -> Watchdog:
    """Run a coroutine on this thread's loop while another thread watches it."""

    async def main() -> Watchdog:
        watchdog = Watchdog(asyncio.get_running_loop(), threading.current_thread(), limit)
        stop = threading.Event()

        def watch() -> None:
            while not stop.wait(0.01):
                watchdog.check(time.monotonic())

        thread = threading.Thread(target=watch)
        thread.start()
        await asyncio.create_task(work(), name="shop (call_1)")
        await asyncio.sleep(0.05)
        stop.set()
        thread.join()
        return watchdog

    return asyncio.run(main())


def test_a_loop_that_answers_is_left_alone() -> None:
    async def polite() -> None:
        for _ in range(10):
            await asyncio.sleep(0.01)

    # A generous limit: the machine may be busy, the loop is not.
    assert watched(polite, limit=2.0).times_blocked == 0


def test_a_blocking_task_is_named_with_its_place(caplog) -> None:
    async def rude() -> None:
        time.sleep(0.3)

    watchdog = watched(rude)
    assert watchdog.times_blocked == 1
    (blocked,) = watchdog.blocked
    assert blocked.task == "shop (call_1)"
    assert "test_watchdog.py" in blocked.where
    assert "in rude" in blocked.where
    assert blocked.seconds > 0.05
    assert "shop (call_1) blocks the application loop" in caplog.text


def test_a_second_time_is_counted_too() -> None:
    async def rude_twice() -> None:
        time.sleep(0.2)
        await asyncio.sleep(0.05)
        time.sleep(0.2)

    assert watched(rude_twice).times_blocked == 2
