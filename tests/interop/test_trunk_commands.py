"""A node as its users run it: a file, a process, and commands that reach it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import trunkline

from .carrier import Gateway
from .kit import until
from .peer import Dialled, Peer, sdp
from .programs import free_port

APP = """
from trunkline import Switchboard

board = Switchboard()

@board.answer("+49*", trunk="carrier")
async def wait(call):
    await call.wait_ended()
"""


class Process:
    """``trunkline up`` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        (folder / "app.py").write_text(APP)
        home = folder / "home"
        home.mkdir()
        kept = {name: value for name, value in os.environ.items() if "TRUNKLINE" not in name}
        source = str(Path(trunkline.__file__).parents[1])
        self.environ = {**kept, "HOME": str(home), "COLUMNS": "120", "PYTHONPATH": source}

    def write(self, *trunks: str) -> None:
        (self.folder / "trunkline.toml").write_text(
            f"[node]\ndrain_seconds = 0\n[sip]\nport = {self.port}\n"
            "[streams]\nenabled = false\n[http]\nenabled = false\n"
            f'[records]\npath = "{self.folder}/calls.db"\n' + "\n".join(trunks)
        )

    def start(self) -> None:
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "trunkline", "up", "app.py", "--no-supervisor"],
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
        until((self.folder / "calls.sock").exists, 30, "the node does not start")

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(15) == 0, (self.folder / "log").read_text()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "trunkline", *arguments],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def trunks(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = json.loads(self.run("trunks", "--json").stdout)
        return found


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    process = Process(tmp_path)
    yield process
    if process.process.poll() is None:
        process.stop()


def trunk(name: str, gateway: Gateway, more: str = "") -> str:
    return (
        f'[trunks.{name}]\ngateways = [{{ server = "{gateway.server}" }}]\n'
        f'addresses = ["127.0.0.1:{gateway.peer.port}"]\ncountry_code = "49"\n{more}\n'
    )


def test_a_file_is_read_again_and_the_call_that_is_up_goes_on(process: Process) -> None:
    with Gateway() as gateway, Gateway(options=0) as dead, Peer(process.port) as caller:
        process.write(
            trunk("carrier", gateway),
            f'[trunks.other]\naddresses = ["127.0.0.1:{caller.port}"]\n',
        )
        process.start()
        assert [one["name"] for one in process.trunks()] == ["carrier", "other"]
        caller.server = ("127.0.0.1", process.port)
        Dialled(caller, "030123456").invite(sdp(41_000))
        caller.status(404)
        process.write(
            f'[trunks.carrier]\naddresses = ["127.0.0.1:{caller.port}"]\ncountry_code = "49"\n',
            trunk("second", dead),
        )
        ran = process.run("reload")
        assert ran.returncode == 0 and "carrier, second" in ran.stdout
        call = Dialled(caller, "030123456")
        call.answered(sdp(41_000))
        process.write(trunk("second", dead))
        process.process.send_signal(signal.SIGHUP)
        until(lambda: [one["name"] for one in process.trunks()] == ["second"])
        assert call.bye().code == 200, "a call outlives its trunk"
        tested = process.run("trunks", "test", "second")
        assert tested.returncode == 1 and "none" in tested.stdout
        process.write("[trunks.second]\ngatways = []\n")
        ran = process.run("reload")
        assert ran.returncode == 2 and "gatways" in ran.stderr
        process.process.send_signal(signal.SIGHUP)
        until(lambda: "not reloaded" in (process.folder / "log").read_text())
        process.write()
        assert [one["name"] for one in process.trunks()] == ["second"]


def test_limits_are_changed_and_addresses_blocked_from_the_command_line(process: Process) -> None:
    with Peer(process.port) as carrier:
        process.write(
            f'[trunks.carrier]\naddresses = ["127.0.0.1:{carrier.port}"]\ncountry_code = "49"\n'
        )
        process.start()
        carrier.server = ("127.0.0.1", process.port)
        first = Dialled(carrier, "030123456")
        first.answered(sdp(41_000))
        assert process.run("trunks", "set", "carrier", "channels=1").returncode == 0
        second = Dialled(carrier, "030123456")
        second.invite(sdp(41_000))
        refused = carrier.status(503)
        assert int(refused["retry-after"]) >= 1
        second.refuse_ack(refused)
        first.bye()
        until(lambda: process.trunks()[0]["channels"] == 0)
        Dialled(carrier, "030123456").answered(sdp(41_000))
        shown = process.run("trunks", "show", "carrier").stdout
        assert "channels 1" in shown and "503: 1" in shown
        assert process.run("blocked", "add", "192.0.2.0/24").returncode == 0
        assert "192.0.2.0/24" in process.run("blocked").stdout
        process.stop()
        process.start()
        assert "192.0.2.0/24" in process.run("blocked").stdout
        assert process.trunks()[0]["attempts_in"] == 2, "calls there were"
    mode = (process.folder / "calls.sock").stat().st_mode
    assert mode & 0o077 == 0
