"""Which trunks a number goes over, and in which order a trunk's gateways are tried."""

import random
from collections import Counter
from datetime import datetime

import pytest

from trunkline.calls.routing import Rate, RateTable, RoutingRule
from trunkline.calls.trunk_table import TrunkTable, order_gateways, weighted
from trunkline.calls.trunks import Gateway, Trunk

NOON = datetime(2026, 11, 16, 12, 0)
RNG = random.Random(7)
GATEWAY = (Gateway("sip:127.0.0.1"),)


def trunk(name: str, **options: object) -> Trunk:
    return Trunk(name=name, gateways=GATEWAY, **options)  # type: ignore[arg-type]


def names(table: TrunkTable, number: str = "+4930", only: str = "") -> list[str]:
    return [choice.trunk.name for choice in table.choose(number, NOON, RNG.random, only)]


def test_the_cheapest_comes_first_and_who_has_no_price_last() -> None:
    rates = RateTable([Rate("a", "+49", 3), Rate("b", "+4930", 2), Rate("c", "+49", 1)])
    table = TrunkTable([trunk("d"), trunk("a"), trunk("b"), trunk("c")], rates)
    assert names(table) == ["c", "b", "a", "d"]
    assert [one.rate for one in table.choose("+4930", NOON, RNG.random)][1] == rates.find(
        "+4930", "b"
    )


def test_priority_comes_before_price() -> None:
    rates = RateTable([Rate("a", "", 1), Rate("b", "", 9)])
    table = TrunkTable([trunk("a", priority=2), trunk("b", priority=1)], rates)
    assert names(table) == ["b", "a"]


def test_only_trunks_that_carry_the_number_and_have_gateways_are_tried() -> None:
    table = TrunkTable(
        [trunk("a", prefixes=("+49", "+43")), trunk("b", prefixes=("+1",)), Trunk(name="in")]
    )
    assert names(table, "+4930") == ["a"]
    assert names(table, "+33") == []


def test_a_trunk_may_be_forced() -> None:
    table = TrunkTable([trunk("a"), trunk("b", prefixes=("+1",))])
    assert names(table, "+4930", "b") == ["b"]
    assert names(table, "+4930", "none") == []


def test_a_rule_comes_before_everything() -> None:
    rules = [RoutingRule("+49", ("b", "gone", "a"))]
    rates = RateTable([Rate("a", "", 1), Rate("b", "", 9)])
    table = TrunkTable([trunk("a"), trunk("b"), trunk("c")], rates, rules)
    assert names(table) == ["b", "a"]
    assert names(table, "+1")[0] == "a"


def test_a_split_sends_each_its_share() -> None:
    rules = [RoutingRule(split=(("a", 70), ("b", 30)))]
    table = TrunkTable([trunk("a"), trunk("b")], rules=rules)
    firsts = Counter(names(table)[0] for _ in range(4000))
    assert firsts["a"] / 4000 == pytest.approx(0.7, abs=0.03)
    assert all(len(names(table)) == 2 for _ in range(10)), "the others are what is tried next"


def test_trunks_of_the_same_priority_share_by_weight() -> None:
    table = TrunkTable([trunk("a", weight=3), trunk("b", weight=1), trunk("c", weight=0)])
    firsts = Counter(names(table)[0] for _ in range(4000))
    assert firsts["a"] / 4000 == pytest.approx(0.75, abs=0.03) and not firsts["c"]


def test_gateways_are_tried_by_priority_and_those_that_are_down_last() -> None:
    first, second, third = (Gateway(f"sip:127.0.0.{n}", n) for n in (1, 2, 3))
    order = order_gateways((third, second, first), lambda one: one is not first, RNG.random)
    assert order == [second, third, first]


def test_all_gateways_down_are_still_tried() -> None:
    gateways = [Gateway(f"sip:127.0.0.{n}", n) for n in (2, 1)]
    assert order_gateways(gateways, lambda _: False, RNG.random) == gateways[::-1]


def test_weights_are_shares_of_first_places() -> None:
    firsts = Counter(
        weighted("xyz", {"x": 5.0, "y": 4.0, "z": 1.0}.__getitem__, RNG.random)[0]
        for _ in range(5000)
    )
    assert [firsts[one] / 5000 for one in "xyz"] == pytest.approx([0.5, 0.4, 0.1], abs=0.03)
