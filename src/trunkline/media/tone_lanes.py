"""Keys as tones, on those lanes of an engine that ask for it, in one batch a tick.

A lane that does not ask costs nothing: a phase without such a lane is one look at a None.
"""

from collections.abc import Callable, Sequence

import numpy as np

from .dtmf_detector import ToneDetector
from .lane import Frame, Lane

__all__ = ["OnKey", "ToneLanes"]

OnKey = Callable[[str, int, float], None]
"""Told the digit, how long it was pressed (ms), and ``now``."""


class ToneLanes:
    """Which lanes are listened to for keys, and their rows of the bank.

    ``on_fault`` is told when whoever is told a key raises.
    """

    def __init__(self, rate_hz: int, on_fault: Callable[[Lane, Exception], None]) -> None:
        self._rate_hz = rate_hz
        self._on_fault = on_fault
        self._bank: ToneDetector | None = None
        self._lanes: dict[Lane, tuple[int, OnKey]] = {}

    def __len__(self) -> int:
        return len(self._lanes)

    def want(self, lane: Lane, on_key: OnKey) -> None:
        """Listen to a lane from its next tick on; again: tell somebody else."""
        if self._bank is None:
            self._bank = ToneDetector(self._rate_hz)
        row = self._lanes[lane][0] if lane in self._lanes else self._bank.open()
        self._lanes[lane] = (row, on_key)

    def drop(self, lane: Lane) -> None:
        """Listen no more. Legal more than once."""
        if lane in self._lanes and self._bank is not None:
            self._bank.close(self._lanes.pop(lane)[0])

    def plan(self, lanes: Sequence[Lane]) -> list[tuple[int, Lane]] | None:
        """The places of those that are listened to among the lanes of a phase; None: none."""
        return [(n, lane) for n, lane in enumerate(lanes) if lane in self._lanes] or None

    def hear(self, plan: list[tuple[int, Lane]], heard: Sequence[Frame | None], now: float) -> None:
        """Look for keys in what came in this tick."""
        assert self._bank is not None
        there = [
            (lane, *self._lanes[lane], frame)
            for place, lane in plan
            if (frame := heard[place]) is not None and lane in self._lanes
        ]
        if not there:
            return
        block = np.stack([frame for *_, frame in there])
        rows = np.array([row for _, row, *_ in there], np.intp)
        for key in self._bank.process(block, rows):
            lane, _, on_key, _ = there[key.place]
            try:
                if lane.active:
                    on_key(key.digit, key.duration_ms, now)
            except Exception as error:  # noqa: BLE001 - one lane's code; the others go on
                self._on_fault(lane, error)
