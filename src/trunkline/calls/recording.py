"""Stereo recordings of calls: the caller left, our side right, sample-aligned.

The media thread hands over one frame of each side a tick and does no more; one
writer thread for all recordings puts about a second of frames at a time on the
disk, first the samples and then the sizes in the header. So the file is a whole
WAV at every moment and, after ``kill -9``, complete to the last second or so.
That is why there is no temporary name: a file that is always valid needs none,
and a rename would be one more thing to finish after a crash.

    <folder>/2026-11-20/<call id>.wav     16-bit PCM, two channels

Nothing here can disturb a call: if the disk is full, the folder not writable or
the file deleted, the recording ends, with its error counted and told.
"""

import logging
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .wav import LARGEST_DATA_BYTES, SAMPLE_BYTES, header

__all__ = ["Recorded", "Recorder", "Recording"]

_log = logging.getLogger(__name__)

Frame = NDArray[np.int16]

FRAMES_A_SECOND: Final = 50
PENDING_FRAMES: Final = 500
"""Frames a recording holds while the disk is slow: 10 s, 320 KB at 8 kHz."""
HELD_FRAMES: Final = 10
"""The newest frames stay in memory, for late ones: 200 ms, the jitter buffer's reach."""
FLUSH_SECONDS: Final = 1.0
SLOTS: Final = 20
"""Recordings are flushed in turns, 50 ms apart: a thousand at once would keep the
interpreter from the media thread for tens of milliseconds."""

