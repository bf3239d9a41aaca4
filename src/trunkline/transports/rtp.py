"""RTP over UDP: where media may go, and one leg's stream."""

import contextlib
import errno
import ipaddress
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from trunkline.errors import UsageError
from trunkline.media.codec import Codec, Encoder
from trunkline.media.dtmf import DtmfReceiver
from trunkline.media.engine import Engine
from trunkline.media.frames import FRAMES_PER_SECOND
from trunkline.media.g711 import Law
from trunkline.media.lane import JitterInlet, Lane
from trunkline.media.rtcp_session import ReceptionCounters, RtcpSession
from trunkline.media.rtp import RtpSender, is_rtcp, parse_fast

from .chain_figures import chain_figures
from .rtp_keys import KeysOut
from .rtp_socket import MAX_DATAGRAM, Address, RtpPoller, RtpPorts, RtpSocket

__all__ = ["MediaPolicy", "RtpStream", "StreamFormat"]

log = logging.getLogger(__name__)

TICK_SECONDS = 0.020
G711_CLOCK_HZ = 8000
LONGEST_ROUND_TRIP_MS = 2000
"""A longer one is a peer that does not say how long it kept our report."""
MOVED_SECONDS = 1.0
"""After this much silence a far end may go on from another address: its NAT's new port."""
NTP_EPOCH = 2_208_988_800
"""Seconds from 1900, where NTP begins, to 1970, where Unix does."""


class MediaPolicy:
    """Where media may go: an offer names an address, and not every one is meant.

    With ``loopback_only`` (a node that listens on loopback) media stays on this
    machine. Otherwise unicast addresses are allowed, and multicast, broadcast
    and unspecified ones never are. An address of the other family than ours
    cannot be sent to.
    """

    def __init__(self, *, loopback_only: bool, version: int = 0) -> None:
        self._loopback_only = loopback_only
        self._version = version  # 4 or 6; 0 does not ask

    def allows(self, host: str) -> bool:
        """Whether media may be sent to this address (a literal, not a name)."""
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        if self._version not in (0, address.version):
            return False
        if self._loopback_only:
            return address.is_loopback
        return not (address.is_multicast or address.is_unspecified or str(address).endswith(".255"))


@dataclass(frozen=True, slots=True)
class StreamFormat:
    """What two ends agreed to send each other."""

    law: Law
    """What we send, unless there is a ``codec``."""
    payload_type: int
    """What we mark it with."""
    receive: Mapping[int, Law]
    """What may arrive, by payload type."""
    dtmf_payload_type: int | None
    """The payload type of telephone-event, as the far end wants to receive it."""
    dtmf_receive_type: int | None = None
    """The payload type we announced for telephone-event."""
    codec: Codec | None = None
    """What we send where that is not G.711, at the engine's rate."""
    receive_codecs: Mapping[int, Codec] = field(default_factory=dict)
    """What else may arrive, by payload type, at the engine's rate."""
    dtmf_clock_hz: int = 8000
    """The clock of telephone-event."""

    @property
    def clock_hz(self) -> int:
        """The RTP clock of what we send."""
        return G711_CLOCK_HZ if self.codec is None else self.codec.rtp_clock_hz

    def announces(self, payload_type: int) -> bool:
        """Whether a packet of this payload type may come."""
        events = (self.dtmf_payload_type, self.dtmf_receive_type)
        types = (*self.receive, *self.receive_codecs, *events)
        return payload_type in types


