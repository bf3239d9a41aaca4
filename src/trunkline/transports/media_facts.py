"""What a leg knows of its media, for whoever watches its quality."""

from typing import NamedTuple, Protocol, runtime_checkable

from trunkline.media.jitter import JitterStatistics
from trunkline.media.rtcp_xr import VoipMetrics

__all__ = ["MediaFacts", "MonitoredLeg"]


class MediaFacts(NamedTuple):
    """One moment of a leg with media. None is unknown."""

    codec: str
    """What arrives, by its SDP name."""
    expecting: bool
    """Whether silence of theirs would mean that something is wrong: nobody holds anybody."""
    sending: bool
    """Whether we are to send."""
    packets_sent: int
    """So far."""
    refused: int
    """Packets of ours that the network would not take, or the far end's machine refused."""
    round_trip_ms: float | None
    """By RTCP."""
    remote_deaf: int
    """Reports of theirs in a row that say nothing more of ours had come."""
    remote_loss: float | None
    """Share of ours that they lost between their last two reports, 0 to 1."""
    remote_lost: int | None
    """Packets of ours that they lost so far."""
    remote_jitter_ms: float | None
    """Jitter that they measured."""
    remote_metrics: VoipMetrics | None
    """What they said of our audio in an extended report (RFC 3611 4.7)."""
    addresses: tuple[tuple[str, int], tuple[str, int]]
    """Ours and theirs, host and port."""
    ssrcs: tuple[int, int]
    """Ours and theirs; 0 where none is known."""


@runtime_checkable
class MonitoredLeg(Protocol):
    """A leg that knows more of its media than its audio. Media thread only."""

    def media_facts(self) -> MediaFacts | None:
        """How things stand; None while there is no media."""

    def jitter_statistics(self) -> JitterStatistics | None:
        """What its jitter buffer counted; None where it has none."""
