"""How loud one direction of a call was, from a histogram of its frames' levels."""

from dataclasses import dataclass
from math import log10

import numpy as np
from numpy.typing import NDArray

__all__ = ["BUCKETS", "SILENT_DBOV", "Levels", "levels_of"]

BUCKETS = 96
"""Buckets of 1 dB from 0 dBov down; the last one holds all that is quieter."""
SILENT_DBOV = -55
"""A frame below is silence: telephone lines without speech lie at -60 and less."""
_MARGIN_DB = 15.9
"""ITU-T P.56: what is active is at most this much below the level of what is active."""
_POWERS = 10 ** (-(np.arange(BUCKETS) + 0.5) / 10)
_POWERS[-1] = 0.0

Histogram = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Levels:
    """Of the frames that were looked at. None: there were none such."""

    frames: int
    """How many there were."""
    level_dbov: float | None
    """Of all of them."""
    speech_dbov: float | None
    """Of the active ones: near to ITU-T P.56's active speech level, by frames of 20 ms."""
    noise_dbov: float | None
    """The level that a tenth of the frames stay below."""
    silence: float
    """Share of frames below `SILENT_DBOV`, 0 to 1."""
    clipped: float
    """Share of frames with four samples at the limit or more, 0 to 1."""


def levels_of(histogram: Histogram, clipped: int) -> Levels:
    """Levels of frames counted by whole dB below 0 dBov, (BUCKETS,)."""
    frames = int(histogram.sum())
    if not frames:
        return Levels(0, None, None, None, 0.0, 0.0)
    energy = histogram * _POWERS
    quiet = int(np.searchsorted(np.cumsum(histogram[::-1]), frames / 10))
    noise = BUCKETS - 1 - quiet
    return Levels(
        frames,
        _dbov(float(energy.sum()) / frames),
        _active(histogram, energy),
        None if noise == BUCKETS - 1 else -(noise + 0.5),
        float(histogram[-SILENT_DBOV:].sum()) / frames,
        min(1.0, clipped / frames),
    )


def _active(histogram: Histogram, energy: NDArray[np.float64]) -> float | None:
    """P.56 method B, on frames: the threshold is `_MARGIN_DB` below what is above it."""
    counts, energies = np.cumsum(histogram), np.cumsum(energy)
    for bucket in range(-SILENT_DBOV):
        if not counts[bucket]:
            continue
        level = 10 * log10(energies[bucket] / counts[bucket])
        if level - _MARGIN_DB >= -(bucket + 1):
            return round(level, 1)
    loudest = counts[-SILENT_DBOV - 1]
    return _dbov(energies[-SILENT_DBOV - 1] / loudest) if loudest else None


def _dbov(power: float) -> float | None:
    return round(10 * log10(power), 1) if power > 0 else None
