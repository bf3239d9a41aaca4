"""The chains of those lanes of an engine that have one: a bank for each choice of stages.

A tick hands over what came and gets back what people hear and what a recogniser hears, for
all lanes with the same stages in one block. What was sent is kept as it left in each tick:
nothing that was cleared, nothing a stream sent ahead before the far end plays it. It is
compared from the next tick on, which no echo can be ahead of.

A lane may change its stages in mid-call. Its new chain first fills with audio, for as long
as it is late (10 ms for echo, 10 ms for noise), while the old one is still heard; then
both are crossfaded over 10 ms. No frame is lost and nothing clicks: where the delay grows,
that much audio is heard twice, where it shrinks that much is not heard, in the crossfade.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .chain_bank import ChainBank, ChainRow, ChainStages
from .echo_guard import EchoGuard
from .frames import frame_samples
from .jitter import Kind
from .lane import Frame, Lane
from .reserve import reserved
from .stage import grown

__all__ = ["Came", "LaneChains", "Plan"]

_FADE_MS = 10
_WAITING_FRAMES = 6
"""What was sent while a stream brought nothing waits so long for the frames it is late with;
after that the engine hears the stream as silent, frame by frame."""
_LONGEST_SHIFT_SECONDS = 0.5
"""A position that jumps further is another source, and its echo has to be found anew."""
_NEVER = np.iinfo(np.int64).min
_PLAYED, _STRETCHED = int(Kind.PLAYED), int(Kind.STRETCHED)  # numpy takes its time with enums

_Samples = NDArray[np.int16]
_Rows = NDArray[np.intp]
_Mask = NDArray[np.bool_]
Fault = Callable[[Lane, Exception], None]


class _Bank:
    """The chain of all lanes with the same stages, and what each of them sent last."""

    def __init__(self, chain: ChainBank, stages: ChainStages) -> None:
        self.chain, self.stages = chain, stages
        capacity = chain.rows.capacity
        self.sent = reserved((capacity, chain.frame_samples), np.int16)
        """(rows, 20 ms): what left in the tick before."""
        self.ahead = np.full(capacity, _NEVER, np.int64)
        """(rows,): how far what was heard last is ahead of what was sent, in timestamps."""
        self.guard = EchoGuard(capacity) if stages.echo != "off" else None
        self.waiting: dict[int, deque[_Samples]] = {}
        """What left, of rows of streams, while no frame came with it."""

    def open(self) -> int:
        """A row that has sent nothing."""
        row = self.chain.open()
        capacity = self.chain.rows.capacity
        self.sent, self.ahead = grown(self.sent, capacity), grown(self.ahead, capacity)
        self.sent[row], self.ahead[row] = 0, _NEVER
        if self.guard is not None:
            self.guard.open(row, self.chain.rows)
        return row

    def close(self, row: int) -> None:
        """Give it back."""
        self.chain.close(row)
        self.waiting.pop(row, None)

    def shift(self, rows: _Rows, ahead: NDArray[np.int64], real: _Mask) -> NDArray[np.int64] | None:
        """By how many samples the echo of each row is later than a frame ago; None: of none.

        A jitter buffer that stretches, leaves out or adds audio moves the echo in it.
        ``real`` are the rows whose frame is no concealment: its place is known.
        """
        before = self.ahead[rows]
        if np.array_equal(before, ahead):
            return None
        later = before - ahead
        self.ahead[rows] = np.where(real, ahead, before)
        moved = real & (later != 0) & (before != _NEVER)
        if not moved.any():
            return None
        longest = int(_LONGEST_SHIFT_SECONDS * self.chain.rate_hz)
        return np.where(moved & (np.abs(later) <= longest), later, 0)

    def process(
        self, block: _Samples, rows: _Rows, frozen: _Mask, shift: NDArray[np.int64] | None
    ) -> tuple[_Samples, _Samples]:
        """What people hear of these frames, and what recognisers hear."""
        far = self.reference(rows)
        branches = self.chain.process(block, rows, far, frozen, shift=shift)
        people, recogniser = (np.asarray(branch, np.int16) for branch in branches)
        if self.guard is None:
            return people, recogniser
        return self.guard.process(block, far, rows, people, recogniser)

    def reference(self, rows: _Rows) -> _Samples:
        """What was sent with the frames of these rows, (n, 20 ms)."""
        far = self.sent[rows]
        if self.waiting:
            for index, row in enumerate(rows.tolist()):
                if row in self.waiting:
                    far[index] = self.next_waiting(row)
        return far

    def next_waiting(self, row: int) -> _Samples:
        """The oldest that waits for a frame of this row."""
        queue = self.waiting[row]
        frame = queue.popleft()
        if not queue:
            del self.waiting[row]
        return frame

    def wait(self, row: int) -> None:
        """No frame came: what was sent is for the next one."""
        if row not in self.waiting:
            self.waiting[row] = deque([self.sent[row].copy()], _WAITING_FRAMES)

    def tell(self, rows: _Rows, block: _Samples) -> None:
        """What left of these rows in this tick."""
        self.sent[rows] = block
        if self.waiting:
            for index, row in enumerate(rows.tolist()):
                if row in self.waiting:
                    self.waiting[row].append(block[index].copy())


class _Place(NamedTuple):
    """A lane's row in one of the banks."""

    bank: _Bank
    row: int


