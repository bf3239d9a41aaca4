"""Session descriptions: read and write (RFC 8866).

A description is kept as it was read, line for line, so that an answer can mirror
what an offer said. What to offer and answer is decided in `offer_answer`.
"""

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from .errors import SdpError

__all__ = ["Codec", "Direction", "MediaDescription", "Origin", "SessionDescription"]

_LINE = re.compile(r"^([^\r\n])=([^\r\n]*)\r?$", re.MULTILINE)

Attributes = tuple[tuple[str, str | None], ...]

MAX_LINES = 1024
"""A description with more is refused."""

# RFC 3551 section 6: what a payload type means without an rtpmap.
_STATIC = {"0": "PCMU/8000", "3": "GSM/8000", "8": "PCMA/8000", "9": "G722/8000",
           "13": "CN/8000", "18": "G729/8000"}  # fmt: skip


_TYPES = {str(number): number for number in range(128)}


class Direction(StrEnum):
    """Who sends, from the describer's point of view (RFC 8866 section 6.7)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @classmethod
    def of(cls, *, sends: bool, receives: bool) -> "Direction":
        """The direction in which this is so."""
        if sends:
            return cls.SENDRECV if receives else cls.SENDONLY
        return cls.RECVONLY if receives else cls.INACTIVE

    @property
    def sends(self) -> bool:
        """Whether the describer means to send."""
        return self in (Direction.SENDRECV, Direction.SENDONLY)

    @property
    def receives(self) -> bool:
        """Whether the describer means to receive."""
        return self in (Direction.SENDRECV, Direction.RECVONLY)

    @property
    def reversed(self) -> "Direction":
        """The same seen from the other side."""
        return Direction.of(sends=self.receives, receives=self.sends)


class Codec(NamedTuple):
    """One payload format of a media line."""

    name: str
    """Encoding name in upper case, ``PCMU``, ``TELEPHONE-EVENT``."""
    payload_type: int
    """0 to 127."""
    rate_hz: int = 8000
    """RTP clock rate."""
    parameters: str = ""
    """The fmtp line's text."""
    channels: int = 1
    """1, or 2 for stereo, which Opus always says."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The o= line: which session, in which version."""

    session_id: str
    """Digits, in practice any token."""
    version: int
    """Goes up by one with every change (RFC 3264 section 8)."""
    address: str
    """Of the one who made it; IPv4 or IPv6."""
    username: str = "-"
    """No blanks."""


