"""A bounded ring of frames: what goes in comes out, and everything odd is counted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import UsageError
from trunkline.media.audio_buffer import AudioBuffer
from trunkline.media.frames import to_int16


def ramp(first: int, samples: int = 160) -> np.ndarray:
    return np.arange(first, first + samples, dtype=np.int16)


def test_it_holds_half_a_second_of_frames() -> None:
    buffer = AudioBuffer()
    assert (buffer.capacity, buffer.frame_samples, len(buffer)) == (25, 160, 0)
    assert AudioBuffer(16_000, duration_ms=100).capacity == 5


def test_the_first_in_is_the_first_out_with_its_time_and_latency() -> None:
    buffer = AudioBuffer()
    buffer.write(ramp(0), 1.0)
    buffer.write(ramp(500), 1.02, timestamp=1.01)
    first, second = buffer.read(1.05), buffer.read(1.06)
    assert first is not None
    assert second is not None
    assert np.array_equal(first.audio, ramp(0))
    assert np.array_equal(second.audio, ramp(500))
    assert (first.timestamp, second.timestamp) == (1.0, 1.01)
    assert first.latency_ms == pytest.approx(50)
    assert second.latency_ms == pytest.approx(50)


def test_short_audio_is_padded_and_long_audio_is_cut() -> None:
    buffer = AudioBuffer()
    for size in (100, 0, 400, 160):
        buffer.write(ramp(1, size), 0.0)
    sizes = []
    while (chunk := buffer.read(0.0)) is not None:
        assert chunk.audio.size == 160
        sizes.append(int(np.count_nonzero(chunk.audio)))
    assert sizes == [100, 0, 160, 160]
    metrics = buffer.metrics()
    assert (metrics.padded, metrics.truncated) == (2, 1)


def test_the_ring_forgets_what_a_slot_held_before() -> None:
    buffer = AudioBuffer(duration_ms=20)
    buffer.write(np.full(160, 9000, np.int16), 0.0)
    buffer.read(0.0)
    buffer.write(ramp(1, 10), 0.0)
    chunk = buffer.read(0.0)
    assert chunk is not None
    assert not chunk.audio[10:].any()


@given(st.lists(st.integers(-32768, 32767), min_size=160, max_size=160))
def test_int16_comes_out_bit_for_bit(samples: list[int]) -> None:
    buffer = AudioBuffer()
    pcm = np.array(samples, np.int16)
    buffer.write(pcm, 0.0)
    chunk = buffer.read(0.0)
    assert chunk is not None
    assert chunk.audio.dtype == np.int16
    assert np.array_equal(chunk.audio, pcm)


def test_float32_comes_out_as_it_went_in_or_as_what_is_asked_for() -> None:
    buffer = AudioBuffer()
    audio = np.linspace(-1.5, 1.5, 160, dtype=np.float32)
    for _ in range(2):
        buffer.write(audio, 0.0)
    same, pcm = buffer.read(0.0), buffer.read(0.0, np.int16)
    assert same is not None
    assert pcm is not None
    assert same.audio.dtype == np.float32
    assert np.array_equal(same.audio, audio)
    assert np.array_equal(pcm.audio, to_int16(audio))
    buffer.write(np.full(160, 16_384, np.int16), 0.0)
    half = buffer.read(0.0, np.float32)
    assert half is not None
    assert half.audio.dtype == np.float32
    assert np.all(half.audio == 0.5)


def test_what_was_read_or_written_may_be_changed_afterwards() -> None:
    buffer = AudioBuffer()
    audio = np.full(160, 0.5, np.float32)
    buffer.write(audio, 0.0)
    audio[:] = 0
    chunk = buffer.read(0.0)
    assert chunk is not None
    assert np.all(chunk.audio == 0.5)
    chunk.audio[:] = 7
    for _ in range(buffer.capacity):
        buffer.write(np.zeros(160, np.float32), 0.0)
    assert chunk.audio[0] == 7


def test_what_is_no_number_becomes_silence_and_is_counted() -> None:
    buffer = AudioBuffer()
    audio = np.full(160, 0.25, np.float32)
    audio[[3, 4, 5]] = np.nan, np.inf, -np.inf
    buffer.write(audio, 0.0)
    chunk = buffer.read(0.0)
    assert chunk is not None
    assert not chunk.audio[3:6].any()
    assert chunk.audio[6] == 0.25
    assert buffer.metrics().faults == 1


def test_a_full_buffer_drops_the_oldest_and_counts_it() -> None:
    buffer = AudioBuffer(duration_ms=60)
    taken = [buffer.write(ramp(n * 200), 0.0) for n in range(5)]
    assert taken == [True, True, True, False, False]
    metrics = buffer.metrics()
    assert (metrics.overruns, metrics.chunks, metrics.fill_percent) == (2, 3, 100)
    chunk = buffer.read(0.0)
    assert chunk is not None
    assert chunk.audio[0] == 400


def test_reading_nothing_is_an_underrun() -> None:
    buffer = AudioBuffer()
    assert buffer.read(0.0) is None
    assert buffer.metrics().underruns == 1


def test_ten_seconds_without_a_reader_leave_half_a_second_of_the_newest() -> None:
    buffer = AudioBuffer()
    for tick in range(500):
        buffer.write(np.full(160, tick, np.int16), tick * 0.02)
    chunk = buffer.read(10.0)
    assert chunk is not None
    assert chunk.audio[0] == 475
    assert chunk.latency_ms == pytest.approx(500)
    assert buffer.metrics().overruns == 475


def test_latency_is_that_of_the_last_chunk_and_an_average() -> None:
    buffer = AudioBuffer()
    assert buffer.metrics().average_latency_ms == 0
    for tick in range(300):
        buffer.write(ramp(0), float(tick))
        buffer.read(tick + (0.04 if tick < 299 else 0.14))
    metrics = buffer.metrics()
    assert metrics.current_latency_ms == pytest.approx(140)
    assert metrics.average_latency_ms == pytest.approx(45)
    assert (metrics.written, metrics.read) == (300, 300)


def test_a_timestamp_ahead_of_the_clock_is_no_latency() -> None:
    buffer = AudioBuffer()
    buffer.write(ramp(0), 0.0, timestamp=5.0)
    chunk = buffer.read(1.0)
    assert chunk is not None
    assert chunk.latency_ms == 0


def test_health_is_a_fill_between_two() -> None:
    buffer = AudioBuffer()
    assert not buffer.is_healthy()
    assert buffer.is_healthy(0, 1)
    for _ in range(5):
        buffer.write(ramp(0), 0.0)
    assert buffer.fill == 0.2
    assert buffer.is_healthy()
    assert buffer.is_healthy(0.2, 0.2)
    assert not buffer.is_healthy(0.3)
    assert not buffer.is_healthy(0.0, 0.1)
    for least, most in ((0.5, 0.4), (-1, 1), (0, 2), (float("nan"), 1)):
        with pytest.raises(UsageError, match="fills"):
            buffer.is_healthy(least, most)


def test_clearing_drops_the_audio_and_resetting_the_counts_too() -> None:
    buffer = AudioBuffer()
    for _ in range(3):
        buffer.write(ramp(0, 10), 0.0)
    assert buffer.clear() == 3
    assert len(buffer) == 0
    assert buffer.metrics().padded == 3
    buffer.reset()
    metrics = buffer.metrics()
    assert (metrics.written, metrics.padded, metrics.average_latency_ms) == (0, 0, 0)


def test_clearing_may_keep_the_newest() -> None:
    buffer = AudioBuffer(duration_ms=100)
    for number in range(7):
        buffer.write(np.full(160, number, np.int16), 0.0)
    assert buffer.clear(keep=9) == 0
    assert buffer.clear(keep=2) == 3
    chunks = [buffer.read(0.0), buffer.read(0.0), buffer.read(0.0)]
    assert [None if one is None else int(one.audio[0]) for one in chunks] == [5, 6, None]
    assert buffer.clear(keep=-1) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros(160, np.uint16),
        np.zeros(160, np.int32),
        np.zeros((2, 160), np.int16),
        np.array("x"),
    ],
    ids=str,
)
def test_other_audio_is_refused_and_changes_nothing(wrong: np.ndarray) -> None:
    buffer = AudioBuffer()
    with pytest.raises(UsageError, match="one row"):
        buffer.write(wrong, 0.0)
    assert len(buffer) == buffer.metrics().written == 0


def test_wrong_rates_durations_times_and_types_are_refused() -> None:
    for rate_hz in (7999, 11_025, 96_000):
        with pytest.raises(UsageError):
            AudioBuffer(rate_hz)
    with pytest.raises(UsageError, match="at least"):
        AudioBuffer(duration_ms=19)
    buffer = AudioBuffer()
    with pytest.raises(UsageError, match="finite"):
        buffer.write(ramp(0), float("nan"))
    with pytest.raises(UsageError, match="gives"):
        buffer.read(0.0, np.int32)  # type: ignore[arg-type]


@given(st.lists(st.booleans(), max_size=120))
def test_any_order_of_reads_and_writes_keeps_the_order_and_the_counts(writes: list[bool]) -> None:
    buffer = AudioBuffer(duration_ms=100)
    waiting: list[int] = []
    for number, write in enumerate(writes):
        if write:
            assert buffer.write(np.full(160, number, np.int16), 0.0) == (len(waiting) < 5)
            waiting = [*waiting, number][-5:]
        else:
            chunk = buffer.read(0.0)
            assert (chunk is None) == (not waiting)
            if chunk is not None:
                assert chunk.audio[0] == waiting.pop(0)
        assert len(buffer) == len(waiting)
    metrics = buffer.metrics()
    assert metrics.written == metrics.read + metrics.overruns + metrics.chunks
