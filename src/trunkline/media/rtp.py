"""RTP packets (RFC 3550 section 5), to and from the wire.

`RtpPacket` holds everything a packet can say. The hot path does not build one:
`parse_fast` gives a tuple, `RtpSender.next` gives bytes.
"""

from dataclasses import dataclass
from enum import Enum
from struct import Struct
from typing import Protocol

from trunkline.errors import UsageError

from .errors import MalformedRtpError

__all__ = [
    "HEADER",
    "Datagram",
    "HeaderExtension",
    "RandomBits",
    "RtpPacket",
    "RtpSender",
    "classify",
    "is_rtcp",
    "parse_fast",
]

# V, P, X, CC in the first byte; M, PT in the second; sequence; timestamp; SSRC.
HEADER = Struct("!BBHII")
HEADER_BYTES = HEADER.size

_VERSION = 2 << 6
_PADDING, _EXTENSION, _CSRC_COUNT = 0x20, 0x10, 0x0F
_MARKER = 0x80
_EXTENSION_HEADER = Struct("!HH")
# The same twelve bytes without the first, which the hot path has compared already.
_AFTER_FIRST = Struct("!xBHII").unpack_from

_HEADER_PACK = HEADER.pack
_U16, _U32 = 0xFFFF, 0xFFFFFFFF

_HotPacket = tuple[int, bool, int, int, int, bytes]


class RandomBits(Protocol):
    """A source of randomness, given at construction: any `random.Random` is one.

    A switchboard gives ``random.SystemRandom()``: RFC 3550 9.1 wants identifiers
    that an attacker cannot guess.
    """

    def getrandbits(self, k: int, /) -> int:
        """A number of k random bits."""


class Datagram(Enum):
    """What a datagram on a media port is."""

    RTP = "rtp"
    RTCP = "rtcp"
    STUN = "stun"
    DTLS = "dtls"
    OTHER = "other"


def is_rtcp(data: bytes) -> bool:
    """Whether a datagram on a shared port is RTCP and not RTP (RFC 5761 section 4).

    RTCP's packet types 192 to 223 are RTP payload types 64 to 95, which nobody may use.
    """
    return len(data) >= 2 and 192 <= data[1] <= 223


def classify(data: bytes) -> Datagram:
    """What a datagram is, by its first byte (RFC 7983 section 7)."""
    first = data[0] if data else 0xFF
    if 128 <= first <= 191:
        return Datagram.RTCP if is_rtcp(data) else Datagram.RTP
    if first <= 3:
        return Datagram.STUN
    if 20 <= first <= 63:
        return Datagram.DTLS
    return Datagram.OTHER


@dataclass(frozen=True, slots=True)
class HeaderExtension:
    """The header extension of an RTP packet (RFC 3550 5.3.1)."""

    profile: int
    """16 bits whose meaning the profile defines (0xBEDE: RFC 8285 one-byte elements)."""
    data: bytes
    """What follows the length; whole 32-bit words."""


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One RTP packet (RFC 3550 5.1).

    Raises `UsageError` for a field that does not fit its place on the wire.
    """

    payload_type: int
    """7 bits: what the payload is (RFC 3551, or as negotiated)."""
    sequence: int
    """16 bits, one more with each packet."""
    timestamp: int
    """32 bits, in units of the payload's clock rate."""
    ssrc: int
    """32 bits naming the source."""
    payload: bytes = b""
    """The payload, without padding."""
    marker: bool = False
    """In audio: the first packet of a talkspurt."""
    csrcs: tuple[int, ...] = ()
    """The sources a mixer mixed, at most 15."""
    extension: HeaderExtension | None = None
    """The header extension, if there is one."""
    padding_bytes: int = 0
    """Padding after the payload, 0 to 255 bytes with its count."""

    def __post_init__(self) -> None:
        fields_fit = (
            0 <= self.payload_type <= 127
            and 0 <= self.sequence <= _U16
            and 0 <= self.timestamp <= _U32
            and 0 <= self.ssrc <= _U32
            and 0 <= self.padding_bytes <= 255
            and all(0 <= csrc <= _U32 for csrc in self.csrcs)
        )
        if not fields_fit:
            raise UsageError(f"a field is too large for an RTP header: {self!r}")
        if len(self.csrcs) > _CSRC_COUNT:
            raise UsageError(f"an RTP packet names at most 15 sources, not {len(self.csrcs)}")
        words, rest = divmod(len(self.extension.data), 4) if self.extension else (0, 0)
        if rest or words > _U16 or (self.extension and not 0 <= self.extension.profile <= _U16):
            raise UsageError("a header extension is whole 32-bit words with a 16-bit profile")

    @classmethod
    def parse(cls, data: bytes) -> "RtpPacket":
        """Read one packet; raises `MalformedRtpError` for what is not one."""
        if len(data) < HEADER_BYTES:
            raise MalformedRtpError(f"an RTP header has 12 bytes, this datagram {len(data)}")
        first, second, sequence, timestamp, ssrc = HEADER.unpack_from(data)
        if first & 0xC0 != _VERSION:
            raise MalformedRtpError(f"RTP version {first >> 6}, not 2")
        csrcs, start = _parse_csrcs(data, first & _CSRC_COUNT)
        extension = None
        if first & _EXTENSION:
            extension, start = _parse_extension(data, start)
        padding_bytes = _count_padding(data, start) if first & _PADDING else 0
        return cls(
            payload_type=second & 0x7F,
            sequence=sequence,
            timestamp=timestamp,
            ssrc=ssrc,
            payload=bytes(data[start : len(data) - padding_bytes]),
            marker=second >= _MARKER,
            csrcs=csrcs,
            extension=extension,
            padding_bytes=padding_bytes,
        )

    def __bytes__(self) -> bytes:
        first = _VERSION | len(self.csrcs)
        second = self.payload_type | (_MARKER if self.marker else 0)
        middle = b"".join(csrc.to_bytes(4, "big") for csrc in self.csrcs)
        padding = b""
        if self.extension is not None:
            first |= _EXTENSION
            words = len(self.extension.data) // 4
            middle += _EXTENSION_HEADER.pack(self.extension.profile, words) + self.extension.data
        if self.padding_bytes:
            first |= _PADDING
            padding = bytes(self.padding_bytes - 1) + bytes([self.padding_bytes])
        header = HEADER.pack(first, second, self.sequence, self.timestamp, self.ssrc)
        return header + middle + self.payload + padding


