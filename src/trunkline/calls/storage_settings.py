"""What the process that finishes recordings has to know, as it is told over its pipe."""

import msgspec
from msgspec import Struct

from trunkline.settings import Recording as RecordingSettings

from .sealing_keys import SealingKey, parse_key

__all__ = ["S3Target", "StorageSettings", "keys_of", "storage_settings"]


class S3Target(Struct, frozen=True, kw_only=True):
    """An S3 bucket and how to reach it. Holds a secret: not to be logged."""

    bucket: str
    prefix: str = ""
    endpoint_url: str = ""
    region: str = ""
    access_key_id: str = ""
    secret_access_key: str = ""
    path_style: bool = False
    encryption: str = ""
    kms_key_id: str = ""
    expire: str = "delete"
    multipart_bytes: int = 16 << 20
    keep_local: bool = False
    timeout_seconds: float = 30.0

    def __repr__(self) -> str:
        return f"<S3Target s3://{self.bucket}/{self.prefix}>"


class StorageSettings(Struct, frozen=True, kw_only=True):
    """Everything the finishing process needs. Holds keys: not to be logged."""

    folder: str
    keys: list[tuple[str, str]] = []
    """Id and key, as `SealingKey.written` has it."""
    s3: S3Target | None = None
    stays: bool = False
    """Whether it goes on where there is nothing to do: something may have to be deleted."""

    def __repr__(self) -> str:
        return f"<StorageSettings {self.folder}>"

    def sealing_keys(self) -> tuple[SealingKey, ...]:
        """The keys as such."""
        return tuple(parse_key(key, id) for id, key in self.keys)

    def encoded(self) -> bytes:
        """As JSON, for a pipe; it has the secrets in it."""
        return msgspec.json.encode(self)


def keys_of(settings: RecordingSettings) -> tuple[SealingKey, ...]:
    """What recordings are sealed with; nothing if they are not.

    Raises:
        UsageError: a key is none.
    """
    keys = []
    if settings.encryption_key:
        keys.append(parse_key(settings.encryption_key.reveal(), settings.encryption_key_id))
    return (*keys, *(parse_key(public) for public in settings.encryption_recipients))


def storage_settings(settings: RecordingSettings) -> StorageSettings:
    """What of the settings concerns finished recordings.

    Raises:
        UsageError: a key is none.
    """
    s3 = settings.s3
    target = None
    if s3.bucket:
        target = S3Target(
            bucket=s3.bucket,
            prefix=s3.prefix.strip("/"),
            endpoint_url=s3.endpoint_url,
            region=s3.region,
            access_key_id=s3.access_key_id,
            secret_access_key=s3.secret_access_key.reveal(),
            path_style=s3.path_style,
            encryption=s3.encryption,
            kms_key_id=s3.kms_key_id,
            expire=s3.expire,
            multipart_bytes=s3.multipart_mb << 20,
            keep_local=s3.keep_local,
            timeout_seconds=s3.timeout_seconds,
        )
    keys = [(key.id, key.written()) for key in keys_of(settings)]
    stays = bool(settings.retention_days or settings.retention_days_by_app)
    return StorageSettings(folder=str(settings.folder), keys=keys, s3=target, stays=stays)
