"""Mixing: who hears whom, summed without wrapping and held below full scale.

Sums are of 32 bits, so no number of voices wraps; a limiter for each listener then turns
a sum that is too loud down at once and up again slowly, which is heard as two people
talking at once and not as the crackle of clipped samples.

`Mixer` does many listeners in one batch: `Mixer.mix` for the few that each hear others at
levels of their own (a supervisor on a bridge), `Mixer.others` for rooms in which everybody
hears everybody else: the room's sum less one's own voice, whatever the number of people.
"""

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .rows import Rows

__all__ = ["GAIN_ONE", "LONGEST_GAIN_DB", "Mixer", "fixed_gain"]

GAIN_ONE = 1 << 12
"""A gain of 0 dB. Gains are whole numbers of 1/4096."""
LONGEST_GAIN_DB = 18.0
"""More would let 16 bits of sound and 12 of gain leave 32 with a few voices."""
CEILING = 32_000
"""Where the limiter holds what is too loud: 0.2 dB below full scale."""
ATTACK_MS = 1
"""How fast it turns down; what is above full scale in that time is clipped."""
RELEASE = 1.0116
"""How much it turns up again in a frame: 0.1 dB, so 5 dB in a second."""

_Pcm = NDArray[np.int16]
_Sums = NDArray[np.int32]
_Indices = NDArray[np.intp]


def fixed_gain(level_db: float) -> int:
    """A level as a gain of `GAIN_ONE`; minus infinity is 0, silence.

    Raises `UsageError` above 18 dB, or for what is no number.
    """
    if not level_db <= LONGEST_GAIN_DB:
        raise UsageError(f"a voice is mixed at {LONGEST_GAIN_DB:.0f} dB at most, not {level_db}")
    return round(GAIN_ONE * 10 ** (level_db / 20))


class Mixer:
    """A bank of listeners: each row has a limiter of its own."""

    def __init__(self, frame_samples: int, capacity: int = 8) -> None:
        self._rows = Rows(capacity)
        self._gain = np.ones(capacity, np.float32)
        self._attack = max(1, ATTACK_MS * frame_samples // 20)
        self._ramp = np.minimum(
            1, np.arange(1, frame_samples + 1, dtype=np.float32) / self._attack
        )[None, :]

    def __len__(self) -> int:
        return len(self._rows.opened)

    def open(self) -> int:
        """A row for a listener."""
        row = self._rows.open()
        if row >= len(self._gain):
            self._gain = np.append(self._gain, np.ones(row + 1, np.float32))
        self._gain[row] = 1.0
        return row

    def close(self, row: int) -> None:
        """Give a row back; raises `UsageError` if it is not open."""
        self._rows.close(row)

    def mix(
        self,
        block: _Pcm,
        speakers: _Indices,
        gains: NDArray[np.int32],
        starts: _Indices,
        rows: _Indices,
    ) -> _Pcm:
        """What each of the listeners ``rows`` hears, (listeners, samples).

        ``block`` is (voices, samples). ``speakers`` and ``gains`` are one list: listener n
        hears ``speakers[starts[n]:starts[n + 1]]``, each at its gain (`fixed_gain`). None of
        them hears nobody: leave such a listener out.
        """
        voices = block[speakers].astype(np.int32)
        if (gains != GAIN_ONE).any():
            voices = (voices * gains[:, None]) >> 12
        sums: _Sums = np.add.reduceat(voices, starts, axis=0, dtype=np.int32)
        return self._limit(sums, rows)

    def others(self, block: _Pcm, rooms: _Indices, rows: _Indices) -> _Pcm:
        """What everybody in some rooms hears: all others of the same room.

        ``block`` is (people, samples), ``rooms`` their room's number (people of one room side
        by side), ``rows`` their rows. One alone hears silence.
        """
        if not len(block):
            return block
        starts = np.flatnonzero(np.diff(rooms, prepend=rooms[0] - 1))
        sums: _Sums = np.add.reduceat(block, starts, axis=0, dtype=np.int32)
        sizes = np.diff(starts, append=len(block))
        return self._limit(np.repeat(sums, sizes, axis=0) - block, rows)

    def _limit(self, sums: _Sums, rows: _Indices) -> _Pcm:
        """Sums as 16 bits, those too loud turned down."""
        before = self._gain[rows]
        peaks = np.maximum(sums.max(axis=1), -sums.min(axis=1))
        if peaks.max() <= CEILING and before.min() >= 1.0:
            return sums.astype(np.int16)
        after = np.minimum(np.minimum(1.0, before * RELEASE), CEILING / np.maximum(peaks, 1))
        self._gain[rows] = after
        ramp = before[:, None] + (after - before)[:, None] * self._ramp
        return np.asarray(np.clip(np.rint(sums * ramp), -32768, 32767), np.int16)
