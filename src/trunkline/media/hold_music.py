"""Music for whoever is kept waiting, made here: nobody's recording, nobody's rights.

Four chords of two bars each, plucked one tone after the other over a soft bass: what is
left of music in a telephone's band without being a nuisance. It is 16 s long and ends
where it begins.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["HOLD_MUSIC_SECONDS", "hold_music"]

HOLD_MUSIC_SECONDS = 16
NOTE_SECONDS = 0.25
LEVEL = 3200.0
"""The peak: -20 dBFS, about as loud as speech is on average."""
A4_HZ = 440.0
# Semitones from A4: F major 7, A minor, D minor 7, C; their basses an octave or two lower.
_CHORDS = ((-4, 0, 3, 7), (0, 3, 7, 12), (-7, -4, 0, 3), (-9, -5, -2, 3))
_BASSES = (-16, -12, -19, -21)
_PATTERN = (0, 1, 2, 3, 2, 1, 3, 2)
_PARTIALS = ((1, 1.0), (2, 0.35), (3, 0.12))


@lru_cache(maxsize=2)
def hold_music(rate_hz: int = 8000) -> NDArray[np.int16]:
    """The whole of it; int16, read only, to be played over and over."""
    total = HOLD_MUSIC_SECONDS * rate_hz
    music = np.zeros(total)
    notes = round(HOLD_MUSIC_SECONDS / NOTE_SECONDS)
    for number in range(notes):
        chord = number * len(_CHORDS) // notes
        tone = _CHORDS[chord][_PATTERN[number % len(_PATTERN)]]
        _pluck(music, rate_hz, number * NOTE_SECONDS, tone, 0.5, 1.0)
        if number % 8 == 0:
            _pluck(music, rate_hz, number * NOTE_SECONDS, _BASSES[chord] + 12, 1.0, 0.6)
    music *= LEVEL / np.abs(music).max()
    rounded = np.rint(music).astype(np.int16)
    rounded.flags.writeable = False
    return rounded


def _pluck(
    music: NDArray[np.float64],
    rate_hz: int,
    at_seconds: float,
    semitones: int,
    decay_seconds: float,
    gain: float,
) -> None:
    """Add one tone that dies away; what goes beyond the end is heard at the beginning."""
    hz = A4_HZ * 2 ** (semitones / 12)
    time = np.arange(int(6 * decay_seconds * rate_hz)) / rate_hz
    wave = sum(level * np.sin(2 * np.pi * n * hz * time) for n, level in _PARTIALS)
    wave = wave * np.exp(-time / decay_seconds) * np.minimum(1, time / 0.01) * gain
    places = (int(at_seconds * rate_hz) + np.arange(len(time))) % len(music)
    music[places] += wave
