"""SRTP and SRTCP by libsrtp (RFC 3711; GCM by RFC 7714), from keys that SDES agreed on.

`SrtpSender` and `SrtpReceiver` are the two directions of one stream. A context counts the
wraps of the 16-bit sequence numbers (the rollover counter), which no packet says: who forgets
it hears nothing more. So a context is kept as long as its key is (RFC 3711 section 3.3.1): a
new session description with the same key changes nothing, one with a new key begins at zero,
and a new SSRC begins at zero by itself. A far end that began anew under the old key, or has
not yet turned to the new one, is found by trying both.

Replayed packets are refused by libsrtp's window of 128. A key is in no ``repr``.
"""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from trunkline.errors import MissingDependencyError, UsageError

__all__ = [
    "SRTP_SUITES",
    "SrtpKey",
    "SrtpReceiver",
    "SrtpSender",
    "require_srtp",
    "srtp_available",
]

WINDOW = 128
"""Packets behind the newest that may still come, each once; RFC 3711 wants 64 or more."""
MAX_PACKET_BYTES = 2048
_TRAILER_BYTES = 16 + 128 + 4
_AUTHENTICATION_FAILED = 7
_REPLAYED = (9, 10)  # seen before, or older than the window

_Bytes = Callable[[bytes], bytes | int]
"""Gives a packet, or libsrtp's number of what was wrong."""


@dataclass(frozen=True, slots=True)
class _Suite:
    profile: str
    """Its name in pylibsrtp's Policy."""
    secret_bytes: int
    """Master key and salt."""
    tag_bytes: int
    """Of RTP, behind a master key identifier; 0: the identifier is last (RFC 7714)."""
    rtcp_tag_bytes: int


SRTP_SUITES: Mapping[str, _Suite] = {
    "AEAD_AES_256_GCM": _Suite("SRTP_PROFILE_AEAD_AES_256_GCM", 44, 0, 0),
    "AEAD_AES_128_GCM": _Suite("SRTP_PROFILE_AEAD_AES_128_GCM", 28, 0, 0),
    "AES_CM_128_HMAC_SHA1_80": _Suite("SRTP_PROFILE_AES128_CM_SHA1_80", 30, 10, 10),
    # Reports always have the long tag (RFC 3711 section 5.2).
    "AES_CM_128_HMAC_SHA1_32": _Suite("SRTP_PROFILE_AES128_CM_SHA1_32", 30, 4, 10),
}
"""The suites the library has, by their names in SDP, the strongest first."""


@dataclass(frozen=True, slots=True)
class SrtpKey:
    """What one direction is encrypted with."""

    suite: str
    """One of `SRTP_SUITES`."""
    secret: bytes = field(repr=False)
    """Master key and master salt, one after the other."""
    mki: bytes = b""
    """Master key identifier, as it is in every packet; empty: there is none."""

    def __post_init__(self) -> None:
        suite = SRTP_SUITES.get(self.suite)
        if suite is None:
            raise UsageError(f"libsrtp does not have {self.suite}")
        if len(self.secret) != suite.secret_bytes:
            raise UsageError(f"a key for {self.suite} has {suite.secret_bytes} bytes")


def srtp_available() -> bool:
    """Whether packets can be encrypted here."""
    return importlib.util.find_spec("pylibsrtp") is not None


def require_srtp() -> None:
    """Raises `MissingDependencyError`, with what to install, where they cannot."""
    if not srtp_available():
        raise MissingDependencyError(
            "SRTP needs the package pylibsrtp: pip install 'trunkline[srtp]'"
        )


class _Context:
    """One libsrtp session: a key, and where each of its streams is."""

    __slots__ = ("key", "rtcp", "rtp")

    def __init__(self, key: SrtpKey, *, inbound: bool) -> None:
        require_srtp()
        # Its Session makes three objects a packet; the functions below it, with a buffer
        # that stays, take 0.84 us instead of 1.31.
        from pylibsrtp import Policy, Session
        from pylibsrtp._binding import lib

        suite = SRTP_SUITES[key.suite]
        policy = Policy(
            key=key.secret,
            ssrc_type=Policy.SSRC_ANY_INBOUND if inbound else Policy.SSRC_ANY_OUTBOUND,
            srtp_profile=getattr(Policy, suite.profile),
        )
        policy.window_size = WINDOW
        self.key = key
        session = Session(policy)
        if inbound:
            self.rtp = _bound(lib.srtp_unprotect, session)
            self.rtcp = _bound(lib.srtp_unprotect_rtcp, session)
        else:
            self.rtp = _bound(lib.srtp_protect, session)
            self.rtcp = _bound(lib.srtp_protect_rtcp, session)


def _bound(function: Callable[[Any, Any, Any], int], session: Any) -> _Bytes:
    """A function of the library with its session and a buffer of its own.

    It gives the packet, or the library's error as a number.
    """
    from pylibsrtp._binding import ffi

    # Not shared: the library runs without the GIL, and nodes have a thread each.
    pointer = session._srtp[0]
    buffer = ffi.new("char[]", MAX_PACKET_BYTES + _TRAILER_BYTES)
    view = ffi.buffer(buffer)
    length = ffi.new("int *")

    # The session frees what the pointer is of: it has to live as long as the function.
    def run(packet: bytes, _session: Any = session) -> bytes | int:
        size = len(packet)
        view[0:size] = packet
        length[0] = size
        error = function(pointer, buffer, length)
        if error:
            return error
        return view[0 : length[0]]  # type: ignore[no-any-return]

    return run


