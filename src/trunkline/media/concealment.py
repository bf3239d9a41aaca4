"""Packet-loss concealment: what a leg hears while its audio is missing.

A bank: `ConcealmentBank` keeps the last 160 ms of each row and how long it has been
concealing; a `Continuation` says what follows. "pitch" goes on by pitch periods,
from both sides if it can (`substitution`); "simple" repeats the last 20 ms, each
repetition half as loud; "linear" and "spectral" are there to compare with;
"silence" plays nothing and alters nothing.
"""

from collections.abc import Callable
from math import inf
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .frames import frame_samples
from .reserve import enlarged, reserved
from .rows import Rows
from .sample_ring import HOLE
from .substitution import Pitch, after_gap

__all__ = [
    "CONTINUATIONS",
    "ConcealmentBank",
    "Continuation",
    "Linear",
    "Silence",
    "Simple",
    "Spectral",
]

_HISTORY_FRAMES = 8
"""160 ms: 80 ms to find pitch periods in (G.711 Appendix I keeps 48.75), before up to 80 ms of
concealment. A power of two."""
_AGES = np.arange(1, _HISTORY_FRAMES + 1)
"""Of the history's frames after the newest one, which is the last of them."""
_CROSSFADE_MS = 4
_JOINT_MS = 4
_LOUDEST = 32767

_Rows = NDArray[np.intp]
_Block = NDArray[np.int16]
_Audio = NDArray[np.float32]
_Mask = NDArray[np.bool_]
_Integers = NDArray[np.int64]


class Continuation(Protocol):
    """One method of concealment. Has no state of its own: history is its state."""

    crossfades: bool
    """Whether received audio is blended with the concealment it ends."""

    def extend(
        self,
        history: _Audio,
        concealed: NDArray[np.int64],
        samples: int,
        future: _Audio | None = None,
    ) -> _Audio:
        """What follows ``history``: (k, h) to (k, samples), at the scale of int16.

        ``concealed`` says how many samples at the end of each history are concealment
        already, so that a long loss fades and is not faded twice. ``future``, (k, f), is
        what is known of the time from the end of each history on, and `HOLE` where
        nothing is; the samples it begins with are missing.
        """


class Silence:
    """Nothing. Received audio stays bit-exact, which tests and measurements want."""

    crossfades = False

    def extend(
        self,
        history: _Audio,
        concealed: NDArray[np.int64],
        samples: int,
        future: _Audio | None = None,
    ) -> _Audio:
        """Zeros."""
        return np.zeros((len(history), samples), np.float32)


