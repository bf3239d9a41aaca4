"""What calls sound like and how their packets came: rows of a bank, looked at now and then.

Nothing here is done for a packet. Which packets came is in the jitter bank already, the
last 256 numbers of each row; `QualityBank.settle` reads them about once a second, for
many rows at once, and so finds every loss in its place. Audio is looked at in one tick of
`LOOK_EVERY`: the level of a call does not change between two frames of 20 ms, and
clipping or silence that lasts is seen all the same.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .burst_gap import BurstGapStatistics
from .jitter import JitterBank
from .jitter_state import Count
from .loss_pattern import LossPattern
from .quality_levels import BUCKETS, SILENT_DBOV, Levels, levels_of
from .reception import NO_SOURCE
from .reserve import NODE_ROWS, enlarged, reserved
from .rows import Rows

__all__ = ["DELAY_NAMES", "HEARD", "LOOK_EVERY", "SENT", "QualityBank", "StreamQuality"]

LOOK_EVERY = 4
"""Of so many ticks the audio of one is looked at."""
HEARD, SENT = 0, 1
"""The two directions of a row."""
DELAY_NAMES = ("0-5", "5-10", "10-20", "20-40", "40-80", "80-160", "160-320", "320-")
"""Packet delay variation in ms over the fastest packet of the last two seconds."""
_LAG = 16
"""Packets that may still come, overtaken by others, before their number counts as lost."""
_WINDOW = 256
_FULL_POWER = float(1 << 30)
_LEAST_POWER = 1e-10
_LOUD_POWER = 0.01
"""Frames below -20 dBov do not reach the limit with four samples, nearly never."""
_LIMIT, _SAMPLES_AT_LIMIT = 32_000, 4
"""G.711's largest samples are 32,124 (µ-law) and 32,256 (A-law)."""
_LEAST_DRIFT_SECONDS = 60.0
_SUMS = 5

_Rows = NDArray[np.intp]
_Pcm = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class StreamQuality:
    """How the packets of one row came, since it was opened."""

    pattern: BurstGapStatistics
    """Losses and how they came; what came too late to be played is among them."""
    runs: tuple[int, ...]
    """Losses by length, see `loss_pattern.RUN_NAMES`."""
    delays: tuple[int, ...]
    """Packets by delay over the fastest, see `DELAY_NAMES`: of those looked at."""
    jitter_most_ms: float
    """The largest interarrival jitter, looked at once a second."""
    drift_ppm: float | None
    """How much faster the far end's clock runs than ours; None before a minute."""


