"""The figures of a whole call, flat, for its record; and what is drawn of them."""

from typing import Any, Protocol

from trunkline.media.jitter import JitterStatistics
from trunkline.media.loss_pattern import RUN_NAMES
from trunkline.media.quality_bank import DELAY_NAMES, StreamQuality
from trunkline.media.quality_levels import Levels
from trunkline.media.quality_score import one_way_ms, score
from trunkline.media.rtcp_xr import VoipMetrics
from trunkline.transports.media_facts import MediaFacts

from .quality_alarms import QualityAlarms

__all__ = ["Sums", "summary_figures"]

PACKET_MS = 20


class Sums(Protocol):
    """What was summed over a call's samples, in and out."""

    mos: list[float]
    worst: list[float | None]
    samples: list[int]
    round_trip_most_ms: float | None


def summary_figures(
    came: StreamQuality,
    statistics: JitterStatistics | None,
    levels: tuple[Levels, Levels],
    facts: MediaFacts | None,
    sums: Sums,
    alarms: QualityAlarms,
) -> tuple[dict[str, float], dict[str, Any]]:
    """Flat figures, and the histograms."""
    found: dict[str, float | None] = {}
    shapes: dict[str, Any] = {}
    for way, each in zip(("in", "out"), levels, strict=True):
        found |= _level_figures(way, each)
    if statistics is not None and came.pattern.packets:
        found |= _packet_figures(came, statistics, facts)
        shapes["runs"] = dict(zip(RUN_NAMES, came.runs, strict=True))
        shapes["delays"] = dict(zip(DELAY_NAMES, came.delays, strict=True))
    found["mos_worst"] = sums.worst[0]
    if sums.samples[1]:
        found["mos_out"] = sums.mos[1] / sums.samples[1]
        found["mos_out_worst"] = sums.worst[1]
    found["rtt_most_ms"] = sums.round_trip_most_ms
    if facts is not None and facts.remote_lost is not None:
        found["remote_lost"] = float(facts.remote_lost)
    if facts is not None and facts.remote_metrics is not None:
        found |= _remote_figures(facts.remote_metrics)
    found |= {f"alarms_{kind}": float(count) for kind, count in alarms.counts.items()}
    return {name: round(value, 4) for name, value in found.items() if value is not None}, shapes


def _packet_figures(
    came: StreamQuality, statistics: JitterStatistics, facts: MediaFacts | None
) -> dict[str, float | None]:
    pattern = came.pattern
    delay = one_way_ms(facts.round_trip_ms if facts else None, max(0.0, statistics.delay_ms))
    judged = score(facts.codec if facts else "", pattern.loss, pattern.burst_ratio, delay)
    return {
        "mos": judged.mos,
        "mos_listening": judged.mos_listening,
        "r": judged.r,
        "r_listening": judged.r_listening,
        "one_way_ms": delay,
        "loss": pattern.loss,
        "burst_ratio": pattern.burst_ratio,
        "bursts": pattern.bursts,
        "burst_ms": pattern.mean_burst_packets * PACKET_MS,
        "burst_density": pattern.burst_density,
        "gap_ms": pattern.mean_gap_packets * PACKET_MS,
        "gap_density": pattern.gap_density,
        "jitter_most_ms": came.jitter_most_ms,
        "clock_drift_ppm": came.drift_ppm,
    }


def _level_figures(way: str, levels: Levels) -> dict[str, float | None]:
    if not levels.frames:
        return {}
    return {
        f"level_{way}_dbov": levels.level_dbov,
        f"speech_{way}_dbov": levels.speech_dbov,
        f"noise_{way}_dbov": levels.noise_dbov,
        f"silence_{way}": levels.silence,
        f"clipped_{way}": levels.clipped,
    }


def _remote_figures(metrics: VoipMetrics) -> dict[str, float | None]:
    """What they said in their last extended report."""
    return {
        "remote_mos": metrics.conversation_score,
        "remote_mos_listening": metrics.listening_score,
        "remote_r": metrics.r_factor,
        "remote_discard": metrics.discard,
        "remote_burst_ms": metrics.burst_ms,
        "remote_burst_density": metrics.burst_density,
        "remote_gap_density": metrics.gap_density,
        "remote_buffer_ms": metrics.buffer_ms,
        "remote_signal_dbm0": metrics.signal_dbm0,
        "remote_noise_dbm0": metrics.noise_dbm0,
    }
