"""Timers in virtual or real time: a heap whose cancelled entries are dropped lazily."""

import heapq
from collections.abc import Callable

__all__ = ["Timer", "TimerQueue"]


class Timer:
    """One running timer; `TimerQueue.start` makes it."""

    __slots__ = ("_queue", "callback", "due")

    def __init__(
        self, queue: "TimerQueue", due: float, callback: Callable[[float], None] | None
    ) -> None:
        self._queue = queue
        self.due = due
        """When it rings, in the clock's seconds."""
        self.callback = callback
        """What it calls with the time it is; None once it rang or was cancelled."""

    def cancel(self) -> None:
        """Never ring; legal more than once and after it rang."""
        if self.callback is not None:
            self.callback = None
            self._queue._cancelled += 1


class TimerQueue:
    """All timers of one user agent.

    Starting costs a heap push, cancelling nothing. Cancelled entries are thrown out
    when they reach the top, or all at once when they are more than half of the heap.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._serial = 0
        self._cancelled = 0

    def __len__(self) -> int:
        return len(self._heap) - self._cancelled

    def start(self, due: float, callback: Callable[[float], None]) -> Timer:
        """Call ``callback(now)`` at the first `run` at or after ``due``."""
        if self._cancelled > 256 and self._cancelled * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].callback is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0
        timer = Timer(self, due, callback)
        self._serial += 1
        heapq.heappush(self._heap, (due, self._serial, timer))
        return timer

    def run(self, now: float) -> None:
        """Ring everything that is due, in order."""
        while self._heap and self._heap[0][0] <= now:
            timer = heapq.heappop(self._heap)[2]
            callback = timer.callback
            if callback is None:
                self._cancelled -= 1
            else:
                timer.callback = None
                callback(now)

    def next_due(self) -> float | None:
        """When the next timer rings, or None."""
        while self._heap and self._heap[0][2].callback is None:
            heapq.heappop(self._heap)
            self._cancelled -= 1
        return self._heap[0][0] if self._heap else None
