"""Packet-loss concealment."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trunkline.errors import UsageError
from trunkline.media.concealment import CONTINUATIONS, ConcealmentBank, Linear, Simple
from trunkline.media.sample_ring import HOLE

FRAME = 160
FADE = 32
METHODS = sorted(CONTINUATIONS)


def tone(frames: int, hertz: float = 200.0, peak: float = 8000.0) -> NDArray[np.int16]:
    """(frames, 160) of a sine; 200 Hz has four periods a frame."""
    at = np.arange(frames * FRAME) / 8000
    return np.rint(peak * np.sin(2 * np.pi * hertz * at)).astype(np.int16).reshape(frames, FRAME)


def missing(rows: int = 1) -> NDArray[np.int16]:
    return np.full((rows, FRAME), HOLE, np.int16)


def run(frames: NDArray[np.int16], lost: set[int], method: str = "simple") -> NDArray[np.int16]:
    """One row hears these frames, some of them lost."""
    concealer = ConcealmentBank(method=method)
    rows = np.array([concealer.open()])
    heard = []
    for index, frame in enumerate(frames):
        block = missing() if index in lost else frame[np.newaxis].copy()
        (concealer.conceal if index in lost else concealer.update)(block, rows)
        heard.append(block[0])
    return np.array(heard)


def energy(frame: NDArray[np.int16]) -> float:
    return float(np.sqrt(np.mean(frame.astype(float) ** 2)))


def test_frames_that_came_are_not_touched() -> None:
    frames = tone(10, 310.0)
    assert np.array_equal(run(frames, set()), frames)


def test_a_lost_frame_repeats_the_last_one_more_quietly() -> None:
    frames = tone(6)
    heard = run(frames, {4})
    gain = 0.5 ** (np.arange(FRAME) / FRAME)
    # The sine's last sample and its first differ: that jump is spread over 4 ms.
    assert np.allclose(heard[4][FADE:], frames[3][FADE:] * gain[FADE:], atol=1)
    assert (
        np.abs(np.diff(np.r_[heard[3], heard[4]].astype(int))).max()
        < 2 * np.abs(np.diff(frames[3].astype(int))).max()
    )


def test_each_further_loss_is_half_as_loud_until_nothing_is_heard() -> None:
    heard = run(tone(14), set(range(4, 14)))
    levels = [energy(frame) for frame in heard[4:]]
    for louder, quieter in zip(levels[:5], levels[1:6], strict=True):
        assert quieter / louder == pytest.approx(0.5, abs=0.02)
    assert levels[8] < 20


def test_audio_after_a_loss_rises_out_of_the_concealment() -> None:
    frames = tone(8, 330.0)
    heard = run(frames, {4})
    assert np.array_equal(heard[5][FADE:], frames[5][FADE:])
    assert not np.array_equal(heard[5][:FADE], frames[5][:FADE])
    assert np.array_equal(heard[6:], frames[6:])
    steps = np.abs(np.diff(np.r_[heard[4], heard[5]].astype(int)))
    assert steps.max() < 2 * np.abs(np.diff(frames.reshape(-1).astype(int))).max()


def test_silence_conceals_with_nothing_and_blends_nothing() -> None:
    frames = tone(8, 330.0)
    heard = run(frames, {4, 5}, "silence")
    assert not heard[4:6].any()
    assert np.array_equal(heard[6:], frames[6:])


def test_a_loss_before_any_audio_is_silence() -> None:
    assert not run(tone(3), {0, 1, 2}).any()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("start", "stop"), [(80, 160), (0, 80), (40, 100), (1, 159), (159, 160)])
def test_only_holes_are_filled_and_the_samples_about_them_kept(
    method: str, start: int, stop: int
) -> None:
    frames = tone(5, 330.0)
    concealer = ConcealmentBank(method=method)
    rows = np.array([concealer.open()])
    for frame in frames[:4]:
        concealer.update(frame[np.newaxis].copy(), rows)
    block = frames[4:5].copy()
    block[0, start:stop] = HOLE
    concealer.conceal(block, rows)
    assert np.array_equal(block[0, :start], frames[4, :start])
    kept = min(stop + (0 if method == "silence" else FADE), FRAME)
    assert np.array_equal(block[0, kept:], frames[4, kept:])
    assert block.min() > HOLE


def test_concealment_continues_from_where_the_hole_begins() -> None:
    frames = tone(5, 100.0)
    concealer = ConcealmentBank(method="simple")
    rows = np.array([concealer.open()])
    for frame in frames[:4]:
        concealer.update(frame[np.newaxis].copy(), rows)
    block = frames[4:5].copy()
    block[0, 80:] = HOLE
    concealer.conceal(block, rows)
    # 100 Hz repeats every 80 samples: what follows is the right continuation, fading.
    gain = 0.5 ** (np.arange(80) / FRAME)
    assert np.allclose(block[0, 80 + FADE :], frames[4, 80 + FADE :] * gain[FADE:], atol=2)


def test_a_hole_in_the_middle_of_a_frame_is_no_longer_loss_at_its_end() -> None:
    concealer = ConcealmentBank(method="simple")
    rows = np.array([concealer.open()])
    block = tone(1)
    block[0, 40:80] = HOLE
    concealer.conceal(block, rows)
    assert concealer.concealed[0] == 0
    block = tone(1)
    block[0, 40:] = HOLE
    concealer.conceal(block, rows)
    assert concealer.concealed[0] == 120
    concealer.conceal(missing(), rows)
    assert concealer.concealed[0] == 280


def test_a_reset_row_has_silence_behind_it() -> None:
    concealer = ConcealmentBank(method="simple")
    rows = np.array([concealer.open()])
    concealer.update(tone(1), rows)
    concealer.conceal(missing(), rows)
    concealer.reset(rows)
    block = missing()
    concealer.conceal(block, rows)
    assert not block.any()


def test_a_row_opened_again_remembers_nothing_and_the_bank_grows() -> None:
    concealer = ConcealmentBank(method="simple", capacity=1)
    row = concealer.open()
    concealer.update(tone(1), np.array([row]))
    others = [concealer.open() for _ in range(10)]
    assert len({row, *others}) == 11
    concealer.close(row)
    assert concealer.open() == row
    block = missing()
    concealer.conceal(block, np.array([row]))
    assert not block.any()


def test_growing_keeps_what_rows_remember() -> None:
    concealer = ConcealmentBank(method="simple", capacity=1)
    rows = np.array([concealer.open()])
    concealer.update(tone(1), rows)
    for _ in range(5):
        concealer.open()
    block = missing()
    concealer.conceal(block, rows)
    assert energy(block[0]) > 1000


def test_an_unknown_method_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="silence, simple"):
        ConcealmentBank(method="magic")


def test_closing_a_row_twice_is_an_error() -> None:
    concealer = ConcealmentBank(method="simple")
    row = concealer.open()
    concealer.close(row)
    with pytest.raises(UsageError):
        concealer.close(row)


@pytest.mark.parametrize("rate_hz", [8000, 16000, 48000])
def test_fading_takes_the_same_time_at_every_rate(rate_hz: int) -> None:
    concealer = ConcealmentBank(rate_hz, "simple")
    rows = np.array([concealer.open()])
    frame = rate_hz // 50
    at = np.arange(frame) / rate_hz
    concealer.update(np.rint(8000 * np.sin(2 * np.pi * 200 * at)).astype(np.int16)[None], rows)
    levels = []
    for _ in range(3):
        block = np.full((1, frame), HOLE, np.int16)
        concealer.conceal(block, rows)
        levels.append(energy(block[0]))
    assert levels[1] / levels[0] == pytest.approx(0.5, abs=0.02)
    assert levels[0] == pytest.approx(5657 * 0.73, rel=0.05)


def test_a_continuation_is_extended_beyond_a_frame_as_by_two() -> None:
    simple = Simple(8000)
    history = tone(4, 330.0).reshape(1, -1).astype(np.float32)
    whole = simple.extend(history, np.array([0]), 2 * FRAME)
    assert np.allclose(whole[:, FRAME:], whole[:, :FRAME] * 0.5, atol=0.01)


@pytest.mark.parametrize("before", [0, 37, FRAME, 3 * FRAME + 1, 9 * FRAME])
@pytest.mark.parametrize("rate_hz", [8000, 16000, 48000])
def test_a_row_fades_to_the_bit_as_it_does_alone(rate_hz: int, before: int) -> None:
    # One table for every gain: computed anew, a fade was one bit off beside rows that
    # were concealed already.
    simple, rng = Simple(rate_hz), np.random.default_rng(1)
    history = rng.integers(-32767, 32768, (5, 4 * rate_hz // 50)).astype(np.float32)
    concealed = np.array([before, 0, 1, FRAME, 7 * FRAME])
    samples = rate_hz // 50 + rate_hz * 4 // 1000
    together = simple.extend(history, concealed, samples)
    for row in range(5):
        alone = simple.extend(history[row : row + 1], concealed[row : row + 1], samples)
        assert np.array_equal(alone[0], together[row])


def test_some_rows_of_a_block_are_updated_and_the_others_left_alone() -> None:
    rng = np.random.default_rng(2)
    some, each = (ConcealmentBank(method="simple", capacity=4) for _ in range(2))
    rows = np.array([some.open() for _ in range(4)])
    assert [each.open() for _ in range(4)] == rows.tolist()
    for concealer in (some, each):
        concealer.update(np.full((4, FRAME), 9000, np.int16), rows)
        concealer.conceal(missing(3), rows[:3])
    block = rng.integers(-9000, 9000, (3, FRAME)).astype(np.int16)
    expected = block.copy()
    some.update(block, rows[1:], np.array([0, 2]))
    for index in (0, 2):
        each.update(expected[index : index + 1], rows[index + 1 : index + 2])
    assert np.array_equal(block, expected)
    assert some.concealed.tolist() == each.concealed.tolist() == [FRAME, 0, FRAME, 0]
    more, same = missing(4), missing(4)
    some.conceal(more, rows)
    each.conceal(same, rows)
    assert np.array_equal(more, same)


@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.sampled_from(METHODS), st.booleans())
@settings(max_examples=60, deadline=None)
def test_rows_do_not_affect_each_other(seed: int, loss: float, method: str, ahead: bool) -> None:
    rng = np.random.default_rng(seed)
    together, alone = ConcealmentBank(8000, method, 8), ConcealmentBank(8000, method, 1)
    rows = np.array([together.open() for _ in range(8)])
    mine = np.array([alone.open()])
    for _ in range(12):
        block = rng.integers(-32767, 32768, (8, FRAME)).astype(np.int16)
        future = rng.integers(-32767, 32768, (8, 3 * FRAME)).astype(np.int16)
        future[rng.random(8) < 0.3, : rng.integers(3 * FRAME)] = HOLE
        lost = rng.random(8) < loss
        block[lost, : rng.integers(1, FRAME + 1)] = HOLE
        # The row looked at alone is here or missing otherwise than its neighbours.
        if lost[3]:
            block[3] = rng.integers(-32767, 32768, FRAME)
            block[3, rng.integers(FRAME) :] = HOLE
        single = block[3:4].copy()
        if lost.any():
            part = block[lost]
            together.conceal(part, rows[lost], future[lost] if ahead else None)
            block[lost] = part
        if not lost.all():
            part = block[~lost]
            together.update(part, rows[~lost])
            block[~lost] = part
        if lost[3]:
            alone.conceal(single, mine, future[3:4] if ahead else None)
        else:
            alone.update(single, mine)
        assert np.array_equal(single[0], block[3])
        assert block.min() > HOLE


@pytest.mark.parametrize("lead", [1, 37, 90, 159])
def test_what_fills_a_hole_is_the_last_20_ms_before_it_wherever_it_begins(lead: int) -> None:
    frames = tone(6, 50.0)  # one period a frame: any other 20 ms would be out of phase
    concealer = ConcealmentBank(method="simple")
    rows = np.array([concealer.open()])
    for frame in frames[:5]:
        concealer.update(frame[np.newaxis].copy(), rows)
    block = frames[5:].copy()
    block[0, lead:] = HOLE
    concealer.conceal(block, rows)
    gain = 0.5 ** (np.arange(FRAME - lead) / FRAME)
    assert np.array_equal(block[0, :lead], frames[5, :lead])
    assert np.allclose(block[0, lead:], frames[5, lead:] * gain, atol=320)
    # The next frame rises out of what would have followed, which is still 50 Hz.
    following = np.zeros((1, FRAME), np.int16)
    concealer.update(following, rows)
    sink = 1 - np.arange(1, FADE + 1) / (FADE + 1)
    gain = 0.5 ** (np.arange(FRAME - lead, FRAME - lead + FADE) / FRAME)
    assert np.allclose(following[0, :FADE], frames[5, :FADE] * gain * sink, atol=320)
    assert not following[0, FADE:].any()


def test_samples_after_a_hole_rise_out_of_its_concealment_over_4_ms() -> None:
    concealer = ConcealmentBank(method="simple")
    rows = np.array([concealer.open()])
    block = np.full((1, FRAME), 8000, np.int16)
    block[0, :50] = HOLE
    concealer.conceal(block, rows)  # nothing lies before: the concealment is silence
    rise = np.arange(1, FADE + 1) / (FADE + 1)
    assert not block[0, :50].any()
    assert np.allclose(block[0, 50 : 50 + FADE], 8000 * rise, atol=1)
    assert (block[0, 50 + FADE :] == 8000).all()


def test_a_jump_between_extremes_is_clipped_and_never_looks_like_a_hole() -> None:
    concealer = ConcealmentBank(method="simple")
    rows = np.array([concealer.open()])
    block = np.full((1, FRAME), -32767, np.int16)
    block[0, 0] = 32767
    concealer.update(block, rows)
    lost = missing()
    concealer.conceal(lost, rows)
    assert lost[0, 1] == -32767
    concealer.reset(rows)
    concealer.update(-block, rows)
    lost = missing()
    concealer.conceal(lost, rows)
    assert lost[0, 1] == 32767


def test_what_follows_a_gap_makes_its_concealment_better() -> None:
    frames = tone(10, 130.0)

    def off(ahead: int) -> float:
        bank = ConcealmentBank(8000, "pitch")
        rows = np.array([bank.open()])
        for frame in frames[:6]:
            bank.update(frame[np.newaxis].copy(), rows)
        block = missing()
        future = frames[7 : 7 + ahead].reshape(1, -1) if ahead else None
        bank.conceal(block, rows, future)
        return energy(block[0].astype(np.int32) - frames[6])

    assert off(1) < off(0)


@pytest.mark.parametrize("lead", [1, 60, 159])
def test_a_gap_over_two_frames_is_bridged_to_what_is_known_after_it(lead: int) -> None:
    # Packets that do not lie on frames: the end of one frame and the beginning of the next.
    frames = tone(10, 125.0)
    bank = ConcealmentBank(8000, "pitch")
    rows = np.array([bank.open()])
    for frame in frames[:6]:
        bank.update(frame[np.newaxis].copy(), rows)
    first, second = frames[6:7].copy(), frames[7:8].copy()
    first[0, lead:] = HOLE
    second[0, :lead] = HOLE
    bank.conceal(first, rows, np.concatenate([second, frames[8:9]], axis=1))
    bank.conceal(second, rows, frames[8:10].reshape(1, -1))
    heard = np.concatenate([first, second], axis=1)[0].astype(np.int32)
    meant = frames[6:8].reshape(-1)
    assert np.array_equal(heard[:lead], meant[:lead])
    assert energy(heard - meant) < 0.15 * energy(meant)
    assert np.array_equal(heard[lead + FRAME + FADE :], meant[lead + FRAME + FADE :])


def test_a_line_goes_straight_to_what_follows_or_to_zero() -> None:
    line = Linear(8000)
    past = np.full((1, 4 * FRAME), 1600, np.float32)
    falls = line.extend(past, np.array([0]), FRAME)
    assert np.allclose(np.diff(falls[0]), -10)
    future = np.full((1, 2 * FRAME), HOLE, np.float32)
    future[:, FRAME:] = -1600
    crosses = line.extend(past, np.array([0]), FRAME + 1, future)
    assert crosses[0, -1] == -1600
    assert np.allclose(np.diff(crosses[0]), -3200 / (FRAME + 1), atol=0.1)


def test_spectral_noise_is_as_loud_as_what_it_stands_for_and_fades() -> None:
    frames = tone(8, 200.0)
    heard = run(frames, {4, 5, 6}, "spectral")
    assert energy(heard[4]) == pytest.approx(energy(frames[3]) * 0.73, rel=0.25)
    assert energy(heard[5]) < 0.7 * energy(heard[4])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rate_hz", [8000, 16000, 48000])
def test_a_long_loss_ends_in_silence_and_clipped_audio_in_range(method: str, rate_hz: int) -> None:
    bank = ConcealmentBank(rate_hz, method)
    rows = np.array([bank.open()])
    frame = rate_hz // 50
    square = np.where(np.arange(frame) // 40 % 2, 32767, -32767).astype(np.int16)[np.newaxis]
    for _ in range(8):
        bank.update(square.copy(), rows)
    for _ in range(500):
        block = np.full((1, frame), HOLE, np.int16)
        bank.conceal(block, rows)
        assert block.min() > HOLE
    assert np.abs(block).max() <= 1
