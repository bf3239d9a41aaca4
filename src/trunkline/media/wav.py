"""RIFF WAV, as much as telephony needs: 16-bit PCM, µ-law and A-law.

`header` begins a file that a recorder goes on writing; `parse_wav` reads a whole file,
also one whose writer died before it could put the lengths right.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from . import l16
from .errors import WavError
from .g711 import Law, decode

__all__ = ["HEADER_BYTES", "Wav", "WavFile", "header", "parse_wav", "serialise_wav"]

HEADER_BYTES = 44
"""Length of the header that `header` makes."""

_PCM, _ALAW, _ULAW, _EXTENSIBLE = 1, 6, 7, 0xFFFE
_LAWS = {_ULAW: Law.ULAW, _ALAW: Law.ALAW}
_NAMES = {3: "floating point", 2: "ADPCM", 0x11: "ADPCM", 0x31: "GSM", 0x55: "MP3"}

# RIFF, size, WAVE, "fmt ", 16, format, channels, rate, bytes/s, block, bits, data, size.
_HEADER = Struct("<4sI4s4sIHHIIHH4sI")
_FORMAT = Struct("<HHIIHH")
_CHUNK = Struct("<4sI")
_U32 = 0xFFFFFFFF


class _Format(NamedTuple):
    """What the format chunk says."""

    tag: int
    channels: int
    rate_hz: int
    bits: int


@dataclass(frozen=True, slots=True)
class Wav:
    """The audio of one file."""

    rate_hz: int
    """Samples a second in each channel."""
    samples: NDArray[np.int16]
    """(samples, channels); companded audio has been decoded."""

    @property
    def channels(self) -> int:
        """How many channels there are."""
        return int(self.samples.shape[1])

    @property
    def duration_seconds(self) -> float:
        """How long it plays."""
        return len(self.samples) / self.rate_hz

    def mono(self) -> NDArray[np.int16]:
        """One channel: the only one, or the mean of all."""
        if self.channels == 1:
            return self.samples[:, 0]
        return np.asarray(np.rint(self.samples.mean(axis=1)), np.int16)


def header(rate_hz: int, channels: int, data_bytes: int, law: Law | None = None) -> bytes:
    """The 44 bytes before ``data_bytes`` of samples: 16-bit PCM, or companded.

    A recorder that does not know its length yet says 0 and writes the header again
    later; `parse_wav` reads such a file to its end either way. Lengths that need more
    than 32 bits (37 hours of stereo at 8 kHz) are written as the largest there is.
    """
    if not 0 < rate_hz <= _U32 // 4 or not 0 < channels <= 255 or data_bytes < 0:
        raise UsageError(f"no WAV file has {channels} channels of {data_bytes} B at {rate_hz} Hz")
    tag, sample_bytes = (_PCM, 2) if law is None else (_ALAW if law else _ULAW, 1)
    block = channels * sample_bytes
    return _HEADER.pack(
        b"RIFF",
        min(data_bytes + data_bytes % 2 + HEADER_BYTES - 8, _U32),
        b"WAVE",
        b"fmt ",
        _FORMAT.size,
        tag,
        channels,
        rate_hz,
        min(rate_hz * block, _U32),
        block,
        8 * sample_bytes,
        b"data",
        min(data_bytes, _U32),
    )


def serialise_wav(samples: NDArray[np.int16], rate_hz: int) -> bytes:
    """A whole file of 16-bit PCM; samples are (samples,) or (samples, channels)."""
    data = l16.encode(samples, "little")
    return header(rate_hz, 1 if samples.ndim == 1 else samples.shape[1], len(data)) + data


def parse_wav(data: bytes) -> Wav:
    """Read a whole file; raises `WavError`, which says what is wrong with it.

    A data length of 0xFFFFFFFF, or beyond the end, or of 0 where the file's own length
    is wrong too, is that of a recording whose writer did not finish: the samples then
    go on to the end of the file. What is cut off in the middle of a sample is dropped.
    """
    if len(data) < 12 or data[:4] not in (b"RIFF", b"RF64") or data[8:12] != b"WAVE":
        raise WavError("this is not a WAV file: it does not begin with RIFF and WAVE")
    described: _Format | None = None
    for name, start, size in _chunks(data):
        if name == b"fmt ":
            described = _parse_format(data, start, size)
        elif name == b"data":
            if described is None:
                raise WavError("this WAV file has samples before their format")
            return _decode(data, start, size, described)
    raise WavError("this WAV file has no samples: no data chunk")


class WavFile:
    """A file that is read piece by piece, however long it is."""

    def __init__(self, file: BinaryIO, described: _Format, size: int) -> None:
        self._file = file
        self._format = described
        self._block = described.channels * _sample_bytes(described)
        self._left = size // self._block
        self.rate_hz = described.rate_hz
        """Samples a second in each channel."""
        self.frames = self._left
        """Samples in each channel."""

    @classmethod
    def open(cls, path: str | Path) -> "WavFile":
        """Open a file at its first sample; raises `OSError` and `WavError`."""
        file = Path(path).open("rb")  # noqa: SIM115 - `close` does
        try:
            return cls(file, *_seek_samples(file))
        except BaseException:
            file.close()
            raise

    def read(self, samples: int) -> NDArray[np.int16]:
        """The next samples, mixed to one channel; fewer at the end, then none."""
        data = self._file.read(min(samples, self._left) * self._block)
        data = data[: len(data) - len(data) % self._block]
        self._left -= len(data) // self._block
        tag, channels, rate_hz, _ = self._format
        pcm = l16.decode(data, "little") if tag == _PCM else decode(data, _LAWS[tag])
        return Wav(rate_hz, pcm.reshape(-1, channels)).mono()

    def close(self) -> None:
        """Close the file. Legal more than once."""
        self._file.close()


def _seek_samples(file: BinaryIO) -> tuple[_Format, int]:
    """Go to the first sample; the format, and how many bytes of samples there are."""
    begin = file.read(12)
    if len(begin) < 12 or begin[:4] not in (b"RIFF", b"RF64") or begin[8:12] != b"WAVE":
        raise WavError("this is not a WAV file: it does not begin with RIFF and WAVE")
    described: _Format | None = None
    while len(head := file.read(_CHUNK.size)) == _CHUNK.size:
        name, size = _CHUNK.unpack(head)
        if name == b"data":
            if described is None:
                raise WavError("this WAV file has samples before their format")
            here = file.tell()
            there = file.seek(0, 2) - here
            file.seek(here)
            return described, there if size in (0, _U32) else min(size, there)
        if name == b"fmt ":
            described = _parse_format(file.read(min(size, 64)), 0, size)
            file.seek(max(0, size - 64), 1)
        else:
            file.seek(size, 1)
        file.seek(size % 2, 1)
    raise WavError("this WAV file has no samples: no data chunk")


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(name, start, length claimed) of each chunk; they begin at even places."""
    offset = 12
    while offset + _CHUNK.size <= len(data):
        name, size = _CHUNK.unpack_from(data, offset)
        yield name, offset + _CHUNK.size, size
        offset += _CHUNK.size + size + size % 2


