"""The chain of many legs: its order, its two branches, and that no leg hears another."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.errors import UsageError
from trunkline.media import Bypass, ChainBank, ChainStages, create_echo, noise_stage, to_float
from trunkline.media.echo import NoEcho

RATE = 8000
FRAME = 160
OFF = ChainStages("off", "off")


def rows(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.intp)


def noise(seed: int, frames: int, level: float = 0.05) -> np.ndarray:
    audio = np.random.default_rng(seed).normal(0, level, (frames, FRAME))
    return audio.astype(np.float32)


def opened(bank: ChainBank, count: int = 1) -> np.ndarray:
    return rows(*(bank.open() for _ in range(count)))


class Scaled(Bypass):
    """A stage that multiplies, and writes down that it was its turn."""

    def __init__(self, rate_hz: int, factor: float, log: list[str], name: str) -> None:
        super().__init__(rate_hz, 1)
        self._factor, self._log, self._name = np.float32(factor), log, name

    def process(self, block: np.ndarray, rows: np.ndarray) -> np.ndarray:
        self._log.append(self._name)
        return super().process(block, rows) * self._factor


class ScaledEcho(NoEcho):
    """A canceller that takes away half of what was sent."""

    def __init__(self, rate_hz: int, log: list[str]) -> None:
        super().__init__(rate_hz, 1)
        self.log = log
        self.seen: list[list[bool]] = []

    def process(self, near, far, rows, frozen=None):  # type: ignore[no-untyped-def]
        self.log.append("echo")
        self.seen.append([] if frozen is None else frozen.tolist())
        return super().process(near, far, rows) - far / 2


# Order and branches


def test_echo_comes_before_noise_and_noise_before_gain() -> None:
    log: list[str] = []
    bank = ChainBank(
        RATE,
        ChainStages(
            echo=lambda rate: ScaledEcho(rate, log),
            noise=lambda rate: Scaled(rate, 0.5, log, "noise"),
            gain=lambda rate: Scaled(rate, 4, log, "gain"),
        ),
    )
    row = opened(bank)
    block, far = np.full((1, FRAME), 0.5, np.float32), np.full((1, FRAME), 0.2, np.float32)
    out = bank.process(block, row, far)
    assert log == ["echo", "noise", "gain"]
    assert out.people == pytest.approx((0.5 - 0.1) * 0.5 * 4)
    assert out.recogniser == pytest.approx(0.5 - 0.1)


def test_a_recogniser_hears_suppressed_noise_only_when_asked_for() -> None:
    for wanted in (False, True):
        stages = ChainStages("off", lambda rate: Scaled(rate, 0.5, [], ""), recogniser_noise=wanted)
        bank = ChainBank(RATE, stages)
        out = bank.process(np.full((1, FRAME), 0.5, np.float32), opened(bank))
        assert (out.recogniser is out.people) is wanted
        assert out.recogniser[0, 0] == (0.25 if wanted else 0.5)


def test_the_delays_of_both_branches_are_told() -> None:
    bank = ChainBank(RATE)
    assert (bank.delay_samples, bank.recogniser_delay_samples) == (160, 80)
    both = ChainBank(RATE, ChainStages(recogniser_noise=True))
    assert both.recogniser_delay_samples == both.delay_samples == 160
    assert ChainBank(RATE, OFF).delay_samples == 0


def test_the_stages_do_what_they_do_alone() -> None:
    bank, echo = ChainBank(RATE), create_echo("kalman", RATE)
    suppressor = noise_stage(RATE)
    row = opened(bank)
    echo.open(), suppressor.open()
    for near, far in zip(noise(1, 30), noise(2, 30), strict=True):
        out = bank.process(near[np.newaxis], row, far[np.newaxis])
        left = echo.process(near[np.newaxis], far[np.newaxis], row)
        assert np.array_equal(out.recogniser, left)
        assert np.array_equal(out.people, suppressor.process(left, row))


def test_concealed_frames_are_told_to_the_canceller_and_noise_to_the_suppressor() -> None:
    echo = ScaledEcho(RATE, [])
    bank = ChainBank(RATE, ChainStages(lambda rate: echo, "logmmse"))
    row = opened(bank)
    block = noise(1, 1)
    bank.process(block, row, frozen=np.array([True]))
    assert echo.seen == [[True]]
    for _ in range(15):
        bank.process(block, row, learn=np.array([True]))
    assert bank.metrics(int(row[0])).noise_dbov == pytest.approx(-26, abs=2)


# Types


def test_with_every_stage_off_int16_comes_back_itself() -> None:
    bank = ChainBank(RATE, OFF)
    assert bank.idle
    block = np.array([[-32768, 32767] * 80], np.int16)
    out = bank.process(block, opened(bank))
    assert out.people is block
    assert out.recogniser is block


def test_what_goes_in_as_int16_comes_out_as_int16() -> None:
    pcm = (noise(3, 1) * 32768).astype(np.int16)
    bank, other = ChainBank(RATE), ChainBank(RATE)
    out = bank.process(pcm, opened(bank), pcm)
    same = other.process(to_float(pcm), opened(other), to_float(pcm))
    assert out.people.dtype == out.recogniser.dtype == np.int16
    assert same.people.dtype == np.float32
    assert np.abs(to_float(out.recogniser) - same.recogniser).max() <= 0.5 / 32768


def test_a_far_end_that_says_nothing_is_silence() -> None:
    bank, other = ChainBank(RATE), ChainBank(RATE)
    row = opened(bank)
    opened(other)
    for near in noise(4, 5):
        block = near[np.newaxis]
        mine, theirs = bank.process(block, row), other.process(block, row, np.zeros_like(block))
        assert np.array_equal(mine.people, theirs.people)


# Isolation


@settings(max_examples=15, deadline=None)
@given(
    st.integers(2, 6),
    st.sampled_from([np.nan, np.inf, -np.inf, 1e30, 5.0, 0.0]),
    st.booleans(),
)
def test_a_rows_garbage_alters_no_bit_of_its_neighbours(
    count: int, garbage: float, far_too: bool
) -> None:
    clean, dirty = ChainBank(RATE, capacity=4), ChainBank(RATE, capacity=4)
    all_rows = opened(clean, count)
    opened(dirty, count)
    for step in range(6):
        near, far = noise(step, count), noise(step + 50, count)
        expected = clean.process(near, all_rows, far)
        bad_near, bad_far = near.copy(), far.copy()
        if step >= 2:
            bad_near[0, ::3] = garbage
            if far_too:
                bad_far[0] = garbage
        got = dirty.process(bad_near, all_rows, bad_far)
        assert np.array_equal(got.people[1:], expected.people[1:])
        assert np.array_equal(got.recogniser[1:], expected.recogniser[1:])
        assert np.isfinite(got.people).all()
    broken = not abs(garbage) <= 512
    assert dirty.metrics(0).faults == (4 if broken else 0)
    assert dirty.metrics(1).faults == 0


def test_many_rows_are_as_each_alone() -> None:
    bank = ChainBank(RATE, capacity=2)
    all_rows = opened(bank, 5)
    singles = [ChainBank(RATE, capacity=1) for _ in range(5)]
    for single in singles:
        single.open()
    for step in range(8):
        near, far = noise(step, 5), noise(step + 9, 5)
        order = np.random.default_rng(step).permutation(5)
        together = bank.process(near[order], all_rows[order], far[order])
        for place, index in enumerate(order):
            part = slice(index, index + 1)
            alone = singles[index].process(near[part], rows(0), far[part])
            assert np.array_equal(together.people[place], alone.people[0])


def test_a_row_is_new_when_it_is_opened_again_or_reset() -> None:
    bank, fresh = ChainBank(RATE), ChainBank(RATE)
    row = opened(bank)
    for near in noise(1, 20):
        near[0] = np.nan
        bank.process(near[np.newaxis], row, near[np.newaxis])
    assert bank.metrics(0).faults == 20
    opened(fresh)
    for begin in ("reset", "open"):
        if begin == "reset":
            bank.reset(0)
        else:
            bank.close(0)
            assert bank.open() == 0
            fresh.reset(0)
        assert (bank.metrics(0).frames, bank.metrics(0).faults, bank.metrics(0).mended) == (0, 0, 0)
        for near in noise(7, 5):
            block = near[np.newaxis]
            got, expected = bank.process(block, row, block), fresh.process(block, row, block)
            assert np.array_equal(got.people, expected.people)


# What users and libraries make


class Mad(Bypass):
    """Gives back what is no audio for the second of its rows."""

    def __init__(self, rate_hz: int) -> None:
        super().__init__(rate_hz, 8)
        self.resets: list[int] = []

    def reset(self, row: int) -> None:
        self.resets.append(row)

    def process(self, block: np.ndarray, rows: np.ndarray) -> np.ndarray:
        out = block.copy()
        out[rows == 1] = np.nan
        return out


def test_a_foreign_stage_that_makes_no_audio_is_silenced_and_begins_anew() -> None:
    mad = Mad(RATE)
    bank = ChainBank(RATE, ChainStages("off", "off", gain=lambda rate: mad))
    all_rows = opened(bank, 3)
    block = noise(1, 3)
    out = bank.process(block, all_rows)
    assert np.array_equal(out.people[[0, 2]], block[[0, 2]])
    assert not out.people[1].any()
    assert np.array_equal(out.recogniser, block)
    assert mad.resets == [1]
    assert [bank.metrics(row).mended for row in range(3)] == [0, 1, 0]


class Crooked(Bypass):
    def process(self, block: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return block[:, :100]


class Full(Bypass):
    def open(self) -> int:
        raise UsageError("no room")


def test_a_foreign_stage_of_another_shape_is_refused() -> None:
    bank = ChainBank(RATE, ChainStages("off", Crooked))
    with pytest.raises(UsageError, match="Crooked has to give float32"):
        bank.process(noise(1, 1), opened(bank))
    with pytest.raises(UsageError, match="for 16000 Hz"):
        ChainBank(RATE, ChainStages("off", lambda rate: Bypass(16_000)))


def test_a_stage_without_room_leaves_no_half_open_row() -> None:
    bank = ChainBank(RATE, ChainStages("kalman", Full))
    for _ in range(3):
        with pytest.raises(UsageError, match="no room"):
            bank.open()
    assert len(bank) == 0


def test_rows_of_a_stage_need_not_be_those_of_the_chain() -> None:
    shared = Bypass(RATE, 1)
    shared.open()
    bank = ChainBank(RATE, ChainStages("off", lambda rate: shared))
    assert bank.open() == 0
    block = noise(1, 1)
    assert np.array_equal(bank.process(block, rows(0)).people, block)
    bank.close(0)
    assert shared.rows.opened == {0}


# Misuse


def test_names_that_are_not_there_are_refused_with_those_that_are() -> None:
    with pytest.raises(UsageError, match=r"canceller is called 'magic'; there are kalman, nlms"):
        ChainStages(echo="magic")
    with pytest.raises(UsageError, match=r"suppression is called 'magic'; there are logmmse"):
        ChainStages(noise="magic")
    with pytest.raises(UsageError, match=r"gain is called 'magic'; there are off"):
        ChainStages(gain="magic")
    with pytest.raises(UsageError, match="a name or what makes one"):
        ChainStages(noise=3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="taps"):
        ChainStages(echo_taps=3)
    with pytest.raises(UsageError, match="strength"):
        ChainStages(noise_strength=1.5)


def test_blocks_that_do_not_suit_are_refused() -> None:
    bank = ChainBank(RATE)
    row = opened(bank)
    block = noise(1, 1)
    for bad, where, more in (
        (block.astype(np.float64), row, {}),
        (block[:, :100], row, {}),
        (block, rows(0, 0), {}),
        (np.concatenate([block, block]), rows(0, 0), {}),
        (block, rows(5), {}),
        (block, row, {"far": block[:, :80]}),
        (block, row, {"far": block.astype(np.int32)}),
        (block, row, {"frozen": np.array([True, False])}),
        (block, row, {"learn": np.array([1])}),
    ):
        with pytest.raises(UsageError):
            bank.process(bad, where, **more)
    for method in (bank.close, bank.reset, bank.metrics):
        with pytest.raises(UsageError):
            method(7)
    assert bank.metrics(0).frames == 0


@pytest.mark.parametrize("name", ["kalman", "nlms"])
def test_the_length_of_the_echo_filter_is_given_in_taps(name: str) -> None:
    bank = ChainBank(RATE, ChainStages(name, "off", echo_taps=2048))
    row = opened(bank)
    block = noise(1, 1)
    assert bank.process(block, row, block).people.shape == (1, FRAME)
