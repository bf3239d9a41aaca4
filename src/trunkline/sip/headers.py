"""The header fields a user agent has to understand (RFC 3261 section 20).

Each is a small object with `parse` and ``str()``. Everything else in a message
stays the text it came as.
"""

import re
from dataclasses import dataclass, field
from typing import Literal

from .errors import ParseError
from .uri import Uri

__all__ = [
    "CANONICAL",
    "COMPACT",
    "CSeq",
    "NameAddress",
    "Via",
    "canonical_name",
    "parse_parameters",
    "quote_string",
    "split_outside_quotes",
    "split_values",
    "unquote_string",
]

COMPACT = {
    "a": "accept-contact", "b": "referred-by", "c": "content-type", "d": "request-disposition",
    "e": "content-encoding", "f": "from", "i": "call-id", "j": "reject-contact",
    "k": "supported", "l": "content-length", "m": "contact", "o": "event", "r": "refer-to",
    "s": "subject", "t": "to", "u": "allow-events", "v": "via", "x": "session-expires",
    "y": "identity",
}  # fmt: skip
"""One-letter header names (RFC 3261 section 7.3.3 and the extensions that add to them)."""

_TOKEN = re.compile(r"[A-Za-z0-9.!%*_+`'~-]+")
# None of these may backtrack more than once over a run of characters: a peer writes the text.
_NAMED = re.compile(r'(?:"((?:[^"\\]|\\.)*)"\s*|([^<"]*))<([^<>]*)>', re.DOTALL)
_VIA = re.compile(
    r"\s*SIP\s*/\s*2\.0\s*/\s*([A-Za-z0-9-]+)\s+"
    r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_.-]+)(?:\s*:\s*([0-9]{1,5}))?\s*(?:;|$)",
    re.IGNORECASE,
)
_COMMA = re.compile(r'[",<]')
_QUOTED_COMMA = re.compile(r'[",]')
_SEMICOLON = re.compile(r'[";]')
_PLAIN = re.compile(r"[^\s\";,<>\\]+")


_NAMES = (
    "Via", "From", "To", "Call-ID", "CSeq", "Contact", "Max-Forwards", "Route", "Record-Route",
    "Content-Type", "Content-Length", "Content-Disposition", "Content-Encoding", "Allow",
    "Supported", "Require", "Proxy-Require", "User-Agent", "Server", "Accept", "Expires",
    "Min-SE", "Session-Expires", "P-Asserted-Identity", "Privacy", "Date", "Timestamp",
    "Authorization", "Proxy-Authorization", "WWW-Authenticate", "Proxy-Authenticate", "Reason",
    "Diversion", "Identity", "Subject", "Unsupported", "Retry-After", "Warning", "Event",
)  # fmt: skip
CANONICAL = dict(COMPACT)
CANONICAL.update({name.upper(): full for name, full in COMPACT.items()})
CANONICAL.update({name: name.lower() for name in _NAMES})
CANONICAL.update({name.lower(): name.lower() for name in _NAMES})


def canonical_name(name: str) -> str:
    """The lower-case full name of a header; "" if it is not a token at all."""
    known = CANONICAL.get(name)
    if known is not None:
        return known
    name = name.rstrip(" \t")
    if not _TOKEN.fullmatch(name):
        return ""
    name = name.lower()
    return COMPACT.get(name, name)


def split_values(text: str) -> list[str]:
    """Split a field at its commas, but not inside quotes or angle brackets."""
    if "," not in text:
        return [text.strip()]
    return _split(text, ",", _COMMA)


def split_outside_quotes(text: str, mark: Literal[",", ";"]) -> list[str]:
    """Split a parameter list, whose values may be quoted strings."""
    return _split(text, mark, _QUOTED_COMMA if mark == "," else _SEMICOLON)


def _split(text: str, mark: str, stops: re.Pattern[str]) -> list[str]:
    """Split at ``mark`` outside what the other characters of ``stops`` open."""
    parts: list[str] = []
    start = position = 0
    while match := stops.search(text, position):
        if match[0] == mark:
            parts.append(text[start : match.start()].strip())
            start = position = match.end()
        elif match[0] == "<":
            position = text.find(">", match.end()) + 1 or len(text)
        else:
            position = _closing_quote(text, match.end())
    parts.append(text[start:].strip())
    return parts


def _closing_quote(text: str, position: int) -> int:
    """One past the quote that closes the string open at ``position``."""
    while True:
        end = text.find('"', position)
        if end < 0:
            return len(text)
        escape = text.find("\\", position, end)
        if escape < 0:
            return end + 1
        position = escape + 2


