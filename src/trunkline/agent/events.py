"""What an agent tells whoever observes it: a log, a page, a record.

Observers are plain callables that get one event at a time, on the application's loop,
in order. Times (``at``) are seconds of the monotonic clock, the media thread's too.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from .turn_events import BargeIn, FalseStart

__all__ = [
    "AgentEvent",
    "AgentFailed",
    "AgentSaying",
    "AgentSpoke",
    "AgentStarted",
    "BargeIn",
    "CallerSilent",
    "CallerStarted",
    "CallerTurn",
    "FalseStart",
    "KeyPressed",
    "Observer",
    "Observers",
    "Stage",
    "ToolCalled",
    "TurnLatency",
]

log = logging.getLogger(__name__)

Stage: TypeAlias = Literal["recognition", "model", "synthesis", "tool"]


@dataclass(frozen=True, slots=True)
class CallerStarted:
    """The caller has begun to speak."""

    at: float
    """When the speech began."""
    turn: int
    """The caller's turn, counted from 1."""


@dataclass(frozen=True, slots=True)
class CallerTurn:
    """The caller's turn is over, and this was understood of it."""

    at: float
    """When it was understood."""
    turn: int
    """The same number again means that the caller went on: this text holds the former."""
    text: str
    """The words; empty for nothing understood."""
    confidence: float
    """0..1, the least of the turn's parts."""
    audio_ms: int
    """How much audio the recogniser had."""
    speech_started_at: float
    speech_ended_at: float
    keys: str = ""
    """Keys pressed, if that is how the turn ended."""


@dataclass(frozen=True, slots=True)
class CallerSilent:
    """Nobody has spoken for `TurnSettings.idle_ms`."""

    at: float
    count: int
    """How often in a row, counted from 1."""


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """The caller pressed a key."""

    at: float
    digit: str


@dataclass(frozen=True, slots=True)
class AgentStarted:
    """The first packet of a reply has left."""

    at: float
    reply: int


@dataclass(frozen=True, slots=True)
class AgentSaying:
    """A piece of the reply, usually a sentence, is synthesised."""

    at: float
    text: str
    plays_at: float
    """When its first sample is going to leave."""
    reply: int


@dataclass(frozen=True, slots=True)
class AgentSpoke:
    """A reply is over."""

    at: float
    reply: int
    heard: str
    """What the caller heard, to a word."""
    unheard: str
    """The rest, if the reply was cut off."""
    interrupted: bool
    exact: bool
    """True: the far end says what it has played. False: what was sent, less its buffer."""


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """The model called a tool, and it is done."""

    at: float
    name: str
    arguments: str
    """JSON, as the model wrote it."""
    result: str
    seconds: float


@dataclass(frozen=True, slots=True)
class TurnLatency:
    """From the end of the caller's speech to the agent's voice, stage by stage.

    Every stage is in milliseconds from the end of speech, so each holds those before it.
    """

    at: float
    turn: int
    endpointing_ms: float
    """The turn was decided to be over."""
    recognition_ms: float
    """Its text was there."""
    first_token_ms: float
    """The model wrote its first letters; the same as recognition where none was asked."""
    first_audio_ms: float
    """The first audio of the reply was queued."""
    first_packet_ms: float
    """The first packet of the reply left."""


@dataclass(frozen=True, slots=True)
class AgentFailed:
    """Something went wrong; the call goes on."""

    at: float
    stage: Stage
    message: str


AgentEvent: TypeAlias = (
    CallerStarted
    | CallerTurn
    | CallerSilent
    | KeyPressed
    | AgentStarted
    | AgentSaying
    | AgentSpoke
    | ToolCalled
    | TurnLatency
    | AgentFailed
    | BargeIn
    | FalseStart
)

Observer: TypeAlias = Callable[[AgentEvent], None]


class Observers:
    """Tells all observers; one that fails is logged and the others still hear."""

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._observers = tuple(observers)

    def __call__(self, event: AgentEvent) -> None:
        """Tell everyone."""
        for observer in self._observers:
            try:
                observer(event)
            except Exception:
                log.exception("an observer failed on %s", type(event).__name__)
