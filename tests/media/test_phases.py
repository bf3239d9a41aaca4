"""Which phase a lane goes to."""

import pytest

from trunkline.media.phases import BLOCK_LANES, PHASES, choose_phase


def placed(count: int, *, chained: bool) -> list[int]:
    """How many lanes each phase has after so many were placed one after the other."""
    loads, with_chain = [0] * PHASES, [0] * PHASES
    for _ in range(count):
        phase = choose_phase(loads, with_chain if chained else None)
        loads[phase] += 1
        with_chain[phase] += chained
    return loads


@pytest.mark.parametrize("count", [0, 1, 5, 100])
def test_lanes_without_a_chain_are_spread_evenly(count: int) -> None:
    loads = placed(count, chained=False)
    assert sum(loads) == count
    assert max(loads) - min(loads) <= 1


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, [1, 0, 0, 0]),
        (BLOCK_LANES, [BLOCK_LANES, 0, 0, 0]),
        (BLOCK_LANES + 1, [BLOCK_LANES, 0, 1, 0]),
        (2 * BLOCK_LANES + 1, [BLOCK_LANES, 1, BLOCK_LANES, 0]),
        (4 * BLOCK_LANES, [BLOCK_LANES] * 4),
    ],
)
def test_lanes_with_a_chain_fill_one_phase_before_the_next(count: int, expected: list[int]) -> None:
    assert placed(count, chained=True) == expected


def test_when_every_phase_has_a_block_they_are_spread_evenly_too() -> None:
    assert placed(4 * BLOCK_LANES + 40, chained=True) == [BLOCK_LANES + 10] * 4


def test_a_place_that_came_free_is_taken_where_most_are() -> None:
    full = BLOCK_LANES
    assert choose_phase([full - 4, 20, full, 10], [full - 4, 20, full, 10]) == 0


def test_the_first_with_a_chain_goes_where_fewest_lanes_are() -> None:
    assert choose_phase([5, 3, 1, 9], [0, 0, 0, 0]) == 2


def test_the_next_block_is_far_from_the_first_whatever_else_is_there() -> None:
    assert choose_phase([0, BLOCK_LANES, 0, 50], [0, BLOCK_LANES, 0, 0]) == 3


def test_a_lane_without_a_chain_avoids_a_phase_that_was_filled() -> None:
    assert choose_phase([64, 3, 1, 2], None) == 2
