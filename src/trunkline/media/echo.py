"""Echo cancellation: the choices by name, and the canceller of a single call.

    kalman   batched frequency-domain Kalman filter with delay, drift and residual: the default
    nlms     the textbook's time-domain filter, 1024 taps
    off      what was heard, as it is

Cancellers of other libraries (``speex``, ``aec3``) have the same shape and are engines in
`trunkline.speech`; a canceller of a single call takes any of them as its stage.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .echo_bank import KalmanEcho
from .echo_nlms import NlmsEcho
from .frames import frame_samples, to_float, to_int16
from .stage import Block, Bypass, RowNumbers, check_block

__all__ = [
    "ECHO_CANCELLERS",
    "EchoCanceller",
    "EchoStage",
    "EchoStatistics",
    "NoEcho",
    "create_echo",
]

_Audio = NDArray[np.int16] | NDArray[np.float32]


class EchoStage(Protocol):
    """A `Stage` of the chain with one more block: what was really sent."""

    rate_hz: int
    frame_samples: int
    delay_samples: int
    faults: NDArray[np.int64]

    def open(self) -> int:
        """A fresh row."""
        ...

    def close(self, row: int) -> None:
        """Give a row back."""
        ...

    def reset(self, row: int) -> None:
        """Forget what a row has heard."""
        ...

    def process(
        self, near: Block, far: Block, rows: RowNumbers, frozen: NDArray[np.bool_] | None = None
    ) -> Block:
        """The next 20 ms without the echo of what was sent."""
        ...


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

    Raises:
        UsageError: there is no canceller of that name, or not at that rate.
    """
    if name not in ECHO_CANCELLERS:
        known = ", ".join(ECHO_CANCELLERS)
        raise UsageError(f"no echo canceller is called {name!r}; there are {known}")
    return ECHO_CANCELLERS[name](rate_hz, **options)


@dataclass(frozen=True, slots=True)
class EchoStatistics:
    """What a canceller has done so far."""

    engine: str
    """Name of the canceller."""
    rate_hz: int
    frame_samples: int
    frames: int
    """Frames cancelled."""
    resized: int
    """Frames that were not 20 ms and were padded or cut."""
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
    """What the filter takes away of late, where the canceller knows; else 0."""


class EchoCanceller:
    """Takes the echo out of a single call: a bank of one."""

    def __init__(self, rate_hz: int = 8000, engine: str | EchoStage = "kalman") -> None:
        """A canceller by name, or any stage (``trunkline.speech`` has more).

        Raises:
            UsageError: the name is not known, or the rate does not suit it.
        """
        self._stage = create_echo(engine, rate_hz) if isinstance(engine, str) else engine
        if self._stage.rate_hz != rate_hz:
            raise UsageError(f"the stage works at {self._stage.rate_hz} Hz, not {rate_hz}")
        self.rate_hz = rate_hz
        self.frame_samples = frame_samples(rate_hz)
        self.delay_samples = self._stage.delay_samples
        """By how much the result is later than what came in."""
        self._row = self._stage.open()
        self._rows = np.array([self._row], np.intp)
        self._frames = self._resized = 0
        self._levels = (-127.0, -127.0, -127.0)

    def process(self, far_end: _Audio, near_end: _Audio, *, concealed: bool = False) -> _Audio:
        """The next 20 ms of what was heard without the echo of what was sent.

        Args:
            far_end: what was sent, int16 or float32 (full scale 1.0); a length other than
                20 ms is padded with silence or cut, and counted.
            near_end: what was heard; the result has its dtype and 20 ms.
            concealed: whether this frame was made up because it was lost; nothing is
                learnt from it.

        Raises:
            UsageError: something other than mono int16 or float audio was given.
        """
        far, near = self._frame(far_end), self._frame(near_end)
        left = self._stage.process(near, far, self._rows, np.array([concealed]))
        self._frames += 1
        self._levels = (_level(far), _level(near), _level(left))
        if near_end.dtype == np.int16:
            return to_int16(left[0])
        out: NDArray[np.float32] = left[0].astype(near_end.dtype, copy=False)
        return out

    def reset(self) -> None:
        """Forget path, delay and counts."""
        self._stage.reset(self._row)
        self._stage.faults[self._row] = 0
        self._frames = self._resized = 0
        self._levels = (-127.0, -127.0, -127.0)

    def stats(self) -> EchoStatistics:
        """What has been done, and the levels of the last frame."""
        return EchoStatistics(
            getattr(self._stage, "name", type(self._stage).__name__),
            self.rate_hz,
            self.frame_samples,
            self._frames,
            self._resized,
            int(self._stage.faults[self._row]),
            *self._levels,
            *(self._known(name) for name in ("delay_ms", "drift_ppm", "erle_db")),
        )

    def close(self) -> None:
        """Give the row back to a stage that is shared; not needed otherwise."""
        self._stage.close(self._row)

    def _known(self, name: str) -> float:
        tells = getattr(self._stage, name, None)
        return float(tells(self._row)) if tells is not None else 0.0

    def _frame(self, audio: _Audio) -> Block:
        if audio.ndim != 1 or (audio.dtype != np.int16 and audio.dtype.kind != "f"):
            raise UsageError(f"mono int16 or float audio, not {audio.dtype} of {audio.shape}")
        samples = audio.astype(np.float32, copy=False)
        if audio.dtype == np.int16:
            samples = to_float(audio.astype(np.int16, copy=False))
        if len(samples) != self.frame_samples:
            self._resized += 1
            missing = max(0, self.frame_samples - len(samples))
            samples = np.pad(samples[: self.frame_samples], (0, missing))
        return np.asarray(samples[np.newaxis], np.float32)


def _level(block: Block) -> float:
    """dBov of one frame, -127 to 0; what is no audio counts as silence."""
    power = float(np.mean(np.nan_to_num(block, posinf=0, neginf=0).astype(np.float64) ** 2))
    return float(10 * np.log10(min(max(power, 10**-12.7), 1.0)))
