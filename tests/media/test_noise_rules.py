import numpy as np
import pytest

from trunkline.media.noise_rules import LogMmse, SpectralSubtraction, exponential_integral

RULES = [LogMmse, SpectralSubtraction]
SPEECH, PAUSE = np.full((1, 1), 0.2, np.float32), np.full((1, 1), 0.8, np.float32)


def settle(rule: LogMmse | SpectralSubtraction, ratio: float, hops: int = 200) -> float:
    """The gain for a steady power, ``ratio`` times the noise's."""
    ratios, speech = np.full((1, 3), ratio, np.float32), np.zeros((1, 3), np.float32)
    for _ in range(hops):
        gains = rule.gains(ratios, speech, SPEECH)
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
    ratio, speech = np.full((2, 1), 8, np.float32), np.array([[0], [20]], np.float32)
    gains = LogMmse(0.05).gains(ratio, speech, SPEECH)
    assert gains[1, 0] > 2 * gains[0, 0]


def test_the_first_hop_of_a_word_is_kept_by_its_own_power() -> None:
    """The decision-directed ratio alone knows of it one hop later, and lets 15 % through."""
    gains = LogMmse(0.05).gains(
        np.full((1, 1), 30, np.float32), np.zeros((1, 1), np.float32), SPEECH
    )
    assert gains[0, 0] > 0.5


def test_a_bin_that_sticks_out_of_a_pause_is_reduced_further_than_one_in_speech() -> None:
    ratio = np.full((2, 1), 6, np.float32)
    quiet = np.concatenate([SPEECH, PAUSE])
    gains = LogMmse(0.05).gains(ratio, np.zeros((2, 1), np.float32), quiet)
    assert gains[1, 0] < 0.6 * gains[0, 0]


@pytest.mark.parametrize("rule", RULES)
def test_gains_are_numbers_for_every_ratio_there_is(rule: type[LogMmse]) -> None:
    ratio = np.array([[0, 1e-38, 1e-20, 1, 1e3, 1e10]], np.float32)
    speech = np.zeros_like(ratio)
    for quiet in (SPEECH, PAUSE, np.ones((1, 1), np.float32)):
        gains = rule(0.1).gains(ratio, speech, quiet)
        assert ((gains >= np.float32(0.1)) & (gains <= 1)).all()
        assert np.isfinite(speech).all()
