"""A function of a positive float32, by table over the float's own bits.

The exponent and the first bits of the mantissa are the index, so that steps are even
in relation to the value (1/64 octave is 1.1 %). There is no logarithm and no
exponential in it: numpy's differ in the last bit between processors, and between
numbers of rows; a table gives the same everywhere.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["FloatTable"]

_MANTISSA_BITS = 23

Floats = NDArray[np.float32]


class FloatTable:
    """``function`` from ``2**lowest`` to ``2**highest``; constant beyond."""

    def __init__(
        self,
        function: Callable[[NDArray[np.float64]], NDArray[np.float64]],
        lowest: int,
        highest: int,
        bits: int = 6,
    ) -> None:
        """``bits`` of the mantissa count: 2**bits steps an octave."""
        self._shift = _MANTISSA_BITS - bits
        first = (lowest + 127) << bits
        steps = np.arange((highest - lowest) << bits)
        octave, part = np.divmod(steps, 1 << bits)
        # The middle of each step: the error is at most half of one.
        middle = np.ldexp(1 + (part + 0.5) / (1 << bits), lowest + octave)
        values = np.asarray(function(middle), np.float32)
        # From the smallest float on, so that the index needs no offset; what is below the
        # lowest octave is memory that is hardly ever looked at.
        self._values = np.concatenate([np.full(first, values[0], np.float32), values])

    def __call__(self, argument: Floats) -> Floats:
        """The function of each element; all are positive and finite."""
        index = argument.view(np.int32) >> self._shift
        found: Floats = self._values.take(index, mode="clip")
        return found
