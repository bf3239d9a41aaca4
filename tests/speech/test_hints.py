"""What somebody is told to run can be run as it is told."""

import shlex
import subprocess
import sys

import pytest

from trunkline.speech import hints


def test_the_commands_are_for_this_python_and_name_no_package_of_ours() -> None:
    pip = hints.pip_install("httpx2>=2")
    assert shlex.split(pip) == [sys.executable, "-m", "pip", "install", "httpx2>=2"]
    assert ">=" not in pip.replace("'httpx2>=2'", ""), "a shell must not take it for a redirection"


def test_a_python_in_a_folder_with_a_space_can_be_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/home/me/my calls/.venv/bin/python")
    assert shlex.split(hints.setup_speech("--espeak")) == [
        "/home/me/my calls/.venv/bin/python", "-m", "trunkline", "setup", "speech", "--espeak",
    ]  # fmt: skip


def test_the_setup_command_exists() -> None:
    command = [*shlex.split(hints.setup_speech("--espeak")), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert "--espeak" in done.stdout
