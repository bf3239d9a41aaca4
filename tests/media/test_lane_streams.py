"""Streams that stall, and those that fell behind."""

import random

import numpy as np

from trunkline.media.lane_streams import BEHIND_SECONDS, CATCH_UP_FRAMES, SILENT_AFTER_TICKS

from .engine_scene import scene, tone


def test_a_stream_that_stalls_is_heard_as_silence_after_a_tenth_of_a_second() -> None:
    world = scene()
    leg = world.stream()
    leg.receive(tone(9))
    world.tick(SILENT_AFTER_TICKS + 4)
    assert [int(frame[0]) for frame in leg.ear.frames] == [9, 0, 0, 0]
    came = [came for came, _ in leg.tap.frames]
    assert came[1 : SILENT_AFTER_TICKS + 1] == [None] * SILENT_AFTER_TICKS
    leg.receive(tone(8))
    world.tick()
    assert int(leg.ear.frames[-1][0]) == 8
    assert leg.lane.idle_ticks == 0


def test_after_a_stall_a_stream_is_heard_at_twice_the_speed_until_it_has_caught_up() -> None:
    world = scene()
    leg = world.stream()
    values = list(range(1, 21))
    leg.receive(np.concatenate([tone(value) for value in values]))
    counts = []
    for _ in range(25):
        before = len(leg.ear.frames)
        world.tick()
        counts.append(len(leg.ear.frames) - before)
    assert [int(frame[0]) for frame in leg.ear.frames][:20] == values
    assert max(counts) == 2
    # 20 frames: nine ticks of two, then the last two as usual.
    assert counts[:12] == [2] * 9 + [1, 1, 0]
    assert len(leg.tap.frames) == 25
    assert [int(late[0]) for late in leg.tap.lates] == values[1:18:2]
    on_time = [int(came[0]) for came, _ in leg.tap.frames if came is not None]
    assert on_time[:11] == [*values[:18:2], 19, 20]


def test_a_stream_in_real_time_never_needs_to_catch_up() -> None:
    world = scene()
    leg = world.stream()
    rng = random.Random(1)
    for _ in range(200):
        leg.receive(tone(1, CATCH_UP_FRAMES if rng.random() < 0.2 else 0))
        world.tick()
    leg.tap.lates.clear()
    for _ in range(100):
        leg.receive(tone(1))
        world.tick()
    assert leg.tap.lates == []
    assert len(leg.inlet.frames) < CATCH_UP_FRAMES


def test_a_stream_that_missed_a_tick_is_on_time_again_after_the_next_pause() -> None:
    world = scene()
    leg = world.stream()
    loud = [1000 + number for number in range(130)]
    leg.receive(tone(loud[0]))
    for value in loud[1:]:
        leg.receive(tone(value))  # always one more waits than is heard
        world.tick()
    assert len(leg.inlet.frames) == 1 and leg.tap.lates == []
    leg.receive(tone(5))
    world.tick()
    # The first quiet frame is heard in the same tick as the last loud one.
    assert [int(late[0]) for late in leg.tap.lates] == [5]
    assert [int(frame[0]) for frame in leg.ear.frames] == [*loud, 5]
    for _ in range(200):
        leg.receive(tone(1))
        world.tick()
    assert len(leg.tap.lates) == 1 and not leg.inlet.frames


def test_where_there_is_no_pause_the_delay_goes_after_a_few_seconds() -> None:
    world = scene()
    leg = world.stream()
    leg.receive(tone(9000))
    late_at = []
    for number in range(50 * (BEHIND_SECONDS + 4)):
        leg.receive(tone(9000))
        world.tick()
        if len(leg.tap.lates) > len(late_at):
            late_at.append(number / 50)
    assert len(late_at) == 1
    assert BEHIND_SECONDS < late_at[0] < BEHIND_SECONDS + 3
    assert len(leg.ear.frames) == 1 + 50 * (BEHIND_SECONDS + 4)


def test_a_sender_of_forty_milliseconds_at_a_time_is_not_hurried() -> None:
    world = scene()
    leg = world.stream()
    for _ in range(200):
        leg.receive(tone(1, 2))
        world.tick(2)
    assert leg.tap.lates == []


def test_streams_that_fell_behind_are_judged_in_one_batch() -> None:
    world = scene()
    legs = [world.stream(str(number)) for number in range(3)]
    for leg in legs:
        world.engine.want_activity(leg.lane)
        leg.receive(tone(7, 6))
    world.tick()
    assert [values for _, values in world.bank.batches] == [[7, 7, 7], [7, 7, 7]]
