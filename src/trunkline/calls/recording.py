"""One recording of a call: what the media thread hands over, tick by tick.

The media thread gives one frame of each side a tick and does no more: frames are copied
into a bounded queue. Everything else is the writer's (``recording_writer``), on a thread
that all recordings of a node share (``recorder``).

    <folder>/2026-11-20/<call id>.wav     16-bit PCM, the far end left, our side right
    <folder>/2026-11-20/<call id>.json    the manifest

While a recording is paused nothing of the audio is kept anywhere: the frame is not put
into the queue at all, only a tick of silence.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .recording_manifest import Manifest, Mark, Pause

__all__ = [
    "FRAMES_A_SECOND",
    "HELD_FRAMES",
    "PENDING_FRAMES",
    "SKIPPED_TICKS",
    "Entry",
    "Frame",
    "Recorded",
    "Recording",
]

Frame = NDArray[np.int16]

FRAMES_A_SECOND: Final = 50
PENDING_FRAMES: Final = 500
"""Frames a recording holds while the disk is slow: 10 s, 320 KB at 8 kHz."""
HELD_FRAMES: Final = 10
"""The newest frames stay in memory, for late ones: 200 ms, the jitter buffer's reach."""
SKIPPED_TICKS: Final = 3000
"""A minute: a process that was stopped for longer does not fill the disk with silence."""

Entry = list[bytes | None] | tuple[None, None] | int
"""One tick (heard, sent); a tuple is a paused tick, a number is that many lost ones."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a recording."""

    path: Path
    """The file."""
    duration_seconds: float
    """How much of the call is in it."""
    dropped_frames: int
    """Ticks that are silence in the file because the disk was too slow or full."""
    late_filled: int
    """Late frames that were put where they belong."""
    late_lost: int
    """Late frames for which no silent place was left in memory."""
    error: OSError | None
    """Why it ended early, if it did."""


class Lost(NamedTuple):
    """Ticks that are silence because nothing could be written."""

    from_tick: int
    ticks: int


