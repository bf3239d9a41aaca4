"""A node's recordings: the recorder, who finishes them, and who keeps account of both."""

import importlib.util
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trunkline.calls.alarms import Alarms
from trunkline.calls.call import Call
from trunkline.calls.keeper import Keeper
from trunkline.calls.recorder import Recorder
from trunkline.calls.recording import Recording
from trunkline.calls.recording_convert import require
from trunkline.calls.recording_options import RecordingOptions
from trunkline.calls.recording_queue import RecordingQueue
from trunkline.calls.records import RecordStore
from trunkline.calls.storage_process import StorageProcess
from trunkline.calls.storage_settings import keys_of, storage_settings
from trunkline.errors import MissingDependencyError
from trunkline.settings import Recording as RecordingSettings

__all__ = ["Recordings"]

log = logging.getLogger(__name__)


class Recordings:
    """Joins recorder, storage and keeper as the settings say. The constructor does no I/O."""

    def __init__(
        self,
        settings: RecordingSettings,
        records: RecordStore | None,
        *,
        node: str = "",
        ladder: Callable[[Call], dict[str, Any]] | None = None,
    ) -> None:
        """Raises `MissingDependencyError` for what the settings need and is not installed."""
        _check(settings)
        self._settings = settings
        self.alarms = Alarms(settings.folder)
        """What is wrong with recordings now."""
        self.storage = StorageProcess(
            storage_settings(settings), on_stored=self._stored, on_alarm=self._alarm
        )
        """The process that converts, uploads and deletes; runs once there is need."""
        self.recorder = Recorder(
            settings.folder,
            options=RecordingOptions(
                settings.format, settings.mix, settings.sides, settings.retention_days
            ),
            keys=keys_of(settings),
            min_free_bytes=settings.min_free_mb << 20,
            node=node,
            bit_rate=settings.opus_bitrate,
            uploads=bool(settings.s3.bucket),
            on_finished=self._finished,
        )
        self.keeper = Keeper(
            records,
            self.recorder,
            record_all=settings.enabled,
            alarms=self.alarms,
            keep_days=settings.retention_days_by_app,
            ladder=ladder,
        )

    def start(self) -> None:
        """See to what an earlier node left, and to what is to be deleted."""
        expires = self._settings.retention_days or self._settings.retention_days_by_app
        if expires or any(RecordingQueue(self._settings.folder)):
            self.storage.start()

    def close(self) -> None:
        """End every recording, then let storage do what it can in its time."""
        self.recorder.close()
        self.storage.close()

    def _finished(self, recording: Recording, path: Path, data_key: bytes) -> None:
        self.storage.finished(path, data_key)

    def _stored(self, call_id: str, place: str) -> None:
        self.keeper.stored(call_id, place)

    def _alarm(self, kind: str, detail: str) -> None:
        if detail:
            self.alarms.raise_(kind, detail)
        else:
            self.alarms.clear(kind)


def _check(settings: RecordingSettings) -> None:
    """Miss now what would else be missed at the end of the first call."""
    require(settings.format)
    sealed = settings.encryption_key or settings.encryption_recipients
    for wanted, package, extra in (
        (sealed, "cryptography", "recording"),
        (settings.s3.bucket, "boto3", "s3"),
    ):
        if wanted and importlib.util.find_spec(package) is None:
            raise MissingDependencyError(
                f"the settings of [recording] need {package}: pip install 'trunkline[{extra}]'"
            )
