import numpy as np
import pytest

from trunkline.media.echo_alignment import EchoAlignment
from trunkline.media.echo_delay import DelayTracker
from trunkline.media.echo_reference import Reference
from trunkline.media.echo_residual import ResidualSuppressor
from trunkline.media.echo_state import select, selection, store

from .echo_calls import FRAME, speechlike


@pytest.mark.parametrize("lag", [0, 1, 7, 25])
def test_the_delay_tracker_finds_the_lag_in_a_second_and_a_half(lag):
    far = speechlike(np.random.default_rng(lag), 1.5)
    near = np.concatenate([np.zeros(lag * FRAME, np.float32), 0.3 * far])[: len(far)]
    tracker = DelayTracker(8000, FRAME, 28)
    state = tracker.state(1)
    for at in range(0, len(far), FRAME):
        part = slice(at, at + FRAME)
        clear = tracker.update(state, far[None, part], near[None, part])
    assert clear[0] and abs(int(state.candidate[0]) - lag) <= 1


def test_silence_gives_no_delay():
    tracker = DelayTracker(8000, FRAME, 28)
    state = tracker.state(1)
    silent = np.zeros((1, FRAME), np.float32)
    assert not any(tracker.update(state, silent, silent)[0] for _ in range(200))


@pytest.mark.parametrize("delay", [0, 8, 100, 160, 1000.25, 2500.5])
def test_the_reference_is_read_late_by_any_part_of_a_sample(delay):
    reference = Reference(FRAME, 24)
    state = reference.state(1)
    state.delay[:] = delay
    at = np.arange(40 * FRAME)
    tone = np.sin(0.7 * at).astype(np.float32)
    out = []
    for begin in range(0, len(tone), FRAME):
        reference.push(state, tone[None, begin : begin + FRAME])
        out.append(reference.read(state)[0])
    expected = np.sin(0.7 * (at - delay))
    settled = slice(20 * FRAME, None)
    np.testing.assert_allclose(np.concatenate(out)[settled], expected[settled], atol=0.01)


def test_an_earlier_frame_is_what_was_read_then():
    reference = Reference(FRAME, 24)
    state = reference.state(2)
    state.delay[:] = (200.5, 320)
    rng = np.random.default_rng(1)
    read = []
    for _ in range(20):
        reference.push(state, rng.standard_normal((2, FRAME)).astype(np.float32))
        read.append(reference.read(state).copy())
    for back in range(4):
        np.testing.assert_array_equal(reference.read(state, back), read[-1 - back])


def test_without_echo_the_suppressor_only_delays():
    suppressor = ResidualSuppressor(FRAME)
    state = suppressor.state(1)
    audio = speechlike(np.random.default_rng(2), 1.0)[None]
    none = np.zeros((1, FRAME), np.float32)
    expected = np.zeros((1, FRAME + 1), np.float32)
    leak = np.zeros(1, np.float32), np.ones(1, np.float32)
    out = [
        suppressor.process(state, audio[:, at : at + FRAME], none, expected, leak)
        for at in range(0, 8000, FRAME)
    ]
    np.testing.assert_allclose(np.concatenate(out, 1)[:, 80:], audio[:, :-80], atol=1e-5)


def test_rows_side_by_side_are_used_in_place_and_others_written_back():
    state = DelayTracker(8000, FRAME, 5).state(6)
    assert selection(np.array([2, 3, 4])) == slice(2, 5)
    for rows in (np.array([2, 3]), np.array([5, 1])):
        chosen = selection(rows)
        part = select(state, chosen)
        part.steady += 1
        store(state, chosen, part)
    assert state.steady.tolist() == [0, 1, 1, 1, 0, 1]


def test_an_alignment_grows_and_moves_only_the_row_with_the_echo():
    alignment = EchoAlignment(8000, capacity=1)
    for row in range(3):
        alignment.reset(row)
    rng = np.random.default_rng(3)
    far = np.stack([speechlike(rng, 4.0) for _ in range(3)])
    near = np.zeros_like(far)
    near[1, 2400:] = 0.5 * far[1, :-2400]
    for at in range(0, far.shape[1], FRAME):
        part = slice(at, at + FRAME)
        alignment.process(far[:, part], near[:, part], np.arange(3))
    assert [alignment.delay_ms(row) for row in (0, 2)] == [0, 0]
    assert 240 <= alignment.delay_ms(1) <= 280


