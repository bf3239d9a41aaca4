"""A node records as its settings say: sealed, encoded, uploaded; and calls never notice."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.calls.storehouse import BUCKET, storehouse

from trunkline.calls.recorder import Recorder
from trunkline.calls.recording_manifest import manifests
from trunkline.calls.recording_options import RecordingOptions
from trunkline.calls.records import RecordStore
from trunkline.calls.sealing_keys import new_key, new_pair
from trunkline.errors import UsageError
from trunkline.server.recordings import Recordings
from trunkline.settings import S3, Recording, Secret


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.01)


def record(recordings: Recordings, name: str, seconds: float = 0.5) -> None:
    recording = recordings.recorder.open(name, 8000)
    for _ in range(round(seconds * 50)):
        recording.write(np.full(160, 7, np.int16), None)
    assert recording.close().result(10).error is None


def test_without_need_there_is_no_process(tmp_path: Path) -> None:
    recordings = Recordings(Recording(folder=tmp_path), None, node="n1")
    recordings.start()
    record(recordings, "call")
    recordings.close()
    ((_, manifest),) = manifests(tmp_path)
    assert manifest.finished and manifest.node == "n1"
    assert recordings.storage.pid == 0


def test_format_keys_and_retention_are_those_of_the_settings(tmp_path: Path) -> None:
    public, _ = new_pair()
    settings = Recording(
        folder=tmp_path, format="flac", mix="mono", retention_days=3, opus_bitrate=16_000,
        encryption_key=Secret(new_key().written()), encryption_key_id="2026",
        encryption_recipients=(public.written(),),
    )  # fmt: skip
    recordings = Recordings(settings, None)
    record(recordings, "call")
    until(lambda: any(manifest.finished for _, manifest in manifests(tmp_path)))
    recordings.close()
    ((path, manifest),) = manifests(tmp_path)
    assert manifest.file == "call.flac.sealed" and path.with_name(manifest.file).exists()
    assert manifest.key_ids == ["2026", public.id]
    assert (manifest.channels, manifest.keep_days) == (1, 3) and manifest.delete_after


def test_a_store_that_is_down_raises_an_alarm_and_later_has_it_all(tmp_path: Path) -> None:
    with storehouse() as house:
        s3 = S3(
            bucket=BUCKET, endpoint_url=f"http://127.0.0.1:{house.gate.port}", region="us-east-1",
            access_key_id="test", secret_access_key=Secret("s3cret-of-the-node"), path_style=True,
            timeout_seconds=1.0,
        )  # fmt: skip
        store = RecordStore(tmp_path / "calls.db")
        recordings = Recordings(Recording(folder=tmp_path / "r", s3=s3), store)
        house.gate.mode = "500"
        record(recordings, "first")
        until(lambda: [alarm.kind for alarm in recordings.alarms.current()] == ["s3"])
        record(recordings, "second")
        house.gate.mode = "pass"
        until(lambda: len(house.names()) == 4)
        until(lambda: not recordings.alarms.current())
        recordings.close()
        day = next(iter(manifests(tmp_path / "r")))[0].parent.name
        assert house.names() == [
            f"{day}/{name}" for name in ("first.json", "first.wav", "second.json", "second.wav")
        ]
        assert not list((tmp_path / "r").rglob("*.wav"))
        store.flush()
        assert store.get("first").recording == f"s3://{BUCKET}/{day}/first.wav"
        store.close()
        for path in (tmp_path / "r").rglob("*"):
            assert path.is_dir() or b"s3cret-of-the-node" not in path.read_bytes()


def test_what_an_earlier_node_left_is_seen_to_at_the_start(tmp_path: Path) -> None:
    recorder = Recorder(
        tmp_path, options=RecordingOptions(format="flac"), on_finished=lambda *_: None
    )
    recording = recorder.open("call", 8000)
    recording.write(np.full(160, 7, np.int16), None)
    recording.close().result(10)
    recorder.close()
    ((path, manifest),) = manifests(tmp_path)
    assert not manifest.finished
    number, _, world = manifest.process.split("/", 2)
    path.write_text(path.read_text().replace(manifest.process, f"{number}/0/{world}"))
    second = Recordings(Recording(folder=tmp_path, format="flac"), None)
    second.start()
    until(lambda: next(iter(manifests(tmp_path)))[1].finished)
    second.close()


def test_a_key_that_is_none_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no key"):
        Recordings(Recording(folder=tmp_path, encryption_key=Secret("password123")), None)
