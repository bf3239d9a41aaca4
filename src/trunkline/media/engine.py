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

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .activity_lanes import NO_WINDOWS, ActivityBank, ActivityLanes
from .chain_bank import ChainBank, ChainStages
from .frames import frame_samples
from .jitter import JitterBank, Taken
from .joints import Joint, Joints
from .lane import Frame, JitterInlet, Lane, StreamInlet
from .lane_chain import Came, LaneChains, Plan
from .lane_streams import LaneStreams
from .phases import PHASES, choose_phase
from .quality_lanes import QualityLanes
from .sending import Sending
from .shard import Shard
from .tone_lanes import OnKey, ToneLanes

__all__ = ["PHASES", "TICK_SECONDS", "ActivityBank", "Engine"]

TICK_SECONDS = 0.020
SECOND_TICKS = 50


class Engine:
    """Drives every lane of a process at one sample rate.

    ``activity`` makes a voice-activity bank; it is called when the first ear
    asks for activity, so that a process that only relays never loads a model.
    ``chain`` makes the banks for lanes that have a chain (`Lane.chain`): their ears hear what
    a recogniser should, their taps what people should.
    ``quality`` has lanes' quality looked at (`QualityLanes`), which costs some 0.1 µs a frame.
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
        quality: bool = True,
    ) -> None:
        self.rate_hz = rate_hz
        self.jitter = jitter if jitter is not None else JitterBank(rate_hz)
        self._on_fault = on_fault
        self.chains = LaneChains(rate_hz, chain)
        """The chains of lanes that have one."""
        self._frame = frame_samples(rate_hz)
        self._activity = ActivityLanes(activity, self._fault)
        self._streams = LaneStreams(self._frame)
        self._sending = Sending(self._frame, self._fault)
        self.joints = Joints(self._frame)
        """Lanes that hear each other."""
        self._tones = ToneLanes(rate_hz, self._fault)
        self.quality = QualityLanes(rate_hz, self.jitter) if quality else None
        """What lanes sound like and how their packets came; None: nobody looks."""
        self._shards = [Shard() for _ in range(PHASES)]
        self._lanes: set[Lane] = set()
        self._packets = 0
        self.faults = 0
        """Exceptions of ears, taps, outlets and the voice-activity bank."""

    def __len__(self) -> int:
        return len(self._lanes)

    @property
    def lanes(self) -> frozenset[Lane]:
        """Every open lane."""
        return frozenset(self._lanes)

    @property
    def frames_in(self) -> int:
        """Frames taken from inlets; of a jitter bank one a tick, whatever came."""
        return self._packets + self._streams.frames

    @property
    def frames_out(self) -> int:
        """Frames sent, silence not counted."""
        return self._sending.frames

    # -- lanes ---------------------------------------------------------------------

    def open(self, lane: Lane, phase: int | None = None) -> None:
        """Drive a lane from its next tick on.

        Without a phase it goes to the one that `phases` says. Raises `UsageError`
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
            phase = self._phase_for(lane, chained=lane.chain is not None)
        lane.phase = _checked(phase)
        self.chains.open(lane)
        if self.quality is not None:
            self.quality.open(lane)
        self._shards[phase].add(lane)
        self._lanes.add(lane)
        lane.active = True
        lane.on_fault = self._fault
        self._activity.open(lane)

    def close(self, lane: Lane) -> None:
        """Stop driving a lane and free its rows. Legal more than once."""
        if lane not in self._lanes:
            return
        if lane.on_close is not None:
            try:
                lane.on_close()
            except Exception as error:  # noqa: BLE001 - see _fault
                self._fault(lane, error)
        self._lanes.discard(lane)
        lane.active = False
        self.part(lane)
        self._tones.drop(lane)
        self._shards[lane.phase].remove(lane)
        self._activity.close(lane)
        self.chains.close(lane)
        if self.quality is not None:
            self.quality.close(lane)
        if isinstance(lane.inlet, JitterInlet):
            self.jitter.close(lane.inlet.row)

    def align(self, lane: Lane, phase: int) -> None:
        """Move a lane to the phase that comes right after its audio arrives.

        Saves up to 15 ms of waiting on a leg without a jitter buffer. Not done
        when that phase is crowded already: an even load matters more; nor for one of two
        streams that hear each other. Raises `UsageError` for a phase there is not.
        """
        if lane not in self._lanes or lane.phase == _checked(phase):
            return
        joint = self.joints.of(lane)
        others = joint.lanes if joint is not None else ()
        if any(other is not lane and isinstance(other.inlet, StreamInlet) for other in others):
            return
        if len(self._shards[phase]) > 16 + 2 * len(self._lanes) // PHASES:
            return
        self._move_joined(lane, phase)

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
            if lane.chain is None:
                self._move_joined(lane, self._phase_for(lane, chained=True))
            self._shards[lane.phase].stale = True
        lane.chain = stages

    def _phase_for(self, lane: Lane, *, chained: bool) -> int:
        """Where a lane is best placed; one of a stream is where its audio arrives."""
        loads = [len(shard) for shard in self._shards]
        if not chained or not isinstance(lane.inlet, JitterInlet):
            return choose_phase(loads) if not lane.active else lane.phase
        return choose_phase(
            loads,
            [sum(each.chain is not None for each in shard.packet) for shard in self._shards],
        )

    def _move(self, lane: Lane, phase: int) -> None:
        self._shards[lane.phase].remove(lane)
        lane.phase = phase
        self._shards[phase].add(lane)

    # -- lanes that hear each other ------------------------------------------------------

    def join(self, joint: Joint) -> None:
        """Have the lanes of a joint hear each other, from the next tick on.

        Also after a change of who is in it, or hears whom: nobody else loses a frame. All go
        to one phase, so that nothing waits between them: to that of a lane whose audio is
        there just before it (a stream's), if there is one. Raises `UsageError` for a lane
        that is not open, or is in another joint.
        """
        for lane in joint.lanes:
            if lane not in self._lanes:
                raise UsageError(f"lane {lane.id} is not open and hears nobody")
        self.joints.enter(joint)
        for lane in joint.lanes:
            self._shards[lane.phase].stale = True
        if joint.lanes:
            first = min(joint.lanes, key=lambda lane: isinstance(lane.inlet, JitterInlet))
            self._move_joined(first, first.phase)

    def part(self, lane: Lane) -> None:
        """Take a lane out of its joint, if it is in one. Legal more than once."""
        joint = self.joints.leave(lane)
        if joint is not None:
            self._shards[lane.phase].stale = True

    def _move_joined(self, lane: Lane, phase: int) -> None:
        """Move a lane and those it is joined to."""
        joint = self.joints.of(lane)
        for each in joint.lanes if joint is not None else [lane]:
            if each.phase != phase or joint is None:
                self._move(each, phase)

    def want_activity(self, lane: Lane) -> None:
        """Run voice activity for a lane; counted, as several ears may ask.

        A lane that is not open gets its row when it is opened.
        """
        self._activity.want(lane)

    def drop_activity(self, lane: Lane) -> None:
        """Undo one `want_activity`."""
        self._activity.drop(lane)

    def want_tones(self, lane: Lane, on_key: OnKey) -> None:
        """Listen to an open lane for keys as tones (ITU-T Q.24) until it is closed."""
        if lane in self._lanes:
            self._tones.want(lane, on_key)
            self._shards[lane.phase].stale = True

    # -- audio to be sent ------------------------------------------------------------

    def push(self, lane: Lane, pcm: NDArray[np.int16] | bytes, generation: int) -> int:
        """Queue audio on a lane; see `Playout.push`."""
        return self._sending.push(lane, pcm, generation)

    def kick(self, now: float) -> None:
        """Send the lead of streams that just began to speak.

        A far end with a queue of its own need not wait for the lane's tick:
        the first frames go at once, which saves 10 ms on average and fills
        that queue against jitter. After an underrun it is filled again. Every
        tick does this for what was pushed before; call it to do it sooner.
        """
        self._sending.kick(now)

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
            shard.feeds = self.joints.plan(lanes) if self.joints else None
            shard.tones = self._tones.plan(lanes) if self._tones else None
        plan = shard.plan
        heard = self._hear(shard, now)
        if shard.tones is not None:
            self._tones.hear(shard.tones, heard, now)
        for lane in lanes:
            if lane.draining and lane.active:
                lane.drain(now)
        fed = None if shard.feeds is None else self.joints.feed(shard.feeds, heard)
        sent = self._sending.speak(lanes, now, fed)
        if self.quality is not None:
            self.quality.sent(shard, sent, now)
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
                if lane.active and lane.on_second is not None:
                    lane.on_second(now)
            except Exception as error:  # noqa: BLE001 - see _fault
                self._fault(lane, error)
        if plan is not None:
            self._tell_chains(shard, plan, sent, shown)
        if self._sending.kicked:
            self._sending.kick(now)

    def _tell_chains(
        self,
        shard: Shard,
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

    def _hear(self, shard: Shard, now: float) -> list[Frame | None]:
        """Take one frame from every inlet and let the ears hear it."""
        heard: list[Frame | None] = []
        taken = None
        if shard.packet:
            taken = self.jitter.take(shard.rows, now)
            heard.extend(taken.pcm)
            self._packets += len(shard.packet)
        if shard.stream:
            heard.extend(self._streams.take(shard.stream))
        if self.quality is not None:
            self.quality.heard(shard, taken, heard, now)
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
        self, shard: Shard, heard: list[Frame | None], taken: Taken | None, now: float
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
        windows = self._activity.windows(listening)
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

    def _catch_up(self, lanes: list[Lane], now: float) -> None:
        """Let streams that fell behind be heard faster than real time.

        Ears hear it early; taps are told that it is late, so that recordings stay aligned.
        """
        late = [(lane, *self.chains.late(lane, frame)) for lane, frame in self._streams.late(lanes)]
        self._deliver([(lane, understood) for lane, _, understood in late], now)
        for lane, frame, _ in late:
            for tap in tuple(lane.taps):
                try:
                    tap.late(frame, now)
                except Exception as error:  # noqa: BLE001 - see _fault
                    self._fault(lane, error)


def _checked(phase: int) -> int:
    """The phase; raises `UsageError` if there is none of that number."""
    if not 0 <= phase < PHASES:
        raise UsageError(f"there are phases 0 to {PHASES - 1}, not {phase}")
    return phase
