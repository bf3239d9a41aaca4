"""Forking: several destinations called for one call, and the first to answer has it.

A `ForkedLeg` is a leg made of legs. Whoever observes it sees one call: it rings when any
destination rings, is answered once, and ends once. What happens to the others is this:

- somebody answers: the others are cancelled, with the reason that the call was completed
  elsewhere (RFC 3326), so that their telephones list no missed call;
- two answer at the same instant: the first that we hear of wins, the other is hung up;
- somebody declines for everybody (6xx, RFC 3261 16.7): the others are cancelled;
- nobody answers: it ends with the best of what they said, which is what a proxy says.
"""

import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from trunkline.errors import TrunklineError, UsageError
from trunkline.media.lane import Lane
from trunkline.transports.leg import (
    Answered,
    DialOptions,
    EarlyMedia,
    Ended,
    HoldableLeg,
    Leg,
    LegEvent,
    LegObserver,
    LegReplaced,
    Party,
    Ringing,
)

from .compound import CompoundLeg, decline

__all__ = ["ELSEWHERE", "Fork", "ForkedLeg"]

log = logging.getLogger(__name__)

ELSEWHERE = "answered-elsewhere"
"""What a leg that lost is hung up with."""
_numbers = itertools.count(1)


class _Outgoing(Protocol):
    """See ``switchboard.Outgoing``."""

    def dial(
        self,
        target: str,
        *,
        caller: str,
        headers: Mapping[str, str],
        observer: LegObserver,
        options: DialOptions = ...,
    ) -> Leg:
        """Begin a call."""


class _Timer(Protocol):
    def cancel(self) -> None:
        """Not any more."""


class _Loop(Protocol):
    def call_later(self, delay: float, callback: Callable[[], object]) -> _Timer:
        """Run something later."""

    def time(self) -> float:
        """Monotonic seconds."""

    def call_soon(self, callback: Callable[..., object], *args: object) -> object:
        """Run something on the next turn."""


@dataclass(frozen=True, slots=True)
class Fork:
    """Whom to call for one call."""

    targets: Sequence[str]
    """SIP URIs."""
    stagger_seconds: float = 0.0
    """How long after one the next is called too; sooner when all before have failed."""
    early_media: Literal["first", "none"] = "first"
    """Whose audio is heard before the answer: the first that has any, or nobody's."""

    def __str__(self) -> str:
        return ", ".join(self.targets)


