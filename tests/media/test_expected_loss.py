"""What an encoder expects, report by report."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.media.expected_loss import ExpectedLoss


def test_before_the_first_report_it_is_what_it_was_given() -> None:
    assert ExpectedLoss(10).percent == 10


def test_the_first_clean_report_is_believed() -> None:
    assert ExpectedLoss(10).report(0.0) == 2


@pytest.mark.parametrize(
    ("lost", "expected"), [(0.0, 2), (0.4, 2), (1.0, 10), (5.0, 10), (6.0, 20), (80.0, 20)]
)
def test_loss_is_expected_as_soon_as_it_is_reported(lost: float, expected: int) -> None:
    loss = ExpectedLoss(10)
    loss.report(0.0)
    assert loss.report(lost) == expected


def test_a_burst_is_forgotten_only_after_many_clean_reports() -> None:
    loss = ExpectedLoss(10)
    loss.report(10.0)
    after = [loss.report(0.0) for _ in range(60)]
    assert after == sorted(after, reverse=True)
    assert after[6] == 20 and after[15] == 10 and after[-1] == 2


def test_loss_about_a_step_does_not_go_up_and_down_with_every_report() -> None:
    loss = ExpectedLoss(10)
    seen = [loss.report(percent) for percent in (5.5, 4.5, 5.2, 4.0, 5.4, 4.8) * 10]
    assert set(seen) == {20}


@given(st.lists(st.floats(-50, 500), max_size=50))
def test_whatever_is_reported_the_level_is_one_that_libopus_takes(reports: list[float]) -> None:
    loss = ExpectedLoss(10)
    for percent in reports:
        assert loss.report(percent) in (2, 10, 20) and loss.percent in (2, 10, 20)


def test_the_greatest_loss_of_late_is_always_covered() -> None:
    loss = ExpectedLoss(10)
    for percent in (0.0, 3.0, 0.0, 7.0, 0.0, 2.0):
        loss.report(percent)
        assert loss.percent >= percent
