"""SIP messages: parse, look into, build, serialise (RFC 3261 sections 7 and 20).

Liberal in what is read: compact names, folded lines, bare line feeds, any case,
several values on one line or on many, no Content-Length on a datagram. Strict in
what is written. A message that is parsed is read, not changed: use its accessors,
and build new ones with `Request(...)` and `Request.response`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from trunkline.errors import UsageError

from .errors import ParseError
from .headers import CANONICAL, CSeq, NameAddress, Via, canonical_name, split_values
from .hop import HopLike
from .uri import Uri

__all__ = [
    "REASONS",
    "HeaderView",
    "Headers",
    "Message",
    "Request",
    "Response",
    "parse_message",
]

Headers = Iterable[tuple[str, str]]
"""Header fields in the order they are to be written."""

MAX_HEADER_LINES = 512
"""A message with more is refused: real ones have 10 to 40, hostile ones thousands."""

REASONS = {
    100: "Trying", 180: "Ringing", 181: "Call Is Being Forwarded", 182: "Queued",
    183: "Session Progress", 200: "OK", 202: "Accepted", 300: "Multiple Choices",
    301: "Moved Permanently", 302: "Moved Temporarily", 305: "Use Proxy", 400: "Bad Request",
    401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    406: "Not Acceptable", 407: "Proxy Authentication Required", 408: "Request Timeout",
    410: "Gone", 413: "Request Entity Too Large", 415: "Unsupported Media Type",
    416: "Unsupported URI Scheme", 420: "Bad Extension", 421: "Extension Required",
    422: "Session Interval Too Small", 423: "Interval Too Brief", 429: "Provide Referrer Identity",
    469: "Bad Info Package", 480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist", 482: "Loop Detected", 483: "Too Many Hops",
    484: "Address Incomplete", 485: "Ambiguous", 486: "Busy Here", 487: "Request Terminated",
    488: "Not Acceptable Here", 489: "Bad Event", 491: "Request Pending", 493: "Undecipherable",
    500: "Server Internal Error", 501: "Not Implemented", 502: "Bad Gateway",
    503: "Service Unavailable", 504: "Server Time-out", 505: "Version Not Supported",
    513: "Message Too Large", 600: "Busy Everywhere", 603: "Decline",
    604: "Does Not Exist Anywhere", 606: "Not Acceptable",
}  # fmt: skip
"""The reason phrases of RFC 3261 section 21 and its extensions."""

_FIELD = re.compile(r"^([A-Za-z0-9.!%*_+`'~-]+):[ \t]*([^\r\n]*)\r?$", re.MULTILINE)
"""A header line as everybody writes it; others are taken apart by hand."""
_BLANKS = " \t"
_FOLD = re.compile(r"\n[ \t]+")
_METHOD = re.compile(r"[A-Za-z0-9.!%*_+`'~-]+")
_SINGLE = ("from", "to", "call-id", "cseq", "max-forwards", "content-length", "content-type")
_COPIED = (("From", "from"), ("To", "to"), ("Call-ID", "call-id"), ("CSeq", "cseq"))
_MANDATORY = ("via", "from", "to", "call-id", "cseq")


class HeaderView(Mapping[str, str]):
    """A message's header fields as a read-only mapping; names in any case.

    A field that occurs several times is one value joined with commas
    (RFC 3261 section 7.3.1).
    """

    def __init__(self, message: "Message") -> None:
        self._message = message

    def __getitem__(self, name: str) -> str:
        values = self._message.all(name)
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self._message.all(name))

    def __iter__(self) -> Iterator[str]:
        seen: set[str] = set()
        for name, _ in self._message.headers:
            key = canonical_name(name)
            if key not in seen:
                seen.add(key)
                yield name

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Message:
    """What requests and responses have in common: header fields and a body."""

    __slots__ = ("_cseq", "_from", "_index", "_to", "_via", "body", "headers")

    def __init__(self, headers: Headers = (), body: bytes = b"") -> None:
        self.headers: list[tuple[str, str]] = list(headers)
        """Every header field as read or to be written, in order, names as written."""
        self.body = body
        """What the Content-Type says; empty if there is none."""
        self._index: dict[str, list[str]] | None = None
        self._via: Via | None = None
        self._from: NameAddress | None = None
        self._to: NameAddress | None = None
        self._cseq: CSeq | None = None

    def all(self, name: str) -> Sequence[str]:
        """Every field of that name, as written (not split at commas)."""
        index = self._index
        if index is None:
            index = self._index = {}
            for key, value in self.headers:
                index.setdefault(canonical_name(key), []).append(value)
        found = index.get(name)
        return index.get(canonical_name(name), ()) if found is None else found

    def get(self, name: str) -> str | None:
        """The first field of that name, or None."""
        values = self.all(name)
        return values[0] if values else None

    def values(self, name: str) -> list[str]:
        """Every value of that name, from one field or many, split at commas."""
        return [value for field in self.all(name) for value in split_values(field) if value]

    def addresses(self, name: str) -> list[NameAddress]:
        """The values of Contact, Route, Record-Route ...; raises ParseError."""
        return [NameAddress.parse(value) for value in self.values(name)]

    def _one(self, name: str) -> str:
        values = self.all(name)
        if not values:
            raise ParseError(f"Missing {name} header")
        return values[0]

    @property
    def via(self) -> Via:
        """The topmost Via; raises ParseError."""
        if self._via is None:
            self._via = Via.parse(split_values(self._one("via"))[0])
        return self._via

    @property
    def from_(self) -> NameAddress:
        """The From header; raises ParseError."""
        if self._from is None:
            self._from = NameAddress.parse(self._one("from"))
        return self._from

    @property
    def to(self) -> NameAddress:
        """The To header; raises ParseError."""
        if self._to is None:
            self._to = NameAddress.parse(self._one("to"))
        return self._to

    @property
    def cseq(self) -> CSeq:
        """The CSeq header; raises ParseError."""
        if self._cseq is None:
            self._cseq = CSeq.parse(self._one("cseq"))
        return self._cseq

    @property
    def call_id(self) -> str:
        """The Call-ID header; raises ParseError."""
        return self._one("call-id")

    @property
    def contact(self) -> NameAddress | None:
        """The Contact, if there is exactly one; raises ParseError."""
        contacts = self.addresses("contact")
        return contacts[0] if len(contacts) == 1 and contacts[0].uri != "*" else None

    @property
    def content_type(self) -> str:
        """The media type in lower case, without its parameters; "" if none."""
        return (self.get("content-type") or "").partition(";")[0].strip().lower()

    @property
    def header_view(self) -> HeaderView:
        """The header fields as a read-only mapping."""
        return HeaderView(self)

    def _start_line(self) -> str:
        raise NotImplementedError

    def __bytes__(self) -> bytes:
        length = str(len(self.body))
        lines = [self._start_line()]
        lines += [f"{name}: {value}" for name, value in self.headers]
        for position, (name, _) in enumerate(self.headers, 1):
            if len(name) in (1, 14) and canonical_name(name) == "content-length":
                lines[position] = f"{name}: {length}"
                break
        else:
            lines.append(f"Content-Length: {length}")
        head = "\r\n".join(lines)
        # A line break smuggled into a value would be a header of somebody else's choice.
        if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1:
            raise UsageError("a header may not contain a line break")
        return head.encode("utf-8", "surrogateescape") + b"\r\n\r\n" + self.body

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return (self._start_line(), self.headers, self.body) == (
            other._start_line(),
            other.headers,
            other.body,
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{self._start_line()}>"


class Request(Message):
    """A request (RFC 3261 section 7.1)."""

    __slots__ = ("method", "uri")

    def __init__(self, method: str, uri: str, headers: Headers = (), body: bytes = b"") -> None:
        super().__init__(headers, body)
        self.method = method
        """In the case it was written in."""
        self.uri = uri
        """The Request-URI as written; `parsed_uri` takes it apart."""

    @property
    def parsed_uri(self) -> Uri:
        """The Request-URI; raises ParseError, with 416 for a foreign scheme."""
        return Uri.parse(self.uri)

    def _start_line(self) -> str:
        return f"{self.method} {self.uri} SIP/2.0"

    def put_first(self, name: str, value: str) -> None:
        """Write a header field before all others: the Via of who sends it."""
        self.headers.insert(0, (name, value))
        self._index = self._via = None

    def drop_first(self, name: str) -> None:
        """Take the first header field of that name out, if there is one."""
        for position, (written, _) in enumerate(self.headers):
            if canonical_name(written) == name:
                del self.headers[position]
                self._index = self._via = None
                return

    def forget_index(self) -> None:
        """Its header fields were changed in place."""
        self._index = None

    def copy(self) -> "Request":
        """The same request, whose header fields may change without this one's."""
        return Request(self.method, self.uri, self.headers, self.body)

    def note_source(self, source: HopLike) -> None:
        """Write where it really came from into its Via (RFC 3261 18.2.1, RFC 3581)."""
        host, port = source[0], source[1]
        via = self.via
        if "rport" in via.parameters:
            via.parameters["rport"] = str(port)
            via.parameters["received"] = host
        elif via.host.strip("[]") != host:
            via.parameters["received"] = host
        else:
            return
        for position, (name, value) in enumerate(self.headers):
            if (CANONICAL.get(name) or canonical_name(name)) == "via":
                rest = split_values(value)[1:]
                self.headers[position] = (name, ", ".join([str(via), *rest]))
                break
        if self._index is not None:
            self._index["via"][0] = self.headers[position][1]

    def response(
        self,
        code: int,
        reason: str = "",
        *,
        to_tag: str = "",
        headers: Headers = (),
        body: bytes = b"",
    ) -> "Response":
        """Answer it: the headers RFC 3261 section 8.2.6 asks for, then ``headers``.

        Works on a request that could only be read in part: what is there is copied.
        """
        fields = [("Via", value) for value in self.all("via")]
        if 100 < code < 300:
            fields += [("Record-Route", value) for value in self.all("record-route")]
        elif code == 100 and (timestamp := self.get("timestamp")):
            fields.append(("Timestamp", timestamp))
        for name, key in _COPIED:
            for value in self.all(key)[:1]:
                if key == "to" and to_tag and code > 100 and not _has_tag(self):
                    value = f"{value};tag={to_tag}"
                fields.append((name, value))
        fields.extend(headers)
        return Response(code, reason or REASONS.get(code, "Unknown"), fields, body)


