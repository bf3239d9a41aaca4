"""Time that only goes on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import UsageError
from trunkline.media.onward import OnwardClock


def test_a_clock_that_goes_on_is_left_alone() -> None:
    clock = OnwardClock()
    assert [clock(now) for now in (-5.0, 0.0, 0.02, 55.0)] == [-5.0, 0.0, 0.02, 55.0]
    assert clock.shift == 0


def test_a_small_step_back_is_no_time_at_all() -> None:
    clock = OnwardClock()
    assert [clock(now) for now in (1.0, 0.9, 0.95, 1.02)] == [1.0, 1.0, 1.0, 1.02]


def test_after_a_clock_was_set_back_time_goes_on_at_its_pace() -> None:
    clock = OnwardClock()
    times = [clock(now) for now in (100.0, 40.0, 40.02, 40.04, 5.0, 5.5)]
    assert times == pytest.approx([100.0, 100.0, 100.02, 100.04, 100.04, 100.54])


def test_a_jump_of_more_than_a_minute_is_a_minute() -> None:
    clock = OnwardClock()
    times = [clock(now) for now in (1e9, 1e9 + 60, 5e9, 5e9 + 0.02, 1e9, 1e9 + 0.02)]
    expected = [0.0, 60.0, 120.0, 120.02, 120.02, 120.04]
    assert [time - 1e9 for time in times] == pytest.approx(expected, abs=1e-5)


@given(st.lists(st.floats(-1e10, 1e10), max_size=50))
def test_it_never_goes_back(times: list[float]) -> None:
    clock = OnwardClock()
    heard = [clock(now) for now in times]
    assert heard == sorted(heard)


@pytest.mark.parametrize("now", [float("nan"), float("inf"), float("-inf"), 1e12])
def test_what_is_no_time_is_refused_and_changes_nothing(now: float) -> None:
    clock = OnwardClock()
    clock(1.0)
    with pytest.raises(UsageError, match="finite"):
        clock(now)
    assert clock(2.0) == 2.0
