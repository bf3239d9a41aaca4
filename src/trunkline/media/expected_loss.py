"""How much loss an encoder is to guard against, by what the far end reports."""

from typing import Final

__all__ = ["ExpectedLoss"]

_LEVELS: Final = ((0.5, 2), (5.0, 10), (100.0, 20))
"""Percent lost, at most, and what libopus is then told to expect. Told 2, it copies a voice
of 8 kHz, for 0.06 of PESQ without loss and 0.4 better with 2 % of it; told 10, one of 16 kHz
as well. From 20 on nothing is gained."""
_FORGOTTEN: Final = 0.1
"""Of what was lost, at a report that tells of less: half is forgotten after seven, which
come five seconds apart (RFC 3550 section 6.2)."""
_MARGIN: Final = 1.3
"""A level is left downwards only when what is remembered is so much below it."""


class ExpectedLoss:
    """One direction's: up at once, down slowly, in steps.

    A burst of loss is a reason to expect more of it; a report without loss is a weak one
    to expect no more, for it covers five seconds.
    """

    def __init__(self, percent: int) -> None:
        """``percent``: what to expect before the first report."""
        self.percent = percent
        """What to expect now."""
        self._remembered = 0.0

    def report(self, percent: float) -> int:
        """What the far end says it lost of the last packets, 0 to 100; gives `percent`."""
        reported = min(max(percent, 0.0), 100.0)
        faded = self._remembered + _FORGOTTEN * (reported - self._remembered)
        self._remembered = max(reported, faded)
        least, most = _level(self._remembered), _level(self._remembered * _MARGIN)
        self.percent = max(min(self.percent, most), least)
        return self.percent


def _level(percent: float) -> int:
    return next((level for upto, level in _LEVELS if percent <= upto), _LEVELS[-1][1])