def _has_tag(request: Request) -> bool:
    try:
        return bool(request.to.tag)
    except ParseError:
        return True  # unreadable: leave it alone


class Response(Message):
    """A response (RFC 3261 section 7.2)."""

    __slots__ = ("code", "reason")

    def __init__(
        self, code: int, reason: str = "", headers: Headers = (), body: bytes = b""
    ) -> None:
        super().__init__(headers, body)
        self.code = code
        """100 to 699."""
        self.reason = reason
        """For people; may be empty."""

    def _start_line(self) -> str:
        return f"SIP/2.0 {self.code} {self.reason}"


def parse_message(data: bytes) -> Request | Response:
    """Read one datagram.

    Raises ParseError with the status code to answer with, and in its ``message``
    as much of the message as could be read.
    """
    end = data.find(b"\r\n\r\n")
    start, _, rest = data[:end].decode("utf-8", "surrogateescape").partition("\r\n")
    fields = _FIELD.findall(rest)
    body: bytes | None
    if end > 0 and start and len(fields) == rest.count("\n") + 1 < MAX_HEADER_LINES:
        # Written as everybody writes it, line for line; anything else takes the longer way.
        message, problem = _parse_start(start)
        body = data[end + 4 :]
        _file(message, fields)
    else:
        message, problem, body = _parse_unusual(data)
    try:
        if body is None:
            raise ParseError("Message without an end of headers")
        message.body = body
        if problem is not None and problem.code == 505:
            raise problem  # another version's header fields are not ours to judge
        _check(message)
        if problem is not None:
            raise problem
    except ParseError as error:
        error.message = message
        raise
    return message


