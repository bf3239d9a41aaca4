"""Which rows of a bank are open: shared by the voice-activity banks."""

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

__all__ = ["Rows"]


class Rows:
    """Hands out row numbers, lowest first, and says when arrays must grow."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._open = np.zeros(capacity, np.bool_)
        self._free = list(range(capacity - 1, -1, -1))

    def __len__(self) -> int:
        return self.capacity - len(self._free)

    def open(self) -> int:
        """A free row; `capacity` doubles when there was none."""
        if not self._free:
            self._free = list(range(2 * self.capacity - 1, self.capacity - 1, -1))
            self._open = np.concatenate([self._open, np.zeros(self.capacity, np.bool_)])
            self.capacity *= 2
        row = self._free.pop()
        self._open[row] = True
        return row

    def close(self, row: int) -> None:
        """Give a row back.

        Raises:
            UsageError: it is not open.
        """
        if not 0 <= row < self.capacity or not self._open[row]:
            raise UsageError(f"row {row} is not open")
        self._open[row] = False
        self._free.append(row)

    def check(self, rows: NDArray[np.intp]) -> None:
        """Raise `UsageError` unless all of these are open rows."""
        try:
            fine = rows.size == 0 or (int(rows.min()) >= 0 and bool(self._open[rows].all()))
        except IndexError:
            fine = False
        if not fine:
            raise UsageError("process was given a row that is not open")
