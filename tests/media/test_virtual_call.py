"""Whole calls in virtual time: two ends, RTP between them, a network that misbehaves."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from trunkline.errors import UsageError
from trunkline.media.engine import Engine
from trunkline.media.g711 import Law, decode, encode
from trunkline.media.jitter import JitterBank, JitterSettings
from trunkline.media.lane import Heard, Lane, Window
from trunkline.media.testing import Link, LinkSettings, RtpEnd, VirtualTime

RATE = 8000
FRAME = 160
Pcm = NDArray[np.int16]


def speech(seconds: float, seed: int = 1) -> Pcm:
    """Bursts of noise of about speech's level, never silent: every sample tells its place."""
    rng = np.random.default_rng(seed)
    count = int(seconds * RATE)
    envelope = 0.2 + np.abs(np.sin(np.arange(count) * 2 * np.pi * 3 / RATE))
    return np.clip(rng.normal(size=count) * 3000 * envelope, -30_000, 30_000).astype(np.int16)


def after_codec(pcm: Pcm, law: Law = Law.ULAW) -> Pcm:
    return np.asarray(decode(encode(pcm, law), law))


@dataclass
class Recording:
    """A tap and an ear that keep everything."""

    heard: list[Pcm] = field(default_factory=list)
    sent: list[Pcm] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    drains: list[tuple[float, Heard]] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)

    def frame(self, heard: Pcm | None, sent: Pcm | None, now: float) -> None:
        silent = np.zeros(FRAME, np.int16)
        self.heard.append(silent if heard is None else heard.copy())
        self.sent.append(silent if sent is None else sent.copy())
        self.at.append(now)

    def late(self, heard: Pcm, now: float) -> None:
        raise AssertionError("packets are never late to a tap")

    def hear(self, frame: Pcm, windows: Sequence[Window], now: float) -> None:
        pass

    def started(self, generation: int, now: float) -> None:
        self.starts.append(now)

    def drained(self, heard: Heard, now: float) -> None:
        self.drains.append((now, heard))

    @property
    def caller(self) -> Pcm:
        return np.concatenate(self.heard)

    @property
    def played(self) -> Pcm:
        return np.concatenate(self.sent)


@dataclass
class BargingEar(Recording):
    """Clears its own lane as soon as it hears something loud, as an agent does."""

    lane: Lane | None = None
    cleared: list[tuple[float, Heard]] = field(default_factory=list)

    def hear(self, frame: Pcm, windows: Sequence[Window], now: float) -> None:
        if self.lane is not None and not self.cleared and np.abs(frame).max() > 1000:
            self.cleared.append((now, self.lane.clear(1)))


@dataclass
class Call:
    """Alice and Bob, each with an engine of their own."""

    time: VirtualTime
    alice: RtpEnd
    bob: RtpEnd
    there: Link
    back: Link
    at_alice: Recording
    at_bob: Recording

    def say(self, end: RtpEnd, pcm: Pcm, generation: int = 0) -> None:
        end.engine.push(end.lane, pcm, generation)
        end.lane.playout.finish(generation)


def call(
    settings: LinkSettings | None = None,
    *,
    seed: int = 1,
    laws: tuple[Law, Law] = (Law.ULAW, Law.ULAW),
    drift_ppm: float = 0.0,
    jitter: JitterSettings | None = None,
) -> Call:
    rng = random.Random(seed)
    virtual = VirtualTime()
    there, back = Link(rng, settings), Link(rng, settings)
    here = virtual.drive(Engine(jitter=JitterBank(RATE, jitter)))
    far = virtual.drive(Engine(jitter=JitterBank(RATE, jitter)), drift_ppm=drift_ppm)
    alice = RtpEnd("alice", engine=here, link=there, rng=rng, law=laws[0])
    bob = RtpEnd("bob", engine=far, link=back, rng=rng, law=laws[1])
    virtual.join(there, bob)
    virtual.join(back, alice)
    recordings = Recording(), Recording()
    for end, recording in zip((alice, bob), recordings, strict=True):
        end.lane.taps.append(recording)
        end.lane.ears.append(recording)
    return Call(virtual, alice, bob, there, back, *recordings)


def find(needle: Pcm, haystack: Pcm) -> int:
    """Where a stretch of audio is, exactly; -1 where it is not."""
    first = np.flatnonzero(haystack[: len(haystack) - len(needle) + 1] == needle[0])
    for at in first.tolist():
        if np.array_equal(haystack[at : at + len(needle)], needle):
            return int(at)
    return -1


def share_heard(said: Pcm, heard: Pcm) -> float:
    """How many of the frames said are in what was heard, exactly."""
    grams = {heard[at : at + 40].tobytes() for at in range(len(heard) - 40)}
    frames = [said[at + 60 : at + 100].tobytes() for at in range(0, len(said) - FRAME, FRAME)]
    return sum(frame in grams for frame in frames) / len(frames)


