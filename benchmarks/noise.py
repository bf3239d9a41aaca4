"""Noise suppression: what it gains, what it costs, by how much it is late.

PESQ (narrow band, P.862) and STOI against clean speech with room tone, as differences to
the noisy audio itself, mean over 0, 5, 10 and 15 dB; 0.1 of PESQ more or less is a tie. The
voices are synthetic and the noises are made. Constants were chosen on the
development part; what is printed by default is the held-out part. Recorded prompts, of one
speaker, are a table of their own: with the same noises, where they are installed.

    pip install pesq pystoi 'trunkline[noise]' && pip install --no-deps pyrnnoise
    python benchmarks/noise.py
    python benchmarks/noise.py --rate 16000
"""

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import _recordings
from _levels import room_tone
from _machine import describe
from _noises import DEVELOPMENT, HELD_OUT, NOISES, Audio, Part, describe_part, mix, speech
from trunkline.errors import MissingDependencyError
from trunkline.media.noise import NoiseSettings, noise_stage
from trunkline.media.stage import Stage
from trunkline.speech import create

SNRS_DB = (0, 5, 10, 15)
CALLS = (1, 100, 500)
TARGETS = "targets: PESQ white and car +0.50, STOI -1.0 (babble -2.0), 10 ms, 5 us from 100 calls"


@dataclass(frozen=True, slots=True)
class Case:
    """One clip in one noise, and how good it is as it is."""

    noise: str
    snr_db: int
    clean: Audio
    noisy: Audio
    pesq: float
    stoi: float


@dataclass(frozen=True, slots=True)
class Method:
    """Something that reduces noise in a file."""

    name: str
    clean: Callable[[Audio], tuple[Audio, float]]
    """From noisy audio to audio in time with it, and by how many ms it was late."""
    make: Callable[[int], Stage] | None = None
    """The stage for a number of calls, where it is one."""
    slow: bool = False
    """So slow that a part of the clips must do."""


