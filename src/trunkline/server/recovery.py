"""What is done for the calls of a node that died without a word."""

import logging
from collections.abc import Sequence
from pathlib import Path

from trunkline.calls.errors import RecordingError, RecordsError
from trunkline.calls.record import CallRecord
from trunkline.calls.recording_file import SEALED_SUFFIX
from trunkline.calls.recording_manifest import SUFFIX, read
from trunkline.calls.recording_recovery import recover_recordings
from trunkline.calls.records import RecordStore
from trunkline.calls.wav import salvage

__all__ = ["recover"]

_log = logging.getLogger(__name__)


def recover(store: RecordStore, now: float, recordings: Path | None = None) -> Sequence[CallRecord]:
    """Close the records of calls that died with their node and mend their recordings.

    ``recordings`` is the folder where those are.

    Returns those records. Trouble is logged: a node that could not start because
    its last calls cannot be mended would be the greater harm.
    """
    if recordings is not None:
        recover_recordings(recordings, now)
    try:
        crashed = store.close_crashed(now)
    except RecordsError as error:
        _log.error("cannot close the records of crashed calls: %s", error)
        return []
    for record in crashed:
        _log.warning("a call was lost in a crash", extra={"call": record.id})
        if record.recording:
            _mend(record)
    return crashed


def _mend(record: CallRecord) -> None:
    path = Path(record.recording)
    try:
        manifest = path.with_name(path.name.partition(".")[0] + SUFFIX)
        if manifest.exists() and (path.name.endswith(SEALED_SUFFIX) or not path.exists()):
            # Sealed, or its file has another name by now: the manifest knows.
            seconds = read(manifest).duration_seconds
        else:
            seconds = salvage(path)
    except RecordingError as error:
        _log.error("%s", error, extra={"call": record.id})
    else:
        text = "its recording is whole: %s, %.1f s"
        _log.info(text, record.recording, seconds, extra={"call": record.id})
