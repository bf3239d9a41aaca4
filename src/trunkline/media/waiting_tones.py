"""What a caller hears while somebody else's telephone rings (ITU-T E.180)."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["ringback"]

RING_HZ = 425
ON_SECONDS, OFF_SECONDS = 1.0, 4.0
LEVEL = 3200.0
"""The peak: -20 dBFS."""
_EDGE_SECONDS = 0.005


def ringback(rate_hz: int = 8000) -> NDArray[np.int16]:
    """One ring and the pause after it, to be repeated; int16."""
    time = np.arange(round(ON_SECONDS * rate_hz)) / rate_hz
    edge = np.minimum(1, np.minimum(time, time[::-1]) / _EDGE_SECONDS)
    tone = LEVEL * edge * np.sin(2 * np.pi * RING_HZ * time)
    pause = np.zeros(round(OFF_SECONDS * rate_hz))
    return np.asarray(np.rint(np.concatenate([tone, pause])), np.int16)
