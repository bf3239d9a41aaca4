"""Voice activity: how well it tells speech from noise, what tones do to it, what it costs.

Area under the ROC curve over 10 ms labels in noise, through the telephone band (300 to
3400 Hz, mu-law); speech that begins on call-progress tones; what the gate spares and
whether it changes an onset; CPU time a call. Voices are synthetic, and in a second
table recorded; noises and tones are made. Constants were chosen on the development
part; what is printed by default is the held-out part.

    pip install webrtcvad-wheels   # to compare with
    python benchmarks/activity.py
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

import _recordings
from _levels import room_tone
from _machine import describe
from _noises import DEVELOPMENT, HELD_OUT, Audio, Part, describe_part, mix, speech
from trunkline.errors import MissingDependencyError
from trunkline.media import g711
from trunkline.media.segments import SegmentSettings, SpeechSegmenter
from trunkline.speech import create

RATE_HZ, FRAME, BLOCK = 8000, 160, 80
SNRS_DB = (20, 10, 5)
CALLS = (1, 100, 500)
LEAD_SECONDS, GAP_SECONDS = 4.0, 3.0
TARGETS = "targets: AUC at 5 dB and more, white and car, 0.98; tones 0; 12 us from 100 calls"
Pcm = NDArray[np.int16]
Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Detector:
    """Something that says how much a line is like speech."""

    name: str
    score: Callable[[Pcm], tuple[Scores, int]]
    """From a line: a value for each window, and how many samples a window has."""
    make: Callable[[int], Any] | None = None
    """The bank for a number of calls, where it is one of ours."""


def detectors() -> list[Detector]:
    """Ours, plain energy, and webrtcvad where it is installed."""
    found = [_banked(name) for name in ("silero", "gated", "subband")]
    found.append(Detector("energy", _energy))
    try:
        import webrtcvad
    except ImportError:
        print("not measured: webrtcvad is not installed; run: pip install webrtcvad-wheels")
        return found
    modes = (1, 3)
    return found + [Detector(f"webrtcvad {mode}", _webrtc(webrtcvad, mode)) for mode in modes]


def _banked(name: str) -> Detector:
    def make(calls: int) -> Any:
        return create("activity", name, rate_hz=RATE_HZ, capacity=calls)

    def score(line: Pcm) -> tuple[Scores, int]:
        bank = make(1)
        rows = np.array([bank.open()], np.intp)
        frames = line[: len(line) // FRAME * FRAME].reshape(-1, 1, FRAME)
        heard = [bank.process(frame, rows).probability for frame in frames]
        return np.concatenate(heard).astype(np.float64), bank.window_samples

    return Detector(name, score, make)


def _energy(line: Pcm) -> tuple[Scores, int]:
    """The level of 20 ms; as a probability 0.5 is an amplitude of 0.01 of full scale."""
    frames = line[: len(line) // FRAME * FRAME].reshape(-1, FRAME) / 32768
    decibels = 10 * np.log10(np.mean(frames**2, axis=1) + 1e-12)
    return 1 / (1 + np.exp(-(decibels + 40) / 6)), FRAME


def _webrtc(webrtcvad: Any, mode: int) -> Callable[[Pcm], tuple[Scores, int]]:
    def score(line: Pcm) -> tuple[Scores, int]:
        detector = webrtcvad.Vad(mode)
        frames = line[: len(line) // FRAME * FRAME].reshape(-1, FRAME)
        verdicts = [detector.is_speech(frame.tobytes(), RATE_HZ) for frame in frames]
        return np.array(verdicts, np.float64), FRAME

    return score


# -- material ---------------------------------------------------------------------------


def telephone(audio: Audio) -> Pcm:
    """300 to 3400 Hz, and mu-law there and back."""
    hz = np.fft.rfftfreq(len(audio), 1 / RATE_HZ)
    inside = 1 / np.sqrt(1 + (250 / np.maximum(hz, 1)) ** 8) / np.sqrt(1 + (hz / 3500) ** 24)
    band = np.fft.irfft(np.fft.rfft(audio) * inside, len(audio))
    return _coded(band)


def _coded(audio: Audio) -> Pcm:
    pcm = np.rint(audio * 32768).clip(-32768, 32767).astype(np.int16)
    return g711.decode(g711.encode(pcm, g711.Law.ULAW), g711.Law.ULAW)


def lines(part: Part) -> list[Audio]:
    """All clips in two lines, with silence before and between."""
    return joined(speech(part, RATE_HZ))


def joined(clips: list[Audio]) -> list[Audio]:
    """Clips in two lines, with silence before and between."""
    quiet = np.zeros(round(GAP_SECONDS * RATE_HZ))
    lead = np.zeros(round(LEAD_SECONDS * RATE_HZ))
    half = len(clips) // 2
    return [
        np.concatenate([lead, *(x for clip in group for x in (clip, quiet))])
        for group in (clips[:half], clips[half:])
    ]


def labels(clean: Audio) -> NDArray[np.bool_]:
    """For each 10 ms whether there is speech: within 35 dB of the loudest, gaps to 100 ms."""
    blocks = clean[: len(clean) // BLOCK * BLOCK].reshape(-1, BLOCK)
    power = np.mean(blocks**2, axis=1)
    active = power > np.percentile(power[power > 0], 95) * 10**-3.5
    edges = np.flatnonzero(active)
    for before, after in pairwise(edges):
        if after - before <= 10:
            active[before:after] = True
    return active


def tones() -> Iterator[tuple[str, Pcm]]:
    """Twelve seconds each, -13 dBov, over room tone."""
    at = np.arange(12 * RATE_HZ) / RATE_HZ
    plans = {
        "dial 350+440": ((350, 440), 1, 0),
        "dial 425": ((425,), 1, 0),
        "ringback 440+480": ((440, 480), 2, 4),
        "ringback 425": ((425,), 1, 4),
        "busy 480+620": ((480, 620), 0.5, 0.5),
        "busy 425": ((425,), 0.48, 0.48),
        "reorder 480+620": ((480, 620), 0.25, 0.25),
        "fax 1100": ((1100,), 0.5, 3),
    }
    for name, (pitches, on, off) in plans.items():
        gate = (at % (on + off)) < on
        yield name, _toned(sum(np.sin(2 * np.pi * pitch * at) for pitch in pitches) * gate)
    third = np.floor(at % 2 / 0.33)
    sit = sum(
        np.sin(2 * np.pi * pitch * at) * (third == number)
        for number, pitch in enumerate((985.2, 1428.5, 1776.7))
    )
    yield "SIT", _toned(sit)
    keys = (np.floor(at / 0.2).astype(int) * 7) % 16
    low, high = np.array([697, 770, 852, 941]), np.array([1209, 1336, 1477, 1633])
    pair = np.sin(2 * np.pi * low[keys // 4] * at) + np.sin(2 * np.pi * high[keys % 4] * at)
    yield "DTMF", _toned(pair * (at % 0.2 < 0.1))


def _toned(tone: Audio) -> Pcm:
    level = 10 ** (-13 / 20) / np.sqrt(np.mean(tone[np.abs(tone) > 0] ** 2))
    return _coded(tone * level + room_tone(len(tone), np.random.default_rng(4)))


# -- figures ----------------------------------------------------------------------------


def auc(scores: Scores, truth: NDArray[np.bool_]) -> float:
    """The share of pairs of speech and silence that are in order; ties are half."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    speech_blocks = int(truth.sum())
    least = speech_blocks * (speech_blocks + 1) / 2
    return float((ranks[truth].sum() - least) / (speech_blocks * (len(truth) - speech_blocks)))


