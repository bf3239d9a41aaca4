import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.errors import UsageError
from trunkline.media.echo_bank import KalmanEcho

from .echo_calls import FRAME, echo_of, erle_db, run, speechlike


def call(seed, seconds=6.0, **how):
    rng = np.random.default_rng(seed)
    far = speechlike(rng, seconds, how.get("rate_hz", 8000))
    return echo_of(rng, far, **how)[np.newaxis], far[np.newaxis]


@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_an_echo_is_gone_after_two_seconds(rate_hz):
    near, far = call(1, 5.0, rate_hz=rate_hz)
    out = run(KalmanEcho(rate_hz), near, far)
    assert erle_db(near, out, 2, 5, rate_hz) > 20


@pytest.mark.parametrize("delay_ms", [0, 120, 300, 480])
def test_an_echo_is_found_however_late_it_is(delay_ms):
    near, far = call(2, 8.0, delay_ms=delay_ms)
    out = run(KalmanEcho(8000), near, far)
    assert erle_db(near, out, 5, 8) > 20


def test_the_delay_that_was_found_is_told():
    near, far = call(2, 5.0, delay_ms=300)
    bank = KalmanEcho(8000)
    rows = np.array([bank.open()])
    run(bank, near, far, rows)
    assert 200 <= bank.delay_ms(0) <= 300
    assert bank.erle_db(0) > 10


@pytest.mark.parametrize("drift_ppm", [-80, 60])
def test_clocks_that_differ_are_measured(drift_ppm):
    near, far = call(3, 16.0, drift_ppm=drift_ppm)
    bank = KalmanEcho(8000)
    rows = np.array([bank.open()])
    out = run(bank, near, far, rows)
    assert bank.drift_ppm(0) == pytest.approx(drift_ppm, abs=25)
    assert erle_db(near, out, 12, 16) > 20


def test_near_end_speech_passes_and_does_not_spoil_the_filter():
    near, far = call(4, 9.0)
    speech = np.zeros_like(near)
    speech[0, 4 * 8000 : 7 * 8000] = speechlike(np.random.default_rng(99), 3.0)
    bank = KalmanEcho(8000)
    out = run(bank, near + speech, far)
    delay = bank.delay_samples
    both = np.corrcoef(speech[0, 4 * 8000 : 7 * 8000], out[0, 4 * 8000 + delay : 7 * 8000 + delay])
    assert both[0, 1] > 0.95
    assert erle_db(near, out, 7.5, 9) > 20


def test_another_room_is_learnt_within_three_seconds():
    rng = np.random.default_rng(5)
    far = speechlike(rng, 10.0)
    before, after = echo_of(rng, far), echo_of(rng, far, delay_ms=70)
    near = np.concatenate([before[: 5 * 8000], after[5 * 8000 :]])[np.newaxis]
    out = run(KalmanEcho(8000), near, far[np.newaxis])
    assert erle_db(near, out, 8, 10) > 20


def test_a_silent_far_end_leaves_speech_as_it_is_but_10_ms_later():
    speech = speechlike(np.random.default_rng(6), 2.0)[np.newaxis]
    bank = KalmanEcho(8000)
    out = run(bank, speech, np.zeros_like(speech))
    assert bank.delay_samples == 80
    np.testing.assert_allclose(out[:, 80:], speech[:, :-80], atol=1e-4)


def test_without_suppression_nothing_is_delayed_and_silence_far_changes_no_bit():
    speech = speechlike(np.random.default_rng(6), 1.0)[np.newaxis]
    bank = KalmanEcho(8000, suppress=False)
    assert bank.delay_samples == 0
    assert run(bank, speech, np.zeros_like(speech)).tobytes() == speech.tobytes()


def test_nothing_is_learnt_from_concealed_frames():
    near, far = call(7, 3.0)
    bank = KalmanEcho(8000, suppress=False)
    out = run(bank, near, far, frozen=lambda number: np.array([True]))
    assert out.tobytes() == near.tobytes()


