"""A finished WAV as FLAC or Opus in Ogg, by PyAV (FFmpeg), plain or sealed.

Done when the call is over, by a process of its own: encoding costs more than the rest of
a recording (0.25 ms of CPU a second of a call for FLAC, 1.5 ms for Opus, against 0.1 ms),
and a WAV is what a kill leaves whole to the last second.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import MissingDependencyError

from .errors import RecordingError
from .recording_file import SEALED_SUFFIX
from .recording_manifest import Manifest
from .recording_writer import PASSING
from .sealing_keys import SealingKey
from .wav import HEADER_BYTES

if TYPE_CHECKING:
    from .sealing import Sealer

__all__ = ["SUFFIXES", "convert", "decoded", "plain_pieces", "require"]

SUFFIXES: Final = {"wav": ".wav", "flac": ".flac", "opus": ".opus"}
CODECS: Final = {"flac": ("flac", "flac"), "opus": ("ogg", "libopus")}
OPUS_RATES: Final = (8000, 12_000, 16_000, 24_000, 48_000)
STANDARD_BIT_RATE: Final = 24_000
PIECE_BYTES: Final = 1 << 18


def decoded(path: Path) -> tuple[NDArray[np.int16], int]:
    """A FLAC or Opus file's samples, (samples, channels), and their rate.

    Raises:
        RecordingError: it is none.
        MissingDependencyError: PyAV is not installed.
    """
    require("flac")
    import av

    try:
        with av.open(str(path)) as container:
            stream = container.streams.audio[0]
            resampler = av.AudioResampler("s16", stream.layout, stream.rate)
            frames = [
                made for frame in container.decode(stream) for made in resampler.resample(frame)
            ]
    except (av.FFmpegError, IndexError) as error:
        raise RecordingError(f"{path} cannot be decoded: {error}") from error
    if not frames:
        raise RecordingError(f"{path} cannot be decoded: there is no audio in it")
    audio = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)
    return np.asarray(audio.reshape(-1, stream.channels), np.int16), int(stream.rate or 0)


class _Writable(Protocol):
    def write(self, data: bytes, /) -> int: ...


def require(format: str) -> None:
    """Raise `MissingDependencyError` where a format cannot be made here."""
    if format not in CODECS:
        return
    try:
        import av
    except ImportError as error:
        raise MissingDependencyError(
            f"recordings in {format} need PyAV: pip install 'trunkline[recording]'"
        ) from error
    if CODECS[format][1] not in av.codecs_available:
        raise MissingDependencyError(f"this PyAV cannot encode {format}")


def convert(
    path: Path,
    manifest: Manifest,
    keys: Sequence[SealingKey] = (),
    data_key: bytes | None = None,
) -> Path:
    """Make the file a manifest wants of its WAV; returns where it is. The WAV stays.

    A sealed recording is sealed again, for the same keys, and is plain in memory only.

    Raises:
        RecordingError: the WAV cannot be read, or opened with these keys.
        MissingDependencyError: the format cannot be made here.
        OSError: the disk does not take it.
    """
    require(manifest.wanted_format)
    sealed = manifest.file.endswith(SEALED_SUFFIX)
    stem = manifest.file.partition(".wav")[0]
    suffix = SUFFIXES[manifest.wanted_format] + (SEALED_SUFFIX if sealed else "")
    target = path.with_name(stem + suffix)
    temporary = path.with_name(f".{target.name}.tmp")
    try:
        _write(temporary, path, manifest, keys, data_key)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return target


def _write(
    target: Path,
    path: Path,
    manifest: Manifest,
    keys: Sequence[SealingKey],
    data_key: bytes | None,
) -> None:
    fd = os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w+b") as file:
        pieces = plain_pieces(path.with_name(manifest.file), keys, data_key)
        if manifest.file.endswith(SEALED_SUFFIX):
            # Here and not above: only those who encrypt need the package.
            from .sealing import Sealer

            output = _Sealing(file, Sealer(keys))
            _encode(output, pieces, manifest)
            output.finish()
        else:
            _encode(file, pieces, manifest)
        file.flush()
        os.fsync(file.fileno())


def plain_pieces(
    path: Path, keys: Sequence[SealingKey] = (), data_key: bytes | None = None
) -> Iterator[bytes]:
    """What a recording's file holds, opened if it is sealed.

    Raises:
        RecordingError: it cannot be opened with these keys, or was changed.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        if path.name.endswith(SEALED_SUFFIX):
            from .sealing import open_sealed

            yield from open_sealed(file, keys, data_key)
        else:
            while piece := file.read(PIECE_BYTES):
                yield piece


class _Sealing:
    """What is written is sealed in chunks."""

    def __init__(self, file: BinaryIO, sealer: "Sealer") -> None:
        self._file, self._sealer = file, sealer
        self._waiting = bytearray()
        file.write(sealer.header)

    def write(self, data: Any, /) -> int:
        self._waiting += data
        while len(self._waiting) >= PIECE_BYTES:
            self._file.write(self._sealer.seal(bytes(self._waiting[:PIECE_BYTES])))
            del self._waiting[:PIECE_BYTES]
        return len(data)

    def finish(self) -> None:
        """Write the last chunk."""
        self._file.write(self._sealer.seal(bytes(self._waiting), last=True))


def _encode(output: _Writable, pieces: Iterator[bytes], manifest: Manifest) -> None:
    import av

    container_format, codec = CODECS[manifest.wanted_format]
    layout = "stereo" if manifest.channels == 2 else "mono"
    rate_hz = manifest.rate_hz
    if manifest.wanted_format == "opus" and rate_hz not in OPUS_RATES:
        raise RecordingError(f"Opus has no rate of {rate_hz} Hz")
    try:
        with av.open(output, "w", format=container_format) as container:
            stream: Any = container.add_stream(codec, rate=rate_hz)
            stream.codec_context.layout = layout
            stream.codec_context.format = "s16"
            if codec == "libopus":
                stream.bit_rate = manifest.bit_rate or STANDARD_BIT_RATE
                stream.options = {"application": "voip", "compression_level": "3"}
            container.metadata["title"] = manifest.call_id
            at = 0
            for samples in _whole_samples(pieces, 2 * manifest.channels):
                frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=layout)
                frame.sample_rate, frame.pts = rate_hz, at
                at += frame.samples
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except av.FFmpegError as error:
        if isinstance(error, OSError) and error.errno in PASSING:
            raise
        raise RecordingError(f"cannot encode {manifest.file}: {error}") from error


def _whole_samples(pieces: Iterator[bytes], block: int) -> "Iterator[Any]":
    """A WAV's samples without its header, in pieces of whole samples of every channel."""
    waiting = b""
    to_skip = HEADER_BYTES
    for piece in pieces:
        waiting += piece
        skipped = min(to_skip, len(waiting))
        waiting, to_skip = waiting[skipped:], to_skip - skipped
        whole = len(waiting) // block * block
        if whole:
            yield np.frombuffer(waiting[:whole], "<i2").astype(np.int16).reshape(1, -1)
            waiting = waiting[whole:]
