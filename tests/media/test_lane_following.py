"""The echo's reference follows what a jitter buffer does to the audio that holds the echo."""

import random
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from trunkline.media import ChainBank, ChainStages, Engine, JitterBank, KalmanEcho, Lane
from trunkline.media.g711 import Law
from trunkline.media.testing import Link, LinkSettings, RtpEnd, VirtualTime

from .test_lane_chain import Speakerphone, Tap, speech

RATE, FRAME = 8000, 160
Pcm = NDArray[np.int16]
ECHO_ALONE = ChainStages(echo="kalman", noise="off")


class Line:
    """A lane whose far end hears itself, over a network that can be made worse."""

    def __init__(self, stages: ChainStages | None = ECHO_ALONE, *, follow: bool = True) -> None:
        self.time = VirtualTime()
        self.shifts: list[int] = []
        self.node = self.time.drive(Engine(chain=self._bank if follow else _Deaf))
        home = self.time.drive(Engine())
        steady = LinkSettings(delay_ms=40, jitter_ms=2)
        self.there, self.back = Link(random.Random(1), steady), Link(random.Random(2), steady)
        end = RtpEnd("near", engine=self.node, link=self.back, rng=random.Random(3), phase=0)
        self.phone = RtpEnd("phone", engine=home, link=self.there, rng=random.Random(4))
        self.time.join(self.there, end)
        self.time.join(self.back, self.phone)
        room = Speakerphone(home, self.phone.lane, np.zeros(0, np.int16))
        self.phone.lane.taps.append(room)
        self.lane: Lane = end.lane
        self.node.set_chain(self.lane, stages)
        self.tap = Tap()
        self.lane.taps.append(self.tap)
        self.came: list[Pcm] = []
        self._record(self.node.jitter)

    def _bank(self, rate_hz: int, stages: ChainStages) -> ChainBank:
        bank = ChainBank(rate_hz, stages)
        process = bank.process

        def note(*args: object, **named: object) -> object:
            if (shift := named.get("shift")) is not None:
                assert isinstance(shift, np.ndarray)
                self.shifts += shift[shift != 0].tolist()
            return process(*args, **named)  # type: ignore[arg-type]

        bank.process = note  # type: ignore[method-assign,assignment]
        return bank

    def _record(self, jitter: JitterBank) -> None:
        take = jitter.take

        def keep(rows: NDArray[np.intp], now: float) -> object:
            taken = take(rows, now)
            self.came.append(taken.pcm[0].copy())
            return taken

        jitter.take = keep  # type: ignore[method-assign,assignment]

    def say(self, seconds: float) -> None:
        self.node.push(self.lane, speech(seconds, seed=3), 0)

    def enhanced_db(self, since: int) -> float:
        """How much less of the echo there is, in the frames from that one on."""
        came, heard = np.array(self.came[since:]), np.array(self.tap.heard[since:])
        return float(10 * np.log10(np.mean(came.astype(float) ** 2 + 1) /
                                   np.mean(heard.astype(float) ** 2 + 1)))  # fmt: skip


class _Deaf(ChainBank):
    """A chain that is not told how the jitter buffer moved the echo."""

    def process(self, *args: object, shift: object = None, **named: object) -> object:  # type: ignore[override]
        return super().process(*args, **named)  # type: ignore[arg-type]


def worse_for_two_seconds(line: Line) -> None:
    line.there.settings = LinkSettings(delay_ms=40, jitter_ms=40)
    line.time.run(2)
    line.there.settings = LinkSettings(delay_ms=40, jitter_ms=2)


def a_longer_way(line: Line) -> None:
    line.there.settings = LinkSettings(delay_ms=120, jitter_ms=2)


@pytest.mark.parametrize("trouble", [worse_for_two_seconds, a_longer_way])
def test_what_was_learnt_holds_when_the_jitter_buffer_adapts(
    trouble: Callable[[Line], None],
) -> None:
    left = {}
    for follow in (True, False):
        line = Line(follow=follow)
        line.say(16)
        line.time.run(6)
        trouble(line)
        line.time.run(0.5)
        since = len(line.came)
        line.time.run(4)
        left[follow] = line.enhanced_db(since)
        statistics = line.node.jitter.statistics(0)
        assert statistics.stretched_frames + statistics.dropped_frames > 0
        assert not follow or line.shifts
    assert left[True] > 30
    assert left[True] > left[False] + 15


def test_on_a_steady_network_nothing_is_moved_once_the_delay_has_settled() -> None:
    line = Line()
    line.say(10)
    line.time.run(3)
    assert len(line.shifts) <= 2  # from the delay a call begins with to the one it needs
    line.shifts.clear()
    line.time.run(5)
    assert line.shifts == []
    metrics = line.node.chains.metrics(line.lane)
    assert metrics is not None
    assert metrics.erle_db > 20