def _parse_csrcs(data: bytes, count: int) -> tuple[tuple[int, ...], int]:
    """The contributing sources, and where they end."""
    end = HEADER_BYTES + 4 * count
    if len(data) < end:
        raise MalformedRtpError(f"{count} contributing sources do not fit in {len(data)} bytes")
    return Struct(f"!{count}I").unpack_from(data, HEADER_BYTES), end


def _parse_extension(data: bytes, start: int) -> tuple[HeaderExtension, int]:
    """The header extension that begins at ``start``, and where it ends."""
    if len(data) < start + 4:
        raise MalformedRtpError("the header extension is cut short")
    profile, words = _EXTENSION_HEADER.unpack_from(data, start)
    end = start + 4 + 4 * words
    if len(data) < end:
        raise MalformedRtpError(f"a header extension of {words} words is longer than its packet")
    return HeaderExtension(profile, bytes(data[start + 4 : end])), end


def _count_padding(data: bytes, start: int) -> int:
    """How many bytes of padding the last byte claims, if they are there."""
    padding_bytes = data[-1] if len(data) > start else 0
    if not 0 < padding_bytes <= len(data) - start:
        raise MalformedRtpError(f"{padding_bytes} bytes of padding in {len(data) - start}")
    return padding_bytes


def parse_fast(data: bytes) -> _HotPacket | None:
    """(payload type, marker, sequence, timestamp, SSRC, payload); None if not RTP.

    The hot path, for the packet every telephone sends: version 2 and nothing else in
    the first byte. Anything unusual is read by `RtpPacket.parse`, to the same result.
    """
    if len(data) >= 12 and data[0] == 0x80:
        second, sequence, timestamp, ssrc = _AFTER_FIRST(data)
        return second & 0x7F, second >= 0x80, sequence, timestamp, ssrc, data[12:]
    try:
        packet = RtpPacket.parse(data)
    except MalformedRtpError:
        return None
    return (
        packet.payload_type,
        packet.marker,
        packet.sequence,
        packet.timestamp,
        packet.ssrc,
        packet.payload,
    )


class RtpSender:
    """The state of one outgoing stream: SSRC, sequence number, timestamp, counts.

    SSRC, first sequence number and first timestamp are random (RFC 3550 5.1).
    """

    __slots__ = ("octets", "packets", "payload_type", "sequence", "ssrc", "timestamp")

    def __init__(self, payload_type: int, rng: RandomBits) -> None:
        if not 0 <= payload_type <= 127:
            raise UsageError(f"an RTP payload type is 0 to 127, not {payload_type}")
        self.payload_type = payload_type
        self.ssrc = rng.getrandbits(32)
        self.sequence = rng.getrandbits(16)
        """The next packet's sequence number."""
        self.timestamp = rng.getrandbits(32)
        """The timestamp of the next sample."""
        self.packets = 0
        """Packets sent, for sender reports; wraps at 32 bits (RFC 3550 6.4.1)."""
        self.octets = 0
        """Payload bytes sent, for sender reports; wraps at 32 bits."""

    def next(
        self, payload: bytes, samples: int, marker: bool = False, payload_type: int | None = None
    ) -> bytes:
        """The next packet; the timestamp then moves on by the payload's samples."""
        second = self.payload_type if payload_type is None else payload_type
        sequence, timestamp = self.sequence, self.timestamp
        self.sequence = sequence + 1 & 0xFFFF
        self.timestamp = timestamp + samples & 0xFFFFFFFF
        self.packets += 1
        self.octets += len(payload)
        if marker:
            second |= 0x80
        return _HEADER_PACK(0x80, second, sequence, timestamp, self.ssrc) + payload

    def next_at(
        self, timestamp: int, payload: bytes, payload_type: int, marker: bool = False
    ) -> bytes:
        """A packet with a timestamp of its own, which moves nothing on (DTMF events)."""
        sequence = self.sequence
        self.sequence = sequence + 1 & 0xFFFF
        self.packets += 1
        self.octets += len(payload)
        second = payload_type | 0x80 if marker else payload_type
        return _HEADER_PACK(0x80, second, sequence, timestamp & _U32, self.ssrc) + payload

    def skip(self, samples: int) -> None:
        """Let time pass without a packet: the timestamp moves on, the sequence does not."""
        self.timestamp = self.timestamp + samples & _U32