def test_concealed_frames_in_between_do_not_hurt():
    near, far = call(7, 6.0)
    rng = np.random.default_rng(1)
    lost = rng.random(300) < 0.1
    for number in np.flatnonzero(lost):
        near[0, number * FRAME : (number + 1) * FRAME] = 0.1 * rng.standard_normal(FRAME)
    out = run(KalmanEcho(8000, suppress=False), near, far, frozen=lambda at: lost[at : at + 1])
    good = np.repeat(~lost, FRAME)
    good[: 3 * 8000] = False
    assert erle_db(near[:, good], out[:, good], 0, 9) > 15


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 9), st.data())
def test_a_row_is_bit_for_bit_what_it_is_alone(seed, count, data):
    """Neighbours, order, shards and places in memory change nothing."""
    rng = np.random.default_rng(seed)
    far = np.stack([speechlike(rng, 0.6) for _ in range(count)])
    near = np.stack([echo_of(rng, one) for one in far])
    bank = KalmanEcho(8000, capacity=2)
    rows = np.array([bank.open() for _ in range(count)])
    order = np.array(data.draw(st.permutations(range(count))))
    together = run(bank, near[order], far[order], rows[order])
    one = data.draw(st.integers(0, count - 1))
    alone = run(KalmanEcho(8000), near[order[one : one + 1]], far[order[one : one + 1]])
    assert together[one].tobytes() == alone[0].tobytes()


def test_a_batch_over_several_shards_is_bit_for_bit_one_at_a_time():
    rng = np.random.default_rng(8)
    far = np.stack([speechlike(rng, 0.3) for _ in range(150)])
    near = np.stack([echo_of(rng, one) for one in far])
    together = run(KalmanEcho(8000), near, far)
    for index in (0, 63, 64, 74, 75, 149):
        alone = run(KalmanEcho(8000), near[index : index + 1], far[index : index + 1])
        assert together[index].tobytes() == alone[0].tobytes()


def test_rows_that_come_in_turns_are_as_they_would_be_alone():
    """Two groups, interleaved by number, so that rows are moved together on the way."""
    rng = np.random.default_rng(9)
    far = np.stack([speechlike(rng, 3.0) for _ in range(6)])
    near = np.stack([echo_of(rng, one) for one in far])
    bank = KalmanEcho(8000)
    rows = np.array([bank.open() for _ in range(6)])
    out = np.empty_like(near)
    for at in range(0, near.shape[1], FRAME):
        part = slice(at, at + FRAME)
        for group in (rows[::2], rows[1::2]):
            out[group, part] = bank.process(near[group, part], far[group, part], group)
    for row in rows:
        alone = run(KalmanEcho(8000), near[row : row + 1], far[row : row + 1])
        assert out[row].tobytes() == alone[0].tobytes()


@pytest.mark.parametrize("garbage", [np.nan, np.inf, -np.inf, 3e38, 1e20])
@pytest.mark.parametrize("side", ["near", "far"])
def test_garbage_is_silence_is_counted_and_harms_no_neighbour(garbage, side):
    near, far = call(10, 2.0)
    near2, far2 = call(11, 2.0)
    clean = run(KalmanEcho(8000), near, far)
    bad_near, bad_far = near2.copy(), far2.copy()
    (bad_near if side == "near" else bad_far)[0, 4000:4100] = garbage
    bank = KalmanEcho(8000)
    rows = np.array([bank.open(), bank.open()])
    out = run(bank, np.vstack([near, bad_near]), np.vstack([far, bad_far]), rows)
    assert out[0].tobytes() == clean[0].tobytes()
    assert np.isfinite(out).all()
    assert bank.faults[:2].tolist() == [0, 1]


@pytest.mark.parametrize("level", [0.0, 1e-38, 1e-20, 1.0, 500.0])
def test_any_level_gives_audio(level):
    rng = np.random.default_rng(12)
    far = (level * np.sign(rng.standard_normal((1, 8000)))).astype(np.float32)
    out = run(KalmanEcho(8000), np.roll(far, 400), far)
    assert np.isfinite(out).all()
    assert np.abs(out).max() <= 4 * level + 1e-6


