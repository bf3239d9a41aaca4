"""What turn-taking says: the events of a `turns.TurnMachine`.

Positions are samples of the caller's audio, counted from the call's first; times are
seconds of the monotonic clock.
"""

from dataclasses import dataclass
from enum import Enum

__all__ = [
    "BargeIn",
    "CallerContinued",
    "EndReason",
    "FalseStart",
    "Idle",
    "SpeechEnded",
    "SpeechResumed",
    "SpeechStarted",
    "TurnEnded",
    "TurnEvent",
]


class EndReason(Enum):
    """Why a turn is over."""

    SILENCE = "silence"
    """The caller fell silent for as long as the endpointer asked."""
    TOO_LONG = "too long"
    """It reached `TurnSettings.max_turn_ms`."""
    KEYS = "keys"
    """The caller pressed keys."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The caller speaks, and means it."""

    at: float
    """When the speech began, in seconds; earlier than the decision."""
    start: int
    """Its first sample, counted in the caller's audio."""
    preroll_samples: int
    """How much before that a recogniser should hear."""
    turn: int
    """The caller's turn it belongs to, counted from 1."""


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """The caller has fallen silent; perhaps only for breath."""

    at: float
    """When the speech ended, in seconds; earlier than the decision."""
    end: int
    """The sample after its last."""


@dataclass(frozen=True, slots=True)
class SpeechResumed:
    """It was only for breath."""

    at: float
    """When the first window of speech was complete, in seconds."""


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The caller's turn is over; a reply is awaited."""

    at: float
    """When that was decided, in seconds."""
    speech_started_at: float
    speech_ended_at: float
    """The end of the caller's speech, in seconds: what latency is measured from."""
    reason: EndReason
    turn: int
    """The caller's turn, counted from 1; the same again when a turn goes on after all."""
    reply: int
    """The reply now awaited; `TurnMachine.reply_nothing` wants it back."""
    spoken: bool = True
    """False: nothing was said, only keys were pressed."""
    keys: str = ""
    """The keys pressed, if any."""


@dataclass(frozen=True, slots=True)
class BargeIn:
    """The caller speaks over the agent: stop it."""

    at: float
    """When that was decided, in seconds."""
    speech_started_at: float


@dataclass(frozen=True, slots=True)
class CallerContinued:
    """The caller goes on before any of the reply has left: drop the reply."""

    at: float
    """When that was decided, in seconds."""
    speech_started_at: float


@dataclass(frozen=True, slots=True)
class FalseStart:
    """A sound that was too short to mean anything: a click, a cough, "mhm"."""

    at: float
    """When that was decided, in seconds."""
    duration_ms: int
    over_agent: bool
    """True: the agent was speaking, and goes on."""


@dataclass(frozen=True, slots=True)
class Idle:
    """Nobody has spoken for `TurnSettings.idle_ms`; a reply is awaited."""

    at: float
    count: int
    """How often in a row, counted from 1."""
    reply: int
    """The reply now awaited."""


TurnEvent = (
    SpeechStarted
    | SpeechEnded
    | SpeechResumed
    | TurnEnded
    | BargeIn
    | CallerContinued
    | FalseStart
    | Idle
)
