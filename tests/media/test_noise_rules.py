import numpy as np
import pytest

from trunkline.media.noise_rules import LogMmse, SpectralSubtraction, exponential_integral

RULES = [LogMmse, SpectralSubtraction]


def settle(rule: LogMmse | SpectralSubtraction, ratio: float, hops: int = 200) -> float:
    """The gain for a steady power, ``ratio`` times the noise's."""
    power, noise = np.full((1, 3), ratio, np.float32), np.ones((1, 3), np.float32)
    speech = np.zeros((1, 3), np.float32)
    for _ in range(hops):
        gains = rule.gains(power, noise, speech)
    return float(gains[0, 1])


@pytest.mark.parametrize(
    ("argument", "value"),
    # Abramowitz and Stegun, tables 5.1 and 5.2.
    [(0.01, 4.0379296), (0.5, 0.5597736), (1.0, 0.2193839), (2.0, 0.0489005), (10.0, 4.156969e-6)],
)
def test_the_exponential_integral_is_that_of_the_tables(argument: float, value: float) -> None:
    found = exponential_integral(np.array([argument]))[0]
    assert found == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_what_is_far_above_the_noise_is_kept(rule: type[LogMmse]) -> None:
    assert settle(rule(0.1), 1e6) > 0.99


@pytest.mark.parametrize("rule", RULES)
def test_noise_is_reduced_to_the_floor_and_no_further(rule: type[LogMmse]) -> None:
    assert settle(rule(0.1), 1.0) == pytest.approx(0.1)


@pytest.mark.parametrize("rule", RULES)
def test_a_floor_of_one_alters_nothing(rule: type[LogMmse]) -> None:
    for ratio in (0.0, 0.5, 1.0, 3.0, 100.0):
        assert settle(rule(1.0), ratio) == 1.0


@pytest.mark.parametrize("rule", RULES)
def test_more_is_kept_of_what_is_further_above_the_noise(rule: type[LogMmse]) -> None:
    gains = [settle(rule(0.01), ratio) for ratio in (1, 2, 4, 8, 16, 64, 256)]
    assert gains == sorted(gains)


def test_speech_after_speech_is_kept_better_than_speech_after_noise() -> None:
    rule = LogMmse(0.05)
    power, noise = np.full((2, 1), 8, np.float32), np.ones((2, 1), np.float32)
    speech = np.array([[0], [20]], np.float32)
    gains = rule.gains(power, noise, speech)
    assert gains[1, 0] > 2 * gains[0, 0]
