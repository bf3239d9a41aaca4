"""Manifests: whole at every moment, and each file one recording's."""

import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from trunkline.calls.errors import RecordingError
from trunkline.calls.recording_manifest import (
    Manifest,
    Mark,
    Upload,
    create,
    iso,
    manifests,
    plain,
    read,
    write,
)


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    manifest = Manifest(call_id="a", marks=[Mark(name="consent", at_seconds=1.5)], upload=Upload())
    assert create(path, manifest)
    assert read(path) == manifest
    manifest.duration_seconds = 3.0
    write(path, manifest)
    assert read(path) == manifest
    assert json.loads(path.read_text()) == plain(manifest)
    assert path.stat().st_mode & 0o077 == 0


def test_two_recordings_never_share_one(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert create(path, Manifest(call_id="first"))
    assert not create(path, Manifest(call_id="second"))
    assert read(path).call_id == "first"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_reader_sees_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    create(path, Manifest(call_id="0" * 5000))
    seen: set[str] = set()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.add(read(path).call_id)

    looking = threading.Thread(target=look)
    looking.start()
    for digit in "123456789" * 10:
        write(path, Manifest(call_id=digit * 5000))
    done.set()
    looking.join()
    assert all(len(set(one)) == 1 and len(one) == 5000 for one in seen)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"state": "dancing"}', b"\xff\xfe"])
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(text)
    with pytest.raises(RecordingError, match=r"a\.json"):
        read(path)
    (tmp_path / "2026-01-01").mkdir()
    (tmp_path / "2026-01-01" / "b.json").write_bytes(text)
    assert list(manifests(tmp_path)) == []


def test_one_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="No such file"):
        read(tmp_path / "a.json")


def test_fields_of_a_later_version_are_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"version": 9, "call_id": "a", "mood": "good"}')
    assert read(path).call_id == "a"


def test_the_newest_day_comes_first(tmp_path: Path) -> None:
    for day in ("2026-01-02", "2026-01-03", ".queue"):
        (tmp_path / day).mkdir()
        create(tmp_path / day / "call.json", Manifest(call_id=day))
    assert [one.call_id for _, one in manifests(tmp_path)] == ["2026-01-03", "2026-01-02"]
    assert list(manifests(tmp_path / "none")) == []


def test_a_time_of_day_carries_its_zone() -> None:
    when = datetime(2026, 11, 20, 23, 59, 1, 5000, tzinfo=UTC)
    assert datetime.fromisoformat(iso(when)) == when
    assert iso(when)[-6] in "+-"
