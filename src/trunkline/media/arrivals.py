"""Packets that arrived since the last look, as columns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Arrivals", "CodedPayload", "Packet", "Payload"]


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

    def firsts(self, marks: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which packets are the first of their row. ``marks``, (rows,), is for use here."""
        order = np.arange(len(self.rows))
        # Of what is written to one place, the last stays.
        marks[self.rows[::-1]] = order[::-1]
        found: NDArray[np.bool_] = marks[self.rows] == order
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
