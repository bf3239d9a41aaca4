"""The legs of a call: the one it has, and the one that may take its place.

A transfer, or an INVITE that replaces ours, gives a call another leg. The call goes on
as the same object: whoever listens to it, records it or speaks on it does so on the new
leg from the tick it is answered, what was queued to be played is played there, and the
application sees an event. Everything here is on the media thread.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trunkline.transports.leg import (
    Answered,
    EarlyMedia,
    Ended,
    Leg,
    LegEvent,
    LegReplaced,
    Party,
    Ringing,
    TransferAsked,
    TransferRequest,
)
from trunkline.transports.media_thread import MediaThread

from .compound import CompoundLeg, attempts_of, decline, taken
from .line import CallLine
from .quality import QualityWatch

__all__ = ["CallLegs", "NextLeg"]

log = logging.getLogger(__name__)

RETIRE_SECONDS = 4.0
"""How long the leg that asked for a transfer may take to hang up by itself: it waits for
our report, and most do it at once."""
STATUSES: Mapping[str, int] = {"busy": 486, "no-answer": 480, "cancelled": 487, "timeout": 408,
                               "rejected": 603}  # fmt: skip
"""The SIP status for how a call ended that had none."""


@dataclass(slots=True, eq=False)
class NextLeg:
    """A leg that is to take the place of the one a call has."""

    leg: Leg
    target: str
    """Whom it leads to."""
    request: TransferRequest | None = None
    """Who asked for it wants to be told; None where an INVITE replaces the leg."""
    told: Callable[[int, str], None] = lambda code, reason: None
    """Told how it stands, by SIP status."""
    watch: QualityWatch | None = None
    """Who is to look at its quality."""

    def report(self, code: int, reason: str = "") -> None:
        """Tell whoever wants to know."""
        if self.request is not None:
            self.request.report(code)
        self.told(code, reason)


class CallLegs(CallLine):
    """The part of a call that knows its legs. Media thread only."""

    def __init__(self, id: str, rate_hz: int, media: MediaThread, leg: Leg) -> None:
        super().__init__(id, rate_hz, media)
        self._leg = leg
        self._compound: Leg | None = None
        self._legs = [leg]
        self._next: NextLeg | None = None
        self._late_end: tuple[Leg, Ended, float] | None = None
        self._retiring: Leg | None = None

    @property
    def party(self) -> Party:
        """Who is at the ends of the leg it has now."""
        return self._leg.party

    def settle(self, leg: Leg) -> None:
        """Have the attempt that was taken, of a leg made of several."""
        if isinstance(leg, CompoundLeg) and leg is self._leg:
            self._leg, self._compound = taken(leg), leg

    def attempts_made(self) -> Sequence[Mapping[str, Any]]:
        """What became of each way that was tried, of a call over trunks."""
        return [one for leg in self._legs for one in attempts_of(leg)]

    @property
    def ours(self) -> str:
        """Our number or address on that leg."""
        party = self._leg.party
        return party.callee if self._leg.direction == "inbound" else party.caller

    def hangup_soon(self, reason: str = "hangup") -> None:
        """End the call without waiting; for callbacks."""
        self.on_media(self.end_legs, reason)

    # What a call does about it.

    def tell(self, event: object) -> None:
        """Tell the observers; on the application's loop."""
        raise NotImplementedError

    def own_event(self, leg: Leg, event: LegEvent, now: float) -> None:
        """Something happened to the leg the call has."""
        raise NotImplementedError

    def asked(self, request: TransferRequest) -> None:
        """The far end asks for a transfer."""
        raise NotImplementedError

    def followed(self, following: NextLeg) -> None:
        """A leg is being set up that is to take the place of ours."""
        raise NotImplementedError

    def adopted(self, following: NextLeg, statistics: Mapping[str, float], now: float) -> None:
        """The call has another leg; ``statistics`` are those of the one before."""
        raise NotImplementedError

    # What legs say.

    def leg_event(self, leg: Leg, event: LegEvent, now: float) -> None:
        """The observer of every leg of the call."""
        following = self._next
        if leg is self._compound:  # it speaks for the attempt that was taken
            leg = self._leg
        if leg is self._leg:
            if isinstance(event, TransferAsked):
                self.asked(event.request)
            elif isinstance(event, LegReplaced):
                self._offered(event)
            elif isinstance(event, Ended) and following is not None:
                # Who asks for a transfer may hang up before the other one has answered.
                self._late_end = (leg, event, now)
            else:
                self.own_event(leg, event, now)
                if isinstance(event, Ended):
                    self._retire(event.reason)
        elif following is not None and leg is following.leg:
            self._next_event(following, event, now)
        else:  # one the call has left: how that ends is nobody's concern
            decline(event)

    def _offered(self, event: LegReplaced) -> None:
        """An INVITE wants to take our leg's place (RFC 3891)."""
        if self._next is not None:
            event.leg.reject(486)
            return
        self.follow(NextLeg(event.leg, event.leg.party.caller))
        event.observe(self.leg_event)
        event.leg.answer()

    def follow(self, following: NextLeg) -> None:
        """Have a leg that is being set up take the place of ours when it is answered."""
        assert self._next is None
        self._next = following
        self._legs.append(following.leg)
        self.followed(following)

    @property
    def is_closed(self) -> bool:
        """Whether its leg has ended, and no other follows."""
        return self._over

    @property
    def has_next(self) -> bool:
        """Whether a leg is being set up that is to take the place of ours."""
        return self._next is not None

    def _next_event(self, following: NextLeg, event: LegEvent, now: float) -> None:
        if isinstance(event, Answered):
            self._adopt(following, now)
        elif isinstance(event, Ended):
            self._next = None
            following.report(event.code or STATUSES.get(event.reason, 503), event.reason)
            self._deliver_late_end()
        elif isinstance(event, Ringing | EarlyMedia):
            following.report(event.code)
        else:
            decline(event)

    def _adopt(self, following: NextLeg, now: float) -> None:
        """Go on with another leg, from this tick on."""
        old, self._leg, self._next = self._leg, following.leg, None
        self._compound = None
        self.settle(self._leg)
        late, self._late_end = self._late_end, None
        statistics = dict(old.statistics())
        if self._leg.lane is not None:
            self.move(self._leg.lane, now)
        if late is None and following.request is None:
            old.hangup("replaced")
        elif late is None:
            self._retire("transferred")
            self._retiring = old
            self.media.loop.call_later(RETIRE_SECONDS, old.hangup, "transferred")
        self.adopted(following, statistics, now)
        following.report(200, "OK")

    def _deliver_late_end(self) -> None:
        late, self._late_end = self._late_end, None
        if late is not None:
            self.own_event(*late)

    def _retire(self, reason: str) -> None:
        """Hang the leg up that the call has left, if it is still there."""
        retiring, self._retiring = self._retiring, None
        if retiring is not None:
            retiring.hangup(reason)

    def end_legs(self, reason: str) -> None:
        """Hang up, whatever is being set up included; legal more than once."""
        following, self._next = self._next, None
        self._leg.hangup(reason)
        self._retire(reason)
        if following is not None:
            following.leg.hangup(reason)
            following.report(487, "Request Terminated")
            self._deliver_late_end()
