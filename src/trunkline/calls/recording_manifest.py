"""What is told of a recording in a JSON file beside it.

Written before the first sample, so that a crash leaves one, and each time as a whole: a
reader sees the old one or the new one. Seconds in it count from the recording's first
sample; times of day carry their zone.
"""

import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct, field

from .errors import RecordingError

__all__ = [
    "SUFFIX",
    "Gap",
    "Manifest",
    "Mark",
    "Party",
    "Pause",
    "Upload",
    "create",
    "encoded",
    "iso",
    "manifests",
    "plain",
    "read",
    "write",
]

SUFFIX: Final = ".json"


class Mark(Struct, frozen=True, kw_only=True):
    """A moment somebody named."""

    name: str
    at_seconds: float
    detail: str = ""


class Pause(Struct, kw_only=True):
    """A time that is silence because nothing was to be recorded."""

    from_seconds: float
    to_seconds: float | None = None
    """None while it lasts."""
    reason: str = ""


class Gap(Struct, frozen=True, kw_only=True):
    """A time that is silence because it could not be recorded."""

    from_seconds: float
    seconds: float
    reason: str


class Party(Struct, frozen=True, kw_only=True):
    """Whose voice a channel has."""

    channel: int
    """0 is left; a mono mix has every voice in 0."""
    side: Literal["heard", "sent"]
    """heard: the far end; sent: our side."""
    party: str = ""
    """The far end's address; what we were called, for our side."""
    leg: str = ""


class Upload(Struct, kw_only=True):
    """How far it is on its way to an object store."""

    state: Literal["waiting", "done"] = "waiting"
    url: str = ""
    at: str = ""
    """When it was verified to be there."""
    attempts: int = 0
    error: str = ""
    """The last one."""


class Manifest(Struct, kw_only=True):
    """Everything known of one recording."""

    version: int = 1
    call_id: str = ""
    state: Literal["recording", "ended", "crashed", "failed"] = "recording"
    """failed: it ended before the call did; `error` says why."""
    file: str = ""
    """The name of the file, in the manifest's folder."""
    format: str = "wav"
    wanted_format: str = "wav"
    """What it becomes when the call is over."""
    bit_rate: int = 0
    """Of Opus."""
    sha256: str = ""
    """Of the file as it lies there (sealed, if it is); empty until it is finished."""
    bytes: int = 0
    started: str = ""
    """When the first sample was, with the zone."""
    duration_seconds: float = 0.0
    rate_hz: int = 8000
    channels: int = 2
    legs: list[Party] = field(default_factory=list)
    direction: str = ""
    caller: str = ""
    callee: str = ""
    transport: str = ""
    app: str = ""
    """The route that had the call."""
    sip_call_id: str = ""
    marks: list[Mark] = field(default_factory=list)
    pauses: list[Pause] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    encryption: str = ""
    """The cipher; empty when it is not sealed."""
    key_ids: list[str] = field(default_factory=list)
    node: str = ""
    process: str = ""
    """Which process records it; see ``calls.processes``."""
    app_version: str = ""
    keep_days: int = 0
    """How many days it is kept; 0 is for ever."""
    delete_after: str = ""
    """When it may be deleted; empty is never."""
    upload: Upload | None = None
    error: str = ""
    finished: bool = False
    """Whether nothing is left to be done: converted, hashed, uploaded."""


_DECODER: Final = msgspec.json.Decoder(Manifest)


def encoded(manifest: Manifest) -> bytes:
    """A manifest as its file has it."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def read(path: Path) -> Manifest:
    """A manifest from its file.

    Raises:
        RecordingError: it cannot be read, or is none.
    """
    try:
        return _DECODER.decode(path.read_bytes())
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordingError(f"{path} is no manifest of a recording: {error}") from error


def write(path: Path, manifest: Manifest) -> None:
    """Replace a manifest's file as a whole; raises `OSError`."""
    temporary = _write_beside(path, manifest)
    try:
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def create(path: Path, manifest: Manifest) -> bool:
    """Write a manifest where there is none; False if there is one. Raises `OSError`."""
    temporary = _write_beside(path, manifest)
    try:
        os.link(temporary, path)  # all of it at once, and never over another
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _write_beside(path: Path, manifest: Manifest) -> Path:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        data = encoded(manifest)
        if os.write(fd, data) != len(data):
            raise OSError(28, "No space left on device")
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)
    return temporary


def manifests(folder: Path) -> Iterator[tuple[Path, Manifest]]:
    """Every readable manifest in a recordings folder, the newest day first."""
    for day in sorted(_days(folder), reverse=True):
        for path in sorted(day.glob(f"*{SUFFIX}")):
            if path.name.startswith("."):
                continue
            try:
                yield path, read(path)
            except RecordingError:
                continue


def _days(folder: Path) -> Sequence[Path]:
    try:
        return [each for each in folder.iterdir() if each.is_dir() and each.name[0] != "."]
    except OSError:
        return []


def iso(when: datetime) -> str:
    """A time of day with its zone, to the millisecond."""
    return when.astimezone().isoformat(timespec="milliseconds")


def plain(manifest: Manifest) -> dict[str, Any]:
    """A manifest as JSON has it."""
    made: dict[str, Any] = msgspec.to_builtins(manifest)
    return made
