import numpy as np
import pytest

from trunkline.media.noise_power import NoiseFollower, NoiseState

BINS = 81


def fresh(follower: NoiseFollower, rows: int = 1) -> NoiseState:
    return NoiseState(
        np.full((rows, BINS), follower.quietest, np.float32),
        np.ones((rows, BINS), np.float32),
        np.zeros(rows, np.int64),
    )


def periodograms(level: float, frames: int, rows: int = 1, seed: int = 0) -> np.ndarray:
    """Of white noise, the sum of two hops that share half of their samples."""
    drawn = np.random.default_rng(seed).gamma(1.5, level / 0.75, (frames, rows, BINS))
    return drawn.astype(np.float32)


def follow(
    follower: NoiseFollower,
    state: NoiseState,
    power: np.ndarray,
    learn: np.ndarray | None = None,
    held: np.ndarray | None = None,
) -> np.ndarray:
    ratio = np.minimum(power / state.noise, np.float32(2000))
    return follower.follow(power, ratio, state, learn, held)


def run(
    follower: NoiseFollower,
    state: NoiseState,
    powers: np.ndarray,
    learn: bool = False,
    held: bool = False,
) -> None:
    told = np.full(len(state.heard), learn)
    silent = np.full(len(state.heard), held)
    for power in powers:
        follow(follower, state, power, told if learn else None, silent if held else None)


def level_db(state: NoiseState) -> float:
    return float(10 * np.log10(state.noise.mean()))


def test_the_opening_gives_its_mean() -> None:
    follower = NoiseFollower(8, stationary=False)
    state = fresh(follower)
    powers = periodograms(1.0, 8)
    run(follower, state, powers)
    np.testing.assert_allclose(state.noise, powers.mean(axis=0) / 2, rtol=1e-4)
    assert state.heard.tolist() == [8]


def test_steady_noise_is_estimated_two_decibels_low_and_stays_there() -> None:
    follower = NoiseFollower(8, stationary=False)
    state = fresh(follower)
    for seed in range(5):
        run(follower, state, periodograms(1.0, 150, seed=seed))
        assert -2.8 < level_db(state) < -1.4


@pytest.mark.parametrize("rise_db", [6, 10, 20, 30, 40])
def test_noise_that_rises_is_known_to_within_four_decibels_after_one_and_a_half_seconds(
    rise_db: int,
) -> None:
    follower = NoiseFollower(8, stationary=False)
    state = fresh(follower)
    run(follower, state, periodograms(1.0, 200))
    before = level_db(state)
    run(follower, state, periodograms(10 ** (rise_db / 10), 75, seed=1))
    assert abs(level_db(state) - before - rise_db) < 4


def test_noise_that_falls_by_twenty_decibels_is_followed_within_600_milliseconds() -> None:
    follower = NoiseFollower(8, stationary=False)
    state = fresh(follower)
    run(follower, state, periodograms(100.0, 200))
    run(follower, state, periodograms(1.0, 30, seed=1))
    assert level_db(state) < 3


def test_a_syllable_is_not_learnt() -> None:
    follower = NoiseFollower(8, stationary=False)
    state = fresh(follower)
    run(follower, state, periodograms(1.0, 200))
    run(follower, state, periodograms(300.0, 10, seed=1))
    assert level_db(state) < 3


def test_a_stationary_profile_stays_as_the_opening_made_it() -> None:
    follower = NoiseFollower(8, stationary=True)
    state = fresh(follower)
    run(follower, state, periodograms(1.0, 8))
    before = state.noise.copy()
    run(follower, state, periodograms(5.0, 100, seed=1))
    np.testing.assert_array_equal(state.noise, before)


@pytest.mark.parametrize("stationary", [False, True])
def test_what_is_said_to_be_noise_is_learnt_however_loud(stationary: bool) -> None:
    follower = NoiseFollower(8, stationary)
    state = fresh(follower)
    run(follower, state, periodograms(1.0, 50))
    run(follower, state, periodograms(1000.0, 60, seed=1), learn=True)
    assert abs(level_db(state) - 30) < 1


def test_nothing_is_learnt_from_digital_silence() -> None:
    follower = NoiseFollower(8, stationary=False)
    state = fresh(follower)
    run(follower, state, periodograms(1.0, 50))
    before = state.noise.copy()
    run(follower, state, np.zeros((500, 1, BINS), np.float32), held=True)
    np.testing.assert_array_equal(state.noise, before)


def test_silence_before_the_first_sound_is_not_the_opening() -> None:
    follower = NoiseFollower(8, stationary=False)
    state = fresh(follower)
    run(follower, state, np.zeros((100, 1, BINS), np.float32), held=True)
    assert state.heard.tolist() == [0]


def test_the_estimate_is_never_nothing() -> None:
    follower = NoiseFollower(8, stationary=False)
    state = fresh(follower)
    run(follower, state, np.zeros((500, 1, BINS), np.float32))
    assert (state.noise >= follower.quietest).all()


def test_speech_is_less_improbable_in_speech_than_in_noise() -> None:
    follower = NoiseFollower(8, stationary=False)
    state = fresh(follower)
    run(follower, state, periodograms(1.0, 100))
    pauses = [follow(follower, state, power)[0, 0] for power in periodograms(1.0, 50, seed=1)]
    spoken = [follow(follower, state, power)[0, 0] for power in periodograms(50.0, 5, seed=2)]
    assert 0.5 < np.mean(pauses) < 0.75
    assert max(spoken) < 0.3


def test_rows_learn_apart() -> None:
    """One is in its opening, one is told, one is silent, one is none of it: as if alone."""
    follower = NoiseFollower(8, stationary=False)
    powers = periodograms(1.0, 60, rows=4)
    learn, held = np.array([0, 1, 0, 0], bool), np.array([0, 0, 1, 0], bool)
    together = fresh(follower, 4)
    together.heard[1:] = 8
    alone = [fresh(follower) for _ in range(4)]
    for state in alone[1:]:
        state.heard[:] = 8
    for power in powers:
        follow(follower, together, power, learn, held)
        for row, state in enumerate(alone):
            one = slice(row, row + 1)
            follow(
                follower,
                state,
                power[one],
                learn[one] if learn[row] else None,
                held[one] if held[row] else None,
            )
    for row, state in enumerate(alone):
        assert state.noise.tobytes() == together.noise[row].tobytes()
        assert state.heard[0] == together.heard[row]