class Recording:
    """One call's recording. `write` belongs to the media thread, the rest to any."""

    def __init__(
        self, path: Path, manifest: Manifest, on_close: Callable[["Recording"], None]
    ) -> None:
        self.path = path
        """The file; a number is added to the name if there is one already."""
        self.rate_hz = manifest.rate_hz
        """Samples a second, of each side."""
        self.began_at: float | None = None
        """When its first tick was, on the media clock; for its writer to say."""
        self.manifest = manifest
        """What is told of it; changed by its methods and its writer only."""
        self.changed = True
        """Whether the manifest's file is older than the manifest."""
        self.is_paused = False
        """Whether silence is recorded now."""
        self.done: Future[Recorded] = Future()
        """The outcome, when everything is on the disk."""
        self.done.set_running_or_notify_cancel()  # a caller who gives up must not stop the writer
        self._on_close = on_close
        self._lock = threading.Lock()
        self._pending: deque[Entry] = deque()
        self._holes: deque[list[bytes | None]] = deque()
        self._closed = False  # nothing more is taken: it ends, or has failed
        self._ending = False
        self._ticks = 0
        self._resumed_at = 0
        self._lost_from = -1
        self._dropped_before = 0
        # Counted by the media thread only:
        self.dropped = 0
        """Ticks the disk was too slow or too full for."""
        self.late_filled = 0
        """Late frames that were put where they belong."""
        self.late_lost = 0
        """Late frames there was no place for."""

    # -- the media thread ---------------------------------------------------------------

    def write(self, heard: Frame | None, sent: Frame | None) -> None:
        """Record one tick: a frame of each side, or None for silence.

        The frames are copied (about 0.1 µs each), because they are often views of a
        block that the next tick writes over.
        """
        if self._closed:
            return
        pending = self._pending
        with self._lock:  # held by others for microseconds
            self._ticks += 1
            if len(pending) >= PENDING_FRAMES:
                self._drop()
            elif self.is_paused:  # asked under the lock: a pause holds at once
                pending.append((None, None))
            else:
                entry = [
                    None if heard is None else heard.tobytes(),
                    None if sent is None else sent.tobytes(),
                ]
                pending.append(entry)
                if heard is None:
                    self._holes.append(entry)

    def skip(self, ticks: int) -> None:
        """Record silence for ticks that did not come: the machine was too busy for them.

        What follows stays where it belongs in time.
        """
        if self._closed or ticks <= 0:
            return
        with self._lock:
            ticks = min(ticks, SKIPPED_TICKS)
            self._ticks += ticks
            self._silent(ticks)

    def write_late(self, heard: Frame) -> None:
        """Put a frame that was due before into the oldest silence still in memory.

        After a stall, for frames the jitter buffer no longer plays. None of a pause: for
        as long as one could be late, nothing late is taken after `resume`.
        """
        if self._closed or self.is_paused or self._ticks < self._resumed_at:
            return
        with self._lock:
            if self._holes and not self.is_paused:
                self._holes.popleft()[0] = heard.tobytes()
                self.late_filled += 1
            else:
                self.late_lost += 1

    # -- any thread -----------------------------------------------------------------------

    @property
    def at_seconds(self) -> float:
        """How long it is by now."""
        return round(self._ticks / FRAMES_A_SECOND, 3)

    def pause(self, reason: str = "") -> None:
        """Record silence from now on, as while a card number is being said."""
        with self._lock:
            if self.is_paused:
                return
            self.is_paused = True
            self._holes.clear()
            self.manifest.pauses.append(Pause(from_seconds=self.at_seconds, reason=reason))
            self.changed = True

    def resume(self) -> None:
        """Record again. Nothing said during the pause gets in as a late frame."""
        with self._lock:
            if not self.is_paused:
                return
            self.is_paused = False
            self._holes.clear()
            self._resumed_at = self._ticks + HELD_FRAMES
            self.manifest.pauses[-1].to_seconds = self.at_seconds
            self.changed = True

    def mark(self, name: str, detail: str = "") -> None:
        """Remember this moment under a name, in the manifest."""
        with self._lock:
            moment = Mark(name=name, at_seconds=self.at_seconds, detail=detail)
            self.manifest.marks.append(moment)
            self.changed = True

    def close(self) -> Future[Recorded]:
        """End it; the future has the outcome when everything is on the disk.

        Does not wait, and never fails: see `Recorded.error`. Legal more than once.
        """
        with self._lock:
            first, self._ending = not self._ending, True
            self._closed = True
        if first:
            self._on_close(self)
        return self.done

    # -- its writer -------------------------------------------------------------------------

    def take(self, held: int) -> list[Entry]:
        """Everything but the newest ``held`` ticks, out of the queue."""
        with self._lock:
            ready = [self._pending.popleft() for _ in range(len(self._pending) - held)]
            if self._holes:
                self._holes = deque(
                    entry for entry in self._pending if isinstance(entry, list) and entry[0] is None
                )
        return ready

    def lost(self) -> Lost | None:
        """What was dropped since this was last asked; once, when writing works again."""
        with self._lock:
            if self._lost_from < 0:
                return None
            lost = Lost(self._lost_from, self.dropped - self._dropped_before)
            self._lost_from = -1
        return lost

    def fail(self) -> None:
        """Take nothing more."""
        with self._lock:
            self._closed = True
            self._pending.clear()
            self._holes.clear()

    def _drop(self) -> None:
        """Remember a tick the disk was too slow for, so that the next ones stay in place."""
        if self._lost_from < 0:
            self._lost_from, self._dropped_before = self._ticks - 1, self.dropped
        self._silent(1)
        self.dropped += 1

    def _silent(self, ticks: int) -> None:
        last = self._pending[-1] if self._pending else None
        if isinstance(last, int):
            self._pending[-1] = last + ticks
        else:
            self._pending.append(ticks)
