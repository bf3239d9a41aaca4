"""What messages carry: session descriptions, and header fields of the application's own."""

from trunkline.errors import UsageError

from .errors import ParseError
from .headers import canonical_name
from .message import Headers, Message, Request
from .sdp import SessionDescription

__all__ = ["SDP_TYPE", "accept_headers", "accepts", "checked_headers", "read_description"]

SDP_TYPE = "application/sdp"


def accept_headers(code: int) -> list[tuple[str, str]]:
    """What a refusal has to say about what would be taken (RFC 3261 section 21.4.13)."""
    return [("Accept", SDP_TYPE), ("Accept-Encoding", "identity")] if code == 415 else []


def read_description(message: Message) -> SessionDescription | None:
    """The session description a message carries, or None.

    Raises ParseError: 415 for a body that is no session description, 400 for one
    that cannot be read.
    """
    if not message.body:
        return None
    encoding = (message.get("content-encoding") or "identity").strip().lower()
    if encoding != "identity":
        raise ParseError("Unsupported Media Type", 415)
    kind = message.content_type
    if kind == SDP_TYPE:
        return SessionDescription.parse(message.body)
    if kind == "multipart/mixed":
        part = _part_of_type(message, SDP_TYPE)
        if part is not None:
            return SessionDescription.parse(part)
    if "handling=optional" in (message.get("content-disposition") or "").replace(" ", "").lower():
        return None  # RFC 3261 section 20.11
    raise ParseError("Unsupported Media Type", 415)


def accepts(request: Request, kind: str) -> bool:
    """Whether a request's Accept allows a type; without one it does (RFC 3261 20.1)."""
    if not request.all("accept"):
        return True
    family = kind.partition("/")[0] + "/*"
    wanted = (value.partition(";")[0].strip().lower() for value in request.values("accept"))
    return any(value in (kind, family, "*/*") for value in wanted)


def _part_of_type(message: Message, kind: str) -> bytes | None:
    """The first part of that type in a multipart body (RFC 2046 section 5.1.1)."""
    _, _, rest = (message.get("content-type") or "").partition("boundary=")
    boundary = rest.partition(";")[0].strip().strip('"')
    if not boundary or len(boundary) > 70:
        return None
    mark = b"--" + boundary.encode("utf-8", "surrogateescape")
    for part in message.body.split(mark, 16)[1:]:
        head, blank, content = part.replace(b"\r\n", b"\n").partition(b"\n\n")
        for line in head.decode("utf-8", "surrogateescape").split("\n"):
            name, _, value = line.partition(":")
            named = canonical_name(name) == "content-type"
            if blank and named and value.partition(";")[0].strip().lower() == kind:
                return content
    return None


def checked_headers(headers: Headers, keep: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """The application's own header fields; the ones that are ours are left out.

    Raises UsageError for a line break, before it has done any harm.
    """
    kept = []
    for name, value in headers:
        if "\n" in name + value or "\r" in name + value:
            raise UsageError(f"the {name!r} header may not contain a line break")
        if canonical_name(name) not in _OURS or canonical_name(name) in keep:
            kept.append((name, value))
    return kept


_OURS = {"via", "from", "to", "call-id", "cseq", "contact", "content-length", "content-type",
         "max-forwards", "record-route"}  # fmt: skip
