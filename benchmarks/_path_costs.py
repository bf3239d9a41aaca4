"""What each part of the audio path costs, in this process, without sockets.

The parts are called as the engine calls them, in its phases, every 20 ms of the lines' time, as
fast as it goes. CPU time of the thread.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _lines import Line
from _material import FRAME
from trunkline.media.chain_bank import ChainBank, ChainStages
from trunkline.media.engine import PHASES, Engine
from trunkline.media.g711 import Law, encode
from trunkline.media.jitter import JitterBank, Kind
from trunkline.media.lane import JitterInlet, Lane
from trunkline.media.phases import choose_phase
from trunkline.speech import registry

__all__ = ["LOSS", "PARTS", "costs", "openings", "whole"]

TICK = 0.02
LOSS, JITTER_MS = 0.02, 20.0
PARTS = ("jitter", "noise", "echo", "activity", "gated")
Spent = dict[str, list[float]]
_MADE_UP = (Kind.SILENT, Kind.CONCEALED)


def phases(rows: int) -> NDArray[np.intp]:
    """Where the engine places so many lines with a chain, (rows,)."""
    loads = [0] * PHASES
    found = []
    for _ in range(rows):
        found.append(choose_phase(loads, loads))
        loads[found[-1]] += 1
    return np.array(found, np.intp)


def arrivals(rows: int, ticks: int, seed: int = 1) -> list[list[list[tuple[float, int, int]]]]:
    """What comes before each tick of each phase: time, row and number of the packet.

    Delay is gamma distributed, of 20 ms more or less; 2 % never come.
    """
    rng = np.random.default_rng(seed)
    slots: list[list[list[tuple[float, int, int]]]] = [
        [[] for _ in range(PHASES)] for _ in range(ticks)
    ]
    for row, phase in enumerate(phases(rows).tolist()):
        offset = rng.uniform(0, TICK)
        delay = rng.gamma(1.2, JITTER_MS / 1200, ticks)
        for index in np.flatnonzero(rng.random(ticks) >= LOSS).tolist():
            came = offset + index * TICK + delay[index]
            tick = int((came - phase * TICK / PHASES) / TICK) + 1
            if tick < ticks:
                slots[tick][phase].append((came, row, index))
    for tick in slots:
        for one in tick:
            one.sort()
    return slots


def costs(lines: list[Line], rows: int, seconds: int, only: tuple[str, ...] = PARTS) -> Spent:
    """Microseconds a line and 20 ms of each part, one number a second."""
    bank = JitterBank(capacity=max(64, rows))
    jitter_rows = np.array([bank.open(Law.ULAW) for _ in range(rows)], np.intp)
    parts = {name: part for name, part in _parts(rows).items() if name in only}
    spent: Spent = {name: [0.0] * seconds for name in ("jitter", *parts)}
    groups = [np.flatnonzero(phases(rows) == phase) for phase in range(PHASES)]
    places = [(group % len(lines), 37 * group) for group in groups]
    near, far = (np.stack([getattr(line, side) for line in lines]) for side in ("near", "far"))
    del near
    clock, frames = time.thread_time, far.shape[1]
    for tick, slot in enumerate(arrivals(rows, 50 * seconds)):
        for phase, group in enumerate(groups):
            if not len(group):
                continue
            packets = _packets(lines, slot[phase])
            now = tick * TICK + phase * TICK / PHASES
            began = clock()
            for came, row, number, payload in packets:
                bank.put(row, number & 0xFFFF, number * FRAME, row, False, payload, came)
            taken = bank.take(jitter_rows[group], now)
            spent["jitter"][tick // 50] += clock() - began
            line, start = places[phase]
            sent = far[line, (start + tick) % frames]
            frozen = np.isin(taken.kind, _MADE_UP)
            for name, part in parts.items():
                began = clock()
                part(taken.pcm, group, sent, frozen)
                spent[name][tick // 50] += clock() - began
    return {name: [1e6 * each / 50 / rows for each in times] for name, times in spent.items()}


def _packets(
    lines: list[Line], slot: list[tuple[float, int, int]]
) -> Iterator[tuple[float, int, int, bytes]]:
    """With their payloads."""
    return iter(
        [
            (came, row, number, coded[(37 * row + number) % len(coded)])
            for came, row, number in slot
            for coded in (lines[row % len(lines)].coded,)
        ]
    )


def _parts(rows: int) -> dict[str, Callable[..., Any]]:
    """The stages behind the jitter buffer; rows are opened in order."""
    noise, echo = _chain(rows, echo="off"), _chain(rows, noise="off")
    silero, gated = (registry.create("activity", name) for name in ("silero", "gated"))
    found: dict[str, Callable[..., Any]] = {
        "noise": lambda pcm, group, sent, frozen: encode(
            noise.process(pcm, group, sent, frozen).people, Law.ULAW
        ),
        "echo": lambda pcm, group, sent, frozen: echo.process(pcm, group, sent, frozen),
    }
    for name, bank in (("activity", silero), ("gated", gated)):
        for _ in range(rows):
            bank.open()
        _stagger(bank, rows)
        found[name] = lambda pcm, group, sent, frozen, bank=bank: bank.process(pcm, group)
    return found


def _chain(rows: int, **choice: Any) -> ChainBank:
    bank = ChainBank(stages=ChainStages(**choice), capacity=max(64, rows))
    for _ in range(rows):
        bank.open()
    return bank


def _stagger(bank: Any, rows: int) -> None:
    """Calls begin at any time: their windows of 32 ms are not complete in the same tick."""
    for frames in range(1, 8):
        later = np.arange(rows)[np.arange(rows) % 8 >= frames]
        if len(later):
            bank.process(np.zeros((len(later), FRAME), np.int16), later)


class _Outlet:
    """Where nothing is sent."""

    encoding: Law | None = Law.ULAW
    lead_frames = 0
    continuous = True
    marks = False
    busy = False

    def send(self, payload: bytes, now: float, *, silence: bool) -> None:
        """To nobody."""

    def mark(self, generation: int, samples: int) -> None:
        """Never asked."""

    def cleared(self) -> None:
        """Nothing is queued."""

    def second(self, now: float) -> None:
        """A second is over."""


class _Ear:
    """Hears, and does nothing."""

    def hear(self, frame: NDArray[np.int16], windows: Any, now: float) -> None:
        """A frame."""

    def started(self, generation: int, now: float) -> None:
        """Speech begins."""

    def drained(self, heard: Any, now: float) -> None:
        """Speech has ended."""


def whole(
    lines: list[Line],
    rows: int,
    seconds: int,
    *,
    activity: str = "silero",
    chain: ChainStages | None = None,
) -> list[float]:
    """Microseconds a line and 20 ms of an engine with everything on, one number a second."""
    engine = Engine(activity=lambda: registry.create("activity", activity))
    opened = [_open(engine, number, chain or ChainStages()) for number in range(rows)]
    spent, clock = [0.0] * seconds, time.thread_time
    bank = engine.jitter
    for tick, slot in enumerate(arrivals(rows, 50 * seconds)):
        if tick % 50 == 0:
            for number, lane in enumerate(opened):
                _speak(engine, lane, lines[number % len(lines)], 37 * number + tick)
        for phase in range(PHASES):
            packets = _packets(lines, slot[phase])
            now = tick * TICK + phase * TICK / PHASES
            began = clock()
            for came, row, number, payload in packets:
                bank.put(row, number & 0xFFFF, number * FRAME, row, False, payload, came)
            engine.tick(phase, now)
            spent[tick // 50] += clock() - began
    assert not engine.faults, "the engine met with an exception"
    return [1e6 * each / 50 / rows for each in spent]


def _open(engine: Engine, number: int, chain: ChainStages) -> Lane:
    row = engine.jitter.open(Law.ULAW)
    lane = Lane(f"lane {number}", inlet=JitterInlet(row), outlet=_Outlet(), chain=chain)
    engine.open(lane)
    lane.ears.append(_Ear())
    engine.want_activity(lane)
    return lane


def openings(rows: int = 600) -> NDArray[np.float64]:
    """Milliseconds of CPU to open each of so many lines in an engine, (rows,)."""
    engine = Engine(activity=lambda: registry.create("activity", "silero"))
    spent = np.empty(rows)
    for number in range(rows):
        began = time.thread_time()
        _open(engine, number, ChainStages())
        spent[number] = 1e3 * (time.thread_time() - began)
    return spent


def _speak(engine: Engine, lane: Lane, line: Line, start: int) -> None:
    """A second of what this line is sent."""
    frames = np.take(line.far, range(start, start + 50), axis=0, mode="wrap")
    engine.push(lane, frames.reshape(-1), lane.playout.floor)
