"""``trunkline recordings``: what there is, whether it is whole, and in the clear again."""

import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trunkline.calls.alarms import Alarms
from trunkline.calls.recorder import Recorder
from trunkline.calls.recording_manifest import Manifest, read
from trunkline.calls.recording_options import RecordingOptions
from trunkline.calls.sealing_keys import SealingKey, new_key, new_pair


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "recordings"
    place.mkdir()
    (tmp_path / "trunkline.toml").write_text(f'[recording]\nfolder = "{place}"\n')
    return place


def record(folder: Path, name: str, *keys: SealingKey, **options: Any) -> Path:
    """A finished recording of a second; its manifest."""
    recorder = Recorder(folder, keys=keys, options=RecordingOptions(**options))
    about = Manifest(caller="+4930123", callee="100")
    recording = recorder.open(name, 8000, about=about)
    for number in range(50):
        recording.write(np.full(160, number, np.int16), None)
    recording.mark("consent")
    path = recording.close().result(10).path
    recorder.close()
    return path.with_name(f"{name}.json")


def test_a_list_of_nothing_says_so(run: Any, folder: Path) -> None:
    assert "no recordings yet" in run("recordings").out
    assert run("recordings", "list", "--json").data == {"recordings": [], "alarms": []}


def test_recordings_are_listed_with_what_became_of_them(run: Any, folder: Path) -> None:
    record(folder, "call_a")
    waits = record(folder, "call_b", format="flac")
    out = run("recordings").out
    assert "call_a" in out and "+4930123" in out and "stored" in out and "1.0 s" in out
    assert "being finished" in out
    listed = run("recordings", "list", "-n", "1", "--json").data["recordings"]
    assert [one["call_id"] for one in listed] == ["call_a"]
    assert json.loads(waits.read_text())["wanted_format"] == "flac"


def test_alarms_come_first(run: Any, folder: Path) -> None:
    Alarms(folder).raise_("disk", "No space left on device\x1b[31m")
    out = run("recordings").out
    assert out.startswith("ALARM disk since") and "\x1b[31m" not in out
    assert run("recordings", "--json").data["alarms"][0]["kind"] == "disk"


def test_one_is_shown_by_the_beginning_of_its_id(run: Any, folder: Path) -> None:
    path = record(folder, "call_abc")
    record(folder, "call_xyz")
    for asked in ("call_a", "call_abc", str(path), str(path.with_name("call_abc.wav"))):
        shown = run("recordings", "show", asked).data
        assert shown["call_id"] == "call_abc" and shown["marks"][0]["name"] == "consent"
    assert "several" in run("recordings", "show", "call_").err
    missing = run("recordings", "show", "nothing")
    assert missing.status == 2 and "no recording has the id" in missing.err


def test_verify_finds_what_was_changed_or_taken_away(run: Any, folder: Path) -> None:
    good, bad, gone = (record(folder, name) for name in ("good", "bad", "gone"))
    record(folder, "later", format="flac")
    assert run("recordings", "verify", "good").status == 0
    assert run("recordings", "verify").status == 0
    with bad.with_name("bad.wav").open("r+b") as file:
        file.seek(1000)
        file.write(b"!")
    gone.with_name("gone.wav").unlink()
    ran = run("recordings", "verify")
    assert ran.status == 1
    lines = dict(line.split(": ", 1) for line in ran.out.splitlines())
    assert lines["good"] == "fine" and lines["later"].startswith("not finished")
    assert lines["bad"].startswith("BAD") and lines["gone"].startswith("BAD")
    assert read(good).finished


