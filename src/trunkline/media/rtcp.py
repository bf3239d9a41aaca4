"""RTCP packets (RFC 3550 section 6), to and from the wire.

`RtcpCompound` is one datagram: reports, descriptions and goodbyes. What else may be
in it (APP, feedback, types not yet invented) is skipped and counted. The state
machine that sends and receives them is `RtcpSession`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct

from trunkline.errors import UsageError

from .errors import MalformedRtcpError
from .rtcp_xr import XR, ExtendedReport

__all__ = [
    "CNAME",
    "Goodbye",
    "ReceiverReport",
    "ReportBlock",
    "RtcpCompound",
    "SdesChunk",
    "SdesItem",
    "SenderReport",
    "SourceDescription",
]

CNAME = 1
"""The SDES item every compound packet carries (RFC 3550 6.5.1)."""

_SR, _RR, _SDES, _BYE = 200, 201, 202, 203
_HEADER = Struct("!BBH")
_SENDER = Struct("!IQIII")
_BLOCK = Struct("!IIIIII")
_SSRC = Struct("!I")
_MOST = 31  # what the header's five-bit count can say
_LONGEST_TEXT_BYTES = 255
_U24, _U32 = 0xFFFFFF, 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What one side received of one source (RFC 3550 6.4.1)."""

    ssrc: int
    """The source this speaks of."""
    fraction_lost: int
    """Lost since the last report, in 1/256 of what was expected."""
    cumulative_lost: int
    """Lost since the beginning; 24 bits, negative where duplicates outnumber losses."""
    highest_extended: int
    """Highest sequence number received, with its cycles in the upper 16 bits."""
    jitter_units: int
    """Interarrival jitter in timestamp units."""
    last_sr: int
    """Middle 32 bits of the last sender report's NTP time; 0 if there was none."""
    delay_since_last_sr: int
    """From receiving that report to sending this block, in 1/65536 s."""

    @classmethod
    def parse(cls, data: bytes, offset: int = 0) -> "ReportBlock":
        """Read the 24 bytes at ``offset``; the caller has checked that they are there."""
        ssrc, lost, highest, jitter, last_sr, delay = _BLOCK.unpack_from(data, offset)
        cumulative = (lost & _U24) - ((lost & 0x800000) << 1)
        return cls(ssrc, lost >> 24, cumulative, highest, jitter, last_sr, delay)

    def __bytes__(self) -> bytes:
        lost = self.fraction_lost << 24 | self.cumulative_lost & _U24
        return _BLOCK.pack(
            self.ssrc,
            lost,
            self.highest_extended,
            self.jitter_units,
            self.last_sr,
            self.delay_since_last_sr,
        )


@dataclass(frozen=True, slots=True)
class SenderReport:
    """SR: what a side has sent, and received (RFC 3550 6.4.1)."""

    ssrc: int
    """Who reports."""
    ntp: int
    """Wall clock, 64-bit NTP: seconds since 1900 in the upper half."""
    rtp_timestamp: int
    """The same instant in the stream's timestamps."""
    packets: int
    """Packets sent so far, 32 bits."""
    octets: int
    """Payload bytes sent so far, 32 bits."""
    reports: tuple[ReportBlock, ...] = ()
    """One block a source heard."""

    def __bytes__(self) -> bytes:
        sender = _SENDER.pack(self.ssrc, self.ntp, self.rtp_timestamp, self.packets, self.octets)
        return _packet(_SR, len(self.reports), sender + b"".join(map(bytes, self.reports)))


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """RR: what a side that sends nothing has received (RFC 3550 6.4.2)."""

    ssrc: int
    """Who reports."""
    reports: tuple[ReportBlock, ...] = ()
    """One block a source heard."""

    def __bytes__(self) -> bytes:
        body = _SSRC.pack(self.ssrc) + b"".join(map(bytes, self.reports))
        return _packet(_RR, len(self.reports), body)


