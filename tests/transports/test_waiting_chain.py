"""Threads and coroutines that wait for a chain's audio."""

import asyncio
import threading
from collections.abc import Callable

import numpy as np
import pytest

from trunkline.errors import UsageError
from trunkline.media import Chain, ChainSettings
from trunkline.transports import WaitingChain

PATIENCE = 5.0
FRAME = 160
PLAIN = ChainSettings(
    enable_echo_cancellation=False, enable_noise_reduction=False, enable_jitter_buffer=False
)
QUICK = ChainSettings(
    enable_echo_cancellation=False,
    enable_noise_reduction=False,
    jitter_buffer_target_ms=20,
    jitter_buffer_min_ms=20,
)


def frame(value: int) -> np.ndarray:
    return np.full(FRAME, value, np.int16)


@pytest.fixture
def chain() -> WaitingChain:
    return WaitingChain(Chain(8000, PLAIN))


def test_what_is_there_is_read_at_once(chain: WaitingChain) -> None:
    assert chain.process_input(frame(3)) is not None
    chunk = chain.read_input(0)
    assert chunk is not None
    assert chunk.audio[0] == 3
    assert chain.process_output(frame(4))
    chunk = chain.read_output(0, np.float32)
    assert chunk is not None
    assert chunk.audio.dtype == np.float32
    assert chain.metrics().far_waiting == 1


def test_a_wait_in_vain_ends_and_is_one_underrun(chain: WaitingChain) -> None:
    assert chain.read_input(0) is None
    assert chain.read_input(0.03) is None
    assert asyncio.run(chain.read_input_async(0.03)) is None
    assert chain.metrics().input.underruns == 3
    assert chain.read_output(0) is None
    assert asyncio.run(chain.read_output_async(0.001)) is None
    assert chain.metrics().output.underruns == 2


def test_a_thread_is_woken_by_a_packet_and_by_the_end(chain: WaitingChain) -> None:
    heard: list[int] = []

    def listen() -> None:
        while (chunk := chain.read_input(PATIENCE)) is not None:
            heard.append(int(chunk.audio[0]))

    reader = threading.Thread(target=listen)
    reader.start()
    for value in range(10):
        chain.process_input(frame(value), value)
    chain.close()
    reader.join(PATIENCE)
    assert heard == list(range(10))


def test_a_coroutine_is_woken_in_both_directions(chain: WaitingChain) -> None:
    async def talk() -> tuple[int, int]:
        waiting = [
            asyncio.create_task(chain.read_input_async(PATIENCE)),
            asyncio.create_task(chain.read_output_async(PATIENCE)),
        ]
        await asyncio.sleep(0)
        chain.process_input(frame(7))
        chain.process_output(frame(8))
        came, left = await asyncio.gather(*waiting)
        assert came is not None
        assert left is not None
        return int(came.audio[0]), int(left.audio[0])

    assert asyncio.run(talk()) == (7, 8)


def test_each_frame_is_read_once_by_whoever_comes_first(chain: WaitingChain) -> None:
    async def talk() -> list[int]:
        readers = [asyncio.create_task(chain.read_input_async(PATIENCE)) for _ in range(5)]
        await asyncio.sleep(0)
        for value in range(5):
            chain.process_input(frame(value))
        return sorted(int(c.audio[0]) for c in await asyncio.gather(*readers) if c is not None)

    assert asyncio.run(talk()) == list(range(5))


def test_a_cancelled_reader_takes_nothing_with_it(chain: WaitingChain) -> None:
    async def talk() -> None:
        reader = asyncio.create_task(chain.read_input_async(PATIENCE))
        await asyncio.sleep(0)
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        chain.process_input(frame(1))

    asyncio.run(talk())
    assert chain.read_input(0) is not None


