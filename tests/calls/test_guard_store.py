"""Facts that outlive the process."""

import sqlite3
from pathlib import Path

import pytest

from trunkline.calls.guard_store import GuardStore


def test_facts_are_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "guard.db"
    store = GuardStore(path)
    assert store.load("block") == {}
    for number in range(100):
        store.put("block", f"k{number}", {"n": number})
    store.put("block", "k1", {"n": -1})
    store.put("block", "k2", None)
    store.put("use", "k3", {"n": 3})
    assert store.close()
    again = GuardStore(path).load("block")
    assert len(again) == 99 and again["k1"] == {"n": -1} and "k2" not in again
    assert path.stat().st_mode & 0o777 == 0o600


def test_flush_waits_until_it_is_on_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    store = GuardStore(path)
    store.put("a", "b", {"c": 1})
    assert store.flush()
    rows = sqlite3.connect(path)
    assert rows.execute("SELECT * FROM facts").fetchall() == [("a", "b", '{"c": 1}')]
    rows.close()
    store.close()


def test_what_cannot_be_written_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "guard.db"
    folder.mkdir()  # no file can be there
    store = GuardStore(folder)
    store.put("a", "b", {"c": 1})
    assert not store.flush(0.5)
    assert store.failures >= 1 and "cannot be written" in caplog.text
    folder.rmdir()
    assert store.flush(5)
    store.close()
    assert GuardStore(folder).load("a") == {"b": {"c": 1}}


def test_a_file_that_is_no_database_is_no_reason_not_to_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "guard.db"
    path.write_text("nonsense, and long enough to be looked at" * 100)
    assert GuardStore(path).load("a") == {}
    assert "cannot be read" in caplog.text


def test_a_store_that_kept_nothing_closes(tmp_path: Path) -> None:
    assert GuardStore(tmp_path / "guard.db").close()
    assert not (tmp_path / "guard.db").exists()
