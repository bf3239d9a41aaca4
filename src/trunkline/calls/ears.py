"""Ears that applications hear with: a queue of frames, the end of a playout."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence

import numpy as np
from numpy.typing import NDArray

from trunkline.agent.line import Heard, Line, Window

from .line import CallLine

__all__ = ["DrainEar", "EchoEar", "FrameQueue"]

log = logging.getLogger(__name__)

Frame = NDArray[np.int16]


class QuietEar:
    """An ear that ignores everything; the others override what they need."""

    def hear(self, frame: Frame, windows: Sequence[Window], now: float) -> None:
        """A frame came."""

    def started(self, generation: int, now: float) -> None:
        """A generation began to leave."""

    def drained(self, heard: Heard, now: float) -> None:
        """A generation was played out."""

    def digit(self, digit: str, now: float) -> None:
        """A key was pressed."""

    def ended(self, now: float) -> None:
        """The call is over."""


class DrainEar(QuietEar):
    """Waits until one generation has been played, or cannot be any more."""

    def __init__(self, line: CallLine, generation: int) -> None:
        self._line = line
        self._generation = generation
        self._done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def hear(self, frame: Frame, windows: Sequence[Window], now: float) -> None:
        """Notice that the generation was cleared."""
        if self._line.floor > self._generation:
            self._line.post(self._finish, False)

    def drained(self, heard: Heard, now: float) -> None:
        """The generation was played to its end."""
        if heard.generation == self._generation:
            self._line.post(self._finish, True)

    def ended(self, now: float) -> None:
        """The call is over."""
        self._line.post(self._finish, False)

    def _finish(self, whole: bool) -> None:
        if not self._done.done():
            self._done.set_result(whole)

    async def wait(self) -> bool:
        """True when all of it was played, False when it was cut off."""
        return await self._done


class FrameQueue(QuietEar):
    """Frames for an application, bounded: the oldest go when nobody reads."""

    def __init__(self, line: Line, limit: int) -> None:
        self._line = line
        self._frames: deque[Frame] = deque(maxlen=max(1, limit))
        self._wake = asyncio.Event()
        self._over = False
        self.dropped = 0
        """Frames lost because the application did not read in time."""

    def hear(self, frame: Frame, windows: Sequence[Window], now: float) -> None:
        """Pass a frame on; at most one wake-up a tick."""
        # A copy: the frame is a row of its shard's block, and would keep all of it.
        self._line.post(self._arrived, frame.copy())

    def ended(self, now: float) -> None:
        """Let the reader finish."""
        self._line.post(self._end)

    def _arrived(self, frame: Frame) -> None:
        if len(self._frames) == self._frames.maxlen:
            if not self.dropped:
                log.warning("call %s: the application does not read its frames", self._line.id)
            self.dropped += 1
        self._frames.append(frame)
        self._wake.set()

    def _end(self) -> None:
        self._over = True
        self._wake.set()

    async def __aiter__(self) -> AsyncIterator[Frame]:
        while True:
            while self._frames:
                yield self._frames.popleft()
            if self._over:
                return
            self._wake.clear()
            await self._wake.wait()


class EchoEar(QuietEar):
    """Plays what it hears, on the media thread: one frame after the other."""

    def __init__(self, line: CallLine) -> None:
        self._line = line
        self._generation = line.generation

    def hear(self, frame: Frame, windows: Sequence[Window], now: float) -> None:
        """Send the frame back."""
        self._line.push(frame, self._generation)