@dataclass(frozen=True, slots=True)
class MediaDescription:
    """An m= line and everything under it."""

    kind: str
    """``audio``, ``video``, ``image`` ..."""
    port: int
    """Where RTP is wanted; 0: refused or off."""
    protocol: str
    """``RTP/AVP``, ``RTP/SAVP`` ..."""
    formats: tuple[str, ...]
    """Payload types, the most wanted first."""
    connection: str | None = None
    """This line's own c= address; None: the session's."""
    attributes: Attributes = ()
    """In order; None as value for a flag."""
    other: tuple[tuple[str, str], ...] = ()
    """i=, b= and k= lines."""
    port_count: int = 1
    """For layered media; 1 for all audio."""

    def attribute(self, name: str) -> str | None:
        """The first of that name; "" for a flag, None if it is not there."""
        for key, value in self.attributes:
            if key == name:
                return value or ""
        return None

    def all(self, name: str) -> tuple[str, ...]:
        """Every attribute of that name that has a value."""
        return tuple(value for key, value in self.attributes if key == name and value)

    @property
    def codecs(self) -> tuple[Codec, ...]:
        """The payload formats in order of preference; unreadable ones left out."""
        mapped, parameters = self._by_type()
        codecs = []
        for payload_type in self.formats:
            said = mapped.get(payload_type) or _STATIC.get(payload_type, "")
            name, _, rest = said.partition("/")
            rate, _, channels = rest.partition("/")
            number, rate_hz = _TYPES.get(payload_type), _number(rate, 10**6)
            if name and number is not None and rate_hz is not None:
                many = _number(channels, 255) if channels else 1
                given = parameters.get(payload_type, "")
                codecs.append(
                    Codec(name.upper(), number, rate_hz, given, 1 if many is None else many)
                )
        return tuple(codecs)

    def _by_type(self) -> tuple[dict[str, str], dict[str, str]]:
        """The rtpmap and the fmtp lines, the first of each, by payload type."""
        mapped: dict[str, str] = {}
        parameters: dict[str, str] = {}
        for key, value in self.attributes:
            if value and key in ("rtpmap", "fmtp"):
                payload_type, _, text = value.partition(" ")
                found = mapped if key == "rtpmap" else parameters
                found.setdefault(payload_type, text.strip())
        return mapped, parameters

    @property
    def ptime_ms(self) -> int | None:
        """Milliseconds of audio in a packet the describer wants, if said and sane."""
        return self._milliseconds("ptime")

    @property
    def maxptime_ms(self) -> int | None:
        """The most the describer takes in a packet, if said and sane."""
        return self._milliseconds("maxptime")

    def _milliseconds(self, name: str) -> int | None:
        return _number((self.attribute(name) or "").strip(), 500) or None


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """A whole description."""

    origin: Origin
    media: tuple[MediaDescription, ...] = ()
    connection: str | None = None
    """The session level c= address."""
    attributes: Attributes = ()
    """Session level."""
    name: str = "-"
    """The s= line; never written empty, some peers choke on it."""
    other: tuple[tuple[str, str], ...] = ()
    """i=, u=, e=, p=, b=, z=, k= and r= lines."""
    timing: tuple[str, ...] = ("0 0",)
    """The t= lines."""

    @classmethod
    def parse(cls, data: bytes) -> "SessionDescription":
        """Read one; raises SdpError (code 400)."""
        lines = _lines(data)
        if not lines or lines[0][0] != "v" or lines[0][1].strip() != "0":
            raise SdpError("Malformed SDP: no version")
        sections: list[_Section] = []
        section = head = _Section("")
        origin, name, timing = "", "-", []
        for key, value in lines:
            if key == "a":
                title, colon, text = value.partition(":")
                section.attributes.append((title.strip(), text if colon else None))
            elif key == "m":
                section = _Section(value)
                sections.append(section)
            elif key == "c":
                section.connection = section.connection or _parse_connection(value)
            elif section is not head:
                if key in "ibk":
                    section.other.append((key, value))
            elif key == "o":
                origin = value
            elif key == "s":
                name = value or "-"
            elif key == "t":
                timing.append(value)
            elif key in "iuepbzkr":
                head.other.append((key, value))
        if not origin:
            raise SdpError("Malformed SDP: no origin")
        return cls(
            _parse_origin(origin),
            tuple([_parse_media(section) for section in sections]),
            head.connection,
            tuple(head.attributes),
            name,
            tuple(head.other),
            tuple(timing) or ("0 0",),
        )

    def direction(self, media: MediaDescription) -> Direction:
        """What the describer wants of one of its media lines (RFC 3264 section 5.1).

        A c= of 0.0.0.0 is hold as it was done before there were directions
        (RFC 3264 section 8.4): nothing may be sent there.
        """
        direction = Direction.SENDRECV
        for attributes in (self.attributes, media.attributes):
            for name, _ in attributes:
                if name in Direction._value2member_map_:
                    direction = Direction(name)
        if media.port == 0:
            return Direction.INACTIVE
        if self.address(media) in ("0.0.0.0", "::"):
            return Direction.of(sends=direction.sends, receives=False)
        return direction

    def address(self, media: MediaDescription) -> str | None:
        """Where a media line's packets are wanted."""
        return media.connection or self.connection

    def same_session(self, other: "SessionDescription") -> bool:
        """Whether both differ in nothing but the version."""
        return replace(self, origin=replace(self.origin, version=0)) == replace(
            other, origin=replace(other.origin, version=0)
        )

    def __bytes__(self) -> bytes:
        origin = self.origin
        lines = [
            "v=0",
            f"o={origin.username} {origin.session_id} {origin.version} {_network(origin.address)}",
            f"s={self.name or '-'}",
        ]
        lines += [f"{key}={value}" for key, value in self.other if key in "iuep"]
        if self.connection is not None:
            lines.append(f"c={_network(self.connection)}")
        lines += [f"{key}={value}" for key, value in self.other if key == "b"]
        lines += [f"t={value}" for value in self.timing]
        lines += [f"{key}={value}" for key, value in self.other if key in "rzk"]
        lines += _attribute_lines(self.attributes)
        for media in self.media:
            lines += _media_lines(media)
        return ("\r\n".join(lines) + "\r\n").encode("utf-8", "surrogateescape")


