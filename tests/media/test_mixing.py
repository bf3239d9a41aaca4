"""The mixer: sums that never wrap, a limiter for each listener, rooms of any size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trunkline.errors import UsageError
from trunkline.media.mixing import CEILING, GAIN_ONE, Mixer, fixed_gain

FRAME = 160
Pcm = NDArray[np.int16]


def voices(count: int, peak: int = 3000, seed: int = 1) -> Pcm:
    rng = np.random.default_rng(seed)
    return rng.integers(-peak, peak, (count, FRAME)).astype(np.int16)


def places(*numbers: int) -> NDArray[np.intp]:
    return np.array(numbers, np.intp)


def gains(*numbers: int) -> NDArray[np.int32]:
    return np.array(numbers, np.int32)


def test_a_listener_hears_the_sum_of_those_it_is_to_hear() -> None:
    mixer, block = Mixer(FRAME), voices(3)
    rows = places(mixer.open(), mixer.open())
    out = mixer.mix(
        block, places(0, 2, 1, 2), gains(*[GAIN_ONE] * 4), starts=places(0, 2), rows=rows
    )
    assert out.dtype == np.int16
    np.testing.assert_array_equal(out[0], block[0] + block[2])
    np.testing.assert_array_equal(out[1], block[1] + block[2])


def test_levels_are_decibels() -> None:
    mixer, block = Mixer(FRAME), voices(1, 10_000)
    out = mixer.mix(
        block, places(0), gains(fixed_gain(-20.0)), starts=places(0), rows=places(mixer.open())
    )
    np.testing.assert_allclose(out[0], block[0] / 10, atol=3)
    assert fixed_gain(0) == GAIN_ONE
    assert fixed_gain(-np.inf) == 0


@pytest.mark.parametrize("level", [18.1, np.nan, np.inf])
def test_a_level_that_could_wrap_is_refused(level: float) -> None:
    with pytest.raises(UsageError, match="at 18 dB at most"):
        fixed_gain(level)


def test_everybody_in_a_room_hears_all_the_others() -> None:
    mixer, block = Mixer(FRAME, capacity=2), voices(6)
    rows = places(*(mixer.open() for _ in range(6)))
    out = mixer.others(block, places(7, 7, 7, 2, 2, 9), rows)
    for person, room in enumerate([(1, 2), (0, 2), (0, 1), (4,), (3,), ()]):
        np.testing.assert_array_equal(out[person], block[list(room)].sum(axis=0))


def test_an_empty_block_of_rooms_is_no_trouble() -> None:
    assert Mixer(FRAME).others(voices(0), places(), places()).shape == (0, FRAME)


def test_a_hundred_shouting_voices_are_turned_down_and_do_not_wrap() -> None:
    mixer = Mixer(FRAME)
    rows = places(*(mixer.open() for _ in range(100)))
    wave = (30_000 * np.sin(np.arange(FRAME) * 0.3)).astype(np.int16)
    rooms = np.zeros(100, np.intp)
    first = mixer.others(np.tile(wave, (100, 1)), rooms, rows)
    # What is above full scale while it turns down (1 ms) is clipped, and has the right sign.
    assert (np.sign(first[:, 1:8]) == np.sign(wave[1:8])).all()
    second = mixer.others(np.tile(wave, (100, 1)), rooms, rows)
    assert np.abs(second[:, 8:].astype(int)).max() <= CEILING + 1
    shape = second[0, 8:].astype(float)
    similarity = np.dot(shape, wave[8:]) / np.linalg.norm(shape) / np.linalg.norm(wave[8:])
    assert similarity > 0.999, "turned down, not clipped"


def test_it_turns_up_again_slowly() -> None:
    mixer = Mixer(FRAME)
    row = places(mixer.open())

    def once(value: int, times: int) -> int:
        block = np.full((2, FRAME), value, np.int16)
        out = mixer.mix(block, places(0, 1), gains(*[GAIN_ONE] * 2), places(0), row)
        for _ in range(times - 1):
            out = mixer.mix(block, places(0, 1), gains(*[GAIN_ONE] * 2), places(0), row)
        return int(out[0, -1])

    once(32_000, 2)  # 6 dB too loud
    assert once(1000, 1) < 1100
    assert 1300 < once(1000, 25) < 1400, "2.6 dB after half a second"
    assert once(1000, 60) == 2000


def test_one_listeners_limiter_is_no_other_ones() -> None:
    mixer = Mixer(FRAME)
    rows = places(mixer.open(), mixer.open())
    block = np.stack([np.full(FRAME, 30_000), np.full(FRAME, 100)]).astype(np.int16)
    for _ in range(3):
        out = mixer.mix(block, places(0, 0, 1, 1), gains(*[GAIN_ONE] * 4), places(0, 2), rows)
    assert out[0, -1] <= CEILING
    assert out[1, -1] == 200


def test_a_row_begins_anew_when_it_is_opened_again() -> None:
    mixer = Mixer(FRAME)
    row = mixer.open()
    loud = np.full((2, FRAME), 32_000, np.int16)
    mixer.mix(loud, places(0, 1), gains(*[GAIN_ONE] * 2), places(0), places(row))
    mixer.close(row)
    assert len(mixer) == 0
    assert mixer.open() == row
    quiet = np.full((2, FRAME), 1000, np.int16)
    out = mixer.mix(quiet, places(0, 1), gains(*[GAIN_ONE] * 2), places(0), places(row))
    assert (out == 2000).all()


@given(st.integers(1, 12), st.integers(0, 2**32 - 1), st.integers(1, 32_767))
def test_whatever_is_said_nothing_wraps(people: int, seed: int, peak: int) -> None:
    mixer = Mixer(FRAME)
    block = voices(people, peak, seed)
    rows = places(*(mixer.open() for _ in range(people)))
    out = mixer.others(block, np.zeros(people, np.intp), rows)
    sums = block.sum(axis=0, dtype=np.int64) - block
    loud = np.abs(sums) > 1000
    assert (np.sign(out[loud]) == np.sign(sums[loud])).all()
