"""The far end as the echo path saw it: delayed by whole frames, and by a drifting fraction.

What was sent is kept for as long as an echo may be late. A frame of reference is read
from it at a position of its own in every row, which moves when the bulk delay is found
and creeps when the two clocks differ: 100 ppm are 0.016 samples a frame at 8 kHz, so one
fraction a frame is enough. Fractions are read through a windowed sinc of 16 taps.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["Reference", "ReferenceState"]

_TAPS = 16
_PHASES = 512  # a step of 1/512 sample is an error of -50 dB at 3.4 kHz of 8
_BETA = 6.0

_Floats = NDArray[np.float32]


@dataclass(slots=True)
class ReferenceState:
    """What was sent of n rows, and from where it is read."""

    history: _Floats
    """(n, frames, frame): what was sent, a ring of frames."""
    newest: NDArray[np.intp]
    """(n,): the ring's place of the newest frame."""
    delay: NDArray[np.float64]
    """(n,): by how many samples the reference is read late."""
    drift: NDArray[np.float64]
    """(n,): how much that grows, in samples a sample."""


@lru_cache(maxsize=1)
def _fractions() -> _Floats:
    """The windowed sinc of every fraction, (513, 16), the same for all: 33 KB."""
    offsets = np.arange(_TAPS) - (_TAPS // 2 - 1)
    fractions = np.arange(_PHASES + 1)[:, np.newaxis] / _PHASES
    # Tap k weighs history[t - delay + offset]; a fraction reads earlier by that much.
    position = offsets[np.newaxis] + fractions
    window = np.i0(_BETA * np.sqrt(np.clip(1 - (position / (_TAPS / 2)) ** 2, 0, 1)))
    taps = np.sinc(position) * window / np.i0(_BETA)
    found: _Floats = (taps / taps.sum(1, keepdims=True)).astype(np.float32)
    found.flags.writeable = False
    return found


class Reference:
    """Reads delayed and resampled frames, for many rows at once."""

    def __init__(self, frame: int, frames: int) -> None:
        self.frame, self.frames = frame, frames
        self.latest = float(frame * (frames - 3))
        """The largest delay that leaves a frame and its taps in the history."""
        self._taps = _fractions()

    def state(self, rows: int) -> ReferenceState:
        """Silence, read at once."""
        return ReferenceState(
            history=np.zeros((rows, self.frames, self.frame), np.float32),
            newest=np.zeros(rows, np.intp),
            delay=np.zeros(rows),
            drift=np.zeros(rows),
        )

    def push(self, state: ReferenceState, far: _Floats) -> None:
        """Remember the frame that was sent, (n, frame); delays creep by their drift."""
        state.newest[:] = (state.newest + 1) % self.frames
        state.history[np.arange(len(far)), state.newest] = far
        state.delay += state.drift * self.frame
        np.minimum(np.maximum(state.delay, 0.0, out=state.delay), self.latest, out=state.delay)

    def read(self, state: ReferenceState, back: int = 0) -> _Floats:
        """The reference for the newest frame, or that of ``back`` frames before: (n, frame)."""
        whole = state.delay.astype(np.intp)
        phase = np.rint((state.delay - whole) * _PHASES).astype(np.intp)
        early = whole < _TAPS // 2
        if np.count_nonzero(early):
            phase[early] = 0  # half of the taps would be in the future
        samples = self._stretch(state, whole + back * self.frame if back else whole)
        plain = samples[:, _TAPS // 2 : _TAPS // 2 + self.frame]
        odd = phase.nonzero()[0]
        if not odd.size:
            return plain
        if len(odd) < len(phase):
            out = plain.copy()
            out[odd] = self._between(samples[odd], phase[odd])
            return out
        return self._between(samples, phase)

    def sent(self, state: ReferenceState, row: int, count: int) -> _Floats:
        """So many frames that were sent before the newest, oldest first: (count, frame)."""
        places = (int(state.newest[row]) - np.arange(count, 0, -1)) % self.frames
        frames: _Floats = state.history[row, places]
        return frames

    def _between(self, samples: _Floats, phase: NDArray[np.intp]) -> _Floats:
        """Samples read a fraction earlier: (n, frame)."""
        stride, step = samples.strides
        shape, strides = (_TAPS, len(samples), self.frame), (step, stride, step)
        # Every tap's samples by strides alone, as numpy's `as_strided` has them in a tenth of
        # its time.
        later = np.ndarray(shape, np.float32, samples, step, strides)
        out: _Floats = np.einsum("tnf,nt->nf", later, self._taps[phase])
        return out

    def _stretch(self, state: ReferenceState, whole: NDArray[np.intp]) -> _Floats:
        """A frame delayed by whole samples, with half of the taps on each side of it.

        What would lie in the future (the delay is shorter than half of the taps) is silence,
        and so is what is not remembered any more.
        """
        frame, half, size = self.frame, _TAPS // 2, self.frames * self.frame
        width = frame + 2 * half
        history = state.history.reshape(len(whole), size)
        begins = (state.newest * frame - (whole + half)) % size
        # Every stretch there is by strides alone, so that each is copied in one go.
        shape, strides = (len(whole), size - width + 1, width), (*history.strides, 4)
        stretches: _Floats = np.ndarray(shape, np.float32, history, 0, strides)
        samples: _Floats = stretches[np.arange(len(whole)), np.minimum(begins, size - width)]
        for row in (begins > size - width).nonzero()[0].tolist():
            begin = int(begins[row])
            samples[row, : size - begin] = history[row, begin:]
            samples[row, size - begin :] = history[row, : begin + width - size]
        for row in (whole < half).nonzero()[0].tolist():
            samples[row, frame + half + int(whole[row]) :] = 0
        for row in (whole + half > size - frame).nonzero()[0].tolist():
            samples[row, : frame + half + int(whole[row]) - size] = 0
        return samples
