"""How much of each frequency is kept: log-MMSE, and plain spectral subtraction."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .float_table import FloatTable
from .noise_power import Spectra

__all__ = ["Gain", "LogMmse", "SpectralSubtraction", "exponential_integral"]

# The decision-directed estimate's memory, per 10 ms (Ephraim and Malah use 0.98 at 8 ms,
# Cappe 1994 explains it): more is less musical noise and duller beginnings.
_MEMORY = np.float32(0.97)
# What is new counts in full where at least half of the spectrum is speech, and a fifth as much in
# a pause, whose mean is 0.64: single bins that stick out there are the musical noise. Without
# it, twice the PESQ that 2 dB more of reduction bring would be lost to less of it.
_PAUSE, _STEEP, _LEAST_NEW = np.float32(0.7), np.float32(5), np.float32(0.2)
_LEAST_SNR = np.float32(10**-2.5)


class Gain(Protocol):
    """A rule from powers to gains. Its state is one array a bank keeps."""

    def gains(self, ratio: Spectra, speech: Spectra, quiet: Spectra) -> Spectra:
        """Gains between the floor and 1, (n, bins).

        ``ratio``: power over the noise's in this hop. ``speech``: what is kept for the
        next hop, zeros at first. ``quiet``: how improbable speech is in this frame, (n, 1).
        """
        ...


class LogMmse:
    """The least mean-square error of the logarithm of the spectrum.

    Ephraim and Malah, "Speech enhancement using a minimum mean-square error
    log-spectral amplitude estimator", IEEE Trans. ASSP 33(2), 1985. The a priori ratio is the
    geometric mean of their decision-directed one, which lags by a hop, and of the one refined
    by this hop's own power, which does not (Plapous, Marro and Scalart, "Improved
    signal-to-noise ratio estimation for speech enhancement", IEEE Trans. Audio, Speech
    and Language Processing 14(6), 2006). The first alone loses beginnings of words, the second
    alone leaves more musical noise: 0.12 of PESQ in white noise are between the first and both.
    """

    def __init__(self, floor: float) -> None:
        """``floor``: the least gain, 1 for none at all."""
        self._floor = np.float32(floor)
        self._boost = FloatTable(lambda v: np.exp(exponential_integral(v) / 2), -12, 4)

    def gains(self, ratio: Spectra, speech: Spectra, quiet: Spectra) -> Spectra:
        """``speech`` is the speech's power over the noise in the last hop, and then in this one."""
        directed = np.maximum(ratio, np.float32(1))
        directed -= np.float32(1)
        new = (_PAUSE - quiet) * _STEEP
        np.minimum(np.maximum(new, _LEAST_NEW, out=new), np.float32(1), out=new)
        new *= 1 - _MEMORY
        directed *= new
        speech *= _MEMORY
        directed += speech
        np.maximum(directed, _LEAST_SNR, out=directed)
        wiener = directed + np.float32(1)
        np.divide(directed, wiener, out=wiener)
        # Refined: wiener**2 * ratio. Its geometric mean with the first one:
        directed *= ratio
        prior = np.sqrt(directed, out=directed)
        prior *= wiener
        np.add(prior, np.float32(1), out=wiener)
        np.divide(prior, wiener, out=wiener)
        gain = self._boost(np.multiply(ratio, wiener, out=prior))
        gain *= wiener
        np.minimum(gain, np.float32(1), out=gain)
        np.maximum(gain, self._floor, out=gain)
        np.multiply(gain, gain, out=speech)
        speech *= ratio
        return gain


class SpectralSubtraction:
    """The noise's magnitude is taken away from the spectrum's (Boll 1979)."""

    def __init__(self, floor: float, excess: float = 2.0) -> None:
        """``excess`` times the noise is taken away, against musical noise."""
        self._floor = np.float32(floor)
        self._excess = np.float32(excess if floor < 1 else 0)

    def gains(self, ratio: Spectra, speech: Spectra, quiet: Spectra) -> Spectra:
        """``speech`` and ``quiet`` are not used."""
        # The least ratio keeps silence from being a division by nothing.
        share = np.maximum(ratio, np.float32(1e-12))
        np.sqrt(share, out=share)
        np.divide(self._excess, share, out=share)
        np.subtract(np.float32(1), share, out=share)
        return np.maximum(share, self._floor, out=share)


def exponential_integral(argument: NDArray[np.float64]) -> NDArray[np.float64]:
    """E1 of positive numbers (Abramowitz and Stegun 5.1.11 and 5.1.22)."""
    small = np.minimum(argument, 1.0)
    series = -np.euler_gamma - np.log(small)
    term = np.ones_like(small)
    for order in range(1, 25):
        term = term * -small / order
        series = series - term / order
    large = np.maximum(argument, 1.0)
    fraction = np.zeros_like(large)
    for order in range(60, 0, -1):
        fraction = order / (1 + order / (large + fraction))
    tail = np.exp(-large) / (large + fraction)
    return np.where(argument <= 1, series, tail)
