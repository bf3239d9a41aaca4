import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.errors import UsageError
from trunkline.media.noise import METHODS, NoiseBank, NoiseSettings, noise_stage
from trunkline.media.stage import Bypass

RATES = [8000, 16000, 24000, 48000]
BANKS = ["logmmse", "spectral"]
GARBAGE = [np.nan, np.inf, -np.inf, 1e38, -1e30]


def white(rows: int, samples: int, level_dbov: float = -40.0, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 10 ** (level_dbov / 20), (rows, samples))
    return noise.astype(np.float32)


def voice(samples: int, rate_hz: int = 8000, level: float = 0.1) -> np.ndarray:
    """Bursts of a voiced sound: harmonics of 140 Hz, on for 300 ms and off for 200 ms."""
    at = np.arange(samples) / rate_hz
    tone = sum(np.sin(2 * np.pi * 140 * order * at) / order for order in range(1, 12))
    return (level * tone * (at % 0.5 < 0.3)).astype(np.float32)


def bank(method: str = "logmmse", rate_hz: int = 8000, rows: int = 1, **options: object):
    made = NoiseBank(rate_hz, NoiseSettings(method, **options), capacity=max(rows, 1))
    return made, np.array([made.open() for _ in range(rows)], np.intp)


def run(stage: NoiseBank, rows: np.ndarray, audio: np.ndarray) -> np.ndarray:
    frame = stage.frame_samples
    blocks = [
        stage.process(np.ascontiguousarray(audio[:, at : at + frame]), rows)
        for at in range(0, audio.shape[1], frame)
    ]
    return np.concatenate(blocks, axis=1)


def level_db(audio: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(audio.astype(np.float64) ** 2)))


@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("method", BANKS)
def test_noise_alone_is_reduced_by_nearly_the_strength(method: str, rate_hz: int) -> None:
    stage, rows = bank(method, rate_hz, strength=1.0)
    noise = white(1, rate_hz * 3)
    out = run(stage, rows, noise)
    reduced = level_db(noise[:, rate_hz:]) - level_db(out[:, rate_hz:])
    assert 10 < reduced <= 20.1


def test_more_strength_reduces_more() -> None:
    noise, levels = white(1, 16000), []
    for strength in (0.0, 0.25, 0.5, 0.75, 1.0):
        stage, rows = bank(strength=strength)
        levels.append(level_db(run(stage, rows, noise)[:, 8000:]))
    assert levels == sorted(levels, reverse=True)
    assert levels[0] - levels[-1] > 9


