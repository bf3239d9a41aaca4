"""What an echo canceller is: a stage of the chain that is told what was sent."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .stage import Block, RowNumbers

__all__ = ["EchoStage"]


class EchoStage(Protocol):
    """A `Stage` of the chain with one more block: what was really sent."""

    rate_hz: int
    frame_samples: int
    delay_samples: int
    faults: NDArray[np.int64]

    def open(self) -> int:
        """A fresh row."""
        ...

    def close(self, row: int) -> None:
        """Give a row back."""
        ...

    def reset(self, row: int) -> None:
        """Forget what a row has heard."""
        ...

    def process(
        self, near: Block, far: Block, rows: RowNumbers, frozen: NDArray[np.bool_] | None = None
    ) -> Block:
        """The next 20 ms without the echo of what was sent."""
        ...
