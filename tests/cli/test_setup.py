"""``trunkline setup speech``: installs what is missing, and nothing else."""

import subprocess
import sys

import pytest

from trunkline.cli import setup


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """A machine on which nothing is installed; what is run is written down and succeeds."""

    class Machine:
        def __init__(self) -> None:
            self.has = {"pip"}
            self.commands: list[list[str]] = []
            self.status = 0

    machine = Machine()

    def install(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        machine.commands.append(command)
        if machine.status == 0:
            names = [part.partition(">=")[0] for part in command if ">=" in part]
            machine.has |= {name.replace("-", "_") for name in names}
        return subprocess.CompletedProcess(command, machine.status)

    monkeypatch.setattr(setup.subprocess, "run", install)
    monkeypatch.setattr(
        setup.importlib.util, "find_spec", lambda name: name if name in machine.has else None
    )
    monkeypatch.setattr(setup.flite_engine, "is_installed", lambda: "flite" in machine.has)
    espeak = {"espeak-ng", "espeakng_loader"}
    monkeypatch.setattr(setup.espeak_engine, "is_installed", lambda: bool(espeak & machine.has))
    monkeypatch.setattr(
        setup.shutil, "which", lambda name: f"/bin/{name}" if name in machine.has else None
    )
    return machine


def test_everything_that_is_missing_is_installed(run, machine) -> None:
    ran = run("setup", "speech", "--json")
    assert ran.status == 0
    assert ran.data["ready"] is True
    pip = [sys.executable, "-m", "pip", "install"]
    assert machine.commands == [
        [*pip, "onnxruntime>=1.18", "pocketsphinx>=5.0.3", "espeakng-loader>=0.2.4"],
        [*pip, "--no-deps", "silero-vad>=6"],
    ]


def test_where_flite_is_there_no_gpl_voice_is_installed(run, machine) -> None:
    machine.has |= {"flite"}
    assert run("setup", "speech").status == 0
    assert "espeakng_loader" not in machine.has
    run("setup", "speech", "--espeak")
    assert "espeakng_loader" in machine.has


def test_the_systems_own_espeak_will_do(run, machine) -> None:
    machine.has |= {"espeak-ng", "onnxruntime", "silero_vad", "pocketsphinx"}
    ran = run("setup", "speech", "--json")
    assert ran.status == 0
    assert ran.data["parts"]["espeak-ng"] is True
    assert machine.commands == []


def test_what_is_there_is_left_alone(run, machine) -> None:
    machine.has |= {"flite", "onnxruntime", "silero_vad", "pocketsphinx"}
    assert run("setup", "speech").status == 0
    assert machine.commands == []


def test_a_dry_run_says_what_it_would_do(run, machine) -> None:
    ran = run("setup", "speech", "--dry-run")
    assert ran.status == 1, "nothing is there yet"
    assert "--no-deps silero-vad" in ran.err
    assert "not installed" in ran.out
    assert machine.commands == []


def test_the_licence_is_named(run, machine) -> None:
    assert "GPL-3.0-or-later" in run("setup", "speech").out


def test_without_pip_uv_is_used(run, machine) -> None:
    machine.has = {"uv", "flite"}
    assert run("setup", "speech").status == 0
    assert machine.commands[0][:5] == ["/bin/uv", "pip", "install", "--python", sys.executable]


def test_without_either_it_says_what_to_do(run, machine) -> None:
    machine.has = set()
    ran = run("setup", "speech")
    assert ran.status == 1
    assert "ensurepip" in ran.err


def test_an_installation_that_fails_is_an_error(run, machine) -> None:
    machine.status = 1
    ran = run("setup", "speech")
    assert ran.status == 1
    assert "trunkline: this failed:" in ran.err
    assert ran.out == ""
