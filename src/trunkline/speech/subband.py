"""Voice activity from the signal-to-noise ratio of sub-bands, in numpy alone.

What runs where Silero is not installed. Energies of eight bands of the telephone band
are compared with a noise floor that follows minima at once and rises slowly
(the idea of ETSI EN 301 708's detector, simplified); the mean ratio of the four best
becomes a probability. It takes steady noise for silence, as it should, but music,
babble and the first second of a tone for speech.
"""

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError
from trunkline.media.reserve import NODE_ROWS, enlarged
from trunkline.media.rows import Rows

from .interfaces import Activity, Pcm

__all__ = ["BANDS", "BandEnergies", "SubbandBank"]

# Band edges in Hz: the telephone band, narrower where speech has its first formants.
_EDGES_HZ = (200, 400, 600, 850, 1200, 1650, 2200, 2800, 3500)
BANDS = len(_EDGES_HZ) - 1
_BEST = 4  # a vowel fills half of the bands, a fricative the other half
# Below this a band counts as empty: room tone of -70 dBov spread over the bands.
_LEAST = np.float32(1e-8)
# A row that has heard nothing takes its first frame for the floor: calls begin without
# speech, and a floor too high falls at the first gap between words.
_UNHEARD = np.float32(0.0)
# The floor rises 6 dB a second and falls to a new minimum within 5 frames.
_RISE = np.float32(10 ** (0.6 / 50))
_FALL = np.float32(0.35)
_MIDDLE_DB = 9.5  # the mean ratio that means 0.5
_SLOPE_DB = 1.8
# Up within a frame or two, down over 100 ms: the gaps inside words are speech too.
_ATTACK, _RELEASE = np.float32(0.6), np.float32(0.15)


class BandEnergies:
    """Mean power in each of the eight bands; every row by itself, to the bit."""

    def __init__(self, rate_hz: int, length: int) -> None:
        """For pieces of ``length`` samples at ``rate_hz``, at least 20 ms."""
        self._fft = 1 << (length - 1).bit_length()
        window = np.hanning(length).astype(np.float32)
        self._window = window / np.float32(32768 * np.sqrt((window**2).sum()))
        edges = np.searchsorted(np.fft.rfftfreq(self._fft, 1 / rate_hz), _EDGES_HZ)
        self._first, self._last = int(edges[0]), int(edges[-1])
        self._begin = edges[:-1] - edges[0]
        self._share = (1 / np.diff(edges)).astype(np.float32)

    def measure(self, audio: Pcm) -> NDArray[np.float32]:
        """Power of each band, full scale 1, of (n, length) int16: (n, bands)."""
        spectrum = np.fft.rfft(audio * self._window, self._fft, axis=1)
        inside = spectrum[:, self._first : self._last]
        power = (inside.real**2 + inside.imag**2).astype(np.float32, copy=False)
        # Not a product of matrices: those add up in another order for another number of rows.
        energies: NDArray[np.float32] = np.add.reduceat(power, self._begin, axis=1) * self._share
        return energies


class SubbandBank:
    """Voice activity of many calls by sub-band ratios; a window is a frame."""

    name = "subband"

    def __init__(self, rate_hz: int = 8000, capacity: int = NODE_ROWS) -> None:
        """A bank for calls of one sample rate, 8000 Hz or more.

        Raises:
            UsageError: the rate is below the telephone's or has no whole frame.
        """
        if rate_hz < 8000 or rate_hz % 50:
            raise UsageError(f"the sub-band detector needs 8000 Hz or more, not {rate_hz}")
        self.rate_hz = rate_hz
        self.window_samples = rate_hz // 50
        self.note = ""
        self._overlap = self.window_samples // 2
        self._bands = BandEnergies(rate_hz, self.window_samples + self._overlap)
        self._rows = Rows(capacity)
        self._tail = np.zeros((capacity, self._overlap), np.int16)
        self._floor = np.zeros((capacity, BANDS), np.float32)
        self._ratio_db = np.zeros(capacity, np.float32)

    def open(self) -> int:
        """A fresh row, which knows nothing of its line's noise yet."""
        row = self._rows.open()
        if self._rows.capacity > len(self._tail):
            for name in ("_tail", "_floor", "_ratio_db"):
                setattr(self, name, enlarged(getattr(self, name), self._rows.capacity))
        self._tail[row] = 0
        self._floor[row] = _UNHEARD
        self._ratio_db[row] = 0.0
        return row

    def close(self, row: int) -> None:
        """Give the row back.

        Raises:
            UsageError: it is not open.
        """
        self._rows.close(row)

    def process(self, block: Pcm, rows: NDArray[np.intp]) -> Activity:
        """Hear one 20 ms frame of each of ``rows``; every frame is a window.

        Raises:
            UsageError: a shape is wrong or a row is not open.
        """
        if block.shape != (len(rows), self.window_samples):
            raise UsageError(f"a block of shape {block.shape} does not suit {len(rows)} rows")
        self._rows.check_all(rows)
        energy = self._energies(block, rows)
        floor = self._floor[rows]
        floor = np.where(floor == _UNHEARD, energy, floor)
        ratios_db = (10 * np.log10(energy / floor)).clip(0, 30)
        ratio_db = np.partition(ratios_db, BANDS - _BEST, axis=1)[:, -_BEST:].mean(axis=1)
        smooth = self._ratio_db[rows]
        smooth += np.where(ratio_db > smooth, _ATTACK, _RELEASE) * (ratio_db - smooth)
        self._ratio_db[rows] = smooth
        self._floor[rows] = np.where(
            energy < floor, floor + _FALL * (energy - floor), np.minimum(floor * _RISE, energy)
        )
        probability = 1 / (1 + np.exp((_MIDDLE_DB - smooth) / _SLOPE_DB))
        index = np.arange(len(rows), dtype=np.intp)
        return Activity(index, probability.astype(np.float32), np.zeros_like(index))

    def _energies(self, block: Pcm, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Mean power of each band, full scale 1: (n, bands)."""
        audio = np.concatenate([self._tail[rows], block], axis=1)
        self._tail[rows] = block[:, -self._overlap :]
        energies: NDArray[np.float32] = np.maximum(self._bands.measure(audio), _LEAST)
        return energies
