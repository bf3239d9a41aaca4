"""Packets that arrived since the last look, as columns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Arrivals", "CodedPayload", "Packet", "Payload"]

_MOST_TURNS = 64
"""More than a second's packets of one row are nothing to hurry for."""


@dataclass(frozen=True, slots=True)
class CodedPayload:
    """A payload for the row's codec; as long as the audio in it, in samples."""

    data: bytes
    samples: int
    quiet: bool = False
    """Whether the sender may pause after it without a word (`Codec.quiet`)."""

    def __len__(self) -> int:
        return self.samples


Payload = bytes | memoryview | CodedPayload
"""Codes of G.711; samples that are decoded already, a memoryview of int16; or what the
row's codec is to decode."""

Packet = tuple[int, int, int, int, bool, Payload, float]
"""Row, sequence, timestamp, SSRC, marker, payload (empty: no audio), arrival in seconds."""


@dataclass(slots=True)
class Arrivals:
    """Packets of as many rows, one of each."""

    rows: NDArray[np.intp]
    said: NDArray[np.int64]
    """(4, n): sequence numbers, timestamps, SSRCs, and samples of audio."""
    payloads: Sequence[bytes | memoryview]
    """None for a codec: rows that have one never have plain packets."""
    times: NDArray[np.float64]

    @classmethod
    def of(cls, packets: Sequence[Packet]) -> "Arrivals":
        """Columns of some packets, at least one."""
        rows, sequences, timestamps, ssrcs, _, payloads, times = zip(*packets, strict=True)
        said = (sequences, timestamps, ssrcs, [*map(len, payloads)])
        return cls(np.array(rows, np.intp), np.array(said, np.int64), payloads, np.array(times))

    def turns(self, marks: NDArray[np.intp]) -> list[NDArray[np.intp]]:
        """Where the first packets of rows are, the second ones of rows with several, and so on.

        No more than 64 of each row; ``marks``, (rows,), is for use here.
        """
        found: list[NDArray[np.intp]] = []
        left = np.arange(len(self.rows))
        while left.size and len(found) < _MOST_TURNS:
            rows = self.rows[left]
            # Of what is written to one place, the last stays.
            marks[rows[::-1]] = left[::-1]
            first = marks[rows] == left
            found.append(left[first])
            left = left[~first]
        return found

    def select(self, chosen: NDArray[np.intp]) -> "Arrivals":
        """Some of these packets, in the same order."""
        payloads = self.payloads
        return Arrivals(
            self.rows[chosen],
            self.said.take(chosen, axis=1),
            [payloads[index] for index in chosen.tolist()],
            self.times[chosen],
        )
