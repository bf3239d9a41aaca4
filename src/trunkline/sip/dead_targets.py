"""Servers that did not answer: the next request tries the others first.

A target is dead for half a minute after its first failure and for twice as long after each
further one, up to ten minutes. It is never given up for good: where all are dead all are tried,
and what has been dead long enough is forgotten.
"""

from collections.abc import Iterable

from .hop import Hop

__all__ = ["DeadTargets"]

FIRST_SECONDS = 30.0
LONGEST_SECONDS = 600.0
MOST = 4096
"""Targets that are remembered; more would be an attack."""

_Place = tuple[str, int, str]


class DeadTargets:
    """Which targets failed lately."""

    def __init__(self) -> None:
        self._until: dict[_Place, tuple[float, float]] = {}  # when it may be tried, how long it was

    def __contains__(self, target: Hop) -> bool:
        return bool(self._until) and target[:3] in self._until

    def __len__(self) -> int:
        return len(self._until)

    def failed(self, target: Hop, now: float, seconds: float = 0.0) -> None:
        """It did not answer, or said 503: avoid it; for that long, if it said how long."""
        place = target[:3]
        due, length = self._until.get(place, (now, 0.0))
        if now > due + length:
            length = 0.0  # that was long ago
        length = seconds or (length * 2 if length else FIRST_SECONDS)
        length = min(length, LONGEST_SECONDS)
        if len(self._until) >= MOST and place not in self._until:
            self._forget(now)
        self._until[place] = (now + length, length)

    def works(self, target: Hop) -> None:
        """It answered."""
        self._until.pop(target[:3], None)

    def is_dead(self, target: Hop, now: float) -> bool:
        """Whether the others are to be tried first."""
        entry = self._until.get(target[:3])
        return entry is not None and now < entry[0]

    def last(self, targets: Iterable[Hop], now: float) -> list[Hop]:
        """The targets, dead ones at the end, the order otherwise as it was."""
        if not self._until:
            return list(targets)
        return sorted(targets, key=lambda target: self.is_dead(target, now))

    def _forget(self, now: float) -> None:
        """Make room: what is over, and if that is none, the oldest."""
        kept = {place: entry for place, entry in self._until.items() if now < entry[0]}
        if len(kept) >= MOST:
            kept.pop(next(iter(kept)))
        self._until = kept
