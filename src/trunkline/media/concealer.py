"""Concealment for a single call: a bank of one, for users' own pipelines."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .concealment import ConcealmentBank
from .frames import frame_samples, to_float, to_int16
from .sample_ring import HOLE

__all__ = ["Concealer", "ConcealmentStatistics"]

_QUIETEST_HOLE = HOLE + 1


def pcm_of(audio: NDArray[Any]) -> tuple[NDArray[np.int16], bool]:
    """Audio as int16 without `HOLE`, and whether some of it was not a number.

    Raises `UsageError` unless it is one-dimensional int16, or float of full scale 1.
    """
    audio = np.asarray(audio)
    if audio.ndim != 1 or not (audio.dtype == np.int16 or audio.dtype.kind == "f"):
        raise UsageError(
            f"audio is one-dimensional int16 or float32, not {audio.ndim}-dimensional {audio.dtype}"
        )
    faulty = False
    if audio.dtype != np.int16:
        finite = np.isfinite(audio)
        faulty = not finite.all()
        audio = to_int16(np.where(finite, audio, 0))
    return np.maximum(audio, np.int16(_QUIETEST_HOLE)), faulty


def as_given(pcm: NDArray[np.int16], dtype: np.dtype[Any]) -> NDArray[Any]:
    """PCM in the dtype that a caller's audio has."""
    return pcm if dtype == np.int16 else to_float(pcm).astype(dtype, copy=False)


@dataclass(frozen=True, slots=True)
class ConcealmentStatistics:
    """What a concealer has done since it was made; counts are of frames."""

    received: int
    concealed: int
    in_a_row: int
    """Concealed since the last one received."""
    resized: int
    """Were not 20 ms long: padded with silence, or cut."""
    faults: int
    """Held samples that are not numbers; those were taken for silence."""


class Concealer:
    """Packet-loss concealment of one call. Frames are 20 ms, int16 or float32 (full scale 1)."""

    def __init__(self, rate_hz: int = 8000, method: str = "pitch") -> None:
        """``method`` is one of `concealment.CONTINUATIONS`; else `UsageError` lists them."""
        self.frame_samples = frame_samples(rate_hz)
        self._bank = ConcealmentBank(rate_hz, method, 1)
        self._rows = np.array([self._bank.open()])
        self._dtype: np.dtype[Any] = np.dtype(np.int16)
        self._counts = dict.fromkeys(("received", "concealed", "in_a_row", "resized", "faults"), 0)

    def update(self, frame: NDArray[Any]) -> NDArray[Any]:
        """A frame that came: as it is, its first 4 ms blended with what it ends."""
        block = self._block(frame)
        self._dtype = np.asarray(frame).dtype
        self._counts["received"] += 1
        self._counts["in_a_row"] = 0
        self._bank.update(block, self._rows)
        return as_given(block[0], self._dtype)

    def conceal(self, *ahead: NDArray[Any] | None) -> NDArray[Any]:
        """A frame that did not come, in the dtype of the last one that did.

        ``ahead``: the frames after it, as far as they are here; None is one that is not.
        With one or two of them it is heard much less that something was missing.
        """
        future = [
            np.full((1, self.frame_samples), HOLE, np.int16)
            if frame is None
            else self._block(frame)
            for frame in ahead
        ]
        block = np.full((1, self.frame_samples), HOLE, np.int16)
        self._counts["concealed"] += 1
        self._counts["in_a_row"] += 1
        self._bank.conceal(block, self._rows, np.concatenate(future, axis=1) if future else None)
        return as_given(block[0], self._dtype)

    def reset(self) -> None:
        """Forget the audio; counts stay."""
        self._bank.reset(self._rows)
        self._counts["in_a_row"] = 0

    @property
    def statistics(self) -> ConcealmentStatistics:
        """What happened so far."""
        return ConcealmentStatistics(**self._counts)

    def _block(self, frame: NDArray[Any]) -> NDArray[np.int16]:
        """A frame as a block of one row, of the right length."""
        pcm, faulty = pcm_of(frame)
        self._counts["faults"] += faulty
        self._counts["resized"] += len(pcm) != self.frame_samples
        block = np.zeros((1, self.frame_samples), np.int16)
        block[0, : len(pcm)] = pcm[: self.frame_samples]
        return block
