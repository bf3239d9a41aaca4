"""What the peer of these tests speaks: Opus by libopus, G.722 by spandsp, through ctypes.

Both come with baresip. Nothing here comes from trunkline, for the peer's reason.
"""

import ctypes
import ctypes.util
import os
from typing import Any, Protocol

import numpy as np
import pytest
from numpy.typing import NDArray

Pcm = NDArray[np.int16]


class PeerCodec(Protocol):
    """One leg's coder; audio at ``rate_hz``, 20 ms a packet."""

    rtpmap: str
    payload_type: int
    rate_hz: int
    clock_hz: int
    event_hz: int

    def encode(self, pcm: Pcm) -> bytes:
        """One packet."""

    def decode(self, payload: bytes) -> Pcm:
        """One packet."""


def library(name: str) -> Any:
    """A system library; the test is skipped without it, but not where all are promised."""
    path = ctypes.util.find_library(name)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"lib{name} is not installed", pytrace=False)
        pytest.skip(f"lib{name} is not installed")
    return ctypes.CDLL(path)


class OpusPeer:
    """Opus at 16 kHz with in-band FEC, as a softphone has it."""

    rtpmap = "opus/48000/2"
    payload_type, rate_hz, clock_hz, event_hz = 111, 16_000, 48_000, 48_000

    def __init__(self) -> None:
        self._library = lib = library("opus")
        for create in (lib.opus_encoder_create, lib.opus_decoder_create):
            create.restype = ctypes.c_void_p
        error = ctypes.c_int()
        self._encoder = ctypes.c_void_p(
            lib.opus_encoder_create(16_000, 1, 2048, ctypes.byref(error))
        )
        self._decoder = ctypes.c_void_p(lib.opus_decoder_create(16_000, 1, ctypes.byref(error)))
        for request, value in ((4012, 1), (4014, 30), (4002, 24_000)):  # FEC, loss, bit rate
            assert lib.opus_encoder_ctl(self._encoder, request, ctypes.c_int32(value)) == 0

    def encode(self, pcm: Pcm) -> bytes:
        buffer = ctypes.create_string_buffer(1500)
        data = np.ascontiguousarray(pcm)
        size = self._library.opus_encode(
            self._encoder, ctypes.c_void_p(data.ctypes.data), pcm.size, buffer, 1500
        )
        assert size > 0
        return buffer.raw[:size]

    def decode(self, payload: bytes) -> Pcm:
        pcm = np.zeros(5760, np.int16)
        count = self._library.opus_decode(
            self._decoder, payload, len(payload), ctypes.c_void_p(pcm.ctypes.data), 5760, 0
        )
        assert count > 0
        return pcm[:count]


class G722Peer:
    """G.722 at 64 kbit/s, by spandsp."""

    rtpmap = "G722/8000"
    payload_type, rate_hz, clock_hz, event_hz = 9, 16_000, 8000, 8000

    def __init__(self) -> None:
        self._library = lib = library("spandsp")
        for make in (lib.g722_encode_init, lib.g722_decode_init):
            make.restype = ctypes.c_void_p
        self._encoder = ctypes.c_void_p(lib.g722_encode_init(None, 64_000, 0))
        self._decoder = ctypes.c_void_p(lib.g722_decode_init(None, 64_000, 0))

    def encode(self, pcm: Pcm) -> bytes:
        buffer = ctypes.create_string_buffer(pcm.size)
        data = np.ascontiguousarray(pcm)
        size = self._library.g722_encode(
            self._encoder, buffer, ctypes.c_void_p(data.ctypes.data), pcm.size
        )
        return buffer.raw[:size]

    def decode(self, payload: bytes) -> Pcm:
        pcm = np.zeros(2 * len(payload), np.int16)
        count = self._library.g722_decode(
            self._decoder, ctypes.c_void_p(pcm.ctypes.data), payload, len(payload)
        )
        return pcm[:count]


class L16Peer:
    """L16 at 16 kHz."""

    rtpmap = "L16/16000"
    payload_type, rate_hz, clock_hz, event_hz = 97, 16_000, 16_000, 16_000

    def encode(self, pcm: Pcm) -> bytes:
        return pcm.astype(">i2").tobytes()

    def decode(self, payload: bytes) -> Pcm:
        return np.frombuffer(payload, ">i2").astype(np.int16)
