"""Echo cancellation: how fast, how deep, and what it costs the near end and the CPU.

    python benchmarks/echo.py [--held-out] [--rate 8000] [--only kalman,speex] [--cost]

Columns: when half a second of echo is first 15 dB lower; ERLE from 1 to 3 s, from 8 s on, and
after double talk; ERLE over the 3 s after the room has changed, which begin with the moment
nobody can know of it, and over the 5 s after those; when after the change three quarters of a
second are first 20 dB lower; PESQ and STOI lost in double talk; windows taken for speech while
there is only echo, in percent; how much of the near end's first 40 ms is lost when it begins
to speak, in dB; and how the 20 ms frames that hold only echo lie about the room's noise, in
dB, the lowest and the highest 5 % of them. Nothing is counted of the delay of a stage.

Needs flite; pesq and pystoi for the scores of double talk, silero-vad for false barge-in
(else the sub-band detector); cancellers that are not installed are left out.
"""

import argparse
import sys
import time
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _echo_scenes import CHANGE, DEV, DOUBLE_TALK, HELD_OUT, SECONDS, Material, make
from _machine import describe
from trunkline.errors import MissingDependencyError, UsageError
from trunkline.media.echo import create_echo
from trunkline.media.frames import to_int16
from trunkline.speech import registry

PURE = ("kalman", "nlms", "off")
OUTSIDE = ("speex", "aec3")
Audio = NDArray[np.float32]
HEADS = (
    "15dB s",
    "1-3s",
    "8s-",
    "aft dt",
    "chg0-3",
    "chg3-8",
    "20dB s",
    "dPESQ",
    "dSTOI",
    "onset",
    "low",
    "high",
    "false%",
)


def bank(name: str, rate_hz: int) -> Any:
    if name in PURE:
        return create_echo(name, rate_hz)
    return registry.create("echo", name, rate_hz=rate_hz)


def run(stage: Any, far: Audio, mic: Audio) -> Audio:
    """All scenes at once, (n, samples); what comes out is moved back by the stage's delay."""
    frame = stage.frame_samples
    rows = np.array([stage.open() for _ in far], np.intp)
    blocks = [
        stage.process(
            np.ascontiguousarray(mic[:, at : at + frame]),
            np.ascontiguousarray(far[:, at : at + frame]),
            rows,
        )
        for at in range(0, mic.shape[1], frame)
    ]
    for row in rows:
        stage.close(int(row))
    out = np.concatenate(blocks, axis=1)
    delay = stage.delay_samples
    return np.concatenate([out[:, delay:], np.zeros((len(out), delay), np.float32)], axis=1)


def erle_db(mic: Audio, out: Audio, rate_hz: int, begin: float, end: float) -> float:
    part = slice(int(begin * rate_hz), int(end * rate_hz))
    return float(10 * np.log10((mic[part] ** 2).sum() / ((out[part] ** 2).sum() + 1e-9)))


def seconds_to(
    mic: Audio, out: Audio, rate_hz: int, target_db: float, window: float = 0.5, since: int = 0
) -> float:
    """When a window of ERLE first reaches the target: its end, in seconds after ``since``."""
    last = CHANGE if not since else SECONDS
    for begin in np.arange(since, last - window, 0.05):
        if erle_db(mic, out, rate_hz, begin, begin + window) >= target_db:
            return float(begin + window - since)
    return float("nan")


def onset_db(near: Audio, out: Audio, rate_hz: int) -> float:
    """What is left of the first 40 ms of the near end's words: median of their onsets."""
    part = slice(DOUBLE_TALK[0] * rate_hz, DOUBLE_TALK[1] * rate_hz)
    step, span = rate_hz // 100, rate_hz // 25
    near, out = near[part], out[part]
    levels = 10 * np.log10((near.reshape(-1, step) ** 2).mean(1) + 1e-12)
    left = []
    for at in range(8, len(levels) - 4):
        if levels[at] > -40 and levels[at - 8 : at].max() < -50:
            word = near[at * step : at * step + span]
            heard = (word * out[at * step : at * step + span]).sum() / (word**2).sum()
            left.append(20 * np.log10(max(float(heard), 1e-3)))
    return float(np.median(left)) if left else float("nan")


