"""Calls with echo, made up: speech both ways, rooms, delays, clocks, loudspeakers.

A scene of 32 s: the far end talks all the time; until 14 s there is only its echo, until
20 s the near end talks too, at 24 s the room changes and the echo comes 30 ms later.
Rooms of the development set are a direct path and decaying noise; those of the held-out set
have single reflections first, and their high tones die away sooner. Nothing else of it
(sentences, voices, delays, drifts) is in the development set either. Where recorded prompts
are installed, they speak in both; else a synthetic voice does in their place.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

import _recordings
from _noises import say
from trunkline.media.frames import to_float, to_int16
from trunkline.media.g711 import Law, decode, encode

__all__ = [
    "CHANGE",
    "DEV",
    "DOUBLE_TALK",
    "HELD_OUT",
    "SECONDS",
    "Material",
    "Scene",
    "make",
    "talk",
]

SECONDS = 32
DOUBLE_TALK = (14, 20)
CHANGE = 24
SPEECH_DBOV, ROOM_DBOV = -26.0, -60.0
SENTENCES = {
    "dev": (
        "The birch canoe slid on the smooth planks.",
        "Glue the sheet to the dark blue background.",
        "It is easy to tell the depth of a well.",
        "These days a chicken leg is a rare dish.",
        "Rice is often served in round bowls.",
        "The juice of lemons makes fine punch.",
        "Four hours of steady work faced us.",
        "A large size in stockings is hard to sell.",
    ),
    "dev 2": (
        "Your appointment with the dentist is on Tuesday at a quarter past nine.",
        "I am sorry, the line was bad, could you say that again?",
        "We have three rooms left, and all of them look onto the garden.",
        "If you want to change your order, tell me the number first.",
        "The next train leaves from platform six in eleven minutes.",
        "Thank you for waiting, I have found your contract now.",
        "No, that is not what I meant, please listen.",
        "Nobody answered the door when the driver came yesterday.",
    ),
    "held out": (
        "Please keep your ticket until you have left the station.",
        "Which of the two bicycles would you like to have repaired first?",
        "The invoice was sent on the third, and we have not heard from you since.",
        "Could you spell the name of the street for me, slowly?",
        "Our opening hours over the holidays are from ten to four.",
        "Wait a moment, somebody is at the other line.",
        "The doctor will ring you back as soon as the results are there.",
        "There is no need to bring your own towels or sheets.",
    ),
}


@dataclass(frozen=True, slots=True)
class Scene:
    """What one call is made of."""

    delay_ms: float
    return_loss_db: float
    reverb_seconds: float
    drift_ppm: float = 0.0
    ulaw: bool = False
    saturation: float = 0.0
    """Of the loudspeaker: tanh with so much drive; 0 is linear."""
    voices: tuple[str, str] = ("slt", "rms")
    """Far and near: of flite, ``espeak:`` and one of espeak-ng's, or ``recorded``."""
    seed: int = 1
    texts: str = "dev"
    damped: bool = False
    """Whether the room has single reflections and a darker tail."""


