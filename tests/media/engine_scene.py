"""An engine with lanes, ears and taps that keep what they hear, for the tests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.media.engine import PHASES, Engine
from trunkline.media.g711 import Law, encode
from trunkline.media.lane import Heard, Lane, StreamInlet, Window
from trunkline.media.rows import Rows
from trunkline.media.testing import MemoryOutlet

FRAME = 160
Pcm = NDArray[np.int16]


def tone(value: int, frames: int = 1) -> Pcm:
    return np.full(frames * FRAME, value, np.int16)


def noise(frames: int, seed: int = 1) -> Pcm:
    rng = np.random.default_rng(seed)
    return rng.integers(-20_000, 20_000, frames * FRAME).astype(np.int16)


@dataclass(eq=False)
class Ear:
    """Keeps what it hears, and does something when it hears it."""

    log: list[tuple[Any, ...]] = field(default_factory=list)
    frames: list[Pcm] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    act: Callable[[], object] | None = None
    act_on: str = "hear"

    def _do(self, what: str) -> None:
        if self.act is not None and self.act_on == what:
            self.act()

    def hear(self, frame: Pcm, windows: Sequence[Window], now: float) -> None:
        self.log.append(("hear", now))
        self.frames.append(frame.copy())
        self.windows.extend(windows)
        self._do("hear")

    def started(self, generation: int, now: float) -> None:
        self.log.append(("started", generation))
        self._do("started")

    def drained(self, heard: Heard, now: float) -> None:
        self.log.append(("drained", heard))
        self._do("drained")


@dataclass(eq=False)
class Tap:
    frames: list[tuple[Pcm | None, Pcm | None]] = field(default_factory=list)
    lates: list[Pcm] = field(default_factory=list)
    act: Callable[[], object] | None = None

    def frame(self, heard: Pcm | None, sent: Pcm | None, now: float) -> None:
        copies = (None if heard is None else heard.copy(), None if sent is None else sent.copy())
        self.frames.append(copies)
        if self.act is not None:
            self.act()

    def late(self, heard: Pcm, now: float) -> None:
        self.lates.append(heard.copy())
        if self.act is not None:
            self.act()

    @property
    def sent(self) -> list[int | None]:
        """The first sample of each frame that left."""
        return [None if sent is None else int(sent[0]) for _, sent in self.frames]


class Broken(MemoryOutlet):
    """An outlet whose methods named in ``fails`` raise."""

    fails: frozenset[str] = frozenset()

    def send(self, payload: bytes, now: float, *, silence: bool) -> None:
        if "send" in self.fails:
            raise RuntimeError("send")
        super().send(payload, now, silence=silence)

    def second(self, now: float) -> None:
        if "second" in self.fails:
            raise RuntimeError("second")
        super().second(now)

    def mark(self, generation: int, samples: int) -> None:
        if "mark" in self.fails:
            raise RuntimeError("mark")
        super().mark(generation, samples)


@dataclass
class Loudness:
    """A bank of voice activity for tests: the first sample is the verdict."""

    window_samples: int = 256
    rows: Rows = field(default_factory=lambda: Rows(4))
    opened: int = 0
    batches: list[tuple[list[int], list[int]]] = field(default_factory=list)
    windows_each: int = 1
    fails: bool = False

    def open(self) -> int:
        self.opened += 1
        return self.rows.open()

    def close(self, row: int) -> None:
        self.rows.close(row)

    def process(self, block: Pcm, rows: NDArray[np.intp]) -> "Verdicts":
        if self.fails:
            raise RuntimeError("model")
        assert block.shape == (len(rows), FRAME)
        assert len(set(rows.tolist())) == len(rows)
        assert set(rows.tolist()) <= self.rows.opened
        self.batches.append((rows.tolist(), block[:, 0].tolist()))
        index = np.repeat(np.arange(len(rows)), self.windows_each)
        return Verdicts(index, block[index, 0].astype(np.float32), np.arange(len(index)))


@dataclass
class Verdicts:
    index: NDArray[np.intp]
    probability: NDArray[np.float32]
    end_offset: NDArray[np.intp]


@dataclass(eq=False)
class Stream:
    """A lane whose audio comes in order, with one ear and one tap."""

    lane: Lane
    inlet: StreamInlet
    outlet: MemoryOutlet
    ear: Ear
    tap: Tap

    def receive(self, pcm: Pcm) -> None:
        encoding = self.inlet.encoding
        self.inlet.push(pcm.tobytes() if encoding is None else encode(pcm, encoding).tobytes())


@dataclass
class Scene:
    engine: Engine
    bank: Loudness
    faults: list[tuple[str, str]]
    now: float = 1.0

    def stream(
        self,
        id: str = "a",
        *,
        phase: int = 0,
        encoding: Law | None = None,
        outlet: MemoryOutlet | None = None,
        **fields: Any,
    ) -> Stream:
        inlet = StreamInlet(8000, encoding)
        outlet = outlet if outlet is not None else MemoryOutlet(**fields)
        lane = Lane(id, inlet=inlet, outlet=outlet)
        ear, tap = Ear(), Tap()
        lane.ears.append(ear)
        lane.taps.append(tap)
        self.engine.open(lane, phase)
        return Stream(lane, inlet, outlet, ear, tap)

    def tick(self, times: int = 1, phase: int = 0) -> None:
        for _ in range(times):
            self.engine.tick(phase, self.now)
            self.now += 0.02

    def round(self, times: int = 1) -> None:
        for _ in range(times):
            for phase in range(PHASES):
                self.engine.tick(phase, self.now + phase * 0.005)
            self.now += 0.02


def scene() -> Scene:
    bank = Loudness()
    faults: list[tuple[str, str]] = []

    def on_fault(lane: Lane, error: Exception) -> None:
        faults.append((lane.id, str(error)))

    return Scene(Engine(activity=lambda: bank, on_fault=on_fault), bank, faults)
