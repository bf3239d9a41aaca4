"""Extended reports: what a receiver measured of a call (RFC 3611), to and from the wire.

One packet has a list of blocks. `VoipMetrics` (section 4.7) is what quality monitors read,
`StatisticsSummary` (4.6) what was counted of an interval;
`ReceiverTime` and `ReceiverDelay` (4.4, 4.5) let a side that sends nothing know the round
trip. Blocks of other types are skipped and counted.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct

from trunkline.errors import UsageError

from .errors import MalformedRtcpError

__all__ = [
    "XR",
    "Concealing",
    "ExtendedReport",
    "ReceiverDelay",
    "ReceiverTime",
    "StatisticsSummary",
    "VoipMetrics",
]

XR = 207
"""The RTCP packet type."""
_TIME, _DELAY, _SUMMARY, _VOIP = 4, 5, 6, 7
_HEADER = Struct("!BBH")
_SSRC = Struct("!I")
_NTP = Struct("!Q")
_SINCE = Struct("!III")
_METRICS = Struct("!IBBBBHHHHbbBBBBBBBxHHH")
_COUNTS = Struct("!IHHIIIIIIxxxx")
_LOSS, _DUPLICATE, _JITTER = 0x80, 0x40, 0x20
_UNKNOWN_LEVEL, _UNKNOWN = 127, 127
_U8, _U16, _U32 = 0xFF, 0xFFFF, 0xFFFFFFFF
_LONGEST_WORDS = 0xFFFF


class Concealing(IntEnum):
    """What is done about lost packets (4.7.6)."""

    UNSPECIFIED = 0
    DISABLED = 1
    ENHANCED = 2
    STANDARD = 3


@dataclass(frozen=True, slots=True)
class VoipMetrics:
    """What one side heard of one source (section 4.7). None is unknown."""

    ssrc: int
    """The source this speaks of."""
    loss: float = 0.0
    """Share of packets that never came, 0 to 1; on the wire in 1/256, as the next three."""
    discard: float = 0.0
    """Share that came too late or too early to be played."""
    burst_density: float = 0.0
    """Share of both in bursts."""
    gap_density: float = 0.0
    """Share of both outside of them."""
    burst_ms: int = 0
    """Mean length of a burst."""
    gap_ms: int = 0
    """Mean length of a gap."""
    round_trip_ms: int = 0
    """Last round trip measured; 0 is none."""
    end_system_ms: int = 0
    """What this end adds: jitter buffer, coding, and the like, both ways."""
    signal_dbm0: int | None = None
    """Level of speech, -128 to 126."""
    noise_dbm0: int | None = None
    """Level of silence, -128 to 126."""
    echo_return_loss_db: int | None = None
    """Residual echo return loss, 0 to 126."""
    gmin: int = 16
    """What bursts were told by."""
    r_factor: int | None = None
    """R of this segment, 0 to 100 (ITU-T G.107)."""
    external_r_factor: int | None = None
    """R of a network beyond it."""
    listening_score: float | None = None
    """MOS-LQ, 1 to 5, without delay; on the wire in tenths, as the next."""
    conversation_score: float | None = None
    """MOS-CQ, 1 to 5, with delay."""
    concealing: Concealing = Concealing.UNSPECIFIED
    """What is done about losses."""
    adaptive: bool | None = None
    """Whether the jitter buffer adapts."""
    adaptation_rate: int = 0
    """How fast, 0 to 15."""
    buffer_ms: int = 0
    """Delay of the jitter buffer now."""
    buffer_maximum_ms: int = 0
    """The most it would have for what arrived."""
    buffer_limit_ms: int = 0
    """The most it can have at all."""

    @classmethod
    def parse(cls, body: bytes) -> "VoipMetrics":
        """Read a block's body; raises `MalformedRtcpError` for one of another length."""
        if len(body) != _METRICS.size:
            raise MalformedRtcpError(f"VoIP metrics have 32 bytes, not {len(body)}")
        (ssrc, loss, discard, burst, gap, burst_ms, gap_ms, trip, end, signal, noise, echo,
         gmin, r, external, listening, conversation, config, now, most, limit) = (
            _METRICS.unpack(body)
        )  # fmt: skip
        adaptive = {3: True, 2: False}.get(config >> 4 & 3)
        return cls(
            ssrc, loss / 256, discard / 256, burst / 256, gap / 256, burst_ms, gap_ms, trip, end,
            None if signal == _UNKNOWN_LEVEL else signal,
            None if noise == _UNKNOWN_LEVEL else noise,
            None if echo == _UNKNOWN else echo,
            gmin,
            _known(r, 100), _known(external, 100),
            _score(listening), _score(conversation),
            Concealing(config >> 6), adaptive, config & 15, now, most, limit,
        )  # fmt: skip

    def __bytes__(self) -> bytes:
        config = self.concealing << 6 | _bounded(self.adaptation_rate, 0, 15)
        if self.adaptive is not None:
            config |= (3 if self.adaptive else 2) << 4
        body = _METRICS.pack(
            self.ssrc,
            *(_share(one) for one in (self.loss, self.discard)),
            *(_share(one) for one in (self.burst_density, self.gap_density)),
            *(_bounded(one, 0, _U16) for one in (self.burst_ms, self.gap_ms)),
            *(_bounded(one, 0, _U16) for one in (self.round_trip_ms, self.end_system_ms)),
            *(_or_unknown(one, -128, 126) for one in (self.signal_dbm0, self.noise_dbm0)),
            _or_unknown(self.echo_return_loss_db, 0, 126),
            _bounded(self.gmin, 1, _U8),
            *(_or_unknown(one, 0, 100) for one in (self.r_factor, self.external_r_factor)),
            *(_tenths(one) for one in (self.listening_score, self.conversation_score)),
            config,
            *(
                _bounded(one, 0, _U16)
                for one in (self.buffer_ms, self.buffer_maximum_ms, self.buffer_limit_ms)
            ),
        )
        return _block(_VOIP, body)


