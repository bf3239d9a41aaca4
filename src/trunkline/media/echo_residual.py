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

from .spectra import irfft, rfft

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
_NOISE_OVER = np.float32(4)  # the tracker follows the quieter half of the noise
_COMFORT = np.float32(3)  # so much more than the tracker's value is the noise's mean
_COMFORT_SPECTRA = 499
_NEAR_OVER = np.float32(4)
_NEAR_LEAST, _NEAR_MOST = np.float32(0.1), np.float32(0.4)
_NEAR_NEW = np.float32(0.3)  # of it counts while the filter is new
_NEAR_HOLD = np.float32(0.96)
_TINY = np.float32(1e-12)

_Floats = NDArray[np.float32]


@dataclass(slots=True)
class ResidualState:
    """Everything a suppressor remembers of n rows; F bins."""

    error_tail: _Floats
    """(n, hop): the hop before, of what was left and of the predicted echo."""
    echo_tail: _Floats
    overlap: _Floats
    """(n, hop): what the last window adds to this hop."""
    error_mean: _Floats
    """(n, F): slow mean powers, from which moves are counted."""
    echo_mean: _Floats
    covariance: _Floats
    """(n,): of the error's and the prediction's moves."""
    variance: _Floats
    """(n,): of the prediction's moves."""
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
        hops, bins = (rows, self.hop), (rows, self.bins)
        return ResidualState(
            error_tail=np.zeros(hops, np.float32),
            echo_tail=np.zeros(hops, np.float32),
            overlap=np.zeros(hops, np.float32),
            error_mean=np.zeros(bins, np.float32),
            echo_mean=np.zeros(bins, np.float32),
            covariance=np.zeros(rows, np.float32),
            variance=np.full(rows, 1e-9, np.float32),
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
        expected = np.float32(0.5) * expected[:, ::2]  # half the bins, half the energy
        spectra, powers = self._analyse(state, error, echo)
        for spectrum, error_power, echo_power in zip(spectra, *powers, strict=True):
            self._hop(state, spectrum, error_power, echo_power, expected, leak)
        first, second = irfft(spectra).astype(np.float32, copy=False) * self._window
        out = np.empty_like(error)
        np.add(state.overlap, first[:, : self.hop], out=out[:, : self.hop])
        np.add(first[:, self.hop :], second[:, : self.hop], out=out[:, self.hop :])
        state.overlap[:] = second[:, self.hop :]
        return out

    def _hop(
        self,
        state: ResidualState,
        spectrum: NDArray[np.complex64],
        error_power: _Floats,
        echo_power: _Floats,
        expected: _Floats,
        leak: tuple[_Floats, _Floats],
    ) -> None:
        """Suppress in the spectrum of one hop, (n, F), in place."""
        least, most = leak
        self._regress(state, error_power, echo_power)
        np.minimum(state.leak, np.maximum(_LEAK_OVER * most, _LEAST_LEAK), out=state.leak)
        np.maximum(state.leak, least, out=state.leak)
        np.maximum(echo_power, _REVERB * state.reverberant, out=state.reverberant)
        leaked = state.leak[:, np.newaxis] * state.reverberant
        self._listen(state, error_power, np.maximum(leaked, _EXPECTED_ALONE * expected))
        near = np.where(least > 0, _NEAR_NEW * state.near, state.near)[:, np.newaxis]
        expected = (_EXPECTED_ALONE + near * (_EXPECTED_NEAR - _EXPECTED_ALONE)) * expected
        gain = self._gains(state, near, error_power, np.maximum(leaked, expected))
        spectrum *= gain
        spectrum += self._comfort(state, near, gain)

    def _analyse(
        self, state: ResidualState, error: _Floats, echo: _Floats
    ) -> tuple[NDArray[np.complex64], _Floats]:
        """Of both hops: the spectra of the error, (2, n, F), and the powers of error and echo."""
        windows = np.empty((2, 2, len(error), 2 * self.hop), np.float32)
        for window, tail, frame in zip(
            windows, (state.error_tail, state.echo_tail), (error, echo), strict=True
        ):
            window[0, :, : self.hop] = tail
            window[0, :, self.hop :] = frame[:, : self.hop]
            window[1] = frame
            tail[:] = frame[:, self.hop :]
        windows *= self._window
        spectra = rfft(windows)
        power = spectra.real * spectra.real
        power += spectra.imag * spectra.imag
        return spectra[0], power

    def _regress(self, state: ResidualState, error_power: _Floats, echo_power: _Floats) -> None:
        state.error_mean += _MOVES_SHARE * (error_power - state.error_mean)
        state.echo_mean += _MOVES_SHARE * (echo_power - state.echo_mean)
        error_moves = error_power - state.error_mean
        echo_moves = echo_power - state.echo_mean
        covariance = np.einsum("nf,nf->n", error_moves, echo_moves)
        variance = np.einsum("nf,nf->n", echo_moves, echo_moves)
        ratio = np.add.reduce(echo_power, axis=1) / (np.add.reduce(error_power, axis=1) + _TINY)
        share = np.minimum(ratio, np.float32(1)) * _LEAK_SHARE
        state.covariance += share * (covariance - state.covariance)
        state.variance += share * (variance - state.variance)
        leak = np.maximum(state.covariance, 0) / (state.variance + np.float32(1e-20))
        np.minimum(np.maximum(leak, _LEAST_LEAK), _MOST_LEAK, out=state.leak)

    def _listen(self, state: ResidualState, error_power: _Floats, residual: _Floats) -> None:
        """How much near-end speech there is: power above the residual's and the noise's."""
        state.noise *= _NOISE_RISE
        falls = state.noise + _NOISE_FALL * (error_power - state.noise)
        np.minimum(state.noise, falls, out=state.noise)
        known = _NEAR_OVER * residual + _NOISE_OVER * state.noise
        excess = np.add.reduceat(error_power - known, self._bands, axis=1)
        whole = np.add.reduceat(error_power, self._bands, axis=1)
        np.maximum(excess, 0, out=excess)
        now = np.add.reduce(excess, axis=1) / (np.add.reduce(whole, axis=1) + _TINY)
        now = (now - _NEAR_LEAST) / (_NEAR_MOST - _NEAR_LEAST)
        now = np.minimum(np.maximum(now, np.float32(0)), np.float32(1))
        state.near[:] = np.maximum(now, _NEAR_HOLD * state.near)

    def _gains(
        self, state: ResidualState, near: _Floats, error_power: _Floats, residual: _Floats
    ) -> _Floats:
        over = _OVER_ALONE + near * (_OVER - _OVER_ALONE)
        floor = _FLOOR_ALONE + near * (_FLOOR - _FLOOR_ALONE)
        gain = np.maximum(1 - over * residual / (error_power + _TINY), np.float32(0))
        rising = state.gain + _RISE * (gain - state.gain)
        np.minimum(gain, rising, out=state.gain)
        applied: _Floats = np.maximum(state.gain, floor)
        return applied

    def _comfort(self, state: ResidualState, near: _Floats, gain: _Floats) -> NDArray[np.complex64]:
        """Noise in place of the noise that was suppressed, where nobody talks."""
        level = np.float32(1) - gain * gain
        level *= state.noise
        level *= _COMFORT * (np.float32(1) - near)
        np.sqrt(level, out=level)
        state.turn[:] = (state.turn + 1) % _COMFORT_SPECTRA
        noise: NDArray[np.complex64] = self._spectra[state.turn]
        noise *= level
        return noise
