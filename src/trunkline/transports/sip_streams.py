"""SIP over TCP and TLS: who connects to us, whom we connect to, and for how long.

There is one connection to each far end, transport and set of TLS settings (RFC 5923), opened
when there is something to send and kept while it is of use. What came in on a connection is
answered on it. WebSockets are numbered and looked after among them, but opened elsewhere.
"""

import asyncio
import errno
import itertools
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from trunkline.errors import UsageError
from trunkline.sip.framing import Framed, FramingError
from trunkline.sip.hop import Hop, Transport

from .sip_connection import SipConnection, StreamLimits, describe_failure
from .sip_tls import ServerTls, TlsProfile, client_context
from .sip_udp import MAPPED

__all__ = ["Ears", "Flow", "SipStreams"]

log = logging.getLogger(__name__)

ACCEPTS_PER_WAKE = 64
CHECK_SECONDS = 1.0
SILENT_SECONDS = 30.0
"""A far end that cannot be connected to is logged once in this time."""
NODE = TlsProfile()

_Key = tuple[Transport, str, int, str, str]


@dataclass(frozen=True, slots=True)
class Ears:
    """Who hears what comes in."""

    now: Callable[[], float]
    """The media clock."""
    received: Callable[[bytes, Hop, float], None]
    """A message came in."""
    read: Callable[[], None]
    """That was all for now."""
    unframed: Callable[[bytes, Hop, float], None]
    """The headers of a message whose length is wrong; its connection is closed after this."""
    may_connect: Callable[[Hop], bool]
    """Whether somebody from there may connect at all."""
    in_use: Callable[[Hop], bool]
    """Whether a call's far end sends on this flow."""
    gone: Callable[[Hop], None]
    """Nothing can be sent there: the connection is gone, or could not be made."""
    located: Callable[[], None]
    """A name was looked up, and there may be something to send."""


class Flow(Protocol):
    """One connection of any kind, as all of them are looked after."""

    hop: Hop
    """The far end, with the number of the connection."""
    outbound: bool
    """Whether we opened it."""
    asked: bool
    """Whether requests of ours went on it, that may wait for an answer."""

    def send(self, data: bytes) -> None:
        """Send a message."""

    def suspect(self, since: float) -> None:
        """A request sent at ``since`` has no answer: ask whether anybody is there."""

    def check(self, now: float, *, in_use: bool) -> None:
        """Once a second: close it if it is stuck or of no use."""

    def close(self, why: str) -> None:
        """End it; the first time its owner is told."""


