"""The SQL of detail records: schema and migrations, writing, reading.

Times are seconds since 1970 (UTC); each has a generated ISO 8601 column beside
it for people with a SQL prompt. What has structure (turns, quality, headers) is
JSON text. WAL, so that reading never waits for writing.
"""

import contextlib
import json
import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from .errors import RecordsError
from .record import JSON_FIELDS, LONG_FIELDS, CallRecord

__all__ = ["Change", "apply", "column_value", "open_to_read", "open_to_write", "record_of"]

BUSY_SECONDS: Final = 2.0

_MIGRATIONS: Final = (
    """
    CREATE TABLE calls (
        id TEXT PRIMARY KEY NOT NULL,
        direction TEXT, transport TEXT, caller TEXT, callee TEXT, app TEXT, state TEXT,
        started_at REAL, answered_at REAL, ended_at REAL,
        end_reason TEXT, end_by TEXT, end_code INTEGER,
        sip_call_id TEXT, recording TEXT, node TEXT, process TEXT,
        quality TEXT, turns TEXT, headers TEXT,
        updated_at REAL NOT NULL,
        started_utc TEXT AS (strftime('%Y-%m-%dT%H:%M:%fZ', started_at, 'unixepoch')) VIRTUAL,
        answered_utc TEXT AS (strftime('%Y-%m-%dT%H:%M:%fZ', answered_at, 'unixepoch')) VIRTUAL,
        ended_utc TEXT AS (strftime('%Y-%m-%dT%H:%M:%fZ', ended_at, 'unixepoch')) VIRTUAL
    );
    CREATE INDEX calls_started ON calls (started_at);
    CREATE INDEX calls_live ON calls (state) WHERE state = 'live';
    CREATE TABLE processes (
        process TEXT PRIMARY KEY NOT NULL,
        heartbeat_at REAL NOT NULL
    );
    """,
    "ALTER TABLE calls ADD COLUMN recorded_at REAL;",
    "ALTER TABLE calls ADD COLUMN end_detail TEXT;",
    "ALTER TABLE calls ADD COLUMN transfers TEXT;",
    "ALTER TABLE calls ADD COLUMN bridged_with TEXT;",
    "ALTER TABLE calls ADD COLUMN series TEXT; ALTER TABLE calls ADD COLUMN ladder TEXT",
    """
    ALTER TABLE calls ADD COLUMN trunk TEXT;
    ALTER TABLE calls ADD COLUMN attempts TEXT;
    CREATE INDEX calls_trunk ON calls (started_at) WHERE trunk IS NOT NULL
    """,
)


class Change(NamedTuple):
    """Columns of one call to be set."""

    at: float
    """When it was said, in wall-clock seconds: an older one never undoes a newer one."""
    id: str
    """Which call."""
    columns: Mapping[str, Any]
    """Values as SQLite takes them; see `column_value`."""


def open_to_write(path: Path) -> sqlite3.Connection:
    """The database, made or brought up to date.

    Raises:
        sqlite3.Error, OSError: it cannot be used now.
        RecordsError: it is of a newer version than this program.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        path.touch(mode=0o600)  # who called whom is nobody else's business
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        _migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def open_to_read(path: Path) -> sqlite3.Connection | None:
    """The database, not to be changed; None if there is none yet.

    Raises:
        RecordsError: it cannot be read.
    """
    if not path.exists():
        return None
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        connection.row_factory = sqlite3.Row
        version = _version(connection)
        if version == 0:
            connection.close()
            return None
        if version < len(_MIGRATIONS):
            connection.close()
            connection = open_to_write(path)
        _refuse_newer(version, path)
    except (sqlite3.Error, OSError) as error:
        raise RecordsError(f"cannot read the records in {path}: {error}") from error
    return connection


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _refuse_newer(version: int, path: Path) -> None:
    if version > len(_MIGRATIONS):
        raise RecordsError(
            f"{path} is of version {version}, this program knows {len(_MIGRATIONS)}: upgrade it"
        )


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    if _version(connection) == len(_MIGRATIONS):
        return
    with transaction(connection):
        version = _version(connection)  # again: another node may have been quicker
        _refuse_newer(version, path)
        for script in _MIGRATIONS[version:]:
            for statement in script.split(";"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing, and the write lock from the beginning."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def apply(connection: sqlite3.Connection, changes: Sequence[Change]) -> None:
    """Write changes, in a transaction of the caller's.

    Each makes the row if there is none: the first part of a call may come last,
    when it took the way of the spill file. A change older than the row fills
    only what is still empty, and "live" counts as empty: a call does not revive.
    """
    for change in changes:
        names = [*change.columns, "updated_at"]
        assignments = ", ".join(
            f"{name} = CASE WHEN excluded.updated_at >= calls.updated_at THEN excluded.{name}"
            f" ELSE coalesce({_still(name)}, excluded.{name}) END"
            for name in names
        )
        connection.execute(
            f"INSERT INTO calls (id, {', '.join(names)})"
            f" VALUES (?{', ?' * len(names)}) ON CONFLICT (id) DO UPDATE SET {assignments}",
            (change.id, *change.columns.values(), change.at),
        )


def _still(name: str) -> str:
    """What of a row an older change leaves alone."""
    return "nullif(calls.state, 'live')" if name == "state" else f"calls.{name}"


def column_value(name: str, value: object) -> Any:
    """A field of a record as SQLite takes it.

    What strangers send (headers, names) may hold anything, so text that is no
    Unicode is mended and numbers that JSON has no word for become null.
    """
    if name in LONG_FIELDS:
        # Ours, and clean: 2 us for a ladder, where the way below takes 50.
        return msgspec.json.encode(value).decode()
    if name in JSON_FIELDS:
        return json.dumps(_mended(value), ensure_ascii=False, default=str)
    if isinstance(value, Path):
        value = str(value)
    return _mended(value)


def _mended(value: object) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_mended(str(name)): _mended(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_mended(item) for item in value]
    return value


def record_of(row: sqlite3.Row) -> CallRecord:
    """A row as a record; what was never said is the field's default."""
    there = row.keys()
    names = [name for name in CallRecord.__slots__ if name in there]
    fields = {name: row[name] for name in names if row[name] is not None}
    for name in JSON_FIELDS & fields.keys():
        fields[name] = json.loads(fields[name])
    return CallRecord(**fields)
