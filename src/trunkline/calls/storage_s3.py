"""Recordings in an S3 bucket, by boto3: uploaded once, and verified to be there.

An object is named ``<prefix>/<day>/<file>``, its manifest ``<prefix>/<day>/<name>.json``. An
upload is verified by the checksum (SHA-256) the server keeps; a server that keeps none
is read back. What is there already as it should be is not uploaded again.
"""

import base64
import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from trunkline.errors import MissingDependencyError

from .errors import RecordingError
from .storage_settings import S3Target

__all__ = ["S3Store", "StoreError"]

LEAST_PART_BYTES: Final = 5 << 20
"""S3 takes no smaller part, the last aside."""
_TYPES: Final = {".wav": "audio/wav", ".flac": "audio/flac", ".opus": "audio/ogg"}


class StoreError(RecordingError):
    """The store did not do what was asked."""

    def __init__(self, text: str, *, everything: bool) -> None:
        super().__init__(text)
        self.everything = everything
        """Whether the store as a whole does not work, rather than this one object."""


@dataclass(frozen=True, slots=True)
class _Part:
    number: int
    data: bytes

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.data).digest()


class S3Store:
    """One bucket. Its methods may run on several threads at once."""

    def __init__(self, target: S3Target) -> None:
        try:
            import boto3
            from botocore.config import Config
        except ImportError as error:
            raise MissingDependencyError(
                "recordings in S3 need boto3: pip install 'trunkline[s3]'"
            ) from error
        self.target = target
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=target.endpoint_url or None,
            region_name=target.region or None,
            aws_access_key_id=target.access_key_id or None,
            aws_secret_access_key=target.secret_access_key or None,
            config=Config(
                connect_timeout=min(5.0, target.timeout_seconds),
                read_timeout=target.timeout_seconds,
                retries={"total_max_attempts": 1},  # the queue tries again, with a longer breath
                s3={"addressing_style": "path" if target.path_style else "auto"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def key(self, day: str, name: str) -> str:
        """Where an object lies in the bucket."""
        return "/".join(part for part in (self.target.prefix, day, name) if part)

    def url(self, key: str) -> str:
        """What it is called in manifests and records."""
        return f"s3://{self.target.bucket}/{key}"

    def upload(self, path: Path, key: str, sha256: str, *, keep_days: int = 0) -> str:
        """Have a file in the bucket as it is, verified; returns its key.

        Another object of that name is left alone: the file gets a name with its hash.

        Raises:
            StoreError: it is not there, or not as it should be.
            OSError: the file cannot be read.
        """
        with _told():
            there = self._head(key)
            if there is not None and there["Metadata"].get("sha256") != sha256:
                stem, dot, rest = key.rpartition("/")[2].partition(".")
                key = f"{key.rpartition('/')[0]}/{stem}-{sha256[:8]}{dot}{rest}".lstrip("/")
                there = self._head(key)
            self._abort_leftovers(key)
            if there is None:
                self._put(path, key, sha256, keep_days)
            self._verify(path, key, sha256)
        return key

    def put_small(self, key: str, data: bytes, *, keep_days: int = 0) -> None:
        """Write an object of a few bytes, over any that is there; raises `StoreError`."""
        digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
        with _told():
            self._client.put_object(
                Bucket=self.target.bucket, Key=key, Body=data, ChecksumSHA256=digest,
                ContentType="application/json", **self._extras(keep_days),
            )  # fmt: skip

    def delete(self, key: str) -> None:
        """Delete an object, if it is there; raises `StoreError`."""
        with _told():
            self._client.delete_object(Bucket=self.target.bucket, Key=key)

    def check(self, key: str, sha256: str) -> str:
        """What is wrong with an object, read as a whole; empty if nothing. Raises `StoreError`."""
        with _told():
            if self._head(key) is None:
                return "it is not there"
            return "" if self._hash(key) == sha256 else "its content is another"

    def fetch(self, key: str, target: BinaryIO) -> None:
        """Write an object to a file; raises `StoreError`."""
        with _told():
            for piece in self._read(key):
                target.write(piece)

    # -- steps --------------------------------------------------------------------------------

    def _extras(self, keep_days: int) -> dict[str, str]:
        extras = {}
        if self.target.encryption:
            extras["ServerSideEncryption"] = self.target.encryption
        if self.target.kms_key_id:
            extras["SSEKMSKeyId"] = self.target.kms_key_id
        if keep_days and self.target.expire == "tag":
            extras["Tagging"] = f"trunkline-keep-days={keep_days}"
        return extras

    def _head(self, key: str) -> Any:
        from botocore.exceptions import ClientError

        try:
            return self._client.head_object(
                Bucket=self.target.bucket, Key=key, ChecksumMode="ENABLED"
            )
        except ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
                return None
            raise

    def _put(self, path: Path, key: str, sha256: str, keep_days: int) -> None:
        where = {"Bucket": self.target.bucket, "Key": key}
        about = {
            "Metadata": {"sha256": sha256},
            "ContentType": _TYPES.get(path.suffix, "application/octet-stream"),
            **self._extras(keep_days),
        }
        if path.stat().st_size > max(LEAST_PART_BYTES, self.target.multipart_bytes):
            self._put_parts(path, where, about)
            return
        checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
        with path.open("rb") as file:
            self._client.put_object(**where, **about, Body=file, ChecksumSHA256=checksum)

    def _put_parts(self, path: Path, where: dict[str, str], about: dict[str, Any]) -> None:
        begun = self._client.create_multipart_upload(**where, **about, ChecksumAlgorithm="SHA256")
        upload = {**where, "UploadId": begun["UploadId"]}
        try:
            parts = []
            for part in self._parts(path):
                checksum = base64.b64encode(part.digest).decode()
                sent = self._client.upload_part(
                    **upload, PartNumber=part.number, Body=part.data, ChecksumSHA256=checksum
                )
                parts.append(
                    {
                        "PartNumber": part.number,
                        "ETag": sent["ETag"],
                        "ChecksumSHA256": checksum,
                    }
                )
            self._client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
        except Exception:
            self._abort(upload)
            raise

    def _parts(self, path: Path) -> Iterator[_Part]:
        size = max(LEAST_PART_BYTES, self.target.multipart_bytes)
        with path.open("rb") as file:
            number = 1
            while data := file.read(size):
                yield _Part(number, data)
                number += 1

    def _abort(self, upload: dict[str, str]) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        # What fails here is aborted before the next attempt, with what a crash left.
        with contextlib.suppress(BotoCoreError, ClientError):
            self._client.abort_multipart_upload(**upload)

    def _abort_leftovers(self, key: str) -> None:
        """End uploads of this object that a crash left half done: they cost money unseen."""
        found = self._client.list_multipart_uploads(Bucket=self.target.bucket, Prefix=key)
        for upload in found.get("Uploads", ()):
            if upload["Key"] == key:
                self._abort(
                    {"Bucket": self.target.bucket, "Key": key, "UploadId": upload["UploadId"]}
                )

    def _verify(self, path: Path, key: str, sha256: str) -> None:
        there = self._head(key)
        size = path.stat().st_size
        if there is None or there["ContentLength"] != size:
            found = "missing" if there is None else f"{there['ContentLength']} bytes"
            raise StoreError(f"{self.url(key)} is {found}, not {size} bytes", everything=False)
        checksum = there.get("ChecksumSHA256", "")
        if checksum == base64.b64encode(bytes.fromhex(sha256)).decode():
            return
        if "-" in checksum and checksum == self._composite(path):
            return
        if self._hash(key) != sha256:
            self.delete(key)
            raise StoreError(f"{self.url(key)} is not what was sent", everything=False)

    def _composite(self, path: Path) -> str:
        """The checksum S3 gives to an object of several parts: the hash of their hashes."""
        digests = [part.digest for part in self._parts(path)]
        whole = hashlib.sha256(b"".join(digests)).digest()
        return f"{base64.b64encode(whole).decode()}-{len(digests)}"

    def _hash(self, key: str) -> str:
        digest = hashlib.sha256()
        for piece in self._read(key):
            digest.update(piece)
        return digest.hexdigest()

    def _read(self, key: str) -> Iterator[bytes]:
        body = self._client.get_object(Bucket=self.target.bucket, Key=key)["Body"]
        yield from body.iter_chunks(1 << 20)


class _told:  # noqa: N801 - reads as the statement it is
    """What boto3 raises as a `StoreError` that says what is wrong in a line."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

        if isinstance(error, ClientError):
            told = error.response.get("Error", {})
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            text = f"{status} {told.get('Code', '')}: {told.get('Message', '')}"
            everything = status >= 500 or status in (401, 403, 404, 429)
            raise StoreError(text[:200], everything=everything) from None
        if isinstance(error, HTTPClientError | BotoCoreError):
            raise StoreError(str(error)[:200], everything=True) from None
