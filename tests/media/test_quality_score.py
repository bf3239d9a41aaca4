"""R and MOS of a leg: G.113's codecs, and that more of anything bad is worse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.media.quality_score import impairment_of, one_way_ms, score

SHARES = st.floats(0, 1)


def test_a_clean_call_has_the_recommendations_default_rating() -> None:
    judged = score("PCMU", 0.0, 1.0, 0.0)
    assert round(judged.r, 1) == round(judged.r_listening, 1) == 93.2
    assert judged.mos == judged.mos_listening == pytest.approx(4.41, abs=0.005)


@pytest.mark.parametrize(
    ("codec", "equipment", "robustness"),
    [("PCMU", 0, 25.1), ("pcma", 0, 25.1), ("G729", 11, 19.0), ("nonsense", 0, 25.1)],
)
def test_codecs_are_impaired_as_g113_says(codec: str, equipment: float, robustness: float) -> None:
    found = impairment_of(codec)
    assert (found.equipment, found.robustness) == (equipment, robustness)


def test_loss_costs_what_the_recommendation_says() -> None:
    # Ie-eff = 95 * 5 / (5 / 2 + 25.1) for 5 % in bursts of twice the random length.
    judged = score("PCMU", 0.05, 2.0, 0.0)
    assert 93.2 - judged.r_listening == pytest.approx(95 * 5 / (5 / 2 + 25.1), abs=0.06)


def test_delay_costs_conversation_and_not_listening() -> None:
    near, far = score("PCMU", 0.0, 1.0, 20.0), score("PCMU", 0.0, 1.0, 400.0)
    assert near.mos_listening == far.mos_listening
    assert near.mos > far.mos + 0.5


@given(SHARES, SHARES, st.floats(1, 20), st.floats(0, 1000))
def test_more_loss_is_never_better(one: float, other: float, burst: float, delay: float) -> None:
    less, more = sorted((one, other))
    assert score("PCMU", less, burst, delay).r >= score("PCMU", more, burst, delay).r
    assert 1 <= score("PCMU", more, burst, delay).mos <= 4.5


def test_the_way_is_half_the_round_trip_the_buffer_and_a_packet() -> None:
    assert one_way_ms(100.0, 60.0) == 130
    assert one_way_ms(None, 40.0) == 60
