"""The process that finishes a node's recordings, and the node's end of it.

Its own process, at a low priority, because encoding and uploading are worth a thousand
calls' interpreter time. It is told everything over its standard input, one JSON object a
line (keys and passwords too: nothing is in its arguments or environment), and tells what it
has done on its standard output. When the node dies, so does it, at once: what it had begun
is begun again by the next.
"""

import base64
import contextlib
import fcntl
import json
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from trunkline.errors import TrunklineError

from .recording_manifest import Manifest
from .storage import Storeroom
from .storage_settings import StorageSettings

__all__ = ["StorageProcess", "locked", "main"]

_log = logging.getLogger(__name__)

NICENESS: Final = 10
STEP_SECONDS: Final = 0.5
LOCK: Final = ".lock"
RESTART_SECONDS: Final = 1.0
LONGEST_RESTART_SECONDS: Final = 60.0
DRAIN_SECONDS: Final = 10.0
IDLE_SECONDS: Final = 60.0
"""A process with nothing to do is not kept for longer: it holds some 80 MB."""


class StorageProcess:
    """Starts the process when there is something to be done, and again when it dies."""

    def __init__(
        self,
        settings: StorageSettings,
        *,
        on_stored: Callable[[str, str], None],
        on_alarm: Callable[[str, str], None],
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        """Callbacks come on a thread of this object's; see `Storeroom` for their arguments.

        With nothing to do the process ends after ``idle_seconds``, until there is something.
        """
        self._settings = settings
        self._idle_seconds = 0.0 if settings.stays else idle_seconds
        self._on_stored, self._on_alarm = on_stored, on_alarm
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._unfinished: dict[str, bytes] = {}
        self._outbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._closing = False
        self._status = 0
        self.restarts = 0
        """Times it died and was started again."""

    def start(self) -> None:
        """Have it run: for what a crash left, or before the first recording."""
        with self._lock:
            if self._thread is None and not self._closing:
                self._thread = threading.Thread(target=self._run, name="storage", daemon=True)
                self._thread.start()

    def finished(self, path: Path, data_key: bytes = b"") -> None:
        """A recording is complete; any thread."""
        with self._lock:
            self._unfinished[str(path)] = data_key
            self._send(_told(str(path), data_key))
        self.start()

    def close(self, timeout_seconds: float = DRAIN_SECONDS) -> None:
        """Let it finish what it can in that time; what is left waits for the next start."""
        with self._lock:
            self._closing = True
            thread, process = self._thread, self._process
            self._send({"stop": timeout_seconds})
        if thread is None:
            return
        thread.join(timeout_seconds + 2.0)
        if thread.is_alive() and process is not None:
            process.kill()
            thread.join(2.0)

    @property
    def pid(self) -> int:
        """The process's id; 0 while there is none."""
        process = self._process
        return process.pid if process is not None else 0

    def _run(self) -> None:
        pause = RESTART_SECONDS
        while True:
            began = time.monotonic()
            try:
                self._serve()
            except (OSError, ValueError) as error:
                _log.error("the process that finishes recordings: %s", error)
                self._status = 1
            lived = time.monotonic() - began
            with self._lock:
                self._process = None
                well = self._status == 0
                if self._closing or (well and not self._unfinished):
                    self._thread = None
                    return
            if well:  # it had nothing to do, and now it has
                continue
            self.restarts += 1
            self._on_alarm("worker", "the process that finishes recordings died; a new one starts")
            pause = RESTART_SECONDS if lived > LONGEST_RESTART_SECONDS else 2 * pause
            time.sleep(min(pause, LONGEST_RESTART_SECONDS))

    def _serve(self) -> None:
        command = [sys.executable, "-m", "trunkline.calls.storage_process"]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0
        )
        assert process.stdout is not None
        assert process.stdin is not None
        outbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        carrier = threading.Thread(target=_carry, args=(outbox, process.stdin), daemon=True)
        carrier.start()
        with self._lock:
            self._process, self._outbox = process, outbox
            settings = msgspec.to_builtins(self._settings)
            self._send({"settings": settings, "idle": self._idle_seconds})
            for path, data_key in self._unfinished.items():
                self._send(_told(path, data_key))
            if self._closing:
                self._send({"stop": DRAIN_SECONDS})
        with process.stdout:
            for line in process.stdout:
                self._hear(json.loads(line))
        self._status = process.wait()
        outbox.put(b"")
        carrier.join()

    def _hear(self, told: Mapping[str, Any]) -> None:
        if "stored" in told:
            with self._lock:
                self._unfinished.pop(told["stored"], None)
            self._on_stored(told["call"], told["place"])
            if self.restarts:
                self._on_alarm("worker", "")
        elif "alarm" in told:
            self._on_alarm(told["alarm"], told["detail"])

    def _send(self, message: Mapping[str, Any]) -> None:
        """Tell it something; if it is gone, the next one will be told."""
        if self._process is not None:
            self._outbox.put(json.dumps(message).encode() + b"\n")


