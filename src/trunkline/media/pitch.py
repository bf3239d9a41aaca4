"""Pitch periods: where audio repeats itself, by normalised cross-correlation, for many rows.

The search is that of ITU-T G.711 Appendix I (2.2): at a reduced rate first (4 kHz here,
whatever the rate), then refined at the full one about what was found. What a row's result
is depends on that row alone, to the bit: FFTs go row by row, and all else is elementwise.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["LONGEST_MS", "SHORTEST_MS", "correlations", "pitch_periods"]

SHORTEST_MS, LONGEST_MS = 2.5, 15.0
"""400 to 67 Hz. G.711 Appendix I has 5 to 15 ms: women's voices go by two periods there."""
_COARSE_HZ = 4000
_SHORTER_IS_BETTER = 0.0025
"""By so much correlation a millisecond: of multiples of a period the shortest is taken."""
_ABOUT = 0.2

_Audio = NDArray[np.float32]
_Integers = NDArray[np.int64]


def correlations(audio: _Audio, template: _Audio) -> _Audio:
    """Normalised cross-correlation of (k, t) with (k, n) at each place, (k, n - t + 1).

    At the scale of int16: what is much quieter than one step of it correlates with nothing.
    """
    n, t = audio.shape[1], template.shape[1]
    size = 1 << (n - 1).bit_length()
    one, other = np.fft.rfft(audio, size), np.fft.rfft(template, size)
    # Real products: how complex ones are rounded may depend on what stands beside them.
    product = np.empty_like(one)
    product.real = one.real * other.real + one.imag * other.imag
    product.imag = one.imag * other.real - one.real * other.imag
    dots = np.fft.irfft(product, size)[:, : n - t + 1]
    squares = np.zeros((len(audio), n + 1))
    np.cumsum(np.square(audio, dtype=np.float64), axis=1, out=squares[:, 1:])
    energy = squares[:, t:] - squares[:, : n - t + 1]
    own = np.square(template, dtype=np.float64).sum(axis=1, keepdims=True)
    found: _Audio = (dots / np.sqrt((energy + t) * (own + t))).astype(np.float32)
    return found


def _reduced(audio: _Audio, factor: int) -> _Audio:
    """Sums of ``factor`` samples each, up to the last sample."""
    audio = audio[:, audio.shape[1] % factor :]
    total = audio[:, ::factor].copy()
    for shift in range(1, factor):
        total += audio[:, shift::factor]
    return total


def pitch_periods(
    audio: _Audio, template: int, rate_hz: int, about: _Integers | None = None
) -> tuple[_Integers, _Audio]:
    """By how many samples the last ``template`` of each row repeat what was before, and how well.

    Periods and correlations, (k,) each, of (k, n) audio at the scale of int16. Periods are of
    2.5 to 15 ms, as far as ``audio`` reaches back. ``about``: within a fifth of these periods.
    """
    factor = max(rate_hz // _COARSE_HZ, 1)
    coarse = _reduced(audio, factor)
    part = template // factor
    least = int(SHORTEST_MS * rate_hz / 1000) // factor
    most = min(int(LONGEST_MS * rate_hz / 1000) // factor, coarse.shape[1] - part)
    start = coarse.shape[1] - part - most
    score = correlations(coarse[:, start:], coarse[:, -part:])[:, most - least :: -1]
    lags = np.arange(least, most + 1)
    score = score - (lags * (_SHORTER_IS_BETTER * factor * 1000 / rate_hz)).astype(np.float32)
    if about is not None:
        near = np.abs(lags * factor - about[:, np.newaxis]) <= _ABOUT * about[:, np.newaxis]
        score = np.where(near, score, np.float32(-2))
    found = lags[score.argmax(axis=1)] * factor
    return _refined(audio, template, found, factor)


def _refined(
    audio: _Audio, template: int, found: _Integers, factor: int
) -> tuple[_Integers, _Audio]:
    """The best lag at the full rate, of those the coarse search stands for."""
    n = audio.shape[1]
    longest = np.minimum(found + factor, n - template)
    starts = (n - template - longest)[:, np.newaxis]
    around = np.take_along_axis(
        audio, np.minimum(starts + np.arange(template + 2 * factor), n - 1), axis=1
    )
    score = correlations(around, audio[:, -template:])
    best = score.argmax(axis=1)
    return longest - best, score[np.arange(len(score)), best]
