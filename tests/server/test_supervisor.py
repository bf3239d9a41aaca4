"""The supervisor, with real children: started again, stopped well, never left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trunkline.server.supervisor import SUPERVISOR_VARIABLE, Policy, follow_supervisor

# A supervisor of a node that is a few lines of Python; everything it does goes to a file.
SUPERVISOR = """
import logging, sys, time
from pathlib import Path
from trunkline.server.supervisor import Policy, Supervisor

folder, script = Path(sys.argv[1]), sys.argv[2]
logging.basicConfig(filename=folder / "log", level=logging.INFO, format="%(message)s")

def mend():
    with (folder / "mended").open("a") as file:
        file.write("x")

policy = Policy(**{"first_pause_seconds": 0.02, **eval(sys.argv[3])})
command = [sys.executable, "-c", script, str(folder)]
sys.exit(Supervisor(command, mend, policy).run())
"""

# What the nodes have in common: a line for each start.
NODE = """
import os, signal, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
with (folder / "starts").open("a") as file:
    file.write(f"{os.getpid()}\\n")
starts = len((folder / "starts").read_text().splitlines())
"""

GOOD_NODE = NODE + (
    "signal.signal(signal.SIGTERM, lambda *_: ((folder / 'drained').touch(), sys.exit(0)))\n"
    "(folder / 'ready').touch()\n"
    "time.sleep(60)\n"
)
STUBBORN_NODE = NODE + (
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n(folder / 'ready').touch()\ntime.sleep(60)\n"
)


class Supervised:
    def __init__(self, folder: Path, script: str, **policy: float) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, str(folder), script, repr(policy)],
            stderr=subprocess.PIPE,
        )

    def pids(self) -> list[int]:
        """The nodes started so far."""
        path = self.folder / "starts"
        return [int(line) for line in path.read_text().splitlines()] if path.exists() else []

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.005)

    def until_ready(self) -> None:
        self.until((self.folder / "ready").exists)
        (self.folder / "ready").unlink()

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text() if path.exists() else "(no log)"

    def mended(self) -> int:
        return len((self.folder / "mended").read_text())

    def ends(self) -> int:
        return self.process.wait(10)

    def clean_up(self) -> None:
        for pid in (self.process.pid, *self.pids()):
            if runs(pid):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(10)
        assert self.process.stderr is not None
        complaint = self.process.stderr.read()
        self.process.stderr.close()
        assert b"Traceback" not in complaint, complaint.decode()


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., Supervised]]:
    started: list[Supervised] = []

    def start(script: str, **policy: float) -> Supervised:
        started.append(Supervised(tmp_path, script, **policy))
        return started[-1]

    yield start
    for one in started:
        one.clean_up()


def test_a_node_that_stops_on_purpose_is_not_started_again(supervise) -> None:
    one = supervise(NODE + "sys.exit(0)")
    assert one.ends() == 0
    assert len(one.pids()) == 1
    assert one.mended() == 1


@pytest.mark.parametrize("status", [1, 2, 77])
def test_a_node_that_cannot_start_gives_its_status(supervise, status: int) -> None:
    one = supervise(NODE + f"sys.exit({status})")
    assert one.ends() == status
    assert len(one.pids()) == 1
    assert f"could not start (status {status})" in one.log()


def test_a_killed_node_is_mended_and_started_again(supervise) -> None:
    one = supervise(GOOD_NODE)
    one.until_ready()
    os.kill(one.pids()[0], signal.SIGKILL)
    one.until_ready()
    assert len(one.pids()) == 2
    assert one.mended() == 2
    assert "by SIGKILL; a new one in 0.0 s" in one.log()
    one.process.send_signal(signal.SIGTERM)
    assert one.ends() == 0


def test_after_a_good_start_an_error_is_a_crash_too(supervise) -> None:
    one = supervise(NODE + "time.sleep(0.05)\nsys.exit(3 if starts < 3 else 0)", fast_seconds=0.01)
    assert one.ends() == 0
    assert len(one.pids()) == 3
    assert "by itself, with status 3" in one.log()


def test_a_node_that_keeps_dying_is_given_up(supervise) -> None:
    one = supervise(NODE + "os.kill(os.getpid(), signal.SIGSEGV)")
    assert one.ends() == 1
    assert len(one.pids()) == 5
    assert "died 5 times within 10 s of its start, last by SIGSEGV: giving up" in one.log()
    assert one.mended() == 6


def test_slow_deaths_are_no_row(supervise) -> None:
    script = NODE + "time.sleep(0.03)\nstarts < 8 and os.kill(os.getpid(), signal.SIGSEGV)"
    one = supervise(script, fast_seconds=0.02)
    assert one.ends() == 0
    assert len(one.pids()) == 8


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_stopping_lets_the_node_drain(supervise, number: int) -> None:
    one = supervise(GOOD_NODE)
    one.until_ready()
    one.process.send_signal(number)
    assert one.ends() == 0
    assert (one.folder / "drained").exists()
    assert len(one.pids()) == 1


def test_a_node_that_does_not_know_the_signal_may_die_of_it(supervise) -> None:
    one = supervise(NODE + "(folder / 'ready').touch()\ntime.sleep(60)")
    one.until_ready()
    one.process.terminate()
    assert one.ends() == 0
    assert one.mended() == 2, "whatever it left is mended"


def test_a_node_that_does_not_drain_is_killed(supervise) -> None:
    one = supervise(STUBBORN_NODE, drain_seconds=0.05, grace_seconds=0.05)
    one.until_ready()
    one.process.terminate()
    assert one.ends() == 1
    assert not runs(one.pids()[0])
    assert one.mended() == 2
    assert "does not stop: killing it" in one.log()


def test_told_twice_it_kills_at_once(supervise) -> None:
    one = supervise(STUBBORN_NODE, drain_seconds=60.0)
    one.until_ready()
    one.process.send_signal(signal.SIGINT)
    one.until(lambda: "stopping" in one.log())
    time.sleep(0.15)
    one.process.send_signal(signal.SIGINT)
    assert one.ends() == 1
    assert not runs(one.pids()[0])


def test_one_stop_told_in_two_signals_lets_the_node_drain(supervise) -> None:
    one = supervise(GOOD_NODE)
    one.until_ready()
    one.process.send_signal(signal.SIGTERM)  # as `timeout` does: its child, then its group
    one.process.send_signal(signal.SIGCONT)
    one.process.send_signal(signal.SIGHUP)
    assert one.ends() == 0
    assert (one.folder / "drained").exists()
    assert "killing it" not in one.log()


def test_stopping_between_two_nodes_starts_no_other(supervise) -> None:
    one = supervise(NODE + "os.kill(os.getpid(), signal.SIGSEGV)", first_pause_seconds=30.0)
    one.until(lambda: "a new one in" in one.log())
    one.process.terminate()
    assert one.ends() == 0
    assert len(one.pids()) == 1


def test_a_mend_that_fails_does_not_keep_a_node_from_starting(supervise, tmp_path: Path) -> None:
    (tmp_path / "mended").mkdir()
    one = supervise(NODE + "sys.exit(0)")
    assert one.ends() == 0
    assert "mending after a crash failed" in one.log()


def test_ctrl_c_on_the_terminal_reaches_the_node_through_the_supervisor_only(supervise) -> None:
    one = supervise(GOOD_NODE)
    one.until_ready()
    assert os.getpgid(one.pids()[0]) == one.pids()[0]


FOLLOWING_NODE = NODE + (
    "from trunkline.server.supervisor import follow_supervisor\n"
    "signal.signal(signal.SIGTERM, lambda *_: ((folder / 'drained').touch(), sys.exit(0)))\n"
    "follow_supervisor(os.environ)\n"
    "(folder / 'ready').touch()\n"
    "time.sleep(60)\n"
)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's doing")
def test_a_node_drains_when_its_supervisor_is_killed(supervise) -> None:
    one = supervise(FOLLOWING_NODE)
    one.until_ready()
    one.process.kill()
    one.until(lambda: not runs(one.pids()[0]))
    assert (one.folder / "drained").exists()


def test_without_a_supervisor_nobody_is_followed() -> None:
    environ = {"HOME": "/"}
    follow_supervisor(environ)
    follow_supervisor({SUPERVISOR_VARIABLE: "nonsense"})
    environ[SUPERVISOR_VARIABLE] = str(os.getpid())  # alive, and not our parent
    follow_supervisor(environ)
    assert environ == {"HOME": "/"}


def test_a_supervisor_that_is_dead_already_is_followed_at_once() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        follow_supervisor({SUPERVISOR_VARIABLE: str(child.pid)})
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]


def test_pauses_double_up_to_a_limit() -> None:
    policy = Policy(first_pause_seconds=0.5, longest_pause_seconds=3.0)
    pauses = [policy.pause_seconds(deaths) for deaths in range(6)]
    assert pauses == [0.5, 0.5, 1.0, 2.0, 3.0, 3.0]
