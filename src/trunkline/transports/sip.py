"""A SIP endpoint: one user agent, its timers and its legs.

Everything that is SIP is in ``trunkline.sip`` and is pure; `SipCarrier` moves its
messages. This module wakes the timers and gives every session its leg.
"""

import asyncio
import contextlib
import ipaddress
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

from trunkline.errors import MissingDependencyError, UsageError
from trunkline.media.codec import Codec
from trunkline.media.engine import Engine
from trunkline.sip.core import Settings
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
    ReferProgress,
    Referred,
    RegistrationEvent,
    ReInviteAnswered,
    ReInvited,
    Send,
    Terminated,
)
from trunkline.sip.hop import Hop
from trunkline.sip.offer_answer import AudioAgreement, AudioCapabilities, AudioNegotiation
from trunkline.sip.registration import Registration, RegistrationRequest
from trunkline.sip.session import Session
from trunkline.sip.transaction import Timing
from trunkline.sip.user_agent import UserAgent

from .leg import DialOptions, Leg, LegObserver, LegReceiver
from .leg_events import LegEvents
from .rtp import MediaPolicy, RtpStream
from .rtp_socket import RtpPoller, RtpPorts
from .sip_carrier import EVERYWHERE, SipCarrier, way_out
from .sip_dialling import first_host, invitation
from .sip_gate import AddressGate, SipGate, is_literal
from .sip_leg import LAWS, SipLeg
from .sip_media import SipMedia
from .sip_options import SipOptions
from .sip_streams import Ears
from .sip_tls import TlsProfile
from .sip_transfer import SipTransfers

__all__ = ["MakeCodec", "SipEndpoint", "SipOptions"]

MakeCodec = Callable[[AudioAgreement], Codec]
"""Makes a codec, at the engine's rate, for what two ends agreed on."""

log = logging.getLogger(__name__)

NODE_OPTIONS = DialOptions()
Watcher = Callable[[bool, bytes, Hop, float], None]
"""Told of a message: whether we sent it, its bytes, the other end, and when."""


