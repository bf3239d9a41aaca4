"""Spoken clips whose first and last sample of speech are known.

Synthesised once by flite (or espeak-ng), 8 kHz, speech at -26 dBov, cut where the first
and the last 5 ms above -50 dBov are, with room tone of -60 dBov before, under and after
it, in G.711 µ-law. Cutting is what makes the two samples known: nothing but room tone
comes before the first and after the last.
"""

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trunkline.media.g711 import Law, encode
from trunkline.media.resample import StreamResampler
from trunkline.media.wav import parse_wav

__all__ = [
    "ABRUPT",
    "FRAME",
    "RATE_HZ",
    "SOFT",
    "TONES",
    "TURNS",
    "Clip",
    "Scene",
    "describe_clips",
    "room_tone",
    "scene",
    "tone",
    "ulaw",
    "voices",
]

RATE_HZ = 8000
FRAME = 160
SPEECH_DBOV = -26.0
EDGE_DBOV = -50.0
ROOM_DBOV = -60.0
BLOCK = RATE_HZ // 200

TURNS = (
    "Actually I want to order a bicycle",
    "Could you tell me the opening hours",
    "Better call me back at home tomorrow",
    "Do you repair broken brakes today",
)
"""About two seconds each, without a pause that would end a turn after 200 ms."""
ABRUPT = ("Actually no I do not want that", "Okay got it thank you", "But that is too late")
"""Beginning with a vowel or a stop."""
SOFT = ("Seven would suit me better", "Who else could help me", "For how long is it valid")
"""Beginning with a fricative, which grows out of nothing."""


TONES = 4
"""How many different replies the stand-in voice has, by pitch."""


def tone(number: int) -> NDArray[np.int16]:
    """One frame of reply ``number``: whole periods, so that every frame is the same."""
    pitch = 300 + 50 * (number % TONES)
    return np.rint(8000 * np.sin(2 * np.pi * pitch * np.arange(FRAME) / RATE_HZ)).astype(np.int16)


@dataclass(frozen=True, slots=True)
class Clip:
    """One utterance, int16 at 8 kHz, from its first sample of speech to its last."""

    text: str
    voice: str
    pcm: NDArray[np.int16]

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.pcm) / RATE_HZ


def voices(texts: tuple[str, ...]) -> list[Clip]:
    """Each text in two voices, where flite has them."""
    if shutil.which("flite"):
        return [_clip(text, voice) for text in texts for voice in ("slt", "rms")]
    return [_clip(text, "espeak-ng") for text in texts]


@dataclass(frozen=True, slots=True)
class Scene:
    """An utterance in whole frames of µ-law, and what comes where."""

    frames: list[bytes]
    first: int
    """The frame that holds the first sample of speech."""
    last: int
    """The frame that holds the last one."""


def scene(clip: Clip, shift: int, seed: int) -> Scene:
    """A clip that begins ``shift`` samples into its first frame, over room tone."""
    audio = np.concatenate((np.zeros(shift, np.int16), clip.pcm))
    audio = np.pad(audio, (0, -len(audio) % FRAME))
    audio = audio + room_tone(len(audio), seed)
    frames = ulaw(np.clip(audio, -32767, 32767).astype(np.int16))
    return Scene(frames, shift // FRAME, (shift + len(clip.pcm) - 1) // FRAME)


def describe_clips(clips: list[Clip]) -> str:
    """One line for the head of a report."""
    seconds = [clip.seconds for clip in clips]
    names = "/".join(sorted({clip.voice for clip in clips}))
    tool = "flite" if shutil.which("flite") else "espeak-ng"
    return (
        f"{len(clips)} clips of {min(seconds):.1f} to {max(seconds):.1f} s by {tool} ({names}), "
        f"{SPEECH_DBOV:.0f} dBov, room tone {ROOM_DBOV:.0f} dBov, mu-law"
    )


def room_tone(samples: int, seed: int) -> NDArray[np.int16]:
    """White noise of -60 dBov."""
    noise = np.random.default_rng(seed).normal(0.0, 32768 * 10 ** (ROOM_DBOV / 20), samples)
    return np.rint(noise).astype(np.int16)


def ulaw(pcm: NDArray[np.int16]) -> list[bytes]:
    """Frames of 20 ms; the last one must be whole."""
    coded = encode(pcm, Law.ULAW).tobytes()
    return [coded[at : at + FRAME] for at in range(0, len(coded), FRAME)]


def _clip(text: str, voice: str) -> Clip:
    pcm = _synthesise(text, voice).astype(np.float64) / 32768
    active = pcm[_levels(pcm).repeat(BLOCK)[: len(pcm)] > -45]
    pcm *= 10 ** ((SPEECH_DBOV - 10 * np.log10(np.mean(active**2))) / 20)
    loud = np.flatnonzero(_levels(pcm) > EDGE_DBOV)
    cut = pcm[loud[0] * BLOCK : (loud[-1] + 1) * BLOCK]
    return Clip(text, voice, np.clip(np.rint(cut * 32768), -32767, 32767).astype(np.int16))


def _levels(pcm: NDArray[np.float64]) -> NDArray[np.float64]:
    whole = np.pad(pcm, (0, -len(pcm) % BLOCK)).reshape(-1, BLOCK)
    return 10 * np.log10(np.mean(whole**2, axis=1) + 1e-12)


def _synthesise(text: str, voice: str) -> NDArray[np.int16]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "clip.wav")
        command = ["flite", "-voice", voice, "-t", text, "-o", str(path)]
        if voice == "espeak-ng":
            command = ["espeak-ng", "-w", str(path), text]
        subprocess.run(command, check=True, capture_output=True)
        wav = parse_wav(path.read_bytes())
    if wav.rate_hz == RATE_HZ:
        return wav.mono()
    resampler = StreamResampler(wav.rate_hz, RATE_HZ)
    return np.concatenate((resampler.push(wav.mono()), resampler.flush()))
