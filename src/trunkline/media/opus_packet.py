"""What a packet of Opus says of itself, without decoding it (RFC 6716 section 3).

Everything a far end can get wrong about the packing (requirements R1 to R7 of section
3.4) is found here, before the bytes reach a decoder that is written in C.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from .errors import MalformedAudioError

__all__ = ["OpusBandwidth", "OpusMode", "OpusPacket"]

LONGEST_FRAME_BYTES: Final = 1275
LONGEST_PACKET_US: Final = 120_000
"""Six frames of 20 ms, or 48 of 2.5."""


class OpusMode(Enum):
    """Which of Opus's two coders made a packet."""

    SILK = "silk"
    HYBRID = "hybrid"
    CELT = "celt"


class OpusBandwidth(Enum):
    """The highest frequency a packet has, in Hz."""

    NARROW = 4000
    MEDIUM = 6000
    WIDE = 8000
    SUPERWIDE = 12_000
    FULL = 20_000


_SILK_US, _HYBRID_US, _CELT_US = (10_000, 20_000, 40_000, 60_000), (10_000, 20_000), (
    2500, 5000, 10_000, 20_000,
)  # fmt: skip


def _configurations() -> tuple[tuple[OpusMode, OpusBandwidth, int], ...]:
    """Table 2: mode, bandwidth and frame duration in microseconds, by the first five bits."""
    wide = OpusBandwidth
    groups = (
        (OpusMode.SILK, (wide.NARROW, wide.MEDIUM, wide.WIDE), _SILK_US),
        (OpusMode.HYBRID, (wide.SUPERWIDE, wide.FULL), _HYBRID_US),
        (OpusMode.CELT, (wide.NARROW, wide.WIDE, wide.SUPERWIDE, wide.FULL), _CELT_US),
    )
    return tuple(
        (mode, bandwidth, duration)
        for mode, bandwidths, durations in groups
        for bandwidth in bandwidths
        for duration in durations
    )


_CONFIGURATIONS: Final = _configurations()


@dataclass(frozen=True, slots=True)
class OpusPacket:
    """One packet's table of contents, and its frames."""

    mode: OpusMode
    bandwidth: OpusBandwidth
    frame_us: int
    """Audio in each frame, in microseconds."""
    stereo: bool
    frames: tuple[bytes, ...]
    """Compressed frames; one of at most a byte holds no audio: discontinuous transmission."""

    @classmethod
    def parse(cls, payload: bytes) -> "OpusPacket":
        """Read one; raises `MalformedAudioError` for what section 3.4 forbids."""
        if not payload:
            raise MalformedAudioError("an empty Opus packet")  # R1
        toc = payload[0]
        mode, bandwidth, frame_us = _CONFIGURATIONS[toc >> 3]
        frames = _UNPACK[toc & 3](payload, frame_us)
        if any(len(frame) > LONGEST_FRAME_BYTES for frame in frames):
            raise MalformedAudioError("an Opus frame of more than 1275 bytes")  # R2
        return cls(mode, bandwidth, frame_us, bool(toc & 4), frames)

    @property
    def duration_us(self) -> int:
        """All its audio, in microseconds."""
        return self.frame_us * len(self.frames)

    def samples(self, rate_hz: int) -> int:
        """Samples it decodes to at one of Opus's five rates."""
        return self.duration_us * rate_hz // 1_000_000

    @property
    def silent(self) -> bool:
        """Whether no frame holds audio: the far end has stopped sending for a while."""
        return all(len(frame) <= 1 for frame in self.frames)

    @property
    def quiet(self) -> bool:
        """Whether its encoder heard nobody speak at its end; CELT alone does not tell.

        By the speech flags that the last frame's range coder begins with (section 4.2.3).
        """
        last = self.frames[-1]
        if len(last) <= 1 or self.mode is OpusMode.CELT:
            return len(last) <= 1
        parts = max(1, self.frame_us // 20_000)
        flags = 0xFF << 8 - parts & 0xFF
        if self.stereo:
            flags |= flags >> parts + 1
        return not last[0] & flags

    @property
    def carries_copy(self) -> bool:
        """Whether it has a copy of the packet before (in-band FEC, section 4.2.3).

        The first frame's range coder begins with plain bits: a speech flag for every
        20 ms, then the flag of the low bit-rate copy; for two channels, twice.
        """
        first = self.frames[0]
        if self.mode is OpusMode.CELT or len(first) <= 1:
            return False
        parts = max(1, self.frame_us // 20_000)
        flags = 1 << 7 - parts
        if self.stereo:
            flags |= flags >> parts + 1
        return bool(first[0] & flags)


def _one(payload: bytes, frame_us: int) -> tuple[bytes, ...]:
    return (payload[1:],)


def _two_alike(payload: bytes, frame_us: int) -> tuple[bytes, ...]:
    half, odd = divmod(len(payload) - 1, 2)
    if odd:
        raise MalformedAudioError("two Opus frames of different lengths")  # R3
    return payload[1 : 1 + half], payload[1 + half :]


def _two(payload: bytes, frame_us: int) -> tuple[bytes, ...]:
    size, at = _length(payload, 1)
    if at + size > len(payload):
        raise MalformedAudioError("an Opus frame is longer than its packet")  # R4
    return payload[at : at + size], payload[at + size :]


def _any(payload: bytes, frame_us: int) -> tuple[bytes, ...]:
    """Up to 48 frames, perhaps padded (section 3.2.5)."""
    if len(payload) < 2:
        raise MalformedAudioError("an Opus packet without a count of frames")  # R6, R7
    head = payload[1]
    count = head & 63
    if not count or count * frame_us > LONGEST_PACKET_US:
        raise MalformedAudioError(f"{count} Opus frames of {frame_us / 1000:g} ms")  # R5
    at, end = 2, len(payload)
    if head & 64:
        at, padding = _padding(payload, at)
        end -= padding
    sizes: list[int] = []
    if head & 128:
        for _ in range(count - 1):
            size, at = _length(payload, at)
            sizes.append(size)
        sizes.append(end - at - sum(sizes))
    else:
        size, rest = divmod(end - at, count)
        if rest:
            raise MalformedAudioError("Opus frames of different lengths")  # R6
        sizes = [size] * count
    if sizes[-1] < 0:
        raise MalformedAudioError("Opus frames are longer than their packet")  # R6, R7
    frames = []
    for size in sizes:
        frames.append(payload[at : at + size])
        at += size
    return tuple(frames)


def _padding(payload: bytes, at: int) -> tuple[int, int]:
    """Where the frames begin, and how many bytes of padding are at the end."""
    padding = 0
    while True:
        if at >= len(payload):
            raise MalformedAudioError("an Opus packet ends in its padding")
        more = payload[at]
        at += 1
        padding += 254 if more == 255 else more
        if more < 255:
            return at, padding


def _length(payload: bytes, at: int) -> tuple[int, int]:
    """One or two bytes of a frame's length (section 3.2.1), and where they end."""
    if at >= len(payload):
        raise MalformedAudioError("an Opus packet ends in a length")
    first = payload[at]
    if first < 252:
        return first, at + 1
    if at + 1 >= len(payload):
        raise MalformedAudioError("an Opus packet ends in a length")
    return 4 * payload[at + 1] + first, at + 2


_UNPACK = (_one, _two_alike, _two, _any)
