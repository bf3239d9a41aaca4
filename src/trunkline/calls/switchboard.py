"""The switchboard: which app answers which call, and calls to be placed.

    board = Switchboard()

    @board.answer("+1555*")
    async def support(call):
        ...

A board is made where the application is written, before there is a loop or a
socket; a node connects it to its media thread and transports.
"""

import asyncio
import contextlib
import fnmatch
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from trunkline.agent.agent import Host
from trunkline.errors import UsageError
from trunkline.speech import TextToSpeech
from trunkline.transports.leg import (
    DialOptions,
    Leg,
    LegEvent,
    LegObserver,
    Party,
    TransferRequest,
)
from trunkline.transports.media_thread import MediaThread

from .audio import AudioDefaults, AudioPath, CallAudio
from .bridge import bridge
from .call import Call
from .context import current_call
from .errors import CallEndedError, DialError, OutboundDeniedError
from .events import CallEnded, CallStarted, CallWarned
from .forking import Fork, ForkedLeg
from .guard_outbound import Alarm
from .music import MusicSource
from .numbers import is_number
from .quality import QualityWatch
from .recording_options import RecordingOptions
from .succession import CallLegs
from .transfer import Following
from .transferring import TransferringCall
from .trunk_dialling import Reserve, TrunkDialler, Wanted
from .trunk_receiving import Arrivals
from .trunk_states import Trunks

__all__ = ["App", "OutboundPolicy", "Outgoing", "Route", "Switchboard"]

log = logging.getLogger(__name__)

App = Callable[[Call], Awaitable[object]]
"""What answers a call: any async callable that takes a `Call`."""

SCHEMES = ("sip:", "sips:", "tel:")
LOOPBACK = re.compile(r"(^|@)(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?(;|\?|$)")
"""A SIP address whose host is this machine."""

NO_OPTIONS = DialOptions()
SHUTDOWN_SECONDS = 2.0
"""How long a node that stops waits for far ends to confirm that a call is over."""
END_SECONDS = 10.0
"""How long an app may go on after its call has ended, to tidy up."""


@dataclass(frozen=True, slots=True)
class Route:
    """Which calls an app answers."""

    pattern: str
    """The called number or user, with ``*`` and ``?`` as in file names."""
    app: App
    """What answers."""
    early: bool = False
    """True: the app gets the call while it rings, and answers it itself."""
    audio: AudioPath | None = None
    """What is done with the audio of its calls; None is what the trunk or the node says."""
    transfers: bool = False
    """True: far ends of its calls may have them go on with somebody else (REFER)."""
    record: bool | RecordingOptions | None = None
    """Whether its calls are recorded, and how; None is what the node says."""
    trunk: str = ""
    """Only calls that came in over this trunk; empty: any, and those over none."""
    outbound: bool | tuple[str, ...] = False
    """Whether its app may place calls beyond this machine while it serves a call that came in,
    or the beginnings of the numbers that it may call."""

    def matches(self, callee: str, trunk: str = "") -> bool:
        """Whether this route is for a called address (with or without its domain)."""
        if self.trunk and self.trunk != trunk:
            return False
        user = callee.partition("@")[0]
        return fnmatch.fnmatchcase(user, self.pattern) or fnmatch.fnmatchcase(callee, self.pattern)

    def names(self, target: str) -> bool:
        """Whether its app says by itself that it calls there, as `bridge_to` does."""
        return target in getattr(self.app, "targets", ())

    def may_call(self, target: str) -> bool:
        """Whether its app may place that call while it serves one that came in."""
        if isinstance(self.outbound, bool):
            return self.outbound
        return bare(target).startswith(self.outbound) if self.outbound else False

    @property
    def name(self) -> str:
        """What the app is called in logs and records."""
        return getattr(self.app, "__name__", type(self.app).__name__)


def bare(target: str) -> str:
    """An address without its scheme."""
    return target.split(":", 1)[1] if target.startswith(SCHEMES) else target


@dataclass(frozen=True, slots=True)
class OutboundPolicy:
    """What may be called. Denied until allowed."""

    allowed_prefixes: tuple[str, ...] = ()
    """Beginnings of called addresses, without the scheme."""
    allow_loopback: bool = True
    """Addresses on this machine may be called in any case."""

    def allows(self, target: str) -> bool:
        """Whether a target may be called."""
        try:
            self.check(target)
        except OutboundDeniedError:
            return False
        return True

    def check(self, target: str) -> None:
        """Raise `OutboundDeniedError` when a target may not be called."""
        address = bare(target)
        if self.allow_loopback and LOOPBACK.search(address):
            return
        if not any(address.startswith(prefix) for prefix in self.allowed_prefixes):
            raise OutboundDeniedError(
                f"calling {target} is not allowed; outbound.allowed_prefixes names what is"
            )