@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("method", BANKS)
def test_without_strength_it_is_a_delay_of_ten_milliseconds(method: str, rate_hz: int) -> None:
    stage, rows = bank(method, rate_hz, strength=0.0)
    audio = white(1, rate_hz // 5, -20)
    out = run(stage, rows, audio)
    late = stage.delay_samples
    assert late == rate_hz // 100
    np.testing.assert_allclose(out[:, late:], audio[:, :-late], atol=2e-7)


def test_a_voice_in_noise_gains_in_ratio_and_keeps_its_level() -> None:
    clean, noise = voice(8000 * 6)[np.newaxis], white(1, 8000 * 6, -35)
    stage, rows = bank(strength=1.0)
    out = run(stage, rows, clean + noise)[:, stage.delay_samples :]
    clean = clean[:, : out.shape[1]]
    spoken = np.abs(clean) > 0
    spoken[:, :16000] = False
    pause = ~spoken
    pause[:, :16000] = False
    assert abs(level_db(out[spoken]) - level_db(clean[spoken])) < 1
    assert level_db(out[pause]) < level_db(noise) - 9


@pytest.mark.parametrize("method", BANKS)
def test_a_caller_who_speaks_at_once_is_heard(method: str) -> None:
    stage, rows = bank(method, strength=1.0)
    audio = voice(8000)[np.newaxis] + white(1, 8000, -50)
    out = run(stage, rows, audio)[:, stage.delay_samples :]
    np.testing.assert_allclose(out[:, 80:1440], audio[:, 80:1440], atol=1e-6)


@given(
    seed=st.integers(0, 2**32 - 1),
    rate_hz=st.sampled_from(RATES),
    method=st.sampled_from(BANKS),
    rows=st.integers(1, 300),
)
@settings(max_examples=12, deadline=None)
def test_a_row_is_the_same_bits_alone_and_among_others(
    seed: int, rate_hz: int, method: str, rows: int
) -> None:
    rng = np.random.default_rng(seed)
    many, numbers = bank(method, rate_hz, rows)
    one, only = bank(method, rate_hz)
    chosen = int(rng.integers(rows))
    frame = many.frame_samples
    for _ in range(14):
        levels = 10 ** rng.uniform(-5, 0, (rows, 1))
        block = (rng.normal(0, 1, (rows, frame)) * levels).astype(np.float32)
        block[rng.random(rows) < 0.2] = 0
        order = rng.permutation(rows)
        learn = rng.random(rows) < 0.2
        out = many.process(block[order], numbers[order], learn[order])
        alone = one.process(block[[chosen]], only, learn[[chosen]])
        assert out[np.flatnonzero(order == chosen)].tobytes() == alone.tobytes()


@given(
    seed=st.integers(0, 2**32 - 1),
    garbage=st.sampled_from(GARBAGE),
    method=st.sampled_from(BANKS),
)
@settings(max_examples=20, deadline=None)
def test_garbage_in_one_row_changes_no_bit_of_another(
    seed: int, garbage: float, method: str
) -> None:
    rng = np.random.default_rng(seed)
    spoilt, rows = bank(method, rows=5)
    whole, _ = bank(method, rows=5)
    bad = int(rng.integers(5))
    others = np.delete(np.arange(5), bad)
    for number in range(12):
        block = rng.normal(0, 0.1, (5, 160)).astype(np.float32)
        expected = whole.process(block, rows)
        if number % 3 == 1:
            block[bad, rng.integers(160, size=7)] = garbage
        out = spoilt.process(block, rows)
        assert out[others].tobytes() == expected[others].tobytes()
        assert np.isfinite(out).all()
    assert spoilt.faults[rows[bad]] == 4
    assert spoilt.faults[rows[others]].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("method", BANKS)
@pytest.mark.parametrize("garbage", GARBAGE)
def test_a_row_recovers_from_garbage(method: str, garbage: float) -> None:
    stage, rows = bank(method, strength=1.0)
    run(stage, rows, white(1, 8000))
    run(stage, rows, np.full((1, 800), garbage, np.float32))
    out = run(stage, rows, white(1, 16000, seed=1))
    assert level_db(out[:, 8000:]) < -49


@pytest.mark.parametrize("method", BANKS)
def test_the_loudest_audio_stays_finite(method: str) -> None:
    stage, rows = bank(method)
    loud = np.where(white(1, 16000) > 0, 512, -512).astype(np.float32)
    assert np.isfinite(run(stage, rows, loud)).all()
    assert np.isfinite(run(stage, rows, white(1, 16000))).all()


def test_clipped_speech_stays_within_reach_of_full_scale() -> None:
    stage, rows = bank()
    clipped = np.clip(voice(16000, level=3.0), -1, 1)[np.newaxis]
    assert np.abs(run(stage, rows, clipped)).max() < 1.6


@pytest.mark.parametrize("method", BANKS)
def test_silence_gives_silence(method: str) -> None:
    stage, rows = bank(method)
    assert not run(stage, rows, np.zeros((1, 16000), np.float32)).any()


def test_ten_seconds_of_silence_do_not_wipe_out_what_is_known_of_the_noise() -> None:
    stage, rows = bank(strength=1.0)
    run(stage, rows, white(1, 16000))
    before = stage.noise_dbov(0)
    run(stage, rows, np.zeros((1, 80000), np.float32))
    assert stage.noise_dbov(0) == pytest.approx(before, abs=1.5)
    out = run(stage, rows, white(1, 4000, seed=3))
    assert level_db(out[:, 800:]) < -49


def test_a_call_that_begins_with_digital_silence_learns_from_its_first_sound() -> None:
    stage, rows = bank(strength=1.0)
    run(stage, rows, np.zeros((1, 8000), np.float32))
    assert not stage.has_profile(0)
    out = run(stage, rows, white(1, 8000))
    assert stage.has_profile(0)
    assert level_db(out[:, 4000:]) < -49


@pytest.mark.parametrize("level_dbov", [-60.0, -40.0, -20.0])
def test_the_level_of_the_noise_is_known(level_dbov: float) -> None:
    stage, rows = bank(opening_frames=50)
    run(stage, rows, white(1, 8000, level_dbov))
    assert stage.noise_dbov(0) == pytest.approx(level_dbov, abs=0.5)


def test_a_profile_is_learnt_from_silence_before_the_call_speaks() -> None:
    stage, rows = bank(strength=1.0, stationary=True)
    stage.learn_noise(0, white(1, 8000)[0])
    assert stage.has_profile(0)
    assert stage.noise_dbov(0) == pytest.approx(-40, abs=0.5)
    out = run(stage, rows, white(1, 8000, seed=5))
    assert level_db(out[:, 800:]) < -48


def test_a_stationary_profile_does_not_follow_and_the_other_does() -> None:
    louder = []
    for stationary in (True, False):
        stage, rows = bank(stationary=stationary, strength=1.0)
        run(stage, rows, white(1, 8000, -60))
        run(stage, rows, white(1, 24000, -30, seed=1))
        louder.append(stage.noise_dbov(0))
    assert louder[0] == pytest.approx(-60, abs=2)
    assert louder[1] == pytest.approx(-31, abs=3)


def test_rows_told_to_be_noise_are_learnt_from_and_others_not() -> None:
    stage, rows = bank(rows=2)
    run(stage, rows, white(2, 8000, -60))
    loud = np.tile(voice(8000)[np.newaxis], (2, 1)) + white(2, 8000, -60)
    for at in range(0, 1600, 160):
        stage.process(loud[:, at : at + 160], rows, np.array([True, False]))
    assert stage.noise_dbov(0) > stage.noise_dbov(1) + 15


def test_a_reset_row_is_as_if_new() -> None:
    stage, rows = bank()
    fresh, _ = bank()
    run(stage, rows, white(1, 8000, -20))
    stage.reset(0)
    audio = white(1, 8000, seed=9)
    assert run(stage, rows, audio).tobytes() == run(fresh, rows, audio).tobytes()


def test_a_row_opened_again_remembers_nothing_and_the_bank_grows() -> None:
    stage, rows = bank(rows=2)
    run(stage, rows, white(2, 1600, -10))
    stage.close(1)
    assert stage.open() == 1
    rows = np.array([*rows, *(stage.open() for _ in range(200))], np.intp)
    fresh, only = bank()
    audio = white(202, 1600, seed=2)
    assert run(stage, rows, audio)[1].tobytes() == run(fresh, only, audio[[1]]).tobytes()


def test_an_empty_block_is_an_empty_block() -> None:
    stage, _ = bank()
    assert stage.process(np.empty((0, 160), np.float32), np.empty(0, np.intp)).shape == (0, 160)


def test_the_callers_block_is_not_changed() -> None:
    stage, rows = bank()
    block = white(1, 160)
    before = block.tobytes()
    stage.process(block, rows)
    assert block.tobytes() == before


@pytest.mark.parametrize(
    "learn", [np.array([True, False]), np.array([1]), np.array([[True]]), np.array([0.5])]
)
def test_what_to_learn_is_one_bool_a_row(learn: np.ndarray) -> None:
    stage, rows = bank()
    with pytest.raises(UsageError, match="learn"):
        stage.process(white(1, 160), rows, learn)


@pytest.mark.parametrize(
    "audio",
    [white(1, 159)[0], white(1, 160), white(1, 160)[0].astype(np.float64), np.empty(0, np.float32)],
)
def test_a_profile_needs_a_frame_of_float32(audio: np.ndarray) -> None:
    stage, _ = bank()
    with pytest.raises(UsageError, match="profile"):
        stage.learn_noise(0, audio)


def test_a_row_that_is_not_open_is_refused_everywhere() -> None:
    stage, _ = bank()
    for use in (stage.close, stage.reset, stage.noise_dbov, stage.has_profile):
        with pytest.raises(UsageError):
            use(5)
    with pytest.raises(UsageError):
        stage.learn_noise(5, white(1, 160)[0])


def test_an_unknown_method_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="logmmse, off, spectral"):
        NoiseSettings("magic")


