"""The detail record of one call: what is kept of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypedDict

__all__ = [
    "JSON_FIELDS",
    "LONG_FIELDS",
    "CallRecord",
    "CallState",
    "ToolUse",
    "TransferRecord",
    "TurnRecord",
]


CallState = Literal["live", "ended", "crashed"]


class ToolUse(TypedDict, total=False):
    """One tool the agent called in a turn."""

    name: str
    arguments: str
    """JSON text, as the language model wrote it."""
    result: str
    duration_ms: float


class TransferRecord(TypedDict, total=False):
    """One transfer of a call, done or not. A plain dictionary, as it is stored as JSON."""

    by: Literal["us", "them"]
    """Who asked for it. By us and done: the call ended with it. By them: it went on."""
    to: str
    """Whom it was to go on with."""
    code: int
    """The SIP status it ended with; 202: they agreed and said no more."""
    done: bool
    sip_call_id: str
    """The Call-ID of the leg that the call went on with (by them)."""
    quality: Mapping[str, float]
    """The figures of the leg that it had until then (by them)."""
    at_seconds: float
    """When it ended, in seconds from the start of the call."""


class TurnRecord(TypedDict, total=False):
    """One turn of a conversation. A plain dictionary, since it is stored as JSON."""

    by: Literal["caller", "agent"]
    text: str
    """What was recognised; or what the agent said and the caller heard."""
    unheard: str
    """The agent's words that were cut off: shown struck through."""
    started_seconds: float
    """When it began, in seconds from the start of the call."""
    ended_seconds: float
    """When it ended."""
    confidence: float
    """The recogniser's, 0 to 1 (caller)."""
    interrupted: bool
    """The caller spoke over it (agent)."""
    stages_ms: Mapping[str, float]
    """When each stage of the reply was through, in milliseconds from the end of the caller's
    speech, each holding those before it: endpointing, recognition, first_token,
    first_audio, first_packet (agent)."""
    tools: Sequence[ToolUse]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """What is kept of one call. Times are wall-clock seconds since 1970."""

    id: str
    """The call's id."""
    direction: str = ""
    """inbound or outbound."""
    transport: str = ""
    """sip, twilio, browser."""
    caller: str = ""
    callee: str = ""
    app: str = ""
    """The application that had the call."""
    state: CallState = "live"
    """live, ended, or crashed: the node died while it was live."""
    started_at: float = 0.0
    answered_at: float | None = None
    ended_at: float | None = None
    end_reason: str = ""
    """hangup, cancelled, rejected, redirected, busy, no-answer, timeout, media-timeout, error,
    crashed."""
    end_by: str = ""
    """us or them."""
    end_code: int | None = None
    """The SIP status or WebSocket close code, where there is one."""
    end_detail: str = ""
    """What the far end said about it: its Reason header (Q.850), a WebSocket's words."""
    bridged_with: str = ""
    """The call whose far end this one's was joined with; the last, if there were several."""
    sip_call_id: str = ""
    """The Call-ID header, to find the call in a trace or at the trunk's side."""
    recording: str = ""
    """The path of the recording, if there is one."""
    recorded_at: float | None = None
    """When the first sample of the recording was; None while the call is up."""
    quality: Mapping[str, float | None] = field(default_factory=dict)
    """Loss, jitter, round trip, late and concealed frames, as flat numbers."""
    turns: Sequence[TurnRecord] = ()
    """The conversation."""
    transfers: Sequence[TransferRecord] = ()
    """The transfers it saw, in order."""
    series: Mapping[str, Any] = field(default_factory=dict)
    """Quality over time: ``start`` and ``step`` in seconds, columns of ``in`` and ``out``; losses
    by length (``runs``) and packets by delay (``delays``). Empty in a list."""
    ladder: Mapping[str, Any] = field(default_factory=dict)
    """The call's SIP ``messages``, each with ``at`` (seconds of the call), ``sent``, ``peer``
    and ``text``; how many more were ``dropped``. Empty in a list."""
    trunk: str = ""
    """The trunk it came in on, or went out on in the end."""
    attempts: Sequence[Mapping[str, Any]] = ()
    """Of a call over trunks: what each gateway made of it, in order: trunk, gateway, at,
    delay_ms (to the first sign of ringing), code, seconds (talked), sip_call_id."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """SIP headers of interest, or a media stream's parameters."""
    node: str = ""
    """The node's name; empty as given to `RecordStore.begin`, which fills it in."""

    @property
    def talked_seconds(self) -> float:
        """From the answer to the end; 0 for a call never answered or not over."""
        if self.answered_at is None or self.ended_at is None:
            return 0.0
        return max(0.0, self.ended_at - self.answered_at)


JSON_FIELDS: Final = frozenset(
    {"attempts", "quality", "turns", "transfers", "headers", "series", "ladder"}
)
"""Fields with structure."""
LONG_FIELDS: Final = frozenset({"series", "ladder"})
"""Fields that a list leaves out."""
