"""L16: 16-bit PCM as bytes, in network order (RFC 3551 4.5.11) or little-endian.

RTP carries the network order, WebSocket dialects and WAV files the little-endian.
"""

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from .errors import MalformedAudioError

__all__ = ["ENCODING_NAME", "ByteOrder", "decode", "decode_whole", "encode"]

ENCODING_NAME: Final = "L16"

ByteOrder = Literal["big", "little"]

_DTYPES: Final[dict[str, np.dtype[np.int16]]] = {"big": np.dtype(">i2"), "little": np.dtype("<i2")}


def decode(payload: bytes | bytearray | memoryview, order: ByteOrder = "big") -> NDArray[np.int16]:
    """Bytes as PCM in this machine's order.

    Where the order is the machine's own this is a read-only view of the bytes.
    Raises `MalformedAudioError` for an odd number of bytes: half a sample is lost or
    extra, and from there on every sample may be noise. The caller counts it.
    """
    if len(payload) % 2:
        raise MalformedAudioError(f"{len(payload)} bytes are not whole 16-bit samples")
    return np.frombuffer(payload, _DTYPES[order]).astype(np.int16, copy=False)


def decode_whole(
    payload: bytes | bytearray | memoryview, order: ByteOrder = "big"
) -> tuple[NDArray[np.int16], bytes]:
    """The whole samples of a byte stream cut anywhere, and the odd byte left over.

    Put what is left in front of the next piece. For pipes and TCP, where pieces do
    not end at samples; for packets use `decode`.
    """
    whole = len(payload) & ~1
    return decode(payload[:whole], order), bytes(payload[whole:])


def encode(pcm: NDArray[np.int16], order: ByteOrder = "big") -> bytes:
    """PCM of any shape as bytes, row after row."""
    return pcm.astype(_DTYPES[order], copy=False).tobytes()
