"""Which recordings of a folder are not finished: a small file for each, in ``.queue``.

It is made when a recording begins and goes when nothing is left to be done for it, so
that whoever starts after a crash finds what was left, without looking at everything.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["RecordingQueue", "hash_of"]

FOLDER: Final = ".queue"


def hash_of(path: Path) -> str:
    """The SHA-256 of a file; raises `OSError`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class RecordingQueue:
    """The unfinished recordings of a folder, each by the path of its manifest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place = folder / FOLDER
        """Where the entries are, and what else is kept about the folder."""

    def add(self, manifest: Path) -> None:
        """A recording begins; raises `OSError`."""
        self.place.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(self._entry(manifest), os.O_WRONLY | os.O_CREAT, 0o600)
        os.close(fd)

    def remove(self, manifest: Path) -> None:
        """Nothing is left to be done for it."""
        self._entry(manifest).unlink(missing_ok=True)

    def __iter__(self) -> Iterator[Path]:
        """Manifests of what is not finished, the oldest day first."""
        try:
            names = sorted(entry.name for entry in os.scandir(self.place))
        except OSError:
            return
        for name in names:
            day, mark, rest = name.partition("~")
            if mark and not name.startswith("."):
                yield self.folder / day / rest

    def _entry(self, manifest: Path) -> Path:
        return self.place / f"{manifest.parent.name}~{manifest.name}"