def parse_parameters(text: str) -> dict[str, str | None]:
    """Read ``a=1;b;c="x;y"``: names in lower case, quoted strings unquoted.

    Raises ParseError for a value without a name.
    """
    parameters: dict[str, str | None] = {}
    for part in _split(text, ";", _SEMICOLON) if '"' in text else text.split(";"):
        name, equals, value = part.partition("=")
        name = name.strip().lower()
        if not equals:
            if name:
                parameters[name] = None
        elif name:
            parameters[name] = unquote_string(value.strip())
        else:
            raise ParseError("Malformed parameter")
    return parameters


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL) if "\\" in text else text


def unquote_string(text: str) -> str:
    """What a quoted-string says; text without quotes as it is."""
    if not text.startswith('"'):
        return text
    return _unescape(text[1:-1] if len(text) > 1 and text.endswith('"') else text[1:])


def quote_string(text: str) -> str:
    """A quoted-string (RFC 3261 section 25.1)."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _join(parameters: dict[str, str | None]) -> str:
    text = ""
    for name, value in parameters.items():
        if value is None:
            text += ";" + name
        elif value.isalnum() or not value or _PLAIN.fullmatch(value):
            text += f";{name}={value}"
        else:
            text += f";{name}={quote_string(value)}"
    return text


@dataclass(frozen=True, slots=True)
class NameAddress:
    """From, To, Contact, Route: a display name, an address, parameters."""

    uri: str
    """The address exactly as written; `Uri.parse` takes it apart."""
    display: str = ""
    """The name without its quotes; empty if there is none."""
    parameters: dict[str, str | None] = field(default_factory=dict)
    """Of the header field, not of the address: ``tag``, ``expires``, ``q``."""

    @classmethod
    def parse(cls, text: str) -> "NameAddress":
        """Read one value; raises ParseError."""
        match = _NAMED.match(text := text.strip())
        if match is None:
            if '"' in text or "<" in text:
                raise ParseError("Malformed address")
            uri, _, rest = text.partition(";")  # without brackets parameters are the header's
            uri = uri.strip()
            if not uri or " " in uri:
                raise ParseError("Malformed address")
            return cls(uri, "", parse_parameters(rest) if rest else {})
        quoted, bare, uri = match.groups()
        display = _unescape(quoted) if quoted is not None else bare.strip()
        rest = text[match.end() :].lstrip()
        if rest and rest[0] != ";":
            raise ParseError("Malformed address")
        return cls(uri.strip(), display, parse_parameters(rest) if rest else {})

    @property
    def tag(self) -> str:
        """The tag parameter; empty if there is none."""
        return self.parameters.get("tag") or ""

    @property
    def parsed_uri(self) -> Uri:
        """The address taken apart; raises ParseError."""
        return Uri.parse(self.uri)

    def __str__(self) -> str:
        name = quote_string(self.display) + " " if self.display else ""
        return f"{name}<{self.uri}>{_join(self.parameters)}"


@dataclass(frozen=True, slots=True)
class Via:
    """One hop a request came through (RFC 3261 section 20.42, RFC 3581)."""

    transport: str
    """``UDP``, ``TCP``, ``TLS``, ``WS``, ``WSS``."""
    host: str
    """The sender's own idea of its address, IPv6 in brackets."""
    port: int | None = None
    """None: the default of the transport."""
    parameters: dict[str, str | None] = field(default_factory=dict)
    """``branch``, ``rport``, ``received``."""

    @classmethod
    def parse(cls, text: str) -> "Via":
        """Read one value; raises ParseError."""
        match = _VIA.match(text)
        if match is None or (match[3] and int(match[3]) > 65535):
            raise ParseError("Malformed Via")
        return cls(
            match[1].upper(),
            match[2],
            int(match[3]) if match[3] else None,
            parse_parameters(text[match.end() :]),
        )

    @property
    def branch(self) -> str:
        """The transaction's identifier; empty if a very old peer gives none."""
        return self.parameters.get("branch") or ""

    @property
    def sent_by(self) -> str:
        """Host and port as the sender gave them, in lower case."""
        return f"{self.host.lower()}:{self.port or 5060}"

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"SIP/2.0/{self.transport} {self.host}{port}{_join(self.parameters)}"


@dataclass(frozen=True, slots=True)
class CSeq:
    """A request's place in its dialog (RFC 3261 section 20.16)."""

    number: int
    """Below 2**32."""
    method: str
    """In the case it was written in: methods are case-sensitive."""

    @classmethod
    def parse(cls, text: str) -> "CSeq":
        """Read it; raises ParseError."""
        number, _, method = text.partition(" ")
        method = method.strip()
        if not (number.isascii() and number.isdecimal() and len(number) <= 10 and method):
            raise ParseError("Malformed CSeq")
        value = int(number)
        if value >= 2**32 or not _TOKEN.fullmatch(method):
            raise ParseError("Malformed CSeq")
        return cls(value, method)

    def __str__(self) -> str:
        return f"{self.number} {self.method}"
