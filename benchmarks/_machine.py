"""What every benchmark prints first: the machine, the versions, the command."""

import os
import platform
import resource
import sys
from importlib.metadata import version
from pathlib import Path


def describe(*packages: str) -> str:
    """One line about the machine, one about the software, one with the command."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    software = ", ".join(f"{name} {version(name)}" for name in ("numpy", *packages))
    return (
        f"machine: {os.cpu_count()} cores, {model}, Linux {platform.release()}\n"
        f"software: Python {platform.python_version()}, {software}\n"
        f"command: {Path(sys.executable).name} {' '.join(sys.argv)}"
    )


def cpu_seconds() -> float:
    """CPU time of this process so far, user and system, all threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def system_seconds() -> float:
    """The kernel's part of `cpu_seconds`."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_stime


def stolen_seconds() -> float:
    """Time a virtual machine's cores wanted to run and its host did not let them, so far.

    A deadline missed while this grew was missed by the host.
    """
    fields = Path("/proc/stat").read_text(encoding="utf-8").split(maxsplit=9)
    return int(fields[8]) / os.sysconf("SC_CLK_TCK")


def resident_bytes() -> int:
    """Memory of this process that is in RAM now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
