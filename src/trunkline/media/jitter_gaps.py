"""Frames with holes in rows of a jitter bank that play: concealed, or the row waits.

A gap whose end is here, with enough after it, is filled as a whole when it begins: what is
beyond the frame is written into the ring, to be played as it is. Should a packet of it come
after all, `Gaps.reopen` takes that back.
"""

import numpy as np
from numpy.typing import NDArray

from .jitter_state import NEVER, Count, JitterRows
from .sample_ring import HOLE

__all__ = ["Gaps"]

_AHEAD_FRAMES = 3
"""What concealment is given of the time after a frame."""
_CONCEALED = 2
"""`jitter.Kind`, which knows this module."""
_COUNTED = int(Count.CONCEALED)

_Rows = NDArray[np.intp]
_Mask = NDArray[np.bool_]
_Block = NDArray[np.int16]
_Kinds = NDArray[np.uint8]


class Gaps:
    """What a jitter bank does where audio is missing."""

    def __init__(self, state: JitterRows, patience: int) -> None:
        self._state = state
        self._patience = patience
        self._window = (1 + _AHEAD_FRAMES) * state.frame

    def next_audio(self, row: int, start: int, stop: int) -> int:
        """Where audio goes on from ``start``, decoded or not; ``stop`` if it does not."""
        state = self._state
        present = state.ring.next_present(row, start, stop)
        coded = state.coded.get(row)
        return present if coded is None else min(present, coded.first_from(start, stop))

    def close(self, block: _Block, rows: _Rows) -> _Kinds:
        """Fill these frames, in place, or let their rows wait; gives a `jitter.Kind` of each.

        The rows have gone on then.
        """
        state, frame = self._state, self._state.frame
        window = state.ring.look(rows, state.read[rows], self._window)
        found = self._spans(window)
        may = (state.onset[rows] == NEVER).tolist()
        concealed = state.concealer.concealed[rows].tolist()
        arrives, known = state.concealer.arrives, []
        for index, (lead, end, stop) in enumerate(found):
            before = concealed[index] if lead == 0 else 0
            enough = stop - end >= arrives and stop >= frame
            if enough and may[index] and before + end - lead <= self._patience:
                known.append(index)
        if len(known) == len(rows):
            self._fill(window, rows, found)
            block[...] = window[:, :frame]
            return np.full(len(rows), _CONCEALED, np.uint8)
        kind = np.full(len(rows), _CONCEALED, np.uint8)
        if known:
            some, those = window[known], rows[known]
            self._fill(some, those, [found[index] for index in known])
            block[known] = some[:, :frame]
        others = np.array(sorted(set(range(len(rows))).difference(known)))
        rest = block[others]
        kind[others] = self._conceal(rest, rows[others], window[others, frame:])
        block[others] = rest
        return kind

    def _spans(self, window: _Block) -> list[tuple[int, int, int]]:
        """Of each row where its first gap begins, and ends, and the next one begins."""
        size = window.shape[1]
        absent = window == HOLE
        changes = absent[:, 1:] != absent[:, :-1]
        begins = absent[:, 0].tolist()
        borders: list[list[int]] = [[0] if at_once else [] for at_once in begins]
        for place in changes.reshape(-1).nonzero()[0].tolist():
            row, place = divmod(place, size - 1)
            borders[row].append(place + 1)
        return [(*each, size, size, size)[:3] for each in borders]

    def _fill(self, window: _Block, rows: _Rows, spans: list[tuple[int, int, int]]) -> None:
        """Fill gaps whose ends are here."""
        state, frame = self._state, self._state.frame
        read = state.read[rows]
        leads, ends, stops = np.array(spans).T
        state.concealer.bridge(window, rows, leads, ends, stops)
        for index, (_, end, _) in enumerate(spans):
            if end > frame:
                row, position = rows.item(index), read.item(index) + frame
                state.ring.write_piece(row, position, window[index, frame:end])
        state.filled[rows] = read + ends
        state.advance(rows, read)
        state.counts[rows, _COUNTED] += 1

    def go_on(self, block: _Block, rows: _Rows) -> None:
        """Complete frames that begin with what was made up before."""
        state = self._state
        read = state.read[rows]
        state.concealer.go_on(block, rows, state.filled[rows] - read)
        state.advance(rows, read)
        state.counts[rows, _COUNTED] += 1

    def reopen(self, row: int) -> None:
        """Audio came for a gap that is filled: make what is left of the gap a hole again."""
        state = self._state
        read, filled = state.read.item(row), state.filled.item(row)
        state.concealer.interrupt(row, state.ring.piece(row, read, min(filled, read + state.frame)))
        state.ring.clear_span(row, read, filled)
        state.filled[row] = read

    # -- gaps of which less is known -----------------------------------------------------------

    def _conceal(self, block: _Block, rows: _Rows, future: _Block) -> _Kinds:
        """Frames with holes: conceal them, or let the row wait."""
        state, frame = self._state, self._state.frame
        read, onset = state.read[rows], state.onset[rows]
        concealed = state.concealer.concealed[rows]
        kind = np.full(len(rows), _CONCEALED, np.uint8)
        lead = (block == HOLE).argmax(axis=1)
        at = read + lead
        later = state.head[rows] > at
        concealed = np.where(lead > 0, 0, concealed)
        paused = (onset != NEVER) & (onset >= at) & (at >= state.quiet_from[rows])
        spent = concealed + frame - lead > self._patience
        rest = paused | spent | (~later & state.resting[rows])
        for index in (rest | (~later & (lead > 0))).nonzero()[0].tolist():
            # Samples before the hole are played now; what follows keeps its place.
            state.ring.clear_span(int(rows[index]), int(read[index]), int(at[index]))
        self._rest(rows[rest], at[rest], later[rest] & ~paused[rest])
        kind[rest] = lead[rest] > 0  # played or silent
        block[rest] *= np.arange(frame) < lead[rest, np.newaxis]
        wait = ~later & ~rest
        state.read[rows[wait]] = at[wait]
        state.held[rows[wait]] += frame - lead[wait]
        lost = later & ~rest
        state.advance(rows[lost], read[lost])
        filled = block[~rest]
        if filled.size:
            state.concealer.conceal(filled, rows[~rest], future[~rest])
            block[~rest] = filled
            state.counts[rows[~rest], Count.CONCEALED] += 1
        return kind

    def _rest(self, rows: _Rows, at: NDArray[np.int64], beyond: _Mask) -> None:
        """Rows wait for the next talkspurt; ``beyond``: it is here, after a long loss."""
        state = self._state
        if not rows.size:
            return
        state.read[rows] = at
        state.playing[rows] = False
        state.concealer.reset(rows)
        passed = state.onset[rows] < at
        state.onset[rows[passed]] = NEVER
        for row in rows[beyond].tolist():
            read, head = int(state.read[row]), int(state.head[row])
            state.onset[row] = self.next_audio(row, read, head)