def _parse_format(data: bytes, start: int, size: int) -> _Format:
    """The format chunk."""
    if size < _FORMAT.size or start + _FORMAT.size > len(data):
        raise WavError("this WAV file's format is cut short")
    tag, channels, rate_hz, _, _, bits = _FORMAT.unpack_from(data, start)
    # The extensible format keeps the real tag in the first bytes of a GUID at 24.
    if tag == _EXTENSIBLE and size >= 26 and start + 26 <= len(data):
        tag = int.from_bytes(data[start + 24 : start + 26], "little")
    if not channels or not rate_hz:
        raise WavError(f"this WAV file claims {channels} channels at {rate_hz} Hz")
    return _Format(tag, channels, rate_hz, bits)


def _sample_bytes(described: _Format) -> int:
    """Bytes of one sample; raises `WavError` for a format that is not read here."""
    tag, bits = described.tag, described.bits
    if (tag, bits) == (_PCM, 16):
        return 2
    if tag in _LAWS and bits == 8:
        return 1
    name = "PCM" if tag == _PCM else _NAMES.get(tag, f"format {tag:#06x}")
    raise WavError(f"this WAV file is {bits}-bit {name}; we read 16-bit PCM, µ-law and A-law")


def _decode(data: bytes, start: int, size: int, described: _Format) -> Wav:
    """The samples that begin at ``start``."""
    tag, channels, rate_hz, _ = described
    sample_bytes = _sample_bytes(described)
    finished = int.from_bytes(data[4:8], "little") + 8 == len(data)
    unknown = size == _U32 or (size == 0 and not finished)
    end = len(data) if unknown else min(start + size, len(data))
    end -= (end - start) % (sample_bytes * channels)
    raw = data[start:end]
    samples = l16.decode(raw, "little") if tag == _PCM else decode(raw, _LAWS[tag])
    return Wav(rate_hz, samples.reshape(-1, channels))
