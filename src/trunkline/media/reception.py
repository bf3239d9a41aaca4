"""What arrived of each source: sequence numbers, duplicates, jitter (RFC 3550 A.1, A.8).

Vectorised over rows. A batch is filed in order of arrival and may hold several
packets of a row. Which packets belong to the source at all is the caller's
judgement: it sees timestamps too.
"""

import numpy as np
from numpy.typing import NDArray

from .rtcp_session import ReceptionCounters

__all__ = ["NO_SOURCE", "Reception"]

NO_SOURCE = -1
_SEEN = 256  # packets remembered for duplicates: 5 s at 20 ms
_GAIN = 1 / 16  # RFC 3550 6.4.1
_KEPT = 1 - _GAIN

_ARRAYS = (
    "ssrc",
    "first",
    "highest",
    "received",
    "repeated",
    "jitter",
    "_transit",
    "_seen",
)

_Rows = NDArray[np.intp]
_Integers = NDArray[np.int64]


class Reception:
    """Reception state of many rows, one source each."""

    def __init__(self, capacity: int) -> None:
        self.ssrc = np.full(capacity, NO_SOURCE, np.int64)
        self.first = np.zeros(capacity, np.int64)
        self.highest = np.zeros(capacity, np.int64)
        self.received = np.zeros(capacity, np.int64)
        self.repeated = np.zeros(capacity, np.int64)
        self.jitter = np.zeros(capacity)
        self._transit = np.full(capacity, np.nan)
        # Slot s holds the newest sequence number that is s modulo 256; s + 1 is none of them.
        self._unseen = (np.arange(_SEEN) + 1).astype(np.uint16)
        self._seen = np.tile(self._unseen, (capacity, 1))

    def grow(self, capacity: int) -> None:
        """More rows, without a source."""
        fresh = Reception(capacity - len(self.ssrc))
        for name in _ARRAYS:
            setattr(self, name, np.concatenate([getattr(self, name), getattr(fresh, name)]))

    def restart(self, row: int, ssrc: int, sequence: int) -> None:
        """Another source, or the same from another number on; the packet itself is yet to come."""
        self.ssrc[row] = ssrc
        self.first[row] = sequence
        self.highest[row] = sequence - 1
        self.received[row] = 0
        self.repeated[row] = 0
        self.jitter[row] = 0
        self.forget_transit(row)
        self._seen[row] = self._unseen

    def clear(self, row: int) -> None:
        """No source any more."""
        self.restart(row, NO_SOURCE, 0)

    def forget_transit(self, row: int) -> None:
        """The next packet's transit cannot be compared with the last one's."""
        self._transit[row] = np.nan

    def counters(self, row: int) -> ReceptionCounters | None:
        """For a report block; None while there is no source."""
        if self.ssrc[row] == NO_SOURCE:
            return None
        return ReceptionCounters(
            first_extended=int(self.first[row]),
            highest_extended=int(self.highest[row]),
            received=int(self.received[row]),
            jitter_units=float(self.jitter[row]),
            ssrc=int(self.ssrc[row]),
        )

    def lost(self, row: int) -> int:
        """Packets of this source that never came; duplicates do not make up for them."""
        if self.ssrc[row] == NO_SOURCE:
            return 0
        expected = int(self.highest[row] - self.first[row]) + 1
        return max(0, expected - int(self.received[row] - self.repeated[row]))

    def ahead(self, rows: _Rows, sequences: _Integers) -> _Integers:
        """How far each packet is ahead of its row's highest: 1 in order, below 1 not new."""
        return ((sequences - self.highest[rows] + 0x8000) & 0xFFFF) - 0x8000

    def count(
        self,
        rows: _Rows,
        sequences: _Integers,
        ahead: _Integers,
        *,
        single: bool,
        repeats: bool,
    ) -> NDArray[np.bool_]:
        """Count packets; True for each that is a duplicate.

        ``single``: no row comes twice. ``repeats``: a packet may be there twice.
        """
        slots = sequences & _SEEN - 1
        again: NDArray[np.bool_] = self._seen[rows, slots] == sequences
        self._seen[rows, slots] = sequences
        highest = self.highest[rows]
        if single:
            self.received[rows] += 1
            self.highest[rows] = highest + np.maximum(ahead, 0)
        else:
            np.add.at(self.received, rows, 1)
            np.maximum.at(self.highest, rows, highest + ahead)
        if repeats:
            _, first = np.unique(rows << 16 | sequences, return_index=True)
            repeated = np.ones(len(rows), np.bool_)
            repeated[first] = False
            again |= repeated
        if again.any():
            np.add.at(self.repeated, rows[again], 1)
        return again

    def time(self, rows: _Rows, transits: NDArray[np.float64], *, single: bool) -> None:
        """Advance the interarrival jitter by these packets, in order of arrival (A.8)."""
        if not single:
            self._time_groups(rows, transits)
            return
        change = np.abs(transits - self._transit[rows])
        jitter = self.jitter[rows]
        # The first packet of a source has nothing to be compared with: NaN, no change.
        self.jitter[rows] = jitter + np.where(change >= 0, (change - jitter) * _GAIN, 0)
        self._transit[rows] = transits

    def _time_groups(self, rows: _Rows, transits: NDArray[np.float64]) -> None:
        """The same for rows with several packets, k of them at once.

        J (15/16)^k + sum over j of |D_j| / 16 (15/16)^(k-1-j).
        """
        order = rows.argsort(kind="stable")
        rows, transits = rows[order], transits[order]
        size = len(rows)
        starts = np.ones(size + 1, np.bool_)
        np.not_equal(rows[1:], rows[:-1], out=starts[1:-1])
        edges = starts.nonzero()[0]
        begins, ends = edges[:-1], edges[1:]
        unique, counts = rows[begins], ends - begins
        before = np.empty(size)
        before[1:] = transits[:-1]
        before[begins] = self._transit[unique]
        change = np.abs(transits - before)
        behind = ends.repeat(counts) - np.arange(1, size + 1)
        weighted = np.where(change >= 0, change * _GAIN * _KEPT**behind, 0)
        # A row without a transit before has no jitter either, so its first needs no case.
        self.jitter[unique] *= _KEPT**counts
        self.jitter[unique] += np.add.reduceat(weighted, begins)
        self._transit[unique] = transits[ends - 1]
