"""The jitter bank: packets in as they come, a frame out at every tick, for many legs.

Time is told by two numbers. A *position* is a packet's timestamp, unwrapped and
shifted so that a row counts on through restarts and changes of source. A *transit*
is the clock minus a position, in samples: for a packet as it arrives, for playout
as it is taken. A row's delay is the transit of its playout over that of its fastest
recent packet, and `DelayEstimate` says how large that should be.

`put` only files. `take` first absorbs what was filed, for all rows in one batch,
into a ring of decoded samples addressed by position; then it plays the frame at each
row's read position. So packet times other than 20 ms, and timestamps at any offset,
need no case of their own. Rows with a codec that has a memory (Opus) keep packets instead
(`jitter_coded`) and decode into the same ring when `take` is about to read, with the
packet after a gap at hand for its error correction.

A row is waiting or playing. Waiting, it starts when the oldest packet it has is old
enough. Playing, it finds a frame that is not complete:
- later audio is here: the frame is lost. It is concealed and passed (`jitter_gaps`).
- nothing later is here: the packet is late, or the sender stopped; nobody can know
  yet. The frame is concealed and *not* passed: if audio goes on, nothing is lost and
  the delay has grown; if it goes on beyond a gap, what was concealed counts
  towards the gap. After 160 ms the row waits: the sender stopped, and what comes is
  a new talkspurt, started with the delay then wanted.
- the gap is a pause: sequence numbers have no gap, only timestamps. The row waits.
Delay that is too long or too short is put right by leaving out or repeating a pitch
period at a time (`stretching`); when hopeless, at once.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .arrivals import CodedPayload, Packet, Payload
from .codec import Codec
from .comfort import Comfort
from .g711 import Law
from .jitter_coded import CodedRow
from .jitter_gaps import Gaps
from .jitter_intake import Intake
from .jitter_state import NEVER, NOTHING, Count, JitterRows, JitterSettings
from .reserve import NODE_ROWS
from .row_noise import RowNoise
from .rtcp_session import ReceptionCounters
from .sample_ring import HOLE
from .stretching import Stretcher

__all__ = ["JitterBank", "JitterSettings", "JitterStatistics", "Kind", "Taken"]

_PENDING = 4096
"""Packets filed but not absorbed. Reached only if nobody takes; then put absorbs."""
_STALL_SECONDS = 0.1
"""Takes further apart than this mean that we were stopped, and arrivals teach nothing."""
_LEVEL_GAIN = 1 / 16
_SHORT_MS, _LONG_MS = 5, 20
"""Delay is left alone from so much below what is wanted to so much above it."""

_Rows = NDArray[np.intp]
_Mask = NDArray[np.bool_]
_Block = NDArray[np.int16]
_NONE = np.zeros(0, np.intp)


def _without_holes(pcm: _Block) -> _Mask:
    """Which of these frames are complete."""
    # Nearly always all are, and the least of all samples is found four times as fast.
    if pcm.item(pcm.argmin()) > HOLE:
        return np.ones(len(pcm), np.bool_)
    complete: _Mask = pcm.min(axis=1) > HOLE
    return complete


class Kind(IntEnum):
    """What a frame taken is."""

    SILENT = 0
    """Nothing is expected: before the first packet, in a pause, filling up."""
    PLAYED = 1
    """As it was sent; the first 4 ms after concealment are blended with it."""
    CONCEALED = 2
    """Missing, wholly or in part."""
    STRETCHED = 3
    """A pitch period shorter or longer than it was sent, to change the delay."""


# Arrays are compared with numbers five times as fast as with members of an enum.
_SILENT, _PLAYED = int(Kind.SILENT), int(Kind.PLAYED)


@dataclass(frozen=True, slots=True)
class Taken:
    """One frame of each row."""

    pcm: NDArray[np.int16]
    """(n, 20 ms)."""
    kind: NDArray[np.uint8]
    """(n,), see `Kind`."""


@dataclass(frozen=True, slots=True)
class JitterStatistics:
    """What happened on one row since it was opened; counts are of packets unless named."""

    received: int
    """Packets of the stream, duplicates and packets without audio included."""
    lost: int
    """Never came. A pause is no loss."""
    late: int
    """Came after their time."""
    duplicate: int
    """Came again."""
    reordered: int
    """Came after a packet sent later."""
    overflow: int
    """Thrown away because there was no room: more than a second was waiting, or too long."""
    stray: int
    """Put aside: of no known source, or at a time out of reach."""
    ssrc_changes: int
    """Another source took the stream over."""
    restarts: int
    """The same source went on with other timestamps or sequence numbers."""
    concealed_frames: int
    """Frames that were concealed, wholly or in part, by the bank or by the row's codec."""
    dropped_frames: int
    """Audio left out to shorten the delay, in whole frames."""
    inserted_frames: int
    """Audio added to lengthen the delay, in whole frames."""
    stretched_frames: int
    """Frames that were made a pitch period shorter or longer for that."""
    jitter_ms: float
    """Interarrival jitter (RFC 3550 A.8)."""
    target_ms: float
    """Delay wanted."""
    delay_ms: float
    """Delay now, of the fastest packet; 0 while nothing plays."""
    recovered_frames: int = 0
    """Lost audio of which a later packet had a copy (Opus), in whole frames."""
    malformed: int = 0
    """Payloads that no encoder of the row's codec makes; they count as lost."""

    @property
    def loss_rate(self) -> float:
        """Share of the packets sent that never came or came too late, 0 to 1."""
        sent = self.received - self.duplicate + self.lost
        return min(1.0, (self.lost + self.late) / sent) if sent > 0 else 0.0


