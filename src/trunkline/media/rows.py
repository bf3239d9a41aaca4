"""Which rows of a bank are open."""

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

__all__ = ["Rows"]


class Rows:
    """Hands out row numbers, lowest first, and doubles when there is none left."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise UsageError(f"a bank has at least one row, not {capacity}")
        self.capacity = capacity
        self.opened: set[int] = set()
        """The rows that are open; for looking only."""
        self._free = list(range(capacity - 1, -1, -1))

    def open(self) -> int:
        """A free row; when there was none `capacity` has doubled afterwards."""
        if not self._free:
            self._free = list(range(2 * self.capacity - 1, self.capacity - 1, -1))
            self.capacity *= 2
        row = self._free.pop()
        self.opened.add(row)
        return row

    def close(self, row: int) -> None:
        """Give a row back; raises `UsageError` if it is not open."""
        self.check(row)
        self.opened.remove(row)
        self._free.append(row)

    def check(self, row: int) -> None:
        """Raise `UsageError` unless this row is open."""
        if row not in self.opened:
            raise UsageError(f"row {row} of the bank is not open")

    def check_all(self, rows: NDArray[np.intp]) -> None:
        """Raise `UsageError` unless all of these rows are open."""
        if not self.opened.issuperset(rows.tolist()):
            raise UsageError("a row of the bank that was asked for is not open")

    def check_each_once(self, rows: NDArray[np.intp]) -> None:
        """Raise `UsageError` unless all of these rows are open, and none comes twice."""
        numbers = set(rows.tolist())
        if len(numbers) != len(rows):
            raise UsageError("a row comes twice in one block")
        if not numbers <= self.opened:
            raise UsageError("a row of the bank that was asked for is not open")
