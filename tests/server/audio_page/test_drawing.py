"""Pictures of audio: PNG files that are right, and paths that stay within their frame."""

import re
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.server.audio_page.drawing import (
    STEPS,
    bands,
    dots,
    line,
    png,
    spectrogram_png,
    waveform,
)


def chunks(data: bytes) -> dict[bytes, bytes]:
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    found, at = {}, 8
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert zlib.crc32(name + body) == int.from_bytes(
            data[at + 8 + size : at + 12 + size], "big"
        )
        found[name] = body
        at += 12 + size
    return found


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 255))
def test_a_png_holds_the_pixels_it_was_made_of(rows: int, columns: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 4, (rows, columns)).astype(np.uint8)
    palette = np.arange(12, dtype=np.uint8).reshape(4, 3)
    found = chunks(png(pixels, palette))
    assert list(found) == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    assert struct.unpack(">IIBBBBB", found[b"IHDR"]) == (columns, rows, 8, 3, 0, 0, 0)
    assert found[b"PLTE"] == palette.tobytes()
    raw = np.frombuffer(zlib.decompress(found[b"IDAT"]), np.uint8).reshape(rows, columns + 1)
    assert not raw[:, 0].any()
    np.testing.assert_array_equal(raw[:, 1:], pixels)


@pytest.mark.parametrize("seconds", [0, 0.001, 1, 30])
def test_a_spectrogram_is_small_whatever_the_length(seconds: float) -> None:
    pcm = np.random.default_rng(1).normal(0, 3000, int(8000 * seconds)).astype(np.int16)
    made = spectrogram_png(pcm, 8000)
    assert len(made) < 120_000
    columns, rows = struct.unpack(">II", chunks(made)[b"IHDR"][:8])
    assert columns <= 1000
    assert rows == 112


def test_bands_are_where_something_is_chosen() -> None:
    chosen = np.array([False, True, True, False, True])
    assert bands(chosen, 5) == "M240.0 0h480.0v100H240.0zM960.0 0h240.0v100H960.0z"
    assert bands(np.zeros(5, np.bool_), 5) == ""
    assert bands(np.zeros(0, np.bool_), 0) == ""


def test_a_line_is_broken_where_there_is_no_value() -> None:
    assert line([0, 50, float("nan"), 100], 0, 100) == "M150.0 100.0L450.0 50.0M1050.0 0.0"
    assert line([], 0, 1) == ""


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=3000))
def test_a_line_stays_within_its_frame(values: list[float]) -> None:
    for x, y in re.findall(r"[ML]([\d.]+) ([-\d.]+)", line(values, 0, 10)):
        assert 0 <= float(x) <= STEPS
        assert 0 <= float(y) <= 100


def test_a_peak_of_a_long_line_is_kept() -> None:
    values = np.zeros(100_000)
    values[777] = 10
    assert " 0.0" in line(values, 0, 10)


def test_packets_that_were_lost_have_no_dot() -> None:
    assert dots(np.array([0.0, np.nan, 200.0]), 3, 100) == "M0.0 100.0h1M800.0 0.0h1"


def test_silence_has_a_waveform() -> None:
    assert waveform(np.zeros(800, np.int16), 0.0).startswith("M")
