"""Echo and noise taken out by other means, on the same lines: what that costs.

"Speex" is libspeexdsp's echo canceller (200 ms) and preprocessor, which suppresses the
residual echo and noise, through ctypes, a call at a time; a canceller with a preprocessor is
what open telephone software has. "Seed" is the method the first sketch of this path named: an
NLMS filter of 1,024 taps, sample by sample in numpy, and noisereduce on each 20 ms.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _lines import Line
from _material import FRAME
from trunkline.errors import MissingDependencyError
from trunkline.media.chain_bank import ChainBank, ChainStages
from trunkline.media.frames import to_float, to_int16
from trunkline.media.g711 import Law, decode
from trunkline.speech import registry

__all__ = ["beside"]

Pcm = NDArray[np.int16]
Step = Callable[[Pcm, Pcm], Any]
_TAPS, _STEP, _LEAST = 1024, 0.1, 1e-6


def beside(lines: list[Line], rows: int, seconds: int) -> Iterator[tuple[str, float | str]]:
    """Of each method its name, and the median µs a call and 20 ms, or why there is none."""
    makers: dict[str, Callable[[int], Step]] = {
        "ours (Kalman, log-MMSE)": lambda count: _chain(count, ChainStages()),
        "Speex (echo, preprocessor)": lambda count: _chain(count, _speex(align=False)),
        "Speex with our search for the delay": lambda count: _chain(count, _speex(align=True)),
    }
    if rows == 1:
        makers["seed (NLMS by sample, noisereduce)"] = lambda count: _seed()
    for name, make in makers.items():
        try:
            step = make(rows)
            yield name, _time(step, lines, rows, seconds if "seed" not in name else 2)
        except (MissingDependencyError, ImportError) as error:
            yield name, str(error)


def _time(step: Step, lines: list[Line], rows: int, seconds: int) -> float:
    spent = [0.0] * seconds
    choice, start = np.arange(rows) % len(lines), 37 * np.arange(rows)
    far = np.stack([line.far for line in lines])
    near = np.stack(
        [
            decode(np.frombuffer(b"".join(line.coded), np.uint8), Law.ULAW).reshape(-1, FRAME)
            for line in lines
        ]
    )
    for tick in range(50 * seconds):
        at = (start + tick) % far.shape[1]
        heard, sent = near[choice, at], far[choice, at]
        began = time.thread_time()
        step(heard, sent)
        spent[tick // 50] += time.thread_time() - began
    return 1e6 * statistics.median(spent[1:]) / 50 / rows


def _chain(rows: int, stages: ChainStages) -> Step:
    bank = ChainBank(stages=stages, capacity=rows)
    numbers = np.array([bank.open() for _ in range(rows)], np.intp)
    # As the engine hands them over, and not more than a phase of them at once.
    groups = np.array_split(np.arange(rows), -(-rows // 125))

    def step(heard: Pcm, sent: Pcm) -> None:
        for group in groups:
            bank.process(heard[group], numbers[group], sent[group])

    return step


def _speex(*, align: bool) -> ChainStages:
    def echo(rate_hz: int) -> Any:
        return registry.create("echo", "speex", rate_hz=rate_hz, align=align)

    return ChainStages(echo=echo, noise="off")


def _seed() -> Step:
    import noisereduce

    taps, past = np.zeros(_TAPS), np.zeros(_TAPS + FRAME)

    def step(heard: Pcm, sent: Pcm) -> None:
        past[:_TAPS] = past[FRAME:]
        past[_TAPS:] = to_float(sent[0])
        near, left = to_float(heard[0]), np.empty(FRAME)
        for sample in range(FRAME):
            window = past[sample + 1 : sample + 1 + _TAPS]
            left[sample] = near[sample] - taps @ window
            taps[:] += _STEP * left[sample] * window / (window @ window + _LEAST)
        to_int16(noisereduce.reduce_noise(y=left, sr=8000, n_fft=FRAME))

    return step
