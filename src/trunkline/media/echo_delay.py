"""How late the echo is: binary spectra of both directions, compared at every lag.

The idea is that of WebRTC's delay estimator: a frame becomes 32 bits, each saying
whether a band is louder than its own mean of late; the echo's bits resemble those of the
far end some frames before, whatever the room does to the spectrum. The mean number of
differing bits at every lag is a cost with one sharp minimum at the bulk delay.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .echo_reference import Reference, ReferenceState
from .echo_state import select, store
from .spectra import mean_power, rfft

__all__ = ["DelayState", "DelayTracker"]

_BANDS = 32
_LOW_HZ, _HIGH_HZ = 300, 3400
_MEAN_SHARE = np.float32(0.05)  # a band's mean forgets in 20 frames, 0.4 s
_COST_SHARE = np.float32(0.04)  # a lag's cost in 25 active frames, 0.5 s
_FEWEST_BITS = 4  # a far frame with fewer bits resembles anything
_NEAR_ACTIVE = np.float32(10**-5.5)  # mean power of -55 dBov
_FAR_ACTIVE = np.float32(1e-6)  # -60 dBov: the bits of what is quieter are noise
_OVER_FLOOR, _FLOOR_RISE = np.float32(4), np.float32(1.01)  # 2 dB a second
_UNKNOWN = np.float32(_BANDS / 2)
_FLOOR = np.float32(1e-7)
_WIDTH, _DISTINCT = 2, np.float32(0.2)
_TINY = np.float32(1e-12)
_WOKEN = 8  # rows that begin to search in one call
# Bits set in each 16-bit number: np.bitwise_count is younger than the oldest numpy we allow,
# and ten times as fast where it is.
_COUNT = np.array([bin(number).count("1") for number in range(1 << 16)], np.uint8)

_Floats = NDArray[np.float32]


@dataclass(slots=True)
class DelayState:
    """Everything a tracker remembers of n rows."""

    far_tail: _Floats
    """(n, frame): the frame before, of each direction."""
    near_tail: _Floats
    near_floor: _Floats
    """(n,): power of what is always heard."""
    far_mean: _Floats
    """(n, 32): mean log power of each band."""
    near_mean: _Floats
    bits: NDArray[np.uint32]
    """(n, lags): far end's binary spectra, newest first."""
    cost: _Floats
    """(n, lags): mean differing bits."""
    candidate: NDArray[np.int32]
    """The lag that has been best, and for how many frames."""
    steady: NDArray[np.int32]
    asleep: NDArray[np.bool_]
    """(n,): whether the frame before was not searched."""


