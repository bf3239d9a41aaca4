"""Keys for recordings that are encrypted at rest.

Two kinds, both 32 bytes:

- a **secret key** seals and opens: 64 hexadecimal digits, or base64;
- a **pair** (X25519, RFC 7748): ``public:`` seals only, so that a node cannot read what
  it wrote, and ``private:`` opens. Both are followed by base64 (URL-safe, no padding).

A key has an id, by default the first 8 hexadecimal digits of its SHA-256 (of the public
half for a pair), which a sealed file and its manifest name.
"""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from trunkline.errors import MissingDependencyError, UsageError

__all__ = ["KEY_BYTES", "SealingKey", "new_key", "new_pair", "parse_key", "parse_keys"]

KEY_BYTES: Final = 32
PUBLIC: Final = "public:"
PRIVATE: Final = "private:"

Kind = Literal["secret", "public", "private"]


@dataclass(frozen=True, slots=True, repr=False)
class SealingKey:
    """One key; shows its id and never itself."""

    kind: Kind
    """secret, public or private."""
    id: str
    material: bytes
    """The 32 bytes. Do not log."""

    @property
    def can_open(self) -> bool:
        """Whether it opens what was sealed for it."""
        return self.kind != "public"

    def public_bytes(self) -> bytes:
        """The public half of a pair, or its public key itself."""
        if self.kind == "private":
            return _public_of(self.material)
        return self.material

    def written(self) -> str:
        """As `parse_key` reads it: the key itself, for a pipe between our processes."""
        if self.kind == "secret":
            return self.material.hex()
        return (PUBLIC if self.kind == "public" else PRIVATE) + _text(self.material)

    def __repr__(self) -> str:
        return f"<{self.kind} key {self.id}>"


def parse_key(written: str, id: str = "") -> SealingKey:
    """A key as text.

    Raises:
        UsageError: it is none; the message never holds it.
    """
    text = written.strip()
    kind: Kind = "secret"
    for prefix, named in ((PUBLIC, "public"), (PRIVATE, "private")):
        if text.startswith(prefix):
            kind, text = named, text.removeprefix(prefix)  # type: ignore[assignment]
    material = _bytes_of(text)
    if material is None:
        raise UsageError(
            "this is no key: 64 hexadecimal digits, 32 bytes in base64, or public:... or"
            " private:... as `trunkline recordings keygen` prints them"
        )
    named_by = _public_of(material) if kind == "private" else material
    return SealingKey(kind, id or hashlib.sha256(named_by).hexdigest()[:8], material)


def parse_keys(written: Sequence[str]) -> tuple[SealingKey, ...]:
    """Several keys as text; ``id=key`` gives one an id."""
    found = []
    for text in written:
        id, equals, key = text.partition("=")
        named = bool(equals) and len(id) <= 32 and len(key.strip()) >= 40
        found.append(parse_key(key, id.strip()) if named else parse_key(text))
    return tuple(found)


def new_key() -> SealingKey:
    """A secret key from the system's randomness."""
    return parse_key(secrets.token_hex(KEY_BYTES))


def new_pair() -> tuple[SealingKey, SealingKey]:
    """A public key, and the private one that opens what is sealed for it."""
    private = parse_key(PRIVATE + _text(secrets.token_bytes(KEY_BYTES)))
    return SealingKey("public", private.id, private.public_bytes()), private


def _public_of(private: bytes) -> bytes:
    try:
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    except ImportError as error:
        raise MissingDependencyError(
            "encrypted recordings need the package cryptography: pip install 'trunkline[recording]'"
        ) from error
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def _text(material: bytes) -> str:
    return base64.urlsafe_b64encode(material).decode().rstrip("=")


def _bytes_of(text: str) -> bytes | None:
    """Exactly 32 bytes in hexadecimal or in either base64."""
    try:
        if len(text) == 2 * KEY_BYTES:
            return bytes.fromhex(text)
        plain = text.rstrip("=").replace("+", "-").replace("/", "_")
        material = base64.b64decode(plain + "=" * (-len(plain) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None
    return material if len(material) == KEY_BYTES else None
