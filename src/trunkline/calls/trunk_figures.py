"""What a trunk did in the last day: attempts, answers, delays, codes, by the hour.

The figures survive a restart: they are recomputed from the detail records.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

__all__ = ["Tally", "TrunkFigures"]

HOURS: Final = 24
DELAYS_KEPT: Final = 512
"""Post-dial delays of an hour that percentiles are taken of."""
EFFECTIVE = frozenset((480, 486, 600, 603, 404, 410, 484, 604, 487, 408))
"""The network did its part (ITU-T E.425 on NER): busy, no answer, declined, no such number."""

Direction = Literal["inbound", "outbound"]


@dataclass(slots=True)
class Tally:
    """What happened in one hour."""

    attempts: Counter[str] = field(default_factory=Counter)
    """By direction."""
    answered: Counter[str] = field(default_factory=Counter)
    codes: Counter[int] = field(default_factory=Counter)
    """Final answers to calls out, and what calls in were refused with."""
    talked_seconds: float = 0.0
    ended: int = 0
    """Answered calls that are over."""
    rang: int = 0
    """Calls out that were not answered and yet reached somebody."""
    delays_ms: list[float] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Put another's figures to these."""
        self.attempts.update(other.attempts)
        self.answered.update(other.answered)
        self.codes.update(other.codes)
        self.talked_seconds += other.talked_seconds
        self.ended += other.ended
        self.rang += other.rang
        self.delays_ms += other.delays_ms


class TrunkFigures:
    """One trunk's last 24 hours. Times are wall-clock seconds since 1970."""

    def __init__(self) -> None:
        self._hours: dict[int, Tally] = {}

    def attempted(self, direction: Direction, at: float) -> None:
        """A call began, or a gateway was tried."""
        self._hour(at).attempts[direction] += 1

    def answered(self, direction: Direction, at: float) -> None:
        """It was taken."""
        tally = self._hour(at)
        tally.answered[direction] += 1
        tally.codes[200] += 1

    def refused(self, code: int | None, at: float, *, rang: bool = False) -> None:
        """It was not; ``code`` is the status that said so."""
        tally = self._hour(at)
        tally.codes[code or 0] += 1
        # Whoever rang, or was busy, was reached.
        tally.rang += rang and code not in EFFECTIVE

    def ended(self, seconds: float, at: float) -> None:
        """An answered call is over."""
        tally = self._hour(at)
        tally.ended += 1
        tally.talked_seconds += seconds

    def delayed(self, milliseconds: float, at: float) -> None:
        """From the INVITE to the first sign of ringing, early media or the answer."""
        delays = self._hour(at).delays_ms
        if len(delays) < DELAYS_KEPT:
            delays.append(milliseconds)
        else:  # any of them, evenly: attempts count up like a random number here
            delays[sum(self._hour(at).attempts.values()) % DELAYS_KEPT] = milliseconds

    def _hour(self, at: float) -> Tally:
        hour = int(at // 3600)
        found = self._hours.get(hour)
        if found is None:
            found = self._hours[hour] = Tally()
            for old in [one for one in self._hours if one <= hour - HOURS]:
                del self._hours[old]
        return found

    def restore(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Take in what detail records tell of attempts that are over."""
        for one in records:
            at = one["at"]
            self.attempted(one["direction"], at)
            if one.get("delay_ms") is not None:
                self.delayed(one["delay_ms"], at)
            if one.get("answered"):
                self.answered(one["direction"], at)
                self.ended(one.get("seconds", 0.0), at)
            else:
                self.refused(one.get("code"), at, rang=one.get("delay_ms") is not None)

    def total(self, at: float) -> Tally:
        """Of the last 24 hours."""
        total = Tally()
        for hour, tally in list(self._hours.items()):
            if hour > at // 3600 - HOURS:
                total.add(tally)
        return total

    def summary(self, at: float) -> dict[str, Any]:
        """For people and machines; ratios are None while there is nothing to divide by."""
        total = self.total(at)
        out, taken = total.attempts["outbound"], total.answered["outbound"]
        reached = taken + total.rang + sum(total.codes[code] for code in EFFECTIVE)
        return {
            "attempts_in": total.attempts["inbound"],
            "attempts_out": out,
            "answered_in": total.answered["inbound"],
            "answered_out": taken,
            "answer_seizure_ratio": taken / out if out else None,
            "network_effectiveness": min(1.0, reached / out) if out else None,
            "average_seconds": total.talked_seconds / total.ended if total.ended else None,
            "post_dial_delay_p50_ms": percentile(total.delays_ms, 0.5),
            "post_dial_delay_p95_ms": percentile(total.delays_ms, 0.95),
            "codes": {str(code): count for code, count in sorted(total.codes.items())},
        }


def percentile(values: list[float], share: float) -> float | None:
    """The nearest-rank percentile; None of nothing."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
