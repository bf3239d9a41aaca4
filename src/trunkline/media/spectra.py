"""Spectra of real audio in single precision, along the last axis.

numpy's own functions compute the default transform of float32 in double precision, because
their scale is a Python number, and convert twice; and they look at their arguments for 3 µs
before they begin. Measured: 64 windows of 320 samples take 43 µs there and 20 here, one
takes 5.9 and 2.3. Here is what they call, where numpy has it; elsewhere they are called.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["dots", "irfft", "mean_power", "rfft"]

# numpy 1 has none of these, and another numpy may call them otherwise.
_DIRECT: Any = getattr(np.fft, "_pocketfft_umath", None)
_EVEN: Any = getattr(_DIRECT, "rfft_n_even", None)
_BACK: Any = getattr(_DIRECT, "irfft", None)


def _summed(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.einsum("...f,...f->...", one, other))


# Sums of products along the last axis: numpy 2 has them at half of einsum's price.
dots: Any = getattr(np, "vecdot", _summed)


def mean_power(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean square of every row of (..., n): (...,)."""
    power: NDArray[np.float32] = dots(audio, audio)
    power *= np.float32(1 / audio.shape[-1])
    return power


def rfft(audio: NDArray[np.float32], *, orthonormal: bool = False) -> NDArray[np.complex64]:
    """The spectrum of every row of (..., n) float32: (..., n // 2 + 1), as ``np.fft.rfft``.

    ``orthonormal`` has powers that do not depend on n: both ways scale by 1 / sqrt(n).
    """
    size = audio.shape[-1]
    if _EVEN is None or size % 2 or audio.dtype != np.float32:
        found = np.fft.rfft(audio, norm="ortho" if orthonormal else "backward")
        return found.astype(np.complex64, copy=False)
    out = np.empty((*audio.shape[:-1], size // 2 + 1), np.complex64)
    _EVEN(audio, np.float32(size**-0.5 if orthonormal else 1), out=out)
    return out


def irfft(
    spectrum: NDArray[np.complex64], size: int | None = None, *, orthonormal: bool = False
) -> NDArray[np.float32]:
    """The audio of (..., n // 2 + 1) complex64, (..., n) float32, as ``np.fft.irfft``.

    ``size`` is n: the even one by default.
    """
    if size is None:
        size = 2 * (spectrum.shape[-1] - 1)
    if _BACK is None or spectrum.dtype != np.complex64 or size // 2 + 1 != spectrum.shape[-1]:
        made = np.fft.irfft(spectrum, size, norm="ortho" if orthonormal else "backward")
        return made.astype(np.float32, copy=False)
    out = np.empty((*spectrum.shape[:-1], size), np.float32)
    _BACK(spectrum, np.float32(size**-0.5 if orthonormal else 1 / size), out=out)
    return out