class SrtpSender:
    """Encrypts what one stream sends. Media thread only."""

    __slots__ = ("_context", "_suite", "protect")

    def __init__(self, key: SrtpKey) -> None:
        self._context = _Context(key, inbound=False)
        self._suite = SRTP_SUITES[key.suite]
        run = self._context.rtp
        # The usual way is the library's own function, with nothing around it.
        self.protect: _Bytes = run if not key.mki else self._with_mki
        """An RTP packet, encrypted; a number where that failed, and it must not be sent."""

    @property
    def key(self) -> SrtpKey:
        """What it encrypts with."""
        return self._context.key

    def protect_rtcp(self, packet: bytes) -> bytes | int:
        """A compound of reports, encrypted and signed, with the next index."""
        sealed = self._context.rtcp(packet)
        if isinstance(sealed, int) or not self.key.mki:
            return sealed
        return _insert(sealed, self.key.mki, self._suite.rtcp_tag_bytes)

    def _with_mki(self, packet: bytes) -> bytes | int:
        sealed = self._context.rtp(packet)
        if isinstance(sealed, int):
            return sealed
        return _insert(sealed, self.key.mki, self._suite.tag_bytes)


class SrtpReceiver:
    """Decrypts what one far end sends. Media thread only."""

    __slots__ = ("_context", "_others", "_quick", "replayed", "tampered")

    def __init__(self, key: SrtpKey) -> None:
        self._use(_Context(key, inbound=True))
        self.tampered = 0
        """Packets that were not made with the key, or changed under way."""
        self.replayed = 0
        """Packets that came again, or too late to know."""

    @property
    def key(self) -> SrtpKey:
        """What the far end is thought to encrypt with."""
        return self._context.key

    def _use(self, context: _Context, *others: _Context) -> None:
        """Open packets with this context, and those that it does not with the others."""
        self._context, self._others = context, others
        # As nearly all packets are opened: one context, and nothing to be cut out.
        self._quick = None if others or context.key.mki else context.rtp

    def change(self, key: SrtpKey, *, moved: bool = False) -> None:
        """Follow a new session description: its key, and whether it names another address.

        With the same key the rollover counter is kept, because the far end keeps it. With
        another one it begins at zero, and the old key is tried as long as nothing came under
        the new one. A far end that moved may have begun anew under the old key: both are tried.
        """
        if key == self.key:
            if moved:
                self._use(self._context, _Context(key, inbound=True))
            return
        self._use(_Context(key, inbound=True), self._context)

    def unprotect(self, packet: bytes) -> bytes | None:
        """The RTP packet inside; None (and counted) for what is not the far end's."""
        quick = self._quick
        if quick is None or not 12 <= len(packet) <= MAX_PACKET_BYTES:
            return self._any(packet, rtcp=False)
        clear = quick(packet)
        return clear if isinstance(clear, bytes) else self._settle(packet, clear, rtcp=False)

    def unprotect_rtcp(self, packet: bytes) -> bytes | None:
        """The compound of reports inside; None (and counted) for what is not the far end's."""
        return self._any(packet, rtcp=True)

    def _any(self, packet: bytes, *, rtcp: bool) -> bytes | None:
        if not 12 <= len(packet) <= MAX_PACKET_BYTES:
            self.tampered += 1
            return None
        return self._settle(packet, _open(self._context, packet, rtcp=rtcp), rtcp=rtcp)

    def _settle(self, packet: bytes, clear: bytes | int, *, rtcp: bool) -> bytes | None:
        """Judge what the present context made of a packet; ask the other ones if it failed."""
        if isinstance(clear, bytes):
            if not rtcp:  # the far end has turned to this key; reports may lag behind
                self._use(self._context)
            return clear
        # Who began anew under the old key is, to the old context, also a packet too old.
        for other in self._others:
            found = _open(other, packet, rtcp=rtcp)
            if isinstance(found, bytes):
                if other.key == self.key and not rtcp:
                    self._use(other)
                return found
        if clear in _REPLAYED:
            self.replayed += 1
        else:
            self.tampered += 1
        return None


def _open(context: _Context, packet: bytes, *, rtcp: bool) -> bytes | int:
    suite, mki = SRTP_SUITES[context.key.suite], context.key.mki
    run = context.rtcp if rtcp else context.rtp
    if not mki:
        return run(packet)
    tag_bytes = suite.rtcp_tag_bytes if rtcp else suite.tag_bytes
    end = len(packet) - tag_bytes
    if packet[end - len(mki) : end] != mki:
        return _AUTHENTICATION_FAILED
    return run(packet[: end - len(mki)] + packet[end:])


def _insert(packet: bytes, mki: bytes, tag_bytes: int) -> bytes:
    """The identifier stands before the tag (RFC 3711 section 3.1), or last (RFC 7714 8.2)."""
    end = len(packet) - tag_bytes
    return packet[:end] + mki + packet[end:]
