"""Rows of banks."""

import numpy as np
import pytest

from trunkline.errors import UsageError
from trunkline.media.rows import Rows


def test_rows_are_handed_out_lowest_first_and_handed_out_again() -> None:
    rows = Rows(4)
    assert [rows.open() for _ in range(3)] == [0, 1, 2]
    rows.close(1)
    assert rows.open() == 1
    assert rows.opened == {0, 1, 2}


def test_capacity_doubles_when_all_rows_are_open() -> None:
    rows = Rows(2)
    assert [rows.open() for _ in range(5)] == [0, 1, 2, 3, 4]
    assert rows.capacity == 8


@pytest.mark.parametrize("row", [-1, 0, 5, 100])
def test_a_row_that_is_not_open_cannot_be_closed(row: int) -> None:
    with pytest.raises(UsageError):
        Rows(4).close(row)


def test_a_bank_without_rows_is_refused() -> None:
    with pytest.raises(UsageError):
        Rows(0)


@pytest.mark.parametrize("wanted", [[0, 3], [-1], [0, 1, 2, 100]])
def test_rows_are_all_open_or_it_is_said(wanted: list[int]) -> None:
    rows = Rows(4)
    for _ in range(3):
        rows.open()
    rows.check_all(np.array([2, 0, 1], np.intp))
    rows.check_all(np.zeros(0, np.intp))
    with pytest.raises(UsageError, match="not open"):
        rows.check_all(np.array(wanted, np.intp))


@pytest.mark.parametrize(
    ("wanted", "complaint"), [([0, 0], "twice"), ([0, 2], "not open"), ([-1], "not open")]
)
def test_rows_come_once_and_are_open_or_it_is_said(wanted: list[int], complaint: str) -> None:
    rows = Rows(4)
    rows.open(), rows.open()
    rows.check_each_once(np.array([1, 0], np.intp))
    rows.check_each_once(np.zeros(0, np.intp))
    with pytest.raises(UsageError, match=complaint):
        rows.check_each_once(np.array(wanted, np.intp))
