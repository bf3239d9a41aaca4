"""A node run from settings: what it says, how it ends, what it cannot do."""

import asyncio
import os
import signal
import socket
from pathlib import Path

import pytest

from trunkline.calls.switchboard import Switchboard
from trunkline.errors import TrunklineError
from trunkline.server.app import run_node, serve
from trunkline.server.node import Node
from trunkline.server.talk import About
from trunkline.settings import Settings, load


def settings(folder: Path, **flags: object) -> Settings:
    dotted = {
        "sip.port": 0,
        "http.port": 0,
        "streams.enabled": False,
        "node.drain_seconds": 0.2,
        "records.path": str(folder / "calls.db"),
        "recording.folder": str(folder),
        **{key.replace("__", "."): value for key, value in flags.items()},
    }
    return load(flags=dotted).settings


def test_it_runs_until_it_is_told_to_stop(tmp_path: Path) -> None:
    node = Node(settings(tmp_path), Switchboard(), talk=About())
    ports: list[int] = []

    async def announce() -> None:
        await node.ready.wait()
        ports.append(node.ports.http)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(60)  # still announcing: that keeps nobody

    assert serve(node, announce) == 0
    assert ports[0] > 0
    with socket.create_server(("127.0.0.1", ports[0]), reuse_port=False) as again:
        assert again.getsockname()[1] == ports[0]


@pytest.mark.parametrize("section", ["http", "sip"])
def test_a_port_that_is_taken_is_one_error_that_says_what_to_do(
    tmp_path: Path, section: str
) -> None:
    kind = socket.SOCK_STREAM if section == "http" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        made = settings(tmp_path, **{f"{section}__port": port})
        with pytest.raises(TrunklineError) as caught:
            run_node(made, None)
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert f"{section}.port" in str(caught.value)


def test_the_page_may_be_left_out(tmp_path: Path) -> None:
    node = Node(settings(tmp_path, http__enabled=False), Switchboard(), talk=About())

    async def announce() -> None:
        await node.ready.wait()
        assert node.ports.http == 0
        node.stop()

    assert serve(node, announce) == 0


def test_what_goes_wrong_beside_the_node_is_not_hidden(tmp_path: Path) -> None:
    async def announce() -> None:
        raise RuntimeError("a bug")

    with pytest.raises(BaseExceptionGroup, match="TaskGroup"):
        serve(Node(settings(tmp_path), Switchboard()), announce)


@pytest.mark.parametrize("with_app", [False, True])
def test_an_impossible_model_is_told_before_it_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_app: bool
) -> None:
    monkeypatch.setattr(Node, "run", lambda _self: pytest.fail("it listened"))
    app = tmp_path / "app.py"
    app.write_text("from trunkline import Switchboard\nboard = Switchboard()\n")
    with pytest.raises(TrunklineError, match="http:// or https://"):
        run_node(settings(tmp_path, llm__url="nonsense"), app if with_app else None)


def test_a_board_without_an_app_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("trunkline.server.app.serve", lambda _node, _announce: 0)
    app = tmp_path / "app.py"
    app.write_text("from trunkline import Switchboard\nboard = Switchboard()\n")
    assert run_node(settings(tmp_path), app) == 0
    assert "app.py answers no call: decorate an app with @board.answer()" in caplog.text
