"""Alarms: raised once, taken back once, with room between."""

import pytest

from trunkline.calls.quality_alarms import Alarm, QualityAlarms, QualityLimits, Way


def changes(alarms: QualityAlarms, kind: str, way: Way, values: list[float]) -> list[bool]:
    """What is told of a row of values."""
    method = {"one-way": alarms.dead, "silence": alarms.silent, "poor": alarms.rated,
              "clipping": alarms.clipped}[kind]  # fmt: skip
    return [alarm.raised for value in values for alarm in method(way, value)]


@pytest.mark.parametrize(
    ("kind", "values", "told"),
    [
        ("one-way", [0, 1, 2, 3, 4, 0, 0], [True, False]),
        ("one-way", [0, 1.4, 0, 1.4], []),
        ("silence", [0, 29, 30, 31, 0], [True, False]),
        ("poor", [4.0, 3.05, 3.3, 3.0, 3.5, 3.7, 3.05], [True, False, True]),
        ("poor", [3.1, 3.2, 3.6], []),
        ("clipping", [0.0, 0.06, 0.04, 0.06, 0.02], [True, False]),
    ],
)
@pytest.mark.parametrize("way", ["in", "out"])
def test_an_alarm_is_told_when_it_changes(
    kind: str, values: list[float], told: list[bool], way: Way
) -> None:
    alarms = QualityAlarms(QualityLimits())
    assert changes(alarms, kind, way, values) == told
    assert alarms.counts.get(kind, 0) == told.count(True)  # type: ignore[call-overload]


def test_a_direction_that_is_dead_is_told_of_within_three_seconds_however_looks_fall() -> None:
    for phase in range(10):
        alarms = QualityAlarms(QualityLimits(one_way_seconds=3.0))
        alive, told = phase / 10 - 1, None  # the last look that found something new
        for look in range(6):
            now = look + phase / 10
            if told is None and any(alarms.dead("in", now - alive)):
                told = now
        assert told is not None
        assert told <= 3.0


def test_directions_are_told_apart_and_what_stands_is_known() -> None:
    alarms = QualityAlarms(QualityLimits())
    assert list(alarms.dead("in", 5)) == [Alarm("one-way", "in", True, 5)]
    assert list(alarms.dead("out", 5)) == [Alarm("one-way", "out", True, 5)]
    assert alarms.raised == {("one-way", "in"): 5, ("one-way", "out"): 5}
    assert list(alarms.dead("in", 0)) == [Alarm("one-way", "in", False, 0)]
    assert list(alarms.raised) == [("one-way", "out")]


def test_what_is_not_known_changes_nothing() -> None:
    alarms = QualityAlarms(QualityLimits())
    assert list(alarms.rated("in", 2.0))
    assert not list(alarms.rated("in", None))
    assert ("poor", "in") in alarms.raised


def test_silence_may_be_of_no_interest() -> None:
    alarms = QualityAlarms(QualityLimits(silence_seconds=0))
    assert not list(alarms.silent("in", 1e6))
