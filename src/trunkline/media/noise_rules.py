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
_LEAST_SNR = np.float32(10**-2.5)
_GREATEST_SNR = np.float32(1e4)


class Gain(Protocol):
    """A rule from powers to gains. Its state is one array a bank keeps."""

    def gains(self, power: Spectra, noise: Spectra, speech: Spectra) -> Spectra:
        """Gains between the floor and 1, (n, bins); ``speech`` is kept for the next hop."""
        ...


class LogMmse:
    """The least mean-square error of the logarithm of the spectrum.

    Ephraim and Malah, "Speech enhancement using a minimum mean-square error
    log-spectral amplitude estimator", IEEE Trans. ASSP 33(2), 1985.
    """

    def __init__(self, floor: float) -> None:
        """``floor``: the least gain, 1 for none at all."""
        self._floor = np.float32(floor)
        self._boost = FloatTable(lambda v: np.exp(exponential_integral(v) / 2), -12, 4)

    def gains(self, power: Spectra, noise: Spectra, speech: Spectra) -> Spectra:
        """``speech`` is the speech's power in the last hop, and then in this one."""
        posterior = power / noise
        np.minimum(posterior, _GREATEST_SNR, out=posterior)
        # A priori SNR, decision-directed: the last hop's speech, and a little of this one's.
        prior = speech / noise
        prior *= _MEMORY
        excess = posterior - 1
        np.maximum(excess, 0, out=excess)
        excess *= 1 - _MEMORY
        prior += excess
        np.maximum(prior, _LEAST_SNR, out=prior)
        wiener = prior + 1
        np.divide(prior, wiener, out=wiener)
        posterior *= wiener
        gain = self._boost(posterior)
        gain *= wiener
        np.minimum(gain, 1, out=gain)
        np.maximum(gain, self._floor, out=gain)
        np.multiply(gain, gain, out=speech)
        speech *= power
        return gain


class SpectralSubtraction:
    """The noise's magnitude is taken away from the spectrum's (Boll 1979)."""

    def __init__(self, floor: float, excess: float = 2.0) -> None:
        """``excess`` times the noise is taken away, against musical noise."""
        self._floor = np.float32(floor)
        self._excess = np.float32(excess if floor < 1 else 0)

    def gains(self, power: Spectra, noise: Spectra, speech: Spectra) -> Spectra:
        """``speech`` is not used."""
        # The least power keeps silence from being a division by nothing.
        share = noise / np.maximum(power, np.float32(1e-20))
        np.sqrt(share, out=share)
        share *= self._excess
        np.subtract(1, share, out=share)
        return np.maximum(share, self._floor)


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
