import importlib.util
import subprocess
from typing import Any

import pytest

from trunkline.speech import setup
from trunkline.speech.setup import Part, SetupFailed, commands, install, survey, table


def part(name: str, found: bool, *pip: str, licence: str = "MIT") -> Part:
    return Part(name, "speaking", found, "a note", licence, pip)


MISSING = [
    part("onnxruntime", False, "onnxruntime"),
    part("silero-vad", False, "--no-deps", "silero-vad"),
    part("pocketsphinx", True, "pocketsphinx"),
    part("flite", False),
    part("espeak-ng", False, "espeakng-loader", licence="GPL-3.0-or-later"),
]


def test_the_survey_names_every_part_and_its_licence() -> None:
    found = {each.name: each.licence for each in survey()}
    assert list(found) == ["onnxruntime", "silero-vad", "pocketsphinx", "flite", "espeak-ng"]
    assert found["espeak-ng"] == "GPL-3.0-or-later"


def test_the_survey_runs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_args, **_more: pytest.fail("ran a command"))
    survey()


def test_espeak_is_not_installed_where_flite_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup.espeak, "is_installed", lambda: False)
    for has_flite, wanted in ((True, False), (False, True)):
        monkeypatch.setattr(setup.flite, "is_installed", lambda has=has_flite: has)
        espeak = next(each for each in survey() if each.name == "espeak-ng")
        assert bool(espeak.pip) is wanted


def test_silero_is_installed_alone_and_the_rest_together() -> None:
    first, second = (command[5:] for command in commands(MISSING))
    assert first == ["onnxruntime", "espeakng-loader"]
    assert second == ["--no-deps", "silero-vad"]


def test_nothing_missing_is_nothing_to_run() -> None:
    assert commands([part("onnxruntime", True, "onnxruntime")]) == []


def test_the_table_shows_what_is_missing() -> None:
    lines = table(MISSING).splitlines()
    assert lines[0].split() == ["part", "for", "licence"]
    assert lines[2].startswith("no   silero-vad")
    assert lines[3].startswith("yes  pocketsphinx")
    assert "GPL-3.0-or-later" in lines[5]


def test_installing_names_the_licence_first_and_then_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "survey", lambda: MISSING)
    said: list[str] = []
    ran: list[list[str]] = []

    def run(command: list[str]) -> str:
        said.append("RAN")
        ran.append(command)
        return ""

    assert install(said.append, run) == MISSING
    assert said[0] == "espeak-ng is GPL-3.0-or-later; it runs in a process of its own"
    assert said[1].startswith("running: ")
    assert ran == commands(MISSING)


def pip_says(monkeypatch: pytest.MonkeyPatch, output: str, code: int = 1) -> None:
    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, code, "", output)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(setup, "survey", lambda: MISSING)


def test_without_a_network_it_says_how_to_bring_the_packages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pip_says(monkeypatch, "WARNING: Temporary failure in name resolution\nERROR: No matching")
    with pytest.raises(SetupFailed, match=r"no network.*pip download -d wheels onnxruntime"):
        install(lambda _: None)


def test_another_failure_is_told_as_pip_tells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pip_says(monkeypatch, "error: externally-managed-environment")
    with pytest.raises(SetupFailed, match="externally-managed") as caught:
        install(lambda _: None)
    assert "network" not in str(caught.value)


def test_without_pip_it_says_what_else_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "survey", lambda: MISSING)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(SetupFailed, match="uv pip install onnxruntime"):
        install(lambda _: None)


def test_a_pip_that_never_ends_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **_: Any) -> None:
        raise subprocess.TimeoutExpired(command, 1)

    pip_says(monkeypatch, "")
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(SetupFailed, match="did not finish"):
        install(lambda _: None)
