"""Speech in noise: sentences by synthetic voices, noises made from random numbers.

Two parts that share neither sentence nor voice nor noise: ``DEVELOPMENT``, on which
constants were chosen, and ``HELD_OUT``, which is only ever reported. Speech is at
-26 dBov with room tone of -60 dBov under everything.
"""

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from _levels import ROOM_DBOV, SPEECH_DBOV, active, levelled, room_tone
from trunkline.media.resample import StreamResampler
from trunkline.media.wav import parse_wav
from trunkline.speech.espeak import Espeak
from trunkline.speech.espeak import is_installed as has_espeak

__all__ = ["DEVELOPMENT", "HELD_OUT", "NOISES", "Part", "describe_part", "mix", "say", "speech"]

Audio = NDArray[np.float64]
"""One stretch of audio, full scale 1.0."""

LEAD_SECONDS, TAIL_SECONDS = 0.5, 0.3
NOISES = ("white", "car", "babble")


@dataclass(frozen=True, slots=True)
class Car:
    """What a car sounds like from inside, at some speed."""

    corner_hz: float
    """Of its rumble, which falls from there."""
    octave_db: float
    """By how much, an octave."""
    wind: float
    """Of tyres and wind, as a share of the rumble's magnitude."""
    engine_hz: float
    """What its engine turns at."""
    engine: float = 0.08


@dataclass(frozen=True, slots=True)
class Part:
    """Sentences and voices that belong together; ``seed`` makes their noises."""

    name: str
    sentences: tuple[str, ...]
    voices: tuple[str, ...]
    """A flite voice, or ``espeak:`` and one of espeak-ng's."""
    talkers: tuple[str, ...]
    """The voices of the babble."""
    seed: int
    cars: tuple["Car", ...]
    """One after the other, clip by clip."""


DEVELOPMENT = Part(
    "development",
    (
        "The parcel arrives on Thursday before noon. Please leave it with the neighbour.",
        "My number is six four one, double nine, three. Call me when you have a minute.",
        "We are open from eight until half past five. On Saturdays we close at two.",
        "I would rather change the booking than cancel it. Is there a fee for that?",
    ),
    ("slt", "awb", "espeak:en-us", "espeak:en-gb-x-rp+f3"),
    ("slt", "awb", "kal16", "espeak:en-us+m3", "espeak:en-gb-x-rp", "espeak:en-us+f2"),
    11,
    (Car(300, 12, 0.04, 42), Car(120, 9, 0.02, 25, 0.15), Car(450, 10, 0.1, 58, 0.05)),
)
HELD_OUT = Part(
    "held out",
    (
        "The ferry was late again, so we walked along the quay and counted the boats.",
        "Does the guarantee cover the battery? I have had this phone for eleven months.",
        "Take the second street on the left, then ask for the office of Mister Hughes.",
        "Fifty pounds is too much for a lamp. I will think about it and write to you.",
        "Just a moment, my daughter is calling. Yes, the blue one is ours, thank you.",
    ),
    ("rms", "kal16", "espeak:en-us+Andy", "espeak:en-gb-x-gbclan+f1", "espeak:en-us-nyc+m4"),
    (
        "rms",
        "kal16",
        "espeak:en-029+f2",
        "espeak:en-gb-x-rp+m2",
        "espeak:en-us+f3",
        "espeak:en-gb-scotland+m5",
    ),
    20261,
    (
        Car(200, 12, 0.03, 31),
        Car(90, 8, 0.015, 22, 0.2),
        Car(380, 11, 0.07, 50, 0.06),
        Car(600, 9, 0.15, 66, 0.03),
    ),
)


def describe_part(part: Part) -> str:
    """One line for the head of a report."""
    return (
        f"{part.name}: {len(part.sentences)} sentences by {', '.join(_there(part.voices))} "
        f"(synthetic), {SPEECH_DBOV:.0f} dBov, room tone {ROOM_DBOV:.0f} dBov; "
        f"white noise, {len(part.cars)} cars, babble of {len(_there(part.talkers))} voices, made"
    )


