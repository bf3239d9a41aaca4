"""``trunkline up``: flags become settings; a supervisor between us and the node."""

import logging
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

import trunkline
from trunkline.settings import Settings


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Settings, Path | None]]:
    """What the node was started with, in place of a node."""
    runs: list[tuple[Settings, Path | None]] = []

    def run_node(settings: Settings, app: Path | None, reread: object) -> int:
        runs.append((settings, app))
        logging.getLogger("trunkline.test").info("running")
        return 0

    module = types.ModuleType("trunkline.server.app")
    module.run_node = run_node  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "trunkline.server.app", module)
    return runs


def test_flags_are_settings(run, ran) -> None:
    flags = "--sip-port 5070 --stream-port 9001 --http-port 9002 --llm http://x/v1 --model m"
    more = "--record --log-level debug -s agent.turns.silence_ms=700 --no-supervisor"
    assert run("up", *flags.split(), *more.split()).status == 0
    ((settings, app),) = ran
    assert app is None
    assert (settings.sip.port, settings.streams.port, settings.http.port) == (5070, 9001, 9002)
    assert (settings.llm.url, settings.llm.model) == ("http://x/v1", "m")
    assert settings.recording.enabled
    assert settings.log.level == "debug"
    assert settings.agent.turns.silence_ms == 700


def test_what_is_not_given_is_left_to_the_files(run, ran, tmp_path: Path) -> None:
    (tmp_path / "trunkline.toml").write_text("[sip]\nport = 5071\n[recording]\nenabled = true")
    assert run("up", "--no-supervisor").status == 0
    assert run("up", "--no-supervisor", "--no-record").status == 0
    (first, _), (second, _) = ran
    assert first.sip.port == 5071
    assert first.recording.enabled
    assert not second.recording.enabled


def test_a_wider_host_is_for_media_too(run, ran) -> None:
    flags = ("--host", "0.0.0.0", "-s", "sip.allowed_addresses=10.0.0.0/8", "--no-supervisor")
    assert run("up", *flags).status == 0
    ((settings, _),) = ran
    assert settings.sip.host == settings.media.host == "0.0.0.0"


def test_the_app_is_handed_on(run, ran, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("")
    assert run("up", "shop.py", "--no-supervisor").status == 0
    assert ran[0][1] == Path("shop.py")


def test_logs_go_to_standard_error(run, ran) -> None:
    done = run("up", "--no-supervisor")
    assert done.out == ""
    assert "running" in done.err


# With a supervisor: a real one, over a package whose node is a few lines.

NODE = """
import os, signal, sys, time
from pathlib import Path

def run_node(settings, app, reread):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with open("starts", "a") as file:
        file.write(f"{os.getpid()} {settings.sip.port} {app}\\n")
    while True:
        time.sleep(60)
"""
MAIN = """
import sys, types
module = types.ModuleType("trunkline.server.app")
exec(open("node.py").read(), module.__dict__)
sys.modules["trunkline.server.app"] = module
"""


def test_a_node_that_is_killed_comes_back_with_the_same_arguments(tmp_path: Path) -> None:
    (tmp_path / "node.py").write_text(NODE)
    (tmp_path / "sitecustomize.py").write_text(MAIN)
    (tmp_path / "shop.py").write_text("")
    source = str(Path(trunkline.__file__).parent.parent)
    environ = {**os.environ, "PYTHONPATH": f"{tmp_path}:{source}", "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "trunkline", "up", "shop.py", "--sip-port", "5079"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environ, stderr=subprocess.PIPE)
    starts = tmp_path / "starts"

    def lines(count: int) -> list[list[str]]:
        deadline = time.monotonic() + 15
        while True:
            text = starts.read_text() if starts.exists() else ""
            if text.count("\n") >= count:
                return [line.split() for line in text.splitlines()]
            assert time.monotonic() < deadline
            time.sleep(0.01)

    try:
        ((first, *given),) = lines(1)
        assert given == ["5079", "shop.py"]
        os.kill(int(first), signal.SIGKILL)
        second, *again = lines(2)[1]
        assert again == given
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
        assert not Path(f"/proc/{second}").exists()
    finally:
        process.kill()
        _, complaint = process.communicate()
    assert b"SIGKILL" in complaint
    assert b"Traceback" not in complaint
