"""Caps are never overshot, alarms reach who listens, and blocks hold."""

import contextlib
import heapq
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.calls.errors import OutboundDeniedError
from trunkline.calls.guard_outbound import Alarm, FraudSettings, OutboundGuard, Spending
from trunkline.calls.guard_patterns import Finding
from trunkline.calls.numbers import NumberPlan
from trunkline.calls.routing import Rate
from trunkline.calls.trunk_dialling import Wanted
from trunkline.calls.trunks import Caps, Trunk

NO_CAPS = Caps()
BY_MINUTE = Rate("carrier", "+49", 1.0)
BY_SECOND = Rate("carrier", "+49", 0.6, 0.0, 1, 1)


class Timer:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class World:
    """A guard in virtual time."""

    def __init__(self, caps: Caps = NO_CAPS, **settings: Any) -> None:
        self.time = 1000.0
        self.trunk = Trunk(name="carrier", caps=caps, plan=NumberPlan("49"))
        self.alarms: list[Alarm] = []
        self.kept: dict[tuple[str, str], Any] = {}
        self.ended: list[tuple[float, str]] = []
        self._queue: list[tuple[float, int, Timer, Callable[[], None]]] = []
        self._count = itertools.count()
        self.guard = OutboundGuard(
            FraudSettings(**settings),
            later=self.later,
            clock=lambda: 1_800_000_000.0 + self.time,
            now=lambda: self.time,
            alarm=self.alarms.append,
            saved=self.save,
        )

    def later(self, seconds: float, function: Callable[[], None]) -> Timer:
        timer = Timer()
        heapq.heappush(self._queue, (self.time + seconds, next(self._count), timer, function))
        return timer

    def save(self, kind: str, key: str, value: Any) -> None:
        if value is None:
            self.kept.pop((kind, key), None)
        else:
            self.kept[kind, key] = value

    def run(self, seconds: float) -> None:
        until = self.time + seconds
        while self._queue and self._queue[0][0] <= until:
            self.time, _, timer, function = heapq.heappop(self._queue)
            if not timer.cancelled:
                function()
        self.time = until

    def reserve(
        self, rate: Rate | None = BY_MINUTE, key: str = "app", number: str = "+4930123"
    ) -> Spending:
        holder: list[Spending] = []

        def end(reason: str) -> None:
            self.ended.append((self.time, reason))
            holder[0].over(self.time)

        wanted = Wanted(number, key=key)
        spending = self.guard.reserve(wanted, self.trunk, number, rate, self.time, end)
        holder.append(spending)
        return spending

    def used(self, subject: str = "trunk:carrier") -> tuple[float, float]:
        """Minutes and money of the day."""
        found = [
            one
            for one in self.guard.summary()["used"]
            if one["subject"] == subject and len(one["period"]) == 10
        ]
        return (found[0]["minutes"], found[0]["spend"]) if found else (0.0, 0.0)


def test_without_caps_nothing_is_in_the_way_and_all_is_counted() -> None:
    world = World()
    call = world.reserve()
    call.answered(world.time)
    world.run(90)
    call.over(world.time)
    call.over(world.time)
    assert world.used() == (1.5, 2.0) == world.used("key:app")
    assert not world.ended and not world.alarms and world.guard.summary()["channels"] == {}


def test_calls_that_are_not_answered_cost_nothing() -> None:
    world = World(Caps(spend_per_day=1))
    for _ in range(10):
        world.reserve().over(world.time)
    assert world.used() == (0.0, 0.0)


def test_calls_at_the_same_time_reserve_what_they_may_cost() -> None:
    world = World(Caps(spend_per_day=5))
    calls = [world.reserve() for _ in range(5)]
    with pytest.raises(OutboundDeniedError, match="cap"):
        world.reserve()
    assert [alarm.rule for alarm in world.alarms] == ["cap"]
    calls[0].over(world.time)
    world.reserve()


