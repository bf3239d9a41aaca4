"""Echo cancellation at rates that a canceller does not work at.

Telephones have 8 or 16 kHz, and so have the cancellers. Audio of 24 or 48 kHz is brought
to 16 kHz, cancelled, and brought back: it ends at 8 kHz then, where speech has next to
nothing, and is 3 ms later.
"""

import numpy as np
from numpy.typing import NDArray

from .echo_bank import KalmanEcho
from .echo_stage import EchoStage
from .resample import Resampler
from .rows import Rows
from .stage import Block, RowNumbers, grown, take_pair

__all__ = ["ResampledEcho"]


class ResampledEcho:
    """A canceller of one rate as one of another; rows share nothing."""

    def __init__(self, rate_hz: int, stage: EchoStage, capacity: int = 64) -> None:
        """``stage`` is used through this alone. Raises `UsageError` as `Resampler` does."""
        self.rate_hz = rate_hz
        self.name = str(getattr(stage, "name", type(stage).__name__))
        self._stage = stage
        self._near = Resampler(rate_hz, stage.rate_hz, capacity=capacity)
        self._far = Resampler(rate_hz, stage.rate_hz, capacity=capacity)
        self._back = Resampler(stage.rate_hz, rate_hz, capacity=capacity)
        self.frame_samples = self._near.frame_in
        late_ms = self._near.delay_ms + self._back.delay_ms
        self.delay_samples = round(
            stage.delay_samples * rate_hz / stage.rate_hz + late_ms * rate_hz / 1000
        )
        self.faults = np.zeros(capacity, np.int64)
        """Frames of each row that held something that is no audio, (rows,)."""
        self._rows = Rows(capacity)
        self._inside = np.zeros(capacity, np.intp)
        # One row of each resampler is one row of ours: they are opened and closed together.
        self._places = np.zeros((capacity, 3), np.intp)

    def open(self) -> int:
        """A row that has heard nothing."""
        row = self._rows.open()
        capacity = self._rows.capacity
        for name in ("faults", "_inside", "_places"):
            setattr(self, name, grown(getattr(self, name), capacity))
        self.faults[row] = 0
        self._inside[row] = self._stage.open()
        self._places[row] = [each.open() for each in self._resamplers]
        return row

    def close(self, row: int) -> None:
        """Give a row back; raises `UsageError` if it is not open."""
        self._rows.close(row)
        self._stage.close(int(self._inside[row]))
        for each, place in zip(self._resamplers, self._places[row].tolist(), strict=True):
            each.close(place)

    def reset(self, row: int) -> None:
        """Forget path and delay of a row; raises `UsageError` if it is not open."""
        self._rows.check(row)
        self._stage.reset(int(self._inside[row]))
        for each, place in zip(self._resamplers, self._places[row].tolist(), strict=True):
            each.close(place)
        self._places[row] = [each.open() for each in self._resamplers]

    def process(
        self,
        near: Block,
        far: Block,
        rows: RowNumbers,
        frozen: NDArray[np.bool_] | None = None,
        shift: NDArray[np.int64] | None = None,
    ) -> Block:
        """The next 20 ms without echo; see `KalmanEcho.process` for what ``shift`` is.

        Raises `UsageError` as every canceller does.
        """
        more = {}
        if shift is not None and isinstance(self._stage, KalmanEcho):
            ratio = self._stage.rate_hz / self.rate_hz
            more["shift"] = np.rint(shift * ratio).astype(np.int64)
        near, far = take_pair(near, far, rows, self.frame_samples, self._rows, self.faults)
        places = self._places[rows]
        left = self._stage.process(
            np.asarray(self._near.process(near, places[:, 0]), np.float32),
            np.asarray(self._far.process(far, places[:, 1]), np.float32),
            self._inside[rows],
            frozen,
            **more,
        )
        return np.asarray(self._back.process(left, places[:, 2]), np.float32)

    def delay_ms(self, row: int) -> float:
        """How late the reference is read, where the canceller finds that out; else 0."""
        return self._known("delay_ms", row)

    def drift_ppm(self, row: int) -> float:
        """How much the far clock differs, where the canceller finds that out; else 0."""
        return self._known("drift_ppm", row)

    def erle_db(self, row: int) -> float:
        """The most that the filter has taken away, where the canceller knows; else 0."""
        return self._known("erle_db", row)

    @property
    def _resamplers(self) -> tuple[Resampler, Resampler, Resampler]:
        return self._near, self._far, self._back

    def _known(self, name: str, row: int) -> float:
        tells = getattr(self._stage, name, None)
        return 0.0 if tells is None else float(tells(int(self._inside[row])))
