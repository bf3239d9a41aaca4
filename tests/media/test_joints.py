"""Lanes that hear each other: at once, as they are, never themselves, and again alone."""

import numpy as np
import pytest

from trunkline.errors import UsageError
from trunkline.media.chain_bank import ChainStages
from trunkline.media.engine import Engine
from trunkline.media.g711 import Law, decode, encode
from trunkline.media.joints import Joint
from trunkline.media.lane import JitterInlet, Lane, StreamInlet
from trunkline.media.mixing import GAIN_ONE
from trunkline.media.testing import MemoryOutlet

from .engine_scene import FRAME, Pcm, Scene, Stream, noise, scene, tone


def sent(stream: Stream) -> Pcm:
    """What left, decoded."""
    law = stream.outlet.encoding
    data = b"".join(frame.payload for frame in stream.outlet.sent)
    return np.frombuffer(data, "<i2") if law is None else decode(data, law)


def pair(world: Scene, **fields: object) -> tuple[Stream, Stream, Joint]:
    a, b = world.stream("a", **fields), world.stream("b", phase=2, **fields)  # type: ignore[arg-type]
    joint = Joint(a.lane, b.lane)
    world.engine.join(joint)
    return a, b, joint


def test_what_comes_on_one_leaves_on_the_other_in_the_same_tick() -> None:
    world = scene()
    a, b, _ = pair(world)
    assert a.lane.phase == b.lane.phase == 0
    a.receive(tone(11))
    b.receive(tone(22))
    world.tick()
    np.testing.assert_array_equal(sent(a), tone(22))
    np.testing.assert_array_equal(sent(b), tone(11))


@pytest.mark.parametrize("coming", [Law.ULAW, Law.ALAW, None])
@pytest.mark.parametrize("going", [Law.ULAW, Law.ALAW, None])
def test_each_side_is_sent_its_own_encoding(coming: Law | None, going: Law | None) -> None:
    world = scene()
    a = world.stream("a", encoding=coming)
    b = world.stream("b", outlet=MemoryOutlet(encoding=going))
    world.engine.join(Joint(a.lane, b.lane))
    said = noise(3)
    a.receive(said)
    world.tick(3)
    heard = said if coming is None else decode(encode(said, coming), coming)
    assert b"".join(frame.payload for frame in b.outlet.sent) == (
        heard.tobytes() if going is None else encode(heard, going).tobytes()
    )


def test_the_same_law_passes_bit_by_bit() -> None:
    world = scene()
    a = world.stream("a", encoding=Law.ULAW)
    b = world.stream("b", outlet=MemoryOutlet(encoding=Law.ULAW))
    world.engine.join(Joint(a.lane, b.lane))
    codes = bytes(code for code in range(256) if code != 0x7F)  # minus zero is zero
    payload = (codes + codes)[:480]
    a.inlet.push(payload)
    world.tick(3)
    assert b"".join(frame.payload for frame in b.outlet.sent) == payload


def test_two_jitter_lanes_pass_packets_on() -> None:
    engine = Engine()
    outlets = [MemoryOutlet(encoding=Law.ALAW, continuous=True) for _ in range(2)]
    lanes = [
        Lane(str(n), inlet=JitterInlet(engine.jitter.open(Law.ALAW)), outlet=outlet)
        for n, outlet in enumerate(outlets)
    ]
    for lane in lanes:
        engine.open(lane)
    assert lanes[0].phase != lanes[1].phase
    engine.join(Joint(*lanes))
    said = [encode(frame, Law.ALAW).tobytes() for frame in noise(20).reshape(-1, FRAME)]
    for number, payload in enumerate(said):
        now = 0.02 * number
        row = lanes[0].inlet.row  # type: ignore[union-attr]
        engine.jitter.put(row, number, 160 * number, 7, number == 0, payload, now)
        for phase in range(4):
            engine.tick(phase, now + 0.005 * phase + 0.001)
    came = [frame.payload for frame in outlets[1].sent]
    assert said[0] in came
    begin = came.index(said[0])
    assert came[begin:] == said[: len(came) - begin]
    assert begin <= 4, "no later than the jitter buffer gives it"


