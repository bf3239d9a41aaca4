"""RTCP as the JSON that HOMER reads, with the names its capture agents use."""

from typing import Any

from trunkline.media.rtcp import (
    Goodbye,
    ReceiverReport,
    ReportBlock,
    RtcpCompound,
    SenderReport,
    SourceDescription,
)
from trunkline.media.rtcp_xr import ExtendedReport, VoipMetrics

__all__ = ["rtcp_json"]


def rtcp_json(compound: RtcpCompound) -> dict[str, Any]:
    """One object for a datagram: the report, who it is, and extended metrics."""
    found: dict[str, Any] = {}
    for packet in compound.packets:
        match packet:
            case SenderReport():
                found |= _sender(packet)
            case ReceiverReport():
                found |= {"ssrc": packet.ssrc, "type": 201, **_blocks(packet.reports)}
            case SourceDescription():
                items = [item for chunk in packet.chunks for item in chunk.items]
                found["sdes_chunk_ssrc"] = packet.chunks[0].ssrc if packet.chunks else 0
                found["sdes_information"] = [{"type": i.kind, "text": i.text} for i in items]
            case Goodbye():
                found["bye"] = list(packet.ssrcs)
            case ExtendedReport():
                metrics = [one for one in packet.blocks if isinstance(one, VoipMetrics)]
                if metrics:
                    found["report_blocks_xr"] = _metrics(metrics[0])
    return found


def _sender(report: SenderReport) -> dict[str, Any]:
    return {
        "ssrc": report.ssrc,
        "type": 200,
        "sender_information": {
            "ntp_timestamp_sec": report.ntp >> 32,
            "ntp_timestamp_usec": (report.ntp & 0xFFFFFFFF) * 1_000_000 >> 32,
            "rtp_timestamp": report.rtp_timestamp,
            "packets": report.packets,
            "octets": report.octets,
        },
        **_blocks(report.reports),
    }


def _blocks(reports: tuple[ReportBlock, ...]) -> dict[str, Any]:
    return {
        "report_count": len(reports),
        "report_blocks": [
            {
                "source_ssrc": block.ssrc,
                "fraction_lost": block.fraction_lost,
                "packets_lost": block.cumulative_lost,
                "highest_seq_no": block.highest_extended,
                "ia_jitter": block.jitter_units,
                "lsr": block.last_sr,
                "dlsr": block.delay_since_last_sr,
            }
            for block in reports
        ],
    }


def _metrics(metrics: VoipMetrics) -> dict[str, Any]:
    return {
        "type": 7,
        "id": metrics.ssrc,
        "fraction_lost": round(metrics.loss * 256),
        "fraction_discard": round(metrics.discard * 256),
        "burst_density": round(metrics.burst_density * 256),
        "gap_density": round(metrics.gap_density * 256),
        "burst_duration": metrics.burst_ms,
        "gap_duration": metrics.gap_ms,
        "round_trip_delay": metrics.round_trip_ms,
        "end_system_delay": metrics.end_system_ms,
        "signal_lev": metrics.signal_dbm0,
        "noise_lev": metrics.noise_dbm0,
        "r_factor": metrics.r_factor,
        "mos_lq": metrics.listening_score,
        "mos_cq": metrics.conversation_score,
        "jb_nom": metrics.buffer_ms,
        "jb_max": metrics.buffer_maximum_ms,
        "jb_abs_max": metrics.buffer_limit_ms,
    }
