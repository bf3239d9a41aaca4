"""What is counted of a source."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.media.reception import Reception
from trunkline.media.rtcp_session import ReceptionCounters, advance_jitter, cumulative_lost


def receive(reception: Reception, *sequences: int, row: int = 0) -> list[bool]:
    """One packet at a time; which were duplicates."""
    found = []
    for sequence in sequences:
        ahead = (sequence - int(reception.highest[row]) + 0x8000 & 0xFFFF) - 0x8000
        found.append(reception.count(row, sequence, ahead))
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
    assert not any(receive(reception, *(number & 0xFFFF for number in range(65_536 + 300))))


def test_a_number_never_overwritten_is_no_duplicate_a_cycle_later_either() -> None:
    # One number in 256 comes, and its place is free for no other: only the order tells.
    reception = begun(0)
    assert not any(receive(reception, *(number & 0xFFFF for number in range(0, 70_000, 256))))


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
def test_jitter_is_that_of_the_rfc(transits: list[float]) -> None:
    expected = 0.0
    for before, after in zip(transits, transits[1:], strict=False):
        expected = advance_jitter(expected, after - before)
    reception = begun()
    for transit in transits:
        reception.time(0, transit)
    assert reception.jitter[0] == pytest.approx(expected)


def test_rows_that_advance_together_are_as_each_alone_to_the_bit() -> None:
    rng = np.random.default_rng(2)
    together, alone = Reception(4), Reception(4)
    for reception in (together, alone):
        for row in range(4):
            reception.restart(row, row, 65_500 * row & 0xFFFF)
            receive(reception, 65_500 * row & 0xFFFF, row=row)
            reception.time(row, 0.0)
    for _ in range(100):
        rows = rng.permutation(4)[: rng.integers(1, 5)]
        sequences, transits = together.highest[rows] + 1 & 0xFFFF, rng.normal(0, 100, len(rows))
        together.advance(rows, sequences, transits)
        for row, sequence, transit in zip(rows.tolist(), sequences.tolist(), transits, strict=True):
            assert receive(alone, sequence, row=row) == [False]
            alone.time(row, float(transit))
    for row in range(4):
        assert counters(together, row) == counters(alone, row)
        last = counters(together, row).highest_extended & 0xFFFF
        assert receive(together, last, row=row) == [True]


def test_the_first_packet_after_a_restart_is_compared_with_nothing() -> None:
    reception = begun()
    reception.time(0, 5.0)
    reception.forget_transit(0)
    reception.time(0, 1e9)
    assert reception.jitter[0] == 0


def test_a_new_source_begins_with_nothing_of_the_old_one() -> None:
    reception = begun(100)
    receive(reception, 100, 101, 102, 102)
    for transit in (0.0, 500.0, 0.0):
        reception.time(0, transit)
    reception.restart(0, 0xDEF, 103)
    # A number the old source had too, and that this one sent late, is no duplicate.
    assert receive(reception, 103, 102, 101) == [False, False, False]
    assert receive(reception, 102) == [True]
    reception.time(0, 9000.0)
    found = counters(reception)
    assert (found.ssrc, found.first_extended, found.highest_extended) == (0xDEF, 103, 103)
    assert (found.received, found.jitter_units) == (4, 0.0)


def test_packets_after_a_loss_or_overtaken_count_in_a_batch_as_one_by_one() -> None:
    batch, single = Reception(3), Reception(3)
    for reception in (batch, single):
        for row in range(3):
            reception.restart(row, 5, 65_530)
            receive(reception, 65_530, 65_531, 65_533, row=row)
            reception.time(row, 10.0)
    rows = np.array([0, 1, 2])
    sequences, ahead = np.array([65_532, 65_534, 4]), np.array([0, 1, 7])
    transits = np.array([30.0, 12.0, 9.0])
    assert batch.seen(rows, sequences).tolist() == [False] * 3
    batch.advance(rows, sequences, transits, ahead)
    for row in range(3):
        assert receive(single, int(sequences[row]), row=row) == [False]
        single.time(row, float(transits[row]))
        assert batch.counters(row) == single.counters(row)
        assert batch.lost(row) == single.lost(row)
    assert batch.seen(rows, sequences).tolist() == [True] * 3
