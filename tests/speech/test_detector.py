"""Voice activity of one call, from audio in pieces of any length."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.errors import UsageError
from trunkline.media import SegmentSettings
from trunkline.speech import SpeechDetector, UnknownEngine, create

from .telephone import said


def talk(rate_hz: int = 8000) -> np.ndarray:
    """A second of quiet, a second of what is loud and changing, a second of quiet."""
    rng = np.random.default_rng(1)
    audio = rng.normal(0, 0.0005, 3 * rate_hz)
    time = np.arange(rate_hz) / rate_hz
    voice = sum(np.sin(2 * np.pi * 140 * k * time) / k for k in range(1, 20))
    audio[rate_hz : 2 * rate_hz] += 0.1 * voice * (1 + np.sin(2 * np.pi * 4 * time))
    return (audio * 32767).astype(np.int16)


def test_it_says_what_a_bank_of_one_says() -> None:
    audio = talk()
    bank = create("activity", "subband", rate_hz=8000)
    rows = np.array([bank.open()])
    expected = [
        bank.process(frame[np.newaxis], rows).probability for frame in audio.reshape(-1, 160)
    ]
    heard = SpeechDetector(8000, "subband").push(audio)
    assert heard.tobytes() == np.concatenate(expected).tobytes()


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=20), st.sampled_from([8000, 24000]))
@settings(max_examples=20, deadline=None)
def test_the_length_of_the_pieces_makes_no_difference(sizes: list[int], rate_hz: int) -> None:
    audio = talk(rate_hz)[: sum(sizes)]
    whole, pieces = SpeechDetector(rate_hz, "subband"), SpeechDetector(rate_hz, "subband")
    expected = np.concatenate([whole.push(audio), whole.flush()])
    edges = np.cumsum([0, *sizes]).tolist()
    heard = [pieces.push(audio[a:b]) for a, b in zip(edges, edges[1:], strict=False)]
    assert np.allclose(np.concatenate([*heard, pieces.flush()]), expected, atol=1e-4)
    assert len(expected) * whole.window_samples >= len(audio)


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64])
def test_speech_is_found_where_it_is_at_any_rate_and_type(rate_hz: int, dtype: Any) -> None:
    audio = talk(rate_hz)
    audio = audio if dtype == np.int16 else (audio / 32768).astype(dtype)
    settings = SegmentSettings(preroll_ms=0)
    detector = SpeechDetector(rate_hz, "subband", settings)
    detector.push(audio)
    detector.flush()
    found = detector.boundaries()
    assert [one.kind for one in found] == ["start", "end"]
    assert found[0].position / rate_hz == pytest.approx(1, abs=0.15)
    assert found[1].position / rate_hz == pytest.approx(2, abs=0.25)
    assert detector.boundaries() == []


@pytest.mark.needs("silero", "flite")
@pytest.mark.parametrize("engine", ["best", "silero", "gated"])
def test_a_voice_is_heard(engine: str) -> None:
    (line,) = said(["hello there, I should like to ask you something"])
    quiet = np.zeros(8000, np.int16)
    detector = SpeechDetector(8000, engine)
    probabilities = detector.push(np.concatenate([quiet, line, quiet]))
    at = np.arange(len(probabilities)) * detector.window_samples
    assert probabilities[at < 10_000].max() < 0.5
    assert np.median(probabilities[(at > 11_000) & (at < 3000 + len(line))]) > 0.8
    assert detector.boundaries()[0].kind == "start"


def test_speech_that_goes_on_ends_with_the_recording() -> None:
    detector = SpeechDetector(8000, "subband")
    detector.push(talk()[:14000])
    assert [one.kind for one in detector.boundaries()] == ["start"]
    detector.flush()
    (end,) = detector.boundaries()
    assert end.kind == "end"
    assert end.position <= 14000 + 2 * detector.window_samples


def test_after_a_flush_and_a_reset_it_is_as_new() -> None:
    detector, fresh = SpeechDetector(8000, "subband"), SpeechDetector(8000, "subband")
    detector.push(talk()[:12345])
    detector.flush()
    detector.boundaries()
    expected = fresh.push(talk())
    assert detector.push(talk()).tobytes() == expected.tobytes()
    assert detector.boundaries() == fresh.boundaries()
    detector.reset()
    assert detector.push(talk()).tobytes() == expected.tobytes()
    assert not len(SpeechDetector(8000, "subband").flush())


def test_what_is_no_audio_is_silence_and_counted() -> None:
    detector = SpeechDetector(16000, "subband")
    heard = detector.push(np.full(3200, np.nan, np.float32))
    assert np.isfinite(heard).all()
    assert detector.faults == 1
    with pytest.raises(UsageError, match="one row"):
        detector.push(np.zeros((2, 160), np.int16))


def test_an_engine_or_a_rate_there_is_not_is_refused() -> None:
    with pytest.raises(UnknownEngine, match="subband"):
        SpeechDetector(8000, "subbend")
    with pytest.raises(UsageError, match="whole samples"):
        SpeechDetector(11025, "subband")


def test_a_bank_of_another_rate_is_resampled_to() -> None:
    bank = create("activity", "subband", rate_hz=16000)
    detector = SpeechDetector(8000, bank)
    assert detector.window_samples == 160
    assert len(detector.push(talk())) == len(talk()) // 160 - 1
