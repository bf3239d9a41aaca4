"""Concealment for a single call."""

import numpy as np
import pytest

from trunkline.errors import UsageError
from trunkline.media.concealer import Concealer
from trunkline.media.concealment import CONTINUATIONS, ConcealmentBank
from trunkline.media.sample_ring import HOLE

FRAME = 160
VOICE = np.rint(8000 * np.sin(2 * np.pi * 200 * np.arange(10 * FRAME) / 8000)).astype(np.int16)
FRAMES = VOICE.reshape(-1, FRAME)


@pytest.mark.parametrize("method", sorted(CONTINUATIONS))
def test_it_does_what_a_bank_of_one_does(method: str) -> None:
    single, bank = Concealer(method=method), ConcealmentBank(8000, method)
    rows = np.array([bank.open()])
    for index, frame in enumerate(FRAMES[:8]):
        if index in (3, 6):
            block = np.full((1, FRAME), HOLE, np.int16)
            bank.conceal(block, rows, FRAMES[index + 1 : index + 2])
            heard = single.conceal(FRAMES[index + 1])
        else:
            block = frame[np.newaxis].copy()
            bank.update(block, rows)
            heard = single.update(frame)
        assert np.array_equal(heard, block[0])


def test_float_comes_back_as_float_of_full_scale_1() -> None:
    concealer = Concealer()
    audio = (FRAMES / np.float32(32768)).astype(np.float32)
    assert np.array_equal(concealer.update(audio[0]), audio[0])
    heard = concealer.conceal()
    assert heard.dtype == np.float32
    assert 0.1 < np.abs(heard).max() <= 1


def test_frames_of_another_length_are_padded_or_cut_and_counted() -> None:
    concealer = Concealer()
    assert len(concealer.update(VOICE[:100])) == FRAME
    assert len(concealer.update(VOICE[:400])) == FRAME
    assert len(concealer.update(VOICE[:0])) == FRAME
    statistics = concealer.statistics
    assert (statistics.padded, statistics.truncated) == (2, 1)


def test_what_is_not_a_number_is_silence_and_counted() -> None:
    concealer = Concealer()
    frame = np.full(FRAME, np.nan, np.float32)
    frame[5], frame[6] = np.inf, 0.5
    heard = concealer.update(frame)
    assert heard[6] == 0.5
    assert np.count_nonzero(heard) == 1
    assert concealer.statistics.faults == 1


def test_losses_are_counted_since_the_last_frame_received() -> None:
    concealer = Concealer()
    concealer.update(FRAMES[0])
    concealer.conceal()
    concealer.conceal(None, FRAMES[2])
    assert concealer.statistics.in_a_row == 2
    concealer.update(FRAMES[3])
    statistics = concealer.statistics
    assert (statistics.received, statistics.concealed, statistics.in_a_row) == (2, 2, 0)


def test_the_longest_loss_and_the_share_of_losses_are_told() -> None:
    concealer = Concealer()
    assert concealer.statistics.loss_rate == 0
    for lost in (False, True, True, True, False, True, False, False):
        if lost:
            concealer.conceal()
        else:
            concealer.update(FRAMES[0])
    assert concealer.statistics.most_in_a_row == 3
    assert concealer.statistics.loss_rate == 0.5


def test_what_is_ahead_is_looked_at_and_not_counted() -> None:
    concealer = Concealer()
    concealer.conceal(VOICE[:100], np.full(FRAME, np.nan, np.float32))
    statistics = concealer.statistics
    assert (statistics.padded, statistics.faults, statistics.received) == (0, 0, 0)


def test_before_any_frame_the_type_is_that_of_what_is_ahead() -> None:
    concealer = Concealer()
    assert concealer.conceal().dtype == np.int16
    assert concealer.conceal(np.zeros(FRAME, np.float64)).dtype == np.float64


def test_the_history_is_what_was_heard_last() -> None:
    concealer = Concealer()
    heard = [
        concealer.conceal() if n == 12 else concealer.update(FRAMES[n % 10]) for n in range(20)
    ]
    history = concealer.history
    assert history.size >= 4 * FRAME
    assert np.array_equal(history, np.concatenate(heard)[-history.size :])


@pytest.mark.parametrize("method", sorted(CONTINUATIONS))
def test_a_long_loss_fades_out(method: str) -> None:
    concealer = Concealer(method=method)
    for frame in FRAMES:
        concealer.update(frame)
    levels = [float(np.abs(concealer.conceal()).max()) for _ in range(12)]
    assert levels[-1] <= 0.1 * 8000
    assert levels[11] <= levels[2] + 1


def test_a_reset_concealer_has_silence_behind_it() -> None:
    concealer = Concealer()
    concealer.update(FRAMES[0])
    concealer.reset()
    assert not concealer.conceal().any()


def test_a_caller_s_frame_is_not_changed() -> None:
    concealer = Concealer()
    concealer.update(FRAMES[0])
    concealer.conceal()
    mine = FRAMES[1].copy()
    concealer.update(mine)
    assert np.array_equal(mine, FRAMES[1])


@pytest.mark.parametrize("audio", [np.zeros((2, FRAME), np.int16), np.zeros(FRAME, np.int32)])
def test_other_audio_is_refused(audio: np.ndarray) -> None:
    with pytest.raises(UsageError):
        Concealer().update(audio)


def test_an_unknown_method_or_rate_is_refused() -> None:
    with pytest.raises(UsageError, match="pitch"):
        Concealer(method="magic")
    with pytest.raises(UsageError):
        Concealer(11025)


def test_the_loudest_negative_sample_is_no_hole() -> None:
    concealer = Concealer(method="silence")
    concealer.update(np.full(FRAME, -32768, np.int16))
    heard = concealer.conceal(np.full(FRAME, -32768, np.int16))
    assert not heard.any()
