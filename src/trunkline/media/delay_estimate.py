"""How much delay a leg needs: a histogram of how late its packets come.

The idea is that of WebRTC's NetEq: a packet's lateness is its transit time over that of the fastest
packet of the last two seconds, so that neither clock offset nor slow drift
matters. The worst lateness of each tenth of a second goes into a histogram that
forgets, and the delay wanted is a quantile of it.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["DelayEstimate"]

_WINDOW_SLOTS = 8
_SLOT_SECONDS = 0.25
"""The fastest packet is that of the last 1.75 to 2 s: 200 ppm of drift are 0.4 ms in it."""
_LESSON_SECONDS = 0.1
_BUCKET_MS = 10
_NEVER = -1.0

_Rows = NDArray[np.intp]


class DelayEstimate:
    """Lateness and the delay wanted, of many rows. All delays are in samples, float.

    ``forget`` is how much of the histogram survives a tenth of a second with a
    packet in it: 0.983 remembers about 6 s.
    """

    def __init__(
        self,
        capacity: int,
        rate_hz: int,
        *,
        quantile: float,
        forget: float,
        start_ms: float,
        least_ms: float,
        most_ms: float,
    ) -> None:
        self._bucket = rate_hz * _BUCKET_MS / 1000
        self._buckets = int(most_ms / _BUCKET_MS) + 2
        self._quantile, self._forget = quantile, forget
        per_ms = rate_hz / 1000
        self._start, self._least, self._most = (
            start_ms * per_ms,
            least_ms * per_ms,
            most_ms * per_ms,
        )
        self._epoch = 0
        self._next_lesson = -np.inf
        # Least transits: of each quarter second, of this one, and of those before it.
        self._slots = np.full((_WINDOW_SLOTS, capacity), np.inf)
        self._current = np.full(capacity, np.inf)
        self._before = np.full(capacity, np.inf)
        self._worst = np.full(capacity, _NEVER)
        self._histogram = np.zeros((capacity, self._buckets), np.float32)
        self._lessons = np.zeros(capacity, np.int64)
        self.fastest = np.zeros(capacity)
        """Least transit of the last two seconds of packets, (rows,)."""
        self.wanted = np.full(capacity, self._start)
        """Delay over the fastest packet that the row should have, (rows,)."""

    def grow(self, capacity: int) -> None:
        """More rows, fresh ones."""
        more = capacity - len(self.fastest)
        fresh = np.full((_WINDOW_SLOTS, more), np.inf)
        self._slots = np.concatenate([self._slots, fresh], axis=1)
        self._current = np.concatenate([self._current, np.full(more, np.inf)])
        self._before = np.concatenate([self._before, np.full(more, np.inf)])
        self._worst = np.concatenate([self._worst, np.full(more, _NEVER)])
        empty = np.zeros((more, self._buckets), np.float32)
        self._histogram = np.concatenate([self._histogram, empty])
        self._lessons = np.concatenate([self._lessons, np.zeros(more, np.int64)])
        self.fastest = np.concatenate([self.fastest, np.zeros(more)])
        self.wanted = np.concatenate([self.wanted, np.full(more, self._start)])

    def reset(self, row: int) -> None:
        """Forget everything of a row."""
        self.restart(row, 0.0)
        self._histogram[row] = 0
        self._lessons[row] = 0
        self.wanted[row] = self._start

    def restart(self, row: int, transit: float) -> None:
        """Another stream begins with this transit; what is known of the network stays."""
        self._slots[:, row] = self._current[row] = self._before[row] = np.inf
        self._worst[row] = _NEVER
        self.fastest[row] = transit

    def observe(self, row: int, transit: float) -> None:
        """A packet arrived."""
        current = min(self._current.item(row), transit)
        fastest = min(self._before.item(row), current)
        self._current[row] = current
        self.fastest[row] = fastest
        self._worst[row] = max(self._worst.item(row), transit - fastest)

    def observe_each(self, rows: _Rows, transits: NDArray[np.float64]) -> None:
        """A packet of each of these rows arrived: the same as `observe` of each."""
        current = np.minimum(self._current[rows], transits)
        fastest = np.minimum(self._before[rows], current)
        self._current[rows] = current
        self.fastest[rows] = fastest
        self._worst[rows] = np.maximum(self._worst[rows], transits - fastest)

    def turn(self, now: float) -> None:
        """Packets observed from now on belong to this quarter second; old ones are forgotten."""
        epoch = int(now // _SLOT_SECONDS)
        if epoch > self._epoch:
            self._slots[self._epoch % _WINDOW_SLOTS] = self._current
            for passed in range(max(self._epoch + 1, epoch - _WINDOW_SLOTS + 1), epoch + 1):
                self._slots[passed % _WINDOW_SLOTS] = np.inf
            self._before = self._slots.min(axis=0)
            self._current[:] = np.inf
            self._epoch = epoch

    def disregard(self) -> None:
        """Learn nothing from the packets since the last lesson: we were late, not they."""
        self._worst[:] = _NEVER

    def learn(self, now: float) -> None:
        """Every tenth of a second: what arrived since goes into the histograms."""
        if now < self._next_lesson:
            return
        self._next_lesson = now + _LESSON_SECONDS
        rows = (self._worst >= 0).nonzero()[0]
        if not rows.size:
            return
        bucket = np.minimum(self._worst[rows] / self._bucket, self._buckets - 1).astype(np.intp)
        self._worst[rows] = _NEVER
        self._lessons[rows] += 1
        # Early on every lesson counts alike (1 - 2/(n+1) weighs the newer a little more),
        # so that the first tenth of a second already replaces the guess.
        keep = np.minimum(self._forget, 1 - 2 / (self._lessons[rows] + 1)).astype(np.float32)
        histogram = self._histogram[rows] * keep[:, np.newaxis]
        histogram[np.arange(len(rows)), bucket] += 1 - keep
        self._histogram[rows] = histogram
        reached = np.cumsum(histogram, axis=1)
        below = (reached < self._quantile * reached[:, -1:]).argmin(axis=1)
        # A packet in bucket b is on time if the delay reaches the bucket's upper edge.
        self.wanted[rows] = np.clip((below + 1) * self._bucket, self._least, self._most)
