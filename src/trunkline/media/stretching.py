"""Changing the delay of playing rows by pitch periods, one at a time.

As WSOLA and NetEq's accelerate and expand: a period is left out or repeated by overlapping
audio with itself one period later or earlier, over that period. Positions count on in
samples, so nothing is kept between frames: a frame that is a period shorter takes so much
more from the ring, one that is longer so much less.

It is done where it is quiet (by 15 ms, whatever the period) or where the audio repeats
itself well; and when delay is far too long wherever it is, but less often.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .jitter_state import Count, JitterRows
from .pitch import LONGEST_MS, pitch_periods
from .sample_ring import HOLE

__all__ = ["Stretcher", "lengthened", "shortened"]

_AGAIN_SECONDS, _FORCED_SECONDS = 0.06, 0.1
"""Least time between attempts on a row, and between changes that audio does not lend itself to."""
_PERIODIC = 0.8
"""Correlation of a frame with itself a period off from which on it may be stretched. NetEq has
0.9 over shorter segments, and 0.5 in haste."""
_QUIET = 100.0
"""A mean magnitude below this (-50 dBov) is quiet anywhere."""
_QUIETER = 1 / 8
"""So is one this much below the recent loudest (18 dB)."""
_FADING = 0.99
"""The recent loudest fades by this per frame: to a half in 1.4 s."""
_LOUDEST = 32767

_Rows = NDArray[np.intp]
_Block = NDArray[np.int16]
_Mask = NDArray[np.bool_]
_Integers = NDArray[np.int64]
_NONE = np.zeros(0, np.intp)


def shortened(audio: _Block, periods: _Integers) -> _Block:
    """(k, 2 frames) without one period at its beginning, the first frame of it: (k, frame)."""
    return _overlapped(audio.astype(np.float32), audio.shape[1] // 2, 0, periods, periods)


def lengthened(past: _Block, block: _Block, periods: _Integers) -> _Block:
    """A frame, (k, frame), that begins with one period more; ``past`` is what was before it."""
    audio = np.concatenate([past, block], axis=1).astype(np.float32)
    return _overlapped(audio, block.shape[1], past.shape[1], periods, -periods)


def _overlapped(
    audio: NDArray[np.float32], frame: int, start: int, periods: _Integers, shifts: _Integers
) -> _Block:
    """From audio at ``start`` into audio so many samples off, over one period."""
    since = np.arange(frame)
    one = audio[:, start : start + frame]
    other = np.take_along_axis(audio, start + since + shifts[:, np.newaxis], axis=1)
    rise = ((since + 1) / (periods[:, np.newaxis] + 1)).astype(np.float32)
    mixed = np.rint(one + (other - one) * np.minimum(rise, 1))
    return np.clip(mixed, -_LOUDEST, _LOUDEST).astype(np.int16)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Frames whose rows want another delay."""

    index: _Rows
    """In the block."""
    longer: _Mask
    """The delay is too short."""
    quiet: _Mask
    forced: _Mask
    """It is so long that any place will do."""


class Stretcher:
    """Stretches frames of a jitter bank's rows."""

    def __init__(self, state: JitterRows, middle: float, far: float) -> None:
        self._state = state
        self._middle, self._far = middle, far
        self._longest = int(LONGEST_MS * state.rate_hz / 1000)

    def stretch(
        self, pcm: _Block, rows: _Rows, where: _Rows, excess: NDArray[np.float64], now: float
    ) -> _Rows:
        """Stretch what can be of these complete frames, in place; which they were.

        Their rows have gone on then. ``excess``: samples of delay over what is wanted.
        """
        if not where.size:
            return where
        wanted = self._wanted(pcm, rows, where, excess, now)
        changed = [
            self._change(pcm, rows, wanted, longer, now)
            for longer in (True, False)
            if np.count_nonzero(wanted.longer == longer)
        ]
        return np.concatenate(changed) if changed else _NONE

    def _wanted(
        self, pcm: _Block, rows: _Rows, where: _Rows, excess: NDArray[np.float64], now: float
    ) -> _Wanted:
        """Which frames to try."""
        state, those = self._state, rows[where]
        # Every fourth sample tells loudness well enough.
        some = np.abs(pcm[where][:, ::4])
        magnitude = some.sum(axis=1, dtype=np.int32) / some.shape[1]
        loudest = np.maximum(state.loudness[those] * _FADING, magnitude)
        state.loudness[those] = loudest
        quiet = magnitude < np.maximum(loudest * _QUIETER, _QUIET)
        longer = excess[where] < self._middle
        far = ~longer & (excess[where] > self._far)
        forced = far & (now - state.changed[those] >= _FORCED_SECONDS)
        # What comes after concealment is blended with it, and so is left as long as it is.
        tried = (now - state.tried[those] >= _AGAIN_SECONDS) & (
            state.concealer.concealed[those] == 0
        )
        state.tried[those[tried]] = now
        return _Wanted(where[tried], longer[tried], quiet[tried], forced[tried])

    def _change(self, pcm: _Block, rows: _Rows, wanted: _Wanted, longer: bool, now: float) -> _Rows:
        """Repeat a period, or leave one out, in those of the frames that let it be."""
        state, frame = self._state, self._state.frame
        chosen = wanted.longer == longer
        where: _Rows = wanted.index[chosen]
        quiet, forced = wanted.quiet[chosen], wanted.forced[chosen]
        read = state.read[rows[where]]
        if longer:
            past = state.concealer.past(rows[where])[:, -self._longest :]
            about = np.concatenate([past, pcm[where]], axis=1)
        else:
            following = state.ring.read(rows[where], read + frame)
            whole = (following.min(axis=1) > HOLE).nonzero()[0]
            if not whole.size:
                return _NONE
            where, quiet, forced, read = where[whole], quiet[whole], forced[whole], read[whole]
            about = np.concatenate([pcm[where], following[whole]], axis=1)
        periods = np.full(len(where), self._longest)
        may = quiet | forced
        loud = (~quiet).nonzero()[0]
        if loud.size:
            periods[loud], alike = self._periods(about[loud], longer)
            may[loud] |= alike >= _PERIODIC
        may = may.nonzero()[0]
        if not may.size:
            return _NONE
        where, periods, about = where[may], periods[may], about[may]
        size = self._longest
        pcm[where] = (
            lengthened(about[:, :size], about[:, size:], periods)
            if longer
            else shortened(about, periods)
        )
        self._pass(rows[where], read[may], -periods if longer else periods, now)
        return where

    def _periods(self, about: _Block, longer: bool) -> tuple[_Integers, NDArray[np.float32]]:
        """By how much, and how well, a frame repeats what is before it or after it."""
        frame = self._state.frame
        audio = about.astype(np.float32)
        if not longer:
            audio = np.ascontiguousarray(audio[:, frame + self._longest - 1 :: -1])
        return pitch_periods(audio, frame, self._state.rate_hz)

    def _pass(self, rows: _Rows, read: _Integers, more: _Integers, now: float) -> None:
        """Go on by a frame and so many samples more, or less."""
        state = self._state
        ends = read + state.frame + more
        for row, start, stop in zip(rows.tolist(), read.tolist(), ends.tolist(), strict=True):
            state.ring.clear_span(row, start, stop)
        state.read[rows] = ends
        state.held[rows] = 0
        state.level[rows] -= more
        state.changed[rows] = now
        state.counts[rows, Count.STRETCHED] += 1
        state.counts[rows, Count.DROPPED] += np.maximum(more, 0)
        state.counts[rows, Count.INSERTED] += np.maximum(-more, 0)