def test_ten_seconds_of_nothing_do_not_unlearn():
    near, far = call(13, 16.0)
    near[:, 4 * 8000 : 14 * 8000] = 0
    far[:, 4 * 8000 : 14 * 8000] = 0
    out = run(KalmanEcho(8000), near, far)
    assert erle_db(near, out, 14.2, 16) > 15


def test_a_reset_row_is_as_new():
    near, far = call(14, 1.0)
    bank = KalmanEcho(8000)
    rows = np.array([bank.open()])
    first = run(bank, near, far, rows)
    bank.reset(0)
    assert run(bank, near, far, rows).tobytes() == first.tobytes()
    bank.close(0)
    assert bank.open() == 0
    assert run(bank, near, far, rows).tobytes() == first.tobytes()


def test_misuse_is_refused():
    with pytest.raises(UsageError, match="8000 or 16000"):
        KalmanEcho(48000)
    bank = KalmanEcho(8000)
    rows = np.array([bank.open()])
    good = np.zeros((1, FRAME), np.float32)
    for near, far, frozen in (
        (good[:, :80], good, None),
        (good, good[:, :80], None),
        (good.astype(np.float64), good, None),
        (good, good, np.zeros(2, bool)),
        (good, good, np.zeros(1)),
    ):
        with pytest.raises(UsageError):
            bank.process(near, far, rows, frozen)
    for wrong in (np.array([1]), np.array([-1])):
        with pytest.raises(UsageError):
            bank.process(good, good, wrong)
    for method in (bank.reset, bank.close, bank.delay_ms, bank.drift_ppm, bank.erle_db):
        with pytest.raises(UsageError):
            method(5)


def test_a_longer_filter_reaches_further_into_a_room():
    def left(tail_ms):
        rng = np.random.default_rng(3)
        far = speechlike(rng, 5.0)
        # A second wave 240 ms after the first: the delay that is found is the first one's.
        near = echo_of(rng, far) + echo_of(rng, far, delay_ms=280, gain=0.3)
        bank = KalmanEcho(8000, suppress=False, tail_ms=tail_ms)
        return erle_db(near, run(bank, near[np.newaxis], far[np.newaxis])[0], 3, 5)

    assert left(400) > left(200) + 6


@pytest.mark.parametrize("tail_ms", [0, 19, 501])
def test_a_filter_without_a_length_or_without_end_is_refused(tail_ms):
    with pytest.raises(UsageError, match="20 to 500 ms"):
        KalmanEcho(8000, tail_ms=tail_ms)


def test_after_a_stall_references_are_moved_a_few_a_call_and_all_in_the_end() -> None:
    bank = KalmanEcho(8000, 64)
    rows = np.array([bank.open() for _ in range(20)])
    near, far = (np.zeros((20, FRAME), np.float32) for _ in range(2))
    bank.process(near, far, rows, shift=np.full(20, 40, np.int64))
    moved = [bank.delay_ms(row) for row in rows.tolist()]
    assert moved.count(5.0) == 8
    bank.process(near, far, rows, shift=np.full(20, 8, np.int64))
    for _ in range(3):
        bank.process(near, far, rows)
    assert [bank.delay_ms(row) for row in rows.tolist()] == [6.0] * 20


def test_a_row_that_begins_anew_forgets_the_moves_that_wait() -> None:
    bank = KalmanEcho(8000, 64)
    rows = np.array([bank.open() for _ in range(20)])
    near, far = (np.zeros((20, FRAME), np.float32) for _ in range(2))
    bank.process(near, far, rows, shift=np.full(20, 40, np.int64))
    bank.reset(19)
    for _ in range(3):
        bank.process(near, far, rows)
    assert [bank.delay_ms(row) for row in rows.tolist()] == [5.0] * 19 + [0.0]
