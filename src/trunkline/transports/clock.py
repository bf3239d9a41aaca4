"""The media clock: wakes the engine's phases in real time.

Four phases of 20 ms, 5 ms apart. The deadline of every phase is kept on an
absolute grid, so lateness never adds up. After a stall the phases that were
missed are counted and skipped: running them all at once would send a burst,
and running them late would keep the delay for ever.

While there is nothing to drive it wakes once in 20 ms and not four times: an idle
node then takes a quarter of the time. The grid stays as it is.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trunkline.media.engine import PHASES, TICK_SECONDS

__all__ = ["Lateness", "MediaClock"]

SLOT_SECONDS = TICK_SECONDS / PHASES
BUCKET_SECONDS = 0.0005
BUCKETS = 400
"""Half-millisecond buckets up to 200 ms; the last one holds everything later."""


@dataclass(frozen=True, slots=True)
class Lateness:
    """How punctual the clock was since it was last reset."""

    ticks: int
    """Phases run."""
    missed: int
    """Phases that came a whole tick (20 ms) late or more, skipped ones included."""
    p50_ms: float
    p99_ms: float
    max_ms: float
    busy_ratio: float
    """Share of the time that was spent inside phases."""


class MediaClock:
    """Calls ``tick(phase, now)`` every 5 ms on an event loop.

    While ``idle`` says so three phases of four are passed over, and are neither ticks
    nor missed; the first lane to come may so wait one tick longer for its first frame.

    ``now`` is `time.monotonic`. A uvloop's own ``time()`` is only read once per
    iteration and in whole milliseconds: too coarse to measure lateness with.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        tick: Callable[[int, float], None],
        *,
        idle: Callable[[], bool] = lambda: False,
    ) -> None:
        self._loop = loop
        self._tick = tick
        self._idle = idle
        self._passed_over = 0  # slots before the one the timer is set to
        self._timer: asyncio.TimerHandle | None = None
        self._slot = 0
        self._origin = 0.0
        self._histogram = np.zeros(BUCKETS, np.int64)
        self._missed = 0
        self._max = 0.0
        self._busy = 0.0
        self._since = 0.0

    @property
    def running(self) -> bool:
        """True between `start` and `stop`."""
        return self._timer is not None

    def start(self) -> None:
        """Begin on a fresh grid; nothing happens when it runs already."""
        if self._timer is None:
            self._origin = time.monotonic()
            self._slot = 0
            self._since = self._origin if not self._histogram.any() else self._since
            self._schedule()

    def stop(self) -> None:
        """Stop waking the engine."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def phase_after(self, now: float) -> int:
        """The phase whose turn comes next after a moment."""
        return (int((now - self._origin) / SLOT_SECONDS) + 1) % PHASES

    def lateness(self) -> Lateness:
        """Punctuality so far."""
        ticks = int(self._histogram.sum())
        elapsed = max(1e-9, time.monotonic() - self._since)
        if not ticks:
            return Lateness(0, self._missed, 0.0, 0.0, 0.0, 0.0)
        cumulative = np.cumsum(self._histogram)
        p50, p99 = (
            (int(np.searchsorted(cumulative, ticks * share)) + 1) * BUCKET_SECONDS * 1000
            for share in (0.50, 0.99)
        )
        return Lateness(ticks, self._missed, p50, p99, self._max * 1000, self._busy / elapsed)

    def reset(self) -> None:
        """Forget what was measured."""
        self._histogram[:] = 0
        self._missed = 0
        self._max = 0.0
        self._busy = 0.0
        self._since = time.monotonic()

    def _schedule(self) -> None:
        self._passed_over = PHASES - 1 if self._idle() else 0
        deadline = self._origin + (self._slot + self._passed_over + 1) * SLOT_SECONDS
        self._timer = self._loop.call_at(deadline, self._run)

    def _run(self) -> None:
        now = time.monotonic()
        self._slot += self._passed_over
        due = int((now - self._origin) / SLOT_SECONDS)
        # libuv's clock has millisecond steps; a timer may fire a hair early.
        due = max(due, self._slot + 1)
        late = now - (self._origin + (self._slot + 1) * SLOT_SECONDS)
        backlog = due - self._slot
        if backlog > PHASES:
            # More than one whole round behind: each phase runs once, now.
            self._missed += backlog - PHASES
            self._slot = due - PHASES
        while self._slot < due:
            self._slot += 1
            self._record(max(0.0, late))
            self._tick(self._slot % PHASES, now)
            late -= SLOT_SECONDS
        self._busy += time.monotonic() - now
        if self._timer is not None:
            self._schedule()

    def _record(self, late: float) -> None:
        self._histogram[min(BUCKETS - 1, int(late / BUCKET_SECONDS))] += 1
        if late > self._max:
            self._max = late
        if late >= TICK_SECONDS:
            self._missed += 1
