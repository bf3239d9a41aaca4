"""What a stage of the chain is: a bank that takes blocks and gives blocks.

Echo, noise, gain and a user's own model have this shape. A block is float32,
(n, 20 ms), full scale 1.0, one row a leg. The helpers are what every stage does at
its edge: refuse what its caller got wrong, silence what a leg got wrong, and cut a
block into shards that fit the processor's cache.
"""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .frames import LOUDEST, frame_samples
from .reserve import enlarged
from .rows import Rows

__all__ = [
    "LOUDEST",
    "Bypass",
    "Stage",
    "check_audio",
    "check_block",
    "grown",
    "shards",
    "silence_faults",
    "take_pair",
]

Block = NDArray[np.float32]
"""(n, frame_samples), full scale 1.0."""
RowNumbers = NDArray[np.intp]
"""(n,), each row once."""

_NONE = np.empty(0, np.intp)


class Stage(Protocol):
    """A part of the chain, for many legs at once; one row never affects another."""

    rate_hz: int
    frame_samples: int
    """Of 20 ms."""
    delay_samples: int
    """By how much what comes out is later than what went in."""

    def open(self) -> int:
        """A fresh row."""
        ...

    def close(self, row: int) -> None:
        """Give a row back; raises `UsageError` if it is not open."""
        ...

    def reset(self, row: int) -> None:
        """Forget what this row has heard; raises `UsageError` if it is not open."""
        ...

    def process(self, block: Block, rows: RowNumbers) -> Block:
        """The next 20 ms of these rows; raises `UsageError` for a block that does not suit."""
        ...


class Bypass:
    """The stage that is off: every choice of stages has one."""

    delay_samples = 0

    def __init__(self, rate_hz: int, capacity: int = 64) -> None:
        self.rate_hz = rate_hz
        self.frame_samples = frame_samples(rate_hz)
        self.rows = Rows(capacity)
        self.faults = np.zeros(capacity, np.int64)
        """Frames of each row that held something that is no audio, (rows,)."""

    def open(self) -> int:
        """A row, although there is nothing to remember."""
        row = self.rows.open()
        self.faults = grown(self.faults, self.rows.capacity)
        self.faults[row] = 0
        return row

    def close(self, row: int) -> None:
        """Give a row back; raises `UsageError` if it is not open."""
        self.rows.close(row)

    def reset(self, row: int) -> None:
        """Nothing is remembered; raises `UsageError` if the row is not open."""
        self.rows.check(row)

    def process(self, block: Block, rows: RowNumbers) -> Block:
        """The block itself where it is audio."""
        check_block(block, rows, self.frame_samples, self.rows)
        block, faulty = silence_faults(block)
        if faulty.size:
            self.faults[rows[faulty]] += 1
        return block


def check_block(block: Block, rows: RowNumbers, samples: int, opened: Rows) -> None:
    """Raise `UsageError` unless block and rows suit each other and the bank."""
    check_audio(block, rows, samples)
    opened.check_each_once(rows)


def check_audio(block: Block, rows: RowNumbers, samples: int) -> None:
    """Raise `UsageError` unless the block is of so many rows and samples."""
    if block.dtype != np.float32:
        raise UsageError(f"a stage takes float32, not {block.dtype}")
    if block.shape != (len(rows), samples):
        raise UsageError(f"{len(rows)} rows of {samples} samples are not a {block.shape} block")


def silence_faults(block: Block) -> tuple[Block, NDArray[np.intp]]:
    """The block with silence for every sample that is no audio, and which rows had some.

    No audio is what is not a number, infinite, or beyond `LOUDEST`. A block without any
    is given back as it is; otherwise it is copied, and rows without any keep their bits.
    """
    # The common case makes no array: both searches stop at a NaN, and comparing it is false.
    if not block.size or (
        block.item(block.argmax()) <= LOUDEST and block.item(block.argmin()) >= -LOUDEST
    ):
        return block, _NONE
    sound = np.abs(block) <= LOUDEST
    faulty = np.flatnonzero(~sound.all(axis=1))
    return np.where(sound, block, np.float32(0)), faulty


def take_pair(
    near: Block,
    far: Block,
    rows: RowNumbers,
    samples: int,
    opened: Rows,
    faults: NDArray[np.int64],
) -> tuple[Block, Block]:
    """What was heard and what was sent, as an echo stage takes them: checked, without faults.

    A row with faults in either is counted once. Raises `UsageError` as `check_block`.
    """
    check_block(near, rows, samples, opened)
    check_audio(far, rows, samples)
    near, faulty = silence_faults(near)
    far, faulty_far = silence_faults(far)
    if faulty.size or faulty_far.size:
        faults[rows[np.union1d(faulty, faulty_far)]] += 1
    return near, far


def shards(count: int, size: int) -> Iterator[slice]:
    """Slices that cover ``count`` rows, none longer than ``size``, all about as long."""
    pieces = -(-count // size)
    for piece in range(pieces):
        yield slice(piece * count // pieces, (piece + 1) * count // pieces)


def grown(array: NDArray[Any], capacity: int) -> NDArray[Any]:
    """The array with zeros added to its first axis up to ``capacity``."""
    return enlarged(array, capacity)
