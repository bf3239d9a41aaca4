"""Calls in over trunks: their limits, their numbers, what is counted of them.

The gate takes a call's channel before anything is answered; the call that comes of it
finds it here by its Call-ID, and gives it back when it is over.
"""

import time
from dataclasses import replace
from typing import Final

from trunkline.transports.leg import Answered, Ended, Leg, LegEvent, LegObserver, Party

from .limits import Lease, Refusal
from .trunk_states import Trunks, TrunkState

__all__ = ["Arrivals"]

UNCLAIMED_SECONDS: Final = 2.0
"""An INVITE that was let in and came to no call (its body could not be read) frees its
channel after this long."""


class Arrivals:
    """Channels taken for calls that are just coming in. Media thread only."""

    def __init__(self, trunks: Trunks) -> None:
        self._trunks = trunks
        self._waiting: dict[str, list[tuple[float, Lease]]] = {}

    def admit(self, trunk: str, call_id: str, now: float) -> Refusal | None:
        """Take a channel for a call; why not, where there is none."""
        self._expire(now)
        state = self._trunks.state(trunk)
        taken = state.limits.acquire("inbound", now)
        if isinstance(taken, Refusal):
            at = time.time()
            state.figures.attempted("inbound", at)
            state.figures.refused(503, at)
            return taken
        self._waiting.setdefault(call_id, []).append((now, taken))
        return None

    def cancel(self, call_id: str) -> None:
        """The call was not let in after all."""
        for _, lease in self._waiting.pop(call_id, ()):
            lease.cancel()

    def receive(self, leg: Leg, now: float) -> "ArrivedCall | None":
        """What a leg that came in has to do with a trunk; None for one that came over none."""
        name = leg.party.trunk
        if not name or name not in self._trunks:
            return None
        state = self._trunks.state(name)
        waiting = self._waiting.pop(_call_id(leg.party), [])
        lease: Lease | Refusal
        if waiting:
            _, lease = waiting.pop(0)
            if waiting:
                self._waiting[_call_id(leg.party)] = waiting
        else:
            lease = state.limits.acquire("inbound", now)
        return ArrivedCall(state, leg.party, lease)

    def _expire(self, now: float) -> None:
        for call_id, waiting in list(self._waiting.items()):
            if waiting[0][0] > now - UNCLAIMED_SECONDS:
                break  # the oldest come first
            self.cancel(call_id)


class ArrivedCall:
    """One call that came in over a trunk."""

    def __init__(self, state: TrunkState, party: Party, lease: Lease | Refusal) -> None:
        self._state = state
        self._lease = lease
        self._answered_at = 0.0
        trunk = state.trunk
        self.party = replace(
            party, caller=trunk.incoming(party.caller), callee=trunk.incoming(party.callee)
        )
        """With the numbers in E.164."""
        state.figures.attempted("inbound", time.time())

    @property
    def refused(self) -> bool:
        """Whether there was no channel for it; the call is to be refused with 503."""
        return isinstance(self._lease, Refusal)

    def watched(self, observer: LegObserver) -> LegObserver:
        """The observer of the call, with what the trunk has to be told put before it."""

        def watch(leg: Leg, event: LegEvent, now: float) -> None:
            self._told(event, now)
            observer(leg, event, now)

        return watch

    def _told(self, event: LegEvent, now: float) -> None:
        figures, at = self._state.figures, time.time()
        if isinstance(event, Answered):
            self._answered_at = now
            figures.answered("inbound", at)
        elif isinstance(event, Ended):
            if self._answered_at:
                figures.ended(now - self._answered_at, at)
            else:
                figures.refused(event.code, at)
            if isinstance(self._lease, Lease):
                self._lease.release()


def _call_id(party: Party) -> str:
    names = ("call-id", "i")
    return next((value for name, value in party.headers.items() if name.lower() in names), "")
