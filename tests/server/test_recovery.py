"""After a crash: records closed, recordings mended, trouble told and survived."""

import logging
import wave
from contextlib import closing
from pathlib import Path

import pytest

from trunkline.calls.records import RecordStore
from trunkline.calls.records_db import Change, apply, open_to_write
from trunkline.calls.wav import header
from trunkline.server.recovery import recover


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    return RecordStore(tmp_path / "calls.db")


def died(store: RecordStore, call_id: str, recording: Path | str = "") -> None:
    columns = {
        "state": "live",
        "started_at": 100.0,
        "process": "gone",
        "recording": str(recording) or None,
    }
    with closing(open_to_write(store.path)) as connection:
        apply(connection, [Change(100.0, call_id, columns)])


def test_the_record_is_closed_and_the_recording_whole(store: RecordStore, tmp_path: Path) -> None:
    wav = tmp_path / "a.wav"
    wav.write_bytes(header(8000, 0) + bytes(3203))
    died(store, "a", wav)
    (record,) = recover(store, 1e9)
    assert record.id == "a"
    assert store.get("a").state == "crashed"
    with wave.open(str(wav)) as file:
        assert file.getnframes() == 800


def test_nothing_happens_where_nothing_crashed(store: RecordStore) -> None:
    assert not recover(store, 1e9)


@pytest.mark.parametrize("content", [None, b"", b"noise" * 20])
def test_a_recording_that_cannot_be_mended_stops_nothing(
    store: RecordStore, tmp_path: Path, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    if content is not None:
        (tmp_path / "a.wav").write_bytes(content)
    died(store, "a", tmp_path / "a.wav")
    died(store, "b")
    with caplog.at_level(logging.ERROR):
        assert {record.id for record in recover(store, 1e9)} == {"a", "b"}
    assert "a.wav" in caplog.text


def test_a_database_that_cannot_be_used_stops_nothing(
    store: RecordStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.path.write_text("diary" * 1000)
    assert not recover(store, 1e9)
    assert "calls.db" in caplog.text