def test_nobody_hears_anybody_after_parting() -> None:
    world = scene()
    a, b, joint = pair(world)
    world.engine.part(b.lane)
    world.engine.part(b.lane)
    assert joint.lanes == [a.lane]
    a.receive(tone(11))
    b.receive(tone(22))
    world.round()
    assert not a.outlet.sent
    assert not b.outlet.sent


def test_a_lane_that_closes_leaves_its_joint() -> None:
    world = scene()
    a, b, joint = pair(world)
    world.engine.close(a.lane)
    assert joint.lanes == [b.lane]
    b.receive(tone(5))
    world.round(2)
    assert not b.outlet.sent
    world.engine.close(b.lane)
    assert not world.engine.joints


def test_what_a_lane_has_of_its_own_goes_before_the_other_side() -> None:
    world = scene()
    a, b, _ = pair(world)
    world.engine.push(b.lane, tone(9, 2), 0)
    for value in (1, 2, 3):
        a.receive(tone(value))
        world.tick()
    assert sent(b)[::FRAME].tolist() == [9, 9, 3]


def test_a_lane_that_is_busy_is_fed_nothing() -> None:
    world = scene()
    a, b, _ = pair(world)
    b.outlet.busy = True
    a.receive(tone(1, 2))
    world.tick()
    b.outlet.busy = False
    world.tick()
    assert [frame.payload for frame in b.outlet.sent] == [b"", tone(1).tobytes()]


def test_taps_of_both_sides_see_what_was_passed() -> None:
    world = scene()
    a, b, _ = pair(world)
    a.receive(tone(3))
    b.receive(tone(4))
    world.tick()
    assert a.tap.sent == [4]
    assert b.tap.sent == [3]


def test_a_third_listens_and_is_not_heard() -> None:
    world = scene()
    a, b, joint = pair(world)
    c = world.stream("c", phase=3)
    joint.add(c.lane)
    joint.hear(c.lane, a.lane)
    joint.hear(c.lane, b.lane, -6.0)
    world.engine.join(joint)
    assert not joint.is_plain
    for stream, value in ((a, 100), (b, 2000), (c, 7)):
        stream.receive(tone(value))
    world.tick()
    assert sent(a)[0] == 2000
    assert sent(b)[0] == 100
    assert sent(c)[0] == 100 + 1002


def test_whispering_and_barging_are_a_change_of_who_hears_whom() -> None:
    world = scene()
    a, b, joint = pair(world)
    c = world.stream("c", phase=0)
    joint.add(c.lane)
    for other in (a, b):
        joint.hear(c.lane, other.lane)
    joint.hear(a.lane, c.lane)
    world.engine.join(joint)

    def heard() -> tuple[int, ...]:
        for stream, value in ((a, 1), (b, 20), (c, 300)):
            stream.receive(tone(value))
        world.tick()
        return tuple(int(sent(stream)[-1]) for stream in (a, b, c))

    assert heard() == (320, 1, 21)
    joint.hear(b.lane, c.lane)
    world.engine.join(joint)
    assert heard() == (320, 301, 21)
    joint.hear(a.lane, c.lane, None)
    world.engine.join(joint)
    assert heard() == (20, 301, 21)


def test_when_the_third_leaves_frames_are_passed_as_they_are_again() -> None:
    world = scene()
    a, b, joint = pair(world)
    c = world.stream("c", phase=0)
    joint.add(c.lane)
    for listener, speaker in ((a, c), (b, c), (c, a), (c, b)):
        joint.hear(listener.lane, speaker.lane)
    world.engine.join(joint)
    world.tick()
    assert len(world.engine.joints._mixer) == 3
    world.engine.part(c.lane)
    assert joint.is_plain
    a.receive(tone(32_767))
    world.tick()
    assert sent(b)[-1] == 32_767, "no limiter on the way"
    assert len(world.engine.joints._mixer) == 0


