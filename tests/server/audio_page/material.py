"""Files to inspect: noise in syllables, as loud as speech."""

from pathlib import Path

import numpy as np

from trunkline.media.wav import serialise_wav
from trunkline.server.audio_page import Inspection


def _syllables(seed: int, seconds: float):
    rng = np.random.default_rng(seed)
    samples = int(8000 * seconds)
    loud = np.repeat(rng.random(-(-samples // 1600)) > 0.3, 1600)[:samples]
    return (rng.normal(0, 2500, samples) * loud).astype(np.int16)


CALLER = _syllables(1, 3)
FAR = _syllables(2, 5)


def a_file(folder: Path, pcm, name: str = "in.wav") -> Path:
    path = folder / name
    path.write_bytes(serialise_wav(pcm, 8000))
    return path


def value(made: Inspection, name: str):
    return next(score.value for score in made.scores if score.name == name)
