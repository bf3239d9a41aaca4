"""The day's figures of a trunk."""

import pytest

from trunkline.calls.trunk_figures import TrunkFigures, percentile

NOW = 1_800_000_000.0


def test_ratios_are_of_attempts_and_nothing_divides_by_nothing() -> None:
    figures = TrunkFigures()
    empty = figures.summary(NOW)
    assert empty["answer_seizure_ratio"] is None and empty["average_seconds"] is None
    for code in (486, 404, 503, 503):
        figures.attempted("outbound", NOW)
        figures.refused(code, NOW)
    for _ in range(4):
        figures.attempted("outbound", NOW)
        figures.answered("outbound", NOW)
        figures.ended(30, NOW)
    shown = figures.summary(NOW)
    assert shown["answer_seizure_ratio"] == 0.5
    assert shown["network_effectiveness"] == 0.75, "busy and unknown are the network's success"
    assert shown["average_seconds"] == 30
    assert shown["codes"] == {"200": 4, "404": 1, "486": 1, "503": 2}


def test_a_call_that_rang_and_was_given_up_reached_somebody() -> None:
    figures = TrunkFigures()
    figures.attempted("outbound", NOW)
    figures.refused(500, NOW, rang=True)
    assert figures.summary(NOW)["network_effectiveness"] == 1.0


def test_only_the_last_day_counts() -> None:
    figures = TrunkFigures()
    for hour in range(48):
        figures.attempted("inbound", NOW + hour * 3600)
    assert figures.summary(NOW + 47 * 3600)["attempts_in"] == 24
    assert len(figures._hours) == 24


def test_delays_are_told_as_percentiles_and_do_not_grow() -> None:
    figures = TrunkFigures()
    for number in range(10_000):
        figures.attempted("outbound", NOW)
        figures.delayed(float(number % 100), NOW)
    shown = figures.summary(NOW)
    assert shown["post_dial_delay_p50_ms"] == pytest.approx(50, abs=8)
    assert shown["post_dial_delay_p95_ms"] == pytest.approx(95, abs=4)
    assert len(figures.total(NOW).delays_ms) == 512


def test_percentiles_are_of_the_nearest_rank() -> None:
    assert percentile([], 0.5) is None
    assert percentile([3.0], 0.95) == 3.0
    assert percentile([float(n) for n in range(1, 101)], 0.95) == 95.0


def test_records_bring_the_figures_back() -> None:
    figures = TrunkFigures()
    figures.restore(
        [
            {"direction": "outbound", "at": NOW, "answered": True, "seconds": 12.0,
             "delay_ms": 80.0, "code": None},
            {"direction": "outbound", "at": NOW, "code": 503},
            {"direction": "inbound", "at": NOW, "answered": False, "code": 486},
        ]
    )  # fmt: skip
    shown = figures.summary(NOW)
    assert (shown["attempts_out"], shown["attempts_in"], shown["answered_out"]) == (2, 1, 1)
    assert shown["average_seconds"] == 12.0 and shown["post_dial_delay_p50_ms"] == 80.0
    assert shown["codes"] == {"200": 1, "486": 1, "503": 1}
