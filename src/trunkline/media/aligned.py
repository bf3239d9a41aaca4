"""Audio in pieces of any length through what takes frames and is late.

A file, or chunks of 10 ms, or of 4,096 samples: `Aligned` cuts them into frames and
gives as much back as went in, at the same place.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .frames import Audio, FitCounts, as_float, as_given

__all__ = ["Aligned"]

Frame = NDArray[np.float32]


class Aligned:
    """Pieces of any length, in one or more streams side by side, to one stream of audio.

    What was pushed first comes out first; the first ``delay_samples`` of what the frames
    give are left out, so that a sample comes out where it went in. After `flush` exactly
    as many samples have come as were pushed.
    """

    def __init__(
        self,
        frame_samples: int,
        delay_samples: int,
        process: Callable[..., Frame],
        streams: int = 1,
    ) -> None:
        """``process`` takes a float32 frame of each stream, and gives one."""
        self._frame = frame_samples
        self._delay = delay_samples
        self._process = process
        self._streams = streams
        self._dtype: np.dtype[Any] = np.dtype(np.int16)
        self.restart()

    def restart(self) -> None:
        """Forget what was pushed and has not come yet."""
        self._waiting = np.zeros((self._streams, 0), np.float32)
        self._to_skip = self._delay
        self._owed = 0

    def push(self, pieces: tuple[Audio, ...], counts: FitCounts) -> Audio:
        """The next piece of each stream, all as long; what they complete, in the last's type.

        Raises `UsageError` for what is no row of audio, and for pieces of unlike length.
        """
        sounds = [as_float(piece) for piece in pieces]
        if len({sound.size for sound, _ in sounds}) != 1:
            lengths = " and ".join(str(sound.size) for sound, _ in sounds)
            raise UsageError(f"pieces of the same time are equally long, not {lengths} samples")
        counts.faults += any(faulty for _, faulty in sounds)
        self._dtype = pieces[-1].dtype
        self._owed += pieces[-1].size
        return self._run(np.stack([sound for sound, _ in sounds]))

    def flush(self) -> Audio:
        """The rest of what was pushed; what is pushed next is a recording of its own."""
        owed = self._owed
        frames = -(-(owed + self._to_skip) // self._frame) if owed else 0
        silent = frames * self._frame - self._waiting.shape[1]
        rest = self._run(np.zeros((self._streams, silent), np.float32))[:owed]
        self.restart()
        return rest

    def _run(self, more: NDArray[np.float32]) -> Audio:
        audio = np.concatenate([self._waiting, more], axis=1)
        whole = audio.shape[1] // self._frame * self._frame
        self._waiting = audio[:, whole:].copy()
        made = [
            self._process(*audio[:, start : start + self._frame])
            for start in range(0, whole, self._frame)
        ]
        out = np.concatenate(made) if made else np.zeros(0, np.float32)
        skipped = min(self._to_skip, out.size)
        self._to_skip -= skipped
        out = out[skipped:]
        self._owed -= out.size
        return as_given(out, self._dtype)