@dataclass(frozen=True, slots=True)
class SdesItem:
    """One fact about a source (RFC 3550 6.5)."""

    kind: int
    """1 CNAME, 2 NAME, 3 EMAIL, 4 PHONE, 5 LOC, 6 TOOL, 7 NOTE, 8 PRIV."""
    text: str
    """At most 255 bytes in UTF-8; what was not UTF-8 is replaced."""


@dataclass(frozen=True, slots=True)
class SdesChunk:
    """What is said of one source."""

    ssrc: int
    """The source."""
    items: tuple[SdesItem, ...]
    """The facts, in order."""

    def __bytes__(self) -> bytes:
        body = _SSRC.pack(self.ssrc)
        for item in self.items:
            if not 1 <= item.kind <= 255:
                raise UsageError(f"an SDES item is of kind 1 to 255, not {item.kind}")
            body += bytes([item.kind]) + _text(item.text)
        # The list ends with a null byte, and with more up to the next 32-bit word.
        return body + bytes(4 - len(body) % 4)


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """SDES: who the sources are (RFC 3550 6.5)."""

    chunks: tuple[SdesChunk, ...]
    """One chunk a source, at most 31."""

    def __bytes__(self) -> bytes:
        return _packet(_SDES, len(self.chunks), b"".join(map(bytes, self.chunks)))


@dataclass(frozen=True, slots=True)
class Goodbye:
    """BYE: sources that are leaving (RFC 3550 6.6)."""

    ssrcs: tuple[int, ...]
    """Who leaves, at most 31."""
    reason: str | None = None
    """Why, at most 255 bytes in UTF-8."""

    def __bytes__(self) -> bytes:
        body = b"".join(map(_SSRC.pack, self.ssrcs))
        if self.reason is not None:
            body += _text(self.reason)
            body += bytes(-len(body) % 4)
        return _packet(_BYE, len(self.ssrcs), body)


RtcpPacket = SenderReport | ReceiverReport | SourceDescription | Goodbye | ExtendedReport


@dataclass(frozen=True, slots=True)
class RtcpCompound:
    """One RTCP datagram: several packets, of which the first is a report."""

    packets: tuple[RtcpPacket, ...]
    """What we understand, in order."""
    skipped: int = 0
    """Packets of types we do not read (APP, feedback, unknown), and broken extended reports."""

    @classmethod
    def parse(cls, data: bytes) -> "RtcpCompound":
        """Read one datagram; raises `MalformedRtcpError` for what is not one.

        As strict as RFC 3550 A.2: every packet is version 2, the first is a report
        without padding, only the last may be padded, and the lengths add up.
        """
        packets: list[RtcpPacket] = []
        skipped = 0
        for kind, count, body in _split(data):
            packet = _parse_packet(kind, count, body)
            if packet is None:
                skipped += 1
            else:
                packets.append(packet)
        return cls(tuple(packets), skipped)

    def __bytes__(self) -> bytes:
        return b"".join(map(bytes, self.packets))


