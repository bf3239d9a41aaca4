"""Pitch periods: where audio repeats itself, by normalised cross-correlation, for many rows.

The search is that of ITU-T G.711 Appendix I (2.2): at a reduced rate first (4 kHz here,
whatever the rate), then refined at the full one about what was found. What a row's result
is depends on that row alone, to the bit: FFTs go row by row, and all else is elementwise.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "LONGEST_MS",
    "SHORTEST_MS",
    "correlations",
    "gathered",
    "period_near",
    "pitch_periods",
]

SHORTEST_MS, LONGEST_MS = 2.5, 15.0
"""400 to 67 Hz. G.711 Appendix I has 5 to 15 ms: women's voices go by two periods there."""
_COARSE_HZ = 4000
_SHORTER_IS_BETTER = 0.0025
"""By so much correlation a millisecond: of multiples of a period the shortest is taken."""
_ABOUT = 0.1

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


def gathered(audio: _Audio, index: _Integers) -> _Audio:
    """Samples of each row, (k, n), by their places: `numpy.take_along_axis`, but fast."""
    starts = np.arange(len(audio))[:, np.newaxis] * audio.shape[1]
    found: _Audio = audio.reshape(-1).take(index + starts, mode="clip")
    return found


def pitch_periods(audio: _Audio, template: int, rate_hz: int) -> tuple[_Integers, _Audio]:
    """By how many samples the last ``template`` of each row repeat what was before, and how well.

    Periods and correlations, (k,) each, of (k, n) audio at the scale of int16. Periods are of
    2.5 to 15 ms, as far as ``audio`` reaches back.
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
    return _refined(audio, template, lags[score.argmax(axis=1)] * factor, factor)


def period_near(
    audio: _Audio, template: int, rate_hz: int, about: _Integers
) -> tuple[_Integers, _Audio]:
    """The same, but for a period within a tenth of the one expected, (k,)."""
    return _refined(audio, template, about, int(LONGEST_MS * _ABOUT * rate_hz / 1000), _ABOUT)


def _refined(
    audio: _Audio, template: int, found: _Integers, radius: int, share: float | None = None
) -> tuple[_Integers, _Audio]:
    """The best lag at the full rate, of those so near to the ones found.

    ``share``: and no further than this part of the lag itself.
    """
    n = audio.shape[1]
    longest = np.minimum(found + radius, n - template)
    starts = (n - template - longest)[:, np.newaxis]
    place = starts + np.arange(template + 2 * radius)
    score = correlations(gathered(audio, np.minimum(place, n - 1)), audio[:, -template:])
    if share is not None:
        lags = longest[:, np.newaxis] - np.arange(2 * radius + 1)
        off = np.abs(lags - found[:, np.newaxis])
        score = np.where(off <= share * found[:, np.newaxis], score, np.float32(-2))
    best = score.argmax(axis=1)
    return longest - best, score[np.arange(len(score)), best]
