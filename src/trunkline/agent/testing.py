"""A line to test agents on: no telephone, no waiting, the same every time.

`MemoryLine` is a call made of arrays. Its playout is the real one. Run under
`run_virtual` an hour of it takes as long as the computing does: the loop's clock jumps
to the next thing that is due instead of waiting for it.

    async def story() -> None:
        line = MemoryLine(clock=asyncio.get_running_loop().time)
        async with line:
            talk = asyncio.create_task(agent.talk(line, clock=line.clock))
            await line.say(tone(800))
            ...
            line.end()
            conversation = await talk

    run_virtual(story())
"""

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError
from trunkline.media.frames import frame_samples
from trunkline.media.g711 import Law
from trunkline.media.lane import Heard, Lane, StreamInlet, Window

from .line import Ear

__all__ = ["Loudness", "MemoryLine", "Sent", "VirtualLoop", "run_virtual", "silence", "tone"]

Frame: TypeAlias = NDArray[np.int16]
T = TypeVar("T")


class _JumpingSelector(selectors.DefaultSelector):
    """Does not wait: says how long it would have."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            # Nothing is due: only another thread can make something happen.
            ready = super().select(5.0)
            if not ready:
                raise RuntimeError("nothing is left that could happen; something waits for ever")
            return ready
        ready = super().select(0)
        if not ready and timeout > 0:
            self.skipped += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps. Threads still take real time."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Seconds of virtual time since the loop was made."""
        return self._jumping.skipped


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Like `asyncio.run`, in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def tone(ms: int, *, rate_hz: int = 8000, hz: float = 300.0, level: int = 8000) -> Frame:
    """A sound of so many milliseconds, int16; speech, as far as `Loudness` can tell."""
    at = np.arange(ms * rate_hz // 1000) / rate_hz
    sound: Frame = (np.sin(2 * np.pi * hz * at) * level).astype(np.int16)
    return sound


def silence(ms: int, *, rate_hz: int = 8000) -> Frame:
    """Nothing, for so many milliseconds."""
    return np.zeros(ms * rate_hz // 1000, np.int16)


class Loudness:
    """Voice activity for tests: loud is speech. Windows of 32 ms, re-blocked as ever."""

    def __init__(self, rate_hz: int) -> None:
        self._window = rate_hz * 32 // 1000
        self._rest = np.empty(0, np.int16)

    def __call__(self, frame: Frame) -> list[Window]:
        """The windows a frame completes."""
        audio = np.concatenate((self._rest, frame))
        windows = []
        while len(audio) >= self._window:
            loud = float(np.abs(audio[: self._window].astype(np.int32)).max()) > 1000
            audio = audio[self._window :]
            windows.append(Window(0.95 if loud else 0.02, len(audio), self._window))
        self._rest = audio
        return windows


@dataclass(frozen=True, slots=True)
class Sent:
    """One frame that left towards the far end."""

    at: float
    generation: int
    pcm: Frame


@dataclass(slots=True)
class _Outlet:
    """The far end: hears everything and says nothing."""

    encoding: Law | None = None
    lead_frames: int = 0
    continuous: bool = True
    marks: bool = False
    busy: bool = False
    clears: int = 0

    def send(self, payload: bytes, now: float, *, silence: bool) -> None:
        """Not used: the line takes frames itself."""

    def mark(self, generation: int, samples: int) -> None:
        """Not used: ``marks`` is False."""

    def cleared(self) -> None:
        """Count it."""
        self.clears += 1

    def second(self, now: float) -> None:
        """Nothing to report."""


@dataclass
class MemoryLine:
    """A `Line` made of arrays. Entered as a context it ticks every 20 ms of its loop.

    It implements the protocol on one thread: what would cross to the media thread runs
    at the next tick, what would cross to the application in the loop's next round.
    """

    id: str = "memory"
    rate_hz: int = 8000
    clock: Callable[[], float] = time.monotonic
    far_buffer_ms: int = 60
    generation: int = 0
    sent: list[Sent] = field(default_factory=list)
    """Every frame that left, in order."""
    cleared: list[tuple[float, Heard]] = field(default_factory=list)
    """Every clear: when, and what it found."""
    ended: bool = False
    crossings: int = 0
    """How often something was posted to the application."""

    def __post_init__(self) -> None:
        self.outlet = _Outlet()
        self.lane = Lane(
            self.id,
            inlet=StreamInlet(self.rate_hz),
            outlet=self.outlet,
            rate_hz=self.rate_hz,
            far_buffer_ms=self.far_buffer_ms,
        )
        self._size = frame_samples(self.rate_hz)
        self._quiet = np.zeros(self._size, np.int16)
        self._detector = Loudness(self.rate_hz)
        self._ears: list[Ear] = []
        self._caller = np.empty(0, np.int16)
        self._spoken = asyncio.Event()
        self._media: list[tuple[Callable[..., object], tuple[object, ...]]] = []
        self._ticking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "MemoryLine":
        self._ticking = asyncio.get_running_loop().create_task(self._run(), name="line")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.wait([self._ticking])

    # What a test does

    async def say(self, pcm: Frame) -> None:
        """The caller makes this sound; returns when it has been heard to its end."""
        self._caller = np.concatenate((self._caller, pcm))
        self._spoken.clear()
        await self._spoken.wait()

    def press(self, digit: str) -> None:
        """The caller presses a key."""
        for ear in tuple(self._ears):
            ear.digit(digit, self.clock())

    def end(self) -> None:
        """The caller hangs up. A second time does nothing."""
        if not self.ended:
            self.ended = True
            for ear in tuple(self._ears):
                ear.ended(self.clock())
            self._ears.clear()
            self.lane.ears.clear()

    def played(self) -> Mapping[int, Frame]:
        """What left, by generation."""
        found: dict[int, list[Frame]] = {}
        for sent in self.sent:
            found.setdefault(sent.generation, []).append(sent.pcm)
        return {generation: np.concatenate(frames) for generation, frames in found.items()}

    @property
    def listening(self) -> Sequence[Ear]:
        """The ears on the line now."""
        return tuple(self._ears)

    # The protocol

    def listen(self, ear: Ear, *, activity: bool = True) -> None:
        """See `Line.listen`."""
        self.on_media(self._listen, ear)

    def unlisten(self, ear: Ear) -> None:
        """See `Line.unlisten`."""
        self.on_media(self._unlisten, ear)

    def play(self, pcm: Frame, generation: int) -> None:
        """See `Line.play`."""
        self.on_media(self.lane.playout.push, pcm, generation)

    def finish(self, generation: int) -> None:
        """See `Line.finish`."""
        if generation == self.generation:
            self.generation += 1
        self.on_media(self.lane.playout.finish, generation)

    def clear(self, now: float) -> Heard:
        """See `Line.clear`."""
        self.generation += 1
        heard = self.lane.clear(self.generation)
        self.cleared.append((now, heard))
        return heard

    def post(self, callback: Callable[..., None], *args: object) -> None:
        """See `Line.post`."""
        self.crossings += 1
        asyncio.get_running_loop().call_soon(callback, *args)

    def on_media(self, callback: Callable[..., object], *args: object) -> None:
        """See `Line.on_media`."""
        self._media.append((callback, args))

    # The clockwork

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self.tick()
            due += 0.02
            await asyncio.sleep(max(0.0, due - loop.time()))

    def tick(self) -> None:
        """20 ms of the call."""
        now = self.clock()
        waiting, self._media = self._media, []
        for callback, args in waiting:
            callback(*args)
        if self.ended:
            return
        frame = self._next_frame()
        windows = self._detector(frame)
        for ear in tuple(self._ears):
            ear.hear(frame, windows, now)
        out = self.lane.take(now)
        if out is not None:
            pcm = np.frombuffer(out, "<i2").astype(np.int16)
            self.sent.append(Sent(now, self.lane.playout.playing, pcm))
        if self.lane.begins:
            self.lane.tell_started(now)
        self.lane.drain(now)

    def _next_frame(self) -> Frame:
        if not len(self._caller):
            self._spoken.set()
            return self._quiet
        frame, self._caller = self._caller[: self._size], self._caller[self._size :]
        if len(frame) < self._size:
            frame = np.concatenate((frame, self._quiet[len(frame) :]))
        return frame

    def _listen(self, ear: Ear) -> None:
        if self.ended:
            ear.ended(self.clock())
            return
        if ear in self._ears:
            raise UsageError("this ear is on the line already")
        self._ears.append(ear)
        self.lane.ears.append(ear)

    def _unlisten(self, ear: Ear) -> None:
        if ear in self._ears:
            self._ears.remove(ear)
            self.lane.ears.remove(ear)
