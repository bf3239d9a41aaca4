"""What a canceller decides about itself, frame by frame: delay, trial, drift.

The filter alone neither finds an echo that is later than its tail nor knows that a room
has changed. `Watch` moves the reference when the delay tracker is sure and the filter has
found no echo, and turns the slow rotation of a filter's phase into the drift of two clocks.

A filter that seems to fail has either another room or someone talking over the echo, and
the power that is left is the same. What differs is whether the echo that was predicted
before is in what comes in, so the path of half a second ago is kept and goes on predicting
beside the filter: while it correlates, the better of both is heard and the filter's is
forgotten if it was no better after a second; where it no longer does, the filter begins
anew, and the residual suppressor is told that what it leaves is no near end.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .echo_delay import DelayState, DelayTracker
from .echo_kalman import FilterState, KalmanFilter
from .echo_reference import Reference, ReferenceState
from .echo_state import select
from .spectra import mean_power

__all__ = ["Watch", "WatchState"]

_GUARD_FRAMES = 2  # the reference is read so much before the delay that was found
_COVERED_FRAMES = 5  # a direct path so late leaves half of the tail for the room
_ROOM_SAMPLES = 16.0
_LOCK_FRAMES, _MOVE_FRAMES = 8, 40  # a minimum must be as steady, at first and later
_ENERGY_SHARE = np.float32(0.1)
_FAR_ACTIVE = np.float32(1e-6)  # mean power of -60 dBov
_FAR_FADES = np.float32(0.3)  # a frame: 5 dB
_NEAR_ACTIVE = np.float32(10**-5.5)  # -55 dBov: what is quieter proves nothing
_FAILS = np.float32(0.35)  # less than 4.5 dB taken away
_POOR = np.float32(0.15)  # a tail that reaches the echo with its end gets to 10 dB
_WORKS, _TRUSTED = np.float32(0.1), np.float32(0.3)
_TRIAL_FRAMES, _REST_FRAMES, _DOUBT_FRAMES = 50, 25, 2
# An echo that is predicted rightly is in what comes in, whole, whoever talks over it. Two
# voices resemble each other by chance, so much less than half of it must be there.
_MOST, _CHANCE = np.float32(0.7), np.float32(0.15)
_GONE_FRAMES = 5
_SHARE = np.float32(0.25)  # of what comes in: a prediction below that proves nothing
_HARMFUL = np.float32(4)  # a frame that a prediction makes so much louder is left alone
_FOUND = np.float32(0.5)  # speech that is no echo cannot be predicted so well
_NEW_FRAMES = 50
_NEW_LEAK, _NEW_LEAK_MOST = np.float32(0.5), np.float32(3)
_LEAST_TAKEN = np.float32(0.05)
_PROVEN_FIRST, _PROVEN_FADES = np.float32(1.5), np.float32(1.003)  # twofold in 5 s
_BETTER, _CLEARLY = np.float32(0.75), np.float32(0.6)
_DRIFT_FRAMES = 25  # between two looks at the filter's phase: 100 ppm are 0.4 samples
_DRIFT_FRAMES_LATER, _DRIFT_KNOWN = 50, 6  # and when it has been corrected so often
_DRIFT_LIMIT = 150e-6
_ALIKE = 0.3
_TURNING = 20e-6  # a path that turns so fast has to be followed closely
# Boldly at first, then slowly: one look errs by 10 to 20 ppm, clocks hardly change.
_DRIFT_SHARE, _DRIFT_SHARE_LATER = 0.5, 0.08
_TINY = np.float32(1e-12)

_Floats = NDArray[np.float32]
_Flags = NDArray[np.bool_]


@dataclass(slots=True)
class WatchState:
    """What n rows think of themselves."""

    far: _Floats
    """(n,): power that is sent, falling slowly."""
    given: _Floats
    """(n,): mean power that came in, while the far end is heard."""
    left: _Floats
    """(n,): what the filter left of it."""
    kept_left: _Floats
    """(n,): what the path before the trial would have left."""
    kept_given: _Floats
    """(n,): mean power that came in since the trial began, of the prediction by the path
    before it, and of the product of both."""
    kept_predicted: _Floats
    kept_cross: _Floats
    proven: _Floats
    """(n,): the least share of the echo that was left of late."""
    best: _Floats
    """(n,): the least share that was ever left."""
    age: NDArray[np.int32]
    """(n,): frames heard since the filter began from nothing."""
    found: _Flags
    """(n,): whether there has been an echo at all."""
    anew: _Flags
    """(n,): whether the filter on trial began from nothing."""
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
            far=np.zeros(rows, np.float32),
            given=np.zeros(rows, np.float32),
            left=np.zeros(rows, np.float32),
            kept_left=np.zeros(rows, np.float32),
            kept_given=np.zeros(rows, np.float32),
            kept_predicted=np.zeros(rows, np.float32),
            kept_cross=np.zeros(rows, np.float32),
            proven=np.full(rows, _PROVEN_FIRST, np.float32),
            best=np.full(rows, _PROVEN_FIRST, np.float32),
            age=np.zeros(rows, np.int32),
            found=np.zeros(rows, np.bool_),
            anew=np.zeros(rows, np.bool_),
            locked=np.zeros(rows, np.bool_),
            doubt=np.zeros(rows, np.int32),
            trial=np.zeros(rows, np.int32),
            worked=np.zeros(rows, np.bool_),
            looks=np.zeros(rows, np.int32),
            since=np.zeros(rows, np.int32),
            corrections=np.zeros(rows, np.int32),
        )

    def searches(self, state: WatchState, delay: DelayState, reference: ReferenceState) -> _Flags:
        """The rows in which the delay is of use: not where the filter is at its work."""
        works = state.locked & state.worked & (state.trial == 0)
        if np.count_nonzero(works):
            works &= (reference.delay >= _ROOM_SAMPLES) | (delay.candidate < _GUARD_FRAMES)
        return np.asarray(~works)

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
        if not np.count_nonzero(clear):
            return
        target = np.maximum(delay.candidate - _GUARD_FRAMES, 0)
        now = np.rint(reference.delay / frame).astype(np.int32)
        needed = np.where(state.locked, _MOVE_FRAMES, _LOCK_FRAMES)
        poor = ~state.locked | (~state.worked & (state.left > _POOR * state.given))
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
        tight = state.locked & state.worked & clear & (reference.delay < _ROOM_SAMPLES)
        for row in np.flatnonzero(tight & (delay.candidate >= _GUARD_FRAMES)):
            if not self._kalman.begins_late(path, int(row)):
                continue  # an echo at once, whatever the tracker says
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
        power, sent, remains = mean_power(near), mean_power(far), mean_power(near - echo)
        state.looks += sent > _FAR_ACTIVE
        state.since += 1
        # An echo goes on for a while after what was sent.
        np.maximum(sent, _FAR_FADES * state.far, out=state.far)
        heard = (state.far > _FAR_ACTIVE) & (power > _NEAR_ACTIVE) & ~frozen
        share = _ENERGY_SHARE * heard
        state.given += share * (power - state.given)
        state.left += share * (remains - state.left)
        ratio = np.where(heard, state.left / (state.given + _TINY), _PROVEN_FIRST)
        np.minimum(state.proven * _PROVEN_FADES, ratio, out=state.proven)
        np.minimum(state.best, ratio, out=state.best)
        state.age += heard
        if np.count_nonzero(state.worked) < len(heard):  # what has worked has been found
            state.found |= state.left < _FOUND * state.given
            state.worked |= state.left < _WORKS * state.given
        trying = (state.trial > 0).nonzero()[0]
        if trying.size:
            echo = self._compare(state, path, trying, near, echo, share)
        self._doubts(state, path, heard)
        harmful = remains > _HARMFUL * power
        return (
            np.where(harmful[:, np.newaxis], np.float32(0), echo)
            if np.count_nonzero(harmful)
            else echo
        )

    def leak(self, state: WatchState) -> tuple[_Floats, _Floats]:
        """At least and at most what share of the predicted echo is left, (n,) each.

        A filter that has just begun leaves a lot, which says nothing of the near end; one
        that has been better than that does not leave more because someone speaks.
        """
        new = (state.age < _NEW_FRAMES) & ~state.worked & state.found
        if not np.count_nonzero(new):
            return np.zeros(len(new), np.float32), state.proven
        taken = np.maximum(state.given - state.left, _LEAST_TAKEN * state.given)
        least = np.minimum(_NEW_LEAK * state.left / (taken + _TINY), _NEW_LEAK_MOST)
        return np.where(new, least, np.float32(0)), state.proven

    def look_for_drift(
        self, state: WatchState, reference: ReferenceState, path: FilterState
    ) -> None:
        """Compare phases with half a second ago, in rows that have heard enough."""
        due = state.since >= _DRIFT_FRAMES
        if not np.count_nonzero(due):
            return
        due &= (state.since >= _DRIFT_FRAMES_LATER) | (state.corrections < _DRIFT_KNOWN)
        rows = (due & (state.trial <= 0) & (state.doubt == 0)).nonzero()[0]
        if not rows.size:
            return
        good = (2 * state.looks[rows] >= state.since[rows] - 1) & (
            state.left[rows] < _TRUSTED * state.given[rows]
        )
        told = rows[good]
        if told.size:
            self._correct(state, reference, path, told)
            state.corrections[told] += 1
        self._kalman.keep(path, rows)
        state.looks[rows] = state.since[rows] = 0

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
        state.worked[row] = state.anew[row] = False
        state.age[row] = 0
        state.proven[row] = _PROVEN_FIRST
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
        came, left, part = near[rows], near[rows] - before, share[rows]
        for mean, now in (
            (state.kept_left, mean_power(left)),
            (state.kept_given, mean_power(came)),
            (state.kept_predicted, mean_power(before)),
            (state.kept_cross, (came * before).mean(1)),
        ):
            mean[rows] += part * (now - mean[rows])
        # In double talk both leave about the same: only clearly less is better.
        worse = state.left[rows] > _BETTER * state.kept_left[rows]
        chosen = echo.copy()
        chosen[rows[worse]] = before[worse]
        clearly = state.left[rows] < _CLEARLY * state.kept_left[rows]
        sooner = clearly & ~state.anew[rows] & (state.trial[rows] < _TRIAL_FRAMES - _GONE_FRAMES)
        for row in rows[sooner | (state.trial[rows] == 1)]:
            if state.left[row] > _BETTER * state.kept_left[row]:
                self._kalman.restore(path, int(row))
            elif not state.anew[row]:
                self._kalman.distrust(path, int(row), anew=False)
            self._kalman.keep(path, np.array([row]))
            state.anew[row] = False
            state.trial[row] = 0
            state.looks[row] = state.since[row] = 0
        return chosen

    def _doubts(self, state: WatchState, path: FilterState, heard: _Flags) -> None:
        """Count failing frames; begin the trials that are due."""
        fails = heard & (state.left > _FAILS * state.given)
        failing = np.count_nonzero(fails)
        if failing or np.count_nonzero(state.doubt):
            state.doubt[heard > fails] = 0
            state.doubt += fails
        if np.count_nonzero(state.trial):
            state.trial -= (state.trial > 0) & heard
            state.trial += state.trial < 0
        elif not failing:
            return
        begins = state.worked & (state.trial == 0) & (state.doubt >= _DOUBT_FRAMES)
        for row in begins.nonzero()[0]:
            state.trial[row] = _TRIAL_FRAMES
            state.kept_left[row] = state.left[row]
            state.kept_given[row] = state.kept_cross[row] = state.kept_predicted[row] = 0
        gone = (
            heard & (state.trial > 0) & (state.trial < _TRIAL_FRAMES - _GONE_FRAMES) & ~state.anew
        )
        if np.count_nonzero(gone):
            chance = _CHANCE * np.sqrt(state.kept_given * state.kept_predicted)
            gone &= state.kept_predicted > _SHARE * state.kept_given
            gone &= state.kept_cross < _MOST * state.kept_predicted - chance
            for row in np.flatnonzero(gone):
                self._begin_anew(state, path, int(row))

    def _begin_anew(self, state: WatchState, path: FilterState, row: int) -> None:
        self._kalman.distrust(path, row, anew=True)
        state.trial[row] = _TRIAL_FRAMES
        state.anew[row], state.worked[row] = True, False
        state.age[row] = 0
        state.left[row] = state.given[row]
        state.proven[row] = _PROVEN_FIRST

    def _correct(
        self,
        state: WatchState,
        reference: ReferenceState,
        path: FilterState,
        rows: NDArray[np.intp],
    ) -> None:
        """Turn the phase between two states of paths into delays that grow."""
        re, im, total = self._kalman.compare(path, rows)
        size = np.sqrt(re * re + im * im)
        bins = np.arange(size.shape[1]) / (2 * self._reference.frame)
        turn = np.arctan2(im, re) / (-2 * np.pi)
        later = (size * bins * turn).sum(1) / ((size * bins * bins).sum(1) + 1e-20)
        rate = later / (state.since[rows] * self._reference.frame)
        # What is too different is no drift: another room, or noise.
        alike = size.sum(1) > _ALIKE * total
        rows, rate = rows[alike], rate[alike]
        self._kalman.follow(path, rows[np.abs(rate) > _TURNING])
        share = np.maximum(_DRIFT_SHARE_LATER, _DRIFT_SHARE / (1 + state.corrections[rows] / 8))
        drift = reference.drift[rows] + share * rate
        reference.drift[rows] = np.clip(drift, -_DRIFT_LIMIT, _DRIFT_LIMIT)
