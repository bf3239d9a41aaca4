"""The media clock, against a loop whose timers fire when the test says so."""

import asyncio
import time

import pytest

from trunkline.media.engine import PHASES
from trunkline.transports import clock as clock_module
from trunkline.transports.clock import MediaClock


class FakeTime:
    """`time.monotonic` under control."""

    def __init__(self) -> None:
        self.value = 100.0

    def monotonic(self) -> float:
        return self.value


class FakeLoop:
    """Keeps the one timer the clock sets."""

    def __init__(self) -> None:
        self.timer: tuple[float, object] | None = None

    def call_at(self, when: float, callback):
        self.timer = (when, callback)
        return self

    def cancel(self) -> None:
        self.timer = None


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    fake_time = FakeTime()
    monkeypatch.setattr(clock_module, "time", fake_time)
    return fake_time


def fire(loop: FakeLoop, fake_time: FakeTime, late: float = 0.0) -> None:
    assert loop.timer is not None
    when, callback = loop.timer
    fake_time.value = when + late
    callback()


def make(fake_time: FakeTime) -> tuple[MediaClock, FakeLoop, list[tuple[int, float]]]:
    loop = FakeLoop()
    ticks: list[tuple[int, float]] = []
    clock = MediaClock(loop, lambda phase, now: ticks.append((phase, now)))
    clock.start()
    return clock, loop, ticks


def test_the_four_phases_come_in_turn_five_milliseconds_apart(fake: FakeTime) -> None:
    _, loop, ticks = make(fake)
    for _ in range(8):
        fire(loop, fake)
    assert [phase for phase, _ in ticks] == [1, 2, 3, 0, 1, 2, 3, 0]
    gaps = {round(b - a, 6) for (_, a), (_, b) in zip(ticks, ticks[1:], strict=False)}
    assert gaps == {0.005}


def test_lateness_does_not_add_up(fake: FakeTime) -> None:
    clock, loop, ticks = make(fake)
    for _ in range(100):
        fire(loop, fake, late=0.002)
    assert ticks[-1][1] == pytest.approx(100.0 + 0.5 + 0.002)
    assert clock.lateness().p50_ms == pytest.approx(2.5, abs=0.6)
    assert clock.lateness().missed == 0


def test_a_timer_that_fires_a_little_early_still_runs_its_phase(fake: FakeTime) -> None:
    _, loop, ticks = make(fake)
    for _ in range(4):
        fire(loop, fake, late=-0.0009)
    assert len(ticks) == 4


def test_phases_a_little_behind_are_caught_up(fake: FakeTime) -> None:
    clock, loop, ticks = make(fake)
    fire(loop, fake, late=0.011)
    assert [phase for phase, _ in ticks] == [1, 2, 3]
    assert clock.lateness().missed == 0


def test_after_a_stall_each_phase_runs_once_and_the_rest_is_counted(fake: FakeTime) -> None:
    clock, loop, ticks = make(fake)
    fire(loop, fake, late=2.0)
    assert len(ticks) == PHASES
    assert sorted(phase for phase, _ in ticks) == [0, 1, 2, 3]
    assert clock.lateness().missed >= 397
    ticks.clear()
    fire(loop, fake)
    assert len(ticks) == 1


def test_phase_after_names_the_next_phase(fake: FakeTime) -> None:
    clock, loop, ticks = make(fake)
    expected = clock.phase_after(fake.value + 0.001)
    fire(loop, fake)
    assert ticks[0][0] == expected


def test_stop_sets_no_more_timers(fake: FakeTime) -> None:
    clock, loop, _ = make(fake)
    clock.stop()
    assert loop.timer is None
    assert not clock.running


def test_reset_forgets_what_was_measured(fake: FakeTime) -> None:
    clock, loop, _ = make(fake)
    fire(loop, fake, late=0.05)
    clock.reset()
    lateness = clock.lateness()
    assert (lateness.ticks, lateness.missed, lateness.max_ms) == (0, 0, 0.0)


class Idle:
    """A clock whose engine has lanes or not, as the test says."""

    def __init__(self, fake_time: FakeTime) -> None:
        self.loop = FakeLoop()
        self.ticks: list[tuple[int, float]] = []
        self.idle = True
        tick = self.ticks.append
        self.clock = MediaClock(self.loop, lambda *told: tick(told), idle=lambda: self.idle)
        self.clock.start()
        self._time = fake_time

    def fire(self, times: int = 1, late: float = 0.0) -> None:
        for _ in range(times):
            fire(self.loop, self._time, late)


def test_with_nothing_to_drive_it_wakes_once_in_twenty_milliseconds(fake: FakeTime) -> None:
    world = Idle(fake)
    world.fire(50)
    assert len(world.ticks) == 50
    assert fake.value == pytest.approx(101.0)
    lateness = world.clock.lateness()
    assert (lateness.ticks, lateness.missed, lateness.max_ms) == (50, 0, pytest.approx(0, abs=1e-6))


def test_it_is_back_on_the_same_grid_when_there_is_something_to_drive(fake: FakeTime) -> None:
    world = Idle(fake)
    world.fire(3)
    world.idle = False
    expected = world.clock.phase_after(fake.value + 0.016)
    world.fire(9)
    phases = [phase for phase, _ in world.ticks[3:]]
    assert phases == [(expected + count) % PHASES for count in range(9)]
    after = [now for _, now in world.ticks[4:]]
    grid = [(now - 100.0) / 0.005 for now in after]
    assert grid == pytest.approx([round(slot) for slot in grid])
    assert world.clock.phase_after(fake.value + 0.001) == (phases[-1] + 1) % PHASES


def test_a_stall_while_idle_is_told_as_one(fake: FakeTime) -> None:
    world = Idle(fake)
    world.fire(late=0.1)
    assert world.clock.lateness().max_ms == pytest.approx(100)
    assert world.clock.lateness().missed > 0
    world.fire()
    assert world.ticks[-1][1] - world.ticks[-2][1] <= 0.025


def test_lateness_while_idle_is_counted_from_when_it_was_to_wake(fake: FakeTime) -> None:
    world = Idle(fake)
    world.fire(20, late=0.002)
    assert world.clock.lateness().max_ms == pytest.approx(2.0)
    assert world.clock.lateness().ticks == 20


def test_it_keeps_time_on_a_real_loop() -> None:
    async def work() -> int:
        ticks: list[int] = []
        clock = MediaClock(asyncio.get_running_loop(), lambda phase, now: ticks.append(phase))
        clock.start()
        began = time.monotonic()
        while time.monotonic() - began < 0.1:
            await asyncio.sleep(0.01)
        clock.stop()
        return len(ticks) + clock.lateness().missed

    # Twenty phases fit in 100 ms; a busy machine may be late but not lose count.
    assert asyncio.run(work()) >= 15