class DelayTracker:
    """Lags in frames of 20 ms, for many rows at once."""

    def __init__(self, rate_hz: int, frame: int, lags: int) -> None:
        self._frame, self._lags = frame, lags
        self._window = np.hanning(2 * frame).astype(np.float32)
        bins_hz = np.fft.rfftfreq(2 * frame, 1 / rate_hz)
        edges = np.linspace(_LOW_HZ, _HIGH_HZ, _BANDS + 1)
        # Bins are 25 Hz apart and bands 97 Hz wide, so a band is a run of 3 or 4 bins.
        self._starts = np.searchsorted(bins_hz, edges)

        first = self._starts[:-1] - self._starts[0]
        wide = np.diff(self._starts)
        assert ((wide == 3) | (wide == 4)).all()
        last = int(self._starts[-1] - self._starts[0]) - 1
        self._bins = [np.minimum(first + bin, last) for bin in range(4)]
        self._fourth = (wide == 4).astype(np.float32)

    def state(self, rows: int) -> DelayState:
        """A state that knows nothing yet."""
        return DelayState(
            far_tail=np.zeros((rows, self._frame), np.float32),
            near_tail=np.zeros((rows, self._frame), np.float32),
            near_floor=np.full(rows, _FLOOR, np.float32),
            far_mean=np.full((rows, _BANDS), np.log(_FLOOR), np.float32),
            near_mean=np.full((rows, _BANDS), np.log(_FLOOR), np.float32),
            bits=np.zeros((rows, self._lags), np.uint32),
            cost=np.full((rows, self._lags), _UNKNOWN, np.float32),
            candidate=np.zeros(rows, np.int32),
            steady=np.zeros(rows, np.int32),
            asleep=np.zeros(rows, np.bool_),
        )

    def search(
        self,
        state: DelayState,
        reference: Reference,
        sent: ReferenceState,
        near: _Floats,
        wanted: NDArray[np.bool_],
    ) -> NDArray[np.bool_]:
        """As `update` for the rows in which the delay is wanted; none of the others is clear.

        A row that was left out for a while knows what was sent in it from the reference,
        which has been given the newest frame already.
        """
        count = np.count_nonzero(wanted)
        if not count:
            state.asleep[:] = True
            return np.zeros(len(wanted), np.bool_)
        woken = (wanted & state.asleep).nonzero()[0]
        if woken.size > _WOKEN:
            # Each takes 0.1 ms, and after a stall all want to search in the same tick.
            wanted = wanted.copy()
            wanted[woken[_WOKEN:]] = False
            count -= woken.size - _WOKEN
        for row in woken[:_WOKEN].tolist():
            self._recall(state, row, reference.sent(sent, row, self._lags + 1))
        np.logical_not(wanted, out=state.asleep)
        rows = wanted.nonzero()[0]
        far = sent.history[rows, sent.newest[rows]]
        if count == len(wanted):
            return self.update(state, far, near)
        clear = np.zeros(len(wanted), np.bool_)
        part = select(state, rows)
        clear[rows] = self.update(part, far, near[rows])
        store(state, rows, part)
        return clear

    def _recall(self, state: DelayState, row: int, frames: _Floats) -> None:
        """Hear again what was sent of late, (lags + 1, frame): the near end was not kept."""
        power = self._bands_of(np.concatenate([frames[:-1], frames[1:]], axis=1))
        louder = np.empty(power.shape, np.bool_)
        for loud, now in zip(louder, power, strict=True):
            np.greater(now, state.far_mean[row], out=loud)
            state.far_mean[row] += _MEAN_SHARE * (now - state.far_mean[row])
        bits = np.packbits(louder, axis=1, bitorder="little").view("<u4")[:, 0]
        bits[mean_power(frames[1:]) < _FAR_ACTIVE] = 0
        state.bits[row] = bits[::-1]
        state.far_tail[row], state.near_tail[row] = frames[-1], 0

    def update(self, state: DelayState, far: _Floats, near: _Floats) -> NDArray[np.bool_]:
        """Hear one frame of both directions, (n, frame); which rows have a clear minimum."""
        far_bits, near_bits = self._binary(state, far, near)
        far_bits[mean_power(far) < _FAR_ACTIVE] = 0
        state.bits[:, 1:] = state.bits[:, :-1].copy()
        state.bits[:, 0] = far_bits
        power = mean_power(near)
        np.minimum(state.near_floor * _FLOOR_RISE + _TINY, power, out=state.near_floor)
        active = power > np.maximum(_NEAR_ACTIVE, _OVER_FLOOR * state.near_floor)
        differing = _bits_set(state.bits ^ near_bits[:, np.newaxis])
        told = active[:, np.newaxis] & (_bits_set(state.bits) >= _FEWEST_BITS)
        state.cost += np.where(told, _COST_SHARE, np.float32(0)) * (differing - state.cost)
        best = state.cost.argmin(1).astype(np.int32)
        clear = self._clear(state.cost, best)
        same = clear & (np.abs(best - state.candidate) <= 1)
        state.steady[:] = np.where(same & active, state.steady + 1, np.where(same, state.steady, 0))
        state.candidate[:] = np.where(clear & ~same, best, state.candidate)
        return np.asarray(clear)

    def _clear(self, cost: _Floats, best: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Whether the minimum is one: a lasting tone is the same at every lag."""
        least = cost.min(1)
        near = np.abs(np.arange(self._lags) - best[:, np.newaxis]) <= _WIDTH
        other = np.where(near, np.float32(_BANDS), cost).min(1)
        middle = np.sort(cost, axis=1)[:, self._lags // 2]
        return np.asarray((least < middle - np.float32(1)) & (least < other - _DISTINCT))

    def _binary(self, state: DelayState, far: _Floats, near: _Floats) -> NDArray[np.uint32]:
        """Binary spectra of both directions, (2, n)."""
        both = np.empty((2, len(far), 2 * self._frame), np.float32)
        for block, tail, frame in zip(
            both, (state.far_tail, state.near_tail), (far, near), strict=True
        ):
            block[:, : self._frame] = tail
            block[:, self._frame :] = frame
            tail[:] = frame
        bands = self._bands_of(both)
        louder = np.empty(bands.shape, np.bool_)
        for loud, mean, now in zip(louder, (state.far_mean, state.near_mean), bands, strict=True):
            np.greater(now, mean, out=loud)
            now -= mean
            now *= _MEAN_SHARE
            mean += now
        return np.packbits(louder, axis=2, bitorder="little").view("<u4")[..., 0]

    def _bands_of(self, blocks: _Floats) -> _Floats:
        """The log power of every band of two frames, (..., 2 frames): (..., 32)."""
        blocks *= self._window
        spectrum = rfft(blocks)[..., self._starts[0] : self._starts[-1]]
        power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32, copy=False)
        # A band's bins by three or four gathers: half of the time of np.add.reduceat.
        first, *more = self._bins
        bands: _Floats = power[..., more[0]]
        bands += power[..., more[1]]
        bands += power[..., more[2]] * self._fourth
        bands += power[..., first]
        bands += _FLOOR
        return np.log(bands, out=bands)


def _count_bits(words: NDArray[np.uint32]) -> NDArray[np.uint8]:
    halves = words & np.uint32(0xFFFF)
    return np.asarray(_COUNT[halves] + _COUNT[words >> np.uint32(16)])


_bits_set = getattr(np, "bitwise_count", _count_bits)
