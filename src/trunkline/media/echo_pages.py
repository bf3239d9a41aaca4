"""Where the filters of many rows are kept: in pages, partitions first.

A filter is 60 KB a row, so its cost is that of going through memory. The partitions come
before the rows: what is worked on is then one long piece for numpy, which pays 40 ns for
every 161 bins otherwise, and a few partitions of a page stay in a core's second cache.
Arrays begin where a cache line begins: a product takes twice as long elsewhere.
"""

import math
from bisect import bisect_right
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .echo_state import Selection, selection
from .reserve import reserved

__all__ = ["FilterState", "Page", "PageRows", "aligned"]

_LINE_BYTES = 64
_Floats = NDArray[np.float32]


def aligned(*shape: int) -> _Floats:
    """Zeros that begin where a cache line begins."""
    return _side_by_side(shape)[0]


def _side_by_side(*shapes: tuple[int, ...]) -> list[_Floats]:
    """Several of them in one piece, so that they do not all begin at the same place of a page."""
    sizes = [-(-4 * math.prod(shape) // _LINE_BYTES) * _LINE_BYTES for shape in shapes]
    raw = reserved((sum(sizes) + _LINE_BYTES,), np.uint8)
    begin = -raw.ctypes.data % _LINE_BYTES
    found = []
    for shape, size in zip(shapes, sizes, strict=True):
        piece = raw[begin : begin + 4 * math.prod(shape)]
        found.append(piece.view(np.float32).reshape(shape))
        begin += size
    return found


@dataclass(slots=True)
class Page:
    """Everything the filters of n rows remember; P partitions, F bins."""

    blocks: _Floats
    """(n, 2 frames): the newest frame of reference and the one before."""
    head: NDArray[np.intp]
    """(n,): where the newest spectrum is in the rings."""
    x_re: _Floats
    """(P + spare, n, F): spectra of the reference, newest first from the head on."""
    x_im: _Floats
    x_power: _Floats
    h_re: _Floats
    """(P, n, F): the path."""
    h_im: _Floats
    uncertainty: _Floats
    """(P, n, F): expected squared error of the path."""
    noise: _Floats
    """(n, F): power of what is not echo."""
    wander: _Floats
    """(n,): share of the path that is expected to change in a frame."""
    turn: NDArray[np.intp]
    """(n,): the partition to constrain next."""
    kept_re: _Floats
    """(P, n, F): the path before the trial, or that of the last look for drift."""
    kept_im: _Floats

    @classmethod
    def empty(cls, rows: int, frame: int, partitions: int, spare: int) -> "Page":
        """All zero: rows are given their first values one by one."""
        bins = frame + 1
        ring, path = (partitions + spare, rows, bins), (partitions, rows, bins)
        x_re, x_im, x_power, h_re, h_im, uncertainty, kept_re, kept_im, noise, blocks = (
            _side_by_side(*[ring] * 3, *[path] * 5, (rows, bins), (rows, 2 * frame))
        )
        return cls(
            blocks=blocks,
            head=np.zeros(rows, np.intp),
            x_re=x_re,
            x_im=x_im,
            x_power=x_power,
            h_re=h_re,
            h_im=h_im,
            uncertainty=uncertainty,
            noise=noise,
            wander=np.zeros(rows, np.float32),
            turn=np.zeros(rows, np.intp),
            kept_re=kept_re,
            kept_im=kept_im,
        )

    def __len__(self) -> int:
        return len(self.head)

    def part(self, chosen: Selection) -> "Page":
        """Some of the rows: in place for a slice, else copies."""
        return Page(**{name: _of(array, chosen) for name, array in self.arrays()})

    def put(self, chosen: Selection, part: "Page") -> None:
        """Write copies of some rows back."""
        for name, array in self.arrays():
            array[_index(array, chosen)] = getattr(part, name)

    def arrays(self) -> list[tuple[str, NDArray[Any]]]:
        """Every array by its name."""
        return [(field.name, getattr(self, field.name)) for field in fields(self)]


class FilterState:
    """The filters of n rows, in pages."""

    __slots__ = ("h_im", "h_re", "kept_im", "kept_re", "pages", "rows", "starts", "uncertainty")

    def __init__(self, pages: list[Page]) -> None:
        self.pages: list[Page] = []
        self.starts: list[int] = []
        """The first row of every page."""
        self.rows = 0
        self.h_re, self.h_im = self._each("h_re"), self._each("h_im")
        self.kept_re, self.kept_im = self._each("kept_re"), self._each("kept_im")
        self.uncertainty = self._each("uncertainty")
        for page in pages:
            self.add(page)

    def _each(self, name: str) -> "PageRows":
        return PageRows(self.pages, self.starts, name)

    def add(self, page: Page) -> None:
        """So many rows more."""
        self.pages.append(page)
        self.starts.append(self.rows)
        self.rows += len(page)

    def at(self, row: int) -> tuple[Page, int]:
        """The page of a row, and which of its rows it is."""
        return _at(self.pages, self.starts, row)

    def runs(self, rows: NDArray[np.intp]) -> list[tuple[Page, Selection]]:
        """Ascending rows by page: which of each."""
        if len(self.pages) == 1:
            return [(self.pages[0], selection(rows))]
        cuts = np.searchsorted(rows, [*self.starts, self.rows]).tolist()
        return [
            (page, selection(rows[first:last] - start))
            for page, start, first, last in zip(
                self.pages, self.starts, cuts[:-1], cuts[1:], strict=True
            )
            if last > first
        ]

    def part(self, rows: NDArray[np.intp]) -> "FilterState":
        """Ascending rows: those that lie side by side in a page in place, others as copies."""
        return FilterState([page.part(chosen) for page, chosen in self.runs(rows)])

    def put(self, rows: NDArray[np.intp], part: "FilterState") -> None:
        """Write back what was copied."""
        for (page, chosen), own in zip(self.runs(rows), part.pages, strict=True):
            if not isinstance(chosen, slice):
                page.put(chosen, own)

    def set_row(self, row: int, fresh: "FilterState") -> None:
        """Give a row the values of a state of one row."""
        page, index = self.at(row)
        page.put(slice(index, index + 1), fresh.pages[0])

    def swap(self, one: int, other: int) -> None:
        """Let two rows change places."""
        first, second = self.at(one), self.at(other)
        here, there = (page.part(np.array([index])) for page, index in (first, second))
        first[0].put(slice(first[1], first[1] + 1), there)
        second[0].put(slice(second[1], second[1] + 1), here)


class PageRows:
    """One array of all pages, row by row: (P, F) each, in place.

    It knows the state's lists and not the state: in a circle megabytes would wait for the
    cyclic collector, which rarely runs in a node.
    """

    __slots__ = ("_name", "_pages", "_starts")

    def __init__(self, pages: list[Page], starts: list[int], name: str) -> None:
        self._pages, self._starts, self._name = pages, starts, name

    def __getitem__(self, row: int) -> _Floats:
        page, index = _at(self._pages, self._starts, row)
        array: _Floats = getattr(page, self._name)
        return array[:, index]

    def __setitem__(self, row: int, value: _Floats | float) -> None:
        self[row][:] = value


def _at(pages: list[Page], starts: list[int], row: int) -> tuple[Page, int]:
    number = bisect_right(starts, row) - 1
    return pages[number], row - starts[number]


def _index(array: NDArray[Any], chosen: Selection) -> Any:
    return (slice(None), chosen) if array.ndim == 3 else chosen


def _of(array: NDArray[Any], chosen: Selection) -> NDArray[Any]:
    part: NDArray[Any] = array[_index(array, chosen)]
    return part
