import numpy as np
import pytest

from trunkline.media.echo_bank import KalmanEcho
from trunkline.media.echo_delay import DelayTracker
from trunkline.media.echo_watch import Watch

from .echo_calls import FRAME, echo_of, erle_db, run, speechlike


@pytest.fixture
def begun_anew(monkeypatch):
    """Rows whose filter was begun anew because its echo was gone."""
    rows = []
    begin = Watch._begin_anew

    def note(self, state, path, row):
        rows.append(row)
        begin(self, state, path, row)

    monkeypatch.setattr(Watch, "_begin_anew", note)
    return rows


def talk(seed, seconds=9.0, near_gain=1.0):
    """A far end, its echo, and a near end that talks from 5 to 8 s."""
    rng = np.random.default_rng(seed)
    far = speechlike(rng, seconds)
    near = np.zeros_like(far)
    near[40000:64000] = near_gain * speechlike(rng, seconds)[40000:64000]
    return far, near, echo_of(rng, far)


def test_double_talk_is_not_taken_for_another_room(begun_anew):
    calls = [talk(seed, near_gain=gain) for seed in range(3) for gain in (0.3, 1.0, 4.0)]
    far = np.stack([call[0] for call in calls])
    heard = np.stack([call[1] + call[2] for call in calls])
    run(KalmanEcho(8000, 9), heard, far)
    assert not begun_anew


def test_double_talk_does_not_spoil_the_filter():
    far, near, echo = talk(1)
    out = run(KalmanEcho(8000, 6, suppress=False), (near + echo)[None], far[None])
    rest = out[0] - near
    assert erle_db(echo, rest, 5.5, 8) > 20
    assert erle_db(echo, rest, 8.2, 9) > 20


def test_another_room_is_noticed_and_learnt_within_a_second_and_a_half(begun_anew):
    rng = np.random.default_rng(75)
    far = np.stack([speechlike(rng, 7.0) for _ in range(3)])
    before = np.stack([echo_of(rng, one, 40) for one in far])
    after = np.stack([echo_of(rng, one, at) for one, at in zip(far, (60, 75, 95), strict=True)])
    heard = np.concatenate([before[:, :32000], after[:, 32000:]], axis=1)
    out = run(KalmanEcho(8000, 3), heard, far)[:, 80:]
    assert sorted(begun_anew) == [0, 1, 2]
    for came, left in zip(heard[:, :-80], out, strict=True):
        assert erle_db(came, left, 5.5, 6.9) > 20


def test_a_room_that_changes_in_double_talk_is_learnt_after_it():
    rng = np.random.default_rng(5)
    far, near, before = talk(5, 12.0)
    after = echo_of(rng, far, 70)
    heard = near + np.concatenate([before[:52000], after[52000:]])
    out = run(KalmanEcho(8000, 6), heard[None], far[None])[0, 80:]
    assert erle_db(heard[:-80], out, 10, 11.9) > 20


def test_a_prediction_that_is_wrong_never_makes_a_frame_four_times_as_loud():
    rng = np.random.default_rng(6)
    far = speechlike(rng, 7.0)
    before, after = echo_of(rng, far, 40), echo_of(rng, far, 130, gain=0.05)
    heard = np.concatenate([before[:48000], after[48000:]])
    out = run(KalmanEcho(8000, 6, suppress=False), heard[None], far[None])[0]
    frames = slice(48000, 56000)
    came = (heard[frames].reshape(-1, FRAME) ** 2).sum(1)
    left = (out[frames].reshape(-1, FRAME) ** 2).sum(1)
    assert (left <= 4.01 * came).all()


def test_an_echo_that_comes_at_once_is_not_waited_for():
    rng = np.random.default_rng(8)
    delays = (0, 3, 8, 15)
    far = np.stack([speechlike(rng, 6.0) for _ in delays])
    heard = np.stack([echo_of(rng, one, at) for one, at in zip(far, delays, strict=True)])
    bank = KalmanEcho(8000, 4)
    rows = np.array([bank.open() for _ in delays])
    out = run(bank, heard, far, rows)[:, 80:]
    for row, delay_ms in enumerate(delays):
        assert bank.delay_ms(row) <= delay_ms + 1
        assert erle_db(heard[row, :-80], out[row], 4, 5.9) > 20


def test_a_delay_that_was_found_stays_while_the_near_end_talks():
    far, near, _ = talk(9, near_gain=3.0)
    echo = echo_of(np.random.default_rng(9), far, 200, gain=0.2)
    bank = KalmanEcho(8000, 6)
    row = bank.open()
    run(bank, (near + echo)[None, :39840], far[None, :39840], np.array([row]))
    before = bank.delay_ms(row)
    run(bank, (near + echo)[None, 39840:], far[None, 39840:], np.array([row]))
    assert bank.delay_ms(row) == pytest.approx(before, abs=1)


def test_the_level_stays_that_of_the_room_while_only_echo_is_suppressed():
    rng = np.random.default_rng(7)
    far = speechlike(rng, 10.0)
    room = (0.001 * rng.standard_normal(len(far))).astype(np.float32)
    out = run(KalmanEcho(8000, 6), (echo_of(rng, far) + room)[None], far[None])[0]
    levels = 10 * np.log10((out[64000:].reshape(-1, FRAME) ** 2).mean(1))
    levels -= 10 * np.log10((room**2).mean())
    assert np.percentile(levels, 5) > -6
    assert np.percentile(levels, 95) < 6


def test_the_first_40_ms_of_a_word_in_double_talk_are_heard():
    far, near, echo = talk(11, 6.0)
    out = run(KalmanEcho(8000, 6), (near + echo)[None], far[None])[0, 80:]
    first = int(np.flatnonzero(near)[0])
    word = slice(first, first + 320)
    heard = float((near[word] * out[word]).sum() / (near[word] ** 2).sum())
    assert 20 * np.log10(heard) > -4


def test_the_delay_is_not_searched_where_the_filter_is_at_its_work(monkeypatch):
    rng = np.random.default_rng(12)
    far = np.stack([speechlike(rng, 4.0) for _ in range(2)])
    near = np.stack([echo_of(rng, far[0], 60), speechlike(rng, 4.0)])  # the second has no echo
    searched = []
    search = DelayTracker.search

    def note(self, state, reference, sent, heard, wanted):
        searched.append(wanted.tolist())
        return search(self, state, reference, sent, heard, wanted)

    monkeypatch.setattr(DelayTracker, "search", note)
    run(KalmanEcho(8000, 2), near, far)
    assert all(searched[0])
    assert all(second for _, second in searched)
    assert np.mean([first for first, _ in searched[100:]]) < 0.2


def test_both_who_talk_at_once_from_the_first_second_are_heard():
    rng = np.random.default_rng(13)
    far, near = speechlike(rng, 6.0), speechlike(rng, 6.0)
    echo = echo_of(rng, far, 350, gain=0.25)
    out = run(KalmanEcho(8000, 6), (near + echo)[None], far[None])[0, 80:]
    for begin in range(0, 40000, 8000):
        part = slice(begin, begin + 8000)
        heard = (near[part] * out[part]).sum() / (near[part] ** 2).sum()
        assert 20 * np.log10(heard) > -3
