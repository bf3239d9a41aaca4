"""What the agent benchmarks share: children, priorities, percentiles, the load."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from _machine import stolen_seconds

__all__ = ["Child", "load", "percentiles", "realtime", "thread_seconds"]

HERE = Path(__file__).parent


_stolen_at_start = stolen_seconds()


def load() -> str:
    """What else the machine is doing, and what its host took away since we started."""
    average = " ".join(f"{value:.1f}" for value in os.getloadavg())
    stolen = 1000 * (stolen_seconds() - _stolen_at_start)
    moment = time.strftime("%Y-%m-%d %H:%M")
    return f"{moment}, load average {average}, stolen by the host {stolen:.0f} ms"


def realtime(policy: int, priority: int, core: int | None) -> str:
    """Put this process (and threads it starts) ahead of others; says what was permitted."""
    said = []
    try:
        os.sched_setscheduler(0, policy, os.sched_param(priority))
        said.append({os.SCHED_FIFO: "SCHED_FIFO", os.SCHED_RR: "SCHED_RR"}[policy])
    except PermissionError:
        said.append("ordinary scheduling (a real-time class is not permitted)")
    if core is not None and (os.cpu_count() or 1) > core:
        os.sched_setaffinity(0, {core})
        said.append(f"core {core}")
    return ", ".join(said)


def thread_seconds() -> dict[str, float]:
    """CPU time of this process by thread: media, the application's, and all others."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    known = {"MainThread": "application", "media": "media"}
    found: dict[str, float] = {}
    for task in Path("/proc/self/task").iterdir():
        name = known.get(names.get(int(task.name), ""), "others")
        seconds = int((task / "schedstat").read_text().split()[0]) / 1e9
        found[name] = found.get(name, 0.0) + seconds
    return found


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Count, p50, p95, p99, least and greatest, in milliseconds."""
    if not seconds:
        return {"count": 0, **dict.fromkeys(("min", "p50", "p95", "p99", "max"), float("nan"))}
    found = np.percentile(np.asarray(seconds) * 1000, (0, 50, 95, 99, 100))
    return {
        "count": len(seconds),
        **{
            name: float(value)
            for name, value in zip(("min", "p50", "p95", "p99", "max"), found, strict=True)
        },
    }


class Child:
    """One of these files in a process of its own; words in, lines of JSON out."""

    def __init__(self, script: str, options: dict[str, Any]) -> None:
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / script), json.dumps(options)],
            stdout=subprocess.PIPE,
            stdin=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *exc: object) -> None:
        self.tell("stop")
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()

    def tell(self, word: str) -> None:
        """Say something; nothing happens when it is gone."""
        try:
            self.process.stdin.write(word + "\n")
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError):
            pass

    def hear(self) -> Any:
        """Its next line."""
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("a process of the benchmark has died; see above")
        return json.loads(line)

    def ask(self, word: str) -> Any:
        """`tell`, then `hear`."""
        self.tell(word)
        return self.hear()
