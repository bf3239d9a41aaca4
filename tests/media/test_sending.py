"""What lanes send: leads, silence, encodings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.media.g711 import Law, decode, encode

from .engine_scene import FRAME, noise, scene, tone


def test_a_streams_lead_leaves_at_once_and_the_rest_in_real_time() -> None:
    world = scene()
    leg = world.stream(lead_frames=2)
    world.engine.push(leg.lane, noise(6), 0)
    world.engine.kick(world.now)
    assert len(leg.outlet.sent) == 2
    counts = []
    for _ in range(6):
        world.tick()
        counts.append(len(leg.outlet.sent))
    assert counts == [3, 4, 5, 6, 6, 6]
    assert np.array_equal(leg.outlet.audio(), noise(6))


def test_a_recording_of_a_stream_with_a_lead_is_aligned_to_what_is_played() -> None:
    world = scene()
    leg = world.stream(lead_frames=2)
    world.tick(2)
    world.engine.push(leg.lane, np.concatenate([tone(n) for n in range(1, 6)]), 0)
    world.engine.kick(world.now)
    world.tick(8)
    # One frame of each side a tick, the first in the tick after it was sent.
    assert leg.tap.sent == [None, None, 1, 2, 3, 4, 5, None, None, None]
    assert leg.lane.sent_ahead == 0
    assert not leg.lane.shown_later


def test_the_lead_is_filled_in_pieces_as_audio_comes() -> None:
    world = scene()
    leg = world.stream(lead_frames=2)
    sent = []
    for number in range(8):
        world.engine.push(leg.lane, noise(4)[number * 80 : number * 80 + 80], 0)
        world.engine.kick(world.now)
        sent.append(len(leg.outlet.sent))
    assert sent == [0, 1, 1, 2, 2, 2, 2, 2]
    world.tick(2)
    assert np.array_equal(leg.outlet.audio(), noise(4))


def test_an_incomplete_frame_is_not_used_up_by_looking_at_it() -> None:
    world = scene()
    leg = world.stream(lead_frames=2)
    world.engine.push(leg.lane, noise(1)[:100], 0)
    for _ in range(10):
        world.engine.kick(world.now)
        world.engine.push(leg.lane, noise(1)[:0], 0)
    world.tick(2)
    assert leg.outlet.sent == []
    world.engine.push(leg.lane, noise(1)[100:], 0)
    world.engine.kick(world.now)
    assert np.array_equal(leg.outlet.audio(), noise(1))


def test_after_an_underrun_the_lead_is_filled_again() -> None:
    world = scene()
    leg = world.stream(lead_frames=2)
    world.engine.push(leg.lane, tone(1, 3), 0)
    world.tick(10)
    assert leg.lane.sent_ahead == 0
    world.engine.push(leg.lane, tone(2, 5), 0)
    world.engine.kick(world.now)
    assert len(leg.outlet.sent) == 3 + 2


def test_audio_that_came_from_a_socket_is_led_by_the_next_tick_of_any_phase() -> None:
    world = scene()
    leg = world.stream(phase=3, lead_frames=2)
    world.stream("b", phase=0)
    world.engine.push(leg.lane, noise(5), 0)
    world.tick(1, phase=0)
    assert len(leg.outlet.sent) == 2


def test_nothing_is_kept_of_lanes_that_closed_before_their_lead() -> None:
    world = scene()
    leg = world.stream(lead_frames=2)
    world.engine.push(leg.lane, noise(5), 0)
    world.engine.close(leg.lane)
    world.engine.kick(world.now)
    assert leg.outlet.sent == []


def test_a_busy_stream_keeps_its_lead_for_later() -> None:
    world = scene()
    leg = world.stream(lead_frames=2, busy=True)
    world.engine.push(leg.lane, noise(5), 0)
    world.engine.kick(world.now)
    assert leg.outlet.sent == []


def test_an_interruption_forgets_what_was_sent_ahead() -> None:
    world = scene()
    leg = world.stream(lead_frames=2)
    world.engine.push(leg.lane, tone(1, 10), 0)
    world.tick(2)
    leg.lane.clear(1)
    world.tick(2)
    assert leg.tap.sent == [1, 1, None, None]
    world.engine.push(leg.lane, tone(2, 3), 1)
    world.engine.kick(world.now)
    world.tick(4)
    assert leg.tap.sent[4:] == [2, 2, 2, None]


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 3)), max_size=25))
def test_a_recording_holds_each_frame_that_was_sent_once_and_in_order(
    steps: list[tuple[int, int]],
) -> None:
    world = scene()
    leg = world.stream(lead_frames=2)
    sample = 1
    for samples, ticks in steps:
        world.engine.push(leg.lane, np.arange(sample, sample + samples).astype(np.int16), 0)
        sample += samples
        world.engine.kick(world.now)
        world.tick(ticks)
        assert len(leg.lane.shown_later) == leg.lane.sent_ahead <= 2
    world.tick(100)
    shown = [sent for _, sent in leg.tap.frames if sent is not None]
    assert np.array_equal(np.concatenate([*shown, tone(0, 0)]), leg.outlet.audio())
    assert len(leg.tap.frames) == sum(ticks for _, ticks in steps) + 100


@pytest.mark.parametrize("encoding", [Law.ULAW, Law.ALAW, None])
def test_a_continuous_outlet_gets_silence_in_its_own_encoding(encoding: Law | None) -> None:
    world = scene()
    leg = world.stream(continuous=True)
    leg.outlet.encoding = encoding
    world.tick(3)
    zeros = np.zeros(FRAME, np.int16)
    expected = zeros.tobytes() if encoding is None else encode(zeros, encoding).tobytes()
    assert [(frame.payload, frame.silence) for frame in leg.outlet.sent] == [(expected, True)] * 3


def test_an_outlet_that_is_not_continuous_gets_nothing_for_nothing() -> None:
    world = scene()
    leg = world.stream()
    world.tick(50)
    assert leg.outlet.sent == []


def test_audio_waits_while_its_outlet_is_busy_and_nothing_of_it_is_lost() -> None:
    world = scene()
    leg = world.stream(continuous=True)
    world.engine.push(leg.lane, noise(10), 0)
    world.tick(3)
    leg.outlet.busy = True
    world.tick(5)
    # Its turn is offered to it all the same: digits are sent in it.
    assert [frame.payload for frame in leg.outlet.sent[3:]] == [b""] * 5
    leg.outlet.busy = False
    world.tick(10)
    assert np.array_equal(
        np.frombuffer(b"".join(f.payload for f in leg.outlet.sent if not f.silence), "<i2"),
        noise(10),
    )
    assert leg.tap.sent[3:8] == [None] * 5


def test_mixed_encodings_in_one_phase_are_exact_to_the_bit() -> None:
    world = scene()
    kinds: list[Law | None] = [Law.ULAW, None, Law.ALAW, Law.ULAW, None, Law.ALAW, Law.ALAW]
    legs = []
    for number, encoding in enumerate(kinds):
        leg = world.stream(str(number), encoding=encoding)
        leg.outlet.encoding = encoding
        world.engine.push(leg.lane, noise(5, number), 0)
        legs.append(leg)
    for tick in range(5):
        for number, leg in enumerate(legs):
            leg.receive(noise(5, 100 + number)[tick * FRAME : (tick + 1) * FRAME])
        world.tick()
    for number, (encoding, leg) in enumerate(zip(kinds, legs, strict=True)):
        out, came = noise(5, number), noise(5, 100 + number)
        payload = b"".join(frame.payload for frame in leg.outlet.sent)
        if encoding is None:
            assert payload == out.tobytes()
            assert np.array_equal(np.concatenate(leg.ear.frames), came)
        else:
            assert payload == encode(out, encoding).tobytes()
            assert np.array_equal(
                np.concatenate(leg.ear.frames), decode(encode(came, encoding), encoding)
            )
        assert np.array_equal(np.concatenate([sent for _, sent in leg.tap.frames]), out)
