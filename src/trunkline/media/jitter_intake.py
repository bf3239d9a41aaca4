"""Arrival, in batches: which packets belong to a row's stream, and where their audio goes.

Most packets are plain: the known source, the next number, the timestamp where the
last one ended. Everything judged here in arrays is a comparison with that. What does
not fit at all (another source, a jump) is odd and looked at one by one: it is kept
aside until a second packet continues it, as RFC 3550 A.1 does for sequence numbers,
so that no single packet, forged or astray, can throw a stream off.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .arrivals import Arrivals, Packet, signed32
from .g711 import DECODE
from .jitter_state import NEVER, Count, JitterRows
from .reception import NO_SOURCE

__all__ = ["Intake"]

# RFC 3550 A.1
_MAX_DROPOUT, _MAX_MISORDER = 3000, 100
_FOLLOWS = 8
"""A packet confirms one kept aside if it is at most so many numbers after it: not just
one, so that a lossy network does not lock a new source out."""
_MOST_RESTARTS = 4
"""Of a row within one batch. A call transferred in mid-stall has one."""
_EARLY_MS = 60
"""A gap in timestamps is a pause if the packet is not earlier than the fastest by more."""
_CODES = DECODE.reshape(-1)

_Integers = NDArray[np.int64]
_Mask = NDArray[np.bool_]


class Intake:
    """Files packets into the rows."""

    def __init__(self, rows: JitterRows) -> None:
        self._rows = rows
        self._aside: dict[int, Packet] = {}
        self._early = rows.rate_hz * _EARLY_MS / 1000

    def forget(self, row: int) -> None:
        """Drop what is kept aside of a row."""
        self._aside.pop(row, None)

    def absorb(self, packets: Sequence[Packet]) -> None:
        """File packets, in the order they arrived."""
        for _ in range(_MOST_RESTARTS):
            if not packets:
                return
            packets = self._absorb(Arrivals.of(packets))
        # A stream that restarts at every other packet would cost everybody time.
        self._rows.count(np.array([packet[0] for packet in packets], np.intp), Count.OVERFLOW)

    def _absorb(self, batch: Arrivals) -> list[Packet]:
        """File what is plain; what follows a restart is handed back."""
        state, rows = self._rows, batch.rows
        reception = state.reception
        ahead = reception.ahead(rows, batch.sequences)
        jump = signed32(batch.timestamps + state.offset[rows] - state.head[rows])
        perfect = (batch.ssrcs == reception.ssrc[rows]) & (ahead == 1) & (jump == 0)
        smooth = bool(perfect.all())
        restarts: list[Packet] = []
        deferred: list[Packet] = []
        if not smooth or self._aside:
            odd = ~perfect if smooth else self._odd(batch, ahead, jump)
            if odd.any() or not self._aside.keys().isdisjoint(rows.tolist()):
                keep = self._weigh(batch.packets, odd, restarts, deferred)
                if len(keep) < len(rows):
                    chosen = np.array(keep, np.intp)
                    batch, ahead, jump = batch.select(chosen), ahead[chosen], jump[chosen]
        if len(batch.rows):
            self._count(batch, ahead, jump, smooth=smooth)
        for packet in restarts:
            self._restart(packet)
        return deferred

    # -- what belongs ------------------------------------------------------------------

    def _odd(self, batch: Arrivals, ahead: _Integers, jump: _Integers) -> _Mask:
        """Which packets do not continue their row's stream as it is."""
        state, rows = self._rows, batch.rows
        known = batch.ssrcs == state.reception.ssrc[rows]
        in_sequence = (ahead < _MAX_DROPOUT) & (ahead > -_MAX_MISORDER)
        transit = batch.times * state.rate_hz - (state.head[rows] + jump)
        punctual = transit >= state.delay.fastest[rows] - self._early
        frame = state.frame
        expected = (ahead - 1) * state.last_length[rows]
        newer = (jump >= -frame) & ((jump <= expected + frame) | punctual)
        older = (jump <= frame) & (jump > -2 * state.span)
        belongs = np.where(ahead > 0, newer, older) | (batch.lengths == 0)
        odd: _Mask = ~(known & in_sequence & belongs)
        return odd

    def _weigh(
        self,
        packets: Sequence[Packet],
        odd: _Mask,
        restarts: list[Packet],
        deferred: list[Packet],
    ) -> list[int]:
        """Look at odd packets one by one; gives the indexes of those to file now."""
        keep: list[int] = []
        restarted: set[int] = set()
        for index, (packet, is_odd) in enumerate(zip(packets, odd.tolist(), strict=True)):
            row = packet[0]
            if row in restarted:
                deferred.append(packet)
            elif not is_odd:
                keep.append(index)
                self._aside.pop(row, None)
            elif begins := self._begins(packet):
                restarts.append(begins[0])
                deferred.extend(begins)
                restarted.add(row)
        return keep

    def _begins(self, packet: Packet) -> list[Packet]:
        """The packets a new stream begins with, or none: this one is kept aside."""
        row, sequence, timestamp, ssrc, marker, payload, _ = packet
        if not payload:
            return []
        reception = self._rows.reception
        current = int(reception.ssrc[row])
        if current == NO_SOURCE:
            return [packet]
        first = self._aside.pop(row, None)
        if first is not None and first[3] == ssrc:
            steps = sequence - first[1] & 0xFFFF
            elapsed = timestamp - first[2] & 0xFFFFFFFF
            if 0 < steps <= _FOLLOWS and 0 < elapsed <= self._rows.span:
                self._rows.counts[row, Count.STRAY] -= 1
                return [first, packet]
        # RFC 3551 4.1: the marker says that a talkspurt begins here, and nothing is missing.
        if marker and ssrc == current and sequence == int(reception.highest[row]) + 1 & 0xFFFF:
            return [packet]
        self._aside[row] = packet
        self._rows.counts[row, Count.STRAY] += 1
        return []

    def _restart(self, packet: Packet) -> None:
        """Let a row's stream go on with this packet, wherever its timestamp is."""
        row, sequence, timestamp, ssrc, _, _, time = packet
        state, reception = self._rows, self._rows.reception
        fresh = reception.ssrc[row] == NO_SOURCE
        position = 0 if fresh else max(int(state.head[row]), int(state.read[row]))
        ahead = sequence - int(reception.highest[row]) & 0xFFFF
        counts = state.counts[row]
        if fresh:
            # Packets that overtook each other at the beginning are still filed.
            state.read[row] = -state.span // 4
            reception.restart(row, ssrc, sequence)
        else:
            counts[Count.SOURCES] += ssrc != reception.ssrc[row]
            counts[Count.RESTARTS] += ssrc == reception.ssrc[row]
            if ssrc != reception.ssrc[row] or not 0 < ahead < _MAX_DROPOUT:
                counts[Count.RECEIVED_BEFORE] += reception.received[row]
                counts[Count.LOST_BEFORE] += reception.lost(row)
                reception.restart(row, ssrc, sequence)
            reception.forget_transit(row)
            if state.onset[row] == NEVER:
                state.quiet_from[row] = position
            state.onset[row] = min(int(state.onset[row]), position)
        state.offset[row] = position - timestamp
        state.head[row] = position
        state.delay.restart(row, time * state.rate_hz - position)

    # -- where it goes -------------------------------------------------------------------

    def _count(self, batch: Arrivals, ahead: _Integers, jump: _Integers, *, smooth: bool) -> None:
        """Count packets of the stream, and file those that carry something new."""
        state, rows = self._rows, batch.rows
        again = state.reception.count(
            rows, batch.sequences, ahead, single=batch.single, repeats=batch.repeats
        )
        audio = batch.lengths > 0
        fresh = audio & ~again
        if not fresh.all():
            state.count(rows[again], Count.DUPLICATE)
            state.resting[rows[~audio & (ahead > 0)]] = True
            chosen = fresh.nonzero()[0]
            if not chosen.size:
                return
            batch, ahead, jump = batch.select(chosen), ahead[chosen], jump[chosen]
            rows = batch.rows
        position = state.head[rows] + jump
        transit = batch.times * state.rate_hz - position
        state.reception.time(rows, transit, single=batch.single)
        state.delay.observe(rows, transit, single=batch.single)
        self._place(batch, position, ahead, jump, smooth=smooth)

    def _place(
        self,
        batch: Arrivals,
        position: _Integers,
        ahead: _Integers,
        jump: _Integers,
        *,
        smooth: bool,
    ) -> None:
        """Find out what is late, what begins a talkspurt and what is too much; file the rest."""
        state, rows = self._rows, batch.rows
        end = position + batch.lengths
        playing, read = state.playing[rows], state.read[rows]
        all_play = bool(playing.all())
        some_late = False
        if not smooth or not all_play:
            late = end <= read
            some_late = bool(late.any())
            state.count(rows[ahead < 1], Count.REORDERED)
            if not all_play:
                self._await(rows, position, playing, late)
            self._pause(rows, position, end, playing, ahead, jump)
            state.count(rows[late], Count.LATE)
        oldest = read if all_play else np.where(playing, read, state.onset[rows])
        too_much = end - oldest > state.span
        if too_much.any():
            before = end > read
            for row in np.unique(rows[too_much & before]).tolist():
                self._skip(row, int(end[rows == row].max()))
            read = state.read[rows]
            state.count(rows[before & (end <= read)], Count.OVERFLOW)
            some_late = True
        state.resting[rows] = False
        state.last_length[rows] = batch.lengths
        np.maximum.at(state.head, rows, end)
        if some_late:
            chosen = (end > read).nonzero()[0]
            batch, position, read = batch.select(chosen), position[chosen], read[chosen]
        self._write(batch, position, read)

    def _await(
        self, rows: NDArray[np.intp], position: _Integers, playing: _Mask, late: _Mask
    ) -> None:
        """Rows that wait shall start with the oldest audio they have."""
        state = self._rows
        waiting = ~playing & ~late
        begins = np.maximum(position, state.read[rows])
        np.minimum.at(state.onset, rows[waiting], begins[waiting])

    def _pause(
        self,
        rows: NDArray[np.intp],
        position: _Integers,
        end: _Integers,
        playing: _Mask,
        ahead: _Integers,
        jump: _Integers,
    ) -> None:
        """Notice that a sender paused: timestamps have a gap that the numbers do not explain."""
        state = self._rows
        gap = jump - (ahead - 1) * state.last_length[rows]
        onset = state.onset[rows]
        paused = (gap > state.frame) & (ahead > 0) & playing
        if not paused.any() and (onset == NEVER).all():
            return
        passed = rows[playing & (onset < state.read[rows])]
        state.onset[passed] = NEVER
        new = rows[paused & (state.onset[rows] == NEVER)]
        state.quiet_from[new] = state.head[new]
        np.minimum.at(state.onset, rows[paused], position[paused])
        onset = state.onset[rows]
        before = playing & (onset != NEVER) & (position < onset)
        np.maximum.at(state.quiet_from, rows[before], end[before])

    def _skip(self, row: int, newest: int) -> None:
        """More than a second is waiting: pass all but what the row wants as delay."""
        state = self._rows
        playing = state.playing[row]
        start = int(state.read[row] if playing else state.onset[row])
        wanted = int(state.delay.wanted[row]) + state.frame
        frames = -((start - (newest - wanted)) // state.frame)
        stop = start + frames * state.frame
        state.ring.clear_span(row, start, stop)
        state.counts[row, Count.DROPPED] += frames
        state.read[row] = stop
        state.held[row] = 0
        if not playing or state.onset[row] < stop:
            state.onset[row] = NEVER if playing else stop

    def _write(self, batch: Arrivals, position: _Integers, read: _Integers) -> None:
        """Decode payloads and file their samples, those that are not played already."""
        if not len(batch.rows):
            return
        state, rows = self._rows, batch.rows
        codes = np.frombuffer(b"".join(batch.payloads), np.uint8)
        laws = state.law[rows]
        if laws.min() == laws.max():
            pcm = DECODE[int(laws[0])].take(codes)
        else:
            pcm = _CODES.take(codes + np.repeat(laws * 256, batch.lengths))
        whole = (batch.lengths == state.frame) & (position >= read)
        if whole.all():
            state.ring.write(rows, position, pcm.reshape(-1, state.frame))
            return
        ends = np.cumsum(batch.lengths)
        starts = ends - batch.lengths
        chosen = whole.nonzero()[0]
        block = pcm[starts[chosen, np.newaxis] + np.arange(state.frame)]
        state.ring.write(rows[chosen], position[chosen], block)
        for index in (~whole).nonzero()[0].tolist():
            start, at = int(starts[index]), int(position[index])
            played = max(int(read[index]) - at, 0)
            piece = pcm[start + played : int(ends[index])]
            state.ring.write_piece(int(rows[index]), at + played, piece)
