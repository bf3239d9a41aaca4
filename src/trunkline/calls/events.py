"""What happens to a call, as observers on the application's loop see it.

An agent's own events (who speaks, what was recognised, where it was cut off)
come through the same observers; they are in ``trunkline.agent.events``.
"""

from dataclasses import dataclass

__all__ = [
    "CallAnswered",
    "CallBridged",
    "CallDigit",
    "CallEarlyMedia",
    "CallEnded",
    "CallEvent",
    "CallHeld",
    "CallMarked",
    "CallQuality",
    "CallResumed",
    "CallRinging",
    "CallStarted",
    "CallTransferFailed",
    "CallTransferred",
    "CallTransferring",
    "CallUnbridged",
    "CallWarned",
    "RecordingPaused",
    "RecordingRestored",
    "RecordingResumed",
    "RecordingTroubled",
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

    trunk: str = ""
    """The trunk it came in on, or goes out on first; empty where there is none."""


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
class CallTransferring(CallEvent):
    """A transfer is under way."""

    target: str
    """Whom the call is to go on with."""
    code: int
    """The SIP status that said so: 202 they agreed, 180 it rings there."""
    by: str = "us"
    """Who asked for it: ``us`` (`Call.transfer`) or ``them``."""


@dataclass(frozen=True, slots=True)
class CallTransferred(CallEvent):
    """A transfer is done.

    By ``us``: the far end talks to ``target`` and this call ends. By ``them``: this call
    goes on, and it is ``target`` that is heard from now on.
    """

    target: str
    code: int = 200
    """The SIP status; 202: they agreed, and hung up before they said how it went."""
    by: str = "us"


@dataclass(frozen=True, slots=True)
class CallTransferFailed(CallEvent):
    """A transfer came to nothing; the call goes on."""

    target: str
    code: int
    """The SIP status; 603 where it was we who did not want it."""
    by: str = "us"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CallDigit(CallEvent):
    """The far end pressed a key."""

    digit: str
    """One of 0-9, *, #, A-D."""
    duration_ms: int
    """How long; 0 where it is not known."""


@dataclass(frozen=True, slots=True)
class CallQuality(CallEvent):
    """Something about the quality of its audio has become wrong, or right again."""

    kind: str
    """``poor`` (the MOS of a stretch), ``one-way``, ``clipping``, ``silence``."""
    way: str
    """``in``: what we hear of the far end; ``out``: what it hears of us."""
    raised: bool
    """False: it is over."""
    value: float
    """What it is told by: a MOS, seconds, or a share of frames."""


@dataclass(frozen=True, slots=True)
class CallMarked(CallEvent):
    """A moment was named, with `Call.mark`."""

    name: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class RecordingPaused(CallEvent):
    """Its recordings have silence from now on."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class RecordingResumed(CallEvent):
    """Its recordings have sound again."""


@dataclass(frozen=True, slots=True)
class RecordingTroubled(CallEvent):
    """A recording cannot be written now; the call goes on."""

    path: str
    """Which one."""
    detail: str
    """What is wrong."""
    ended: bool
    """False: it waits, and goes on when that has passed. True: it has ended."""


@dataclass(frozen=True, slots=True)
class RecordingRestored(CallEvent):
    """A recording that could not be written goes on."""

    path: str


@dataclass(frozen=True, slots=True)
class CallWarned(CallEvent):
    """Protection has something to say of the call: its cap is used up, and it will end."""

    rule: str
    """cap, or the name of a pattern of fraud."""
    detail: str
    """What a person should read."""


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


@dataclass(frozen=True, slots=True)
class CallBridged(CallEvent):
    """Another call's far end and this one's hear each other."""

    other_id: str
    """The other call."""


@dataclass(frozen=True, slots=True)
class CallUnbridged(CallEvent):
    """They hear each other no longer."""

    other_id: str
    """The other call."""
