"""How packets of one stream were lost: bursts and gaps, and how long losses last."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .burst_gap import GMIN, BurstGap, BurstGapStatistics

__all__ = ["RUN_NAMES", "LossPattern"]

_RUN_ENDS = (1, 2, 3, 5, 10, 20, 50)
RUN_NAMES = ("1", "2", "3", "4-5", "6-10", "11-20", "21-50", "51-")
"""Packets lost in a row, as `LossPattern.runs` counts them."""


class LossPattern:
    """Follows one stream in the order its packets were sent; pieces of any length."""

    __slots__ = ("_burst_gap", "_run", "_runs", "_waiting")

    def __init__(self, gmin: int = GMIN) -> None:
        self._burst_gap = BurstGap(gmin)
        self._waiting = 0  # received since the last loss, not told yet
        self._run = 0  # lost in a row, up to now
        self._runs = [0] * len(RUN_NAMES)

    def received(self, count: int) -> None:
        """So many packets in a row could be played."""
        if count > 0:
            self._waiting += count
            if self._run:
                self._end_run()

    def lost(self, count: int) -> None:
        """So many packets in a row could not."""
        if count <= 0:
            return
        self._burst_gap.received(self._waiting)
        self._waiting = 0
        self._burst_gap.lost(count)
        self._run += count

    def take(self, played: NDArray[np.bool_]) -> None:
        """Packets one after the other, and whether each could be played."""
        if not len(played):
            return
        borders = np.flatnonzero(played[1:] != played[:-1]) + 1
        edges = [0, *borders.tolist(), len(played)]
        good = bool(played[0])
        for begin, end in pairwise(edges):
            (self.received if good else self.lost)(end - begin)
            good = not good

    def _end_run(self) -> None:
        self._runs[_bucket(self._run)] += 1
        self._run = 0

    @property
    def runs(self) -> tuple[int, ...]:
        """How many losses lasted as long as `RUN_NAMES` say; one that goes on included."""
        runs = list(self._runs)
        if self._run:
            runs[_bucket(self._run)] += 1
        return tuple(runs)

    def statistics(self) -> BurstGapStatistics:
        """What happened so far."""
        self._burst_gap.received(self._waiting)
        self._waiting = 0
        return self._burst_gap.statistics()


def _bucket(run: int) -> int:
    for index, end in enumerate(_RUN_ENDS):
        if run <= end:
            return index
    return len(_RUN_ENDS)
