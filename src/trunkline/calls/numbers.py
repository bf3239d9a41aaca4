"""Telephone numbers as a trunk writes them, and as we do: E.164, with a plus.

A `NumberPlan` knows how one country dials; a `NumberRule` changes a number in one
step; `rewrite` applies rules in order. Expressions in rules are bounded in time:
numbers are short, and an expression that could go back over one too often is refused
when it is configured (`bounded`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

from trunkline.errors import UsageError

__all__ = ["NumberForm", "NumberPlan", "NumberRule", "bounded", "is_number", "rewrite"]

NumberForm = Literal["", "e164", "digits", "international", "national"]

LONGEST: Final = 48
"""Characters of a number that rules look at; E.164 has 15 digits (section 6.2.1)."""
MOST_PATHS: Final = 250_000
"""Ways an expression may try a text of that length: three runs of any length. Some
milliseconds at the very worst."""

_NUMBER = re.compile(r"\+?[0-9(][0-9().\- /]*[0-9*#]|[0-9*#]{1,8}")
_SEPARATORS = str.maketrans("", "", "-.()/ ")


def is_number(target: str) -> bool:
    """Whether a target is a telephone number (or a tel URI), not a SIP address."""
    return target.startswith("tel:") or _NUMBER.fullmatch(target) is not None


def plain(target: str) -> str:
    """The digits of a number as people write it: ``+49 (30) 123-456``, a tel URI."""
    return target.removeprefix("tel:").partition(";")[0].translate(_SEPARATORS)


@dataclass(frozen=True, slots=True)
class NumberPlan:
    """How numbers are dialled where a trunk ends."""

    country_code: str = ""
    """Of the country, without a plus: "49". Empty: numbers without a plus stay as they are."""
    international_prefix: str = "00"
    """What is dialled before a country code."""
    national_prefix: str = "0"
    """What is dialled before an area code."""

    def e164(self, number: str) -> str:
        """With plus and country code, where that can be told; else as it is."""
        number = plain(number)
        if number.startswith("+") or not self.country_code or not number.isdecimal():
            return number
        abroad, home = self.international_prefix, self.national_prefix
        if abroad and number.startswith(abroad):
            return "+" + number.removeprefix(abroad)
        if home and number.startswith(home):
            return f"+{self.country_code}{number.removeprefix(home)}"
        if number.startswith(self.country_code) and len(number) > 9:
            return "+" + number  # carriers often send E.164 without its plus
        return number

    def national(self, number: str) -> str:
        """As it is dialled inside the country; another country's with the way out."""
        number = self.e164(number)
        home = f"+{self.country_code}"
        if self.country_code and number.startswith(home):
            return self.national_prefix + number.removeprefix(home)
        return self.international(number)

    def international(self, number: str) -> str:
        """With the prefix for other countries instead of the plus: 0049..."""
        number = self.e164(number)
        return self.international_prefix + number[1:] if number.startswith("+") else number

    def is_abroad(self, number: str) -> bool:
        """Whether a number in E.164 is another country's."""
        return number.startswith("+") and not number.startswith(f"+{self.country_code or '?'}")


@dataclass(frozen=True, slots=True)
class NumberRule:
    """One step of rewriting. What is given of it is done in this order.

    Raises `UsageError` for an expression that is none, or that could take long.
    """

    prefix: str = ""
    """Only numbers that begin so; others are left alone."""
    form: NumberForm = ""
    """Into E.164 (+4930...), digits (4930...), international (004930...) or national (030...)."""
    strip: int = 0
    """Characters to take off the front."""
    add: str = ""
    """Put before it."""
    match: str = ""
    """A regular expression for the whole number; one that does not match is left alone."""
    replace: str = ""
    """What it becomes; ``\\1`` is the first group."""

    def __post_init__(self) -> None:
        if self.match:
            groups = bounded(self.match).groups
            for used in re.findall(r"\\(\d+)", self.replace):
                if int(used) > groups:
                    raise UsageError(f"{self.replace!r} has a group that {self.match!r} has not")
        if self.strip < 0:
            raise UsageError(f"strip is a number of characters, not {self.strip}")

    def apply(self, number: str, plan: NumberPlan) -> str:
        """A number after this step."""
        if not number.startswith(self.prefix):
            return number
        if self.form:
            number = _formed(number, self.form, plan)
        number = self.add + number[self.strip :]
        if self.match and len(number) <= LONGEST:
            found = bounded(self.match).fullmatch(number)
            if found is not None:
                number = found.expand(self.replace)
        return number


def _formed(number: str, form: NumberForm, plan: NumberPlan) -> str:
    if form == "national":
        return plan.national(number)
    if form == "international":
        return plan.international(number)
    number = plan.e164(number)
    return number.removeprefix("+") if form == "digits" else number


def rewrite(number: str, rules: Sequence[NumberRule], plan: NumberPlan) -> str:
    """A number after all rules, in order."""
    for rule in rules:
        number = rule.apply(number, plan)
    return number


@cache
def bounded(expression: str) -> re.Pattern[str]:
    """An expression that cannot take long on a number.

    Raises `UsageError` for what is no expression, and for one that a text of 48
    characters could make try more than 250,000 ways: runs inside runs, references
    back, looking around, more than three runs of any length.
    """
    try:
        compiled = re.compile(expression)
        parts = re._parser.parse(expression)  # type: ignore[attr-defined]
    except (re.error, RecursionError, OverflowError) as error:
        raise UsageError(f"{expression!r} is no regular expression: {error}") from None
    if _paths(parts) > MOST_PATHS:
        raise UsageError(f"{expression!r} could take too long: write it with fewer repetitions")
    return compiled


def _paths(parts: Any) -> float:
    """How many ways a sequence may be tried, at most: the product of its choices."""
    ways = 1.0
    for code, argument in parts:
        ways *= _choices(str(code), argument)
    return ways


def _choices(code: str, argument: Any) -> float:
    if code in ("LITERAL", "NOT_LITERAL", "ANY", "IN", "AT"):
        return 1.0
    if code == "SUBPATTERN":
        return _paths(argument[3])
    if code == "BRANCH":
        return float(sum(_paths(branch) for branch in argument[1]))
    if code in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        least, most, body = int(argument[0]), int(argument[1]), argument[2]
        inside = _paths(body)
        single = len(body) == 1 and str(body[0][0]) in ("LITERAL", "NOT_LITERAL", "ANY", "IN")
        if most <= 1:
            return 1.0 + inside
        if least == most and inside == 1.0:
            return 1.0
        return float(min(most, LONGEST) - min(least, LONGEST) + 1) if single else float("inf")
    return float("inf")  # references back, looking around, conditions
