"""An audio buffer that can be waited for, by threads and by coroutines.

``media.AudioBuffer`` has no lock and no clock, as nothing in ``media`` has, so that it
runs in virtual time. This is the thin part around it that has both.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np

from trunkline.errors import UsageError
from trunkline.media.audio_buffer import AudioBuffer, AudioChunk, BufferMetrics
from trunkline.media.frames import Audio

__all__ = ["WaitingBuffer"]


class WaitingBuffer:
    """An `AudioBuffer` for several writers and readers.

    The buffer must be used through this alone. Every chunk is read once, by whoever
    comes first.
    """

    def __init__(self, buffer: AudioBuffer, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._buffer = buffer
        self._clock = clock
        self._ready = threading.Condition()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._closed = False

    def __len__(self) -> int:
        return len(self._buffer)

    @property
    def closed(self) -> bool:
        """Whether nothing more is written."""
        return self._closed

    def write(self, audio: Audio, timestamp: float | None = None) -> bool:
        """Add a chunk and wake who waits; see `AudioBuffer.write`. Never waits itself.

        Raises `UsageError` once the buffer is closed.
        """
        with self._ready:
            if self._closed:
                raise UsageError("the buffer is closed")
            room = self._buffer.write(audio, self._clock(), timestamp)
            self._ready.notify()
            self._wake()
        return room

    @contextlib.contextmanager
    def filling(self) -> Iterator[AudioBuffer]:
        """The buffer itself, to be written to under the lock; who waits looks again after.

        Raises `UsageError` once the buffer is closed.
        """
        with self._ready:
            if self._closed:
                raise UsageError("the buffer is closed")
            try:
                yield self._buffer
            finally:
                self._ready.notify_all()
                self._wake()

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait in this thread until there is audio or the end; False after the timeout."""
        with self._ready:
            return self._ready.wait_for(
                lambda: len(self._buffer) > 0 or self._closed, timeout_seconds
            )

    async def wait_async(self, timeout_seconds: float | None = None) -> bool:
        """The same for a coroutine."""
        loop = asyncio.get_running_loop()
        until = None if timeout_seconds is None else loop.time() + timeout_seconds
        while True:
            with self._ready:
                if len(self._buffer) or self._closed:
                    return True
                if until is not None and loop.time() >= until:
                    return False
                place = loop, loop.create_future()
                self._waiting.append(place)
            try:
                async with asyncio.timeout_at(until):
                    await place[1]
            except TimeoutError:
                continue
            finally:
                with self._ready, contextlib.suppress(ValueError):
                    self._waiting.remove(place)

    def read(
        self,
        timeout_seconds: float | None = None,
        dtype: type[np.int16] | type[np.float32] | type[np.float64] | None = None,
    ) -> AudioChunk | None:
        """The next chunk, waiting in this thread; None after the timeout, or when closed.

        0 does not wait; None waits as long as it takes. What was written before
        `close` is still given. A wait in vain is one underrun.
        """
        with self._ready:
            self.wait(timeout_seconds)
            return self._buffer.read(self._clock(), dtype)

    async def read_async(
        self,
        timeout_seconds: float | None = None,
        dtype: type[np.int16] | type[np.float32] | type[np.float64] | None = None,
    ) -> AudioChunk | None:
        """The same for a coroutine; cancelling it loses no chunk."""
        loop = asyncio.get_running_loop()
        until = None if timeout_seconds is None else loop.time() + timeout_seconds
        while True:
            there = await self.wait_async(None if until is None else until - loop.time())
            with self._ready:
                # Another reader may have come first.
                if len(self._buffer) or self._closed or not there:
                    return self._buffer.read(self._clock(), dtype)

    def _wake(self) -> None:
        """Let every waiting coroutine look again; the first takes what there is."""
        waiting, self._waiting = self._waiting, []
        for loop, future in waiting:
            with contextlib.suppress(RuntimeError):  # its loop is closed
                loop.call_soon_threadsafe(_done, future)

    def clear(self) -> int:
        """Drop what waits to be read; how many chunks that were."""
        with self._ready:
            return self._buffer.clear()

    def metrics(self) -> BufferMetrics:
        """See `AudioBuffer.metrics`."""
        with self._ready:
            return self._buffer.metrics()

    def is_healthy(self, least_fill: float = 0.1, most_fill: float = 0.9) -> bool:
        """See `AudioBuffer.is_healthy`."""
        with self._ready:
            return self._buffer.is_healthy(least_fill, most_fill)

    def close(self) -> None:
        """No more is written; who waits in vain gets None. Legal more than once."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()
            self._wake()


def _done(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