class RtpStream:
    """One leg's RTP and RTCP: an `Outlet` for its lane, and its packets' reader.

    Symmetric RTP (RFC 4961): what we send goes where packets come from, once a
    first valid one has come; until then to the address of the session
    description. The source is kept from then on: packets from elsewhere are
    counted and dropped, so that nobody can take over a call by sending to its
    port. The address of the session description wins all the same: whoever was
    quicker than the far end loses the call to it with the far end's first packet. A
    new session description may name a new address, which opens the latch; so does the
    stream itself, going on from elsewhere with its SSRC after a silence.
    """

    __slots__ = (
        "_announced",
        "_closed",
        "_dtmf_in",
        "_encoder",
        "_engine",
        "_far_buffer_ms",
        "_far_ssrc",
        "_format",
        "_jitter",
        "_key_down",
        "_keys",
        "_last_packet",
        "_last_report",
        "_last_sent",
        "_latched",
        "_on_digit",
        "_on_timeout",
        "_opened_at",
        "_paused",
        "_policy",
        "_poller",
        "_ports",
        "_receiving",
        "_remote",
        "_remote_rtcp",
        "_rng",
        "_row",
        "_rtcp",
        "_sender",
        "_sending",
        "_socket",
        "_sockets",
        "_timeout",
        "_units",
        "_watched",
        "busy",
        "counters",
        "deaf",
        "encoding",
        "id",
        "lane",
        "port",
        "receiving",
    )

    lead_frames = 0
    continuous = True
    marks = False

    def __init__(
        self,
        id: str,
        *,
        engine: Engine,
        poller: RtpPoller,
        ports: RtpPorts,
        policy: MediaPolicy,
        rng: random.Random,
        on_digit: Callable[[str, int, float], None],
        on_timeout: Callable[[float], None],
        timeout_seconds: float = 30.0,
        far_buffer_ms: int = 60,
    ) -> None:
        self.id = id
        self.encoding: Law | None = Law.ULAW
        self._engine = engine
        self._jitter = engine.jitter
        self._poller = poller
        self._ports = ports
        self._policy = policy
        self._rng = rng
        self._on_digit = on_digit
        self._on_timeout = on_timeout
        self._timeout = timeout_seconds
        self._far_buffer_ms = far_buffer_ms
        self._sockets = ports.open()
        self.port: int = self._sockets[0].getsockname()[1]
        self._socket = RtpSocket(
            self._sockets[0], poller, self._hear_far, self._hear_any, self._not_sent
        )
        self._format: StreamFormat | None = None
        self._remote: Address | None = None
        self._remote_rtcp: Address | None = None
        self._announced: Address | None = None
        self._latched: Address | None = None
        self._sender = RtpSender(0, rng)
        self._rtcp: RtcpSession | None = None
        self._dtmf_in = DtmfReceiver()
        self._key_down = False  # an event was received that may not have ended
        self._keys = KeysOut(self._sender)
        self._units = G711_CLOCK_HZ // FRAMES_PER_SECOND
        self._encoder: Encoder | None = None
        self._last_packet: float | None = None
        self._last_report: float | None = None
        self._far_ssrc: int | None = None
        self._last_sent: float | None = None
        self._paused = True
        self._opened_at = 0.0
        self._closed = False
        self.lane: Lane | None = None
        self._row = -1
        self._receiving: Law | Codec = Law.ULAW
        self._sending = True
        self.busy = False
        """True while audio has to wait: on hold, or digits are being sent."""
        self.receiving = True
        """False while we must not expect anything (hold)."""
        self.deaf = False
        """True while we hold them: what they send all the same is not heard."""
        self._watched = False
        self.counters: Counter[str] = Counter()
        """Datagrams not played and packets not sent, by reason."""

    @property
    def expecting(self) -> bool:
        """Whether silence would mean that something is wrong: nobody holds anybody.

        A caller who holds us may play music or nothing, whatever the direction says.
        """
        return self._sending and self.receiving and not self.deaf

    @property
    def sending(self) -> bool:
        """False while the far end asked us not to send (hold)."""
        return self._sending

    @sending.setter
    def sending(self, sending: bool) -> None:
        self._sending = sending
        self._settle_busy()

    def _settle_busy(self) -> None:
        # A plain attribute, because the engine reads it fifty times a second.
        self.busy = self._keys.pressing is not None or not self._sending

    # -- life ------------------------------------------------------------------

    def open(
        self,
        format: StreamFormat,
        remote: Address | None,
        now: float,
        *,
        rtcp: Address | None = None,
    ) -> Lane:
        """Begin sending and receiving; raises `UsageError` where policy forbids."""
        self.update(format, remote, rtcp=rtcp)
        self._row = self._jitter.open(format.law)
        self._receiving = format.law
        self.lane = Lane(
            self.id,
            rate_hz=self._engine.rate_hz,
            inlet=JitterInlet(self._row),
            outlet=self,
            far_buffer_ms=self._far_buffer_ms,
        )
        self._rtcp = RtcpSession(
            self._sender,
            cname=f"{self._rng.getrandbits(64):016x}@trunkline",
            rng=self._rng,
            now=now,
            rate_hz=format.clock_hz,
        )
        self._opened_at = now
        self._engine.open(self.lane)
        self._socket.open()
        self._poller.add(self._sockets[1], self._read_rtcp)
        return self.lane

    def update(
        self, format: StreamFormat, remote: Address | None, *, rtcp: Address | None = None
    ) -> None:
        """Follow a new session description; raises `UsageError` where policy forbids.

        ``remote`` is None while they cannot be sent to (the old hold, 0.0.0.0): what
        was known of them stays, because they may come back to it. ``rtcp`` is where
        reports go if not to the port above (RFC 3605).
        """
        if remote is not None and not self._policy.allows(remote[0]):
            raise UsageError(f"media may not be sent to {remote[0]}")
        if remote is not None and self._announced != remote:
            self._announced = remote
            self._latched = None
            self._remote = remote
            self._socket.aim(remote)
            reports = rtcp or (remote[0], remote[1] + 1)
            allowed = 0 < reports[1] <= 65535 and self._policy.allows(reports[0])
            self._remote_rtcp = reports if allowed else None
        before, self._format = self._format, format
        self._sender.payload_type = format.payload_type
        if before is None or before.codec != format.codec:
            self._change_codec(format)
        if before is None or before.dtmf_clock_hz != format.dtmf_clock_hz:
            self._dtmf_in = DtmfReceiver(format.dtmf_clock_hz)
            self._key_down = False
        self.encoding = format.law if format.codec is None else None

    def _change_codec(self, format: StreamFormat) -> None:
        """Encode as agreed from now on."""
        encoder = None if format.codec is None else format.codec.encoder()
        self._close_encoder()
        self._encoder = encoder
        self._units = format.clock_hz // FRAMES_PER_SECOND
        if self._rtcp is not None:
            self._rtcp.rate_hz = format.clock_hz

    def _close_encoder(self) -> None:
        encoder, self._encoder = self._encoder, None
        if encoder is not None:
            encoder.close()

    def watch(self, now: float) -> None:
        """From now on, silence for longer than the timeout is told.

        The leg then ends the call or, while somebody holds, asks whether it is there.
        Not before the answer: a 183 may promise audio that comes minutes later.
        """
        self._watched = True
        self._last_packet = now

    def close(self, now: float) -> None:
        """Say goodbye over RTCP, stop, free the ports. Legal more than once."""
        if self._closed:
            return
        self._closed = True
        if self.lane is not None:
            if self._rtcp is not None:
                self._send_rtcp(self._rtcp.bye())
            self._socket.close()
            self._poller.remove(self._sockets[1])
            self._engine.close(self.lane)
        self._close_encoder()
        self._ports.close(self._sockets)

    # -- in ----------------------------------------------------------------------

    def _hear_any(self, data: bytes, source: Address, now: float) -> None:
        """A datagram whose source is still to be judged."""
        known = source == self._latched
        if not known and not self._latch(source, data, now):
            return
        self._hear_far(data, now)
        if not known and source == self._latched:
            self._socket.connect(self._latched, now)

    def _hear_far(self, data: bytes, now: float) -> None:
        """A datagram of the far end."""
        packet = parse_fast(data)
        format = self._format
        if packet is None or format is None:
            if is_rtcp(data):  # a report without a word in it is too short for RTP
                self._receive_rtcp(data, now)
            else:
                self.counters["not RTP"] += 1
            return
        payload_type, marker, sequence, timestamp, ssrc, payload = packet
        self._last_packet = now
        law = format.receive.get(payload_type)
        if law is not None:
            self._far_ssrc = ssrc
            jitter = self._jitter
            if self.deaf:
                jitter.put_other(self._row, sequence, ssrc, now)
                return
            if law is not self._receiving:
                self._receiving = law
                jitter.set_law(self._row, law)
            jitter.put(self._row, sequence, timestamp, ssrc, marker, payload, now)
        elif (codec := format.receive_codecs.get(payload_type)) is not None:
            self._far_ssrc = ssrc
            if self.deaf:
                self._jitter.put_other(self._row, sequence, ssrc, now)
                return
            if codec != self._receiving:
                self._receiving = codec
                self._jitter.set_codec(self._row, codec)
            self._jitter.put_coded(self._row, sequence, timestamp, ssrc, marker, payload, now)
        elif payload_type in (format.dtmf_receive_type, format.dtmf_payload_type):
            self._jitter.put_other(self._row, sequence, ssrc, now)
            self._key_down = True
            for digit in self._dtmf_in.receive(payload, timestamp, ssrc, marker, now):
                self._on_digit(digit.digit, digit.duration_ms, now)
        elif is_rtcp(data):
            self._receive_rtcp(data, now)
        else:
            self._jitter.put_other(self._row, sequence, ssrc, now)
            self.counters["payload type"] += 1

    def _latch(self, source: Address, data: bytes, now: float) -> bool:
        """Whether to accept a source that is not the latched one."""
        format, packet = self._format, parse_fast(data)
        if packet is None:
            self.counters["not RTP"] += 1
            return False
        named = source[:2] == self._announced
        if self._latched is not None and not named and not self._has_moved(packet[4], now):
            self.counters["foreign source"] += 1
            return False
        if is_rtcp(data):
            return named or self._latched is None
        if not self._policy.allows(source[0]):
            self.counters["forbidden source"] += 1
            return False
        if format is None or not format.announces(packet[0]):
            # Noise that looks like RTP must not turn our audio towards its sender.
            self.counters["payload type"] += 1
            return False
        self._latched = source
        self._remote = source
        return True

    def _has_moved(self, ssrc: int, now: float) -> bool:
        """Whether a stream from elsewhere is the far end's: who did not see it cannot know."""
        silent = self._last_packet is None or now - self._last_packet > MOVED_SECONDS
        return silent and ssrc == self._far_ssrc

    def _read_rtcp(self, now: float) -> None:
        try:
            data, source = self._sockets[1].recvfrom(MAX_DATAGRAM)
        except OSError:
            return
        if self._latched is not None and source[0] != self._latched[0]:
            self.counters["foreign RTCP"] += 1
            return
        if self._policy.allows(source[0]):
            self._remote_rtcp = source
            self._receive_rtcp(data, now)

    def _receive_rtcp(self, data: bytes, now: float) -> None:
        if self._rtcp is None or self.lane is None:
            return
        self._last_report = now
        self._rtcp.receive(data, now)
        if self._rtcp.rtt_ms is not None and self._rtcp.rtt_ms <= LONGEST_ROUND_TRIP_MS:
            self.lane.round_trip_seconds = self._rtcp.rtt_ms / 1000
        if self._encoder is not None and self._rtcp.remote_loss is not None:
            self._encoder.expect_loss(100 * self._rtcp.remote_loss)

    # -- out ---------------------------------------------------------------------

    def send(self, payload: bytes, now: float, *, silence: bool) -> None:
        """One encoded frame, or nothing while the outlet is busy."""
        if self._key_down:
            self._release_key(now)
        if self._keys.pressing is not None and self._sending:
            self._send_digit(now)
            return
        remote = self._remote
        if not self._sending or remote is None or not remote[1] or not payload:
            self._paused = True
            return
        sender = self._sender
        # Time that passed without packets (a hold, a stalled process) is counted
        # by the timestamp; after a pause the marker says so too (RFC 3551 4.1).
        if self._last_sent is not None and now - self._last_sent > 0.030:
            sender.skip(self._units * (round((now - self._last_sent) / TICK_SECONDS) - 1))
        self._last_sent = now
        if self._encoder is not None:
            payload = self._encoder.encode(np.frombuffer(payload, "<i2"))
            if not payload:  # discontinuous transmission: time goes on
                sender.skip(self._units)
                self._paused = True
                return
        marker, self._paused = self._paused, False
        self._send(sender.next(payload, self._units, marker))

    def _send(self, packet: bytes) -> None:
        try:
            self._socket.send(packet)
        except OSError as error:
            self._not_sent(error)
            self._send_again(packet, error)

    def _send_again(self, packet: bytes, error: OSError) -> None:
        """A connected socket tells of an earlier packet's refusal instead of sending this one."""
        if error.errno == errno.ECONNREFUSED:
            with contextlib.suppress(OSError):
                self._socket.send(packet)

    def _not_sent(self, error: OSError) -> None:
        reason = errno.errorcode.get(error.errno or 0, "error")
        self.counters[f"not sent: {reason}"] += 1

    def _send_digit(self, now: float) -> None:
        """One RTP packet of the digits being sent (RFC 4733 2.5.1)."""
        format = self._format
        if format is None or format.dtmf_payload_type is None or self._remote is None:
            self._keys.drop()
            self._settle_busy()
            return
        packet = self._keys.packet(format.dtmf_payload_type, self._units)
        if packet is not None:
            self._send(packet)
        self._last_sent = now
        if self._keys.pressing is None:
            self._settle_busy()

    @property
    def takes_events(self) -> bool:
        """Whether the far end takes telephone events."""
        return self._format is not None and self._format.dtmf_payload_type is not None

    def send_dtmf(self, digits: str, duration_ms: int = 100) -> None:
        """Press keys: RFC 4733 events instead of audio until they are through.

        Raises `UsageError` for something that is no key, or when the far end
        did not agree to telephone events.
        """
        if self._format is None or self._format.dtmf_payload_type is None:
            raise UsageError("the far end does not take telephone events")
        self._keys.press(digits, self._format.dtmf_clock_hz, duration_ms)
        self._settle_busy()

    def _release_key(self, now: float) -> None:
        """Report a digit whose end was lost, a moment after its last packet."""
        for digit in self._dtmf_in.expire(now):
            self._on_digit(digit.digit, digit.duration_ms, now)
        self._key_down = self._dtmf_in.next_timeout() is not None

    def mark(self, generation: int, samples: int) -> None:
        """RTP has no marks."""

    def cleared(self) -> None:
        """RTP has no queue at the far end to clear."""

    # -- once a second -------------------------------------------------------------

    def second(self, now: float) -> None:
        """Reports, and the media timeout."""
        if self._rtcp is not None and now >= self._rtcp.next_timeout():
            self._send_rtcp(self._rtcp.report(now, _ntp(), self._reception()))
        last = max(self._last_packet or self._opened_at, self._last_report or self._opened_at)
        if self._watched and self._timeout and now - last > self._timeout:
            self._last_packet = now  # told again after as long
            self._on_timeout(now)

    def statistics(self) -> dict[str, float]:
        """Flat numbers for the detail record: loss, jitter, round trip and the like."""
        found: dict[str, float] = {
            "packets_sent": float(self._sender.packets),
            "octets_sent": float(self._sender.octets),
        }
        if self.lane is not None and self.lane.active:
            received = asdict(self._jitter.statistics(self._row))
            found |= {name: float(value) for name, value in received.items()}
            found |= chain_figures(self._engine, self.lane)
        if self._rtcp is not None:
            for name in ("rtt_ms", "remote_loss", "remote_jitter_ms"):
                value = getattr(self._rtcp, name)
                if value is not None:
                    found[name] = float(value)
        found |= {f"datagrams_{reason}": float(n) for reason, n in self.counters.items()}
        return found

    def _send_rtcp(self, data: bytes) -> None:
        if not data or self._remote_rtcp is None or not self._remote_rtcp[1]:
            return
        try:
            self._sockets[1].sendto(data, self._remote_rtcp)
        except OSError as error:
            self._not_sent(error)

    def _reception(self) -> ReceptionCounters | None:
        if self.lane is None or not self.lane.active:
            return None
        counters, receiving = self._jitter.reception(self._row), self._receiving
        if counters is None or isinstance(receiving, Law):
            return counters
        # The bank counts samples; a report is in units of the stream's clock.
        units = receiving.rtp_clock_hz / self._engine.rate_hz
        return replace(counters, jitter_units=counters.jitter_units * units)


def _ntp() -> int:
    """The wall clock as a 64-bit NTP time (RFC 3550 section 4)."""
    return int((time.time() + NTP_EPOCH) * (1 << 32))
