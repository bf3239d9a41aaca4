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
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .frames import FRAME_MS, frame_samples, to_float, to_int16

__all__ = ["AudioBuffer", "AudioChunk", "BufferMetrics"]

Audio = NDArray[np.int16] | NDArray[np.float32]

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

    Takes int16 or float32 (full scale 1.0) of any length: short audio is padded
    with silence, long audio is cut. Values that are not finite become silence.
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
        self._padded = self._truncated = self._faults = 0
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
        int16 or float32, and for a time that is none.
        """
        if audio.ndim != 1 or audio.dtype not in (np.int16, np.float32):
            raise UsageError(
                f"a buffer takes one row of int16 or float32, not {audio.dtype} of {audio.shape}"
            )
        captured = now if timestamp is None else timestamp
        if not (isfinite(now) and isfinite(captured)):
            raise UsageError("a time is a finite number of seconds")
        room = self._count < self.capacity
        if not room:
            self._drop()
            self._overruns += 1
        slot = (self._oldest + self._count) % self.capacity
        self._fit(self._ring[slot], audio)
        self._types[slot] = audio.dtype
        self._timestamps[slot] = captured
        self._count += 1
        self._written += 1
        return room

    def _fit(self, frame: NDArray[np.float32], audio: Audio) -> None:
        """Put audio of any length and type into one frame of the ring."""
        size = min(audio.size, frame.size)
        self._padded += audio.size < frame.size
        self._truncated += audio.size > frame.size
        part = audio[:size]
        frame[size:] = 0
        if part.dtype == np.int16:
            frame[:size] = to_float(part.astype(np.int16, copy=False))
            return
        frame[:size] = part
        sound = np.isfinite(frame)
        if not sound.all():
            frame[~sound] = 0
            self._faults += 1

    def read(
        self, now: float, dtype: type[np.int16] | type[np.float32] | None = None
    ) -> AudioChunk | None:
        """The oldest chunk; None, and an underrun, if there is none.

        ``dtype`` asks for int16 (rounded, clipped at full scale) or float32; without it
        a chunk comes as it was written.
        """
        wanted = None if dtype is None else np.dtype(dtype)
        if wanted is not None and wanted not in (np.int16, np.float32):
            raise UsageError(f"a buffer gives int16 or float32, not {wanted}")
        if not self._count:
            self._underruns += 1
            return None
        slot = self._oldest
        frame, timestamp = self._ring[slot], self._timestamps[slot]
        as_pcm = (wanted or self._types[slot]) == np.int16
        audio: Audio = to_int16(frame) if as_pcm else frame.copy()
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

    def clear(self) -> int:
        """Drop what waits, as after an interruption; how many chunks that were."""
        dropped, self._count = self._count, 0
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
            padded=self._padded,
            truncated=self._truncated,
            faults=self._faults,
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