class SipEndpoint:
    """Sockets and connections, one user agent, its legs. Media thread only.

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
        self.counters: Counter[str] = Counter()
        """What was refused, lost or closed, by reason."""
        self.profiles: dict[str, TlsProfile] = {"": options.tls}
        """The TLS settings of connections out: a trunk's by its name, the node's own by none."""
        self._carrier = SipCarrier(
            replace(options.listening, host=options.host, port=options.port),
            loop,
            self._ears(),
            self.counters,
            profiles=self.profiles,
            advertised=bool(options.advertised_host),
        )
        self.port: int = self._carrier.port
        """The UDP port."""
        self.ports = self._carrier.ports
        """The ports of TCP and TLS, where there are any."""
        self.on_registration: Callable[[RegistrationEvent], None] = lambda _: None
        """Told what becomes of registrations."""
        self.may_redirect: Callable[[str], bool] | None = None
        """Whether a call out may follow a 3xx to that URI; None: it follows none."""
        advertised = options.advertised_host or _reachable(options.host)
        self._media_address = options.advertised_host or _reachable(options.media_host)
        self._media_everywhere = not options.advertised_host and options.media_host in EVERYWHERE
        self._policy = policy = MediaPolicy(
            loopback_only=_is_loopback(options.media_host),
            version=6 if ":" in options.media_host else 4,
            allowed=options.media.allowed,
            denied=options.media.denied,
        )
        capabilities = AudioCapabilities(
            codecs=options.codecs,
            extended_reports=options.extended_reports,
            # More than the engine's rate would be bits for nothing.
            opus=replace(
                options.opus,
                max_playback_rate_hz=min(options.opus.max_playback_rate_hz, engine.rate_hz),
            ),
        )
        self.media = SipMedia(
            options.media, capabilities, self._media_address_for, policy, self._rng.getrandbits
        )
        """What calls may agree on; ``media.trunk_srtp`` says what of SRTP on a trunk."""
        self.sends_noise = options.media.comfort_noise
        self.agent = UserAgent(
            Settings(
                host=advertised,
                port=self.port,
                user_agent=options.user_agent,
                timing=Timing(t1=options.t1_ms / 1000),
                ports=self.ports,
                follow_source=True,
                learn_address=not options.advertised_host,
                reliable=options.reliable,
                session_expires_seconds=options.session_expires_seconds,
                min_se_seconds=options.min_se_seconds,
            ),
            self._rng,
            self._gate.admit,
            self._carrier,
        )
        self.agent.on_digest = self._gate.on_digest
        self.agent.on_malformed = self._gate.on_malformed
        self.agent.ignores = self._gate.ignores
        self._legs: dict[str, SipLeg] = {}
        self.transfers = SipTransfers(self, self._legs)
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._flushing = False
        self._closed = False
        self._emptied: asyncio.Event | None = None

    @property
    def legs(self) -> Mapping[str, SipLeg]:
        """Live legs by id."""
        return self._legs

    async def open(self) -> None:
        """Take WebSockets too, where the options say so; see `SipCarrier.open`."""
        await self._carrier.open()

    async def close(self) -> None:
        """Hang up what is left, give the BYEs a moment, close the sockets."""
        for leg in list(self._legs.values()):
            leg.hangup("shutdown")
        for registration in list(self.agent.registering.registrations):
            self.withdraw(registration)
        if self._legs or self.agent.registering.registrations:
            self._emptied = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._emptied.wait()
        for leg in list(self._legs.values()):
            leg.terminated("shutdown", "us", None)
        if self._timer is not None:
            self._timer.cancel()
        self._closed = True
        await self._carrier.close()

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
        try:
            sent = invitation(target, self._caller(caller), headers, options, self._options)
            negotiation = self.media.outbound(stream.port, options, first_host(sent))
            offer = None if options.late_offer else negotiation.offer()
            sent = replace(sent, sdp=offer, may_redirect=self.may_redirect)
            session = self.agent.invite(sent, now)
        except (UsageError, MissingDependencyError):
            stream.close(now)
            raise
        leg = SipLeg(
            self,
            session,
            self._events,
            stream=stream,
            negotiation=negotiation,
            account=sent.credentials[0].username if sent.credentials else "",
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

    # -- registrations -------------------------------------------------------------------

    def register(self, request: RegistrationRequest) -> Registration:
        """Register with a registrar, and stay so; `on_registration` is told the rest."""
        registration = self.agent.registering.begin(request, self.now())
        self.flush()
        return registration

    def withdraw(self, registration: Registration) -> None:
        """Take a registration back."""
        self.agent.registering.withdraw(registration, self.now())
        self.flush()

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
            policy=self.media.policy,
            rng=self._rng,
            on_digit=on_digit,
            on_timeout=on_timeout,
            timeout_seconds=self._options.timeout_seconds,
            far_buffer_ms=self._options.far_buffer_ms,
            keep_alive_seconds=self._options.media.keep_alive_seconds,
        )

    def make_negotiation(self, port: int, trunk: str = "", toward: str = "") -> AudioNegotiation:
        """A session description of ours, for a call that came in on a trunk, from a host."""
        return self.media.inbound(port, trunk, toward)

    def _media_address_for(self, toward: str) -> str:
        """What a far end whose signalling is at that host is told about our media."""
        address = self._media_address
        if self._media_everywhere and is_literal(toward):
            address = way_out(toward) or address
        return address

    def keys_are_seen(self, session: Session) -> None:
        """Keys of SRTP have been agreed."""
        self.media.keys_are_seen(session)

    def make_codec(self, name: str, agreement: AudioAgreement) -> Codec:
        """A codec that is not G.711, at the engine's rate, for what was agreed."""
        return self._codecs[name](agreement)

    def now(self) -> float:
        """The media clock."""
        return time.monotonic()

    def forget(self, leg: SipLeg) -> None:
        """A leg has ended."""
        self._legs.pop(leg.session.id, None)
        self._tell_emptied()

    def _tell_emptied(self) -> None:
        """Let `close` go on when nothing is left to say goodbye to."""
        busy = self._legs or self.agent.registering.registrations
        if self._emptied is not None and not busy:
            self._emptied.set()

    def _events(self, leg: SipLeg) -> LegEvents:
        return LegEvents(leg, self._loop)

    # -- messages ---------------------------------------------------------------------------

    def _ears(self) -> Ears:
        return Ears(
            now=self.now,
            received=self._receive,
            read=self._set_timer,
            unframed=self._receive_unframed,
            may_connect=self._may_connect,
            in_use=lambda hop: self.agent.is_far_end(hop),
            gone=self._unreachable,
            located=self.flush,
        )

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

    def _receive_unframed(self, head: bytes, source: Hop, now: float) -> None:
        """A connection has brought what cannot be followed."""
        if self._may_speak(source):
            self.agent.receive_unframed(head, source, now)
            self.flush()

    def _may_speak(self, source: Hop) -> bool:
        """Whether to read a request at all; the far ends of calls always may."""
        return (
            self._gate.may_speak(source)
            or self.agent.is_far_end(source)
            or self.transfers.expects(source)
        )

    def _may_connect(self, source: Hop) -> bool:
        """Whether to take a connection; a call's far end may open another one."""
        return self._gate.may_speak(source) or self.agent.is_far_host(source.host)

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
                elif isinstance(output, RegistrationEvent):
                    self.on_registration(output)
                    self._tell_emptied()
                else:
                    self._report(output)
        finally:
            self._flushing = False
        self._set_timer()

    def _send(self, data: bytes, destination: Hop) -> None:
        for watcher in self.watchers:
            watcher(True, data, destination, self.now())
        self._carrier.send(data, destination)

    def _unreachable(self, destination: Hop) -> None:
        if not self._closed:
            self.agent.unreachable(destination, self.now())
            self.flush()

    def _set_timer(self) -> None:
        due = self.agent.next_timeout()
        if due is None or self._closed:
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
        if isinstance(event, ReferProgress):
            self.transfers.progress(event)
            return
        if isinstance(event, Referred):
            self.transfers.asked(event)
            return
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
        if event.replaces is not None and self.transfers.take_place(event.replaces, leg):
            return
        try:
            leg.observe(self._receiver(leg, self.now()))
        except Exception:
            log.exception("nobody took leg %s", leg.id)
            self.agent.reject(event.session, 500, self.now())


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (is_literal(host) and ipaddress.ip_address(host).is_loopback)


def _reachable(host: str) -> str:
    """What to tell peers when we listen everywhere: the address of the way out."""
    if host not in EVERYWHERE:
        return host
    return way_out("192.0.2.1" if host == "0.0.0.0" else "2001:db8::1") or "127.0.0.1"
