"""What is counted of a source."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.media.reception import Reception
from trunkline.media.rtcp_session import ReceptionCounters, advance_jitter, cumulative_lost


def receive(reception: Reception, *sequences: int, row: int = 0) -> list[bool]:
    """One packet at a time; which were duplicates."""
    rows = np.array([row])
    found = []
    for sequence in sequences:
        numbers = np.array([sequence])
        ahead = reception.ahead(rows, numbers)
        found.append(bool(reception.count(rows, numbers, ahead, single=True, repeats=False)[0]))
    return found


def begun(sequence: int = 100) -> Reception:
    reception = Reception(2)
    reception.restart(0, 0xABC, sequence)
    return reception


def counters(reception: Reception, row: int = 0) -> ReceptionCounters:
    found = reception.counters(row)
    assert found is not None
    return found


def test_there_is_nothing_to_report_without_a_source() -> None:
    reception = Reception(1)
    assert reception.counters(0) is None
    assert reception.lost(0) == 0


def test_packets_in_order_are_counted_and_nothing_is_lost() -> None:
    reception = begun(100)
    receive(reception, *range(100, 150))
    assert counters(reception) == ReceptionCounters(100, 149, 50, 0.0, 0xABC)
    assert cumulative_lost(counters(reception)) == reception.lost(0) == 0


def test_the_extended_number_counts_cycles() -> None:
    reception = begun(65_530)
    receive(reception, *(number & 0xFFFF for number in range(65_530, 65_550)))
    assert counters(reception).highest_extended == 65_549


def test_a_gap_is_loss_until_it_is_filled() -> None:
    reception = begun()
    receive(reception, 100, 103)
    assert reception.lost(0) == 2
    receive(reception, 101, 102)
    assert reception.lost(0) == 0
    assert counters(reception).highest_extended == 103


def test_a_duplicate_is_received_but_makes_up_for_no_loss() -> None:
    reception = begun()
    assert receive(reception, 100, 101, 101, 103, 100) == [False, False, True, False, True]
    assert counters(reception).received == 5
    assert reception.lost(0) == 1
    # RFC 3550 A.3 counts duplicates against losses; a report says it the RFC's way.
    assert cumulative_lost(counters(reception)) == -1


def test_a_number_used_again_a_cycle_later_is_no_duplicate() -> None:
    reception = begun(0)
    for begin in range(0, 65_536 + 300, 100):
        numbers = np.arange(begin, begin + 100) & 0xFFFF
        rows = np.zeros(100, np.intp)
        ahead = reception.ahead(rows, numbers)
        again = reception.count(rows, numbers, ahead, single=False, repeats=False)
        assert not again.any()


def test_duplicates_within_a_batch_are_found() -> None:
    reception = begun()
    numbers, rows = np.array([100, 101, 100, 102, 101]), np.zeros(5, np.intp)
    ahead = reception.ahead(rows, numbers)
    again = reception.count(rows, numbers, ahead, single=False, repeats=True)
    assert again.tolist() == [False, False, True, False, True]
    assert reception.lost(0) == 0


def test_rows_count_apart_and_growing_keeps_them() -> None:
    reception = begun()
    receive(reception, 100, 101)
    reception.grow(5)
    reception.restart(4, 0xDEF, 7)
    receive(reception, 7, row=4)
    assert counters(reception).received == 2
    assert counters(reception, 4) == ReceptionCounters(7, 7, 1, 0.0, 0xDEF)
    reception.clear(0)
    assert reception.counters(0) is None


transits = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30)


@given(transits)
def test_jitter_is_that_of_the_rfc_one_by_one_and_all_at_once(transits: list[float]) -> None:
    expected = 0.0
    for before, after in zip(transits, transits[1:], strict=False):
        expected = advance_jitter(expected, after - before)
    one, many = begun(), begun()
    for transit in transits:
        one.time(np.array([0]), np.array([transit]), single=True)
    many.time(np.zeros(len(transits), np.intp), np.array(transits), single=False)
    assert one.jitter[0] == pytest.approx(expected)
    assert many.jitter[0] == pytest.approx(expected)


def test_jitter_of_mixed_rows_is_that_of_each_alone() -> None:
    rng = np.random.default_rng(2)
    together, alone = Reception(3), Reception(3)
    for _ in range(10):
        rows, transits = rng.integers(0, 3, 12), rng.normal(0, 100, 12)
        together.time(rows, transits, single=False)
        for row, transit in zip(rows, transits, strict=True):
            alone.time(np.array([row]), np.array([transit]), single=True)
    assert together.jitter == pytest.approx(alone.jitter)


def test_the_first_packet_after_a_restart_is_compared_with_nothing() -> None:
    reception = begun()
    reception.time(np.array([0]), np.array([5.0]), single=True)
    reception.forget_transit(0)
    reception.time(np.array([0]), np.array([1e9]), single=True)
    assert reception.jitter[0] == 0