def test_one_who_takes_anothers_place_is_heard_in_the_next_tick() -> None:
    world = scene()
    a, b, joint = pair(world)
    c = world.stream("c", phase=1)
    a.receive(tone(1))
    world.tick()
    joint.remove(b.lane)
    joint.add(c.lane)
    joint.hear(a.lane, c.lane)
    joint.hear(c.lane, a.lane)
    world.engine.join(joint)
    a.receive(tone(2))
    b.receive(tone(22))
    c.receive(tone(33))
    world.round()
    assert sent(a).tolist() == tone(33).tolist()
    assert sent(b)[-1] == 1
    assert sent(c)[-1] == 2
    world.engine.join(Joint(b.lane))  # free for another


def test_a_joined_stream_is_not_moved_away_from_the_others() -> None:
    world = scene()
    a, b, _ = pair(world)
    world.engine.align(a.lane, 3)
    assert a.lane.phase == b.lane.phase == 0
    world.engine.part(a.lane)
    world.engine.align(a.lane, 3)
    assert a.lane.phase == 3


def test_packets_follow_the_stream_that_they_are_joined_with() -> None:
    world = scene()
    stream = world.stream("s", phase=3)
    packet = Lane("p", inlet=JitterInlet(world.engine.jitter.open(Law.ULAW)), outlet=MemoryOutlet())
    world.engine.open(packet, 1)
    world.engine.join(Joint(packet, stream.lane))
    world.engine.align(stream.lane, 0)
    assert packet.phase == stream.lane.phase == 0
    stream.receive(tone(4))
    world.round()
    assert [frame.payload for frame in packet.outlet.sent] == [tone(4).tobytes()]


def test_all_go_where_a_streams_audio_arrives() -> None:
    world = scene()
    stream = world.stream("s", phase=3)
    packet = Lane("p", inlet=JitterInlet(world.engine.jitter.open(Law.ULAW)), outlet=MemoryOutlet())
    world.engine.open(packet, 1)
    world.engine.join(Joint(packet, stream.lane))
    assert packet.phase == stream.lane.phase == 3


def test_a_lane_that_is_given_a_chain_takes_the_others_along() -> None:
    engine = Engine()
    lanes = [
        Lane(str(n), inlet=JitterInlet(engine.jitter.open(Law.ULAW)), outlet=MemoryOutlet())
        for n in range(6)
    ]
    for lane in lanes:
        engine.open(lane)
    stages = ChainStages(noise="spectral", echo="off")
    engine.set_chain(lanes[0], stages)
    engine.join(Joint(lanes[4], lanes[5]))
    engine.set_chain(lanes[4], stages)
    assert lanes[4].phase == lanes[5].phase == lanes[0].phase
    for phase in range(4):
        engine.tick(phase, 0.02)


def test_misuse_is_refused_and_changes_nothing() -> None:
    world = scene()
    a, b, joint = pair(world)
    closed = Lane("closed", inlet=StreamInlet(8000), outlet=MemoryOutlet())
    with pytest.raises(UsageError, match="not open"):
        world.engine.join(Joint(closed))
    with pytest.raises(UsageError, match="joined to others already"):
        world.engine.join(Joint(a.lane))
    with pytest.raises(UsageError, match="shall not hear itself"):
        joint.hear(a.lane, a.lane)
    with pytest.raises(UsageError, match="only lanes that take part"):
        joint.hear(a.lane, closed)
    with pytest.raises(UsageError, match="takes part already"):
        joint.add(a.lane)
    assert joint.heard_by(a.lane) == {b.lane: GAIN_ONE}
    assert joint.heard_by(closed) == {}


def test_a_side_that_sends_nothing_is_heard_as_silence_by_a_mix() -> None:
    world = scene()
    a, b, joint = pair(world)
    c = world.stream("c", phase=0)
    joint.add(c.lane)
    joint.hear(c.lane, a.lane)
    joint.hear(c.lane, b.lane)
    world.engine.join(joint)
    a.receive(tone(8))  # b sends nothing at all
    world.tick()
    assert sent(c).tolist() == tone(8).tolist()
    assert not a.outlet.sent