def test_audio_goes_on_concealed_while_somebody_waits() -> None:
    chain = WaitingChain(Chain(8000, QUICK))
    for number in range(3):
        chain.process_input(frame(1000), number)
    chunks = [chain.read_input(PATIENCE) for _ in range(5)]
    assert all(chunk is not None for chunk in chunks)
    jitter = chain.metrics().jitter
    assert jitter is not None
    assert jitter.concealed_frames > 0


def test_time_is_that_of_the_clock() -> None:
    now = [100.0]
    chain = WaitingChain(Chain(8000, PLAIN), clock=lambda: now[0])
    chain.process_input(frame(1))
    now[0] += 0.25
    chunk = chain.read_input(0)
    assert chunk is not None
    assert chunk.latency_ms == pytest.approx(250)


def test_an_interruption_drops_what_waits(chain: WaitingChain) -> None:
    chain.process_output(np.zeros(3 * FRAME, np.int16))
    chain.sent(frame(1))
    assert chain.clear_output(sent_ahead=True) == 3
    assert chain.metrics().far_waiting == 0
    assert chain.read_output(0) is None


def test_a_reset_chain_is_a_new_one_and_its_health_is_told(chain: WaitingChain) -> None:
    for value in range(30):
        chain.process_input(frame(value))
    assert not chain.health().healthy
    chain.reset()
    assert chain.health().healthy
    assert chain.read_input(0) is None


def test_after_the_end_nothing_is_written_and_the_rest_is_read(chain: WaitingChain) -> None:
    chain.process_input(frame(1))
    chain.process_output(frame(2))
    chain.close()
    chain.close()
    for method in (chain.process_input, chain.process_output):
        with pytest.raises(UsageError, match="closed"):
            method(frame(1))
    with pytest.raises(UsageError, match="closed"):
        chain.reset()
    assert chain.read_input(PATIENCE) is not None
    assert chain.read_input(PATIENCE) is None
    assert asyncio.run(chain.read_input_async()) is None
    assert chain.read_output(PATIENCE) is not None
    assert chain.read_output(PATIENCE) is None


def test_what_is_no_audio_is_refused_and_leaves_the_chain_usable(chain: WaitingChain) -> None:
    with pytest.raises(UsageError):
        chain.process_input(np.zeros((2, 2), np.int16))
    with pytest.raises(UsageError):
        chain.process_output(np.zeros(FRAME, np.int32))
    with pytest.raises(UsageError):
        chain.read_input(0, np.int32)  # type: ignore[arg-type]
    assert chain.process_input(frame(1)) is not None


def test_threads_that_all_do_everything_break_nothing() -> None:
    chain = WaitingChain(Chain(8000))
    wrong: list[BaseException] = []
    heard: list[np.ndarray] = []
    rubbish = np.full(160, np.nan, np.float32)

    def guarded(work: Callable[[int], object]) -> Callable[[], None]:
        def run() -> None:
            try:
                for number in range(150):
                    work(number)
            except BaseException as error:
                wrong.append(error)

        return run

    def listen(number: int) -> None:
        chunk = chain.read_input(0.001 * (number % 3))
        if chunk is not None:
            heard.append(chunk.audio)

    def spoil(number: int) -> None:
        for bad in (np.zeros((2, 160), np.int16), [0] * 160):
            with pytest.raises(UsageError):
                chain.process_input(bad, number)  # type: ignore[arg-type]

    threads = [
        threading.Thread(target=guarded(work))
        for work in (
            lambda number: chain.process_input(np.full(160, 100, np.int16), number),
            lambda number: chain.process_input(rubbish, None),
            lambda number: chain.process_output(np.full(400, 0.1, np.float32)),
            listen,
            listen,
            lambda number: chain.read_output(0.001),
            lambda number: (chain.metrics(), chain.health()),
            lambda number: (chain.sent(rubbish), chain.clear_output(sent_ahead=True)),
            lambda number: chain.reset() if number % 50 == 49 else None,
            spoil,
        )
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()
    assert not wrong
    assert all(np.isfinite(audio).all() and audio.size == 160 for audio in heard)
    chain.reset()
    assert chain.metrics().faults == 0
    chain.close()
