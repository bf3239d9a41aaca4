"""Levels out of histograms."""

import numpy as np
import pytest
from numpy.typing import NDArray

from trunkline.media.quality_levels import BUCKETS, levels_of


def histogram(**frames: int) -> NDArray[np.uint32]:
    """Frames by level: ``d26=40`` are forty from -26 to -27 dBov."""
    found = np.zeros(BUCKETS, np.uint32)
    for name, count in frames.items():
        found[int(name[1:])] = count
    return found


def test_nothing_looked_at_has_no_level() -> None:
    levels = levels_of(histogram(), 0)
    assert (levels.frames, levels.level_dbov, levels.speech_dbov) == (0, None, None)


def test_speech_level_is_that_of_the_active_frames() -> None:
    levels = levels_of(histogram(d25=30, d30=20, d70=50), 0)
    loud, soft = 10 ** (-2.55), 10 ** (-3.05)
    mean = 10 * np.log10((30 * loud + 20 * soft) / 50)
    assert levels.speech_dbov == pytest.approx(mean, abs=0.1)
    assert levels.level_dbov == pytest.approx(mean - 3, abs=0.1)
    assert levels.silence == 0.5
    assert levels.noise_dbov == pytest.approx(-70.5)


def test_what_is_far_below_speech_is_not_active() -> None:
    # P.56: 15.9 dB below the level of what is active; -50 is 24 below -26.
    assert levels_of(histogram(d26=50, d50=50), 0).speech_dbov == pytest.approx(-26.5, abs=0.1)


def test_only_noise_is_no_speech() -> None:
    assert levels_of(histogram(d60=100), 0).speech_dbov is None


def test_quiet_speech_alone_is_speech() -> None:
    assert levels_of(histogram(d50=10), 0).speech_dbov == pytest.approx(-50.5, abs=0.1)


def test_digital_silence_has_no_level_and_no_noise() -> None:
    found = np.zeros(BUCKETS, np.uint32)
    found[-1] = 10
    levels = levels_of(found, 0)
    assert (levels.level_dbov, levels.noise_dbov, levels.silence) == (None, None, 1.0)


def test_clipping_is_a_share_of_frames() -> None:
    assert levels_of(histogram(d3=10), 4).clipped == 0.4
