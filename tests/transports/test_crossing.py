"""Crossing between threads: in batches, in order, nothing lost."""

import asyncio
import threading

from trunkline.transports.crossing import Crossing


def run(work):
    return asyncio.run(work())


def test_everything_put_crosses_in_order_on_the_receiving_loop() -> None:
    async def work() -> None:
        crossing = Crossing(asyncio.get_running_loop(), "test")
        got: list[int] = []
        home = threading.current_thread()
        threads: set[threading.Thread] = set()

        def take(number: int) -> None:
            got.append(number)
            threads.add(threading.current_thread())

        def produce() -> None:
            for number in range(1000):
                crossing.put(take, number)
                if number % 10 == 9:
                    crossing.flush()

        thread = threading.Thread(target=produce)
        thread.start()
        while len(got) < 1000:
            await asyncio.sleep(0.001)
        thread.join()
        assert got == list(range(1000))
        assert threads == {home}
        assert crossing.crossed == 1000

    run(work)


def test_nothing_crosses_before_the_flush() -> None:
    async def work() -> None:
        crossing = Crossing(asyncio.get_running_loop(), "test")
        got: list[int] = []
        crossing.put(got.append, 1)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert got == []
        assert len(crossing) == 1
        crossing.flush()
        await asyncio.sleep(0.01)
        assert got == [1]

    run(work)


def test_a_callback_that_fails_is_counted_and_the_others_still_run(caplog) -> None:
    async def work() -> None:
        crossing = Crossing(asyncio.get_running_loop(), "test")
        got: list[int] = []
        crossing.put(got.append, 1)
        crossing.put(lambda: 1 // 0)
        crossing.put(got.append, 2)
        crossing.flush()
        await asyncio.sleep(0.01)
        assert got == [1, 2]
        assert crossing.failed == 1

    run(work)
    assert "ZeroDivisionError" in caplog.text


def test_a_callback_that_posts_again_does_not_starve_the_loop() -> None:
    async def work() -> None:
        crossing = Crossing(asyncio.get_running_loop(), "test")
        count = 0

        def again() -> None:
            nonlocal count
            count += 1
            crossing.post(again)

        crossing.post(again)
        for _ in range(20):
            await asyncio.sleep(0)
        assert 1 < count < 100

    run(work)


def test_a_batch_is_followed_by_its_after_callback() -> None:
    async def work() -> None:
        crossing = Crossing(asyncio.get_running_loop(), "test")
        got: list[str] = []
        crossing.after_batch(lambda: got.append("after"))
        crossing.put(got.append, "a")
        crossing.put(got.append, "b")
        crossing.flush()
        await asyncio.sleep(0.01)
        assert got == ["a", "b", "after"]

    run(work)


def test_a_closed_loop_is_no_error() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    crossing = Crossing(loop, "test")
    crossing.post(print)
    assert len(crossing) == 1
