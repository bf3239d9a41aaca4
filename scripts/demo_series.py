"""Play the demo many times, with the machine kept busy, and count how often it went well.

    .venv/bin/python scripts/demo_series.py 20 --busy 2 --voice espeak

Exit status 0 only if every run did. What a run that failed left behind stays in the folder.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

RUN_SECONDS = 400


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the series; returns the exit status."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started ends
    folder = Path(options.folder or tempfile.mkdtemp(prefix="demo-series-"))
    print(f"{options.runs} demos, {options.busy} processes keep the cores busy; {folder}")
    with _busy(options.busy), ThreadPoolExecutor(options.parallel) as pool:
        runs = pool.map(lambda n: _run(folder / f"{n:03}", options.voice), range(options.runs))
        try:
            good = sum(_tell(number, *run) for number, run in enumerate(runs, 1))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    print(f"{good} of {options.runs} went well")
    return 0 if good == options.runs else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("runs", type=int, nargs="?", default=20)
    parser.add_argument("--busy", type=int, default=0, help="processes that do nothing but spin")
    parser.add_argument("--parallel", type=int, default=1, help="demos at the same time")
    parser.add_argument("--voice", default="best", choices=("best", "flite", "espeak"))
    parser.add_argument("--folder", help="where the runs go; a new one in /tmp by default")
    return parser


@contextmanager
def _busy(count: int) -> Iterator[None]:
    """Keep that many cores busy."""
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def _run(folder: Path, voice: str) -> tuple[list[str], float, float]:
    """One demo: what was wrong with it, how long it took, and how long the call was."""
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "trunkline", "demo", "--json"]
    command += ["--folder", str(folder), "--voice", voice]
    began = time.monotonic()
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=RUN_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return [f"not over after {RUN_SECONDS} s"], time.monotonic() - began, 0.0
    (folder / "screen.txt").write_text(done.stderr)
    try:
        outcome = json.loads(done.stdout)
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        return [f"status {done.returncode}: {last}"], time.monotonic() - began, 0.0
    problems = list(outcome["problems"])
    if bool(problems) != bool(done.returncode):
        problems.append(f"exit status {done.returncode} does not fit")
    record = outcome["record"] or {}
    talked = (record.get("ended_at") or 0.0) - (record.get("answered_at") or 0.0)
    if not problems:
        shutil.rmtree(folder)
    return problems, time.monotonic() - began, talked


def _tell(number: int, problems: list[str], took: float, talked: float) -> bool:
    state = "well" if not problems else "; ".join(problems)
    print(f"{number:3}  {took:5.1f} s, of it {talked:5.1f} s on the telephone  {state}", flush=True)
    return not problems


if __name__ == "__main__":
    sys.exit(main())