@dataclass(slots=True)
class _Fade:
    """A lane on its way from one chain to another; None is no chain."""

    before: _Place | None
    after: _Place | None
    heard: int = 0
    """Samples since the change."""
    then: list[_Place | None] = field(default_factory=list)
    """Where it goes next, if that has been said already."""


@dataclass(slots=True)
class _Group:
    """The lanes of one shard in one bank."""

    bank: _Bank
    places: list[int]
    """(n,): which lanes of the shard they are; lanes of packets come before streams."""
    where: _Rows
    """The same."""
    rows: _Rows
    """(n,): their rows in the bank."""
    packets: int
    """How many of them are lanes of packets."""


@dataclass(slots=True)
class Plan:
    """Which lanes of a shard are processed together, until one comes, goes or changes."""

    lanes: Sequence[Lane]
    groups: list[_Group]
    fading: dict[int, Lane]
    """Lanes that change their chain, by place."""


class Came(NamedTuple):
    """The frames of a shard's lanes of packets, and what is known of them."""

    pcm: Frame
    """(n, 20 ms)."""
    kind: NDArray[np.uint8]
    """(n,), see `jitter.Kind`."""
    ahead: NDArray[np.int64]
    """(n,): their timestamps less those of what is sent at the same time."""


class _Result(NamedTuple):
    """What a bank made of its lanes' frames."""

    bank: _Bank
    places: list[int]
    people: list[Frame]
    recogniser: list[Frame]


