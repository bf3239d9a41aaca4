"""Rows of a jitter bank whose payloads only a codec with a memory can read.

Their packets are kept as they came, in order, and decoded into the bank's ring when
`JitterBank.take` is about to read: each once, in order, a lost one concealed or
recovered with the packet after it at hand, as late as can be waited for it.
"""

from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .arrivals import CodedPayload
from .codec import Codec
from .packet_decoder import FillSource, PacketDecoder
from .sample_ring import HOLE

__all__ = ["ClockScale", "CodedRow"]

_MOST_HELD = 512
"""A second of the shortest packets there are, 2.5 ms, and some."""


class ClockScale:
    """Timestamps of one clock, of 32 bits, on another: 48,000 to 8000."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._from_hz, self._to_hz = from_hz, to_hz
        self._at: int | None = None

    def scale(self, timestamp: int) -> int:
        """A timestamp on the other clock; wraps there as it should, at 32 bits."""
        if self._from_hz == self._to_hz:
            return timestamp
        # Unwrapped first: 2^32 is no whole number of ticks of the other clock.
        at = timestamp if self._at is None else self._at
        self._at = at + ((timestamp - at + (1 << 31) & 0xFFFFFFFF) - (1 << 31))
        return self._at * self._to_hz // self._from_hz & 0xFFFFFFFF


@dataclass(frozen=True, slots=True, order=True)
class _Held:
    """A packet that waits to be decoded."""

    position: int
    samples: int = field(compare=False)
    follows: bool = field(compare=False)
    """Nothing was sent between the packet before it and this one."""
    paused: bool = field(compare=False)
    """The sender paused before it: what is missing there was never sent."""
    data: bytes = field(compare=False)

    @property
    def end(self) -> int:
        return self.position + self.samples


class CodedRow:
    """One row's packets and their decoder."""

    def __init__(self, codec: Codec, span: int) -> None:
        self.codec = codec
        self.decoder = PacketDecoder(codec)
        self.clock = ClockScale(codec.rtp_clock_hz, codec.rate_hz)
        self.late = 0
        """Packets that came after the gap they belong in was filled."""
        self.made_until = -(1 << 62)
        """Where the last audio that the codec concealed ends."""
        self._span = span
        self._next: int | None = None
        self._renewed_at: int | None = None
        self._held: list[_Held] = []

    def hold(self, position: int, payload: CodedPayload, ahead: int, pause: int) -> None:
        """Keep a packet, ``ahead`` of the newest so far by its number.

        ``pause``: samples between the two that their numbers do not explain.
        """
        paused = ahead > 0 and pause > 0
        follows = ahead == 1
        insort(self._held, _Held(position, payload.samples, follows, paused, payload.data))
        if len(self._held) > _MOST_HELD:
            del self._held[0]

    def renew(self, position: int) -> None:
        """From there on the packets are another source's."""
        self._renewed_at = position

    def drop_before(self, position: int) -> None:
        """Forget packets that are over by then."""
        self._held = [held for held in self._held if held.end > position]

    def first_from(self, start: int, stop: int) -> int:
        """Where the first audio held from ``start`` on is; ``stop`` if there is none."""
        for held in self._held:
            if held.end > start:
                return min(max(held.position, start), stop)
        return stop

    def decode(self, read: int, due: int) -> Iterator[tuple[int, NDArray[np.int16]]]:
        """Positions and samples to file, nothing of it before ``read``.

        All that is there in order; beyond a gap only if the gap begins before ``due``.
        """
        while self._held:
            held = self._held[0]
            if self._renewed_at is not None and held.position >= self._renewed_at:
                self.decoder.renew()
                self._next = self._renewed_at = None
            at = self._next
            if at is None or (held.follows and held.position >= at):
                at = held.position
            if held.position < at:
                self.late += 1
                del self._held[0]
                continue
            if held.position > at and at >= due:
                return
            del self._held[0]
            if held.position > at and not held.paused:
                yield from self._fill(at, held, read)
            pcm = self.decoder.decode(held.data)
            if pcm is None:
                continue  # lost: part of the gap before the next
            self._next = held.end
            yield from _after(read, held.position, np.maximum(pcm, np.int16(HOLE + 1)))

    def _fill(self, start: int, held: _Held, read: int) -> Iterator[tuple[int, NDArray[np.int16]]]:
        """What the codec knows of the time before a packet; holes where it knows nothing."""
        gap = held.position - start
        if gap > self._span:
            return
        filled = self.decoder.fill(gap, held.data)
        audio = np.maximum(filled.pcm, np.int16(HOLE + 1))
        audio[filled.source == FillSource.MISSING] = HOLE
        made = (filled.source == FillSource.CONCEALED).nonzero()[0]
        if made.size:
            self.made_until = start + made.item(-1) + 1
        yield from _after(read, start, audio)

    def close(self) -> None:
        """Free the decoder."""
        self.decoder.close()


def _after(
    read: int, position: int, pcm: NDArray[np.int16]
) -> Iterator[tuple[int, NDArray[np.int16]]]:
    """The part of a piece that is still to be played, if any."""
    passed = max(read - position, 0)
    if passed < pcm.size:
        yield position + passed, pcm[passed:]
