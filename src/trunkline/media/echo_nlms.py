"""The normalised least-mean-squares filter, as a stage: the plain fallback.

The textbook's time-domain filter (Haykin, Adaptive Filter Theory, 6) with the step,
regularisation and length that are customary for it: 0.1, 1e-6 and 1024 taps. Blocks of
16 samples: within one, the echo is predicted with the taps of its beginning and the 16
updates are added at its end. Per sample it would be 16 times as many passes of numpy; the
step is small enough that the two differ by less than 0.5 dB of ERLE in the tests. It finds no
delay, does not see near-end speech coming, and diverges in it: that is what it is.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .frames import frame_samples
from .rows import Rows
from .stage import Block, RowNumbers, grown, take_pair

__all__ = ["NlmsEcho"]

_BLOCK = 16
_QUIET = np.float32(1e-7)  # mean power of -70 dBov: nothing to learn from


class NlmsEcho:
    """An NLMS filter a row; no delay search, no residual suppression, no delay."""

    name = "nlms"
    delay_samples = 0

    def __init__(
        self,
        rate_hz: int = 8000,
        capacity: int = 8,
        *,
        taps: int = 1024,
        step: float = 0.1,
        regularisation: float = 1e-6,
    ) -> None:
        """A bank of one rate; ``regularisation`` is of the taps' summed power.

        Raises:
            UsageError: no taps, or a step outside 0 to 2, where the filter is not stable.
        """
        if taps < 1 or not 0 < step < 2 or not regularisation > 0:
            raise UsageError("an NLMS filter has taps, a step of 0 to 2, and a regularisation")
        self.rate_hz = rate_hz
        self.frame_samples = frame_samples(rate_hz)
        self.faults = np.zeros(capacity, np.int64)
        """Frames of each row that held something that is no audio, (rows,)."""
        self._step, self._regularisation = np.float32(step), np.float32(regularisation)
        self._taps = taps
        self._rows = Rows(capacity)
        self._weights = np.zeros((capacity, taps), np.float32)  # oldest sample first
        self._past = np.zeros((capacity, taps - 1), np.float32)

    def open(self) -> int:
        """A row that has heard nothing."""
        row = self._rows.open()
        capacity = self._rows.capacity
        self.faults = grown(self.faults, capacity)
        self._weights, self._past = grown(self._weights, capacity), grown(self._past, capacity)
        self.faults[row] = 0
        self.reset(row)
        return row

    def close(self, row: int) -> None:
        """Give a row back; raises `UsageError` if it is not open."""
        self._rows.close(row)

    def reset(self, row: int) -> None:
        """Forget the path; raises `UsageError` if the row is not open."""
        self._rows.check(row)
        self._weights[row] = self._past[row] = 0

    def process(
        self, near: Block, far: Block, rows: RowNumbers, frozen: NDArray[np.bool_] | None = None
    ) -> Block:
        """Take the echo of ``far`` out of ``near``, (n, frame) each, full scale 1.0.

        Rows that are ``frozen`` are filtered but learn nothing.

        Raises:
            UsageError: a shape or type is wrong, or a row is not open.
        """
        near, far = take_pair(near, far, rows, self.frame_samples, self._rows, self.faults)
        out = np.empty_like(near)
        for index, row in enumerate(rows.tolist()):
            learns = frozen is None or not frozen[index]
            out[index] = self._filter(row, near[index], far[index], learns)
        return out

    def _filter(
        self, row: int, near: NDArray[np.float32], far: NDArray[np.float32], learns: bool
    ) -> NDArray[np.float32]:
        """One row's frame. One at a time: a product of matrices would round by the batch."""
        heard = np.concatenate([self._past[row], far])
        self._past[row] = heard[len(far) :]
        windows = sliding_window_view(heard, self._taps)
        powers = np.convolve(heard * heard, np.ones(self._taps, np.float32), "valid")
        learns = learns and bool((heard * heard).mean() > _QUIET)
        weights, out = self._weights[row], np.empty_like(near)
        for begin in range(0, len(near), _BLOCK):
            part = slice(begin, begin + _BLOCK)
            error = near[part] - windows[part] @ weights
            out[part] = error
            if learns:
                scaled = self._step * error / (powers[part] + self._regularisation)
                weights += scaled @ windows[part]
        if not np.isfinite(out).all():
            self.faults[row] += 1
            self.reset(row)
            return np.zeros_like(near)
        return out
