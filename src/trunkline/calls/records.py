"""A detail record for every call, in SQLite, without a call ever waiting for it.

The record is written when the call starts (so that a crash leaves a trace) and
brought up to date at the answer and the end. The store's methods only put a
change into a bounded queue; one writer thread commits what has gathered, every
50 ms at most. A database that is busy or full is tried again; what still cannot
be written goes to a JSON-lines file beside it (`spill`), and from there back
into the database when it works again. If even that fails, the change itself is
in the log: nothing is lost without a word.
"""

import logging
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Final

from trunkline.errors import UsageError

from .errors import RecordsError, UnknownCallError
from .processes import identity, is_gone
from .record import LONG_FIELDS, CallRecord, CallState
from .records_db import (
    Change,
    apply,
    column_value,
    open_to_read,
    open_to_write,
    record_of,
    transaction,
)
from .spill import Spill, line

__all__ = ["RecordStore"]

QUEUE_CHANGES: Final = 10_000
"""Changes that wait while the database is slow; some 5 MB. A call makes three."""
GATHER_SECONDS: Final = 0.05
HEARTBEAT_SECONDS: Final = 5.0
RETRY_SECONDS: Final = (0.05, 0.2, 0.5, 1.0)
"""Waits between attempts; each attempt itself waits 2 s for another's lock."""

_FIELDS: Final = frozenset(field.name for field in fields(CallRecord)) - {"id"}
_LISTED: Final = ", ".join(["id", *sorted(_FIELDS - LONG_FIELDS)])
_EMPTY: Final = CallRecord(id="")
_HOPELESS = (OverflowError, ValueError, sqlite3.DataError, sqlite3.IntegrityError)
_FAILURES = (sqlite3.Error, OSError, RecordsError, OverflowError, ValueError)

_log = logging.getLogger(__name__)


