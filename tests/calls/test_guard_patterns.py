"""Traffic that must raise an alarm, and traffic like it that must not."""

import random

import pytest

from trunkline.calls.guard_patterns import Patterns, PatternSettings

NOW = 1_800_000_000.0
HOUR = 3600.0


def rules(found: list[list]) -> list[str]:  # type: ignore[type-arg]
    return [one.rule for each in found for one in each]


def dial(patterns: Patterns, numbers: list[str], *, every: float = 5.0, abroad: bool = False,
         key: str = "app", at: float = NOW) -> list[str]:  # fmt: skip
    return rules(
        [
            patterns.dialled(key, "carrier", number, abroad, at + index * every)
            for index, number in enumerate(numbers)
        ]
    )


# -- sudden international bursts ---------------------------------------------------------------


def scattered(count: int, prefix: str = "+44", seed: int = 1) -> list[str]:
    rng = random.Random(seed)
    return [f"{prefix}{rng.randrange(10**8, 10**9)}" for _ in range(count)]


def test_a_sudden_burst_abroad_is_told_once() -> None:
    patterns = Patterns(PatternSettings())
    assert dial(patterns, scattered(12), abroad=True, every=1) == ["international-burst"]


def test_as_many_at_home_are_no_burst() -> None:
    assert dial(Patterns(PatternSettings()), scattered(50), every=1) == []


def test_a_few_abroad_are_no_burst() -> None:
    assert dial(Patterns(PatternSettings()), scattered(9), abroad=True) == []
    slow = dial(Patterns(PatternSettings()), scattered(40), abroad=True, every=100)
    assert slow == []


def busy_trunk() -> Patterns:
    """A trunk with 60 calls abroad an hour for two days."""
    patterns = Patterns(PatternSettings())
    for hour in range(48):
        for number in scattered(60, seed=hour):
            patterns._usual("carrier", NOW - (48 - hour) * HOUR)
            assert number
    return patterns


def test_a_trunk_that_always_calls_abroad_may_go_on() -> None:
    assert dial(busy_trunk(), scattered(20), abroad=True, every=30) == []


def test_and_yet_four_times_its_usual_is_a_burst() -> None:
    assert "international-burst" in dial(busy_trunk(), scattered(60), abroad=True, every=5)


# -- sequential dialling -------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, -1, 2, 10])
def test_numbers_one_after_the_other_are_told(step: int) -> None:
    numbers = [f"+49301234{5000 + step * index}" for index in range(8)]
    assert dial(Patterns(PatternSettings()), numbers) == ["sequential-dialling"]


def test_seven_in_a_row_are_not_enough_and_a_gap_begins_anew() -> None:
    run = [f"+4930123{4000 + index}" for index in range(7)]
    other = [f"+4930123{6000 + index}" for index in range(7)]
    assert dial(Patterns(PatternSettings()), run + other) == []


def test_a_list_in_any_order_is_no_sequence() -> None:
    assert dial(Patterns(PatternSettings()), scattered(200, "+49")) == []


def test_the_same_number_again_is_no_sequence() -> None:
    assert dial(Patterns(PatternSettings()), ["+4930123456"] * 50) == []


def test_two_keys_are_not_mixed() -> None:
    patterns = Patterns(PatternSettings())
    for index in range(7):
        assert not dial(patterns, [f"+49301{5000 + index}"], key="one")
        assert not dial(patterns, [f"+49301{9000 + index}"], key="two")


def test_addresses_that_are_no_numbers_are_no_sequence() -> None:
    assert dial(Patterns(PatternSettings()), ["sip:a@b", "", "+", "１２３"] * 5) == []


# -- short calls ---------------------------------------------------------------------------------


def ended(patterns: Patterns, lengths: list[float], every: float = 10.0) -> list[str]:
    return rules(
        [patterns.ended("app", length, NOW + n * every) for n, length in enumerate(lengths)]
    )


def test_a_flood_of_short_calls_is_told() -> None:
    assert ended(Patterns(PatternSettings()), [2.0] * 20) == ["short-calls"]


def test_short_calls_among_long_ones_are_usual() -> None:
    assert ended(Patterns(PatternSettings()), [2.0, 90.0, 60.0] * 20) == []
    assert ended(Patterns(PatternSettings()), [30.0] * 50) == []


def test_short_calls_over_a_day_are_no_flood() -> None:
    assert ended(Patterns(PatternSettings()), [2.0] * 50, every=60) == []


# -- premium numbers -----------------------------------------------------------------------------


def test_calls_to_a_premium_range_again_and_again_are_told() -> None:
    assert dial(Patterns(PatternSettings()), scattered(3, "+882")) == ["premium-numbers"]


def test_two_of_them_are_not_and_neither_are_some_over_a_day() -> None:
    assert dial(Patterns(PatternSettings()), scattered(2, "+882")) == []
    assert dial(Patterns(PatternSettings()), scattered(12, "+882"), every=2 * HOUR) == []
    assert dial(Patterns(PatternSettings()), [*scattered(2, "+882"), *scattered(2, "+979")]) == []


def test_the_ranges_are_the_operators() -> None:
    patterns = Patterns(PatternSettings(premium_prefixes=("+49900",), premium_calls=2))
    assert dial(patterns, scattered(2, "+49900")) == ["premium-numbers"]
    assert dial(patterns, scattered(5, "+882")) == []


# -- a new country -------------------------------------------------------------------------------


def places(patterns: Patterns, *hosts: str) -> list[str]:
    return rules([patterns.proved("alice", host, NOW + n * 100) for n, host in enumerate(hosts)])


def test_an_account_from_a_new_country_is_told() -> None:
    table = (("192.0.2.0/24", "DE"), ("203.0.113.0/24", "DE"), ("198.51.100.0/24", "FR"))
    patterns = Patterns(PatternSettings(countries=table))
    assert places(patterns, "192.0.2.1", "203.0.113.1", "198.51.100.1") == ["new-country"]
    assert places(patterns, "198.51.100.2", "192.0.2.9") == []


def test_without_a_table_another_network_stands_for_it() -> None:
    patterns = Patterns(PatternSettings())
    assert places(patterns, "192.0.2.1", "192.0.77.1", "nowhere") == []
    assert places(patterns, "203.0.113.1") == ["new-country"]
    assert places(Patterns(PatternSettings()), "2001:db8::1", "2001:db8:ffff::1") == []


def test_where_an_account_was_is_kept() -> None:
    kept: dict[tuple[str, str], object] = {}
    patterns = Patterns(
        PatternSettings(), lambda kind, key, value: kept.update({(kind, key): value})
    )
    places(patterns, "192.0.2.1")
    dial(patterns, scattered(3), abroad=True, every=HOUR)
    again = Patterns(PatternSettings())
    again.restore(
        {key: value for (kind, key), value in kept.items() if kind == "history"},  # type: ignore[misc]
        {key: value for (kind, key), value in kept.items() if kind == "home"},  # type: ignore[misc]
    )
    assert places(again, "192.0.2.1") == [] and places(again, "203.0.113.1") == ["new-country"]
    assert again._history["carrier"].per_hour > 0


def test_memory_is_bounded() -> None:
    patterns = Patterns(PatternSettings())
    for number in range(12_000):
        patterns.dialled(f"key{number}", "carrier", "+49301", False, NOW)
    assert len(patterns._subjects) <= 10_000
