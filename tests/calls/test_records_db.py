"""The SQL of records: versions, order of changes, text of strangers."""

import sqlite3
from contextlib import closing
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.calls import records_db
from trunkline.calls.errors import RecordsError
from trunkline.calls.record import CallRecord
from trunkline.calls.records_db import (
    Change,
    apply,
    column_value,
    open_to_read,
    open_to_write,
    record_of,
    transaction,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "calls.db"


def stored(connection: sqlite3.Connection, call_id: str = "a") -> CallRecord:
    row = connection.execute("SELECT * FROM calls WHERE id = ?", (call_id,)).fetchone()
    return record_of(row)


def test_the_database_and_its_folder_are_made(path: Path) -> None:
    open_to_write(path).close()
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0


def test_reading_makes_nothing(path: Path) -> None:
    assert open_to_read(path) is None
    assert not path.parent.exists()


def test_an_empty_file_has_no_records(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    assert open_to_read(path) is None


def test_reading_cannot_write(path: Path) -> None:
    open_to_write(path).close()
    connection = open_to_read(path)
    assert connection is not None
    with closing(connection), pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM calls")


def test_reading_does_not_wait_for_a_writer(path: Path) -> None:
    with closing(open_to_write(path)) as writer, transaction(writer):
        apply(writer, [Change(1.0, "a", {"state": "live"})])
        reader = open_to_read(path)
        assert reader is not None
        with closing(reader):
            assert reader.execute("SELECT count(*) FROM calls").fetchone()[0] == 0


def test_a_newer_database_is_refused_by_name(path: Path) -> None:
    with closing(open_to_write(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    for use in (open_to_read, open_to_write):
        with pytest.raises(RecordsError, match=r"version 99.*upgrade"):
            use(path)


def test_an_older_database_is_brought_up_to_date(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(open_to_write(path)) as connection:
        apply(connection, [Change(1.0, "a", {"caller": "ann"})])
    more = (*records_db._MIGRATIONS, "ALTER TABLE calls ADD COLUMN extra TEXT DEFAULT 'new'")
    monkeypatch.setattr(records_db, "_MIGRATIONS", more)
    reader = open_to_read(path)
    assert reader is not None
    with closing(reader):
        row = reader.execute("SELECT caller, extra FROM calls").fetchone()
        assert tuple(row) == ("ann", "new")
        assert reader.execute("PRAGMA user_version").fetchone()[0] == len(more)


def test_a_migration_that_fails_changes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_to_write(path).close()
    more = (*records_db._MIGRATIONS, "CREATE TABLE half (x); SELECT * FROM nowhere")
    monkeypatch.setattr(records_db, "_MIGRATIONS", more)
    with pytest.raises(sqlite3.OperationalError):
        open_to_write(path)
    monkeypatch.undo()
    with closing(open_to_write(path)) as connection:
        assert not connection.execute("SELECT * FROM sqlite_master WHERE name='half'").fetchall()


def test_what_is_no_database_is_an_error_that_names_it(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("this is a diary" * 100)
    with pytest.raises(RecordsError, match=r"calls\.db"):
        open_to_read(path)


def test_times_have_iso_columns(path: Path) -> None:
    with closing(open_to_write(path)) as connection:
        apply(connection, [Change(1.0, "a", {"started_at": 1_795_219_199.25})])
        row = connection.execute("SELECT started_utc, ended_utc FROM calls").fetchone()
        assert tuple(row) == ("2026-11-20T23:59:59.250Z", None)


CHANGES = (
    Change(1.0, "a", {"state": "live", "caller": "ann", "started_at": 1.0}),
    Change(2.0, "a", {"answered_at": 2.0, "turns": "[1]"}),
    Change(3.0, "a", {"turns": "[1, 2]", "recording": "x.wav"}),
    Change(4.0, "a", {"state": "ended", "ended_at": 4.0, "turns": "[1, 2, 3]"}),
)


@pytest.mark.parametrize("order", list(permutations(range(len(CHANGES)))))
def test_changes_have_one_outcome_in_whatever_order_they_come(
    path: Path, order: tuple[int, ...]
) -> None:
    with closing(open_to_write(path)) as connection:
        for number in order:
            apply(connection, [CHANGES[number]])
        assert stored(connection) == CallRecord(
            id="a",
            caller="ann",
            state="ended",
            started_at=1.0,
            answered_at=2.0,
            ended_at=4.0,
            recording="x.wav",
            turns=[1, 2, 3],  # type: ignore[list-item]
        )


def test_a_change_taken_twice_is_one(path: Path) -> None:
    with closing(open_to_write(path)) as connection:
        apply(connection, [*CHANGES, *CHANGES])
        assert stored(connection).state == "ended"


def test_a_transaction_that_fails_leaves_nothing(path: Path) -> None:
    with closing(open_to_write(path)) as connection:
        changes = [*CHANGES, Change(5.0, "b", {"no_such_column": 1})]
        with pytest.raises(sqlite3.OperationalError), transaction(connection):
            apply(connection, changes)
        assert not connection.execute("SELECT * FROM calls").fetchall()


any_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=8,
)


@given(caller=st.text(st.characters()), headers=any_value)
def test_what_strangers_send_can_always_be_stored(
    tmp_path_factory: pytest.TempPathFactory, caller: str, headers: object
) -> None:
    """Lone surrogates, NUL, NaN: none of it may cost a record."""
    with closing(open_to_write(tmp_path_factory.getbasetemp() / "strangers.db")) as connection:
        columns = {
            "caller": column_value("caller", caller),
            "headers": column_value("headers", headers),
        }
        apply(connection, [Change(1.0, "a", columns)])
        stored(connection)


def test_numbers_that_json_has_no_word_for_are_null() -> None:
    value = {"loss": float("nan"), "late": 3, "rtt": (float("inf"), 1.5)}
    assert column_value("quality", value) == '{"loss": null, "late": 3, "rtt": [null, 1.5]}'


def test_paths_are_stored_as_text() -> None:
    assert column_value("recording", Path("a/b.wav")) == "a/b.wav"
