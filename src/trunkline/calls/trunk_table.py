"""Which trunks and gateways a call out tries, in which order.

A `TrunkTable` is made when trunks, rates or rules change, and never changed: a call
that is being placed keeps the one it began with.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeVar

from .routing import Rate, RateTable, RoutingRule, longest_rule
from .trunks import Gateway, Trunk

__all__ = ["Choice", "TrunkTable"]

T = TypeVar("T")
Random = Callable[[], float]
"""At least 0, below 1."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One trunk to try, and what it costs."""

    trunk: Trunk
    rate: Rate | None = None


class TrunkTable:
    """Trunks, rates and rules as they are at one moment."""

    def __init__(
        self,
        trunks: Iterable[Trunk] = (),
        rates: RateTable | None = None,
        rules: Sequence[RoutingRule] = (),
        order: Literal["cost", "priority"] = "cost",
    ) -> None:
        self.trunks: Mapping[str, Trunk] = {trunk.name: trunk for trunk in trunks}
        self.rates = rates or RateTable()
        self.rules = tuple(rules)
        self._by_cost = order == "cost" and len(self.rates) > 0

    def choose(self, number: str, at: datetime, random: Random, only: str = "") -> list[Choice]:
        """The trunks for a number in E.164, the best first; empty where none carries it.

        A rule for the number comes before everything; then priority; then price, where
        there are rates (a trunk without one for the number comes last); then weights.
        ``only`` forces one trunk.
        """
        rates = self.rates.all(number)
        if only:
            trunk = self.trunks.get(only)
            return [Choice(trunk, rates.get(only))] if trunk is not None else []
        rule = longest_rule(self.rules, number, at) if self.rules else None
        if rule is not None:
            names = self._by_rule(rule, random)
            return [Choice(self.trunks[name], rates.get(name)) for name in names]
        carrying = [trunk for trunk in self.trunks.values() if trunk.carries(number)]
        shuffled = weighted(carrying, lambda trunk: trunk.weight, random)
        if self._by_cost:
            shuffled.sort(key=lambda trunk: (trunk.priority, *_price(rates.get(trunk.name))))
        else:
            shuffled.sort(key=lambda trunk: trunk.priority)
        return [Choice(trunk, rates.get(trunk.name)) for trunk in shuffled]

    def _by_rule(self, rule: RoutingRule, random: Random) -> list[str]:
        first = weighted(rule.split, lambda pair: pair[1], random)
        names = dict.fromkeys([*(name for name, _ in first), *rule.trunks])
        return [name for name in names if name in self.trunks and self.trunks[name].gateways]


def _price(rate: Rate | None) -> tuple[bool, float]:
    """What a call of a minute costs, for ordering; no rate is the dearest."""
    return (True, 0.0) if rate is None else (False, rate.price + rate.connect)


def order_gateways(
    gateways: Sequence[Gateway], usable: Callable[[Gateway], bool], random: Random
) -> list[Gateway]:
    """A trunk's gateways in the order they are tried.

    By priority, of equal ones by chance and weight; those that are down after all
    others: when nothing else is left, they are better than nothing.
    """
    shuffled = weighted(gateways, lambda gateway: gateway.weight, random)
    return sorted(shuffled, key=lambda gateway: (not usable(gateway), gateway.priority))


def weighted(items: Iterable[T], weight: Callable[[T], float], random: Random) -> list[T]:
    """Items in a random order where each comes first as often as its weight says.

    Efraimidis and Spirakis (2006): the order of random numbers to the power of 1/weight.
    An item without weight comes last.
    """
    keyed = []
    for item in items:
        share = weight(item)
        # 1 - random() is never 0, which a power could not tell from another 0.
        keyed.append(((1.0 - random()) ** (1.0 / share) if share > 0 else 0.0, item))
    keyed.sort(key=lambda pair: -pair[0])
    return [item for _, item in keyed]