def test_a_pause_of_the_far_end_says_nothing_of_the_delay():
    tracker = DelayTracker(8000, FRAME, 28)
    state = tracker.state(1)
    rng = np.random.default_rng(5)
    quiet = (0.0005 * rng.standard_normal((300, 1, FRAME))).astype(np.float32)
    loud = np.stack([speechlike(rng, 0.02)[None] for _ in range(300)])
    for far, near in zip(quiet, loud, strict=True):
        tracker.update(state, far, near)
    assert (state.cost == state.cost[0, 0]).all()


def test_a_search_that_rested_finds_a_delay_that_has_changed_meanwhile():
    rng = np.random.default_rng(7)
    far = np.repeat(speechlike(rng, 6.0)[None], 2, axis=0)
    near = np.zeros_like(far)
    near[:, :16000], near[:, 17120:] = far[:, :16000], far[:, 16000:-1120]
    tracker, reference = DelayTracker(8000, FRAME, 28), Reference(FRAME, 43)
    state, sent = tracker.state(2), reference.state(2)
    found = []
    for number, at in enumerate(range(0, far.shape[1], FRAME)):
        part = slice(at, at + FRAME)
        reference.push(sent, far[:, part])
        wanted = np.array([True, not 40 <= number < 130])
        clear = tracker.search(state, reference, sent, near[:, part], wanted)
        assert not (clear & ~wanted).any()
        found.append(clear & (np.abs(state.candidate - 7) <= 1))
    first = np.argmax(found, axis=0)
    assert 107 < first[0] <= 230
    assert 130 < first[1] <= first[0] + 40


def test_bits_that_are_recalled_are_those_that_would_have_been_heard():
    rng = np.random.default_rng(8)
    far = speechlike(rng, 3.0)[None]
    tracker, reference = DelayTracker(8000, FRAME, 28), Reference(FRAME, 43)
    awake, rested, sent = tracker.state(1), tracker.state(1), reference.state(1)
    always, silent = np.ones(1, np.bool_), np.zeros((1, FRAME), np.float32)
    for number, at in enumerate(range(0, far.shape[1], FRAME)):
        reference.push(sent, far[:, at : at + FRAME])
        tracker.search(awake, reference, sent, silent, always)
        tracker.search(rested, reference, sent, silent, always & (not 60 <= number < 149))
    same = np.bitwise_xor(awake.bits, rested.bits).astype(np.uint32).view(np.uint8)
    differing = np.unpackbits(same).sum() / awake.bits.size
    # Only the bands' means are others: they forget in 20 frames.
    assert differing < 4
    assert awake.bits[0, 0] == rested.bits[0, 0]


def test_rows_whose_search_rests_change_nothing_and_nobody():
    rng = np.random.default_rng(9)
    far, near = (0.1 * rng.standard_normal((2, 60, 3, FRAME))).astype(np.float32)
    tracker, reference = DelayTracker(8000, FRAME, 28), Reference(FRAME, 43)
    three, sent = tracker.state(3), reference.state(3)
    alone, own = tracker.state(1), reference.state(1)
    for number in range(60):
        reference.push(sent, far[number])
        reference.push(own, far[number, 1:2])
        wanted = np.array([number % 2 == 0, True, number > 30])
        tracker.search(three, reference, sent, near[number], wanted)
        tracker.search(alone, reference, own, near[number, 1:2], wanted[1:2])
        if number == 30:
            assert (three.cost[2] == tracker.state(1).cost[0]).all()
    for name in ("bits", "cost", "far_mean", "near_mean", "candidate", "steady"):
        assert getattr(three, name)[1].tobytes() == getattr(alone, name)[0].tobytes()


@pytest.mark.parametrize(("least", "most"), [(0.5, 1.5), (0.0, 0.01)])
def test_the_leak_stays_between_its_bounds(least, most):
    suppressor = ResidualSuppressor(FRAME)
    state = suppressor.state(1)
    rng = np.random.default_rng(6)
    bounds = np.array([least], np.float32), np.array([most], np.float32)
    expected = np.zeros((1, FRAME + 1), np.float32)
    for _ in range(100):
        echo = speechlike(rng, 0.02)[None]
        suppressor.process(state, 0.5 * echo, echo, expected, bounds)
        assert max(least, 0.005) - 1e-6 <= state.leak[0] <= max(2 * most, least) + 1e-6