def evenness_db(quiet: Audio, out: Audio, rate_hz: int) -> tuple[float, float]:
    """Levels of frames from 8 s to the double talk, against what is always in the room."""
    part = slice(8 * rate_hz, DOUBLE_TALK[0] * rate_hz)
    levels = 10 * np.log10((out[part].reshape(-1, rate_hz // 50) ** 2).mean(1) + 1e-12)
    levels -= 10 * np.log10((quiet[part] ** 2).mean())
    return float(np.percentile(levels, 5)), float(np.percentile(levels, 95))


def double_talk(rate_hz: int, scene: Material, out: Audio, alone: Audio) -> tuple[float, float]:
    """PESQ-NB and STOI lost against a silent far end; NaN where the packages are missing."""
    try:
        from pesq import pesq
        from pystoi import stoi
    except ImportError:
        return float("nan"), float("nan")
    if rate_hz not in (8000, 16000):
        return float("nan"), float("nan")
    part = slice(DOUBLE_TALK[0] * rate_hz, DOUBLE_TALK[1] * rate_hz)
    near = scene.near[part]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quality = [pesq(rate_hz, near, audio[part], "nb") for audio in (alone, out)]
        clear = [100 * stoi(near, audio[part], rate_hz) for audio in (alone, out)]
    return quality[0] - quality[1], float(clear[0] - clear[1])


def barge_in(out: Audio, rate_hz: int) -> NDArray[np.float64]:
    """Percent of windows taken for speech while there is only echo, from 3 s on."""
    if rate_hz not in (8000, 16000):
        return np.full(len(out), np.nan)
    detector = registry.create("activity", "best", rate_hz=rate_hz)
    rows = np.array([detector.open() for _ in out], np.intp)
    frame = rate_hz // 50
    hits, counts = np.zeros(len(out)), np.zeros(len(out))
    for at in range(0, out.shape[1] - frame + 1, frame):
        found = detector.process(to_int16(out[:, at : at + frame]), rows)
        second = at / rate_hz
        if 3 <= second < DOUBLE_TALK[0] or DOUBLE_TALK[1] + 0.5 <= second < CHANGE:
            np.add.at(hits, found.index, found.probability > 0.5)
            np.add.at(counts, found.index, 1)
    return 100 * hits / np.maximum(counts, 1)


def report(name: str, rate_hz: int, scenes: list[Material]) -> None:
    mic = np.stack([scene.mic for scene in scenes])
    far = np.stack([scene.far for scene in scenes])
    quiet = np.stack([scene.quiet for scene in scenes])
    out = run(bank(name, rate_hz), far, mic)
    alone = run(bank(name, rate_hz), np.zeros_like(far), quiet)
    false = barge_in(out, rate_hz)
    rows = []
    for index, scene in enumerate(scenes):
        rows.append([*figures(rate_hz, scene, out[index], alone[index]), false[index]])
        print(f"{name:8}{index:5} " + _columns(rows[-1]), flush=True)
    print(f"{name:8} mean " + _columns(np.nanmean(np.array(rows), axis=0).tolist()), flush=True)


def figures(rate_hz: int, scene: Material, out: Audio, alone: Audio) -> list[float]:
    """Everything about one scene but false barge-in, in the order of `HEADS`."""
    mic = scene.mic

    def erle(begin: float, end: float) -> float:
        return erle_db(mic, out, rate_hz, begin, end)

    return [
        seconds_to(mic, out, rate_hz, 15),
        erle(1, 3),
        erle(8, DOUBLE_TALK[0]),
        erle(DOUBLE_TALK[1] + 0.5, CHANGE),
        erle(CHANGE, CHANGE + 3),
        erle(CHANGE + 3, CHANGE + 8),
        seconds_to(mic, out, rate_hz, 20, 0.75, CHANGE),
        *double_talk(rate_hz, scene, out, alone),
        onset_db(scene.near, out, rate_hz),
        *evenness_db(scene.quiet, out, rate_hz),
    ]


def _columns(values: list[float]) -> str:
    return " ".join(f"{value:7.2f}" for value in values)


def cost(name: str, rate_hz: int, calls: int, share: float) -> float:
    """Microseconds of CPU a call for 20 ms: the least of five runs, three seconds in.

    Both sides speak in turns of four seconds, for a ``share`` of them each; a share of 1
    is a far end that never stops and a near end that is silent.
    """
    stage = bank(name, rate_hz)
    rows = np.array([stage.open() for _ in range(calls)], np.intp)
    far, near = turns(rate_hz, share)
    places = np.arange(calls) * 37

    def play(begin: int, end: int) -> float:
        before = time.process_time()
        for number in range(begin, end):
            at = (places + number) % len(far)
            stage.process(near[at], far[at], rows)
        return (time.process_time() - before) / (end - begin)

    play(0, 150)
    frames = max(20, 200 // calls)
    return 1e6 * min(play(150 + run * frames, 150 + (run + 1) * frames) for run in range(5)) / calls


def turns(rate_hz: int, share: float) -> tuple[Audio, Audio]:
    """Eight seconds of both directions in frames, (400, frame): noise in syllables, an echo."""
    rng = np.random.default_rng(5)
    at = np.arange(8 * rate_hz) / rate_hz
    loud = np.interp(at, np.arange(0, 8, 0.1), 0.1 * np.abs(rng.standard_normal(80)))
    far, own = (np.convolve(rng.standard_normal(len(at)), (1, 0.9, 0.6, 0.2), "same") for _ in "ab")
    far *= loud * ((at / 4 % 1 < share) if share < 1 else 1)
    own *= np.roll(loud, rate_hz) * (((at / 4 + 0.5) % 1 < share) if share < 1 else 0)
    fades = np.exp(-np.arange(rate_hz // 10) / (rate_hz / 50))
    room = rng.standard_normal(len(fades)) * fades
    echo = 0.1 * np.roll(np.convolve(far, room)[: len(at)], rate_hz * 60 // 1000)
    near = echo + own + 1e-3 * rng.standard_normal(len(at))
    frame = rate_hz // 50
    return far.astype(np.float32).reshape(-1, frame), near.astype(np.float32).reshape(-1, frame)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--rate", type=int, default=8000)
    parser.add_argument("--only", default="")
    parser.add_argument("--cost", action="store_true")
    options = parser.parse_args()
    print(describe(), file=sys.stderr)
    names = options.only.split(",") if options.only else [*PURE, *OUTSIDE]
    scenes: list[Material] = []
    if not options.cost:
        chosen = HELD_OUT if options.held_out else DEV
        scenes = [make(scene, options.rate) for scene in chosen]
        print(f"{'':13} " + " ".join(f"{head:>7}" for head in HEADS))
    for name in names:
        try:
            if options.cost:
                for what, share in (("far end always", 1.0), ("in turns, 45 %", 0.45)):
                    costs = [cost(name, options.rate, calls, share) for calls in (1, 64, 100, 500)]
                    figures = " ".join(f"{figure:.1f}" for figure in costs)
                    print(f"{name:8} {what:14} us a call at 1/64/100/500: {figures}", flush=True)
            else:
                report(name, options.rate, scenes)
        except (MissingDependencyError, UsageError) as error:
            print(f"{name:8} left out: {error}")


if __name__ == "__main__":
    main()
