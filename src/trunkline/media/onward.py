"""Time that only goes on, whatever the clock does."""

from math import isfinite

from trunkline.errors import UsageError

__all__ = ["OnwardClock"]

_LATEST_SECONDS = 1e11
"""Beyond 3,000 years a float cannot tell one sample's time from the next."""
_STEP_SECONDS = 0.5
"""A step back by more is a clock that was set, and time goes on from there; by less, callers
who asked the clock in another order than they came."""


_LONGEST_SECONDS = 60.0
"""Longer than this nobody was stopped: the clock was set, or the machine slept."""


class OnwardClock:
    """Seconds as they were given, without their steps back and without great ones forward.

    Of a clock that was set back, as the time of day is, the present is where it was, and goes
    on from there: what is due is due every 20 ms and not only when the old time is reached.
    """

    def __init__(self) -> None:
        self.shift = 0.0
        """What is added to a time given."""
        self._latest = -_LATEST_SECONDS
        self._begun = False

    def __call__(self, now: float) -> float:
        """The time to go by; raises `UsageError` for what is no time."""
        if not (isfinite(now) and abs(now) < _LATEST_SECONDS):
            raise UsageError(f"a time is a finite number of seconds, not {now!r}")
        shifted = now + self.shift
        if shifted < self._latest - _STEP_SECONDS:
            self.shift = self._latest - now
        elif self._begun and shifted > self._latest + _LONGEST_SECONDS:
            self.shift = self._latest + _LONGEST_SECONDS - now
        self._latest = max(self._latest, now + self.shift)
        self._begun = True
        return float(self._latest)
