"""The bench of decoders, with decoders that only count."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trunkline.speech.pipes import HEADER, Kind
from trunkline.speech.sphinx_worker import Bench, Heard, confidence, is_steady, speech_level

Pcm = NDArray[np.int16]


class Ear:
    """A decoder that hears how many samples there were."""

    def __init__(self) -> None:
        self.started: list[tuple[str, str]] = []
        self.audio: list[Pcm] = []
        self.finished = 0

    def start(self, jsgf: str, words: dict[str, list[str]], mean: str) -> None:
        if jsgf == "bad":
            raise ValueError("a bad grammar")
        self.started.append((jsgf, mean))
        self.audio = []

    def hear(self, pcm: Pcm) -> None:
        assert pcm.dtype == np.int16
        self.audio.append(pcm)

    def finish(self) -> Heard:
        self.finished += 1
        return Heard(f"{sum(pcm.size for pcm in self.audio)} samples", 0.9, "mean")


class Rig:
    """A bench with its ears, and what it answers."""

    def __init__(self, ears: int = 1) -> None:
        self.ears = [Ear() for _ in range(ears)]
        self.answers: dict[int, Any] = {}
        self.order: list[int] = []
        self.dictation = Ear()
        self.made = 0
        self.bench = Bench(self.ears, self._send, self._make)  # type: ignore[arg-type]

    def _make(self) -> Ear:
        self.made += 1
        if self.made == 1:
            raise RuntimeError("no memory")
        return self.dictation

    def _send(self, data: bytes) -> None:
        kind, request, _ = HEADER.unpack(data[: HEADER.size])
        body = data[HEADER.size :]
        self.answers[request] = json.loads(body) if kind == Kind.RESULT else body.decode()
        self.order.append(request)

    def start(
        self, request: int, jsgf: str = "g", level: float | None = -26.0, **more: Any
    ) -> None:
        asked = {"jsgf": jsgf, "words": {}, "mean": "", "rate_hz": 16000, "level": level, **more}
        self.bench.take(Kind.START, request, json.dumps(asked).encode())

    def audio(self, request: int, pcm: Pcm | int) -> None:
        if isinstance(pcm, int):  # a click a second, in silence: no steady sound
            pcm = (np.arange(pcm) % 16000 < 1000).astype(np.int16) * 9000
        self.bench.take(Kind.AUDIO, request, pcm.tobytes())

    def finish(self, request: int) -> None:
        self.bench.take(Kind.FINISH, request, b"")

    def cancel(self, request: int) -> None:
        self.bench.take(Kind.CANCEL, request, b"")


def test_all_audio_of_an_utterance_reaches_the_decoder_before_the_answer() -> None:
    rig = Rig()
    rig.start(1)
    for samples in (100, 320, 5, 4000, 1):
        rig.audio(1, samples)
    rig.finish(1)
    assert rig.answers[1]["text"] == "4426 samples"
    assert rig.answers[1]["audio_ms"] == 276
    assert rig.answers[1]["mean"] == "mean"


def test_decoding_goes_on_while_audio_comes() -> None:
    rig = Rig()
    rig.start(1)
    for _ in range(50):
        rig.audio(1, 320)
    left = 50 * 320 - sum(pcm.size for pcm in rig.ears[0].audio)
    assert left < 16 * 60  # what `finish` has to do is under 60 ms of audio


def test_telephone_audio_is_brought_to_the_models_rate_and_its_empty_band_filled() -> None:
    rig = Rig()
    rig.start(1, rate_hz=8000)
    rig.audio(1, np.zeros(8000, np.int16))
    rig.finish(1)
    assert sum(pcm.size for pcm in rig.ears[0].audio) == 16000
    heard = np.concatenate(rig.ears[0].audio).astype(float) / 32768
    assert 10 * np.log10(np.mean(heard**2)) == pytest.approx(-80, abs=2)


def test_a_second_utterance_waits_for_the_decoder_and_loses_nothing() -> None:
    rig = Rig()
    rig.start(1)
    rig.start(2)
    rig.audio(1, 1000)
    rig.audio(2, 2000)
    rig.finish(2)
    assert rig.answers == {}
    rig.finish(1)
    assert rig.order == [1, 2]
    assert rig.answers[2]["text"] == "2000 samples"


def test_those_who_wait_are_served_in_order() -> None:
    rig = Rig(ears=2)
    for request in range(1, 8):
        rig.start(request)
        rig.audio(request, 100 * request)
    for request in (7, 6, 5, 4, 3):
        rig.finish(request)
    rig.finish(1)
    assert rig.order == [1, 3, 4, 5, 6, 7]
    rig.finish(2)
    assert rig.order[-1] == 2
    assert [rig.answers[n]["text"] for n in range(1, 8)] == [
        f"{100 * n} samples" for n in range(1, 8)
    ]


def test_a_cancelled_utterance_frees_its_decoder_and_gives_no_answer() -> None:
    rig = Rig()
    rig.start(1)
    rig.start(2)
    rig.start(3)
    rig.cancel(2)
    rig.cancel(1)
    rig.audio(3, 10)
    rig.finish(3)
    assert rig.order == [3]


def test_a_grammar_that_is_refused_is_an_error_and_the_decoder_stays_free() -> None:
    rig = Rig()
    rig.start(1, jsgf="bad")
    rig.audio(1, 100)
    rig.finish(1)
    assert rig.answers[1] == "a bad grammar"
    rig.start(2)
    rig.finish(2)
    assert rig.answers[2]["text"] == "0 samples"


def test_messages_of_nobody_are_ignored() -> None:
    rig = Rig()
    for kind in (Kind.AUDIO, Kind.FINISH, Kind.CANCEL):
        rig.bench.take(kind, 99, b"")
    assert rig.order == []


def test_an_utterance_is_heard_for_thirty_seconds() -> None:
    rig = Rig()
    rig.start(1)
    for _ in range(50):
        rig.audio(1, 16000)
    rig.finish(1)
    assert rig.answers[1]["audio_ms"] == 30_000


def test_the_decoder_for_dictation_is_made_once_and_when_it_is_needed() -> None:
    rig = Rig()
    rig.start(1)
    rig.finish(1)
    assert rig.made == 0
    rig.start(2, jsgf="")
    assert rig.answers[2] == "no memory"
    for request in (3, 4):
        rig.start(request, jsgf="")
    assert rig.made == 2
    rig.audio(3, 4000)
    rig.audio(4, 3000)
    rig.finish(4)
    assert 4 not in rig.answers
    rig.finish(3)
    assert [rig.answers[request]["text"] for request in (3, 4)] == ["4000 samples", "3000 samples"]
    assert rig.made == 2
    assert rig.dictation.started == [("", ""), ("", "")]
    assert len(rig.ears[0].started) == 1


def test_dictation_keeps_no_grammar_waiting() -> None:
    rig = Rig()
    rig.made = 1
    rig.start(1, jsgf="")
    rig.start(2, jsgf="")
    rig.start(3)
    rig.audio(3, 4000)
    rig.finish(3)
    assert rig.answers[3]["text"] == "4000 samples"
    rig.cancel(2)
    rig.cancel(1)
    rig.start(4, jsgf="")
    rig.audio(4, 4000)
    rig.finish(4)
    assert rig.order == [3, 4]


class TestLevels:
    def tone(self, dbov: float, samples: int = 16000) -> Pcm:
        time = np.arange(samples) / 16000
        peak = 32768 * 10 ** (dbov / 20) * 2**0.5
        return (peak * np.sin(2 * np.pi * 500 * time)).astype(np.int16)

    @pytest.mark.parametrize("dbov", [-10, -26, -40])
    def test_the_level_of_speech_ignores_the_pauses(self, dbov: float) -> None:
        line = np.concatenate([np.zeros(16000, np.int16), self.tone(dbov)])
        assert speech_level(line, 16000) == pytest.approx(dbov, abs=0.2)

    def test_silence_has_no_level(self) -> None:
        assert speech_level(np.zeros(1600, np.int16), 16000) is None
        assert speech_level(np.zeros(0, np.int16), 16000) is None

    @pytest.mark.parametrize(("dbov", "heard"), [(-40, -26), (-16, -26), (-70, -46)])
    def test_a_first_utterance_is_brought_to_the_usual_level(
        self, dbov: float, heard: float
    ) -> None:
        rig = Rig()
        rig.start(1, level=None)
        rig.audio(1, self.tone(dbov))
        rig.finish(1)
        given = np.concatenate(rig.ears[0].audio)
        assert speech_level(given, 16000) == pytest.approx(heard, abs=0.5)
        assert rig.answers[1]["level"] == pytest.approx(dbov, abs=0.5)

    def test_a_first_utterance_is_held_back_until_its_level_is_known(self) -> None:
        rig = Rig()
        rig.start(1, level=None)
        rig.audio(1, self.tone(-30, 12000))
        assert rig.ears[0].audio == []
        rig.audio(1, self.tone(-30, 1000))
        assert rig.ears[0].audio

    def test_later_ones_begin_at_once_at_the_calls_level(self) -> None:
        rig = Rig()
        rig.start(1, level=-46.0)
        rig.audio(1, self.tone(-46, 1600))
        assert speech_level(rig.ears[0].audio[0], 16000) == pytest.approx(-26, abs=0.5)


class TestSteadiness:
    @pytest.mark.parametrize("tilt", [0.0, 0.9, 0.97])
    @pytest.mark.parametrize("dbov", [-60, -20])
    def test_noise_is_steady(self, tilt: float, dbov: float) -> None:
        noise = np.random.default_rng(0).standard_normal(8000)
        for at in range(1, 8000):
            noise[at] += tilt * noise[at - 1]
        noise *= 10 ** (dbov / 20) / noise.std()
        assert is_steady((noise * 32768).clip(-32768, 32767).astype(np.int16), 8000)

    def test_a_hum_and_silence_are_steady(self) -> None:
        time = np.arange(8000) / 8000
        assert is_steady((5000 * np.sin(2 * np.pi * 50 * time)).astype(np.int16), 8000)
        assert is_steady(np.zeros(8000, np.int16), 8000)

    def test_sound_with_pauses_is_not(self) -> None:
        noise = np.random.default_rng(0).standard_normal(8000) * 1000
        noise[4000:] *= 0.1
        assert not is_steady(noise.astype(np.int16), 8000)

    def test_too_little_to_tell_is_not_called_steady(self) -> None:
        assert not is_steady(np.zeros(700, np.int16), 8000)

    def test_what_is_steady_is_not_understood_whatever_the_decoder_says(self) -> None:
        rig = Rig()
        rig.start(1)
        rig.audio(1, np.random.default_rng(0).integers(-500, 500, 16000).astype(np.int16))
        rig.finish(1)
        assert rig.answers[1]["text"] == ""
        assert rig.answers[1]["confidence"] == 0


class TestConfidence:
    @given(st.floats(-1e7, 0), st.integers(0, 100_000))
    def test_it_is_between_nothing_and_certain(self, score: float, frames: int) -> None:
        assert 0 <= confidence(score, frames) <= 1

    def test_it_falls_with_the_score_and_rises_with_the_length(self) -> None:
        assert confidence(-20, 50) > confidence(-30, 50) > confidence(-45, 50)
        assert confidence(-30, 200) > confidence(-30, 20)

    def test_nothing_is_nothing(self) -> None:
        assert confidence(0.0, 0) == 0.0

    def test_typical_sentences_are_believed_and_typical_nonsense_is_not(self) -> None:
        assert confidence(-21.5, 120) > 0.9  # median of sentences of the grammar
        assert confidence(-41.1, 120) < 0.2  # median of sentences that were not
