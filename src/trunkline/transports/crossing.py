"""Where work crosses between the media thread and the application's loop.

Nothing else is shared between the two. Callbacks are gathered while a tick
runs and cross in one batch with one wake-up, so that a thousand events a tick
cost one system call and not a thousand. Events are never dropped: a call's end
must arrive. What could grow without bound (audio for an application that does
not read it) is bounded where it is gathered, per subscription.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable

__all__ = ["Crossing"]

log = logging.getLogger(__name__)

Callback = Callable[..., object]


class Crossing:
    """A one-way street onto an event loop, from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        self._loop = loop
        self._name = name
        self._queue: deque[tuple[Callback, tuple[object, ...]]] = deque()
        self._scheduled = False
        self._lock = threading.Lock()
        self._after: Callable[[], None] | None = None
        self.crossed = 0
        """Callbacks delivered."""
        self.failed = 0
        """Callbacks that raised; logged, the others still run."""
        self.deepest = 0
        """The longest the queue has been at a delivery."""

    def __len__(self) -> int:
        return len(self._queue)

    def after_batch(self, callback: Callable[[], None]) -> None:
        """Have something run at the end of every batch, on the receiving loop."""
        self._after = callback

    def put(self, callback: Callback, *args: object) -> None:
        """Add to the batch; nothing crosses before `flush`."""
        self._queue.append((callback, args))

    def post(self, callback: Callback, *args: object) -> None:
        """Add to the batch and flush it."""
        self._queue.append((callback, args))
        self.flush()

    def flush(self) -> None:
        """Wake the other side, unless it is awake for this already."""
        if not self._queue or self._scheduled:
            return
        with self._lock:
            if self._scheduled:
                return
            self._scheduled = True
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:
            # The loop is closed: the process is on its way out, and what was
            # to be told has nobody left to hear it.
            log.debug("crossing %s: loop is closed, %d dropped", self._name, len(self._queue))

    def _deliver(self) -> None:
        self._scheduled = False
        queue = self._queue
        self.deepest = max(self.deepest, len(queue))
        # Only what is there now: a callback that posts again waits its turn,
        # so that a loop of posts cannot starve the sockets.
        for _ in range(len(queue)):
            callback, args = queue.popleft()
            self.crossed += 1
            try:
                callback(*args)
            except Exception:
                self.failed += 1
                log.exception("crossing %s: %r failed", self._name, callback)
        if self._after is not None:
            self._after()
        if queue:
            self.flush()