SKIPPED_TICKS: Final = 3000
"""A minute: a process that was stopped for longer does not fill the disk with silence."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")

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
    """Ticks that are silence in the file because the disk was too slow."""
    late_filled: int
    """Late frames that were put where they belong."""
    late_lost: int
    """Late frames for which no silent place was left in memory."""
    error: OSError | None
    """Why it ended early, if it did."""


class Recording:
    """One call's recording. `write` belongs to the media thread, the rest to any."""

    def __init__(self, recorder: "Recorder", name: str, folder: Path, rate_hz: int) -> None:
        self.path = folder / f"{name}.wav"
        """The file; a number is added to the name if there is one already."""
        self.rate_hz = rate_hz
        """Samples a second, of each side."""
        self.began_at: float | None = None
        """When its first tick was, on the media clock; for its writer to say."""
        self._recorder = recorder
        self._frame_bytes = rate_hz // FRAMES_A_SECOND * 2
        self._silence = bytes(self._frame_bytes)
        self._lock = threading.Lock()
        self._pending: deque[Entry] = deque()
        self._holes: deque[list[bytes | None]] = deque()
        self._paused = False
        self._closed = False  # nothing more is taken: it ends, or has failed
        self._ending = False
        self._done: Future[Recorded] = Future()
        self._done.set_running_or_notify_cancel()  # a caller who gives up must not stop the writer
        # Written by the writer thread only:
        self._fd = -1
        self._data_bytes = 0
        self._error: OSError | None = None
        # Counted by the media thread only:
        self._dropped = 0
        self._late_filled = 0
        self._late_lost = 0

    def write(self, heard: Frame | None, sent: Frame | None) -> None:
        """Record one tick: a frame of each side, or None for silence.

        Media thread. The frames are copied (about 0.1 µs each), because they are
        often views of a block that the next tick writes over.
        """
        if self._closed:
            return
        entry = [
            None if heard is None else heard.tobytes(),
            None if sent is None else sent.tobytes(),
        ]
        with self._lock:
            pending = self._pending
            if len(pending) >= PENDING_FRAMES:
                self._drop()
            elif self._paused:
                pending.append((None, None))
            else:
                pending.append(entry)
                if heard is None:
                    self._holes.append(entry)

    def skip(self, ticks: int) -> None:
        """Record silence for ticks that did not come: the machine was too busy for them.

        Media thread. What follows stays where it belongs in time.
        """
        if self._closed or ticks <= 0:
            return
        with self._lock:
            self._silent(min(ticks, SKIPPED_TICKS))

    def write_late(self, heard: Frame) -> None:
        """Put a frame that was due before into the oldest silence still in memory.

        Media thread; after a stall, for frames the jitter buffer no longer plays.
        """
        if self._closed or self._paused:
            return
        with self._lock:
            if self._holes:
                self._holes.popleft()[0] = heard.tobytes()
                self._late_filled += 1
            else:
                self._late_lost += 1

    def pause(self) -> None:
        """Record silence from now on, as while a card number is being said."""
        with self._lock:
            self._paused = True

    def resume(self) -> None:
        """Record again. Nothing said during the pause gets in as a late frame."""
        with self._lock:
            self._paused = False
            self._holes.clear()

    def close(self) -> Future[Recorded]:
        """End it; the future has the outcome when everything is on the disk.

        Does not wait, and never fails: see `Recorded.error`. Legal more than once.
        """
        with self._lock:
            first, self._ending = not self._ending, True
            self._closed = True
        if first:
            self._recorder._finish(self)
        return self._done

    def _drop(self) -> None:
        """Remember a tick the disk was too slow for, so that the next ones stay in place."""
        self._silent(1)
        self._dropped += 1

    def _silent(self, ticks: int) -> None:
        last = self._pending[-1] if self._pending else None
        if isinstance(last, int):
            self._pending[-1] = last + ticks
        else:
            self._pending.append(ticks)

    # The writer thread's half.

    def _start(self) -> None:
        """Make the file at once: a call killed in its first second has one too."""
        try:
            self._make_file()
        except OSError as error:
            self._fail(error)

    def _make_file(self) -> None:
        folder, stem = self.path.parent, self.path.stem
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for number in count(1):
            path = self.path if number == 1 else folder / f"{stem}-{number}.wav"
            try:
                # Readable by us alone: it is what people said.
                self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                continue
            self.path = path
            break
        _write_all(self._fd, header(self.rate_hz, 0))

    def _flush(self, held: int) -> None:
        """Put all but the newest ``held`` ticks on the disk; an error ends the recording."""
        if self._error is not None:
            return
        try:
            self._write_pending(held)
        except OSError as error:
            self._fail(error)

    def _write_pending(self, held: int) -> None:
        ready = self._take(held)
        if not ready:
            return
        if os.fstat(self._fd).st_nlink == 0:
            raise FileNotFoundError(2, "the recording was deleted while it was made")
        data = self._interleave(ready)
        if self._data_bytes + len(data) > LARGEST_DATA_BYTES:
            raise OSError(27, "the recording has reached the size a WAV can have")
        _write_all(self._fd, data)
        self._data_bytes += len(data)
        os.pwrite(self._fd, header(self.rate_hz, self._data_bytes), 0)

    def _take(self, held: int) -> list[Entry]:
        with self._lock:
            ready = [self._pending.popleft() for _ in range(len(self._pending) - held)]
            self._holes = deque(
                entry for entry in self._pending if isinstance(entry, list) and entry[0] is None
            )
        return ready

    def _interleave(self, ready: list[Entry]) -> bytes:
        """Ticks as left, right, left, right..."""
        sides: tuple[list[bytes], list[bytes]] = ([], [])
        for entry in ready:
            if isinstance(entry, int):
                for side in sides:
                    side.append(self._silence * entry)
                continue
            for side, frame in zip(sides, entry, strict=True):
                side.append(self._fitted(frame))
        stereo = np.stack([np.frombuffer(b"".join(side), np.int16) for side in sides], axis=1)
        return stereo.astype("<i2", copy=False).tobytes()

    def _fitted(self, frame: bytes | None) -> bytes:
        """A frame of exactly 20 ms, so that one of the wrong length shifts nothing."""
        if frame is None:
            return self._silence
        if len(frame) == self._frame_bytes:
            return frame
        return (frame + self._silence)[: self._frame_bytes]

    def _fail(self, error: OSError) -> None:
        self._error = error
        self._closed = True
        self._pending.clear()
        self._holes.clear()
        self._close_file()
        self._recorder._failed(self, error)

    def _close_file(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            try:
                os.close(fd)
            except OSError as error:  # a network file system tells of a lost write here
                if self._error is None:
                    self._error = error
                    self._recorder._failed(self, error)

    def _complete(self) -> None:
        self._flush(held=0)
        self._close_file()
        seconds = self._data_bytes / SAMPLE_BYTES / self.rate_hz
        outcome = Recorded(
            self.path, seconds, self._dropped, self._late_filled, self._late_lost, self._error
        )
        self._done.set_result(outcome)


class Recorder:
    """The writer thread of all recordings of a node, and where they go."""

    def __init__(
        self,
        folder: Path,
        on_error: Callable[[Recording, OSError], None] | None = None,
        flush_seconds: float = FLUSH_SECONDS,
    ) -> None:
        """``on_error`` is called on the writer thread, once for a recording that fails."""
        self.folder = folder
        self.errors = 0
        """Recordings that ended early."""
        self._on_error = on_error
        self._step_seconds = flush_seconds / SLOTS
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._slots: list[list[Recording]] = [[] for _ in range(SLOTS)]
        self._opening: list[Recording] = []
        self._closing: list[Recording] = []
        self._stopping = False
        self._thread: threading.Thread | None = None

    def open(self, call_id: str, rate_hz: int, when: datetime | None = None) -> Recording:
        """Begin a recording; does no I/O, the writer thread makes the file.

        Raises:
            UsageError: the recorder is closed.
        """
        day = (when or datetime.now(UTC)).strftime("%Y-%m-%d")
        name = _UNSAFE.sub("_", call_id).lstrip(".") or "call"
        recording = Recording(self, name[:120], self.folder / day, rate_hz)
        with self._wake:
            if self._stopping:
                raise UsageError("the recorder is closed")
            min(self._slots, key=len).append(recording)
            self._opening.append(recording)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
                self._thread.start()
            self._wake.notify()
        return recording

    def close(self, timeout_seconds: float = 10.0) -> bool:
        """End every recording and the thread; False if the disk did not let it in time."""
        with self._lock:
            recordings = [recording for slot in self._slots for recording in slot]
        for recording in recordings:
            recording.close()
        with self._wake:
            self._stopping = True
            thread = self._thread
            self._wake.notify()
        if thread is None:
            return True
        thread.join(timeout_seconds)
        return not thread.is_alive()

    def _finish(self, recording: Recording) -> None:
        with self._wake:
            self._closing.append(recording)
            self._wake.notify()

    def _failed(self, recording: Recording, error: OSError) -> None:
        self.errors += 1
        _log.error("the recording %s ends early: %s", recording.path, error)
        if self._on_error is None:
            return
        try:
            self._on_error(recording, error)
        except Exception:  # noqa: BLE001  # a bad listener must not end every other recording
            _log.exception("telling of a failed recording failed")

    def _run(self) -> None:
        """The writer thread: open and close at once, flush one slot every 50 ms."""
        step = self._step_seconds
        turn, due_at = 0, time.monotonic() + step
        while True:
            with self._wake:
                if not self._opening and not self._closing:
                    idle = not any(self._slots)
                    if idle and self._stopping:
                        return
                    self._wake.wait(None if idle else max(0.0, due_at - time.monotonic()))
                opening, self._opening = self._opening, []
                closing, self._closing = self._closing, []
                for recording in closing:
                    self._forget(recording)
                due = list(self._slots[turn]) if time.monotonic() >= due_at else None
            for recording in opening:
                recording._start()
            for recording in closing:
                recording._complete()
            if due is not None:
                for recording in due:
                    recording._flush(HELD_FRAMES)
                turn, due_at = (turn + 1) % SLOTS, time.monotonic() + step

    def _forget(self, recording: Recording) -> None:
        for slot in self._slots:
            if recording in slot:
                slot.remove(recording)
                return


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
