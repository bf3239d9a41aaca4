"""Which process a record belongs to, and whether that process still lives.

A process id alone is not enough: they are used again after a restart, and in
containers every node is process 1 or 7. On Linux the identity is the id, the
start time, the boot and the process namespace; elsewhere the id is all we have.
"""

import os
from functools import cache
from pathlib import Path
from typing import Final

__all__ = ["OTHER_STALE_SECONDS", "identity", "is_gone"]

OTHER_STALE_SECONDS: Final = 60.0
"""A process that cannot be looked at (another machine's or container's, on a shared
folder) counts as gone when its heartbeat, every 5 s, is this old."""


def identity(pid: int | None = None) -> str:
    """A name for a running process that no other process ever has."""
    number = os.getpid() if pid is None else pid
    return f"{number}/{_started(number)}/{_world()}"


def is_gone(process: str, heartbeat: float, now: float) -> bool:
    """Whether the process of that `identity` no longer runs.

    ``heartbeat`` and ``now`` are wall-clock seconds.
    """
    number, _, rest = process.partition("/")
    started, _, world = rest.partition("/")
    if world != _world():
        return now - heartbeat > OTHER_STALE_SECONDS
    return not number.isdigit() or _started(int(number)) != started


def _started(pid: int) -> str:
    """When a process began, in clock ticks since boot (proc(5), field 22); empty if it is gone.

    A zombie is gone: its calls are, even if its parent has not looked yet.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return _without_proc(pid)
    fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
    return "" if fields[0] in "ZX" else fields[19]


def _without_proc(pid: int) -> str:
    if Path("/proc/self").exists():
        return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "running"


@cache
def _world() -> str:
    """This boot of this machine and this container's view of processes."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
        return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return os.uname().nodename