def _lines(data: bytes) -> list[tuple[str, str]]:
    whole = data.decode("utf-8", "surrogateescape")
    count = whole.count("\n") + (not whole.endswith("\n"))
    if count > MAX_LINES:
        raise SdpError("Malformed SDP: too many lines")
    lines: list[tuple[str, str]] = _LINE.findall(whole)
    if len(lines) == count:
        return lines
    raw = whole.split("\n")
    lines = []
    for text in raw:
        text = text.rstrip("\r")
        if text[1:2] == "=" and "\r" not in text:
            lines.append((text[0], text[2:]))
        elif text.strip():
            raise SdpError("Malformed SDP line")
    return lines


class _Section:
    """What has been read of a media line, or of what comes before the first."""

    __slots__ = ("attributes", "connection", "line", "other")

    def __init__(self, line: str) -> None:
        self.line = line
        self.connection: str | None = None
        self.attributes: list[tuple[str, str | None]] = []
        self.other: list[tuple[str, str]] = []


def _parse_origin(text: str) -> Origin:
    parts = text.split()
    if len(parts) != 6:
        raise SdpError("Malformed SDP origin")
    username, session_id, version, _, _, address = parts
    # Real peers write 64 bit NTP times here, and some write more.
    if not (version.isascii() and version.isdecimal() and len(version) <= 40):
        raise SdpError("Malformed SDP origin")
    return Origin(session_id, int(version), address, username)


def _parse_connection(text: str) -> str:
    parts = text.split()
    if len(parts) != 3 or parts[0] != "IN" or parts[1] not in ("IP4", "IP6"):
        raise SdpError("Malformed SDP connection")
    return parts[2].partition("/")[0]


def _parse_media(section: _Section) -> MediaDescription:
    parts = section.line.split()
    if len(parts) < 4:
        raise SdpError("Malformed SDP media line")
    port, slash, count = parts[1].partition("/")
    where, many = _number(port, 65535), _number(count, 255) if slash else 1
    if where is None or many is None:
        raise SdpError("Malformed SDP media line")
    return MediaDescription(
        parts[0],
        where,
        parts[2],
        tuple(parts[3:]),
        section.connection,
        tuple(section.attributes),
        tuple(section.other),
        many,
    )


def _number(text: str, limit: int) -> int | None:
    """A decimal number that is not above ``limit``, or None."""
    if len(text) <= 7 and text.isascii() and text.isdecimal() and (number := int(text)) <= limit:
        return number
    return None


def _network(address: str) -> str:
    return f"IN {'IP6' if ':' in address else 'IP4'} {address}"


def _attribute_lines(attributes: Attributes) -> list[str]:
    return [f"a={name}" if value is None else f"a={name}:{value}" for name, value in attributes]


def _media_lines(media: MediaDescription) -> list[str]:
    count = f"/{media.port_count}" if media.port_count != 1 else ""
    lines = [f"m={media.kind} {media.port}{count} {media.protocol} {' '.join(media.formats)}"]
    lines += [f"{key}={value}" for key, value in media.other if key == "i"]
    if media.connection is not None:
        lines.append(f"c={_network(media.connection)}")
    lines += [f"{key}={value}" for key, value in media.other if key != "i"]
    return lines + _attribute_lines(media.attributes)