def test_a_call_is_ended_when_nothing_more_can_be_reserved() -> None:
    world = World(Caps(spend_per_day=3))
    call = world.reserve()
    call.answered(world.time)
    world.run(1000)
    assert world.ended == [(1000.0 + 180 - 0.25, "cap-reached")]
    minutes, spend = world.used()
    assert minutes <= 3.0 and spend == 3.0
    assert world.alarms[-1].rule == "cap" and world.alarms[-1].subject == "trunk:carrier"


def test_many_calls_together_never_overshoot_whatever_their_lengths() -> None:
    world = World(Caps(spend_per_day=20, minutes_per_day=25))
    running: list[tuple[Spending, float]] = []
    for step in range(200):
        try:
            call = world.reserve(BY_MINUTE if step % 2 else BY_SECOND)
        except OutboundDeniedError:
            pass
        else:
            call.answered(world.time)
            running.append((call, world.time + 7 + step % 5 * 40))
        world.run(3)
        for call, until in list(running):
            if until <= world.time:
                call.over(world.time)
                running.remove((call, until))
        minutes, spend = world.used()
        assert minutes <= 25.0 and spend <= 20.0
    for call, _ in running:
        call.over(world.time)
    minutes, spend = world.used()
    assert spend > 15 or minutes > 20, "and what is allowed is used"


def test_minutes_are_capped_to_the_second() -> None:
    world = World(Caps(minutes_per_day=1.5))
    call = world.reserve(None)
    call.answered(world.time)
    world.run(500)
    assert world.ended == [(1000.0 + 90 - 0.25, "cap-reached")]


def test_a_key_has_caps_of_its_own_or_those_of_all() -> None:
    world = World()
    world.guard.change(FraudSettings(caps=Caps(channels=1), keys={"vip": Caps(channels=3)}))
    world.reserve(key="a")
    world.reserve(key="b")
    with pytest.raises(OutboundDeniedError, match="key:a"):
        world.reserve(key="a")
    for _ in range(3):
        world.reserve(key="vip")
    with pytest.raises(OutboundDeniedError, match="key:vip"):
        world.reserve(key="vip")


def test_money_that_is_capped_needs_a_price() -> None:
    world = World(Caps(spend_per_month=10))
    with pytest.raises(OutboundDeniedError, match="no rate"):
        world.reserve(None)
    world.guard.change(FraudSettings(allow_unrated=True))
    world.reserve(None)


def test_the_month_counts_on_when_the_day_is_over() -> None:
    world = World(Caps(spend_per_day=2, spend_per_month=3))
    for _ in range(2):
        call = world.reserve()
        call.answered(world.time)
        world.run(30)
        call.over(world.time)
    with pytest.raises(OutboundDeniedError):
        world.reserve()
    world.time += 86_400
    call = world.reserve()
    call.answered(world.time)
    world.run(30)
    call.over(world.time)
    with pytest.raises(OutboundDeniedError):
        world.reserve()
    periods = {one["period"] for one in world.guard.summary()["used"]}
    assert len(periods) == 2, "the day before is forgotten"


def test_what_is_used_is_kept_and_what_was_running_at_a_crash_counts_whole() -> None:
    world = World(Caps(spend_per_day=10))
    done = world.reserve()
    done.answered(world.time)
    world.run(10)
    done.over(world.time)
    world.reserve().answered(world.time)
    again = World(Caps(spend_per_day=10))
    again.guard.restore(
        {key: value for (kind, key), value in world.kept.items() if kind == "use"},
        {key: value for (kind, key), value in world.kept.items() if kind == "begun"},
    )
    assert again.used()[1] == 2.0
    assert not [1 for kind, _ in again.kept if kind == "begun"]


# -- patterns -------------------------------------------------------------------------------------


def test_a_pattern_is_an_alarm_and_no_more_unless_the_settings_say_so() -> None:
    world = World()
    for last in range(10):
        world.reserve(number=f"+4930{1000 + last}")
    assert [alarm.rule for alarm in world.alarms] == ["sequential-dialling"]
    assert world.alarms[0].subject == "key:app" and world.alarms[0].score == 50
    assert world.guard.counters["sequential-dialling"] == 1


