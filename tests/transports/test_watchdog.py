"""The watchdog finds the task that blocks a loop, and says where."""

import asyncio
import threading
import time
import traceback

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


class Loop:
    """Answers when it is told to."""

    def __init__(self, *, closed: bool = False) -> None:
        self.closed = closed
        self.asked = []

    def call_soon_threadsafe(self, callback) -> None:
        if self.closed:
            raise RuntimeError("Event loop is closed")
        self.asked.append(callback)

    def answer(self) -> None:
        self.asked.pop()()


def test_the_time_a_block_lasts_is_that_of_the_last_look() -> None:
    loop = Loop()
    watchdog = Watchdog(loop, threading.current_thread(), 0.25)
    for now in (0.0, 0.1, 0.24, 0.25, 1.0, 3.0):
        watchdog.check(now)
    assert watchdog.times_blocked == 1
    assert not watchdog.blocked  # it still is
    loop.answer()
    (blocked,) = watchdog.blocked
    assert blocked.seconds == 3.0
    assert blocked.task == "a callback"
    assert ".py:" in blocked.where
    watchdog.check(3.1)
    loop.answer()
    assert len(watchdog.blocked) == 1


def test_a_loop_that_answers_just_in_time_is_not_blocked() -> None:
    loop = Loop()
    watchdog = Watchdog(loop, threading.current_thread(), 0.25)
    for now in (0.0, 0.2, 0.3):
        watchdog.check(now)
        if now > 0:
            loop.answer()
    assert watchdog.times_blocked == watchdog.times_starved == 0


def test_a_loop_that_waits_and_is_not_woken_is_starved_and_not_blocked() -> None:
    watchdog = Watchdog(Loop(), threading.current_thread(), 0.25)
    watchdog._stack = lambda: traceback.StackSummary.from_list(
        [("/x/selectors.py", 1, "select", "")]
    )
    for now in (0.0, 0.3, 0.4, 0.6):
        watchdog.check(now)
    assert watchdog.times_starved == 2
    assert watchdog.times_blocked == 0


def test_a_thread_that_has_ended_and_a_loop_that_is_closed_block_nothing() -> None:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    watchdog = Watchdog(Loop(), thread, 0.25)
    watchdog.check(0.0)
    watchdog.check(1.0)
    assert (watchdog.times_starved, watchdog.times_blocked) == (1, 0)
    closed = Watchdog(Loop(closed=True), threading.current_thread(), 0.25)
    for now in (0.0, 0.3, 0.6):
        closed.check(now)
    assert (closed.times_starved, closed.times_blocked) == (0, 0)
