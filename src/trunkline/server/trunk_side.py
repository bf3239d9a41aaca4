"""The trunks of a running node: their gate, health, figures, caps; joined and reloaded."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any, Final

from trunkline.calls.errors import RecordsError
from trunkline.calls.guard import TrunkGate
from trunkline.calls.guard_blocks import Blocklist
from trunkline.calls.guard_outbound import Alarm, OutboundGuard
from trunkline.calls.guard_store import GuardStore
from trunkline.calls.health_probes import HealthProbes
from trunkline.calls.processes import identity, is_gone
from trunkline.calls.record import CallRecord
from trunkline.calls.records import RecordStore
from trunkline.calls.switchboard import Switchboard
from trunkline.settings import Routing, Settings
from trunkline.sip.probing import OptionsAnswer
from trunkline.transports.media_thread import MediaThread
from trunkline.transports.sip import SipEndpoint

from . import trunk_settings
from .trunk_registrations import TrunkRegistrations

__all__ = ["TrunkSide"]

DAY_SECONDS: Final = 86_400.0
ALARMS_KEPT: Final = 200

log = logging.getLogger(__name__)


class TrunkSide:
    """What a node has for trunks. Raises `ConfigError` for settings that cannot be."""

    def __init__(self, settings: Settings, board: Switchboard) -> None:
        self._board = board
        self._settings = settings
        self._from_file: set[str] = set()
        self._routed = False
        self._process = identity()
        self.store = GuardStore(
            trunk_settings.beside_records(settings, settings.protection.path, ".guard.db")
        )
        self.blocks = Blocklist(saved=lambda key, value: self.store.put("block", key, value))
        self.alarms: deque[Alarm] = deque(maxlen=ALARMS_KEPT)
        """The last ones."""
        self.gate: TrunkGate | None = None
        self.guard: OutboundGuard | None = None
        self.probes: HealthProbes | None = None
        self.registrations: TrunkRegistrations | None = None
        self._media: MediaThread | None = None
        self._apply(settings)

    # -- joining -----------------------------------------------------------------------------

    def open_gate(self, media: MediaThread, secret: bytes) -> TrunkGate:
        """The gate of the node's endpoint; media thread."""
        self._media = media
        self.guard = OutboundGuard(
            trunk_settings.fraud(self._settings.protection),
            later=media.loop.call_later,
            clock=time.time,
            now=media.now,
            alarm=self._alarm,
            saved=self._save,
        )
        self.guard.restore(self.store.load("use"), self._left_behind(time.time()))
        self.guard.patterns.restore(self.store.load("history"), self.store.load("home"))
        self.blocks.restore(self.store.load("block"), time.time())
        self.gate = TrunkGate(
            trunk_settings.gate(self._settings),
            self._board.trunks,
            self._board.arrivals,
            secret,
            blocks=self.blocks,
            proved=self.guard.proved,
        )
        return self.gate

    def _save(self, kind: str, key: str, value: Mapping[str, Any] | None) -> None:
        """Keep a fact; of a call that has begun also whose it is."""
        if kind == "begun" and value is not None:
            value = {**value, "process": self._process, "saved_at": time.time()}
        self.store.put(kind, key, value)

    def _left_behind(self, now: float) -> dict[str, dict[str, Any]]:
        """Calls that had begun in processes that are gone; `trunkline call` beside a node is
        not the node's end."""
        return {
            key: value
            for key, value in self.store.load("begun").items()
            if is_gone(str(value.get("process", "")), float(value.get("saved_at", 0)), now)
        }

    def open_probes(self, media: MediaThread, endpoint: SipEndpoint) -> None:
        """Begin to ask gateways, and to register; media thread."""
        self.probes = HealthProbes(self._board.trunks, endpoint, media.loop)
        media.on_close(self.probes.stop)
        self.probes.start()
        self.registrations = TrunkRegistrations(endpoint, self._board.trunks)
        self._board.trunks.registrar = self.registrations
        self._board.trunks.watchers.append(self._follow_registrations)
        self.registrations.apply()

    def _follow_registrations(self) -> None:
        if self._media is not None and self.registrations is not None:
            self._media.call(self.registrations.apply)

    def restore_figures(self, records: RecordStore, now: float) -> None:
        """The last day's figures, from the detail records."""
        try:
            found = records.over_trunks(now - DAY_SECONDS)
        except RecordsError as error:
            log.warning("the figures of trunks begin anew: %s", error)
            return
        for record in found:
            for trunk, told in _told(record):
                if trunk in self._board.trunks:
                    self._board.trunks.state(trunk).figures.restore([told])

    def close(self) -> None:
        """Write down what is to be kept."""
        self.store.close()

    # -- changes -----------------------------------------------------------------------------

    def reload(self, settings: Settings) -> list[str]:
        """Other trunks, routing, caps and patterns from now on; the names of the trunks.

        Raises `ConfigError`, and then nothing has changed.
        """
        fraud = trunk_settings.fraud(settings.protection)
        self._apply(settings)
        self._settings = settings
        guard = self.guard
        if guard is not None and self._media is not None:
            self._media.call(guard.change, fraud)
        return list(self._board.trunks)

    def _apply(self, settings: Settings) -> None:
        made = trunk_settings.trunks(settings)
        trunks = self._board.trunks
        kept = [one for one in trunks.values() if one.name not in self._from_file]
        names = {one.name for one in (*kept, *made)}
        rates = trunk_settings.rates(settings.routing)
        rules = trunk_settings.rules(settings.routing, names)
        if made or self._from_file:
            trunks.set_all([*kept, *made])
        self._from_file = {one.name for one in made}
        if settings.routing != Routing() or self._routed:
            trunks.route(rates, rules, settings.routing.order)
        self._routed = settings.routing != Routing()  # what the code says stays where no file does

    def _alarm(self, alarm: Alarm) -> None:
        """From the media thread to everybody on the application's loop."""
        if self._media is not None:
            self._media.to_app.post(self._alarmed, alarm)

    def _alarmed(self, alarm: Alarm) -> None:
        self.alarms.append(alarm)
        self._board.alarm(alarm)

    # -- what the control socket asks ----------------------------------------------------------

    def commands(self) -> Mapping[str, Callable[[Mapping[str, Any]], Any]]:
        """By name: what takes arguments and returns what JSON can say, or awaits it."""
        return {
            "trunks": lambda _: self._board.trunks.summaries(),
            "trunk": lambda given: self._trunk(str(given["name"])),
            "trunk-test": lambda given: self._test(str(given["name"])),
            "trunk-set": self._set,
            "blocked": self._blocked,
            "block": self._block,
            "unblock": self._unblock,
            "fraud": lambda _: self._fraud(),
        }

    def _trunk(self, name: str) -> dict[str, Any]:
        self._board.trunks.state(name)
        found = next(one for one in self._board.trunks.summaries() if one["name"] == name)
        trunk = self._board.trunks[name]
        return {
            **found,
            "limits": asdict(trunk.limits),
            "caps": asdict(trunk.caps),
            "prefixes": list(trunk.prefixes),
            "callers": list(trunk.callers),
            "caller": trunk.caller,
            "addresses": list(trunk.addresses),
            "accounts": sorted(trunk.accounts),
        }

    async def _test(self, name: str) -> list[dict[str, Any]]:
        """Ask every gateway of a trunk now."""
        state = self._board.trunks.state(name)
        media, probes = self._media, self.probes
        if media is None or probes is None:
            return []
        loop = asyncio.get_running_loop()
        waiting: list[tuple[str, asyncio.Future[OptionsAnswer]]] = []
        for server, health in list(state.health.items()):
            future: asyncio.Future[OptionsAnswer] = loop.create_future()

            told = partial(_answered, loop, future)
            await media.run(probes.ask, state, server, health, told)
            waiting.append((server, future))
        return [
            {
                "server": server,
                "code": (answer := await asyncio.wait_for(future, 40)).code,
                "round_trip_ms": round(answer.round_trip_seconds * 1000, 1),
            }
            for server, future in waiting
        ]

    def _set(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Change some settings of a trunk, until the file is read again."""
        name = str(given["name"])
        trunks = self._board.trunks
        trunk = trunks.state(name).trunk
        trunks.replace(trunk_settings.changed(trunk, given["changes"]))
        return self._trunk(name)

    async def _on_media(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if self._media is None:
            return function(*arguments)
        return await self._media.run(function, *arguments)

    async def _blocked(self, _: Mapping[str, Any]) -> dict[str, Any]:
        at = time.time()
        found = await self._on_media(lambda: [asdict(one) for one in self.blocks.listing(at)])
        counters = dict(self.gate.counters) if self.gate is not None else {}
        return {"blocked": found, "dropped": self.blocks.dropped, "counters": counters}

    async def _block(self, given: Mapping[str, Any]) -> dict[str, Any]:
        def add() -> dict[str, Any]:
            seconds, reason = float(given.get("seconds", 0)), str(given.get("reason", ""))
            address = str(given["address"])
            return asdict(self.blocks.add(address, time.time(), seconds=seconds, reason=reason))

        result: dict[str, Any] = await self._on_media(add)
        return result

    async def _unblock(self, given: Mapping[str, Any]) -> bool:
        name = str(given["address"])
        if name.startswith(("key:", "trunk:", "account:")):
            guard = self.guard
            return bool(guard is not None and await self._on_media(guard.unblock, name))
        return bool(await self._on_media(self.blocks.remove, name))

    async def _fraud(self) -> dict[str, Any]:
        guard = self.guard
        used = await self._on_media(guard.summary) if guard is not None else {}
        return {**used, "last_alarms": [asdict(one) for one in self.alarms]}


def _answered(
    loop: asyncio.AbstractEventLoop,
    future: "asyncio.Future[OptionsAnswer]",
    answer: OptionsAnswer,
) -> None:
    """From the media thread to who waits on the application's loop."""

    def resolve() -> None:
        if not future.done():
            future.set_result(answer)

    loop.call_soon_threadsafe(resolve)


def _told(record: CallRecord) -> list[tuple[str, dict[str, Any]]]:
    """What a record tells of attempts over trunks, as figures take it."""
    if record.direction == "outbound":
        return [
            (str(one.get("trunk", "")), {**one, "direction": "outbound"})
            for one in record.attempts
            if "at" in one
        ]
    told = {
        "direction": "inbound",
        "at": record.started_at,
        "answered": record.answered_at is not None,
        "seconds": record.talked_seconds,
        "code": record.end_code,
    }
    return [(record.trunk, told)]
