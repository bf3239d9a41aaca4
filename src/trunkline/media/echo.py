"""Echo cancellation: the choices by name, and the canceller of a single call.

    kalman   batched frequency-domain Kalman filter with delay, drift and residual: the default
    nlms     the textbook's time-domain filter, 1024 taps
    off      what was heard, as it is

Cancellers of other libraries (``speex``, ``aec3``) have the same shape and are engines in
`trunkline.speech`; a canceller of a single call takes any of them as its stage.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .aligned import Aligned
from .echo_bank import KalmanEcho
from .echo_nlms import NlmsEcho
from .echo_resampled import ResampledEcho
from .echo_stage import EchoStage
from .frames import Audio, FitCounts, as_given, fit, frame_samples
from .stage import Block, Bypass, RowNumbers, check_block

__all__ = [
    "ECHO_CANCELLERS",
    "EchoCanceller",
    "EchoStage",
    "EchoStatistics",
    "NoEcho",
    "create_echo",
]

_TELEPHONE_HZ = (8000, 16000)
_ENGINES = ("speex", "aec3")
"""Named in messages only: they are made by a package that is above this one."""


class NoEcho(Bypass):
    """No cancellation: what was heard, as it is."""

    name = "off"

    def process(  # type: ignore[override]
        self, near: Block, far: Block, rows: RowNumbers, frozen: NDArray[np.bool_] | None = None
    ) -> Block:
        """``near`` where it is audio; raises `UsageError` as every canceller does."""
        check_block(far, rows, self.frame_samples, self.rows)
        return super().process(near, rows)


ECHO_CANCELLERS: dict[str, Callable[..., EchoStage]] = {
    "kalman": KalmanEcho,
    "nlms": NlmsEcho,
    "off": NoEcho,
}


def create_echo(name: str, rate_hz: int = 8000, **options: Any) -> EchoStage:
    """A bank by its name; ``options`` go to its class.

    At rates other than 8 and 16 kHz it works at 16 kHz inside: see `ResampledEcho`.

    Raises:
        UsageError: there is no canceller of that name, or no such rate.
    """
    if name in _ENGINES and name not in ECHO_CANCELLERS:
        raise UsageError(
            f"{name!r} is an engine of trunkline.speech: give "
            f"create('echo', {name!r}, rate_hz={rate_hz}) in its place"
        )
    if name not in ECHO_CANCELLERS:
        known = ", ".join(ECHO_CANCELLERS)
        raise UsageError(f"no echo canceller is called {name!r}; there are {known}")
    if rate_hz in _TELEPHONE_HZ or name == "off":
        return ECHO_CANCELLERS[name](rate_hz, **options)
    frame_samples(rate_hz)
    inside = ECHO_CANCELLERS[name](_TELEPHONE_HZ[-1], **options)
    return ResampledEcho(rate_hz, inside, options.get("capacity", 64))


@dataclass(frozen=True, slots=True)
class EchoStatistics:
    """What a canceller has done so far."""

    engine: str
    """Name of the canceller."""
    rate_hz: int
    frame_samples: int
    frames: int
    """Frames cancelled, 20 ms each."""
    padded: int
    """Chunks, near or far, that came short and were filled with silence."""
    truncated: int
    """Chunks, near or far, that came long and were cut."""
    faults: int
    """Frames with something in them that is no audio."""
    far_dbov: float
    """Levels of the last frame: what was sent, what came in, what is left."""
    near_dbov: float
    left_dbov: float
    delay_ms: float
    """How late the reference is read, where the canceller finds that out; else 0."""
    drift_ppm: float
    """How much the far clock differs, where the canceller finds that out; else 0."""
    erle_db: float
    """The most that the filter has taken away, where the canceller knows; else 0."""


class EchoCanceller:
    """Takes the echo out of a single call: a bank of one.

        canceller = EchoCanceller(rate_hz=16000)
        left = canceller.process(far_end=sent, near_end=heard)   # 20 ms of each

        left = canceller.push(far_end=sent, near_end=heard)      # any length, aligned
        rest = canceller.flush()                                 # and the end of it

    ``far_end`` is what was sent (what the loudspeaker plays), ``near_end`` what was heard in
    the same time (what the microphone took). Audio is int16, or float32 or float64 of full
    scale 1.0; the result is as ``near_end``. The delay between the two is found, up to 500 ms.
    At rates other than 8 and 16 kHz it is cancelled at 16 kHz, and the result ends at 8 kHz.
    A canceller is used in one of the two ways.
    """

    def __init__(self, rate_hz: int = 8000, engine: str | EchoStage = "kalman") -> None:
        """A canceller by name ("kalman", "nlms", "off"), or any stage.

        ``trunkline.speech.create("echo", "aec3", rate_hz=16000)`` makes one of a library.

        Raises:
            UsageError: the name is not known, or the rate does not suit it.
        """
        self._stage = (
            create_echo(engine, rate_hz, capacity=1) if isinstance(engine, str) else engine
        )
        if self._stage.rate_hz != rate_hz:
            raise UsageError(f"the stage works at {self._stage.rate_hz} Hz, not {rate_hz}")
        self.rate_hz = rate_hz
        self.frame_samples = frame_samples(rate_hz)
        self.delay_samples = self._stage.delay_samples
        """By how much what `process` gives is later than what it was given."""
        self._row = self._stage.open()
        self._rows = np.array([self._row], np.intp)
        self._aligned = Aligned(self.frame_samples, self.delay_samples, self._pair, 2)
        self._clear()

    def process(self, far_end: Audio, near_end: Audio, *, concealed: bool = False) -> Audio:
        """The next 20 ms of what was heard without the echo of what was sent.

        Args:
            far_end: what was sent; a length other than 20 ms is padded with silence or cut,
                and counted. Zeros while nothing is sent.
            near_end: what was heard; the result has its dtype and 20 ms.
            concealed: whether this frame was made up because it was lost; nothing is
                learnt from it.

        Raises:
            UsageError: one of the two is no row of audio.
        """
        faults = self._fit.faults
        far = fit(far_end, self.frame_samples, self._fit)
        near = fit(near_end, self.frame_samples, self._fit)
        self._fit.faults = min(self._fit.faults, faults + 1)
        return as_given(self._pair(far, near, concealed), near_end.dtype)

    def push(self, far_end: Audio, near_end: Audio) -> Audio:
        """The next pieces of two recordings: as much as is done, perhaps nothing.

        Both are as long, of whatever length. What comes is aligned with what was pushed:
        nothing of ``delay_samples`` is in it.

        Raises:
            UsageError: one of the two is no row of audio, or they differ in length.
        """
        return self._aligned.push((far_end, near_end), self._fit)

    def flush(self) -> Audio:
        """The rest of what was pushed: as many samples have then come as went in."""
        return self._aligned.flush()

    def reset(self) -> None:
        """Forget path, delay and counts."""
        self._stage.reset(self._row)
        self._stage.faults[self._row] = 0
        self._clear()

    @property
    def statistics(self) -> EchoStatistics:
        """What has been done, and the levels of the last frame."""
        return EchoStatistics(
            getattr(self._stage, "name", type(self._stage).__name__),
            self.rate_hz,
            self.frame_samples,
            self._frames,
            self._fit.padded,
            self._fit.truncated,
            self._fit.faults + int(self._stage.faults[self._row]),
            *self._levels,
            *(self._known(name) for name in ("delay_ms", "drift_ppm", "erle_db")),
        )

    def close(self) -> None:
        """Give the row back to a stage that is shared; not needed otherwise."""
        self._stage.close(self._row)

    def _clear(self) -> None:
        self._fit = FitCounts()
        self._aligned.restart()
        self._frames = 0
        self._levels = (-127.0, -127.0, -127.0)

    def _pair(
        self, far: NDArray[np.float32], near: NDArray[np.float32], concealed: bool = False
    ) -> NDArray[np.float32]:
        """A frame of each through the canceller."""
        blocks = near[np.newaxis], far[np.newaxis]
        left = self._stage.process(*blocks, self._rows, np.array([concealed]))
        self._frames += 1
        self._levels = (_level(far), _level(near), _level(left))
        return np.asarray(left[0], np.float32)

    def _known(self, name: str) -> float:
        tells = getattr(self._stage, name, None)
        return float(tells(self._row)) if tells is not None else 0.0


def _level(block: NDArray[np.float32]) -> float:
    """dBov of one frame, -127 to 0; what is no audio counts as silence."""
    power = float(np.mean(np.nan_to_num(block, posinf=0, neginf=0).astype(np.float64) ** 2))
    return float(10 * np.log10(min(max(power, 10**-12.7), 1.0)))
