"""Packet-loss concealment: what a leg hears while its audio is missing.

A bank: `Concealer` keeps the last 80 ms of each row and how long it has been
concealing; a `Continuation` says what follows. "simple" repeats the last 20 ms,
each repetition half as loud (ITU-T G.711 Appendix I explains why it has to fade);
"silence" plays nothing and alters nothing. Methods that follow the pitch, and
those that look at audio after the gap, are further continuations.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .frames import frame_samples
from .rows import Rows
from .sample_ring import HOLE

__all__ = ["CONTINUATIONS", "Concealer", "Continuation", "Silence", "Simple"]

_HISTORY_FRAMES = 4
"""80 ms: what a search for pitch periods of up to 20 ms wants (G.711 Appendix I keeps 48.75)."""
_CROSSFADE_MS = 4
_JOINT_MS = 4

_Rows = NDArray[np.intp]
_Block = NDArray[np.int16]
_Audio = NDArray[np.float32]


class Continuation(Protocol):
    """One method of concealment. Has no state of its own: history is its state."""

    crossfades: bool
    """Whether received audio is blended with the concealment it ends."""

    def extend(self, history: _Audio, concealed: NDArray[np.int64], samples: int) -> _Audio:
        """What follows ``history``: (k, h) to (k, samples), at the scale of int16.

        ``concealed`` says how many samples at the end of each history are concealment
        already, so that a long loss fades and is not faded twice.
        """


class Silence:
    """Nothing. Received audio stays bit-exact, which tests and measurements want."""

    crossfades = False

    def extend(self, history: _Audio, concealed: NDArray[np.int64], samples: int) -> _Audio:
        """Zeros."""
        return np.zeros((len(history), samples), np.float32)


class Simple:
    """The last frame again, halving every 20 ms: inaudible after 120 to 160 ms."""

    crossfades = True

    def __init__(self, rate_hz: int) -> None:
        self._frame = frame_samples(rate_hz)
        joint = rate_hz * _JOINT_MS // 1000
        self._ramp = np.linspace(1, 0, joint, endpoint=False, dtype=np.float32)

    def extend(self, history: _Audio, concealed: NDArray[np.int64], samples: int) -> _Audio:
        """Repeat the last frame; its jump from end to beginning is spread over 4 ms."""
        frame = self._frame
        period = history[:, -frame:].copy()
        period[:, : len(self._ramp)] += (period[:, -1:] - period[:, :1]) * self._ramp
        since = np.arange(samples)
        audio = period[:, since % frame]
        # Concealment aged t has gain 0.5^(t / 20 ms). What is repeated from concealment has
        # the gain of 20 ms before in it already.
        age = concealed[:, np.newaxis] + since
        source_age = np.maximum(age - frame - since // frame * frame, 0)
        faded: _Audio = audio * np.exp2((source_age - age) / frame, dtype=np.float32)
        return faded


CONTINUATIONS: dict[str, Callable[[int], Continuation]] = {
    "silence": lambda rate_hz: Silence(),
    "simple": Simple,
}
"""Methods by name; each is made for a sample rate."""


class Concealer:
    """Concealment for many rows. Blocks are (n, 20 ms) int16; a row comes once.

    Every frame a row plays goes through `update` (received) or `conceal` (with
    holes), in order; both change the block in place and remember it.
    """

    def __init__(self, rate_hz: int = 8000, method: str = "simple", capacity: int = 64) -> None:
        if method not in CONTINUATIONS:
            known = ", ".join(sorted(CONTINUATIONS))
            raise UsageError(f"there is no concealment called {method!r}; there are {known}")
        self._frame = frame_samples(rate_hz)
        self._continuation = CONTINUATIONS[method](rate_hz)
        self.rows = Rows(capacity)
        size = rate_hz * _CROSSFADE_MS // 1000
        self._rise = (np.arange(1, size + 1) / (size + 1)).astype(np.float32)
        self._history = np.zeros((capacity, _HISTORY_FRAMES, self._frame), np.int16)
        self._newest = np.zeros(capacity, np.intp)
        self._tail = np.zeros((capacity, size), np.float32)
        self.concealed = np.zeros(capacity, np.int64)
        """Samples of concealment each row's history ends with, (rows,)."""

    def open(self) -> int:
        """A row with silence behind it."""
        row = self.rows.open()
        more = self.rows.capacity - len(self._history)
        if more:
            for name in ("_history", "_newest", "_tail", "concealed"):
                array = getattr(self, name)
                fresh = np.zeros((more, *array.shape[1:]), array.dtype)
                setattr(self, name, np.concatenate([array, fresh]))
        self.reset(np.array([row]))
        return row

    def close(self, row: int) -> None:
        """Give a row back; raises `UsageError` if it is not open."""
        self.rows.close(row)

    def reset(self, rows: _Rows) -> None:
        """Silence lies behind these rows; what comes next is not blended with anything."""
        self._history[rows] = 0
        self.concealed[rows] = 0

    def update(self, block: _Block, rows: _Rows) -> None:
        """Received frames; the first one after concealment is blended with it, in place."""
        back = np.flatnonzero(self.concealed[rows])
        if back.size:
            self._blend(block, rows, back)
            self.concealed[rows[back]] = 0
        self._remember(block, rows)

    def conceal(self, block: _Block, rows: _Rows) -> None:
        """Frames with holes (`HOLE` samples, some or all): fill them, in place."""
        frame, fade = self._frame, len(self._rise)
        hole = block == HOLE
        lead = hole.argmax(axis=1)
        before = self.concealed[rows]
        if self._continuation.crossfades and lead.any():
            back = np.flatnonzero((lead > 0) & (before > 0))
            keep = hole[back]
            self._blend(block, rows, back)
            block[back] = np.where(keep, HOLE, block[back])
        before = np.where(lead > 0, 0, before)
        # The history ends where the hole begins.
        past = np.concatenate([self._past(rows), block], axis=1).astype(np.float32)
        size = past.shape[1] - frame
        past = np.take_along_axis(past, lead[:, np.newaxis] + np.arange(size), axis=1)
        follows = self._continuation.extend(past, before, frame + fade)
        at = np.arange(frame)
        synthetic = np.take_along_axis(follows, np.maximum(at - lead[:, np.newaxis], 0), axis=1)
        # Received samples after a hole rise out of the concealment.
        last_hole = np.maximum.accumulate(np.where(hole, at, -frame), axis=1)
        since = np.minimum(at - last_hole, fade + 1)
        gain = np.where(hole, 0, np.r_[self._rise, np.float32(1)][since - 1])
        if not self._continuation.crossfades:
            gain = np.where(hole, 0, 1)
        mixed = np.where(hole, 0, block) * gain + synthetic * (1 - gain)
        block[...] = np.clip(np.rint(mixed), -32767, 32767)
        received = frame - 1 - last_hole[:, -1]
        rest = (frame - lead)[:, np.newaxis] + np.arange(fade)
        self._tail[rows] = np.take_along_axis(follows, rest, axis=1)
        self.concealed[rows] = np.where(received > 0, 0, before + frame - lead)
        self._remember(block, rows)

    def _blend(self, block: _Block, rows: _Rows, back: _Rows) -> None:
        """Crossfade from the concealment's continuation into what was received."""
        if not self._continuation.crossfades:
            return
        fade = len(self._rise)
        mixed = block[back, :fade] * self._rise + self._tail[rows[back]] * (1 - self._rise)
        block[back, :fade] = np.clip(np.rint(mixed), -32767, 32767)

    def _remember(self, block: _Block, rows: _Rows) -> None:
        newest = self._newest[rows] + 1
        newest[newest == _HISTORY_FRAMES] = 0
        self._history[rows, newest] = block
        self._newest[rows] = newest

    def _past(self, rows: _Rows) -> _Block:
        """The history of each row, oldest sample first."""
        order = (self._newest[rows, np.newaxis] + 1 + np.arange(_HISTORY_FRAMES)) % _HISTORY_FRAMES
        past: _Block = self._history[rows[:, np.newaxis], order]
        return past.reshape(len(rows), _HISTORY_FRAMES * self._frame)
