"""scripts/setup.sh where it cannot go well: it says why, and leaves nothing running."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

SCRIPTS = Path(__file__, "../../../scripts").resolve()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The scripts in a folder of their own, with a Python whose venv module is ours to fail."""
    folder = tmp_path / "a checkout"
    shutil.copytree(SCRIPTS, folder / "scripts")
    return folder


def test_no_python_that_is_new_enough_is_one_line(checkout: Path, tmp_path: Path) -> None:
    too_old = tmp_path / "python"
    too_old.write_text("#!/bin/sh\nexit 1\n")
    too_old.chmod(0o755)
    done = subprocess.run(
        [checkout / "scripts/setup.sh", "demo"],
        env={**os.environ, "PYTHON": str(too_old)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == (
        "setup: this needs Python 3.11 or later (as PYTHON=/path/to/python3 make demo)\n"
    )
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_it_takes_what_it_started_along(
    checkout: Path, tmp_path: Path, number: signal.Signals
) -> None:
    slow = tmp_path / "python"
    pid_file = tmp_path / "pid"
    slow.write_text(
        f'#!/bin/sh\ncase "$*" in *venv\\ .venv) echo $$ >"{pid_file}"; sleep 60; exit 1;; esac\n'
    )
    slow.chmod(0o755)
    setup = subprocess.Popen(
        [checkout / "scripts/setup.sh", "demo"],
        env={**os.environ, "PYTHON": str(slow)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # In the background a shell ignores Ctrl-C, and so would all that it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    with setup:
        until = time.monotonic() + 30
        while not (pid_file.exists() and pid_file.read_text()) and time.monotonic() < until:
            time.sleep(0.02)
        setup.send_signal(number)
        try:
            _, err = setup.communicate(timeout=30)
        finally:
            setup.kill()
    assert setup.returncode == 130
    assert "setup: stopped" in err
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)
