"""Gateways go down after misses, come up after hits, and rest when they ask for it."""

import random

import pytest

from trunkline.calls.health import GatewayHealth, HealthSettings
from trunkline.errors import UsageError


def health(**options: float) -> GatewayHealth:
    return GatewayHealth(HealthSettings(**options), random.Random(3).random)  # type: ignore[arg-type]


def test_it_takes_several_misses_in_a_row_to_go_down() -> None:
    one = health(misses=3)
    one.silent(1)
    one.silent(2)
    one.answered(200, 3)
    one.silent(4)
    one.silent(5)
    assert one.up and one.usable(5)
    one.silent(6)
    assert not one.up and not one.usable(6) and one.changed_at == 6


def test_it_takes_several_hits_in_a_row_to_come_up() -> None:
    one = health(misses=1, hits=2)
    one.silent(1)
    one.answered(200, 2)
    one.silent(3)
    one.answered(200, 4)
    assert not one.up
    one.answered(200, 5, round_trip_ms=12.5)
    assert one.up and one.round_trip_ms == 12.5


@pytest.mark.parametrize("code", [200, 401, 403, 404, 405, 481, 501])
def test_any_answer_of_a_server_that_works_is_a_sign_of_life(code: int) -> None:
    one = health(misses=1)
    one.answered(code, 1)
    assert one.up and one.last_code == code


@pytest.mark.parametrize("code", [408, 500, 502, 503, 504])
def test_an_answer_of_a_server_that_does_not_is_a_miss(code: int) -> None:
    one = health(misses=1)
    one.answered(code, 1)
    assert not one.up


def test_a_pause_it_asked_for_is_kept_and_has_a_longest() -> None:
    one = health(misses=5)
    one.answered(503, 100, retry_after=20)
    assert one.up and not one.usable(119) and one.usable(120)
    one.call_failed(503, 200, 1e9)
    assert not one.usable(799) and one.usable(801)


def test_three_calls_that_met_silence_take_it_out_and_it_is_asked_at_once() -> None:
    one = health(options_seconds=30)
    assert one.due(10)
    for now in (11, 12):
        one.call_failed(408, now)
    one.call_answered(12)
    for now in (13, 14):
        one.call_failed(408, now)
    assert one.up
    one.call_failed(408, 15)
    assert not one.up and one.due(15)


def test_where_nothing_is_asked_silence_is_a_pause_and_no_end() -> None:
    one = health(options_seconds=0)
    for now in (1, 2, 3):
        one.call_failed(408, now)
    assert one.up and not one.usable(4) and one.usable(64)
    assert not one.due(1e6)


def test_questions_come_at_their_interval_with_some_jitter_and_oftener_when_down() -> None:
    one = health(options_seconds=10, misses=1)
    asked = [tick / 10 for tick in range(10_000) if one.due(tick / 10)]
    gaps = [b - a for a, b in zip(asked[1:], asked[2:], strict=False)]
    assert 8.9 <= min(gaps) < 9.6 and 10.4 < max(gaps) <= 11.2
    one.silent(1000)
    asked = [1000 + tick / 10 for tick in range(10_000) if one.due(1000 + tick / 10)]
    gaps = [b - a for a, b in zip(asked[1:], asked[2:], strict=False)]
    assert max(gaps) <= 5.7, "it is still asked, and sooner"


def test_gateways_of_a_node_that_starts_are_not_all_asked_together_again() -> None:
    rng = random.Random(1)
    many = [GatewayHealth(HealthSettings(options_seconds=10), rng.random) for _ in range(50)]
    assert all(one.due(0.0) for one in many)
    second = [next(t / 10 for t in range(1, 200) if one.due(t / 10)) for one in many]
    assert max(second) - min(second) > 5


@pytest.mark.parametrize(
    "wrong", [{"misses": 0}, {"hits": 0}, {"options_seconds": -1}, {"timeout_seconds": 0}]
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        HealthSettings(**wrong)  # type: ignore[arg-type]
