"""The last resort for detail records: JSON lines beside the database.

Used when the database cannot be written for seconds (disk full, locked) or the
queue before it is full. Whoever next opens the database for writing takes the
lines back in. The file is locked while it is used, since several nodes may
share it; it is emptied and never removed, so that a lock means something.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .records_db import Change

__all__ = ["Spill"]


class Spill:
    """The spill file of one database. Any thread; a few tens of microseconds a line."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(f"{database.name}.spill.jsonl")

    def add(self, changes: Sequence[Change]) -> None:
        """Append changes; on the disk when this returns.

        Raises:
            OSError: not even this works.
        """
        lines = "".join(line(change) for change in changes)
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked(os.O_WRONLY | os.O_APPEND | os.O_CREAT) as fd:
            data = memoryview(lines.encode())
            while data:
                data = data[os.write(fd, data) :]
            os.fsync(fd)

    def take(self, use: Callable[[list[Change]], None]) -> int:
        """Give all changes to ``use`` and empty the file if it does not raise.

        Returns how many lines could not be understood (of a write that was cut
        short); they are lost. Taking the same lines twice does no harm.

        Raises:
            OSError: the file cannot be read; or what ``use`` raises.
        """
        if not self.path.exists() or self.path.stat().st_size == 0:
            return 0
        with self._locked(os.O_RDWR) as fd, open(fd, "rb", closefd=False) as file:
            changes, bad = [], 0
            for text in file:
                try:
                    at, call_id, columns = json.loads(text)
                    changes.append(Change(float(at), str(call_id), dict(columns)))
                except (ValueError, TypeError):
                    bad += 1
            use(changes)
            os.ftruncate(fd, 0)
        return bad

    @contextmanager
    def _locked(self, flags: int) -> Iterator[int]:
        fd = os.open(self.path, flags, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield fd
        finally:
            os.close(fd)


def line(change: Change) -> str:
    """One change as one line of JSON."""
    return json.dumps([change.at, change.id, change.columns]) + "\n"
