"""SIP over UDP: the socket, the timers and the legs of one user agent.

Everything that is SIP is in ``trunkline.sip`` and is pure; this module moves
datagrams, wakes the timers, and gives every session its leg.
"""

import asyncio
import contextlib
import errno
import ipaddress
import logging
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from trunkline.errors import UsageError
from trunkline.media.codec import Codec
from trunkline.media.engine import Engine
from trunkline.sip.core import Settings
from trunkline.sip.digest import Credentials
from trunkline.sip.errors import ParseError
from trunkline.sip.events import (
    Accepted,
    Acked,
    Confirmed,
    DigitReceived,
    EarlyAnswered,
    Event,
    Invited,
    Progress,
    Redirected,
    ReInviteAnswered,
    ReInvited,
    Send,
    Terminated,
)
from trunkline.sip.headers import NameAddress
from trunkline.sip.hop import Hop, default_port
from trunkline.sip.offer_answer import AudioAgreement, AudioCapabilities, AudioNegotiation
from trunkline.sip.opus_parameters import OpusParameters
from trunkline.sip.outbound import Invitation
from trunkline.sip.transaction import Timing
from trunkline.sip.user_agent import UserAgent

from .leg import DialOptions, Leg, LegObserver, LegReceiver
from .leg_events import LegEvents
from .rtp import MediaPolicy, RtpStream
from .rtp_socket import RtpPoller, RtpPorts
from .sip_gate import AddressGate, SipGate, is_literal
from .sip_leg import LAWS, SipLeg

__all__ = ["MakeCodec", "SipEndpoint", "SipOptions"]

MakeCodec = Callable[[AudioAgreement], Codec]
"""Makes a codec, at the engine's rate, for what two ends agreed on."""

log = logging.getLogger(__name__)

NODE_OPTIONS = DialOptions()
Watcher = Callable[[bool, bytes, Hop, float], None]
"""Told of a message: whether we sent it, its bytes, the other end, and when."""

MAX_DATAGRAM = 65_535
READS_PER_WAKE = 64
"""Datagrams read before the loop gets to its other work."""
SOCKET_BUFFER_BYTES = 4 * 1024 * 1024
"""A burst of a thousand INVITEs has to wait somewhere while a tick runs."""
_BIND_ADVICE = {
    errno.EADDRINUSE: "; another program may use it (sip.port chooses one)",
    errno.EACCES: "; ports below 1024 are root's (sip.port chooses one)",
    errno.EADDRNOTAVAIL: "; this machine has no such address (sip.host)",
}


@dataclass(frozen=True, slots=True)
class SipOptions:
    """How an endpoint presents itself, whom it lets in, and its media."""

    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int = 5060
    """The UDP port; 0 lets the system choose."""
    advertised_host: str = ""
    """What peers are told; empty: ``host``."""
    media_host: str = "127.0.0.1"
    """The address RTP is received on."""
    user_agent: str = "Trunkline"
    accounts: Mapping[str, str] = field(default_factory=dict)
    """User and password of those who may call in with digest authentication."""
    realm: str = "trunkline"
    allowed: Sequence[str] = ()
    """Addresses and networks that may call in without a password."""
    codecs: tuple[str, ...] = ("PCMU", "PCMA")
    """What legs speak, the most wanted first: G.711, and what the endpoint is given beside."""
    opus: OpusParameters = field(
        default_factory=lambda: OpusParameters(use_inband_fec=True, min_ptime_ms=10)
    )
    """How we want to receive Opus; of its rate no more than the engine's is asked for."""
    t1_ms: int = 500
    timeout_seconds: float = 30.0
    """Media silence that ends a call; 0: none does."""
    far_buffer_ms: int = 60
    no_answer_seconds: float = 180.0
    """When an outbound call that nobody answers is cancelled."""
    username: str = ""
    """Who we are to a far end that asks."""
    password: str = ""
    reliable: Literal["off", "supported", "required"] = "supported"
    """Reliable provisional responses (RFC 3262)."""
    session_expires_seconds: int = 0
    """The session timer to ask for (RFC 4028); 0 asks for none."""
    min_se_seconds: int = 90
    """The shortest session timer that is taken."""