class JitterBank:
    """Jitter buffers of many legs; see the module's text for how it works.

    Rows are opened and closed one by one, filled packet by packet with `put`, and
    read many at a time with `take`, every 20 ms each. Payloads are G.711 at any
    packet time up to 250 ms; the timestamp clock is the sample rate.
    """

    def __init__(
        self, rate_hz: int = 8000, settings: JitterSettings | None = None, capacity: int = NODE_ROWS
    ) -> None:
        self.rate_hz = rate_hz
        self.settings = settings if settings is not None else JitterSettings()
        self._state = JitterRows(rate_hz, self.settings, capacity)
        self._rows = self._state.concealer.rows
        self._opened = self._rows.opened
        per_ms = rate_hz / 1000
        self._gaps = Gaps(self._state, int(self.settings.patience_ms * per_ms))
        self._intake = Intake(self._state, self._gaps.reopen)
        self._pending: list[Packet] = []
        self._longest = self._state.span // 4
        self._last_take = -np.inf
        # Delay is left alone as far as this from the middle of the band.
        self._middle = (_LONG_MS - _SHORT_MS) / 2 * per_ms
        self._band = (_LONG_MS + _SHORT_MS) / 2 * per_ms
        self._stretcher = Stretcher(self._state, self._middle, self.settings.far_ms * per_ms)
        self._hopeless = (self.settings.max_ms + self.settings.far_ms) * per_ms
        self._comfort = Comfort(rate_hz)
        self._noise = RowNoise(rate_hz)
        self._patience = int(self.settings.patience_ms * per_ms)

    def __len__(self) -> int:
        return len(self._opened)

    # -- rows ----------------------------------------------------------------------------

    def open(self, law: Law = Law.ULAW) -> int:
        """A row for a new leg; a full bank doubles, which is slow. Rows keep their numbers."""
        return self._state.open(law)

    def close(self, row: int) -> None:
        """Give a row back; raises `UsageError` if it is not open."""
        self._settled(row)
        self._intake.forget(row)
        self._noise.forget(row)
        self._state.close(row)

    def reset(self, row: int) -> None:
        """Begin anew on an open row, statistics included."""
        self._settled(row)
        self._intake.forget(row)
        self._noise.forget(row)
        coded = self._state.coded.get(row)
        self._state.reset(row, Law(int(self._state.law[row])))
        if coded is not None:
            self._comfort.forget(row)
            self._state.coded[row] = CodedRow(coded.codec, self._state.span)

    def set_law(self, row: int, law: Law) -> None:
        """From the next packet on the row's payloads are in this law."""
        self._settled(row)
        self._finish_codec(row)
        self._state.law[row] = law

    def set_codec(self, row: int, codec: Codec) -> None:
        """From the next packet on the row's payloads are this codec's, given to `put_coded`.

        Raises `UsageError` for a codec whose audio is not at the bank's rate.
        """
        if codec.rate_hz != self.rate_hz:
            raise UsageError(f"{codec.name} is at {codec.rate_hz} Hz, the bank at {self.rate_hz}")
        self._settled(row)
        self._finish_codec(row)
        self._comfort.forget(row)
        # No packet of it is plain, so that none takes the way of G.711's arrays.
        self._state.expected[:, row] = NOTHING
        self._state.coded[row] = CodedRow(codec, self._state.span)

    def _finish_codec(self, row: int) -> None:
        """Decode what is left of a row's codec, and let it go."""
        if row in self._state.coded:
            self._decode(row, int(self._state.head[row]))
            self._state.uncode(row)

    def _settled(self, row: int) -> None:
        """Absorb what is pending; raises `UsageError` if the row is not open."""
        self._rows.check(row)
        self._absorb()

    # -- packets in ----------------------------------------------------------------------

    def put(
        self,
        row: int,
        sequence: int,
        timestamp: int,
        ssrc: int,
        marker: bool,
        payload: Payload,
        now: float,
    ) -> None:
        """File a packet that arrived ``now``. An empty payload is a packet without audio.

        Nothing a peer sends raises; a row that is not open raises `UsageError`.
        """
        if row not in self._opened:
            self._rows.check(row)
        if len(payload) > self._longest:
            self._state.counts[row, Count.OVERFLOW] += 1
            payload = b""
        self._pending.append((row, sequence, timestamp, ssrc, marker, payload, now))
        if len(self._pending) >= _PENDING:
            self._absorb()

    def put_decoded(
        self,
        row: int,
        sequence: int,
        timestamp: int,
        ssrc: int,
        marker: bool,
        pcm: NDArray[np.int16],
        now: float,
    ) -> None:
        """`put` of a packet that is decoded already: its samples, which are copied.

        Its sequence number is of 16 bits and its timestamp of 32, in samples.
        """
        payload = memoryview(np.maximum(pcm, np.int16(HOLE + 1)).data)
        self.put(row, sequence, timestamp, ssrc, marker, payload, now)

    def put_coded(
        self,
        row: int,
        sequence: int,
        timestamp: int,
        ssrc: int,
        marker: bool,
        payload: bytes,
        now: float,
    ) -> None:
        """`put` of a packet of the row's codec; the timestamp is on the codec's RTP clock.

        What no encoder makes is counted and counts as lost. A row without a codec raises
        `UsageError`.
        """
        coded = self._state.coded.get(row)
        if coded is None:
            raise UsageError(f"row {row} has no codec")
        samples = coded.decoder.samples(payload)
        if samples is not None:
            timestamp = coded.clock.scale(timestamp)
            held = CodedPayload(payload, samples, coded.codec.quiet(payload))
            self.put(row, sequence, timestamp, ssrc, marker, held, now)

    def put_other(self, row: int, sequence: int, ssrc: int, now: float) -> None:
        """A packet of the stream that carries no audio arrived: a digit, comfort noise.

        It has a number in the sequence, so that nobody takes it for lost; and it says
        that audio now missing is not late.
        """
        self.put(row, sequence, 0, ssrc, False, b"", now)

    def put_noise(self, row: int, sequence: int, ssrc: int, payload: bytes, now: float) -> None:
        """A packet of comfort noise (RFC 3389): the row plays it while it waits for audio."""
        self.put_other(row, sequence, ssrc, now)
        self._noise.describe(row, payload)

    def rests(self, row: int) -> bool:
        """Whether the far end said that it pauses, so that no packet is missing."""
        self._settled(row)
        return bool(self._state.resting[row])

    def _absorb(self) -> None:
        if self._pending:
            pending, self._pending = self._pending, []
            self._intake.absorb(pending)

    # -- frames out ----------------------------------------------------------------------

    def take(self, rows: _Rows, now: float) -> Taken:
        """The next frame of each of these rows; a row is there once.

        Raises `UsageError` if one is not open.
        """
        state = self._state
        # In this order, for it may be absorbed already, and shall count no other way then.
        self._absorb()
        state.delay.turn(now)
        if now - self._last_take > _STALL_SECONDS:
            state.delay.disregard()
        self._last_take = now
        state.delay.learn(now)
        if not len(rows):
            return Taken(np.zeros((0, state.frame), np.int16), np.zeros(0, np.uint8))
        playing, excess = self._steer(rows, now * self.rate_hz)
        if state.coded:
            self._decode_each(rows[playing])
        read = state.read[rows]
        pcm = state.ring.read(rows, read)
        complete = playing & _without_holes(pcm)
        made = state.filled[rows] > read
        if np.count_nonzero(made):
            made &= complete
            plain = complete & ~made
        else:
            plain = complete
        stretched = _NONE
        if self._stretcher.turns(now):
            unsettled = np.abs(excess - self._middle) > self._band
            where = (unsettled & plain).nonzero()[0]
            stretched = self._stretcher.stretch(pcm, rows, where, excess, now)
        if stretched.size or np.count_nonzero(plain) < len(rows):
            return self._take_mixed(rows, pcm, playing, plain, made, stretched)
        state.advance(rows, read)
        state.concealer.update(pcm, rows)
        return Taken(pcm, np.ones(len(rows), np.uint8))  # Kind.PLAYED

    def _decode_each(self, rows: _Rows) -> None:
        """Decode what rows with a codec are about to play, and all that follows in order."""
        state = self._state
        for row in state.coded.keys() & set(rows.tolist()):
            self._decode(row, state.read.item(row) + state.frame)

    def _decode(self, row: int, due: int) -> None:
        """Decode a row's packets; those beyond a gap only if it begins before ``due``."""
        state = self._state
        coded = state.coded[row]
        for position, pcm in coded.decode(state.read.item(row), due):
            state.ring.write_piece(row, position, pcm)
            self._comfort.heard(row)
        if coded.made_until > state.filled.item(row):
            state.filled[row] = coded.made_until

    def _steer(self, rows: _Rows, clock: float) -> tuple[_Mask, NDArray[np.float64]]:
        """Start rows whose time has come, pass what is hopelessly old.

        Gives which rows play, and by how much their delay exceeds the one wanted.
        """
        state = self._state
        playing = state.playing[rows]
        if np.count_nonzero(playing) < len(rows):
            if state.law[rows].min() < 0:
                raise UsageError("a row of the bank that is not open was to be taken from")
            self._begin(rows[~playing], clock)
            playing = state.playing[rows]
        held = state.held[rows]
        if np.count_nonzero(held):
            self._credit(rows[playing & (held > 0)])
        delay = clock - state.read[rows] - state.delay.fastest[rows]
        hopeless = delay > self._hopeless
        if self._intake.flooded or np.count_nonzero(hopeless):
            flooded = [row in self._intake.flooded for row in rows.tolist()]
            hopeless = playing & (hopeless | flooded)
            self._give_up(rows[hopeless], delay[hopeless])
            self._intake.flooded.difference_update(rows[playing].tolist())
            delay = clock - state.read[rows] - state.delay.fastest[rows]
        level = state.level[rows]
        delay -= level
        delay *= _LEVEL_GAIN
        level += delay
        # A stop of seconds is over at once, and not when the mean of it is.
        np.minimum(level, self._hopeless, out=level)
        state.level[rows] = level
        return playing, level - state.delay.wanted[rows]

    def _begin(self, rows: _Rows, clock: float) -> None:
        """Let rows play that have waited long enough."""
        state = self._state
        onset = state.onset[rows]
        delay = clock - onset - state.delay.fastest[rows]
        due = (delay >= state.delay.wanted[rows]) & (onset != NEVER)
        if due.any():
            rows = rows[due]
            state.read[rows] = onset[due]
            state.level[rows] = delay[due]
            state.onset[rows] = NEVER
            state.held[rows] = 0
            state.playing[rows] = True

    def _credit(self, rows: _Rows) -> None:
        """Audio went on beyond a gap: what was concealed while waiting counts towards it."""
        state = self._state
        for row in rows.tolist():
            read, head = int(state.read[row]), int(state.head[row])
            pause = state.quiet_from[row] <= read < state.onset[row] != NEVER
            if head <= read or pause:
                continue
            gap = self._gaps.next_audio(row, read, head) - read
            state.read[row] += min(gap, int(state.held[row]))
            state.held[row] = 0

    def _give_up(self, rows: _Rows, delay: NDArray[np.float64]) -> None:
        """Delay is beyond all bounds: go to the one wanted at once, if there is audio."""
        state = self._state
        for row, now in zip(rows.tolist(), delay.tolist(), strict=True):
            read = state.read.item(row)
            excess = int(now - state.delay.wanted.item(row))
            frames = min(excess, state.head.item(row) - read) // state.frame
            if frames <= 0:
                continue
            state.ring.clear_span(row, read, read + frames * state.frame)
            state.read[row] += frames * state.frame
            state.level[row] = now - frames * state.frame
            state.held[row] = 0
            state.counts[row, Count.DROPPED] += frames * state.frame

    def _take_mixed(
        self, rows: _Rows, pcm: _Block, playing: _Mask, plain: _Mask, made: _Mask, stretched: _Rows
    ) -> Taken:
        """A tick at which not every row simply plays."""
        kind = plain.astype(np.uint8)  # Kind.PLAYED, or none known yet
        if np.count_nonzero(playing) < len(rows):
            pcm[~playing] = 0
        played = kind.nonzero()[0]
        if stretched.size:
            kind[stretched] = Kind.STRETCHED
        going = rows[kind == _PLAYED]
        if going.size:
            self._state.advance(going, self._state.read[going])
        if played.size:
            self._state.concealer.update(pcm, rows, played)
        if np.count_nonzero(made):
            where = made.nonzero()[0]
            self._gaps.go_on(pcm[where], rows[where])
            kind[where] = Kind.CONCEALED
        gaps = (playing & (kind == _SILENT)).nonzero()[0]
        if gaps.size:
            block = pcm[gaps]
            kind[gaps] = self._gaps.close(block, rows[gaps])
            pcm[gaps] = block
        if self._state.coded:
            self._comfort_each(pcm, rows)
        if self._noise:
            for index in (~self._state.playing[rows]).nonzero()[0].tolist():
                self._noise.fill(pcm[index], rows.item(index))
        return Taken(pcm, kind)

    def _comfort_each(self, pcm: _Block, rows: _Rows) -> None:
        """What rows with a codec play while they wait: noise, if it has any."""
        state = self._state
        for index in (~state.playing[rows]).nonzero()[0].tolist():
            row = rows.item(index)
            if row in state.coded:
                paused = bool(state.resting[row]) or state.onset.item(row) != NEVER
                read, coded = state.read.item(row), state.coded[row]
                self._comfort.fill(pcm[index], row, read, coded, paused=paused)

    # -- what happened -----------------------------------------------------------------------

    def position(self, row: int) -> int:
        """The timestamp that the row's next frame begins at, of the present source."""
        self._settled(row)
        return int(self._state.read[row] - self._state.offset[row])

    def positions(self, rows: _Rows) -> NDArray[np.int64]:
        """Where each row's next frame begins, in samples that count on through restarts."""
        return self._state.read[rows]

    def state(self) -> JitterRows:
        """What is known of all rows, of all that was filed: to be read, for the quality bank."""
        self._absorb()
        return self._state

    def reception(self, row: int) -> ReceptionCounters | None:
        """What to report of the row's present source; None before its first packet."""
        self._settled(row)
        return self._state.reception.counters(row)

    def statistics(self, row: int) -> JitterStatistics:
        """What happened on this row since it was opened."""
        self._settled(row)
        state = self._state
        counts = state.counts[row].tolist()
        per_ms = self.rate_hz / 1000
        reception = state.reception
        coded = state.coded.get(row)
        if coded is not None:
            counts[Count.LATE] += coded.late
            counts[Count.RECOVERED] += coded.decoder.recovered // state.frame
            counts[Count.MALFORMED] += coded.decoder.malformed
        return JitterStatistics(
            received=int(reception.received[row]) + counts[Count.RECEIVED_BEFORE],
            lost=reception.lost(row) + counts[Count.LOST_BEFORE],
            late=counts[Count.LATE],
            duplicate=counts[Count.DUPLICATE],
            reordered=counts[Count.REORDERED],
            overflow=counts[Count.OVERFLOW],
            stray=counts[Count.STRAY],
            ssrc_changes=counts[Count.SOURCES],
            restarts=counts[Count.RESTARTS],
            concealed_frames=counts[Count.CONCEALED],
            dropped_frames=counts[Count.DROPPED] // state.frame,
            inserted_frames=counts[Count.INSERTED] // state.frame,
            stretched_frames=counts[Count.STRETCHED],
            jitter_ms=float(reception.jitter[row]) / per_ms,
            target_ms=float(state.delay.wanted[row]) / per_ms,
            delay_ms=float(state.level[row]) / per_ms if state.playing[row] else 0.0,
            recovered_frames=counts[Count.RECOVERED],
            malformed=counts[Count.MALFORMED],
        )
