"""The default echo canceller: Kalman filter, delay, drift and residual, as a stage."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .echo_delay import DelayState, DelayTracker
from .echo_kalman import KalmanFilter
from .echo_pages import FilterState
from .echo_reference import Reference, ReferenceState
from .echo_residual import ResidualState, ResidualSuppressor
from .echo_state import Selection, blank, grow, reset_row, select, selection, store, swap
from .echo_watch import Watch, WatchState
from .frames import FRAME_MS, frame_samples
from .rows import Rows
from .stage import Block, RowNumbers, check_block, grown, silence_faults

__all__ = ["KalmanEcho"]

_RATES_HZ = (8000, 16000)
TAIL_MS, LONGEST_TAIL_MS = 200, 500
_DELAY_MS = 500
_SHARD = 128  # rows at once, but for the filter, which does a page at once
_SCATTERED_CALLS = 10  # in which rows were copied, before they are put side by side
_SWAPS = 4  # a call, of 0.1 ms
_PLANS = 16
_NO_ECHO = np.float32(0.1)
_MOVES = 8  # references moved in one call

_Steps = tuple[Reference, DelayTracker, KalmanFilter, ResidualSuppressor, Watch]
_States = tuple[ReferenceState, DelayState, FilterState, ResidualState, WatchState]


@dataclass(slots=True, frozen=True)
class _Part:
    """Rows that are worked on at once."""

    given: Selection
    """Where they stand in the block."""
    places: NDArray[np.intp]
    """Where they are kept, ascending."""
    chosen: Selection
    """The same, a slice if they lie side by side."""
    states: _States | None
    """Their state if it can be worked on in place."""


class KalmanEcho:
    """Takes the echo of what was sent out of what is heard, for many legs at once.

    Two blocks go in, so it is a `Stage` with one more argument. Echoes from 0 to 500 ms
    late with a room of up to 200 ms are found, and clocks up to 100 ppm apart.
    """

    name = "kalman"

    def __init__(
        self,
        rate_hz: int = 8000,
        capacity: int = 64,
        *,
        suppress: bool = True,
        tail_ms: int = TAIL_MS,
    ) -> None:
        """A bank of one rate.

        Args:
            rate_hz: 8000 or 16000.
            capacity: rows to begin with; grows by doubling.
            suppress: whether the rest is suppressed after the filter; without that nothing
                is delayed.
            tail_ms: how long an echo is cancelled from where it begins on, 20 to 500,
                rounded up to whole frames.

        Raises:
            UsageError: the rate is neither, or the tail too long or too short.
        """
        if rate_hz not in _RATES_HZ:
            raise UsageError(f"the kalman canceller works at 8000 or 16000 Hz, not {rate_hz}")
        if not FRAME_MS <= tail_ms <= LONGEST_TAIL_MS:
            raise UsageError(
                f"an echo's tail is {FRAME_MS} to {LONGEST_TAIL_MS} ms, not {tail_ms!r}"
            )
        self.rate_hz = rate_hz
        self.frame_samples = frame = frame_samples(rate_hz)
        self.delay_samples = frame // 2 if suppress else 0
        self.faults = np.zeros(capacity, np.int64)
        """Frames of each row that held something that is no audio, (rows,)."""
        self._suppress = suppress
        steps = _steps(rate_hz, tail_ms)
        self._reference, self._delays, self._kalman, self._residual, self._watch = steps
        self._fresh = _fresh(rate_hz, tail_ms)
        self._states = self._blank(capacity)
        self._rows = Rows(capacity)
        # Where each row is kept. Rows that come together are put side by side, because
        # only those can be worked on without a copy.
        self._places = np.arange(capacity)
        self._late = np.zeros(capacity, np.int64)  # by how much each row's reference has to move
        self._waiting = 0  # rows in which it has to
        self._plans: dict[bytes, list[_Part]] = {}
        self._scattered = 0

    def open(self) -> int:
        """A row that has heard nothing."""
        row = self._rows.open()
        capacity = self._rows.capacity
        if capacity > len(self.faults):
            self._places = np.concatenate([self._places, np.arange(len(self._places), capacity)])
            self.faults, self._late = grown(self.faults, capacity), grown(self._late, capacity)
            self._grow(capacity)
        self._plans.clear()
        self.faults[row] = 0
        self._forget(row)
        return row

    def close(self, row: int) -> None:
        """Give a row back; raises `UsageError` if it is not open."""
        self._rows.close(row)
        self._plans.clear()

    def reset(self, row: int) -> None:
        """Forget path, delay and drift of a row; raises `UsageError` if it is not open."""
        self._rows.check(row)
        self._forget(row)

    def process(
        self,
        near: Block,
        far: Block,
        rows: RowNumbers,
        frozen: NDArray[np.bool_] | None = None,
        *,
        shift: NDArray[np.int64] | None = None,
    ) -> Block:
        """Take the echo of ``far`` out of ``near``, (n, frame) each, full scale 1.0.

        Args:
            near: what was heard.
            far: what was sent in the same 20 ms.
            rows: (n,), each once.
            frozen: (n,) rows whose near frame was concealed: nothing is learnt from them.
            shift: (n,) by how many samples the echo is later from this frame on, where that
                is known: the reference follows and what was learnt holds.

        Raises:
            UsageError: a shape or type is wrong, or a row is not open.
        """
        near, far, plan = self._take(near, far, rows)
        if frozen is None:
            frozen = np.zeros(len(rows), np.bool_)
        elif frozen.shape != rows.shape or frozen.dtype != np.bool_:
            raise UsageError(f"frozen is one bool a row, not {frozen.dtype} {frozen.shape}")
        shift = self._due(rows, shift)
        out = np.empty_like(near)
        for part in plan:
            given = part.given
            later = None if shift is None else shift[given]
            out[given] = self._part(near[given], far[given], part, frozen[given], later)
        self._mend(out, rows)
        return out

    def _due(self, rows: RowNumbers, shift: NDArray[np.int64] | None) -> NDArray[np.int64] | None:
        """By how many samples to move the references now; None: none of them.

        A move takes 0.2 ms. After a stall every row's echo moves in one tick, and to follow
        all of them would be the next stall: those beyond `_MOVES` wait for the next frames.
        """
        if shift is not None:
            self._late[rows] += shift
        elif not self._waiting:
            return None
        late = self._late[rows]
        due = late.nonzero()[0][:_MOVES]
        moves = np.zeros_like(late)
        moves[due] = late[due]
        self._late[rows[due]] = 0
        self._waiting = int(np.count_nonzero(self._late))
        return moves if due.size else None

    def delay_ms(self, row: int) -> float:
        """By how much the reference of a row is read late."""
        self._rows.check(row)
        return float(self._states[0].delay[self._places[row]]) * 1000 / self.rate_hz

    def drift_ppm(self, row: int) -> float:
        """How much faster a row's echo falls behind than the clock, in parts per million."""
        self._rows.check(row)
        return float(self._states[0].drift[self._places[row]]) * 1e6

    def erle_db(self, row: int) -> float:
        """The most that the filter alone has taken away, over a fifth of a second, in dB.

        Not of late: where the far end is silent or both talk nothing can be told.
        """
        self._rows.check(row)
        return max(0.0, float(-10 * np.log10(self._states[4].best[self._places[row]])))

    def _blank(self, capacity: int) -> _States:
        """Room for so many rows, which are written when they are opened."""
        reference, delays, _, residual, watch = self._fresh
        return (
            blank(reference, capacity),
            blank(delays, capacity),
            self._kalman.blank(capacity),
            blank(residual, capacity),
            blank(watch, capacity),
        )

    def _take(self, near: Block, far: Block, rows: RowNumbers) -> tuple[Block, Block, list[_Part]]:
        """Both blocks as `take_pair` gives them, and in what parts to work on them."""
        shape, key = (len(rows), self.frame_samples), rows.tobytes()
        plan = self._plans.get(key)
        for block in (near, far):
            if plan is None or block.shape != shape or block.dtype != np.float32:
                check_block(block, rows, self.frame_samples, self._rows)
        if plan is None:
            plan = self._plan(rows, key)
        if self._scattered >= _SCATTERED_CALLS:
            plan = self._gather(rows, key)
        self._scattered += any(part.states is None for part in plan)
        near, faulty = silence_faults(near)
        far, faulty_far = silence_faults(far)
        if faulty.size or faulty_far.size:
            self.faults[rows[np.union1d(faulty, faulty_far)]] += 1
        return near, far, plan

    def _part(
        self,
        near: Block,
        far: Block,
        part: _Part,
        frozen: NDArray[np.bool_],
        shift: NDArray[np.int64] | None,
    ) -> Block:
        states = self._select(part) if part.states is None else part.states
        reference, delay, path, residual, watch = states
        if shift is not None:
            for row in np.flatnonzero(shift):
                self._watch.follow(delay, reference, path, int(row), float(shift[row]))
        self._reference.push(reference, far)
        wanted = self._watch.searches(watch, delay, reference)
        clear = self._delays.search(delay, self._reference, reference, near, wanted)
        self._watch.realign(watch, delay, reference, path, clear)
        aligned = self._reference.read(reference)
        echo, expected = self._kalman.step(path, aligned, near, frozen)
        echo = self._watch.judge(watch, path, aligned, near, echo, frozen)
        self._watch.look_for_drift(watch, reference, path)
        out = near - echo
        if self._suppress:
            # What is heard may be the path from before a trial: the uncertainty is not its
            # own. And where there has been no echo yet there is none to be unsure of.
            if np.count_nonzero(watch.worked & ~watch.anew) < len(near):  # what works was found
                sure = np.where(watch.found, np.float32(1), _NO_ECHO)
                sure[watch.anew] = 0
                expected *= sure[:, np.newaxis]
            leak = self._watch.leak(watch)
            out = self._residual.process(residual, out, echo, expected, leak)
        if part.states is None:
            self._store(part, states)
        return out

    def _select(self, part: _Part) -> _States:
        reference, delay, path, residual, watch = self._states
        return (
            select(reference, part.chosen),
            select(delay, part.chosen),
            path.part(part.places),
            select(residual, part.chosen),
            select(watch, part.chosen),
        )

    def _store(self, part: _Part, worked: _States) -> None:
        for state, own in zip(self._states, worked, strict=True):
            if isinstance(state, FilterState) and isinstance(own, FilterState):
                state.put(part.places, own)
            else:
                store(state, part.chosen, own)

    def _plan(self, rows: RowNumbers, key: bytes) -> list[_Part]:
        """How to go through these rows: in the order of their places, not too many at once."""
        places = self._places[rows]
        order = np.argsort(places)
        places = places[order]
        plan = []
        for shard in self._shards(places):
            chosen = selection(places[shard])
            part = _Part(selection(order[shard]), places[shard], chosen, None)
            if isinstance(chosen, slice):
                part = replace(part, states=self._select(part))
            plan.append(part)
        if len(self._plans) >= _PLANS:
            self._plans.clear()
        self._plans[key] = plan
        return plan

    def _shards(self, places: NDArray[np.intp]) -> Iterator[slice]:
        """Cuts between pages of the filter, so that none is begun twice."""
        path, begin = self._states[2], 0
        ends = [*path.starts[1:], path.rows]
        for index, end in enumerate(ends):
            last = index + 1 == len(ends)
            upto = int(np.searchsorted(places, end))
            next_upto = upto if last else int(np.searchsorted(places, ends[index + 1]))
            if upto > begin and (last or next_upto - begin > _SHARD):
                yield slice(begin, upto)
                begin = upto

    def _gather(self, rows: RowNumbers, key: bytes) -> list[_Part]:
        """Put rows that are used together side by side, a few a call."""
        places = np.sort(self._places[rows])
        count = len(places)
        # The stretch that needs the fewest moves: where most of them are already.
        begins = np.minimum(places, len(self._places) - count)
        inside = np.searchsorted(places, begins + count) - np.searchsorted(places, begins)
        begin = int(begins[np.argmax(inside)])
        holes = np.setdiff1d(np.arange(begin, begin + count), places)[:_SWAPS]
        outside = places[(places < begin) | (places >= begin + count)][:_SWAPS]
        owner = np.argsort(self._places)
        for one, other in zip(holes.tolist(), outside.tolist(), strict=True):
            for state in self._states:
                if isinstance(state, FilterState):
                    state.swap(one, other)
                else:
                    swap(state, one, other)
            self._places[owner[[one, other]]] = other, one
        self._plans.clear()
        plan = self._plan(rows, key)
        if len(holes) < _SWAPS:
            self._scattered = 0
        return plan

    def _mend(self, out: Block, rows: RowNumbers) -> None:
        """Begin anew where a row's own numbers have run away."""
        if np.isfinite(np.add.reduce(out, axis=None)):
            return
        broken = np.flatnonzero(~np.isfinite(out).all(axis=1))
        for index in broken:
            out[index] = 0
            self.faults[rows[index]] += 1
            self._forget(int(rows[index]))

    def _forget(self, row: int) -> None:
        place = int(self._places[row])
        self._late[row] = 0
        for state, fresh in zip(self._states, self._fresh, strict=True):
            if isinstance(state, FilterState) and isinstance(fresh, FilterState):
                state.set_row(place, fresh)
            else:
                reset_row(state, place, fresh)

    def _grow(self, capacity: int) -> None:
        for state in self._states:
            if isinstance(state, FilterState):
                self._kalman.grow(state, capacity)
            else:
                grow(state, capacity)


def _steps(rate_hz: int, tail_ms: int) -> _Steps:
    """What a frame goes through."""
    frame = frame_samples(rate_hz)
    partitions, lags = -(-tail_ms // FRAME_MS), _DELAY_MS // FRAME_MS + 3
    reference = Reference(frame, lags + partitions + 5)
    delays, kalman = DelayTracker(rate_hz, frame, lags), KalmanFilter(frame, partitions)
    watch = Watch(reference, delays, kalman)
    return reference, delays, kalman, ResidualSuppressor(frame), watch


@lru_cache(maxsize=8)
def _fresh(rate_hz: int, tail_ms: int) -> _States:
    """A row that has heard nothing, to be copied: 100 KB at 8 kHz, the same for all banks."""
    reference, delays, kalman, residual, watch = _steps(rate_hz, tail_ms)
    return (
        reference.state(1),
        delays.state(1),
        kalman.state(1),
        residual.state(1),
        watch.state(1),
    )
