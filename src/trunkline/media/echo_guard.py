"""Keeps an echo out of a call's first seconds, before the canceller has learnt it.

A canceller needs about a second of what was sent before it takes anything away, and an
agent that hears itself meanwhile stops speaking. So until it has proven itself, what is
so much quieter than what was sent of late that it may be its echo (Geigel's rule of
double-talk detection) is turned down. Whoever speaks up is heard; and a line that sends
nothing back of the first second has no echo, and is left alone.
"""

import numpy as np
from numpy.typing import NDArray

from .rows import Rows
from .stage import grown

__all__ = ["EchoGuard"]

_ECHO = np.float32(0.25)  # an echo returns at least 6 dB down
_FADES = np.float32(0.986)  # a frame: what was sent counts for half after a second
_ACTIVE = np.float32(1e-5 * 32768**2)  # mean power of -50 dBov
_NEAR = np.float32(1e-6 * 32768**2)  # what is quieter than -60 dBov proves nothing
_SHARE = np.float32(0.1)
_WORKS = np.float32(0.03)  # the canceller takes 15 dB away
_PROVEN_FRAMES = 25  # on end
_FIRST_FRAMES = 100  # of what was sent: before that it suppresses what it does not know yet
_SILENT = np.float32(1e-3)  # what is 30 dB down is no echo to speak of
_SILENT_FRAMES = 25  # after as many in which an echo may be on its way: 500 ms
_LONGEST_FRAMES = 250  # of what was sent: an echo that is not learnt in 5 s never is
_SPEECH_FRAMES = 8  # whoever has spoken up is heard so much longer, between syllables too
_TURNED_DOWN = np.float32(0.01)

_COUNTERS = ("_works", "_silent", "_frames", "_speech")

_Pcm = NDArray[np.int16]
_RowNumbers = NDArray[np.intp]


class EchoGuard:
    """For many legs at once; rows are those of the chain bank it stands behind."""

    def __init__(self, capacity: int) -> None:
        self.guarded = np.zeros(capacity, np.bool_)
        """(rows,): whose canceller has not proven itself yet."""
        self._sent = np.zeros(capacity, np.float32)
        self._came = np.zeros(capacity, np.float32)
        self._left = np.zeros(capacity, np.float32)
        self._gain = np.ones(capacity, np.float32)
        self._works = np.zeros(capacity, np.int32)
        self._silent = np.zeros(capacity, np.int32)
        self._frames = np.zeros(capacity, np.int32)
        self._speech = np.zeros(capacity, np.int32)

    def open(self, row: int, rows: Rows) -> None:
        """Guard a row from now on."""
        for name in ("_sent", "_came", "_left", "_gain", *_COUNTERS):
            array = grown(getattr(self, name), rows.capacity)
            array[row] = 1 if name == "_gain" else 0
            setattr(self, name, array)
        self.guarded = grown(self.guarded, rows.capacity)
        self.guarded[row] = True

    def process(
        self, near: _Pcm, far: _Pcm, rows: _RowNumbers, people: _Pcm, recogniser: _Pcm
    ) -> tuple[_Pcm, _Pcm]:
        """What a chain made of ``near``, (n, 20 ms), without what may be echo."""
        where = self.guarded[rows].nonzero()[0]
        if not where.size:
            return people, recogniser
        rows = rows[where]
        sent, came = _power(far[where]), _power(near[where])
        before = self._gain[rows]
        after = self._judge(rows, sent, came, _power(people[where]))
        slope = np.linspace(0, 1, near.shape[1], dtype=np.float32)
        gain = before[:, np.newaxis] + (after - before)[:, np.newaxis] * slope
        heard = people.copy()
        heard[where] = np.rint(people[where] * gain)
        if recogniser is people:
            return heard, heard
        understood = recogniser.copy()
        understood[where] = np.rint(recogniser[where] * gain)
        return heard, understood

    def _judge(
        self,
        rows: _RowNumbers,
        sent: NDArray[np.float32],
        came: NDArray[np.float32],
        left: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """What these rows are turned down to; lets those go that are safe."""
        loudest = self._sent[rows] = np.maximum(sent, self._sent[rows] * _FADES)
        active = loudest > _ACTIVE
        self._came[rows] += _SHARE * (came - self._came[rows])
        self._left[rows] += _SHARE * (left - self._left[rows])
        works = self._left[rows] < _WORKS * self._came[rows]
        told = active & (self._came[rows] > _NEAR)
        self._works[rows] = np.where(told, (self._works[rows] + 1) * works, self._works[rows])
        self._frames[rows] += active
        waited = active & (self._frames[rows] > _SILENT_FRAMES)
        silent = (self._silent[rows] + 1) * (came < _SILENT * loudest)
        self._silent[rows] = np.where(waited, silent, self._silent[rows])
        echo = active & (came < _ECHO * loudest)
        speech = np.where(echo, self._speech[rows] - 1, _SPEECH_FRAMES)
        self._speech[rows] = speech = np.where(active, np.maximum(speech, 0), 0)
        safe = (self._works[rows] >= _PROVEN_FRAMES) & (self._frames[rows] >= _FIRST_FRAMES)
        safe |= self._frames[rows] >= _LONGEST_FRAMES
        safe |= self._silent[rows] >= _SILENT_FRAMES
        gain = np.where(active & (speech == 0) & ~safe, _TURNED_DOWN, np.float32(1))
        self._gain[rows] = gain
        self.guarded[rows[safe]] = False
        return np.asarray(gain, np.float32)


def _power(block: _Pcm) -> NDArray[np.float32]:
    audio = block.astype(np.float32)
    return np.asarray((audio * audio).mean(axis=1), np.float32)
