import numpy as np
import pytest
from numpy.typing import NDArray

from trunkline.agent.endpointing import (
    LATENESS_MS,
    BlindPast,
    Pause,
    SilenceEndpointer,
    first_speech,
    last_speech,
)
from trunkline.agent.errors import BadSettingsError

RATE = 8000


def noise(samples: int, db: float, seed: int = 1) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal(samples) * 10 ** (db / 20)


def speechlike(samples: int, db: float = -23) -> NDArray[np.float64]:
    """A tone that rises and falls four times a second, as syllables do."""
    time = np.arange(samples) / RATE
    syllables = 0.6 + 0.4 * np.sin(2 * np.pi * 4 * time)
    return np.sin(2 * np.pi * 180 * time) * syllables * 10 ** (db / 20) * 1.4


def scene(
    before: int, speech: int, after: int, room_db: float = -60, db: float = -23
) -> NDArray[np.int16]:
    mix = noise(before + speech + after, room_db)
    mix[before : before + speech] += speechlike(speech, db)
    return (np.clip(mix, -1, 1) * 32767).astype(np.int16)


@pytest.mark.parametrize("room_db", [-100, -75, -60, -45])
@pytest.mark.parametrize("late_ms", [40, 105, 190, 300])
def test_the_end_of_speech_is_found_however_late_the_model_is(room_db: float, late_ms: int) -> None:
    pcm = scene(0, 2400, late_ms * 8 + 400, room_db)
    end = last_speech(pcm, 2400 + late_ms * 8, RATE)
    assert abs(end - 2400) <= 80  # 10 ms


def test_the_end_of_speech_is_found_at_other_rates() -> None:
    pcm = np.repeat(scene(0, 2400, 1600), 2)
    assert abs(last_speech(pcm, 2 * 3200, 16_000) - 4800) <= 160


def test_the_end_of_speech_is_never_after_the_models_verdict() -> None:
    pcm = scene(0, 3200, 800)
    assert last_speech(pcm, 2000, RATE) <= 2000


def test_quiet_speech_ends_where_it_ends() -> None:
    pcm = scene(0, 2400, 1600, -62, db=-40)
    assert abs(last_speech(pcm, 3200, RATE) - 2400) <= 240


def test_a_click_after_speech_is_not_its_end() -> None:
    pcm = scene(0, 2400, 1600)
    pcm[2885:2915] = 8000
    assert abs(last_speech(pcm, 3200, RATE) - 2400) <= 80


@pytest.mark.parametrize("db", [-60, -26, -200])
def test_where_levels_say_nothing_the_models_median_lateness_counts(db: float) -> None:
    pcm = (noise(4000, db) * 32767).astype(np.int16)
    assert last_speech(pcm, 3200, RATE) == 3200 - LATENESS_MS * 8


def test_very_little_audio_is_no_reason_to_fail() -> None:
    for samples in (0, 1, 39, 41, 300):
        pcm = np.zeros(samples, np.int16)
        assert last_speech(pcm, samples, RATE) == 0
        assert first_speech(pcm, samples, RATE) == samples


@pytest.mark.parametrize("room_db", [-100, -60, -45])
@pytest.mark.parametrize("early_ms", [-26, 0, 60, 150])
def test_the_beginning_of_speech_is_found_however_late_the_model_is(
    room_db: float, early_ms: int
) -> None:
    pcm = scene(1600, 2400, 0, room_db)
    first = first_speech(pcm, 1600 + early_ms * 8, RATE)
    assert abs(first - 1600) <= 80


def test_a_sound_well_before_speech_does_not_belong_to_it() -> None:
    pcm = scene(1600, 1600, 0)
    pcm[800:1000] += 3000
    assert abs(first_speech(pcm, 1700, RATE) - 1600) <= 80


def test_in_noise_the_model_is_believed() -> None:
    pcm = (noise(3000, -30) * 32767).astype(np.int16)
    assert first_speech(pcm, 1700, RATE) == 1700


def test_silence_alone_wants_the_same_silence_always() -> None:
    endpointer = SilenceEndpointer(450)
    past = BlindPast(RATE)
    pause = Pause(1000, 300, RATE, past.audio, 0, 8000)
    assert endpointer.minimum_ms == endpointer.wait_ms(pause) == 450
    with pytest.raises(BadSettingsError):
        SilenceEndpointer(0)


def test_without_audio_the_model_less_its_lateness_counts() -> None:
    past = BlindPast(RATE, late_ms=105)
    assert past.offset(8000, 9000) == 8000 - 840
    assert past.onset(-20, 300) == 0
    assert past.audio(0, 100).size == 0


def test_a_murmur_below_what_a_telephone_carries_leaves_the_model_its_word() -> None:
    murmur = np.zeros(4000)
    murmur[1600:2800] = noise(1200, -75)
    pcm = np.round(murmur * 32767).astype(np.int16)
    assert first_speech(pcm[:2800], 1700, RATE) == 1700
    assert last_speech(pcm, 3200, RATE) == 3200 - LATENESS_MS * 8


def test_a_pause_of_forty_milliseconds_is_within_a_word_and_a_longer_one_before_it() -> None:
    for gap_ms, start in ((30, 1000), (70, 2000 + 70 * 8)):
        pcm = scene(1000, 1000, 0, -100)
        pcm = np.concatenate((pcm, scene(gap_ms * 8, 1000, 0, -100)))
        assert abs(first_speech(pcm, 2600, RATE) - start) <= 80


def test_an_incomplete_block_at_the_end_of_the_audio_is_left_out() -> None:
    pcm = scene(0, 2400, 1600)
    ends = {last_speech(pcm[: 4000 - cut], 3200, RATE) for cut in (0, 1, 39)}
    assert max(ends) - min(ends) <= 40


def test_twenty_milliseconds_is_the_shortest_silence_to_end_a_turn() -> None:
    assert SilenceEndpointer(20).minimum_ms == 20
    with pytest.raises(BadSettingsError, match="at least one frame"):
        SilenceEndpointer(19)