def speech(part: Part, rate_hz: int) -> list[Audio]:
    """Every sentence by one voice each, all voices used, with silence around."""
    voices = _there(part.voices)
    around = (round(LEAD_SECONDS * rate_hz), round(TAIL_SECONDS * rate_hz))
    # Each sentence by two voices: what one voice cannot say another can.
    pairs = [
        (sentence, voices[(number + shift) % len(voices)])
        for shift in (0, 1)
        for number, sentence in enumerate(part.sentences)
    ]
    return [np.pad(levelled(say(*pair, rate_hz), rate_hz), around) for pair in pairs]


def mix(clean: Audio, part: Part, noise: str, snr_db: float, rate_hz: int, number: int) -> Audio:
    """The clip with noise ``snr_db`` below its active speech, and room tone, clipped."""
    rng = np.random.default_rng((part.seed, NOISES.index(noise), number))
    made = _MAKE[noise](part, len(clean), rate_hz, rng, number)
    level = np.sqrt(np.mean(active(clean, rate_hz) ** 2)) * 10 ** (-snr_db / 20)
    audio = clean + made * level / np.sqrt(np.mean(made**2)) + room_tone(len(clean), rng)
    return np.clip(audio, -1, 1 - 2**-15)


def _white(_part: Part, samples: int, _hz: int, rng: np.random.Generator, _number: int) -> Audio:
    return rng.normal(0, 1, samples)


def _car(part: Part, samples: int, rate_hz: int, rng: np.random.Generator, number: int) -> Audio:
    """Rumble, tyres and wind, and an engine whose speed changes."""
    car = part.cars[number % len(part.cars)]
    hz = np.fft.rfftfreq(samples, 1 / rate_hz)
    shape = (1 + (hz / car.corner_hz) ** 2) ** (-car.octave_db / 12) + car.wind / (1 + hz / 1500)
    noise = np.fft.irfft(np.fft.rfft(rng.normal(0, 1, samples)) * shape, samples)
    at = np.arange(samples) / rate_hz
    turned = car.engine_hz * (at - 0.02 * np.cos(2 * np.pi * 0.2 * at) / 0.2)
    for order in range(1, 9):
        noise += car.engine / order * np.sin(2 * np.pi * order * turned + order)
    return noise * (1 + 0.2 * np.sin(2 * np.pi * 0.35 * at))


def _babble(
    part: Part, samples: int, rate_hz: int, rng: np.random.Generator, _number: int
) -> Audio:
    total = np.zeros(samples)
    for number, voice in enumerate(_there(part.talkers)):
        said = " ".join(part.sentences[number % 2 :: 2] + part.sentences[::2])
        talk = levelled(say(said, voice, rate_hz), rate_hz)
        talk = np.resize(np.roll(talk, int(rng.integers(len(talk)))), samples)
        total += talk * 10 ** (rng.uniform(-4, 2) / 20)
    return total


_MAKE = {"white": _white, "car": _car, "babble": _babble}


def _there(voices: tuple[str, ...]) -> list[str]:
    """Those of the voices whose program is installed."""
    have = {"espeak": has_espeak(), "flite": shutil.which("flite") is not None}
    return [voice for voice in voices if have["espeak" if ":" in voice else "flite"]]


@cache
def say(text: str, voice: str, rate_hz: int) -> Audio:
    """This text by this voice, full scale 1.0."""
    pcm, from_hz = _espeak(text, voice) if ":" in voice else _flite(text, voice)
    resampler = StreamResampler(from_hz, rate_hz)
    return np.concatenate((resampler.push(pcm), resampler.flush())) / 32768.0


def _flite(text: str, voice: str) -> tuple[NDArray[np.int16], int]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "clip.wav")
        command = ["flite", "-voice", voice, "-t", text, "-o", str(path)]
        subprocess.run(command, check=True, capture_output=True)
        wav = parse_wav(path.read_bytes())
    return wav.mono(), wav.rate_hz


@cache
def _library() -> Espeak:
    os.environ.setdefault("LC_ALL", "C.UTF-8")
    return Espeak()


def _espeak(text: str, voice: str) -> tuple[NDArray[np.int16], int]:
    pieces: list[bytes] = []

    def keep(pcm: bytes, _rate_hz: int) -> bool:
        pieces.append(pcm)
        return True

    _library().speak(text, {"voice": voice.partition(":")[2]}, keep)
    return np.frombuffer(b"".join(pieces), np.int16), _library().rate_hz
