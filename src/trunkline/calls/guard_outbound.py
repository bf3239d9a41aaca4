"""What calls out may use up, and who is stopped: caps, reservations, alarms.

What a call may cost is reserved before its INVITE leaves and a piece at a time while it
is up, so that calls at the same time can never use more together than is allowed; a call
for which nothing more can be reserved is hung up when what it has is used up. The money
is that of the rate table. Caps are this node's own.
"""

import logging
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from .errors import OutboundDeniedError
from .guard_patterns import Finding, Patterns, PatternSettings
from .routing import Rate
from .trunk_dialling import Wanted
from .trunks import Caps, Trunk

__all__ = ["Alarm", "FraudSettings", "OutboundGuard", "Spending"]

PIECE_SECONDS: Final = 60
"""What is reserved at a time."""
AHEAD_SECONDS: Final = 1.0
"""How long before it is used up the next piece is asked for."""
SAFE_SECONDS: Final = 0.25
"""How long before its end a call that gets no more is hung up: a BYE takes its time."""
MICRO: Final = 1_000_000
SCORE_HALVES_SECONDS: Final = 600.0

log = logging.getLogger(__name__)


class Timer(Protocol):
    """What `asyncio.loop.call_later` returns."""

    def cancel(self) -> None:
        """It is not to be called."""


Later = Callable[[float, Callable[[], None]], Timer]


@dataclass(frozen=True, slots=True)
class FraudSettings:
    """Caps of keys, and what is made of patterns; raises nothing."""

    caps: Caps = field(default=Caps())
    """Of every key that has none of its own."""
    keys: Mapping[str, Caps] = field(default_factory=dict)
    """Of some keys."""
    patterns: PatternSettings = field(default=PatternSettings())
    block_score: int = 0
    """Who has gathered so much within some minutes places no more calls; 0: alarms only."""
    block_seconds: float = 3600.0
    allow_unrated: bool = False
    """Let calls without a rate through where money is capped."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that somebody should look at."""

    rule: str
    """cap, denied, blocked, or the name of a pattern."""
    subject: str
    """``key:...``, ``trunk:...`` or ``account:...``."""
    detail: str
    at: float
    """Seconds since 1970."""
    score: int = 0
    leg_id: str = ""
    """The leg it is about, where it is about one."""


@dataclass(slots=True)
class Use:
    """What was used in one day or month, in seconds and millionths; reserved counts."""

    seconds: float = 0.0
    micros: int = 0


