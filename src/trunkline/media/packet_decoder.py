"""One leg's packets to audio, in order, with what becomes of the lost ones.

For codecs with a memory (Opus, G.722), whose packets must reach the decoder once each,
in order, and which may know better than we do what was lost. Whoever keeps the
packets (a jitter buffer) says what came and what did not; with the packet after a gap
already there, the end of the gap may be in it.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .codec import Codec
from .errors import MalformedAudioError

__all__ = ["FillSource", "Filled", "PacketDecoder"]

LONGEST_GAP_MS = 160
"""A codec conceals no more at once than the jitter buffer does before it waits; by then
all that can be heard of it has faded."""
STEP_MS = 20
"""Concealed at a time, so that a codec fades as it does packet by packet."""


class FillSource(IntEnum):
    """Where a stretch of a gap comes from."""

    MISSING = 0
    """Nowhere: silence here, and the jitter buffer's own concealment is wanted."""
    CONCEALED = 1
    """The codec's concealment."""
    RECOVERED = 2
    """The copy in the packet after the gap."""


@dataclass(frozen=True, slots=True)
class Filled:
    """A gap, filled as far as the codec can."""

    pcm: NDArray[np.int16]
    """As long as the gap."""
    source: NDArray[np.uint8]
    """Of each sample, a `FillSource`."""


class PacketDecoder:
    """A decoder with its losses, for one direction of one leg."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._decoder = codec.decoder()
        self.malformed = 0
        """Payloads that no encoder makes: treated as lost."""
        self.recovered = 0
        """Samples that came from a copy in a later packet."""
        self.concealed = 0
        """Samples that the codec concealed."""

    def samples(self, payload: bytes) -> int | None:
        """Samples in a payload, without decoding it; None for a malformed one, which is lost."""
        try:
            return self._codec.samples(payload)
        except MalformedAudioError:
            self.malformed += 1
            return None

    def decode(self, payload: bytes) -> NDArray[np.int16] | None:
        """The audio of the next packet; None for a malformed one, which is then lost."""
        try:
            return self._decoder.decode(payload)
        except MalformedAudioError:
            self.malformed += 1
            return None

    def fill(self, samples: int, following: bytes | None = None) -> Filled:
        """A gap of so many samples before the next packet.

        ``following`` is the packet after the gap where it has come already; it is to be
        decoded afterwards. Raises `UsageError` for a length below zero.
        """
        if samples < 0:
            raise UsageError(f"a gap of {samples} samples")
        filled = Filled(np.zeros(samples, np.int16), np.zeros(samples, np.uint8))
        copied = self._copied(samples, following)
        begin = samples - copied
        # The codec goes on from the last packet; what it leaves out is in the middle.
        end = min(begin, self._codec.rate_hz * LONGEST_GAP_MS // 1000)
        step = self._codec.rate_hz * STEP_MS // 1000
        for at in range(0, end, step):
            if not self._conceal(filled, at, min(step, end - at)):
                break
        if copied and following is not None:
            self._recover(filled, begin, following)
        return filled

    def _copied(self, samples: int, following: bytes | None) -> int:
        """How much of the gap's end the next packet may have: as much as it holds itself."""
        if following is None:
            return 0
        try:
            held = self._codec.samples(following)
        except MalformedAudioError:
            return 0  # counted when it is decoded
        return held if held <= samples else 0

    def _conceal(self, filled: Filled, at: int, samples: int) -> bool:
        try:
            audio = self._decoder.conceal(samples)
        except (UsageError, MalformedAudioError):
            return False  # not a length that the codec has, or it does not know what to do
        if audio is None:
            return False
        filled.pcm[at : at + samples] = audio
        filled.source[at : at + samples] = FillSource.CONCEALED
        self.concealed += samples
        return True

    def _recover(self, filled: Filled, begin: int, following: bytes) -> None:
        """The gap's last packet, from its copy; concealed where there is none."""
        size = filled.pcm.size - begin
        try:
            audio = self._decoder.recover(following, size)
        except (UsageError, MalformedAudioError):
            audio = None  # the packet is counted when it is decoded
        if audio is not None:
            filled.pcm[begin:] = audio
            filled.source[begin:] = FillSource.RECOVERED
            self.recovered += size
        elif begin < self._codec.rate_hz * LONGEST_GAP_MS // 1000:
            self._conceal(filled, begin, size)

    def renew(self) -> None:
        """Another encoder's packets follow: begin with a new decoder; counts go on."""
        self._decoder.close()
        self._decoder = self._codec.decoder()

    def close(self) -> None:
        """Free the decoder. Legal more than once."""
        self._decoder.close()