class LaneChains:
    """A chain bank for each choice of stages that an open lane has."""

    def __init__(
        self, rate_hz: int, make: Callable[[int, ChainStages], ChainBank] = ChainBank
    ) -> None:
        self._rate_hz = rate_hz
        self._frame = frame_samples(rate_hz)
        self._silence = bytes(2 * self._frame)
        self._make = make
        self._banks: dict[ChainStages, _Bank] = {}
        self._kept: set[ChainStages] = set()
        self._places: dict[Lane, _Place] = {}
        self._fades: dict[Lane, _Fade] = {}

    def __len__(self) -> int:
        return len(self._places)

    # -- lanes ---------------------------------------------------------------------

    def keep(self, stages: ChainStages) -> None:
        """Make the bank of these stages now, and keep it when no lane uses it."""
        self._bank(stages)
        self._kept.add(stages)

    def open(self, lane: Lane) -> None:
        """Process this lane's audio from its next tick on; raises `UsageError`."""
        if lane.chain is not None:
            self._places[lane] = self._open(lane.chain)

    def change(self, lane: Lane, stages: ChainStages | None) -> None:
        """Give an open lane other stages; raises `UsageError`, and then nothing has changed."""
        after = None if stages is None else self._open(stages)
        fade = self._fades.get(lane)
        if fade is None:
            self._fades[lane] = _Fade(self._places.get(lane), after)
        else:
            for place in fade.then:
                self._release(place)
            fade.then = [after]
        if after is None:
            self._places.pop(lane, None)
        else:
            self._places[lane] = after

    def close(self, lane: Lane) -> None:
        """Give a lane's rows back, if it has any."""
        places = {self._places.pop(lane, None)}
        fade = self._fades.pop(lane, None)
        if fade is not None:
            places |= {fade.before, fade.after, *fade.then}
        for place in places:
            self._release(place)

    def metrics(self, lane: Lane) -> ChainRow | None:
        """What is known of a lane's chain; None if it has none."""
        place = self._places.get(lane)
        return None if place is None else place.bank.chain.metrics(place.row)

    def _open(self, stages: ChainStages) -> _Place:
        bank = self._bank(stages)
        return _Place(bank, bank.open())

    def _bank(self, stages: ChainStages) -> _Bank:
        bank = self._banks.get(stages)
        if bank is None:
            bank = self._banks[stages] = _Bank(self._make(self._rate_hz, stages), stages)
        return bank

    def _release(self, place: _Place | None) -> None:
        if place is None:
            return
        place.bank.close(place.row)
        if not len(place.bank.chain) and place.bank.stages not in self._kept:
            del self._banks[place.bank.stages]

    # -- ticks ---------------------------------------------------------------------

    def plan(self, packet: Sequence[Lane], stream: Sequence[Lane]) -> Plan | None:
        """Which of these lanes are processed together; None if none of them has a chain."""
        if not self._places and not self._fades:
            return None
        lanes = (*packet, *stream)
        members: dict[_Bank, list[tuple[int, int]]] = {}
        fading: dict[int, Lane] = {}
        for index, lane in enumerate(lanes):
            places = [self._places.get(lane)]
            if (fade := self._fades.get(lane)) is not None:
                fading[index] = lane
                places = [fade.before, fade.after]
            for place in places:
                if place is not None:
                    members.setdefault(place.bank, []).append((index, place.row))
        if not members and not fading:
            return None
        groups = [_group(bank, found, len(packet)) for bank, found in members.items()]
        return Plan(lanes, groups, fading)

    def process(
        self, plan: Plan, heard: list[Frame | None], came: Came | None, fault: Fault
    ) -> tuple[list[Frame | None], bool]:
        """One tick: ``heard``, a frame of each lane, becomes what people hear, in place.

        ``came`` is None for a shard without lanes of packets. Gives what recognisers hear,
        and whether the plan is over. A bank that fails is told to ``fault``, and its lanes
        hear the frames that came.
        """
        understood = heard.copy()
        raw = {index: heard[index] for index in plan.fading}
        results: list[_Result] = []
        for group in plan.groups:
            try:
                results.append(self._run(group, heard, came))
            except Exception as error:  # noqa: BLE001 - a bug in a stage costs no call a frame
                fault(plan.lanes[group.places[0]], error)
        for result in results:
            for index, people, recogniser in zip(*result[1:], strict=True):
                heard[index], understood[index] = people, recogniser
        over = False
        for index, lane in plan.fading.items():
            over |= self._fade(lane, index, raw[index], results, heard, understood)
        return understood, over

    def _run(self, group: _Group, heard: list[Frame | None], came: Came | None) -> _Result:
        """The frames of one bank's lanes, in one block."""
        bank, packets = group.bank, group.packets
        where, rows = group.where, group.rows
        if packets < len(where):
            where, rows = _present(group, heard)
        places = group.places if where is group.where else where.tolist()
        if not places:
            return _Result(bank, [], [], [])
        if came is not None and packets == len(places):
            block = came.pcm[where]
        else:
            block = np.stack([frame for place in places if (frame := heard[place]) is not None])
        frozen = np.zeros(len(places), np.bool_)
        shift = None
        if came is not None and packets:
            kind = came.kind[where[:packets]]
            played = kind == _PLAYED
            np.logical_not(played, out=frozen[:packets])
            real = played | (kind == _STRETCHED)
            shift = bank.shift(rows[:packets], came.ahead[where[:packets]], real)
            if shift is not None and packets < len(places):
                shift = np.pad(shift, (0, len(places) - packets))
        people, recogniser = bank.process(block, rows, frozen, shift)
        return _Result(bank, places, list(people), list(recogniser))

    def late(self, lane: Lane, frame: Frame) -> tuple[Frame, Frame]:
        """A stream's frame that is heard beside the one of its tick: for people, recognisers.

        What was sent while it was missing is compared with it. Where there is nothing of
        that, we were stopped ourselves, and the frame is heard as it came.
        """
        place = self._places.get(lane)
        if place is None or lane in self._fades or place.row not in place.bank.waiting:
            return frame, frame
        far = place.bank.next_waiting(place.row)
        rows = np.array([place.row], np.intp)
        out = place.bank.chain.process(frame[np.newaxis], rows, far[np.newaxis])
        people, recogniser = out
        return people[0], recogniser[0]

    def tell(self, plan: Plan, sent: Sequence[bytes | None]) -> None:
        """What left of the plan's lanes in this tick."""
        for group in plan.groups:
            frames = [sent[place] or self._silence for place in group.places]
            block = np.frombuffer(b"".join(frames), "<i2").reshape(-1, self._frame)
            group.bank.tell(group.rows, block)

    def tell_each(self, lanes: Sequence[Lane], sent: Sequence[bytes | None]) -> None:
        """`tell` where lanes came, went or changed meanwhile."""
        for lane, frame in zip(lanes, sent, strict=True):
            fade = self._fades.get(lane)
            places = {self._places.get(lane), *((fade.before, fade.after) if fade else ())}
            for place in places:
                if place is not None:
                    block = np.frombuffer(frame or self._silence, "<i2")[np.newaxis]
                    place.bank.tell(np.array([place.row], np.intp), block)

    # -- changes -------------------------------------------------------------------

    def _fade(
        self,
        lane: Lane,
        index: int,
        raw: Frame | None,
        results: Sequence[_Result],
        heard: list[Frame | None],
        understood: list[Frame | None],
    ) -> bool:
        """One frame of a lane that changes its chain; whether that is through."""
        fade = self._fades[lane]
        if raw is None:
            return False
        before, after = (_found(place, index, raw, results) for place in (fade.before, fade.after))
        chain = None if fade.after is None else fade.after.bank.chain
        delays = (chain.delay_samples, chain.recogniser_delay_samples) if chain else (0, 0)
        length = self._rate_hz * _FADE_MS // 1000
        at = fade.heard + np.arange(self._frame)
        mixed = [
            _mixed(one, other, np.clip((at - delay) / length, 0, 1))
            for one, other, delay in zip(before, after, delays, strict=True)
        ]
        heard[index], understood[index] = mixed
        fade.heard += self._frame
        if fade.heard < max(delays) + length:
            return False
        self._arrive(lane, fade)
        return True

    def _arrive(self, lane: Lane, fade: _Fade) -> None:
        """A change is through; the next one begins, if there is one."""
        del self._fades[lane]
        self._release(fade.before)
        if fade.then:
            self._fades[lane] = _Fade(fade.after, fade.then[0])


def _group(bank: _Bank, members: list[tuple[int, int]], packets: int) -> _Group:
    where, rows = np.array(members, np.intp).T.copy()
    return _Group(bank, where.tolist(), where, rows, int(np.count_nonzero(where < packets)))


def _present(group: _Group, heard: list[Frame | None]) -> tuple[_Rows, _Rows]:
    """Places and rows of the lanes of a group that have a frame; the others wait."""
    here = np.array([heard[place] is not None for place in group.places])
    if here.all():
        return group.where, group.rows
    for row in group.rows[~here].tolist():
        group.bank.wait(row)
    return group.where[here], group.rows[here]


def _found(
    place: _Place | None, index: int, raw: Frame, results: Sequence[_Result]
) -> tuple[Frame, Frame]:
    """What one chain made of a lane's frame, for people and recognisers."""
    for result in results:
        if place is not None and result.bank is place.bank and index in result.places:
            at = result.places.index(index)
            return result.people[at], result.recogniser[at]
    return raw, raw


def _mixed(before: Frame, after: Frame, share: NDArray[np.float64]) -> Frame:
    """One frame crossfaded into another."""
    return np.rint(before + share * (after.astype(np.float64) - before)).astype(np.int16)
