"""Frames: lengths, conversions and levels."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import UsageError
from trunkline.media import frames


@pytest.mark.parametrize(
    ("rate_hz", "samples"),
    [(8000, 160), (16000, 320), (22050, 441), (24000, 480), (44100, 882), (48000, 960)],
)
def test_a_frame_is_twenty_milliseconds(rate_hz: int, samples: int) -> None:
    assert frames.frame_samples(rate_hz) == samples


@pytest.mark.parametrize("rate_hz", [0, -8000, 7999, 4000, 96000])
def test_a_rate_no_telephone_or_loudspeaker_has_is_refused(rate_hz: int) -> None:
    with pytest.raises(UsageError, match="8000 to 48000"):
        frames.frame_samples(rate_hz)


@pytest.mark.parametrize("rate_hz", [11025, 8001, 22051])
def test_a_rate_whose_frame_is_not_whole_samples_is_refused(rate_hz: int) -> None:
    with pytest.raises(UsageError, match="whole samples"):
        frames.frame_samples(rate_hz)


def test_silence_is_one_shared_frame_that_nobody_can_write_to() -> None:
    frame = frames.silence(8000)
    assert frame.dtype == np.int16
    assert frame.shape == (160,)
    assert not frame.any()
    assert frames.silence(8000) is frame
    with pytest.raises(ValueError, match="read-only"):
        frame[0] = 1


def test_every_sample_survives_the_way_to_float_and_back() -> None:
    pcm = np.arange(-32768, 32768).astype(np.int16)
    audio = frames.to_float(pcm)
    assert audio.dtype == np.float32
    assert audio.min() == -1.0
    assert audio.max() < 1.0
    assert np.array_equal(frames.to_int16(audio), pcm)


def test_conversions_keep_the_shape_of_a_block() -> None:
    block = np.ones((3, 160), np.int16)
    assert frames.to_float(block).shape == (3, 160)
    assert frames.to_int16(frames.to_float(block)).shape == (3, 160)


def test_too_loud_audio_is_clipped_and_not_wrapped() -> None:
    audio = np.array([1.0, 1.5, -1.0, -7.0, 3e38, -3e38], np.float32)
    assert frames.to_int16(audio).tolist() == [32767, 32767, -32768, -32768, 32767, -32768]


def test_what_is_not_a_number_becomes_silence_and_infinity_full_scale() -> None:
    audio = np.array([np.nan, np.inf, -np.inf])
    assert frames.to_int16(audio).tolist() == [0, 32767, -32768]


def test_conversion_rounds_to_the_nearest_sample() -> None:
    audio = np.array([0.4, 0.6, -0.4, -0.6]) / 32768
    assert frames.to_int16(audio).tolist() == [0, 1, 0, -1]


@pytest.mark.parametrize("strange", [None, np.nan, np.inf, 2.0])
def test_a_sample_is_converted_alike_whatever_its_neighbours_are(strange: float | None) -> None:
    steps = np.arange(-32769, 32769, 0.25) / 32768
    audio = np.clip(steps, -1, 1).astype(np.float32)
    expected = np.minimum(np.rint(audio.astype(np.float64) * 32768), 32767)
    given_ = audio if strange is None else np.append(audio, np.float32(strange))
    assert np.array_equal(frames.to_int16(given_)[: len(audio)], expected)


@pytest.mark.parametrize("loudest", [32766.4, 32766.5, 32766.6, 32767.4, 32767.6, 32768])
def test_the_loudest_samples_round_and_do_not_wrap(loudest: float) -> None:
    audio = np.array([loudest / 32768, -loudest / 32768], np.float32)
    highest = min(np.rint(np.float64(audio[0]) * 32768), 32767)
    assert frames.to_int16(audio).tolist() == [highest, np.rint(np.float64(audio[1]) * 32768)]


@given(st.lists(st.floats(width=32), max_size=40))
def test_no_float_is_too_strange_to_convert(values: list[float]) -> None:
    audio = np.array(values, np.float32)
    pcm = frames.to_int16(audio)
    assert pcm.dtype == np.int16
    assert pcm.shape == audio.shape


def test_the_loudest_square_wave_is_zero_dbov() -> None:
    assert frames.level_dbov(np.full(160, -32768, np.int16)) == 0.0


def test_the_loudest_sine_is_three_db_below_the_square_wave() -> None:
    sine = np.rint(32767 * np.sin(2 * np.pi * np.arange(160) / 16)).astype(np.int16)
    assert frames.level_dbov(sine) == pytest.approx(-3.01, abs=0.01)


def test_a_tenth_of_the_amplitude_is_twenty_db_less() -> None:
    loud, quiet = np.full(160, 20000, np.int16), np.full(160, 2000, np.int16)
    assert frames.level_dbov(loud) - frames.level_dbov(quiet) == pytest.approx(20, abs=1e-4)


def test_silence_and_nothing_have_the_lowest_level() -> None:
    assert frames.level_dbov(np.zeros(160, np.int16)) == frames.QUIETEST_DBOV
    assert frames.level_dbov(np.zeros(0, np.int16)) == frames.QUIETEST_DBOV


def test_a_block_has_a_level_in_each_row() -> None:
    block = np.zeros((3, 160), np.int16)
    block[1] = 327
    levels = frames.levels_dbov(block)
    assert levels.dtype == np.float32
    assert levels[0] == levels[2] == frames.QUIETEST_DBOV
    assert levels[1] == pytest.approx(-40.0, abs=0.05)
    assert frames.levels_dbov(np.zeros((2, 0), np.int16)).tolist() == [-127.0, -127.0]


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64])
def test_audio_of_any_length_becomes_a_frame_and_is_counted(dtype: type) -> None:
    counts = frames.FitCounts()
    for size in (160, 100, 0, 400):
        audio = np.full(size, 0.5).astype(np.float32) if dtype != np.int16 else np.full(size, 16384)
        frame = frames.fit(audio.astype(dtype), 160, counts)
        assert frame.dtype == np.float32
        assert frame.tolist() == [0.5] * min(size, 160) + [0.0] * max(0, 160 - size)
    assert (counts.padded, counts.truncated, counts.faults) == (2, 1, 0)


def test_a_fitted_frame_is_its_own_memory_and_the_audio_is_not_changed() -> None:
    audio = np.full(160, np.nan, np.float32)
    audio[:80] = 0.25
    frame = frames.fit(audio, 160, frames.FitCounts())
    frame[:] = 1
    assert audio[0] == 0.25
    assert np.isnan(audio[-1])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, 513.0, -513.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_no_audio_is_silence_and_its_neighbours_stay(value: float, dtype: type) -> None:
    counts = frames.FitCounts()
    audio = np.full(160, 0.5, dtype)
    audio[7] = value
    frame = frames.fit(audio, 160, counts)
    assert frame[7] == 0
    assert (np.delete(frame, 7) == 0.5).all()
    assert counts.faults == 1


def test_numbers_too_large_or_small_for_float32_do_no_harm() -> None:
    audio = np.array([1e308, -1e308, 5e-324, 1e-300])
    sound, faulty = frames.as_float(audio)
    assert sound.tolist() == [0, 0, 0, 0]
    assert faulty


@pytest.mark.parametrize(
    ("audio", "hint"),
    [
        ([0.0] * 160, "not list"),
        (b"\0" * 320, "frombuffer"),
        (None, "NoneType"),
        (0.5, "not float"),
        (np.float32(0.5), "not float32"),
        (np.zeros(160, np.int32), "int32"),
        (np.zeros(160, ">i2"), ">i2"),
        (np.zeros(160, np.float16), "float16"),
        (np.zeros(160, np.complex64), "complex64"),
        (np.zeros(160, np.bool_), "bool"),
        (np.zeros((160, 2), np.float32), "one channel"),
        (np.zeros((1, 160), np.int16), "one channel"),
        (np.zeros((), np.int16), "shape"),
    ],
)
def test_what_is_no_row_of_audio_is_refused_with_a_hint(audio: Any, hint: str) -> None:
    counts = frames.FitCounts()
    with pytest.raises(UsageError, match=f"one row of int16.*{hint}"):
        frames.fit(audio, 160, counts)
    assert counts == frames.FitCounts()


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64])
def test_audio_goes_back_as_it_came(dtype: type) -> None:
    audio = np.array([0.0, 0.25, -0.5], np.float32)
    given = frames.as_given(audio, np.dtype(dtype))
    assert given.dtype == dtype
    assert np.array_equal(given, audio * (32768 if dtype == np.int16 else 1))
    given[0] = 1
    assert audio[0] == 0


@pytest.mark.parametrize("rate_hz", [8000.0, "8000", None, np.float64(16000)])
def test_a_rate_that_is_no_integer_is_refused(rate_hz: Any) -> None:
    with pytest.raises(UsageError, match="whole number"):
        frames.frame_samples(rate_hz)


def test_a_rate_may_be_numpys_integer() -> None:
    assert frames.frame_samples(np.int64(16000)) == 320
