"""Channels and calls per second: never one too many, and no fewer than allowed."""

import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.calls.limits import CallBucket, Lease, LimitSettings, Refusal, TrunkLimits
from trunkline.errors import UsageError


def grants(bucket: CallBucket, times: list[float]) -> list[float]:
    """When calls were let through."""
    granted = []
    for now in times:
        if bucket.wait_seconds(now) == 0:
            bucket.take(now)
            granted.append(now)
    return granted


def most_in_a_second(times: list[float]) -> int:
    """The most calls in any second, wherever it begins."""
    return max(
        (sum(1 for other in times if at <= other < at + 1 - 1e-9) for at in times), default=0
    )


@pytest.mark.parametrize("rate", [1, 5, 10, 37, 100])
def test_sixty_seconds_of_a_flood_let_through_what_is_allowed_within_two_percent(
    rate: int,
) -> None:
    times = [tick / 1000 for tick in range(60_000)]
    granted = grants(CallBucket(rate), times)
    assert abs(len(granted) - 60 * rate) <= 0.02 * 60 * rate
    assert most_in_a_second(granted[: rate * 3]) <= rate


@pytest.mark.parametrize("rate", [0.2, 0.5, 2.5])
def test_a_fraction_is_held_too(rate: float) -> None:
    granted = grants(CallBucket(rate), [tick / 100 for tick in range(60_000)])
    assert len(granted) == pytest.approx(600 * rate, rel=0.02)


def test_a_pause_saves_nothing_up() -> None:
    bucket = CallBucket(10)
    granted = grants(bucket, [100.0] * 50)
    assert len(granted) == 10
    assert grants(bucket, [100.5] * 50) == []
    assert len(grants(bucket, [101.0] * 50)) == 10


@given(st.integers(1, 20), st.lists(st.floats(0, 5), max_size=200), st.integers())
def test_no_second_has_a_call_too_many(rate: int, times: list[float], seed: int) -> None:
    random.Random(seed).shuffle(times)
    granted = grants(CallBucket(rate), sorted(times))
    assert most_in_a_second(granted) <= rate


def test_no_rate_is_no_limit() -> None:
    assert len(grants(CallBucket(0), [1.0] * 1000)) == 1000


@pytest.mark.parametrize("rate", [-1, float("inf"), float("nan")])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(UsageError):
        CallBucket(rate)


def test_a_token_that_was_not_used_comes_back() -> None:
    limits = TrunkLimits(LimitSettings(calls_per_second=1))
    first = limits.acquire("outbound", 1.0)
    assert isinstance(first, Lease)
    refused = limits.acquire("outbound", 1.2)
    assert isinstance(refused, Refusal) and refused.reason == "rate"
    first.cancel()
    assert isinstance(limits.acquire("outbound", 1.3), Lease)


def test_a_call_that_ended_gives_back_its_channel_and_not_its_token() -> None:
    limits = TrunkLimits(LimitSettings(channels=1, calls_per_second=1))
    lease = limits.acquire("inbound", 1.0)
    assert isinstance(lease, Lease)
    lease.release()
    lease.release()
    assert limits.channels == 0
    refused = limits.acquire("inbound", 1.1)
    assert isinstance(refused, Refusal) and refused == Refusal("rate", 1)


def test_directions_have_limits_of_their_own_and_one_together() -> None:
    limits = TrunkLimits(LimitSettings(channels=3, channels_in=2, channels_out=2))
    assert isinstance(limits.acquire("inbound", 0), Lease)
    assert isinstance(limits.acquire("inbound", 0), Lease)
    assert limits.acquire("inbound", 0) == Refusal("channels", 5)
    assert isinstance(limits.acquire("outbound", 0), Lease)
    assert isinstance(limits.acquire("outbound", 0), Refusal)
    assert (limits.channels_of("inbound"), limits.channels_of("outbound")) == (2, 1)
    assert (limits.peak, limits.refused) == (3, 2)


def test_a_limit_that_is_lowered_counts_the_calls_there_are() -> None:
    limits = TrunkLimits(LimitSettings(channels=10))
    leases = [limits.acquire("outbound", 0) for _ in range(5)]
    limits.change(LimitSettings(channels=3))
    for lease in leases[:3]:
        assert isinstance(limits.acquire("outbound", 0), Refusal)
        assert isinstance(lease, Lease)
        lease.release()
    assert isinstance(limits.acquire("outbound", 0), Lease)
    assert limits.channels == 3


def test_how_many_begin_in_a_second_is_counted() -> None:
    limits = TrunkLimits(LimitSettings())
    for now in (1.0, 1.5, 1.9, 2.1):
        limits.acquire("outbound", now)
    assert limits.per_second(2.5) == 3 == limits.peak_per_second
    assert limits.per_second(3.5) == 1
    assert limits.per_second(9.0) == 0


def test_five_hundred_threads_at_once_get_exactly_what_there_is() -> None:
    limits = TrunkLimits(LimitSettings(channels=37, calls_per_second=400))
    start = threading.Barrier(500)
    got: list[object] = []

    def call() -> None:
        start.wait(20)
        got.append(limits.acquire("outbound", 1.0))

    threads = [threading.Thread(target=call) for _ in range(500)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    leases = [one for one in got if isinstance(one, Lease)]
    assert len(got) == 500 and len(leases) == 37 == limits.peak == limits.channels
    releasing = [threading.Thread(target=lease.release) for lease in leases for _ in range(2)]
    for thread in releasing:
        thread.start()
    for thread in releasing:
        thread.join(20)
    assert limits.channels == 0


def test_five_hundred_threads_at_once_get_no_token_too_many() -> None:
    limits = TrunkLimits(LimitSettings(calls_per_second_in=50))
    got: list[object] = []
    start = threading.Barrier(500)

    def call() -> None:
        start.wait(20)
        got.append(limits.acquire("inbound", 1.0))

    threads = [threading.Thread(target=call) for _ in range(500)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sum(isinstance(one, Lease) for one in got) == 50