class Outgoing(Protocol):
    """A transport that can place calls. Media thread only."""

    def dial(
        self,
        target: str,
        *,
        caller: str,
        headers: Mapping[str, str],
        observer: LegObserver,
        options: DialOptions = ...,
    ) -> Leg:
        """Begin a call; everything else comes as events to the observer."""


class Listener(Protocol):
    """What a node has told about every call: its records and recordings."""

    def call_started(self, call: Call, app: str) -> None:
        """A call exists; its leg may not be answered yet."""


class Switchboard:
    """Routes calls to apps and places calls."""

    def __init__(self) -> None:
        self.routes: list[Route] = []
        self.calls: dict[str, Call] = {}
        """Live calls by id."""
        self._media: MediaThread | None = None
        self._outgoing: Outgoing | None = None
        self._policy = OutboundPolicy()
        self._tasks: asyncio.TaskGroup | None = None
        self._serving: dict[str, asyncio.Task[None]] = {}
        self._routes_of_calls: dict[str, Route] = {}
        """Of the calls that came in and are served."""
        self._listeners: list[Listener] = []
        self._host: Callable[[Call], Host] | None = None
        self._voice: Callable[[], TextToSpeech] | None = None
        self._audio = AudioDefaults()
        self._quality: Callable[[Call, Leg], QualityWatch | None] | None = None
        self._draining = False
        self.hold_music = MusicSource()
        """What is played to whoever is held with music."""
        self.tones_in = False
        """Whether keys are also heard as tones, of far ends that know no telephone events."""
        self.trunks = Trunks()
        """The ways to the telephone network: add, replace and remove them at any time."""
        self.arrivals = Arrivals(self.trunks)
        """Calls that are just coming in over them."""
        self._dialler: TrunkDialler | None = None
        self._alarm_observers: list[Callable[[Alarm], object]] = []
        self.refused = 0
        """Calls that no route was for, or that came while draining."""

    # -- the application's side --------------------------------------------------------

    def answer(
        self,
        pattern: str = "*",
        *,
        early: bool | None = None,
        transfers: bool = False,
        audio: AudioPath | None = None,
        record: bool | RecordingOptions | None = None,
        trunk: str = "",
        outbound: bool | tuple[str, ...] = False,
    ) -> Callable[[App], App]:
        """Route calls to the decorated app; the first pattern that matches wins.

        Without ``early`` the call is answered before the app gets it, unless the app says
        otherwise (`bridge_to` does). With ``transfers`` its far end may ask for a transfer
        (see `Call.allow_transfers`). ``audio`` is what is done with what the caller says,
        and ``record`` whether calls are recorded (True, False, or how), where it is not what
        the node does. ``trunk``: only calls that come in over it, whose numbers are in E.164.
        ``outbound``: the app may place calls beyond this machine while it serves one that
        came in, or only to numbers that begin with one of these; without, it may not, but
        for those that it names itself (`bridge_to` does).
        """

        def route(app: App) -> App:
            rings = getattr(app, "early", False) if early is None else early
            self.routes.append(
                Route(pattern, app, rings, audio, transfers, record, trunk, outbound)
            )
            return app

        return route

    async def dial(
        self,
        target: str | Fork,
        *,
        caller: str = "",
        app: App | None = None,
        timeout: float = 60.0,
        headers: Mapping[str, str] | None = None,
        placed: Callable[[Call], object] | None = None,
        trunk: str = "",
        key: str = "",
    ) -> Call:
        """Place a call and return it once it is answered.

        ``target`` is a number, which goes over the best trunk there is, or over ``trunk``;
        or a SIP URI, which goes where it says unless a trunk is named; or a `Fork` of several.
        With an ``app`` that app then runs in a task of its own. Raises `OutboundDeniedError`,
        `TrunkBusyError` where no trunk has room, or `DialError` with the status when it is not
        answered. ``placed`` gets the call while it is being set up. ``key`` is whose call it
        is: caps are kept by it.
        """
        name = Route("", app).name if app is not None else "dial"
        call = await self.place(
            target, caller=caller, headers=headers, name=name, trunk=trunk, key=key
        )
        if placed is not None:
            placed(call)
        try:
            async with asyncio.timeout(timeout):
                await call.wait_answered()
        except TimeoutError:
            await call.hangup("no-answer")
            await call.wait_ended()
            raise DialError(str(target), "no-answer", 408) from None
        except asyncio.CancelledError:
            call.hangup_soon()  # nobody waits for the answer any more
            raise
        except CallEndedError as error:
            end = error.end
            raise DialError(
                str(target), end.reason if end else "error", end.code if end else None
            ) from None
        if app is not None:
            self._begin(call, Route("", app), started=True)
        return call

    async def place(
        self,
        target: str | Fork,
        *,
        caller: str = "",
        headers: Mapping[str, str] | None = None,
        name: str = "dial",
        options: DialOptions = NO_OPTIONS,
        prepare: Callable[[Call], object] | None = None,
        trunk: str = "",
        key: str = "",
    ) -> Call:
        """Begin a call and return it at once, while it is being set up.

        ``name`` is what its record says of who has it; ``key``, if there is none, is that.
        ``prepare`` gets the call on the media thread, before any event of it. ``options`` are
        for calls that go over no trunk.
        """
        for each in target.targets if isinstance(target, Fork) else (target,):
            self._check(each, trunk)
        media, outgoing = self._media, self._outgoing
        if media is None or outgoing is None:
            raise UsageError("this switchboard is not connected to a node that can place calls")
        if self._draining:
            raise OutboundDeniedError("the node is draining and places no new calls")

        def begin() -> Call:
            early: list[tuple[Leg, LegEvent, float]] = []
            forward: list[LegObserver] = [lambda *event: early.append(event)]

            def observe(leg: Leg, event: LegEvent, now: float) -> None:
                forward[0](leg, event, now)

            ways = _Ways(outgoing, self._dialler, trunk, key or name)
            fields = headers or {}
            leg: Leg
            if isinstance(target, Fork):
                leg = ForkedLeg(
                    target,
                    ways,
                    media.loop,
                    caller=caller,
                    headers=fields,
                    observer=observe,
                    options=options,
                )
            else:
                leg = ways.dial(
                    target, caller=caller, headers=fields, observer=observe, options=options
                )
            call = self._make_call(leg, media)
            if prepare is not None:
                prepare(call)
            # Crosses before any event of the call does: it may be over at once.
            media.to_app.post(self._register, call, name)
            forward[0] = call.leg_event
            for event in early:
                call.leg_event(*event)
            return call

        return await media.run(begin)

    def _check(self, target: str, trunk: str) -> None:
        """Raise `OutboundDeniedError` for a call that is not allowed, `UsageError` for a trunk
        that is not there."""
        wanted, number = target, is_number(target)
        if number or trunk:
            if trunk:
                self.trunks.state(trunk)
            if self._dialler is not None and number:
                target = self._dialler.number(Wanted(target, trunk=trunk))
        self._policy.check(target)
        beyond = number or trunk or not LOOPBACK.search(bare(target))
        route = self._routes_of_calls.get(current_call.get())
        if beyond and route is not None and not (route.names(wanted) or route.may_call(target)):
            raise OutboundDeniedError(
                f"a call that came in may not place one to {target}: its route does not say"
                " so (board.answer(..., outbound=True))"
            )

    # -- the node's side -----------------------------------------------------------------

    def connect(
        self,
        media: MediaThread,
        *,
        outgoing: Outgoing | None = None,
        policy: OutboundPolicy | None = None,
        listeners: tuple[Listener, ...] = (),
        host: Callable[[Call], Host] | None = None,
        voice: Callable[[], TextToSpeech] | None = None,
        audio: AudioDefaults | None = None,
        hold_music: MusicSource | None = None,
        tones_in: bool = False,
        quality: Callable[[Call, Leg], QualityWatch | None] | None = None,
        reserve: Reserve | None = None,
    ) -> None:
        """Join the board to a node's media thread and transports."""
        if self._media is not None:
            raise UsageError("this switchboard is connected already")
        self._media = media
        self._outgoing = outgoing
        if outgoing is not None:
            self._dialler = TrunkDialler(self.trunks, outgoing, reserve=reserve, now=media.now)
        self._policy = policy or OutboundPolicy()
        self._listeners = list(listeners)
        self._host = host
        self._voice = voice
        self._audio = audio or AudioDefaults()
        self.hold_music = hold_music or MusicSource()
        self.tones_in = tones_in
        self._quality = quality

    async def bridge(self, a: Call, b: Call) -> CallEnded | None:
        """Have two calls hear each other until one ends; then the other is ended too."""
        return await bridge(a, b)

    async def run(self, ready: asyncio.Event, stop: asyncio.Event, drain_seconds: float) -> None:
        """Serve calls until ``stop`` is set, then finish or end the ones there are."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            ready.set()
            await stop.wait()
            self._draining = True
            # Calls that came in until now may still be on their way here.
            if self._media is not None:
                await self._media.run(self._media.to_app.flush)
            try:
                async with asyncio.timeout(drain_seconds):
                    while self.calls:
                        await next(iter(self.calls.values())).wait_ended()
                        await asyncio.sleep(0)
            except TimeoutError:
                log.warning("%d calls did not end within the drain; hanging up", len(self.calls))
            await self._end_all()
        self._tasks = None

    async def _end_all(self) -> None:
        """Hang up what is left, without waiting long for far ends that are gone.

        SIP is patient for half a minute; the transports end what is left now.
        """
        calls = list(self.calls.values())
        for call in calls:
            call.hangup_soon("shutdown")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SHUTDOWN_SECONDS):
                for call in calls:
                    await call.wait_ended()
        for call in calls:
            # An app whose call is over has its time to tidy up.
            if not call.is_over and call.id in self._serving:
                self._serving[call.id].cancel()

    def receive(self, leg: Leg, now: float) -> LegObserver:
        """A transport has a new inbound leg (a `LegReceiver`; media thread)."""
        media = self._media
        assert media is not None
        arrived = self.arrivals.receive(leg, now)
        party = arrived.party if arrived is not None else leg.party
        full = arrived is not None and arrived.refused
        route = None if self._draining or full else self.find(party.callee, party.trunk)
        call = self._make_call(leg, media, route.audio if route else None, party)
        call.allow_transfers(route is not None and route.transfers)
        call.record = route.record if route else False
        # The leg hears of its observer only when this returns, so whatever may
        # bring events is done right after.
        if route is None:
            self.refused += 1
            code, reason = (503, "Draining") if self._draining else (404, "No Such Number")
            if full:
                code, reason = 503, "Trunk At Its Limit"
            media.loop.call_soon(leg.reject, code, reason)
        elif not route.early:
            media.loop.call_soon(leg.answer)
        media.to_app.put(self._begin, call, route)
        return arrived.watched(call.leg_event) if arrived is not None else call.leg_event

    def _make_call(
        self,
        leg: Leg,
        media: MediaThread,
        audio: AudioPath | None = None,
        party: Party | None = None,
    ) -> Call:
        path = CallAudio(self._audio, leg.transport, party or leg.party, audio)
        call = Call(new_call_id(), leg, media, audio=path, party=party)
        call.board = self
        call.check_target, call.follower = self._policy.check, self._follow_transfer
        call.joiner = self._join
        call.monitor = self._quality
        call.be_watched()
        return call

    async def _join(self, a: TransferringCall, b: TransferringCall) -> CallEnded | None:
        """Two calls whose far ends cannot be handed to each other talk through us."""
        assert isinstance(a, Call)
        assert isinstance(b, Call)
        return await bridge(a, b)

    def _follow_transfer(self, call: CallLegs, request: TransferRequest, allowed: bool) -> None:
        """A far end asks for a transfer: a call out like any other (application)."""
        outgoing = self._outgoing
        ways = None if outgoing is None else _Ways(outgoing, self._dialler, "", "transfer")
        following = Following(ways, self._policy.check)
        following(call, request, allowed and not self._draining)

    def find(self, callee: str, trunk: str = "") -> Route | None:
        """The first route for a called address."""
        return next((route for route in self.routes if route.matches(callee, trunk)), None)

    def on_alarm(self, observer: Callable[[Alarm], object]) -> None:
        """Have a callable told every alarm of protection, on the application's loop."""
        self._alarm_observers.append(observer)

    def alarm(self, alarm: Alarm) -> None:
        """Protection raises an alarm; on the application's loop."""
        if alarm.leg_id:
            self.warn(alarm.leg_id, alarm.rule, alarm.detail)
        for observer in self._alarm_observers:
            try:
                observer(alarm)
            except Exception:
                log.exception("the alarm observer %r failed on %s", observer, alarm)

    def warn(self, leg_id: str, rule: str, detail: str) -> None:
        """Tell a call what protection has to say of it; on the application's loop."""
        for call in self.calls.values():
            if call.leg_id == leg_id:
                call.tell(CallWarned(call.id, call.media.now(), rule, detail))

    def _register(self, call: Call, app: str) -> None:
        self.calls[call.id] = call
        call.host, call.voice = self._host, self._voice
        for listener in self._listeners:
            try:
                listener.call_started(call, app)
            except Exception:
                log.exception("call %s: listener %r failed", call.id, listener)
        call.observe(self._forget_when_over(call))
        call.tell(CallStarted(call.id, call.started_monotonic, call.trunk))

    def _forget_when_over(self, call: Call) -> Callable[[object], None]:
        def forget(event: object) -> None:
            if event is call.end:
                self.calls.pop(call.id, None)

        return forget

    def _begin(self, call: Call, route: Route | None, started: bool = False) -> None:
        """Start a call's app, in a task that carries its name."""
        if not started:
            self._register(call, route.name if route else "")
        if route is None:
            return
        if self._tasks is None:
            log.error("call %s came in while the switchboard is not running", call.id)
            return
        name = f"{route.name} ({call.id})"
        if call.direction == "inbound":
            self._routes_of_calls[call.id] = route
        task = self._tasks.create_task(self._serve(call, route), name=name)
        self._serving[call.id] = task
        task.add_done_callback(lambda _: self._served(call.id))

    def _served(self, call_id: str) -> None:
        self._serving.pop(call_id, None)
        self._routes_of_calls.pop(call_id, None)

    async def _serve(self, call: Call, route: Route) -> None:
        """Run an app for one call, and see the call to its end."""
        reason = "hangup"
        current_call.set(call.id)
        try:
            if not route.early:
                await call.wait_answered()
            await self._until_over(call, route.app, f"{route.name} ({call.id})")
        except Exception as error:
            if not _only_ended(error):
                reason = "error"
                log.exception("call %s: the app %s failed", call.id, route.name)
        except asyncio.CancelledError:
            call.hangup_soon(reason)  # and nobody waits for the far end to agree
            raise
        await call.hangup(reason)
        await call.wait_ended()

    async def _until_over(self, call: Call, app: App, name: str) -> None:
        """Await an app; when its call ends it has a little time to finish."""
        running = asyncio.create_task(_awaited(app, call), name=name)
        ended = asyncio.create_task(call.wait_ended())
        try:
            await asyncio.wait({running, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                await asyncio.wait({running}, timeout=END_SECONDS)
            if not running.done():
                log.warning("call %s: its app goes on after the end; cancelled", call.id)
                running.cancel()
            await running
        finally:
            running.cancel()
            ended.cancel()


class _Ways:
    """Calls out: numbers, and what names a trunk, over trunks; other addresses as they say."""

    def __init__(
        self, outgoing: Outgoing, dialler: TrunkDialler | None, trunk: str, key: str
    ) -> None:
        self._outgoing = outgoing
        self._dialler = dialler
        self._trunk = trunk
        self._key = key

    def dial(
        self,
        target: str,
        *,
        caller: str,
        headers: Mapping[str, str],
        observer: LegObserver,
        options: DialOptions = NO_OPTIONS,
    ) -> Leg:
        """See `Outgoing`."""
        if self._dialler is not None and (self._trunk or is_number(target)):
            wanted = Wanted(target, caller, headers, self._trunk, self._key)
            return self._dialler.dial(wanted, observer)
        return self._outgoing.dial(
            target, caller=caller, headers=headers, observer=observer, options=options
        )


def new_call_id() -> str:
    """A call id nobody can guess: ``call_`` and 16 hexadecimal digits."""
    return f"call_{secrets.token_hex(8)}"


async def _awaited(app: App, call: Call) -> None:
    """An awaitable as a coroutine, which is what a task takes."""
    await app(call)


def _only_ended(error: BaseException) -> bool:
    """Whether all that went wrong is that the far end hung up; a task group wraps it."""
    if isinstance(error, BaseExceptionGroup):
        return all(_only_ended(one) for one in error.exceptions)
    return isinstance(error, CallEndedError)
