"""What is done for the calls of a node that died without a word."""

import logging
from collections.abc import Sequence
from pathlib import Path

from trunkline.calls.errors import RecordingError, RecordsError
from trunkline.calls.record import CallRecord
from trunkline.calls.records import RecordStore
from trunkline.calls.wav import salvage

__all__ = ["recover"]

_log = logging.getLogger(__name__)


def recover(store: RecordStore, now: float) -> Sequence[CallRecord]:
    """Close the records of calls that died with their node and mend their recordings.

    Returns those records. Trouble is logged: a node that could not start because
    its last calls cannot be mended would be the greater harm.
    """
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
    try:
        seconds = salvage(Path(record.recording))
    except RecordingError as error:
        _log.error("%s", error, extra={"call": record.id})
    else:
        text = "its recording is whole: %s, %.1f s"
        _log.info(text, record.recording, seconds, extra={"call": record.id})
