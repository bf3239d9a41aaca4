"""The writer thread's half of a recording: the file, the manifest, and trouble with either.

About every 0.75 s it puts what the media thread has handed over on the disk, first the
samples and then the sizes in the header. So the file is a whole WAV at every moment and,
after ``kill -9``, complete to the last second. That is why there is no temporary name: a
file that is always valid needs none.

Trouble that may pass (no space left, a network file system away) does not end a recording:
what is in memory (10 s) waits, what comes beyond that is silence in the file and a gap in
the manifest, and it goes on when there is room. Other trouble ends it; the call goes on.
"""

import contextlib
import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from .recording import FRAMES_A_SECOND, HELD_FRAMES, Entry, Recorded, Recording
from .recording_file import SEALED_SUFFIX, RecordingFile
from .recording_manifest import SUFFIX, Gap, Manifest, create, iso, write
from .recording_queue import RecordingQueue, hash_of
from .wav import LARGEST_DATA_BYTES

if TYPE_CHECKING:
    from .sealing import Sealer

__all__ = ["PASSING", "RecordingWriter", "Writing", "is_full"]

PASSING: Final = frozenset(
    (
        errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ESTALE, errno.ETIMEDOUT,
        errno.EMFILE, errno.ENFILE, errno.ENOMEM,
    )
)  # fmt: skip
"""Trouble that a recording waits out."""
LONG_SILENCE_TICKS: Final = 100
"""From 2 s on silence is a hole in the file and not a block in memory."""


def is_full(folder: Path, min_free_bytes: int) -> OSError | None:
    """What is to be said of a disk with less room than wanted; None while there is enough."""
    if not min_free_bytes:
        return None
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    room = os.statvfs(there)
    free = room.f_bavail * room.f_frsize
    if free >= min_free_bytes:
        return None
    text = f"less than {min_free_bytes >> 20} MB free (recording.min_free_mb)"
    return OSError(errno.ENOSPC, text)


@dataclass(frozen=True, slots=True)
class Writing:
    """What all writers of a recorder have in common."""

    queue: RecordingQueue
    make_sealer: "Callable[[], Sealer] | None"
    on_failure: Callable[[Recording, OSError], None]
    """It ends early."""
    on_trouble: Callable[[Recording, OSError | None], None]
    """It waits for the disk, told at every attempt; with None, it goes on."""
    on_finished: "Callable[[Recording, Path, bytes], None] | None"
    """It is on the disk, with its manifest, and is to be converted or uploaded. The key of
    its own, where it is sealed, is given too."""
    wall_time: Callable[[Recording], datetime | None]
    """When its first sample was, once that is known."""


