"""G.722: the recommendation's bits, and those of other programs where they are installed."""

import ctypes
import ctypes.util
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trunkline.errors import UsageError
from trunkline.media.g722 import RATE_HZ, RTP_CLOCK_HZ, G722Decoder, G722Encoder

SAMPLES = 3200
KNOWN_TONE = "fa9628892191a0a060a0f3d5ccccd0d9"
KNOWN_SILENCE = "fafafafa"


def material(loudest: int = 8000) -> dict[str, NDArray[np.int16]]:
    """Sounds below full scale, where every implementation gives the same bits."""
    rng = np.random.default_rng(1)
    at = np.arange(SAMPLES)
    wander = np.cumsum(rng.normal(0, 300, SAMPLES)) % (2 * loudest) - loudest
    return {
        "silence": np.zeros(SAMPLES, np.int16),
        "tone": (loudest * np.sin(at * 0.3)).astype(np.int16),
        "noise": rng.integers(-loudest, loudest, SAMPLES).astype(np.int16),
        "wander": wander.astype(np.int16),
        "one bit": rng.integers(-1, 2, SAMPLES).astype(np.int16),
    }


def overload() -> NDArray[np.int16]:
    return np.where(np.arange(SAMPLES) // 40 % 2, 32767, -32768).astype(np.int16)


@cache
def spandsp() -> Any:
    name = ctypes.util.find_library("spandsp")
    if name is None:
        pytest.skip("libspandsp is not installed")
    library = ctypes.CDLL(name)
    for init in (library.g722_encode_init, library.g722_decode_init):
        init.restype = ctypes.c_void_p
        init.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
    for run in (library.g722_encode, library.g722_decode):
        run.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]
    for free in (library.g722_encode_free, library.g722_decode_free):
        free.argtypes = [ctypes.c_void_p]
    return library


def spandsp_encodes(pcm: NDArray[np.int16]) -> bytes:
    library = spandsp()
    state = library.g722_encode_init(None, 64000, 0)
    out = ctypes.create_string_buffer(pcm.size)
    size = library.g722_encode(state, out, pcm.ctypes.data, pcm.size)
    library.g722_encode_free(state)
    return out.raw[:size]


def spandsp_decodes(payload: bytes) -> NDArray[np.int16]:
    library = spandsp()
    state = library.g722_decode_init(None, 64000, 0)
    out = np.zeros(2 * len(payload), np.int16)
    size = library.g722_decode(state, out.ctypes.data, payload, len(payload))
    library.g722_decode_free(state)
    return out[:size]


@pytest.mark.parametrize("name", material())
def test_spandsp_encodes_to_the_same_bits(name: str) -> None:
    pcm = material()[name]
    assert G722Encoder().encode(pcm) == spandsp_encodes(pcm)


@pytest.mark.parametrize("name", material())
def test_spandsp_decodes_to_the_same_samples(name: str) -> None:
    payload = G722Encoder().encode(material()[name])
    assert np.array_equal(G722Decoder().decode(payload), spandsp_decodes(payload))


def test_ffmpeg_decodes_any_bytes_to_the_same_samples_overload_included() -> None:
    av = pytest.importorskip("av", reason="PyAV is not installed")

    noise = np.random.default_rng(2).integers(0, 256, SAMPLES // 2).astype(np.uint8).tobytes()
    for payload in (noise, G722Encoder().encode(overload())):
        context = av.CodecContext.create("g722", "r")
        context.sample_rate, context.layout = RATE_HZ, "mono"
        frames = context.decode(av.Packet(payload))
        theirs = np.concatenate([frame.to_ndarray().ravel() for frame in frames])
        assert np.array_equal(G722Decoder().decode(payload), theirs)


def test_known_bits_hold_where_nothing_to_compare_with_is_installed() -> None:
    payload = G722Encoder().encode(material()["tone"][:32])
    assert payload.hex() == KNOWN_TONE
    assert G722Encoder().encode(np.zeros(8, np.int16)).hex() == KNOWN_SILENCE


def test_what_is_decoded_sounds_like_what_was_encoded() -> None:
    pcm = material()["tone"]
    heard = G722Decoder().decode(G722Encoder().encode(pcm))
    delay = 22  # of both filters
    noise = heard[400:].astype(float) - pcm[400 - delay : -delay]
    ratio_db = 10 * np.log10(np.mean(pcm.astype(float) ** 2) / np.mean(noise**2))
    assert ratio_db > 25


def test_a_packet_is_half_as_many_bytes_and_the_clock_is_the_eight_thousand_of_the_rfc() -> None:
    assert len(G722Encoder().encode(np.zeros(320, np.int16))) == 160
    assert RTP_CLOCK_HZ * 2 == RATE_HZ


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(1, 40), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_packets_cut_anywhere_are_the_same_stream(cuts: list[int], seed: int) -> None:
    pcm = np.random.default_rng(seed).integers(-9000, 9000, 2 * sum(cuts)).astype(np.int16)
    encoder, decoder = G722Encoder(), G722Decoder()
    edges = np.cumsum([0, *cuts]) * 2
    pieces = [pcm[begin:end] for begin, end in zip(edges[:-1], edges[1:], strict=True)]
    payloads = [encoder.encode(piece) for piece in pieces]
    assert b"".join(payloads) == G722Encoder().encode(pcm)
    heard = np.concatenate([decoder.decode(payload) for payload in payloads])
    assert np.array_equal(heard, G722Decoder().decode(b"".join(payloads)))


def test_nothing_is_coded_as_nothing_and_half_a_pair_is_refused() -> None:
    encoder = G722Encoder()
    assert encoder.encode(np.zeros(0, np.int16)) == b""
    assert G722Decoder().decode(b"").size == 0
    with pytest.raises(UsageError, match="whole pairs"):
        encoder.encode(np.zeros(3, np.int16))


def test_overload_is_limited_and_does_not_wrap() -> None:
    heard = G722Decoder().decode(G722Encoder().encode(overload()))
    # A wrapped sample would be of the other sign in the middle of a half wave.
    middle = np.arange(400, SAMPLES - 40).reshape(-1)
    at = middle[((middle - 22) % 40 > 15) & ((middle - 22) % 40 < 25)]
    assert np.all(np.sign(heard[at]) == np.sign(overload()[at - 22]))
