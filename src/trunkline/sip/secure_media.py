"""SRTP in offer and answer: who encrypts with what (RFC 4568 sections 5 and 7.1)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from .crypto import SUITES, CryptoLine, choose_crypto
from .errors import SdpError, StateError
from .sdp import MediaDescription

__all__ = ["CryptoPair", "Sdes", "SrtpMode", "profile_is_secure"]

SrtpMode = Literal["off", "optional", "required"]

_PLAIN = ("RTP/AVP", "RTP/AVPF")
_SECURE = ("RTP/SAVP", "RTP/SAVPF")
_LEAST_PACKETS = 1 << 20
"""A key that lives shorter (six hours of 20 ms packets) would have to be changed in a call."""


@dataclass(frozen=True, slots=True)
class CryptoPair:
    """The keys of a call: what each of the two ends encrypts with."""

    local: CryptoLine
    remote: CryptoLine


def profile_is_secure(protocol: str) -> bool:
    """Whether a media line is of a profile that has to be encrypted (RFC 3711 section 12)."""
    return protocol in _SECURE


@dataclass(slots=True)
class Sdes:
    """One call's keys, offered and answered."""

    mode: SrtpMode
    suites: Sequence[str]
    """What we offer and accept, the most wanted first."""
    random_bytes: Callable[[int], bytes]
    """Of the system's secure randomness, for keys."""
    pair: CryptoPair | None = None
    """What holds now; None: nothing is encrypted."""
    protocol: str = ""
    """The profile of our offers."""
    _offered: Mapping[int, CryptoLine] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        unknown = [name for name in self.suites if name not in SUITES]
        if unknown or (self.mode != "off" and not self.suites):
            raise StateError(f"cannot encrypt with {unknown or 'no suite at all'}")
        self.protocol = "RTP/SAVP" if self.mode == "required" else "RTP/AVP"

    def state(self) -> "Sdes":
        """What `restore` returns to."""
        return replace(self)

    def restore(self, state: "Sdes") -> None:
        """A step came to nothing."""
        self.pair, self.protocol, self._offered = state.pair, state.protocol, state._offered

    # -- our offers ------------------------------------------------------------------

    def offer(self, *, first: bool) -> list[str]:
        """Our crypto lines: of a call that is up the key in use, which goes on so."""
        lines: list[CryptoLine] = []
        if self.pair is not None:
            lines = [self.pair.local]
        elif self.mode != "off" and (first or self.mode == "required"):
            lines = [self._line(number, name) for number, name in enumerate(self.suites, 1)]
        self._offered = {line.tag: line for line in lines}
        return [str(line) for line in lines]

    def accept(self, line: MediaDescription) -> None:
        """Take the answer to our offer; raises SdpError (488) if it is not encrypted as it must."""
        found = None
        for text in line.all("crypto"):
            try:
                theirs = CryptoLine.parse(text)
            except SdpError:
                continue
            ours = self._offered.get(theirs.tag) if theirs else None
            if theirs and ours and theirs.suite == ours.suite and _is_honest(theirs, ours):
                found = CryptoPair(ours, theirs)
                break
        if found is None and (self.mode == "required" or profile_is_secure(line.protocol)):
            raise SdpError("Answer without a key for SRTP", 488)
        self.pair = found

    # -- their offers ------------------------------------------------------------------

    def takes(self, line: MediaDescription) -> int:
        """Whether we can answer a media line: 0 is no, and 2 better than 1."""
        if line.protocol in _SECURE:
            return 2 if self.mode != "off" and self._chosen(line) else 0
        return int(line.protocol in _PLAIN and self.mode != "required")

    def answer(self, line: MediaDescription, *, moved: bool) -> list[str]:
        """Our crypto line to theirs; nothing where nothing is encrypted.

        Our key stays as long as theirs does and they are where they were. Otherwise it is a
        new one: there is another end, perhaps, that does not know our rollover counter.
        """
        chosen = self._chosen(line) if self.mode != "off" else None
        self.protocol = line.protocol
        self._offered = {}
        if chosen is None:
            self.pair = None
            return []
        before = self.pair
        if (
            before is not None
            and not moved
            and before.remote.suite == chosen.suite
            and before.remote.secret == chosen.secret
        ):
            local = replace(before.local, tag=chosen.tag)
        else:
            local = self._line(chosen.tag, chosen.suite.name)
        if chosen.mki is not None and local.mki is None:
            local = replace(local, mki=1, mki_bytes=chosen.mki_bytes)
        self.pair = CryptoPair(local, chosen)
        return [str(local)]

    def _chosen(self, line: MediaDescription) -> CryptoLine | None:
        found = choose_crypto(line.all("crypto"), self.suites)
        ours = self.pair.local if self.pair else None
        return found if found is not None and _is_honest(found, ours) else None

    def _line(self, tag: int, suite: str) -> CryptoLine:
        return CryptoLine(tag, SUITES[suite], self.random_bytes(SUITES[suite].secret_bytes))


def _is_honest(theirs: CryptoLine, ours: CryptoLine | None) -> bool:
    """Whether a key is theirs and lasts.

    Our own key back would be one key for both directions, and if ever the SSRCs met, one
    keystream for two streams (RFC 3711 section 9.1).
    """
    lives = theirs.lifetime_packets
    if lives is not None and lives < _LEAST_PACKETS:
        return False
    return ours is None or theirs.secret != ours.secret
