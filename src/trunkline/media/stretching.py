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

_TICK_SECONDS, _PHASES = 0.02, 4
_TURNS = 3
"""Delay is put right in every third tick, for all rows of it at once: a search costs little more
for many rows than for one."""
_STARVED_SECONDS = 0.1
"""After so long without a turn there is one, whatever the clock says: who takes every 60 ms
might never meet one."""
_AGAIN_SECONDS, _FORCED_SECONDS = 0.05, 0.1
"""Least time between attempts on a row, and between changes that audio does not lend itself to."""
_PERIODIC = 0.8
"""Correlation of a frame with itself a period off from which on it may be stretched. NetEq has
0.9 over shorter segments, and 0.5 in haste."""
_QUIET = 100.0
"""A mean magnitude below this (-50 dBov) is quiet anywhere."""
_QUIETER = 1 / 8
"""So is one this much below the recent loudest (18 dB)."""
_FADING = 0.99**_TURNS
"""The recent loudest fades by this per turn: to a half in 1.4 s."""
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


@dataclass(frozen=True, slots=True)
class _Way:
    """Frames that are tried in one way."""

    index: _Rows
    """In the block."""
    longer: bool
    quiet: _Mask
    may: _Mask
    """Which of them may be changed, as far as is known."""
    read: _Integers
    about: _Block
    """What is before a frame and the frame; or the frame, to be made shorter, and the next."""
    periods: _Integers
    """By how much."""


class Stretcher:
    """Stretches frames of a jitter bank's rows."""

    def __init__(self, state: JitterRows, middle: float, far: float) -> None:
        self._state = state
        self._middle, self._far = middle, far
        self._longest = int(LONGEST_MS * state.rate_hz / 1000)
        self._last_turn = -np.inf

    def turns(self, now: float) -> bool:
        """Whether it is time to put delays right; in ticks a quarter apart never in a row.

        Told by the clock alone, so that no row depends on which others are taken.
        """
        tick, phase = divmod(round(now * (_PHASES / _TICK_SECONDS)), _PHASES)
        if (tick + phase) % _TURNS and now - self._last_turn < _STARVED_SECONDS:
            return False
        self._last_turn = now
        return True

    def stretch(
        self, pcm: _Block, rows: _Rows, where: _Rows, excess: NDArray[np.float64], now: float
    ) -> _Rows:
        """Stretch what can be of these complete frames, in place; which they were.

        Their rows have gone on then. ``excess``: samples of delay over what is wanted.
        """
        if not where.size:
            return where
        wanted = self._wanted(pcm, rows, where, excess, now)
        ways = [
            self._about(pcm, rows, wanted, longer)
            for longer in (True, False)
            if np.count_nonzero(wanted.longer == longer)
        ]
        self._search([way for way in ways if way.index.size])
        changed = [self._change(pcm, rows, way, now) for way in ways]
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

    def _about(self, pcm: _Block, rows: _Rows, wanted: _Wanted, longer: bool) -> _Way:
        """The frames that are to become longer, or shorter, with what is needed for it."""
        state = self._state
        chosen = (wanted.longer == longer).nonzero()[0]
        where: _Rows = wanted.index[chosen]
        those = rows[where]
        read = state.read[those]
        if longer:
            past = state.concealer.past(those)[:, -self._longest :]
            about = np.concatenate([past, pcm[where]], axis=1)
        else:
            following = state.ring.read(those, read + state.frame)
            whole = (following.min(axis=1) > HOLE).nonzero()[0]
            where, chosen, read = where[whole], chosen[whole], read[whole]
            about = np.concatenate([pcm[where], following[whole]], axis=1)
        quiet, forced = wanted.quiet[chosen], wanted.forced[chosen]
        periods = np.full(len(where), self._longest)
        return _Way(where, longer, quiet, quiet | forced, read, about, periods)

    def _search(self, ways: list[_Way]) -> None:
        """By how much frames repeat what is before or after them, and which may be changed."""
        loud = [(~way.quiet).nonzero()[0] for way in ways]
        # As far as both need: a frame, and before it as much as the longest period.
        size = self._state.frame + self._longest
        audio = [
            way.about[some] if way.longer else way.about[some, size - 1 :: -1]
            for way, some in zip(ways, loud, strict=True)
        ]
        if not sum(map(len, loud)):
            return
        both = np.concatenate(audio).astype(np.float32)
        periods, alike = pitch_periods(both, self._state.frame, self._state.rate_hz)
        first = 0
        for way, some in zip(ways, loud, strict=True):
            found = slice(first, first + len(some))
            way.periods[some] = periods[found]
            way.may[some] |= alike[found] >= _PERIODIC
            first += len(some)

    def _change(self, pcm: _Block, rows: _Rows, way: _Way, now: float) -> _Rows:
        """Repeat a period, or leave one out, in those of the frames that let it be."""
        may = way.may.nonzero()[0]
        if not may.size:
            return _NONE
        where, periods, about = way.index[may], way.periods[may], way.about[may]
        if way.longer:
            pcm[where] = lengthened(about[:, : self._longest], about[:, self._longest :], periods)
        else:
            pcm[where] = shortened(about, periods)
        self._pass(rows[where], way.read[may], -periods if way.longer else periods, now)
        return where

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