DEV = (
    Scene(40, 6, 0.25, seed=11),
    Scene(150, 8, 0.3, ulaw=True, saturation=0.5, voices=("rms", "slt"), seed=12),
    Scene(350, 5, 0.2, ulaw=True, voices=("awb", "slt"), seed=13),
    Scene(90, 6, 0.3, drift_ppm=50, saturation=0.5, voices=("slt", "kal16"), seed=14),
    Scene(220, 9, 0.25, drift_ppm=-50, ulaw=True, voices=("rms", "awb"), seed=15),
    Scene(60, 4, 0.35, saturation=1.0, voices=("kal16", "slt"), seed=16),
    # These were held out until what they showed was used.
    Scene(30, 7, 0.28, voices=("awb", "rms"), seed=91, texts="dev 2"),
    Scene(110, 4, 0.22, True * 0.0, True, 0.4, ("slt", "awb"), 92, "dev 2"),
    Scene(280, 8, 0.33, ulaw=True, saturation=0.7, voices=("rms", "kal16"), seed=93,
          texts="dev 2"),
    Scene(420, 6, 0.25, voices=("kal16", "slt"), saturation=0.4, seed=94, texts="dev 2"),
    Scene(170, 10, 0.3, drift_ppm=30, saturation=0.4, voices=("slt", "rms"), seed=95,
          texts="dev 2"),
    Scene(75, 5, 0.26, drift_ppm=50, ulaw=True, voices=("rms", "slt"), seed=96,
          texts="dev 2"),
    Scene(130, 12, 0.3, ulaw=True, voices=("recorded", "slt"), seed=17),
    Scene(50, 7, 0.25, voices=("rms", "recorded"), drift_ppm=-30, seed=18),
)  # fmt: skip
_US, _RP = "espeak:en-us", "espeak:en-gb-x-rp"
HELD_OUT = (
    Scene(25, 6, 0.2, 0.0, True, 0.0, ("kal16", "awb"), 7001, "held out", True),
    Scene(95, 9, 0.38, 0.0, False, 0.6, ("recorded", "rms"), 7002, "held out", True),
    Scene(200, 5, 0.27, 0.0, True, 0.3, ("slt", "recorded"), 7003, "held out", True),
    Scene(310, 11, 0.32, 0.0, True, 0.0, ("recorded", _RP), 7004, "held out", True),
    Scene(460, 7, 0.24, 0.0, False, 0.8, (_US, "kal16"), 7005, "held out", True),
    Scene(140, 8, 0.29, 50.0, False, 0.5, ("awb", "recorded"), 7006, "held out", True),
    Scene(65, 4, 0.34, -50.0, True, 0.4, ("recorded", "slt"), 7007, "held out", True),
    Scene(250, 14, 0.3, 50.0, True, 0.0, ("rms", _US), 7008, "held out", True),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Material:
    """One scene's audio, float32 at full scale 1.0."""

    far: NDArray[np.float32]
    near: NDArray[np.float32]
    """The near end's own speech, without echo or noise."""
    mic: NDArray[np.float32]
    quiet: NDArray[np.float32]
    """What the microphone would hear with a silent far end."""


def make(scene: Scene, rate_hz: int) -> Material:
    """Play one scene."""
    rng = np.random.default_rng(scene.seed)
    samples = SECONDS * rate_hz
    far = talk(scene.texts, scene.voices[0], samples, rate_hz, 0)
    near = np.zeros(samples)
    first, last = (second * rate_hz for second in DOUBLE_TALK)
    near[first:last] = talk(scene.texts, scene.voices[1], last - first, rate_hz, 3)
    sent = _law(far) if scene.ulaw else far
    played = (
        np.tanh(scene.saturation * 3 * sent) / 3 / scene.saturation if scene.saturation else sent
    )
    before = _room(rng, scene, rate_hz, 0)
    after = _room(rng, scene, rate_hz, 30)
    cut = CHANGE * rate_hz
    echo = np.concatenate([_convolve(played, before)[:cut], _convolve(played, after)[cut:samples]])
    echo *= 10 ** (-scene.return_loss_db / 20)
    echo = _warp(echo, scene.drift_ppm)
    tone = 10 ** (ROOM_DBOV / 20) * rng.standard_normal(samples)
    mic, quiet = near + echo + tone, near + tone
    if scene.ulaw:
        mic, quiet = _law(mic), _law(quiet)
    return Material(*(audio.astype(np.float32) for audio in (sent, near, mic, quiet)))


@lru_cache(maxsize=64)
def _cached(texts: str, voice: str, samples: int, rate_hz: int, start: int) -> bytes:
    if voice == "recorded" and _recordings.missing() is None:
        names = _recordings.HELD_OUT if texts == "held out" else _recordings.DEVELOPMENT
        return _recordings.talk(names, samples, rate_hz, start).tobytes()
    pieces: list[NDArray[np.float64]] = []
    sentences = SENTENCES[texts]
    number = start
    while sum(map(len, pieces)) < samples:
        pieces.append(_sentence(sentences[number % len(sentences)], voice, rate_hz))
        pieces.append(np.zeros(int(rate_hz * (0.15 + 0.1 * (number % 3)))))
        number += 1
    return np.concatenate(pieces)[:samples].tobytes()


def talk(texts: str, voice: str, samples: int, rate_hz: int, start: int) -> NDArray[np.float64]:
    """One voice that goes on talking, -26 dBov."""
    return np.frombuffer(_cached(texts, voice, samples, rate_hz, start))


def _sentence(text: str, voice: str, rate_hz: int) -> NDArray[np.float64]:
    audio = say(text, "slt" if voice == "recorded" else voice, rate_hz)
    block = rate_hz // 100
    levels = 10 * np.log10(
        (audio[: len(audio) // block * block].reshape(-1, block) ** 2).mean(1) + 1e-12
    )
    loud = audio[: len(levels) * block].reshape(-1, block)[levels > -45]
    return np.asarray(audio * 10 ** (SPEECH_DBOV / 20) / np.sqrt((loud**2).mean()))


def _room(
    rng: np.random.Generator, scene: Scene, rate_hz: int, later_ms: int
) -> NDArray[np.float64]:
    """A direct path and a tail 3 dB below it, of total power one, after the delay."""
    at = np.arange(int(scene.reverb_seconds * rate_hz)) / rate_hz
    tail = rng.standard_normal(len(at)) * np.exp(-6.9 * at / scene.reverb_seconds)
    if scene.damped:
        tail = _damp(rng, tail, at, scene.reverb_seconds)
    tail[: int(0.002 * rate_hz)] = 0
    tail *= 10 ** (-3 / 20) / np.sqrt((tail**2).sum())
    tail[0] = 1.0
    tail /= np.sqrt((tail**2).sum())
    return np.concatenate([np.zeros(int((scene.delay_ms + later_ms) * rate_hz / 1000)), tail])


def _damp(
    rng: np.random.Generator,
    tail: NDArray[np.float64],
    at: NDArray[np.float64],
    reverb_seconds: float,
) -> NDArray[np.float64]:
    """High tones die away twice as fast; six reflections in the first 25 ms."""
    dark = np.convolve(tail, np.ones(4) / 2)[: len(tail)]
    mix = np.exp(-6.9 * at / reverb_seconds)
    tail = mix * tail + (1 - mix) * dark
    early = int(0.025 * len(at) / reverb_seconds)
    tail[:early] *= 0.3
    places = rng.integers(early // 8, early, 6)
    tail[places] += rng.choice((-1.0, 1.0), 6) * rng.uniform(0.5, 2, 6)
    return tail


def _convolve(audio: NDArray[np.float64], path: NDArray[np.float64]) -> NDArray[np.float64]:
    size = 1 << (len(audio) + len(path)).bit_length()
    return np.fft.irfft(np.fft.rfft(audio, size) * np.fft.rfft(path, size), size)[: len(audio)]


def _warp(audio: NDArray[np.float64], drift_ppm: float) -> NDArray[np.float64]:
    """The same played by a clock that is ``drift_ppm`` slow."""
    if not drift_ppm:
        return audio
    finer = 16
    size = len(audio) * finer
    fine = np.fft.irfft(np.fft.rfft(audio), size) * finer
    at = np.arange(len(audio)) * (1 - drift_ppm * 1e-6) * finer
    return np.interp(np.clip(at, 0, size - 1), np.arange(size), fine)


def _law(audio: NDArray[np.float64]) -> NDArray[np.float64]:
    pcm = to_int16(audio)
    return to_float(decode(encode(pcm, Law.ULAW), Law.ULAW)).astype(np.float64)
