"""SIP over WebSockets (RFC 7118): phones that are web pages, and whoever else opens one to us.

A message is a WebSocket message, whole, text or binary. A proxy that ends TLS stands before
most of these ports, so that the address a WebSocket comes from says nothing of who is there:
gates ask for a password, whatever the address.
"""

from collections import Counter
from collections.abc import Collection
from typing import ClassVar

from picows import WSMsgType

from trunkline.sip.hop import Hop, Transport

from .sip_streams import SipStreams
from .sip_tls import ServerTls
from .sip_udp import MAPPED
from .websocket import Closed, Connection
from .websocket_server import Reply, Upgrade, WebSocketServer, origin_is_allowed

__all__ = ["SipWebSockets"]

SUBPROTOCOL = "sip"
"""RFC 7118 section 4.1."""
PING, PONG = b"\r\n\r\n", b"\r\n"
"""RFC 5626 section 4.4.1; some send it here as well, where WebSockets have their own."""


class SipWebSockets:
    """The WebSockets of an endpoint: one port, every path. Media thread only."""

    def __init__(
        self,
        host: str,
        port: int,
        streams: SipStreams,
        counters: Counter[str],
        *,
        tls: ServerTls | None = None,
        origins: Collection[str] = (),
    ) -> None:
        self.streams = streams
        self.counters = counters
        self.is_secure = tls is not None
        self._tls = tls
        self._origins = frozenset(origins)
        self._server = WebSocketServer(
            host,
            port,
            connections_limit=streams.limits.connections,
            tls=tls.context() if tls is not None else None,
            setting="sip.websocket_port",
        )
        self._server.route("/", self._open)

    async def start(self) -> int:
        """Begin to listen; the port. Raises `ConfigError` when it cannot be had."""
        await self._server.start()
        return self._server.port

    async def close(self) -> None:
        """Stop listening, and close what is open."""
        await self._server.close()

    def _open(self, upgrade: Upgrade) -> Connection | Reply:
        if self._tls is not None:
            self._tls.context()  # reads a renewed certificate, for the next one
        if not origin_is_allowed(upgrade, self._origins):
            return Reply(403, b"this origin may not connect")
        offered = upgrade.headers.get("Sec-WebSocket-Protocol", "").lower().split(",")
        if SUBPROTOCOL not in (name.strip() for name in offered):
            return Reply(400, b"Sec-WebSocket-Protocol has to offer sip")
        return _Frames(self)


class _Frames(Connection):
    """One WebSocket as picows sees it."""

    __slots__ = ("_flow", "_owner")

    subprotocol: ClassVar[str] = SUBPROTOCOL

    def __init__(self, owner: SipWebSockets) -> None:
        super().__init__(owner._server.limits)
        self._owner = owner
        self._flow: WebSocketFlow | None = None

    def opened(self) -> None:
        """Number it, or cut it where its address may not connect."""
        assert self.transport is not None
        streams = self._owner.streams
        host, port = self.transport.underlying_transport.get_extra_info("peername")[:2]
        transport: Transport = "WSS" if self._owner.is_secure else "WS"
        hop = Hop(host.removeprefix(MAPPED), port, transport, streams.next_flow())
        refusal = streams.refusal(hop)
        if refusal:
            self._owner.counters[refusal] += 1
            self.abort(refusal)
            return
        self._flow = WebSocketFlow(streams, self, hop)
        streams.add_inbound(self._flow)

    def text(self, data: bytes) -> None:
        """A message."""
        if self._flow is not None:
            self._flow.received(data)

    def binary(self, data: bytes) -> None:
        """A message as well (RFC 7118 section 5.2)."""
        self.text(data)

    def closed(self, closed: Closed) -> None:
        """Gone."""
        if self._flow is not None:
            said = "closed by the peer" if closed.clean else f"lost: {closed.reason}"
            self._flow.ended(said)

    def send_whole(self, data: bytes) -> None:
        """A message in one frame; as text where it is text."""
        if not self.is_open:
            return
        try:
            data.decode()
        except UnicodeDecodeError:
            assert self.transport is not None
            self.transport.send(WSMsgType.BINARY, data)
        else:
            self.send(data)


class WebSocketFlow:
    """One WebSocket among an endpoint's connections; see `sip_streams.Flow`."""

    outbound = False

    def __init__(self, streams: SipStreams, frames: _Frames, hop: Hop) -> None:
        self.hop = hop
        self.asked = False
        self._streams = streams
        self._frames = frames
        self._used_at = streams.now()
        self._spoke = self._over = False

    def received(self, data: bytes) -> None:
        """A message came."""
        if not data.strip():
            if data == PING:
                self._frames.send_whole(PONG)
            return
        self._used_at = self._streams.now()
        self._spoke = True
        self._streams.came_on(self, data)

    def send(self, data: bytes) -> None:
        """Send a message."""
        self.asked = self.asked or not data.startswith(b"SIP/2.0 ")
        self._used_at = self._streams.now()
        self._frames.send_whole(data)

    def suspect(self, since: float) -> None:
        """WebSockets are pinged anyway, soon after nothing more comes on them."""

    def check(self, now: float, *, in_use: bool) -> None:
        """Close it when nothing was ever said on it, or nothing for long."""
        limits = self._streams.limits
        silent = now - self._used_at
        if not self._spoke and silent > limits.unfinished_seconds + limits.handshake_seconds:
            self.close("nothing was said")
        elif not in_use and silent > limits.idle_seconds:
            self.close("idle")

    def close(self, why: str) -> None:
        """Say goodbye, for a reason of ours."""
        if not self._over:
            self._frames.close(1001 if why == "shutdown" else 1000, why)
            self.ended(why)

    def ended(self, why: str) -> None:
        """It is over; the streams are told once."""
        if not self._over:
            self._over = True
            self._streams.ended(self, why)
