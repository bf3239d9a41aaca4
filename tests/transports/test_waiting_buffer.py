"""Threads and coroutines that wait for audio."""

import asyncio
import threading

import numpy as np
import pytest

from trunkline.errors import UsageError
from trunkline.media.audio_buffer import AudioBuffer
from trunkline.transports.waiting_buffer import WaitingBuffer

PATIENCE = 5.0


def frame(value: int) -> np.ndarray:
    return np.full(160, value, np.int16)


@pytest.fixture
def buffer() -> WaitingBuffer:
    return WaitingBuffer(AudioBuffer())


def test_what_is_there_is_read_at_once(buffer: WaitingBuffer) -> None:
    assert buffer.write(frame(3))
    chunk = buffer.read(0)
    assert chunk is not None
    assert chunk.audio[0] == 3


def test_a_read_without_patience_is_an_underrun(buffer: WaitingBuffer) -> None:
    assert buffer.read(0) is None
    assert buffer.read(0.001) is None
    assert asyncio.run(buffer.read_async(0)) is None
    assert asyncio.run(buffer.read_async(0.001)) is None
    assert buffer.metrics().underruns == 4
    assert not buffer.is_healthy()


def test_a_thread_is_woken_by_a_write(buffer: WaitingBuffer) -> None:
    heard: list[int] = []

    def listen() -> None:
        while (chunk := buffer.read(PATIENCE)) is not None:
            heard.append(int(chunk.audio[0]))

    reader = threading.Thread(target=listen)
    reader.start()
    for value in range(10):
        buffer.write(frame(value))
    buffer.close()
    reader.join(PATIENCE)
    assert heard == list(range(10))


def test_a_coroutine_is_woken_by_another_threads_write(buffer: WaitingBuffer) -> None:
    async def listen() -> float:
        waiting = asyncio.create_task(buffer.read_async(PATIENCE, np.float32))
        await asyncio.sleep(0)
        await asyncio.to_thread(buffer.write, frame(16_384))
        chunk = await waiting
        assert chunk is not None
        return float(chunk.audio[0])

    assert asyncio.run(listen()) == 0.5


def test_several_coroutines_get_every_chunk_once(buffer: WaitingBuffer) -> None:
    async def listen() -> list[int]:
        readers = [asyncio.create_task(buffer.read_async(PATIENCE)) for _ in range(5)]
        await asyncio.sleep(0)
        for value in range(5):
            buffer.write(frame(value))
            await asyncio.sleep(0)
        chunks = await asyncio.gather(*readers)
        return sorted(int(chunk.audio[0]) for chunk in chunks if chunk is not None)

    assert asyncio.run(listen()) == [0, 1, 2, 3, 4]


def test_a_cancelled_reader_takes_nothing_with_it(buffer: WaitingBuffer) -> None:
    async def listen() -> None:
        waiting = asyncio.create_task(buffer.read_async())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        buffer.write(frame(1))
        assert (await buffer.read_async(0)) is not None

    asyncio.run(listen())


def test_a_loop_that_is_gone_does_not_break_the_writer(buffer: WaitingBuffer) -> None:
    loop = asyncio.new_event_loop()
    task = loop.create_task(buffer.read_async())
    loop.run_until_complete(asyncio.sleep(0))
    task.cancel()
    buffer._waiting.append((loop, loop.create_future()))
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()
    assert buffer.write(frame(1))


def test_closing_ends_every_wait_and_keeps_what_was_written(buffer: WaitingBuffer) -> None:
    async def listen() -> None:
        waiting = asyncio.create_task(buffer.read_async())
        await asyncio.sleep(0)
        buffer.close()
        assert await waiting is None

    buffer.write(frame(1))
    assert buffer.read() is not None
    asyncio.run(listen())
    buffer.close()
    assert buffer.read() is None
    with pytest.raises(UsageError, match="closed"):
        buffer.write(frame(1))


def test_what_was_written_before_the_end_is_still_read(buffer: WaitingBuffer) -> None:
    buffer.write(frame(1))
    buffer.close()
    assert buffer.read() is not None
    assert buffer.read() is None


def test_clearing_drops_what_waits(buffer: WaitingBuffer) -> None:
    buffer.write(frame(1))
    assert buffer.clear() == 1
    assert len(buffer) == 0


def test_the_clock_is_what_latency_is_measured_by() -> None:
    times = iter([1.0, 1.25])
    buffer = WaitingBuffer(AudioBuffer(), clock=lambda: next(times))
    buffer.write(frame(1))
    chunk = buffer.read()
    assert chunk is not None
    assert chunk.latency_ms == pytest.approx(250)


def test_one_may_wait_without_reading(buffer: WaitingBuffer) -> None:
    assert not buffer.wait(0)
    assert not asyncio.run(buffer.wait_async(0.001))
    assert buffer.metrics().underruns == 0
    buffer.write(frame(1))
    assert buffer.wait()
    assert asyncio.run(buffer.wait_async())
    assert len(buffer) == 1


def test_who_writes_to_the_buffer_itself_wakes_who_waits(buffer: WaitingBuffer) -> None:
    async def listen() -> bool:
        waiting = asyncio.create_task(buffer.wait_async(PATIENCE))
        await asyncio.sleep(0)
        with buffer.filling() as inner:
            inner.write(frame(1), 0.0)
        return await waiting

    assert asyncio.run(listen())
    buffer.close()
    assert buffer.closed
    with pytest.raises(UsageError, match="closed"), buffer.filling():
        pass
