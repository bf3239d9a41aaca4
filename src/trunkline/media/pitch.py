"""Pitch periods: where audio repeats itself, by normalised cross-correlation, for many rows.

The search is that of ITU-T G.711 Appendix I (2.2), but over every lag at 8 kHz; above that
at 8 kHz first and then at the full rate about what was found. What a row's result is depends
on that row alone, to the bit: every dot product is of one row, and all else is elementwise.
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
_COARSE_HZ = 8000
_SHORTER_IS_BETTER = 0.0025
"""By so much correlation a millisecond: of multiples of a period the shortest is taken."""
_ABOUT = 0.1

_Audio = NDArray[np.float32]
_Integers = NDArray[np.int64]


def correlations(audio: _Audio, template: _Audio) -> _Audio:
    """Normalised cross-correlation of (k, t) with (k, n) at each place, (k, n - t + 1).

    At the scale of int16: what is much quieter than one step of it correlates with nothing.
    """
    k, n = audio.shape
    t = template.shape[1]
    audio = np.ascontiguousarray(audio)
    # Every piece as long as the template, where it lies: no copy, and a tenth of the time
    # that `sliding_window_view` takes. For these sizes this beats FFTs five times.
    pieces = np.ndarray((k, n - t + 1, t), np.float32, audio, 0, (4 * n, 4, 4))
    found: _Audio = np.einsum("kij,kj->ki", pieces, template)
    # As differences of sums, which have no rounding: samples are whole numbers.
    total = np.zeros((k, n + 1))
    np.cumsum(np.square(audio, dtype=np.float64), axis=1, out=total[:, 1:])
    energy = total[:, t:] - total[:, : n - t + 1]
    energy += t
    energy *= np.einsum("kj,kj->k", template, template)[:, np.newaxis] + np.float32(t)
    found /= np.sqrt(energy, out=energy)
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
    coarse = audio if factor == 1 else _reduced(audio, factor)
    part, n = template // factor, coarse.shape[1]
    least = int(SHORTEST_MS * rate_hz / 1000) // factor
    most = min(int(LONGEST_MS * rate_hz / 1000) // factor, n - part)
    score = correlations(coarse[:, n - part - most : n - least], coarse[:, n - part :])
    # Longest lag first.
    lags = np.arange(most, least - 1, -1)
    penalty = (lags * (_SHORTER_IS_BETTER * factor * 1000 / rate_hz)).astype(np.float32)
    best = (score - penalty).argmax(axis=1)
    if factor > 1:
        return _refined(audio, template, lags[best] * factor, factor)
    return lags[best], score[np.arange(len(score)), best]


def period_near(
    audio: _Audio, template: int, rate_hz: int, about: _Integers, most: _Integers
) -> tuple[_Integers, _Audio]:
    """The same, but for a period within a tenth of the one expected, and no longer than ``most``.

    ``about`` and ``most``, and what is found, are (k, 1); if no period may be, the
    correlation is -2.
    """
    n = audio.shape[1]
    longest = min(int(LONGEST_MS * (1 + _ABOUT) * rate_hz / 1000), n - template)
    least = int(SHORTEST_MS * (1 - _ABOUT) * rate_hz / 1000)
    lags = np.arange(longest, least - 1, -1)
    score = correlations(audio[:, n - template - longest : n - least], audio[:, n - template :])
    off = lags - about
    far = np.abs(off, out=off) > _ABOUT * about
    far |= lags > most
    score[far] = -2
    best = score.argmax(axis=1)
    return lags[best][:, np.newaxis], score[np.arange(len(score)), best][:, np.newaxis]


def _refined(
    audio: _Audio, template: int, found: _Integers, radius: int
) -> tuple[_Integers, _Audio]:
    """The best lag at the full rate, of those so near to the ones found."""
    n = audio.shape[1]
    longest = np.minimum(found + radius, n - template)
    starts = (n - template - longest)[:, np.newaxis]
    place = starts + np.arange(template + 2 * radius)
    score = correlations(gathered(audio, np.minimum(place, n - 1)), audio[:, -template:])
    best = score.argmax(axis=1)
    return longest - best, score[np.arange(len(score)), best]
