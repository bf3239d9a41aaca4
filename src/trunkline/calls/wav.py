"""The one form of WAV that recordings have: a header of 44 bytes, then samples.

16-bit PCM, one or two channels; see RFC 2361 for the format tag and the RIFF
specification (Microsoft, 1991) for the chunks. Apart from `trunkline.media.wav`
because the supervisor salvages recordings, and numpy would double its memory and start.
"""

import os
import struct
from pathlib import Path
from typing import Final

from .errors import RecordingError

__all__ = ["HEADER_BYTES", "LARGEST_DATA_BYTES", "SAMPLE_BYTES", "header", "salvage"]

_HEADER: Final = struct.Struct("<4sI4s4sIHHIIHH4sI")
_PCM: Final = 1

HEADER_BYTES: Final = _HEADER.size
SAMPLE_BYTES: Final = 4
"""One sample of both channels."""
LARGEST_DATA_BYTES: Final = (0xFFFF_FFFF - HEADER_BYTES) // SAMPLE_BYTES * SAMPLE_BYTES
"""RIFF sizes have 32 bits: 37 hours at 8 kHz."""


def header(rate_hz: int, data_bytes: int, channels: int = 2) -> bytes:
    """The header of a file with this much data."""
    block = 2 * channels
    return _HEADER.pack(
        b"RIFF", HEADER_BYTES - 8 + data_bytes, b"WAVE",
        b"fmt ", 16, _PCM, channels, rate_hz, rate_hz * block, block, 16,
        b"data", data_bytes,
    )  # fmt: skip


def salvage(path: Path) -> float:
    """Make the header of a recording agree with its file; returns its seconds.

    For files whose writer was killed between the samples and the header, or that
    were cut short by a copy. A whole file is left as it is.

    Raises:
        RecordingError: it is not one of our recordings, or cannot be changed.
    """
    try:
        with path.open("r+b") as file:
            rate_hz, told, channels = _parse(file.read(HEADER_BYTES), path)
            there = os.fstat(file.fileno()).st_size - HEADER_BYTES
            whole = min(there - there % (2 * channels), LARGEST_DATA_BYTES)
            if not whole == told == there:
                file.truncate(HEADER_BYTES + whole)
                file.seek(0)
                file.write(header(rate_hz, whole, channels))
    except OSError as error:
        raise RecordingError(f"cannot salvage {path}: {error.strerror}") from error
    return whole / (2 * channels) / rate_hz


def _parse(data: bytes, path: Path) -> tuple[int, int, int]:
    """The sample rate, the data size and the channels that a header of ours tells."""
    if len(data) == HEADER_BYTES:
        riff, _, wave, fmt, _, kind, channels, rate_hz, _, block, _, mark, size = _HEADER.unpack(
            data
        )
        marks = (riff, wave, fmt, mark) == (b"RIFF", b"WAVE", b"fmt ", b"data")
        if marks and kind == _PCM and channels in (1, 2) and block == 2 * channels and rate_hz:
            return rate_hz, size, channels
    raise RecordingError(f"{path} is not a recording of ours")
