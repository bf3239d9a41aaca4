"""Frames: 20 ms of mono signed 16-bit PCM, and what is done to them at the edges.

Inside Trunkline a frame is always 20 ms. Other packet times and model windows
are re-blocked at the edge of the stage that needs them.
"""

from dataclasses import dataclass
from functools import lru_cache
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

__all__ = [
    "FRAMES_PER_SECOND",
    "FRAME_MS",
    "LOUDEST",
    "QUIETEST_DBOV",
    "Audio",
    "FitCounts",
    "as_float",
    "as_given",
    "fit",
    "frame_samples",
    "level_dbov",
    "levels_dbov",
    "silence",
    "to_float",
    "to_int16",
]

FRAME_MS = 20
FRAMES_PER_SECOND = 1000 // FRAME_MS

# RFC 6465 and RFC 6464 write levels as 0 to -127 dBov; digital silence is the last of them.
QUIETEST_DBOV = -127.0

Audio = NDArray[np.int16] | NDArray[np.float32] | NDArray[np.float64]
"""What the classes for one call take and give: one row of samples. Floats have full scale 1.0."""

LOUDEST = 512.0
"""54 dB above full scale. No audio is louder; its square and a sum of thousands of them
are far from what float32 holds."""

_FULL_SCALE = 32768.0
_LOUDEST = (_FULL_SCALE - 1) / _FULL_SCALE  # what is louder may round to one too many
_LOWEST_HZ, _HIGHEST_HZ = 8000, 48000
_TYPES = (np.dtype(np.int16), np.dtype(np.float32), np.dtype(np.float64))


def frame_samples(rate_hz: int) -> int:
    """Samples in one frame at this rate: 160 at 8 kHz, 441 at 22.05 kHz.

    Raises `UsageError` for a rate outside 8 to 48 kHz, for one whose frame is not a
    whole number of samples (11,025 Hz gives 220.5), and for what is no integer.
    """
    try:
        rate_hz = index(rate_hz)
    except TypeError:
        raise UsageError(f"a sample rate is a whole number of Hz, not {rate_hz!r}") from None
    if not _LOWEST_HZ <= rate_hz <= _HIGHEST_HZ:
        raise UsageError(
            f"a sample rate is {_LOWEST_HZ} to {_HIGHEST_HZ} Hz, not {rate_hz!r}: resample first"
        )
    samples, rest = divmod(rate_hz, FRAMES_PER_SECOND)
    if rest:
        raise UsageError(f"{FRAME_MS} ms at {rate_hz} Hz are not whole samples: resample first")
    return int(samples)


@lru_cache(maxsize=32)
def silence(rate_hz: int) -> NDArray[np.int16]:
    """One frame of digital silence, shared and therefore read-only."""
    frame = np.zeros(frame_samples(rate_hz), np.int16)
    frame.setflags(write=False)
    return frame


def to_float(pcm: NDArray[np.int16]) -> NDArray[np.float32]:
    """PCM of any shape as float32 in [-1, 1)."""
    return np.multiply(pcm, np.float32(1 / _FULL_SCALE), dtype=np.float32)


def to_int16(audio: NDArray[np.floating[Any]]) -> NDArray[np.int16]:
    """Audio in [-1, 1) of any shape as PCM: rounded, and clipped where too loud.

    What is not a number becomes silence, so that a model's fault is not a bang.
    """
    # Nearly always all of it is in range, which two searches see: `argmax` finds what is
    # not a number as well. Cleaning and clipping take three times as long as the rest.
    highest = audio.item(audio.argmax()) if audio.size else 0.0
    if not (highest <= 1 and (not audio.size or audio.item(audio.argmin()) >= -1)):
        audio, highest = np.clip(np.nan_to_num(audio), -1, 1), 1.0
    scaled = audio * _FULL_SCALE
    np.rint(scaled, out=scaled)
    if highest > _LOUDEST:
        np.minimum(scaled, _FULL_SCALE - 1, out=scaled)
    return scaled.astype(np.int16)


@dataclass(slots=True)
class FitCounts:
    """What `fit` had to mend; in chunks of audio."""

    padded: int = 0
    """Were shorter than 20 ms; silence was added."""
    truncated: int = 0
    """Were longer; the rest was left out."""
    faults: int = 0
    """Held values that are no audio; silence took their place."""


def as_float(audio: Audio) -> tuple[NDArray[np.float32], bool]:
    """One row of samples, any length, as float32, and whether some of it was no audio.

    No audio is what is not finite, or beyond `LOUDEST`; silence takes its place. The
    result may share memory with what was given.

    Raises:
        UsageError: it is not a one-dimensional array of int16, float32 or float64 (in the
            machine's byte order).
    """
    if not isinstance(audio, np.ndarray) or audio.ndim != 1 or audio.dtype not in _TYPES:
        raise UsageError(
            f"audio is one row of int16, or of float32 or float64 of full scale 1.0; "
            f"{_described(audio)}"
        )
    if audio.dtype == np.int16:
        return to_float(audio.astype(np.int16, copy=False)), False
    sound = np.abs(audio) <= LOUDEST
    if sound.all():
        return audio.astype(np.float32, copy=False), False
    return np.where(sound, audio, 0).astype(np.float32), True


def fit(audio: Audio, samples: int, counts: FitCounts) -> NDArray[np.float32]:
    """Audio as one frame of ``samples``: padded with silence or cut, and counted.

    This is how every class for one call takes audio: see `as_float` for what it may be.
    The frame is its own memory. Raises `UsageError` for what is no row of audio.
    """
    sound, faulty = as_float(audio)
    counts.padded += sound.size < samples
    counts.truncated += sound.size > samples
    counts.faults += faulty
    frame = np.zeros(samples, np.float32)
    frame[: sound.size] = sound[:samples]
    return frame


def as_given(audio: NDArray[np.float32], dtype: np.dtype[Any]) -> Audio:
    """Audio of full scale 1.0 in the type that a caller's audio has; never its memory."""
    if dtype == np.int16:
        return to_int16(audio)
    given: Audio = audio.astype(dtype)
    return given


def _described(audio: Any) -> str:
    """What something is that is no audio, and what to do about it."""
    if isinstance(audio, bytes | bytearray | memoryview):
        return "for bytes of 16-bit PCM: np.frombuffer(data, np.int16)"
    if not isinstance(audio, np.ndarray):
        return f"not {type(audio).__name__}"
    what = f"not {audio.dtype} of shape {audio.shape}"
    return f"{what}; take one channel: audio[:, 0]" if audio.ndim > 1 else what


def levels_dbov(block: NDArray[np.int16]) -> NDArray[np.float32]:
    """Level of each row of a (n, samples) block: RMS in dBov, -127 to 0.

    0 dBov is the RMS of a full-scale square wave (ITU-T G.100.1), so the loudest
    sine is -3.01. An empty row is silence.
    """
    samples = block.shape[-1]
    if not samples:
        return np.full(block.shape[:-1], QUIETEST_DBOV, np.float32)
    audio = block.astype(np.float32)
    power = np.einsum("...i,...i->...", audio, audio) / np.float32(samples * _FULL_SCALE**2)
    lowest = np.float32(10 ** (QUIETEST_DBOV / 10))
    return np.asarray(10 * np.log10(np.clip(power, lowest, 1)), np.float32)


def level_dbov(pcm: NDArray[np.int16]) -> float:
    """Level of one stretch of PCM: RMS in dBov, -127 to 0."""
    return float(levels_dbov(pcm[np.newaxis])[0])
