"""What is done with recordings whose node died: mended, and marked as such.

Without numpy: the supervisor does it before it starts a node, and so does whoever
finishes recordings.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from trunkline.errors import MissingDependencyError

from .errors import RecordingError
from .processes import is_gone
from .recording_file import SEALED_SUFFIX
from .recording_manifest import Manifest, read, write
from .recording_queue import RecordingQueue
from .wav import HEADER_BYTES, salvage

__all__ = ["is_orphan", "mend", "recover_recordings"]

_log = logging.getLogger(__name__)


def is_orphan(path: Path, manifest: Manifest, now: float) -> bool:
    """Whether the process that recorded it is gone; ``now`` is in wall-clock seconds."""
    try:
        signs = [path.stat().st_mtime, path.with_name(manifest.file).stat().st_mtime]
    except OSError:
        signs = [0.0]
    return is_gone(manifest.process, max(signs), now)


def recover_recordings(folder: Path, now: float) -> Sequence[Path]:
    """Mend and mark every recording of this folder whose process died; their manifests."""
    mended = []
    queue = RecordingQueue(folder)
    for path in list(queue):
        try:
            manifest = read(path)
            if manifest.state != "recording" or not is_orphan(path, manifest, now):
                continue
            mend(path, manifest)
            mended.append(path)
        except RecordingError as error:
            if path.exists():
                _log.error("%s", error)
            else:
                queue.remove(path)  # it died before it had written anything
        except OSError as error:
            _log.error("cannot mend the recording of %s: %s", path, error.strerror)
    return mended


def mend(path: Path, manifest: Manifest) -> None:
    """Make a recording whole up to where it was cut off, and say so in its manifest.

    Raises:
        RecordingError: its file is none of ours.
        OSError: the disk.
    """
    file = path.with_name(manifest.file)
    if not manifest.file or not file.exists():
        manifest.duration_seconds = 0.0
    elif manifest.file.endswith(SEALED_SUFFIX):
        manifest.duration_seconds = round(_sealed_seconds(file, manifest), 1)
    else:
        manifest.duration_seconds = salvage(file)
    manifest.state = "crashed"
    manifest.error = "the node died"
    if manifest.pauses and manifest.pauses[-1].to_seconds is None:
        manifest.pauses[-1].to_seconds = manifest.duration_seconds
    write(path, manifest)


def _sealed_seconds(file: Path, manifest: Manifest) -> float:
    """Cut a sealed file after its last whole chunk; about how long it is."""
    try:
        from .sealing import whole_bytes
    except MissingDependencyError:
        return 0.0
    with file.open("r+b") as opened:
        size = whole_bytes(opened)
        os.ftruncate(opened.fileno(), size)
    return max(0, size - HEADER_BYTES) / (2 * manifest.channels) / manifest.rate_hz
