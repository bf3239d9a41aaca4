"""In-band DTMF: what is taken for a key, what is not, and what looking for it costs.

The limits are those of ITU-T Q.24 as most administrations have them. Talk-off is measured on
speech of flite's voices, which says every sentence of the material at several pitches and
speeds: keys heard in it are mistakes.

    python benchmarks/dtmf.py --hours 1
"""

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from _harness import load
from _machine import describe
from trunkline.media.dtmf_detector import ToneDetector
from trunkline.media.dtmf_tones import HIGH_HZ, LOW_HZ, TONE_KEYS
from trunkline.media.g711 import Law, decode, encode
from trunkline.media.resample import StreamResampler
from trunkline.media.wav import parse_wav

KEYS = "".join(TONE_KEYS)
VOICES = ("kal", "kal16", "awb", "rms", "slt")
TEXT = (
    "Please hold the line while I look that up for you. The order was sent on Tuesday, and it "
    "should be there by the end of the week. Would you like to hear the opening hours? We are "
    "open from nine to six, and on Saturdays until two. Who am I speaking to? Mary had a little "
    "lamb, its fleece was white as snow. You owe me a yoyo. No, I know, go slow. Eerie eels see "
    "the sea. Moon over noon in June. One two three four five six seven eight nine zero."
)


def press(key: str, rng: np.random.Generator, **wanted: float) -> np.ndarray:
    """One key between two silences, at a random place of a frame."""
    row = next(index for index, keys in enumerate(TONE_KEYS) if key in keys)
    time_ = np.arange(round(wanted.get("ms", 40) * 8)) / 8000
    first, second = rng.uniform(0, 2 * np.pi, 2)
    off, other = 1 + wanted.get("low_off", 0), 1 + wanted.get("high_off", 0)
    level = wanted.get("level", 3000)
    low = level * np.sin(2 * np.pi * LOW_HZ[row] * off * time_ + first)
    column = TONE_KEYS[row].index(key)
    high = np.sin(2 * np.pi * HIGH_HZ[column] * other * time_ + second)
    wave = low + level * 10 ** (wanted.get("twist_db", 0) / 20) * high
    audio = np.concatenate([np.zeros(800 + rng.integers(0, 160)), wave, np.zeros(1600)])
    if "snr_db" in wanted:
        noise = np.sqrt(np.mean(wave**2) / 10 ** (wanted["snr_db"] / 10))
        audio += rng.normal(0, noise, len(audio))
    return audio


def heard(audio: np.ndarray) -> list[str]:
    """The keys in some audio, after G.711."""
    detector = ToneDetector()
    row = np.array([detector.open()])
    pcm = np.clip(np.rint(audio), -32768, 32767).astype(np.int16)
    pcm = decode(encode(np.pad(pcm, (0, -len(pcm) % 160 + 800)), Law.ULAW), Law.ULAW)
    found = []
    for frame in pcm.reshape(-1, 160):
        found += [key.digit for key in detector.process(frame[None], row)]
    return found


def share(count: int, **wanted: float) -> float:
    """How many of so many keys are heard as what they are, and once."""
    rng = np.random.default_rng(7)
    hits = [heard(press(KEYS[n % 16], rng, **wanted)) == [KEYS[n % 16]] for n in range(count)]
    return 100 * sum(hits) / count


def speech(hours: float) -> np.ndarray:
    """So much speech at 8 kHz, of several voices, pitches and speeds."""
    parts, total = [], 0
    rng = np.random.default_rng(3)
    words = TEXT.split()
    with tempfile.TemporaryDirectory() as folder:
        while total < hours * 3600 * 8000:
            path = Path(folder) / "said.wav"
            said = " ".join(rng.permutation(words)) if parts else TEXT
            pitch = rng.uniform(80, 260)
            options = ["--setf", f"int_f0_target_mean={pitch:.0f}"]
            options += ["--setf", f"duration_stretch={rng.uniform(0.7, 1.8):.2f}"]
            voice = VOICES[len(parts) % len(VOICES)]
            command = ["flite", "-voice", voice, *options, "-t", said, "-o", str(path)]
            subprocess.run(command, check=True)
            wav = parse_wav(path.read_bytes())
            pcm = wav.mono()
            if wav.rate_hz != 8000:
                resampler = StreamResampler(wav.rate_hz, 8000)
                pcm = np.concatenate([resampler.push(pcm), resampler.flush()])
            parts.append(pcm)
            total += len(pcm)
    return np.concatenate(parts)


def cost(lines: int) -> float:
    """Microseconds a line and frame, of noise."""
    detector = ToneDetector(capacity=lines)
    rows = np.array([detector.open() for _ in range(lines)])
    block = np.random.default_rng(1).normal(0, 2000, (lines, 160)).astype(np.int16)
    began = time.perf_counter()
    for _ in range(100):
        detector.process(block, rows)
    return (time.perf_counter() - began) / 100 / lines * 1e6


def main() -> None:
    """Print what is accepted, what is refused, talk-off, and the price."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=0.5, help="of speech, for talk-off")
    parser.add_argument("--keys", type=int, default=320, help="of each kind")
    options = parser.parse_args()
    print(describe())
    for name, wanted in (
        ("40 ms", {}),
        ("40 ms, 15 dB of noise", {"snr_db": 15}),
        ("40 ms, both tones 1.5 % high", {"low_off": 0.015, "high_off": 0.015}),
        ("40 ms, one 1.5 % high, one low", {"low_off": 0.015, "high_off": -0.015}),
        ("40 ms, high tone 4 dB louder", {"twist_db": 4}),
        ("40 ms, high tone 8 dB fainter", {"twist_db": -8}),
        ("40 ms, -25 dBm0 a tone", {"level": 1284}),
        ("23 ms", {"ms": 23}),
        ("100 ms, low tone 3.5 % high", {"ms": 100, "low_off": 0.035}),
        ("100 ms, high tone 3.5 % low", {"ms": 100, "high_off": -0.035}),
        ("100 ms, high tone 8 dB louder", {"ms": 100, "twist_db": 8}),
        ("100 ms, -55 dBm0 a tone", {"ms": 100, "level": 40}),
    ):
        print(f"{name:34s} {share(options.keys, **wanted):6.1f} % heard")
    for gap, keys in ((10, 1), (40, 2)):
        rng = np.random.default_rng(5)
        hits = 0
        for n in range(options.keys):
            one = press(KEYS[n % 16], rng, ms=150)
            at = len(one) - 1600 - 800
            one[at : at + gap * 8] = 0
            hits += heard(one) == [KEYS[n % 16]] * keys
        print(f"a pause of {gap} ms in a key: {100 * hits / options.keys:.1f} % heard as {keys}")
    said = speech(options.hours)
    mistakes = heard(said)
    print(
        f"talk-off: {len(mistakes)} keys heard in {len(said) / 8000 / 3600:.2f} h of speech "
        f"({''.join(mistakes)})"
    )
    for lines in (1, 20, 200):
        print(f"{lines:4d} lines: {cost(lines):.1f} µs a line and 20 ms")
    print(load())


if __name__ == "__main__":
    main()
