"""Lanes that are listened to for keys: those that asked, for as long as they are open."""

import numpy as np

from trunkline.media.dtmf_tones import dtmf_audio

from .engine_scene import FRAME, scene


def say(world, streams, pcm) -> None:  # type: ignore[no-untyped-def]
    for frame in np.pad(pcm, (0, -len(pcm) % FRAME + 5 * FRAME)).reshape(-1, FRAME):
        for stream in streams:
            stream.receive(frame)
        world.round()


def test_a_lane_that_asked_is_told_its_keys_and_no_other_is() -> None:
    world = scene()
    a, b = world.stream("a"), world.stream("b", phase=2)
    keys: list[tuple[str, int]] = []
    world.engine.want_tones(a.lane, lambda digit, ms, now: keys.append((digit, ms)))
    say(world, (a, b), dtmf_audio("42"))
    assert [digit for digit, _ in keys] == ["4", "2"]
    assert all(95 <= ms <= 105 for _, ms in keys)
    assert len(a.ear.frames) == len(b.ear.frames)


def test_it_goes_on_when_the_lane_is_moved_and_ends_when_it_is_closed() -> None:
    world = scene()
    a, b = world.stream("a"), world.stream("b")
    keys: list[str] = []
    for stream in (a, b):
        world.engine.want_tones(stream.lane, lambda digit, ms, now: keys.append(digit))
    world.engine.align(a.lane, 3)
    world.engine.close(b.lane)
    say(world, (a,), dtmf_audio("7"))
    assert keys == ["7"]
    world.engine.close(a.lane)
    assert len(world.engine._tones) == 0
    world.engine.want_tones(a.lane, lambda *_: None)
    assert len(world.engine._tones) == 0, "a closed lane has no row"
    world.round()


def test_whoever_is_told_may_fail_and_costs_nobody_else_a_frame() -> None:
    world = scene()
    a, b = world.stream("a"), world.stream("b")

    def fail(digit: str, ms: int, now: float) -> None:
        raise RuntimeError("told")

    world.engine.want_tones(a.lane, lambda *_: None)
    world.engine.want_tones(a.lane, fail)
    say(world, (a, b), dtmf_audio("1"))
    assert world.faults == [("a", "told")]
    assert len(a.ear.frames) == len(b.ear.frames)


def test_a_lane_without_audio_has_no_keys() -> None:
    world = scene()
    a = world.stream("a")
    world.engine.want_tones(a.lane, lambda *_: None)
    world.tick(3)
    assert not world.faults
