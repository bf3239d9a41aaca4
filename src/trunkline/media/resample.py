"""Resampling by polyphase FIR: a bank for calls, a stream for everything else.

Both use one `_Kernel` a pair of rates. It cuts a frame's outputs into groups, and a
group's outputs are one small dense matrix times the stretch of input they can see:
a Toeplitz block. One such product serves all calls of a bank, or all frames of a
long push, at once; that is 20 times cheaper than a call at a time.

The filter is a Kaiser-windowed sinc (Oppenheim and Schafer, 7.5) of 24 samples of the
lower rate on each side: 3 ms at 8 kHz. With beta 7.5 and the cutoff at 0.475 of the
lower rate a telephone band is flat within 0.01 dB to 3.4 kHz, -0.7 dB at 3.6 kHz, and
images and aliases are below -75 dB from 4.2 kHz on.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, gcd
from typing import Any, overload

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .frames import FRAMES_PER_SECOND, Audio, as_float, as_given, frame_samples

__all__ = ["Resampler", "StreamResampler"]

_HALF_LENGTH = 24  # in samples of the lower rate
_BETA = 7.5
_CUTOFF = 0.475  # of the lower rate
# Outputs in a group, measured best of 16 to 80 for a hundred calls. Larger groups are
# fewer products but see more input that is multiplied by zeros, most of all going down.
_GROUP_UP, _GROUP_DOWN = 64, 32
_LOWEST_HZ, _HIGHEST_HZ = 1000, 192_000
# Louder than any audio. A float beyond it, or not a number, is a fault upstream: silence.
_LOUDEST_FLOAT = np.float32(2**24)

_Audio = NDArray[np.int16] | NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Group:
    """Some outputs that follow each other, and the inputs they are made of."""

    first_in: int
    """Counted from the oldest sample of history."""
    first_out: int
    """Counted from the frame's first output."""
    matrix: NDArray[np.float32]
    """(inputs, outputs)."""

    @property
    def end_out(self) -> int:
        return self.first_out + int(self.matrix.shape[1])


