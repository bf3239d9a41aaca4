"""A file that is encrypted while it grows: authenticated, and whole to its last chunk.

    8 bytes     ``TLSEALED``
    1 byte      1, the version
    4 bytes     length of what follows, big-endian
    JSON        {"cipher": "AES-256-GCM", "keys": [slot, ...]}
    chunks      4 bytes length, then AES-256-GCM of the plain text with its tag of 16 bytes

Each file has a key of its own, from the system's randomness. A slot holds it, wrapped for
one reader: for a secret key by AES-256-GCM with a random nonce; for a public key by
AES-256-GCM under HKDF-SHA256 (salt: the ephemeral public key and the reader's; info
``sealed recording``) of an X25519 exchange with an ephemeral key.

A chunk's nonce is its number (11 bytes) and 1 for the last chunk, else 0: the STREAM
construction (Hoang, Reyhanitabar, Rogaway, Vizar: Online Authenticated-Encryption and its
Nonce-Reuse Misuse-Resistance, CRYPTO 2015), as age has it. Every chunk authenticates the
header. So no chunk can be changed, left out, moved or come from another file, and a file
that ends without its last chunk was cut short, and is readable up to there.
"""

import base64
import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, BinaryIO, Final

from trunkline.errors import MissingDependencyError, UsageError

from .errors import RecordingError
from .sealing_keys import KEY_BYTES, SealingKey

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
except ImportError as error:
    raise MissingDependencyError(
        "encrypted recordings need the package cryptography: pip install 'trunkline[recording]'"
    ) from error

__all__ = ["CHUNK_BYTES", "MAGIC", "Opened", "Sealer", "key_ids", "open_sealed", "whole_bytes"]

MAGIC: Final = b"TLSEALED\x01"
CIPHER: Final = "AES-256-GCM"
TAG_BYTES: Final = 16
CHUNK_BYTES: Final = 1 << 16
"""How a file that exists already is cut. A recording's chunks are about a second each."""
LARGEST_CHUNK_BYTES: Final = 1 << 24
LARGEST_HEADER_BYTES: Final = 1 << 16
_INFO: Final = b"sealed recording"


class Sealer:
    """Makes the bytes of one sealed file."""

    def __init__(self, keys: Sequence[SealingKey], data_key: bytes | None = None) -> None:
        """Readable with any of ``keys``; ``data_key`` is for tests.

        Raises:
            UsageError: no key.
        """
        if not keys:
            raise UsageError("a file is sealed for at least one key")
        self.data_key = data_key or secrets.token_bytes(KEY_BYTES)
        """The file's own key. Do not log."""
        slots = [_wrapped(key, self.data_key) for key in keys]
        text = json.dumps({"cipher": CIPHER, "keys": slots}).encode()
        self.header = MAGIC + len(text).to_bytes(4) + text
        """What the file begins with."""
        self._bound = sha256(self.header).digest()
        self._cipher = AESGCM(self.data_key)
        self._number = 0

    def seal(self, plain: bytes, *, last: bool = False) -> bytes:
        """The next chunk. After the last there is none."""
        sealed = self._cipher.encrypt(_nonce(self._number, last), plain, self._bound)
        self._number += 1
        return len(sealed).to_bytes(4) + sealed


@dataclass(slots=True)
class Opened:
    """A sealed file that is being read: iterate over it for its plain text."""

    file: BinaryIO
    data_key: bytes
    bound: bytes
    whole: bool = False
    """Set at the end: whether the last chunk was there. Else the file was cut short."""

    def __iter__(self) -> Iterator[bytes]:
        """The chunks, each authenticated.

        Raises:
            RecordingError: one was changed.
        """
        cipher = AESGCM(self.data_key)
        number = 0
        while (sealed := _next_chunk(self.file)) is not None:
            plain, self.whole = self._open(cipher, number, sealed)
            yield plain
            if self.whole:
                if self.file.read(1):
                    raise RecordingError("something was added behind the end of this file")
                return
            number += 1

    def _open(self, cipher: AESGCM, number: int, sealed: bytes) -> tuple[bytes, bool]:
        for last in (False, True):
            try:
                return cipher.decrypt(_nonce(number, last), sealed, self.bound), last
            except InvalidTag:
                continue
        raise RecordingError(f"chunk {number} is not what was written: the file was changed")


