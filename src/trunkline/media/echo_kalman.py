"""The adaptive filter: a partitioned-block frequency-domain Kalman filter, batched.

After Enzner and Vary, "Frequency-domain adaptive Kalman filter for acoustic echo control
in hands-free telephones" (Signal Processing 86, 2006), with partitions as in Kuech,
Mabande and Enzner, "State-space architecture of the partitioned-block-based acoustic echo
controller" (ICASSP 2014), and only the diagonal of the covariance. The step of every bin
and partition follows from how uncertain its coefficient is and how loud everything else
in the bin is, so near-end speech slows adaptation by itself.

A block is a frame of 20 ms, and its echo is known when it arrives: no delay. (Blocks of
10 ms would adapt twice as often for twice the cost.) Real and imaginary parts are
separate arrays, for which numpy is four times faster than for complex ones. The gradient
constraint is applied to two partitions a frame in turn.

An uncertainty that has shrunk makes the filter slow when the room changes, and one raised
in double talk makes it wrong. So much wandering is expected of a path that has just begun
and little of one that is known, and a path can be kept, given back, or begun anew: which,
is for `Watch` to say.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["FilterState", "KalmanFilter"]

# How much of the path wanders off a frame: soon after it was begun anew, and ever after.
# Much is fast and noisy, little keeps near-end speech out of a path that is known.
_WANDER_FIRST, _WANDER_LAST = np.float32(0.01), np.float32(0.0015)
_WANDER_SETTLES = np.float32(0.99)  # of the way between them a frame: within two seconds
_UNCERTAIN = 0.03  # at first, of a path as loud as the far end
_DECAY = 0.8  # of that, a partition
_NOISE_SHARE = np.float32(0.2)  # smoothing of the power that is not echo
_CONSTRAINED = 2  # partitions a frame
_SPARE = 6  # ring places beyond the partitions: moved back once in as many frames
_FAR_ACTIVE = np.float32(1e-7)  # mean power of -70 dBov
_EMPTY = 0.1
_TINY = np.float32(1e-9)

_Floats = NDArray[np.float32]


@dataclass(slots=True)
class FilterState:
    """Everything a filter remembers of n rows; P partitions, F bins."""

    last: _Floats
    """(n, frame): the reference before this one."""
    head: NDArray[np.intp]
    """(n,): where the newest spectrum is in the rings."""
    x_re: _Floats
    """(n, P + spare, F): spectra of the reference, newest first from the head on."""
    x_im: _Floats
    x_power: _Floats
    h_re: _Floats
    """(n, P, F): the path."""
    h_im: _Floats
    uncertainty: _Floats
    """(n, P, F): expected squared error of the path."""
    noise: _Floats
    """(n, F): power of what is not echo."""
    wander: _Floats
    """(n,): share of the path that is expected to change in a frame."""
    turn: NDArray[np.intp]
    """(n,): the partition to constrain next."""
    kept_re: _Floats
    """(n, P, F): the path before the trial, or that of the last look for drift."""
    kept_im: _Floats


class KalmanFilter:
    """Predicts the echo of one frame of many rows, and learns from what was left."""

    def __init__(self, frame: int, partitions: int) -> None:
        self.frame, self.partitions = frame, partitions
        self.bins = frame + 1
        profile = _UNCERTAIN * _DECAY ** np.arange(partitions)
        self.fresh_uncertainty = np.repeat(
            profile[:, np.newaxis].astype(np.float32), self.bins, axis=1
        )

    def state(self, rows: int) -> FilterState:
        """A filter that has heard nothing."""
        ring = (rows, self.partitions + _SPARE, self.bins)
        path = (rows, self.partitions, self.bins)
        return FilterState(
            last=np.zeros((rows, self.frame), np.float32),
            head=np.full(rows, _SPARE, np.intp),
            x_re=np.zeros(ring, np.float32),
            x_im=np.zeros(ring, np.float32),
            x_power=np.zeros(ring, np.float32),
            h_re=np.zeros(path, np.float32),
            h_im=np.zeros(path, np.float32),
            uncertainty=np.broadcast_to(self.fresh_uncertainty, path).copy(),
            noise=np.full((rows, self.bins), 1e-6, np.float32),
            wander=np.full(rows, _WANDER_FIRST, np.float32),
            turn=np.zeros(rows, np.intp),
            kept_re=np.zeros(path, np.float32),
            kept_im=np.zeros(path, np.float32),
        )

    def push(self, state: FilterState, reference: _Floats) -> None:
        """Take in one frame of reference, (n, frame)."""
        self._step_back(state)
        both = np.concatenate([state.last, reference], axis=1)
        state.last[:] = reference
        spectrum = np.fft.rfft(both, axis=1)
        at = int(state.head[0])
        re, im = state.x_re[:, at], state.x_im[:, at]
        re[:], im[:] = spectrum.real, spectrum.imag
        state.x_power[:, at] = re * re + im * im

    def predict(self, state: FilterState) -> _Floats:
        """The echo in the newest frame, (n, frame)."""
        return self._predict(state, state.h_re, state.h_im)

    def predict_kept(self, state: FilterState, rows: NDArray[np.intp]) -> _Floats:
        """The same by the path that was kept before the trial, of some rows."""
        x_re, x_im, _ = self._window(state)
        return self._echo(state.kept_re[rows], state.kept_im[rows], x_re[rows], x_im[rows])

    def adapt(self, state: FilterState, error: _Floats, frozen: NDArray[np.bool_]) -> _Floats:
        """Learn from what the prediction left over, (n, frame); not in frozen rows.

        Gives the power that the uncertainty let one expect of the residual echo, (n, F).
        """
        x_re, x_im, x_power = self._window(state)
        spectrum = np.fft.rfft(np.concatenate([np.zeros_like(error), error], axis=1), axis=1)
        e_re = spectrum.real.astype(np.float32)
        e_im = spectrum.imag.astype(np.float32)
        scale = np.float32(2 * self.frame * self.frame)
        learns = ~frozen & (x_power[:, 0].sum(1) > _FAR_ACTIVE * scale)
        live = learns.astype(np.float32)[:, np.newaxis]
        state.noise += _NOISE_SHARE * live * (e_re * e_re + e_im * e_im - state.noise)
        half = np.float32(0.5)
        expected: _Floats = half * np.einsum("npf,npf->nf", x_power, state.uncertainty)
        step = live / (expected + state.noise + _TINY)
        gain = state.uncertainty * step[:, np.newaxis]
        e_re, e_im = e_re[:, np.newaxis], e_im[:, np.newaxis]
        change = x_re * e_re
        change += x_im * e_im
        change *= gain
        state.h_re += change
        np.multiply(x_re, e_im, out=change)
        change -= x_im * e_re
        change *= gain
        state.h_im += change
        self._spread(state, gain, x_power, live)
        self._constrain(state)
        return expected

    def distrust(self, state: FilterState, row: int, *, anew: bool) -> None:
        """Be as uncertain as at first; ``anew`` from nothing."""
        np.maximum(state.uncertainty[row], self.fresh_uncertainty, out=state.uncertainty[row])
        state.wander[row] = _WANDER_FIRST
        if anew:
            state.h_re[row] = state.h_im[row] = 0

    def keep(self, state: FilterState, row: int) -> None:
        """Remember the path as it is now."""
        state.kept_re[row], state.kept_im[row] = state.h_re[row], state.h_im[row]

    def follow(self, state: FilterState, row: int) -> None:
        """Expect the path to wander as much as one that was just begun."""
        state.wander[row] = _WANDER_FIRST

    def restore(self, state: FilterState, row: int) -> None:
        """End a trial that brought nothing: the path before it, with little uncertainty."""
        state.h_re[row], state.h_im[row] = state.kept_re[row], state.kept_im[row]
        power = state.h_re[row] ** 2 + state.h_im[row] ** 2
        state.uncertainty[row] = np.float32(0.05) * power

    def forget(self, state: FilterState, row: int, references: _Floats) -> None:
        """The bulk delay has moved: begin anew, on what the new reference would have been.

        ``references`` is (partitions + 1, frame), newest first, ending before this frame.
        """
        state.h_re[row] = state.h_im[row] = 0
        state.kept_re[row] = state.kept_im[row] = 0
        state.uncertainty[row] = self.fresh_uncertainty
        state.wander[row] = _WANDER_FIRST
        both = np.concatenate([references[1:], references[:-1]], axis=1)
        spectra = np.fft.rfft(both, axis=1)
        at = int(state.head[row])
        place = slice(at, at + self.partitions)
        state.x_re[row, place], state.x_im[row, place] = spectra.real, spectra.imag
        state.x_power[row, place] = state.x_re[row, place] ** 2 + state.x_im[row, place] ** 2
        state.last[row] = references[0]

    def advance(self, state: FilterState, row: int, last: _Floats) -> None:
        """The reference is read one frame later from now on: the path begins a frame earlier.

        ``last`` is what the reference before this one would have been, (frame,).
        """
        for path in (state.h_re, state.h_im, state.kept_re, state.kept_im, state.uncertainty):
            path[row, :-1] = path[row, 1:].copy()
            path[row, -1] = 0
        state.uncertainty[row, -1] = self.fresh_uncertainty[-1]
        at, end = int(state.head[row]), int(state.head[row]) + self.partitions
        for ring in (state.x_re, state.x_im, state.x_power):
            ring[row, at : end - 1] = ring[row, at + 1 : end].copy()
            ring[row, end - 1] = 0
        state.last[row] = last

    def begins_late(self, state: FilterState, row: int) -> bool:
        """Whether the first frame of the path is nearly empty."""
        power = (state.h_re[row] ** 2 + state.h_im[row] ** 2).sum(1)
        return bool(power[0] < _EMPTY * power.sum())

    def _predict(self, state: FilterState, h_re: _Floats, h_im: _Floats) -> _Floats:
        x_re, x_im, _ = self._window(state)
        return self._echo(h_re, h_im, x_re, x_im)

    def _echo(self, h_re: _Floats, h_im: _Floats, x_re: _Floats, x_im: _Floats) -> _Floats:
        product = "npf,npf->nf"
        spectrum = np.empty((len(h_re), self.bins), np.complex64)
        spectrum.real = np.einsum(product, h_re, x_re) - np.einsum(product, h_im, x_im)
        spectrum.imag = np.einsum(product, h_re, x_im) + np.einsum(product, h_im, x_re)
        echo = np.fft.irfft(spectrum, axis=1)[:, self.frame :]
        return np.asarray(echo, np.float32)

    def _window(self, state: FilterState) -> tuple[_Floats, _Floats, _Floats]:
        place = slice(int(state.head[0]), int(state.head[0]) + self.partitions)
        return state.x_re[:, place], state.x_im[:, place], state.x_power[:, place]

    def _step_back(self, state: FilterState) -> None:
        """Make room for a spectrum before the newest; all heads are equal afterwards."""
        at = int(state.head[0])
        for row in np.flatnonzero(state.head != at):
            self._shift(state, slice(row, row + 1), int(state.head[row]), at)
        if at == 0:
            self._shift(state, slice(None), 0, _SPARE)
            at = _SPARE
        state.head[:] = at - 1

    def _shift(self, state: FilterState, rows: slice, source: int, target: int) -> None:
        count = self.partitions
        for ring in (state.x_re, state.x_im, state.x_power):
            ring[rows, target : target + count] = ring[rows, source : source + count].copy()

    def _spread(self, state: FilterState, gain: _Floats, x_power: _Floats, live: _Floats) -> None:
        """Covariance after the update and one frame of the path's own wandering."""
        keep = (np.float32(1) - live * state.wander[:, np.newaxis])[:, np.newaxis]
        settled = _WANDER_LAST + _WANDER_SETTLES * (state.wander - _WANDER_LAST)
        np.copyto(state.wander, settled, where=live[:, 0] > 0)
        gain *= x_power
        gain *= np.float32(-0.5)
        gain += np.float32(1)
        np.maximum(gain, np.float32(0), out=gain)
        gain *= keep
        state.uncertainty *= gain
        wander = state.h_re * state.h_re
        wander += state.h_im * state.h_im
        wander *= np.float32(1) - keep
        state.uncertainty += wander

    def _constrain(self, state: FilterState) -> None:
        """Cut what a partition's filter has grown beyond its frame: the next two in turn."""
        rows = np.arange(len(state.turn))
        for _ in range(_CONSTRAINED):
            turn = state.turn
            spectrum = np.empty((len(rows), self.bins), np.complex64)
            spectrum.real, spectrum.imag = state.h_re[rows, turn], state.h_im[rows, turn]
            taps = np.fft.irfft(spectrum, axis=1)
            taps[:, self.frame :] = 0
            cut = np.fft.rfft(taps, axis=1)
            state.h_re[rows, turn], state.h_im[rows, turn] = cut.real, cut.imag
            state.turn[:] = (turn + 1) % self.partitions
