"""Where speech begins and ends, and how long a pause must be to end a turn.

A voice-activity model answers late. Silero at 8 kHz keeps its probability above
0.35 for 105 ms (median; 27 to 190 for 98 of 100) after the last sample of speech,
and longer in noise, because it has learnt that words have gaps. Counting silence
from there would add that to every reply. So the model says *that* speech ended
and the level of the audio says *when*: `last_speech` looks for the last sound
above the background before the model's verdict. Measured on 75 sentences of five
flite voices with room tone at -60 dBov, as sent through G.711: 0 to +5 ms instead
of +27 to +191; where the background is too loud to tell, the model's verdict less
its median lateness stands. `first_speech` does the same for the beginning.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import BadSettingsError

__all__ = [
    "LATENESS_MS",
    "LOOK_BACK_MS",
    "BlindPast",
    "Endpointer",
    "Past",
    "Pause",
    "SilenceEndpointer",
    "first_speech",
    "last_speech",
]

Frame: TypeAlias = NDArray[np.int16]
Levels: TypeAlias = NDArray[np.float32]

LATENESS_MS = 105
"""How late the model's last window of speech ends, in the median; see the module's text."""
LOOK_BACK_MS = 400
"""How far before the model's verdict the end of speech is looked for. In noise the
verdict came up to 300 ms late."""
ONSET_BACK_MS = 200
"""How far before the model's first window of speech its beginning is looked for:
soft first consonants were missed by up to 205 ms."""

_BLOCK_MS = 5
_TAIL_MS = 80
"""Background is measured in the quietest fifth of the last part: when the model says
that speech is over it has been for most of this, and for 32 ms at the very least."""
_GAP_MS = 40
"""A gap of this length before a sound means that what was before does not belong to it."""
_QUIETEST_DB = -62.0
"""Below this, relative to full scale, nothing is speech on a telephone line."""
_RANGE_DB = 40.0
"""Speech is within this of its own loudest part; below it is room and echo."""
_CLEAR_DB = 8.0
"""With less than this between speech and background, levels say nothing."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A caller who has fallen silent, as an endpointer sees it."""

    silence_ms: int
    """How long ago speech ended."""
    speech_ms: int
    """How long the turn is so far, without that silence."""
    rate_hz: int
    audio: Callable[[int, int], Frame]
    """``audio(start, end)`` gives int16 samples; at most the last few seconds are kept."""
    start: int
    """The turn's first sample."""
    end: int
    """The sample after the last one received."""


class Endpointer(Protocol):
    """Decides how long a pause must be to end a turn.

    It is asked when the silence reaches ``minimum_ms`` and again every 200 ms as
    long as the pause lasts, so a verdict of "not finished" is never a blind wait.
    It runs in the media tick: a slow model works elsewhere and answers with what
    it knows by now.
    """

    minimum_ms: int
    """Silence from which it is worth asking."""

    def wait_ms(self, pause: Pause) -> float:
        """The silence that would end this turn, counted from the end of speech."""
        ...


class SilenceEndpointer:
    """A turn is over after so much silence, whatever was said."""

    __slots__ = ("minimum_ms",)

    def __init__(self, silence_ms: int) -> None:
        if silence_ms < 20:
            raise BadSettingsError("silence that ends a turn is at least one frame of 20 ms")
        self.minimum_ms = silence_ms

    def wait_ms(self, pause: Pause) -> float:
        """Always the same."""
        return self.minimum_ms


class Past(Protocol):
    """The last seconds of the caller's audio, by position in samples."""

    def onset(self, first: int, received: int) -> int:
        """Where a sound began whose first window of speech begins at ``first``."""
        ...

    def offset(self, voice_end: int, received: int) -> int:
        """Where speech ended whose last window ends at ``voice_end``."""
        ...

    def audio(self, start: int, end: int) -> Frame:
        """What is still there of ``start`` to ``end``."""
        ...


class BlindPast:
    """No audio at all: what the model says, less its median lateness."""

    __slots__ = ("_late",)

    def __init__(self, rate_hz: int, *, late_ms: int = 0) -> None:
        self._late = late_ms * rate_hz // 1000

    def onset(self, first: int, received: int) -> int:
        """The model's own."""
        return max(0, first)

    def offset(self, voice_end: int, received: int) -> int:
        """The model's own, less its lateness."""
        return voice_end - self._late

    def audio(self, start: int, end: int) -> Frame:
        """Nothing."""
        return np.empty(0, np.int16)


def last_speech(pcm: Frame, voice_end: int, rate_hz: int) -> int:
    """The index after the last sample of speech in ``pcm``.

    ``pcm`` reaches to the sample received last; ``voice_end`` is the index at which
    the model's last window of speech ends. The result is never after it.
    """
    block = rate_hz * _BLOCK_MS // 1000
    fallback = max(0, voice_end - rate_hz * LATENESS_MS // 1000)
    levels = _smooth(_power(pcm, block))
    tail = _TAIL_MS // _BLOCK_MS
    if levels.size < 2 * tail:
        return fallback
    decibels = _decibels(levels)
    floor = float(np.percentile(decibels[-tail:], 20))
    threshold = _threshold(decibels, floor)
    if threshold is None:
        return fallback
    active = decibels[: voice_end // block] > threshold
    # Smoothing makes three blocks of one: four in a row are more than a click of 5 ms.
    found = np.flatnonzero(active[3:] & active[2:-1] & active[1:-2] & active[:-3])
    if not found.size:
        return fallback
    # The last block is there by smoothing only; half of it is taken back.
    return min(voice_end, (int(found[-1]) + 4) * block - block // 2)


def first_speech(pcm: Frame, first: int, rate_hz: int) -> int:
    """The index of the first sample of the sound that is going on in ``pcm``.

    ``first`` is the index at which the model's first window of speech begins.
    """
    block = rate_hz * _BLOCK_MS // 1000
    decibels = _decibels(_power(pcm, block))
    if decibels.size < 8:
        return first
    floor = float(np.median(decibels[: max(4, decibels.size // 3)]))
    threshold = _threshold(decibels, floor)
    if threshold is None:
        return first
    active = np.flatnonzero(decibels > threshold)
    if not active.size:
        return first
    breaks = np.flatnonzero(np.diff(active) > _GAP_MS // _BLOCK_MS)
    start = active[breaks[-1] + 1] if breaks.size else active[0]
    return int(start) * block


def _threshold(decibels: Levels, floor: float) -> float | None:
    """The level between background and speech; None where they cannot be told apart."""
    peak = float(np.percentile(decibels, 95))
    contrast = peak - floor
    if contrast < _CLEAR_DB:
        return None
    margin = min(9.0, max(4.0, 0.4 * contrast))
    return max(floor + margin, peak - _RANGE_DB, _QUIETEST_DB)


def _power(pcm: Frame, block: int) -> Levels:
    """Mean square per block, relative to full scale; an incomplete first block is cut."""
    whole = pcm.size // block * block
    scaled = pcm[:whole].astype(np.float32).reshape(-1, block)
    scaled *= 1 / 32768
    power: Levels = np.einsum("ij,ij->i", scaled, scaled) / block
    return power


def _smooth(power: Levels) -> Levels:
    """A mean over three blocks."""
    if power.size < 3:
        return power
    padded = np.concatenate((power[:1], power, power[-1:]))
    smoothed: Levels = (padded[:-2] + padded[1:-1] + padded[2:]) / np.float32(3)
    return smoothed


def _decibels(power: Levels) -> Levels:
    levels: Levels = 10 * np.log10(power + np.float32(1e-12))
    return levels
