"""Patterns of calls that look like fraud, each with a score.

Every rule compares what a key or trunk does now with what is usual; none looks at one
call alone. Pure: times are seconds since 1970, given by the caller.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any, Final

from .addresses import NetworkTable

__all__ = ["Finding", "PatternSettings", "Patterns", "Rule"]

Rule = str
SCORES: Final[Mapping[Rule, int]] = {
    "international-burst": 60,
    "sequential-dialling": 50,
    "short-calls": 50,
    "premium-numbers": 50,
    "new-country": 40,
}
MOST_SUBJECTS: Final = 10_000
QUIET_SECONDS: Final = 60.0
"""A rule that has spoken says nothing more of the same subject for so long."""
HISTORY_SHARE: Final = 0.04
"""What the hour that is over counts for in the mean: a day or so of memory."""
PREMIUM: Final = ("+882", "+883", "+979", "+878", "+808")
"""Networks of no country, satellites and shared-cost numbers: what fraud earns on."""


@dataclass(frozen=True, slots=True)
class PatternSettings:
    """When a pattern is one."""

    international_calls: int = 10
    """Calls to other countries within ten minutes that are looked at at all,"""
    international_factor: float = 4.0
    """and how many times more than the trunk's usual they have to be."""
    sequential_calls: int = 8
    """Numbers dialled one after the other, each the same step after the last."""
    short_calls: int = 20
    """Answered calls within ten minutes shorter than short_seconds, most of them so."""
    short_seconds: float = 6.0
    premium_calls: int = 3
    """Calls within an hour to the same premium range."""
    premium_prefixes: tuple[str, ...] = PREMIUM
    countries: tuple[tuple[str, str], ...] = ()
    """Networks with their countries, for where accounts call in from."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One pattern that was seen."""

    rule: Rule
    subject: str
    """``key:...``, ``trunk:...`` or ``account:...``."""
    detail: str
    score: int


@dataclass(slots=True)
class _History:
    """A trunk's usual international traffic."""

    hour: int = 0
    count: int = 0
    per_hour: float = 0.0


@dataclass(slots=True)
class _Subject:
    """What a key or trunk did lately."""

    abroad: deque[float] = field(default_factory=deque)
    short: deque[tuple[float, bool]] = field(default_factory=deque)
    premium: dict[str, deque[float]] = field(default_factory=dict)
    last_number: int = 0
    step: int = 0
    run: int = 0
    said: dict[Rule, float] = field(default_factory=dict)