def accuracy(detector: Detector, cases: list[tuple[Pcm, NDArray[np.bool_]]]) -> float:
    """The area under the curve over all lines of one condition together."""
    scores, truth = [], []
    for line, active in cases:
        values, window = detector.score(line)
        each = values.repeat(window)[::BLOCK]  # the window that a block begins in
        size = min(len(each), len(active))
        scores.append(each[:size])
        truth.append(active[:size])
    return auc(np.concatenate(scores), np.concatenate(truth))


def starts(values: Scores, window: int) -> list[int]:
    """Where speech begins, in windows, without pre-roll."""
    segmenter = SpeechSegmenter(RATE_HZ, window, SegmentSettings(preroll_ms=0))
    found = [each for value in values for each in segmenter.push(float(value))]
    return [each.position // window for each in found if each.kind == "start"]


def agreement(cases: list[Pcm]) -> str:
    """Onsets of the gated bank against those of the one that always runs."""
    always, gated = _banked("silero"), _banked("gated")
    moved: list[int] = []
    missed = merged = more = 0
    for line in cases:
        values, window = always.score(line)
        others = gated.score(line)[0]
        wanted, found = starts(values, window), starts(others, window)
        more += max(0, len(found) - len(wanted))
        for want in wanted:
            nearest = min((one - want for one in found), key=abs, default=99)
            if abs(nearest) <= 15:
                moved.append(nearest)
            elif (others[want : want + 4] >= 0.5).any():
                merged += 1  # heard, but after a pause that was just too short
            else:
                missed += 1
    shift = np.array(moved)
    return (
        f"{len(shift) + missed + merged} onsets, {missed} missed, {merged} in the segment before, "
        f"{more} more; {np.mean(shift == 0):.0%} in the same window, latest {shift.max():+d}, "
        f"earliest {shift.min():+d} windows of 32 ms"
    )


def spared(line: Pcm) -> float:
    """The share of windows that the gate kept from the network, for good."""
    bank = create("activity", "gated", rate_hz=RATE_HZ, capacity=1)
    rows = np.array([bank.open()], np.intp)
    for frame in line[: len(line) // FRAME * FRAME].reshape(-1, 1, FRAME):
        bank.process(frame, rows)
    return float(bank.spared[0] / bank.windows[0])


def cost_us(make: Callable[[int], Any], calls: int, lined: Pcm, budget: float) -> float:
    """CPU time a call and frame while calls are at different places of a line, in us."""
    bank = make(calls)
    rows = np.array([bank.open() for _ in range(calls)], np.intp)
    frames = lined[: len(lined) // FRAME * FRAME].reshape(-1, FRAME)
    place = np.arange(calls) * 97 % len(frames)
    for _ in range(60):  # past the first windows, which are always run
        bank.process(frames[place], rows)
        place = (place + 1) % len(frames)
    spent, ticks = 0.0, 0
    while spent < budget or ticks < 16:
        block = frames[place]
        began = time.process_time()
        bank.process(block, rows)
        spent += time.process_time() - began
        ticks += 1
        place = (place + 1) % len(frames)
    return 1e6 * spent / ticks / calls


# -- the report -------------------------------------------------------------------------


def report_accuracy(part: Part, clean: list[Audio], described: str, chosen: list[Detector]) -> None:
    seconds = sum(map(len, clean)) / RATE_HZ
    print(f"material: {described}; {seconds:.0f} s, telephone band")
    truth = [labels(line) for line in clean]
    conditions = [(noise, snr_db) for noise in ("white", "car", "babble") for snr_db in SNRS_DB]
    heads = " ".join(f"{noise[:5]}{snr_db:>3d}" for noise, snr_db in conditions)
    print(f"AUC            {heads}   white and car")
    noisy = {
        (noise, snr_db): [
            telephone(mix(line, part, noise, snr_db, RATE_HZ, number))
            for number, line in enumerate(clean)
        ]
        for noise, snr_db in conditions
    }
    for detector in chosen:
        found = {
            condition: accuracy(detector, list(zip(noisy[condition], truth, strict=True)))
            for condition in conditions
        }
        mean = np.mean([value for (noise, _), value in found.items() if noise != "babble"])
        cells = " ".join(f"{found[condition]:8.3f}" for condition in conditions)
        print(f"{detector.name:13s} {cells}   {mean:.3f}", flush=True)
    quiet = [telephone(line + room_tone(len(line), np.random.default_rng(9))) for line in clean]
    for name, cases in (
        ("room tone", quiet),
        ("white, car", [one for key, each in noisy.items() if key[0] != "babble" for one in each]),
    ):
        print(f"gate, {name}: {agreement(cases)}", flush=True)


def report_recorded(part: Part, chosen: list[Detector]) -> None:
    """The same with recorded prompts in the noises of this part."""
    if reason := _recordings.missing():
        print(f"not measured: {reason}")
        return
    names = _recordings.HELD_OUT if part is HELD_OUT else _recordings.DEVELOPMENT
    clips = [one.audio for one in _recordings.recordings(names, RATE_HZ, room=False)]
    report_accuracy(part, joined(clips), _recordings.describe_recordings(names), chosen)


def report_tones(chosen: list[Detector]) -> None:
    print("tones: speech that begins in 12 s (share of windows at 0.5 and above)")
    given = list(tones())
    for detector in chosen:
        cells, total = [], 0
        for name, line in given:
            values, window = detector.score(line)
            began = len(starts(values, window))
            total += began
            if began or (values >= 0.5).any():
                cells.append(f"{name} {began} ({np.mean(values >= 0.5):.2f})")
        print(f"{detector.name:13s} {total:3d}  {', '.join(cells)}")


def report_gate() -> None:
    samples, rng = 20 * RATE_HZ, np.random.default_rng(5)
    nothing = np.zeros(samples)
    print("share of windows that the gate spares the network, 20 s")
    given = {
        "digital silence": _coded(nothing),
        "room tone -60 dBov": _coded(room_tone(len(nothing), rng)),
        "white -40 dBov": _coded(rng.normal(0, 10**-2, samples)),
        "white -25 dBov": _coded(rng.normal(0, 10**-1.25, samples)),
    }
    tone = np.pad(np.full(RATE_HZ // 100, 0.05), (0, samples - RATE_HZ // 100))  # sets a level
    for noise in ("car", "babble"):
        given[f"{noise} -40 dBov"] = _coded(mix(tone, HELD_OUT, noise, 14, RATE_HZ, 3))
    for name, line in given.items():
        print(f"  {name:20s} {spared(line):.3f}")


def report_cost(part: Part, chosen: list[Detector], budget: float) -> None:
    line = lines(part)[0]
    talk = telephone(line + room_tone(len(line), np.random.default_rng(9)))
    active = float(labels(line).mean())
    hush = _coded(room_tone(10 * RATE_HZ, np.random.default_rng(6)))
    print(f"CPU time, us a call and 20 ms, with {CALLS} calls (caller speaks {active:.0%} of it)")
    for detector in chosen:
        if detector.make is None:
            began = time.process_time()
            detector.score(talk)
            cost = 1e6 * (time.process_time() - began) / (len(talk) / FRAME)
            print(f"{detector.name:22s} {cost:8.1f} (one call)")
            continue
        for name, lined in (("speaking", talk), ("room tone", hush)):
            costs = [cost_us(detector.make, calls, lined, budget) for calls in CALLS]
            cells = " ".join(f"{cost:8.1f}" for cost in costs)
            print(f"{detector.name + ', ' + name:22s} {cells}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=("held-out", "development"), default="held-out")
    parser.add_argument("--only", default="", help="detectors whose name contains this")
    parser.add_argument("--budget", type=float, default=1.0, help="CPU seconds for each cost")
    parser.add_argument("--no-cost", action="store_true")
    options = parser.parse_args()
    print(describe("onnxruntime", "silero-vad"))
    print(TARGETS)
    part = HELD_OUT if options.part == "held-out" else DEVELOPMENT
    try:
        chosen = [one for one in detectors() if options.only in one.name]
        report_accuracy(part, lines(part), describe_part(part), chosen)
        report_recorded(part, chosen)
        report_tones(chosen)
        report_gate()
        if not options.no_cost:
            report_cost(part, chosen, options.budget)
    except MissingDependencyError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