class Simple:
    """The last frame again, halving every 20 ms: inaudible after 120 to 160 ms."""

    crossfades = True

    def __init__(self, rate_hz: int) -> None:
        self._frame = frame_samples(rate_hz)
        joint = rate_hz * _JOINT_MS // 1000
        self._ramp = np.linspace(1, 0, joint, endpoint=False, dtype=np.float32)
        # One table for every gain: exp2 of an array rounds otherwise with other neighbours,
        # and a row may not depend on whether another one was concealed before.
        self._fall = np.array([2 ** (-age / self._frame) for age in range(self._frame)], np.float32)
        self._fresh = self._gain(np.arange(2 * self._frame))

    def extend(
        self,
        history: _Audio,
        concealed: NDArray[np.int64],
        samples: int,
        future: _Audio | None = None,
    ) -> _Audio:
        """Repeat the last frame; its jump from end to beginning is spread over 4 ms."""
        frame, ramp = self._frame, self._ramp
        period = history[:, -frame:].copy()
        period[:, : len(ramp)] += (period[:, -1:] - period[:, :1]) * ramp
        audio = np.concatenate([period] * -(-samples // frame), axis=1)[:, :samples]
        # Concealment aged t has gain 0.5^(t / 20 ms). What is repeated from concealment has
        # the gain of 20 ms before in it already.
        if not concealed.any() and samples <= len(self._fresh):
            audio *= self._fresh[:samples]
            return audio
        since = np.arange(samples)
        age = concealed[:, np.newaxis] + since
        audio *= self._gain(np.minimum(age, frame + since // frame * frame))
        return audio

    def _gain(self, ages: NDArray[np.int64]) -> _Audio:
        """0.5^(age / 20 ms); whole frames are powers of two, and so exact."""
        frames, rest = np.divmod(ages, self._frame)
        gain: _Audio = np.ldexp(self._fall[rest], -frames)
        return gain


class Linear:
    """A straight line: to the first sample after the gap if it is near, or else to zero."""

    crossfades = True

    def __init__(self, rate_hz: int) -> None:
        self._frame = frame_samples(rate_hz)

    def extend(
        self,
        history: _Audio,
        concealed: NDArray[np.int64],
        samples: int,
        future: _Audio | None = None,
    ) -> _Audio:
        """From the last sample, within 20 ms or up to the next one received."""
        last = history[:, -1:]
        length = np.full((len(history), 1), self._frame)
        target = np.zeros_like(last)
        if future is not None:
            present = future != HOLE
            found = present.any(axis=1, keepdims=True)
            first = present.argmax(axis=1)[:, np.newaxis]
            length = np.where(found, first + 1, length)
            target = np.where(found, np.take_along_axis(future, first, axis=1), target)
        part = np.minimum((np.arange(1, samples + 1) / length).astype(np.float32), 1)
        line: _Audio = last + (target - last) * part
        return line


class Spectral:
    """The last 20 ms with their spectrum's magnitudes and other phases, halving every 20 ms.

    Phases are the same numbers for every row and loss, so that nothing here is random.
    """

    crossfades = True

    def __init__(self, rate_hz: int) -> None:
        self._frame = frame_samples(rate_hz)
        self._simple = Simple(rate_hz)
        angles = np.random.default_rng(0).uniform(-np.pi, np.pi, self._frame // 2 + 1)
        self._cosines, self._sines = np.cos(angles), np.sin(angles)

    def extend(
        self,
        history: _Audio,
        concealed: NDArray[np.int64],
        samples: int,
        future: _Audio | None = None,
    ) -> _Audio:
        """Noise coloured like the last frame received."""
        # What is concealed already has these phases: it is only repeated.
        fresh = concealed < self._frame
        spectrum = np.fft.rfft(history[:, -self._frame :].astype(np.float64))
        magnitude = np.sqrt(np.square(spectrum.real) + np.square(spectrum.imag))
        spectrum.real, spectrum.imag = magnitude * self._cosines, magnitude * self._sines
        noise = np.fft.irfft(spectrum, self._frame).astype(np.float32)
        past = np.where(fresh[:, np.newaxis], noise, history[:, -self._frame :])
        return self._simple.extend(past, concealed, samples)


CONTINUATIONS: dict[str, Callable[[int], Continuation]] = {
    "linear": Linear,
    "pitch": Pitch,
    "silence": lambda rate_hz: Silence(),
    "simple": Simple,
    "spectral": Spectral,
}
"""Methods by name; each is made for a sample rate."""


def _to_int16(audio: _Audio) -> _Block:
    """Rounded and clipped; never `HOLE`."""
    rounded = np.rint(audio)
    np.minimum(rounded, _LOUDEST, out=rounded)
    np.maximum(rounded, -_LOUDEST, out=rounded)
    return rounded.astype(np.int16)


def _from(block: _Block | _Audio, starts: _Rows) -> _Audio:
    """Rows from each its start on, `HOLE` beyond their end."""
    k, size = block.shape
    at = starts[:, np.newaxis] + np.arange(size)
    beyond = at >= size
    at += np.arange(0, k * size, size)[:, np.newaxis]
    found: _Audio = block.reshape(-1).take(at, mode="clip").astype(np.float32, copy=False)
    found[beyond] = HOLE
    return found


class ConcealmentBank:
    """Concealment for many rows. Blocks are (n, 20 ms) int16; a row comes once.

    Every frame a row plays goes through `update` (received) or `conceal` (with
    holes), in order; both change the block in place and remember it.
    """

    def __init__(self, rate_hz: int = 8000, method: str = "pitch", capacity: int = 64) -> None:
        if method not in CONTINUATIONS:
            known = ", ".join(sorted(CONTINUATIONS))
            raise UsageError(f"there is no concealment called {method!r}; there are {known}")
        self._frame = frame_samples(rate_hz)
        self._continuation = CONTINUATIONS[method](rate_hz)
        self._bridging = self._continuation if isinstance(self._continuation, Pitch) else None
        self.arrives = inf if self._bridging is None else self._bridging.arrives
        """Samples known after a gap from which on `bridge` fills it; no number is enough for
        methods that look at the past alone."""
        self.rows = Rows(capacity)
        size = rate_hz * _CROSSFADE_MS // 1000
        self._rise = (np.arange(1, size + 1) / (size + 1)).astype(np.float32)
        self._sink = 1 - self._rise
        self._history = reserved((capacity, _HISTORY_FRAMES, self._frame), np.int16)
        self._newest = np.zeros(capacity, np.intp)
        self._tail: NDArray[np.float32] = reserved((capacity, self._frame + size), np.float32)
        """How each row's concealment goes on after its last frame; 4 ms of it at least."""
        self._planned = np.zeros(capacity, np.int64)
        """And how many samples of it are missing for sure; 0: nobody knows."""
        self.concealed = np.zeros(capacity, np.int64)
        """Samples of concealment each row's history ends with, (rows,)."""

    def open(self) -> int:
        """A row with silence behind it."""
        row = self.rows.open()
        if self.rows.capacity > len(self._history):
            for name in ("_history", "_newest", "_tail", "_planned", "concealed"):
                setattr(self, name, enlarged(getattr(self, name), self.rows.capacity))
        self.reset(np.array([row]))
        return row

    def close(self, row: int) -> None:
        """Give a row back; raises `UsageError` if it is not open."""
        self.rows.close(row)

    def reset(self, rows: _Rows) -> None:
        """Silence lies behind these rows; what comes next is not blended with anything."""
        self._history[rows] = 0
        self.concealed[rows] = 0

    def past(self, rows: _Rows) -> _Block:
        """The history of each row, oldest sample first, (k, 80 ms)."""
        frames = self._newest[rows][:, np.newaxis] + _AGES
        frames &= _HISTORY_FRAMES - 1
        frames += (rows * _HISTORY_FRAMES)[:, np.newaxis]
        past: _Block = self._history.reshape(-1, self._frame).take(frames, axis=0)
        return past.reshape(len(rows), _HISTORY_FRAMES * self._frame)

    def update(self, block: _Block, rows: _Rows, where: _Rows | None = None) -> None:
        """Received frames; the first one after concealment is blended with it, in place.

        ``where``: only these indexes of block and rows, ascending.
        """
        those = rows if where is None else rows[where]
        concealed = self.concealed[those]
        if np.count_nonzero(concealed):
            back = concealed.nonzero()[0]
            self._blend(block, rows, back if where is None else where[back])
            self.concealed[those[back]] = 0
        self._remember(block if where is None else block[where], those)

    def conceal(self, block: _Block, rows: _Rows, future: _Block | None = None) -> None:
        """Frames with holes (`HOLE` samples, some or all): fill them, in place.

        ``future``, (n, any length): what is here already of the time after the frames.
        """
        if (block == HOLE).all():
            self._conceal_whole(block, rows, future)
        else:
            self._conceal_parts(block, rows, future)

    def bridge(
        self, window: _Block, rows: _Rows, leads: _Integers, ends: _Integers, stops: _Integers
    ) -> None:
        """Fill each row's gap up to its end, in place, and remember the first 20 ms.

        ``window``, (n, > 20 ms): frames and the time after them, with a gap from ``leads``,
        before the frame's end, to before ``ends``, (n,), after which `arrives` samples are
        there at least, up to ``stops``. What is filled beyond the frame comes next: it
        goes to `go_on`. Raises `UsageError` if the method looks at the past alone.
        """
        if self._bridging is None:
            raise UsageError("this method of concealment bridges nothing")
        frame, before = self._frame, self.concealed[rows]
        past = self.past(rows)
        audio = np.concatenate([past, window], axis=1).astype(np.float32)
        before[leads > 0] = 0
        most, blended = int((ends - leads).max()), ends
        if again := np.count_nonzero(before):
            # Blended with what went on so far, be the gap's rest shorter than that.
            most = max(most, len(self._rise))
            blended = np.maximum(ends, leads + len(self._rise) * (before > 0))
        size = past.shape[1]
        leads_at, ends_at, stops_at = leads + size, ends + size, stops + size
        follows = self._bridging.bridge(audio, leads_at, ends_at, stops_at, before, most)
        if again:
            follows = self._continued(follows, rows, before > 0)
        filled = _to_int16(follows)
        for gap, made, lead, end in zip(
            window, filled, leads.tolist(), blended.tolist(), strict=True
        ):
            gap[lead:end] = made[: end - lead]
        self.concealed[rows] = (before + frame - leads) * (ends > frame)
        self._remember(window[:, :frame], rows)

    def go_on(self, block: _Block, rows: _Rows, left: _Integers) -> None:
        """Frames that begin with ``left`` samples, (n,), that `bridge` made, unchanged."""
        self.concealed[rows] = np.where(left > self._frame, self.concealed[rows] + self._frame, 0)
        self._remember(block, rows)

    def interrupt(self, row: int, audio: _Block) -> None:
        """What was filled in, and would have gone on so, is not to be played after all.

        The row's next frame is blended with it.
        """
        fade = min(len(self._rise), len(audio))
        self._tail[row] = 0
        self._tail[row, :fade] = audio[:fade]
        self._planned[row] = 0

    def _conceal_whole(self, block: _Block, rows: _Rows, future: _Block | None) -> None:
        """Nothing of these frames came."""
        frame, concealed = self._frame, self.concealed[rows]
        known = None
        if future is not None:
            known = np.concatenate([block, future], axis=1).astype(np.float32)
        follows = self._continuation.extend(
            self.past(rows).astype(np.float32), concealed, frame + len(self._rise), known
        )
        follows = self._continued(follows, rows)
        block[...] = _to_int16(follows[:, :frame])
        self._tail[rows, : len(self._rise)] = follows[:, frame:]
        self._planned[rows] = 0
        self.concealed[rows] = concealed + frame
        self._remember(block, rows)

    def _conceal_parts(self, block: _Block, rows: _Rows, future: _Block | None) -> None:
        """Something of these frames came, before the hole or after it."""
        frame, fade = self._frame, len(self._rise)
        hole = block == HOLE
        lead = hole.argmax(axis=1)
        before = self.concealed[rows]
        back = ((lead > 0) & (before > 0)).nonzero()[0]
        self._blend(block, rows, back)
        before = np.where(lead > 0, 0, before)
        follows = self._follow(block, rows, lead, before, future)
        at = np.arange(frame)
        synthetic = np.take_along_axis(follows, np.maximum(at - lead[:, np.newaxis], 0), axis=1)
        # Received samples after a hole rise out of the concealment.
        last_hole = np.maximum.accumulate(np.where(hole, at, -frame), axis=1)
        if self._continuation.crossfades:
            rise = np.concatenate([[0], self._rise, [1]]).astype(np.float32)
            gain = rise[np.minimum(at - last_hole, fade + 1)]
        else:
            gain = np.where(hole, np.float32(0), np.float32(1))
        block[hole] = 0
        mixed = block * gain + synthetic * (1 - gain)
        block[...] = _to_int16(mixed)
        ends_received = last_hole[:, -1] < frame - 1
        self.concealed[rows] = np.where(ends_received, 0, before + frame - lead)
        self._remember(block, rows)

    def _follow(
        self, block: _Block, rows: _Rows, lead: _Rows, before: _Rows, future: _Block | None
    ) -> _Audio:
        """What follows each row's audio from its first hole on, a frame and 4 ms."""
        frame, samples = self._frame, self._frame + len(self._rise)
        known = None if future is None else _from(np.concatenate([block, future], axis=1), lead)
        present = block != HOLE
        missing = np.where(present.any(axis=1), present.argmax(axis=1), frame)
        # A packet's gap often ends in the next frame, and was bridged when it began.
        planned = (lead == 0) & (before > 0) & (missing == self._planned[rows])
        follows = self._tail[rows]
        fresh = (~planned).nonzero()[0]
        if fresh.size:
            # The history ends where the hole begins.
            past = np.concatenate([self.past(rows[fresh]), block[fresh]], axis=1)
            past = _from(past, lead[fresh])[:, :-frame]
            made = self._continuation.extend(
                past, before[fresh], samples, None if known is None else known[fresh]
            )
            follows[fresh] = self._continued(made, rows[fresh], before[fresh] > 0)
        rest = (frame - lead)[:, np.newaxis] + np.arange(samples)
        self._tail[rows] = np.take_along_axis(follows, np.minimum(rest, samples - 1), axis=1)
        self._planned[rows] = 0
        if known is not None:
            # Where too little is known the rest is made anew, when there is more.
            gap, length = after_gap(known)
            sure = (gap <= frame) & (length >= self.arrives) & (gap > frame - lead)
            self._planned[rows] = np.where(sure, gap - (frame - lead), 0)
        return follows

    def _continued(self, follows: _Audio, rows: _Rows, again: _Mask | None = None) -> _Audio:
        """A concealment that goes on does so smoothly, though more is known of the future now."""
        if not self._continuation.crossfades:
            return follows
        again = self.concealed[rows] > 0 if again is None else again
        if np.count_nonzero(again):
            fade = len(self._rise)
            mixed = follows[:, :fade] * self._rise + self._tail[rows, :fade] * self._sink
            follows[:, :fade] = np.where(again[:, np.newaxis], mixed, follows[:, :fade])
        return follows

    def _blend(self, block: _Block, rows: _Rows, back: _Rows) -> None:
        """Crossfade from the concealment's continuation into what was received."""
        if not self._continuation.crossfades or not back.size:
            return
        fade = len(self._rise)
        mixed = block[back, :fade] * self._rise + self._tail[rows[back], :fade] * self._sink
        block[back, :fade] = _to_int16(mixed)

    def _remember(self, block: _Block, rows: _Rows) -> None:
        """File a frame in place of the oldest."""
        newest = self._newest[rows] + 1 & _HISTORY_FRAMES - 1
        self._newest[rows] = newest
        self._history[rows, newest] = block
