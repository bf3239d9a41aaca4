"""The engine: order within a tick, isolation, phases, rows, anything in any order."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from trunkline.errors import UsageError
from trunkline.media.chain_bank import ChainStages
from trunkline.media.engine import PHASES, Engine
from trunkline.media.g711 import Law, decode, encode
from trunkline.media.lane import Heard, JitterInlet, Lane, StreamInlet
from trunkline.media.testing import MemoryOutlet

from .engine_scene import FRAME, Broken, Ear, Stream, Tap, noise, scene, tone

# -- lanes and phases --------------------------------------------------------------------------


def test_lanes_spread_evenly_over_the_phases() -> None:
    engine = Engine()
    lanes = [Lane(str(n), inlet=StreamInlet(8000), outlet=MemoryOutlet()) for n in range(10)]
    for lane in lanes:
        engine.open(lane)
    assert sorted(lane.phase for lane in lanes) == [0, 0, 0, 1, 1, 1, 2, 2, 3, 3]
    for lane in lanes[:4]:
        engine.close(lane)
    lane = Lane("new", inlet=StreamInlet(8000), outlet=MemoryOutlet())
    engine.open(lane)
    assert lane.phase == 2
    assert len(engine) == 7
    assert engine.lanes == {*lanes[4:], lane}


def packets(engine: Engine, count: int, chain: ChainStages | None = None) -> list[Lane]:
    """Lanes of packets, open."""
    lanes = []
    for _ in range(count):
        inlet = JitterInlet(engine.jitter.open(Law.ULAW))
        lanes.append(Lane("", inlet=inlet, outlet=MemoryOutlet(), chain=chain))
        engine.open(lanes[-1])
    return lanes


def test_lanes_with_a_chain_are_gathered_in_one_phase() -> None:
    engine = Engine()
    packets(engine, 3)
    lanes = packets(engine, 5, ChainStages(noise="off", echo="nlms"))
    assert {lane.phase for lane in lanes} == {3}  # where none was before


def test_a_lane_that_is_given_a_chain_joins_those_that_have_one() -> None:
    engine, stages = Engine(), ChainStages(noise="spectral", echo="off")
    lanes = packets(engine, 8)
    for lane in lanes:
        engine.set_chain(lane, stages)
    assert len({lane.phase for lane in lanes}) == 1
    where = lanes[0].phase
    engine.set_chain(lanes[0], None)
    assert lanes[0].phase == where  # one move a call is enough
    for phase in range(PHASES):
        engine.tick(phase, 0.005 * phase)
    assert engine.frames_in == 8
    assert not engine.faults


def test_a_stream_with_a_chain_stays_where_its_audio_arrives() -> None:
    engine, stages = Engine(), ChainStages(noise="spectral", echo="off")
    packets(engine, 2, stages)
    stream = Lane("", inlet=StreamInlet(8000), outlet=MemoryOutlet())
    engine.open(stream, 3)
    engine.set_chain(stream, stages)
    assert stream.phase == 3


def test_a_lane_is_driven_in_its_phase_alone() -> None:
    world = scene()
    leg = world.stream(phase=2, continuous=True)
    for phase in (0, 1, 3):
        world.tick(3, phase)
    assert leg.outlet.sent == []
    world.tick(3, 2)
    assert len(leg.outlet.sent) == 3


@pytest.mark.parametrize("phase", [-1, PHASES, 99])
def test_a_phase_there_is_not_is_refused(phase: int) -> None:
    engine = Engine()
    lane = Lane("a", inlet=StreamInlet(8000), outlet=MemoryOutlet())
    with pytest.raises(UsageError, match="phase"):
        engine.open(lane, phase)
    assert not lane.active
    assert not len(engine)
    engine.open(lane, 0)
    with pytest.raises(UsageError, match="phase"):
        engine.align(lane, phase)
    assert lane.phase == 0


def test_a_lane_of_another_rate_is_refused() -> None:
    lane = Lane("wide", inlet=StreamInlet(16000), outlet=MemoryOutlet(), rate_hz=16000)
    with pytest.raises(UsageError, match="16000"):
        Engine().open(lane)


def test_a_lane_opened_twice_is_refused() -> None:
    world = scene()
    leg = world.stream()
    with pytest.raises(UsageError, match="open already"):
        world.engine.open(leg.lane)


def test_a_row_that_is_not_open_is_refused_before_it_can_stop_its_phase() -> None:
    engine = Engine()
    with pytest.raises(UsageError, match="not open"):
        engine.open(Lane("a", inlet=JitterInlet(3), outlet=MemoryOutlet()))
    assert not len(engine)
    for phase in range(PHASES):
        engine.tick(phase, 1.0)


def test_closing_frees_the_rows_and_is_legal_more_than_once() -> None:
    engine = Engine()
    lane = Lane("a", inlet=JitterInlet(engine.jitter.open(Law.ULAW)), outlet=MemoryOutlet())
    engine.open(lane)
    engine.close(lane)
    engine.close(lane)
    assert len(engine.jitter) == len(engine) == 0
    assert not lane.active


def test_a_closed_lane_gets_nothing_more() -> None:
    world = scene()
    leg = world.stream(continuous=True)
    world.tick(2)
    world.engine.close(leg.lane)
    leg.receive(tone(5))
    world.engine.push(leg.lane, tone(1, 10), 0)
    world.engine.kick(world.now)
    world.tick(100)
    assert len(leg.outlet.sent) == 2
    assert leg.outlet.seconds == 0
    assert len(leg.tap.frames) == 2
    assert leg.ear.log == []


def test_aligning_moves_a_lane_to_another_phase_unless_that_is_crowded() -> None:
    world = scene()
    leg = world.stream(phase=0, continuous=True)
    world.engine.align(leg.lane, 3)
    assert leg.lane.phase == 3
    world.tick(1, 0)
    assert leg.outlet.sent == []
    world.tick(1, 3)
    assert len(leg.outlet.sent) == 1
    for number in range(60):
        world.stream(str(number), phase=1)
    world.engine.align(leg.lane, 1)
    assert leg.lane.phase == 3


def test_aligning_a_lane_that_is_not_open_does_nothing() -> None:
    engine = Engine()
    lane = Lane("a", inlet=StreamInlet(8000), outlet=MemoryOutlet())
    engine.align(lane, 2)
    assert lane.phase == -1
    engine.tick(2, 0.0)


def test_a_packet_lane_can_be_moved_too() -> None:
    engine = Engine()
    rows = [engine.jitter.open(Law.ULAW) for _ in range(3)]
    lanes = [Lane(str(row), inlet=JitterInlet(row), outlet=MemoryOutlet()) for row in rows]
    ears = [Ear() for _ in rows]
    for lane, ear in zip(lanes, ears, strict=True):
        lane.ears.append(ear)
        engine.open(lane, 0)
    engine.align(lanes[1], 2)
    for phase in range(PHASES):
        engine.tick(phase, 0.1)
    assert [len(ear.frames) for ear in ears] == [1, 1, 1]


# -- the order within a tick -------------------------------------------------------------------


def test_barge_in_clears_before_anything_of_the_old_generation_is_taken() -> None:
    world = scene()
    leg = world.stream(continuous=True)
    heard: list[Heard] = []
    world.engine.push(leg.lane, tone(7, 50), 0)
    world.tick(10)
    leg.ear.act = lambda: heard.append(leg.lane.clear(1)) if not heard else None
    leg.receive(tone(99))
    world.tick(10)
    assert [frame.silence for frame in leg.outlet.sent] == [False] * 10 + [True] * 10
    assert heard == [Heard(0, 1600 - 480, 40 * FRAME, False)]


def test_an_answer_given_in_hearing_leaves_in_the_same_tick() -> None:
    world = scene()
    leg = world.stream()
    leg.ear.act = lambda: world.engine.push(leg.lane, leg.ear.frames[-1], 0)
    for value in range(1, 6):
        leg.receive(tone(value))
        world.tick()
    assert leg.outlet.audio()[::FRAME].tolist() == [1, 2, 3, 4, 5]
    assert [frame.at for frame in leg.outlet.sent] == pytest.approx([1.0, 1.02, 1.04, 1.06, 1.08])


def test_ears_hear_of_a_beginning_after_it_left_and_before_the_taps_see_it() -> None:
    world = scene()
    leg = world.stream()
    order: list[str] = []
    leg.ear.act, leg.ear.act_on = lambda: order.append(f"started {len(leg.outlet.sent)}"), "started"
    leg.tap.act = lambda: order.append("tap")
    world.engine.push(leg.lane, tone(1), 0)
    world.tick()
    assert order == ["started 1", "tap"]


def test_every_ear_hears_every_frame() -> None:
    world = scene()
    leg = world.stream()
    other = Ear()
    leg.lane.ears.append(other)
    for value in range(3):
        leg.receive(tone(value))
        world.tick()
    assert [int(frame[0]) for frame in other.frames] == [0, 1, 2]
    assert len(leg.ear.frames) == 3
    assert leg.lane.frames_heard == 3


def test_what_nobody_hears_is_taken_all_the_same() -> None:
    world = scene()
    leg = world.stream()
    leg.lane.ears.clear()
    leg.receive(tone(1, 2))
    world.tick(2)
    assert not leg.inlet.frames
    assert [None if came is None else int(came[0]) for came, _ in leg.tap.frames] == [1, 1]
    assert world.engine.frames_in == 2


# -- opening and closing from inside -----------------------------------------------------------


@pytest.mark.parametrize("act_on", ["hear", "started", "drained"])
def test_a_leg_may_hang_up_in_its_own_ear(act_on: str) -> None:
    world = scene()
    leg = world.stream("a", continuous=True)
    other = world.stream("b", continuous=True)
    second = Ear()
    leg.lane.ears.append(second)
    leg.ear.act, leg.ear.act_on = lambda: world.engine.close(leg.lane), act_on
    world.engine.push(leg.lane, tone(1, 2), 0)
    leg.lane.playout.finish(0)
    for _ in range(20):
        leg.receive(tone(5))
        other.receive(tone(6))
        world.tick()
    assert world.faults == []
    assert not leg.lane.active
    closed_at = len(leg.ear.frames)
    assert closed_at < 20
    if act_on == "hear":
        assert closed_at == 1
        assert second.frames == []
        assert leg.outlet.sent == []
        assert leg.tap.frames == []
    assert len(other.ear.frames) == len(other.outlet.sent) == len(other.tap.frames) == 20


def test_a_leg_may_be_hung_up_by_anothers_ear() -> None:
    for order in ((0, 1), (1, 0)):
        world = scene()
        legs = [world.stream(id, continuous=True) for id in "ab"]
        killer, victim = (legs[index] for index in order)
        killer.ear.act = lambda world=world, victim=victim: world.engine.close(victim.lane)
        for leg in legs:
            leg.receive(tone(1))
            world.engine.push(leg.lane, tone(1), 0)
        world.tick(3)
        assert world.faults == []
        assert len(killer.outlet.sent) == 3
        assert victim.outlet.sent == []
        assert victim.tap.frames == []
        # Whoever comes first in the phase hears the frame that came in this tick.
        assert len(victim.ear.frames) == (1 if order == (1, 0) else 0)


def test_an_ear_that_clears_another_lane_as_it_begins_stops_it_before_the_next_frame() -> None:
    world = scene()
    first, second = world.stream("a"), world.stream("b")
    first.ear.act, first.ear.act_on = lambda: second.lane.clear(1), "started"
    for leg in (first, second):
        world.engine.push(leg.lane, tone(1, 10), 0)
    world.tick(5)
    # The frame that was sent in this tick had left before the ear was told.
    assert len(second.outlet.sent) == 1
    assert ("started", 0) not in second.ear.log
    assert second.lane.playout.sent_samples == FRAME


def test_an_ear_may_remove_itself_and_others_go_on() -> None:
    world = scene()
    leg = world.stream()
    others = [Ear(), Ear()]
    leg.lane.ears[:] = [others[0], leg.ear, others[1]]
    leg.ear.act = lambda: leg.lane.ears.remove(leg.ear)
    for value in range(3):
        leg.receive(tone(value))
        world.tick()
    assert len(leg.ear.frames) == 1
    assert [len(ear.frames) for ear in others] == [3, 3]


def test_an_ear_that_another_removed_hears_nothing_more() -> None:
    world = scene()
    leg = world.stream()
    other = Ear()
    leg.lane.ears.append(other)
    leg.ear.act = leg.lane.ears.clear
    leg.receive(tone(1))
    world.tick()
    assert other.frames == []


def test_a_lane_opened_in_hearing_is_driven_from_its_next_tick() -> None:
    world = scene()
    leg = world.stream("a")
    made: list[Stream] = []
    leg.ear.act = lambda: made.append(world.stream("b", continuous=True)) if not made else None
    leg.receive(tone(1))
    world.tick()
    assert made[0].outlet.sent == []
    world.tick()
    assert len(made[0].outlet.sent) == 1
    assert world.faults == []


def test_a_lane_moved_in_hearing_loses_nothing() -> None:
    world = scene()
    legs = [world.stream(str(number), continuous=True) for number in range(3)]
    legs[0].ear.act = lambda: world.engine.align(legs[1].lane, 1)
    for leg in legs:
        leg.receive(tone(1))
    world.round()
    assert [len(leg.ear.frames) for leg in legs] == [1, 1, 1]
    world.round(3)
    assert world.faults == []
    assert len(legs[1].outlet.sent) >= 4


def test_lanes_closed_while_others_catch_up_do_not_make_one_miss_its_turn() -> None:
    world = scene()
    legs = [world.stream(str(number)) for number in range(4)]
    for leg in legs:
        leg.receive(tone(1, 10))
    calls = 0

    def act() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            world.engine.close(legs[0].lane)

    legs[0].ear.act = act
    world.tick()
    assert [len(leg.ear.frames) for leg in legs] == [2, 2, 2, 2]


def test_packet_lanes_may_be_closed_in_mid_tick() -> None:
    engine = Engine()
    rows = [engine.jitter.open(Law.ULAW) for _ in range(4)]
    outlets = [MemoryOutlet(continuous=True, encoding=Law.ULAW) for _ in rows]
    lanes = [
        Lane(str(row), inlet=JitterInlet(row), outlet=outlet)
        for row, outlet in zip(rows, outlets, strict=True)
    ]
    ears = [Ear() for _ in rows]
    for lane, ear in zip(lanes, ears, strict=True):
        lane.ears.append(ear)
        engine.open(lane, 0)
    ears[1].act = lambda: [engine.close(lane) for lane in lanes[:3]]
    engine.tick(0, 1.0)
    engine.tick(0, 1.02)
    assert [len(ear.frames) for ear in ears] == [1, 1, 0, 2]
    assert [len(outlet.sent) for outlet in outlets] == [0, 0, 0, 2]
    assert len(engine.jitter) == 1


# -- faults ------------------------------------------------------------------------------------


def fail() -> None:
    raise RuntimeError("mine")


@pytest.mark.parametrize("act_on", ["hear", "started", "drained"])
def test_an_ear_that_raises_costs_nobody_a_frame(act_on: str) -> None:
    world = scene()
    bad, good = world.stream("bad", continuous=True), world.stream("good", continuous=True)
    second = Ear()
    bad.lane.ears.append(second)
    bad.ear.act, bad.ear.act_on = fail, act_on
    for leg in (bad, good):
        leg.receive(tone(3))
        world.engine.push(leg.lane, noise(3), 0)
        leg.lane.playout.finish(0)
    world.tick(10)
    assert world.faults == [("bad", "mine")] * (world.engine.faults)
    assert world.faults
    for leg in (bad, good):
        assert np.array_equal(leg.outlet.audio(), noise(3))
        assert len(leg.tap.frames) == 10
    kinds = [entry[0] for entry in second.log]
    assert "started" in kinds
    assert "drained" in kinds
    assert len(second.frames) == len(good.ear.frames)


def test_a_tap_that_raises_costs_nobody_a_frame() -> None:
    world = scene()
    bad, good = world.stream("bad"), world.stream("good")
    second = Tap()
    bad.lane.taps.append(second)
    bad.tap.act = fail
    bad.receive(tone(1, 10))
    good.receive(tone(1, 10))
    world.tick(4)
    assert len(second.frames) == len(good.tap.frames) == 4
    assert len(second.lates) == len(good.tap.lates) == 4
    assert world.faults == [("bad", "mine")] * 8


@pytest.mark.parametrize("what", ["send", "second", "mark"])
def test_an_outlet_that_raises_costs_the_other_calls_nothing(what: str) -> None:
    world = scene()
    outlet = Broken(continuous=True, marks=True, encoding=Law.ULAW, lead_frames=2)
    outlet.fails = frozenset({what})
    bad = world.stream("bad", outlet=outlet)
    good = world.stream("good", continuous=True, encoding=None)
    for leg in (bad, good):
        world.engine.push(leg.lane, noise(60), 0)
    world.engine.kick(world.now)
    world.tick(60)
    assert np.array_equal(good.outlet.audio(), noise(60))
    assert good.outlet.seconds >= 1
    assert {fault[0] for fault in world.faults} == {"bad"}
    assert len(bad.tap.frames) == 60


def test_a_lead_that_raises_does_not_keep_other_streams_from_theirs() -> None:
    world = scene()
    outlet = Broken(lead_frames=2)
    outlet.fails = frozenset({"send"})
    bad = world.stream("bad", outlet=outlet)
    good = world.stream("good", lead_frames=2)
    for leg in (bad, good):
        world.engine.push(leg.lane, noise(10), 0)
    world.engine.kick(world.now)
    assert len(good.outlet.sent) == 2
    assert world.faults == [("bad", "send")] * 2


def test_without_anybody_to_tell_faults_are_counted() -> None:
    engine = Engine()
    lane = Lane("a", inlet=StreamInlet(8000, None), outlet=MemoryOutlet())
    lane.ears.append(Ear(act=fail))
    engine.open(lane, 0)
    lane.inlet.push(tone(1).tobytes())  # type: ignore[union-attr]
    engine.tick(0, 1.0)
    assert engine.faults == 1


# -- once a second, and both kinds ----------------------------------------------------------------


def test_seconds_are_told_about_once_a_second_and_not_all_in_one_tick() -> None:
    world = scene()
    legs = [world.stream(str(number)) for number in range(120)]
    most = 0
    for _ in range(100):
        before = sum(leg.outlet.seconds for leg in legs)
        world.tick()
        most = max(most, sum(leg.outlet.seconds for leg in legs) - before)
    assert {leg.outlet.seconds for leg in legs} == {2}
    assert most <= 3


def test_packets_and_streams_share_a_phase_without_mixing() -> None:
    engine = Engine()
    row = engine.jitter.open(Law.ALAW)
    packet = Lane("packet", inlet=JitterInlet(row), outlet=MemoryOutlet())
    stream = Lane("stream", inlet=StreamInlet(8000, Law.ULAW), outlet=MemoryOutlet())
    ears = {"packet": Ear(), "stream": Ear()}
    for lane in (stream, packet):
        lane.ears.append(ears[lane.id])
        engine.open(lane, 0)
    for tick in range(30):
        now = 1 + tick * 0.02
        payload = encode(tone(1000 + tick), Law.ALAW).tobytes()
        engine.jitter.put(row, tick, tick * FRAME, 7, not tick, payload, now)
        stream.inlet.push(encode(tone(-500), Law.ULAW).tobytes())  # type: ignore[union-attr]
        engine.tick(0, now + 0.001)
    expected = decode(encode(tone(-500), Law.ULAW), Law.ULAW)
    assert all(np.array_equal(frame, expected) for frame in ears["stream"].frames)
    played = [int(frame[0]) for frame in ears["packet"].frames if frame.any()]
    assert len(played) > 20
    assert played == sorted(played)
    assert 1100 > played[-1] > played[0] >= 900


def common(said: list[int], left: list[int]) -> int:
    """How long a beginning the two share."""
    pairs = enumerate(zip(said, left, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(said), len(left)))


# -- anything, in any order --------------------------------------------------------------------


@dataclass(eq=False)
class Model:
    """What must be true of one lane."""

    leg: Stream
    marks: bool
    floor: int = 0
    pushed: dict[int, list[int]] = field(default_factory=dict)
    """Samples taken, by generation."""
    finished: set[int] = field(default_factory=set)
    cleared: set[int] = field(default_factory=set)
    open: bool = True
    sent_when_closed: int = -1


class AnyOrder(RuleBasedStateMachine):
    """Operations in any order. Each sample pushed is a number of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.world = scene()
        self.lanes: list[Model] = []
        self.sample = 0

    def pick(self, index: int) -> Model | None:
        return self.lanes[index % len(self.lanes)] if self.lanes else None

    @rule(phase=st.integers(0, 3), lead=st.sampled_from([0, 2]), continuous=st.booleans(),
          marks=st.booleans(), packets=st.booleans())  # fmt: skip
    def open_lane(
        self, phase: int, lead: int, continuous: bool, marks: bool, packets: bool
    ) -> None:
        if sum(model.open for model in self.lanes) >= 6:
            return
        name = str(len(self.lanes))
        fields = {"lead_frames": lead, "continuous": continuous, "marks": marks}
        if packets:
            engine, ear, tap = self.world.engine, Ear(), Tap()
            outlet = MemoryOutlet(**fields)
            lane = Lane(name, inlet=JitterInlet(engine.jitter.open(Law.ULAW)), outlet=outlet)
            lane.ears.append(ear)
            lane.taps.append(tap)
            engine.open(lane, phase)
            leg = Stream(lane, StreamInlet(8000), outlet, ear, tap)
        else:
            leg = self.world.stream(name, phase=phase, **fields)
        self.lanes.append(Model(leg, marks))

    @rule(index=st.integers(0, 99))
    def close_lane(self, index: int) -> None:
        if model := self.pick(index):
            self.world.engine.close(model.leg.lane)
            if model.open:
                model.open = False
                model.sent_when_closed = len(model.leg.outlet.sent)

    @rule(index=st.integers(0, 99), count=st.integers(1, 900), ahead=st.integers(-2, 2))
    def push(self, index: int, count: int, ahead: int) -> None:
        if not (model := self.pick(index)):
            return
        generation = max(0, model.floor + ahead)
        values = [(self.sample + n) % 30_000 + 1 for n in range(count)]
        self.sample += count
        taken = self.world.engine.push(model.leg.lane, np.array(values, np.int16), generation)
        if generation < model.floor or generation in model.finished:
            assert taken == 0
        model.pushed.setdefault(generation, []).extend(values[:taken])

    @rule(index=st.integers(0, 99), ahead=st.integers(0, 2))
    def finish(self, index: int, ahead: int) -> None:
        if model := self.pick(index):
            model.leg.lane.playout.finish(model.floor + ahead)
            model.finished.add(model.floor + ahead)

    @rule(index=st.integers(0, 99))
    def clear(self, index: int) -> None:
        if model := self.pick(index):
            model.floor += 3
            model.cleared.update(range(model.floor))
            heard = model.leg.lane.clear(model.floor)
            assert 0 <= heard.samples <= len(model.pushed.get(heard.generation, []))

    @rule(index=st.integers(0, 99), share=st.floats(0, 1.2))
    def mark(self, index: int, share: float) -> None:
        model = self.pick(index)
        if model and model.marks:
            playout = model.leg.lane.playout
            samples = int(playout.sent_samples * share)
            model.leg.lane.mark_played(max(0, playout.playing), samples, self.world.now)

    @rule(index=st.integers(0, 99), frames=st.integers(0, 6))
    def receive(self, index: int, frames: int) -> None:
        if model := self.pick(index):
            model.leg.receive(tone(500, frames))

    @rule(index=st.integers(0, 99), wanted=st.booleans())
    def activity(self, index: int, wanted: bool) -> None:
        if model := self.pick(index):
            engine = self.world.engine
            (engine.want_activity if wanted else engine.drop_activity)(model.leg.lane)

    @rule(index=st.integers(0, 99), busy=st.booleans())
    def hold(self, index: int, busy: bool) -> None:
        if model := self.pick(index):
            model.leg.outlet.busy = busy

    @rule(index=st.integers(0, 99), phase=st.integers(0, 3))
    def align(self, index: int, phase: int) -> None:
        if model := self.pick(index):
            self.world.engine.align(model.leg.lane, phase)

    @rule(rounds=st.integers(1, 4))
    def tick(self, rounds: int) -> None:
        self.world.round(rounds)

    @rule()
    def kick(self) -> None:
        self.world.engine.kick(self.world.now)

    @invariant()
    def nothing_failed(self) -> None:
        assert self.world.faults == []

    @invariant()
    def closed_lanes_get_nothing(self) -> None:
        for model in self.lanes:
            if not model.open:
                assert len(model.leg.outlet.sent) == model.sent_when_closed

    @invariant()
    def rows_are_those_of_open_lanes(self) -> None:
        engine = self.world.engine
        active = [model for model in self.lanes if model.open]
        assert len(engine) == len(active)
        packets = sum(isinstance(model.leg.lane.inlet, JitterInlet) for model in active)
        assert len(engine.jitter) == packets
        wanting = sum(model.leg.lane.wants_activity > 0 for model in active)
        assert len(self.world.bank.rows.opened) == wanting

    @invariant()
    def what_left_is_what_was_pushed(self) -> None:
        """Each sample at most once, in order, whole generations, nothing after a clear."""
        for model in self.lanes:
            left = model.leg.outlet.audio()
            left = left[left != 0]  # padding
            assert model.leg.lane.playout.queued_samples >= 0
            values = left.tolist()
            for generation in sorted(model.pushed):
                said = model.pushed[generation]
                sent = common(said, values)
                values = values[sent:]
                whole = sent == len(said) and generation in model.finished
                if values and said and generation not in model.cleared:
                    assert whole, "a later generation began before its time"
            assert values == []

    @invariant()
    def leads_are_shown_in_time(self) -> None:
        for model in self.lanes:
            lane = model.leg.lane
            if model.open:
                assert len(lane.shown_later) == lane.sent_ahead <= model.leg.outlet.lead_frames

    def teardown(self) -> None:
        """Everything that was finished has left in the end, and every end was told once."""
        for model in self.lanes:
            model.leg.outlet.busy = False
            if model.open:
                for generation in range(model.floor, model.floor + 3):
                    model.leg.lane.playout.finish(generation)
        self.world.round(400)
        for model in self.lanes:
            if not model.open:
                continue
            said = [
                value
                for generation, values in model.pushed.items()
                if generation not in model.cleared
                for value in values
            ]
            left = model.leg.outlet.audio()
            tail = left[left != 0].tolist()[len(left[left != 0]) - len(said) :]
            assert sorted(tail) == sorted(said)
            drained = [what for kind, what in model.leg.ear.log if kind == "drained"]
            told = [heard.generation for heard in drained]
            assert told == sorted(set(told))
            assert {number for number, values in model.pushed.items() if values} <= {
                *told,
                *model.cleared,
            }
        for model in self.lanes:
            self.world.engine.close(model.leg.lane)
        assert len(self.world.engine) == len(self.world.engine.jitter) == 0
        assert not self.world.bank.rows.opened
        assert self.world.faults == []


AnyOrder.TestCase.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
TestAnyOrder = AnyOrder.TestCase
