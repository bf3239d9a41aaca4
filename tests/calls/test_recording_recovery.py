"""Recordings of a node that died: mended where they can be, never touched while it lives."""

import logging
import time
from pathlib import Path

import pytest

from trunkline.calls.processes import identity
from trunkline.calls.recording_file import RecordingFile
from trunkline.calls.recording_manifest import Manifest, Pause, create, read
from trunkline.calls.recording_queue import RecordingQueue
from trunkline.calls.recording_recovery import recover_recordings
from trunkline.calls.sealing import Sealer
from trunkline.calls.sealing_keys import new_key

NUMBER, _, WORLD = identity().split("/", 2)
DEAD = f"{NUMBER}/0/{WORLD}"


def left(folder: Path, name: str, process: str = DEAD, *, sealed: bool = False) -> Path:
    """What is on the disk of a recording of a second that was never closed."""
    day = folder / "2026-11-20"
    day.mkdir(exist_ok=True, parents=True)
    file = f"{name}.wav" + (".sealed" if sealed else "")
    manifest = Manifest(call_id=name, process=process, file=file)
    manifest.pauses.append(Pause(from_seconds=0.5))
    path = day / f"{name}.json"
    create(path, manifest)
    RecordingQueue(folder).add(path)
    growing = RecordingFile(day / file, 8000, 2, Sealer((new_key(),)) if sealed else None)
    for _ in range(2):
        growing.append(bytes(16_000))
    growing.close()
    return path


@pytest.mark.parametrize("sealed", [False, True])
def test_a_torn_recording_is_whole_again(tmp_path: Path, sealed: bool) -> None:
    path = left(tmp_path, "a", sealed=sealed)
    file = path.with_name(read(path).file)
    whole = file.read_bytes()
    file.write_bytes(whole + b"\x00\x00\x10")
    assert recover_recordings(tmp_path, time.time()) == [path]
    manifest = read(path)
    assert file.read_bytes() == whole
    assert manifest.duration_seconds == pytest.approx(1.0, abs=0.1)
    assert (manifest.state, manifest.error) == ("crashed", "the node died")
    assert manifest.pauses[0].to_seconds == manifest.duration_seconds
    assert list(RecordingQueue(tmp_path)) == [path], "it is still to be hashed and uploaded"
    assert recover_recordings(tmp_path, time.time()) == []


def test_one_that_is_being_made_is_left_alone(tmp_path: Path) -> None:
    path = left(tmp_path, "a", identity())
    assert recover_recordings(tmp_path, time.time()) == []
    assert read(path).state == "recording"


def test_one_of_another_machine_is_left_alone_while_it_grows(tmp_path: Path) -> None:
    path = left(tmp_path, "a", "1/2/elsewhere")
    assert recover_recordings(tmp_path, time.time()) == []
    assert recover_recordings(tmp_path, time.time() + 120) == [path]


def test_what_cannot_be_mended_keeps_nothing_else_from_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken, torn, gone = (left(tmp_path, name) for name in ("broken", "torn", "gone"))
    good = left(tmp_path, "good")
    broken.write_text("{")
    torn.with_name("torn.wav").write_bytes(b"RI")
    gone.unlink()
    with caplog.at_level(logging.ERROR):
        assert recover_recordings(tmp_path, time.time()) == [good]
    assert "broken.json" in caplog.text and "torn.wav" in caplog.text
    assert gone not in list(RecordingQueue(tmp_path))


def test_one_that_died_before_its_file_was_made_is_closed(tmp_path: Path) -> None:
    path = left(tmp_path, "a")
    path.with_name("a.wav").unlink()
    assert recover_recordings(tmp_path, time.time()) == [path]
    assert read(path).duration_seconds == 0.0


def test_a_folder_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert recover_recordings(tmp_path / "none", time.time()) == []