class _Kernel:
    """The filter of one pair of rates, cut into groups."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        common = gcd(from_hz, to_hz)
        self.up, self.down = to_hz // common, from_hz // common
        # A frame is the shortest whole number of periods that gives 20 ms or more.
        periods = ceil(from_hz / FRAMES_PER_SECOND / self.down)
        self.frame_in, self.frame_out = periods * self.down, periods * self.up
        # Equal rates need no filter: one tap, and what goes in comes out.
        self.half = _HALF_LENGTH * max(self.up, self.down) if from_hz != to_hz else 0
        self.history = 2 * self.half // self.up
        self.delay_out = round(self.half / self.down)
        taps = self._design()
        shared: dict[tuple[int, int], NDArray[np.float32]] = {}
        size = _GROUP_UP if self.up > self.down else _GROUP_DOWN
        self.groups = [
            self._group(taps, first, min(first + size, self.frame_out), shared)
            for first in range(0, self.frame_out, size)
        ]

    def apply(
        self,
        audio: NDArray[np.float32],
        out: NDArray[np.float32],
        begin: int = 0,
        end: int | None = None,
    ) -> None:
        """Filter (n, history + frame_in) to (n, frame_out); at least ``begin`` to ``end``."""
        end = self.frame_out if end is None else end
        for group in self.groups:
            if group.first_out < end and group.end_out > begin:
                inputs = audio[:, group.first_in : group.first_in + group.matrix.shape[0]]
                np.matmul(inputs, group.matrix, out=out[:, group.first_out : group.end_out])

    def _design(self) -> NDArray[np.float64]:
        """The low-pass at the common multiple of both rates; each phase has gain one."""
        offsets = np.arange(-self.half, self.half + 1)
        cutoff = _CUTOFF / max(self.up, self.down)
        taps = np.sinc(2 * cutoff * offsets) * np.kaiser(offsets.size, _BETA)
        for phase in range(self.up):
            taps[phase :: self.up] /= taps[phase :: self.up].sum()
        return np.asarray(taps, np.float64)

    def _group(
        self,
        taps: NDArray[np.float64],
        first: int,
        end: int,
        shared: dict[tuple[int, int], NDArray[np.float32]],
    ) -> _Group:
        """The group of outputs ``first`` to ``end``; equal matrices are made once."""
        # Output m is the sum of taps[m * down - i * up] over the inputs i that reach it.
        lowest = -((2 * self.half - first * self.down) // self.up)
        highest = (end - 1) * self.down // self.up
        key = (first * self.down - lowest * self.up, end - first)
        if key not in shared:
            inputs = np.arange(lowest, highest + 1)[:, np.newaxis] * self.up
            index = np.arange(first, end) * self.down - inputs
            inside = (index >= 0) & (index < taps.size)
            matrix = np.where(inside, taps[np.clip(index, 0, taps.size - 1)], 0)
            shared[key] = np.ascontiguousarray(matrix, np.float32)
        return _Group(lowest + self.history, first, shared[key])


@lru_cache(maxsize=16)
def _kernel(from_hz: int, to_hz: int) -> _Kernel:
    for rate_hz in (from_hz, to_hz):
        if not _LOWEST_HZ <= rate_hz <= _HIGHEST_HZ:
            raise UsageError(f"a sample rate is {_LOWEST_HZ} to {_HIGHEST_HZ} Hz, not {rate_hz!r}")
    return _Kernel(from_hz, to_hz)


def _to_pcm(audio: NDArray[np.float32]) -> NDArray[np.int16]:
    """Rounded and clipped; overwrites its input."""
    np.rint(audio, out=audio)
    np.clip(audio, -32768, 32767, out=audio)
    return np.asarray(audio, np.int16)


def _finite(audio: _Audio) -> _Audio:
    """Floats with silence in place of what is no audio; integers as they are."""
    if audio.dtype == np.int16:
        return audio
    if audio.dtype != np.float32:
        raise UsageError(f"audio is int16 or float32, not {audio.dtype}")
    return np.where(np.abs(audio) <= _LOUDEST_FLOAT, audio, np.float32(0))


class Resampler:
    """A bank: many calls from one rate to another, 20 ms in, 20 ms out, 3 ms late.

    ``delay_ms`` is exact. Rows share nothing: garbage in one never reaches another.
    """

    def __init__(self, from_hz: int, to_hz: int, *, capacity: int = 64) -> None:
        """``capacity`` rows to begin with; the bank doubles when it is full.

        Raises `UsageError` where 20 ms are not whole samples at either rate.
        """
        self.frame_in, self.frame_out = frame_samples(from_hz), frame_samples(to_hz)
        self._kernel = _kernel(from_hz, to_hz)
        self.delay_ms = 1000 * self._kernel.half / (from_hz * self._kernel.up)
        self._history = np.zeros((max(capacity, 1), self._kernel.history), np.float32)
        self._free = list(range(len(self._history)))[::-1]
        self._open: set[int] = set()

    def __len__(self) -> int:
        return len(self._open)

    def open(self) -> int:
        """A row of its own for one call, its history silent."""
        if not self._free:
            capacity = len(self._history)
            self._history = np.concatenate([self._history, np.zeros_like(self._history)])
            self._free = list(range(capacity, 2 * capacity))[::-1]
        row = self._free.pop()
        self._history[row] = 0
        self._open.add(row)
        return row

    def close(self, row: int) -> None:
        """Give a row back; raises `UsageError` if it is not open."""
        if row not in self._open:
            raise UsageError(f"row {row} is not open")
        self._open.remove(row)
        self._free.append(row)

    def process(self, block: _Audio, rows: NDArray[np.intp]) -> _Audio:
        """The next 20 ms of n different rows: (n, frame_in) to (n, frame_out).

        int16 gives int16, rounded and clipped; float32 gives float32 at the same
        scale, with silence for what is not a number. Rows must be open and different.
        """
        if block.shape != (len(rows), self.frame_in):
            raise UsageError(f"a block of {len(rows)} rows is not {block.shape}")
        history = self._kernel.history
        audio = np.empty((len(rows), history + self.frame_in), np.float32)
        audio[:, :history] = self._history[rows]
        audio[:, history:] = _finite(block)
        self._history[rows] = audio[:, self.frame_in :]
        out = np.empty((len(rows), self.frame_out), np.float32)
        self._kernel.apply(audio, out)
        return _to_pcm(out) if block.dtype == np.int16 else out


class StreamResampler:
    """One stream from any rate to any other, in pieces of any length.

    The output is aligned with the input: what is pushed comes out but for the last
    3 ms (24 samples of the lower rate), which the next push or `flush` brings. After
    `flush` there are exactly ``ceil(samples * to_hz / from_hz)`` samples in all. Audio is
    int16, or float32 or float64 of full scale 1.0, and comes back as it was given.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        """Raises `UsageError` for rates outside 1 to 192 kHz."""
        self._kernel = _kernel(from_hz, to_hz)
        self._dtype: np.dtype[Any] = np.dtype(np.int16)
        self._restart()

    def _restart(self) -> None:
        kernel = self._kernel
        # History, then what has come of the present frame.
        self._audio = np.zeros(kernel.history, np.float32)
        self._done = 0  # outputs of the present frame already given
        self._to_skip = kernel.delay_out
        self._pushed = 0
        self._given = 0

    @overload
    def push(self, audio: NDArray[np.int16]) -> NDArray[np.int16]: ...
    @overload
    def push(self, audio: Audio) -> Audio: ...
    def push(self, audio: Audio) -> Audio:
        """More input; returns the output it completes, perhaps none, in the input's type.

        Raises `UsageError` for what is no row of audio; silence for single bad samples.
        """
        sound, _ = as_float(audio)
        self._dtype = audio.dtype
        self._pushed += sound.size
        return self._give(self._filter(sound))

    def flush(self) -> Any:
        """The rest; the stream may then begin anew."""
        kernel = self._kernel
        total = -(-self._pushed * kernel.up // kernel.down)
        left = total - self._given
        # Silence moves the rest out; what it brings of its own beyond that is cut off.
        rest = self._give(self._filter(np.zeros(kernel.history + kernel.down, np.float32)))
        self._restart()
        return rest[:left]

    def _give(self, out: NDArray[np.float32]) -> Audio:
        skipped = min(self._to_skip, out.size)
        self._to_skip -= skipped
        self._given += out.size - skipped
        return as_given(out[skipped:], self._dtype)

    def _filter(self, more: NDArray[np.float32]) -> NDArray[np.float32]:
        """All outputs that the input so far allows, the filter's delay included."""
        kernel = self._kernel
        audio = np.concatenate([self._audio, more])
        frames, rest = divmod(audio.size - kernel.history, kernel.frame_in)
        out = np.empty((frames + 1, kernel.frame_out), np.float32)
        if frames:
            shape = (frames, kernel.history + kernel.frame_in)
            windows = as_strided(audio, shape, (4 * kernel.frame_in, 4), writeable=False)
            kernel.apply(windows, out[:frames])
        # Then as much of the frame begun as has its input. An output sees only what
        # came before it, so the zeros that fill the frame change nothing given here.
        self._audio = audio[frames * kernel.frame_in :].copy()
        ready = -(-rest * kernel.up // kernel.down)
        begin = 0 if frames else self._done
        filled = np.zeros((1, kernel.history + kernel.frame_in), np.float32)
        filled[0, : self._audio.size] = self._audio
        kernel.apply(filled, out[frames:], begin, ready)
        given = out.reshape(-1)[self._done : frames * kernel.frame_out + ready]
        self._done = ready
        return given