def _carry(outbox: "queue.SimpleQueue[bytes]", pipe: IO[bytes]) -> None:
    """Write what is put into a box to a pipe, until it is empty bytes.

    A thread of its own: the recorder's must not wait for a process that does not read.
    """
    with contextlib.suppress(OSError, ValueError), pipe:
        while message := outbox.get():
            pipe.write(message)
            pipe.flush()


def _told(path: str, data_key: bytes) -> dict[str, str]:
    return {"finished": path, "key": base64.b64encode(data_key).decode()}


@contextlib.contextmanager
def locked(folder: Path) -> Any:
    """Whether nobody else finishes this folder's recordings meanwhile; yields it."""
    place = folder / ".queue"
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (place / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


# -- the process itself -----------------------------------------------------------------------


class _Inbox:
    """What the node tells, line by line; the process ends when the node does."""

    def __init__(self, fd: int) -> None:
        self.lines: queue.Queue[dict[str, Any]] = queue.Queue()
        self._fd = fd
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        # Not by a buffered file: this thread would hold its lock when the interpreter ends.
        rest = b""
        while data := os.read(self._fd, 1 << 16):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self.lines.put(json.loads(line))
        os._exit(1)  # the node died; another will see to what is begun

    def wait(self, seconds: float) -> list[dict[str, Any]]:
        """What has come, after at most that long."""
        found = []
        with contextlib.suppress(queue.Empty):
            found.append(self.lines.get(timeout=seconds))
            while True:
                found.append(self.lines.get_nowait())
        return found


def main() -> int:
    """Finish recordings until told to stop."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    tell_lock = threading.Lock()

    def tell(message: Mapping[str, Any]) -> None:
        with tell_lock:
            sys.stdout.write(json.dumps(message) + "\n")
            sys.stdout.flush()

    def stored(path: Path, manifest: Manifest, place: str) -> None:
        tell({"stored": str(path), "call": manifest.call_id, "place": place})

    inbox = _Inbox(sys.stdin.fileno())
    first = inbox.lines.get()
    room = Storeroom(
        msgspec.convert(first["settings"], StorageSettings),
        on_stored=stored,
        on_alarm=lambda kind, detail: tell({"alarm": kind, "detail": detail}),
    )
    _serve(room, inbox, first["idle"])
    return 0


def _serve(room: Storeroom, inbox: _Inbox, idle_seconds: float) -> None:
    until: float | None = None
    busy_at = time.monotonic()
    while True:
        for message in inbox.wait(STEP_SECONDS):
            if "finished" in message:
                key = base64.b64decode(message["key"])
                room.finished(Path(message["finished"]), key)
            elif "stop" in message:
                until = time.monotonic() + message["stop"]
        try:
            with locked(room.folder) as ours:
                waiting = room.step() if ours else 1
        except (TrunklineError, OSError):
            _log.exception("finishing recordings failed; going on")
            waiting = 1
        now = time.monotonic()
        busy_at = now if waiting else busy_at
        if until is not None and (not waiting or now >= until):
            return
        if idle_seconds and now - busy_at > idle_seconds and inbox.lines.empty():
            return


if __name__ == "__main__":
    sys.exit(main())
