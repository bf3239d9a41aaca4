"""Arrival: which packets belong to a row's stream, and where their audio goes.

Most packets are plain: the known source, the next number, the timestamp where the
last one ended, as long as that, and there is room. Those of many rows are filed at
once, in arrays; and so, where there are several, are packets that are plain but for a
loss before them, or for one that overtook them. All others are looked at one by one.
Both do the same to a row, to the bit: what a packet does depends on its row alone, not
on what else arrives.

What does not fit at all (another source, a jump) is odd: it is kept aside until a
second packet continues it, as RFC 3550 A.1 does for sequence numbers, so that no
single packet, forged or astray, can throw a stream off.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from .arrivals import Arrivals, CodedPayload, Packet, Payload
from .g711 import DECODE
from .jitter_state import NEVER, NOTHING, Count, JitterRows
from .reception import NO_SOURCE

__all__ = ["Intake"]

_FEW = 5
"""Fewer packets than this are filed faster one by one (8 µs each) than in arrays."""
_FAR = 32
"""Packets so many after or before the next in order, or more, are looked at one by one."""
_ODD = 1 << 20
"""For a number of packets: it is none of those."""
# RFC 3550 A.1
_MAX_DROPOUT, _MAX_MISORDER = 3000, 100
_FOLLOWS = 8
"""A packet confirms one kept aside if it is at most so many numbers after it: not just
one, so that a lossy network does not lock a new source out."""
_MOST_RESTARTS, _RESTARTS_SECONDS = 4, 0.1
"""Of a row in this time. A call transferred in mid-stall has one."""
_EARLY_MS = 60
"""A gap in timestamps is a pause if the packet is not earlier than the fastest by more."""
_CODES = DECODE.reshape(-1)
_PAIRS = [
    table.take(np.arange(65536, dtype=np.uint16).view(np.uint8)).view(np.int32) for table in DECODE
]
"""Two samples for two codes, by law: half as many look-ups."""

_REORDERED = int(Count.REORDERED)

_Integers = NDArray[np.int64]


def _signed(difference: int, bits: int) -> int:
    """A difference of numbers that wrap, the short way round."""
    half = 1 << bits - 1
    return (difference + half & (1 << bits) - 1) - half


class Intake:
    """Files packets into the rows.

    ``reopen`` is told rows of which audio came for a gap that is filled already.
    """

    def __init__(self, rows: JitterRows, reopen: Callable[[int], None]) -> None:
        self._rows = rows
        self._reopen = reopen
        self._aside: dict[int, Packet] = {}
        self._restarts: dict[int, tuple[float, int]] = {}
        self._early = rows.rate_hz * _EARLY_MS / 1000
        self._orderly = True
        """Packets came in order last time; only what is tried first depends on it."""
        self.flooded: set[int] = set()
        """Rows that had more than a second waiting: what is wanted as delay shall stay of it."""

    def forget(self, row: int) -> None:
        """Drop what is kept of a row here."""
        self._aside.pop(row, None)
        self._restarts.pop(row, None)
        self.flooded.discard(row)

    def absorb(self, packets: Sequence[Packet]) -> None:
        """File packets, in the order they arrived."""
        if len(packets) < _FEW:
            for packet in packets:
                self._file(packet)
            return
        batch = Arrivals.of(packets)
        turns = batch.turns(self._rows.marks)
        if len(turns) == 1:
            self._file_each(batch, packets)
        else:
            self._file_several(batch, packets, turns)

    # -- plain packets, many at once ---------------------------------------------------------

    def _file_each(self, batch: Arrivals, packets: Sequence[Packet]) -> None:
        """File packets of as many rows."""
        state = self._rows
        rows, head = batch.rows, state.head[batch.rows]
        said, read = state.expected.take(rows, axis=1), state.read[rows]
        steps = None
        if self._orderly:
            # As unsigned, what is late is beyond all bounds as well.
            waiting = (head - read).view(np.uint64)
            room = (state.span - batch.said[3]).view(np.uint64)
            plain = (batch.said == said).all(axis=0) & (waiting <= room) & state.playing[rows]
            self._orderly = bool(np.count_nonzero(plain) > len(rows) - _FEW)
        if not self._orderly:
            steps = self._steps(batch, said, head, read, _FAR)
            plain = steps != _ODD
            self._orderly = not np.count_nonzero(steps)
        if np.count_nonzero(plain) < len(rows):
            for index in (~plain).nonzero()[0].tolist():
                self._file(packets[index])
            chosen = plain.nonzero()[0]
            if not chosen.size:
                return
            batch, head, read = batch.select(chosen), head[chosen], read[chosen]
            if steps is not None:
                steps = steps[chosen]
        self._nothing_aside(batch.rows)
        if steps is not None and (np.count_nonzero(steps) or np.count_nonzero(head < read)):
            self._count_others(batch, head + steps * batch.said[3], steps, read, ())
        else:
            self._count_next(batch, head)

    def _file_several(
        self, batch: Arrivals, packets: Sequence[Packet], turns: Sequence[NDArray[np.intp]]
    ) -> None:
        """File packets of which some rows have several; ``turns``: first, second ones and so on.

        Rows with a packet that is not plain, or twice there, or with too many of them, have
        all looked at one by one.
        """
        state, rows = self._rows, batch.rows
        said, head, read = state.expected.take(rows, axis=1), state.head[rows], state.read[rows]
        total = self._steps(batch, said, head, read, _FAR + len(packets))
        # What is next in order after those before it; of rows without any that is nothing.
        after, steps = np.zeros(len(state.marks), np.int64), total.copy()
        for turn in turns:
            those, step = rows[turn], total[turn]
            before = after[those]
            steps[turn] -= before
            after[those] = np.maximum(before, step + 1)
        odd = np.abs(steps) >= _FAR
        keys = (rows << 16 | batch.said[0]).tolist()
        if len(set(keys)) < len(keys):
            times = Counter(keys)
            odd |= np.array([times[key] > 1 for key in keys])
        if sum(map(len, turns)) < len(rows):
            odd[np.delete(np.arange(len(rows)), np.concatenate(turns))] = True
        position = head + total * batch.said[3]
        if np.count_nonzero(odd):
            after[:] = 0
            after[rows[odd]] = 1
            alone = after[rows] > 0
            for index in alone.nonzero()[0].tolist():
                self._file(packets[index])
            chosen = (~alone).nonzero()[0]
            if not chosen.size:
                return
            batch, position, read = batch.select(chosen), position[chosen], read[chosen]
            steps = steps[chosen]
            places = np.cumsum(~alone) - 1
            turns = [places[turn[~alone[turn]]] for turn in turns]
        self._nothing_aside(batch.rows)
        self._count_others(batch, position, steps, read, turns)

    def _nothing_aside(self, rows: NDArray[np.intp]) -> None:
        """These rows go on as they were."""
        if self._aside:
            for row in self._aside.keys() & set(rows.tolist()):
                del self._aside[row]

    def _count_next(self, batch: Arrivals, position: _Integers) -> None:
        """File packets that are the next in order of as many rows."""
        state, rows = self._rows, batch.rows
        transit = batch.times * state.rate_hz - position
        sequences, timestamps, _, lengths = batch.said
        state.reception.advance(rows, sequences, transit)
        state.delay.observe_each(rows, transit)
        state.head[rows] = position + lengths
        state.expected[0][rows] = sequences + 1 & 0xFFFF
        state.expected[1][rows] = timestamps + lengths & 0xFFFFFFFF
        self._write_each(batch, position)

    def _steps(
        self, batch: Arrivals, said: _Integers, head: _Integers, read: _Integers, far: int
    ) -> _Integers:
        """How far from the next in order packets are, if they are as plain otherwise.

        After a loss, or overtaken: below 0. `_ODD` of those that are not plain, or so ``far``.
        """
        state, rows = self._rows, batch.rows
        sequences, timestamps, ssrcs, lengths = batch.said
        steps = (sequences - said[0] + 0x8000 & 0xFFFF) - 0x8000
        jump = steps * lengths
        position = head + jump
        end = position + lengths
        good = (np.abs(steps) < far) & (timestamps == (said[1] + jump & 0xFFFFFFFF))
        good &= (ssrcs == said[2]) & (lengths == said[3]) & state.playing[rows]
        # What is late altogether is counted, and that is all.
        good &= (np.maximum(position, read) >= state.filled[rows]) | (end <= read)
        good &= end - read <= state.span
        good &= state.onset[rows] == NEVER
        again = state.reception.seen(rows, sequences)
        again &= steps < 0
        return np.where(good & ~again, steps, _ODD)

    def _count_others(
        self,
        batch: Arrivals,
        position: _Integers,
        steps: _Integers,
        read: _Integers,
        turns: Sequence[NDArray[np.intp]],
    ) -> None:
        """File packets of which some are not the next in order."""
        state, rows = self._rows, batch.rows
        sequences, timestamps, _, lengths = batch.said
        transit, ahead = batch.times * state.rate_hz - position, np.maximum(steps + 1, 0)
        for turn in turns or (slice(None),):
            those, late = rows[turn], transit[turn]
            state.reception.advance(those, sequences[turn], late, ahead[turn])
            state.delay.observe_each(those, late)
        end = position + lengths
        back = steps < 0
        if np.count_nonzero(back):
            on = (~back).nonzero()[0]
            those, ends = rows[on], end[on]
            sequences, timestamps, lengths = sequences[on], timestamps[on], lengths[on]
            np.add.at(state.counts[:, _REORDERED], rows[back], 1)
        else:
            those, ends = rows, end
        state.head[those] = ends
        state.expected[0][those] = sequences + 1 & 0xFFFF
        state.expected[1][those] = timestamps + lengths & 0xFFFFFFFF
        if np.count_nonzero(position < read):
            self._write_late(batch, position, read)
        else:
            self._write_each(batch, position)

    def _write_late(self, batch: Arrivals, position: _Integers, read: _Integers) -> None:
        """Decode payloads and file what is not late of them."""
        state, rows = self._rows, batch.rows
        played = read - position
        for index in (played > 0).nonzero()[0].tolist():
            row, since = rows.item(index), played.item(index)
            if since >= batch.said.item(3, index):
                state.discard(row, batch.said.item(0, index))
            else:
                pcm = self._decode(row, batch.payloads[index])[since:]
                state.ring.write_piece(row, read.item(index), pcm)
        chosen = (played <= 0).nonzero()[0]
        if chosen.size:
            self._write_each(batch.select(chosen), position[chosen])

    def _write_each(self, batch: Arrivals, position: _Integers) -> None:
        """Decode payloads and file their samples."""
        state = self._rows
        whole = batch.said[3] == state.frame
        if np.count_nonzero(whole) < len(whole):
            for index in (~whole).nonzero()[0].tolist():
                row, payload = batch.rows.item(index), batch.payloads[index]
                state.ring.write_piece(row, position.item(index), self._decode(row, payload))
            chosen = whole.nonzero()[0]
            if not chosen.size:
                return
            batch, position = batch.select(chosen), position[chosen]
        codes = b"".join(batch.payloads)
        if len(codes) != len(batch.payloads) * state.frame:
            self._write_some_decoded(batch, position)
            return
        laws = state.law[batch.rows]
        alaw = np.count_nonzero(laws)
        if alaw in (0, len(laws)):
            pairs = _PAIRS[bool(alaw)].take(np.frombuffer(codes, np.uint16))
            pcm = pairs.view(np.int16)
        else:
            of_law = np.repeat(laws * 256, state.frame)
            pcm = _CODES.take(of_law + np.frombuffer(codes, np.uint8))
        state.ring.write(batch.rows, position, pcm.reshape(-1, state.frame))

    def _write_some_decoded(self, batch: Arrivals, position: _Integers) -> None:
        """File samples of packets some of which are decoded already."""
        for index, payload in enumerate(batch.payloads):
            row = batch.rows.item(index)
            self._rows.ring.write_piece(row, position.item(index), self._decode(row, payload))

    def _decode(self, row: int, payload: bytes | memoryview) -> NDArray[np.int16]:
        if isinstance(payload, memoryview):
            return np.frombuffer(payload, np.int16)
        pcm: NDArray[np.int16] = DECODE[self._rows.law.item(row)].take(
            np.frombuffer(payload, np.uint8)
        )
        return pcm

    # -- any packet ------------------------------------------------------------------------

    def _file(self, packet: Packet) -> None:
        """File a packet, whatever it is."""
        row, sequence, timestamp, _, _, payload, time = packet
        state, reception = self._rows, self._rows.reception
        head = state.head.item(row)
        ahead = _signed(sequence - reception.highest.item(row), 16)
        jump = _signed(timestamp + state.offset.item(row) - head, 32)
        position = head + jump
        transit = time * state.rate_hz - position
        if self._odd(packet, ahead, jump, transit):
            begins = self._begins(packet)
            if begins and self._restart(begins[0]):
                for each in begins:
                    self._file(each)
            elif begins:
                state.counts[row, Count.OVERFLOW] += len(begins)
            return
        self._aside.pop(row, None)
        again = reception.count(row, sequence, ahead)
        if again:
            state.counts[row, Count.DUPLICATE] += 1
        if not payload:
            if ahead > 0:
                state.resting[row] = True
        elif not again:
            reception.time(row, transit)
            state.delay.observe(row, transit)
            if position + len(payload) <= state.read.item(row):
                state.discard(row, sequence)
            self._place(row, payload, position, ahead, jump)
        self._expect(row)

    def _expect(self, row: int) -> None:
        """What the next packet says if it is plain; see `JitterRows.expected`."""
        state = self._rows
        expected = state.expected
        expected[0, row] = state.reception.highest.item(row) + 1 & 0xFFFF
        expected[1, row] = state.head.item(row) - state.offset.item(row) & 0xFFFFFFFF
        expected[2, row] = state.reception.ssrc.item(row)
        singly = state.resting.item(row) or row in state.coded
        expected[3, row] = NOTHING if singly else state.last_length.item(row)

    # -- what belongs ------------------------------------------------------------------

    def _odd(self, packet: Packet, ahead: int, jump: int, transit: float) -> bool:
        """Whether a packet does not continue its row's stream as it is."""
        row, _, _, ssrc, _, payload, _ = packet
        state = self._rows
        known = ssrc == state.reception.ssrc.item(row)
        if not known or not -_MAX_MISORDER < ahead < _MAX_DROPOUT:
            return True
        if not payload:
            return False
        frame = state.frame
        if ahead < 1:
            return not -2 * state.span < jump <= frame
        if jump <= (ahead - 1) * state.last_length.item(row) + frame:
            return jump < -frame
        return transit < state.delay.fastest.item(row) - self._early

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

    def _restart(self, packet: Packet) -> bool:
        """Let a row's stream go on with this packet, wherever its timestamp is.

        False if it did so too often: a stream that restarts at every other packet
        would never be heard and fill the statistics.
        """
        row, sequence, timestamp, ssrc, _, _, time = packet
        state, reception = self._rows, self._rows.reception
        since, restarts = self._restarts.get(row, (-np.inf, 0))
        if time - since > _RESTARTS_SECONDS:
            since, restarts = time, 0
        if restarts >= _MOST_RESTARTS:
            return False
        self._restarts[row] = since, restarts + 1
        if reception.ssrc[row] == NO_SOURCE:
            position = 0
            # Packets that overtook each other at the beginning are still filed.
            state.read[row] = -state.span // 4
            reception.restart(row, ssrc, sequence)
        else:
            position = max(state.head.item(row), state.read.item(row))
            self._change(packet, position)
        state.offset[row] = position - timestamp
        state.head[row] = position
        state.delay.restart(row, time * state.rate_hz - position)
        return True

    def _change(self, packet: Packet, position: int) -> None:
        """A stream that there is goes on with this packet, or another takes it over."""
        row, sequence, _, ssrc, _, _, _ = packet
        state, reception = self._rows, self._rows.reception
        counts = state.counts[row]
        other = ssrc != reception.ssrc.item(row)
        counts[Count.SOURCES if other else Count.RESTARTS] += 1
        ahead = sequence - reception.highest.item(row) & 0xFFFF
        if other or not 0 < ahead < _MAX_DROPOUT:
            counts[Count.RECEIVED_BEFORE] += reception.received[row]
            counts[Count.LOST_BEFORE] += reception.lost(row)
            reception.restart(row, ssrc, sequence)
        if other and row in state.coded:
            state.coded[row].renew(position)
        reception.forget_transit(row)
        onset = self._onset(row)
        if onset == NEVER:
            state.quiet_from[row] = position
        state.onset[row] = min(onset, position)

    # -- where it goes -------------------------------------------------------------------

    def _place(self, row: int, payload: Payload, position: int, ahead: int, jump: int) -> None:
        """Find out what is late, what begins a talkspurt and what is too much; file the rest."""
        state = self._rows
        length = len(payload)
        end, read, playing = position + length, state.read.item(row), state.playing.item(row)
        if ahead < 1:
            state.counts[row, Count.REORDERED] += 1
        gap = jump - (ahead - 1) * state.last_length.item(row)
        if playing:
            self._pause(row, position, end, gap, ahead)
        elif end > read:
            # Waiting, a row shall start with the oldest audio it has.
            state.onset[row] = min(state.onset.item(row), max(position, read))
        oldest = read if playing else state.onset.item(row)
        if end > read and end - oldest > state.span:
            self._skip(row, end)
            read = state.read.item(row)
        state.resting[row] = isinstance(payload, CodedPayload) and payload.quiet
        state.last_length[row] = length
        state.head[row] = max(state.head.item(row), end)
        if isinstance(payload, CodedPayload):
            if end > read and row in state.coded:
                state.coded[row].hold(position, payload, ahead, gap)
        elif end > read:
            if max(position, read) < state.filled.item(row) and row not in state.coded:
                self._reopen(row)
            played = max(read - position, 0)
            pcm = self._decode(row, payload)
            state.ring.write_piece(row, position + played, pcm[played:])

    def _onset(self, row: int) -> int:
        """Where the next talkspurt begins, if it is still to come."""
        state = self._rows
        onset = state.onset.item(row)
        passed = onset < state.read.item(row) and state.playing.item(row)
        return NEVER if passed else onset

    def _pause(self, row: int, position: int, end: int, gap: int, ahead: int) -> None:
        """Notice that a sender paused: timestamps have a gap that the numbers do not explain."""
        state = self._rows
        onset = self._onset(row)
        if gap > state.frame and ahead > 0:
            if onset == NEVER:
                state.quiet_from[row] = state.head[row]
            onset = min(onset, position)
        if position < onset != NEVER:
            state.quiet_from[row] = max(state.quiet_from.item(row), end)
        state.onset[row] = onset

    def _skip(self, row: int, newest: int) -> None:
        """More than a second is waiting: pass all but what the row wants as delay."""
        state = self._rows
        self.flooded.add(row)
        playing = state.playing[row]
        start = int(state.read[row] if playing else state.onset[row])
        wanted = int(state.delay.wanted[row]) + state.frame
        frames = -((start - (newest - wanted)) // state.frame)
        stop = start + frames * state.frame
        thrown = state.ring.count(row, start, stop)
        if row in state.coded:
            state.coded[row].drop_before(stop)
        state.counts[row, Count.OVERFLOW] += -(-thrown // state.last_length.item(row))
        state.ring.clear_span(row, start, stop)
        state.counts[row, Count.DROPPED] += frames * state.frame
        state.read[row] = stop
        state.held[row] = 0
        if not playing or state.onset[row] < stop:
            state.onset[row] = NEVER if playing else stop
