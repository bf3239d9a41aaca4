"""Finishes recordings: converted, hashed, uploaded, and deleted when their time is over.

All that is left to be done for a recording follows from its manifest, and each step leaves
it so that a process killed at any moment can be followed by another:

    encode       a WAV into its format, beside it; the manifest says so; the WAV goes
    hash         the file's SHA-256 into the manifest
    upload       verified in the bucket; the manifest says so; the file goes
    finished     the manifest says so, in the bucket too; the queue's entry goes

A store that does not answer is left alone for a while: 1 s, 2 s, 4 s ... up to a minute, each
with jitter, so that a hundred nodes do not come back in the same second.
"""

import contextlib
import logging
import random
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trunkline.errors import MissingDependencyError

from .errors import RecordingError
from .recording_convert import convert
from .recording_manifest import Manifest, encoded, iso, manifests, read, write
from .recording_queue import RecordingQueue, hash_of
from .recording_recovery import is_orphan, mend
from .storage_settings import StorageSettings

if TYPE_CHECKING:
    from .storage_s3 import S3Store

__all__ = ["Backoff", "Storeroom"]

_log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 60.0
UPLOADS_AT_ONCE: Final = 4
SWEEP_SECONDS: Final = 3600.0


class Backoff:
    """When something that failed is tried again."""

    def __init__(
        self,
        rng: random.Random,
        first_seconds: float = FIRST_PAUSE_SECONDS,
        longest_seconds: float = LONGEST_PAUSE_SECONDS,
    ) -> None:
        self.failures = 0
        """In a row."""
        self.until = 0.0
        """Not before this."""
        self._rng, self._first, self._longest = rng, first_seconds, longest_seconds

    def failed(self, now: float) -> float:
        """It failed; returns the pause, in seconds."""
        if now < self.until:
            return self.until - now  # others that were under way fail with it
        pause = min(self._longest, self._first * 2.0 ** min(self.failures, 30))
        pause *= self._rng.uniform(0.5, 1.0)
        self.failures += 1
        self.until = now + pause
        return pause

    def worked(self) -> None:
        """It did not fail."""
        self.failures = 0
        self.until = 0.0


