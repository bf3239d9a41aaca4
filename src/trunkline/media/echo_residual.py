"""Residual echo suppression: a gain in every bin for the echo the filter left over.

The residual is taken for a share of the predicted echo's power (its leakage), found as
in Speex (Valin, "On adjusting the learning rate in frequency domain echo cancellation
with double-talk", IEEE TASLP 15, 2007) by regressing how the error's power moves on how
the prediction's moves. What is louder than that is near-end speech and stays; where
nothing of it is heard for a while, the suppression is stronger.

The share has a lower bound while the filter is new and an upper one from what it has proven,
because near-end speech correlates with an echo by chance. What is suppressed while nobody
talks is filled with noise as loud as the room's, so that the background stays even.

Hops of 10 ms in windows of 20 ms: a delay of 10 ms.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .spectra import dots, irfft, rfft

__all__ = ["ResidualState", "ResidualSuppressor"]

_OVER = np.float32(0.6)  # of the residual's power is taken next to near-end speech
_OVER_ALONE = np.float32(10.0)  # and without any
_FLOOR = np.float32(10 ** (-30 / 20))
_FLOOR_ALONE = np.float32(10 ** (-45 / 20))
_REVERB = np.float32(0.8)  # how slowly the room forgets the prediction, a hop
_MOVES_SHARE = np.float32(0.1)
_LEAK_SHARE = np.float32(0.03)
_LEAST_LEAK, _MOST_LEAK = np.float32(0.005), np.float32(1.5)
_LEAK_OVER = np.float32(2)
_RISE = np.float32(0.5)
# Of the power that the filter is unsure of, without and next to near-end speech: it is
# only a mean, and a rest of echo that is heard alone is taken for a voice.
_EXPECTED_ALONE, _EXPECTED_NEAR = np.float32(4), np.float32(0.4)
_NOISE_FIRST = np.float32(1e-4)
_NOISE_RISE, _NOISE_FALL = np.float32(10 ** (0.6 / 100)), np.float32(0.1)  # 6 dB a second up
_COMFORT = np.float32(3)  # so much more than the tracker's value is the noise's mean
_COMFORT_SPECTRA = 499
# Near-end speech is so much louder than the residual and the noise, whose tracker follows
# the quieter half.
_KNOWN_OVER = np.float32(4)
_NEAR_LEAST, _NEAR_MOST = np.float32(0.1), np.float32(0.4)
_NEAR_NEW = np.float32(0.3)  # of it counts while the filter is new
_NEAR_HOLD = np.float32(0.96)
_TINY = np.float32(1e-12)
# What depends on how much near-end speech there is, (4, 1, 1, 1): how much of the power that
# the filter is unsure of is taken, and of the residual's, the least gain, and the comfort noise.
_ALONE, _BESIDE = np.array(
    [
        (1, _OVER_ALONE, _FLOOR_ALONE, _COMFORT),
        (_EXPECTED_NEAR / _EXPECTED_ALONE - 1, _OVER - _OVER_ALONE, _FLOOR - _FLOOR_ALONE,
         -_COMFORT),
    ],
    np.float32,
).reshape(2, 4, 1, 1, 1)  # fmt: skip
_MOVED = (1 - _MOVES_SHARE) ** 2  # moves are counted from the mean with them
_TURNS = np.array([[1], [2]])

_Floats = NDArray[np.float32]


@dataclass(slots=True)
class ResidualState:
    """Everything a suppressor remembers of n rows; F bins."""

    tails: _Floats
    """(n, 2, hop): the hop before, of what was left and of the predicted echo."""
    overlap: _Floats
    """(n, hop): what the last window adds to this hop."""
    means: _Floats
    """(n, 2, F): slow mean powers of both, from which moves are counted."""
    moves: _Floats
    """(n, 2): covariance of the error's and the prediction's moves, and the latter's variance."""
    reverberant: _Floats
    """(n, F): power of the prediction, falling slowly."""
    gain: _Floats
    """(n, F): applied in the hop before."""
    near: _Floats
    """(n,): 0 to 1, how much near-end speech there is."""
    leak: _Floats
    """(n,): share of the predicted echo's power that is left."""
    noise: _Floats
    """(n, F): power of what is always there."""
    turn: NDArray[np.intp]
    """(n,): the spectrum of comfort noise to take next."""


