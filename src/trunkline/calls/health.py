"""Whether a gateway is there: what OPTIONS and calls tell of it, with hysteresis.

A gateway is taken to be up until it has missed several questions in a row, and to be
down until it has answered several. One that asks for a pause (503 with Retry-After)
gets it. Pure: time comes in as ``now``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from trunkline.errors import UsageError

__all__ = ["GatewayHealth", "HealthSettings"]

CALL_MISSES: Final = 3
"""Calls in a row that get no answer at all and take a gateway out."""
SILENT_PAUSE_SECONDS: Final = 60.0
"""How long such a gateway is left alone where none is asked."""
LONGEST_PAUSE_SECONDS: Final = 600.0
"""The most that is believed of a Retry-After."""
DOWN_SPEEDUP: Final = 0.5
"""A gateway that is down is asked this much sooner."""


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """How a trunk's gateways are asked; raises `UsageError`."""

    options_seconds: float = 30.0
    """Between two questions, give or take a tenth; 0: nothing is asked."""
    timeout_seconds: float = 3.0
    """How long an answer may take."""
    misses: int = 3
    """Questions in a row without an answer that take a gateway out."""
    hits: int = 2
    """Answers in a row that take it in again."""

    def __post_init__(self) -> None:
        if self.misses < 1 or self.hits < 1:
            raise UsageError("health.misses and health.hits are 1 or more")
        if self.options_seconds < 0 or self.timeout_seconds <= 0:
            raise UsageError("health.options_seconds and timeout_seconds are times")


class GatewayHealth:
    """One gateway's. Not thread-safe: the media thread's."""

    def __init__(self, settings: HealthSettings, random: Callable[[], float]) -> None:
        self.settings = settings
        self._random = random
        self.up = True
        """Whether it is taken to be there."""
        self.changed_at: float | None = None
        """When that was last seen to change."""
        self.last_code = 0
        """Of the last answer; 0: there was none."""
        self.round_trip_ms = 0.0
        """Of the last answer."""
        self._misses = self._hits = self._silent_calls = 0
        self._paused_until = 0.0
        self._next_at = 0.0

    def usable(self, now: float) -> bool:
        """Whether calls go there first."""
        return self.up and now >= self._paused_until

    @property
    def paused_until(self) -> float:
        """It asked to be left alone until then."""
        return self._paused_until

    def due(self, now: float) -> bool:
        """Whether it is to be asked; asking moves the next time on."""
        every = self.settings.options_seconds
        if not every or now < self._next_at:
            return False
        if not self.up:
            every *= DOWN_SPEEDUP
        first = self._next_at == 0.0
        # All gateways of a node that starts are not asked in the same millisecond, for ever.
        spread = 0.9 + 0.2 * self._random()
        self._next_at = now + every * (self._random() if first else spread)
        return True

    def answered(
        self, code: int, now: float, *, round_trip_ms: float = 0.0, retry_after: float = 0.0
    ) -> None:
        """It answered a question. Any final answer but 408 and 5xx is a sign of life."""
        self.last_code, self.round_trip_ms = code, round_trip_ms
        if code == 408 or (code >= 500 and code < 600 and code not in (501, 505)):
            self.pause(retry_after, now)
            self._missed(now)
        else:
            self._hit(now)

    def silent(self, now: float) -> None:
        """It did not answer a question in time, or cannot be reached."""
        self.last_code = 0
        self._missed(now)

    def call_failed(self, code: int, now: float, retry_after: float = 0.0) -> None:
        """A call there failed as a gateway fails: silence (408), or 5xx."""
        if code == 503 and retry_after:
            self.pause(retry_after, now)
        if code != 408:
            return
        self._silent_calls += 1
        if self._silent_calls < CALL_MISSES:
            return
        self._silent_calls = 0
        if not self.settings.options_seconds:  # nothing would ever take it in again
            self.pause(SILENT_PAUSE_SECONDS, now)
        elif self.up:
            self._become(False, now)
            self._next_at = now  # and asked at once

    def call_answered(self, now: float) -> None:
        """A call there got any answer of its own."""
        self._silent_calls = 0

    def pause(self, seconds: float, now: float) -> None:
        """Leave it alone for so long; it is still asked."""
        if seconds > 0:
            self._paused_until = max(self._paused_until, now + min(seconds, LONGEST_PAUSE_SECONDS))

    def _hit(self, now: float) -> None:
        self._misses = 0
        if self.up:
            return
        self._hits += 1
        if self._hits >= self.settings.hits:
            self._become(True, now)

    def _missed(self, now: float) -> None:
        self._hits = 0
        if not self.up:
            return
        self._misses += 1
        if self._misses >= self.settings.misses:
            self._become(False, now)

    def _become(self, up: bool, now: float) -> None:
        self.up, self.changed_at = up, now
        self._misses = self._hits = 0
