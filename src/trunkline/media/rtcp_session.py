"""RTCP as one side of a two-party session speaks it (RFC 3550 sections 6.2 to 6.4).

Pure: whoever owns the socket calls `RtcpSession.receive` for each datagram and
`RtcpSession.report` when `RtcpSession.next_timeout` has come, and sends what it gives.
The receiving side's raw counters come from the jitter bank as `ReceptionCounters`.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from trunkline.errors import UsageError

from .errors import MalformedRtcpError
from .rtcp import (
    CNAME,
    Goodbye,
    ReceiverReport,
    ReportBlock,
    RtcpCompound,
    RtcpPacket,
    SdesChunk,
    SdesItem,
    SenderReport,
    SourceDescription,
)
from .rtcp_extended import ExtendedReports
from .rtcp_xr import Block, ExtendedReport
from .rtp import RandomBits

__all__ = [
    "ReceptionCounters",
    "RtcpSession",
    "SenderCounters",
    "advance_jitter",
    "cumulative_lost",
    "expected_packets",
    "fraction_lost",
    "ntp_middle",
    "round_trip_seconds",
]

_U32 = 0xFFFFFFFF
_LEAST_LOST, _MOST_LOST = -(1 << 23), (1 << 23) - 1
_SHORT_NTP = 65536.0  # units a second of the middle 32 bits of an NTP time
# RFC 3550 6.3.1: timer reconsideration makes intervals shorter than asked; e - 1.5 undoes it.
_COMPENSATION = 2.718281828459045 - 1.5
# RFC 3550 6.2: RTCP gets a twentieth of the session's bandwidth.
_RTCP_SHARE = 0.05
_UDP_IP_BYTES = 28
# The first guess at a report's size, IP and UDP included: SR with a block, and a CNAME.
_FIRST_SIZE_BYTES = 120.0
# Answers to our reports older than these are of no use: five seconds apart, half a minute.
_REMEMBERED_REPORTS = 6


@dataclass(frozen=True, slots=True)
class ReceptionCounters:
    """What a receiver counts of one source, since its first packet (RFC 3550 A.1, A.8)."""

    first_extended: int
    """Extended sequence number of the first packet."""
    highest_extended: int
    """Highest extended sequence number: cycles in the upper bits."""
    received: int
    """Packets received, late ones and duplicates included."""
    jitter_units: float
    """Interarrival jitter in timestamp units."""
    ssrc: int
    """The source."""


class SenderCounters(Protocol):
    """What a session must know of the stream it sends; `RtpSender` is one."""

    ssrc: int
    timestamp: int
    packets: int
    octets: int


def expected_packets(counters: ReceptionCounters) -> int:
    """Packets there should have been, from the first to the highest (RFC 3550 A.3)."""
    return counters.highest_extended - counters.first_extended + 1


def cumulative_lost(counters: ReceptionCounters) -> int:
    """Packets lost so far, kept within 24 bits; negative with duplicates (RFC 3550 A.3)."""
    lost = expected_packets(counters) - counters.received
    return min(max(lost, _LEAST_LOST), _MOST_LOST)


def fraction_lost(counters: ReceptionCounters, before: ReceptionCounters | None) -> int:
    """Lost since the counters of the last report, in 1/256 (RFC 3550 A.3).

    Without earlier counters, or with another source's, since the beginning.
    """
    expected, received = expected_packets(counters), counters.received
    if before is not None and before.ssrc == counters.ssrc:
        expected -= expected_packets(before)
        received -= before.received
    lost = expected - received
    if expected <= 0 or lost <= 0:
        return 0
    return min(256 * lost // expected, 255)


def advance_jitter(jitter_units: float, transit_change_units: float) -> float:
    """Interarrival jitter after one more packet (RFC 3550 A.8).

    ``transit_change_units`` is how much longer or shorter this packet was under way
    than the one before it.
    """
    return jitter_units + (abs(transit_change_units) - jitter_units) / 16


def ntp_middle(ntp: int) -> int:
    """The middle 32 bits of a 64-bit NTP time, in 1/65536 s."""
    return ntp >> 16 & _U32


def round_trip_seconds(arrival: int, last_sr: int, delay_since_last_sr: int) -> float | None:
    """Round trip from a report block (RFC 3550 6.4.1); all three in 1/65536 s.

    None where the other side has heard no report yet. Below zero by a little means
    clocks that were set meanwhile, and counts as zero.
    """
    if not last_sr:
        return None
    units = arrival - last_sr - delay_since_last_sr & _U32
    return 0.0 if units >> 31 else units / _SHORT_NTP


class _Schedule:
    """When reports are due (RFC 3550 6.2 and 6.3), between two parties."""

    def __init__(
        self, rng: RandomBits, now: float, interval_seconds: float, bandwidth_bps: float
    ) -> None:
        if interval_seconds <= 0 or bandwidth_bps <= 0:
            raise UsageError("the interval and the bandwidth of RTCP are more than nothing")
        self._rng, self._interval_seconds = rng, interval_seconds
        self._bytes_per_second = bandwidth_bps * _RTCP_SHARE / 8
        self._size_bytes = _FIRST_SIZE_BYTES
        # Half the interval before the first, so that a session is known of soon (6.2).
        self.due = now + self._draw(interval_seconds / 2)

    def weigh(self, data: bytes) -> None:
        """Keep the mean size of RTCP datagrams, sent and received (6.3.3)."""
        self._size_bytes += (len(data) + _UDP_IP_BYTES - self._size_bytes) / 16

    def advance(self, now: float) -> None:
        """A report has been made: the next is due an interval later."""
        self.due = now + self._draw(self._interval_seconds)

    def _draw(self, shortest_seconds: float) -> float:
        """A random interval (6.3.1): half to one and a half times the mean."""
        # Two parties, both usually sending: all share one allowance.
        mean = max(shortest_seconds, 2 * self._size_bytes / self._bytes_per_second)
        return mean * (0.5 + self._rng.getrandbits(32) / 2**32) / _COMPENSATION


class RtcpSession:
    """One side's RTCP state: when to report, what to say, what the other side said.

    Never raises for what a peer sends. Report blocks about other sources are ignored.
    """

    def __init__(
        self,
        sender: SenderCounters,
        cname: str,
        rng: RandomBits,
        now: float,
        *,
        interval_seconds: float = 5.0,
        bandwidth_bps: float = 80_000.0,
        rate_hz: int = 8000,
    ) -> None:
        """``interval_seconds`` is the shortest mean between reports (RFC 3550 6.2).

        A smaller one is allowed; the bandwidth (G.711 with its headers by default) keeps
        reports to a twentieth of the session whatever the interval says. ``rate_hz``
        is the timestamps' clock.
        """
        if not cname or len(cname.encode()) > 255:
            raise UsageError("a canonical name has 1 to 255 bytes")
        self._sender, self._cname = sender, cname
        self.rate_hz = rate_hz
        """The clock of the timestamps sent; a new agreement may bring another."""
        self._schedule = _Schedule(rng, now, interval_seconds, bandwidth_bps)
        self._reported: ReceptionCounters | None = None
        # Packets sent before each of our last two reports: SR or RR (RFC 3550 6.4).
        self._sent_before: deque[int] = deque([0, 0], maxlen=2)
        self._our_reports: deque[tuple[int, float]] = deque(maxlen=_REMEMBERED_REPORTS)
        # The last sender report heard: of whom, the middle of its NTP time, when.
        self._their_report: tuple[int, int, float] | None = None
        self._has_reported = False

        self.rtt_ms: float | None = None
        """The last measured round trip."""
        self.remote_loss: float | None = None
        """Share of our packets that the other side lost between its last two reports, 0 to 1."""
        self.remote_lost: int | None = None
        """Our packets that the other side lost so far."""
        self.remote_jitter_ms: float | None = None
        """Jitter that the other side measured."""
        self.remote_cname: str | None = None
        """The other side's canonical name."""
        self.remote_deaf = 0
        """Their last reports in a row that say nothing more of ours had come."""
        self._remote_highest = -1
        self.extended = ExtendedReports()
        """What was said in extended reports (RFC 3611)."""
        self.remote_left: int | None = None
        """The SSRC that last said goodbye; another stream may have taken its place."""
        self.received = 0
        """Valid datagrams."""
        self.malformed = 0
        """Datagrams that were not RTCP."""
        self.skipped = 0
        """Packets within datagrams of types we do not read."""

    def next_timeout(self) -> float:
        """When the next report is due, in the clock of ``now``."""
        return self._schedule.due

    def receive(self, data: bytes, now: float) -> RtcpCompound | None:
        """One datagram; gives it back parsed, or None (and counts) if it is not RTCP."""
        try:
            compound = RtcpCompound.parse(data)
        except MalformedRtcpError:
            self.malformed += 1
            return None
        self.received += 1
        self.skipped += compound.skipped
        self._schedule.weigh(data)
        for packet in compound.packets:
            self._hear(packet, now)
        return compound

    def report(
        self,
        now: float,
        ntp: int,
        reception: ReceptionCounters | None = None,
        *,
        extended: Sequence[Block] | None = None,
    ) -> bytes:
        """The compound packet to send now; the next is due an interval later.

        ``ntp`` is the wall clock as a 64-bit NTP time, ``reception`` what was heard
        of the other side, if anything. A sender report while we send, and for one
        report after we stopped; else a receiver report. ``extended`` is what else was
        measured (RFC 3611); None where the far end did not ask for such reports.
        """
        blocks = () if reception is None else (self._block(reception, now),)
        sender = self._sender
        report: RtcpPacket
        if sender.packets > self._sent_before[0]:
            octets = sender.octets & _U32
            packets = sender.packets & _U32
            report = SenderReport(sender.ssrc, ntp, sender.timestamp, packets, octets, blocks)
            self._our_reports.append((ntp_middle(ntp), now))
        else:
            report = ReceiverReport(sender.ssrc, blocks)
        self._sent_before.append(sender.packets)
        self._has_reported = True
        said: list[RtcpPacket] = [report, self._description()]
        asks = extended is not None and isinstance(report, ReceiverReport)
        more = (*self.extended.blocks(now, ntp, ask=asks), *(extended or ()))
        if more:
            said.append(ExtendedReport(sender.ssrc, more))
        data = bytes(RtcpCompound(tuple(said)))
        self._schedule.weigh(data)
        self._schedule.advance(now)
        return data

    def bye(self, reason: str | None = None) -> bytes:
        """The compound packet with which we leave.

        Empty if we never sent anything: who was never heard says no goodbye (RFC 3550 6.3.7).
        """
        ssrc = self._sender.ssrc
        if not self._has_reported and not self._sender.packets:
            return b""
        report = ReceiverReport(ssrc)
        return bytes(RtcpCompound((report, self._description(), Goodbye((ssrc,), reason))))

    def _description(self) -> SourceDescription:
        item = SdesItem(CNAME, self._cname)
        return SourceDescription((SdesChunk(self._sender.ssrc, (item,)),))

    def _block(self, reception: ReceptionCounters, now: float) -> ReportBlock:
        """What we say of the source we hear."""
        last_sr = delay = 0
        if self._their_report is not None and self._their_report[0] == reception.ssrc:
            _, last_sr, heard_at = self._their_report
            delay = min(max(int((now - heard_at) * _SHORT_NTP), 0), _U32)
        block = ReportBlock(
            ssrc=reception.ssrc,
            fraction_lost=fraction_lost(reception, self._reported),
            cumulative_lost=cumulative_lost(reception),
            highest_extended=reception.highest_extended & _U32,
            jitter_units=min(int(reception.jitter_units), _U32),
            last_sr=last_sr,
            delay_since_last_sr=delay,
        )
        self._reported = reception
        return block

    def _hear(self, packet: RtcpPacket, now: float) -> None:
        ours = self._sender.ssrc
        if isinstance(packet, SenderReport | ReceiverReport):
            if isinstance(packet, SenderReport) and packet.ssrc != ours:
                self._their_report = (packet.ssrc, ntp_middle(packet.ntp), now)
            known = [block for block in packet.reports if block.ssrc == ours]
            if not known:
                self.remote_deaf += 1
            for block in known:
                self._hear_block(block, now)
        elif isinstance(packet, SourceDescription):
            for chunk in packet.chunks:
                names = [item.text for item in chunk.items if item.kind == CNAME]
                if names and chunk.ssrc != ours:
                    self.remote_cname = names[0]
        elif isinstance(packet, ExtendedReport):
            round_trip = self.extended.hear(packet, ours, now)
            if round_trip is not None:
                self.rtt_ms = round_trip
        else:
            for ssrc in packet.ssrcs:
                if ssrc != ours:
                    self.remote_left = ssrc

    def _hear_block(self, block: ReportBlock, now: float) -> None:
        """What the other side says of our stream."""
        gone_on = block.highest_extended != self._remote_highest
        self.remote_deaf = 0 if gone_on else self.remote_deaf + 1
        self._remote_highest = block.highest_extended
        self.remote_loss = block.fraction_lost / 256
        self.remote_lost = block.cumulative_lost
        self.remote_jitter_ms = block.jitter_units * 1000 / self.rate_hz
        for middle, sent_at in self._our_reports:
            if block.last_sr and middle == block.last_sr:
                # By our monotonic clock, not the wall's, which may be set between the two.
                elapsed = int((now - sent_at) * _SHORT_NTP)
                seconds = round_trip_seconds(elapsed + middle, middle, block.delay_since_last_sr)
                self.rtt_ms = None if seconds is None else seconds * 1000