@pytest.mark.parametrize("stalled", ["node", "phone"])
def test_after_a_stall_of_either_end_the_echo_is_found_again(stalled: str) -> None:
    line = Line()
    line.say(20)
    line.time.run(6)
    line.time.stall(line.node if stalled == "node" else line.phone.engine, 2.0)
    line.time.run(7)
    since = len(line.came)
    line.time.run(3)
    assert line.enhanced_db(since) > 30
    assert all(abs(shift) < RATE // 4 for shift in line.shifts)


def test_a_pause_of_the_far_end_is_no_move() -> None:
    line = Line()
    line.phone.dtx = True
    line.say(3)
    line.time.run(6)
    line.node.push(line.lane, speech(4, seed=9), 0)
    line.time.run(3)
    assert sum(abs(shift) for shift in line.shifts) <= 2 * FRAME


# The parts


def test_positions_are_where_the_next_frames_begin() -> None:
    bank = JitterBank(RATE)
    rows = np.array([bank.open(Law.ULAW) for _ in range(3)], np.intp)
    for number in range(20):
        now = number * 0.02
        for row in rows.tolist():
            bank.put(row, number, 160 * number + 1000 * row, row, False, bytes(160), now)
        bank.take(rows, now)
    before = bank.positions(rows)
    bank.take(rows, 0.4)
    assert (bank.positions(rows) - before).tolist() == [FRAME] * 3
    for row in rows.tolist():
        own = bank.position(row) - bank.position(0) - 1000 * row
        assert own == bank.positions(rows)[row] - bank.positions(rows)[0]


@pytest.mark.parametrize("shift", [-160, -37, 24, 90, 160, 480])
def test_a_canceller_that_is_told_goes_on_as_if_nothing_had_moved(shift: int) -> None:
    far = speech(8, seed=4).astype(np.float32) / 32768
    room = np.random.default_rng(5).normal(size=200) * np.exp(-np.arange(200) / 40) * 0.05
    echo = np.convolve(np.concatenate([np.zeros(1200), far]), room)[: far.size]
    half = far.size // 2 // FRAME * FRAME
    moved = echo.copy()
    moved[half:] = np.roll(echo, shift)[half:]  # from here on it is that much later

    def left(told: bool) -> float:
        bank = KalmanEcho(RATE, 4)
        rows = np.array([bank.open()], np.intp)
        out = []
        for at in range(0, far.size - FRAME + 1, FRAME):
            near = moved[np.newaxis, at : at + FRAME].astype(np.float32)
            now = np.array([shift], np.int64) if at == half and told else None
            out.append(bank.process(near, far[np.newaxis, at : at + FRAME], rows, shift=now)[0])
        after = np.concatenate(out)[half + FRAME : half + RATE]
        came = moved[half + FRAME : half + RATE]
        return float(10 * np.log10(np.square(came).sum() / np.square(after).sum()))

    assert left(told=True) > 30
    assert left(told=True) > left(told=False) + 10


def test_a_move_of_one_row_is_nothing_to_its_neighbours() -> None:
    far = np.stack([speech(4, seed=seed) for seed in range(3)]).astype(np.float32) / 32768
    near = np.roll(far, 900, axis=1) * np.float32(0.2)

    def run(shift: list[int]) -> list[NDArray[np.float32]]:
        bank = KalmanEcho(RATE, 4)
        rows = np.array([bank.open() for _ in range(3)], np.intp)
        out = []
        for at in range(0, far.shape[1] - FRAME + 1, FRAME):
            piece = slice(at, at + FRAME)
            now = np.array(shift, np.int64) if at == 100 * FRAME else None
            out.append(bank.process(near[:, piece], far[:, piece], rows, shift=now))
        return out

    moved, still = run([0, 70, 0]), run([0, 0, 0])
    assert np.array_equal(np.array(moved)[:, [0, 2]], np.array(still)[:, [0, 2]])
    assert not np.array_equal(np.array(moved)[:, 1], np.array(still)[:, 1])


@pytest.mark.parametrize("shift", [10**9, -(10**9), 4000, -4000])
def test_a_move_beyond_what_is_kept_of_the_past_breaks_nothing(shift: int) -> None:
    bank = KalmanEcho(RATE, 1)
    rows = np.array([bank.open()], np.intp)
    block = speech(1).reshape(-1, FRAME).astype(np.float32) / 32768
    for frame in block:
        out = bank.process(frame[np.newaxis], frame[np.newaxis], rows, shift=np.array([shift]))
        assert np.isfinite(out).all()
    assert bank.faults[0] == 0
    assert 0 <= bank.delay_ms(int(rows[0])) <= 800
