"""Keys as tones in the audio (ITU-T Q.23): made here, heard in `dtmf_detector`.

For far ends that know no telephone events (RFC 4733): old gateways, media streams.
"""

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .dtmf import DIGITS

__all__ = ["HIGH_HZ", "LOW_HZ", "TONE_KEYS", "dtmf_audio"]

LOW_HZ = (697, 770, 852, 941)
HIGH_HZ = (1209, 1336, 1477, 1633)
TONE_KEYS = ("123A", "456B", "789C", "*0#D")
"""The keys by row (low tone) and column (high tone)."""
LEVEL = 4000.0
"""The peak of each tone: -18 dBFS, so the two are at -15 dBm0 and a hair."""
_EDGE_MS = 2
"""Tones rise and fall so fast: a click has all frequencies."""


def dtmf_audio(
    digits: str, rate_hz: int = 8000, *, tone_ms: int = 100, gap_ms: int = 60
) -> NDArray[np.int16]:
    """Keys as tones, each followed by a pause; int16.

    Tones and pauses are at least 40 ms long, which is what a receiver may ask for
    (ITU-T Q.24). Raises `UsageError` for what is no key.
    """
    tone_ms, gap_ms = max(40, tone_ms), max(40, gap_ms)
    parts = [np.zeros(0, np.int16)]
    for digit in digits.upper():
        if digit not in DIGITS:
            raise UsageError(f"{digit!r} is not a key; the keys are {DIGITS}")
        parts.append(_tone(digit, rate_hz, tone_ms))
        parts.append(np.zeros(gap_ms * rate_hz // 1000, np.int16))
    return np.concatenate(parts)


def _tone(digit: str, rate_hz: int, tone_ms: int) -> NDArray[np.int16]:
    row = next(index for index, keys in enumerate(TONE_KEYS) if digit in keys)
    low, high = LOW_HZ[row], HIGH_HZ[TONE_KEYS[row].index(digit)]
    time = np.arange(tone_ms * rate_hz // 1000) / rate_hz
    # The high tone is 2 dB louder, as telephones make it: lines weaken it more.
    wave = np.sin(2 * np.pi * low * time) + 1.26 * np.sin(2 * np.pi * high * time)
    edge = np.minimum(1, np.minimum(time, time[::-1]) * 1000 / _EDGE_MS)
    return np.rint(LEVEL / 1.26 * wave * edge).astype(np.int16)
