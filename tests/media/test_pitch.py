"""Pitch periods."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trunkline.media.pitch import correlations, period_near, pitch_periods


def voice(hertz: float, samples: int, rate_hz: int = 8000) -> NDArray[np.float32]:
    """A pulse-like wave with ten harmonics, at the scale of int16."""
    at = np.arange(samples) / rate_hz
    waves = [np.cos(2 * np.pi * hertz * n * at) / n for n in range(1, 11)]
    return (3000 * np.sum(waves, axis=0)).astype(np.float32)


def test_audio_that_is_its_template_correlates_fully_and_its_negative_fully_less() -> None:
    template = voice(130, 100)[np.newaxis]
    assert correlations(template, template)[0, 0] == pytest.approx(1, abs=1e-3)
    assert correlations(-template, template)[0, 0] == pytest.approx(-1, abs=1e-3)


def test_correlation_is_normalised_at_every_place() -> None:
    rng = np.random.default_rng(1)
    audio = rng.normal(0, 1000, (3, 300)).astype(np.float32)
    template = rng.normal(0, 500, (3, 60)).astype(np.float32)
    found = correlations(audio, template)
    assert found.shape == (3, 241)
    for row in range(3):
        for at in (0, 100, 240):
            part = audio[row, at : at + 60]
            expected = part @ template[row] / np.linalg.norm(part) / np.linalg.norm(template[row])
            assert found[row, at] == pytest.approx(expected, abs=1e-3)


def test_silence_correlates_with_nothing() -> None:
    silence = np.zeros((1, 200), np.float32)
    assert not correlations(silence, silence[:, :50]).any()


@pytest.mark.parametrize("rate_hz", [8000, 16000, 48000])
@pytest.mark.parametrize("hertz", [80, 100, 125, 200, 250])
def test_a_voice_repeats_itself_after_its_period(hertz: float, rate_hz: int) -> None:
    audio = voice(hertz, rate_hz * 80 // 1000, rate_hz)[np.newaxis]
    period, alike = pitch_periods(audio, rate_hz // 50, rate_hz)
    assert period[0] == pytest.approx(rate_hz / hertz, abs=1)
    assert alike[0] > 0.95


def test_noise_repeats_itself_badly() -> None:
    audio = np.random.default_rng(2).normal(0, 1000, (20, 640)).astype(np.float32)
    _, alike = pitch_periods(audio, 160, 8000)
    assert alike.max() < 0.6


def test_a_period_is_looked_for_near_the_one_expected() -> None:
    audio = voice(200, 640)[np.newaxis]
    for about in (76, 80, 84):
        period, alike = period_near(audio, 160, 8000, np.array([[about]]), np.array([[400]]))
        assert period[0, 0] == pytest.approx(80, abs=1)
        assert alike[0, 0] > 0.95


def test_a_period_longer_than_may_be_is_not_found() -> None:
    audio = voice(100, 640)[np.newaxis]
    period, _ = period_near(audio, 160, 8000, np.array([[80]]), np.array([[76]]))
    assert period[0, 0] <= 76
    _, alike = period_near(audio, 160, 8000, np.array([[80]]), np.array([[10]]))
    assert alike[0, 0] == -2


def test_periods_are_no_longer_than_the_audio_allows() -> None:
    period, _ = pitch_periods(voice(70, 200)[np.newaxis], 120, 8000)
    assert period[0] <= 80


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.sampled_from([8000, 16000]))
@settings(max_examples=25, deadline=None)
def test_a_row_has_the_same_period_alone_to_the_bit(seed: int, rows: int, rate_hz: int) -> None:
    rng = np.random.default_rng(seed)
    audio = rng.normal(0, 10 ** rng.uniform(0, 4), (rows, rate_hz // 12)).astype(np.float32)
    period, alike = pitch_periods(audio, rate_hz // 50, rate_hz)
    for row in range(rows):
        one, same = pitch_periods(audio[row : row + 1], rate_hz // 50, rate_hz)
        assert one[0] == period[row]
        assert same[0] == alike[row]
