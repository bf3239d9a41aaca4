"""Messages out of a stream of bytes: SIP over TCP and TLS (RFC 3261 sections 7.5 and 18.3).

A message ends where its Content-Length says, which a stream therefore must carry. Between
messages a peer may send line ends: two are a ping, to be answered with one (RFC 5626
section 4.4.1). Where a message ends cannot be known any more after a wrong length, so
whatever is wrong here ends the connection.
"""

import re
from dataclasses import dataclass

from .errors import ParseError

__all__ = ["Framed", "FramingError", "StreamFramer"]

MAX_HEAD_BYTES = 16_384
"""Of start line and headers; carriers' Identity headers have 2 to 4 KB."""
MAX_BODY_BYTES = 65_536

_END = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(
    rb"^(?:content-length|l)[ \t]*:(?:[ \t]*\r?\n(?=[ \t]))?[ \t]*([^\r\n]*?)[ \t]*\r?$",
    re.I | re.M,
)
_PING = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Framed:
    """What a stream's new bytes completed."""

    messages: tuple[bytes, ...] = ()
    """Whole messages, in order."""
    pings: int = 0
    """Keep-alives to be answered, with a line end each."""
    line_ends: int = 0
    """Single line ends: the answers to our keep-alives, or nothing."""


class FramingError(ParseError):
    """The stream cannot be followed any more; the connection has to be closed."""

    framed = Framed()
    """What was complete before."""
    head = b""
    """The headers of the message whose end cannot be known, if they are whole."""


class StreamFramer:
    """Cuts one connection's bytes into messages."""

    def __init__(
        self, max_head_bytes: int = MAX_HEAD_BYTES, max_body_bytes: int = MAX_BODY_BYTES
    ) -> None:
        self._max_head = max_head_bytes
        self._max_body = max_body_bytes
        self._buffer = bytearray()
        self._pong_awaited = False
        self._searched = 0  # no end of headers is before this
        self._whole = 0  # bytes of the message that is coming; 0: not known yet

    @property
    def pending_bytes(self) -> int:
        """What has come of a message that is not complete."""
        return len(self._buffer)

    @property
    def pending_head(self) -> bytes:
        """The headers of a message whose body is not complete; empty: they are not either."""
        found = _END.search(self._buffer) if self._whole else None
        return bytes(self._buffer[: found.end()]) if found else b""

    def expect_pong(self, awaited: bool = True) -> None:
        """Whether we sent a ping: a line end alone is its answer, not half a ping of theirs."""
        self._pong_awaited = awaited

    def feed(self, data: bytes) -> Framed:
        """More bytes of the stream.

        Raises:
            FramingError: a message has no Content-Length, or one that is no number, or is
                too large. It has what was complete before.
        """
        self._buffer += data
        messages: list[bytes] = []
        pings = line_ends = 0
        try:
            while True:
                if not self._whole:
                    more_pings, more_ends = self._skip_line_ends()
                    pings, line_ends = pings + more_pings, line_ends + more_ends
                    if not self._measure():
                        break
                if len(self._buffer) < self._whole:
                    break
                messages.append(bytes(self._buffer[: self._whole]))
                del self._buffer[: self._whole]
                self._whole = self._searched = 0
        except FramingError as error:
            error.framed = Framed(tuple(messages), pings, line_ends)
            raise
        return Framed(tuple(messages), pings, line_ends)

    def _skip_line_ends(self) -> tuple[int, int]:
        """Line ends between messages; how many pings they were, and how many single ones."""
        pings = line_ends = 0
        while self._buffer[:2] == b"\r\n" or self._buffer[:1] == b"\n":
            if self._buffer.startswith(_PING):
                pings += 1
                del self._buffer[:4]
            elif self._pong_awaited and self._buffer == b"\r\n":
                line_ends += 1
                self._buffer.clear()
            elif _PING.startswith(bytes(self._buffer)):
                break  # the other half of a ping may follow
            else:
                line_ends += 1
                del self._buffer[: 1 if self._buffer[:1] == b"\n" else 2]
            self._searched = 0
        return pings, line_ends

    def _measure(self) -> bool:
        """Whether the length of the message that is coming is known."""
        found = _END.search(self._buffer, self._searched)
        head = found.end() if found else len(self._buffer)
        if head > self._max_head:
            raise FramingError(f"headers of more than {self._max_head} bytes", 513)
        if found is None:
            self._searched = max(0, len(self._buffer) - 3)
            return False
        text = bytes(self._buffer[:head])
        try:
            self._whole = head + self._length(text)
        except FramingError as error:
            error.head = text
            raise
        return True

    def _length(self, head: bytes) -> int:
        given = set(_LENGTH.findall(head))
        if len(given) != 1:
            raise FramingError("a message on a stream needs one Content-Length")
        (text,) = given
        if not text.isdigit() or len(text) > 9:
            raise FramingError("a Content-Length that is no number")
        length = int(text)
        if length > self._max_body:
            raise FramingError(f"a body of more than {self._max_body} bytes", 513)
        return length
