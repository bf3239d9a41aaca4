"""State of many rows as a dataclass of arrays, cut down to the rows of one call.

A canceller keeps 60 to 160 KB a row, and copying that in and out of every tick would cost
as much as the arithmetic. Rows that lie side by side are therefore used in place, as
views; any other choice is copied and written back.
"""

from dataclasses import fields, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .reserve import enlarged, reserved

__all__ = ["Selection", "blank", "grow", "reset_row", "select", "selection", "store", "swap"]

Selection = slice | NDArray[np.intp]
_State = TypeVar("_State")


def selection(rows: NDArray[np.intp]) -> Selection:
    """Rows that follow each other as a slice, others as they are."""
    first = int(rows[0])
    if np.array_equal(rows, np.arange(first, first + len(rows))):
        return slice(first, first + len(rows))
    return rows


def select(state: _State, chosen: Selection) -> _State:
    """The same dataclass with every array cut down: views for a slice, else copies."""
    return replace(state, **{name: array[chosen] for name, array in _arrays(state)})  # type: ignore[type-var]


def store(state: _State, chosen: Selection, part: _State) -> None:
    """Write a part back; a slice was worked on in place."""
    if isinstance(chosen, slice):
        return
    for name, array in _arrays(state):
        array[chosen] = getattr(part, name)


def blank(fresh: _State, capacity: int) -> _State:
    """So many rows as that of ``fresh``, zero and without memory until they are reset."""
    return replace(
        fresh,  # type: ignore[type-var]
        **{
            name: reserved((capacity, *array.shape[1:]), array.dtype)
            for name, array in _arrays(fresh)
        },
    )


def grow(state: _State, capacity: int) -> None:
    """Make every array ``capacity`` rows long; new rows are zero until they are reset."""
    for name, array in _arrays(state):
        setattr(state, name, enlarged(array, capacity))


def swap(state: _State, one: int, other: int) -> None:
    """Let two rows change places."""
    for _, array in _arrays(state):
        array[[one, other]] = array[[other, one]]


def reset_row(state: _State, row: int, fresh: _State) -> None:
    """Give one row the values of a state of one row."""
    for name, array in _arrays(state):
        array[row] = getattr(fresh, name)[0]


def _arrays(state: object) -> list[tuple[str, NDArray[np.generic]]]:
    return [(field.name, getattr(state, field.name)) for field in fields(state)]  # type: ignore[arg-type]
