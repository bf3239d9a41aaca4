"""Trunks: choosing among 100 with 100,000 rates, limits under load, what protection costs.

python benchmarks/trunks.py
"""

import argparse
import random
import statistics
import threading
import time
from collections.abc import Callable
from datetime import datetime

from _machine import describe
from trunkline.calls.guard import GateSettings, TrunkGate
from trunkline.calls.guard_signs import Signs, SignSettings
from trunkline.calls.limits import CallBucket, Lease, LimitSettings, TrunkLimits
from trunkline.calls.numbers import NumberPlan, NumberRule, bounded, rewrite
from trunkline.calls.routing import Rate, RateTable
from trunkline.calls.trunk_receiving import Arrivals
from trunkline.calls.trunk_states import Trunks
from trunkline.calls.trunk_table import TrunkTable
from trunkline.calls.trunks import Gateway, Trunk
from trunkline.sip.hop import Hop
from trunkline.sip.message import Request

NOON = datetime(2026, 11, 16, 12, 0)


def timed(work: Callable[[int], object], times: int) -> str:
    """Microseconds of CPU of each of many runs."""
    taken = []
    for number in range(times):
        began = time.perf_counter_ns()
        work(number)
        taken.append((time.perf_counter_ns() - began) / 1000)
    taken.sort()
    return f"median {statistics.median(taken):.1f} µs, p99 {taken[int(times * 0.99)]:.1f} µs"


def many_trunks(rng: random.Random) -> list[Trunk]:
    return [
        Trunk(
            name=f"trunk{number}",
            gateways=(Gateway(f"sip:10.0.{number}.1"), Gateway(f"sip:10.0.{number}.2", 2)),
            addresses=(f"10.0.{number}.0/24",),
            weight=rng.randint(1, 10),
        )
        for number in range(100)
    ]


def routing(rng: random.Random) -> None:
    trunks = many_trunks(rng)
    prefixes = [f"+{rng.randrange(10 ** rng.randint(1, 8))}" for _ in range(20_000)]
    rates = {}
    while len(rates) < 100_000:
        trunk, prefix = rng.choice(trunks).name, rng.choice(prefixes)
        rates[trunk, prefix] = Rate(trunk, prefix, rng.random())
    began = time.perf_counter()
    table = TrunkTable(trunks, RateTable(rates.values()))
    print(f"a table of {len(table.rates):,} rates is made in {time.perf_counter() - began:.2f} s")
    numbers = [rng.choice(prefixes) + str(rng.randrange(10**6)) for _ in range(5000)]
    found = timed(lambda n: table.rates.find(numbers[n], trunks[n % 100].name), 5000)
    print(f"one trunk's rate by longest prefix: {found}")
    every = timed(lambda n: table.rates.all(numbers[n]), 5000)
    print(f"the rates of all trunks for a number: {every}")
    decided = timed(lambda n: table.choose(numbers[n], NOON, rng.random), 5000)
    print(f"the order of 100 trunks for a number: {decided}")


def limits() -> None:
    for rate in (1, 10, 100):
        bucket, granted = CallBucket(rate), []
        for tick in range(600_000):
            now = tick / 10_000
            if bucket.wait_seconds(now) == 0:
                bucket.take(now)
                granted.append(now)
        off = 100 * (len(granted) / (60 * rate) - 1)
        most = max(sum(1 for at in granted if begin <= at < begin + 1 - 1e-9)
                   for begin in granted[: 5 * rate])  # fmt: skip
        print(f"{rate} calls/s for 60 s of a flood: {len(granted)} ({off:+.2f} %), "
              f"most in any second {most}")  # fmt: skip
    shared = TrunkLimits(LimitSettings(channels=37))
    start = threading.Barrier(500)
    got: list[object] = []

    def call() -> None:
        start.wait()
        got.append(shared.acquire("outbound", 1.0))

    threads = [threading.Thread(target=call) for _ in range(500)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    leases = sum(isinstance(one, Lease) for one in got)
    print(f"500 threads at once at a limit of 37: {leases} got a channel")
    taking = TrunkLimits(LimitSettings(channels=10, calls_per_second=100_000))

    def take(_: int) -> None:
        lease = taking.acquire("outbound", time.monotonic())
        assert isinstance(lease, Lease)
        lease.release()

    print(f"a channel and a token, and back: {timed(take, 20_000)}")


def protection(rng: random.Random) -> None:
    trunks = Trunks(many_trunks(rng))
    gate = TrunkGate(GateSettings(accounts={"a": "b"}), trunks, Arrivals(trunks), bytes(32))
    carrier, stranger = Hop("10.0.57.9", 5060), Hop("192.0.2.1", 5060)
    invite = Request("INVITE", "sip:100@x", [("From", "<sip:a@b>;tag=1"), ("Call-ID", "1")])
    print(f"may a carrier of 100 speak: {timed(lambda _: gate.may_speak(carrier), 20_000)}")
    print(f"may a stranger speak: {timed(lambda _: gate.may_speak(stranger), 20_000)}")
    print(f"is a carrier a scanner: {timed(lambda _: gate.ignores(invite, carrier, 0.0), 20_000)}")
    signs = Signs(SignSettings())
    began = time.perf_counter()
    for number in range(1_000_000):
        signs.requested(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", invite, 0.0)
    each = (time.perf_counter() - began) * 1e6 / 1_000_000
    print(f"a million spoofed addresses: {each:.2f} µs each, {len(signs):,} remembered")
    rules = (NumberRule(form="international"), NumberRule(match=r"00(\d+)", replace=r"\1"))
    plan = NumberPlan("49")
    rewritten = timed(lambda _: rewrite("+4930123456", rules, plan), 20_000)
    print(f"a number by two rules: {rewritten}")
    worst = bounded(r"1*1*1*x")
    print(f"the worst expression that is taken: {timed(lambda _: worst.fullmatch('1' * 48), 200)}")


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    print(describe("msgspec"))
    rng = random.Random(1)
    routing(rng)
    limits()
    protection(rng)


if __name__ == "__main__":
    main()