def test_who_scores_too_high_places_no_calls_until_let_or_for_an_hour() -> None:
    world = World(block_score=50)
    numbers = [f"+4930{1000 + last}" for last in range(8)]
    for number in numbers[:-1]:
        world.reserve(number=number)
    with pytest.raises(OutboundDeniedError, match="fraud"):
        world.reserve(number=numbers[-1])
    world.reserve(key="other")
    assert list(world.guard.summary()["blocked"]) == ["key:app"]
    assert world.guard.unblock("key:app") and not world.guard.unblock("key:app")
    world.reserve()


def test_scores_fade() -> None:
    world = World(block_score=90)
    finding = Finding("premium-numbers", "key:app", "", 50)
    world.guard.found(finding)
    world.time += 3600
    world.guard.found(finding)
    assert not world.guard.summary()["blocked"]
    world.guard.found(finding)
    assert world.guard.summary()["blocked"]
    world.time += 3601
    world.reserve()


def test_calls_abroad_are_those_beyond_the_trunks_country() -> None:
    world = World()
    for last in range(12):
        world.reserve(number=f"+4930{last * 7919 % 1000:03}")
    assert not world.alarms
    for last in range(12):
        world.reserve(number=f"+4420{last * 7919 % 1000:03}")
    assert [alarm.rule for alarm in world.alarms] == ["international-burst"]


def test_short_calls_are_watched_when_they_end() -> None:
    world = World()
    for number in range(20):
        call = world.reserve(number=f"+49{number * 7919 + 10**6}")
        call.answered(world.time)
        world.run(1)
        call.over(world.time)
    assert [alarm.rule for alarm in world.alarms] == ["short-calls"]


def test_an_account_from_elsewhere_is_an_alarm() -> None:
    world = World()
    world.guard.proved("alice", "192.0.2.1", 0)
    world.guard.proved("alice", "203.0.113.1", 0)
    assert [(alarm.rule, alarm.subject) for alarm in world.alarms] == [
        ("new-country", "account:alice")
    ]


# -- any traffic at all ----------------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("place"), st.sampled_from(["a", "b"]), st.booleans()),
        st.tuples(st.just("answer"), st.integers(0, 30), st.none()),
        st.tuples(st.just("end"), st.integers(0, 30), st.none()),
        st.tuples(st.just("wait"), st.floats(0.01, 200), st.none()),
        st.tuples(st.just("crash"), st.none(), st.none()),
    ),
    max_size=60,
)


@given(STEPS, st.integers(1, 12), st.integers(1, 12), st.integers(1, 90), st.integers(1, 60))
def test_whatever_calls_do_no_cap_is_overshot_and_nothing_stays_reserved(
    steps: list[tuple[str, Any, Any]], minutes: int, spend: int, first: int, step: int
) -> None:
    caps = Caps(channels=4, minutes_per_day=minutes, spend_per_day=spend)
    rates = (Rate("carrier", "+49", 1.5, 0.25, first, step), BY_MINUTE)
    world, calls = World(caps), []
    for kind, what, which in steps:
        if kind == "place":
            with contextlib.suppress(OutboundDeniedError):
                calls.append(world.reserve(rates[which], key=what))
        elif kind == "wait":
            world.run(what)
        elif kind == "crash":
            kept, moment = world.kept, world.time
            world, calls = World(caps), []
            world.time = moment
            world.guard.restore(
                {key: value for (kind, key), value in kept.items() if kind == "use"},
                {key: value for (kind, key), value in kept.items() if kind == "begun"},
            )
        elif calls and kind == "answer" and calls[what % len(calls)]._answered_at is None:
            if not calls[what % len(calls)]._over:
                calls[what % len(calls)].answered(world.time)
        elif calls and kind == "end":
            calls.pop(what % len(calls)).over(world.time)
        used_minutes, used_spend = world.used()
        assert used_minutes <= minutes + 0.005 and used_spend <= spend + 1e-4
        assert world.guard._channels["trunk:carrier"] <= 4
    for call in calls:
        call.over(world.time)
    assert not +world.guard._channels
    assert not [1 for kind, _ in world.kept if kind == "begun"]
    before = world.used()
    world.run(10_000)
    assert world.used() == before, "and no timer is left"
