"""The demo itself: what it says and writes, and what it makes of trouble."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trunkline.calls.records import RecordStore
from trunkline.errors import MissingDependencyError
from trunkline.server.demo import DemoOptions, run_demo
from trunkline.speech import espeak, flite, registry
from trunkline.speech.silero import find_model

VOICES = {"flite": flite.is_installed, "espeak": espeak.is_installed}


def can_hear() -> bool:
    try:
        find_model()
        registry.create("stt", "sphinx")
    except MissingDependencyError:
        return False
    return True


def demo(folder: Path, *flags: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "trunkline", "demo", "--folder", str(folder), *flags],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env={**os.environ, "PYTHONPATH": "src", "NO_COLOR": "1"},
    )


@pytest.mark.slow
@pytest.mark.parametrize("voice", sorted(VOICES))
def test_the_call_goes_as_it_should(tmp_path: Path, voice: str) -> None:
    if not VOICES[voice]():
        pytest.skip(f"{voice} is not installed")
    if not can_hear():
        pytest.skip("the recogniser is not installed")
    done = demo(tmp_path, "--voice", voice, "--json")
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["ok"] is True
    assert outcome["problems"] == []
    assert len(outcome["latencies"]) >= 7
    assert Path(outcome["recording"]).stat().st_size > 500_000
    assert "<del>" in Path(outcome["page"]).read_text()
    record = RecordStore(Path(outcome["records"])).get(outcome["call"])
    assert record.transport == "sip"
    assert "✓ The call went as it should" in done.stderr
    assert "✂ cut off at" in done.stderr
    assert 'book_repair(day="Saturday", time="11:00") → booked: true' in done.stderr
    assert "\x1b[" not in done.stderr


def test_a_voice_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("trunkline.speech.synthesis._flite.is_installed", lambda: False)
    with pytest.raises(MissingDependencyError, match="apt install flite"):
        run_demo(DemoOptions(tmp_path, voice="flite"))
    assert "Both speak" not in capsys.readouterr().out


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = demo(tmp_path / "file" / "folder")
    assert done.returncode == 2
    assert (
        done.stderr
        == f"trunkline: cannot write to {tmp_path / 'file' / 'folder'}: Not a directory\n"
    )


def test_a_voice_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    done = demo(tmp_path, "--voice", "opera")
    assert done.returncode == 2
    assert "opera" in done.stderr
