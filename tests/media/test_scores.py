"""Scores: known figures for known changes, and nothing where nothing can be said."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import UsageError
from trunkline.media.scores import erle_db, frame_levels, segmental_snr_db, spectrogram


def tone(hertz: float, seconds: float = 1.0, rate_hz: int = 8000, peak: float = 8000):
    at = np.arange(int(seconds * rate_hz)) / rate_hz
    return (peak * np.sin(2 * np.pi * hertz * at)).astype(np.int16)


def test_the_same_audio_has_the_highest_ratio() -> None:
    assert segmental_snr_db(tone(300), tone(300), 8000) == 35


def test_audio_at_half_its_size_differs_by_six_decibels() -> None:
    assert segmental_snr_db(tone(300), tone(300) // 2, 8000) == pytest.approx(6.02, abs=0.05)


def test_the_ratio_has_a_floor() -> None:
    assert segmental_snr_db(tone(300, peak=1000), tone(300, peak=32000), 8000) == -10


def test_silence_in_the_reference_does_not_count() -> None:
    reference = np.concatenate([tone(300), np.zeros(8000, np.int16)])
    other = np.concatenate([tone(300), tone(500)])
    assert segmental_snr_db(reference, other, 8000) == 35
    assert segmental_snr_db(np.zeros(8000, np.int16), tone(300), 8000) is None


def test_only_chosen_frames_count() -> None:
    other = tone(300).copy()
    other[:160] = 0
    chosen = np.zeros(50, np.bool_)
    chosen[0] = True
    assert segmental_snr_db(tone(300), other, 8000, chosen) == pytest.approx(0, abs=0.01)
    assert segmental_snr_db(tone(300), other, 8000, ~chosen) == 35


def test_audio_of_another_length_is_refused() -> None:
    with pytest.raises(UsageError):
        segmental_snr_db(tone(300), tone(300, 0.5), 8000)


def test_echo_that_is_a_tenth_is_twenty_decibels_less() -> None:
    far = tone(300)
    assert erle_db(far, far // 2, far // 20, 8000) == pytest.approx(20, abs=0.1)


def test_a_word_of_the_near_end_does_not_spoil_the_echos_score() -> None:
    far, near, left = tone(300), tone(300) // 2, tone(300) // 20
    near[6000:], left[6000:] = 20_000, 20_000
    assert erle_db(far, near, left, 8000) == pytest.approx(20, abs=0.1)


def test_without_a_far_end_or_an_echo_there_is_no_echo_score() -> None:
    quiet = np.zeros(8000, np.int16)
    assert erle_db(quiet, tone(300), tone(300), 8000) is None
    assert erle_db(tone(300), quiet, quiet, 8000) is None


def test_levels_are_of_whole_frames() -> None:
    levels = frame_levels(np.append(tone(300, 0.1, peak=32767), np.int16(5)), 8000)
    assert levels.shape == (5,)
    assert levels[2] == pytest.approx(-3.01, abs=0.2)


@pytest.mark.parametrize("rate_hz", [8000, 16000, 48000])
def test_a_tone_is_at_its_height_with_its_level(rate_hz: int) -> None:
    made = spectrogram(tone(1000, rate_hz=rate_hz), rate_hz, 80, 64)
    row = 63 - int(1000 / (rate_hz / 2) * 64)
    middle = made[:, 20:60]
    assert abs(int(middle.mean(axis=1).argmax()) - row) <= 1
    assert middle.max() == pytest.approx(20 * np.log10(8000 / 32768), abs=1.5)


@given(st.integers(0, 3000), st.integers(1, 300), st.integers(1, 300))
def test_any_length_has_a_spectrogram_within_the_room_there_is(length, columns, rows) -> None:
    made = spectrogram(np.full(length, -32768, np.int16), 8000, columns, rows)
    assert 1 <= made.shape[0] <= rows
    assert 1 <= made.shape[1] <= columns
    assert np.isfinite(made).all()
    assert made.max() <= 6.1


def test_nothing_has_a_dark_spectrogram() -> None:
    assert (spectrogram(np.zeros(8000, np.int16), 8000, 50, 50) == -120).all()
