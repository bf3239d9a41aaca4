"""G.711: µ-law and A-law by table (ITU-T G.711).

``DECODE[law]`` has 256 samples, ``ENCODE[law]`` 65,536 codes indexed by the sample
seen as unsigned (``pcm.view(np.uint16)``). Batched code indexes both by an array of
laws: ``DECODE[laws[:, None], payloads]``.

The recommendation compands 14-bit (µ) and 13-bit (A) samples. A 16-bit sample is
narrowed by dropping its low 2 or 3 bits, as the stdlib's ``audioop`` and the
widespread Sun routines do, and both tables agree with those for every input.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

__all__ = ["DECODE", "ENCODE", "Law", "decode", "encode"]

# G.711 inverts bits on the line so that silence has many ones: all for µ, even ones for A.
_ULAW_INVERT, _ALAW_INVERT = 0xFF, 0x55
_SIGN = 0x80
# µ-law: 33 added to the 14-bit magnitude makes every segment end before a power of two;
# the last ends at 8191, so anything louder than 8158 has the loudest code.
_ULAW_BIAS, _ULAW_CLIP = 33, 8158


class Law(IntEnum):
    """Which of the two laws; the value is its row in `DECODE` and `ENCODE`."""

    ULAW = 0
    ALAW = 1

    @property
    def payload_type(self) -> int:
        """The static RTP payload type (RFC 3551): 0 or 8."""
        return 8 if self else 0

    @property
    def encoding_name(self) -> str:
        """The name in SDP (RFC 3551): PCMU or PCMA."""
        return "PCMA" if self else "PCMU"

    @property
    def silence_byte(self) -> int:
        """The code of a zero sample: 0xFF or 0xD5."""
        return 0xD5 if self else 0xFF

    @classmethod
    def from_payload_type(cls, payload_type: int) -> "Law | None":
        """The law of a static RTP payload type; None for any other type."""
        return {0: cls.ULAW, 8: cls.ALAW}.get(payload_type)


def _decode_tables() -> NDArray[np.int16]:
    """Both laws' (2, 256) output values, scaled to 16 bits."""
    codes = np.arange(256)
    ulaw, alaw = codes ^ _ULAW_INVERT, codes ^ _ALAW_INVERT
    segment, step = ulaw >> 4 & 7, ulaw & 15
    magnitude = ((2 * step + _ULAW_BIAS << segment) - _ULAW_BIAS) << 2
    ulaw_values = np.where(ulaw & _SIGN, -magnitude, magnitude)
    segment, step = alaw >> 4 & 7, alaw & 15
    # Segments 0 and 1 share a step size; from 1 on a leading one is implied.
    leading = np.where(segment > 0, 32, 0)
    magnitude = (2 * step + 1 + leading << np.maximum(segment - 1, 0)) << 3
    alaw_values = np.where(alaw & _SIGN, magnitude, -magnitude)
    return np.stack([ulaw_values, alaw_values]).astype(np.int16)


def _encode_ulaw() -> NDArray[np.uint8]:
    """Codes of all 14-bit samples, -8192 first."""
    samples = np.arange(-8192, 8192)
    biased = np.minimum(np.abs(samples), _ULAW_CLIP) + _ULAW_BIAS
    segment = np.frexp(biased)[1] - 6  # 33 to 63 is segment 0, 4096 to 8191 is segment 7
    code = segment << 4 | biased >> segment + 1 & 15
    code |= np.where(samples < 0, _SIGN, 0)
    return np.asarray(code ^ _ULAW_INVERT, np.uint8)


def _encode_alaw() -> NDArray[np.uint8]:
    """Codes of all 13-bit samples, -4096 first."""
    samples = np.arange(-4096, 4096)
    magnitude = np.where(samples < 0, ~samples, samples)
    segment = np.maximum(np.frexp(magnitude)[1] - 5, 0)  # 0 to 31 is 0, 2048 to 4095 is 7
    code = segment << 4 | magnitude >> np.maximum(segment, 1) & 15
    code |= np.where(samples < 0, 0, _SIGN)
    return np.asarray(code ^ _ALAW_INVERT, np.uint8)


def _encode_tables() -> NDArray[np.uint8]:
    """Both laws' (2, 65536) codes, indexed by the 16-bit sample seen as unsigned."""
    ulaw, alaw = np.repeat(_encode_ulaw(), 4), np.repeat(_encode_alaw(), 8)
    return np.stack([np.roll(ulaw, 32768), np.roll(alaw, 32768)])


DECODE: NDArray[np.int16] = _decode_tables()
ENCODE: NDArray[np.uint8] = _encode_tables()
DECODE.setflags(write=False)
ENCODE.setflags(write=False)


def decode(payload: bytes | NDArray[np.uint8], law: Law) -> NDArray[np.int16]:
    """Codes as 16-bit PCM, the same shape; bytes give one dimension."""
    codes = payload if isinstance(payload, np.ndarray) else np.frombuffer(payload, np.uint8)
    table: NDArray[np.int16] = DECODE[law]
    return table.take(codes)


def encode(pcm: NDArray[np.int16], law: Law) -> NDArray[np.uint8]:
    """16-bit PCM of any shape as codes, the same shape; ``.tobytes()`` is a payload."""
    table: NDArray[np.uint8] = ENCODE[law]
    return table.take(pcm.view(np.uint16))
