"""What is under way in a session beside its INVITE: state of the extensions, no behaviour."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from .dialog import Dialog
from .timers import Timer

__all__ = ["Interval", "OutgoingUpdate", "Provisional", "Provisionals"]

SHORTEST_INTERVAL = 90
"""Seconds; what Min-SE is where nobody says (RFC 4028 section 5)."""


@dataclass(slots=True)
class Provisional:
    """A reliable provisional response of ours that waits for its PRACK."""

    number: int
    """Its RSeq."""
    data: bytes
    """What is repeated."""
    described: bool
    """Whether it had a session description: a 2xx may not overtake that."""
    offered: bool
    """Whether that description was our offer: the PRACK brings the answer."""
    interval: float
    repeat: Timer | None = None
    deadline: Timer | None = None

    def stop(self) -> None:
        """No more repetitions."""
        for timer in (self.repeat, self.deadline):
            if timer is not None:
                timer.cancel()


@dataclass(slots=True)
class Provisionals:
    """The reliable provisional responses of one INVITE that we were sent."""

    next_number: int
    waiting: Provisional | None = None
    """Sent and not acknowledged; one at a time (RFC 3262 section 3)."""
    queue: deque[tuple[int, bytes]] = field(default_factory=deque)
    """Code and body of those to come."""
    final: Callable[[float], None] | None = None
    """Sends the 2xx, when what it has to wait for is acknowledged."""
    closed: bool = False
    """A final response is out: nothing more is sent or repeated."""

    def close(self) -> None:
        """A final response goes out."""
        self.closed, self.final = True, None
        self.queue.clear()
        if self.waiting is not None:
            self.waiting.stop()


@dataclass(slots=True)
class OutgoingUpdate:
    """An UPDATE of ours (RFC 3311)."""

    dialog: Dialog
    offer: Callable[[], bytes] | None
    """Makes what it carries; None: it only refreshes."""
    body: bytes = b""
    """What it carried when it was last sent."""
    attempts: int = 0
    is_out: bool = False


@dataclass(slots=True)
class Interval:
    """The session timer (RFC 4028)."""

    wanted_seconds: int = 0
    """What we ask for; 0: we do not."""
    least_seconds: int = SHORTEST_INTERVAL
    """The largest Min-SE there was, ours or that of a 422."""
    seconds: int = 0
    """What was agreed; 0: the session does not expire."""
    we_refresh: bool = False
    expires_at: float = 0.0
