"""G.711 against the stdlib's routines and against the recommendation's own arithmetic."""

import importlib
import warnings
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.media.g711 import DECODE, ENCODE, Law, decode, encode

LAWS = list(Law)
EVERY_SAMPLE = np.arange(-32768, 32768).astype(np.int16)
EVERY_CODE = bytes(range(256))


def audioop() -> ModuleType:
    """The stdlib module, which Python 3.13 no longer has."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return importlib.import_module("audioop")
    except ModuleNotFoundError:
        pytest.skip("this Python has no audioop; the reference formulas below stand alone")


def reference_decode(code: int, law: Law) -> int:
    """One code by G.711's decision tables, a segment at a time, on its 14 or 13 bits."""
    if law is Law.ULAW:
        code = 255 - code
        value = 0
        for level in range(code % 128):
            # The step doubles with each segment of 16: 2 in the first, 256 in the last.
            segment = (level + 1) // 16
            value += 2**segment + (2**segment if (level + 1) % 16 else 2**segment // 2)
        return (-value if code >= 128 else value) * 4
    code ^= 0x55
    segment, step = code // 16 % 8, code % 16
    low = 32 * step if segment == 0 else (512 + 32 * step) * 2 ** (segment - 1)
    width = 32 if segment == 0 else 32 * 2 ** (segment - 1)
    middle = (low + width // 2) // 2
    return middle if code >= 128 else -middle


def reference_encode(samples: np.ndarray, law: Law) -> np.ndarray:
    """Codes by counting the recommendation's decision values below each magnitude."""
    if law is Law.ULAW:
        narrow = samples.astype(np.int64) >> 2
        widths = [1] + [2] * 15 + [2**segment for segment in range(2, 9) for _ in range(16)]
        level = np.searchsorted(np.cumsum(widths)[:-1], np.abs(narrow), side="right")
        return 255 - (level + 128 * (narrow < 0))
    narrow = samples.astype(np.int64) >> 3
    widths = [2] * 32 + [2**segment for segment in range(2, 8) for _ in range(16)]
    magnitude = np.where(narrow < 0, -1 - narrow, narrow)
    level = np.searchsorted(np.cumsum(widths)[:-1], magnitude, side="right")
    return (level + 128 * (narrow >= 0)) ^ 0x55


def test_decoding_equals_the_stdlib_for_every_code() -> None:
    module = audioop()
    assert decode(EVERY_CODE, Law.ULAW).tobytes() == module.ulaw2lin(EVERY_CODE, 2)
    assert decode(EVERY_CODE, Law.ALAW).tobytes() == module.alaw2lin(EVERY_CODE, 2)


def test_encoding_equals_the_stdlib_for_every_sample() -> None:
    module = audioop()
    pcm = EVERY_SAMPLE.tobytes()
    assert encode(EVERY_SAMPLE, Law.ULAW).tobytes() == module.lin2ulaw(pcm, 2)
    assert encode(EVERY_SAMPLE, Law.ALAW).tobytes() == module.lin2alaw(pcm, 2)


@pytest.mark.parametrize("law", LAWS)
def test_decoding_equals_the_recommendations_segments(law: Law) -> None:
    expected = [reference_decode(code, law) for code in range(256)]
    assert decode(EVERY_CODE, law).tolist() == expected


@pytest.mark.parametrize("law", LAWS)
def test_encoding_equals_the_recommendations_decision_values(law: Law) -> None:
    assert np.array_equal(encode(EVERY_SAMPLE, law), reference_encode(EVERY_SAMPLE, law))


@pytest.mark.parametrize("law", LAWS)
def test_encoding_never_goes_down_when_the_sample_goes_up(law: Law) -> None:
    assert (np.diff(decode(encode(EVERY_SAMPLE, law), law).astype(int)) >= 0).all()


@pytest.mark.parametrize("law", LAWS)
def test_a_code_survives_decoding_and_encoding(law: Law) -> None:
    again = encode(decode(EVERY_CODE, law), law).tobytes()
    # µ-law has two zeros, and the negative one comes back positive.
    expected = EVERY_CODE.replace(b"\x7f", b"\xff") if law is Law.ULAW else EVERY_CODE
    assert again == expected


@pytest.mark.parametrize("law", LAWS)
def test_transcoding_twice_loses_nothing_more_than_once(law: Law) -> None:
    once = decode(encode(EVERY_SAMPLE, law), law)
    assert np.array_equal(decode(encode(once, law), law), once)


def test_the_loudest_values_are_the_recommendations() -> None:
    assert [DECODE[Law.ULAW].min(), DECODE[Law.ULAW].max()] == [-32124, 32124]  # 8031 in 14 bits
    assert [DECODE[Law.ALAW].min(), DECODE[Law.ALAW].max()] == [-32256, 32256]  # 4032 in 13 bits


@pytest.mark.parametrize("law", LAWS)
def test_silence_has_the_laws_silence_byte(law: Law) -> None:
    assert encode(np.zeros(160, np.int16), law).tobytes() == bytes([law.silence_byte]) * 160
    assert abs(int(decode(bytes([law.silence_byte]), law)[0])) <= 8


def test_a_law_knows_its_names_in_rtp() -> None:
    assert (Law.ULAW.payload_type, Law.ULAW.encoding_name) == (0, "PCMU")
    assert (Law.ALAW.payload_type, Law.ALAW.encoding_name) == (8, "PCMA")
    assert Law.from_payload_type(0) is Law.ULAW
    assert Law.from_payload_type(8) is Law.ALAW
    assert Law.from_payload_type(9) is None


def test_the_tables_have_their_shapes_and_cannot_be_written_to() -> None:
    assert (DECODE.shape, DECODE.dtype) == ((2, 256), np.int16)
    assert (ENCODE.shape, ENCODE.dtype) == ((2, 65536), np.uint8)
    with pytest.raises(ValueError, match="read-only"):
        DECODE[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        ENCODE[0, 0] = 1


def test_a_block_of_calls_with_different_laws_is_one_look_up() -> None:
    rng = np.random.default_rng(1)
    payloads = rng.integers(0, 256, (4, 160), dtype=np.uint8)
    laws = np.array([Law.ULAW, Law.ALAW, Law.ALAW, Law.ULAW], np.intp)
    pcm = DECODE[laws[:, np.newaxis], payloads]
    codes = ENCODE[laws[:, np.newaxis], pcm.view(np.uint16)]
    for row, law in enumerate(laws):
        assert np.array_equal(pcm[row], decode(payloads[row], Law(law)))
        assert np.array_equal(codes[row], encode(pcm[row], Law(law)))


@given(st.binary(max_size=400), st.sampled_from(LAWS))
def test_bytes_and_arrays_decode_alike(payload: bytes, law: Law) -> None:
    pcm = decode(payload, law)
    assert pcm.dtype == np.int16
    assert pcm.shape == (len(payload),)
    assert np.array_equal(pcm, decode(np.frombuffer(payload, np.uint8), law))


@pytest.mark.parametrize("law", LAWS)
def test_a_slice_with_gaps_encodes_like_a_copy(law: Law) -> None:
    block = np.arange(-800, 800, dtype=np.int16).reshape(10, 160)
    assert np.array_equal(encode(block[:, ::2], law), encode(block[:, ::2].copy(), law))
