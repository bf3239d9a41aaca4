"""Lanes with a chain: an agent's own echo, whole calls in virtual time, and the lanes beside."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trunkline.errors import UsageError
from trunkline.media import Bypass, ChainBank, ChainStages, Engine, Heard, Lane, StreamInlet, Window
from trunkline.media.frames import level_dbov
from trunkline.media.testing import Link, LinkSettings, MemoryOutlet, RtpEnd, VirtualTime

RATE = 8000
FRAME = 160
Pcm = NDArray[np.int16]


def speech(seconds: float, seed: int = 1, level: float = 3000) -> Pcm:
    """Syllables of noise with pauses between the words."""
    rng = np.random.default_rng(seed)
    count = int(seconds * RATE)
    syllables = np.abs(np.sin(np.arange(count) * 2 * np.pi * 3 / RATE))
    words = np.repeat(rng.random(count // 2000 + 1) > 0.2, 2000)[:count]
    return np.clip(rng.normal(size=count) * level * syllables * words, -30_000, 30_000).astype(
        np.int16
    )


@dataclass
class Agent:
    """Stops speaking when it has heard 240 ms of something, as agents do."""

    lane: Lane
    loud: int = 0
    stopped: list[float] = field(default_factory=list)
    levels: list[float] = field(default_factory=list)

    def hear(self, frame: Pcm, windows: Sequence[Window], now: float) -> None:
        level = level_dbov(frame)
        self.levels.append(level)
        self.loud = self.loud + 1 if level > -42 else max(0, self.loud - 2)
        if self.loud >= 12 and not self.stopped:
            self.stopped.append(now)
            self.lane.clear(1)

    def started(self, generation: int, now: float) -> None:
        pass

    def drained(self, heard: Heard, now: float) -> None:
        pass


class Speakerphone:
    """A telephone that hears itself: what it plays comes back through a room."""

    def __init__(self, engine: Engine, lane: Lane, says: Pcm) -> None:
        rng = np.random.default_rng(9)
        room = rng.normal(size=400) * np.exp(-np.arange(400) / 80)
        self._room = 0.3 * room / np.sqrt(np.square(room).sum())
        self._engine, self._lane, self._says = engine, lane, says
        self._past = np.zeros(len(room) - 1)
        self._at = 0

    def frame(self, heard: Pcm | None, sent: Pcm | None, now: float) -> None:
        played = np.zeros(FRAME) if heard is None else heard.astype(np.float64)
        audio = np.concatenate([self._past, played])
        self._past = audio[FRAME:]
        echo = np.convolve(audio, self._room, "valid")
        said = self._says[self._at : self._at + FRAME]
        echo[: len(said)] += said
        self._at += FRAME
        self._engine.push(self._lane, np.clip(echo, -32_000, 32_000).astype(np.int16), 0)

    def late(self, heard: Pcm, now: float) -> None:
        raise AssertionError


@dataclass
class Tap:
    heard: list[Pcm] = field(default_factory=list)

    def frame(self, heard: Pcm | None, sent: Pcm | None, now: float) -> None:
        self.heard.append(np.zeros(FRAME, np.int16) if heard is None else heard.copy())

    def late(self, heard: Pcm, now: float) -> None:
        raise AssertionError


class End(RtpEnd):
    """An end whose lane has a chain or not."""

    def __init__(
        self, id: str, *, chain: ChainStages | None, engine: Engine, link: Link, seed: int
    ) -> None:
        opened: list[Lane] = []
        keep = engine.open

        def ask(lane: Lane, phase: int | None = None) -> None:
            lane.chain = chain
            opened.append(lane)
            keep(lane, phase)

        engine.open = ask  # type: ignore[method-assign]
        super().__init__(id, engine=engine, link=link, rng=random.Random(seed), phase=0)
        engine.open = keep  # type: ignore[method-assign]


@dataclass
class Scene:
    time: VirtualTime
    node: Engine
    agent: Agent
    tap: Tap
    phone: RtpEnd
    end: RtpEnd


def scene(
    *, chain: bool, says: Pcm | None = None, network: LinkSettings | None = None, **stages: Any
) -> Scene:
    virtual = VirtualTime()
    there, back = Link(random.Random(1), network), Link(random.Random(2), network)
    node = virtual.drive(Engine())
    home = virtual.drive(Engine())
    chosen = ChainStages(**stages) if chain else None
    end = End("agent", chain=chosen, engine=node, link=back, seed=3)
    phone = RtpEnd("phone", engine=home, link=there, rng=random.Random(4))
    virtual.join(there, end)
    virtual.join(back, phone)
    quiet = np.zeros(0, np.int16)
    phone.lane.taps.append(Speakerphone(home, phone.lane, quiet if says is None else says))
    agent, tap = Agent(end.lane), Tap()
    end.lane.ears.append(agent)
    end.lane.taps.append(tap)
    return Scene(virtual, node, agent, tap, phone, end)


# An agent and its own echo


def test_without_a_chain_an_agents_echo_interrupts_it() -> None:
    call = scene(chain=False)
    call.node.push(call.end.lane, speech(8), 0)
    call.time.run(8)
    assert call.agent.stopped


@pytest.mark.parametrize(
    "network", [LinkSettings(), LinkSettings(delay_ms=60, jitter_ms=5, loss=0.01)]
)
def test_with_a_chain_an_agents_echo_does_not_interrupt_it(network: LinkSettings) -> None:
    call = scene(chain=True, network=network)
    call.node.push(call.end.lane, speech(8), 0)
    call.time.run(8)
    assert call.agent.stopped == []


def test_with_a_chain_a_caller_still_interrupts_and_is_heard() -> None:
    says = np.concatenate([np.zeros(6 * RATE, np.int16), speech(3, seed=5, level=6000)])
    call = scene(chain=True, says=says)
    call.node.push(call.end.lane, speech(12), 0)
    call.time.run(9)
    assert len(call.agent.stopped) == 1
    assert 6 < call.agent.stopped[0] < 7
    after = call.agent.levels[-50:]
    assert 10 * np.log10(np.mean(10 ** (np.array(after) / 10))) > -25


def test_what_was_cleared_is_no_reference() -> None:
    call = scene(chain=True)
    lane = call.end.lane
    call.node.push(lane, speech(12), 0)
    call.time.run(5)
    lane.clear(1)
    call.time.run(1)
    call.node.push(lane, speech(6, seed=8), 1)
    call.time.run(5)
    assert call.agent.stopped == []
    metrics = call.node.chains.metrics(lane)
    assert metrics is not None
    assert metrics.erle_db > 10


def test_recognisers_and_people_hear_their_own_branch() -> None:
    class Half(Bypass):
        def process(self, block: np.ndarray, rows: np.ndarray) -> np.ndarray:
            return block / 2

    call = scene(chain=True, says=speech(2), echo="off", noise=lambda rate: Half(rate))
    frames: list[Pcm] = []
    call.agent.hear = lambda frame, windows, now: frames.append(frame)  # type: ignore[method-assign]
    call.time.run(2)
    understood, heard = np.concatenate(frames), np.concatenate(call.tap.heard)
    assert understood.any()
    assert np.abs(heard.astype(int) - understood / 2).max() <= 1


# Lanes beside it


def test_a_lane_without_a_chain_hears_the_same_bits_beside_one_with() -> None:
    def run(*, beside: bool) -> tuple[list[Pcm], int]:
        call = scene(chain=False, says=speech(2))
        if beside:
            other = End(
                "other", chain=ChainStages(), engine=call.node, link=Link(random.Random(7)), seed=8
            )
            call.node.push(other.lane, speech(2), 0)
        call.time.run(2)
        return call.tap.heard, call.node.faults

    assert np.array_equal(run(beside=False)[0], run(beside=True)[0])
    assert run(beside=True)[1] == 0


def test_a_chain_that_fails_costs_nobody_a_frame() -> None:
    class Broken(Bypass):
        def process(self, block: np.ndarray, rows: np.ndarray) -> np.ndarray:
            raise RuntimeError("broken")

    broken = scene(chain=True, says=speech(1), echo="off", noise=lambda rate: Broken(rate))
    plain = scene(chain=False, says=speech(1))
    for call in (broken, plain):
        call.time.run(1)
    assert np.array_equal(broken.tap.heard, plain.tap.heard)
    assert broken.agent.levels == plain.agent.levels
    assert broken.node.faults == 50


def test_streams_in_the_same_phase_are_heard_as_before() -> None:
    call = scene(chain=True, says=speech(1))
    inlet = StreamInlet(RATE, None)
    stream = Lane("stream", inlet=inlet, outlet=MemoryOutlet())
    ear, tap = Agent(stream), Tap()
    stream.ears.append(ear)
    stream.taps.append(tap)
    call.node.open(stream, 0)
    said = np.arange(1, 5 * FRAME + 1, dtype="<i2")
    for start in range(0, said.size, FRAME):
        inlet.push(said[start : start + FRAME].tobytes())
        call.time.run(0.02)
    heard = np.concatenate(tap.heard)
    assert np.array_equal(heard[: said.size], said[: heard.size])
    assert len(ear.levels) == len(tap.heard) == 5


# Opening and closing


def test_nothing_is_made_before_a_lane_asks_and_a_closed_lane_leaves_nothing() -> None:
    made: list[ChainBank] = []

    def make(rate_hz: int, stages: ChainStages) -> ChainBank:
        made.append(ChainBank(rate_hz, stages))
        return made[-1]

    engine = Engine(chain=make)
    link = Link(random.Random(1))
    off = End("off", chain=None, engine=engine, link=link, seed=1)
    assert made == []
    one, other = ChainStages(), ChainStages(noise="off")
    ends = [End(str(n), chain=one, engine=engine, link=link, seed=n) for n in range(3)]
    assert len(made) == 1
    assert len(engine.chains) == len(made[0]) == 3
    ends.append(End("other", chain=other, engine=engine, link=link, seed=5))
    assert [bank.stages for bank in made] == [one, other]
    assert engine.chains.metrics(off.lane) is None
    for end in ends:
        engine.close(end.lane)
        engine.close(end.lane)
        assert end.lane.taps == []
    assert len(engine.chains) == len(made[0]) == len(made[1]) == 0
    engine.tick(0, 1.0)
    End("late", chain=one, engine=engine, link=link, seed=1)
    assert len(made) == 3


def test_a_bank_that_is_kept_is_made_at_once_and_stays() -> None:
    made: list[ChainBank] = []

    def make(rate_hz: int, stages: ChainStages) -> ChainBank:
        made.append(ChainBank(rate_hz, stages))
        return made[-1]

    engine = Engine(chain=make)
    engine.chains.keep(ChainStages())
    assert len(made) == 1
    for _ in range(2):
        end = End("one", chain=ChainStages(), engine=engine, link=Link(random.Random(1)), seed=1)
        assert len(made[0]) == 1
        engine.close(end.lane)
    assert len(made) == 1


def test_a_chain_that_cannot_be_is_refused_and_the_lane_stays_closed() -> None:
    def no_room(rate_hz: int) -> Bypass:
        raise UsageError("no licence")

    engine = Engine()
    impossible = ChainStages(noise=no_room)
    with pytest.raises(UsageError, match="no licence"):
        End("one", chain=impossible, engine=engine, link=Link(random.Random(1)), seed=1)
    assert not engine.lanes
    engine = Engine()
    end = End("two", chain=None, engine=engine, link=Link(random.Random(1)), seed=1)
    with pytest.raises(UsageError, match="no licence"):
        engine.set_chain(end.lane, impossible)
    assert end.lane.chain is None
    assert len(engine.chains) == 0
    engine.tick(0, 1.0)
    assert engine.faults == 0
