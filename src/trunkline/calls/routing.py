"""Which trunk is cheapest for a number: rates by longest prefix, and rules.

    trunk,prefix,price,connect,first_seconds,step_seconds
    carrier,+4930,0.0041,,60,1

A `RateTable` answers in microseconds, however many prefixes it has: one look-up for
each length of prefix that there is.
"""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from trunkline.errors import ConfigError, UsageError

__all__ = ["Rate", "RateTable", "RoutingRule", "read_rates"]

_PREFIX = re.compile(r"\+?[0-9]{0,20}")
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(r"(?:([a-z]{3})(?:-([a-z]{3}))?\s+)?(\d\d):(\d\d)-(\d\d):(\d\d)", re.IGNORECASE)
MOST_RATES: Final = 5_000_000
_COLUMNS: Final = ("trunk", "prefix", "price", "connect", "first_seconds", "step_seconds")


@dataclass(frozen=True, slots=True)
class Rate:
    """What calls to numbers with one prefix cost over one trunk."""

    trunk: str
    prefix: str
    """The beginning of the number in E.164, with its plus; empty is everything."""
    price: float
    """For a minute, in whatever money the whole table is in."""
    connect: float = 0.0
    """For the answer alone."""
    first_seconds: int = 60
    """A call is charged at least for this long,"""
    step_seconds: int = 60
    """and then in steps of this."""

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix):
            raise UsageError(f"a rate's prefix is digits after a plus, not {self.prefix!r}")
        if not (0 <= self.price < 1e6 and 0 <= self.connect < 1e6):
            raise UsageError(f"a price is 0 or more, not {self.price!r} and {self.connect!r}")
        if self.first_seconds < 1 or self.step_seconds < 1:
            raise UsageError("a rate's first_seconds and step_seconds are 1 or more")

    def charged_seconds(self, seconds: float) -> int:
        """How long a call that lasted so long is charged for."""
        if seconds <= 0:
            return 0
        over = max(0.0, seconds - self.first_seconds)
        return self.first_seconds + int(-(-over // self.step_seconds)) * self.step_seconds

    def cost(self, seconds: float) -> float:
        """What a call that lasted so long costs; one that was not answered, nothing."""
        charged = self.charged_seconds(seconds)
        return self.connect + charged * self.price / 60 if charged else 0.0


class RateTable:
    """Rates by prefix. Never changed; a new one takes its place."""

    def __init__(self, rates: Iterable[Rate] = ()) -> None:
        by_prefix: dict[str, dict[str, Rate]] = {}
        for rate in rates:
            by_prefix.setdefault(rate.prefix, {})[rate.trunk] = rate
        self._by_prefix = by_prefix
        self._lengths = sorted({len(prefix) for prefix in by_prefix}, reverse=True)

    def __len__(self) -> int:
        return sum(map(len, self._by_prefix.values()))

    def find(self, number: str, trunk: str) -> Rate | None:
        """One trunk's rate for a number: that of its longest prefix."""
        for length in self._lengths:
            found = self._by_prefix.get(number[:length]) if length <= len(number) else None
            if found is not None and trunk in found:
                return found[trunk]
        return None

    def all(self, number: str) -> Mapping[str, Rate]:
        """Each trunk's rate for a number, by the trunk's name."""
        rates: dict[str, Rate] = {}
        for length in self._lengths:
            if length <= len(number) and (found := self._by_prefix.get(number[:length])):
                rates = {**found, **rates} if rates else dict(found)
        return rates


def read_rates(path: Path) -> RateTable:
    """A table from a CSV file with a heading line.

    Raises:
        ConfigError: it cannot be read, or a line of it is wrong; says which.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.DictReader(file)
            unknown = set(lines.fieldnames or ()) - set(_COLUMNS)
            if unknown or not {"trunk", "prefix", "price"} <= set(lines.fieldnames or ()):
                raise ConfigError(f"{path}: the first line names columns of {', '.join(_COLUMNS)}")
            rates = []
            for line in lines:
                rates.append(_rate(line, f"{path}:{lines.line_num}"))
                if len(rates) > MOST_RATES:
                    raise ConfigError(f"{path} has more than {MOST_RATES} rates")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"cannot read the rates in {path}: {error}") from None
    return RateTable(rates)


def _rate(line: Mapping[str, str | None], place: str) -> Rate:
    """One line; its prefix may leave out the plus."""
    prefix = (line["prefix"] or "").strip()
    if prefix and not prefix.startswith("+"):
        prefix = f"+{prefix}"
    try:
        return Rate(
            (line["trunk"] or "").strip(),
            prefix,
            float(line["price"] or ""),
            float(line.get("connect") or 0),
            int(line.get("first_seconds") or 60),
            int(line.get("step_seconds") or 60),
        )
    except (ValueError, UsageError) as error:
        raise ConfigError(f"{place}: {error}") from None


@dataclass(frozen=True, slots=True)
class RoutingRule:
    """Which trunks carry numbers that begin so, in which order. Raises `UsageError`."""

    prefix: str = ""
    """The beginning of the number in E.164; of several rules the longest counts, then the
    first."""
    trunks: tuple[str, ...] = ()
    """Tried in this order, where nothing is split."""
    split: tuple[tuple[str, float], ...] = ()
    """Trunks with their shares of the calls; the others are what is tried next."""
    hours: str = ""
    """When it holds, in local time: ``08:00-18:00``, ``mon-fri 08:00-18:00``; empty: always."""

    def __post_init__(self) -> None:
        if not self.trunks and not self.split:
            raise UsageError(f"the rule for {self.prefix or 'every number'} names no trunk")
        if any(share < 0 for _, share in self.split) or (
            self.split and not sum(share for _, share in self.split) > 0
        ):
            raise UsageError("shares of a split are 0 or more, and not all 0")
        _hours(self.hours)

    @property
    def names(self) -> tuple[str, ...]:
        """Every trunk it names."""
        return tuple(dict.fromkeys([*(name for name, _ in self.split), *self.trunks]))

    def holds(self, at: datetime) -> bool:
        """Whether it holds at a local time."""
        return not self.hours or _in_hours(_hours(self.hours), at)


Hours = tuple[int, int, int, int]
"""First and last day of the week, from and until in minutes of the day."""


def _hours(text: str) -> Hours:
    if not text:
        return 0, 6, 0, 1440
    found = _HOURS.fullmatch(text.strip())
    days = [(day or "").lower() for day in found.groups()[:2]] if found else ["?", ""]
    if found is None or any(day and day not in _DAYS for day in days):
        raise UsageError(f"hours are written mon-fri 08:00-18:00, not {text!r}")
    begin = _DAYS.index(days[0]) if days[0] else 0
    end = _DAYS.index(days[1]) if days[1] else begin if days[0] else 6
    from_hour, from_minute, to_hour, to_minute = map(int, found.groups()[2:])
    first, last = from_hour * 60 + from_minute, to_hour * 60 + to_minute
    if first > 1440 or last > 1440 or from_minute > 59 or to_minute > 59:
        raise UsageError(f"there is no such time of day: {text!r}")
    return begin, end, first, last


def _in_hours(hours: Hours, at: datetime) -> bool:
    begin, end, first, last = hours
    day, minute = at.weekday(), at.hour * 60 + at.minute
    if last <= first and minute < last:
        day = (day - 1) % 7  # the small hours belong to the evening before
    on_day = begin <= day <= end if begin <= end else day >= begin or day <= end
    in_time = first <= minute < last if first < last else minute >= first or minute < last
    return on_day and in_time


def longest_rule(rules: Sequence[RoutingRule], number: str, at: datetime) -> RoutingRule | None:
    """The rule for a number: of those that hold the one with the longest prefix."""
    fitting = [rule for rule in rules if number.startswith(rule.prefix) and rule.holds(at)]
    return max(fitting, key=lambda rule: len(rule.prefix), default=None)
