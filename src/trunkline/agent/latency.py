"""Where the time of one turn went."""

from dataclasses import dataclass

from .events import TurnLatency
from .turn_events import TurnEnded

__all__ = ["Stopwatch"]


@dataclass(slots=True)
class Stopwatch:
    """The stages of one turn as they pass; all times on the monotonic clock."""

    turn: TurnEnded
    recognised_at: float | None = None
    first_token_at: float | None = None
    first_audio_at: float | None = None

    def recognised(self, now: float) -> None:
        """The caller's words are there."""
        self.recognised_at = now

    def token(self, now: float) -> None:
        """The model wrote something; only the first time counts."""
        if self.first_token_at is None:
            self.first_token_at = now

    def stopped(self, now: float, first_audio_at: float | None) -> TurnLatency:
        """The first packet has left.

        A stage that was skipped took no time. The first packet is stamped by the
        media thread at its tick, the others by the application when it got there.
        """
        origin = self.turn.speech_ended_at
        recognised = self.recognised_at if self.recognised_at is not None else self.turn.at
        token = self.first_token_at if self.first_token_at is not None else recognised
        audio = first_audio_at if first_audio_at is not None else token
        stages = (self.turn.at, recognised, token, audio, now)
        return TurnLatency(now, self.turn.turn, *((at - origin) * 1000 for at in stages))
