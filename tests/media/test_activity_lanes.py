"""Voice activity of the lanes that want it."""

import numpy as np

from trunkline.media.engine import Engine
from trunkline.media.lane import Lane, StreamInlet, Window
from trunkline.media.testing import MemoryOutlet

from .engine_scene import Ear, Loudness, scene, tone


def test_voice_activity_runs_for_the_lanes_that_asked_in_one_batch() -> None:
    world = scene()
    legs = [world.stream(str(number)) for number in range(4)]
    for number in (1, 3):
        world.engine.want_activity(legs[number].lane)
    for number, leg in enumerate(legs):
        leg.receive(tone(10 + number))
    world.tick()
    assert world.bank.batches == [([0, 1], [11, 13])]
    assert [leg.ear.windows for leg in legs] == [
        [],
        [Window(11.0, 0, 256)],
        [],
        [Window(13.0, 1, 256)],
    ]


def test_the_model_is_not_loaded_before_somebody_asks() -> None:
    made = []

    def make() -> Loudness:
        made.append(1)
        return Loudness()

    engine = Engine(activity=make)
    lane = Lane("a", inlet=StreamInlet(8000, None), outlet=MemoryOutlet())
    engine.open(lane, 0)
    engine.tick(0, 1.0)
    assert not made
    engine.want_activity(lane)
    engine.want_activity(lane)
    assert made == [1]


def test_a_frame_that_completes_two_windows_gives_both() -> None:
    world = scene()
    world.bank.windows_each = 2
    leg = world.stream()
    world.engine.want_activity(leg.lane)
    leg.receive(tone(3))
    world.tick()
    assert leg.ear.windows == [Window(3.0, 0, 256), Window(3.0, 1, 256)]


def test_nothing_is_asked_of_the_model_where_nothing_came_or_nobody_listens() -> None:
    world = scene()
    leg = world.stream()
    world.engine.want_activity(leg.lane)
    world.tick()
    leg.lane.ears.clear()
    leg.receive(tone(1))
    world.tick()
    assert world.bank.batches == []


def test_a_row_is_kept_as_long_as_one_ear_wants_it() -> None:
    world = scene()
    leg = world.stream()
    for _ in range(2):
        world.engine.want_activity(leg.lane)
    assert world.bank.opened == 1
    world.engine.drop_activity(leg.lane)
    assert world.bank.rows.opened == {0}
    world.engine.drop_activity(leg.lane)
    assert world.bank.rows.opened == set()
    world.engine.drop_activity(leg.lane)
    assert leg.lane.wants_activity == 0


def test_a_lane_that_closes_gives_its_row_back_and_cannot_open_another() -> None:
    world = scene()
    leg = world.stream()
    world.engine.want_activity(leg.lane)
    world.engine.close(leg.lane)
    assert world.bank.rows.opened == set()
    world.engine.want_activity(leg.lane)
    assert world.bank.rows.opened == set()
    world.engine.drop_activity(leg.lane)
    world.engine.drop_activity(leg.lane)
    assert world.bank.opened == 1


def test_activity_asked_for_before_a_lane_is_open_begins_when_it_is() -> None:
    world = scene()
    lane = Lane("early", inlet=StreamInlet(8000, None), outlet=MemoryOutlet())
    lane.ears.append(Ear())
    world.engine.want_activity(lane)
    assert world.bank.opened == 0
    world.engine.open(lane, 0)
    assert world.bank.rows.opened == {0}


def test_an_engine_without_a_model_hears_without_verdicts() -> None:
    engine = Engine()
    lane = Lane("a", inlet=StreamInlet(8000, None), outlet=MemoryOutlet())
    ear = Ear()
    lane.ears.append(ear)
    engine.open(lane, 0)
    engine.want_activity(lane)
    lane.inlet.push(tone(1).tobytes())  # type: ignore[union-attr]
    engine.tick(0, 1.0)
    assert len(ear.frames) == 1
    assert ear.windows == []
    engine.close(lane)


def test_frames_that_catch_up_have_verdicts_too() -> None:
    world = scene()
    leg = world.stream()
    world.engine.want_activity(leg.lane)
    leg.receive(np.concatenate([tone(value) for value in range(1, 6)]))
    world.tick()
    assert [window.probability for window in leg.ear.windows] == [1.0, 2.0]


def test_a_voice_activity_model_that_fails_silences_nobody() -> None:
    world = scene()
    leg = world.stream(continuous=True)
    world.engine.want_activity(leg.lane)
    world.bank.fails = True
    leg.receive(tone(7))
    world.tick()
    assert [int(frame[0]) for frame in leg.ear.frames] == [7]
    assert leg.ear.windows == []
    assert len(leg.outlet.sent) == 1
    assert world.faults == [("a", "model")]
