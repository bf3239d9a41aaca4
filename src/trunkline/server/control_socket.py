"""The local socket by which commands reach a running node.

A Unix socket of mode 0600: who may open it is this user, and nobody else needs to prove
anything. One JSON object a line:

    {"id": 1, "command": "trunks", "arguments": {}}
    {"id": 1, "result": [...]}            or {"id": 1, "error": "there is no trunk ..."}

A line is at most 1 MB, a command at most a minute.
"""

import asyncio
import contextlib
import json
import logging
import os
import socket
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from trunkline.errors import TrunklineError, UsageError

__all__ = ["ControlSocket", "ask"]

LONGEST_LINE_BYTES: Final = 1 << 20
COMMAND_SECONDS: Final = 60.0
MOST_PATH_BYTES: Final = 100
"""A socket's path has 108 bytes; a longer one is reached through its folder."""
MOST_CLIENTS: Final = 32

Command = Callable[[Mapping[str, Any]], Any]

log = logging.getLogger(__name__)


class ControlSocket:
    """Serves commands by name on the application's loop."""

    def __init__(self, path: Path, commands: Mapping[str, Command]) -> None:
        self.path = path
        self.commands = dict(commands)
        """More may be added at any time."""
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def start(self) -> bool:
        """Listen; False, and a line in the log, where another node does or none can."""
        try:
            listening = await asyncio.to_thread(_listen, self.path)
        except OSError as error:
            # A call that is placed beside a running node has none, and needs none.
            level = logging.INFO if error.errno == 0 else logging.WARNING
            log.log(level, "no control socket at %s: %s", self.path, error.strerror or error)
            return False
        self._server = await asyncio.start_unix_server(
            self._connected, sock=listening, limit=LONGEST_LINE_BYTES
        )
        return True

    async def close(self) -> None:
        """Listen no more, and take the socket away."""
        if self._server is None:
            return
        self._server.close()
        for client in list(self._clients):
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        self._server = None
        with contextlib.suppress(OSError):
            self.path.unlink()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._clients) >= MOST_CLIENTS:
            writer.close()
            return
        self._clients.add(task)
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(line), default=str).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError, asyncio.CancelledError):
            pass  # gone, or a line without end
        finally:
            self._clients.discard(task)
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        """What one line is answered with; never raises for what is in it."""
        request: Any = None
        try:
            request = json.loads(line)
            identity, name = request.get("id"), str(request["command"])
            arguments = request.get("arguments") or {}
            command = self.commands.get(name)
            if command is None or not isinstance(arguments, dict):
                return {"id": identity, "error": f"there is no command {name}"}
            async with asyncio.timeout(COMMAND_SECONDS):
                result = command(arguments)
                if asyncio.iscoroutine(result):
                    result = await result
        except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
            identity = request.get("id") if isinstance(request, dict) else None
            return {"id": identity, "error": f"that is no request: {error!r}"}
        except (TrunklineError, TimeoutError) as error:
            return {"id": identity, "error": str(error) or "it took too long"}
        return {"id": identity, "result": result}


def _listen(path: Path) -> socket.socket:
    """A listening socket that only this user can open; takes the place of a dead node's."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
        if _answers(path):
            raise OSError(0, "another node has it")
        path.unlink()
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)  # from its first moment on
    try:
        with _short(path) as address:
            listening.bind(address)
        listening.listen(16)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    finally:
        os.umask(before)
    return listening


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, _short(path) as address:
        try:
            probe.settimeout(1.0)
            probe.connect(address)
        except OSError:
            return False
    return True


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """The path, or a short name for it where a socket's address has no room."""
    if len(os.fsencode(path)) <= MOST_PATH_BYTES:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def ask(path: Path, command: str, /, **arguments: Any) -> Any:
    """Have the node at a control socket do something; what it answers.

    Raises:
        UsageError: no node answers there, or it refuses; says why.
    """
    request = json.dumps({"id": 1, "command": command, "arguments": arguments}).encode() + b"\n"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client, _short(path) as address:
            client.settimeout(COMMAND_SECONDS)
            client.connect(address)
            client.sendall(request)
            with client.makefile("rb") as answers:
                answer = json.loads(answers.readline())
    except (OSError, ValueError) as error:
        raise UsageError(
            f"no node answers at {path} ({error}): is `trunkline up` running with these settings?"
        ) from None
    if "error" in answer:
        raise UsageError(str(answer["error"]))
    return answer["result"]
