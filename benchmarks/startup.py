"""Startup: importing the package, the first help text, and the demo from a fresh clone.

python benchmarks/startup.py
python benchmarks/startup.py --demo     # clones, sets up and plays the demo: minutes
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _harness import load
from _machine import describe

IMPORT = "import time; t = time.perf_counter(); import trunkline; print(time.perf_counter() - t)"


def in_child(*command: str) -> tuple[float, str]:
    """Seconds a process took from start to end, and what it printed."""
    began = time.perf_counter()
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    return time.perf_counter() - began, found.stdout


def spread(seconds: list[float]) -> str:
    return (
        f"median {1000 * statistics.median(seconds):.0f} ms, "
        f"{1000 * min(seconds):.0f} to {1000 * max(seconds):.0f} ({len(seconds)} processes)"
    )


def demo() -> None:
    """``make demo`` from a clone nobody has used."""
    root = Path(__file__).resolve().parent.parent
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "clone", "-q", str(root), folder], check=True)
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        began = time.perf_counter()
        done = subprocess.run(
            ["make", "demo"], cwd=folder, env=environment, capture_output=True, text=True
        )
        took = time.perf_counter() - began
    said = "" if done.returncode == 0 else f": {done.stderr[-300:]}"
    print(f"make demo from a fresh clone: {took:.0f} s, exit status {done.returncode}{said}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=15)
    parser.add_argument("--demo", action="store_true", help="only the demo from a fresh clone")
    options = parser.parse_args()
    print(describe("msgspec"))
    if options.demo:
        demo()
        print(load())
        return
    python = sys.executable
    runs = range(options.processes)
    imports = [float(in_child(python, "-c", IMPORT)[1]) for _ in runs]
    print(f"import trunkline: {spread(imports)}")
    bare = [in_child(python, "-c", "pass")[0] for _ in runs]
    print(f"python itself, started and ended: {spread(bare)}")
    helps = [in_child(python, "-m", "trunkline", "--help")[0] for _ in runs]
    print(f"trunkline --help, started and ended: {spread(helps)}")
    print(load())


if __name__ == "__main__":
    main()
