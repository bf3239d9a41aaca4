"""What a canceller decides about itself, frame by frame: delay, trial, drift.

The filter alone neither finds an echo that is later than its tail nor knows that a room
has changed. `Watch` moves the reference when the delay tracker is sure and the filter is
not doing well, puts a failing filter on trial, and turns the slow rotation of a filter's
phase into the drift of two clocks.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .echo_delay import DelayState, DelayTracker
from .echo_kalman import FilterState, KalmanFilter
from .echo_reference import Reference, ReferenceState
from .echo_state import select

__all__ = ["Watch", "WatchState"]

_GUARD_FRAMES = 2  # the reference is read so much before the delay that was found
_COVERED_FRAMES = 5  # a direct path so late leaves half of the tail for the room
_ROOM_SAMPLES = 16.0
_LOCK_FRAMES, _MOVE_FRAMES = 8, 40  # a minimum must be as steady, at first and later
_ENERGY_SHARE = np.float32(0.1)
_FAR_ACTIVE = np.float32(1e-6)  # mean power of -60 dBov
_NEAR_ACTIVE = np.float32(10**-5.5)  # -55 dBov: what is quieter proves nothing
_FAILS = np.float32(0.35)  # less than 4.5 dB taken away
_POOR = np.float32(0.15)  # a tail that reaches the echo with its end gets to 10 dB
_WORKS, _TRUSTED = np.float32(0.1), np.float32(0.3)
_TRIAL_FRAMES, _REST_FRAMES, _DOUBT_FRAMES = 50, 25, 8
_USELESS = np.float32(0.8)
_BETTER = np.float32(0.75)
_DRIFT_FRAMES = 25  # between two looks at the filter's phase: 100 ppm are 0.4 samples
_DRIFT_LIMIT = 150e-6
# Boldly at first, then slowly: one look errs by 10 to 20 ppm, clocks hardly change.
_DRIFT_SHARE, _DRIFT_SHARE_LATER = 0.5, 0.08

_Floats = NDArray[np.float32]
_Flags = NDArray[np.bool_]


@dataclass(slots=True)
class WatchState:
    """What n rows think of themselves."""

    given: _Floats
    """(n,): mean power that came in, while the far end is heard."""
    left: _Floats
    """(n,): what the filter left of it."""
    kept_left: _Floats
    """(n,): what the path before the trial would have left."""
    locked: _Flags
    """(n,): whether the bulk delay has been found once."""
    doubt: NDArray[np.int32]
    """(n,): frames in which the filter failed."""
    trial: NDArray[np.int32]
    """(n,): frames left of a trial; negative while resting after one."""
    worked: _Flags
    """(n,): whether the filter has ever done well since the delay was found."""
    looks: NDArray[np.int32]
    """(n,): active frames since the last look for drift."""
    since: NDArray[np.int32]
    """(n,): all frames since then."""
    corrections: NDArray[np.int32]
    """(n,): how often the drift was corrected since the delay was found."""


class Watch:
    """Supervises the filters of many rows; holds no state itself."""

    def __init__(self, reference: Reference, delays: DelayTracker, kalman: KalmanFilter) -> None:
        self._reference, self._delays, self._kalman = reference, delays, kalman

    def state(self, rows: int) -> WatchState:
        """Nothing found yet."""
        return WatchState(
            given=np.zeros(rows, np.float32),
            left=np.zeros(rows, np.float32),
            kept_left=np.zeros(rows, np.float32),
            locked=np.zeros(rows, np.bool_),
            doubt=np.zeros(rows, np.int32),
            trial=np.zeros(rows, np.int32),
            worked=np.zeros(rows, np.bool_),
            looks=np.zeros(rows, np.int32),
            since=np.zeros(rows, np.int32),
            corrections=np.zeros(rows, np.int32),
        )

    def realign(
        self,
        state: WatchState,
        delay: DelayState,
        reference: ReferenceState,
        path: FilterState,
        clear: _Flags,
    ) -> None:
        """Move the reference of rows whose echo was found elsewhere; their filter forgets."""
        frame = self._reference.frame
        target = np.maximum(delay.candidate - _GUARD_FRAMES, 0)
        now = np.rint(reference.delay / frame).astype(np.int32)
        needed = np.where(state.locked, _MOVE_FRAMES, _LOCK_FRAMES)
        poor = ~state.locked | (state.left > _POOR * state.given)
        covered = (delay.candidate >= now) & (delay.candidate <= now + _COVERED_FRAMES)
        moves = clear & poor & (delay.steady >= needed) & ~covered & (target != now)
        for row in np.flatnonzero(moves):
            here = delay.cost[row, now[row] : now[row] + _GUARD_FRAMES + 3].min()
            if delay.cost[row].min() < here - (2 if state.locked[row] else 1):
                self._move(state, reference, path, int(row), int(target[row]) * frame)
        # An echo found where the reference begins may be before it, and is then never learnt.
        failing = ~state.worked & (state.doubt >= _MOVE_FRAMES) & (delay.steady >= _MOVE_FRAMES)
        for row in np.flatnonzero(clear & failing & (delay.candidate == now) & (target != now)):
            self._move(state, reference, path, int(row), int(target[row]) * frame)
        state.locked |= clear & (delay.steady >= _LOCK_FRAMES)
        # A fraction of a sample is read with half a millisecond to spare on both sides, and
        # a drift may go either way: away from zero while the echo leaves a frame for it.
        tight = state.locked & clear & (reference.delay < _ROOM_SAMPLES)
        for row in np.flatnonzero(tight & (delay.candidate >= _GUARD_FRAMES)):
            reference.delay[row] += frame
            self._kalman.advance(path, int(row), self._before(reference, int(row), 1))

    def follow(
        self,
        delay: DelayState,
        reference: ReferenceState,
        path: FilterState,
        row: int,
        shift: float,
    ) -> None:
        """A row's echo is later by so many samples from the next frame on; the path is as it was.

        Only the reference moves, in what the filter remembers of it too.
        """
        frame, last = self._reference.frame, delay.cost.shape[1] - 1
        before = round(float(reference.delay[row]) / frame)
        reference.delay[row] = min(max(float(reference.delay[row]) + shift, 0.0), last * frame)
        lags = round(float(reference.delay[row]) / frame) - before
        if lags:
            delay.cost[row] = np.roll(delay.cost[row], lags)
            delay.candidate[row] = min(max(int(delay.candidate[row]) + lags, 0), last)
        blocks = [self._before(reference, row, back) for back in range(self._kalman.partitions + 1)]
        self._kalman.retell(path, row, np.stack(blocks))

    def judge(
        self,
        state: WatchState,
        path: FilterState,
        far: _Floats,
        near: _Floats,
        echo: _Floats,
        frozen: _Flags,
    ) -> _Floats:
        """Follow how well the filter does; give the echo that is to be taken out."""
        power = (near * near).mean(1)
        heard = ((far * far).mean(1) > _FAR_ACTIVE) & (power > _NEAR_ACTIVE) & ~frozen
        share = _ENERGY_SHARE * heard
        left = near - echo
        state.given += share * (power - state.given)
        state.left += share * ((left * left).mean(1) - state.left)
        state.worked |= state.left < _WORKS * state.given
        trying = np.flatnonzero(state.trial > 0)
        if trying.size:
            echo = self._compare(state, path, trying, near, echo, share)
        self._doubts(state, path, heard)
        return echo

    def look_for_drift(
        self, state: WatchState, reference: ReferenceState, path: FilterState, far: _Floats
    ) -> None:
        """Compare phases with half a second ago, in rows that have heard enough."""
        state.looks += (far * far).mean(1) > _FAR_ACTIVE
        state.since += 1
        due = (state.since >= _DRIFT_FRAMES) & (state.trial <= 0)
        for row in np.flatnonzero(due):
            good = state.looks[row] >= _DRIFT_FRAMES // 2
            if good and state.left[row] < _TRUSTED * state.given[row]:
                self._correct(state, reference, path, int(row))
                state.corrections[row] += 1
            path.kept_re[row], path.kept_im[row] = path.h_re[row], path.h_im[row]
            state.looks[row] = state.since[row] = 0

    def _move(
        self,
        state: WatchState,
        reference: ReferenceState,
        path: FilterState,
        row: int,
        delay: int,
    ) -> None:
        reference.delay[row] = min(float(delay), self._reference.latest)
        blocks = [
            self._before(reference, row, back) for back in range(1, self._kalman.partitions + 2)
        ]
        self._kalman.forget(path, row, np.stack(blocks))
        state.trial[row] = -_REST_FRAMES
        state.doubt[row] = state.since[row] = state.looks[row] = 0
        state.worked[row] = False
        state.corrections[row] = 0
        state.given[row] = state.left[row] = 0

    def _before(self, reference: ReferenceState, row: int, back: int) -> _Floats:
        """One row's reference as it would have been ``back`` frames ago."""
        one = select(reference, slice(row, row + 1))
        block: _Floats = self._reference.read(one, back)[0]
        return block

    def _compare(
        self,
        state: WatchState,
        path: FilterState,
        rows: NDArray[np.intp],
        near: _Floats,
        echo: _Floats,
        share: _Floats,
    ) -> _Floats:
        """Hear the better of both paths in rows on trial; end the trials that are over."""
        before = self._kalman.predict_kept(path, rows)
        left = near[rows] - before
        mean = (left * left).mean(1)
        state.kept_left[rows] += share[rows] * (mean - state.kept_left[rows])
        # In double talk both leave about the same: only clearly less is better.
        worse = state.left[rows] > _BETTER * state.kept_left[rows]
        chosen = echo.copy()
        chosen[rows[worse]] = before[worse]
        for row in rows[state.trial[rows] == 1]:
            if state.left[row] > _BETTER * state.kept_left[row]:
                self._kalman.restore(path, int(row))
                state.left[row] = state.kept_left[row]
            path.kept_re[row], path.kept_im[row] = path.h_re[row], path.h_im[row]
            state.since[row] = state.looks[row] = 0
            state.trial[row] = -_REST_FRAMES - 1
        return chosen

    def _doubts(self, state: WatchState, path: FilterState, heard: _Flags) -> None:
        """Count failing frames; begin the trials that are due."""
        fails = heard & (state.left > _FAILS * state.given)
        state.doubt[:] = np.where(fails, state.doubt + 1, np.where(heard, 0, state.doubt))
        state.trial -= (state.trial > 0) & heard
        state.trial += state.trial < 0
        begins = state.worked & (state.trial == 0) & (state.doubt >= _DOUBT_FRAMES)
        for row in np.flatnonzero(begins):
            anew = bool(state.left[row] > _USELESS * state.given[row])
            self._kalman.distrust(path, int(row), anew=anew)
            state.trial[row] = _TRIAL_FRAMES
            state.doubt[row] = 0
            state.kept_left[row] = state.left[row]

    def _correct(
        self, state: WatchState, reference: ReferenceState, path: FilterState, row: int
    ) -> None:
        """Turn the phase between two states of a path into a delay that grows."""
        now = path.h_re[row] + 1j * path.h_im[row]
        then = path.kept_re[row] + 1j * path.kept_im[row]
        cross = (now * then.conj()).sum(0)
        size = np.abs(cross)
        total = np.sqrt((np.abs(now) ** 2).sum() * (np.abs(then) ** 2).sum())
        if not size.sum() > 0.3 * total:
            return  # too different for a drift: another room, or noise
        bins = np.arange(len(cross)) / (2 * self._reference.frame)
        turn = -np.angle(cross) / (2 * np.pi)
        later = float((size * bins * turn).sum() / ((size * bins * bins).sum() + 1e-20))
        rate = later / (state.since[row] * self._reference.frame)
        share = max(_DRIFT_SHARE_LATER, _DRIFT_SHARE / (1 + state.corrections[row] / 8))
        drift = reference.drift[row] + share * rate
        reference.drift[row] = min(max(drift, -_DRIFT_LIMIT), _DRIFT_LIMIT)
