"""Our own music: as long as it says, not loud, without clicks, the same every time."""

import numpy as np
import pytest

from trunkline.media.hold_music import HOLD_MUSIC_SECONDS, LEVEL, hold_music
from trunkline.media.waiting_tones import ringback


@pytest.mark.parametrize("rate_hz", [8000, 16_000])
def test_it_is_as_long_as_it_says_and_as_loud(rate_hz: int) -> None:
    music = hold_music(rate_hz)
    assert music.dtype == np.int16
    assert len(music) == HOLD_MUSIC_SECONDS * rate_hz
    assert np.abs(music).max() == LEVEL
    with pytest.raises(ValueError, match="read-only"):
        music[0] = 1


def test_it_is_never_silent_for_long_and_it_changes() -> None:
    seconds = hold_music().reshape(-1, 2000).astype(float)
    levels = 20 * np.log10(np.sqrt((seconds**2).mean(axis=1)) / 32768)
    assert levels.min() > -45
    spectra = np.abs(np.fft.rfft(seconds, axis=1))
    assert len({int(spectrum.argmax()) for spectrum in spectra}) > 6, "more than one tone"


def test_it_can_be_repeated_without_a_click() -> None:
    music = hold_music().astype(int)
    within = np.abs(np.diff(music)).max()
    assert abs(music[0] - music[-1]) <= within


def test_most_of_it_is_in_a_telephones_band() -> None:
    power = np.abs(np.fft.rfft(hold_music().astype(float))) ** 2
    hz = np.arange(len(power)) / HOLD_MUSIC_SECONDS
    assert power[(hz > 200) & (hz < 3400)].sum() > 0.9 * power.sum()


def test_a_ring_is_a_second_of_425_hz_and_four_of_silence() -> None:
    tone = ringback()
    assert len(tone) == 5 * 8000
    assert not tone[8000:].any()
    assert int(np.abs(np.fft.rfft(tone[:8000].astype(float))).argmax()) == 425
    assert np.abs(tone).max() == 3200
    assert abs(int(tone[0])) < 10 and abs(int(tone[7999])) < 10
