"""What is wrong with a node's recordings now: raised, said once a minute, and cleared.

The list is also in a file of fixed size beside the recordings (``.queue/.alarms.json``), for
the command line. It is written in place, which works on a full disk too.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from .processes import identity, is_gone

__all__ = ["Alarm", "Alarms", "alarms_of"]

FILE: Final = ".queue/.alarms.json"
FILE_BYTES: Final = 8192
SAY_SECONDS: Final = 60.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Alarm:
    """One thing that is wrong."""

    kind: str
    """disk, s3, finishing, worker."""
    detail: str
    since: float
    """Wall-clock seconds."""
    count: int
    """How often it was raised since."""


class _Listed(msgspec.Struct):
    process: str
    at: float
    alarms: list[Alarm]


class Alarms:
    """The alarms of one node. Any thread."""

    def __init__(
        self,
        folder: Path | None = None,
        clock: Callable[[], float] = time.time,
        say_seconds: float = SAY_SECONDS,
    ) -> None:
        """With a ``folder`` the list is in a file there too."""
        self.raised = 0
        """How often anything was raised."""
        self._folder = folder
        self._clock, self._say_seconds = clock, say_seconds
        self._lock = threading.Lock()
        self._now: dict[str, Alarm] = {}
        self._said: dict[str, float] = {}

    def current(self) -> Sequence[Alarm]:
        """What is wrong now."""
        with self._lock:
            return list(self._now.values())

    def raise_(self, kind: str, detail: str) -> None:
        """Something is wrong; say so now, and once a minute while it is raised again."""
        now = self._clock()
        with self._lock:
            before = self._now.get(kind)
            self.raised += 1
            since, count = (before.since, before.count) if before else (now, 0)
            self._now[kind] = Alarm(kind, detail, since, count + 1)
            say = now - self._said.get(kind, -self._say_seconds) >= self._say_seconds
            if say:
                self._said[kind] = now
        if say:
            _log.error("recordings, %s: %s", kind, detail)
        if before is None or say or before.detail != detail:
            self._save()

    def clear(self, kind: str) -> None:
        """It is right again."""
        with self._lock:
            before = self._now.pop(kind, None)
            self._said.pop(kind, None)
        if before is not None:
            _log.warning("recordings, %s: right again after %.0f s", kind, self._age(before))
            self._save()

    def _age(self, alarm: Alarm) -> float:
        return max(0.0, self._clock() - alarm.since)

    def _save(self) -> None:
        if self._folder is None:
            return
        listed = _Listed(process=identity(), at=self._clock(), alarms=[*self.current()])
        data = msgspec.json.encode(listed)[:FILE_BYTES].ljust(FILE_BYTES)
        path = self._folder / FILE
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.pwrite(fd, data, 0)
            finally:
                os.close(fd)
        except OSError as error:
            _log.debug("the alarms cannot be written to %s: %s", path, error)


def alarms_of(folder: Path) -> Sequence[Alarm]:
    """The alarms of the node that records to a folder; none if it is gone."""
    try:
        listed = msgspec.json.decode((folder / FILE).read_bytes().rstrip(), type=_Listed)
    except (OSError, msgspec.DecodeError):
        return []
    if is_gone(listed.process, listed.at, time.time()):
        return []
    return listed.alarms
