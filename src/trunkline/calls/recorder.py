"""The recorder: the writer thread of all recordings of a node, and where they go."""

import logging
import re
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trunkline
from trunkline.errors import UsageError

from .processes import identity
from .recording import Recording
from .recording_file import SEALED_SUFFIX
from .recording_manifest import Manifest, Party, Upload, iso
from .recording_options import RecordingOptions
from .recording_queue import RecordingQueue
from .recording_writer import RecordingWriter, Writing, is_full
from .sealing_keys import SealingKey

if TYPE_CHECKING:
    from .sealing import Sealer

__all__ = ["FLUSH_SECONDS", "Recorder"]

_log = logging.getLogger(__name__)

FLUSH_SECONDS: Final = 0.75
"""With the 200 ms that are held for late frames, less than a second is not on the disk."""
SLOTS: Final = 20
"""Recordings are flushed in turns: a thousand at once would keep the interpreter from the
media thread for tens of milliseconds."""
LINGER_SECONDS: Final = 60.0
"""How long the end of a call's recording waits for room on the disk."""
ROOM_SECONDS: Final = 1.0
"""How often the disk is asked for its room."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")

STANDARD: Final = RecordingOptions("wav", "stereo", "both", 0)


class Recorder:
    """Makes recordings in a folder and writes them. The constructor does no I/O."""

    def __init__(
        self,
        folder: Path,
        on_error: Callable[[Recording, OSError], None] | None = None,
        flush_seconds: float = FLUSH_SECONDS,
        *,
        options: RecordingOptions = STANDARD,
        keys: Sequence[SealingKey] = (),
        min_free_bytes: int = 0,
        node: str = "",
        bit_rate: int = 0,
        uploads: bool = False,
        on_trouble: Callable[[Recording, OSError | None], None] | None = None,
        on_finished: Callable[[Recording, Path, bytes], None] | None = None,
    ) -> None:
        """Callbacks come on the writer thread.

        ``on_error`` is told of a recording that ends early, ``on_trouble`` of one that
        waits for the disk, and with None that it goes on. ``on_finished`` gets each that
        is to be converted or uploaded, with its manifest's path and the key it is sealed
        with.
        """
        self.folder = folder
        self.errors = 0
        """Recordings that ended early."""
        self.stalls = 0
        """Times a recording had to wait for the disk."""
        self.options = options.over(STANDARD)
        """How calls are recorded where nothing else is said."""
        self._keys = tuple(keys)
        self._min_free_bytes = min_free_bytes
        self._node, self._bit_rate, self._uploads = node, bit_rate, uploads
        self._on_error, self._on_trouble = on_error, on_trouble
        self._first_sample: dict[Recording, Callable[[float], datetime]] = {}
        self._writing = Writing(
            RecordingQueue(folder), self._make_sealer if self._keys else None,
            self._failed, self._troubled, on_finished, self._wall_time,
        )  # fmt: skip
        self._step_seconds = flush_seconds / SLOTS
        self._wake = threading.Condition()
        self._writers: dict[Recording, RecordingWriter] = {}
        self._stalled: set[Recording] = set()  # the writer thread's
        self._slots: list[list[RecordingWriter]] = [[] for _ in range(SLOTS)]
        self._opening, self._closing, self._lingering = _nobody(), _nobody(), _nobody()
        self._stopping = False
        self._full: OSError | None = None
        self._asked_at = -ROOM_SECONDS
        self._thread: threading.Thread | None = None

    def open(
        self,
        call_id: str,
        rate_hz: int,
        when: datetime | None = None,
        *,
        options: RecordingOptions | None = None,
        about: Manifest | None = None,
        wall_time: Callable[[float], datetime] | None = None,
    ) -> Recording:
        """Begin a recording; does no I/O, the writer thread makes the file.

        ``about`` has what the manifest is to tell of the call; ``wall_time`` makes a
        moment of the media clock a time of day.

        Raises:
            UsageError: the recorder is closed.
        """
        wanted = (options or self.options).over(self.options)
        when = when or datetime.now(UTC)
        manifest = self._manifest(about or Manifest(), wanted, call_id, rate_hz, when)
        suffix = SEALED_SUFFIX if self._keys else ""
        name = (_UNSAFE.sub("_", call_id).lstrip(".") or "call")[:120]
        path = self.folder / when.strftime("%Y-%m-%d") / f"{name}.wav{suffix}"
        recording = Recording(path, manifest, self._finish)
        writer = RecordingWriter(recording, self._writing)
        with self._wake:
            if self._stopping:
                raise UsageError("the recorder is closed")
            if wall_time is not None:
                self._first_sample[recording] = wall_time
            self._writers[recording] = writer
            min(self._slots, key=len).append(writer)
            self._opening.append(writer)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
                self._thread.start()
            self._wake.notify()
        return recording

    def listen(
        self,
        on_error: Callable[[Recording, OSError], None],
        on_trouble: Callable[[Recording, OSError | None], None],
    ) -> None:
        """Have somebody told of trouble who was not there when this was made."""
        self._on_error = self._on_error or on_error
        self._on_trouble = self._on_trouble or on_trouble

    def close(self, timeout_seconds: float = 10.0) -> bool:
        """End every recording and the thread; False if the disk did not let it in time."""
        with self._wake:
            recordings = list(self._writers)
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

    def writer(self, recording: Recording) -> RecordingWriter:
        """Who writes a recording that has not ended."""
        with self._wake:
            return self._writers[recording]

    def _manifest(
        self, about: Manifest, options: RecordingOptions, call_id: str, rate_hz: int, when: datetime
    ) -> Manifest:
        about.call_id, about.rate_hz, about.started = call_id, rate_hz, iso(when)
        about.wanted_format = options.format or "wav"
        about.bit_rate = self._bit_rate if about.wanted_format == "opus" else 0
        about.keep_days = options.keep_days or 0
        both = options.sides == "both"
        about.channels = 2 if both and options.mix == "stereo" else 1
        legs = about.legs or [Party(channel=0, side="heard"), Party(channel=1, side="sent")]
        about.legs = [
            Party(
                channel=leg.channel if about.channels == 2 else 0,
                side=leg.side, party=leg.party, leg=leg.leg,
            )
            for leg in legs
            if both or leg.side == options.sides
        ]  # fmt: skip
        about.node, about.process = self._node, identity()
        about.app_version = trunkline.__version__
        if self._keys:
            about.encryption = "AES-256-GCM"
            about.key_ids = [key.id for key in self._keys]
        if self._uploads:
            about.upload = Upload()
        return about

    def _make_sealer(self) -> "Sealer":
        # Here and not above: only those who encrypt need the package.
        from .sealing import Sealer

        return Sealer(self._keys)

    def _wall_time(self, recording: Recording) -> datetime | None:
        wall_time = self._first_sample.get(recording)
        if wall_time is None or recording.began_at is None:
            return None
        return wall_time(recording.began_at)

    # -- what writers tell ------------------------------------------------------------------

    def _finish(self, recording: Recording) -> None:
        with self._wake:
            self._closing.append(self._writers[recording])
            self._wake.notify()

    def _failed(self, recording: Recording, error: OSError) -> None:
        self.errors += 1
        _log.error("the recording %s ends early: %s", recording.path, error)
        if self._on_error is not None:
            self._tell(partial(self._on_error, recording, error))

    def _troubled(self, recording: Recording, error: OSError | None) -> None:
        if error is not None and recording not in self._stalled:
            self.stalls += 1
            self._stalled.add(recording)
        elif error is None:
            self._stalled.discard(recording)
        if self._on_trouble is not None:
            self._tell(partial(self._on_trouble, recording, error))

    def _tell(self, listener: Callable[[], None]) -> None:
        try:
            listener()
        except Exception:  # noqa: BLE001  # a bad listener must not end every other recording
            _log.exception("telling of a recording's trouble failed")

    # -- the writer thread ---------------------------------------------------------------------

    def _run(self) -> None:
        """Open and close at once, flush one slot in its turn."""
        step = self._step_seconds
        turn, due_at = 0, time.monotonic() + step
        while True:
            with self._wake:
                if not self._opening and not self._closing:
                    idle = not any(self._slots) and not self._lingering
                    if idle and self._stopping:
                        return
                    self._wake.wait(None if idle else max(0.0, due_at - time.monotonic()))
                opening, self._opening = self._opening, []
                closing, self._closing = self._closing, []
                for writer in closing:
                    self._forget(writer)
                due = list(self._slots[turn]) if time.monotonic() >= due_at else None
            full = self._room()
            for writer in opening:
                writer.start(full)
            for writer in closing:
                writer.give_up_at = time.monotonic() + LINGER_SECONDS
            again = self._lingering if due is not None and not turn else ()
            self._complete([*closing, *again], full)
            if due is not None:
                for writer in due:
                    writer.flush(full)
                turn, due_at = (turn + 1) % SLOTS, time.monotonic() + step

    def _complete(self, writers: Sequence[RecordingWriter], full: OSError | None) -> None:
        for writer in writers:
            give_up = self._stopping or time.monotonic() >= writer.give_up_at
            done = writer.complete(full, give_up=give_up)
            if not done and writer not in self._lingering:
                self._lingering.append(writer)
            elif done:
                if writer in self._lingering:
                    self._lingering.remove(writer)
                with self._wake:
                    self._writers.pop(writer.recording, None)
                    self._first_sample.pop(writer.recording, None)
                self._stalled.discard(writer.recording)

    def _room(self) -> OSError | None:
        """What is wrong with the disk's room, asked for once a second."""
        now = time.monotonic()
        if now - self._asked_at >= ROOM_SECONDS:
            self._asked_at = now
            try:
                self._full = is_full(self.folder, self._min_free_bytes)
            except OSError as error:
                self._full = error
        return self._full

    def _forget(self, writer: RecordingWriter) -> None:
        for slot in self._slots:
            if writer in slot:
                slot.remove(writer)
                return


def _nobody() -> list[RecordingWriter]:
    return []