def _packet(kind: int, count: int, body: bytes) -> bytes:
    """A packet with its header; the length counts words and leaves one out."""
    if count > _MOST:
        raise UsageError(f"an RTCP packet names at most {_MOST} sources, not {count}")
    return _HEADER.pack(0x80 | count, kind, len(body) // 4) + body


def _text(text: str) -> bytes:
    """A text with its length in front."""
    encoded = text.encode()
    if len(encoded) > _LONGEST_TEXT_BYTES:
        raise UsageError(f"a text in RTCP has at most 255 bytes, not {len(encoded)}")
    return bytes([len(encoded)]) + encoded


def _split(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(packet type, count, body without padding) of each packet in a datagram."""
    if len(data) < 8 or data[0] & 0xE0 != 0x80 or data[1] not in (_SR, _RR):
        raise MalformedRtcpError("a compound RTCP packet begins with a report, version 2")
    offset = 0
    while offset < len(data):
        if len(data) - offset < 4:
            raise MalformedRtcpError(f"{len(data) - offset} bytes after the last RTCP packet")
        first, kind, words = _HEADER.unpack_from(data, offset)
        end = offset + 4 + 4 * words
        if first & 0xC0 != 0x80 or end > len(data):
            raise MalformedRtcpError("an RTCP packet of another version, or cut short")
        body = data[offset + 4 : end]
        if first & 0x20:
            body = _without_padding(body, end == len(data))
        yield kind, first & 0x1F, body
        offset = end


def _without_padding(body: bytes, last: bool) -> bytes:
    padding_bytes = body[-1] if body else 0
    if not last or not 0 < padding_bytes <= len(body) or padding_bytes % 4:
        raise MalformedRtcpError("RTCP padding is whole words at the end of the last packet")
    return body[: len(body) - padding_bytes]


def _parse_packet(kind: int, count: int, body: bytes) -> RtcpPacket | None:
    """One packet, or None for a type we skip."""
    if kind == _SR:
        reports = _parse_blocks(body, _SENDER.size, count)
        ssrc, ntp, rtp_timestamp, sent, octets = _SENDER.unpack_from(body)
        return SenderReport(ssrc, ntp, rtp_timestamp, sent, octets, reports)
    if kind == _RR:
        reports = _parse_blocks(body, _SSRC.size, count)
        return ReceiverReport(_SSRC.unpack_from(body)[0], reports)
    if kind == _SDES:
        return _parse_description(body, count)
    if kind == _BYE:
        return _parse_goodbye(body, count)
    if kind == XR:
        return _parse_extended(body)
    return None


def _parse_extended(body: bytes) -> ExtendedReport | None:
    """An extended report; one that is broken must not cost the reports before it."""
    try:
        return ExtendedReport.parse(body)
    except MalformedRtcpError:
        return None


def _parse_blocks(body: bytes, start: int, count: int) -> tuple[ReportBlock, ...]:
    """The report blocks; what follows them is a profile's own extension and is left."""
    end = start + count * _BLOCK.size
    if end > len(body):
        raise MalformedRtcpError(f"a report with {count} blocks does not fit in {len(body)} bytes")
    return tuple(ReportBlock.parse(body, at) for at in range(start, end, _BLOCK.size))


def _parse_description(body: bytes, count: int) -> SourceDescription:
    chunks = []
    offset = 0
    for _ in range(count):
        if len(body) < offset + 8:
            raise MalformedRtcpError("a source description is cut short")
        (ssrc,) = _SSRC.unpack_from(body, offset)
        items, offset = _parse_items(body, offset + 4)
        chunks.append(SdesChunk(ssrc, items))
    return SourceDescription(tuple(chunks))


def _parse_items(body: bytes, offset: int) -> tuple[tuple[SdesItem, ...], int]:
    """The items of one chunk, and where the next chunk begins."""
    items: list[SdesItem] = []
    while offset < len(body):
        kind = body[offset]
        if kind == 0:
            return tuple(items), (offset | 3) + 1
        text, offset = _parse_text(body, offset + 1)
        items.append(SdesItem(kind, text))
    raise MalformedRtcpError("a source description does not end")


def _parse_goodbye(body: bytes, count: int) -> Goodbye:
    end = 4 * count
    if end > len(body):
        raise MalformedRtcpError(f"{count} leaving sources do not fit in {len(body)} bytes")
    ssrcs = Struct(f"!{count}I").unpack_from(body)
    return Goodbye(ssrcs, _parse_text(body, end)[0] if len(body) > end else None)


def _parse_text(body: bytes, offset: int) -> tuple[str, int]:
    """A text with its length in front, and where it ends."""
    start = offset + 1
    end = start + body[offset] if offset < len(body) else len(body) + 1
    if end > len(body):
        raise MalformedRtcpError("a text is longer than its RTCP packet")
    return body[start:end].decode(errors="replace"), end