class OutboundGuard:
    """Reserves, counts, watches, blocks. Media thread only."""

    def __init__(
        self,
        settings: FraudSettings,
        *,
        later: Later,
        clock: Callable[[], float],
        now: Callable[[], float],
        alarm: Callable[[Alarm], None],
        saved: Callable[[str, str, Mapping[str, Any] | None], None] | None = None,
    ) -> None:
        self.settings = settings
        self.patterns = Patterns(settings.patterns, saved)
        self.later = later
        self.clock = clock
        self.now = now
        self._alarm = alarm
        self.saved = saved or (lambda kind, key, value: None)
        self.counters: Counter[str] = Counter()
        """Alarms by rule, and calls that were denied."""
        self._channels: Counter[str] = Counter()
        self._uses: dict[tuple[str, str], Use] = {}
        self._scores: dict[str, tuple[float, float]] = {}
        self._blocked: dict[str, float] = {}

    def change(self, settings: FraudSettings) -> None:
        """Other settings from now on; what is used stays used."""
        self.settings = settings
        self.patterns.settings = settings.patterns

    def restore(
        self, uses: Mapping[str, Mapping[str, Any]], begun: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Take in what was kept. Calls that were up when a node died used all they had."""
        for name, value in uses.items():
            subject, _, period = name.rpartition("|")
            self._uses[subject, period] = Use(value["seconds"], value["micros"])
        for name, value in begun.items():
            for subject, period in value["pots"]:
                use = self._use(subject, period)
                use.seconds += value["seconds"]
                use.micros += value["micros"]
                self._save(subject, period)
            self.saved("begun", name, None)

    # -- calls -----------------------------------------------------------------------------

    def reserve(
        self,
        wanted: Wanted,
        trunk: Trunk,
        number: str,
        rate: Rate | None,
        now: float,
        end: Callable[[str], None],
    ) -> "Spending":
        """What one attempt needs to begin; raises `OutboundDeniedError`."""
        at = self.clock()
        for finding in self.patterns.dialled(
            wanted.key, trunk.name, number, trunk.plan.is_abroad(number), at
        ):
            self.found(finding)
        subjects = {
            f"key:{wanted.key}": self.settings.keys.get(wanted.key, self.settings.caps),
            f"trunk:{trunk.name}": trunk.caps,
        }
        for subject in subjects:
            if self._blocked.get(subject, 0.0) > at:
                self._deny(subject, f"{subject} is blocked for calls that look like fraud", at)
        for subject, caps in subjects.items():
            if caps.channels and self._channels[subject] >= caps.channels:
                self._deny(subject, f"{subject} has {caps.channels} calls, its cap", at)
        spending = Spending(self, subjects, rate, at, end)
        spending.begin()
        return spending

    def _deny(self, subject: str, why: str, at: float) -> None:
        self.counters["denied"] += 1
        raise OutboundDeniedError(why)

    def deny(self, subject: str, why: str, at: float) -> None:
        """A call that is not to begin; raises `OutboundDeniedError`."""
        self.tell(Alarm("cap", subject, why, at))
        self._deny(subject, why, at)

    def take_channels(self, subjects: Mapping[str, Caps], step: int) -> None:
        """A call begins (1) or is over (-1)."""
        for subject in subjects:
            self._channels[subject] += step
            if not self._channels[subject]:
                del self._channels[subject]

    def room(self, subject: str, caps: Caps, day: str, month: str) -> tuple[float, float]:
        """Seconds and millionths that are left to a subject; infinite without caps."""
        seconds = micros = float("inf")
        for period, minutes, spend in (
            (day, caps.minutes_per_day, caps.spend_per_day),
            (month, caps.minutes_per_month, caps.spend_per_month),
        ):
            use = self._uses.get((subject, period), _NOTHING)
            if minutes:
                seconds = min(seconds, minutes * 60 - use.seconds)
            if spend:
                micros = min(micros, round(spend * MICRO) - use.micros)
        return seconds, micros

    def book(self, subject: str, period: str, seconds: float, micros: int) -> None:
        """Something is reserved (or given back, below 0)."""
        use = self._use(subject, period)
        use.seconds = max(0.0, use.seconds + seconds)
        use.micros = max(0, use.micros + micros)

    def settled(self, subject: str, period: str) -> None:
        """A call is over: keep what is used now."""
        self._save(subject, period)

    def _use(self, subject: str, period: str) -> Use:
        found = self._uses.get((subject, period))
        if found is None:
            found = self._uses[subject, period] = Use()
            self._prune(subject, period)
        return found

    def _prune(self, subject: str, period: str) -> None:
        """Forget the days and months before: one period of a length is enough."""
        for old in [one for one in self._uses if one[0] == subject and len(one[1]) == len(period)]:
            if old[1] < period:
                del self._uses[old]
                self.saved("use", f"{old[0]}|{old[1]}", None)

    def _save(self, subject: str, period: str) -> None:
        use = self._uses[subject, period]
        self.saved("use", f"{subject}|{period}", {"seconds": use.seconds, "micros": use.micros})

    # -- alarms ----------------------------------------------------------------------------

    def found(self, finding: Finding) -> None:
        """A pattern was seen: score it, say it, and block whom the settings say."""
        at = self.clock()
        score, since = self._scores.get(finding.subject, (0.0, at))
        score = score * 0.5 ** ((at - since) / SCORE_HALVES_SECONDS) + finding.score
        if len(self._scores) > 10_000:
            self._scores.clear()
        self._scores[finding.subject] = score, at
        self.tell(Alarm(finding.rule, finding.subject, finding.detail, at, round(score)))
        most = self.settings.block_score
        if most and score >= most and self._blocked.get(finding.subject, 0.0) <= at:
            self._blocked[finding.subject] = at + self.settings.block_seconds
            detail = f"no calls out for {self.settings.block_seconds:g} s: {finding.detail}"
            self.tell(Alarm("blocked", finding.subject, detail, at, round(score)))

    def proved(self, account: str, host: str, at: float) -> None:
        """An account has proved itself from an address."""
        for finding in self.patterns.proved(account, host, at):
            self.found(finding)

    def tell(self, alarm: Alarm) -> None:
        """Count, log and hand on."""
        self.counters[alarm.rule] += 1
        log.warning("alarm %s: %s: %s", alarm.rule, alarm.subject, alarm.detail)
        self._alarm(alarm)

    def unblock(self, subject: str) -> bool:
        """Let a key or trunk call again; whether it was blocked."""
        self._scores.pop(subject, None)
        return self._blocked.pop(subject, 0.0) > self.clock()

    def summary(self) -> dict[str, Any]:
        """What is used, by whom, and who is blocked."""
        at = self.clock()
        return {
            "used": [
                {
                    "subject": subject,
                    "period": period,
                    "minutes": round(use.seconds / 60, 2),
                    "spend": round(use.micros / MICRO, 4),
                }
                for (subject, period), use in sorted(self._uses.items())
            ],
            "channels": dict(self._channels),
            "blocked": {name: round(until - at) for name, until in self._blocked.items()
                        if until > at},
            "alarms": dict(self.counters),
        }  # fmt: skip


_NOTHING = Use()


class Spending:
    """What one attempt has reserved. Implements ``trunk_dialling.Reservation``."""

    def __init__(
        self,
        guard: OutboundGuard,
        subjects: Mapping[str, Caps],
        rate: Rate | None,
        at: float,
        end: Callable[[str], None],
    ) -> None:
        self._guard = guard
        self._subjects = subjects
        self._rate = rate
        self._end = end
        self._id = secrets.token_hex(8)
        self._day = datetime.fromtimestamp(at).strftime("%Y-%m-%d")
        self._key = next(iter(subjects)).removeprefix("key:")
        self.leg_id = ""
        """The attempt's leg, once there is one."""
        self.paid_seconds = 0.0
        """How long it may be up for what it has."""
        self._micros = 0
        self._answered_at: float | None = None
        self._over = False
        self._timer: Timer | None = None
        self._capped = any(
            caps.minutes_per_day or caps.minutes_per_month or _money(caps)
            for caps in subjects.values()
        )

    @property
    def _pots(self) -> list[tuple[str, str]]:
        return [(one, period) for one in self._subjects for period in (self._day, self._day[:7])]

    def begin(self) -> None:
        """The first piece; raises `OutboundDeniedError` where there is none."""
        guard = self._guard
        if self._capped:
            money = any(_money(caps) for caps in self._subjects.values())
            if self._rate is None and money and not guard.settings.allow_unrated:
                why = "there is no rate for the number, and money is capped"
                guard.deny(next(iter(self._subjects)), why, guard.clock())
            stopped = self._take()
            if stopped:
                guard.deny(stopped, f"{stopped} has used up its cap", guard.clock())
        guard.take_channels(self._subjects, 1)

    def _take(self) -> str:
        """One more piece, or a smaller one; whose cap is in the way where there is none."""
        guard, rate = self._guard, self._rate
        rooms = {
            subject: guard.room(subject, caps, self._day, self._day[:7])
            for subject, caps in self._subjects.items()
        }
        tightest = min(rooms, key=lambda one: rooms[one][0])
        first = not self.paid_seconds
        step = float(rate.first_seconds if first else rate.step_seconds) if rate else 1.0
        wanted = max(step, -(-PIECE_SECONDS // step) * step)
        wanted = min(wanted, rooms[tightest][0])
        if wanted < 1.0:
            return tightest
        poorest = min(rooms, key=lambda one: rooms[one][1])
        for seconds in dict.fromkeys((wanted, min(step, wanted))):
            micros = self._cost(self.paid_seconds + seconds) - self._micros
            if micros <= rooms[poorest][1]:
                self._book(seconds, micros)
                return ""
        return poorest

    def _cost(self, seconds: float) -> int:
        return round(self._rate.cost(seconds) * MICRO) if self._rate is not None else 0

    def _book(self, seconds: float, micros: int) -> None:
        self.paid_seconds += seconds
        self._micros += micros
        for subject, period in self._pots:
            self._guard.book(subject, period, seconds, micros)
        self._guard.saved(
            "begun",
            self._id,
            {"pots": self._pots, "seconds": self.paid_seconds, "micros": self._micros},
        )

    def answered(self, now: float) -> None:
        """The clock of the call begins to run."""
        self._answered_at = now
        if self._capped:
            self._wait()

    def _wait(self) -> None:
        """Wake a little before the next piece is needed."""
        left = self.paid_seconds - self._elapsed()
        self._timer = self._guard.later(max(0.0, left - AHEAD_SECONDS), self._more)

    def _elapsed(self) -> float:
        return 0.0 if self._answered_at is None else self._guard.now() - self._answered_at

    def _more(self) -> None:
        if self._over:
            return
        stopped = self._take()
        if not stopped:
            self._wait()
            return
        guard, left = self._guard, self.paid_seconds - self._elapsed() - SAFE_SECONDS
        detail = f"a call of {self._key} is ended: {stopped} has used up its cap"
        guard.tell(Alarm("cap", stopped, detail, guard.clock(), leg_id=self.leg_id))
        self._timer = guard.later(max(0.0, left), lambda: self._end("cap-reached"))

    def over(self, now: float) -> None:
        """Give back what was not used. Again does no harm."""
        if self._over:
            return
        self._over = True
        guard = self._guard
        if self._timer is not None:
            self._timer.cancel()
        seconds = now - self._answered_at if self._answered_at is not None else 0.0
        micros = self._cost(seconds)
        for subject, period in self._pots:
            guard.book(subject, period, seconds - self.paid_seconds, micros - self._micros)
            guard.settled(subject, period)
        guard.saved("begun", self._id, None)
        guard.take_channels(self._subjects, -1)
        if self._answered_at is not None:
            for finding in guard.patterns.ended(self._key, seconds, guard.clock()):
                guard.found(finding)


def _money(caps: Caps) -> bool:
    return bool(caps.spend_per_day or caps.spend_per_month)
