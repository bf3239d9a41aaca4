"""RTP over UDP: one leg's stream, of its halves: what comes, what goes, the reports."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

from trunkline.errors import UsageError
from trunkline.media.codec import Codec
from trunkline.media.dtmf import DtmfReceiver
from trunkline.media.engine import Engine
from trunkline.media.g711 import Law
from trunkline.media.jitter import JitterStatistics
from trunkline.media.lane import JitterInlet, Lane
from trunkline.media.rtcp_session import ReceptionCounters, RtcpSession
from trunkline.media.rtcp_xr import Block
from trunkline.media.rtp import is_rtcp, parse_fast
from trunkline.media.srtp import SrtpReceiver, SrtpSender

from .chain_figures import chain_figures
from .media_facts import MediaFacts
from .rtp_format import StreamFormat, StreamKeys
from .rtp_latch import RtpLatch
from .rtp_out import RtpOut
from .rtp_policy import MediaPolicy
from .rtp_quality import codec_name, extended_blocks, media_facts
from .rtp_reports import ReportWatcher, RtpReports
from .rtp_socket import Address, RtpPoller, RtpPorts, RtpSocket

__all__ = ["MediaPolicy", "RtpStream", "StreamFormat"]

LONGEST_ROUND_TRIP_MS = 2000
"""A longer one is a peer that does not say how long it kept our report."""
DYNAMIC = 96
"""The first payload type that means what was agreed."""
EVENT_BYTES = 4


class RtpStream:
    """One leg's RTP and RTCP: what its lane sends, and its packets' reader.

    Symmetric RTP (RFC 4961): what we send goes where packets come from, once valid ones
    have come; until then to the address of the session description. `RtpLatch` has the
    rules by which nobody can take over a call by sending to its port. With keys agreed
    (SRTP) nothing is sent, heard or latched to that was not encrypted with them.
    """

    __slots__ = (
        "_closed",
        "_dtmf_in",
        "_engine",
        "_far_buffer_ms",
        "_far_ssrc",
        "_format",
        "_jitter",
        "_keep_alive_seconds",
        "_kept_alive_at",
        "_last_packet",
        "_latch",
        "_on_digit",
        "_on_timeout",
        "_opened_at",
        "_out",
        "_policy",
        "_poller",
        "_ports",
        "_receiver",
        "_receiving",
        "_reports",
        "_rng",
        "_row",
        "_socket",
        "_sockets",
        "_srtp",
        "_timeout",
        "_watched",
        "counters",
        "deaf",
        "id",
        "lane",
        "port",
        "receiving",
    )  # fmt: skip

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
        keep_alive_seconds: float = 0.0,
    ) -> None:
        self.id = id
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
        self._keep_alive_seconds = keep_alive_seconds
        self._kept_alive_at = 0.0
        self.counters: Counter[str] = Counter()
        """Datagrams not played and packets not sent, by reason."""
        self._sockets = ports.open()
        self.port: int = self._sockets[0].getsockname()[1]
        self._latch = RtpLatch(policy, self.counters)
        self._socket = RtpSocket(
            self._sockets[0], poller, self._hear_far, self._hear_any, self._not_sent
        )
        self._out = RtpOut(self._socket, rng, self.counters, self.second)
        self._reports = RtpReports(
            self._sockets[1],
            self._socket,
            self._latch,
            policy,
            self.counters,
            self._reported,
            self._not_sent,
            lambda: self._far_ssrc,
        )
        self._srtp: SrtpSender | None = None
        self._receiver: SrtpReceiver | None = None
        self._format: StreamFormat | None = None
        self._dtmf_in = DtmfReceiver()
        self._last_packet: float | None = None
        self._far_ssrc: int | None = None
        self._opened_at = 0.0
        self._closed = False
        self.lane: Lane | None = None
        self._row = -1
        self._receiving: Law | Codec = Law.ULAW
        self.receiving = True
        """False while we must not expect anything (hold)."""
        self.deaf = False
        """True while we hold them: what they send all the same is not heard."""
        self._watched = False

    @property
    def expecting(self) -> bool:
        """Whether silence would mean that something is wrong: nobody holds anybody.

        A caller who holds us may play music or nothing, whatever the direction says.
        """
        if not (self._out.sending and self.receiving) or self.deaf:
            return False
        # Who sends comfort noise may send nothing more until there is something to hear.
        return self.lane is None or not self.lane.active or not self._jitter.rests(self._row)

    @property
    def outlet(self) -> RtpOut:
        """What is sent."""
        return self._out

    @property
    def sending(self) -> bool:
        """False while the far end asked us not to send (hold)."""
        return self._out.sending

    @sending.setter
    def sending(self, sending: bool) -> None:
        self._out.sending = sending

    @property
    def remote(self) -> Address | None:
        """Where packets are sent."""
        return self._socket.far

    # -- life ------------------------------------------------------------------

    def open(
        self,
        format: StreamFormat,
        remote: Address | None,
        now: float,
        *,
        rtcp: Address | None = None,
        peer: str = "",
    ) -> Lane:
        """Begin sending and receiving; raises `UsageError` where policy forbids."""
        self.update(format, remote, rtcp=rtcp, peer=peer)
        self._row = self._jitter.open(format.law)
        self._receiving = format.law
        self.lane = Lane(
            self.id,
            rate_hz=self._engine.rate_hz,
            inlet=JitterInlet(self._row),
            outlet=self._out,
            far_buffer_ms=self._far_buffer_ms,
        )
        self._reports.session = RtcpSession(
            self._out.sender,
            cname=f"{self._rng.getrandbits(64):016x}@trunkline",
            rng=self._rng,
            now=now,
            rate_hz=format.clock_hz,
        )
        self._opened_at = now
        self._engine.open(self.lane)
        self._socket.open()
        self._poller.add(self._sockets[1], self._reports.read)
        return self.lane

    def update(
        self,
        format: StreamFormat,
        remote: Address | None,
        *,
        rtcp: Address | None = None,
        peer: str = "",
    ) -> None:
        """Follow a new session description; raises `UsageError` where policy forbids.

        ``remote`` is None while they cannot be sent to (the old hold, 0.0.0.0): what
        was known of them stays, because they may come back to it. ``rtcp`` is where
        reports go if not to the port above (RFC 3605). ``peer`` is where their signalling
        comes from, by which `MediaPolicy` judges.
        """
        before, moved = self._format, False
        reachable = remote is None or self._policy.allows(remote[0], peer)
        if remote is not None and not reachable and not self._policy.awaits(remote[0], peer):
            raise UsageError(f"media may not be sent to {remote[0]}")
        self._latch.peer = peer
        if remote is not None and self._latch.announce(remote):
            moved = before is not None
            self._out.aimed = reachable and bool(remote[1])
            self._socket.aim(remote)
            self._reports.aim(remote, rtcp)
        self._format = format
        self._reports.share(format.rtcp_mux)
        self._reports.extended = self._extended if format.extended_reports else None
        if before is None or before.keys != format.keys or moved:
            self._secure(format.keys, moved=moved)
        if self._out.follow(format) and self._reports.session is not None:
            self._reports.session.rate_hz = format.clock_hz
        if before is None or before.dtmf_clock_hz != format.dtmf_clock_hz:
            self._dtmf_in = DtmfReceiver(format.dtmf_clock_hz)
            self._out.each_tick = None

    def _secure(self, keys: StreamKeys | None, *, moved: bool) -> None:
        """Encrypt from now on with these keys; a context is kept as long as its key is."""
        if keys is None:
            self._srtp = self._receiver = None
            self._socket.hear(self._hear_far)
        else:
            if self._srtp is None or self._srtp.key != keys.ours:
                self._srtp = SrtpSender(keys.ours)
            if self._receiver is None:
                self._receiver = SrtpReceiver(keys.theirs)
            else:
                self._receiver.change(keys.theirs, moved=moved)
            self._socket.hear(self._hear_sealed)
        self._out.encrypt(self._srtp)
        self._reports.sender, self._reports.receiver = self._srtp, self._receiver

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
            self._reports.leave()
            self._socket.close()
            self._poller.remove(self._sockets[1])
            self._engine.close(self.lane)
        self._out.close()
        self._ports.close(self._sockets)

    # -- in ----------------------------------------------------------------------

    def _hear_any(self, data: bytes, source: Address, now: float) -> None:
        """A datagram whose source is still to be judged."""
        latch, sealed = self._latch, self._receiver is not None
        if sealed:
            clear = self._unseal(data)
            if clear is None:
                return
            data = clear
        known = source == latch.source
        if not known and not latch.judge(
            source,
            data,
            self._format,
            now,
            far_ssrc=self._far_ssrc,
            last_packet=self._last_packet,
            authentic=sealed,
        ):
            return
        self._hear_far(data, now)
        if not known and source == latch.source:
            self._out.aimed = True
            self._socket.connect(source, now)

    def _hear_sealed(self, data: bytes, now: float) -> None:
        """A datagram of the far end, encrypted."""
        clear = self._unseal(data)
        if clear is not None:
            self._hear_far(clear, now)

    def _unseal(self, data: bytes) -> bytes | None:
        """What is in a packet; None for what was not made with the key, or came again."""
        receiver = self._receiver
        if receiver is None:
            return None
        return receiver.unprotect_rtcp(data) if is_rtcp(data) else receiver.unprotect(data)

    def _hear_far(self, data: bytes, now: float) -> None:
        """A datagram of the far end."""
        packet = parse_fast(data)
        format = self._format
        if packet is None or format is None:
            if is_rtcp(data):  # a report without a word in it is too short for RTP
                self._reports.receive(data, now)
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
            self._hear_event(payload, timestamp, ssrc, marker, now)
        elif is_rtcp(data):
            self._reports.receive(data, now)
        elif payload_type in format.noise_types:
            self._far_ssrc = ssrc
            if self.deaf:
                self._jitter.put_other(self._row, sequence, ssrc, now)
            else:
                self._jitter.put_noise(self._row, sequence, ssrc, payload, now)
        else:
            self._jitter.put_other(self._row, sequence, ssrc, now)
            if payload_type >= DYNAMIC and len(payload) == EVENT_BYTES and not self._takes_events:
                # Some press keys as events without having agreed to: nothing else is so short.
                self._hear_event(payload, timestamp, ssrc, marker, now)
            else:
                self.counters["payload type"] += 1

    @property
    def _takes_events(self) -> bool:
        format = self._format
        return format is not None and format.dtmf_receive_type is not None

    def _hear_event(
        self, payload: bytes, timestamp: int, ssrc: int, marker: bool, now: float
    ) -> None:
        """One packet of a key that is pressed."""
        self._out.each_tick = self._release_key
        for digit in self._dtmf_in.receive(payload, timestamp, ssrc, marker, now):
            self._on_digit(digit.digit, digit.duration_ms, now)

    def _release_key(self, now: float) -> None:
        """Report a digit whose end was lost, a moment after its last packet."""
        for digit in self._dtmf_in.expire(now):
            self._on_digit(digit.digit, digit.duration_ms, now)
        if self._dtmf_in.next_timeout() is None:
            self._out.each_tick = None

    def _reported(self, session: RtcpSession) -> None:
        """What the far end says of what it hears."""
        if session.rtt_ms is not None and session.rtt_ms <= LONGEST_ROUND_TRIP_MS:
            assert self.lane is not None
            self.lane.round_trip_seconds = session.rtt_ms / 1000
        if session.remote_loss is not None:
            self._out.expect_loss(100 * session.remote_loss)

    # -- out ---------------------------------------------------------------------

    @property
    def takes_events(self) -> bool:
        """Whether the far end takes telephone events."""
        return self._format is not None and self._format.dtmf_payload_type is not None

    def send_dtmf(self, digits: str, duration_ms: int = 100) -> None:
        """Press keys: RFC 4733 events instead of audio until they are through.

        Raises `UsageError` for something that is no key, or when the far end
        did not agree to telephone events.
        """
        self._out.press(digits, duration_ms)

    def _not_sent(self, error: OSError) -> None:
        self._out.not_sent(error)

    # -- once a second -------------------------------------------------------------

    def second(self, now: float) -> None:
        """Reports, and the media timeout."""
        self._reports.second(now, self._reception)
        every = self._keep_alive_seconds
        if every and not self._out.sending and now - self._kept_alive_at >= every:
            self._kept_alive_at = now
            self._out.keep_alive(now)
        heard_at = self._reports.heard_at
        last = max(self._last_packet or self._opened_at, heard_at or self._opened_at)
        if self._watched and self._timeout and now - last > self._timeout:
            self._last_packet = now  # told again after as long
            self._on_timeout(now)

    def statistics(self) -> dict[str, float]:
        """Flat numbers for the detail record: loss, jitter, round trip and the like."""
        found: dict[str, float] = {
            "packets_sent": float(self._out.sender.packets),
            "octets_sent": float(self._out.sender.octets),
        }
        if self.lane is not None and self.lane.active:
            received = asdict(self._jitter.statistics(self._row))
            found |= {name: float(value) for name, value in received.items()}
            found |= chain_figures(self._engine, self.lane)
        if self._reports.session is not None:
            for name in ("rtt_ms", "remote_loss", "remote_jitter_ms"):
                value = getattr(self._reports.session, name)
                if value is not None:
                    found[name] = float(value)
        if self._receiver is not None:
            found["srtp_tampered"] = float(self._receiver.tampered)
            found["srtp_replayed"] = float(self._receiver.replayed)
        found |= {f"datagrams_{reason}": float(n) for reason, n in self.counters.items()}
        return found

    def watch_reports(self, watcher: ReportWatcher) -> None:
        """Have a callable told of RTCP in and out."""
        self._reports.watcher = watcher

    def facts(self) -> MediaFacts | None:
        """How things stand, for whoever watches the quality; None while it is not open."""
        if self._reports.session is None or self.lane is None or not self.lane.active:
            return None
        return media_facts(
            self._reports.session,
            self._out,
            codec=codec_name(self._receiving),
            expecting=self.expecting,
            refused=sum(n for name, n in self.counters.items() if name.startswith("not sent")),
            addresses=((self._sockets[0].getsockname()[0], self.port), self.remote or ("", 0)),
            far_ssrc=self._far_ssrc or 0,
        )

    def jitter_statistics(self) -> JitterStatistics | None:
        """What the jitter buffer counted; None while it is not open."""
        if self.lane is None or not self.lane.active:
            return None
        return self._jitter.statistics(self._row)

    def _extended(self) -> Sequence[Block]:
        """What to say in an extended report."""
        reception, statistics = self._reception(), self.jitter_statistics()
        session, lane = self._reports.session, self.lane
        if reception is None or statistics is None or session is None or lane is None:
            return ()
        codec = codec_name(self._receiving)
        return extended_blocks(self._engine, lane, reception, statistics, codec, session.rtt_ms)

    def _reception(self) -> ReceptionCounters | None:
        if self.lane is None or not self.lane.active:
            return None
        counters, receiving = self._jitter.reception(self._row), self._receiving
        if counters is None or isinstance(receiving, Law):
            return counters
        # The bank counts samples; a report is in units of the stream's clock.
        units = receiving.rtp_clock_hz / self._engine.rate_hz
        return replace(counters, jitter_units=counters.jitter_units * units)
