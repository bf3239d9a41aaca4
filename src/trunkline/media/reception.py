"""What arrived of each source: sequence numbers, duplicates, jitter (RFC 3550 A.1, A.8).

Packets are counted one by one, those that are next in order for many rows at once.
Which packets belong to the source at all is the caller's judgement: it sees
timestamps too.
"""

import numpy as np
from numpy.typing import NDArray

from .reserve import enlarged, reserved
from .rtcp_session import ReceptionCounters

__all__ = ["NO_SOURCE", "Reception"]

NO_SOURCE = -1
_SEEN = 256  # packets remembered for duplicates: 5 s at 20 ms
_GAIN = 1 / 16  # RFC 3550 6.4.1

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
        # A row's are set with its first source.
        self._seen = reserved((capacity, _SEEN), np.uint16)

    def grow(self, capacity: int) -> None:
        """More rows, without a source."""
        before = len(self.ssrc)
        for name in _ARRAYS:
            setattr(self, name, enlarged(getattr(self, name), capacity))
        self.ssrc[before:] = NO_SOURCE
        self._transit[before:] = np.nan

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

    @property
    def transits(self) -> NDArray[np.float64]:
        """Arrival less position of each row's newest packet, in samples; NaN: of none."""
        return self._transit

    def lost(self, row: int) -> int:
        """Packets of this source that never came; duplicates do not make up for them."""
        if self.ssrc[row] == NO_SOURCE:
            return 0
        expected = int(self.highest[row] - self.first[row]) + 1
        return max(0, expected - int(self.received[row] - self.repeated[row]))

    def count(self, row: int, sequence: int, ahead: int) -> bool:
        """Count a packet so far ahead of the highest; True if it is a duplicate."""
        slot = sequence & _SEEN - 1
        again = ahead < 1 and bool(self._seen.item(row, slot) == sequence)
        self._seen[row, slot] = sequence
        self.received[row] += 1
        if ahead > 0:
            self.highest[row] += ahead
        if again:
            self.repeated[row] += 1
        return again

    def time(self, row: int, transit: float) -> None:
        """Advance the interarrival jitter by a packet (A.8)."""
        change = abs(transit - self._transit.item(row))
        # The first packet of a source has nothing to be compared with: NaN, no change.
        if change >= 0:
            self.jitter[row] += (change - self.jitter.item(row)) * _GAIN
        self._transit[row] = transit

    def seen(self, rows: _Rows, sequences: _Integers) -> NDArray[np.bool_]:
        """Whether packets not ahead of a row's highest are duplicates."""
        again: NDArray[np.bool_] = self._seen[rows, sequences & _SEEN - 1] == sequences
        return again

    def advance(
        self,
        rows: _Rows,
        sequences: _Integers,
        transits: NDArray[np.float64],
        ahead: _Integers | int = 1,
    ) -> None:
        """Count and time a packet of each of these rows, so far after its highest, or 0.

        The same to the bit as `count` and `time` of each; not for the first of a source,
        and not for duplicates.
        """
        self._seen[rows, sequences & _SEEN - 1] = sequences
        self.received[rows] += 1
        self.highest[rows] += ahead
        change = np.abs(transits - self._transit[rows])
        jitter = self.jitter[rows]
        change -= jitter
        change *= _GAIN
        jitter += change
        self.jitter[rows] = jitter
        self._transit[rows] = transits
