"""Voice activity for those lanes of an engine that asked for it, in one batch a tick."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .lane import Frame, Lane, Window

__all__ = ["NO_WINDOWS", "ActivityBank", "ActivityLanes"]

NO_WINDOWS: tuple[Window, ...] = ()


class _Activity(Protocol):
    index: NDArray[np.intp]
    probability: NDArray[np.float32]
    end_offset: NDArray[np.intp]


class ActivityBank(Protocol):
    """Voice activity, batched over lanes (``speech.interfaces.ActivityBank``)."""

    window_samples: int

    def open(self) -> int:
        """A row for a new lane."""

    def close(self, row: int) -> None:
        """Give a row back."""

    def process(self, block: NDArray[np.int16], rows: NDArray[np.intp]) -> _Activity:
        """Verdicts of the windows that these frames completed."""


class ActivityLanes:
    """Which lanes want voice activity, and their rows of the bank.

    ``make`` makes the bank when the first open lane asks, so that a process that only
    relays never loads a model. ``on_fault`` is told when the bank raises.
    """

    def __init__(
        self, make: Callable[[], ActivityBank] | None, on_fault: Callable[[Lane, Exception], None]
    ) -> None:
        self._make = make
        self._on_fault = on_fault
        self._bank: ActivityBank | None = None
        self._rows: dict[Lane, int] = {}

    def want(self, lane: Lane) -> None:
        """One ear more asks; a lane that is not open gets its row when it is opened."""
        lane.wants_activity += 1
        if lane.active:
            self.open(lane)

    def drop(self, lane: Lane) -> None:
        """Undo one `want`."""
        lane.wants_activity = max(0, lane.wants_activity - 1)
        if not lane.wants_activity:
            self.close(lane)

    def open(self, lane: Lane) -> None:
        """A row for this lane, if an ear of it wants one."""
        if not lane.wants_activity or lane in self._rows or self._make is None:
            return
        if self._bank is None:
            self._bank = self._make()
        self._rows[lane] = self._bank.open()

    def close(self, lane: Lane) -> None:
        """Give the row back, if it has one."""
        row = self._rows.pop(lane, None)
        if row is not None and self._bank is not None:
            self._bank.close(row)

    def windows(self, listening: list[tuple[Lane, Frame]]) -> dict[int, tuple[Window, ...]]:
        """Verdicts of the windows these frames complete, by place in the list."""
        found: dict[int, tuple[Window, ...]] = {}
        bank = self._bank
        if bank is None:
            return found
        where: list[int] = []
        rows: list[int] = []
        for index, (lane, _) in enumerate(listening):
            row = self._rows.get(lane)
            if row is not None:
                where.append(index)
                rows.append(row)
        if not rows:
            return found
        block = np.stack([listening[index][1] for index in where])
        try:
            verdicts = bank.process(block, np.array(rows, np.intp))
        except Exception as error:  # noqa: BLE001 - a model that fails silences nobody
            self._on_fault(listening[where[0]][0], error)
            return found
        for position, probability, offset in zip(
            verdicts.index.tolist(),
            verdicts.probability.tolist(),
            verdicts.end_offset.tolist(),
            strict=True,
        ):
            index = where[position]
            window = Window(probability, offset, bank.window_samples)
            found[index] = (*found.get(index, NO_WINDOWS), window)
        return found
