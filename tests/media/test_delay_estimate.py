"""How much delay a leg needs."""

import numpy as np

from trunkline.media.delay_estimate import DelayEstimate


def estimate(capacity: int = 2) -> DelayEstimate:
    return DelayEstimate(
        capacity, 8000, quantile=0.95, forget=0.983, start_ms=60, least_ms=30, most_ms=200
    )


def run(delay: DelayEstimate, lateness_ms: np.ndarray, begins: float = 0.0) -> float:
    """One packet every 20 ms; gives the time afterwards."""
    now = begins
    for late in lateness_ms:
        now += 0.02
        delay.turn(now)
        delay.observe(0, late * 8.0)
        delay.learn(now)
    return now


def wanted_ms(delay: DelayEstimate, row: int = 0) -> float:
    return float(delay.wanted[row]) / 8


def test_nothing_is_known_at_first() -> None:
    assert wanted_ms(estimate()) == 60


def test_a_good_network_needs_the_least_after_a_tenth_of_a_second() -> None:
    delay = estimate()
    run(delay, np.zeros(8))
    assert wanted_ms(delay) == 30


def test_the_delay_covers_the_lateness_seen() -> None:
    delay = estimate()
    run(delay, np.random.default_rng(1).uniform(0, 100, 1000))
    assert 90 <= wanted_ms(delay) <= 110


def test_what_is_rarer_than_the_quantile_is_not_covered() -> None:
    delay = estimate()
    lateness = np.zeros(3000)
    lateness[::200] = 150  # one in forty tenths of a second
    run(delay, lateness)
    assert wanted_ms(delay) == 30


def test_a_rough_time_is_forgotten_in_half_a_minute() -> None:
    delay = estimate()
    now = run(delay, np.random.default_rng(1).uniform(0, 100, 1000))
    run(delay, np.zeros(1500), now)
    assert wanted_ms(delay) == 30


def test_the_delay_never_exceeds_the_most() -> None:
    delay = estimate()
    run(delay, np.random.default_rng(1).uniform(0, 2000, 500))
    assert wanted_ms(delay) == 200


def test_a_slower_route_counts_as_lateness_only_for_two_seconds() -> None:
    delay = estimate()
    now = run(delay, np.zeros(500))
    now = run(delay, np.full(50, 80.0), now)
    assert delay.fastest[0] == 0
    run(delay, np.full(60, 80.0), now)
    assert delay.fastest[0] == 640


def test_drift_is_not_lateness() -> None:
    delay = estimate()
    run(delay, np.arange(5000) * 0.02 * 0.2)  # 200 ppm are 0.2 ms a second
    assert wanted_ms(delay) == 30


def test_packets_that_we_were_late_to_read_teach_nothing() -> None:
    delay = estimate()
    now = run(delay, np.zeros(10))
    delay.turn(now + 2)
    for transit in np.linspace(16000, 0, 100).tolist():
        delay.observe(0, transit)
    delay.disregard()
    delay.learn(now + 2)
    assert wanted_ms(delay) == 30
    assert delay.fastest[0] == 0


def test_after_a_long_silence_the_fastest_packet_is_a_new_one() -> None:
    delay = estimate()
    now = run(delay, np.zeros(10))
    run(delay, np.array([50.0]), now + 60)
    assert delay.fastest[0] == 400


def test_rows_observed_together_learn_as_each_alone_to_the_bit() -> None:
    rng = np.random.default_rng(3)
    together, alone = estimate(4), estimate(4)
    for tick in range(500):
        rows, now = rng.permutation(4)[: rng.integers(0, 5)], tick * 0.02
        transits = rng.uniform(0, 400, len(rows)) + tick * rows
        together.observe_each(rows, transits)
        for row, transit in zip(rows.tolist(), transits.tolist(), strict=True):
            alone.observe(row, transit)
        for delay in (together, alone):
            delay.turn(now)
            delay.learn(now)
        assert np.array_equal(together.fastest, alone.fastest)
        assert np.array_equal(together.wanted, alone.wanted)


def test_the_fastest_packet_is_that_of_the_last_two_seconds() -> None:
    rng = np.random.default_rng(4)
    delay, quarters = estimate(1), [[float("inf")]]
    for tick in range(1000):
        now = tick * 0.02
        delay.turn(now)
        if tick and int(now // 0.25) > int((tick - 1) * 0.02 // 0.25):
            quarters.append([])
        transit = float(rng.normal(0, 1000))
        delay.observe(0, transit)
        quarters[-1].append(transit)
        assert delay.fastest[0] == min(min(quarter) for quarter in quarters[-8:])


def test_rows_learn_apart_and_growing_or_resetting_concerns_one() -> None:
    delay = estimate(1)
    run(delay, np.random.default_rng(1).uniform(0, 100, 500))
    before = wanted_ms(delay)
    delay.grow(3)
    assert (wanted_ms(delay), wanted_ms(delay, 2)) == (before, 60)
    delay.reset(0)
    assert wanted_ms(delay) == 60
