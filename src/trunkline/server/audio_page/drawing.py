"""Pictures of audio in few bytes: paths for SVG, and PNG files of our own making."""

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trunkline.media.scores import spectrogram
from trunkline.server.call_page.sound import STEPS, outline

__all__ = ["STEPS", "bands", "dots", "line", "png", "spectrogram_png", "waveform"]

_ROWS, _COLUMNS = 112, 1000
_LOUDEST_DB, _RANGE_DB, _SHADES = -20.0, 70.0, 48
_COLOURS = (
    (0.0, (14, 17, 28)),
    (0.3, (42, 52, 110)),
    (0.55, (38, 130, 142)),
    (0.8, (120, 200, 100)),
    (1.0, (250, 235, 130)),
)
"""From nothing to the loudest."""


def waveform(pcm: NDArray[np.int16], loudest: float) -> str:
    """The outline of a waveform; ``loudest`` fills the height."""
    return outline(pcm, max(loudest, 1.0))


def bands(chosen: NDArray[np.bool_], total: int) -> str:
    """Upright bands, 100 high, where something is chosen, of ``total`` places in all."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]]).astype(np.int8)))
    scale = STEPS / max(total, 1)
    return "".join(
        f"M{begin * scale:.1f} 0h{max((end - begin) * scale, 0.8):.1f}v100H{begin * scale:.1f}z"
        for begin, end in edges.reshape(-1, 2).tolist()
    )


def line(values: Sequence[float] | NDArray[np.floating], lowest: float, highest: float) -> str:
    """A line through values at even distances, 100 high; broken where one is not a number."""
    series = np.asarray(values, np.float64)
    if len(series) > STEPS:  # the loudest of each step: a peak must not vanish
        edges = np.linspace(0, len(series), STEPS + 1).astype(np.intp)
        series = np.fmax.reduceat(series, edges[:-1])
    scale = STEPS / max(len(series), 1)
    heights = 100 - np.clip((series - lowest) / (highest - lowest), 0, 1) * 100
    parts, pen = [], "M"
    for index, height in enumerate(heights.tolist()):
        if np.isnan(height):
            pen = "M"
        else:
            parts.append(f"{pen}{(index + 0.5) * scale:.1f} {height:.1f}")
            pen = "L"
    return "".join(parts)


def dots(values: NDArray[np.floating], total: int, highest: float) -> str:
    """A short stroke for each value that is a number, from 0 to ``highest``."""
    scale = STEPS / max(total, 1)
    every = max(1, len(values) // (2 * STEPS))  # of a long file, some
    return "".join(
        f"M{index * scale:.1f} {100 - min(value / highest, 1) * 100:.1f}h1"
        for index, value in list(enumerate(values.tolist()))[::every]
        if not np.isnan(value)
    )


def png(pixels: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """A PNG file (ISO 15948) of indexed colours: (rows, columns) into (colours, 3)."""
    rows, columns = pixels.shape
    header = struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)
    # Each row says what filter it has: none, which suits indices.
    raw = np.concatenate([np.zeros((rows, 1), np.uint8), pixels], axis=1).tobytes()
    chunks = (
        (b"IHDR", header),
        (b"PLTE", palette.tobytes()),
        (b"IDAT", zlib.compress(raw, 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def spectrogram_png(
    pcm: NDArray[np.int16], rate_hz: int, columns: int = _COLUMNS, rows: int = _ROWS
) -> bytes:
    """A spectrogram from -90 to -20 dB of full scale, low frequencies below."""
    levels = spectrogram(pcm, rate_hz, columns, rows)
    shade = np.clip((levels - _LOUDEST_DB + _RANGE_DB) / _RANGE_DB, 0, 1) * (_SHADES - 1)
    return png(np.rint(shade).astype(np.uint8), _palette())


def _palette() -> NDArray[np.uint8]:
    at = np.linspace(0, 1, _SHADES)
    stops = [stop for stop, _ in _COLOURS]
    channels = [np.interp(at, stops, [colour[c] for _, colour in _COLOURS]) for c in range(3)]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
