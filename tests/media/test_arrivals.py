"""Packets as columns."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trunkline.media.arrivals import Arrivals, CodedPayload, Packet


def packet(row: int, sequence: int, payload: bytes = b"\x00" * 3) -> Packet:
    return row, sequence, 10 * sequence, 7, False, payload, sequence / 100


def test_columns_say_what_packets_say() -> None:
    coded = (4, 9, 90, 7, False, CodedPayload(b"ab", 160), 0.09)
    batch = Arrivals.of([packet(2, 5), coded])
    assert batch.rows.tolist() == [2, 4]
    assert batch.said.tolist() == [[5, 9], [50, 90], [7, 7], [3, 160]]
    assert batch.times.tolist() == [0.05, 0.09]


def test_some_packets_keep_their_order() -> None:
    batch = Arrivals.of([packet(row, row, bytes(row + 1)) for row in range(5)])
    some = batch.select(np.array([3, 1]))
    assert some.rows.tolist() == [3, 1]
    assert some.said[3].tolist() == [4, 2]
    assert some.payloads == [bytes(4), bytes(2)]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40))
def test_first_packets_of_rows_are_told_from_second_ones_and_so_on(rows: list[int]) -> None:
    batch = Arrivals.of([packet(row, index) for index, row in enumerate(rows)])
    turns = batch.turns(np.full(10, 99))
    before = [rows[:index].count(row) for index, row in enumerate(rows)]
    assert len(turns) == max(before) + 1
    for number, turn in enumerate(turns):
        assert turn.tolist() == [index for index, many in enumerate(before) if many == number]


def test_a_flood_of_one_row_is_not_sorted_to_its_end() -> None:
    batch = Arrivals.of([packet(1, index) for index in range(100)] + [packet(2, 0)])
    turns = batch.turns(np.zeros(3, np.intp))
    assert len(turns) == 64
    assert turns[0].tolist() == [0, 100]
    assert [turn.tolist() for turn in turns[1:]] == [[index] for index in range(1, 64)]
