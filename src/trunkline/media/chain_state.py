"""How the chain of one call is set, and what it says of itself."""

from dataclasses import dataclass

from trunkline.errors import UsageError

from .audio_buffer import BufferMetrics
from .chain_bank import ChainRow
from .frames import FRAME_MS
from .jitter import JitterSettings, JitterStatistics

__all__ = ["ChainHealth", "ChainMetrics", "ChainSettings"]

_MOST_MISSING = 0.05
"""Beyond this share of missing packets concealment is heard by everybody."""

_MOST_FAULTY = 0.01
"""One odd frame in a long call is no reason to worry, two seconds of three minutes are."""


@dataclass(frozen=True, slots=True)
class ChainSettings:
    """How the chain of one call is set; the names are those of the ``[audio]`` settings."""

    enable_echo_cancellation: bool = True
    """Whether what was sent is taken out of what comes."""
    enable_noise_reduction: bool = True
    """Whether the line's noise is taken out."""
    enable_jitter_buffer: bool = True
    """Whether packets are put in order and played out at an even pace."""
    audio_chunk_duration_ms: int = FRAME_MS
    """What is processed and read at once: 20."""
    jitter_buffer_target_ms: int = 80
    """The delay a call begins with; it then follows the network."""
    jitter_buffer_min_ms: int = 40
    """The least delay aimed at."""
    jitter_buffer_max_ms: int = 200
    """The most delay aimed at."""
    noise_reduction_strength: float = 0.8
    """0 (nothing) to 1 (by 18 dB)."""
    echo_filter_length: int = 1024
    """Taps of the canceller, 16 to 8192: how long an echo is cancelled from where it begins
    on. "kalman" is never shorter than its own 200 ms."""
    audio_buffer_duration_ms: int = 500
    """The most audio that waits to be read, in either direction."""
    max_audio_latency_ms: int = 200
    """Latency beyond this is no longer healthy."""

    def __post_init__(self) -> None:
        """Raises `UsageError` for what is out of range or contradicts itself."""
        if self.audio_chunk_duration_ms != FRAME_MS:
            raise UsageError(
                f"chunks are {FRAME_MS} ms, not {self.audio_chunk_duration_ms!r}; packets of "
                "other lengths are cut to that by the jitter buffer"
            )
        if not 0 <= self.noise_reduction_strength <= 1:
            raise UsageError(f"the strength is 0 to 1, not {self.noise_reduction_strength!r}")
        if not 16 <= self.echo_filter_length <= 8192:
            raise UsageError(f"an echo filter has 16 to 8192 taps, not {self.echo_filter_length!r}")
        if not FRAME_MS <= self.audio_buffer_duration_ms <= 60_000:
            raise UsageError(
                f"a buffer holds {FRAME_MS} ms to a minute, not {self.audio_buffer_duration_ms!r}"
            )
        if self.max_audio_latency_ms < FRAME_MS:
            raise UsageError(f"no chain has a latency of {self.max_audio_latency_ms!r} ms")
        if self.enable_jitter_buffer:
            self.jitter()

    def jitter(self) -> JitterSettings:
        """The jitter buffer's part; raises `UsageError` for delays out of order."""
        return JitterSettings(
            min_ms=self.jitter_buffer_min_ms,
            max_ms=self.jitter_buffer_max_ms,
            start_ms=self.jitter_buffer_target_ms,
        )


@dataclass(frozen=True, slots=True)
class ChainMetrics:
    """What the chain of one call has seen since it was made or reset."""

    input: BufferMetrics
    """Of the buffer of processed audio."""
    output: BufferMetrics
    """Of the buffer of audio to be sent."""
    jitter: JitterStatistics | None
    """None without a jitter buffer."""
    stages: ChainRow
    """Of echo, noise and gain."""
    padded: int
    """Chunks that were not whole frames and were filled with silence."""
    truncated: int
    """Packets without a timestamp that were longer than a frame, and were cut."""
    faults: int
    """Packets and frames with something in them that is no audio."""
    skipped: int
    """Frames nobody asked for in time: after a stall they are not made up for, and let go of
    where they would only make all that follows late."""
    far_waiting: int
    """Frames sent that the far end is still playing, as far as is known."""
    far_dropped: int
    """Frames sent that no frame heard could be compared with: too many at once."""
    loss_rate: float
    """Share of the packets that never came or came too late, 0 to 1."""
    processing_delay_ms: float
    """What the stages add."""
    total_latency_ms: float
    """Jitter buffer, stages and what waits to be read."""


@dataclass(frozen=True, slots=True)
class ChainHealth:
    """Whether all is well, and if not, why."""

    status: str
    """"healthy" or "degraded"."""
    reasons: tuple[str, ...]
    """In words, the worst for a caller first; empty when healthy."""

    @property
    def healthy(self) -> bool:
        """Whether there is nothing to be said."""
        return not self.reasons


def judged(metrics: ChainMetrics, settings: ChainSettings) -> ChainHealth:
    """What these figures say in words."""
    reasons: list[str] = []
    if metrics.loss_rate > _MOST_MISSING:
        reasons.append(f"{metrics.loss_rate:.0%} of the packets are lost or too late")
    if metrics.total_latency_ms > settings.max_audio_latency_ms:
        reasons.append(
            f"the latency is {metrics.total_latency_ms:.0f} ms, more than the "
            f"{settings.max_audio_latency_ms} ms allowed"
        )
    for name, buffer, whose in (
        ("input", metrics.input, "processed audio is read too seldom"),
        ("output", metrics.output, "audio is written faster than it is sent"),
    ):
        if buffer.overruns and buffer.fill > 0.9:
            reasons.append(f"the {name} buffer overflows: {whose}")
    some = _MOST_FAULTY * metrics.stages.frames
    if metrics.faults > some:
        reasons.append(f"{metrics.faults} chunks held something that is no audio")
    if metrics.stages.mended > some:
        reasons.append(f"a stage had to begin anew {metrics.stages.mended} times")
    return ChainHealth("degraded" if reasons else "healthy", tuple(reasons))
