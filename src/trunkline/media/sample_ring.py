"""Decoded samples of many legs, addressed by their position in the stream.

A row holds about a second. A sample not received, or taken already, is `HOLE`.
Blocks of one frame are moved through sliding windows over the rows, one copy of
contiguous memory each; the few that straddle a row's end, and packets of other
lengths, are moved sample by sample.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from .reserve import enlarged, reserved

__all__ = ["HOLE", "SampleRing"]

HOLE = -32768
"""No sample here. G.711 never decodes to it; from other codecs it becomes -32767."""

_Rows = NDArray[np.intp]
_Positions = NDArray[np.int64]
_Block = NDArray[np.int16]


class SampleRing:
    """One ring of samples a row; ``span`` is a multiple of ``frame``.

    A row is made one of holes with `open`: before that it takes no memory.
    """

    def __init__(self, capacity: int, frame: int, span: int) -> None:
        self.frame, self.span = frame, span
        self._last = span - frame
        self._offsets = np.arange(frame)
        self._holes = np.full(frame, HOLE, np.int16)
        self._samples = reserved((capacity, span), np.int16)
        self._windows = self._look()

    def _look(self) -> NDArray[np.int16]:
        return sliding_window_view(self._samples, self.frame, axis=1, writeable=True)

    def grow(self, capacity: int) -> None:
        """More rows, empty ones."""
        self._samples = enlarged(self._samples, capacity)
        self._windows = self._look()

    def open(self, row: int) -> None:
        """Nothing but holes."""
        self._samples[row] = HOLE

    def read(self, rows: _Rows, positions: _Positions) -> _Block:
        """One frame a row from these positions on, a copy; holes included. Not of no rows."""
        at = positions % self.span
        if at.item(at.argmax()) <= self._last:
            whole: _Block = self._windows[rows, at]
            return whole
        block: _Block = self._windows[rows, np.minimum(at, self._last)]
        for index in (at > self._last).nonzero()[0]:
            block[index] = self._samples[rows[index], (at[index] + self._offsets) % self.span]
        return block

    def look(self, rows: _Rows, positions: _Positions, size: int) -> _Block:
        """So many samples a row from these positions on, a copy; holes included."""
        index = (positions % self.span)[:, np.newaxis] + np.arange(size)
        np.subtract(index, self.span, out=index, where=index >= self.span)
        index += rows[:, np.newaxis] * self.span
        block: _Block = self._samples.reshape(-1).take(index)
        return block

    def write(self, rows: _Rows, positions: _Positions, block: _Block) -> None:
        """File one frame a row; a row may come more than once."""
        at = positions % self.span
        if at.size and at.item(at.argmax()) > self._last:
            for index in (at > self._last).nonzero()[0]:
                self.write_piece(int(rows[index]), int(at[index]), block[index])
            inside = at <= self._last
            rows, at, block = rows[inside], at[inside], block[inside]
        self._windows[rows, at] = block

    def clear(self, rows: _Rows, positions: _Positions) -> None:
        """Make one frame a row a hole again."""
        at = positions % self.span
        if at.size and at.item(at.argmax()) > self._last:
            for index in (at > self._last).nonzero()[0]:
                self.write_piece(int(rows[index]), int(at[index]), self._holes)
            inside = at <= self._last
            rows, at = rows[inside], at[inside]
        self._windows[rows, at] = HOLE

    def write_piece(self, row: int, position: int, samples: _Block) -> None:
        """File a piece of any length up to ``span`` on one row."""
        at, size = position % self.span, len(samples)
        whole = min(size, self.span - at)
        self._samples[row, at : at + whole] = samples[:whole]
        if whole < size:
            self._samples[row, : size - whole] = samples[whole:]

    def clear_span(self, row: int, start: int, stop: int) -> None:
        """Make everything from ``start`` to before ``stop`` holes on one row."""
        at, size = start % self.span, min(stop - start, self.span)
        if size > 0:
            self._samples[row, at : at + size] = HOLE
            if at + size > self.span:
                self._samples[row, : at + size - self.span] = HOLE

    def piece(self, row: int, start: int, stop: int) -> _Block:
        """From ``start`` to before ``stop``, ``span`` at most, on one row; not to be changed."""
        at, size = start % self.span, max(min(stop - start, self.span), 0)
        samples: _Block = self._samples[row]
        if at + size <= self.span:
            whole: _Block = samples[at : at + size]
            return whole
        return np.concatenate([samples[at:], samples[: at + size - self.span]])

    def count(self, row: int, start: int, stop: int) -> int:
        """How many samples there are from ``start`` to before ``stop`` on one row."""
        return int(np.count_nonzero(self.piece(row, start, stop) != HOLE))

    def next_present(self, row: int, start: int, stop: int) -> int:
        """Where the first sample from ``start`` on is; ``stop`` if there is none before it."""
        present = self.piece(row, start, stop) != HOLE
        first = int(present.argmax()) if present.size else 0
        return start + first if present.size and present[first] else stop