class Storeroom:
    """The finishing of one folder's recordings. One thread calls `step`; uploads have others."""

    def __init__(
        self,
        settings: StorageSettings,
        *,
        on_stored: Callable[[Path, Manifest, str], None] = lambda *_: None,
        on_alarm: Callable[[str, str], None] = lambda *_: None,
        store: "S3Store | None" = None,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        """``on_stored`` gets what is finished, and where it is; ``on_alarm`` a kind (s3,
        finishing) and what is wrong, or nothing when it is right again. On any thread.
        """
        self.folder = Path(settings.folder)
        self.queue = RecordingQueue(self.folder)
        self._keys = settings.sealing_keys()
        self._settings = settings
        self._on_stored, self._on_alarm = on_stored, on_alarm
        self._store = store
        self._clock, self._rng = clock, rng or random.Random()
        self._known: dict[Path, bytes] = {}
        self._again: dict[Path, Backoff] = {}
        self._store_pause = Backoff(self._rng)
        self._uploads = ThreadPoolExecutor(UPLOADS_AT_ONCE, "upload")
        self._running: dict[Path, Future[None]] = {}
        self._alarmed: set[str] = set()
        self._swept_at = 0.0

    def finished(self, path: Path, data_key: bytes = b"") -> None:
        """A recording of a live process is complete; the key it is sealed with, if it is."""
        self._known[path] = data_key

    def step(self) -> int:
        """Do what can be done now; how many recordings are not finished.

        Uploads go on by themselves: step again.
        """
        waiting = 0
        for path in list(self.queue):
            if path in self._running and not self._running[path].done():
                waiting += 1
                continue
            self._running.pop(path, None)
            waiting += self._try(path)
        self._sweep()
        return waiting

    @property
    def is_busy(self) -> bool:
        """Whether an upload is under way."""
        return any(not one.done() for one in self._running.values())

    def close(self) -> None:
        """Wait for the uploads under way."""
        self._uploads.shutdown(wait=True, cancel_futures=True)

    # -- one recording ------------------------------------------------------------------------

    def _try(self, path: Path) -> bool:
        """Do for one recording what can be done; whether anything is left."""
        now = self._clock()
        again = self._again.get(path)
        if again is not None and now < again.until:
            return True
        try:
            manifest = read(path)
        except RecordingError:
            if path.exists():
                return True
            self.queue.remove(path)
            return False
        if not self._is_ours(path, manifest, now):
            return False
        try:
            return self._go_on(path, manifest)
        except (RecordingError, MissingDependencyError, OSError) as error:
            self._failed(path, "finishing", error)
            return True

    def _is_ours(self, path: Path, manifest: Manifest, now: float) -> bool:
        """Whether it may be touched: its process has said so, or is gone."""
        return path in self._known or is_orphan(path, manifest, now)

    def _go_on(self, path: Path, manifest: Manifest) -> bool:
        if manifest.state == "recording":
            mend(path, manifest)
        uploaded = manifest.upload is not None and manifest.upload.state == "done"
        if not uploaded:
            if not path.with_name(manifest.file).is_file():
                manifest.error = manifest.error or "its file is gone"
                self._finish(path, manifest, "")
                return False
            self._encode(path, manifest)
            self._hash(path, manifest)
        if self._settings.s3 is None or manifest.upload is None:
            self._finish(path, manifest, str(path.with_name(manifest.file)))
            return False
        if self._clock() >= self._store_pause.until:
            self._running[path] = self._uploads.submit(self._upload, path, manifest)
        return True

    def _encode(self, path: Path, manifest: Manifest) -> None:
        if manifest.format != manifest.wanted_format and not manifest.sha256:
            try:
                made = convert(path, manifest, self._keys, self._known.get(path) or None)
            except (RecordingError, MissingDependencyError) as error:
                # It stays the WAV it is: sealed for others than us, say.
                _log.warning("%s stays a WAV: %s", manifest.file, error)
            else:
                manifest.file, manifest.format = made.name, manifest.wanted_format
        for spool in path.parent.glob(f"{path.stem}.wav*"):
            if manifest.format != "wav" and spool.name != manifest.file:
                self._save_then_delete(path, manifest, spool)

    def _save_then_delete(self, path: Path, manifest: Manifest, spool: Path) -> None:
        write(path, manifest)
        spool.unlink(missing_ok=True)

    def _hash(self, path: Path, manifest: Manifest) -> None:
        if not manifest.sha256:
            file = path.with_name(manifest.file)
            manifest.sha256, manifest.bytes = hash_of(file), file.stat().st_size
            write(path, manifest)

    def _upload(self, path: Path, manifest: Manifest) -> None:
        """Upload, verify, let the local file go; on a thread of its own."""
        assert manifest.upload is not None
        assert self._settings.s3 is not None
        file, day = path.with_name(manifest.file), path.parent.name
        try:
            store = self._s3()
            if manifest.upload.state != "done":
                key = store.upload(
                    file, store.key(day, manifest.file), manifest.sha256,
                    keep_days=manifest.keep_days,
                )  # fmt: skip
                manifest.upload.state, manifest.upload.url = "done", store.url(key)
                manifest.upload.at = iso(datetime.now(UTC))
                manifest.upload.error = ""
                write(path, manifest)
            manifest.finished = True
            store.put_small(
                store.key(day, path.name), encoded(manifest), keep_days=manifest.keep_days
            )
            if not self._settings.s3.keep_local:
                file.unlink(missing_ok=True)
            self._finish(path, manifest, manifest.upload.url)
        except (RecordingError, MissingDependencyError, OSError) as error:
            self._upload_failed(path, manifest, error)
        except Exception as error:  # noqa: BLE001  # the others must be uploaded all the same
            _log.exception("uploading %s failed", file)
            self._upload_failed(path, manifest, error)
        else:
            self._store_pause.worked()
            self._alarm("s3", "")

    def _upload_failed(self, path: Path, manifest: Manifest, error: Exception) -> None:
        if getattr(error, "everything", False):
            self._store_pause.failed(self._clock())
            self._alarm("s3", str(error))
        else:
            self._failed(path, "s3", error)
        assert manifest.upload is not None
        manifest.finished = False
        manifest.upload.attempts += 1
        manifest.upload.error = str(error)
        with contextlib.suppress(OSError):
            write(path, manifest)

    def _s3(self) -> "S3Store":
        if self._store is None:
            # Here and not above: boto3 takes half a second to import.
            from .storage_s3 import S3Store

            assert self._settings.s3 is not None
            self._store = S3Store(self._settings.s3)
        return self._store

    def _finish(self, path: Path, manifest: Manifest, place: str) -> None:
        manifest.finished = True
        write(path, manifest)
        self.queue.remove(path)
        self._known.pop(path, None)
        self._again.pop(path, None)
        self._on_stored(path, manifest, place)
        if not self._again:
            self._alarm("finishing", "")

    def _failed(self, path: Path, kind: str, error: Exception) -> None:
        again = self._again.setdefault(path, Backoff(self._rng))
        again.failed(self._clock())
        self._alarm(kind, f"{path.stem}: {error}")

    def _alarm(self, kind: str, detail: str) -> None:
        if detail:
            self._alarmed.add(kind)
            self._on_alarm(kind, detail)
        elif kind in self._alarmed:
            self._alarmed.discard(kind)
            self._on_alarm(kind, "")

    # -- retention ----------------------------------------------------------------------------

    def _sweep(self) -> None:
        """Delete what has been kept long enough, once an hour."""
        now = self._clock()
        if self._swept_at and now - self._swept_at < SWEEP_SECONDS:
            return
        self._swept_at = now
        for path, manifest in manifests(self.folder):
            if not manifest.delete_after or not manifest.finished:
                continue
            if datetime.fromisoformat(manifest.delete_after).timestamp() <= now:
                try:
                    self._delete(path, manifest)
                except (RecordingError, MissingDependencyError, OSError) as error:
                    _log.warning("%s is not deleted yet: %s", path.stem, error)

    def _delete(self, path: Path, manifest: Manifest) -> None:
        upload, s3 = manifest.upload, self._settings.s3
        if upload is not None and upload.url and s3 is not None and s3.expire == "delete":
            store = self._s3()
            key = upload.url.removeprefix(f"s3://{s3.bucket}/")
            store.delete(key)
            store.delete(store.key(path.parent.name, path.name))
        path.with_name(manifest.file).unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        _log.info("%s has been kept for %d days and is deleted", path.stem, manifest.keep_days)
        with contextlib.suppress(OSError):
            path.parent.rmdir()  # the last of its day
