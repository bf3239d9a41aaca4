"""HEP3: what a capture agent tells a HOMER server, a datagram for each message.

A packet is the four letters HEP3, its length, and chunks of vendor, type, length and
content; vendor 0 is the generic set (HEP3 network protocol specification, rev. 36). SIP
goes as it was on the wire; RTCP and quality reports go as JSON, joined to their call by
the correlation identifier: SIP's Call-ID.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from ipaddress import ip_address
from struct import Struct

from trunkline.errors import PeerError, UsageError

__all__ = ["HepError", "HepPacket", "HepPayload"]

_MAGIC = b"HEP3"
_HEADER = Struct("!4sH")
_CHUNK = Struct("!HHH")
_IPV4, _IPV6 = 2, 10
_LONGEST = 0xFFFF
(_FAMILY, _PROTOCOL, _FROM_4, _TO_4, _FROM_6, _TO_6, _FROM_PORT, _TO_PORT, _SECONDS,
 _MICROSECONDS, _PAYLOAD_TYPE, _AGENT) = range(1, 13)  # fmt: skip
_KEY, _PAYLOAD, _CORRELATION = 14, 15, 17


class HepError(PeerError):
    """Bytes that are no HEP3 packet."""


class HepPayload(IntEnum):
    """What a packet carries (chunk 11)."""

    SIP = 1
    RTCP = 5
    """A report as JSON."""
    QOS = 32
    """Figures of a stream as JSON."""
    LOG = 100


@dataclass(frozen=True, slots=True)
class HepPacket:
    """One captured message."""

    source: tuple[str, int]
    """Address and port it came from."""
    destination: tuple[str, int]
    """Address and port it went to."""
    time: float
    """Wall clock, seconds since 1970, to the microsecond."""
    kind: int
    """A `HepPayload`."""
    payload: bytes
    agent: int = 1
    """Which capture agent says so, 32 bits."""
    protocol: int = 17
    """IP protocol: 17 UDP, 6 TCP."""
    correlation: str = ""
    """The call; empty: not said."""
    key: str = field(default="", repr=False)
    """What the server knows us by; empty: nothing."""

    def __bytes__(self) -> bytes:
        """Raises `UsageError` for addresses of two families or more than 64 KB."""
        source, destination = ip_address(self.source[0]), ip_address(self.destination[0])
        if source.version != destination.version:
            raise UsageError("a packet does not go from IPv4 to IPv6")
        old = source.version == 4
        # The microseconds are rounded with the seconds, lest a million of them come out.
        seconds, microseconds = divmod(round(self.time * 1_000_000), 1_000_000)
        chunks = [
            _chunk(_FAMILY, bytes([_IPV4 if old else _IPV6])),
            _chunk(_PROTOCOL, bytes([self.protocol])),
            _chunk(_FROM_4 if old else _FROM_6, source.packed),
            _chunk(_TO_4 if old else _TO_6, destination.packed),
            _chunk(_FROM_PORT, self.source[1].to_bytes(2, "big")),
            _chunk(_TO_PORT, self.destination[1].to_bytes(2, "big")),
            _chunk(_SECONDS, (seconds & 0xFFFFFFFF).to_bytes(4, "big")),
            _chunk(_MICROSECONDS, microseconds.to_bytes(4, "big")),
            _chunk(_PAYLOAD_TYPE, bytes([self.kind])),
            _chunk(_AGENT, self.agent.to_bytes(4, "big")),
        ]
        if self.key:
            chunks.append(_chunk(_KEY, self.key.encode()))
        if self.correlation:
            chunks.append(_chunk(_CORRELATION, self.correlation.encode()))
        chunks.append(_chunk(_PAYLOAD, self.payload))
        body = b"".join(chunks)
        length = _HEADER.size + len(body)
        if length > _LONGEST:
            raise UsageError(f"a HEP3 packet has at most {_LONGEST} bytes, not {length}")
        return _HEADER.pack(_MAGIC, length) + body

    @classmethod
    def parse(cls, data: bytes) -> "HepPacket":
        """Read a packet; chunks of other vendors and types are passed over.

        Raises `HepError` for what is none, or lacks addresses or a payload.
        """
        found = _chunks(data)
        old = _FROM_4 in found
        try:
            source = str(ip_address(found[_FROM_4 if old else _FROM_6]))
            destination = str(ip_address(found[_TO_4 if old else _TO_6]))
            return cls(
                (source, _number(found[_FROM_PORT], 2)),
                (destination, _number(found[_TO_PORT], 2)),
                _number(found[_SECONDS], 4) + _number(found[_MICROSECONDS], 4) / 1_000_000,
                _number(found[_PAYLOAD_TYPE], 1),
                found[_PAYLOAD],
                _number(found.get(_AGENT, bytes(4)), 4),
                _number(found[_PROTOCOL], 1),
                found.get(_CORRELATION, b"").decode(errors="replace"),
                found.get(_KEY, b"").decode(errors="replace"),
            )
        except KeyError as error:
            raise HepError(f"a HEP3 packet without its chunk {error.args[0]}") from None
        except ValueError as error:
            raise HepError("a HEP3 packet with an address that is none") from error


def _chunk(kind: int, content: bytes) -> bytes:
    length = _CHUNK.size + len(content)
    if length > _LONGEST:
        raise UsageError(f"a HEP3 chunk has at most {_LONGEST} bytes, not {length}")
    return _CHUNK.pack(0, kind, length) + content


def _chunks(data: bytes) -> dict[int, bytes]:
    """The generic chunks by type."""
    if len(data) < _HEADER.size or _HEADER.unpack_from(data) != (_MAGIC, len(data)):
        raise HepError("no HEP3 packet, or one cut short")
    found: dict[int, bytes] = {}
    offset = _HEADER.size
    while offset < len(data):
        if len(data) - offset < _CHUNK.size:
            raise HepError("a HEP3 chunk is cut short")
        vendor, kind, length = _CHUNK.unpack_from(data, offset)
        if length < _CHUNK.size or offset + length > len(data):
            raise HepError("a HEP3 chunk of an impossible length")
        if vendor == 0:
            found[kind] = data[offset + _CHUNK.size : offset + length]
        offset += length
    return found


def _number(content: bytes, size: int) -> int:
    if len(content) != size:
        raise HepError(f"a number of {size} bytes has {len(content)}")
    return int.from_bytes(content, "big")
