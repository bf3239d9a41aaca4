"""The first seconds of a call: what may be an echo is turned down, who speaks up is heard."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trunkline.media.echo_guard import EchoGuard
from trunkline.media.rows import Rows

FRAME = 160
Pcm = NDArray[np.int16]


class Guarded:
    def __init__(self, count: int = 1) -> None:
        opened = Rows(2)
        self.guard = EchoGuard(2)
        self.rows = np.array([opened.open() for _ in range(count)], np.intp)
        for row in self.rows.tolist():
            self.guard.open(row, opened)

    def run(self, near: Pcm, far: Pcm, out: Pcm | None = None) -> Pcm:
        """One frame of one row, of which the chain made ``out``."""
        chain = (near if out is None else out)[np.newaxis]
        people, recogniser = self.guard.process(
            near[np.newaxis], far[np.newaxis], self.rows, chain, chain
        )
        assert people is recogniser or np.array_equal(people, recogniser)
        return people[0]


def tone(level: float, seed: int = 1) -> Pcm:
    return (np.random.default_rng(seed).normal(size=FRAME) * level).astype(np.int16)


FAR = tone(4000)
ECHO = tone(1000)
LOUD = tone(3000)
NOTHING = np.zeros(FRAME, np.int16)


def power_db(pcm: Pcm) -> float:
    return float(10 * np.log10(np.mean(pcm.astype(float) ** 2) + 1e-3))


def test_what_is_quieter_than_what_was_sent_is_turned_down() -> None:
    call = Guarded()
    call.run(NOTHING, FAR)
    outs = [call.run(ECHO, FAR) for _ in range(20)]
    assert max(power_db(out) for out in outs) < power_db(ECHO) - 30


def test_whoever_speaks_up_is_heard_between_syllables_too() -> None:
    call = Guarded()
    for _ in range(20):
        call.run(ECHO, FAR)
    outs = [call.run(LOUD, FAR) for _ in range(2)]
    assert np.array_equal(outs[1], LOUD)
    assert np.array_equal(call.run(ECHO, FAR), ECHO)


def test_nothing_is_turned_down_while_nothing_is_sent() -> None:
    call = Guarded()
    for _ in range(300):
        assert np.array_equal(call.run(ECHO, NOTHING), ECHO)
    assert call.guard.guarded[call.rows].all()


def test_the_echo_of_what_has_just_been_sent_counts_as_sent() -> None:
    call = Guarded()
    call.run(NOTHING, FAR)
    for _ in range(20):  # it may be 400 ms late
        out = call.run(ECHO, NOTHING)
    assert power_db(out) < power_db(ECHO) - 30


def test_a_line_without_echo_is_left_alone_after_a_second() -> None:
    call = Guarded()
    for _ in range(51):
        call.run(tone(3), FAR)
    assert not call.guard.guarded[call.rows].any()
    assert np.array_equal(call.run(ECHO, FAR), ECHO)


def test_a_canceller_that_has_proven_itself_is_left_alone() -> None:
    call = Guarded()
    frames = 0
    while call.guard.guarded[call.rows].any():
        call.run(ECHO, FAR, tone(50))
        frames += 1
    assert 100 <= frames < 140
    assert np.array_equal(call.run(ECHO, FAR), ECHO)


def test_a_first_syllable_that_is_suppressed_proves_nothing() -> None:
    call = Guarded()
    for _ in range(90):
        call.run(ECHO, FAR, NOTHING)
    assert call.guard.guarded[call.rows].all()
    for _ in range(40):
        call.run(ECHO, FAR, ECHO)
    assert call.guard.guarded[call.rows].all()


def test_an_echo_that_is_never_learnt_is_guarded_for_five_seconds() -> None:
    call = Guarded()
    for _ in range(249):
        call.run(ECHO, FAR)
    assert call.guard.guarded[call.rows].all()
    call.run(ECHO, FAR)
    assert not call.guard.guarded[call.rows].any()


def test_a_change_of_gain_is_a_ramp() -> None:
    call = Guarded()
    steady = np.full(FRAME, 1000, np.int16)
    outs = [call.run(NOTHING, FAR), *(call.run(steady, FAR) for _ in range(4))]
    outs += [call.run(np.full(FRAME, 8000, np.int16), FAR)]
    for _ in range(40):
        outs.append(call.run(steady, NOTHING))
    jumps = np.abs(np.diff(np.concatenate(outs[:5]).astype(int)))
    assert jumps.max() <= 20


def test_a_row_opened_again_is_guarded_again_and_others_are_not_touched() -> None:
    opened = Rows(1)
    guard = EchoGuard(1)
    rows = np.array([opened.open() for _ in range(3)], np.intp)  # it grows
    for row in rows.tolist():
        guard.open(row, opened)
    near = np.stack([ECHO, LOUD, ECHO])
    far = np.stack([FAR, FAR, NOTHING])
    for _ in range(30):
        people, recogniser = guard.process(near, far, rows, near, near.copy())
    assert np.array_equal(people[1:], near[1:])
    assert np.array_equal(people, recogniser)
    assert power_db(people[0]) < power_db(ECHO) - 30
    for _ in range(300):
        guard.process(near, far, rows, near, near)
    assert not guard.guarded[rows[0]]
    opened.close(int(rows[0]))
    again = opened.open()
    guard.open(again, opened)
    assert guard.guarded[again]


@pytest.mark.parametrize("near", [np.full(FRAME, -32768, np.int16), NOTHING])
@pytest.mark.parametrize("far", [np.full(FRAME, 32767, np.int16), NOTHING])
def test_extremes_are_audio_too(near: Any, far: Any) -> None:
    call = Guarded()
    for _ in range(300):
        out = call.run(near, far)
        assert np.abs(out.astype(int)).max() <= np.abs(near.astype(int)).max()
