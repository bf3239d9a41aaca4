"""The default echo canceller: Kalman filter, delay, drift and residual, as a stage."""

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .echo_delay import DelayState, DelayTracker
from .echo_kalman import FilterState, KalmanFilter
from .echo_reference import Reference, ReferenceState
from .echo_residual import ResidualState, ResidualSuppressor
from .echo_state import Selection, grow, move, reset_row, select, selection, store
from .echo_watch import Watch, WatchState
from .frames import FRAME_MS, frame_samples
from .rows import Rows
from .stage import Block, RowNumbers, grown, shards, take_pair

__all__ = ["KalmanEcho"]

_RATES_HZ = (8000, 16000)
TAIL_MS, LONGEST_TAIL_MS = 200, 500
_DELAY_MS = 500
_SHARD = 100  # rows at once: smaller ones pay more for numpy's calls than they save in the cache
_NO_ECHO = np.float32(0.1)
_MOVE_CALLS = 100  # blocks between two tidyings of the rows, at least

_States = tuple[ReferenceState, DelayState, FilterState, ResidualState, WatchState]


class KalmanEcho:
    """Takes the echo of what was sent out of what is heard, for many legs at once.

    Two blocks go in, so it is a `Stage` with one more argument. Echoes from 0 to 500 ms
    late with a room of up to 200 ms are found, and clocks up to 100 ppm apart.
    """

    name = "kalman"

    def __init__(
        self,
        rate_hz: int = 8000,
        capacity: int = 64,
        *,
        suppress: bool = True,
        tail_ms: int = TAIL_MS,
    ) -> None:
        """A bank of one rate.

        Args:
            rate_hz: 8000 or 16000.
            capacity: rows to begin with; grows by doubling.
            suppress: whether the rest is suppressed after the filter; without that nothing
                is delayed.
            tail_ms: how long an echo is cancelled from where it begins on, 20 to 500,
                rounded up to whole frames.

        Raises:
            UsageError: the rate is neither, or the tail too long or too short.
        """
        if rate_hz not in _RATES_HZ:
            raise UsageError(f"the kalman canceller works at 8000 or 16000 Hz, not {rate_hz}")
        if not FRAME_MS <= tail_ms <= LONGEST_TAIL_MS:
            raise UsageError(
                f"an echo's tail is {FRAME_MS} to {LONGEST_TAIL_MS} ms, not {tail_ms!r}"
            )
        self.rate_hz = rate_hz
        self.frame_samples = frame = frame_samples(rate_hz)
        self.delay_samples = frame // 2 if suppress else 0
        self.faults = np.zeros(capacity, np.int64)
        """Frames of each row that held something that is no audio, (rows,)."""
        self._suppress = suppress
        partitions, lags = -(-tail_ms // FRAME_MS), _DELAY_MS // FRAME_MS + 3
        self._reference = Reference(frame, lags + partitions + 5)
        self._delays = DelayTracker(rate_hz, frame, lags)
        self._kalman = KalmanFilter(frame, partitions)
        self._residual = ResidualSuppressor(frame)
        self._watch = Watch(self._reference, self._delays, self._kalman)
        self._fresh = self._state(1)
        self._states = self._state(capacity)
        self._rows = Rows(capacity)
        # Where each row is kept, and when it was last used: rows that come together are
        # put side by side, because only those can be worked on without a copy.
        self._places = np.arange(capacity)
        self._used = np.zeros(capacity, np.int64)
        self._calls = self._tidied = 0

    def open(self) -> int:
        """A row that has heard nothing."""
        row = self._rows.open()
        capacity = self._rows.capacity
        if capacity > len(self.faults):
            self._places = np.concatenate([self._places, np.arange(len(self._places), capacity)])
            self.faults, self._used = grown(self.faults, capacity), grown(self._used, capacity)
            for state in self._states:
                grow(state, capacity)
        self.faults[row] = 0
        self._forget(row)
        return row

    def close(self, row: int) -> None:
        """Give a row back; raises `UsageError` if it is not open."""
        self._rows.close(row)

    def reset(self, row: int) -> None:
        """Forget path, delay and drift of a row; raises `UsageError` if it is not open."""
        self._rows.check(row)
        self._forget(row)

    def process(
        self, near: Block, far: Block, rows: RowNumbers, frozen: NDArray[np.bool_] | None = None
    ) -> Block:
        """Take the echo of ``far`` out of ``near``, (n, frame) each, full scale 1.0.

        Args:
            near: what was heard.
            far: what was sent in the same 20 ms.
            rows: (n,), each once.
            frozen: (n,) rows whose near frame was concealed: nothing is learnt from them.

        Raises:
            UsageError: a shape or type is wrong, or a row is not open.
        """
        if frozen is None:
            frozen = np.zeros(len(rows), np.bool_)
        elif frozen.shape != rows.shape or frozen.dtype != np.bool_:
            raise UsageError(f"frozen is one bool a row, not {frozen.dtype} {frozen.shape}")
        near, far = take_pair(near, far, rows, self.frame_samples, self._rows, self.faults)
        out = np.empty_like(near)
        for shard in shards(len(rows), _SHARD):
            chosen = self._find(rows[shard])
            out[shard] = self._shard(near[shard], far[shard], chosen, frozen[shard])
        self._mend(out, rows)
        return out

    def delay_ms(self, row: int) -> float:
        """By how much the reference of a row is read late."""
        self._rows.check(row)
        return float(self._states[0].delay[self._places[row]]) * 1000 / self.rate_hz

    def drift_ppm(self, row: int) -> float:
        """How much faster a row's echo falls behind than the clock, in parts per million."""
        self._rows.check(row)
        return float(self._states[0].drift[self._places[row]]) * 1e6

    def erle_db(self, row: int) -> float:
        """What the filter alone takes away of late, in dB; 0 before anything was sent."""
        self._rows.check(row)
        watch, place = self._states[4], self._places[row]
        given, left = float(watch.given[place]), float(watch.left[place])
        return float(10 * np.log10(given / left)) if given > 0 and left > 0 else 0.0

    def _state(self, rows: int) -> _States:
        return (
            self._reference.state(rows),
            self._delays.state(rows),
            self._kalman.state(rows),
            self._residual.state(rows),
            self._watch.state(rows),
        )

    def _shard(
        self, near: Block, far: Block, chosen: Selection, frozen: NDArray[np.bool_]
    ) -> Block:
        all_reference, all_delay, all_path, all_residual, all_watch = self._states
        reference, delay = select(all_reference, chosen), select(all_delay, chosen)
        path, residual = select(all_path, chosen), select(all_residual, chosen)
        watch = select(all_watch, chosen)
        self._reference.push(reference, far)
        clear = self._delays.update(delay, far, near)
        self._watch.realign(watch, delay, reference, path, clear)
        aligned = self._reference.read(reference)
        self._kalman.push(path, aligned)
        echo = self._kalman.predict(path)
        expected = self._kalman.adapt(path, near - echo, frozen)
        echo = self._watch.judge(watch, path, aligned, near, echo, frozen)
        self._watch.look_for_drift(watch, reference, path, aligned)
        out = near - echo
        if self._suppress:
            # What is heard may be the path from before a trial: the uncertainty is not its
            # own. And where there has been no echo yet there is none to be unsure of.
            sure = np.where(watch.found, np.float32(1), _NO_ECHO)
            sure[watch.anew] = 0
            expected *= sure[:, np.newaxis]
            leak = self._watch.leak(watch)
            out = self._residual.process(residual, out, echo, expected, leak)
        for state, part in zip(
            self._states, (reference, delay, path, residual, watch), strict=True
        ):
            store(state, chosen, part)
        return out

    def _find(self, rows: RowNumbers) -> Selection:
        """Where these rows are, in one piece if that can be had."""
        self._calls += 1
        chosen = selection(self._places[rows])
        if not isinstance(chosen, slice) and self._calls - self._tidied >= _MOVE_CALLS:
            self._tidy()
            chosen = selection(self._places[rows])
        self._used[rows] = self._calls
        return chosen

    def _tidy(self) -> None:
        """Put rows that were used together next to each other."""
        self._tidied = self._calls
        order = np.lexsort((np.arange(len(self._used)), self._used))
        for state in self._states:
            move(state, self._places[order])
        self._places[order] = np.arange(len(order))

    def _mend(self, out: Block, rows: RowNumbers) -> None:
        """Begin anew where a row's own numbers have run away."""
        broken = np.flatnonzero(~np.isfinite(out).all(axis=1))
        for index in broken:
            out[index] = 0
            self.faults[rows[index]] += 1
            self._forget(int(rows[index]))

    def _forget(self, row: int) -> None:
        for state, fresh in zip(self._states, self._fresh, strict=True):
            reset_row(state, int(self._places[row]), fresh)
