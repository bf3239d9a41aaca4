"""The lanes of one phase of an engine."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .joints import Feeds
from .lane import JitterInlet, Lane
from .lane_chain import Plan

__all__ = ["Shard"]


@dataclass(slots=True)
class Shard:
    """The lanes of one phase. Jitter lanes come first; ``rows`` are theirs."""

    packet: list[Lane] = field(default_factory=list)
    stream: list[Lane] = field(default_factory=list)
    rows: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, np.intp))
    ticks: int = 0
    plan: Plan | None = None
    """How its lanes with a chain are processed; None if there are none."""
    feeds: Feeds | None = None
    """What its lanes that are joined send of each other; None if there are none."""
    tones: list[tuple[int, Lane]] | None = None
    """Places of those that are listened to for keys as tones; None if there are none."""
    stale: bool = False
    """Whether a lane came, went or changed since the plan was made."""
    sent: int = 0
    """Timestamp of what is sent, while there is a plan: ticks that were left out count."""
    at: float = 0.0
    """When the last tick with a plan was."""
    watched: NDArray[np.intp] | None = None
    """Rows of the quality bank, packets' lanes first; None: a lane came or went."""

    def __len__(self) -> int:
        return len(self.packet) + len(self.stream)

    def add(self, lane: Lane) -> None:
        """One lane more."""
        self.stale = True
        self.watched = None
        if isinstance(lane.inlet, JitterInlet):
            self.packet.append(lane)
            self.rows = np.append(self.rows, lane.inlet.row).astype(np.intp)
        else:
            self.stream.append(lane)

    def remove(self, lane: Lane) -> None:
        """One lane less; the others keep their order."""
        self.stale = True
        self.watched = None
        if isinstance(lane.inlet, JitterInlet):
            index = self.packet.index(lane)
            del self.packet[index]
            self.rows = np.delete(self.rows, index)
        else:
            self.stream.remove(lane)
