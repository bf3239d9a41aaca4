"""When something about a call's quality is to be told, and when it is over. Pure.

Each alarm is raised once and taken back once, with room between the two values, so that a
call on the edge does not flap.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

__all__ = ["Alarm", "AlarmKind", "QualityAlarms", "QualityLimits", "Way"]

AlarmKind = Literal["poor", "one-way", "clipping", "silence"]
Way = Literal["in", "out"]
"""``in`` is what we hear of the far end, ``out`` what it hears of us."""


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """What is told of calls."""

    poor_mos: float = 3.1
    """A stretch below is poor: R = 60, where G.107 has nearly all users dissatisfied."""
    good_mos: float = 3.6
    """One above is good again: R = 70."""
    one_way_seconds: float = 3.0
    """A direction that is dead is told of after this long, at the latest."""
    silence_seconds: float = 30.0
    """Nothing but silence is told of after this long; 0 never."""
    clipped: float = 0.05
    """A larger share of frames at the limit is told of."""
    remote_reports: int = 2
    """So many reports in a row that know nothing new of our packets: they do not hear us."""


class Alarm(NamedTuple):
    """One change."""

    kind: AlarmKind
    way: Way
    raised: bool
    """False: it is over."""
    value: float
    """What it was told by: a MOS, seconds, or a share."""


class QualityAlarms:
    """The alarms of one call."""

    def __init__(self, limits: QualityLimits) -> None:
        self.limits = limits
        self.raised: dict[tuple[AlarmKind, Way], float] = {}
        """Those that stand, with what they were told by."""
        self.counts: dict[AlarmKind, int] = {}
        """How often each was raised."""

    def dead(self, way: Way, seconds: float) -> Iterator[Alarm]:
        """A direction in which nothing has come for so long, although it should; 0: it has.

        Seconds are from the first look that found nothing, up to a second after the last
        packet, and looks are a second apart: what is due before the next one is due now.
        """
        due = seconds > max(0.0, self.limits.one_way_seconds - 1.5)
        yield from self._set("one-way", way, due, seconds)

    def silent(self, way: Way, seconds: float) -> Iterator[Alarm]:
        """A direction in which there was nothing but silence for so long."""
        limit = self.limits.silence_seconds
        yield from self._set("silence", way, bool(limit) and seconds >= limit, seconds)

    def rated(self, way: Way, mos: float | None) -> Iterator[Alarm]:
        """A stretch was this good; None leaves things as they are."""
        if mos is None:
            return
        if mos < self.limits.poor_mos:
            yield from self._set("poor", way, True, mos)
        elif mos > self.limits.good_mos:
            yield from self._set("poor", way, False, mos)

    def clipped(self, way: Way, share: float) -> Iterator[Alarm]:
        """A share of a stretch's frames were at the limit."""
        if share > self.limits.clipped:
            yield from self._set("clipping", way, True, share)
        elif share <= self.limits.clipped / 2:
            yield from self._set("clipping", way, False, share)

    def _set(self, kind: AlarmKind, way: Way, raised: bool, value: float) -> Iterator[Alarm]:
        stands = (kind, way) in self.raised
        if raised and not stands:
            self.raised[kind, way] = value
            self.counts[kind] = self.counts.get(kind, 0) + 1
            yield Alarm(kind, way, True, value)
        elif stands and not raised:
            del self.raised[kind, way]
            yield Alarm(kind, way, False, value)