class QualityBank:
    """Quality of many legs. ``jitter`` is where their packets are."""

    def __init__(self, rate_hz: int, jitter: JitterBank, capacity: int = NODE_ROWS) -> None:
        self.rate_hz = rate_hz
        self._jitter = jitter
        self._rows = Rows(capacity)
        self._edges = np.array([5, 10, 20, 40, 80, 160, 320]) * rate_hz / 1000
        self._levels = reserved((capacity, 2, BUCKETS), np.uint32)
        self._clipped = np.zeros((capacity, 2), np.int64)
        self.loud_at = np.full((capacity, 2), -np.inf)
        """When a frame that is no silence was last seen, (rows, directions)."""
        self._delays = np.zeros((capacity, len(DELAY_NAMES)), np.int64)
        self._looked = np.full(capacity, -1, np.int64)  # the highest number at the last look
        self._source = np.full(capacity, -1, np.int64)
        self._ssrc = np.full(capacity, NO_SOURCE, np.int64)
        self._first = np.zeros(capacity, np.int64)
        self._settled = np.zeros(capacity, np.int64)
        self._jitter_most = np.zeros(capacity)
        self._offset = np.zeros(capacity, np.int64)
        self._sums = np.zeros((capacity, _SUMS))
        self._origin = np.zeros((capacity, 2))
        self._last_counted = np.zeros(capacity, np.int64)
        self._patterns: dict[int, LossPattern] = {}

    def __len__(self) -> int:
        return len(self._rows.opened)

    # -- rows ------------------------------------------------------------------------------

    def open(self, source: int = -1) -> int:
        """A row; ``source`` is the jitter bank's, -1 for a leg without packets."""
        row = self._rows.open()
        if self._rows.capacity > len(self._source):
            self._grow(self._rows.capacity)
        self._levels[row] = 0
        self._clipped[row] = 0
        self.loud_at[row] = -np.inf
        self._delays[row] = 0
        self._looked[row] = -1
        self._source[row] = source
        self._ssrc[row] = NO_SOURCE
        self._jitter_most[row] = 0
        self._sums[row] = 0
        self._last_counted[row] = 0
        self._patterns[row] = LossPattern()
        return row

    def close(self, row: int) -> None:
        """Give a row back; raises `UsageError` if it is not open."""
        self._rows.close(row)
        del self._patterns[row]

    def _grow(self, capacity: int) -> None:
        for name in ("_levels", "_clipped", "loud_at", "_delays", "_looked", "_source", "_ssrc",
                     "_first", "_settled", "_jitter_most", "_offset", "_sums", "_origin",
                     "_last_counted"):  # fmt: skip
            setattr(self, name, enlarged(getattr(self, name), capacity))

    # -- audio -----------------------------------------------------------------------------

    def look(self, rows: _Rows, pcm: _Pcm, direction: int, now: float) -> None:
        """A frame of each of these rows, (n, samples); a row is there once."""
        if not len(rows):
            return
        audio = pcm.astype(np.float32)
        power = np.einsum("ij,ij->i", audio, audio)
        power *= 1 / (pcm.shape[1] * _FULL_POWER)
        decibels = np.log10(np.maximum(power, _LEAST_POWER))
        decibels *= -10
        bucket = np.minimum(decibels, BUCKETS - 1).astype(np.intp)
        self._levels[rows, direction, bucket] += 1
        loud = rows[bucket < -SILENT_DBOV]
        if len(loud):
            self.loud_at[loud, direction] = now
        if power.max() > _LOUD_POWER:
            self._count_clipped(rows, pcm, power, direction)

    def _count_clipped(
        self, rows: _Rows, pcm: _Pcm, power: NDArray[np.float32], direction: int
    ) -> None:
        some = (power > _LOUD_POWER).nonzero()[0]
        block = pcm[some]
        at_limit = (block >= _LIMIT) | (block <= -_LIMIT)
        clipped = np.count_nonzero(at_limit, axis=1) >= _SAMPLES_AT_LIMIT
        self._clipped[rows[some[clipped]], direction] += 1

    def look_silent(self, rows: _Rows, direction: int) -> None:
        """Nothing came, or left, on these rows."""
        self._levels[rows, direction, BUCKETS - 1] += 1

    def look_delays(self, rows: _Rows, sources: _Rows) -> None:
        """How late the newest packet of each of these rows was, if it is a new one."""
        state = self._jitter.state()
        highest = state.reception.highest[sources]
        new = highest != self._looked[rows]
        self._looked[rows] = highest
        late = state.reception.transits[sources] - state.delay.fastest[sources]
        new &= late >= 0  # NaN: nothing to be compared with
        bucket = self._edges.searchsorted(late[new], side="right")
        self._delays[rows[new], bucket] += 1

    def levels(self, row: int, direction: int) -> Levels:
        """Levels since the row was opened."""
        return levels_of(self._levels[row, direction], self._clipped.item(row, direction))

    def histogram(self, row: int, direction: int) -> tuple[NDArray[np.uint32], int]:
        """Frames by level and those clipped: what `levels_of` takes the difference of two of."""
        return self._levels[row, direction].copy(), self._clipped.item(row, direction)

    # -- packets ---------------------------------------------------------------------------

    def settle(self, rows: _Rows, now: float | None, lag: int = _LAG) -> None:
        """Read what came on these rows since the last time; no less often than every 2 s.

        The newest ``lag`` packets are left for the next time: more may come of them.
        Without ``now`` the clocks are not compared.
        """
        rows = rows[self._source[rows] >= 0]
        if not len(rows):
            return
        state = self._jitter.state()
        sources = self._source[rows]
        reception = state.reception
        ssrc, first = reception.ssrc[sources], reception.first[sources]
        for index in (
            ((ssrc != self._ssrc[rows]) | (first != self._first[rows])).nonzero()[0].tolist()
        ):
            self._begin(rows.item(index), sources.item(index))
        known = ssrc != NO_SOURCE
        rows, sources = rows[known], sources[known]
        if not len(rows):
            return
        jitter = reception.jitter[sources]
        self._jitter_most[rows] = np.maximum(self._jitter_most[rows], jitter)
        if now is not None:
            self._time(rows, sources, now)
        self._read(rows, sources, lag)

    def _begin(self, row: int, source: int) -> None:
        """Another source, or another sequence: what is left of the last one has no order."""
        state = self._jitter.state()
        if self._ssrc.item(row) != NO_SOURCE:
            counts = state.counts[source].tolist()
            pattern = self._patterns[row]
            told = pattern.statistics()
            pattern.lost(counts[Count.LOST_BEFORE] - told.lost)
            received = counts[Count.RECEIVED_BEFORE] - counts[Count.DUPLICATE]
            pattern.received(received - (told.packets - told.lost))
        self._ssrc[row] = state.reception.ssrc[source]
        self._first[row] = state.reception.first[source]
        self._settled[row] = self._first[row] - 1

    def _time(self, rows: _Rows, sources: _Rows, now: float) -> None:
        """One point more of the line through the fastest packets' transits."""
        state = self._jitter.state()
        received = state.reception.received[sources]
        offset = state.offset[sources]
        anew = (offset != self._offset[rows]) | (self._sums[rows, 0] == 0)
        fastest = state.delay.fastest[sources]
        if np.count_nonzero(anew):
            those = rows[anew]
            self._offset[those] = offset[anew]
            self._sums[those] = 0
            self._origin[those, 0] = now
            self._origin[those, 1] = fastest[anew]
        came = received != self._last_counted[rows]
        self._last_counted[rows] = received
        those = rows[came]
        x = now - self._origin[those, 0]
        y = fastest[came] - self._origin[those, 1]
        self._sums[those] += np.stack([np.ones_like(x), x, y, x * x, x * y], axis=1)

    def _read(self, rows: _Rows, sources: _Rows, lag: int) -> None:
        """Which packets came, up to ``lag`` before the newest."""
        state = self._jitter.state()
        start = self._settled[rows] + 1
        count = state.reception.highest[sources] - lag + 1 - start
        while len(rows):
            wide = int(min(count.max(), _WINDOW))
            if wide <= 0:
                return
            numbers = start[:, np.newaxis] + np.arange(wide)
            came = state.reception.seen(sources[:, np.newaxis], numbers & 0xFFFF)
            came |= np.arange(wide) >= count[:, np.newaxis]  # not to be read yet
            whole = np.asarray(came.all(axis=1)).tolist()
            ends = np.minimum(count, wide)
            for index, row in enumerate(rows.tolist()):
                size = ends.item(index)
                if size <= 0:
                    continue
                late = state.discarded.get(sources.item(index))
                if whole[index] and not late:
                    self._patterns[row].received(size)
                    continue
                played = came[index, :size]
                if late:
                    played &= ~np.isin(numbers[index, :size] & 0xFFFF, late)
                    state.forget_discarded(sources.item(index), numbers.item(index, size - 1))
                self._patterns[row].take(played)
            self._settled[rows] = start + np.maximum(ends, 0) - 1
            more = count > wide
            rows, sources = rows[more], sources[more]
            start, count = start[more] + wide, count[more] - wide

    def stream(self, row: int, *, last: bool = False) -> StreamQuality:
        """How the packets of a row came; with ``last`` the newest ones count as well."""
        self._rows.check(row)
        if last:
            self.settle(np.array([row]), None, 0)
        pattern = self._patterns[row]
        return StreamQuality(
            pattern.statistics(),
            pattern.runs,
            tuple(self._delays[row].tolist()),
            self._jitter_most.item(row) * 1000 / self.rate_hz,
            self._drift(row),
        )

    def received(self, row: int) -> int:
        """Packets of the present source so far, on whichever port they shared with reports."""
        source = self._source.item(row)
        return int(self._jitter.state().reception.received[source]) if source >= 0 else 0

    def pauses(self, row: int) -> bool:
        """Whether the sender said that it may be silent now: comfort noise, a digit."""
        source = self._source.item(row)
        return source >= 0 and bool(self._jitter.state().resting[source])

    def _drift(self, row: int) -> float | None:
        n, x, y, xx, xy = self._sums[row].tolist()
        spread = n * xx - x * x
        # The points are a second apart: so many are as many seconds.
        if n < _LEAST_DRIFT_SECONDS or spread <= 0:
            return None
        # A later and later fastest packet is a clock that runs slower than ours.
        return float(-(n * xy - x * y) / spread / self.rate_hz * 1e6)