def settings_of_a_quick_bank() -> JitterSettings:
    return JitterSettings(min_ms=20, start_ms=20, max_ms=200)


# -- a good network -------------------------------------------------------------------------


def test_every_sample_of_a_call_arrives_both_ways_and_in_order() -> None:
    scene = call()
    said, answered = speech(5, 1), speech(5, 2)
    scene.say(scene.alice, said)
    scene.say(scene.bob, answered)
    scene.time.run(6)
    for words, recording in ((said, scene.at_bob), (answered, scene.at_alice)):
        expected = after_codec(words)
        assert find(expected[8000:], recording.caller) > 0
        # The buffer may shorten its first guess of the delay by a frame or two.
        assert share_heard(expected, recording.caller) > 0.98


def test_the_same_seed_gives_the_same_call() -> None:
    def run() -> tuple[bytes, bytes]:
        settings = LinkSettings(delay_ms=30, jitter_ms=10, loss=0.05, duplicate=0.02, reorder=0.02)
        scene = call(settings, seed=5)
        scene.say(scene.alice, speech(3))
        scene.time.run(4)
        return scene.at_bob.caller.tobytes(), scene.at_alice.caller.tobytes()

    assert run() == run()


def test_two_laws_in_one_call_are_each_decoded_as_they_were_encoded() -> None:
    scene = call(laws=(Law.ALAW, Law.ALAW))
    said = speech(3)
    scene.say(scene.alice, said)
    scene.time.run(4)
    assert share_heard(after_codec(said, Law.ALAW), scene.at_bob.caller) > 0.98