@pytest.mark.parametrize(
    "wrong",
    [
        {"strength": -0.1},
        {"strength": 1.1},
        {"strength": float("nan")},
        {"opening_frames": 0},
        {"opening_frames": 501},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        NoiseSettings(**wrong)


@pytest.mark.parametrize("rate_hz", [7999, 11025, 22050, 96000])
def test_a_rate_without_whole_hops_is_refused(rate_hz: int) -> None:
    with pytest.raises(UsageError, match="resample"):
        NoiseBank(rate_hz, NoiseSettings())


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_is_a_stage_for_every_rate(method: str) -> None:
    for rate_hz in RATES:
        stage = noise_stage(rate_hz, NoiseSettings(method))
        row = stage.open()
        block = white(1, stage.frame_samples)
        out = stage.process(block, np.array([row], np.intp))
        assert out.shape == block.shape
        assert out.dtype == np.float32
        assert stage.delay_samples <= rate_hz // 100
        stage.reset(row)
        stage.close(row)


def test_off_is_a_bypass() -> None:
    assert isinstance(noise_stage(8000, NoiseSettings("off")), Bypass)
    assert isinstance(noise_stage(8000), NoiseBank)


def test_ten_seconds_of_direct_current_leave_no_trace() -> None:
    stage, rows = bank(strength=1.0)
    run(stage, rows, white(1, 8000))
    assert np.isfinite(run(stage, rows, np.full((1, 80000), 0.9, np.float32))).all()
    out = run(stage, rows, white(1, 24000, seed=1))
    assert level_db(out[:, 16000:]) < -49


@pytest.mark.parametrize("steps", [(-90, -3), (-3, -90), (-60, 0, -60, 0)])
@pytest.mark.parametrize("method", BANKS)
def test_extreme_steps_of_level_stay_within_what_came_in(method: str, steps: tuple) -> None:
    stage, rows = bank(method, strength=1.0)
    audio = np.concatenate([white(1, 8000, level, seed=9) for level in steps], axis=1)
    out = run(stage, rows, audio)
    assert np.abs(out).max() < 1.5 * np.abs(audio).max()
    assert np.isfinite(out).all()


def bursts(audio: np.ndarray) -> float:
    """How far single bins stick out of a noise: the second moment of power over its mean."""
    windows = np.lib.stride_tricks.sliding_window_view(audio[0], 256)[::128] * np.hanning(256)
    power = np.abs(np.fft.rfft(windows, axis=1))[:, 4:-4] ** 2
    return float(np.mean(power**2) / np.mean(power) ** 2)


def test_what_is_left_of_the_noise_is_hardly_more_musical_than_the_noise() -> None:
    """1 would be none more; 20 dB of plain subtraction leave more than 10."""
    noise = white(1, 8000 * 12)
    stage, rows = bank()
    out = run(stage, rows, noise)
    assert bursts(out[:, 16000:]) / bursts(noise[:, 16000:]) < 2


def test_the_noise_does_not_swell_at_the_pauses_of_a_talker() -> None:
    """The first 100 ms of each pause are no louder than its end by more than 4 dB."""
    audio = voice(8000 * 8)[np.newaxis] + white(1, 8000 * 8, -40)
    stage, rows = bank()
    out = run(stage, rows, audio)[:, stage.delay_samples :]
    turns = out[:, 16000 : 16000 + 4000 * 11].reshape(11, 4000)
    early, late = level_db(turns[:, 2640:3200]), level_db(turns[:, 3200:3920])
    assert abs(early - late) < 4


@pytest.mark.parametrize("strength", [0.5, 0.8, 1.0])
def test_a_voice_keeps_its_level_within_one_decibel(strength: float) -> None:
    clean = voice(8000 * 6)[np.newaxis]
    stage, rows = bank(strength=strength)
    out = run(stage, rows, clean + white(1, 8000 * 6, -40))[:, stage.delay_samples :]
    clean = clean[:, : out.shape[1]]
    spoken = np.abs(clean) > 0
    spoken[:, :16000] = False
    assert abs(level_db(out[spoken]) - level_db(clean[spoken])) < 1


@pytest.mark.parametrize("method", BANKS)
def test_rows_of_nothing_are_left_out_and_come_back_as_they_were(method: str) -> None:
    """A pause of zeros in one row changes no bit of the other, whatever is left out."""
    paused, rows = bank(method, rows=2)
    whole, _ = bank(method, rows=2)
    audio = white(2, 160 * 40)
    with_pause = audio.copy()
    with_pause[0, 160 * 15 : 160 * 30] = 0
    out, expected = run(paused, rows, with_pause), run(whole, rows, audio)
    assert out[1].tobytes() == expected[1].tobytes()
    assert not out[0, 160 * 16 : 160 * 30].any()
    assert level_db(out[:1, 160 * 31 :]) < -45
    shorter, only = bank(method)
    cut = np.delete(with_pause[:1], np.s_[160 * 17 : 160 * 30], axis=1)
    again = run(shorter, only, cut)[0]
    assert again[160 * 17 :].tobytes() == out[0, 160 * 30 :].tobytes()
