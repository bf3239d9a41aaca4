"""Losses in order, however they are cut into pieces."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trunkline.media.burst_gap import BurstGap
from trunkline.media.loss_pattern import RUN_NAMES, LossPattern

PATTERNS = st.lists(st.booleans(), max_size=300)


@given(PATTERNS, st.lists(st.integers(1, 60), max_size=20))
def test_pieces_of_any_length_come_to_the_same(played: list[bool], cuts: list[int]) -> None:
    pattern, truth = LossPattern(), BurstGap()
    at = 0
    for size in [*cuts, len(played) + 1]:
        pattern.take(np.array(played[at : at + size], np.bool_))
        at += size
    for each in played:
        (truth.received if each else truth.lost)()
    assert pattern.statistics() == truth.statistics()
    assert sum(pattern.runs) == truth.statistics().losses


def test_runs_are_counted_by_their_length_and_one_that_goes_on_is_too() -> None:
    pattern = LossPattern()
    for run in (1, 2, 3, 4, 5, 6, 10, 11, 50, 51, 900):
        pattern.lost(run)
        pattern.received(1)
    pattern.lost(2)
    assert dict(zip(RUN_NAMES, pattern.runs, strict=True)) == {
        "1": 1, "2": 2, "3": 1, "4-5": 2, "6-10": 2, "11-20": 1, "21-50": 1, "51-": 2,
    }  # fmt: skip


def test_losses_told_in_two_pieces_are_one_run() -> None:
    pattern = LossPattern()
    pattern.lost(2)
    pattern.take(np.zeros(3, np.bool_))
    pattern.received(5)
    assert pattern.runs == (0, 0, 0, 1, 0, 0, 0, 0)
    assert pattern.statistics().losses == 1


def test_nothing_is_no_change() -> None:
    pattern = LossPattern()
    pattern.lost(0)
    pattern.received(-3)
    pattern.take(np.zeros(0, np.bool_))
    assert pattern.statistics().packets == 0
