"""Packets that arrived since the last look, and which of them are plainly in order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Arrivals", "Packet", "signed32"]

Packet = tuple[int, int, int, int, bool, bytes, float]
"""Row, sequence, timestamp, SSRC, marker, payload (empty: no audio), arrival in seconds."""


def signed32(difference: NDArray[np.int64]) -> NDArray[np.int64]:
    """A difference of 32-bit timestamps, the short way round."""
    return ((difference + 0x80000000) & 0xFFFFFFFF) - 0x80000000


@dataclass(slots=True)
class Arrivals:
    """A batch of packets as columns, in order of arrival."""

    packets: Sequence[Packet]
    rows: NDArray[np.intp]
    sequences: NDArray[np.int64]
    timestamps: NDArray[np.int64]
    ssrcs: NDArray[np.int64]
    payloads: Sequence[bytes]
    lengths: NDArray[np.int64]
    """Bytes of audio; 0 for a packet of the stream that carries none."""
    times: NDArray[np.float64]
    single: bool
    """No row comes twice."""
    repeats: bool
    """A packet may be there twice."""

    @classmethod
    def of(cls, packets: Sequence[Packet]) -> "Arrivals":
        """Columns of some packets, at least one."""
        rows, sequences, timestamps, ssrcs, _, payloads, times = zip(*packets, strict=True)
        single = len(set(rows)) == len(rows)
        return cls(
            packets,
            np.array(rows, np.intp),
            np.array(sequences, np.int64),
            np.array(timestamps, np.int64),
            np.array(ssrcs, np.int64),
            payloads,
            np.array([*map(len, payloads)], np.int64),
            np.array(times, np.float64),
            single,
            not single and len(set(zip(rows, sequences, strict=True))) < len(rows),
        )

    def select(self, chosen: NDArray[np.intp]) -> "Arrivals":
        """Some of these packets, in the same order."""
        payloads = self.payloads
        return Arrivals(
            (),
            self.rows[chosen],
            self.sequences[chosen],
            self.timestamps[chosen],
            self.ssrcs[chosen],
            [payloads[index] for index in chosen.tolist()],
            self.lengths[chosen],
            self.times[chosen],
            self.single,
            self.repeats,
        )
