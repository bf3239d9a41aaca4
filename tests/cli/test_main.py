"""The command line as a whole: found, fast, and brief about mistakes."""

import ast
import errno
import importlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import trunkline
from trunkline import __version__
from trunkline.cli.main import COMMANDS, build
from trunkline.errors import TrunklineError

Run = Callable[..., "object"]


def test_without_anything_the_commands_are_listed(run) -> None:
    ran = run()
    assert ran.status == 0
    for name, (_, summary) in COMMANDS.items():
        assert name in ran.out
        assert summary in ran.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_an_example(run, name: str) -> None:
    ran = run(name, "--help")
    assert ran.status == 0
    text = ran.out
    if name in ("blocked", "config", "recordings", "setup", "trunks"):
        inner = re.findall(r"│ ([a-z]+) ", text)
        text += "".join(run(name, command, "--help").out for command in inner)
    assert f"trunkline {name}" in text
    if name != "calls":
        assert "Example" in text


def test_the_list_says_what_the_commands_say_of_themselves() -> None:
    for place, summary in COMMANDS.values():
        module, _, name = place.partition(":")
        found = getattr(importlib.import_module(module), name)
        text = found.help if name == "app" else found.__doc__
        assert text.splitlines()[0] == summary


def test_the_version_is_told(run) -> None:
    assert run("--version").out.strip() == __version__


@pytest.mark.parametrize(
    "arguments",
    [("bogus",), ("up", "--bogus"), ("up", "--sip-port", "x"), ("calls", "show"), ("config", "no")],
)
def test_a_wrong_command_line_is_status_2_on_standard_error(run, arguments: tuple[str]) -> None:
    ran = run(*arguments)
    assert ran.status == 2
    assert ran.out == ""
    assert ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("up", "--sip-port", "99999"), "sip.port is '99999' but must be a whole number"),
        (("up", "-s", "sip.prot=1"), "there is no key sip.prot; did you mean sip.port?"),
        (("up", "-s", "sip"), "--set takes section.key=value, not 'sip'"),
        (("up", "-c", "none.toml"), "there is no configuration file none.toml"),
        (("up", "--host", "0.0.0.0"), "Set sip.allowed_addresses"),
        (("up", "none.py"), "there is no file none.py"),
    ],
)
def test_wrong_settings_are_one_line_and_status_2(run, arguments: tuple[str], said: str) -> None:
    ran = run(*arguments)
    assert ran.status == 2
    assert ran.err.startswith("trunkline: ")
    assert len(ran.err.splitlines()) == 1
    assert said in ran.err


def test_an_error_of_ours_is_status_1_without_a_traceback(
    run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise TrunklineError("the line is dead")

    monkeypatch.setattr("trunkline.cli.version.version", fail)
    assert run("version")[::2] == (1, "trunkline: the line is dead\n")


def test_a_file_that_may_not_be_read_is_one_line(run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "trunkline.toml")

    monkeypatch.setattr("trunkline.cli.version.version", refuse)
    assert run("version")[::2] == (1, "trunkline: trunkline.toml: Permission denied\n")


@pytest.mark.parametrize("in_background", [False, True])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_another_signal_to_stop_ends_it_as_ctrl_c_does(
    run, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, in_background: bool
) -> None:
    hung_up: list[bool] = []

    def talk() -> None:
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        finally:
            hung_up.append(True)

    before = signal.signal(number, signal.SIG_DFL)
    # Shells have jobs in the background ignore Ctrl-C.
    keys = signal.signal(
        signal.SIGINT, signal.SIG_IGN if in_background else signal.default_int_handler
    )
    monkeypatch.setattr("trunkline.cli.version.version", talk)
    try:
        assert run("version").status == 128 + number
        assert hung_up == [True]
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)
        signal.signal(signal.SIGINT, keys)


def test_an_interrupt_is_what_a_shell_makes_of_it(run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trunkline.cli.version.version", interrupt)
    assert run("version").status == 130


@pytest.mark.parametrize("command", ["config sample", "calls --json", "version", "--help"])
def test_a_full_disk_is_one_line_and_status_1(tmp_path: Path, command: str) -> None:
    done = subprocess.run(
        f"{sys.executable} -m trunkline {command} >/dev/full",
        shell=True, capture_output=True, text=True, cwd=tmp_path, check=False,
        env={**_environment(), "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == ("trunkline: the output could not be written: No space left on device\n")


def test_who_stops_reading_hears_no_complaint() -> None:
    reader = "import sys; sys.stdin.readline()"
    command = f"{sys.executable} -m trunkline config sample | {sys.executable} -c '{reader}'"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, env=_environment())
    assert done.stderr == ""


def _environment() -> dict[str, str]:
    source = str(Path(trunkline.__file__).parent.parent)
    return {"PYTHONPATH": source, "PATH": "/usr/bin:/bin"}


def _loaded_by(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        env=_environment(),
    )
    return set(done.stdout.splitlines()[-1].split())


HEAVY = {"numpy", "uvloop", "asyncio", "sqlite3", "ssl", "picows", "trunkline.calls.records"}


def test_asking_for_help_loads_nothing_heavy() -> None:
    assert not _loaded_by("from trunkline.cli import main; main(['--help'])") & HEAVY


def test_the_supervisor_carries_none_of_the_nodes_weight() -> None:
    assert not _loaded_by("import trunkline.cli.up") & {"numpy", "uvloop", "picows"}


def test_nothing_is_printed_but_by_commands() -> None:
    """Data goes to standard output, so only the commands may write there."""
    folder = Path(trunkline.__file__).parent
    for path in folder.rglob("*.py"):
        if path.parent.name == "cli" or path.relative_to(folder).parts[0] == "server":
            continue
        calls = [
            node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
        ]
        names = {node.func.id for node in calls if isinstance(node.func, ast.Name)}
        assert "print" not in names, path


def test_commands_are_found_by_their_place() -> None:
    app = build(["up"])
    assert app["up"].name == ("up",)
