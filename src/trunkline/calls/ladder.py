"""Each call's SIP messages, for its record: the ladder.

`Ladder` watches an endpoint (``SipEndpoint.watchers``) and keeps what belongs to a call that
there is, or may come to be: by Call-ID, in memory, bounded. What a message says is looked
at only when the call is over.
"""

import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

from trunkline.sip.blanking import blanked
from trunkline.sip.hop import Hop

__all__ = ["Ladder", "LadderMessage", "ladder_of"]

MOST_WAITING = 4096
"""Call-IDs of INVITEs that no call has claimed: refused ones, and scanners'."""
_LONGEST_ID = 256


class LadderMessage(NamedTuple):
    """One message."""

    at: float
    """When, on the monotonic clock."""
    sent: bool
    """Whether we sent it."""
    hop: Hop
    """The other end."""
    data: bytes
    """As it was on the wire; only the first line, when there was too much."""


class _Entry:
    """What is kept of one Call-ID."""

    __slots__ = ("dropped", "messages", "room")

    def __init__(self, room: int) -> None:
        self.messages: list[LadderMessage] = []
        self.room = room
        self.dropped = 0


class Ladder:
    """Keeps messages by Call-ID. A watcher; its calls are made on the media thread."""

    def __init__(self, most_messages: int = 64, most_bytes: int = 64_000) -> None:
        self._most_messages = most_messages
        self._most_bytes = most_bytes
        self._waiting: dict[bytes, _Entry] = {}
        self._claimed: dict[bytes, _Entry] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._claimed)

    def __call__(self, sent: bool, data: bytes, hop: Hop, now: float) -> None:
        """One message came or went."""
        call_id = _call_id(data)
        entry = self._claimed.get(call_id) or self._waiting.get(call_id)
        if entry is None:
            if not data.startswith(b"INVITE ") or not 0 < len(call_id) <= _LONGEST_ID:
                return
            entry = self._wait(call_id)
        if len(entry.messages) >= self._most_messages:
            entry.dropped += 1
            return
        if len(data) > entry.room:
            entry.dropped += 1
            entry.room = 0
            data = data.partition(b"\r\n")[0][:200]
        else:
            entry.room -= len(data)
        entry.messages.append(LadderMessage(now, sent, hop, data))

    def _wait(self, call_id: bytes) -> _Entry:
        with self._lock:
            while len(self._waiting) >= MOST_WAITING:
                del self._waiting[next(iter(self._waiting))]
            entry = self._waiting[call_id] = _Entry(self._most_bytes)
        return entry

    def claim(self, call_id: str) -> None:
        """A call has this Call-ID: its messages are kept until they are taken."""
        key = call_id.encode("utf-8", "surrogateescape")
        with self._lock:
            # A call out whose host is looked up first has sent nothing yet.
            entry = self._waiting.pop(key, None) or _Entry(self._most_bytes)
            self._claimed[key] = entry

    def take(self, call_id: str) -> tuple[Sequence[LadderMessage], int]:
        """The messages of a call that is over, and how many were too many; any thread."""
        with self._lock:
            entry = self._claimed.pop(call_id.encode("utf-8", "surrogateescape"), None)
        return ([], 0) if entry is None else (entry.messages, entry.dropped)


def ladder_of(messages: Sequence[LadderMessage], dropped: int, started_at: float) -> dict[str, Any]:
    """As the record keeps it: seconds of the call, who, over what, and the text, blanked."""
    if not messages:
        return {}
    kept = [
        {
            "at": round(max(0.0, message.at - started_at), 4),
            "sent": message.sent,
            "peer": str(message.hop),
            "text": blanked(message.data).decode("utf-8", "replace"),
        }
        for message in messages
    ]
    return {"messages": kept, "dropped": dropped} if dropped else {"messages": kept}


def _call_id(data: bytes) -> bytes:
    """The Call-ID, found without parsing; empty if there is none."""
    begin = data.find(b"\r\nCall-ID:")
    if begin >= 0:
        begin += 10
    else:
        head = data.partition(b"\r\n\r\n")[0].lower()
        begin = max(head.find(b"\r\ncall-id"), head.find(b"\r\ni:"), head.find(b"\r\ni "))
        if begin < 0:
            return b""
        begin = data.find(b":", begin) + 1
    return data[begin : data.find(b"\r\n", begin)].strip()
