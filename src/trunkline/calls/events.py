"""What happens to a call, as observers on the application's loop see it.

An agent's own events (who speaks, what was recognised, where it was cut off)
come through the same observers; they are in ``trunkline.agent.events``.
"""

from dataclasses import dataclass

__all__ = [
    "CallAnswered",
    "CallDigit",
    "CallEarlyMedia",
    "CallEnded",
    "CallEvent",
    "CallHeld",
    "CallResumed",
    "CallRinging",
    "CallStarted",
]


@dataclass(frozen=True, slots=True)
class CallEvent:
    """The base of all of them."""

    call_id: str
    """Whose event it is."""
    at: float
    """When, on the monotonic clock, in seconds."""


@dataclass(frozen=True, slots=True)
class CallStarted(CallEvent):
    """A call came in or is being placed."""


@dataclass(frozen=True, slots=True)
class CallRinging(CallEvent):
    """The far end is alerting."""

    code: int
    """The SIP status that said so."""


@dataclass(frozen=True, slots=True)
class CallEarlyMedia(CallEvent):
    """Audio flows before the answer."""


@dataclass(frozen=True, slots=True)
class CallAnswered(CallEvent):
    """The call is up."""


@dataclass(frozen=True, slots=True)
class CallHeld(CallEvent):
    """One side holds the call."""

    by: str = "them"
    """``them``, or ``us`` after `Call.hold`."""


@dataclass(frozen=True, slots=True)
class CallResumed(CallEvent):
    """The side that held the call took it off hold."""

    by: str = "them"
    """``them``, or ``us`` after `Call.resume`."""


@dataclass(frozen=True, slots=True)
class CallDigit(CallEvent):
    """The far end pressed a key."""

    digit: str
    """One of 0-9, *, #, A-D."""
    duration_ms: int
    """How long; 0 where it is not known."""


@dataclass(frozen=True, slots=True)
class CallEnded(CallEvent):
    """The call is over. Exactly one per call, always last."""

    reason: str
    """A word: hangup, cancelled, rejected, redirected, busy, no-answer, timeout, media-timeout,
    error."""
    by: str
    """``us`` or ``them``."""
    code: int | None
    """The SIP status or WebSocket close code, where there is one."""
    detail: str = ""
    """What a person debugging would want to read."""
