import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trunkline.errors import UsageError
from trunkline.media.noise import NoiseBank, NoiseSettings
from trunkline.media.noise_suppressor import NoiseSuppressor
from trunkline.media.stage import Bypass


def noise(samples: int, level: float = 0.01, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, level, samples).astype(np.float32)


def pcm(samples: int, seed: int = 0) -> np.ndarray:
    return np.rint(noise(samples, 0.01, seed) * 32768).astype(np.int16)


def rms(audio: np.ndarray) -> float:
    return float(np.sqrt(np.mean(audio.astype(np.float64) ** 2)))


@pytest.mark.parametrize("method", ["logmmse", "spectral", "off"])
@pytest.mark.parametrize("make", [noise, pcm])
def test_audio_comes_back_as_it_was_given(make, method: str) -> None:
    suppressor = NoiseSuppressor(method=method)
    frame = make(160)
    out = suppressor.process(frame)
    assert out.dtype == frame.dtype
    assert out.shape == (160,)


def test_int16_and_float32_are_the_same_audio() -> None:
    whole, real = NoiseSuppressor(), NoiseSuppressor()
    for number in range(20):
        frame = pcm(160, number)
        expected = real.process((frame / 32768).astype(np.float32))
        assert np.abs(whole.process(frame) - expected * 32768).max() <= 0.5


def test_it_is_a_bank_of_one() -> None:
    suppressor = NoiseSuppressor(opening_frames=10)
    bank = NoiseBank(8000, NoiseSettings(opening_frames=10))
    rows = np.array([bank.open()], np.intp)
    for number in range(20):
        frame = noise(160, seed=number)
        expected = bank.process(frame[np.newaxis], rows)[0]
        assert suppressor.process(frame).tobytes() == expected.tobytes()


def test_short_frames_are_filled_and_long_ones_cut_and_both_counted() -> None:
    suppressor = NoiseSuppressor()
    for samples in (0, 1, 159, 160, 161, 5000):
        assert suppressor.process(noise(samples)).shape == (160,)
    statistics = suppressor.statistics
    assert (statistics.frames, statistics.padded, statistics.truncated) == (6, 3, 2)


def test_noise_gets_quieter_once_the_opening_is_over() -> None:
    suppressor = NoiseSuppressor(strength=1.0)
    assert not suppressor.statistics.has_profile
    assert suppressor.statistics.noise_dbov is None
    for number in range(10):
        suppressor.process(noise(160, seed=number))
    assert suppressor.statistics.has_profile
    assert suppressor.statistics.noise_dbov == pytest.approx(-40, abs=1)
    suppressor.process(noise(160, seed=98))
    assert rms(suppressor.process(noise(160, seed=99))) < 0.004


def test_the_noise_is_learnt_from_silence_at_once() -> None:
    suppressor = NoiseSuppressor(strength=1.0, stationary=True)
    suppressor.learn_noise_from_silence(pcm(8000))
    assert suppressor.statistics.has_profile
    suppressor.process(pcm(160, 1))
    assert rms(suppressor.process(pcm(160, 2))) < 0.004 * 32768


def test_a_frame_said_to_be_silence_is_learnt_from() -> None:
    told, left = NoiseSuppressor(), NoiseSuppressor()
    for number in range(40):
        frame = noise(160, 0.001 if number < 20 else 0.1, number)
        told.process(frame, is_speech=number >= 20 and None)
        left.process(frame, is_speech=True)
    for number in range(20):
        told.process(noise(160, 0.1, 50 + number), is_speech=False)
        left.process(noise(160, 0.1, 50 + number), is_speech=True)
    assert told.statistics.told_silence == 40
    assert left.statistics.told_silence == 0
    assert (told.statistics.noise_dbov or 0) > (left.statistics.noise_dbov or 0)


def test_reset_forgets_the_noise_and_the_counts() -> None:
    suppressor, fresh = NoiseSuppressor(), NoiseSuppressor()
    for number in range(20):
        suppressor.process(noise(100, seed=number), is_speech=False)
    suppressor.reset()
    assert suppressor.statistics == fresh.statistics
    frame = noise(160)
    assert suppressor.process(frame).tobytes() == fresh.process(frame).tobytes()


@given(hnp.arrays(np.float32, st.integers(0, 400), elements=st.floats(width=32)))
@settings(max_examples=60, deadline=None)
def test_any_floats_give_finite_audio(audio: np.ndarray) -> None:
    suppressor = NoiseSuppressor()
    suppressor.process(audio)
    assert np.isfinite(suppressor.process(noise(160))).all()
    assert suppressor.statistics.faults <= 1


def test_what_is_no_audio_is_counted() -> None:
    suppressor = NoiseSuppressor()
    suppressor.process(np.full(160, np.nan, np.float32))
    suppressor.process(noise(160))
    assert suppressor.statistics.faults == 1


@pytest.mark.parametrize(
    "audio", [np.zeros((1, 160), np.int16), np.zeros(160, np.int32), np.zeros(160, np.uint8)]
)
def test_what_is_no_row_of_audio_is_refused(audio: np.ndarray) -> None:
    suppressor = NoiseSuppressor()
    with pytest.raises(UsageError):
        suppressor.process(audio)
    with pytest.raises(UsageError):
        suppressor.learn_noise_from_silence(audio)


def test_another_stage_can_take_the_place_of_a_method() -> None:
    suppressor = NoiseSuppressor(16000, stage=Bypass(16000))
    frame = noise(320)
    assert suppressor.process(frame).tobytes() == frame.tobytes()
    assert suppressor.statistics.method == "bypass"
    assert suppressor.delay_samples == 0
    with pytest.raises(UsageError, match="no noise profile"):
        suppressor.learn_noise_from_silence(frame)


def test_a_stage_of_another_rate_is_refused() -> None:
    with pytest.raises(UsageError, match="16000"):
        NoiseSuppressor(8000, stage=Bypass(16000))


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(UsageError, match="logmmse"):
        NoiseSuppressor(method="none")