class ForkedLeg(CompoundLeg):
    """One call to several destinations. Implements `Leg` and `HoldableLeg`; media thread only."""

    def __init__(
        self,
        fork: Fork,
        outgoing: _Outgoing,
        loop: _Loop,
        *,
        caller: str,
        headers: Mapping[str, str],
        observer: LegObserver,
        options: DialOptions,
    ) -> None:
        """Call the first, and the others when it is their time.

        Raises `UsageError` for no target, and what the first of them raises.
        """
        if not fork.targets:
            raise UsageError("there is nobody to call")
        super().__init__()
        self.id = f"fork-{next(_numbers)}"
        self._fork = fork
        self._outgoing = outgoing
        self._loop = loop
        self._dialling = (caller, headers, options)
        self._observer = observer
        self._waiting = list(fork.targets)
        self._timer: _Timer | None = None
        self._begun: list[Leg] = []
        self._live: list[Leg] = []
        self._winner: Leg | None = None
        self._early: Leg | None = None
        self._ends: list[Ended] = []
        self._ending: str | None = None
        self._declined: Ended | None = None
        self._over = False
        self._rang = False
        self._begin_next()
        if fork.stagger_seconds <= 0:
            while self._waiting:
                self._try_next()
        else:
            self._schedule()

    # -- calling -------------------------------------------------------------------------

    def _begin_next(self) -> None:
        caller, headers, options = self._dialling
        target = self._waiting.pop(0)
        leg = self._outgoing.dial(
            target, caller=caller, headers=headers, observer=self._told, options=options
        )
        log.info("leg %s: attempt %s to %s", self.id, leg.id, target)
        self._begun.append(leg)
        self._live.append(leg)
        self._has_begun(leg)

    def _try_next(self) -> None:
        """Begin one more; one that cannot be begun is one that failed."""
        try:
            self._begin_next()
        except (TrunklineError, OSError) as error:
            log.warning("leg %s: a destination cannot be called: %s", self.id, error)
            self._ends.append(Ended("error", "us", None, str(error)))

    def _schedule(self) -> None:
        if self._waiting and self._timer is None:
            self._timer = self._loop.call_later(self._fork.stagger_seconds, self._due)

    def _due(self) -> None:
        self._timer = None
        if self._decided:
            return
        self._try_next()
        self._schedule()
        self._finish()

    @property
    def _decided(self) -> bool:
        """Whether no other destination is wanted any more."""
        return (
            self._winner is not None
            or self._ending is not None
            or self._declined is not None
            or self._over
        )

    # -- what the attempts say -----------------------------------------------------------

    def _told(self, leg: Leg, event: LegEvent, now: float) -> None:
        if leg is self._winner:
            if isinstance(event, Ended):
                self._over = True
            self._observer(self, event, now)
        elif isinstance(event, Ended):
            self._attempt_ended(leg, event, now)
        elif self._decided:
            if isinstance(event, Answered):  # it crossed our CANCEL, or another's answer
                leg.hangup(ELSEWHERE)
            decline(event)
        elif isinstance(event, Answered):
            self._win(leg, now)
        elif isinstance(event, EarlyMedia) and self._fork.early_media == "first":
            if self._early is None:
                self._early = leg
                self._observer(self, event, now)
        elif isinstance(event, Ringing | EarlyMedia):
            if not self._rang and self._early is None:
                self._rang = True
                self._observer(self, Ringing(180), now)
        elif leg is self._early or isinstance(event, LegReplaced):
            self._observer(self, event, now)
        else:
            decline(event)

    def _win(self, leg: Leg, now: float) -> None:
        self._winner = leg
        self._stop(ELSEWHERE)
        self._observer(self, Answered(), now)

    def _attempt_ended(self, leg: Leg, event: Ended, now: float) -> None:
        if leg in self._live:
            self._live.remove(leg)
        if leg is self._early:
            self._early = None
        self._ends.append(event)
        if self._winner is not None or self._over:
            return
        if event.code is not None and event.code >= 600 and not self._decided:
            self._declined = event
            self._stop("cancelled")
        elif not self._decided and not self._live and self._waiting:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._due()
        self._finish(now)

    def _stop(self, reason: str) -> None:
        """Cancel all but the winner, and call nobody else."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for leg in tuple(self._live):
            if leg is not self._winner:
                leg.hangup(reason)

    def _finish(self, now: float | None = None) -> None:
        """Say that it is over, once, when nobody is left who might answer."""
        if self._over or self._winner is not None or self._live or self._waiting:
            return
        self._over = True
        if self._ending is not None:
            end = Ended(self._ending, "us", None)
        else:
            end = self._declined or min(self._ends, key=_preference)
        at = now
        if at is None:
            self._loop.call_soon(self._observer, self, end, self._loop.time())
        else:
            self._observer(self, end, at)

    # -- Leg -----------------------------------------------------------------------------

    @property
    def current(self) -> Leg:
        """Who it is, as far as is known."""
        return self._winner or self._early or self._begun[0]

    @property
    def begun(self) -> Sequence[Leg]:
        """Every attempt so far, in order; their ids are in the logs."""
        return self._begun

    @property
    def party(self) -> Party:
        """Who calls whom: the winner, once there is one."""
        return self.current.party

    @property
    def lane(self) -> Lane | None:
        """The winner's, before the answer that of whose early media is heard."""
        leg = self._winner or self._early
        return leg.lane if leg is not None else None

    def hangup(self, reason: str = "hangup") -> None:
        """End whatever there is; legal more than once."""
        if self._winner is not None:
            self._winner.hangup(reason)
        elif not self._decided:
            self._ending = reason
            self._stop(reason)
            self._finish()

    def send_dtmf(self, digits: str, duration_ms: int = 100) -> None:
        """Keys to whoever is heard; raises `UsageError` before that."""
        leg = self._winner or self._early
        if leg is None:
            raise UsageError("no digits before the call has audio")
        leg.send_dtmf(digits, duration_ms)

    def _holdable(self) -> HoldableLeg:
        if not isinstance(self._winner, HoldableLeg):
            raise UsageError("only a call that is answered can be held or resumed")
        return self._winner

    def statistics(self) -> Mapping[str, float]:
        """The winner's, or those of whom was called first."""
        return self.current.statistics()


def _preference(end: Ended) -> tuple[int, int]:
    """What a caller learns most from comes first (RFC 3261 16.7 point 6, and busy first)."""
    code = end.code or 480
    if code in (486, 600):
        return 0, code
    # Time-outs and servers that fail say little of the called person.
    return {4: 1, 5: 3}.get(code // 100, 2) + (code in (408, 480, 487)), code
