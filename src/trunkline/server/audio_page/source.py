"""Reads a WAV file as the audio path takes it: one channel, at the path's rate."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError
from trunkline.media.resample import StreamResampler
from trunkline.media.wav import Wav, parse_wav

__all__ = ["LONGEST_SECONDS", "load_source"]

LONGEST_SECONDS = 600.0
"""A page of more would be 40 MB."""
_LARGEST_BYTES = 256 * 1024 * 1024
"""No file that plays for so long is larger, at any rate and number of channels there is."""


def load_source(path: Path, rate_hz: int, channel: int | None = None) -> NDArray[np.int16]:
    """One channel of a file at another rate; channels are counted from 1.

    Raises:
        UsageError: it cannot be read, is no WAV, empty, too long, or has several channels
            of which none was chosen. The message names the file.
    """
    try:
        wav = _read(path)
        if not len(wav.samples):
            raise UsageError("this file has no audio in it")
        if wav.duration_seconds > LONGEST_SECONDS:
            raise UsageError(
                f"this file lasts {wav.duration_seconds:.0f} s; "
                f"{LONGEST_SECONDS:.0f} s at most are inspected: cut it"
            )
        chosen = _chosen(wav, channel)
        if wav.rate_hz == rate_hz:
            return chosen
        resampler = StreamResampler(wav.rate_hz, rate_hz)
        resampled = np.concatenate([resampler.push(chosen), resampler.flush()])
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    if not len(resampled):
        raise UsageError(f"{path}: nothing is left of this file at {rate_hz} Hz")
    return resampled


def _read(path: Path) -> Wav:
    try:
        if not path.is_file():
            raise UsageError("there is no such file" if not path.exists() else "this is no file")
        if path.stat().st_size > _LARGEST_BYTES:
            raise UsageError(f"this file has more than {_LARGEST_BYTES >> 20} MB: cut it")
        return parse_wav(path.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}") from error


def _chosen(wav: Wav, channel: int | None) -> NDArray[np.int16]:
    if channel is None:
        if wav.channels > 1:
            raise UsageError(
                f"this file has {wav.channels} channels: choose one, --channel 1 or --channel 2"
                " (--far-channel for the far file)"
            )
        channel = 1
    if not 1 <= channel <= wav.channels:
        raise UsageError(f"this file has no channel {channel}, only 1 to {wav.channels}")
    return np.ascontiguousarray(wav.samples[:, channel - 1])
