"""A generated network: as bad as it was asked for, and the same each time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import UsageError
from trunkline.media.network_pattern import NetworkPattern


def bursts(lost):
    edges = np.flatnonzero(np.diff(np.concatenate([[0], lost.astype(int), [0]])))
    return np.diff(edges.reshape(-1, 2), axis=1).ravel()


def test_a_good_network_delays_and_loses_nothing() -> None:
    assert not NetworkPattern().delays_ms(500).any()


def test_the_same_seed_gives_the_same_network_and_another_another() -> None:
    one = NetworkPattern(0.1, 3, 30, seed=5).delays_ms(400)
    np.testing.assert_array_equal(one, NetworkPattern(0.1, 3, 30, seed=5).delays_ms(400))
    assert (one != NetworkPattern(0.1, 3, 30, seed=6).delays_ms(400)).any()


def test_another_loss_leaves_the_delays_alone() -> None:
    calm = NetworkPattern(jitter_ms=30).delays_ms(400)
    lossy = NetworkPattern(0.2, jitter_ms=30).delays_ms(400)
    there = ~np.isnan(lossy)
    np.testing.assert_array_equal(calm[there], lossy[there])


@pytest.mark.parametrize(("loss", "burst"), [(0.1, 1), (0.1, 4), (0.3, 2), (0.9, 1)])
def test_loss_and_bursts_are_those_asked_for(loss: float, burst: float) -> None:
    lost = np.isnan(NetworkPattern(loss, burst).delays_ms(40_000))
    assert lost.mean() == pytest.approx(loss, rel=0.1)
    assert bursts(lost).mean() == pytest.approx(max(burst, 1 / (1 - loss)), rel=0.1)


def test_everything_can_be_lost() -> None:
    assert np.isnan(NetworkPattern(1.0, 5).delays_ms(50)).all()


def test_jitter_is_the_mean_of_what_comes_on_top() -> None:
    delays = NetworkPattern(jitter_ms=30).delays_ms(20_000)
    assert delays.min() >= 0
    assert delays.mean() == pytest.approx(30, rel=0.05)


@given(st.floats(0, 1), st.floats(1, 1000), st.integers(0, 60))
def test_any_network_has_a_delay_or_a_loss_for_each_packet(loss, burst, packets) -> None:
    delays = NetworkPattern(loss, burst, 10).delays_ms(packets)
    assert delays.shape == (packets,)
    assert ((delays >= 0) | np.isnan(delays)).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"loss": -0.1},
        {"loss": 1.1},
        {"loss": float("nan")},
        {"burst": 0.5},
        {"burst": float("inf")},
        {"jitter_ms": -1},
        {"jitter_ms": float("nan")},
        {"jitter_ms": 1e9},
        {"seed": -1},
    ],
)
def test_a_network_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        NetworkPattern(**wrong)  # type: ignore[arg-type]
