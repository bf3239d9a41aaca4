"""Room for rows nobody has opened: no memory, no copying, whoever opens how many."""

import mmap
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trunkline.media.chain_bank import ChainBank
from trunkline.media.jitter import JitterBank
from trunkline.media.reserve import NODE_ROWS, enlarged, reserved

OPENED = 600
BANKS: dict[str, Callable[[], Any]] = {"chain": ChainBank, "jitter": JitterBank}


def arrays(thing: Any, seen: set[int], name: str = "") -> Iterator[tuple[str, NDArray[Any]]]:
    """Every array that hangs on a bank, by where."""
    if id(thing) in seen or not isinstance(thing, object) or callable(thing):
        return
    seen.add(id(thing))
    if isinstance(thing, np.ndarray):
        yield name, thing
    elif isinstance(thing, list | tuple):
        for index, each in enumerate(thing):
            yield from arrays(each, seen, f"{name}[{index}]")
    elif type(thing).__module__.startswith("trunkline"):
        slots = [slot for kind in type(thing).__mro__ for slot in getattr(kind, "__slots__", ())]
        for slot in [*slots, *getattr(thing, "__dict__", {})]:
            yield from arrays(getattr(thing, slot, None), seen, f"{name}.{slot}")


def of_rows(bank: Any) -> dict[str, NDArray[Any]]:
    """Those of them that are many bytes and are kept by row."""
    return {
        name: array
        for name, array in arrays(bank, set())
        if NODE_ROWS in array.shape and array.nbytes >= 128 * 1024
    }


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


@pytest.mark.parametrize("make", BANKS.values(), ids=BANKS)
def test_opening_rows_copies_nothing_and_writes_no_row_but_them(make: Callable[[], Any]) -> None:
    bank = make()
    before = of_rows(bank)
    assert len(before) >= 3
    for _ in range(OPENED):
        bank.open()
    after = of_rows(bank)
    for name, array in before.items():
        assert after[name] is array, name
        axis = array.shape.index(NODE_ROWS)
        assert not np.moveaxis(array, axis, 0)[OPENED:].any(), name


def test_the_filters_of_rows_nobody_opened_are_untouched() -> None:
    bank = ChainBank()
    for _ in range(OPENED):
        bank.open()
    states: Any = bank._echo.stage._states  # type: ignore[union-attr]
    path = states[2]
    untouched = [
        page for page, start in zip(path.pages, path.starts, strict=True) if start >= OPENED
    ]
    assert len(untouched) >= 2
    for page in untouched:
        assert not any(array.any() for _, array in page.arrays())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_bank_takes_memory_for_the_rows_that_are_open() -> None:
    ChainBank().open()  # tables that all share
    before = resident_bytes()
    banks = [ChainBank() for _ in range(3)]
    for bank in banks:
        for _ in range(4):
            bank.open()
    held = sum(array.nbytes for array in of_rows(banks[0]).values())
    assert held > 20_000_000
    assert resident_bytes() - before < 12_000_000


@pytest.mark.parametrize("make", BANKS.values(), ids=BANKS)
def test_a_bank_that_is_full_all_the_same_keeps_what_it_knows(make: Callable[[], Any]) -> None:
    small = type(make())(capacity=2)
    rows = [small.open() for _ in range(9)]
    assert rows == list(range(9))
    audio = np.random.default_rng(1).integers(-9000, 9000, (9, 160)).astype(np.int16)
    if isinstance(small, ChainBank):
        whole = ChainBank(capacity=16)
        for _ in rows:
            whole.open()
        for _ in range(12):
            one, other = (each.process(audio, np.arange(9)) for each in (small, whole))
            assert np.array_equal(one.people, other.people)
    else:
        assert np.array_equal(small.positions(np.arange(9)), np.zeros(9))


@given(
    st.lists(st.integers(1, 70), min_size=1, max_size=3),
    st.sampled_from(["u1", "i2", "i8", "f4", "f8", "?"]),
)
def test_what_is_reserved_is_zero_and_can_be_written(shape: list[int], kind: str) -> None:
    array = reserved(tuple(shape), kind)
    assert array.shape == tuple(shape)
    assert array.dtype == np.dtype(kind)
    assert not array.any()
    array[...] = 1
    assert array.all()


@given(st.integers(1, 300), st.integers(0, 2000), st.integers(0, 1))
def test_what_is_enlarged_keeps_what_it_was_and_adds_zeros(
    rows: int, capacity: int, axis: int
) -> None:
    shape = (rows, 40) if axis == 0 else (3, rows, 40)
    array = np.random.default_rng(rows).integers(1, 99, shape).astype(np.int32)
    larger = enlarged(array, capacity, axis)
    assert larger.shape[axis] == max(rows, capacity)
    old, new = np.split(larger, [rows], axis)
    assert np.array_equal(old, array)
    assert not new.any()
    if capacity <= rows:
        assert larger is array
