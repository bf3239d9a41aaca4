"""How strong the noise is in each frequency of each row, speech or not.

After the unbiased minimum mean-square error estimate of Gerkmann and Hendriks ("Unbiased
MMSE-based noise power estimation with low complexity and low tracking delay", IEEE
Trans. Audio, Speech and Language Processing 20(4), 2012): the periodogram is learnt
from as far as speech is improbable in it. Nothing waits for a pause: a noise that rises
by 10, 20 or 30 dB is known to within 4 dB after 1.5 s, one that fell by 20 dB after 0.6 s.

It goes by frames, both hops of 10 ms together: their mean says better than one of them
whether there is speech (0.4 points of STOI more in babble), for half the work.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["NoiseFollower", "NoiseState", "Spectra"]

Spectra = NDArray[np.float32]
"""(n, bins): powers, or what is made of them."""

# Speech is taken to be as probable as y / (y + 28), y = exp(2 r) of the mean r of both
# hops' powers over the noise's. For one hop, speech 15 dB above the noise and odds of three to
# one theirs (section III) is exp(r) and 11; for two that were independent, exp(2 r) and
# 350; but they share half of their samples. (1 + r / 8)**16 stands for exp(2 r): products round
# alike everywhere, and exponentials do not. 28 was chosen: a telephone's talker talks most of the
# time, and what is learnt from weak speech costs more than noise that is found out later. The
# estimate of a steady noise comes out 2 dB low that way.
_PER_HOP = np.float32(1 / 16)
_ODDS = np.float32(28)
_LEARNING, _TOLD = np.float32(0.14), np.float32(0.2)  # per 20 ms
# A bin in which speech has been certain for long is more probably noise that rose: the
# estimate may not stand still for ever. Theirs are, a hop, 0.9, 0.99 and 0.01, which need 3 s
# for 20 dB; these hold up a voiced sound of 700 ms as well.
_REMEMBERED = np.float32(0.94)
_CERTAIN, _DOUBT = np.float32(0.1), np.float32(0.2)
# Speech is looked for up to 4 kHz, whatever the rate: bins are 50 Hz apart.
_VOICE_BINS = 81
# The quietest noise there is, as the level of a white one: below G.711's own noise.
_QUIETEST_DBOV = -84.0


@dataclass(slots=True)
class NoiseState:
    """What is known of the noise in n rows."""

    noise: Spectra
    """Its power, (n, bins)."""
    absence: Spectra
    """How improbable speech was lately, (n, bins)."""
    heard: NDArray[np.int64]
    """Frames the estimate was made of, (n,), up to those of the opening; 0: nothing is known."""


class NoiseFollower:
    """Learns the noise of the first frames as it is, and then from what is not speech."""

    def __init__(self, opening_frames: int, stationary: bool) -> None:
        """``stationary``: the profile of the opening stays until told otherwise."""
        # The squares of the window are a half in the mean, and so is what is left of white noise
        # by a transform that keeps energy.
        self.quietest = np.float32(0.5 * 10 ** (_QUIETEST_DBOV / 10))
        self._opening = opening_frames
        self._rate = np.float32(0) if stationary else _LEARNING
        # The mean of what was heard so far: the step of frame t is 1 / t of the difference.
        self._means = (1 / np.arange(1, opening_frames + 1)).astype(np.float32)

    def follow(
        self,
        power: Spectra,
        ratio: Spectra,
        state: NoiseState,
        learn: NDArray[np.bool_] | None,
        held: NDArray[np.bool_] | None,
    ) -> Spectra:
        """One frame more, in place. Returns how improbable speech is in it, (n, 1).

        ``power``: the sum of both hops', (n, bins). ``ratio``: the same over the noise, and
        at most 2000.
        ``learn``: rows that are told to be noise alone, all of which is learnt from.
        ``held``: rows in digital silence, from which nothing is learnt.
        """
        absent = ratio * _PER_HOP
        absent += np.float32(1)
        for _ in range(4):
            absent *= absent
        absent += _ODDS
        np.divide(_ODDS, absent, out=absent)
        voice = absent[:, :_VOICE_BINS]
        quiet: Spectra = np.add.reduce(voice, axis=1, keepdims=True)
        quiet *= np.float32(1 / _VOICE_BINS)
        state.absence *= _REMEMBERED
        state.absence += (1 - _REMEMBERED) * absent
        stuck = state.absence < _CERTAIN
        if stuck.any():
            np.maximum(absent, _DOUBT, out=absent, where=stuck)
        rate = self._rates(state, absent, learn, held)
        # What is expected of the noise is ``absent`` of the periodogram and the rest of
        # the estimate; the step towards it is therefore this.
        step = power * np.float32(0.5)
        step -= state.noise
        absent *= rate
        step *= absent
        state.noise += step
        np.maximum(state.noise, self.quietest, out=state.noise)
        return quiet

    def _rates(
        self,
        state: NoiseState,
        absent: Spectra,
        learn: NDArray[np.bool_] | None,
        held: NDArray[np.bool_] | None,
    ) -> NDArray[np.float32] | np.float32:
        """How fast each row learns; speech is denied where all is learnt from."""
        if learn is None and held is None and state.heard.min() >= self._opening:
            return self._rate
        opening = state.heard < self._opening
        told = opening if learn is None else opening | learn
        absent[told] = 1
        rate = np.where(told, _TOLD, self._rate).astype(np.float32)
        rate[opening] = self._means[state.heard[opening]]
        heard = opening
        if held is not None:
            rate[held] = 0
            heard = opening & ~held
        state.heard += heard
        return rate[:, np.newaxis]
