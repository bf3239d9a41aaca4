"""Room for rows that nobody has opened yet: zeros that take no memory before they are used.

A bank that doubles copies what all of its rows know, on the thread that has 20 ms for a tick:
15 to 30 ms at the 129th and the 257th call. A node's banks have room for `NODE_ROWS` from
the beginning instead. That is address space alone: the system gives memory page by page, when
a row is first written, which is when it is opened.

Not by ``np.zeros`` where it is much: the allocator clears what it has used before, 25 MB of a
chain's 100, and from 4 MB on numpy asks for pages of 2 MB, which are dear to get (the system may
have to gather them) and are given whole for one row of 27 KB.
"""

import math
import mmap
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["NODE_ROWS", "enlarged", "reserved"]

NODE_ROWS = 1024
"""Calls of one kind that a node's banks have room for before they have to be copied: several
times what a process can hold with every stage on."""

_FROM_BYTES = 128 * 1024
# Without copy-on-write it would be shared memory, which is accounted for and paged otherwise.
_PRIVATE: dict[str, int] = (
    {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
)


def reserved(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Zeros; a page of 4 KB takes memory from when it is first written."""
    kind = np.dtype(dtype)
    count = math.prod(shape)
    if count * kind.itemsize < _FROM_BYTES:
        return np.zeros(shape, kind)
    memory = mmap.mmap(-1, count * kind.itemsize, **_PRIVATE)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        with suppress(OSError):  # a kernel without large pages knows of no such wish
            memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, kind, count).reshape(shape)


def enlarged(array: NDArray[Any], capacity: int, axis: int = 0) -> NDArray[Any]:
    """The array with zeros added to an axis up to ``capacity``; they take no memory yet."""
    rows = array.shape[axis]
    if capacity <= rows:
        return array
    shape = list(array.shape)
    shape[axis] = capacity
    larger = reserved(tuple(shape), array.dtype)
    larger[(slice(None),) * axis + (slice(rows),)] = array
    return larger