class SipEndpoint:
    """One UDP socket, one user agent, its legs. Media thread only.

    ``codecs``: what legs speak beside G.711, by the names of `SipOptions.codecs`. A
    name there that is neither raises `UsageError`.
    """

    def __init__(
        self,
        options: SipOptions,
        *,
        loop: asyncio.AbstractEventLoop,
        engine: Engine,
        ports: RtpPorts,
        poller: RtpPoller,
        receiver: LegReceiver,
        codecs: Mapping[str, MakeCodec] | None = None,
        gate: SipGate | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._codecs = dict(codecs or {})
        known = (*LAWS, *self._codecs)
        unknown = [name for name in options.codecs if name not in known]
        if unknown:
            raise UsageError(f"legs speak {', '.join(known)}, not {', '.join(unknown)}")
        self._options = options
        self._loop = loop
        self._engine = engine
        self._ports = ports
        self._poller = poller
        self._receiver = receiver
        self._rng = rng or random.SystemRandom()
        self._gate = gate or AddressGate(
            options.allowed, options.accounts, options.realm, self._rng.randbytes(32)
        )
        self.watchers: list[Watcher] = []
        """Told of every message that is let in or sent."""
        self.may_redirect: Callable[[str], bool] | None = None
        """Whether a call out may follow a 3xx to that URI; None: it follows none."""
        self._socket = self._bind()
        self.port: int = self._socket.getsockname()[1]
        advertised = options.advertised_host or _reachable(options.host)
        self._media_address = options.advertised_host or _reachable(options.media_host)
        self._policy = MediaPolicy(
            loopback_only=_is_loopback(options.media_host),
            version=6 if ":" in options.media_host else 4,
        )
        self.agent = UserAgent(
            Settings(
                host=advertised,
                port=self.port,
                user_agent=options.user_agent,
                timing=Timing(t1=options.t1_ms / 1000),
                follow_source=True,
                reliable=options.reliable,
                session_expires_seconds=options.session_expires_seconds,
                min_se_seconds=options.min_se_seconds,
            ),
            self._rng,
            self._gate.admit,
        )
        self.agent.on_digest = self._gate.on_digest
        self.agent.on_malformed = self._gate.on_malformed
        self._capabilities = AudioCapabilities(
            codecs=options.codecs,
            # More than the engine's rate would be bits for nothing.
            opus=replace(
                options.opus,
                max_playback_rate_hz=min(options.opus.max_playback_rate_hz, engine.rate_hz),
            ),
        )
        self._legs: dict[str, SipLeg] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._lookups: set[asyncio.Task[None]] = set()
        self._flushing = False
        self._emptied: asyncio.Event | None = None
        self.counters: Counter[str] = Counter()
        """What the socket refused or lost, by reason."""
        loop.add_reader(self._socket.fileno(), self._readable)

    @property
    def legs(self) -> Mapping[str, SipLeg]:
        """Live legs by id."""
        return self._legs

    async def close(self) -> None:
        """Hang up what is left, give the BYEs a moment, close the socket."""
        for leg in list(self._legs.values()):
            leg.hangup("shutdown")
        if self._legs:
            self._emptied = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._emptied.wait()
        for leg in list(self._legs.values()):
            leg.terminated("shutdown", "us", None)
        if self._timer is not None:
            self._timer.cancel()
        for lookup in self._lookups:
            lookup.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    # -- calls out ---------------------------------------------------------------------

    def dial(
        self,
        target: str,
        *,
        caller: str,
        headers: Mapping[str, str],
        observer: LegObserver,
        options: DialOptions = NODE_OPTIONS,
    ) -> Leg:
        """Place a call; raises `UsageError` for an address that is none.

        ``caller`` is a URI, a user or number of ours, or empty.
        """
        now = self.now()
        # The offer names our port, so the stream comes before the session.
        leg_id = f"{self._rng.getrandbits(64):016x}"
        holder: list[SipLeg] = []
        stream = self.make_stream(
            leg_id,
            lambda digit, duration_ms, at: holder[0].digit(digit, duration_ms, at),
            lambda at: holder[0].media_timed_out(at),
        )
        negotiation = self.make_negotiation(stream.port)
        node = self._options
        username, password = options.username, options.password
        if not username:
            username, password = node.username, node.password
        credentials = (Credentials(username, password),) if username else ()
        try:
            session = self.agent.invite(
                Invitation(
                    target=target,
                    from_=self._caller(caller),
                    sdp=None if options.late_offer else negotiation.offer(),
                    headers=tuple(headers.items()),
                    credentials=credentials,
                    destination=_hop(options) if options.server else None,
                    route=options.routes,
                    trunk=options.trunk,
                    no_answer_seconds=(options.no_answer_seconds or node.no_answer_seconds or None),
                    session_expires_seconds=options.session_expires_seconds,
                    may_redirect=self.may_redirect,
                ),
                now,
            )
        except UsageError:
            stream.close(now)
            raise
        leg = SipLeg(
            self,
            session,
            self._events,
            stream=stream,
            negotiation=negotiation,
            account=username,
        )
        holder.append(leg)
        self._legs[session.id] = leg
        leg.observe(observer)
        self.flush()
        return leg

    def _caller(self, caller: str) -> str:
        if caller.startswith(("sip:", "sips:", "tel:", "<", '"')):
            return caller
        return f"<sip:{caller or 'trunkline'}@{self.agent.settings.hostport()}>"

    # -- what legs need ------------------------------------------------------------------

    def make_stream(
        self,
        id: str,
        on_digit: Callable[[str, int, float], None],
        on_timeout: Callable[[float], None],
    ) -> RtpStream:
        """RTP ports for a leg; raises `NoFreePortError`."""
        return RtpStream(
            id,
            engine=self._engine,
            poller=self._poller,
            ports=self._ports,
            policy=self._policy,
            rng=self._rng,
            on_digit=on_digit,
            on_timeout=on_timeout,
            timeout_seconds=self._options.timeout_seconds,
            far_buffer_ms=self._options.far_buffer_ms,
        )

    def make_negotiation(self, port: int) -> AudioNegotiation:
        """A session description of ours."""
        session_id = self._rng.getrandbits(62)
        return AudioNegotiation(self._capabilities, self._media_address, port, session_id)

    def make_codec(self, name: str, agreement: AudioAgreement) -> Codec:
        """A codec that is not G.711, at the engine's rate, for what was agreed."""
        return self._codecs[name](agreement)

    def now(self) -> float:
        """The media clock."""
        return time.monotonic()

    def forget(self, leg: SipLeg) -> None:
        """A leg has ended."""
        self._legs.pop(leg.session.id, None)
        if not self._legs and self._emptied is not None:
            self._emptied.set()

    def _events(self, leg: SipLeg) -> LegEvents:
        return LegEvents(leg, self._loop)

    # -- the socket -------------------------------------------------------------------------

    def _bind(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._options.host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER_BYTES)
        try:
            sock.bind((self._options.host, self._options.port))
        except OSError as error:
            sock.close()
            raise UsageError(
                f"SIP cannot listen on {self._options.host}:{self._options.port}: "
                f"{error.strerror}{_BIND_ADVICE.get(error.errno or 0, '')}"
            ) from error
        return sock

    def _readable(self) -> None:
        now = self.now()
        for _ in range(READS_PER_WAKE):
            try:
                data, source = self._socket.recvfrom(MAX_DATAGRAM)
            except OSError:
                break  # nothing more, or an ICMP error that a timer will show too
            self._receive(data, Hop(source[0], source[1]), now)
        self._set_timer()

    def _receive(self, data: bytes, source: Hop, now: float) -> None:
        """One message, if it may come in."""
        # Responses are never answered, and only ours are looked at.
        if not data.startswith(b"SIP/2.0 ") and not self._may_speak(source):
            # Silence, not an answer: a scanner learns nothing (and nobody's
            # spoofed address gets a flood).
            self.counters["not allowed"] += 1
            return
        for watcher in self.watchers:
            watcher(False, data, source, now)
        self.agent.receive(data, source, now)
        if self.agent.outputs:
            self.flush()

    def _may_speak(self, source: Hop) -> bool:
        """Whether to read a request at all; the far ends of calls always may."""
        return self._gate.may_speak(source) or any(
            leg.session.source == source for leg in self._legs.values()
        )

    def flush(self) -> None:
        """Send what the user agent has to send, tell the legs what it reports."""
        if self._flushing:
            return  # a leg acted on an event: the loop below comes to it
        self._flushing = True
        outputs = self.agent.outputs
        try:
            while outputs:
                output = outputs.popleft()
                if isinstance(output, Send):
                    self._send(output.data, output.destination)
                else:
                    self._report(output)
        finally:
            self._flushing = False
        self._set_timer()

    def _send(self, data: bytes, destination: Hop) -> None:
        if not is_literal(destination.host):
            task = self._loop.create_task(self._look_up_and_send(data, destination))
            self._lookups.add(task)
            task.add_done_callback(self._lookups.discard)
            return
        for watcher in self.watchers:
            watcher(True, data, destination, self.now())
        try:
            self._socket.sendto(data, destination.address)
        except BlockingIOError:
            self.counters["send buffer full"] += 1  # a retransmission follows
        except OSError as error:
            self.counters[f"not sent: {error.strerror}"] += 1
            self._loop.call_soon(self._unreachable, destination)

    async def _look_up_and_send(self, data: bytes, destination: Hop) -> None:
        host, port = destination.host, destination.port or default_port(destination.transport)
        try:
            async with asyncio.timeout(5):
                found = await self._loop.getaddrinfo(
                    host, port, family=self._socket.family, type=socket.SOCK_DGRAM
                )
            self._socket.sendto(data, found[0][4])
        except (OSError, TimeoutError, UnicodeError) as error:
            log.warning("cannot reach %s: %s", host, error)
            self.counters["name not found"] += 1
            self._unreachable(destination)

    def _unreachable(self, destination: Hop) -> None:
        self.agent.unreachable(destination, self.now())
        self.flush()

    def _set_timer(self) -> None:
        due = self.agent.next_timeout()
        if due is None:
            return
        if self._timer is not None:
            if self._timer_at <= due:
                return  # it wakes us in time and is set anew then
            self._timer.cancel()
        self._timer_at = due
        self._timer = self._loop.call_later(max(0.0, due - self.now()), self._wake)

    def _wake(self) -> None:
        self._timer = None
        self.agent.tick(self.now())
        self.flush()

    # -- events -----------------------------------------------------------------------------

    def _report(self, event: Event) -> None:
        leg = self._legs.get(event.session.id)
        if leg is None:
            if isinstance(event, Invited):
                self._invited(event)
            return
        now = self.now()
        match event:
            case Progress(_, code, _, answer, offer):
                leg.progressed(code, answer, offer)
            case EarlyAnswered(_, answer):
                leg.early_answered(answer)
            case Redirected(_, code, target):
                log.info("leg %s: sent on to %s with %d", leg.id, target, code)
            case Accepted(_, answer, offer):
                leg.accepted(answer, offer)
            case Acked(_, answer):
                leg.acknowledged(answer)
            case Confirmed():
                leg.confirmed()
            case ReInvited(_, _, offer):
                leg.reinvited(offer)
            case ReInviteAnswered(_, code, reason, answer):
                leg.reinvite_answered(code, reason, answer)
            case DigitReceived(_, digit, duration_ms):
                leg.digit(digit, duration_ms, now)
            case Terminated(_, reason, by, code, cause, later):
                leg.terminated(reason, by, code, cause, later)
            case _:
                pass  # Cancelled, ByeReceived, Rejected: Terminated says it all

    def _invited(self, event: Invited) -> None:
        leg = SipLeg(self, event.session, self._events)
        leg.invited(event.offer)
        self._legs[event.session.id] = leg
        try:
            leg.observe(self._receiver(leg, self.now()))
        except Exception:
            log.exception("nobody took leg %s", leg.id)
            self.agent.reject(event.session, 500, self.now())


def _hop(options: DialOptions) -> Hop:
    """Where a trunk's calls are sent."""
    try:
        hop = NameAddress.parse(options.server).parsed_uri.hop
    except ParseError as error:
        raise UsageError(f"trunk {options.trunk}: {options.server!r} is no address") from error
    return hop._replace(profile=options.trunk)


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (is_literal(host) and ipaddress.ip_address(host).is_loopback)


def _reachable(host: str) -> str:
    """What to tell peers when we listen everywhere: the address of the way out."""
    if host not in ("0.0.0.0", "::"):
        return host
    family, target = (
        (socket.AF_INET, "192.0.2.1") if host == "0.0.0.0" else (socket.AF_INET6, "2001:db8::1")
    )
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            # Connecting a UDP socket sends nothing; it only asks the routing table.
            probe.connect((target, 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"
