"""The audio chain of one call, for threads and coroutines that wait.

``media.Chain`` is told the time and never waits, as everything in ``media``. This is the
part around it that has a clock, a lock, and readers who wait. While one waits for what
comes the chain is told the time every 20 ms, so that audio goes on, concealed, where
packets do not.
"""

import threading
import time
from collections.abc import Callable

import numpy as np

from trunkline.media import Chain, ChainHealth, ChainMetrics
from trunkline.media.audio_buffer import AudioChunk
from trunkline.media.frames import FRAME_MS, Audio

from .waiting_buffer import WaitingBuffer

__all__ = ["WaitingChain"]

_TICK_SECONDS = FRAME_MS / 1000
_Dtype = type[np.int16] | type[np.float32] | type[np.float64] | None


class WaitingChain:
    """A `Chain` for several threads and coroutines; it must be used through this alone.

    chain = WaitingChain(Chain(rate_hz=16000))
    chain.process_input(packet, sequence)
    chunk = await chain.read_input_async(timeout_seconds=1.0)
    """

    def __init__(self, chain: Chain, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._chain = chain
        self._clock = clock
        # Taken before a buffer's own, never after it.
        self._lock = threading.Lock()
        self._input = WaitingBuffer(chain.input, clock=clock)
        self._output = WaitingBuffer(chain.output, clock=clock)

    def process_input(
        self,
        audio: Audio,
        sequence: int | None = None,
        *,
        timestamp: int | None = None,
        is_speech: bool | None = None,
    ) -> Audio | None:
        """A packet arrived; see `Chain.process_input`. Raises `UsageError` once closed."""
        with self._lock, self._input.filling():
            return self._chain.process_input(
                audio, sequence, self._clock(), timestamp=timestamp, is_speech=is_speech
            )

    def process_output(self, audio: Audio, timestamp: float | None = None) -> bool:
        """Queue audio to be sent; see `Chain.process_output`. Raises `UsageError` once closed."""
        with self._lock, self._output.filling():
            return self._chain.process_output(audio, self._clock(), timestamp)

    def sent(self, audio: Audio) -> None:
        """Audio was sent that was not read from here; see `Chain.sent`."""
        with self._lock:
            self._chain.sent(audio, self._clock())

    def clear_output(self, *, sent_ahead: bool = False) -> int:
        """Drop what waits to be sent; see `Chain.clear_output`. Raises as `process_output`."""
        with self._lock, self._output.filling():
            return self._chain.clear_output(sent_ahead=sent_ahead)

    def read_input(
        self, timeout_seconds: float | None = None, dtype: _Dtype = None
    ) -> AudioChunk | None:
        """The next processed frame, waiting in this thread; None after the timeout, or closed.

        0 does not wait; None waits as long as it takes.
        """
        until = self._until(timeout_seconds)
        while True:
            over = self._over(until)
            chunk = self._take(over, dtype)
            if chunk is not None or over:
                return chunk
            self._input.wait(self._pause(until))

    async def read_input_async(
        self, timeout_seconds: float | None = None, dtype: _Dtype = None
    ) -> AudioChunk | None:
        """The same for a coroutine; cancelling it loses no frame."""
        until = self._until(timeout_seconds)
        while True:
            over = self._over(until)
            chunk = self._take(over, dtype)
            if chunk is not None or over:
                return chunk
            await self._input.wait_async(self._pause(until))

    def read_output(
        self, timeout_seconds: float | None = None, dtype: _Dtype = None
    ) -> AudioChunk | None:
        """The next frame to be sent, waiting in this thread; it is taken as sent."""
        return self._leaves(self._output.read(timeout_seconds, dtype))

    async def read_output_async(
        self, timeout_seconds: float | None = None, dtype: _Dtype = None
    ) -> AudioChunk | None:
        """The same for a coroutine; cancelling it loses no frame."""
        return self._leaves(await self._output.read_async(timeout_seconds, dtype))

    def metrics(self) -> ChainMetrics:
        """See `Chain.metrics`."""
        with self._lock:
            return self._chain.metrics()

    def health(self) -> ChainHealth:
        """See `Chain.health`."""
        with self._lock:
            return self._chain.health()

    def reset(self) -> None:
        """See `Chain.reset`. Raises `UsageError` once closed."""
        with self._lock, self._input.filling(), self._output.filling():
            self._chain.reset()

    def close(self) -> None:
        """Nothing more comes or is sent; who waits in vain gets None. Legal more than once."""
        with self._lock:
            self._input.close()
            self._output.close()

    def _over(self, until: float | None) -> bool:
        """Make what is due; whether there is nothing left to wait for."""
        with self._lock:
            if self._input.closed:
                return True
            with self._input.filling():
                self._chain.advance(self._clock())
        return until is not None and time.monotonic() >= until

    def _take(self, over: bool, dtype: _Dtype) -> AudioChunk | None:
        """What is there; finding nothing is an underrun only when the wait is over."""
        return self._input.read(0, dtype) if over or len(self._input) else None

    def _leaves(self, chunk: AudioChunk | None) -> AudioChunk | None:
        if chunk is not None:
            self.sent(chunk.audio)
        return chunk

    @staticmethod
    def _until(timeout_seconds: float | None) -> float | None:
        return None if timeout_seconds is None else time.monotonic() + timeout_seconds

    @staticmethod
    def _pause(until: float | None) -> float:
        """Until the next frame may be due."""
        left = _TICK_SECONDS if until is None else until - time.monotonic()
        return max(0.0, min(_TICK_SECONDS, left))
