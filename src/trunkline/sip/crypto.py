"""Keys for SRTP in SDP: the ``a=crypto`` line (RFC 4568; suites of RFC 6188 and 7714).

What a line says is kept apart from what SRTP does with it. A key is a secret: it is never
in the ``repr`` of anything, and a message that holds one is not to be logged.
"""

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from .errors import SdpError

__all__ = ["SUITES", "CryptoLine", "CryptoSuite", "blank_keys", "choose_crypto"]

_TAG = re.compile(r"[0-9]{1,9}")
_LIFETIME = re.compile(r"(2\^)?([0-9]{1,15})")
_MKI = re.compile(r"([0-9]{1,10}):([0-9]{1,3})")
_INLINE = re.compile(rb"(inline:)[^|;\s]+", re.IGNORECASE)
_MOST_PACKETS = 48  # RFC 3711 section 9.2: 2^48 SRTP packets under one master key
_LONGEST_MKI_BYTES = 128


@dataclass(frozen=True, slots=True)
class CryptoSuite:
    """How packets are encrypted and signed."""

    name: str
    """As it stands in SDP."""
    key_bytes: int
    """Length of the master key."""
    salt_bytes: int
    """Length of the master salt."""

    @property
    def secret_bytes(self) -> int:
        """Of key and salt together, as they stand in the line."""
        return self.key_bytes + self.salt_bytes


SUITES = {
    suite.name: suite
    for suite in (
        CryptoSuite("AEAD_AES_256_GCM", 32, 12),
        CryptoSuite("AEAD_AES_128_GCM", 16, 12),
        CryptoSuite("AES_256_CM_HMAC_SHA1_80", 32, 14),
        CryptoSuite("AES_256_CM_HMAC_SHA1_32", 32, 14),
        CryptoSuite("AES_CM_128_HMAC_SHA1_80", 16, 14),
        CryptoSuite("AES_CM_128_HMAC_SHA1_32", 16, 14),
    )
}
"""The suites we know, by name, the strongest first."""


@dataclass(frozen=True, slots=True)
class CryptoLine:
    """One way of encrypting what its writer sends, and the key for it."""

    tag: int
    """Which line of the offer this is or answers."""
    suite: CryptoSuite
    secret: bytes = field(repr=False)
    """Master key and master salt, one after the other."""
    lifetime_packets: int | None = None
    """Packets the key may be used for; None: as many as SRTP allows."""
    mki: int | None = None
    """Master key identifier in each packet; None: there is none."""
    mki_bytes: int = 0
    """Its length."""

    @classmethod
    def parse(cls, text: str) -> "CryptoLine | None":
        """Read the value of an ``a=crypto``; None for what we do not speak.

        That is a suite we do not know, several keys in a line, or a session parameter that
        must not be ignored (all of them, but for a window size, RFC 4568 section 6.3).

        Raises `SdpError` for a line that is no crypto line at all.
        """
        fields = text.split()
        if len(fields) < 3 or not _TAG.fullmatch(fields[0]):
            raise SdpError("a crypto line needs a tag, a suite and a key")
        suite = SUITES.get(fields[1].upper())
        if suite is None or any(not _may_ignore(each) for each in fields[3:]):
            return None
        if fields[2].count("inline:") > 1:
            return None
        key, *rest = fields[2].split("|")
        if not key.lower().startswith("inline:") or len(rest) > 2:
            raise SdpError("a crypto line's key begins with inline:")
        lifetime, mki, mki_bytes = _limits(rest)
        return cls(int(fields[0]), suite, _secret(key[7:], suite), lifetime, mki, mki_bytes)

    def __str__(self) -> str:
        """The value of the ``a=crypto``."""
        text = f"{self.tag} {self.suite.name} inline:{base64.b64encode(self.secret).decode()}"
        if self.lifetime_packets is not None:
            bits = self.lifetime_packets.bit_length() - 1
            power = 1 << bits == self.lifetime_packets
            text += f"|2^{bits}" if power else f"|{self.lifetime_packets}"
        if self.mki is not None:
            text += f"|{self.mki}:{self.mki_bytes}"
        return text


def choose_crypto(offered: Iterable[str], allowed: Iterable[str]) -> CryptoLine | None:
    """The first offered line we speak, its writer's most wanted; None if there is none.

    A line that cannot be read is passed over, as one of an unknown suite is: the next may
    be good.
    """
    names = set(allowed)
    for text in offered:
        try:
            line = CryptoLine.parse(text)
        except SdpError:
            continue
        if line is not None and line.suite.name in names:
            return line
    return None


def blank_keys(message: bytes) -> bytes:
    """A SIP message as it may be shown or kept: without the keys of SRTP in it."""
    if b"inline:" not in message.lower():
        return message
    return _INLINE.sub(rb"\1***", message)


def _secret(text: str, suite: CryptoSuite) -> bytes:
    try:
        # Some peers leave the padding out.
        secret = base64.b64decode(
            text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True
        )
    except (binascii.Error, ValueError) as error:
        raise SdpError("a crypto line's key is not base64") from error
    if len(secret) != suite.secret_bytes:
        raise SdpError(f"a key for {suite.name} has {suite.secret_bytes} bytes, not {len(secret)}")
    return secret


def _limits(parts: list[str]) -> tuple[int | None, int | None, int]:
    """Lifetime and master key identifier; either may be missing."""
    lifetime: int | None = None
    for number, part in enumerate(parts):
        if found := _MKI.fullmatch(part):
            length = int(found[2])
            fits = 1 <= length <= _LONGEST_MKI_BYTES and int(found[1]) < 1 << 8 * length
            if not fits or number != len(parts) - 1:
                raise SdpError("a master key identifier has 1 to 128 bytes and comes last")
            return lifetime, int(found[1]), length
        found = _LIFETIME.fullmatch(part)
        if found is None or lifetime is not None:
            raise SdpError("a crypto line's lifetime is a number or a power of two")
        value = int(found[2])
        lifetime = 1 << min(value, 64) if found[1] else value
        if not 1 <= lifetime <= 1 << _MOST_PACKETS:
            raise SdpError("a key of SRTP lives for 1 to 2^48 packets")
    return lifetime, None, 0


def _may_ignore(parameter: str) -> bool:
    """Whether a session parameter changes nothing for us."""
    return parameter.upper().startswith("WSH=") or parameter.startswith("-")
