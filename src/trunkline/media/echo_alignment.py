"""Delay search for cancellers that have none: the far end, moved to its echo."""

import numpy as np
from numpy.typing import NDArray

from .echo_delay import DelayTracker
from .echo_reference import Reference
from .echo_state import grow, reset_row, select, store
from .frames import FRAME_MS, frame_samples
from .stage import Block

__all__ = ["EchoAlignment"]

_DELAY_MS = 500
_GUARD_FRAMES = 2
_LOCK_FRAMES, _MOVE_FRAMES = 8, 50
_CLEARLY = 2.0  # bits by which another lag has to be better
_COVERED_FRAMES = 5


class EchoAlignment:
    """Delays the far end of many rows to shortly before where its echo is found."""

    def __init__(self, rate_hz: int, capacity: int = 64) -> None:
        frame, lags = frame_samples(rate_hz), _DELAY_MS // FRAME_MS + 3
        self._reference = Reference(frame, lags + 5)
        self._delays = DelayTracker(rate_hz, frame, lags)
        self._sent, self._lags = self._reference.state(capacity), self._delays.state(capacity)
        self._locked = np.zeros(capacity, np.bool_)
        self._frame, self._rate_hz = frame, rate_hz

    def reset(self, row: int) -> None:
        """Forget a row; makes room for it if there is none."""
        while row >= len(self._locked):
            grow(self._sent, 2 * len(self._locked))
            grow(self._lags, 2 * len(self._locked))
            self._locked = np.concatenate([self._locked, np.zeros_like(self._locked)])
        reset_row(self._sent, row, self._reference.state(1))
        reset_row(self._lags, row, self._delays.state(1))
        self._locked[row] = False

    def process(self, far: Block, near: Block, rows: NDArray[np.intp]) -> Block:
        """The far end as it is to be given to the canceller, (n, frame)."""
        reference, delay = select(self._sent, rows), select(self._lags, rows)
        self._reference.push(reference, far)
        clear = self._delays.update(delay, far, near)
        now = np.rint(reference.delay / self._frame).astype(np.int32)
        target = np.maximum(delay.candidate - _GUARD_FRAMES, 0)
        covered = (delay.candidate >= now) & (delay.candidate <= now + _COVERED_FRAMES)
        needed = np.where(self._locked[rows], _MOVE_FRAMES, _LOCK_FRAMES)
        moves = clear & ~covered & (delay.steady >= needed)
        for index in np.flatnonzero(moves):
            here = delay.cost[index, now[index] : now[index] + _COVERED_FRAMES].min()
            if not self._locked[rows[index]] or delay.cost[index].min() < here - _CLEARLY:
                reference.delay[index] = min(target[index] * self._frame, self._reference.latest)
        self._locked[rows] |= clear & (delay.steady >= _LOCK_FRAMES)
        aligned = self._reference.read(reference)
        store(self._sent, rows, reference)
        store(self._lags, rows, delay)
        return aligned

    def delay_ms(self, row: int) -> float:
        """By how much the far end of a row is delayed."""
        return float(self._sent.delay[row]) * 1000 / self._rate_hz
