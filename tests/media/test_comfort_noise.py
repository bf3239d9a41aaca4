"""Comfort noise: level and shape come back, and nothing a peer sends makes it loud."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import UsageError
from trunkline.media.comfort_noise import ComfortNoise, NoiseDescription, describe_noise
from trunkline.media.errors import MalformedAudioError
from trunkline.media.frames import level_dbov


def made(description: NoiseDescription, seconds: float = 4.0, rate_hz: int = 8000):
    noise = ComfortNoise(rate_hz, np.random.default_rng(1))
    noise.describe(description)
    return np.concatenate([noise.next() for _ in range(int(seconds * 50))])


def coloured(seed: int = 1):
    """Noise with much more below than above, at about -40 dBov."""
    white = np.random.default_rng(seed).normal(0, 200, 40_000)
    return np.convolve(white, np.ones(8) / 3, "same").astype(np.int16)


def share_below(pcm, hz: float, rate_hz: int = 8000) -> float:
    power = np.square(np.abs(np.fft.rfft(pcm.astype(np.float64))))
    edge = int(len(power) * hz / (rate_hz / 2))
    return float(power[:edge].sum() / power.sum())


@pytest.mark.parametrize("level", [-20, -40, -60])
def test_the_level_is_the_one_described(level: int) -> None:
    assert level_dbov(made(NoiseDescription(level))) == pytest.approx(level, abs=0.5)
    shaped = made(NoiseDescription(level, (-0.8, 0.2)))
    assert level_dbov(shaped) == pytest.approx(level, abs=0.5)


def test_noise_goes_there_and_back() -> None:
    pcm = coloured()
    described = NoiseDescription.parse(bytes(describe_noise(pcm)))
    again = made(described)
    assert level_dbov(again) == pytest.approx(level_dbov(pcm), abs=1)
    for hz in (300, 600, 1000, 2000):
        assert share_below(again, hz) == pytest.approx(share_below(pcm, hz), abs=0.06)


def test_white_noise_without_coefficients_is_white() -> None:
    assert share_below(made(NoiseDescription(-40)), 2000) == pytest.approx(0.5, abs=0.02)


def test_frames_join_without_a_step() -> None:
    pcm = made(NoiseDescription(-30, (-0.9,))).astype(np.float64)
    steps = np.abs(np.diff(pcm))
    joints = steps[159::160]
    assert joints.mean() < 1.15 * steps.mean()


def test_a_new_level_is_glided_to() -> None:
    noise = ComfortNoise(8000, np.random.default_rng(1))
    noise.describe(NoiseDescription(-60))
    quiet = [noise.next() for _ in range(10)]
    noise.describe(NoiseDescription(-30))
    rising = [level_dbov(noise.next()) for _ in range(20)]
    assert level_dbov(np.concatenate(quiet)) < -57
    assert rising[0] < -36
    assert rising[-1] == pytest.approx(-30, abs=2)


def test_silence_is_silent_both_ways() -> None:
    silence = np.zeros(800, np.int16)
    described = describe_noise(silence)
    assert described == NoiseDescription(-127)
    assert not made(NoiseDescription.parse(bytes(described)), 0.2).any()
    assert not ComfortNoise(8000, np.random.default_rng(1)).next().any()


def test_the_bytes_are_those_of_the_rfc() -> None:
    # -50 dBov; a coefficient of 0 is 127, and the largest is 254.
    assert bytes(NoiseDescription(-50, (0.0, 0.9999))) == bytes([50, 127, 254])
    assert NoiseDescription.parse(bytes([0x80 | 50])).level_dbov == -50  # the top bit is not used
    assert NoiseDescription.parse(bytes([50, 227])).reflection[0] == pytest.approx(
        100 * 258 / 32768
    )


def test_an_empty_packet_is_refused() -> None:
    with pytest.raises(MalformedAudioError):
        NoiseDescription.parse(b"")


@given(st.binary(min_size=1, max_size=60))
def test_any_packet_makes_noise_that_is_not_too_loud(payload: bytes) -> None:
    described = NoiseDescription.parse(payload)
    pcm = made(described, 0.5)
    assert level_dbov(pcm) <= described.level_dbov + 4
    assert np.isfinite(described.predictor()).all()


@pytest.mark.parametrize(
    ("pcm", "order"),
    [
        (np.zeros((2, 100), np.int16), 10),
        (np.zeros(10, np.int16), 10),
        (np.zeros(100, np.float32), 10),
        (np.zeros(100, np.int16), 33),
    ],
)
def test_what_is_no_noise_is_refused(pcm, order: int) -> None:
    with pytest.raises(UsageError):
        describe_noise(pcm, order)


def test_a_tone_is_described_stably() -> None:
    tone = (8000 * np.sin(2 * np.pi * 1000 * np.arange(1600) / 8000)).astype(np.int16)
    described = describe_noise(tone)
    assert all(abs(one) < 1 for one in described.reflection)
    assert np.isfinite(made(described, 0.2)).all()