def cases(clips: list[Audio], part: Part, rate_hz: int) -> list[Case]:
    """Every clip in every noise of this part at every ratio."""
    frame, found = rate_hz // 50, []
    for number, whole in enumerate(clips):
        clip = whole[: len(whole) // frame * frame]
        clean = clip + room_tone(len(clip), np.random.default_rng(number))
        for noise in NOISES:
            for snr_db in SNRS_DB:
                noisy = mix(clip, part, noise, snr_db, rate_hz, number)
                noisy = np.rint(noisy * 32768) / 32768
                found.append(Case(noise, snr_db, clean, noisy, *score(clean, noisy, rate_hz)))
    return found


def score(clean: Audio, audio: Audio, rate_hz: int) -> tuple[float, float]:
    """PESQ-NB and STOI in points; PESQ refuses some audio, which is then not counted."""
    from pesq import NoUtterancesError, pesq
    from pystoi import stoi

    try:
        quality = pesq(rate_hz, clean, audio, "nb")
    except NoUtterancesError:
        quality = np.nan
    return quality, 100 * stoi(clean, audio, rate_hz)


def methods(rate_hz: int) -> list[Method]:
    """Ours, the plain ones on single chunks, and the libraries that are installed."""
    found = [
        _staged(f"logmmse, strength {strength}", _ours("logmmse", strength, rate_hz))
        for strength in (1.0, 0.8, 0.5)
    ]
    found.append(_staged("spectral, strength 1.0", _ours("spectral", 1.0, rate_hz)))
    found.append(Method("spectral, 20 ms chunks", lambda audio: (_chunks(audio, rate_hz), 0.0)))
    for name in ("webrtc", "rnnoise", "noisereduce"):
        try:
            create("noise", name, rate_hz=rate_hz)
        except MissingDependencyError as error:
            print(f"not measured: {error}")
            continue
        found.append(_staged(name, _library(name, rate_hz), slow=name == "noisereduce"))
        if name == "noisereduce":
            per_chunk = _noisereduce_chunks(rate_hz)
            found.append(Method("noisereduce, 20 ms chunks", per_chunk, slow=True))
    return found


def _ours(name: str, strength: float, rate_hz: int) -> Callable[[int], Stage]:
    settings = NoiseSettings(name, strength)
    return lambda calls: noise_stage(rate_hz, settings, calls)


def _library(name: str, rate_hz: int) -> Callable[[int], Stage]:
    return lambda calls: create("noise", name, rate_hz=rate_hz, capacity=calls)


def _staged(name: str, make: Callable[[int], Stage], slow: bool = False) -> Method:
    def clean(audio: Audio) -> tuple[Audio, float]:
        stage = make(1)
        rows, frame = np.array([stage.open()], np.intp), stage.frame_samples
        padded = np.pad(audio, (0, -(-stage.delay_samples // frame) * frame))
        blocks = padded.astype(np.float32).reshape(-1, 1, frame)
        out = np.concatenate([stage.process(block, rows)[0] for block in blocks])
        late = _lateness(audio, out, stage.delay_samples)
        return out[late : late + len(audio)].astype(np.float64), 1000 * late / stage.rate_hz

    return Method(name, clean, make, slow)


def _lateness(audio: Audio, out: Audio, said: int) -> int:
    """What the cross-correlation says, not the stage; at most three times as much."""
    size = 2 * len(out)
    product = np.fft.rfft(out, size) * np.conj(np.fft.rfft(audio, size))
    return int(np.argmax(np.fft.irfft(product, size)[: 3 * said + 1]))


def _chunks(audio: Audio, rate_hz: int) -> Audio:
    """Magnitudes less twice the first ten chunks' mean, each chunk by itself."""
    chunks = audio.reshape(-1, rate_hz // 50)
    spectrum = np.fft.rfft(chunks, axis=1)
    size = np.abs(spectrum)
    left = np.maximum(size - 2 * size[:10].mean(axis=0), 0.02 * size)
    return np.fft.irfft(left * np.exp(1j * np.angle(spectrum)), chunks.shape[1], axis=1).ravel()


def _noisereduce_chunks(rate_hz: int) -> Callable[[Audio], tuple[Audio, float]]:
    """The library on every 20 ms by themselves, as if each were a recording."""
    import noisereduce

    def clean(audio: Audio) -> tuple[Audio, float]:
        frame = rate_hz // 50
        options: dict[str, Any] = {"sr": rate_hz, "n_fft": frame, "hop_length": frame // 4}
        with np.errstate(all="ignore"):
            out = [noisereduce.reduce_noise(y=one, **options) for one in audio.reshape(-1, frame)]
        return np.nan_to_num(np.concatenate(out)), 0.0

    return clean


def gains(method: Method, given: list[Case], rate_hz: int, by_snr: bool) -> str:
    """The differences, a noise after the other."""
    # A slow method gets the first clip and the fifth, which is another voice's.
    clips = len(NOISES) * len(SNRS_DB)
    chosen = given[:clips] + given[4 * clips : 5 * clips] if method.slow else given
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    late = []
    for case in chosen:
        audio, delay_ms = method.clean(case.noisy)
        late.append(delay_ms)
        quality, words = score(case.clean, audio, rate_hz)
        change = (quality - case.pesq, words - case.stoi)
        found.setdefault((case.noise, case.snr_db), []).append(change)
    cells = []
    for noise in NOISES:
        changes = [found[noise, snr_db] for snr_db in SNRS_DB]
        groups = changes if by_snr else [[one for several in changes for one in several]]
        means = [np.nanmean(group, axis=0) for group in groups]
        cells.append(" ".join(f"{mean[0]:+.2f}/{mean[1]:+.1f}" for mean in means))
    tail = f"{np.median(late):5.1f} ms" + (" (2 clips)" if method.slow else "")
    return f"{method.name:26s} " + "   ".join(cells) + f"   {tail}"


def cost_us(make: Callable[[int], Stage], calls: int, budget: float) -> float:
    """CPU time a call and frame, the least of several rounds, in µs."""
    stage = make(calls)
    rows = np.array([stage.open() for _ in range(calls)], np.intp)
    rng = np.random.default_rng(0)
    blocks = rng.normal(0, 0.05, (8, calls, stage.frame_samples)).astype(np.float32)
    for block in blocks:
        stage.process(block, rows)
    least, end = np.inf, time.process_time() + budget
    while time.process_time() < end:
        began = time.process_time()
        for block in blocks:
            stage.process(block, rows)
        least = min(least, (time.process_time() - began) / len(blocks))
    return 1e6 * least / calls


def report(part: Part, rate_hz: int, by_snr: bool, chosen: list[Method]) -> None:
    """Everything about one part at one rate."""
    table(describe_part(part), cases(speech(part, rate_hz), part, rate_hz), rate_hz, by_snr, chosen)
    names = _recordings.DEVELOPMENT if part is DEVELOPMENT else _recordings.HELD_OUT
    if reason := _recordings.missing():
        print(f"not measured: {reason}")
        return
    clips = [each.audio for each in _recordings.recordings(names, rate_hz, room=False)]
    given = cases(clips, part, rate_hz)
    table(_recordings.describe_recordings(names), given, rate_hz, by_snr, chosen)


def table(
    material: str, given: list[Case], rate_hz: int, by_snr: bool, chosen: list[Method]
) -> None:
    """What every method makes of these files."""
    print(f"material: {material}; {len(given)} files at {rate_hz} Hz")
    for noise in NOISES:
        those = [(case.pesq, case.stoi) for case in given if case.noise == noise]
        quality, words = np.nanmean(those, axis=0)
        print(f"  noisy, {noise:7s} PESQ {quality:.2f}, STOI {words:.1f}")
    print(f"change of PESQ/STOI in {', '.join(NOISES)} noise; delay, measured")
    for method in chosen:
        print(gains(method, given, rate_hz, by_snr), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=int, default=8000, choices=(8000, 16000))
    parser.add_argument("--part", choices=("held-out", "development"), default="held-out")
    parser.add_argument("--by-snr", action="store_true", help="each ratio by itself")
    parser.add_argument("--only", default="", help="methods whose name contains this")
    parser.add_argument("--no-cost", action="store_true")
    options = parser.parse_args()
    try:
        print(describe("pesq", "pystoi"))
    except ModuleNotFoundError as error:
        sys.exit(f"{error}; run: pip install pesq pystoi")
    print(TARGETS)
    warnings.simplefilter("ignore")
    part = HELD_OUT if options.part == "held-out" else DEVELOPMENT
    chosen = [each for each in methods(options.rate) if options.only in each.name]
    report(part, options.rate, options.by_snr, chosen)
    if options.no_cost:
        return
    print(f"CPU time, us a call and 20 ms at {options.rate} Hz, with {CALLS} calls")
    for method in chosen:
        if method.make is None:
            continue
        # One call after the other costs the same for any number of them.
        counts = CALLS if "strength" in method.name else CALLS[:1]
        costs = [cost_us(method.make, calls, 1.0) for calls in counts]
        print(f"{method.name:26s} " + " ".join(f"{cost:9.1f}" for cost in costs), flush=True)


if __name__ == "__main__":
    main()
