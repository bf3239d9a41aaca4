"""A ring of frames between what makes audio and what takes it.

For users' own stages and bots: bounded, so that a reader who falls behind gets the
newest audio and not ever older one; measured, so that somebody sees it. The engine
does not need it: its playouts and inlets are rings of their own.

Nothing in here waits. ``transports.waiting_buffer`` does, with a lock, for threads
and for coroutines; a chain that is driven by a clock reads without waiting.
"""

from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from trunkline.errors import UsageError

from .frames import FRAME_MS, Audio, FitCounts, as_given, fit, frame_samples

__all__ = ["AudioBuffer", "AudioChunk", "BufferMetrics"]

SMOOTHING = 0.05
"""Share of a new latency in the average: about the last twenty chunks, 400 ms."""


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """One frame out of the buffer."""

    audio: Audio
    """20 ms, of the type it was written in unless another was asked for."""
    timestamp: float
    """When it was captured, as the writer said, in seconds."""
    latency_ms: float
    """From then until it was read."""


@dataclass(frozen=True, slots=True)
class BufferMetrics:
    """What a buffer has seen since it was made or cleared of its counts."""

    chunks: int
    """Waiting now."""
    capacity: int
    """The most that can wait."""
    fill: float
    """Their ratio, 0 to 1."""
    buffered_ms: float
    """Audio that is waiting."""
    written: int
    read: int
    underruns: int
    """Reads that found nothing."""
    overruns: int
    """Chunks that were dropped, the oldest first, because a newer one came."""
    padded: int
    """Chunks that came short and were filled with silence."""
    truncated: int
    """Chunks that came long and were cut."""
    faults: int
    """Chunks with values that are no audio (silence was put in their place)."""
    current_latency_ms: float
    """Of the chunk read last; 0 before the first."""
    average_latency_ms: float
    """Smoothed over about the last 400 ms of audio."""

    @property
    def fill_percent(self) -> float:
        """The fill as dashboards show it."""
        return 100 * self.fill


class AudioBuffer:
    """Frames of 20 ms, first in, first out, at most ``duration_ms`` of them.

        buffer = AudioBuffer(16000)
        buffer.write(audio, now)
        chunk = buffer.read(now)       # None if there is none
        chunk.audio, chunk.latency_ms

    Takes int16, float32 or float64 (full scale 1.0) of any length: short audio is padded
    with silence, long audio is cut. Values that are no audio become silence.
    """

    def __init__(self, rate_hz: int = 8000, *, duration_ms: int = 500) -> None:
        """Raises `UsageError` for a rate without whole frames or a duration under a frame."""
        if duration_ms < FRAME_MS:
            raise UsageError(f"a buffer holds at least {FRAME_MS} ms, not {duration_ms}")
        self.rate_hz = rate_hz
        self.frame_samples = frame_samples(rate_hz)
        self.capacity = duration_ms // FRAME_MS
        # float32 holds every int16 exactly, so both come out as they went in.
        self._ring = np.zeros((self.capacity, self.frame_samples), np.float32)
        self._types: list[np.dtype[Any]] = [np.dtype(np.int16)] * self.capacity
        self._timestamps = [0.0] * self.capacity
        self._oldest = self._count = 0
        self._forget()

    def _forget(self) -> None:
        self._written = self._read = self._underruns = self._overruns = 0
        self._fit = FitCounts()
        self._latency_ms = 0.0
        self._average_ms: float | None = None

    def __len__(self) -> int:
        """Chunks waiting."""
        return self._count

    @property
    def fill(self) -> float:
        """How full it is, 0 to 1."""
        return self._count / self.capacity

    def write(self, audio: Audio, now: float, timestamp: float | None = None) -> bool:
        """Add a chunk; False if the oldest had to go for it.

        ``timestamp`` says when the audio was captured, on the clock of ``now``
        (seconds); without it, now. Raises `UsageError` for anything but one row of
        audio, and for a time that is none.
        """
        captured = now if timestamp is None else timestamp
        if not (isfinite(now) and isfinite(captured)):
            raise UsageError("a time is a finite number of seconds")
        frame = fit(audio, self.frame_samples, self._fit)
        room = self._count < self.capacity
        if not room:
            self._drop()
            self._overruns += 1
        slot = (self._oldest + self._count) % self.capacity
        self._ring[slot] = frame
        self._types[slot] = audio.dtype
        self._timestamps[slot] = captured
        self._count += 1
        self._written += 1
        return room

    def read(
        self,
        now: float,
        dtype: type[np.int16] | type[np.float32] | type[np.float64] | None = None,
    ) -> AudioChunk | None:
        """The oldest chunk; None, and an underrun, if there is none.

        ``dtype`` asks for int16 (rounded, clipped at full scale), float32 or float64;
        without it a chunk comes as it was written.
        """
        wanted = None if dtype is None else np.dtype(dtype)
        if wanted is not None and wanted not in (np.int16, np.float32, np.float64):
            raise UsageError(f"a buffer gives int16, float32 or float64, not {wanted}")
        if not isfinite(now):
            raise UsageError("a time is a finite number of seconds")
        if not self._count:
            self._underruns += 1
            return None
        slot = self._oldest
        timestamp = self._timestamps[slot]
        audio = as_given(self._ring[slot], wanted or self._types[slot])
        self._drop()
        self._read += 1
        latency_ms = max(0.0, (now - timestamp) * 1000)
        average = self._average_ms
        self._average_ms = (
            latency_ms if average is None else average + SMOOTHING * (latency_ms - average)
        )
        self._latency_ms = latency_ms
        return AudioChunk(audio, timestamp, latency_ms)

    def _drop(self) -> None:
        self._oldest = (self._oldest + 1) % self.capacity
        self._count -= 1

    def clear(self, keep: int = 0) -> int:
        """Drop what waits, as after an interruption; how many chunks that were.

        ``keep``: how many of the newest stay.
        """
        dropped = max(0, self._count - max(0, keep))
        self._oldest = (self._oldest + dropped) % self.capacity
        self._count -= dropped
        return dropped

    def reset(self) -> None:
        """Drop what waits, and begin to count anew."""
        self.clear()
        self._forget()

    def metrics(self) -> BufferMetrics:
        """All counts and figures, as they are now."""
        return BufferMetrics(
            chunks=self._count,
            capacity=self.capacity,
            fill=self.fill,
            buffered_ms=float(self._count * FRAME_MS),
            written=self._written,
            read=self._read,
            underruns=self._underruns,
            overruns=self._overruns,
            padded=self._fit.padded,
            truncated=self._fit.truncated,
            faults=self._fit.faults,
            current_latency_ms=self._latency_ms,
            average_latency_ms=self._average_ms or 0.0,
        )

    def is_healthy(self, least_fill: float = 0.1, most_fill: float = 0.9) -> bool:
        """Whether the fill is between the two, both included; 0 to 1.

        Raises `UsageError` for bounds out of order.
        """
        if not 0 <= least_fill <= most_fill <= 1:
            raise UsageError(f"fills go from 0 to 1, not from {least_fill} to {most_fill}")
        return least_fill <= self.fill <= most_fill
