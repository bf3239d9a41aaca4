"""Speech at the level the figures are for: -26 dBov, over room tone of -60 dBov."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["ROOM_DBOV", "SPEECH_DBOV", "active", "levelled", "room_tone"]

Audio = NDArray[np.float64]
"""One stretch of audio, full scale 1.0."""

SPEECH_DBOV, ROOM_DBOV = -26.0, -60.0


def active(audio: Audio, rate_hz: int) -> Audio:
    """The 10 ms pieces within 38 dB of the loudest ones, (pieces, samples)."""
    block = rate_hz // 100
    pieces = audio[: len(audio) // block * block].reshape(-1, block)
    power = np.mean(pieces**2, axis=1)
    return pieces[power > np.percentile(power, 95) * 10**-3.8]


def levelled(audio: Audio, rate_hz: int) -> Audio:
    """The audio with what is active of it at -26 dBov."""
    return audio * 10 ** (SPEECH_DBOV / 20) / np.sqrt(np.mean(active(audio, rate_hz) ** 2))


def room_tone(samples: int, rng: np.random.Generator) -> Audio:
    """White noise of -60 dBov."""
    return rng.normal(0, 10 ** (ROOM_DBOV / 20), samples)