@lru_cache(maxsize=4)
def _comfort_spectra(bins: int) -> NDArray[np.complex64]:
    """White noise, (499, F), the same for all: 323 KB at 8 kHz."""
    rng = np.random.default_rng(1)
    shape = (_COMFORT_SPECTRA, bins)
    spectra = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / np.sqrt(2)
    spectra[:, [0, -1]] = 0
    found: NDArray[np.complex64] = spectra.astype(np.complex64)
    found.flags.writeable = False
    return found


class ResidualSuppressor:
    """Takes the rest of the echo out of frames of many rows."""

    def __init__(self, frame: int) -> None:
        self.hop = frame // 2
        self.bins = self.hop + 1
        self._bands = np.arange(0, self.bins - 4, 8)  # of 400 Hz
        self._spectra = _comfort_spectra(self.bins)
        self._window = np.sqrt(np.hanning(2 * self.hop + 1)[:-1]).astype(np.float32)

    def state(self, rows: int) -> ResidualState:
        """Nothing heard."""
        bins = (rows, self.bins)
        return ResidualState(
            tails=np.zeros((rows, 2, self.hop), np.float32),
            overlap=np.zeros((rows, self.hop), np.float32),
            means=np.zeros((rows, 2, self.bins), np.float32),
            moves=np.tile(np.array([0, 1e-9], np.float32), (rows, 1)),
            reverberant=np.zeros(bins, np.float32),
            gain=np.ones(bins, np.float32),
            near=np.zeros(rows, np.float32),
            leak=np.full(rows, 0.5, np.float32),
            noise=np.full(bins, _NOISE_FIRST, np.float32),
            turn=np.zeros(rows, np.intp),
        )

    def process(
        self,
        state: ResidualState,
        error: _Floats,
        echo: _Floats,
        expected: _Floats,
        leak: tuple[_Floats, _Floats],
    ) -> _Floats:
        """What was left and what was predicted, (n, frame): what is heard, a hop later.

        Args:
            state: of the same rows.
            error: what was left.
            echo: what was predicted.
            expected: the residual's power by the filter's own uncertainty, (n, frame + 1),
                of a frame without window.
            leak: at least and at most what share of the echo's power may be left, (n,) each;
                where the least is not 0 the filter is new, and what is loud is no near end.
        """
        spectra, powers = self._analyse(state, error, echo)
        totals = np.add.reduce(powers, axis=3)
        totals += _TINY
        leaks = self._regress(state, powers, totals, *leak)
        leaked = leaks[:, :, np.newaxis] * self._reverberate(state, powers[1])
        power, total = powers[0], totals[0]
        unsure = _EXPECTED_ALONE * np.float32(0.5) * expected[:, ::2]  # half the bins and energy
        noise = self._floor(state, power)
        near = self._listen(state, power, total, np.maximum(leaked, unsure), noise)
        near *= np.where(leak[0] > 0, _NEAR_NEW, np.float32(1))
        weights = _ALONE + near[..., np.newaxis] * _BESIDE
        residual = np.maximum(leaked, weights[0] * unsure)
        residual *= weights[1]
        gain = self._gains(state, residual, power, weights[2])
        spectra *= gain
        spectra += self._comfort(state, noise, weights[3], gain)
        return self._overlap(state, spectra)

    def _overlap(self, state: ResidualState, spectra: NDArray[np.complex64]) -> _Floats:
        """Both hops' windows laid over each other: (n, frame)."""
        audio = irfft(spectra)
        audio *= self._window
        first, second = audio
        out = np.empty((len(first), 2 * self.hop), np.float32)
        np.add(state.overlap, first[:, : self.hop], out=out[:, : self.hop])
        np.add(first[:, self.hop :], second[:, : self.hop], out=out[:, self.hop :])
        state.overlap[:] = second[:, self.hop :]
        return out

    def _analyse(
        self, state: ResidualState, error: _Floats, echo: _Floats
    ) -> tuple[NDArray[np.complex64], _Floats]:
        """Of both hops: spectra of the error, (2, n, F), powers of error and echo, (2, 2, n, F)."""
        windows = np.empty((2, 2, len(error), 2 * self.hop), np.float32)
        first, second = windows[:, 0], windows[:, 1]
        second[0], second[1] = error, echo
        tails = state.tails.swapaxes(0, 1)
        first[:, :, : self.hop] = tails
        first[:, :, self.hop :] = second[:, :, : self.hop]
        tails[:] = second[:, :, self.hop :]
        windows *= self._window
        spectra = rfft(windows)
        power = spectra.real * spectra.real
        power += spectra.imag * spectra.imag
        return spectra[0], power

    def _regress(
        self, state: ResidualState, powers: _Floats, totals: _Floats, least: _Floats, most: _Floats
    ) -> _Floats:
        """What share of the echo's power is left in each hop, (2, n)."""
        moves, means = np.empty_like(powers), state.means.swapaxes(0, 1)
        for hop in range(2):
            now = np.subtract(powers[:, hop], means, out=moves[:, hop])
            means += _MOVES_SHARE * now
        found = dots(moves, moves[1])
        found *= _MOVED
        share = np.minimum(totals[1] / totals[0], np.float32(1))
        share *= _LEAK_SHARE
        before = state.moves.T
        for hop in range(2):
            now = found[:, hop]
            now -= before
            now *= share[hop]
            now += before
            before = now
        state.moves.T[:] = before
        leak: _Floats = found[0] / (found[1] + np.float32(1e-20))
        bound = np.minimum(np.maximum(_LEAK_OVER * most, _LEAST_LEAK), _MOST_LEAK)
        np.minimum(np.maximum(leak, _LEAST_LEAK, out=leak), bound, out=leak)
        np.maximum(leak, least, out=leak)
        state.leak[:] = leak[1]
        return leak

    def _reverberate(self, state: ResidualState, echo_power: _Floats) -> _Floats:
        """The prediction's power as long as the room remembers it, of both hops."""
        held = np.empty(echo_power.shape, np.float32)
        before = state.reverberant
        for now, power in zip(held, echo_power, strict=True):
            np.multiply(before, _REVERB, out=now)
            before = np.maximum(now, power, out=now)
        state.reverberant[:] = before
        return held

    def _floor(self, state: ResidualState, power: _Floats) -> _Floats:
        """The power of what is always there, of both hops."""
        noise = np.empty(power.shape, np.float32)
        before = state.noise
        for now, heard in zip(noise, power, strict=True):
            risen = before * _NOISE_RISE
            np.subtract(heard, risen, out=now)
            now *= _NOISE_FALL
            now += risen
            before = np.minimum(now, risen, out=now)
        state.noise[:] = before
        return noise

    def _listen(
        self,
        state: ResidualState,
        power: _Floats,
        total: _Floats,
        residual: _Floats,
        noise: _Floats,
    ) -> _Floats:
        """How much near-end speech there is: power above the residual's and the noise's, (2, n)."""
        residual += noise
        residual *= _KNOWN_OVER
        excess = np.add.reduceat(power - residual, self._bands, axis=2)
        near: _Floats = np.add.reduce(np.maximum(excess, 0, out=excess), axis=2)
        near /= total
        near -= _NEAR_LEAST
        near *= 1 / (_NEAR_MOST - _NEAR_LEAST)
        np.minimum(near, np.float32(1), out=near)
        before = state.near
        for now in near:
            before = np.maximum(now, _NEAR_HOLD * before, out=now)
        state.near[:] = before
        return near

    def _gains(
        self, state: ResidualState, residual: _Floats, power: _Floats, floor: _Floats
    ) -> _Floats:
        """What to apply in both hops, (2, n, F): it falls at once and rises slowly."""
        residual /= power + _TINY
        gain: _Floats = np.subtract(np.float32(1), residual, out=residual)
        np.maximum(gain, np.float32(0), out=gain)
        before = state.gain
        for now in gain:
            rising = now - before
            rising *= _RISE
            rising += before
            before = np.minimum(now, rising, out=now)
        state.gain[:] = before
        np.maximum(gain, floor, out=gain)
        return gain

    def _comfort(
        self, state: ResidualState, floor: _Floats, weight: _Floats, gain: _Floats
    ) -> NDArray[np.complex64]:
        """Noise in place of the noise that was suppressed, where nobody talks."""
        level = gain * gain
        np.subtract(np.float32(1), level, out=level)
        level *= floor
        level *= weight
        np.sqrt(level, out=level)
        turns = state.turn + _TURNS
        turns %= _COMFORT_SPECTRA
        state.turn[:] = turns[1]
        noise: NDArray[np.complex64] = self._spectra[turns]
        noise *= level
        return noise
