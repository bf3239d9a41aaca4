"""The queue of audio waiting to be sent on one leg.

Audio is kept as little-endian 16-bit bytes because the engine joins the frames
of a whole shard with one ``b"".join`` and encodes them in one table look-up;
an array per frame would cost five times as much to gather.

Everything queued carries a *generation*: one utterance of the application.
`Playout.clear` names the first generation that may still be played, so audio
that was on its way from another thread when the caller interrupted can never
leave, however late it arrives.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .frames import frame_samples

__all__ = ["Cleared", "Playout"]

SAMPLE_BYTES = 2
HOLD_TICKS = 2
"""How many ticks an incomplete frame waits for its rest before it is padded.

Synthesisers hand over chunks that are no multiple of a frame; two ticks (40 ms)
bridge the gap between chunks without a click, and a producer that simply
stopped loses nothing but those 40 ms.
"""


@dataclass(frozen=True, slots=True)
class Cleared:
    """What a clear found."""

    generation: int
    """The generation that was playing, or was next to play."""
    sent_samples: int
    """Samples of it that had left."""
    dropped_samples: int
    """Samples of any generation that were queued and are gone."""


@dataclass(slots=True)
class _Utterance:
    """The audio of one generation, first in, first out."""

    generation: int
    chunks: deque[bytes]
    offset: int = 0
    """Bytes of the first chunk that have gone already."""
    queued_bytes: int = 0
    finished: bool = False


class Playout:
    """First-in, first-out audio with generations, for one leg.

    ``limit_ms`` bounds the queue. What does not fit is refused (`push` returns
    the samples it took), unless ``live``: then the oldest audio gives way, as a
    bridged or relayed stream must not gather delay.
    """

    __slots__ = (
        "_frame_bytes",
        "_held",
        "_limit_bytes",
        "_live",
        "_queue",
        "_queued_bytes",
        "floor",
        "frames_taken",
        "overflow_samples",
        "playing",
        "refused_samples",
        "sent_samples",
        "stale_samples",
    )

    def __init__(self, rate_hz: int, *, limit_ms: int = 60_000, live: bool = False) -> None:
        self._frame_bytes = frame_samples(rate_hz) * SAMPLE_BYTES
        if limit_ms < 20:
            raise UsageError(f"a playout holds at least one frame of 20 ms, not {limit_ms} ms")
        self._limit_bytes = rate_hz * limit_ms // 1000 * SAMPLE_BYTES
        self._live = live
        self._queue: deque[_Utterance] = deque()
        self._queued_bytes = 0
        self._held = 0
        self.floor = 0
        """Generations below this one are not taken any more."""
        self.playing = -1
        """The generation that is playing or played last; -1 before the first."""
        self.sent_samples = 0
        """Samples of ``playing`` that were taken, padding not counted."""
        self.frames_taken = 0
        self.refused_samples = 0
        """Samples that did not fit."""
        self.overflow_samples = 0
        """Samples dropped from the front of a live playout."""
        self.stale_samples = 0
        """Samples that arrived with a generation that was cleared or finished before."""

    @property
    def queued_samples(self) -> int:
        """Samples waiting."""
        return self._queued_bytes // SAMPLE_BYTES

    def __bool__(self) -> bool:
        return bool(self._queue)

    @property
    def has_frame(self) -> bool:
        """Whether `take` would give a whole frame."""
        return bool(self._queue) and self._queue[0].queued_bytes >= self._frame_bytes

    def push(self, pcm: NDArray[np.int16] | bytes, generation: int) -> int:
        """Queue audio of any length; returns the samples taken.

        ``pcm`` is int16 at the leg's rate, or the same as little-endian bytes.
        Raises `UsageError` for another type or half a sample.
        """
        data = pcm if isinstance(pcm, bytes) else _to_bytes(pcm)
        if len(data) % SAMPLE_BYTES:
            raise UsageError("16-bit audio has an even number of bytes")
        utterance = self._find(generation)
        if utterance.finished if utterance is not None else self._is_old(generation):
            self.stale_samples += len(data) // SAMPLE_BYTES
            return 0
        if not data:
            return 0
        room = self._limit_bytes - self._queued_bytes
        if len(data) > room:
            if self._live:
                self.overflow_samples += max(0, len(data) - self._limit_bytes) // SAMPLE_BYTES
                data = data[-self._limit_bytes :]
                self._drop_oldest(len(data) - room)
            else:
                self.refused_samples += (len(data) - room) // SAMPLE_BYTES
                data = data[:room]
                if not data:
                    return 0
        if utterance is None:
            utterance = self._begin(generation)
        utterance.chunks.append(data)
        utterance.queued_bytes += len(data)
        self._queued_bytes += len(data)
        return len(data) // SAMPLE_BYTES

    def finish(self, generation: int) -> None:
        """Say that nothing more of this generation comes. Legal more than once."""
        utterance = self._find(generation)
        if utterance is not None:
            utterance.finished = True
        elif not self._is_old(generation):
            self._begin(generation).finished = True

    def clear(self, floor: int) -> Cleared:
        """Drop everything; from now on only ``floor`` and later are taken.

        Raises `UsageError` when ``floor`` does not move forward.
        """
        if floor <= self.floor:
            raise UsageError(f"generation {floor} was cleared already")
        generation, sent = self.playing, self.sent_samples
        if self._queue and self._queue[0].generation != self.playing:
            generation, sent = self._queue[0].generation, 0
        found = Cleared(generation, sent, self.queued_samples)
        self._queue.clear()
        self._queued_bytes = 0
        self._held = 0
        self.floor = floor
        return found

    def take(self) -> tuple[bytes | None, bool, bool]:
        """The next frame, whether it begins and whether it ends a generation.

        The frame is little-endian int16 bytes, None when nothing is to be
        played. A generation that was finished without audio gives
        ``(None, False, True)``. One call per tick.
        """
        if not self._queue:
            return None, False, False
        head = self._queue[0]
        begins = head.generation != self.playing
        size = self._frame_bytes
        if head.queued_bytes < size and not head.finished:
            # A later generation is only started when this one is finished:
            # its producer may still be at work.
            self._held = self._held + 1 if head.queued_bytes else 0
            if not head.queued_bytes or self._held <= HOLD_TICKS:
                return None, False, False
        self._held = 0
        if begins:
            self.playing = head.generation
            self.sent_samples = 0
        if not head.offset and head.chunks and len(head.chunks[0]) == size:
            frame = head.chunks.popleft()  # a live stream comes in whole frames
            head.queued_bytes -= size
            self._queued_bytes -= size
        else:
            frame = self._cut(head, min(size, head.queued_bytes))
        ends = head.finished and not head.queued_bytes
        if ends:
            self._queue.popleft()
        if not frame:
            return None, False, ends
        self.sent_samples += len(frame) // SAMPLE_BYTES
        self.frames_taken += 1
        if len(frame) < size:
            frame = frame.ljust(size, b"\0")
        return frame, begins, ends

    def _cut(self, head: _Utterance, size: int) -> bytes:
        """Remove ``size`` bytes from the front of an utterance."""
        chunks = head.chunks
        head.queued_bytes -= size
        self._queued_bytes -= size
        parts: list[bytes] = []
        while size:
            chunk, start = chunks[0], head.offset
            stop = start + size
            if len(chunk) > stop:
                # The rest stays where it is: cutting it off would copy a
                # minute of audio fifty times a second.
                head.offset = stop
                parts.append(chunk[start:stop])
                break
            chunks.popleft()
            head.offset = 0
            parts.append(chunk[start:] if start else chunk)
            size = stop - len(chunk)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _find(self, generation: int) -> _Utterance | None:
        """The queued utterance of a generation; nearly always it is the last."""
        queue = self._queue
        if queue and queue[-1].generation == generation:
            return queue[-1]
        return next((one for one in queue if one.generation == generation), None)

    def _is_old(self, generation: int) -> bool:
        """Whether a generation that is not queued was cleared, or has been played."""
        return generation < self.floor or generation <= self.playing

    def _begin(self, generation: int) -> _Utterance:
        """A new utterance, before those of later generations."""
        utterance = _Utterance(generation, deque())
        place = sum(one.generation < generation for one in self._queue)
        self._queue.insert(place, utterance)
        return utterance

    def _drop_oldest(self, size: int) -> None:
        """Make room in a live playout."""
        self.overflow_samples += size // SAMPLE_BYTES
        for utterance in self._queue:
            cut = min(size, utterance.queued_bytes)
            if cut:
                self._cut(utterance, cut)
            size -= cut


def _to_bytes(pcm: NDArray[np.int16]) -> bytes:
    """An int16 array as little-endian bytes."""
    if not isinstance(pcm, np.ndarray) or pcm.dtype != np.int16 or pcm.ndim != 1:
        raise UsageError("audio to be played is a one-dimensional int16 array or bytes")
    return pcm.astype("<i2", copy=False).tobytes()
