"""What protection has to remember over a restart, in SQLite, without anybody waiting.

Facts by kind and key, the last one counts. `put` only notes a fact; one writer thread
commits what has gathered, every 50 ms at most. What cannot be written is tried again.
"""

import json
import logging
import sqlite3
import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

__all__ = ["GuardStore"]

GATHER_SECONDS: Final = 0.05
RETRY_SECONDS: Final = 2.0
MOST_WAITING: Final = 200_000
"""Facts that wait while the disk does not take any; each key waits once."""

log = logging.getLogger(__name__)


class GuardStore:
    """Facts in one SQLite file. Any thread; the constructor does no I/O."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failures = 0
        """Attempts to write that failed."""
        self._wake = threading.Condition()
        self._waiting: dict[tuple[str, str], str | None] = {}
        self._writing = False
        self._stopping = False
        self._thread: threading.Thread | None = None

    def load(self, kind: str) -> dict[str, dict[str, Any]]:
        """Everything that was kept of a kind; nothing where the file cannot be read."""
        if not self.path.exists():
            return {}
        try:
            with closing(self._open()) as connection:
                rows = connection.execute("SELECT key, value FROM facts WHERE kind = ?", (kind,))
                return {key: json.loads(value) for key, value in rows}
        except (sqlite3.Error, OSError, ValueError) as error:
            log.error("what was kept in %s cannot be read: %s", self.path, error)
            return {}

    def put(self, kind: str, key: str, value: Mapping[str, Any] | None) -> None:
        """Keep a fact; None: it is no more."""
        text = None if value is None else json.dumps(value)
        with self._wake:
            if len(self._waiting) >= MOST_WAITING and (kind, key) not in self._waiting:
                return
            self._waiting[kind, key] = text
            if self._thread is None and not self._stopping:
                self._thread = threading.Thread(target=self._run, name="guard", daemon=True)
                self._thread.start()
            self._wake.notify_all()

    def flush(self, timeout_seconds: float = 5.0) -> bool:
        """Wait until everything is on the disk; False if it is not."""
        with self._wake:
            return self._wake.wait_for(
                lambda: not self._waiting and not self._writing, timeout_seconds
            )

    def close(self, timeout_seconds: float = 5.0) -> bool:
        """Write everything and stop; False if it did not in time."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(timeout_seconds)
            return not thread.is_alive()
        return True

    # -- the writer thread -----------------------------------------------------------------

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._waiting or self._stopping)
                if not self._stopping:
                    self._wake.wait(GATHER_SECONDS)
                batch, self._waiting = self._waiting, {}
                self._writing = True
                stopping = self._stopping
            try:
                connection = connection or self._open()
                _write(connection, batch)
            except (sqlite3.Error, OSError) as error:
                self._failed(error, batch)
                if connection is not None:
                    connection.close()
                connection = None
            with self._wake:
                self._writing = False
                self._wake.notify_all()
                if stopping:
                    break
                if connection is None:
                    self._wake.wait_for(lambda: self._stopping, RETRY_SECONDS)
        if connection is not None:
            connection.close()

    def _failed(self, error: Exception, batch: dict[tuple[str, str], str | None]) -> None:
        self.failures += 1
        log.warning("%s cannot be written (%s); %d facts wait", self.path, error, len(batch))
        with self._wake:
            self._waiting = {**batch, **self._waiting}

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self.path.exists():
            self.path.touch(mode=0o600)
        connection = sqlite3.connect(self.path, timeout=2.0, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS facts (kind TEXT NOT NULL, key TEXT NOT NULL,"
                " value TEXT NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID"
            )
        except BaseException:
            connection.close()
            raise
        return connection


def _write(connection: sqlite3.Connection, batch: Mapping[tuple[str, str], str | None]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for (kind, key), text in batch.items():
            if text is None:
                connection.execute("DELETE FROM facts WHERE kind = ? AND key = ?", (kind, key))
            else:
                connection.execute(
                    "INSERT INTO facts VALUES (?, ?, ?) ON CONFLICT (kind, key)"
                    " DO UPDATE SET value = excluded.value",
                    (kind, key, text),
                )
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