def test_the_delay_from_mouth_to_ear_is_the_networks_and_the_buffers() -> None:
    scene = call(LinkSettings(delay_ms=50))
    said = speech(2)
    scene.say(scene.alice, said)
    scene.time.run(4)
    heard = scene.at_bob.caller
    at = scene.at_bob.at[int(np.flatnonzero(heard)[0]) // FRAME]
    assert 0.050 <= at - scene.at_alice.starts[0] <= 0.050 + 0.080


def test_a_recording_has_one_frame_of_each_side_a_tick() -> None:
    scene = call()
    scene.say(scene.alice, speech(1))
    scene.time.run(2)
    assert len(scene.at_alice.heard) == len(scene.at_alice.sent) == 100
    assert np.allclose(np.diff(scene.at_alice.at), 0.020)


# -- interrupting ----------------------------------------------------------------------------


def test_nothing_of_what_was_cut_off_leaves_after_the_caller_breaks_in() -> None:
    scene = call(LinkSettings(delay_ms=30))
    ear = BargingEar(lane=scene.bob.lane)
    scene.bob.lane.ears.append(ear)
    reply = speech(10, 2)
    scene.say(scene.bob, reply)
    scene.time.run(2)
    scene.say(scene.alice, speech(2, 1))
    scene.time.run(3)
    assert len(ear.cleared) == 1
    cleared_at, heard = ear.cleared[0]
    left = np.flatnonzero(scene.at_bob.played)
    last = scene.at_bob.at[int(left[-1]) // FRAME]
    assert last < cleared_at
    # About 2.1 s left; the caller heard that less the far buffer and half the round trip.
    samples = scene.bob.lane.playout.sent_samples
    assert heard.generation == 0
    assert not heard.exact
    round_trip = scene.bob.lane.round_trip_seconds
    assert round_trip == pytest.approx(0.060, abs=0.002)
    assert heard.samples == samples - int((0.060 + round_trip / 2) * RATE)
    assert heard.queued_samples == len(reply) - samples


def test_what_follows_an_interruption_is_heard_whole() -> None:
    scene = call(LinkSettings(delay_ms=30))
    scene.say(scene.bob, speech(10, 2))
    scene.time.run(1)
    scene.bob.lane.clear(1)
    scene.say(scene.bob, speech(2, 3), 1)
    scene.time.run(3)
    assert share_heard(after_codec(speech(2, 3)), scene.at_alice.caller) > 0.95
    assert [heard.generation for _, heard in scene.at_bob.drains] == [1]


def test_an_utterance_is_told_to_be_over_when_the_far_end_has_played_it() -> None:
    scene = call(LinkSettings(delay_ms=80))
    scene.time.run(3)  # for the round trip
    scene.say(scene.alice, speech(1))
    scene.time.run(3)
    ((at, heard),) = scene.at_alice.drains
    assert heard == Heard(0, RATE, 0, False)
    assert at - scene.at_alice.starts[0] == pytest.approx(1 - 0.02 + 0.080 + 0.060, abs=0.021)


# -- keys ------------------------------------------------------------------------------------


def test_keys_arrive_both_ways_each_once_and_audio_goes_on_after_them() -> None:
    scene = call(LinkSettings(delay_ms=30, duplicate=0.2, reorder=0.1), seed=3)
    said = speech(2)
    scene.say(scene.alice, said)
    scene.time.run(0.5)
    scene.alice.press("12#")
    scene.bob.press("*0A")
    scene.time.run(4)
    assert "".join(digit.digit for digit in scene.bob.digits) == "12#"
    assert "".join(digit.digit for digit in scene.alice.digits) == "*0A"
    assert {digit.duration_ms for digit in scene.bob.digits} == {100}
    # Audio waited while the keys were sent: none of it is missing.
    assert share_heard(after_codec(said), scene.at_bob.caller) > 0.95
    assert scene.bob.engine.jitter.statistics(scene.bob.lane.inlet.row).lost == 0


def test_keys_survive_a_fifth_of_the_packets_being_lost() -> None:
    scene = call(LinkSettings(loss=0.2), seed=8)
    scene.alice.press("0123456789")
    scene.time.run(4)
    assert "".join(digit.digit for digit in scene.bob.digits) == "0123456789"


# -- bad networks ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_loss_is_concealed_and_counted_and_the_rest_is_heard(seed: int) -> None:
    scene = call(LinkSettings(loss=0.05), seed=seed)
    said = speech(10)
    scene.say(scene.alice, said)
    scene.time.run(11)
    found = scene.bob.engine.jitter.statistics(scene.bob.lane.inlet.row)
    assert found.lost + found.received == pytest.approx(scene.there.sent, abs=25)
    assert found.lost == pytest.approx(scene.there.lost, abs=3)
    assert found.concealed_frames >= found.lost * 0.9
    assert 0.88 < share_heard(after_codec(said), scene.at_bob.caller) < 0.97
    assert scene.alice.rtcp.remote_lost == pytest.approx(found.lost, abs=8)


def test_jitter_is_ridden_out_by_waiting_longer() -> None:
    scene = call(LinkSettings(delay_ms=20, jitter_ms=15), seed=4)
    said = speech(20)
    scene.say(scene.alice, said)
    scene.time.run(21)
    found = scene.bob.engine.jitter.statistics(scene.bob.lane.inlet.row)
    assert found.lost <= 1  # the newest may be under way still
    assert found.reordered > 0
    assert found.target_ms > 40
    assert found.late <= 20  # of 1000
    assert share_heard(after_codec(said), scene.at_bob.caller) > 0.9


def test_packets_that_overtake_each_other_are_put_in_order() -> None:
    scene = call(LinkSettings(reorder=0.1), seed=2)
    said = speech(5)
    scene.say(scene.alice, said)
    scene.time.run(6)
    assert share_heard(after_codec(said), scene.at_bob.caller) > 0.97


def test_a_sender_that_stops_in_silence_is_heard_whole_and_nothing_counts_as_lost() -> None:
    scene = call()
    scene.alice.dtx = True
    for number in range(4):
        scene.say(scene.alice, speech(1, number), number)
        scene.time.run(2.5)
    found = scene.bob.engine.jitter.statistics(scene.bob.lane.inlet.row)
    assert found.lost == 0
    # A second of audio and a frame of tail each time, not ten seconds of packets.
    assert found.received < 4 * 52 + 12
    for number in range(4):
        assert share_heard(after_codec(speech(1, number)), scene.at_bob.caller) > 0.95


@pytest.mark.parametrize("drift_ppm", [-1000.0, 1000.0])
def test_clocks_that_drift_cost_a_frame_now_and_then_and_no_delay(drift_ppm: float) -> None:
    scene = call(drift_ppm=drift_ppm)
    pauses = np.concatenate([np.concatenate([speech(1.2, n), np.zeros(2400)]) for n in range(36)])
    scene.say(scene.alice, pauses.astype(np.int16))
    scene.time.run(10)
    before = scene.bob.engine.jitter.statistics(scene.bob.lane.inlet.row)
    scene.time.run(40)
    found = scene.bob.engine.jitter.statistics(scene.bob.lane.inlet.row)
    # Ten times what crystals do: of 40 s it is two frames of 20 ms.
    assert found.lost == 0
    assert abs(found.delay_ms - before.delay_ms) <= 25
    changes = (
        found.dropped_frames
        + found.inserted_frames
        + found.concealed_frames
        - before.dropped_frames
        - before.inserted_frames
        - before.concealed_frames
    )
    assert changes <= 4


def test_a_stall_of_two_seconds_leaves_no_burst_no_delay_and_no_loss_of_the_call() -> None:
    scene = call()
    scene.say(scene.alice, speech(10, 1))
    scene.say(scene.bob, speech(10, 2))
    scene.time.run(3)
    sent = scene.back.sent
    scene.time.stall(scene.bob.engine, 2.0)
    scene.time.run(1.99)
    assert scene.back.sent == sent
    scene.time.run(0.11)
    assert scene.back.sent - sent <= 10  # 5 ticks, and no more than one to catch up
    scene.time.run(9)
    at_bob = scene.bob.engine.jitter.statistics(scene.bob.lane.inlet.row)
    at_alice = scene.alice.engine.jitter.statistics(scene.alice.lane.inlet.row)
    assert at_alice.lost == at_bob.lost == 0
    assert at_bob.delay_ms < 120
    assert at_alice.delay_ms < 120
    # What was said before the stall ended and what came after it was heard.
    late = after_codec(speech(10, 1))[6 * RATE : 9 * RATE]
    assert share_heard(late, scene.at_bob.caller) > 0.95
    assert share_heard(after_codec(speech(10, 2)), scene.at_alice.caller) > 0.95


def test_reports_tell_both_ends_of_each_other() -> None:
    scene = call(LinkSettings(delay_ms=40, loss=0.1), seed=6)
    scene.time.run(20)
    for end in (scene.alice, scene.bob):
        assert end.rtcp.rtt_ms == pytest.approx(80, abs=2)
        assert end.rtcp.remote_loss is not None
        assert 0 < end.rtcp.remote_loss < 0.3
        assert end.rtcp.malformed == 0


def test_garbage_on_the_wire_changes_nothing() -> None:
    rng = random.Random(1)

    def run(*, garbage: bool) -> bytes:
        scene = call(seed=2)
        scene.say(scene.alice, speech(2))
        for _ in range(100):
            scene.time.run(0.02)
            if garbage:
                data = rng.randbytes(rng.randrange(40))
                # Not version 2, or it is somebody else's stream that cuts in.
                scene.bob.receive(bytes([rng.randrange(128)]) + data, scene.time.now)
        return scene.at_bob.caller.tobytes()

    assert run(garbage=True) == run(garbage=False)


# -- speed ---------------------------------------------------------------------------------------


def test_a_minute_of_a_call_costs_little() -> None:
    settings = LinkSettings(delay_ms=30, jitter_ms=3, loss=0.01)
    rng = random.Random(1)
    virtual, there, back = VirtualTime(), Link(rng, settings), Link(rng, settings)
    engine = virtual.drive(Engine())
    alice = RtpEnd("alice", engine=engine, link=there, rng=rng, phase=0)
    bob = RtpEnd("bob", engine=engine, link=back, rng=rng, phase=0)
    virtual.join(there, bob)
    virtual.join(back, alice)
    pauses = np.concatenate([np.concatenate([speech(1.2, n), np.zeros(2400)]) for n in range(50)])
    for end in (alice, bob):
        engine.push(end.lane, pauses.astype(np.int16)[: 60 * RATE], 0)
    began = time.process_time()
    virtual.run(60)
    took = time.process_time() - began
    print(f"\n60 s of a call in {took:.2f} s: {60 / took:.0f} times real time")
    assert alice.arrivals + bob.arrivals > 5800
    # Generous, for a busy machine: about 0.6 s on the build machine.
    assert took < 3


# -- the kit itself ------------------------------------------------------------------------------


def test_a_perfect_link_delivers_everything_in_order_and_on_time() -> None:
    link = Link(random.Random(1), LinkSettings(delay_ms=25))
    for number in range(10):
        link.send(bytes([number]), number * 0.02)
    assert link.receive(0.02) == []
    arrived = link.receive(1.0)
    assert [data[0] for _, data in arrived] == list(range(10))
    assert [at for at, _ in arrived] == pytest.approx([n * 0.02 + 0.025 for n in range(10)])
    assert not len(link)


def test_a_links_shares_are_what_they_say() -> None:
    link = Link(random.Random(7), LinkSettings(loss=0.25, duplicate=0.1, jitter_ms=20))
    for number in range(4000):
        link.send(b"", number * 0.02)
    arrived = link.receive(1e9)
    assert link.lost == pytest.approx(1000, abs=100)
    assert len(arrived) == pytest.approx(3300, abs=120)
    assert [at for at, _ in arrived] == sorted(at for at, _ in arrived)


@pytest.mark.parametrize(
    "wrong", [{"loss": 1.1}, {"loss": -0.1}, {"delay_ms": -1.0}, {"jitter_ms": -1.0}]
)
def test_a_link_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        LinkSettings(**wrong)


def test_only_an_engine_that_is_driven_can_be_joined() -> None:
    virtual, link = VirtualTime(), Link(random.Random(1))
    end = RtpEnd("lost", engine=Engine(), link=link, rng=random.Random(1))
    with pytest.raises(UsageError, match="drive"):
        virtual.join(link, end)
