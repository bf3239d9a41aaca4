"""The chain of those lanes of an engine that ask for it.

What was sent is seen by a tap, so that it is what really left in a tick: nothing that
was cleared, nothing a stream sent ahead before the far end plays it. It is compared from
the next tick on, which no echo can be ahead of.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .chain_bank import ChainBank, ChainRow
from .jitter import Kind, Taken
from .lane import Frame, JitterInlet, Lane

__all__ = ["LaneChains"]

_MADE_UP = (Kind.SILENT, Kind.CONCEALED)


class _Sent:
    """A tap that keeps the frame sent last."""

    def __init__(self, row: int) -> None:
        self.row = row
        self._frame: Frame | None = None

    def frame(self, heard: Frame | None, sent: Frame | None, now: float) -> None:
        """Keep what left."""
        self._frame = sent

    def late(self, heard: Frame, now: float) -> None:
        """Nothing was sent with it."""

    def give(self) -> Frame | None:
        """It, once."""
        frame, self._frame = self._frame, None
        return frame


class LaneChains:
    """One chain bank for the lanes of an engine; made when the first lane asks."""

    def __init__(self, make: Callable[[], ChainBank]) -> None:
        self._make = make
        self._bank: ChainBank | None = None
        self._sent: dict[Lane, _Sent] = {}

    def __len__(self) -> int:
        return len(self._sent)

    def open(self, lane: Lane) -> None:
        """Process this lane's audio from its next tick on.

        Raises:
            UsageError: it is no lane of packets, or the bank is of another rate.
        """
        if not isinstance(lane.inlet, JitterInlet):
            raise UsageError(f"lane {lane.id} is a stream: the chain is for lanes of packets")
        bank = self._bank if self._bank is not None else self._make()
        if bank.rate_hz != lane.rate_hz:
            raise UsageError(f"the chain is for {bank.rate_hz} Hz, the lane for {lane.rate_hz}")
        self._bank = bank
        self._sent[lane] = sent = _Sent(bank.open())
        lane.taps.append(sent)

    def close(self, lane: Lane) -> None:
        """Give a lane's row back, if it has one."""
        sent = self._sent.pop(lane, None)
        if sent is not None and self._bank is not None:
            self._bank.close(sent.row)
            if sent in lane.taps:
                lane.taps.remove(sent)

    def metrics(self, lane: Lane) -> ChainRow | None:
        """What is known of a lane's chain; None if it has none."""
        sent = self._sent.get(lane)
        return None if sent is None or self._bank is None else self._bank.metrics(sent.row)

    def process(self, lanes: list[Lane], taken: Taken) -> list[tuple[int, Frame, Frame]]:
        """One tick of those of these lanes that have a chain, in one block.

        Gives the index of each, what people hear, and what a recogniser hears.
        """
        where = [index for index, lane in enumerate(lanes) if lane in self._sent]
        if not where or self._bank is None:
            return []
        taps = [self._sent[lanes[index]] for index in where]
        block = taken.pcm[where]
        far = np.zeros_like(block)
        for place, tap in enumerate(taps):
            if (frame := tap.give()) is not None:
                far[place] = frame
        frozen: NDArray[np.bool_] = np.isin(taken.kind[where], _MADE_UP)
        rows = np.array([tap.row for tap in taps], np.intp)
        out = self._bank.process(block, rows, far, frozen)
        return list(zip(where, out.people, out.recogniser, strict=True))
