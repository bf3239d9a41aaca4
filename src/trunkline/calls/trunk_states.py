"""The trunks of a board, and what is known of each while it is used.

`Trunks` is changed from any thread, while calls are up: what is chosen from is made
anew and put in place at once, and calls keep what they began with. The state of a trunk
that is replaced goes on: its channels are still taken, its gateways still up or down.
"""

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal, Protocol

from trunkline.errors import UsageError

from .addresses import AddressTable
from .health import GatewayHealth
from .limits import TrunkLimits
from .routing import RateTable, RoutingRule
from .trunk_figures import TrunkFigures
from .trunk_table import TrunkTable
from .trunks import Gateway, Trunk

__all__ = ["Registrar", "TrunkState", "Trunks"]

RETIRED_KEPT: Final = 16
"""Removed trunks without calls that are remembered, should they come back."""


class Registrar(Protocol):
    """What registers trunks, as far as calls over them need to know. Media thread only."""

    def state(self, trunk: str) -> str:
        """A word: registered, registering, failed; empty for a trunk that does not register."""

    def routes(self, trunk: str) -> tuple[str, ...]:
        """The Service-Route the registrar gave (RFC 3608), as Route values."""

    def contact_user(self, trunk: str) -> str:
        """The user part of the Contact the registrar knows; empty: any."""


class TrunkState:
    """What is known of one trunk. The media thread's, but for `limits` and reading."""

    def __init__(self, trunk: Trunk, chance: random.Random) -> None:
        self._chance = chance
        self.trunk = trunk
        """How it is now."""
        self.limits = TrunkLimits(trunk.limits)
        self.figures = TrunkFigures()
        self.health: dict[str, GatewayHealth] = {}
        """By a gateway's address."""
        self.change(trunk)

    def change(self, trunk: Trunk) -> None:
        """Another takes its place; calls and gateways that stay are kept."""
        self.trunk = trunk
        self.limits.change(trunk.limits)
        known = self.health
        self.health = {
            gateway.server: known.get(gateway.server)
            or GatewayHealth(trunk.health, self._chance.random)
            for gateway in trunk.gateways
        }
        for health in self.health.values():
            health.settings = trunk.health

    def usable(self, gateway: Gateway, now: float) -> bool:
        """Whether a gateway is to be tried before those that are down."""
        health = self.health.get(gateway.server)
        return health is None or health.usable(now)

    def is_up(self, now: float) -> bool:
        """Whether any of its gateways is."""
        return any(health.usable(now) for health in self.health.values())

    def summary(self, now: float, at: float, registration: str) -> dict[str, Any]:
        """Everything there is to know, for people and machines."""
        limits, trunk = self.limits, self.trunk
        return {
            "name": trunk.name,
            "state": self._word(now, registration),
            "registration": registration,
            "channels": limits.channels,
            "channels_in": limits.channels_of("inbound"),
            "channels_out": limits.channels_of("outbound"),
            "channels_peak": limits.peak,
            "channels_limit": trunk.limits.channels,
            "refused_by_limit": limits.refused,
            "calls_per_second": limits.per_second(now),
            "calls_per_second_peak": limits.peak_per_second,
            "gateways": [
                {
                    "server": gateway.server,
                    "priority": gateway.priority,
                    "weight": gateway.weight,
                    **_shown(self.health[gateway.server], now),
                }
                for gateway in trunk.gateways
                if gateway.server in self.health
            ],
            **self.figures.summary(at),
        }

    def _word(self, now: float, registration: str) -> str:
        if registration and registration != "registered":
            return registration
        if not self.trunk.gateways:
            return "inbound only"
        return "up" if self.is_up(now) else "down"


def _shown(health: GatewayHealth, now: float) -> dict[str, Any]:
    paused = max(0.0, health.paused_until - now)
    return {
        "state": "down" if not health.up else "paused" if paused else "up",
        "since_seconds": None if health.changed_at is None else round(now - health.changed_at, 1),
        "paused_seconds": round(paused, 1),
        "last_code": health.last_code,
        "round_trip_ms": round(health.round_trip_ms, 1),
    }


