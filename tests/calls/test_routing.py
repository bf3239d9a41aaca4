"""Rates by longest prefix, their file, and rules with hours."""

import random
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.calls.routing import Rate, RateTable, RoutingRule, longest_rule, read_rates
from trunkline.errors import ConfigError, UsageError

MONDAY_NOON = datetime(2026, 11, 16, 12, 0)
SATURDAY = datetime(2026, 11, 21, 12, 0)


def test_the_longest_prefix_of_each_trunk_counts() -> None:
    table = RateTable(
        [Rate("a", "+49", 1), Rate("a", "+4930", 2), Rate("b", "+49", 3), Rate("c", "", 4)]
    )
    found = table.all("+4930123")
    assert {name: rate.price for name, rate in found.items()} == {"a": 2, "b": 3, "c": 4}
    assert table.find("+4989", "a") == Rate("a", "+49", 1)
    assert table.find("+331", "a") is None
    assert table.all("+331") == {"c": Rate("c", "", 4)}
    assert len(table) == 4


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.text("0123", max_size=4)), max_size=30),
    st.text("0123", max_size=6),
)
def test_it_finds_what_a_look_at_every_rate_finds(rows: list[tuple[str, str]], rest: str) -> None:
    rates = {(trunk, "+" + prefix): Rate(trunk, "+" + prefix, 1) for trunk, prefix in rows}
    number = "+" + rest
    table = RateTable(rates.values())
    for trunk in "ab":
        fitting = [
            rate
            for rate in rates.values()
            if rate.trunk == trunk and number.startswith(rate.prefix)
        ]
        best = max(fitting, key=lambda rate: len(rate.prefix), default=None)
        assert table.find(number, trunk) == best == table.all(number).get(trunk)


def test_a_hundred_thousand_prefixes_are_a_few_look_ups() -> None:
    rng = random.Random(1)
    prefixes = {f"+{rng.randrange(10 ** rng.randint(2, 9))}" for _ in range(100_000)}
    table = RateTable(Rate("a", prefix, 1.0) for prefix in prefixes)
    assert len(table._lengths) <= 10
    number = next(iter(prefixes)) + "12345"
    assert table.find(number, "a") is not None


@pytest.mark.parametrize(
    ("seconds", "first", "step", "charged"),
    [(0, 60, 60, 0), (1, 60, 60, 60), (60, 60, 60, 60), (61, 60, 60, 120), (61, 60, 1, 61),
     (0.2, 1, 1, 1), (90.5, 30, 6, 96)],
)  # fmt: skip
def test_a_call_is_charged_in_steps(seconds: float, first: int, step: int, charged: int) -> None:
    rate = Rate("a", "+49", 0.6, 0.05, first, step)
    assert rate.charged_seconds(seconds) == charged
    assert rate.cost(seconds) == pytest.approx(0.05 + charged * 0.01 if charged else 0)


@pytest.mark.parametrize(
    "wrong",
    [{"prefix": "49x"}, {"price": -1}, {"price": float("nan")}, {"first_seconds": 0},
     {"step_seconds": 0}, {"connect": -0.1}],
)  # fmt: skip
def test_a_rate_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Rate(**{"trunk": "a", "prefix": "+49", "price": 1.0, **wrong})  # type: ignore[arg-type]


def test_a_file_of_rates_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text(
        "\ufefftrunk,prefix,price,connect,first_seconds,step_seconds\n"
        "a,4930,0.01,,60,1\n"
        "b,+49,0.005,0.1,,\n"
        "c,,1,,,\n",
        encoding="utf-8",
    )
    table = read_rates(path)
    assert table.find("+4930", "a") == Rate("a", "+4930", 0.01, 0.0, 60, 1)
    assert table.find("+4930", "b") == Rate("b", "+49", 0.005, 0.1)
    assert table.find("+1", "c") == Rate("c", "", 1.0)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("trunk,price\na,1\n", "first line"),
        ("trunk,prefix,price,colour\na,1,1,red\n", "first line"),
        ("trunk,prefix,price\na,49,cheap\n", ":2:"),
        ("trunk,prefix,price\na,49,1\na,4x,1\n", ":3:"),
        ("", "first line"),
    ],
)
def test_a_file_that_is_wrong_says_where(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "rates.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=told):
        read_rates(path)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        read_rates(tmp_path / "none.csv")


def test_the_rule_with_the_longest_prefix_counts_then_the_first() -> None:
    rules = [
        RoutingRule("", ("all",)),
        RoutingRule("+49", ("germany",)),
        RoutingRule("+49", ("later",)),
        RoutingRule("+4930", ("berlin",), hours="sat-sun 00:00-24:00"),
    ]
    assert longest_rule(rules, "+4930", MONDAY_NOON) is rules[1]
    assert longest_rule(rules, "+4930", SATURDAY) is rules[3]
    assert longest_rule(rules, "+1", SATURDAY) is rules[0]
    assert longest_rule(rules[1:], "+1", SATURDAY) is None


@pytest.mark.parametrize(
    ("hours", "at", "holds"),
    [
        ("08:00-18:00", MONDAY_NOON, True),
        ("mon-fri 08:00-18:00", MONDAY_NOON, True),
        ("mon-fri 08:00-18:00", SATURDAY, False),
        ("Sat 08:00-12:00", SATURDAY, False),
        ("sat 08:00-12:01", SATURDAY, True),
        ("fri-mon 08:00-18:00", SATURDAY, True),
        ("fri-mon 08:00-18:00", datetime(2026, 11, 18, 12), False),
        ("fri 22:00-06:00", datetime(2026, 11, 21, 2), True),
        ("fri 22:00-06:00", datetime(2026, 11, 20, 2), False),
        ("22:00-06:00", datetime(2026, 11, 20, 23), True),
        ("", SATURDAY, True),
    ],
)
def test_a_rule_holds_in_its_hours(hours: str, at: datetime, holds: bool) -> None:
    assert RoutingRule("", ("a",), hours=hours).holds(at) is holds


@pytest.mark.parametrize(
    "wrong",
    [{}, {"trunks": ("a",), "hours": "sometimes"}, {"trunks": ("a",), "hours": "xyz 08:00-09:00"},
     {"trunks": ("a",), "hours": "08:00-25:00"}, {"split": (("a", -1.0),)},
     {"split": (("a", 0.0),)}],
)  # fmt: skip
def test_a_rule_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        RoutingRule(**wrong)  # type: ignore[arg-type]
