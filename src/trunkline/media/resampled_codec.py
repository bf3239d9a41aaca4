"""A codec at another rate than its own: audio is resampled where it enters and leaves.

So a leg whose codec has 16,000 samples a second takes part in an engine of 8000.
"""

from dataclasses import dataclass

import numpy as np

from trunkline.errors import UsageError

from .codec import Codec, Decoder, Encoder, Pcm
from .errors import MalformedAudioError
from .resample import StreamResampler

__all__ = ["ResampledCodec"]

_DELAY = 24
"""Samples of the lower rate that resampling holds back (`StreamResampler`)."""


class _Converter:
    """A stream resampled piece by piece, each as long as it should be, 3 ms late."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._from_hz, self._to_hz = from_hz, to_hz
        self._stream = StreamResampler(from_hz, to_hz)
        # What is held back of the first piece is silence before it instead.
        self._lead = np.zeros(_DELAY * max(1, to_hz // from_hz), np.int16)

    def convert(self, pcm: Pcm) -> Pcm:
        out = self._stream.push(pcm)
        if self._lead.size:
            out, self._lead = np.concatenate([self._lead, out]), self._lead[:0]
        return out


class _ResampledEncoder:
    def __init__(self, codec: "ResampledCodec") -> None:
        self._encoder = codec.codec.encoder()
        self._converter = _Converter(codec.rate_hz, codec.codec.rate_hz)

    def encode(self, pcm: Pcm) -> bytes:
        if pcm.dtype != np.int16 or pcm.ndim != 1:
            raise UsageError(f"a codec takes one row of int16, not {pcm.dtype} of {pcm.shape}")
        return self._encoder.encode(self._converter.convert(pcm))

    def expect_loss(self, percent: float) -> None:
        self._encoder.expect_loss(percent)

    def close(self) -> None:
        self._encoder.close()


class _ResampledDecoder:
    def __init__(self, codec: "ResampledCodec") -> None:
        self._ratio = codec.ratio
        self._decoder = codec.codec.decoder()
        self._converter = _Converter(codec.codec.rate_hz, codec.rate_hz)

    def decode(self, payload: bytes) -> Pcm:
        return self._converter.convert(self._decoder.decode(payload))

    def conceal(self, samples: int) -> Pcm | None:
        audio = self._decoder.conceal(samples * self._ratio)
        return None if audio is None else self._converter.convert(audio)

    def recover(self, payload: bytes, samples: int) -> Pcm | None:
        audio = self._decoder.recover(payload, samples * self._ratio)
        return None if audio is None else self._converter.convert(audio)

    def close(self) -> None:
        self._decoder.close()


@dataclass(frozen=True, slots=True)
class ResampledCodec:
    """A `Codec` whose audio is at ``rate_hz``, a whole fraction of the inner codec's rate.

    Each direction is 3 ms later for it. Packets stay as they are, and so does the RTP
    clock. Raises `UsageError` for a rate that does not divide the codec's.
    """

    codec: Codec
    rate_hz: int = 8000

    def __post_init__(self) -> None:
        if self.rate_hz >= self.codec.rate_hz or self.codec.rate_hz % self.rate_hz:
            raise UsageError(
                f"{self.codec.name} at {self.codec.rate_hz} Hz is not resampled to {self.rate_hz}"
            )

    @property
    def ratio(self) -> int:
        """Samples of the inner codec for one of ours."""
        return self.codec.rate_hz // self.rate_hz

    @property
    def name(self) -> str:
        """The inner codec's."""
        return self.codec.name

    @property
    def rtp_clock_hz(self) -> int:
        """The inner codec's."""
        return self.codec.rtp_clock_hz

    @property
    def channels(self) -> int:
        """1, as of every codec here."""
        return self.codec.channels

    def samples(self, payload: bytes) -> int:
        """Samples in a payload at our rate; raises `MalformedAudioError`.

        Also for a payload that holds no whole number of them.
        """
        held = self.codec.samples(payload)
        if held % self.ratio:
            raise MalformedAudioError(f"{held} samples are no whole number at {self.rate_hz} Hz")
        return held // self.ratio

    def quiet(self, payload: bytes) -> bool:
        """What the inner codec says."""
        return self.codec.quiet(payload)

    def encoder(self) -> Encoder:
        """Takes audio at our rate."""
        return _ResampledEncoder(self)

    def decoder(self) -> Decoder:
        """Gives audio at our rate."""
        return _ResampledDecoder(self)
