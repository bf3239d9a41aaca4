"""Calls out over trunks: which ways there are, and what each attempt takes and tells.

An attempt takes a channel and a token of its trunk, and a reservation of what it may
cost, before its INVITE leaves; and gives back all of it when it is over.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from trunkline.sip.errors import ParseError
from trunkline.sip.headers import NameAddress
from trunkline.transports.leg import (
    Answered,
    DialOptions,
    EarlyMedia,
    Ended,
    Leg,
    LegEvent,
    LegObserver,
    Ringing,
)

from .errors import TrunkBusyError
from .hunting import Hunt
from .limits import Lease, Refusal
from .numbers import is_number
from .routing import Rate
from .trunk_states import Trunks, TrunkState
from .trunk_table import Choice, order_gateways
from .trunks import Gateway, Trunk, fails_over

__all__ = ["Reservation", "Reserve", "TrunkDialler", "Wanted"]


class Reservation(Protocol):
    """What one attempt may use of the caps. Media thread only."""

    leg_id: str
    """The attempt's leg, once there is one."""

    def answered(self, now: float) -> None:
        """It begins to cost."""

    def over(self, now: float) -> None:
        """It has cost what it has."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A call that somebody wants to have placed."""

    target: str
    """A number, in whatever form, or a SIP address with a trunk to send it over."""
    caller: str = ""
    """The number to show."""
    headers: Mapping[str, str] | None = None
    trunk: str = ""
    """Over this trunk and no other."""
    key: str = ""
    """Whose call it is: an application, a route, an API key. Caps are kept by it."""


Reserve = Callable[[Wanted, Trunk, str, Rate | None, float, Callable[[str], None]], Reservation]
"""Given the call, the trunk, the number in E.164, its rate, ``now`` and what hangs it up
with a reason; raises `OutboundDeniedError`."""


class Dials(Protocol):
    """The transport below; see ``switchboard.Outgoing``."""

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


class TrunkDialler:
    """Places calls over a board's trunks. Media thread only."""

    def __init__(
        self,
        trunks: Trunks,
        outgoing: Dials,
        *,
        reserve: Reserve | None = None,
        now: Callable[[], float] = time.monotonic,
        local_time: Callable[[], datetime] = datetime.now,
        chance: random.Random | None = None,
    ) -> None:
        self._trunks = trunks
        self.outgoing = outgoing
        self.reserve = reserve
        self.now = now
        self._local_time = local_time
        self._chance = chance or random.SystemRandom()

    def dial(self, wanted: Wanted, observer: LegObserver) -> Hunt:
        """Begin a call over the best trunk there is.

        Raises `TrunkBusyError` where every trunk that carries it is at its limit,
        `OutboundDeniedError` where a cap is reached, and `UsageError` for a number that
        no trunk carries.
        """
        number = self.number(wanted)
        return Hunt(self._ways(wanted, number), observer, wanted.caller, number)

    def number(self, wanted: Wanted) -> str:
        """What is called, in E.164 where that can be told."""
        if not is_number(wanted.target):
            return wanted.target
        if wanted.trunk:
            return self._trunks.state(wanted.trunk).trunk.plan.e164(wanted.target)
        plans = [state.trunk.plan for state in self._trunks.states]
        # Without a plus a number means what it means where most of the trunks are.
        counted = {plan: plans.count(plan) for plan in plans}
        best = max(counted, key=lambda plan: counted[plan], default=None)
        return best.e164(wanted.target) if best is not None else wanted.target

    def choices(self, wanted: Wanted, number: str) -> list[Choice]:
        """The trunks that would be tried, the best first; those that are down come last."""
        if wanted.trunk:
            self._trunks.state(wanted.trunk)  # says so where there is no such trunk
        now = self.now()
        found = self._trunks.table.choose(
            number, self._local_time(), self._chance.random, wanted.trunk
        )
        return sorted(found, key=lambda one: not self._is_up(one.trunk.name, now))

    def _is_up(self, trunk: str, now: float) -> bool:
        state = self._trunks.find(trunk)
        return state is not None and state.is_up(now)

    def _ways(self, wanted: Wanted, number: str) -> Iterator["TrunkWay"]:
        for choice in self.choices(wanted, number):
            state = self._trunks.find(choice.trunk.name)
            if state is None:
                continue  # removed meanwhile
            for gateway in self.gateways(choice.trunk, state):
                way = TrunkWay(self, wanted, number, choice, gateway, state)
                yield way
                if way.is_full:
                    break  # and so are the trunk's other gateways

    def gateways(self, trunk: Trunk, state: TrunkState) -> Sequence[Gateway]:
        """A trunk's gateways in the order they are tried now."""
        now = self.now()
        return order_gateways(
            trunk.gateways, lambda one: state.usable(one, now), self._chance.random
        )

    def options(self, trunk: Trunk, gateway: Gateway) -> DialOptions:
        """How a trunk's calls are placed."""
        registrar = self._trunks.registrar if trunk.register else None
        return DialOptions(
            trunk=trunk.name,
            server=gateway.server,
            routes=registrar.routes(trunk.name) if registrar else (),
            username=trunk.username,
            password=trunk.password,
            contact_user=registrar.contact_user(trunk.name) if registrar else "",
            codecs=trunk.codecs,
            srtp=trunk.srtp,
            no_response_seconds=trunk.no_response_seconds or None,
            no_answer_seconds=trunk.no_answer_seconds,
        )