@dataclass(frozen=True, slots=True)
class StatisticsSummary:
    """Counts of what came of one source (section 4.6). None is not told."""

    ssrc: int
    """The source this speaks of."""
    begin: int
    """First sequence number of the interval, 16 bits."""
    end: int
    """The one after its last."""
    lost: int | None = None
    """Packets lost in it."""
    duplicates: int | None = None
    """Packets that came again."""
    jitter_units: tuple[int, int, int, int] | None = None
    """Least, most, mean and deviation, in timestamp units."""

    @classmethod
    def parse(cls, flags: int, body: bytes) -> "StatisticsSummary":
        """Read a block's body; raises `MalformedRtcpError` for one of another length."""
        if len(body) != _COUNTS.size:
            raise MalformedRtcpError(f"a summary has {_COUNTS.size} bytes, not {len(body)}")
        ssrc, begin, end, lost, duplicates, *jitter = _COUNTS.unpack(body)
        return cls(
            ssrc,
            begin,
            end,
            lost if flags & _LOSS else None,
            duplicates if flags & _DUPLICATE else None,
            (jitter[0], jitter[1], jitter[2], jitter[3]) if flags & _JITTER else None,
        )

    def __bytes__(self) -> bytes:
        flags = _LOSS * (self.lost is not None) | _DUPLICATE * (self.duplicates is not None)
        flags |= _JITTER * (self.jitter_units is not None)
        body = _COUNTS.pack(
            self.ssrc,
            self.begin & _U16,
            self.end & _U16,
            *(_bounded(one or 0, 0, _U32) for one in (self.lost, self.duplicates)),
            *(_bounded(one, 0, _U32) for one in self.jitter_units or (0, 0, 0, 0)),
        )
        return _HEADER.pack(_SUMMARY, flags, len(body) // 4) + body


@dataclass(frozen=True, slots=True)
class ReceiverTime:
    """When a side that may send no audio sent this report (section 4.4)."""

    ntp: int
    """Wall clock, 64-bit NTP."""

    def __bytes__(self) -> bytes:
        return _block(_TIME, _NTP.pack(self.ntp))


@dataclass(frozen=True, slots=True)
class ReceiverDelay:
    """The answer to a `ReceiverTime` (section 4.5)."""

    ssrc: int
    """Whose report is answered."""
    last_report: int
    """Middle 32 bits of its NTP time."""
    delay_since: int
    """From receiving it to sending this, in 1/65536 s."""


Block = VoipMetrics | StatisticsSummary | ReceiverTime | tuple[ReceiverDelay, ...]
"""One block; a list of delays is one block too."""


@dataclass(frozen=True, slots=True)
class ExtendedReport:
    """XR: one RTCP packet (section 2)."""

    ssrc: int
    """Who reports."""
    blocks: tuple[Block, ...] = ()
    """What we understand, in order."""
    skipped: int = 0
    """Blocks of other types."""

    @classmethod
    def parse(cls, body: bytes) -> "ExtendedReport":
        """Read the packet after its header; raises `MalformedRtcpError`."""
        if len(body) < _SSRC.size:
            raise MalformedRtcpError("an extended report without a source")
        blocks: list[Block] = []
        skipped = 0
        for kind, flags, content in _blocks(body):
            block = _parse_block(kind, flags, content)
            if block is None:
                skipped += 1
            else:
                blocks.append(block)
        return cls(_SSRC.unpack_from(body)[0], tuple(blocks), skipped)

    def __bytes__(self) -> bytes:
        body = _SSRC.pack(self.ssrc)
        for block in self.blocks:
            body += _delays(block) if isinstance(block, tuple) else bytes(block)
        if len(body) // 4 > _LONGEST_WORDS:
            raise UsageError(f"an RTCP packet has at most 262140 bytes, not {len(body)}")
        return _HEADER.pack(0x80, XR, len(body) // 4) + body


def _blocks(body: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(type, what is specific to it, content) of each block."""
    offset = _SSRC.size
    while offset < len(body):
        if len(body) - offset < _HEADER.size:
            raise MalformedRtcpError("a block of an extended report is cut short")
        kind, flags, words = _HEADER.unpack_from(body, offset)
        end = offset + _HEADER.size + 4 * words
        if end > len(body):
            raise MalformedRtcpError("a block is longer than its extended report")
        yield kind, flags, body[offset + _HEADER.size : end]
        offset = end


def _parse_block(kind: int, flags: int, content: bytes) -> Block | None:
    if kind == _VOIP:
        return VoipMetrics.parse(content)
    if kind == _SUMMARY:
        return StatisticsSummary.parse(flags, content)
    if kind == _TIME:
        if len(content) != _NTP.size:
            raise MalformedRtcpError(f"a receiver's time has 8 bytes, not {len(content)}")
        return ReceiverTime(_NTP.unpack(content)[0])
    if kind == _DELAY:
        if len(content) % _SINCE.size:
            raise MalformedRtcpError(f"delays have 12 bytes each, not {len(content)}")
        return tuple(ReceiverDelay(*each) for each in _SINCE.iter_unpack(content))
    return None


def _block(kind: int, body: bytes) -> bytes:
    return _HEADER.pack(kind, 0, len(body) // 4) + body


def _delays(delays: tuple[ReceiverDelay, ...]) -> bytes:
    packed = (_SINCE.pack(each.ssrc, each.last_report, each.delay_since) for each in delays)
    return _block(_DELAY, b"".join(packed))


def _share(share: float) -> int:
    return _bounded(int(share * 256), 0, _U8)


def _tenths(score: float | None) -> int:
    return _UNKNOWN if score is None else _bounded(round(score * 10), 10, 50)


def _score(tenths: int) -> float | None:
    return tenths / 10 if 10 <= tenths <= 50 else None


def _known(value: int, most: int) -> int | None:
    return value if value <= most else None


def _or_unknown(value: int | None, least: int, most: int) -> int:
    return _UNKNOWN if value is None else _bounded(value, least, most)


def _bounded(value: int, least: int, most: int) -> int:
    return max(least, min(most, value))
