"""Cancellation at rates that the canceller does not work at."""

import numpy as np
import pytest

from trunkline.errors import UsageError
from trunkline.media import EchoCanceller, KalmanEcho, create_echo
from trunkline.media.echo_resampled import ResampledEcho
from trunkline.media.resample import StreamResampler

from .echo_calls import echo_of, erle_db, speechlike


def at_rate(audio: np.ndarray, rate_hz: int) -> np.ndarray:
    stream = StreamResampler(8000, rate_hz)
    return np.concatenate([stream.push(audio.astype(np.float32)), stream.flush()])


@pytest.mark.parametrize("rate_hz", [24000, 44100, 48000])
def test_an_echo_is_cancelled_at_any_rate(rate_hz: int) -> None:
    rng = np.random.default_rng(1)
    far = speechlike(rng, 4.0)
    near = echo_of(rng, far)
    far, near = at_rate(far, rate_hz), at_rate(near, rate_hz)
    canceller = EchoCanceller(rate_hz)
    out = np.concatenate([canceller.push(far, near), canceller.flush()])
    assert out.shape == near.shape
    part = slice(2 * rate_hz, 4 * rate_hz)
    assert 10 * np.log10(np.mean(near[part] ** 2) / np.mean(out[part] ** 2)) > 20
    assert canceller.statistics.engine == "kalman"
    assert canceller.statistics.erle_db > 5


def test_what_is_no_echo_stays_and_the_delay_is_told() -> None:
    voice = at_rate(speechlike(np.random.default_rng(2), 1.0), 48000)
    canceller = EchoCanceller(48000)
    out = np.concatenate([canceller.push(np.zeros_like(voice), voice), canceller.flush()])
    assert erle_db(voice, voice - out, 0.1, 0.9) > -1
    assert np.mean((out - voice)[4800:] ** 2) < 0.05 * np.mean(voice[4800:] ** 2)
    assert canceller.delay_samples > 0


def test_rows_share_nothing_and_a_reset_row_is_a_fresh_one() -> None:
    rng = np.random.default_rng(3)
    blocks = rng.normal(0, 0.1, (6, 2, 2, 960)).astype(np.float32)
    both = ResampledEcho(48000, KalmanEcho(16000, capacity=1), 1)
    rows = np.array([both.open(), both.open()])
    alone = ResampledEcho(48000, KalmanEcho(16000, capacity=1), 1)
    row = np.array([alone.open()])
    for number, (near, far) in enumerate(blocks):
        if number == 3:
            near[1] = np.nan
        if number == 4:
            both.reset(int(rows[1]))
        out = both.process(near, far, rows)
        assert np.isfinite(out).all()
        assert np.allclose(out[0], alone.process(near[:1], far[:1], row)[0], atol=1e-6)
    assert both.faults[rows].tolist() == [0, 1]
    both.close(int(rows[1]))
    fresh = both.open()
    again = ResampledEcho(48000, KalmanEcho(16000, capacity=1), 1)
    other = np.array([again.open()])
    near, far = blocks[0, :, :1]
    mine = both.process(near, far, np.array([fresh]))
    assert mine.tobytes() == again.process(near, far, other).tobytes()


def test_rows_and_rates_that_are_none_are_refused() -> None:
    bank = create_echo("kalman", 48000)
    with pytest.raises(UsageError):
        bank.close(0)
    with pytest.raises(UsageError):
        bank.reset(0)
    with pytest.raises(UsageError, match="whole samples"):
        create_echo("kalman", 11025)
    block = np.zeros((1, 960), np.float32)
    with pytest.raises(UsageError):
        bank.process(block, block, np.array([0]))
