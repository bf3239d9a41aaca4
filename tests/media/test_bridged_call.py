"""Two far ends joined by a node, in virtual time: clocks that differ, networks that lose."""

import random
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from trunkline.media.engine import Engine
from trunkline.media.g711 import Law
from trunkline.media.joints import Joint
from trunkline.media.lane import Lane
from trunkline.media.testing import Link, LinkSettings, RtpEnd, VirtualTime

RATE, FRAME = 8000, 160
Pcm = NDArray[np.int16]


@dataclass
class Heard:
    """A tap that keeps what a far end heard, and when packets left for it."""

    frames: list[Pcm] = field(default_factory=list)

    def frame(self, heard: Pcm | None, sent: Pcm | None, now: float) -> None:
        self.frames.append(np.zeros(FRAME, np.int16) if heard is None else heard.copy())

    def late(self, heard: Pcm, now: float) -> None:
        raise AssertionError("packets are never late to a tap")


@dataclass
class Bridged:
    """Alice, the node with a lane for each, and Bob: three clocks, four links."""

    time: VirtualTime
    alice: RtpEnd
    bob: RtpEnd
    for_alice: RtpEnd
    for_bob: RtpEnd
    at_alice: Heard
    at_bob: Heard
    links: list[Link]


class Timed(Link):
    """A link that notes when each packet leaves."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.left: list[float] = []

    def send(self, data: bytes, now: float) -> None:
        if len(data) == 12 + FRAME:
            self.left.append(now)
        super().send(data, now)


def bridged(
    drift_ppm: float = 0.0,
    settings: LinkSettings | None = None,
    laws: tuple[Law, Law] = (Law.ULAW, Law.ULAW),
) -> Bridged:
    rng = random.Random(1)
    virtual = VirtualTime()
    here = virtual.drive(Engine(), drift_ppm=drift_ppm / 2)
    node = virtual.drive(Engine())
    there = virtual.drive(Engine(), drift_ppm=-drift_ppm / 2)
    links: list[Link] = [Timed(rng, settings) for _ in range(4)]
    alice = RtpEnd("alice", engine=here, link=links[0], rng=rng, law=laws[0])
    for_alice = RtpEnd("for alice", engine=node, link=links[1], rng=rng, law=laws[0])
    bob = RtpEnd("bob", engine=there, link=links[2], rng=rng, law=laws[1])
    for_bob = RtpEnd("for bob", engine=node, link=links[3], rng=rng, law=laws[1])
    ends = (for_alice, alice, for_bob, bob)
    for link, end in zip(links, ends, strict=True):
        virtual.join(link, end)
    node.join(Joint(for_alice.lane, for_bob.lane))
    at_alice, at_bob = Heard(), Heard()
    alice.lane.taps.append(at_alice)
    bob.lane.taps.append(at_bob)
    return Bridged(virtual, alice, bob, for_alice, for_bob, at_alice, at_bob, links)


def say(end: RtpEnd, lane: Lane, pcm: Pcm) -> None:
    for at in range(0, len(pcm), 20 * RATE):
        end.engine.push(lane, pcm[at : at + 20 * RATE], 0)


def delay_ms(end: RtpEnd) -> float:
    return end.engine.jitter.statistics(end.lane.inlet.row).delay_ms  # type: ignore[union-attr]


def longest_silence(frames: list[Pcm]) -> int:
    """Samples without sound, at most, after the first sound."""
    loud = np.flatnonzero(np.abs(np.concatenate(frames).astype(int)) > 200)
    return int(np.diff(loud).max())


def hum(seconds: float, hz: float) -> Pcm:
    return np.rint(6000 * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE)).astype(
        np.int16
    )


def test_what_is_said_arrives_whole_and_no_later_than_two_jitter_buffers_make_it() -> None:
    scene = bridged()
    said = np.random.default_rng(1).integers(-8000, 8000, 50 * FRAME).astype(np.int16)
    say(scene.alice, scene.alice.lane, said)
    scene.time.run(2.0)
    heard = np.concatenate(scene.at_bob.frames).astype(float)
    match = np.correlate(heard, said[10 * FRAME : 14 * FRAME].astype(float), "valid")
    delay = int(match.argmax()) - 10 * FRAME
    # Two links of 20 ms, two buffers of 60 ms, half a tick of waiting at each clock.
    assert delay / 8 <= 40 + 120 + 3 * 20


@pytest.mark.parametrize("drift_ppm", [-1000.0, 1000.0])
def test_clocks_that_differ_leave_no_gap_and_gather_no_delay(drift_ppm: float) -> None:
    """Two minutes at 1000 ppm: as much drift as ten minutes at 200 ppm, 120 ms."""
    scene = bridged(drift_ppm)
    seconds = 120
    virtual = scene.time
    virtual.run(0.1)
    for minute in range(seconds // 20):
        scene.alice.engine.push(scene.alice.lane, hum(20.5, 200), 0)
        scene.bob.engine.push(scene.bob.lane, hum(20.5, 310), 0)
        virtual.run(20)
        assert minute < seconds
    for heard in (scene.at_alice, scene.at_bob):
        assert longest_silence(heard.frames[10:]) <= FRAME
    for end in (scene.for_alice, scene.for_bob, scene.alice, scene.bob):
        assert delay_ms(end) <= 100
        statistics = end.engine.jitter.statistics(end.lane.inlet.row)  # type: ignore[union-attr]
        assert statistics.lost == 0
    for link in scene.links:
        assert isinstance(link, Timed)
        steps = np.diff(link.left)
        assert steps.max() < 0.0201


def test_loss_on_one_side_is_concealed_once() -> None:
    scene = bridged(settings=LinkSettings(loss=0.05))
    say(scene.alice, scene.alice.lane, hum(20, 200))
    scene.time.run(21)
    first = scene.for_alice.engine.jitter.statistics(scene.for_alice.lane.inlet.row)  # type: ignore[union-attr]
    assert first.lost > 20
    assert first.concealed_frames >= first.lost
    link = scene.links[3]  # towards Bob: every packet leaves
    assert isinstance(link, Timed)
    assert np.diff(link.left).max() < 0.0201


@pytest.mark.parametrize("laws", [(Law.ULAW, Law.ALAW), (Law.ALAW, Law.ULAW)])
def test_two_laws_are_converted(laws: tuple[Law, Law]) -> None:
    scene = bridged(laws=laws)
    say(scene.alice, scene.alice.lane, hum(2, 250))
    say(scene.bob, scene.bob.lane, hum(2, 400))
    scene.time.run(1.8)
    for heard, hz in ((scene.at_bob, 250), (scene.at_alice, 400)):
        pcm = np.concatenate(heard.frames)[-4000:].astype(float)
        assert abs(int(np.abs(np.fft.rfft(pcm)).argmax()) * 2 - hz) <= 2