class TrunkWay:
    """One gateway of one trunk, for one call. Implements `hunting.Way`."""

    def __init__(
        self,
        dialler: TrunkDialler,
        wanted: Wanted,
        number: str,
        choice: Choice,
        gateway: Gateway,
        state: TrunkState,
    ) -> None:
        self._dialler = dialler
        self._wanted, self._number = wanted, number
        self._trunk, self._rate = choice.trunk, choice.rate
        self._gateway, self._state = gateway, state
        self.trunk = choice.trunk.name
        self.is_full = False
        """The trunk had no room for it."""
        self._lease: Lease | None = None
        self._reservation: Reservation | None = None
        self._leg: Leg | None = None
        self._began_at = self._answered_at = 0.0
        self._told: dict[str, Any] = {}

    def begin(self, observer: LegObserver) -> Leg:
        """Take what it takes, and place the call; see `Way`."""
        dialler, trunk, now = self._dialler, self._trunk, self._dialler.now()
        taken = self._state.limits.acquire("outbound", now)
        if isinstance(taken, Refusal):
            self.is_full = True
            raise TrunkBusyError(self._wanted.target, trunk.name, taken.retry_after_seconds)
        try:
            if dialler.reserve is not None:
                self._reservation = dialler.reserve(
                    self._wanted, trunk, self._number, self._rate, now, self._end
                )
            caller, headers = self._identity()
            self._leg = dialler.outgoing.dial(
                self._request_uri(),
                caller=caller,
                headers=headers,
                observer=observer,
                options=dialler.options(trunk, self._gateway),
            )
        except BaseException:
            taken.cancel()
            if self._reservation is not None:
                self._reservation.over(now)
            raise
        self._lease, self._began_at = taken, now
        if self._reservation is not None:
            self._reservation.leg_id = self._leg.id
        at = time.time()
        self._state.figures.attempted("outbound", at)
        self._told = {
            "trunk": trunk.name,
            "gateway": self._gateway.server,
            "at": at,
            "leg": self._leg.id,
            "sip_call_id": self._leg.party.headers.get("Call-ID", ""),
        }
        return self._leg

    def _end(self, reason: str) -> None:
        if self._leg is not None:
            self._leg.hangup(reason)

    def _request_uri(self) -> str:
        trunk, uri = self._trunk, self._gateway.uri
        if not is_number(self._wanted.target):
            return self._wanted.target
        number = trunk.outgoing(self._number)
        if trunk.uri == "tel":
            return f"tel:{number}"
        host = f"[{uri.host}]" if ":" in uri.host else uri.host
        port = f":{uri.port}" if uri.port else ""
        transport = uri.parameter("transport")
        over = f";transport={transport}" if transport else ""
        phone = ";user=phone" if trunk.uri == "phone" else ""
        return f"{uri.scheme}:{number.replace('#', '%23')}@{host}{port}{over}{phone}"

    def _identity(self) -> tuple[str, dict[str, str]]:
        """The calling party as the trunk lets us show it, and the headers of the call."""
        trunk, wanted = self._trunk, self._wanted.caller
        headers = {**trunk.headers, **(self._wanted.headers or {})}
        if wanted.startswith(("sip:", "sips:", "tel:", "<", '"')):
            if not trunk.callers:
                return wanted, headers
            wanted = _user(wanted)
        caller = trunk.caller_for(wanted)
        shown = trunk.outgoing(caller) if caller else ""
        if shown and trunk.identity != "none":
            name = f"P-{'Asserted' if trunk.identity == 'pai' else 'Preferred'}-Identity"
            headers.setdefault(name, f"<sip:{shown}@{trunk.domain or self._gateway.uri.host}>")
        if shown and trunk.domain:
            return f"<sip:{shown}@{trunk.domain}>", headers
        return shown, headers

    # -- what becomes of it --------------------------------------------------------------

    def told(self, leg: Leg, event: LegEvent, now: float) -> None:
        """Count, and give back; see `Way`."""
        figures, at = self._state.figures, time.time()
        health = self._state.health.get(self._gateway.server)
        if isinstance(event, Ringing | EarlyMedia | Answered) and "delay_ms" not in self._told:
            self._told["delay_ms"] = round((now - self._began_at) * 1000, 1)
            figures.delayed(self._told["delay_ms"], at)
            if health is not None:
                health.call_answered(now)
        if isinstance(event, Answered):
            self._answered_at = now
            self._told["answered"] = True
            figures.answered("outbound", at)
            if self._reservation is not None:
                self._reservation.answered(now)
        elif isinstance(event, Ended):
            self._ended(event, now, at)

    def _ended(self, end: Ended, now: float, at: float) -> None:
        figures = self._state.figures
        self._told |= {"code": end.code, "reason": end.reason}
        if self._answered_at:
            self._told["seconds"] = round(now - self._answered_at, 3)
            figures.ended(now - self._answered_at, at)
        else:
            figures.refused(end.code, at, rang="delay_ms" in self._told)
            self._tell_health(end, now)
        if self._lease is not None:
            self._lease.release()
        if self._reservation is not None:
            self._reservation.over(now)

    def _tell_health(self, end: Ended, now: float) -> None:
        health = self._state.health.get(self._gateway.server)
        if health is None or end.code is None:
            return
        if fails_over(self._trunk, end.code, "delay_ms" in self._told):
            retry_after = float(getattr(self._leg, "retry_after_seconds", 0) or 0)
            health.call_failed(end.code, now, retry_after)
        elif end.by == "them":
            health.call_answered(now)

    def goes_on(self, end: Ended, rang: bool) -> bool:
        """See `Way`; a call that we ended goes nowhere else, but for a gateway's silence."""
        silent = end.by == "us" and end.code == 408 and end.reason == "timeout"
        return (end.by == "them" or silent) and fails_over(self._trunk, end.code, rang)

    def attempt(self) -> Mapping[str, Any]:
        """See `Way`."""
        return dict(self._told)


def _user(written: str) -> str:
    """The number or user of an address; empty where there is none."""
    try:
        return NameAddress.parse(written).parsed_uri.number
    except ParseError:
        return ""
