"""Packets of another length than our frames: 10 to 60 ms, where the far end asks for it.

Frames are 20 ms inside; what a far end's ptime asks for (RFC 4566 section 6) is cut and
joined here, at the edge, for payload formats whose bytes can be cut anywhere: G.711,
G.722 and L16.
"""

__all__ = ["PacketTime", "packet_ms"]

FRAME_MS = 20
STEP_MS = 10
LONGEST_MS = 60

Chunk = tuple[bytes, int, bool]
"""A payload, the timestamp units it lasts, and its marker."""


def packet_ms(wanted_ms: int | None, longest_ms: int | None = None) -> int:
    """What to put into a packet for a ptime and a maxptime: 10, 20, 30, 40, 50 or 60 ms.

    What is between two of them is rounded down, so that no packet is longer than asked.
    """
    wanted = wanted_ms or FRAME_MS
    if longest_ms:
        wanted = min(wanted, longest_ms)
    return max(STEP_MS, min(LONGEST_MS, wanted // STEP_MS * STEP_MS))


class PacketTime:
    """Cuts and joins the encoded frames of one stream."""

    __slots__ = ("_marker", "_pending", "_per_step", "_steps", "_units")

    def __init__(self, ms: int) -> None:
        self._steps = ms // STEP_MS
        self._pending = bytearray()
        self._per_step = 1  # bytes in 10 ms
        self._units = 0  # timestamp units in 10 ms
        self._marker = False

    def push(self, payload: bytes, units: int, marker: bool) -> list[Chunk]:
        """A frame of 20 ms, of so many units; the packets that are full now."""
        self._per_step, self._units = len(payload) // 2, units // 2
        if marker:
            self._marker = True
        pending = self._pending
        pending += payload
        size = self._per_step * self._steps
        found = []
        while len(pending) >= size:
            found.append(self._take(size))
        return found

    def flush(self) -> list[Chunk]:
        """What waits for its packet to be full, as a shorter one: audio pauses now."""
        return [self._take(len(self._pending))] if self._pending else []

    def _take(self, size: int) -> Chunk:
        payload = bytes(self._pending[:size])
        del self._pending[:size]
        marker, self._marker = self._marker, False
        return payload, size // self._per_step * self._units, marker