class RecordStore:
    """Detail records in one SQLite file. Any thread; the constructor does no I/O."""

    def __init__(self, path: Path, *, node: str = "", clock: Callable[[], float] = time.time):
        self.path = path
        self.node = node or os.uname().nodename
        self.failures = 0
        """Attempts to write that failed."""
        self.spilled = 0
        """Changes that went to the spill file."""
        self.lost = 0
        """Changes that are in the log only."""
        self._clock = clock
        self._spill = Spill(path)
        self._process = ""  # known from the first call on
        self._wake = threading.Condition()
        self._queue: deque[Change] = deque()
        self._said_at = 0.0
        self._busy = False
        self._hurry = False
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._connection: sqlite3.Connection | None = None  # the writer thread's
        self._retry_seconds: Sequence[float] = RETRY_SECONDS

    # Writing.

    def begin(self, record: CallRecord) -> None:
        """A call has started: its record, live from now on and of this process."""
        self._process = self._process or identity()
        record = replace(record, state="live", node=record.node or self.node)
        told = {name: getattr(record, name) for name in _FIELDS}
        # What is not known yet stays empty: a change that comes late may fill it.
        known = {name: value for name, value in told.items() if value != getattr(_EMPTY, name)}
        self._put(record.id, {**known, "state": "live", "process": self._process})

    def update(self, call_id: str, **values: object) -> None:
        """Set fields of a record.

        Raises:
            UsageError: there is no such field.
        """
        unknown = values.keys() - _FIELDS
        if unknown:
            raise UsageError(f"a record has no field {', '.join(sorted(unknown))}")
        self._put(call_id, values)

    def finish(
        self, call_id: str, *, reason: str, by: str, code: int | None = None, **values: object
    ) -> None:
        """The call is over: set how it ended, and any other fields.

        ``ended_at`` is now unless given.
        """
        values.setdefault("ended_at", self._clock())
        self.update(call_id, state="ended", end_reason=reason, end_by=by, end_code=code, **values)

    def flush(self, timeout_seconds: float = 5.0) -> bool:
        """Wait until everything said so far is written (or spilled); False if it is not."""
        with self._wake:
            self._wake.notify_all()
            return self._wake.wait_for(lambda: not self._queue and not self._busy, timeout_seconds)

    def close(self, timeout_seconds: float = 10.0) -> bool:
        """Write everything and stop the writer thread; False if it did not in time."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
            thread = self._thread
        if thread is None:
            return True
        thread.join(timeout_seconds)
        return not thread.is_alive()

    def _put(self, call_id: str, values: Mapping[str, object]) -> None:
        columns = {name: column_value(name, value) for name, value in values.items()}
        with self._wake:
            # A wall clock may be set back; what is said later must still count as newer.
            self._said_at = max(self._said_at, self._clock())
            change = Change(self._said_at, call_id, columns)
            full = len(self._queue) >= QUEUE_CHANGES or self._stopping
            if not full:
                self._queue.append(change)
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="records", daemon=True)
                    self._thread.start()
                self._wake.notify_all()
        if full:
            self._spill_over([change])

    # The writer thread.

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._queue or self._stopping, HEARTBEAT_SECONDS)
                if self._queue:  # let a burst of calls share a commit
                    self._wake.wait_for(lambda: self._hurry or self._stopping, GATHER_SECONDS)
                self._hurry = False
                batch = list(self._queue)
                self._queue.clear()
                self._busy = True
                stopping = self._stopping
            self._write(batch)
            with self._wake:
                self._busy = False
                self._wake.notify_all()
                if stopping and not self._queue:
                    break
        if self._connection is not None:
            self._connection.close()

    def _write(self, batch: list[Change]) -> None:
        """Commit a batch: again if it fails, then one by one, then to the spill file."""
        for wait_seconds in (*self._retry_seconds, None):
            try:
                self._commit(batch)
                return
            except _FAILURES as error:
                self._failed(error, len(batch))
                if not batch:
                    return  # a missed heartbeat is not worth trying again
            if wait_seconds is not None:
                with self._wake:
                    self._wake.wait_for(lambda: self._stopping, wait_seconds)
        bad: list[Change] = []
        for change in batch:
            try:
                self._commit([change])
            except _FAILURES:
                bad.append(change)
        if bad:
            self._spill_over(bad)

    def _commit(self, batch: Sequence[Change]) -> None:
        if self._connection is None:
            self._connection = open_to_write(self.path)
        self._take_back(self._connection)
        with transaction(self._connection):
            apply(self._connection, batch)
            self._connection.execute(  # the sign of life
                "INSERT INTO processes VALUES (?, ?) ON CONFLICT (process)"
                " DO UPDATE SET heartbeat_at = excluded.heartbeat_at",
                (self._process, self._clock()),
            )

    def _failed(self, error: Exception, waiting: int) -> None:
        self.failures += 1
        _log.warning("records: %s cannot be written (%s); %d waiting", self.path, error, waiting)
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _take_back(self, connection: sqlite3.Connection) -> None:
        """Put what was spilled into the database."""

        def use(changes: list[Change]) -> None:
            try:
                with transaction(connection):
                    apply(connection, changes)
            except _HOPELESS:  # one change that no database takes must not keep the others out
                for change in changes:
                    self._take_one(connection, change)
            _log.info("records: %d changes taken back from %s", len(changes), self._spill.path)

        try:
            bad = self._spill.take(use)
        except _FAILURES as error:
            _log.warning("records: cannot take back %s: %s", self._spill.path, error)
            return
        if bad:
            self.lost += bad
            _log.error("records: %d lines of %s are broken and lost", bad, self._spill.path)

    def _take_one(self, connection: sqlite3.Connection, change: Change) -> None:
        try:
            with transaction(connection):
                apply(connection, [change])
        except _HOPELESS as error:
            self._lose([change], error)

    def _spill_over(self, changes: list[Change]) -> None:
        try:
            self._spill.add(changes)
            self.spilled += len(changes)
            _log.error("records: %d changes went to %s", len(changes), self._spill.path)
        except OSError as error:
            self._lose(changes, error)

    def _lose(self, changes: Sequence[Change], error: Exception) -> None:
        self.lost += len(changes)
        text = "".join(line(change) for change in changes)
        _log.critical("records: this can be kept nowhere but here (%s):\n%s", error, text)

    # Reading, with a connection of its own; sees what has been committed.

    def list(self, limit: int = 50, state: CallState | None = None) -> Sequence[CallRecord]:
        """The newest records first.

        Raises:
            RecordsError: the database cannot be read.
        """
        where, values = ("WHERE state = ?", [state]) if state else ("", [])
        query = f"SELECT {_LISTED} FROM calls {where} ORDER BY started_at DESC, id LIMIT ?"
        return self._read(query, [*values, limit])

    def get(self, call_id: str) -> CallRecord:
        """The record of a call; the beginning of an id is enough if it is the only one.

        Raises:
            UnknownCallError: no call, or several, have it.
            RecordsError: the database cannot be read.
        """
        found = self._read(
            "SELECT * FROM calls WHERE substr(id, 1, length(?1)) = ?1"
            " ORDER BY id = ?1 DESC, started_at DESC LIMIT 4",
            [call_id],
        )
        if not found or not call_id:
            raise UnknownCallError(f"no call has the id {call_id!r}; `trunkline calls` lists them")
        if len(found) > 1 and found[0].id != call_id:
            names = ", ".join(record.id for record in found[:3])
            raise UnknownCallError(f"several calls begin with {call_id!r}: {names} ...")
        return found[0]

    def over_trunks(self, since: float) -> Sequence[CallRecord]:
        """Records of calls over trunks that began since then, the oldest first.

        Raises:
            RecordsError: the database cannot be read.
        """
        query = (
            "SELECT * FROM calls WHERE trunk IS NOT NULL AND started_at >= ? ORDER BY started_at"
        )
        return self._read(query, [since])

    def _read(self, query: str, values: Sequence[object]) -> Sequence[CallRecord]:
        connection = open_to_read(self.path)
        if connection is None:
            return []
        with closing(connection):
            try:
                return [record_of(row) for row in connection.execute(query, values)]
            except (sqlite3.Error, ValueError) as error:
                raise RecordsError(f"cannot read the records in {self.path}: {error}") from error

    # After a crash.

    def close_crashed(self, now: float) -> Sequence[CallRecord]:
        """Mark live records of processes that are gone as crashed; returns them.

        They end where the last sign of life was: the process's heartbeat or the
        last write to the recording. For the supervisor, before it starts a node.

        Raises:
            RecordsError: the database cannot be written.
        """
        if not self.path.exists() and not self._spill.path.exists():
            return []
        try:
            with closing(open_to_write(self.path)) as connection:
                self._take_back(connection)
                with transaction(connection):
                    return _close_crashed(connection, now)
        except (sqlite3.Error, OSError) as error:
            raise RecordsError(f"cannot write the records in {self.path}: {error}") from error


def _close_crashed(connection: sqlite3.Connection, now: float) -> list[CallRecord]:
    live = connection.execute(
        "SELECT calls.*, heartbeat_at FROM calls LEFT JOIN processes USING (process)"
        " WHERE state = 'live'"
    ).fetchall()
    crashed = []
    for row in live:
        heartbeat = row["heartbeat_at"] or 0.0
        if not is_gone(row["process"] or "", heartbeat, now):
            continue
        record = record_of(row)
        ended_at = min(now, _last_sign(record, heartbeat))
        values = {"state": "crashed", "ended_at": ended_at, "end_reason": "crashed", "end_by": "us"}
        apply(connection, [Change(max(now, row["updated_at"]), record.id, values)])
        crashed.append(replace(record, **values))  # type: ignore[arg-type]
    return crashed


def _last_sign(record: CallRecord, heartbeat: float) -> float:
    signs = [record.started_at, record.answered_at or 0.0, heartbeat]
    if record.recording:
        with suppress(OSError):
            signs.append(Path(record.recording).stat().st_mtime)
    return max(signs)
