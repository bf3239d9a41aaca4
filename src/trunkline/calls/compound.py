"""A leg made of legs: the attempts of one call out, of which one is taken.

`Hunt` makes them one after the other, `ForkedLeg` at the same time; an attempt may be such
a leg itself. A call has the attempt that was taken once it is answered (`taken`), so what
only some legs can do needs no word here but what is asked for before that.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trunkline.errors import UsageError
from trunkline.media.jitter import JitterStatistics
from trunkline.transports.leg import (
    Direction,
    HoldableLeg,
    Leg,
    LegEvent,
    LegReplaced,
    TransferAsked,
)
from trunkline.transports.media_facts import MediaFacts, MonitoredLeg

__all__ = ["CompoundLeg", "attempts_of", "decline", "each_leg", "taken"]

OVER = 481
"""What is said to who asks something of a call that is not there any more."""


class CompoundLeg:
    """Implements of `Leg`, ``HoldableLeg`` and ``MonitoredLeg`` what is alike. Media thread."""

    direction: Direction = "outbound"

    def __init__(self) -> None:
        self._followers: list[Callable[[Leg], None]] = []

    @property
    def current(self) -> Leg:
        """The attempt that was taken, or may be as far as is known."""
        raise NotImplementedError

    @property
    def begun(self) -> Sequence[Leg]:
        """Every attempt so far, in order."""
        raise NotImplementedError

    @property
    def attempts(self) -> list[Mapping[str, Any]]:
        """What became of each way that was tried, of those over trunks."""
        return [one for leg in self.begun for one in attempts_of(leg)]

    def follow(self, told: Callable[[Leg], None]) -> None:
        """Have somebody told every attempt there was and will be."""
        self._followers.append(told)
        for leg in self.begun:
            each_leg(leg, told)

    def _has_begun(self, leg: Leg) -> None:
        for told in self._followers:
            each_leg(leg, told)

    @property
    def transport(self) -> str:
        """A word: sip."""
        return self.current.transport

    @property
    def takes_keys(self) -> bool:
        """See `Leg`."""
        return self.current.takes_keys

    def ring(self) -> None:
        """Nothing: this leg is outbound."""

    def early_media(self) -> None:
        """Nothing: this leg is outbound."""

    def answer(self) -> None:
        """Nothing: this leg is outbound."""

    def reject(self, code: int, reason: str = "") -> None:
        """Nothing: this leg is outbound."""

    def hold(self, *, silent: bool = False) -> None:
        """See `HoldableLeg`."""
        self._holdable().hold(silent=silent)

    def resume(self) -> None:
        """See `HoldableLeg`."""
        self._holdable().resume()

    def _holdable(self) -> HoldableLeg:
        current = self.current
        if not isinstance(current, HoldableLeg):
            raise UsageError(f"a call over {self.transport} cannot be held")
        return current

    def media_facts(self) -> MediaFacts | None:
        """See ``MonitoredLeg``."""
        current = self.current
        return current.media_facts() if isinstance(current, MonitoredLeg) else None

    def jitter_statistics(self) -> JitterStatistics | None:
        """See ``MonitoredLeg``."""
        current = self.current
        return current.jitter_statistics() if isinstance(current, MonitoredLeg) else None


def taken(leg: Leg) -> Leg:
    """The leg itself, or of one made of legs the attempt that is current."""
    while isinstance(leg, CompoundLeg):
        leg = leg.current
    return leg


def each_leg(leg: Leg, told: Callable[[Leg], None]) -> None:
    """Have somebody told the leg itself, or of one made of legs every attempt."""
    if isinstance(leg, CompoundLeg):
        leg.follow(told)
    else:
        told(leg)


def attempts_of(leg: Leg) -> Sequence[Mapping[str, Any]]:
    """What became of each way that was tried, where there were several."""
    return leg.attempts if isinstance(leg, CompoundLeg) else ()


def decline(event: LegEvent) -> None:
    """Answer what a leg asks that no call has any more; other events need no answer."""
    if isinstance(event, TransferAsked):
        event.request.refuse(OVER)
    elif isinstance(event, LegReplaced):
        event.leg.reject(OVER)
