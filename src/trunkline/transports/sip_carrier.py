"""What carries an endpoint's messages: datagrams, connections, names.

`SipCarrier` sends what the user agent wants sent, over whatever its hop says, and is its
`trunkline.sip.carrier.Carrier`: it looks names up, knows by which of our addresses a far end
sees us, and which connections there are.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from trunkline.errors import UsageError
from trunkline.sip.carrier import Located
from trunkline.sip.errors import ParseError
from trunkline.sip.hop import Hop, Transport, default_port
from trunkline.sip.message import Response, parse_message

from .resolver import Family, Resolver
from .sip_connection import StreamLimits
from .sip_gate import is_literal
from .sip_streams import Ears, SipStreams
from .sip_tls import ServerTls, TlsProfile
from .sip_udp import SipDatagrams, bound
from .sip_websocket import SipWebSockets

__all__ = ["Listening", "SipCarrier", "way_out"]

EVERYWHERE = ("0.0.0.0", "::")
PAIRS = 20
"""Ports tried, where the system chooses, until one is free for UDP and for TCP."""
WAYS_REMEMBERED = 4096
MAX_UNSENT = 65_507
"""Longer than any datagram."""


@dataclass(frozen=True, slots=True)
class Listening:
    """Where an endpoint listens, and how it speaks TLS."""

    host: str = "127.0.0.1"
    port: int = 5060
    tcp: bool = True
    tcp_port: int = 0
    """0: the number that UDP has."""
    tls_port: int = 5061
    tls_certificate: str = ""
    """The file of our certificate; empty: nobody can connect over TLS."""
    tls_key: str = ""
    tls_verify_clients: bool = False
    """Take connections over TLS only from who shows a certificate of an authority."""
    tls_ca: str = ""
    websocket: bool = False
    """Take WebSockets (RFC 7118), with the certificate over TLS."""
    websocket_port: int = 0
    websocket_origins: Sequence[str] = ()
    """Web sites whose pages may open one."""
    limits: StreamLimits = field(default_factory=StreamLimits)
    name_servers: Sequence[tuple[str, int]] = ()


class SipCarrier:
    """The sockets of one endpoint. Media thread only."""

    def __init__(
        self,
        listening: Listening,
        loop: asyncio.AbstractEventLoop,
        ears: Ears,
        counters: Counter[str],
        *,
        profiles: dict[str, TlsProfile],
        advertised: bool = False,
    ) -> None:
        self._listening = listening
        self._loop = loop
        self._ears = ears
        self._counters = counters
        host = listening.host
        udp, tcp = _sockets(listening)
        tls_socket = None
        try:
            tls = _server_tls(listening)
            if tls is not None:
                tls_socket = bound(host, listening.tls_port, socket.SOCK_STREAM, "tls_port")
        except UsageError:
            for sock in (udp, tcp):
                if sock is not None:
                    sock.close()
            raise
        self.port: int = udp.getsockname()[1]
        """The UDP port."""
        self.ports: dict[Transport, int] = {}
        """The ports for connections, by transport."""
        self._datagrams = SipDatagrams(udp, loop, self._datagram, ears.read, counters)
        self.streams = SipStreams(
            loop,
            ears,
            counters,
            profiles,
            local_host="" if host in EVERYWHERE else udp.getsockname()[0],
            limits=listening.limits,
        )
        for transport, sock, context in (("TCP", tcp, None), ("TLS", tls_socket, tls)):
            if sock is not None:
                self.ports[transport] = sock.getsockname()[1]  # type: ignore[index]
                self.streams.listen(sock, context)
        self._tls = tls
        self._web_sockets: SipWebSockets | None = None
        # Where somebody has said what our address is, it is not looked for.
        self._everywhere = host in EVERYWHERE and not advertised
        self._ways: dict[str, str] = {}
        self._resolver = Resolver(
            loop,
            speaks=("UDP", "TCP", "TLS") if listening.tcp else ("UDP", "TLS"),
            families=_families(host),
            servers=listening.name_servers,
            clock=ears.now,
        )

    async def open(self) -> None:
        """Take WebSockets, where they are wanted; the rest is open from the beginning.

        Raises `ConfigError` when their port cannot be had.
        """
        listening = self._listening
        if listening.websocket:
            self._web_sockets = SipWebSockets(
                listening.host,
                listening.websocket_port,
                self.streams,
                self._counters,
                tls=self._tls,
                origins=listening.websocket_origins,
            )
            port = await self._web_sockets.start()
            self.ports["WS"] = self.ports["WSS"] = port

    def send(self, data: bytes, hop: Hop) -> None:
        """Send a message where its hop says."""
        if hop.transport == "UDP":
            delivered = len(data) <= MAX_UNSENT and self._datagrams.send(data, hop)
        else:
            delivered = self.streams.send(data, hop) or self._send_anew(data, hop)
        if not delivered:
            self._loop.call_soon(self._ears.gone, hop)

    def _send_anew(self, data: bytes, hop: Hop) -> bool:
        """Responses whose connection is gone open a new one (RFC 3261 section 18.2.2)."""
        if not data.startswith(b"SIP/2.0 "):
            return False
        try:
            response = parse_message(data)
        except ParseError:
            return False
        assert isinstance(response, Response)
        via = response.via
        host = via.parameters.get("maddr") or via.parameters.get("received") or via.host.strip("[]")
        if not is_literal(host):
            host = hop.host
        port = via.port or default_port(hop.transport)
        return self.streams.send(data, hop._replace(host=host, port=port, flow=0))

    def _datagram(self, data: bytes, source: Hop) -> None:
        self._ears.received(data, source, self._ears.now())

    # -- trunkline.sip.carrier.Carrier ---------------------------------------------------------

    def locate(self, hop: Hop, key: str, then: Located) -> None:
        """Look a name up; see `Carrier.locate`."""
        if hop.is_web_socket:  # whoever was there has gone, and nobody can be called so
            then((), self._ears.now())
            return
        waiting = False

        def found(targets: Sequence[Hop], now: float) -> None:
            then(targets, now)
            if waiting:
                self._ears.located()

        self._resolver.locate(hop, key, found)
        waiting = True

    def our_address(self, hop: Hop) -> str:
        """The address of the way out, where we listen on all of them."""
        if not self._everywhere:
            return ""
        address = self._ways.get(hop.host)
        if address is None:
            if len(self._ways) >= WAYS_REMEMBERED:
                self._ways.clear()
            address = self._ways[hop.host] = way_out(hop.host) if is_literal(hop.host) else ""
        return address

    def is_open(self, hop: Hop) -> bool:
        """Whether a flow is still there."""
        return self.streams.is_open(hop)

    def went_silent(self, hop: Hop, since: float) -> None:
        """A request has had no answer: ask whether its connection lives."""
        self.streams.suspect(hop, since)

    async def close(self) -> None:
        """Close everything."""
        self._resolver.close()
        await self.streams.close()
        if self._web_sockets is not None:
            await self._web_sockets.close()
        self._datagrams.close()


def _sockets(listening: Listening) -> tuple[socket.socket, socket.socket | None]:
    """UDP's and TCP's, at the same port where nothing else is said."""
    host = listening.host
    for left in reversed(range(PAIRS)):
        udp = bound(host, listening.port, socket.SOCK_DGRAM, "port")
        if not listening.tcp:
            return udp, None
        port = listening.tcp_port or udp.getsockname()[1]
        try:
            return udp, bound(host, port, socket.SOCK_STREAM, "tcp_port")
        except UsageError:
            udp.close()
            if listening.port or listening.tcp_port or not left:
                raise
    raise AssertionError


def _server_tls(listening: Listening) -> ServerTls | None:
    if not listening.tls_certificate:
        return None
    return ServerTls(
        listening.tls_certificate,
        listening.tls_key,
        ca=listening.tls_ca,
        verify_clients=listening.tls_verify_clients,
    )


def _families(host: str) -> Sequence[Family]:
    """What addresses can be sent to from there."""
    if host == "::":
        return ("AAAA", "A")
    return ("AAAA",) if ":" in host else ("A",)


def way_out(target: str) -> str:
    """Our address on the way to another one; empty where there is no way."""
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            # Connecting a UDP socket sends nothing; it only asks the routing table.
            probe.connect((target, 9))
            return str(probe.getsockname()[0])
        except OSError:
            return ""
