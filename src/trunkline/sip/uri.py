"""Addresses: sip, sips and tel URIs (RFC 3261 section 19, RFC 3966).

A `Uri` holds its parts unescaped; ``str()`` escapes them again, so
``Uri.parse(str(uri)) == uri`` for every uri.
"""

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

from .errors import ParseError
from .hop import Hop, Transport, default_port, is_address

__all__ = ["Parameters", "Uri"]

Parameters = tuple[tuple[str, str | None], ...]
"""Names in lower case with their values; None where there is no ``=``."""

_HOSTPORT = re.compile(
    r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,253}))(?::([0-9]{1,5}))?"
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_BLANK = re.compile(r"[\x00-\x20<>]")
_NUMBER = re.compile(r"\+?[0-9A-Fa-f*#().-]+")
_SEPARATORS = str.maketrans("", "", "-.()")

# What need not be escaped where (RFC 3261 section 25.1).
_USER_SAFE = "-_.!~*'()&=+$,;?/"
_PASSWORD_SAFE = "-_.!~*'()&=+$,"
_PARAMETER_SAFE = "-_.!~*'()[]/:&+$"
_HEADER_SAFE = "-_.!~*'()[]/?:+$"
_TEL_SAFE = "+*#()-_.!~'"


@dataclass(frozen=True, slots=True)
class Uri:
    """One sip:, sips: or tel: address."""

    scheme: str
    """``sip``, ``sips`` or ``tel``."""
    user: str | None = None
    """The part before the ``@``, unescaped; of a tel URI the number as written."""
    host: str = ""
    """Name or address, IPv6 without brackets; empty in a tel URI."""
    port: int | None = None
    """None where it is not written: the transport's default (5060, 5061) is meant."""
    parameters: Parameters = ()
    """``transport``, ``lr``, ``user``, ``phone-context`` and so on."""
    headers: tuple[tuple[str, str], ...] = ()
    """Header fields a request made from this address should carry."""
    password: str | None = None
    """Deprecated (RFC 3261 section 19.1.1), kept so that nothing is lost."""

    @classmethod
    def parse(cls, text: str) -> "Uri":
        """Read an address.

        Raises ParseError: code 416 for a scheme that is none of ours, else 400.
        """
        match = _SCHEME.match(text)
        if match is None or _BLANK.search(text):
            raise ParseError("Malformed URI")
        scheme = match[1].lower()
        rest = text[match.end() :]
        if scheme == "tel":
            return _parse_tel(rest)
        if scheme not in ("sip", "sips"):
            raise ParseError("Unsupported URI Scheme", 416)
        return _parse_sip(scheme, rest)

    def parameter(self, name: str) -> str | None:
        """The value of a parameter; "" if it is there without one, None if not."""
        for key, value in self.parameters:
            if key == name:
                return "" if value is None else value
        return None

    @property
    def number(self) -> str:
        """The user part without the visual separators of a telephone number."""
        user = self.user or ""
        if self.scheme == "tel" or _NUMBER.fullmatch(user):
            return user.translate(_SEPARATORS)
        return user

    @property
    def hop(self) -> Hop:
        """Where to send to; port 0 where a name's records have to say (RFC 3263 4.2)."""
        named = (self.parameter("transport") or "").lower()
        transport: Transport
        if named == "ws":  # for both; section 5.5 of RFC 7118 has no parameter for WSS
            transport = "WSS" if self.scheme == "sips" else "WS"
        elif self.scheme == "sips" or named == "tls":
            transport = "TLS"
        else:
            transport = "TCP" if named == "tcp" else "UDP"
        host = self.parameter("maddr") or self.host
        port = self.port or (default_port(transport) if is_address(host) else 0)
        open_ = not named and self.scheme != "sips" and not port
        return Hop(host, port, transport, any_transport=open_)

    def equivalent(self, other: "Uri") -> bool:
        """Whether both name the same resource (RFC 3261 section 19.1.4)."""
        if (self.scheme, self.user, self.password, self.host.lower(), self.port) != (
            other.scheme,
            other.user,
            other.password,
            other.host.lower(),
            other.port,
        ):
            return False
        ours, theirs = dict(self.parameters), dict(other.parameters)
        for name in ours.keys() | theirs.keys():
            if name in ours and name in theirs:
                if (ours[name] or "").lower() != (theirs[name] or "").lower():
                    return False
            elif name in ("user", "ttl", "method", "maddr", "transport"):
                return False
        return sorted(self.headers) == sorted(other.headers)

    def __str__(self) -> str:
        if self.scheme == "tel":
            return f"tel:{_escape(self.user or '', _TEL_SAFE)}{_join(self.parameters)}"
        text = self.scheme + ":"
        if self.user is not None:
            text += _escape(self.user, _USER_SAFE)
            if self.password is not None:
                text += ":" + _escape(self.password, _PASSWORD_SAFE)
            text += "@"
        text += f"[{self.host}]" if ":" in self.host else self.host
        if self.port is not None:
            text += f":{self.port}"
        text += _join(self.parameters)
        if self.headers:
            pairs = (
                f"{_escape(name, _HEADER_SAFE)}={_escape(value, _HEADER_SAFE)}"
                for name, value in self.headers
            )
            text += "?" + "&".join(pairs)
        return text


def _escape(text: str, safe: str) -> str:
    if text.isalnum() and text.isascii():
        return text
    return quote(text, safe, "utf-8", "surrogateescape")


def _unescape(text: str) -> str:
    return unquote(text, "utf-8", "surrogateescape") if "%" in text else text


def _join(parameters: Parameters) -> str:
    return "".join(
        f";{_escape(name, _PARAMETER_SAFE)}"
        + ("" if value is None else f"={_escape(value, _PARAMETER_SAFE)}")
        for name, value in parameters
    )


def _parameters(text: str) -> Parameters:
    parameters = []
    for part in text.split(";"):
        name, equals, value = part.partition("=")
        if name:
            key = _unescape(name.strip()).lower()
            parameters.append((key, _unescape(value.strip()) if equals else None))
    return tuple(parameters)


def _parse_tel(rest: str) -> Uri:
    number, _, parameters = rest.partition(";")
    number = _unescape(number)
    if not _NUMBER.fullmatch(number):
        raise ParseError("Malformed tel URI")
    return Uri("tel", number, parameters=_parameters(parameters))


def _parse_sip(scheme: str, rest: str) -> Uri:
    user: str | None = None
    password: str | None = None
    credentials, at, remainder = rest.rpartition("@")
    if at:
        if "@" in credentials or not credentials:
            raise ParseError("Malformed user in URI")
        user, colon, secret = credentials.partition(":")
        user = _unescape(user)
        password = _unescape(secret) if colon else None
    match = _HOSTPORT.match(remainder)
    if match is None:
        raise ParseError("Malformed host in URI")
    host, port = match[1], match[2]
    tail = remainder[match.end() :]
    if (tail and tail[0] not in ";?") or (port and int(port) > 65535):
        raise ParseError("Malformed host in URI")
    parameters, question, headers = tail.partition("?")
    return Uri(
        scheme,
        user,
        host.strip("[]"),
        int(port) if port else None,
        _parameters(parameters) if parameters else (),
        _headers(headers) if question else (),
        password,
    )


def _headers(text: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    for part in text.split("&"):
        name, _, value = part.partition("=")
        if name:
            pairs.append((_unescape(name), _unescape(value)))
    return tuple(pairs)
