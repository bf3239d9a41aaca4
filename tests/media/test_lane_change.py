"""Lanes that change their chain in mid-call, and many lanes with many chains."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trunkline.media import (
    Bypass,
    ChainBank,
    ChainStages,
    Engine,
    JitterInlet,
    Lane,
    StreamInlet,
    Window,
)
from trunkline.media.g711 import Law
from trunkline.media.testing import MemoryOutlet

RATE, FRAME = 8000, 160
Pcm = NDArray[np.int16]
TONE = (6000 * np.sin(2 * np.pi * 200 * np.arange(RATE * 4) / RATE)).astype(np.int16)


class Late(Bypass):
    """Gives everything 10 ms later, as echo and noise stages do."""

    def __init__(self, rate_hz: int) -> None:
        super().__init__(rate_hz)
        self.delay_samples = FRAME // 2
        self.tails: dict[int, NDArray[np.float32]] = {}

    def open(self) -> int:
        row = super().open()
        self.tails[row] = np.zeros(FRAME // 2, np.float32)
        return row

    def process(self, block: NDArray[np.float32], rows: NDArray[np.intp]) -> NDArray[np.float32]:
        out = np.empty_like(block)
        for index, row in enumerate(rows.tolist()):
            both = np.concatenate([self.tails[row], block[index]])
            out[index], self.tails[row] = both[:FRAME], both[FRAME:]
        return out


class Quiet(Bypass):
    def process(self, block: NDArray[np.float32], rows: NDArray[np.intp]) -> NDArray[np.float32]:
        return block / np.float32(2)


class Broken(Bypass):
    def process(self, block: NDArray[np.float32], rows: NDArray[np.intp]) -> NDArray[np.float32]:
        raise RuntimeError("broken")


LATE = ChainStages(echo="off", noise=Late)
LATER = ChainStages(echo="off", noise=Late, gain=Late)
QUIET = ChainStages(echo="off", noise=Quiet)
BROKEN = ChainStages(echo="off", noise=Broken)


class Ear:
    def __init__(self) -> None:
        self.frames: list[Pcm] = []

    def hear(self, frame: Pcm, windows: Sequence[Window], now: float) -> None:
        self.frames.append(frame.copy())

    def started(self, generation: int, now: float) -> None:
        pass

    def drained(self, heard: Any, now: float) -> None:
        pass


class Tap:
    def __init__(self) -> None:
        self.frames: list[Pcm] = []
        self.late_frames: list[Pcm] = []

    def frame(self, heard: Pcm | None, sent: Pcm | None, now: float) -> None:
        if heard is not None:
            self.frames.append(heard.copy())

    def late(self, heard: Pcm, now: float) -> None:
        self.late_frames.append(heard.copy())


class Stream:
    """A lane of a stream to which audio is given frame by frame."""

    def __init__(self, engine: Engine, chain: ChainStages | None = None) -> None:
        self.engine = engine
        self.inlet = StreamInlet(RATE, None)
        self.lane = Lane("stream", inlet=self.inlet, outlet=MemoryOutlet(), chain=chain)
        self.ear, self.tap = Ear(), Tap()
        self.lane.ears.append(self.ear)
        self.lane.taps.append(self.tap)
        engine.open(self.lane, 0)
        self.at = 0

    def say(self, pcm: Pcm = TONE) -> None:
        self.inlet.push(pcm[self.at : self.at + FRAME].tobytes())
        self.at += FRAME


def run(engine: Engine, streams: Sequence[Stream], ticks: int, start: float = 0.0) -> float:
    for tick in range(ticks):
        for stream in streams:
            stream.say()
        engine.tick(0, start + 0.02 * (tick + 1))
    return start + 0.02 * ticks


def roughness(pcm: Pcm) -> float:
    """The largest jump between samples, as a share of that of the tone itself."""
    own = np.abs(np.diff(TONE.astype(int))).max()
    return float(np.abs(np.diff(pcm.astype(int))).max() / own)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, LATE), (LATE, None), (None, LATER), (LATER, None), (LATE, LATER), (LATER, LATE),
    ],
)  # fmt: skip
def test_a_change_does_not_click_and_loses_no_frame(
    before: ChainStages | None, after: ChainStages | None
) -> None:
    engine = Engine()
    stream = Stream(engine, before)
    now = run(engine, [stream], 20)
    engine.set_chain(stream.lane, after)
    run(engine, [stream], 20, now)
    for heard in (stream.ear.frames, stream.tap.frames):
        assert len(heard) == 40
        # 200 Hz fits 10 ms twice: in the crossfade nothing is weaker either.
        whole = np.concatenate(heard)[400:]
        assert roughness(whole) < 1.1
        assert np.abs(whole[: whole.size // 40 * 40].reshape(-1, 40)).max(axis=1).min() > 5500
    delay = {None: 0, LATE: 80, LATER: 160}[after]
    last = np.concatenate(stream.tap.frames)[-FRAME:]
    assert np.array_equal(last, TONE[39 * FRAME - delay : 40 * FRAME - delay])
    assert stream.lane.chain == after


def test_a_change_while_another_goes_on_waits_for_it() -> None:
    engine = Engine()
    stream = Stream(engine)
    now = run(engine, [stream], 10)
    for stages in (LATER, QUIET, None, LATE):
        engine.set_chain(stream.lane, stages)
    now = run(engine, [stream], 1, now)
    engine.set_chain(stream.lane, LATER)
    engine.set_chain(stream.lane, LATE)
    run(engine, [stream], 20, now)
    whole = np.concatenate(stream.tap.frames)[400:]
    assert roughness(whole) < 1.1
    assert np.array_equal(whole[-FRAME:], TONE[31 * FRAME - 80 - FRAME : 31 * FRAME - 80])
    engine.close(stream.lane)
    assert len(engine.chains) == 0


def test_a_lane_that_closes_in_the_middle_of_a_change_gives_all_rows_back() -> None:
    made: list[ChainBank] = []

    def make(rate_hz: int, stages: ChainStages) -> ChainBank:
        made.append(ChainBank(rate_hz, stages))
        return made[-1]

    engine = Engine(chain=make)
    stream = Stream(engine, LATE)
    run(engine, [stream], 3)
    engine.set_chain(stream.lane, LATER)
    engine.set_chain(stream.lane, QUIET)
    assert [len(bank) for bank in made] == [1, 1, 1]
    engine.close(stream.lane)
    assert [len(bank) for bank in made] == [0, 0, 0]
    engine.tick(0, 1.0)
    assert engine.faults == 0


def test_a_lane_set_before_it_is_open_begins_with_that() -> None:
    engine = Engine()
    lane = Lane("one", inlet=StreamInlet(RATE), outlet=MemoryOutlet())
    engine.set_chain(lane, QUIET)
    assert len(engine.chains) == 0
    engine.open(lane)
    assert len(engine.chains) == 1
    engine.set_chain(lane, QUIET)
    assert len(engine.chains) == 1


# Many


def test_a_bank_that_fails_costs_the_other_banks_nothing() -> None:
    engine = Engine()
    streams = [Stream(engine, chain) for chain in (None, BROKEN, QUIET, BROKEN, LATE)]
    run(engine, streams, 20)
    plain, broken, quiet, _, late = (np.concatenate(one.tap.frames) for one in streams)
    said = TONE[: 20 * FRAME]
    assert np.array_equal(plain, said)
    assert np.array_equal(broken, said)
    assert np.abs(quiet - said / 2).max() <= 1
    assert np.array_equal(late[80:], said[:-80])
    assert engine.faults == 20


def test_a_chain_that_fails_in_a_change_does_not_stop_it() -> None:
    engine = Engine()
    stream = Stream(engine, LATE)
    now = run(engine, [stream], 5)
    engine.set_chain(stream.lane, BROKEN)
    now = run(engine, [stream], 5, now)
    engine.set_chain(stream.lane, QUIET)
    run(engine, [stream], 5, now)
    assert len(stream.tap.frames) == 15
    assert np.abs(stream.tap.frames[-1] - TONE[14 * FRAME : 15 * FRAME] / 2).max() <= 1


_CHOICES = (None, LATE, LATER, QUIET, BROKEN)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from(["open", "close", "set", "miss"]),
                  st.integers(0, 4)),
        max_size=40,
    )
)  # fmt: skip
def test_whatever_the_others_do_a_lane_hears_the_same_bits(
    steps: list[tuple[int, str, int]],
) -> None:
    def heard(steps: list[tuple[int, str, int]]) -> list[Pcm]:
        engine = Engine()
        watched = [Stream(engine, chain) for chain in (None, LATE, QUIET)]
        others: dict[int, Stream] = {}
        now = 0.0
        for which, what, choice in steps:
            stream = others.get(which)
            if what == "open" and stream is None:
                others[which] = Stream(engine, _CHOICES[choice])
            elif what == "close" and stream is not None:
                engine.close(others.pop(which).lane)
            elif what == "set" and stream is not None:
                engine.set_chain(stream.lane, _CHOICES[choice])
            saying = [one for key, one in others.items() if what != "miss" or key != which]
            now = run(engine, [*watched, *saying], 1, now)
        assert len(engine.chains) == 2 + sum(one.lane.chain is not None for one in others.values())
        return [frame for one in watched for frame in one.tap.frames]

    alone = [(0, "none", 0)] * len(steps)
    assert np.array_equal(heard(steps), heard(alone))


# What is sent, and what it is compared with


class Reference(Bypass):
    """A canceller that notes what it is given."""

    delay_samples = 0

    def __init__(self, rate_hz: int) -> None:
        super().__init__(rate_hz)
        self.far: dict[int, list[int]] = {}

    def process(  # type: ignore[override]
        self,
        near: NDArray[np.float32],
        far: NDArray[np.float32],
        rows: NDArray[np.intp],
        frozen: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.float32]:
        for index, row in enumerate(rows.tolist()):
            self.far.setdefault(row, []).append(round(float(far[index, 0]) * 32768))
        return near


def referring() -> tuple[Engine, list[Reference], ChainStages]:
    made: list[Reference] = []

    def make(rate_hz: int) -> Reference:
        made.append(Reference(rate_hz))
        return made[-1]

    return Engine(), made, ChainStages(echo=make, noise="off")


def frames(count: int) -> Pcm:
    return np.repeat(np.arange(1, count + 1, dtype=np.int16) * 100, FRAME)


def test_what_left_in_a_tick_is_compared_from_the_next_one_on() -> None:
    engine, made, stages = referring()
    stream = Stream(engine, stages)
    engine.push(stream.lane, frames(5), 0)
    run(engine, [stream], 8)
    assert made[0].far[0] == [0, 100, 200, 300, 400, 500, 0, 0]


def test_what_a_stream_is_sent_ahead_is_compared_when_it_is_played() -> None:
    engine, made, stages = referring()
    stream = Stream(engine, stages)
    stream.lane.outlet.lead_frames = 2
    engine.push(stream.lane, frames(5), 0)
    engine.kick(0.0)
    run(engine, [stream], 8)
    assert made[0].far[0] == [0, 100, 200, 300, 400, 500, 0, 0]


def test_what_was_sent_while_no_frame_came_waits_for_the_late_ones() -> None:
    engine, made, stages = referring()
    stream = Stream(engine, stages)
    engine.push(stream.lane, frames(12), 0)
    now = run(engine, [stream], 3)
    now = run(engine, [], 2, now)  # nothing comes
    now = run(engine, [stream], 3, now)
    assert made[0].far[0] == [0, 100, 200, 300, 400, 500]
    stream.say()
    stream.say()
    stream.say()
    run(engine, [stream], 2, now)  # what was late comes: two frames a tick
    assert made[0].far[0] == [0, 100, 200, 300, 400, 500, 600, 700, 800]
    assert len(stream.tap.late_frames) == 1
    assert engine.faults == 0


def test_a_row_given_away_in_the_middle_of_a_tick_knows_nothing_of_the_lane_before() -> None:
    engine, made, stages = referring()
    one, other = Stream(engine, stages), Stream(engine)
    engine.push(one.lane, frames(20), 0)
    run(engine, [one, other], 3)

    def swap(frame: Pcm, windows: Sequence[Window], now: float) -> None:
        engine.close(one.lane)
        engine.set_chain(other.lane, stages)
        other.ear.hear = Ear.hear.__get__(other.ear)  # type: ignore[method-assign]

    other.ear.hear = swap  # type: ignore[method-assign]
    run(engine, [other], 3, 0.06)
    assert made[-1].far[0][-2:] == [0, 0]


def test_a_lane_of_packets_and_a_stream_share_a_bank() -> None:
    engine, made, stages = referring()
    row = engine.jitter.open(Law.ULAW)
    packets = Lane("packets", inlet=JitterInlet(row), outlet=MemoryOutlet(), chain=stages)
    engine.open(packets, 0)
    stream = Stream(engine, stages)
    engine.push(packets, frames(3), 0)
    engine.push(stream.lane, -frames(3), 0)
    run(engine, [stream], 2)
    run(engine, [], 1, 0.04)
    run(engine, [stream], 1, 0.06)
    assert len(made) == 1
    assert made[0].far == {0: [0, 100, 200, 300], 1: [0, -100, -200]}
