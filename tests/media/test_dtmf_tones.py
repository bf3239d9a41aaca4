"""Keys as tones: the right two frequencies, as long as they must be, without clicks."""

import numpy as np
import pytest

from trunkline.errors import UsageError
from trunkline.media.dtmf_tones import HIGH_HZ, LOW_HZ, TONE_KEYS, dtmf_audio


@pytest.mark.parametrize("rate_hz", [8000, 16_000])
def test_each_key_is_two_tones(rate_hz: int) -> None:
    for row, keys in enumerate(TONE_KEYS):
        for column, key in enumerate(keys):
            pcm = dtmf_audio(key, rate_hz, tone_ms=200, gap_ms=60)
            assert len(pcm) == 260 * rate_hz // 1000
            power = np.abs(np.fft.rfft(pcm[: rate_hz // 5].astype(float))) ** 2
            first, second = sorted(np.argsort(power)[-2:] * 5)
            assert abs(first - LOW_HZ[row]) <= 5
            assert abs(second - HIGH_HZ[column]) <= 5


def test_the_high_tone_is_2_db_louder_and_nothing_clips() -> None:
    pcm = dtmf_audio("5", tone_ms=1000).astype(float)[:8000]
    power = np.abs(np.fft.rfft(pcm))
    assert 20 * np.log10(power[1336] / power[770]) == pytest.approx(2.0, abs=0.2)
    assert np.abs(pcm).max() < 8000


def test_tones_begin_and_end_softly() -> None:
    pcm = dtmf_audio("1").astype(int)
    assert abs(pcm[0]) < 10
    assert np.abs(pcm[795:]).max() < 1600


def test_keys_are_at_least_as_long_as_a_receiver_may_ask_for() -> None:
    assert len(dtmf_audio("12", tone_ms=5, gap_ms=0)) == 2 * 80 * 8


def test_what_is_no_key_is_refused() -> None:
    with pytest.raises(UsageError, match="'X' is not a key"):
        dtmf_audio("1x")
    assert len(dtmf_audio("")) == 0
    np.testing.assert_array_equal(dtmf_audio("a"), dtmf_audio("A"))