class RecordingWriter:
    """Writes one recording. The writer thread only."""

    def __init__(self, recording: Recording, common: Writing) -> None:
        self.recording = recording
        self.manifest: Manifest = recording.manifest
        self.file: RecordingFile | None = None
        self.error: OSError | None = None
        """Why it ended early."""
        self.trouble: OSError | None = None
        """What it waits for to pass."""
        self.give_up_at = 0.0
        """When nobody waits any longer, once the call is over."""
        self._common = common
        self._manifest_path: Path | None = None
        self._sealer: Sealer | None = None
        self._frame_bytes = recording.rate_hz // FRAMES_A_SECOND * 2
        self._silence = bytes(self._frame_bytes)
        self._channels = self.manifest.channels
        self._sides = [0, 1]
        if len(self.manifest.legs) == 1:
            self._sides = [0 if self.manifest.legs[0].side == "heard" else 1]

    def start(self, full: OSError | None) -> None:
        """Make the file at once: a call killed in its first second has one too."""
        self._try(lambda: self._open(full))

    def flush(self, full: OSError | None, held: int = HELD_FRAMES) -> None:
        """Put all but the newest ``held`` ticks on the disk."""
        self._try(lambda: self._write(full, held))

    def complete(self, full: OSError | None, *, give_up: bool) -> bool:
        """End it: write everything; whether that is done, or given up."""
        self._try(lambda: self._finish(full))
        if self.trouble is not None and give_up:
            self._fail(self.trouble)
        if self.trouble is not None:
            return False
        self._close()
        self._report()
        return True

    # -- steps, each raising OSError -----------------------------------------------------

    def _try(self, step: Callable[[], None]) -> None:
        if self.error is not None:
            return
        try:
            step()
        except OSError as error:
            if error.errno in PASSING:
                self.trouble = error
                self._common.on_trouble(self.recording, error)
            else:
                self._fail(error)
        else:
            if self.trouble is not None:
                self._note_gap(self.trouble)
                self.trouble = None
                self._common.on_trouble(self.recording, None)

    def _open(self, full: OSError | None) -> None:
        if full is not None:
            raise full
        if self._manifest_path is None:
            self._manifest_path = self._reserve()
        self._common.queue.add(self._manifest_path)
        if self.file is None:
            path = self._manifest_path.with_name(self.manifest.file)
            if self._common.make_sealer is not None and self._sealer is None:
                self._sealer = self._common.make_sealer()
            self.file = RecordingFile(path, self.recording.rate_hz, self._channels, self._sealer)
            self.recording.path = path
        self.file.flush()

    def _reserve(self) -> Path:
        """A name that no other recording has: that of the manifest, written first."""
        wanted = self.recording.path
        wanted.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        stem = wanted.name.partition(".wav")[0]
        sealed = SEALED_SUFFIX if self._common.make_sealer is not None else ""
        for number in count(1):
            name = stem if number == 1 else f"{stem}-{number}"
            self.manifest.file = f"{name}.wav{sealed}"
            path = wanted.with_name(f"{name}{SUFFIX}")
            if path.with_name(self.manifest.file).exists():
                continue  # of a version that wrote no manifests
            if create(path, self.manifest):
                return path
        raise AssertionError("counting does not end")

    def _write(self, full: OSError | None, held: int) -> None:
        if self.file is None:
            self._open(full)
        file = self.file
        assert file is not None
        if full is not None:
            raise full
        file.flush()  # what waited, before anything else
        ready = self.recording.take(held)
        if ready:
            if file.is_deleted:
                raise FileNotFoundError(2, "the recording was deleted while it was made")
            self._append(file, ready)
        self._save()

    def _append(self, file: RecordingFile, ready: Sequence[Entry]) -> None:
        if int not in set(map(type, ready)):  # as it nearly always is
            self._append_samples(file, self._interleave(ready))
            return
        for long, group in groupby(ready, key=_is_long_silence):
            entries = list(group)
            frames = [n for n in entries if isinstance(n, int)] if long else []
            if long:
                size = sum(frames) * self._frame_bytes * self._channels
                self._check_size(file, size)
                file.silence(size)
            else:
                self._append_samples(file, self._interleave(entries))

    def _append_samples(self, file: RecordingFile, samples: bytes) -> None:
        self._check_size(file, len(samples))
        file.append(samples)

    def _check_size(self, file: RecordingFile, more: int) -> None:
        if file.data_bytes + more > LARGEST_DATA_BYTES:
            raise OSError(errno.EFBIG, "the recording has reached the size a WAV can have")

    def _interleave(self, ready: Sequence[Entry]) -> bytes:
        """Ticks as left, right, left, right; as their sum; or one side of them."""
        sides = [self._side(ready, number) for number in self._sides]
        if len(sides) == 1:
            return sides[0]
        left, right = (np.frombuffer(side, "<i2") for side in sides)
        if self._channels == 1:
            mixed = left.astype(np.int32) + right
            return bytes(np.clip(mixed, -32768, 32767).astype("<i2").tobytes())
        stereo = np.empty((len(left), 2), "<i2")
        stereo[:, 0], stereo[:, 1] = left, right
        return stereo.tobytes()

    def _side(self, ready: Sequence[Entry], number: int) -> bytes:
        whole, silence = self._frame_bytes, self._silence
        try:
            # As it nearly always is: no ticks were lost and frames have their length.
            side = b"".join([entry[number] or silence for entry in ready])  # type: ignore[index]
            if len(side) == whole * len(ready):
                return side
        except TypeError:
            pass
        parts = []
        for entry in ready:
            if isinstance(entry, int):
                parts.append(silence * entry)
                continue
            frame = entry[number]
            if frame is None:
                parts.append(silence)
            elif len(frame) == whole:
                parts.append(frame)
            else:  # one of the wrong length shifts nothing
                parts.append((frame + silence)[:whole])
        return b"".join(parts)

    def _save(self) -> None:
        if self.recording.changed and self._manifest_path is not None:
            self.recording.changed = False
            when = self._common.wall_time(self.recording)
            if when is not None:
                self.manifest.started = iso(when)
            try:
                write(self._manifest_path, self.manifest)
            except OSError:
                self.recording.changed = True
                raise

    def _finish(self, full: OSError | None) -> None:
        self._write(full, 0)
        if self.file is not None:
            self.file.finish()
        self._note_end("ended")
        self.recording.changed = True
        self._save()

    # -- ends ------------------------------------------------------------------------------

    def _note_gap(self, trouble: OSError) -> None:
        lost = self.recording.lost()
        if lost is not None:
            gap = Gap(
                from_seconds=lost.from_tick / FRAMES_A_SECOND,
                seconds=lost.ticks / FRAMES_A_SECOND,
                reason=trouble.strerror or str(trouble),
            )
            self.manifest.gaps.append(gap)
            self.recording.changed = True

    def _note_end(self, state: str) -> None:
        manifest, file = self.manifest, self.file
        manifest.state = "ended" if state == "ended" else "failed"
        if manifest.pauses and manifest.pauses[-1].to_seconds is None:
            manifest.pauses[-1].to_seconds = self.recording.at_seconds
        data_bytes = file.data_bytes if file is not None else 0
        manifest.duration_seconds = data_bytes / (2 * self._channels) / self.recording.rate_hz
        if manifest.keep_days:
            until = datetime.now(UTC) + timedelta(days=manifest.keep_days)
            manifest.delete_after = iso(until)

    def _fail(self, error: OSError) -> None:
        self.error, self.trouble = error, None
        self.recording.fail()
        self.manifest.error = error.strerror or str(error)
        if self.file is not None:
            with contextlib.suppress(OSError):
                self.file.abandon()
        self._note_end("failed")
        self.recording.changed = True
        self._close()
        self._common.on_failure(self.recording, error)

    def _close(self) -> None:
        file = self.file
        if file is None:
            return
        try:
            file.close()
        except OSError as error:
            if self.error is None:
                self.error = error
                self._common.on_failure(self.recording, error)

    def _report(self) -> None:
        """Hand the finished recording on, and tell the outcome."""
        recording, path = self.recording, self._manifest_path
        with contextlib.suppress(OSError):  # it stays in the queue for whoever comes next
            self._save()
            if path is not None and self._is_final:
                self._conclude(path)
        if path is not None and not self._is_final and self._common.on_finished is not None:
            key = self._sealer.data_key if self._sealer is not None else b""
            self._common.on_finished(recording, path, key)
        outcome = Recorded(
            recording.path,
            self.manifest.duration_seconds,
            recording.dropped,
            recording.late_filled,
            recording.late_lost,
            self.error,
        )
        recording.done.set_result(outcome)

    @property
    def _is_final(self) -> bool:
        """Whether nobody has to convert or upload it."""
        return self.manifest.wanted_format == self.manifest.format and self.manifest.upload is None

    def _conclude(self, path: Path) -> None:
        """All that is left to do for it is its hash."""
        manifest = self.manifest
        manifest.sha256 = hash_of(self.recording.path)
        manifest.bytes = self.recording.path.stat().st_size
        manifest.finished = True
        write(path, manifest)
        self._common.queue.remove(path)


def _is_long_silence(entry: Entry) -> bool:
    return isinstance(entry, int) and entry >= LONG_SILENCE_TICKS
