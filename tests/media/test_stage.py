import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import UsageError
from trunkline.media.rows import Rows
from trunkline.media.stage import (
    LOUDEST,
    Bypass,
    Stage,
    check_block,
    grown,
    shards,
    silence_faults,
)

GARBAGE = [np.nan, np.inf, -np.inf, 1e30, -1e30, 600.0]


def noise(rows: int, samples: int = 160, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (rows, samples)).astype(np.float32)


def opened(count: int) -> Rows:
    rows = Rows(count)
    for _ in range(count):
        rows.open()
    return rows


def test_a_sound_block_is_given_back_as_it_is() -> None:
    block = noise(3)
    cleaned, faulty = silence_faults(block)
    assert cleaned is block
    assert faulty.size == 0


@pytest.mark.parametrize("garbage", GARBAGE)
def test_what_is_no_audio_becomes_silence_in_its_own_place(garbage: float) -> None:
    block = noise(4)
    spoilt = block.copy()
    spoilt[2, 7] = garbage
    cleaned, faulty = silence_faults(spoilt)
    assert faulty.tolist() == [2]
    assert cleaned[2, 7] == 0
    cleaned[2, 7] = block[2, 7]
    assert cleaned.tobytes() == block.tobytes()
    assert cleaned.dtype == np.float32


def test_the_callers_block_is_not_changed() -> None:
    block = noise(2)
    block[1, 0] = np.nan
    before = block.tobytes()
    silence_faults(block)
    assert block.tobytes() == before


def test_audio_louder_than_full_scale_is_still_audio() -> None:
    block = np.full((1, 160), LOUDEST, np.float32)
    assert silence_faults(block)[1].size == 0


@given(st.integers(0, 2000), st.integers(1, 600))
def test_shards_cover_every_row_once_and_are_about_as_long(count: int, size: int) -> None:
    pieces = list(shards(count, size))
    covered = [index for piece in pieces for index in range(piece.start, piece.stop)]
    assert covered == list(range(count))
    lengths = [piece.stop - piece.start for piece in pieces]
    assert all(0 < length <= size for length in lengths)
    assert not lengths or max(lengths) - min(lengths) <= 1


def test_an_array_grows_with_zeros_and_keeps_what_it_had() -> None:
    array = np.ones((2, 3), np.float32)
    larger = grown(array, 4)
    assert larger.shape == (4, 3)
    assert larger.dtype == np.float32
    assert larger[:2].all()
    assert not larger[2:].any()
    assert grown(larger, 4) is larger


@pytest.mark.parametrize(
    ("block", "rows"),
    [
        (noise(2).astype(np.float64), [0, 1]),
        ((noise(2) * 100).astype(np.int16), [0, 1]),
        (noise(3), [0, 1]),
        (noise(2, 159), [0, 1]),
        (noise(2)[0], [0, 1]),
        (noise(2), [1, 1]),
        (noise(2), [0, 5]),
        (noise(2), [-1, 0]),
    ],
)
def test_a_block_that_does_not_suit_the_bank_is_refused(block: np.ndarray, rows: list[int]) -> None:
    with pytest.raises(UsageError):
        check_block(block, np.array(rows, np.intp), 160, opened(3))


def test_an_empty_block_suits() -> None:
    check_block(noise(0), np.empty(0, np.intp), 160, opened(1))


def test_a_bypass_gives_back_what_it_got_and_counts_what_is_no_audio() -> None:
    stage: Stage = (bypass := Bypass(8000, capacity=1))
    rows = np.array([stage.open() for _ in range(3)], np.intp)
    block = noise(3)
    assert stage.process(block, rows) is block
    block[1, 3] = np.nan
    out = stage.process(block, rows)
    assert np.isfinite(out).all()
    assert bypass.faults[rows].tolist() == [0, 1, 0]
    assert (stage.rate_hz, stage.frame_samples, stage.delay_samples) == (8000, 160, 0)


def test_a_row_of_a_bypass_is_opened_and_closed_like_any_other() -> None:
    stage = Bypass(16000)
    row = stage.open()
    stage.reset(row)
    stage.close(row)
    with pytest.raises(UsageError):
        stage.reset(row)
    with pytest.raises(UsageError):
        stage.close(row)
    with pytest.raises(UsageError):
        stage.process(noise(1, 320), np.array([row], np.intp))


def test_a_row_opened_again_has_no_faults() -> None:
    stage = Bypass(8000)
    row = stage.open()
    stage.process(np.full((1, 160), np.nan, np.float32), np.array([row], np.intp))
    stage.close(row)
    assert stage.open() == row
    assert stage.faults[row] == 0
