"""One call over several ways, one after the other, as one leg.

A `Hunt` tries ways until one is answered. Who observes it sees one call: Ringing and
EarlyMedia as they come, one Answered, one Ended. When an attempt fails in a manner that
is the network's and not the called person's, the next way is tried.

After early media no other way is tried: the caller has heard something, an announcement
perhaps that the number is not in service, and that was the network's word. Ringing (180)
without audio is no such word.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from trunkline.errors import TrunklineError, UsageError
from trunkline.media.lane import Lane
from trunkline.transports.leg import (
    Answered,
    EarlyMedia,
    Ended,
    Leg,
    LegEvent,
    LegObserver,
    Party,
    Ringing,
)

from .compound import CompoundLeg, decline

__all__ = ["Hunt", "Way"]

log = logging.getLogger(__name__)


class Way(Protocol):
    """One way a call may go. Media thread only."""

    trunk: str
    """The trunk's name."""

    def begin(self, observer: LegObserver) -> Leg:
        """Place the call this way; raises `TrunklineError` where that is not possible now."""

    def told(self, leg: Leg, event: LegEvent, now: float) -> None:
        """Whatever happens to the leg it has begun, its end included."""

    def goes_on(self, end: Ended, rang: bool) -> bool:
        """Whether an attempt that ended so is a reason to try the next way."""

    def attempt(self) -> Mapping[str, Any]:
        """What became of it, for the detail record."""


class Hunt(CompoundLeg):
    """A leg made of attempts. Implements `Leg` and `HoldableLeg`; media thread only.

    Raises what its last way raises where none can be begun.
    """

    def __init__(self, ways: Iterable[Way], observer: LegObserver, caller: str, callee: str):
        super().__init__()
        self._ways: Iterator[Way] = iter(ways)
        self._observer = observer
        self._caller, self._callee = caller, callee
        self._begun: list[tuple[Way, Leg]] = []
        self._rang = self._early = self._answered = self._over = False
        self._hung_up: str | None = None
        self._way: Way
        if not self._next():
            raise UsageError(f"no trunk carries {callee}")
        self.id = self.current.id
        """That of the first attempt; it stays."""

    def _next(self) -> bool:
        """Begin the next way that can be; False when there is none left."""
        failure: TrunklineError | None = None
        for way in self._ways:
            events: list[tuple[Leg, LegEvent, float]] = []
            observe: list[LegObserver] = [lambda *event, kept=events: kept.append(event)]
            try:
                leg = way.begin(lambda *event, to=observe: to[0](*event))
            except TrunklineError as error:
                log.info("%s is not called over %s: %s", self._callee, way.trunk, error)
                failure = error
                continue
            self._way = way
            self._begun.append((way, leg))
            self._rang = False
            self._has_begun(leg)
            observe[0] = lambda *event, way=way: self._happened(way, *event)
            for event in events:
                self._happened(way, *event)
            return True
        if failure is not None and not self._begun:
            raise failure
        return False

    def _happened(self, way: Way, leg: Leg, event: LegEvent, now: float) -> None:
        way.told(leg, event, now)
        if way is not self._way or self._over:
            decline(event)
            return
        if isinstance(event, Ended):
            self._ended(event, now)
            return
        self._rang |= isinstance(event, Ringing)
        self._early |= isinstance(event, EarlyMedia)
        self._answered |= isinstance(event, Answered)
        self._observer(self, event, now)

    def _ended(self, end: Ended, now: float) -> None:
        goes_on = (
            not (self._answered or self._early or self._hung_up is not None)
            and self._way.goes_on(end, self._rang)
            and self._next()
        )
        if goes_on:
            return
        self._over = True
        if self._hung_up is not None and end.by == "us":
            end = replace(end, reason=self._hung_up)
        self._observer(self, end, now)

    # -- Leg ----------------------------------------------------------------------------

    @property
    def current(self) -> Leg:
        """The attempt that is being made, or was taken."""
        return self._begun[-1][1]

    @property
    def begun(self) -> Sequence[Leg]:
        """Every attempt so far, in order."""
        return [leg for _, leg in self._begun]

    @property
    def party(self) -> Party:
        """Who calls whom, as the application said it; the rest is the attempt's."""
        return replace(
            self.current.party, caller=self._caller, callee=self._callee, trunk=self._way.trunk
        )

    @property
    def lane(self) -> Lane | None:
        """The attempt's place in the engine."""
        return self.current.lane

    @property
    def attempts(self) -> list[Mapping[str, Any]]:
        """What became of each attempt, in order."""
        return [way.attempt() for way, _ in self._begun]

    def hangup(self, reason: str = "hangup") -> None:
        """End the attempt, and try no other; legal more than once."""
        if self._hung_up is None:
            self._hung_up = reason
        self.current.hangup(reason)

    def send_dtmf(self, digits: str, duration_ms: int = 100) -> None:
        """Press keys towards the far end."""
        self.current.send_dtmf(digits, duration_ms)

    def statistics(self) -> Mapping[str, float]:
        """The attempt's."""
        return self.current.statistics()
