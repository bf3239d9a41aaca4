"""The E-model against the values its recommendation prints, and against nonsense."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import UsageError
from trunkline.media.emodel import (
    IMPAIRMENTS,
    Connection,
    good_or_better,
    mean_opinion_score,
    poor_or_worse,
    rating,
)


def test_the_defaults_are_rated_as_the_recommendation_says() -> None:
    assert round(rating(Connection()), 1) == 93.2
    assert round(mean_opinion_score(93.2), 2) == 4.41


@pytest.mark.parametrize(
    ("r", "score", "good", "poor"),
    [
        (90, 4.34, 97, 0),
        (80, 4.03, 89, 1),
        (70, 3.60, 73, 6),
        (60, 3.10, 50, 17),
        (50, 2.58, 27, 38),
    ],
)
def test_a_rating_means_what_annex_b_prints(r: float, score: float, good: int, poor: int) -> None:
    assert mean_opinion_score(r) == pytest.approx(score, abs=0.007)
    assert round(100 * good_or_better(r)) == good
    assert round(100 * poor_or_worse(r)) == poor


def test_the_score_ends_where_the_scale_does() -> None:
    assert mean_opinion_score(-5) == mean_opinion_score(0) == 1
    assert mean_opinion_score(3) == 1  # where the polynomial is below 1
    assert mean_opinion_score(100) == mean_opinion_score(120) == 4.5


def test_delay_costs_nothing_by_itself_up_to_100_ms() -> None:
    silent = {"talker_delay_ms": 0.0, "round_trip_ms": 0.0}
    at = [rating(Connection(delay_ms=delay, **silent)) for delay in (0, 100, 150, 400)]
    assert at[0] == at[1] > at[2] > at[3]
    # Idd of 400 ms: X = 2, so 25 * ((65)^(1/6) - 3 (1 + 64/729)^(1/6) + 2).
    cost = 25 * (65 ** (1 / 6) - 3 * (1 + 64 / 729) ** (1 / 6) + 2)
    assert at[0] - at[3] == pytest.approx(cost)


@pytest.mark.parametrize(
    ("name", "loss", "cost"), [("G729A", 0.0, 11.0), ("G711", 0.02, 95 * 2 / 6.3)]
)
def test_codec_and_loss_cost_what_g113_says(name: str, loss: float, cost: float) -> None:
    codec = IMPAIRMENTS[name]
    rated = rating(Connection(equipment=codec.equipment, robustness=codec.robustness, loss=loss))
    assert rating(Connection()) - rated == pytest.approx(cost)


def test_bursts_are_worse_than_random_loss_and_concealment_is_better_than_none() -> None:
    some = Connection(loss=0.03)
    assert rating(replace(some, burst_ratio=2.0)) < rating(some)
    assert rating(replace(some, robustness=25.1)) > rating(some) + 20


def test_an_echo_is_worse_the_later_it_comes() -> None:
    rated = [rating(Connection(talker_echo_loss_db=45, delay_ms=ms)) for ms in (10, 50, 150)]
    assert rated == sorted(rated, reverse=True)
    assert rated[0] - rated[-1] > 15


@pytest.mark.parametrize(
    "wrong",
    [
        {"loss": 1.5},
        {"loss": float("nan")},
        {"burst_ratio": 0},
        {"delay_ms": -1},
        {"delay_ms": float("nan")},
        {"robustness": -1},
        {"quantising_units": 0},
    ],
)
def test_what_no_connection_has_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Connection(**wrong)


@given(st.floats(0, 1), st.floats(0.1, 20), st.floats(0, 5000), st.floats(0, 100), st.floats(0, 95))
def test_the_scale_is_never_left(
    loss: float, bursts: float, delay: float, echo: float, equipment: float
) -> None:
    r = rating(
        Connection(
            loss=loss,
            burst_ratio=bursts,
            delay_ms=delay,
            talker_echo_loss_db=echo,
            equipment=equipment,
        )
    )
    assert 0 <= r <= 100
    assert 1 <= mean_opinion_score(r) <= 4.5