class SipStreams:
    """All connections of an endpoint. Media thread only."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        ears: Ears,
        counters: Counter[str],
        profiles: Mapping[str, TlsProfile],
        *,
        local_host: str = "",
        limits: StreamLimits | None = None,
    ) -> None:
        self.limits = limits or StreamLimits()
        self._loop = loop
        self._ears = ears
        self._counters = counters
        self._profiles = profiles
        self._local = (local_host, 0) if local_host else None
        self._servers: list[socket.socket] = []
        self._flows = itertools.count(1)
        self._by_flow: dict[int, Flow] = {}
        self._by_key: dict[_Key, SipConnection] = {}
        self._from: Counter[str] = Counter()
        self._contexts: dict[TlsProfile, ssl.SSLContext] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._logged: dict[tuple[str, int], float] = {}
        self._check_timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._by_flow)

    def is_open(self, hop: Hop) -> bool:
        """Whether a flow is still there."""
        return hop.flow in self._by_flow

    # -- in --------------------------------------------------------------------------------

    def listen(self, sock: socket.socket, tls: ServerTls | None = None) -> None:
        """Take connections on a bound socket."""
        sock.listen(512)
        self._servers.append(sock)
        self._loop.add_reader(sock.fileno(), self._acceptable, sock, tls)

    def _acceptable(self, server: socket.socket, tls: ServerTls | None) -> None:
        for _ in range(ACCEPTS_PER_WAKE):
            try:
                sock, address = server.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._counters["no files for connections"] += 1
                    self._rest(server, tls)
                    return
                continue  # it was gone before we took it
            self._accept(sock, address[0].removeprefix(MAPPED), address[1], tls)

    def _rest(self, server: socket.socket, tls: ServerTls | None) -> None:
        """Out of files: try again in a second, rather than all the time."""
        self._loop.remove_reader(server.fileno())

        def resume() -> None:
            if server in self._servers:
                self._loop.add_reader(server.fileno(), self._acceptable, server, tls)

        self._loop.call_later(CHECK_SECONDS, resume)

    def _accept(self, sock: socket.socket, host: str, port: int, tls: ServerTls | None) -> None:
        hop = Hop(host, port, "TLS" if tls else "TCP", self.next_flow())
        refusal = self.refusal(hop)
        if refusal:
            self._counters[refusal] += 1
            sock.close()
            return
        sock.setblocking(False)
        connection = SipConnection(self, hop, outbound=False)
        self.add_inbound(connection)
        self._start(self._greet(connection, sock, tls))

    def next_flow(self) -> int:
        """The number of a connection that is about to be."""
        return next(self._flows)

    def add_inbound(self, flow: Flow) -> None:
        """Look after a connection that was opened to us."""
        self._add(flow)
        self._from[flow.hop.host] += 1

    def refusal(self, hop: Hop) -> str:
        """Why a connection from there is not taken; empty: it is."""
        if not self._ears.may_connect(hop):
            return "not allowed"
        if len(self._by_flow) >= self.limits.connections:
            return "too many connections"
        if self._from[hop.host] >= self.limits.connections_per_address:
            return "too many connections of one address"
        return ""

    async def _greet(
        self, connection: SipConnection, sock: socket.socket, tls: ServerTls | None
    ) -> None:
        options: dict[str, Any] = {}
        if tls is not None:
            options["ssl"] = tls.context()
            options["ssl_handshake_timeout"] = self.limits.handshake_seconds
        try:
            await self._loop.connect_accepted_socket(lambda: connection, sock, **options)
        except (OSError, TimeoutError) as error:
            sock.close()
            connection.close(describe_failure(error))

    # -- out -------------------------------------------------------------------------------

    def send(self, data: bytes, hop: Hop) -> bool:
        """Send on the hop's flow, or on a connection to its host; False: the flow is gone."""
        flow: Flow | None
        if hop.flow or hop.is_web_socket:
            flow = self._by_flow.get(hop.flow)
        else:
            flow = self._by_key.get(_key(hop)) or self._open(hop)
        if flow is None:
            return False
        flow.send(data)
        return True

    def suspect(self, hop: Hop, since: float) -> None:
        """A request that went there at ``since`` has no answer."""
        flow = self._by_flow.get(hop.flow) if hop.flow else self._by_key.get(_key(hop))
        if flow is not None:
            flow.suspect(since)

    def _open(self, hop: Hop) -> SipConnection:
        connection = SipConnection(self, hop._replace(flow=self.next_flow()), outbound=True)
        self._add(connection)
        self._by_key[_key(hop)] = connection
        if hop.name and len(self._names) < self.limits.connections:
            self._names[hop.profile, hop.host] = hop.name
        if len(self._by_flow) > self.limits.connections:
            self._loop.call_soon(connection.close, "too many connections")
        else:
            self._start(self._connect(connection))
        return connection

    async def _connect(self, connection: SipConnection) -> None:
        hop, limits = connection.hop, self.limits
        try:
            async with asyncio.timeout(limits.handshake_seconds):
                secure: dict[str, Any] = {}
                if hop.transport == "TLS":
                    profile = self._profiles.get(hop.profile) or self._profiles.get("") or NODE
                    secure["ssl"] = await self._context(profile)
                    secure["server_hostname"] = self._server_name(hop, profile)
                    secure["ssl_handshake_timeout"] = limits.handshake_seconds
                await self._loop.create_connection(
                    lambda: connection, hop.host, hop.port, local_addr=self._local, **secure
                )
        except (OSError, TimeoutError, UsageError) as error:
            connection.close(describe_failure(error))

    async def _context(self, profile: TlsProfile) -> ssl.SSLContext:
        context = self._contexts.get(profile)
        if context is None:
            context = await self._loop.run_in_executor(None, client_context, profile)
            self._contexts[profile] = context
        return context

    def forget_contexts(self) -> None:
        """Read the files of connections out again, for those to come."""
        self._contexts.clear()

    def _server_name(self, hop: Hop, profile: TlsProfile) -> str:
        """Whose certificate it has to be: a trunk's even where a Contact has an address."""
        return (
            profile.server_name
            or hop.name
            or (self._names.get((hop.profile, hop.host), "") if hop.profile else "")
            or hop.host
        )

    # -- what connections report -------------------------------------------------------------

    def now(self) -> float:
        """The media clock."""
        return self._ears.now()

    def arrived(self, connection: SipConnection, framed: Framed, now: float) -> None:
        """Messages came in."""
        for data in framed.messages:
            self._ears.received(data, connection.hop, now)
        self._ears.read()

    def cannot_be_followed(
        self, connection: SipConnection, error: FramingError, now: float
    ) -> None:
        """The stream makes no sense any more."""
        self._counters["framing"] += 1
        self._ears.unframed(error.head, connection.hop, now)

    def came_on(self, flow: Flow, data: bytes) -> None:
        """One message came in, whole."""
        self._ears.received(data, flow.hop, self._ears.now())
        self._ears.read()

    def ended(self, connection: Flow, why: str) -> None:
        """A connection is gone, or could not be made."""
        hop = connection.hop
        del self._by_flow[hop.flow]
        if connection.outbound:
            if self._by_key.get(_key(hop)) is connection:
                del self._by_key[_key(hop)]
        else:
            self._from[hop.host] -= 1
            if not self._from[hop.host]:
                del self._from[hop.host]
        self._counters[f"connection: {why.partition(':')[0]}"] += 1
        if connection.outbound and why not in ("shutdown", "idle", "closed by the peer"):
            self._log(hop, why)
        if connection.asked:
            # Soon, not at once: whoever is sending is not back from it yet.
            self._loop.call_soon(self._ears.gone, hop)

    def _log(self, hop: Hop, why: str) -> None:
        now = self.now()
        if now - self._logged.get(hop.address, -SILENT_SECONDS) >= SILENT_SECONDS:
            if len(self._logged) > self.limits.connections:
                self._logged.clear()
            self._logged[hop.address] = now
            log.warning("no connection to %s%s: %s", hop, f" ({hop.name})" * bool(hop.name), why)

    # -- life --------------------------------------------------------------------------------

    def _add(self, flow: Flow) -> None:
        self._by_flow[flow.hop.flow] = flow
        if self._check_timer is None:
            self._check_timer = self._loop.call_later(CHECK_SECONDS, self._check)

    def _check(self) -> None:
        """Once a second, while there are any."""
        now, in_use = self.now(), self._ears.in_use
        for connection in list(self._by_flow.values()):
            connection.check(now, in_use=in_use(connection.hop))
        self._check_timer = (
            self._loop.call_later(CHECK_SECONDS, self._check) if self._by_flow else None
        )

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Take no more connections, end all there are."""
        for server in self._servers:
            self._loop.remove_reader(server.fileno())
            server.close()
        self._servers.clear()
        for connection in list(self._by_flow.values()):
            connection.close("shutdown")
        if self._check_timer is not None:
            self._check_timer.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _key(hop: Hop) -> _Key:
    """What makes two connections out the same."""
    if hop.transport == "TLS":
        return hop.transport, hop.host, hop.port, hop.profile, hop.name
    return hop.transport, hop.host, hop.port, "", ""
