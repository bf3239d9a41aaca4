"""What every codec is, and the ones that need no library: G.711, L16, G.722.

A `Codec` describes one payload format and makes an encoder and a decoder for each
leg. Opus, which needs libopus, is ``trunkline.speech.opus.Opus``, of the same shape.

A loss has up to three answers, the best first: `Decoder.recover` the lost audio from
the next payload, where it carries a copy; the codec's own `Decoder.conceal`; what the
jitter buffer conceals for all codecs, which is what None asks for.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from . import g711, g722, l16
from .errors import MalformedAudioError
from .frames import frame_samples
from .g711 import Law

__all__ = ["G711", "G722", "L16", "Codec", "Decoder", "Encoder"]

Pcm = NDArray[np.int16]

LONGEST_MS = 120
"""The most audio that is taken of one packet; nothing that telephones send has more."""


class Encoder(Protocol):
    """One direction of one leg, audio to payloads."""

    def encode(self, pcm: Pcm) -> bytes:
        """The payload of one packet, mono at the codec's rate.

        Empty: nothing need be sent for now (discontinuous transmission). Raises
        `UsageError` for a length or type the codec cannot take.
        """

    def expect_loss(self, percent: float) -> None:
        """The far end reports that it lost so much of what was sent, 0 to 100.

        For codecs that can guard against loss; others take no notice.
        """

    def close(self) -> None:
        """Free what it holds. Legal more than once; nothing may be encoded afterwards."""


class Decoder(Protocol):
    """One direction of one leg, payloads to audio; told of everything in order."""

    def decode(self, payload: bytes) -> Pcm:
        """The audio of one payload.

        Raises `MalformedAudioError` for bytes that no encoder makes, which leaves the
        decoder as it was: count it and treat the packet as lost.
        """

    def conceal(self, samples: int) -> Pcm | None:
        """Audio in place of a lost packet; None: the codec has no concealment of its own."""

    def recover(self, payload: bytes, samples: int) -> Pcm | None:
        """The lost audio before this payload, from the copy in it; None: it has none.

        The payload itself is decoded afterwards, with `decode`.
        """

    def close(self) -> None:
        """Free what it holds. Legal more than once; nothing may be decoded afterwards."""


class Codec(Protocol):
    """One payload format with its parameters."""

    @property
    def name(self) -> str:
        """The encoding name in SDP: PCMU, PCMA, L16, G722, OPUS."""

    @property
    def rate_hz(self) -> int:
        """Samples a second of the audio that goes in and comes out."""

    @property
    def rtp_clock_hz(self) -> int:
        """Ticks a second of the RTP timestamp, which need not be the same."""

    @property
    def channels(self) -> int:
        """Channels of that audio; always 1 here."""

    def samples(self, payload: bytes) -> int:
        """Samples in a payload, without decoding it; raises `MalformedAudioError`."""

    def quiet(self, payload: bytes) -> bool:
        """Whether nobody speaks in a payload that `samples` took: a pause may follow."""

    def encoder(self) -> Encoder:
        """A new encoder for one direction of one leg."""

    def decoder(self) -> Decoder:
        """A new decoder for one direction of one leg."""


class _Plain:
    """What coders share that neither know of losses nor hold anything."""

    def expect_loss(self, percent: float) -> None:
        """Nothing can be done about it."""

    def conceal(self, samples: int) -> Pcm | None:
        """None: the jitter buffer conceals."""
        return None

    def recover(self, payload: bytes, samples: int) -> Pcm | None:
        """None: no payload carries a copy of another."""
        return None

    def close(self) -> None:
        """Nothing is held."""


def _mono(pcm: Pcm) -> Pcm:
    if pcm.dtype != np.int16 or pcm.ndim != 1:
        raise UsageError(f"a codec takes one row of int16, not {pcm.dtype} of {pcm.shape}")
    return pcm


def _bounded(payload: bytes, samples: int, rate_hz: int) -> int:
    """The samples, unless the payload is empty or longer than any packet."""
    if not payload:
        raise MalformedAudioError("an empty payload")
    if samples > rate_hz * LONGEST_MS // 1000:
        raise MalformedAudioError(f"{len(payload)} bytes are more than {LONGEST_MS} ms")
    return samples


class _G711Leg(_Plain):
    def __init__(self, codec: "G711") -> None:
        self._codec = codec

    def encode(self, pcm: Pcm) -> bytes:
        return g711.encode(np.ascontiguousarray(_mono(pcm)), self._codec.law).tobytes()

    def decode(self, payload: bytes) -> Pcm:
        self._codec.samples(payload)
        return g711.decode(payload, self._codec.law)


@dataclass(frozen=True, slots=True)
class G711:
    """G.711 at 8 kHz; see ``g711`` for code that serves many calls at once."""

    law: Law = Law.ULAW
    rate_hz: int = 8000
    rtp_clock_hz: int = 8000
    channels: int = 1

    @property
    def name(self) -> str:
        """PCMU or PCMA."""
        return self.law.encoding_name

    def samples(self, payload: bytes) -> int:
        """One a byte."""
        return _bounded(payload, len(payload), self.rate_hz)

    def quiet(self, payload: bytes) -> bool:
        """Nothing in it tells."""
        return False

    def encoder(self) -> Encoder:
        """Without memory."""
        return _G711Leg(self)

    def decoder(self) -> Decoder:
        """Without memory."""
        return _G711Leg(self)


class _L16Leg(_Plain):
    def __init__(self, codec: "L16") -> None:
        self._codec = codec

    def encode(self, pcm: Pcm) -> bytes:
        return l16.encode(_mono(pcm))

    def decode(self, payload: bytes) -> Pcm:
        self._codec.samples(payload)
        return l16.decode(payload)


@dataclass(frozen=True, slots=True)
class L16:
    """16-bit PCM in network order, at any rate of ours; the RTP clock is the rate."""

    rate_hz: int = 16_000
    channels: int = 1

    def __post_init__(self) -> None:
        frame_samples(self.rate_hz)  # raises unless it is a rate of ours

    @property
    def name(self) -> str:
        """L16."""
        return l16.ENCODING_NAME

    @property
    def rtp_clock_hz(self) -> int:
        """The rate."""
        return self.rate_hz

    def samples(self, payload: bytes) -> int:
        """One every two bytes."""
        if len(payload) % 2:
            raise MalformedAudioError(f"{len(payload)} bytes are not whole 16-bit samples")
        return _bounded(payload, len(payload) // 2, self.rate_hz)

    def quiet(self, payload: bytes) -> bool:
        """Nothing in it tells."""
        return False

    def encoder(self) -> Encoder:
        """Without memory."""
        return _L16Leg(self)

    def decoder(self) -> Decoder:
        """Without memory."""
        return _L16Leg(self)


class _G722Encoding(_Plain):
    def __init__(self) -> None:
        self._encoder = g722.G722Encoder()

    def encode(self, pcm: Pcm) -> bytes:
        return self._encoder.encode(_mono(pcm))


class _G722Decoding(_Plain):
    def __init__(self, codec: "G722") -> None:
        self._codec = codec
        self._decoder = g722.G722Decoder()

    def decode(self, payload: bytes) -> Pcm:
        self._codec.samples(payload)
        return self._decoder.decode(payload)


@dataclass(frozen=True, slots=True)
class G722:
    """G.722 at 64 kbit/s; ``g722_bank`` serves many calls at once."""

    name: str = g722.ENCODING_NAME
    rate_hz: int = g722.RATE_HZ
    rtp_clock_hz: int = g722.RTP_CLOCK_HZ
    channels: int = 1

    def samples(self, payload: bytes) -> int:
        """Two a byte."""
        return _bounded(payload, 2 * len(payload), self.rate_hz)

    def quiet(self, payload: bytes) -> bool:
        """Nothing in it tells."""
        return False

    def encoder(self) -> Encoder:
        """With a state of its own."""
        return _G722Encoding()

    def decoder(self) -> Decoder:
        """With a state of its own."""
        return _G722Decoding(self)