def test_a_sealed_recording_is_written_in_the_clear(
    run: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public, private = new_pair()
    sealed = record(folder, "call_a", public).with_name("call_a.wav.sealed")
    (tmp_path / "key").write_text(private.written() + "\n")
    ran = run(
        "recordings", "decrypt", str(sealed), "--key", new_key().written(),
        "--key", f"file:{tmp_path}/key",
    )  # fmt: skip
    assert ran.status == 0, ran.err
    with wave.open(str(sealed.with_name("call_a.wav"))) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert samples[::320].tolist() == list(range(50))
    monkeypatch.setenv("RECORDINGS_KEY", private.written())
    again = run("recordings", "decrypt", str(sealed), "--key", "env:RECORDINGS_KEY")
    assert again.status == 2 and "File exists" in again.err
    assert run("recordings", "verify", "call_a", "--key", "env:RECORDINGS_KEY").status == 0


def test_one_that_was_cut_short_is_written_as_far_as_it_goes(run: Any, folder: Path) -> None:
    key = new_key()
    sealed = record(folder, "call_a", key).with_name("call_a.wav.sealed")
    data = sealed.read_bytes()
    sealed.write_bytes(data[: len(data) - 20])  # the last chunk, which is empty, is 20 bytes
    ran = run("recordings", "decrypt", str(sealed), "--key", key.written(), "--to", "out.wav")
    assert ran.status == 1 and "cut short" in ran.out
    with wave.open("out.wav") as file:
        assert file.getnframes() == 8000


def test_the_wrong_key_leaves_nothing_behind(run: Any, folder: Path) -> None:
    key, wrong = new_key(), new_key()
    sealed = record(folder, "call_a", key).with_name("call_a.wav.sealed")
    ran = run("recordings", "decrypt", str(sealed), "--key", wrong.written())
    assert ran.status == 1 and key.id in ran.err
    assert wrong.written() not in ran.err + ran.out
    assert not sealed.with_name("call_a.wav").exists()
    ran = run("recordings", "decrypt", str(sealed.with_name("call_a.json")), "--key", "ab" * 32)
    assert ran.status == 2 and "--to" in ran.err


def test_what_a_node_left_is_finished_by_hand(run: Any, folder: Path) -> None:
    path = record(folder, "call_a", format="flac")
    left = run("recordings", "upload")
    assert left.status == 0 and path.with_name("call_a.wav").exists(), "its process lives"
    path.write_text(path.read_text().replace(read(path).process, dead(read(path).process)))
    ran = run("recordings", "upload")
    assert ran.status == 0 and "call_a.flac" in ran.out
    assert read(path).finished
    assert run("recordings", "verify").status == 0


def dead(process: str) -> str:
    number, _, world = process.split("/", 2)
    return f"{number}/0/{world}"


def test_a_store_that_is_down_is_told_and_nothing_is_lost(
    run: Any, folder: Path, tmp_path: Path
) -> None:
    recorder = Recorder(folder, uploads=True)
    path = recorder.open("call_a", 8000).close().result(10).path.with_suffix(".json")
    recorder.close()
    path.write_text(path.read_text().replace(read(path).process, dead(read(path).process)))
    with (tmp_path / "trunkline.toml").open("a") as file:
        file.write(
            '[recording.s3]\nbucket = "b"\nendpoint_url = "http://127.0.0.1:9"\nregion = "x"\n'
            'access_key_id = "a"\nsecret_access_key = "very-secret"\npath_style = true\n'
        )
    ran = run("recordings", "upload")
    assert ran.status == 1 and "s3:" in ran.out and "very-secret" not in ran.out + ran.err
    assert path.with_name("call_a.wav").exists()
    assert (
        "waits for upload" in run("recordings").out.replace("\n", " ")
        or "waits" in run("recordings").out
    )


def test_keys_are_made_for_one_or_for_two(run: Any) -> None:
    (single,) = run("recordings", "keygen").out.split()
    assert len(bytes.fromhex(single)) == 32
    public, private = run("recordings", "keygen", "--pair").out.split()
    assert public.startswith("public:") and private.startswith("private:")


def test_listing_needs_no_numpy() -> None:
    import subprocess
    import sys

    program = "import trunkline.cli.recordings, sys; print('numpy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"
