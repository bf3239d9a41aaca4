"""The media engine: one clock, four phases, every lane one frame at a time.

Pure: `Engine.tick` runs one phase. ``transports.clock`` wakes it in real time,
a test or a laboratory in virtual time; it is the same code. A lane belongs to
one of four phases 5 ms apart, so that packets leave in a stream and not in one
burst every 20 ms. Within a phase the work is done for all lanes at once where
it can be (jitter, decoding, voice activity, encoding) and lane by lane only
where Python objects differ (ears, sockets).

The order within a tick is the order of a call's path: take a frame from the
network, let the ears hear it (barge-in clears the playout here, before
anything is taken from it), take a frame from the playout, send it, show both
to the taps.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .chain_bank import ChainBank, ChainStages
from .frames import frame_samples
from .g711 import DECODE, ENCODE, Law
from .jitter import JitterBank, Taken
from .lane import Frame, JitterInlet, Lane, StreamInlet, Window
from .lane_chain import Came, LaneChains, Plan

__all__ = ["PHASES", "TICK_SECONDS", "ActivityBank", "Engine"]

PHASES = 4
TICK_SECONDS = 0.020
SILENT_AFTER_TICKS = 5
"""After 100 ms without audio a stream that stopped is heard as silence."""
CATCH_UP_FRAMES = 3
"""A stream that is this far behind is heard two frames a tick until it is not."""
BEHIND_SECONDS = 3
"""A stream that always had a frame waiting, as after one missed tick, is heard one frame
early in a pause, or after so many seconds at any moment: else the delay would stay."""
QUIET = 328
"""-40 dBFS."""
SECOND_TICKS = 50
NO_WINDOWS: tuple[Window, ...] = ()


class _Activity(Protocol):
    index: NDArray[np.intp]
    probability: NDArray[np.float32]
    end_offset: NDArray[np.intp]


class ActivityBank(Protocol):
    """Voice activity, batched over lanes (``speech.interfaces.ActivityBank``)."""

    window_samples: int

    def open(self) -> int:
        """A row for a new lane."""

    def close(self, row: int) -> None:
        """Give a row back."""

    def process(self, block: NDArray[np.int16], rows: NDArray[np.intp]) -> _Activity:
        """Verdicts of the windows that these frames completed."""


@dataclass(slots=True)
class _Shard:
    """The lanes of one phase. Jitter lanes come first; ``rows`` are theirs."""

    packet: list[Lane] = field(default_factory=list)
    stream: list[Lane] = field(default_factory=list)
    rows: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, np.intp))
    ticks: int = 0
    plan: Plan | None = None
    """How its lanes with a chain are processed; None if there are none."""
    stale: bool = False
    """Whether a lane came, went or changed since the plan was made."""
    sent: int = 0
    """Timestamp of what is sent, while there is a plan: ticks that were left out count."""
    at: float = 0.0
    """When the last tick with a plan was."""

    def __len__(self) -> int:
        return len(self.packet) + len(self.stream)


class Engine:
    """Drives every lane of a process at one sample rate.

    ``activity`` makes a voice-activity bank; it is called when the first ear
    asks for activity, so that a process that only relays never loads a model.
    ``chain`` makes the banks for lanes that have a chain (`Lane.chain`): their ears hear what
    a recogniser should, their taps what people should.
    ``on_fault`` is told when an ear, a tap or an outlet raises: a bug in one
    call's code must not cost the other calls of its phase their frame.
    """

    def __init__(
        self,
        *,
        rate_hz: int = 8000,
        jitter: JitterBank | None = None,
        activity: Callable[[], ActivityBank] | None = None,
        chain: Callable[[int, ChainStages], ChainBank] = ChainBank,
        on_fault: Callable[[Lane, Exception], None] | None = None,
    ) -> None:
        self.rate_hz = rate_hz
        self.jitter = jitter if jitter is not None else JitterBank(rate_hz)
        self._make_activity = activity
        self._on_fault = on_fault
        self._activity: ActivityBank | None = None
        self._activity_rows: dict[Lane, int] = {}
        self.chains = LaneChains(rate_hz, chain)
        """The chains of lanes that have one."""
        self._frame = frame_samples(rate_hz)
        self._shards = [_Shard() for _ in range(PHASES)]
        self._silence = {
            law: bytes([law.silence_byte]) * self._frame for law in Law
        }  # encoded silence is one byte value
        self._kicked: list[Lane] = []
        self._lanes: set[Lane] = set()
        self.frames_in = 0
        """Frames taken from inlets; of a jitter bank one a tick, whatever came."""
        self.frames_out = 0
        """Frames sent, silence not counted."""
        self.faults = 0
        """Exceptions of ears, taps, outlets and the voice-activity bank."""

    def __len__(self) -> int:
        return len(self._lanes)

    @property
    def lanes(self) -> frozenset[Lane]:
        """Every open lane."""
        return frozenset(self._lanes)

    # -- lanes ---------------------------------------------------------------------

    def open(self, lane: Lane, phase: int | None = None) -> None:
        """Drive a lane from its next tick on.

        Without a phase it goes to the least loaded one. Raises `UsageError`
        for another sample rate than the engine's, a lane opened twice, a row of
        the jitter bank that is not open, a phase there is not, or a chain that cannot be.
        """
        if lane.rate_hz != self.rate_hz:
            raise UsageError(f"this engine runs at {self.rate_hz} Hz, the lane at {lane.rate_hz}")
        if lane in self._lanes:
            raise UsageError(f"lane {lane.id} is open already")
        if isinstance(lane.inlet, JitterInlet):
            self.jitter.reception(lane.inlet.row)  # raises unless the row is open
        if phase is None:
            phase = min(range(PHASES), key=lambda index: len(self._shards[index]))
        lane.phase = _checked(phase)
        self.chains.open(lane)
        self._place(lane)
        self._lanes.add(lane)
        lane.active = True
        lane.on_fault = self._fault
        if lane.wants_activity:
            self._open_activity(lane)

    def close(self, lane: Lane) -> None:
        """Stop driving a lane and free its rows. Legal more than once."""
        if lane not in self._lanes:
            return
        self._lanes.discard(lane)
        lane.active = False
        self._remove(lane)
        row = self._activity_rows.pop(lane, None)
        if row is not None and self._activity is not None:
            self._activity.close(row)
        self.chains.close(lane)
        if isinstance(lane.inlet, JitterInlet):
            self.jitter.close(lane.inlet.row)

    def align(self, lane: Lane, phase: int) -> None:
        """Move a lane to the phase that comes right after its audio arrives.

        Saves up to 15 ms of waiting on a leg without a jitter buffer. Not done
        when that phase is crowded already: an even load matters more. Raises
        `UsageError` for a phase there is not.
        """
        if lane not in self._lanes or lane.phase == _checked(phase):
            return
        if len(self._shards[phase]) > 16 + 2 * len(self._lanes) // PHASES:
            return
        self._remove(lane)
        lane.phase = phase
        self._place(lane)

    def set_chain(self, lane: Lane, stages: ChainStages | None) -> None:
        """Give a lane other stages, also in mid-call; None is none.

        No frame is lost: the old chain is heard until the new one has filled (by as much as
        it delays: 10 ms for each of echo and noise), then both are crossfaded over 10 ms.
        Raises `UsageError` for stages that cannot be, and then nothing has changed.
        """
        if stages == lane.chain:
            return
        if lane.active:
            self.chains.change(lane, stages)
            self._shards[lane.phase].stale = True
        lane.chain = stages

    def _place(self, lane: Lane) -> None:
        shard = self._shards[lane.phase]
        shard.stale = True
        if isinstance(lane.inlet, JitterInlet):
            shard.packet.append(lane)
            shard.rows = np.append(shard.rows, lane.inlet.row).astype(np.intp)
        else:
            shard.stream.append(lane)

    def _remove(self, lane: Lane) -> None:
        shard = self._shards[lane.phase]
        shard.stale = True
        if isinstance(lane.inlet, JitterInlet):
            index = shard.packet.index(lane)
            del shard.packet[index]
            shard.rows = np.delete(shard.rows, index)
        else:
            shard.stream.remove(lane)

    def want_activity(self, lane: Lane) -> None:
        """Run voice activity for a lane; counted, as several ears may ask.

        A lane that is not open gets its row when it is opened.
        """
        lane.wants_activity += 1
        if lane.active:
            self._open_activity(lane)

    def _open_activity(self, lane: Lane) -> None:
        if lane in self._activity_rows or self._make_activity is None:
            return
        if self._activity is None:
            self._activity = self._make_activity()
        self._activity_rows[lane] = self._activity.open()

    def drop_activity(self, lane: Lane) -> None:
        """Undo one `want_activity`."""
        lane.wants_activity = max(0, lane.wants_activity - 1)
        if not lane.wants_activity and self._activity is not None:
            row = self._activity_rows.pop(lane, None)
            if row is not None:
                self._activity.close(row)

    # -- audio to be sent ------------------------------------------------------------

    def push(self, lane: Lane, pcm: NDArray[np.int16] | bytes, generation: int) -> int:
        """Queue audio on a lane; see `Playout.push`."""
        taken = lane.playout.push(pcm, generation)
        if taken and lane.sent_ahead < lane.outlet.lead_frames and lane.active:
            self._kicked.append(lane)
        return taken

    def kick(self, now: float) -> None:
        """Send the lead of streams that just began to speak.

        A far end with a queue of its own need not wait for the lane's tick:
        the first frames go at once, which saves 10 ms on average and fills
        that queue against jitter. After an underrun it is filled again. Every
        tick does this for what was pushed before; call it to do it sooner.
        """
        lanes, self._kicked = self._kicked, []
        for lane in lanes:
            outlet, playout = lane.outlet, lane.playout
            while (
                playout.has_frame
                and lane.active
                and lane.sent_ahead < outlet.lead_frames
                and not outlet.busy
                and (frame := lane.take(now)) is not None
            ):
                lane.sent_ahead += 1
                lane.shown_later.append(frame)
                self._send([(lane, frame)], outlet.encoding, now)
                if lane.begins:
                    lane.tell_started(now)

    # -- the tick ----------------------------------------------------------------------

    def tick(self, phase: int, now: float) -> None:
        """One frame in and one frame out for every lane of a phase."""
        shard = self._shards[phase]
        if not shard.packet and not shard.stream:
            return
        shard.ticks += 1
        lanes = shard.packet + shard.stream
        if shard.stale:
            shard.plan, shard.stale = self.chains.plan(shard.packet, shard.stream), False
        plan = shard.plan
        heard = self._hear(shard, now)
        for lane in lanes:
            if lane.draining and lane.active:
                lane.drain(now)
        sent = self._speak(lanes, now)
        shown: list[tuple[Lane, bytes]] = []
        # Foreign code runs before the first frame is taken or after the last has
        # been sent: an ear may clear or close any lane, and what it cleared is gone.
        for lane, came, left in zip(lanes, heard, sent, strict=True):
            if lane.begins:
                lane.tell_started(now)
            if lane.shown_later:
                # Frames sent ahead are shown when the far end plays them, so
                # that a recording has one frame of each side a tick.
                if left is not None:
                    lane.shown_later.append(left)
                left = lane.shown_later.popleft()
                if plan is not None:
                    shown.append((lane, left))
            if lane.taps:
                self._show(lane, came, left, now)
        for lane in lanes[shard.ticks % SECOND_TICKS :: SECOND_TICKS]:
            try:
                if lane.active:
                    if isinstance(lane.inlet, StreamInlet):
                        lane.inlet.second()
                    lane.outlet.second(now)
            except Exception as error:  # noqa: BLE001 - see _fault
                self._fault(lane, error)
        if plan is not None:
            self._tell_chains(shard, plan, sent, shown)
        if self._kicked:
            self.kick(now)

    def _tell_chains(
        self,
        shard: _Shard,
        plan: Plan,
        sent: list[bytes | None],
        shown: list[tuple[Lane, bytes]],
    ) -> None:
        """What left is what comes back as echo; what was sent ahead, when it is played."""
        for lane, frame in shown:
            sent[plan.lanes.index(lane)] = frame
        if not shard.stale:
            self.chains.tell(plan, sent)
        else:
            self.chains.tell_each(plan.lanes, sent)

    def _fault(self, lane: Lane, error: Exception) -> None:
        """One lane's code failed; the others go on."""
        self.faults += 1
        if self._on_fault is not None:
            self._on_fault(lane, error)

    def _show(self, lane: Lane, came: Frame | None, left: bytes | None, now: float) -> None:
        """Let the taps of a lane see what came and what left."""
        out = None if left is None else np.frombuffer(left, "<i2")
        for tap in tuple(lane.taps):
            try:
                if lane.active:
                    tap.frame(came, out, now)
            except Exception as error:  # noqa: BLE001 - see _fault
                self._fault(lane, error)

    def _hear(self, shard: _Shard, now: float) -> list[Frame | None]:
        """Take one frame from every inlet and let the ears hear it."""
        heard: list[Frame | None] = []
        taken = None
        if shard.packet:
            taken = self.jitter.take(shard.rows, now)
            heard.extend(taken.pcm)
            self.frames_in += len(shard.packet)
        if shard.stream:
            heard.extend(self._take_streams(shard.stream, now))
        understood = heard if shard.plan is None else self._clean(shard, heard, taken, now)
        listening = [
            (lane, frame)
            for lane, frame in zip(shard.packet + shard.stream, understood, strict=True)
            if frame is not None and lane.ears
        ]
        self._deliver(listening, now)
        if shard.stream:
            self._catch_up(shard.stream, now)
        return heard

    def _clean(
        self, shard: _Shard, heard: list[Frame | None], taken: Taken | None, now: float
    ) -> list[Frame | None]:
        """Take echo and noise out of ``heard`` for people; gives what recognisers hear."""
        plan = shard.plan
        assert plan is not None
        # The clock leaves out ticks it is too late for, and so do the timestamps of what is sent.
        left_out = max(0, round((now - shard.at) / TICK_SECONDS) - 1)
        shard.sent += self._frame * (1 + left_out)
        shard.at = now
        came = None
        if taken is not None:
            ahead = self.jitter.positions(shard.rows) - shard.sent
            came = Came(taken.pcm, taken.kind, ahead)
        understood, over = self.chains.process(plan, heard, came, self._fault)
        shard.stale |= over
        return understood

    def _deliver(self, listening: list[tuple[Lane, Frame]], now: float) -> None:
        """Hand frames to the ears, with the activity verdicts they completed."""
        windows = self._windows(listening)
        for index, (lane, frame) in enumerate(listening):
            lane.frames_heard += 1
            verdicts = windows.get(index, NO_WINDOWS)
            for ear in tuple(lane.ears):
                try:
                    # The ear before it, or of another lane, may have hung up.
                    if lane.active and ear in lane.ears:
                        ear.hear(frame, verdicts, now)
                except Exception as error:  # noqa: BLE001 - see _fault
                    self._fault(lane, error)

    def _windows(self, listening: list[tuple[Lane, Frame]]) -> dict[int, tuple[Window, ...]]:
        """Run voice activity for the lanes that want it, in one batch."""
        found: dict[int, tuple[Window, ...]] = {}
        bank = self._activity
        if bank is None:
            return found
        where: list[int] = []
        rows: list[int] = []
        for index, (lane, _) in enumerate(listening):
            row = self._activity_rows.get(lane)
            if row is not None:
                where.append(index)
                rows.append(row)
        if not rows:
            return found
        block = np.stack([listening[index][1] for index in where])
        try:
            verdicts = bank.process(block, np.array(rows, np.intp))
        except Exception as error:  # noqa: BLE001 - see _fault
            self._fault(listening[where[0]][0], error)
            return found
        for position, probability, offset in zip(
            verdicts.index.tolist(),
            verdicts.probability.tolist(),
            verdicts.end_offset.tolist(),
            strict=True,
        ):
            index = where[position]
            window = Window(probability, offset, bank.window_samples)
            found[index] = (*found.get(index, NO_WINDOWS), window)
        return found

    def _take_streams(self, lanes: list[Lane], now: float) -> list[Frame | None]:
        """One frame from each stream that has one, decoded together."""
        heard: list[Frame | None] = [None] * len(lanes)
        for law in (*Law, None):
            chosen: list[int] = []
            parts: list[bytes] = []
            for index, lane in enumerate(lanes):
                inlet = lane.inlet
                if isinstance(inlet, StreamInlet) and inlet.encoding is law and inlet.frames:
                    chosen.append(index)
                    parts.append(inlet.frames.popleft())
            if not parts:
                continue
            self.frames_in += len(parts)
            block = self._decode(b"".join(parts), law)
            for index, frame in zip(chosen, block, strict=True):
                heard[index] = frame
        for index, lane in enumerate(lanes):
            if heard[index] is not None:
                lane.idle_ticks = 0
                continue
            lane.idle_ticks += 1
            if lane.idle_ticks > SILENT_AFTER_TICKS:
                heard[index] = np.zeros(self._frame, np.int16)
        return heard

    def _decode(self, joined: bytes, law: Law | None) -> NDArray[np.int16]:
        if law is None:
            pcm = np.frombuffer(joined, "<i2")
        else:
            pcm = DECODE[law].take(np.frombuffer(joined, np.uint8))
        return pcm.reshape(-1, self._frame)

    def _catch_up(self, lanes: list[Lane], now: float) -> None:
        """Let streams that fell behind be heard faster than real time.

        After a stall the backlog must not stay as delay. Ears hear it early;
        taps are told that it is late, so that recordings stay aligned.
        """
        late: list[tuple[Lane, Frame, Frame]] = []
        for lane in lanes:
            inlet = lane.inlet
            if not isinstance(inlet, StreamInlet):
                continue
            left = len(inlet.frames)
            if left < inlet.least_frames:
                inlet.least_frames = left
            far_behind = left >= CATCH_UP_FRAMES
            if not far_behind and not (left and inlet.seconds_behind):
                continue
            frame = self._decode(inlet.frames[0], inlet.encoding)[0]
            if not far_behind and not _may_be_early(frame, inlet):
                continue
            inlet.frames.popleft()
            inlet.seconds_behind = 0
            late.append((lane, *self.chains.late(lane, frame)))
        self.frames_in += len(late)
        self._deliver([(lane, understood) for lane, _, understood in late], now)
        for lane, frame, _ in late:
            for tap in tuple(lane.taps):
                try:
                    tap.late(frame, now)
                except Exception as error:  # noqa: BLE001 - see _fault
                    self._fault(lane, error)

    def _speak(self, lanes: list[Lane], now: float) -> list[bytes | None]:
        """Take one frame from every playout, encode together, send one by one."""
        frames: list[bytes | None] = []
        groups: dict[Law | None, list[tuple[Lane, bytes]]] = {}
        for lane in lanes:
            frame = None
            try:
                if lane.active:
                    frame = self._next_frame(lane, now)
            except Exception as error:  # noqa: BLE001 - see _fault
                self._fault(lane, error)
            if frame is not None:
                groups.setdefault(lane.outlet.encoding, []).append((lane, frame))
            frames.append(frame)
        for law, group in groups.items():
            self._send(group, law, now)
        return frames

    def _next_frame(self, lane: Lane, now: float) -> bytes | None:
        """A lane's next frame; None when it has nothing to say (silence is sent)."""
        busy = lane.outlet.busy
        frame = lane.take(now) if lane.playout and not busy else None
        if frame is None:
            self._pause(lane, now)
        return frame

    def _pause(self, lane: Lane, now: float) -> None:
        """Nothing to play on this lane in this tick."""
        if lane.sent_ahead:
            lane.sent_ahead -= 1
        outlet = lane.outlet
        if outlet.busy:
            outlet.send(b"", now, silence=True)
        elif outlet.continuous:
            law = outlet.encoding
            silence = self._silence[law] if law is not None else bytes(self._frame * 2)
            outlet.send(silence, now, silence=True)

    def _send(self, group: list[tuple[Lane, bytes]], law: Law | None, now: float) -> None:
        joined = b"".join([frame for _, frame in group])
        size = self._frame * 2
        if law is not None:
            joined = ENCODE[law].take(np.frombuffer(joined, "<u2")).tobytes()
            size = self._frame
        self.frames_out += len(group)
        at = 0
        for lane, _ in group:
            try:
                lane.outlet.send(joined[at : at + size], now, silence=False)
                if lane.marks:
                    lane.after_send()
            except Exception as error:  # noqa: BLE001 - see _fault
                self._fault(lane, error)
            at += size


def _may_be_early(frame: Frame, inlet: StreamInlet) -> bool:
    """Whether a frame nobody waits for may be heard now: in a pause, or after long enough.

    What is recorded has no place for it, so it had better be quiet.
    """
    if inlet.seconds_behind > BEHIND_SECONDS:
        return True
    return int(frame.max()) < QUIET and int(frame.min()) > -QUIET


def _checked(phase: int) -> int:
    """The phase; raises `UsageError` if there is none of that number."""
    if not 0 <= phase < PHASES:
        raise UsageError(f"there are phases 0 to {PHASES - 1}, not {phase}")
    return phase