def _parse_unusual(data: bytes) -> tuple[Request | Response, ParseError | None, bytes | None]:
    """Folded lines, bare line feeds, blanks before colons, and what is wrong."""
    head, body = _split_body(data)
    text = head.decode("utf-8", "surrogateescape").replace("\r\n", "\n").rstrip("\r")
    if "\n " in text or "\n\t" in text:
        text = _FOLD.sub(" ", text)
    lines = text.split("\n")
    message, problem = _parse_start(lines[0])
    if len(lines) > MAX_HEADER_LINES:
        raise ParseError("Too many header fields")
    return message, _parse_headers(message, lines[1:]) or problem, body


def _split_body(data: bytes) -> tuple[bytes, bytes | None]:
    """Head and body; the body is None where the head does not end."""
    data = data.lstrip(b"\r\n")  # RFC 3261 section 7.5
    crlf = data.find(b"\n\r\n")
    bare = data.find(b"\n\n", 0, crlf if crlf >= 0 else len(data))
    if bare >= 0:
        return data[:bare], data[bare + 2 :]
    if crlf >= 0:
        return data[:crlf], data[crlf + 3 :]
    return data, None


def _parse_start(line: str) -> tuple[Request | Response, ParseError | None]:
    """The message the start line begins, and what is wrong with it.

    Raises ParseError if it is not SIP at all.
    """
    parts = line.split(" ")
    if parts[0].upper() == "SIP/2.0":
        code = parts[1] if len(parts) > 1 else ""
        if not (len(code) == 3 and code.isascii() and code.isdecimal() and "100" <= code < "700"):
            raise ParseError("Malformed status line")
        return Response(int(code), " ".join(parts[2:])), None
    if len(parts) < 3 or not _METHOD.fullmatch(parts[0]):
        raise ParseError("Not a SIP message")
    while len(parts) > 3 and not parts[-1]:
        parts.pop()  # it will be answered, with what it then has too few or too many of
        line = ""
    version = parts[-1].upper()
    if not version.startswith("SIP/"):
        raise ParseError("Not a SIP message")
    request = Request(parts[0], " ".join(parts[1:-1]))
    if version != "SIP/2.0":
        return request, ParseError("Version Not Supported", 505)
    if len(parts) != 3 or not line or not parts[1] or parts[1].startswith("<"):
        return request, ParseError("Malformed Request-URI")
    return request, None


