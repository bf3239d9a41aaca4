"""Concealment for a single call: a bank of one, for users' own pipelines."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .concealment import ConcealmentBank
from .frames import Audio, FitCounts, as_float, as_given, fit, frame_samples, to_float, to_int16
from .sample_ring import HOLE

__all__ = ["Concealer", "ConcealmentStatistics"]

_QUIETEST_HOLE = HOLE + 1


def without_holes(audio: NDArray[np.float32]) -> NDArray[np.int16]:
    """Audio as int16 in which no sample is `HOLE`: the banks' word for one that is missing."""
    return np.maximum(to_int16(audio), np.int16(_QUIETEST_HOLE))


def pcm_of(audio: Audio) -> tuple[NDArray[np.int16], bool]:
    """Audio of any length `without_holes`, and whether some of it was no audio.

    Raises `UsageError` for what is no row of audio.
    """
    sound, faulty = as_float(audio)
    return without_holes(sound), faulty


@dataclass(frozen=True, slots=True)
class ConcealmentStatistics:
    """What a concealer has done since it was made; counts are of frames."""

    received: int
    concealed: int
    in_a_row: int
    """Concealed since the last one received."""
    most_in_a_row: int
    padded: int
    """Came short and were filled with silence."""
    truncated: int
    """Came long and were cut."""
    faults: int
    """Held samples that are no audio; those were taken for silence."""

    @property
    def loss_rate(self) -> float:
        """Share of the frames that were concealed, 0 to 1."""
        return self.concealed / max(1, self.received + self.concealed)


class Concealer:
    """Packet-loss concealment of one call, 20 ms at a time and without delay.

        concealer = Concealer(rate_hz=8000)
        heard = concealer.update(frame)        # a frame that came
        heard = concealer.conceal()            # one that did not, and nothing after it is here
        heard = concealer.conceal(following)   # one that did not; the one after it is here

    Exactly one call for every 20 ms, in order. Audio is int16, or float32 or float64 of
    full scale 1.0, and comes back as it was given, of 16 bits. What is louder is clipped.
    """

    def __init__(self, rate_hz: int = 8000, method: str = "pitch") -> None:
        """``method``: "pitch", "simple", "linear", "spectral" or "silence".

        Raises:
            UsageError: there is no such method, or no such rate (8 to 48 kHz).
        """
        self.rate_hz = rate_hz
        self.method = method
        self.frame_samples = frame_samples(rate_hz)
        self._bank = ConcealmentBank(rate_hz, method, 1)
        self._rows = np.array([self._bank.open()])
        self._dtype: np.dtype[Any] = np.dtype(np.int16)
        self._fit = FitCounts()
        self._received = self._concealed = self._in_a_row = self._most_in_a_row = 0

    def update(self, frame: Audio) -> Audio:
        """A frame that came: as it is, its first 4 ms blended with concealment before it.

        Raises `UsageError` for what is no row of audio.
        """
        block = without_holes(fit(frame, self.frame_samples, self._fit))[np.newaxis]
        self._dtype = frame.dtype
        self._received += 1
        self._in_a_row = 0
        self._bank.update(block, self._rows)
        return self._given(block)

    def conceal(self, *ahead: Audio | None) -> Audio:
        """A frame that did not come, in the type of the last one that did.

        ``ahead``: the frames after it, in order, as far as they are here already; None is
        one that is not. They are looked at and not taken: each is still given to
        `update`, or concealed, when its time comes. With one or two of them it is heard
        much less that something was missing. Without any the audio fades out over 60 ms
        or so; it is silent when the sender has stopped.

        Raises:
            UsageError: what is ahead is no row of audio.
        """
        looked_at = FitCounts()
        future = np.full((1, len(ahead) * self.frame_samples), HOLE, np.int16)
        for index, frame in enumerate(ahead):
            if frame is not None:
                start = index * self.frame_samples
                sound = fit(frame, self.frame_samples, looked_at)
                future[0, start : start + self.frame_samples] = without_holes(sound)
                if not self._received:
                    self._dtype = frame.dtype
        block = np.full((1, self.frame_samples), HOLE, np.int16)
        self._concealed += 1
        self._in_a_row += 1
        self._most_in_a_row = max(self._most_in_a_row, self._in_a_row)
        self._bank.conceal(block, self._rows, future if ahead else None)
        return self._given(block)

    def reset(self) -> None:
        """Forget the audio; counts stay."""
        self._bank.reset(self._rows)
        self._in_a_row = 0

    @property
    def history(self) -> Audio:
        """The last 160 ms that came out, the newest last: what concealment goes on from."""
        return self._given(self._bank.past(self._rows))

    @property
    def statistics(self) -> ConcealmentStatistics:
        """What happened so far."""
        return ConcealmentStatistics(
            self._received,
            self._concealed,
            self._in_a_row,
            self._most_in_a_row,
            self._fit.padded,
            self._fit.truncated,
            self._fit.faults,
        )

    def _given(self, block: NDArray[np.int16]) -> Audio:
        return as_given(to_float(block[0]), self._dtype)
