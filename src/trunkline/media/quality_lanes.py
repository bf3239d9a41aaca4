"""The quality bank among the lanes of an engine: what it is shown, and when."""

from collections.abc import Sequence

import numpy as np

from .frames import frame_samples
from .jitter import JitterBank, Taken
from .lane import Frame, JitterInlet, Lane
from .quality_bank import HEARD, LOOK_EVERY, SENT, QualityBank
from .shard import Shard

__all__ = ["QualityLanes"]

_SETTLE_TICKS = 50
_LEAST_BLOCK = 32
"""Rows settled in one tick, at least: fewer would cost as much."""


class QualityLanes:
    """Gives every lane a row of a `QualityBank`, and shows it their frames."""

    def __init__(self, rate_hz: int, jitter: JitterBank) -> None:
        self.bank = QualityBank(rate_hz, jitter)
        self._frame_bytes = frame_samples(rate_hz) * 2

    def open(self, lane: Lane) -> None:
        """A lane is driven from now on."""
        inlet = lane.inlet
        lane.quality_row = self.bank.open(inlet.row if isinstance(inlet, JitterInlet) else -1)

    def close(self, lane: Lane) -> None:
        """A lane is driven no more."""
        self.bank.close(lane.quality_row)
        lane.quality_row = -1

    def heard(
        self, shard: Shard, taken: Taken | None, heard: Sequence[Frame | None], now: float
    ) -> None:
        """What a phase's lanes took, before a chain has cleaned it."""
        if shard.watched is None:
            lanes = shard.packet + shard.stream
            shard.watched = np.array([lane.quality_row for lane in lanes], np.intp)
        packets = len(shard.packet)
        self._settle(shard, packets, now)
        if shard.ticks % LOOK_EVERY:
            return
        if taken is not None:
            rows = shard.watched[:packets]
            self.bank.look_delays(rows, shard.rows)
            self.bank.look(rows, taken.pcm, HEARD, now)
        if len(heard) > packets:
            frames = [frame for frame in heard[packets:] if frame is not None]
            there = [frame is not None for frame in heard[packets:]]
            self._look(shard.watched[packets:], frames, there, HEARD, now)

    def sent(self, shard: Shard, sent: Sequence[bytes | None], now: float) -> None:
        """What a phase's lanes sent, or None for silence."""
        # In another tick than what was heard, so that no tick has both.
        if shard.watched is None or (shard.ticks + LOOK_EVERY // 2) % LOOK_EVERY:
            return
        pieces = [frame for frame in sent if frame is not None]
        if len(shard.watched) != len(sent):
            return  # a lane came or went in this very tick
        pcm = np.frombuffer(b"".join(pieces), "<i2").reshape(-1, self._frame_bytes // 2)
        self._look(shard.watched, pcm, [frame is not None for frame in sent], SENT, now)

    def _look(
        self,
        rows: np.ndarray[tuple[int], np.dtype[np.intp]],
        frames: Sequence[Frame] | Frame,
        there: Sequence[bool],
        direction: int,
        now: float,
    ) -> None:
        """Look at the frames there are, of rows of which some have none."""
        if len(frames):
            pcm = np.asarray(frames, np.int16)
            self.bank.look(rows if len(frames) == len(rows) else rows[there], pcm, direction, now)
        if len(frames) < len(rows):
            self.bank.look_silent(rows[~np.array(there)], direction)

    def _settle(self, shard: Shard, packets: int, now: float) -> None:
        """Read a part of a phase's packets, all of them in about a second."""
        if not packets or shard.watched is None:
            return
        block = max(_LEAST_BLOCK, -(-packets // _SETTLE_TICKS))
        begin = shard.ticks % _SETTLE_TICKS * block
        if begin < packets:
            self.bank.settle(shard.watched[begin : min(begin + block, packets)], now)