def _parse_headers(message: Message, lines: list[str]) -> ParseError | None:
    """File the header lines of a message that is not written as usual; what is wrong with it."""
    problem = None
    fields = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not canonical_name(name) or "\r" in value:
            problem = ParseError("Malformed header line")
        else:
            fields.append((name, value.strip(" \t")))
    _file(message, fields)
    return problem


def _file(message: Message, fields: list[tuple[str, str]]) -> None:
    """Keep the header fields, and find them by name from now on."""
    index: dict[str, list[str]] = {}
    known, filed = CANONICAL.get, index.get
    for position, (name, value) in enumerate(fields):
        if value[-1:] in _BLANKS and value:
            value = value.rstrip(" \t")
            fields[position] = (name, value)
        key = known(name) or canonical_name(name)
        values = filed(key)
        if values is None:
            index[key] = [value]
        else:
            values.append(value)
    message.headers = fields
    message._index = index


def _check(message: Request | Response) -> None:
    """What must hold before anything looks at it (RFC 3261 sections 8.1.1, 16.3)."""
    index = message._index or {}
    for name in _MANDATORY:
        if name not in index:
            raise ParseError(f"Missing {name} header")
    for name in _SINGLE:
        if name in index and len(index[name]) > 1:
            raise ParseError(f"Several {name} headers")
    vias = split_values(index["via"][0])
    if "" in vias:
        raise ParseError("Malformed Via")
    message._via = Via.parse(vias[0])
    message._from = NameAddress.parse(index["from"][0])
    message._to = NameAddress.parse(index["to"][0])
    message._cseq = CSeq.parse(index["cseq"][0])
    if not index["call-id"][0]:
        raise ParseError("Empty call-id header")
    method = message._cseq.method
    if isinstance(message, Request):
        if method != message.method:
            raise ParseError("CSeq method does not match")
        for value in index.get("contact", ()):
            if "?" in value and "<" not in value:  # RFC 3261 section 20.10
                raise ParseError("Malformed Contact")
        hops = index.get("max-forwards")
        if hops is not None and _number(hops[0], "max-forwards") > 255:
            raise ParseError("Malformed max-forwards header")
    length = index.get("content-length")
    if length is not None:
        size = _number(length[0], "content-length")
        if size > len(message.body):
            raise ParseError("Body shorter than its Content-Length")
        message.body = message.body[:size]  # RFC 3261 section 18.3: the rest is discarded


def _number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise ParseError(f"Malformed {name} header")
    return int(text)