class Trunks(Mapping[str, Trunk]):
    """The trunks of a board by name. Any thread."""

    def __init__(self, trunks: Iterable[Trunk] = ()) -> None:
        self._lock = threading.RLock()
        self._chance = random.SystemRandom()
        self._states: dict[str, TrunkState] = {}
        self._rates = RateTable()
        self._rules: tuple[RoutingRule, ...] = ()
        self._order: Literal["cost", "priority"] = "cost"
        self.watchers: list[Callable[[], None]] = []
        """Called, on whatever thread, after each change."""
        self.registrar: Registrar | None = None
        """Who registers them, where somebody does."""
        self.table = TrunkTable()
        """What calls out choose from now."""
        self.addresses = AddressTable(())
        """Where calls in come from."""
        self.accounts: Mapping[str, str] = {}
        """The trunk of each account that calls in with a password."""
        self.retired: dict[str, TrunkState] = {}
        """Trunks that were removed, by name: with calls that are up on them, or the last few."""
        self.set_all(trunks)

    # -- the mapping ---------------------------------------------------------------------

    def __getitem__(self, name: str) -> Trunk:
        return self._states[name].trunk

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._states))

    def __len__(self) -> int:
        return len(self._states)

    def state(self, name: str) -> TrunkState:
        """What is known of a trunk; raises `UsageError` for one there is not."""
        try:
            return self._states[name]
        except KeyError:
            known = ", ".join(self._states) or "none"
            raise UsageError(f"there is no trunk {name!r}; there are: {known}") from None

    def find(self, name: str) -> TrunkState | None:
        """The same; None for one there is not, or not any more."""
        return self._states.get(name)

    @property
    def states(self) -> Sequence[TrunkState]:
        """Of all of them."""
        return list(self._states.values())

    # -- changes -------------------------------------------------------------------------

    def add(self, trunk: Trunk) -> None:
        """One more; raises `UsageError` where its name, or an account of it, is taken."""
        with self._lock:
            if trunk.name in self._states:
                raise UsageError(f"there is a trunk {trunk.name!r} already; replace() changes it")
            self.set_all([*self.values(), trunk])

    def replace(self, trunk: Trunk) -> None:
        """Another way for a trunk to be; calls that are up stay as they are."""
        self.state(trunk.name)
        with self._lock:
            self.set_all([trunk if one.name == trunk.name else one for one in self.values()])

    def change(self, name: str, **changes: Any) -> Trunk:
        """The same for some fields of it; returns what it is now."""
        with self._lock:
            trunk = replace(self.state(name).trunk, **changes)
            self.replace(trunk)
        return trunk

    def remove(self, name: str) -> None:
        """Use it no more; calls that are up go on."""
        self.state(name)
        with self._lock:
            self.set_all([one for one in self.values() if one.name != name])

    def route(
        self,
        rates: RateTable | None = None,
        rules: Sequence[RoutingRule] | None = None,
        order: Literal["cost", "priority"] | None = None,
    ) -> None:
        """Choose by these rates and rules from now on; None leaves what there is."""
        with self._lock:
            self._rates = self._rates if rates is None else rates
            self._rules = self._rules if rules is None else tuple(rules)
            self._order = order or self._order
            self._renew()

    def set_all(self, trunks: Iterable[Trunk]) -> None:
        """Have exactly these."""
        wanted = list(trunks)
        with self._lock:
            accounts = _accounts(wanted)
            known = {**self.retired, **self._states}
            states = {}
            for trunk in wanted:
                # One that comes back has the calls it had, and its figures.
                state = known.pop(trunk.name, None)
                if state is None:
                    state = TrunkState(trunk, self._chance)
                elif state.trunk != trunk:
                    state.change(trunk)
                states[trunk.name] = state
            few = set(list(known)[-RETIRED_KEPT:])
            self.retired = {
                name: state for name, state in known.items() if state.limits.channels or name in few
            }
            self._states, self.accounts = states, accounts
            self._renew()

    def _renew(self) -> None:
        trunks = [state.trunk for state in self._states.values()]
        self.table = TrunkTable(trunks, self._rates, self._rules, self._order)
        self.addresses = AddressTable(trunks)
        for watcher in list(self.watchers):
            watcher()

    # -- what is known -------------------------------------------------------------------

    def registration(self, name: str) -> str:
        """The state of a trunk's registration; empty where it does not register."""
        if not self._states[name].trunk.register:
            return ""
        return self.registrar.state(name) if self.registrar else "not registered"

    def summaries(self) -> list[dict[str, Any]]:
        """Of every trunk, for people and machines."""
        now, at = time.monotonic(), time.time()
        return [
            state.summary(now, at, self.registration(name))
            for name, state in list(self._states.items())
        ]


def _accounts(trunks: Sequence[Trunk]) -> dict[str, str]:
    """The trunk of each account; raises `UsageError` where one is two trunks'."""
    accounts: dict[str, str] = {}
    names = [trunk.name for trunk in trunks]
    if len(set(names)) < len(names):
        raise UsageError("two trunks have the same name")
    for trunk in trunks:
        for account in trunk.accounts:
            if account in accounts:
                raise UsageError(
                    f"trunks {accounts[account]} and {trunk.name} have the same account {account}"
                )
            accounts[account] = trunk.name
    return accounts
