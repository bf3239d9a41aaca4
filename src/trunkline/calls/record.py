"""The detail record of one call: what is kept of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypedDict

__all__ = ["JSON_FIELDS", "CallRecord", "CallState", "ToolUse", "TurnRecord"]

CallState = Literal["live", "ended", "crashed"]


class ToolUse(TypedDict, total=False):
    """One tool the agent called in a turn."""

    name: str
    arguments: str
    """JSON text, as the language model wrote it."""
    result: str
    duration_ms: float


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


JSON_FIELDS: Final = frozenset({"quality", "turns", "headers"})
"""Fields with structure."""
