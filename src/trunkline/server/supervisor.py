"""Keeps a node running: starts it as a child, and again when it dies.

The supervisor does nothing else, so that there is little in it to fail: it
holds no socket, no model and no call.

    node exits 0             it stopped on purpose: so do we
    node exits by itself     soon after the first start: it cannot start (a port in use,
                             a wrong setting); again would not help, its status is ours
    node dies otherwise      after_crash(), a pause that doubles each time, a new node
    node dies 5 times        within 10 s of its start each time: we give up
    SIGTERM, SIGINT, SIGHUP  passed on as SIGTERM: the node drains; killed if that
                             takes longer than its drain time and 5 s; at once, when
                             told twice

If the supervisor itself is killed, the node is sent SIGTERM by the kernel
(Linux) and drains: it never runs on beside its successor.
"""

import contextlib
import ctypes
import logging
import math
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Final

__all__ = ["SUPERVISOR_VARIABLE", "Policy", "Supervisor", "follow_supervisor"]

SUPERVISOR_VARIABLE: Final = "TRUNKLINE_SUPERVISOR"
"""Tells a node the process id of its supervisor."""

_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_PR_SET_PDEATHSIG: Final = 1
_SAME_STOP_SECONDS: Final = 0.1
"""Stop signals closer together are one: ``timeout`` tells its child and then its group,
a terminal that closes sends a SIGHUP and a SIGTERM."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Policy:
    """When to start again, when to give up, how long to wait."""

    fast_seconds: float = 10.0
    """A node that dies sooner than this has not really run."""
    give_up_after: int = 5
    """Fast deaths in a row that are enough."""
    first_pause_seconds: float = 0.5
    """The pause after the first death of a row; each next one is twice as long."""
    longest_pause_seconds: float = 30.0
    drain_seconds: float = 30.0
    """How long the node takes to stop by itself."""
    grace_seconds: float = 5.0
    """What it gets beyond that before it is killed."""

    def pause_seconds(self, deaths: int) -> float:
        """The pause after this many fast deaths in a row."""
        doubled = self.first_pause_seconds * 2.0 ** max(0, deaths - 1)
        return min(doubled, self.longest_pause_seconds)


@dataclass(slots=True)
class Supervisor:
    """Runs one node until it is told to stop. Main thread only (signals)."""

    command: Sequence[str]
    """How a node is started."""
    after_crash: Callable[[], object]
    """Mends what a dead node left: called before the first start and after each crash."""
    policy: Policy = field(default_factory=Policy)
    environ: Mapping[str, str] = field(default_factory=dict)
    """Added to the environment of the node."""
    _stops: int = 0
    _stopped_at: float = -math.inf

    def run(self) -> int:
        """Supervise; returns the exit status for the process."""
        with _wakeups() as wakeups:
            self._mend()
            return self._supervise(wakeups)

    def _supervise(self, wakeups: socket.socket) -> int:
        deaths = starts = 0
        while True:
            started = time.monotonic()
            starts += 1
            status = self._run_node(wakeups)
            lived = time.monotonic() - started
            if status == 0:
                return 0
            if starts == 1 and status > 0 and lived < self.policy.fast_seconds:
                _log.error("the node could not start (status %d)", status)
                return status
            self._mend()
            if self._stops:
                return 0 if -status in _STOP_SIGNALS else 1
            deaths = deaths + 1 if lived < self.policy.fast_seconds else 1
            if deaths >= self.policy.give_up_after:
                _log.critical(
                    "the node died %d times within %g s of its start, last by %s: giving up",
                    deaths, self.policy.fast_seconds, _cause(status),
                )  # fmt: skip
                return 1
            pause = self.policy.pause_seconds(deaths)
            _log.error(
                "the node died after %.1f s by %s; a new one in %.1f s",
                lived, _cause(status), pause,
            )  # fmt: skip
            if self._told_to_stop_within(pause, wakeups):
                return 0

    def _run_node(self, wakeups: socket.socket) -> int:
        """Start a node and wait for its end; a negative status is a signal's number."""
        node = subprocess.Popen(
            self.command,
            env={**os.environ, **self.environ, SUPERVISOR_VARIABLE: str(os.getpid())},
            stdin=subprocess.DEVNULL,
            # A group of its own: Ctrl-C reaches it through us, once.
            process_group=0,
        )
        _log.info("node started, process %d", node.pid)
        kill_at: float | None = None
        told = 0
        while (status := node.poll()) is None:
            if self._stops > told:
                kill_at = self._stop(node, first=told == 0)
                told = self._stops
            left = None if kill_at is None else kill_at - time.monotonic()
            if left is not None and left <= 0:
                _log.error("the node does not stop: killing it")
                node.kill()
                node.wait()
                continue
            self._wait(wakeups, left)
        return status

    def _stop(self, node: subprocess.Popen[bytes], *, first: bool) -> float:
        """Tell the node to stop; returns when it is to be killed."""
        if not first:
            return time.monotonic()
        seconds = self.policy.drain_seconds
        _log.info("stopping: calls may go on for %g s; once more ends them now", seconds)
        node.terminate()
        return time.monotonic() + self.policy.drain_seconds + self.policy.grace_seconds

    def _told_to_stop_within(self, seconds: float, wakeups: socket.socket) -> bool:
        until = time.monotonic() + seconds
        while not self._stops and (left := until - time.monotonic()) > 0:
            self._wait(wakeups, left)
        return self._stops > 0

    def _wait(self, wakeups: socket.socket, seconds: float | None) -> None:
        """Sleep until a signal comes; counts those that mean stop."""
        ready, _, _ = select.select([wakeups], [], [], seconds)
        if ready:
            told = any(number in _STOP_SIGNALS for number in wakeups.recv(4096))
            now = time.monotonic()
            if told and now - self._stopped_at > _SAME_STOP_SECONDS:
                self._stops += 1
                self._stopped_at = now

    def _mend(self) -> None:
        try:
            self.after_crash()
        except Exception:  # noqa: BLE001  # whatever it is, calls that could be taken matter more
            _log.exception("mending after a crash failed; going on")


@contextlib.contextmanager
def _wakeups() -> Iterator[socket.socket]:
    """A socket that gets a byte, its number, for each signal; default actions are off.

    The C handler writes the byte, so nothing is lost between looking and sleeping.
    """
    receive, send = socket.socketpair()
    receive.setblocking(False)
    send.setblocking(False)
    watched = (*_STOP_SIGNALS, signal.SIGCHLD)
    old_handlers = {number: signal.signal(number, _nothing) for number in watched}
    old_fd = signal.set_wakeup_fd(send.fileno(), warn_on_full_buffer=False)
    try:
        yield receive
    finally:
        signal.set_wakeup_fd(old_fd)
        for number, handler in old_handlers.items():
            signal.signal(number, handler)
        receive.close()
        send.close()


def _nothing(number: int, frame: object) -> None:
    """The signal is dealt with by whoever reads its number from the socket."""


def _cause(status: int) -> str:
    if status >= 0:
        return f"itself, with status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


def follow_supervisor(environ: MutableMapping[str, str]) -> None:
    """Make this process, a node, stop when its supervisor is killed. Linux only.

    Call it first thing on the node's main thread. Takes the variable out of the
    environment, which is inherited; does nothing in a process that no supervisor
    started.
    """
    parent = environ.pop(SUPERVISOR_VARIABLE, "")
    if not parent.isdigit() or not sys.platform.startswith("linux"):
        return
    if int(parent) == os.getppid():
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
    if int(parent) != os.getppid() and not _runs(int(parent)):  # it died before we could follow
        os.kill(os.getpid(), signal.SIGTERM)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
