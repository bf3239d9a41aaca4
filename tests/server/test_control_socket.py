"""The local socket: who may open it, what it answers, what it survives."""

import asyncio
import json
import os
import socket
import stat
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from trunkline.errors import UsageError
from trunkline.server.control_socket import ControlSocket, ask


async def late(given: Mapping[str, Any]) -> str:
    await asyncio.sleep(0)
    return f"late {given['name']}"


def refuse(given: Mapping[str, Any]) -> None:
    raise UsageError("there is no such thing")


COMMANDS = {"echo": lambda given: dict(given), "late": late, "refuse": refuse}


def served(path: Path, work: Callable[[], Any]) -> Any:
    """Do something in another thread while the socket is served."""

    async def serve() -> Any:
        control = ControlSocket(path, COMMANDS)
        assert await control.start()
        try:
            return await asyncio.wait_for(asyncio.to_thread(work), 20)
        finally:
            await control.close()

    return asyncio.run(serve())


def test_a_command_is_answered_or_awaited(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    assert served(path, lambda: ask(path, "echo", a=1)) == {"a": 1}
    assert served(path, lambda: ask(path, "late", name="x")) == "late x"
    assert not path.exists()


def test_only_this_user_may_open_it(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    mode = served(path, lambda: path.stat().st_mode)
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600


def test_what_is_refused_says_why(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"

    def work() -> None:
        with pytest.raises(UsageError, match="no such thing"):
            ask(path, "refuse")
        with pytest.raises(UsageError, match="no command nonsense"):
            ask(path, "nonsense")
        with pytest.raises(UsageError, match="no request"):
            ask(path, "late")

    served(path, work)


def test_nobody_there_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no node answers"):
        ask(tmp_path / "none.sock", "echo")


def test_a_path_longer_than_an_address_works(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    path = folder / "s.sock"
    assert len(os.fsencode(path)) > 108
    assert served(path, lambda: ask(path, "echo", a=2)) == {"a": 2}


def test_a_dead_nodes_socket_is_taken_over_and_a_live_ones_is_not(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()

    async def serve() -> None:
        first, second = ControlSocket(path, COMMANDS), ControlSocket(path, {})
        assert await first.start()
        assert not await second.start()
        await second.close()
        assert await asyncio.to_thread(ask, path, "echo") == {}
        await first.close()

    asyncio.run(serve())


@pytest.mark.parametrize(
    "line",
    [b"nonsense\n", b"[]\n", b"null\n", b"{}\n", b'{"command": 5}\n', b"\xff\xfe\n",
     b'{"command": "echo", "arguments": 7}\n', b"[" * 5000 + b"\n", b"\n"],
)  # fmt: skip
def test_whatever_comes_is_answered_and_the_next_is_served(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "s.sock"

    def work() -> tuple[Any, Any]:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(str(path))
            client.sendall(line + b'{"id": 9, "command": "echo", "arguments": {"a": 3}}\n')
            with client.makefile("rb") as answers:
                return json.loads(answers.readline()), json.loads(answers.readline())

    wrong, right = served(path, work)
    assert "error" in wrong and right == {"id": 9, "result": {"a": 3}}


def test_a_line_without_end_ends_the_connection_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"

    def work() -> Any:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(str(path))
            try:
                client.sendall(b"x" * (3 << 20))
                assert client.recv(1) == b""
            except (BrokenPipeError, ConnectionResetError):
                pass
        return ask(path, "echo", a=1)

    assert served(path, work) == {"a": 1}


def test_many_clients_at_once_are_all_served(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"

    def work() -> list[Any]:
        found: list[Any] = []
        threads = [
            threading.Thread(target=lambda n=n: found.append(ask(path, "echo", n=n)["n"]))
            for n in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        return sorted(found)

    assert served(path, work) == list(range(20))