def open_sealed(
    file: BinaryIO, keys: Sequence[SealingKey] = (), data_key: bytes | None = None
) -> Opened:
    """Begin to read a sealed file.

    Raises:
        RecordingError: it is none, or none of the keys opens it.
    """
    header, slots = _header(file)
    if data_key is None:
        data_key = _unwrapped(slots, keys)
    return Opened(file, data_key, sha256(header).digest())


def key_ids(file: BinaryIO) -> list[str]:
    """Which keys open a sealed file.

    Raises:
        RecordingError: it is none.
    """
    return [str(slot.get("id")) for slot in _header(file)[1]]


def whole_bytes(file: BinaryIO) -> int:
    """How long a sealed file is up to its last whole chunk, by the lengths it tells.

    Raises:
        RecordingError: it is none.
    """
    _header(file)
    end = file.tell()
    while _next_chunk(file) is not None:
        end = file.tell()
    return end


def _header(file: BinaryIO) -> tuple[bytes, list[dict[str, Any]]]:
    begin = file.read(len(MAGIC) + 4)
    length = int.from_bytes(begin[len(MAGIC) :])
    if not begin.startswith(MAGIC) or length > LARGEST_HEADER_BYTES:
        raise RecordingError("this is no sealed recording")
    text = file.read(length)
    try:
        told = json.loads(text)
        slots = [dict(slot) for slot in told["keys"]]
        if told["cipher"] != CIPHER:
            raise RecordingError(f"sealed with {told['cipher']!r}, which is not known")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordingError("this sealed recording's header is broken") from error
    return begin + text, slots


def _next_chunk(file: BinaryIO) -> bytes | None:
    """The next chunk that is whole; None at the end, or where the file is cut short."""
    length = file.read(4)
    size = int.from_bytes(length)
    if len(length) < 4 or not TAG_BYTES <= size <= LARGEST_CHUNK_BYTES:
        return None
    sealed = file.read(size)
    return sealed if len(sealed) == size else None


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11) + (b"\x01" if last else b"\x00")


def _wrapped(key: SealingKey, data_key: bytes) -> dict[str, str]:
    """The slot that gives a file's key to the holder of another."""
    if key.kind == "secret":
        nonce = secrets.token_bytes(12)
        wrapped = AESGCM(key.material).encrypt(nonce, data_key, _INFO)
        return {"kind": "secret", "id": key.id, "nonce": _text(nonce), "key": _text(wrapped)}
    public = key.public_bytes()
    ephemeral = X25519PrivateKey.generate()
    own = ephemeral.public_key().public_bytes_raw()
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(public))
    wrapped = AESGCM(_derived(shared, own, public)).encrypt(bytes(12), data_key, _INFO)
    return {"kind": "x25519", "id": key.id, "ephemeral": _text(own), "key": _text(wrapped)}


def _unwrapped(slots: Sequence[dict[str, Any]], keys: Sequence[SealingKey]) -> bytes:
    for slot in slots:
        for key in keys:
            if not key.can_open:
                continue
            try:
                return _unwrap(slot, key)
            except (InvalidTag, KeyError, TypeError, ValueError):
                continue
    wanted = ", ".join(str(slot.get("id")) for slot in slots)
    raise RecordingError(f"none of the keys given opens it; it is sealed for: {wanted}")


def _unwrap(slot: dict[str, Any], key: SealingKey) -> bytes:
    wrapped = _bytes(slot["key"])
    if key.kind == "secret":
        return AESGCM(key.material).decrypt(_bytes(slot["nonce"]), wrapped, _INFO)
    own = _bytes(slot["ephemeral"])
    private = X25519PrivateKey.from_private_bytes(key.material)
    shared = private.exchange(X25519PublicKey.from_public_bytes(own))
    return AESGCM(_derived(shared, own, key.public_bytes())).decrypt(bytes(12), wrapped, _INFO)


def _derived(shared: bytes, ephemeral: bytes, public: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, ephemeral + public, _INFO).derive(shared)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
