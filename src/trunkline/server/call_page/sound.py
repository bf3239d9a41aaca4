"""The recording of a call as a page needs it: its length, its outline, its bytes."""

import base64
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trunkline.calls.errors import RecordingError
from trunkline.calls.record import CallRecord
from trunkline.calls.recording_convert import decoded
from trunkline.errors import MissingDependencyError
from trunkline.media.errors import WavError
from trunkline.media.wav import Wav, parse_wav

__all__ = ["EMBEDDED_SECONDS", "Sound", "outline", "recording_starts"]

EMBEDDED_SECONDS = 15 * 60.0
"""A longer recording is linked and not put into the page: this is 38 MB of base64."""
STEPS = 1200
"""Steps of a waveform: about a pixel each on a wide screen."""
_KINDS = {".flac": "audio/flac", ".opus": "audio/ogg"}
HALF = 50
"""A waveform is drawn between 0 and twice this, with silence in the middle."""


@dataclass(frozen=True, slots=True)
class Sound:
    """One recording."""

    duration_seconds: float
    outlines: tuple[str, ...]
    """SVG path data, a channel each: the caller's and ours."""
    source: str
    """What an audio element plays: a data URL, or the address of the file."""
    embedded: bool

    @classmethod
    def load(cls, path: Path, address: str) -> "Sound":
        """Read a recording; ``address`` is where the page would find the file.

        Raises:
            OSError: it cannot be read.
            WavError: it cannot be decoded, or has no audio.
        """
        data = path.read_bytes()
        kind, wav = _KINDS.get(path.suffix, "audio/wav"), _decoded(path, data)
        if not len(wav.samples):
            raise WavError("this recording is empty")
        embedded = wav.duration_seconds <= EMBEDDED_SECONDS
        encoded = base64.b64encode(data).decode() if embedded else ""
        return cls(
            wav.duration_seconds,
            tuple(_outlines(wav)),
            f"data:{kind};base64,{encoded}" if embedded else address,
            embedded,
        )


def _decoded(path: Path, data: bytes) -> Wav:
    if path.suffix not in _KINDS:
        return parse_wav(data)
    try:
        samples, rate_hz = decoded(path)
    except (RecordingError, MissingDependencyError) as error:
        raise WavError(str(error)) from error
    return Wav(rate_hz, samples)


def recording_starts(record: CallRecord, duration_seconds: float) -> float:
    """When the recording began, in seconds from the call's start.

    Where the record does not say (the node died): as if it had gone on to the end.
    """
    if record.recorded_at is not None:
        return max(0.0, record.recorded_at - record.started_at)
    if record.ended_at is not None:
        return max(0.0, record.ended_at - record.started_at - duration_seconds)
    return 0.0


def _outlines(wav: Wav) -> list[str]:
    # All channels to one scale, so that a quiet side looks quiet; a click may stand out.
    loudest = max(float(np.quantile(np.abs(wav.samples.astype(np.int32)), 0.9999)), 1000.0)
    return [outline(wav.samples[:, channel], loudest) for channel in range(wav.channels)]


def outline(pcm: NDArray[np.int16], loudest: float) -> str:
    """The waveform as a closed SVG path, `STEPS` wide at most and 2 × `HALF` high."""
    edges = np.linspace(0, len(pcm), min(STEPS, len(pcm)) + 1).astype(np.intp)
    highs = np.maximum.reduceat(pcm, edges[:-1]) / loudest
    lows = np.minimum.reduceat(pcm, edges[:-1]) / loudest
    # Silence stays a hair line.
    tops = HALF - np.clip(np.maximum(highs, 0.012), 0, 1) * HALF
    bottoms = HALF - np.clip(np.minimum(lows, -0.012), -1, 0) * HALF
    scale = STEPS / len(tops)
    points = [f"{index * scale:g} {y:.1f}" for index, y in enumerate(tops)]
    back = [f"{index * scale:g} {y:.1f}" for index, y in enumerate(bottoms)]
    return "M" + "L".join([*points, *reversed(back)]) + "Z"
