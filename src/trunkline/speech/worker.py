"""A worker process seen from the application's loop.

It is started when first needed, and again when needed after it died, unless it died too
often: a worker that cannot live must not eat the machine. Everything that was waiting
for it is told `Kind.DIED`. Closing its input ends it.
"""

import asyncio
import contextlib
import json
import logging
import os
import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import trunkline
from trunkline.errors import MissingDependencyError, UsageError

from .errors import SpeechError
from .pipes import HEADER, MAX_BYTES, Kind, pack

__all__ = ["Listener", "Worker"]

Listener = Callable[[int, bytes], None]
"""Called on the loop with a message's kind and payload."""

_log = logging.getLogger(__name__)

_START_SECONDS = 30.0
_END_SECONDS = 2.0
_DEATHS, _DEATHS_SECONDS = 5, 60.0
# What may wait in the pipe: 4 MB are over a minute of 8 kHz audio for each of four calls.
_PIPE_BYTES = 4 << 20


class Worker:
    """One worker process, its requests and their listeners. Belongs to one loop."""

    def __init__(self, module: str, options: Sequence[str] = ()) -> None:
        """A worker that runs ``python -m module options...``; starts nothing yet."""
        self.name = module.rpartition(".")[2].replace("_", " ")
        self._command = (sys.executable, "-m", module, *options)
        self._listeners: dict[int, Listener] = {}
        self._last_request = 0
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[dict[str, Any]] | None = None
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._deaths: deque[float] = deque(maxlen=_DEATHS)
        self._fatal: str | None = None
        self._closed = False
        self.started = 0
        """How often the process was started."""

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        """Whether there is a process, or one on its way, that messages would reach."""
        return self._task is not None and not self._task.done() and not self._closed

    def open(self, listener: Listener) -> int:
        """A new request's number; ``listener`` hears of it until `forget`."""
        self._last_request += 1
        self._listeners[self._last_request] = listener
        return self._last_request

    def forget(self, request: int) -> None:
        """Nothing more of this request is wanted."""
        self._listeners.pop(request, None)

    def send(self, kind: Kind, request: int, payload: bytes = b"") -> bool:
        """Write a message, starting the process if need be. Never waits.

        Returns False for audio that was dropped because so much is waiting already.

        Raises:
            UsageError: the worker was closed.
            MissingDependencyError: it cannot run here; says what to install.
            SpeechError: it died too often just now.
        """
        self._start()
        message = pack(kind, request, payload)
        if self._process is None or self._process.stdin is None:
            if kind == Kind.AUDIO and self._waiting_bytes + len(message) > _PIPE_BYTES:
                return False
            self._waiting.append(message)
            self._waiting_bytes += len(message)
            return True
        waiting = self._process.stdin.transport.get_write_buffer_size()
        if kind == Kind.AUDIO and waiting > _PIPE_BYTES:
            return False
        self._process.stdin.write(message)
        return True

    async def ready(self) -> dict[str, Any]:
        """What the process says of itself once it can work; starts it if need be.

        Raises:
            MissingDependencyError: it cannot run here; says what to install.
            SpeechError: it did not start.
        """
        self._start()
        assert self._ready is not None
        try:
            async with asyncio.timeout(_START_SECONDS):
                return await asyncio.shield(self._ready)
        except TimeoutError:
            self.kill()
            raise SpeechError(f"the {self.name} did not start within {_START_SECONDS} s") from None

    def kill(self) -> None:
        """End a process that no longer answers; the next request starts another."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def aclose(self) -> None:
        """End the process and wait until it is gone. Requests end with `Kind.DIED`."""
        self._closed = True
        if self._task is None:
            return
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        _, running = await asyncio.wait([self._task], timeout=_END_SECONDS)
        if running:
            self.kill()
            if self._process is None:  # still being started
                self._task.cancel()
            await asyncio.wait([self._task], timeout=_END_SECONDS)

    def _start(self) -> None:
        if self._closed:
            raise UsageError(f"the {self.name} was closed")
        if self._fatal is not None:
            raise MissingDependencyError(self._fatal)
        if self._task is not None and not self._task.done():
            return
        loop = asyncio.get_running_loop()
        if len(self._deaths) == _DEATHS and loop.time() - self._deaths[0] < _DEATHS_SECONDS:
            raise SpeechError(
                f"the {self.name} died {_DEATHS} times within {_DEATHS_SECONDS:.0f} s"
            )
        self._ready = loop.create_future()
        self._task = loop.create_task(self._run(), name=self.name)

    async def _run(self) -> None:
        assert self._ready is not None
        try:
            await self._live()
        except OSError as error:
            _log.warning("the %s cannot be started: %s", self.name, error)
        finally:
            self._process = None
            self._waiting.clear()
            self._waiting_bytes = 0
            self._bury()

    async def _live(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=_environment(),
        )
        assert process.stdin is not None
        self.started += 1
        self._process = process
        try:
            process.stdin.writelines(self._waiting)
            if self._closed:
                process.stdin.close()
            await self._listen(process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.stdin.close()
            await process.wait()

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await process.stdout.readexactly(HEADER.size)
                kind, request, length = HEADER.unpack(head)
                if length > MAX_BYTES:
                    _log.warning("the %s lost its framing", self.name)
                    return
                self._tell(kind, request, await process.stdout.readexactly(length))

    def _tell(self, kind: int, request: int, payload: bytes) -> None:
        if request:
            if (listener := self._listeners.get(request)) is not None:
                listener(kind, payload)
            return
        assert self._ready is not None
        if kind == Kind.READY and not self._ready.done():
            self._ready.set_result(json.loads(payload))
        elif kind == Kind.ERROR:
            self._fatal = payload.decode(errors="replace")

    def _bury(self) -> None:
        if not self._closed and self._fatal is None:
            self._deaths.append(asyncio.get_running_loop().time())
            _log.warning("the %s ended; it starts again when it is needed", self.name)
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(
                MissingDependencyError(self._fatal)
                if self._fatal
                else SpeechError(f"the {self.name} ended before it was ready")
            )
            self._ready.exception()  # seen: nobody need be waiting for it
        listeners = list(self._listeners.values())
        self._listeners.clear()
        for listener in listeners:
            listener(Kind.DIED, (self._fatal or "").encode())


def _environment() -> dict[str, str]:
    """Ours, with this very package on the path, and one thread for numpy's algebra."""
    root = str(Path(trunkline.__file__).parents[1])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
