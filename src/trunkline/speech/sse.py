"""Server-sent events, read from bytes as they come (WHATWG HTML, section 9.2).

Only what a stream of model output needs: the ``data`` of each event. Names, ids and
retry times are read over. Bytes may be cut anywhere, within a character or a CRLF too.
"""

from collections.abc import Iterator

from trunkline.errors import PeerError

__all__ = ["EventStream", "EventTooLarge"]

MAX_EVENT_BYTES = 4 * 1024 * 1024
"""More than any model writes in one piece; a server without line ends may not fill memory."""


class EventTooLarge(PeerError):  # noqa: N818 - named like the other failures of speech
    """One event, or a line without an end, is longer than `MAX_EVENT_BYTES`."""


class EventStream:
    """An incremental parser: feed bytes, get the data of the events they complete."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._chunks: list[bytes] = []  # of the line that has no end yet
        self._pending = 0  # bytes in them
        self._data: list[bytes] = []  # of the event that has no end yet
        self._size = 0  # bytes in it
        self._after_return = False  # a CR ended the last line: a LF now is part of that end
        self._begun = False

    def feed(self, data: bytes) -> Iterator[str]:
        """The data of every event completed by these bytes.

        Raises:
            EventTooLarge: the server sends an event without end.
        """
        if self._after_return and data:
            data = data.removeprefix(b"\n")
            self._after_return = False
        if not data:
            return
        # bytes.splitlines splits at CR, LF and CRLF and at nothing else, as events do.
        for line in data.splitlines(keepends=True):
            ending = line[-1:]
            if ending not in b"\r\n":
                self._keep(line)
                continue
            yield from self._line(self._whole(line.rstrip(b"\r\n")))
        self._after_return = data.endswith(b"\r")

    def _keep(self, part: bytes) -> None:
        self._chunks.append(part)
        self._pending += len(part)
        self._check(self._pending)

    def _whole(self, line: bytes) -> bytes:
        if self._chunks:
            line = b"".join((*self._chunks, line))
            self._chunks.clear()
            self._pending = 0
        if not self._begun:
            self._begun = True
            line = line.removeprefix(b"\xef\xbb\xbf")
        return line

    def _line(self, line: bytes) -> Iterator[str]:
        if not line:
            if self._data:
                # Only whole events are decoded, so a character cut between chunks is whole here.
                yield b"\n".join(self._data).decode("utf-8", "replace")
            self._data.clear()
            self._size = 0
            return
        name, _, value = line.partition(b":")
        if name == b"data":  # a comment has an empty name; other fields do not matter here
            value = value.removeprefix(b" ")
            self._size += len(value)
            self._check(self._size)
            self._data.append(value)

    def _check(self, size: int) -> None:
        if size > self._max_event_bytes:
            raise EventTooLarge(f"an event is longer than {self._max_event_bytes} bytes")
