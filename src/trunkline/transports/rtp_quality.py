"""What a leg says of its media: to its node, and in extended reports (RFC 3611)."""

from trunkline.media.engine import Engine
from trunkline.media.g711 import Law
from trunkline.media.jitter import JitterStatistics
from trunkline.media.lane import Lane
from trunkline.media.quality_bank import HEARD
from trunkline.media.quality_score import one_way_ms, score
from trunkline.media.rtcp_session import ReceptionCounters, RtcpSession
from trunkline.media.rtcp_xr import Block, Concealing, StatisticsSummary, VoipMetrics

from .media_facts import MediaFacts
from .rtp_out import RtpOut

__all__ = ["codec_name", "extended_blocks", "media_facts"]

PACKET_MS = 20
_DBM0_OF_DBOV = 6.15
"""G.711 clips a sine at +3.14 dBm0, and a sine that clips is at -3.01 dBov."""


def codec_name(receiving: object) -> str:
    """The SDP name of what arrives."""
    if isinstance(receiving, Law):
        return "PCMA" if receiving is Law.ALAW else "PCMU"
    return str(getattr(receiving, "name", ""))


def media_facts(
    session: RtcpSession,
    out: RtpOut,
    *,
    codec: str,
    expecting: bool,
    refused: int,
    addresses: tuple[tuple[str, int], tuple[str, int]],
    far_ssrc: int,
) -> MediaFacts:
    """How a stream stands."""
    return MediaFacts(
        codec,
        expecting,
        out.sending and out.aimed,
        out.sender.packets,
        refused,
        session.rtt_ms,
        session.remote_deaf,
        session.remote_loss,
        session.remote_lost,
        session.remote_jitter_ms,
        session.extended.metrics,
        addresses,
        (out.sender.ssrc, far_ssrc),
    )


def extended_blocks(
    engine: Engine,
    lane: Lane,
    reception: ReceptionCounters,
    statistics: JitterStatistics,
    codec: str,
    round_trip_ms: float | None,
) -> tuple[Block, ...]:
    """VoIP metrics (4.7) and a summary (4.6) of the call so far; empty without a monitor."""
    if engine.quality is None or lane.quality_row < 0:
        return ()
    bank = engine.quality.bank
    came, levels = bank.stream(lane.quality_row), bank.levels(lane.quality_row, HEARD)
    pattern = came.pattern
    sent = max(1, statistics.received - statistics.duplicate + statistics.lost)
    delay_ms = max(0.0, statistics.delay_ms)
    judged = score(codec, pattern.loss, pattern.burst_ratio, one_way_ms(round_trip_ms, delay_ms))
    metrics = VoipMetrics(
        reception.ssrc,
        loss=min(1.0, statistics.lost / sent),
        discard=min(1.0, statistics.late / sent),
        burst_density=pattern.burst_density,
        gap_density=pattern.gap_density,
        burst_ms=round(pattern.mean_burst_packets * PACKET_MS),
        gap_ms=round(pattern.mean_gap_packets * PACKET_MS),
        round_trip_ms=round(round_trip_ms or 0),
        end_system_ms=round(delay_ms + PACKET_MS),
        signal_dbm0=_dbm0(levels.speech_dbov),
        noise_dbm0=_dbm0(levels.noise_dbov),
        r_factor=round(judged.r),
        listening_score=judged.mos_listening,
        conversation_score=judged.mos,
        concealing=Concealing.ENHANCED,
        adaptive=True,
        buffer_ms=round(delay_ms),
        buffer_maximum_ms=round(statistics.target_ms),
        buffer_limit_ms=engine.jitter.settings.max_ms,
    )
    units = round(reception.jitter_units)
    summary = StatisticsSummary(
        reception.ssrc,
        reception.first_extended & 0xFFFF,
        reception.highest_extended + 1 & 0xFFFF,
        statistics.lost,
        statistics.duplicate,
        (0, max(units, round(came.jitter_most_ms * engine.rate_hz / 1000)), units, 0),
    )
    return metrics, summary


def _dbm0(dbov: float | None) -> int | None:
    return None if dbov is None else round(dbov + _DBM0_OF_DBOV)
