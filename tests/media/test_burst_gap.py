"""Bursts and gaps, against a plain reading of the definition."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import UsageError
from trunkline.media.burst_gap import GMIN, BurstGap


def followed(lost: list[bool], gmin: int = GMIN):
    stream = BurstGap(gmin)
    for one in lost:
        stream.lost() if one else stream.received()
    return stream.statistics()


def plainly(lost: list[bool], gmin: int) -> tuple[int, int, int]:
    """(bursts, packets in bursts, losses in bursts), read off the definition."""
    where = [index for index, one in enumerate(lost) if one]
    groups: list[list[int]] = []
    for index in where:
        if groups and index - groups[-1][-1] - 1 < gmin:
            groups[-1].append(index)
        else:
            groups.append([index])
    bursts = [group for group in groups if len(group) > 1]
    return (
        len(bursts),
        sum(group[-1] - group[0] + 1 for group in bursts),
        sum(len(group) for group in bursts),
    )


@given(st.lists(st.booleans(), max_size=200), st.integers(1, 20))
def test_it_is_the_definition(lost: list[bool], gmin: int) -> None:
    found = followed(lost, gmin)
    assert (found.bursts, found.burst_packets, found.burst_lost) == plainly(lost, gmin)
    assert (found.packets, found.lost) == (len(lost), sum(lost))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=40))
def test_runs_count_as_their_packets(runs: list[tuple[bool, int]]) -> None:
    stream = BurstGap()
    for is_lost, count in runs:
        stream.lost(count) if is_lost else stream.received(count)
    assert stream.statistics() == followed([one for one, n in runs for _ in range(n)])


def test_a_lone_loss_is_in_a_gap() -> None:
    found = followed([False] * 50 + [True] + [False] * 50)
    assert (found.bursts, found.burst_density) == (0, 0)
    assert found.gap_density == found.loss == 1 / 101


def test_losses_close_together_are_a_burst() -> None:
    found = followed([False] * 100 + [True, False, True, True] + [False] * 100)
    assert (found.bursts, found.burst_packets, found.burst_lost) == (1, 4, 3)
    assert found.burst_density == 0.75
    assert found.gap_density == 0
    assert (found.mean_burst_packets, found.mean_gap_packets) == (4, 100)


def test_sixteen_packets_end_a_burst_and_fifteen_do_not() -> None:
    def apart(packets: int) -> int:
        return followed([True] + [False] * packets + [True]).bursts

    assert (apart(15), apart(16)) == (1, 0)


def test_random_loss_has_a_ratio_of_one_and_bursts_more() -> None:
    import random

    rng = random.Random(1)
    even = followed([rng.random() < 0.1 for _ in range(20_000)])
    assert even.burst_ratio == pytest.approx(1.0, abs=0.05)
    bursts = followed(([True] * 4 + [False] * 36) * 500)
    assert bursts.burst_ratio == pytest.approx(3.6)


@pytest.mark.parametrize("lost", [[], [True] * 30, [False] * 30])
def test_extremes_have_figures_too(lost: list[bool]) -> None:
    found = followed(lost)
    assert found.burst_ratio == 1
    assert 0 <= found.gap_density <= 1
    assert 0 <= found.burst_density <= 1
    assert found.mean_gap_packets >= 0


@pytest.mark.parametrize("gmin", [0, 256, -1])
def test_a_threshold_has_a_byte(gmin: int) -> None:
    with pytest.raises(UsageError, match="Gmin"):
        BurstGap(gmin)