class Patterns:
    """Watches calls out, and where accounts call in from. Media thread only."""

    def __init__(
        self,
        settings: PatternSettings,
        saved: Callable[[str, str, Mapping[str, Any] | None], None] | None = None,
    ) -> None:
        self.settings = settings
        self._saved = saved or (lambda kind, key, value: None)
        self._subjects: OrderedDict[str, _Subject] = OrderedDict()
        self._history: dict[str, _History] = {}
        self._homes: dict[str, list[str]] = {}
        self._countries = NetworkTable(settings.countries)

    def restore(
        self, history: Mapping[str, Mapping[str, Any]], homes: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Take in what was kept."""
        self._history = {name: _History(**value) for name, value in history.items()}
        self._homes = {account: list(value["places"]) for account, value in homes.items()}

    def dialled(self, key: str, trunk: str, number: str, abroad: bool, at: float) -> list[Finding]:
        """A call out is about to be placed; what is seen with it."""
        found = [self._sequence(key, number, at), self._premium(key, number, at)]
        if abroad:
            found.append(self._burst(trunk, at))
        return [one for one in found if one is not None]

    def ended(self, key: str, seconds: float, at: float) -> list[Finding]:
        """An answered call out is over."""
        subject = self._subject(f"key:{key}")
        calls, settings = subject.short, self.settings
        calls.append((at, seconds < settings.short_seconds))
        while calls[0][0] < at - 600 or len(calls) > 10_000:
            calls.popleft()
        short = sum(1 for _, brief in calls if brief)
        if short < settings.short_calls or short < 0.7 * len(calls):
            return []
        detail = f"{short} of {len(calls)} calls in 10 min under {settings.short_seconds:g} s"
        found = self._say("short-calls", f"key:{key}", detail, at)
        return [found] if found else []

    def proved(self, account: str, host: str, at: float) -> list[Finding]:
        """An account has proved itself from an address."""
        place = self._countries.find(host) or _network(host)
        if not place:
            return []
        known = self._homes.setdefault(account, [])
        if place in known:
            return []
        first = not known
        known.append(place)
        del known[:-16]
        self._saved("home", account, {"places": known})
        if first:
            return []
        detail = f"calls in from {place}, never seen before"
        found = self._say("new-country", f"account:{account}", detail, at)
        return [found] if found else []

    # -- the rules -------------------------------------------------------------------------

    def _burst(self, trunk: str, at: float) -> Finding | None:
        calls = self._subject(f"trunk:{trunk}").abroad
        calls.append(at)
        while calls[0] < at - 600:
            calls.popleft()
        usual = self._usual(trunk, at) / 6
        most = max(self.settings.international_calls, self.settings.international_factor * usual)
        if len(calls) < most:
            return None
        detail = f"{len(calls)} calls abroad in 10 min; usual are {usual:.1f}"
        return self._say("international-burst", f"trunk:{trunk}", detail, at)

    def _usual(self, trunk: str, at: float) -> float:
        """International calls an hour in the past; the hour that runs is not in it."""
        hour = int(at // 3600)
        history = self._history.setdefault(trunk, _History(hour))
        passed = hour - history.hour
        if passed > 0:
            share = HISTORY_SHARE if history.per_hour else 0.5  # the first hour counts for more
            history.per_hour += share * (history.count - history.per_hour)
            history.per_hour *= (1 - HISTORY_SHARE) ** min(passed - 1, 1000)
            history.hour, history.count = hour, 0
            self._saved(
                "history",
                trunk,
                {"hour": hour, "count": 0, "per_hour": history.per_hour},
            )
        history.count += 1
        return history.per_hour

    def _sequence(self, key: str, number: str, at: float) -> Finding | None:
        subject = self._subject(f"key:{key}")
        digits = number.lstrip("+")
        value = int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 30 else 0
        step = value - subject.last_number if subject.last_number and value else 0
        subject.last_number = value
        if not step or abs(step) > 10:
            subject.run, subject.step = 0, 0
            return None
        subject.run = subject.run + 1 if step == subject.step else 1
        subject.step = step
        if subject.run + 1 < self.settings.sequential_calls:
            return None
        detail = f"{subject.run + 1} numbers one after the other, up to {number}"
        return self._say("sequential-dialling", f"key:{key}", detail, at)

    def _premium(self, key: str, number: str, at: float) -> Finding | None:
        prefix = next((one for one in self.settings.premium_prefixes if number.startswith(one)), "")
        if not prefix:
            return None
        calls = self._subject(f"key:{key}").premium.setdefault(prefix, deque(maxlen=1000))
        calls.append(at)
        while calls[0] < at - 3600:
            calls.popleft()
        if len(calls) < self.settings.premium_calls:
            return None
        detail = f"{len(calls)} calls in an hour to {prefix}"
        return self._say("premium-numbers", f"key:{key}", detail, at)

    def _say(self, rule: Rule, subject: str, detail: str, at: float) -> Finding | None:
        said = self._subject(subject).said
        if at - said.get(rule, -QUIET_SECONDS) < QUIET_SECONDS:
            return None
        said[rule] = at
        return Finding(rule, subject, detail, SCORES[rule])

    def _subject(self, name: str) -> _Subject:
        found = self._subjects.get(name)
        if found is None:
            found = self._subjects[name] = _Subject()
            if len(self._subjects) > MOST_SUBJECTS:
                self._subjects.popitem(last=False)
        self._subjects.move_to_end(name)
        return found


def _network(host: str) -> str:
    """The network that stands for a country where no table is given: /16, of IPv6 /32."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return ""
    bits = 16 if address.version == 4 else 32
    return str(ip_network(f"{address}/{bits}", strict=False))
