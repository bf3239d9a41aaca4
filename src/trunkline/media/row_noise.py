"""Comfort noise (RFC 3389) for rows of a jitter bank whose far end pauses.

Only rows that were told of noise cost anything: 25 us for each frame that they wait.
"""

import numpy as np
from numpy.typing import NDArray

from .comfort_noise import ComfortNoise, NoiseDescription
from .errors import MalformedAudioError

__all__ = ["RowNoise"]

_SEED = 3389
"""Noise need not be a secret, and is the same in every run."""


class RowNoise:
    """The noise of each row that was described any."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._rng = np.random.default_rng(_SEED)
        self._rows: dict[int, ComfortNoise] = {}
        self.malformed = 0
        """Packets without a level."""

    def __bool__(self) -> bool:
        return bool(self._rows)

    def describe(self, row: int, payload: bytes) -> None:
        """A packet of comfort noise came."""
        try:
            description = NoiseDescription.parse(payload)
        except MalformedAudioError:
            self.malformed += 1
            return
        noise = self._rows.get(row)
        if noise is None:
            noise = self._rows[row] = ComfortNoise(self._rate_hz, self._rng)
        noise.describe(description)

    def forget(self, row: int) -> None:
        """The row has another far end, or none."""
        self._rows.pop(row, None)

    def fill(self, frame: NDArray[np.int16], row: int) -> None:
        """Put noise in place of the zeros at the end of a frame."""
        noise = self._rows.get(row)
        if noise is not None:
            heard = np.flatnonzero(frame)
            lead = int(heard[-1]) + 1 if heard.size else 0
            frame[lead:] = noise.next()[lead:]
