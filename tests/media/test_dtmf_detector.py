"""Keys heard as tones: ITU-T Q.24's limits, noise, speech, many lines, anything at all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trunkline.errors import UsageError
from trunkline.media.dtmf_detector import ToneDetector
from trunkline.media.dtmf_tones import HIGH_HZ, LOW_HZ, TONE_KEYS, dtmf_audio
from trunkline.media.g711 import Law, decode, encode

RATE = 8000
KEYS = "".join(TONE_KEYS)
Wave = NDArray[np.float64]


def silence(ms: float) -> Wave:
    return np.zeros(round(ms * 8))


def tone(
    key: str,
    ms: float,
    *,
    low_off: float = 0.0,
    high_off: float = 0.0,
    twist_db: float = 0.0,
    level: float = 3000.0,
    phases: tuple[float, float] = (0.3, 1.7),
) -> Wave:
    row = next(index for index, keys in enumerate(TONE_KEYS) if key in keys)
    column = TONE_KEYS[row].index(key)
    time = np.arange(round(ms * 8)) / RATE
    low = np.sin(2 * np.pi * LOW_HZ[row] * (1 + low_off) * time + phases[0])
    high = np.sin(2 * np.pi * HIGH_HZ[column] * (1 + high_off) * time + phases[1])
    return np.asarray(level * (low + 10 ** (twist_db / 20) * high))


def heard(audio: Wave, law: Law | None = Law.ULAW) -> list[tuple[str, int]]:
    detector = ToneDetector()
    row = np.array([detector.open()])
    pcm = np.clip(np.rint(audio), -32768, 32767).astype(np.int16)
    pcm = np.pad(pcm, (0, -len(pcm) % 160 + 800))
    if law is not None:
        pcm = decode(encode(pcm, law), law)
    found = []
    for frame in pcm.reshape(-1, 160):
        found += [(key.digit, key.duration_ms) for key in detector.process(frame[None], row)]
    return found


def digits(audio: Wave) -> str:
    return "".join(digit for digit, _ in heard(audio))


def around(wave: Wave, lead: float = 50.0) -> Wave:
    return np.concatenate([silence(lead), wave, silence(100)])


# -- what must be heard ----------------------------------------------------------------------


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("lead", [50.0, 57.3, 63.9])
def test_every_key_of_40_ms_is_heard_wherever_it_begins(key: str, lead: float) -> None:
    ((digit, duration_ms),) = heard(around(tone(key, 40), lead))
    assert digit == key
    assert 35 <= duration_ms <= 45


@pytest.mark.parametrize("low_off", [-0.015, 0.015])
@pytest.mark.parametrize("high_off", [-0.015, 0.015])
def test_tones_one_and_a_half_percent_off_are_heard(low_off: float, high_off: float) -> None:
    for key in KEYS:
        assert digits(around(tone(key, 40, low_off=low_off, high_off=high_off))) == key


@pytest.mark.parametrize("twist_db", [-8.0, -4.0, 2.0, 4.0])
def test_tones_of_different_loudness_are_heard(twist_db: float) -> None:
    for key in KEYS:
        assert digits(around(tone(key, 40, twist_db=twist_db))) == key


@pytest.mark.parametrize("level", [810.0, 1284.0, 15_000.0])
def test_faint_and_loud_tones_are_heard(level: float) -> None:
    for key in KEYS:
        assert digits(around(tone(key, 40, level=level))) == key


def test_keys_are_heard_through_15_db_of_noise() -> None:
    rng = np.random.default_rng(1)
    for key in KEYS * 4:
        wave = around(tone(key, 50))
        noise = np.sqrt(3000**2 / 10**1.5)
        assert digits(wave + rng.normal(0, noise, len(wave))) == key


def test_how_long_a_key_was_pressed_is_told() -> None:
    for ms in (60, 100, 250, 1000):
        ((_, duration_ms),) = heard(around(tone("5", ms)))
        assert abs(duration_ms - ms) <= 5


def test_keys_with_a_pause_of_40_ms_are_two() -> None:
    for first, second in zip(KEYS, KEYS[3:] + KEYS[:3], strict=True):
        pause = silence(40)
        assert digits(around(np.concatenate([tone(first, 50), pause, tone(second, 50)]))) == (
            first + second
        )
        again = np.concatenate([tone(first, 50), pause, tone(first, 50)])
        assert digits(around(again)) == first * 2


def test_a_gap_of_10_ms_is_no_pause() -> None:
    for key in KEYS:
        wave = tone(key, 120)
        wave[400:480] = 0
        assert digits(around(wave)) == key


def test_keys_without_any_pause_are_told_apart() -> None:
    assert digits(around(np.concatenate([tone("1", 60), tone("9", 60), tone("#", 60)]))) == "19#"


def test_what_we_send_is_heard() -> None:
    assert digits(around(dtmf_audio("0123456789*#ABCD").astype(float))) == "0123456789*#ABCD"
    assert digits(around(dtmf_audio("12", tone_ms=1, gap_ms=1).astype(float))) == "12"


# -- what must not -------------------------------------------------------------------------------


@pytest.mark.parametrize("ms", [5, 10, 23])
def test_a_blip_is_no_key(ms: int) -> None:
    for key in KEYS:
        assert digits(around(tone(key, ms))) == ""


@pytest.mark.parametrize("off", [-0.035, 0.035, -0.05, 0.05])
@pytest.mark.parametrize("which", ["low_off", "high_off"])
def test_tones_three_and_a_half_percent_off_are_no_key(off: float, which: str) -> None:
    for key in KEYS:
        assert digits(around(tone(key, 100, **{which: off}))) == ""


@pytest.mark.parametrize("twist_db", [-14.0, -11.0, 7.0, 12.0])
def test_tones_too_different_are_no_key(twist_db: float) -> None:
    for key in KEYS:
        assert digits(around(tone(key, 100, twist_db=twist_db))) == ""


def test_what_is_too_faint_is_no_key() -> None:
    for key in KEYS:
        assert digits(around(tone(key, 100, level=40.0))) == ""


@pytest.mark.parametrize(
    "hz", [(440, 480), (350, 440), (480, 620), (425,), (697,), (1336,), (1100,)]
)
def test_other_tones_of_the_network_are_no_keys(hz: tuple[int, ...]) -> None:
    time = np.arange(RATE) / RATE
    assert (
        digits(around(sum((3000 * np.sin(2 * np.pi * f * time) for f in hz), silence(1000)))) == ""
    )


def test_three_tones_are_no_key() -> None:
    time = np.arange(RATE // 5) / RATE
    assert digits(around(tone("5", 200) + 3000 * np.sin(2 * np.pi * 941 * time))) == ""


def test_a_voice_is_no_key() -> None:
    """Vowels: harmonics of a pitch that wanders, shaped by formants that move."""
    rng = np.random.default_rng(4)
    seconds = 60
    time = np.arange(seconds * RATE) / RATE
    pitch = 90 + 120 * np.interp(time, np.linspace(0, seconds, 200), rng.random(200))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    formants = [
        np.interp(time, np.linspace(0, seconds, 300), rng.uniform(*span, 300))
        for span in ((300, 900), (900, 1700), (2200, 2800))
    ]
    voice = np.zeros(len(time))
    for harmonic in range(1, 20):
        hz = harmonic * pitch
        shape = sum(np.exp(-(((hz - f) / 120) ** 2)) for f in formants)
        voice += shape * np.sin(harmonic * phase)
    syllables = np.clip(np.sin(2 * np.pi * 3 * time) + 0.4, 0, 1)
    assert digits(6000 * voice * syllables) == ""


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.floats(0, 40_000))
def test_noise_of_any_loudness_is_no_key(seed: int, level: float) -> None:
    assert digits(np.random.default_rng(seed).normal(0, level, RATE)) == ""


# -- many lines -----------------------------------------------------------------------------------


def test_lines_do_not_disturb_each_other() -> None:
    detector = ToneDetector(capacity=1)
    rows = np.array([detector.open() for _ in range(20)])
    said = [around(tone(KEYS[n % 16], 60), 50 + 7 * n) for n in range(20)]
    frames = np.zeros((20, 40, 160), np.int16)
    for n, wave in enumerate(said):
        pcm = np.rint(wave).astype(np.int16)[:6400]
        frames[n].reshape(-1)[: len(pcm)] = pcm
    found: dict[int, str] = {}
    rng = np.random.default_rng(2)
    for tick in range(40):
        order = rng.permutation(20)
        for key in detector.process(frames[order, tick], rows[order]):
            line = int(order[key.place])
            found[line] = found.get(line, "") + key.digit
    assert found == {n: KEYS[n % 16] for n in range(20)}
    assert len(detector) == 20


def test_a_row_that_is_opened_again_remembers_nothing() -> None:
    detector = ToneDetector()
    row = detector.open()
    rows = np.array([row])
    pcm = np.rint(tone("5", 60)).astype(np.int16).reshape(-1, 160)
    for frame in pcm:
        assert detector.process(frame[None], rows) == []
    detector.close(row)
    assert detector.open() == row
    for _ in range(10):
        assert detector.process(np.zeros((1, 160), np.int16), rows) == []


def test_a_tone_that_never_ends_does_not_gather_memory() -> None:
    detector = ToneDetector()
    row = detector.open()
    frame = np.rint(tone("5", 20)).astype(np.int16)  # 20 ms is not its period: it is no clean tone
    for _ in range(700):
        detector.process(frame[None], np.array([row]))
    assert all(len(press.looks) <= 2000 for press in detector._presses.values())


def test_it_works_at_other_rates_and_only_at_those_it_can() -> None:
    detector = ToneDetector(16_000)
    row = np.array([detector.open()])
    pcm = np.pad(dtmf_audio("7", 16_000), (333, 3200))
    pcm = pcm[: len(pcm) // 320 * 320]
    keys = [k.digit for f in pcm.reshape(-1, 320) for k in detector.process(f[None], row)]
    assert keys == ["7"]
    with pytest.raises(UsageError, match="whole kilohertz"):
        ToneDetector(11_025)
