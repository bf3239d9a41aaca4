"""How a call is, as one moment's figures: what `Call.quality` gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .quality_alarms import AlarmKind, Way

__all__ = ["DirectionQuality", "QualityReport", "QualitySnapshot"]


@dataclass(frozen=True, slots=True)
class DirectionQuality:
    """One direction over the last stretch of a few seconds. None is unknown."""

    loss: float | None = None
    """Share of packets that never came, 0 to 1."""
    late: float | None = None
    """Share that came too late to be played."""
    burst_ratio: float | None = None
    """Mean length of losses over that of random ones (G.107)."""
    jitter_ms: float | None = None
    """Interarrival jitter (RFC 3550)."""
    mos_listening: float | None = None
    """MOS-LQ: codec and losses."""
    mos: float | None = None
    """MOS-CQ: with the delay."""
    r: float | None = None
    """R of the E-model, with the delay."""
    level_dbov: float | None = None
    """Of all its audio."""
    silence: float | None = None
    """Share of frames that were silence."""
    clipped: float | None = None
    """Share of frames at the limit."""

    def columns(self) -> dict[str, float | None]:
        """For a time series."""
        return {
            "loss": self.loss,
            "late": self.late,
            "jitter": self.jitter_ms,
            "mos": self.mos,
            "level": self.level_dbov,
            "silence": self.silence,
        }


@dataclass(frozen=True, slots=True)
class QualitySnapshot:
    """A call's quality as it was last looked at."""

    at: float
    """When, on the monotonic clock."""
    heard: DirectionQuality
    """What we hear of the far end."""
    sent: DirectionQuality
    """What the far end hears of us, as far as it says."""
    round_trip_ms: float | None
    """By RTCP."""
    delay_ms: float
    """Of the jitter buffer."""
    alarms: Mapping[tuple[AlarmKind, Way], float] = field(default_factory=dict)
    """What is wrong now, with the value it was told by."""


@dataclass(frozen=True, slots=True)
class QualityReport:
    """What a monitor is sent of one stretch of a call (HEP)."""

    call_id: str
    """Ours."""
    correlation: str
    """The Call-ID of SIP, where there is one."""
    at: float
    """When, on the monotonic clock."""
    source: tuple[str, int]
    """Our address and port of media."""
    destination: tuple[str, int]
    """Theirs."""
    figures: Mapping[str, Any]
    """Flat numbers."""
