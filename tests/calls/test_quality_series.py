"""A call over time: bounded, whatever its length."""

import json

from hypothesis import given
from hypothesis import strategies as st

from trunkline.calls.quality_series import IN_COLUMNS, OUT_COLUMNS, QualitySeries


def test_points_are_columns_with_few_digits() -> None:
    series = QualitySeries(5.0)
    series.add(12.0, {"loss": 0.123456, "mos": 4.4049}, {"rtt": 12.345})
    series.add(17.0, {"loss": 0.0, "mos": None}, {})
    plain = series.plain()
    assert (plain["start"], plain["step"]) == (7.0, 5.0)
    assert plain["in"]["loss"] == [0.1235, 0.0]
    assert plain["in"]["mos"] == [4.4, None]
    assert plain["out"]["rtt"] == [12.3, None]
    assert set(plain["in"]) == set(IN_COLUMNS)
    assert set(plain["out"]) == set(OUT_COLUMNS)


def test_nothing_is_kept_of_a_call_without_a_point() -> None:
    assert QualitySeries(5.0).plain() == {}


@given(st.integers(0, 2000))
def test_a_long_call_has_fewer_points_and_the_same_time(count: int) -> None:
    series = QualitySeries(1.0, most=16)
    for index in range(count):
        series.add(index + 1.0, {"loss": index / 2000}, {})
    plain = series.plain()
    assert len(series) < 16
    if count:
        covered = len(series) * plain["step"]
        assert count - plain["step"] < covered <= count
        losses = plain["in"]["loss"]
        assert losses == sorted(losses)


def test_an_hour_and_a_day_are_small_in_the_record() -> None:
    series = QualitySeries(5.0)
    sample = dict.fromkeys((*IN_COLUMNS, *OUT_COLUMNS), -12.345678)
    for index in range(24 * 720):
        series.add(5.0 * index + 5, sample, sample)
    assert len(series) <= 720
    assert len(json.dumps(series.plain())) < 100_000
