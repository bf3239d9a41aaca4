"""Pieces of any length through frames: as much comes as went in, at the same place."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import UsageError
from trunkline.media import EchoCanceller, NoiseSuppressor
from trunkline.media.aligned import Aligned
from trunkline.media.frames import FitCounts

FRAME = 160


def late(delay: int) -> Any:
    """A stage that does nothing but delay."""
    past = [np.zeros(delay, np.float32)]

    def process(frame: np.ndarray) -> np.ndarray:
        assert frame.shape == (FRAME,)
        audio = np.concatenate([past[0], frame])
        past[0] = audio[FRAME:]
        return audio[:FRAME]

    return process


@given(
    st.lists(st.integers(0, 700), max_size=12),
    st.sampled_from([0, 1, 24, 80, 160, 200, 480]),
)
def test_any_pieces_come_out_where_they_went_in(sizes: list[int], delay: int) -> None:
    aligned = Aligned(FRAME, delay, late(delay))
    audio = np.arange(1, sum(sizes) + 1).astype(np.int16)
    heard, at = [], 0
    for size in sizes:
        heard.append(aligned.push((audio[at : at + size],), FitCounts()))
        at += size
        assert sum(map(len, heard)) <= at
        assert sum(map(len, heard)) > at - FRAME - delay
    heard.append(aligned.flush())
    assert np.concatenate(heard).tolist() == audio.tolist()


def test_after_a_flush_another_recording_may_follow() -> None:
    aligned = Aligned(FRAME, 80, late(80))
    for _ in range(2):
        out = aligned.push((np.ones(100, np.float32),), FitCounts())
        rest = aligned.flush()
        assert len(out) + len(rest) == 100
    assert not len(aligned.flush())


def test_streams_side_by_side_are_equally_long() -> None:
    aligned = Aligned(FRAME, 0, lambda far, near: near - far, 2)
    ones = np.ones(200, np.float32)
    assert not aligned.push((ones, ones), FitCounts()).any()
    with pytest.raises(UsageError, match="100 and 200"):
        aligned.push((ones[:100], ones), FitCounts())
    assert len(aligned.flush()) == 40


def test_what_is_no_audio_is_counted_once_a_piece() -> None:
    counts = FitCounts()
    aligned = Aligned(FRAME, 0, lambda far, near: near, 2)
    bad = np.full(FRAME, np.nan, np.float32)
    assert not aligned.push((bad, bad), counts).any()
    assert counts.faults == 1


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64])
@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_a_recording_without_noise_suppression_is_itself(dtype: type, rate_hz: int) -> None:
    audio = (0.1 * np.sin(np.arange(5003) * 0.1) * (32767 if dtype == np.int16 else 1)).astype(
        dtype
    )
    suppressor = NoiseSuppressor(rate_hz, strength=0.0)
    out = np.concatenate([suppressor.push(audio), suppressor.flush()])
    assert out.dtype == dtype
    assert out.shape == audio.shape
    scale = 32768 if dtype == np.int16 else 1
    assert np.abs(out.astype(float) - audio).max() <= 1e-4 * scale


def test_chunks_of_ten_milliseconds_are_a_recordings_samples() -> None:
    rng = np.random.default_rng(3)
    far, near = rng.normal(0, 0.1, (2, 8000)).astype(np.float32)
    whole, chunks = EchoCanceller(8000), EchoCanceller(8000)
    expected = np.concatenate([whole.push(far, near), whole.flush()])
    heard = [
        chunks.push(far_end=far[at : at + 80], near_end=near[at : at + 80])
        for at in range(0, 8000, 80)
    ]
    assert np.concatenate([*heard, chunks.flush()]).tobytes() == expected.tobytes()
    assert expected.shape == near.shape
    assert chunks.statistics.frames == whole.statistics.frames


def test_a_reset_drops_what_was_pushed() -> None:
    suppressor = NoiseSuppressor()
    suppressor.push(np.ones(100, np.int16))
    suppressor.reset()
    assert not len(suppressor.flush())
    canceller = EchoCanceller()
    canceller.push(np.ones(100, np.int16), np.ones(100, np.int16))
    canceller.reset()
    assert not len(canceller.flush())
