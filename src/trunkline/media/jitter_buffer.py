"""The jitter buffer of a single call: a bank of one, for users' own pipelines."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .concealer import as_given, pcm_of
from .frames import frame_samples
from .g711 import Law
from .jitter import JitterBank, JitterSettings, JitterStatistics, Kind

__all__ = ["JitterBuffer"]


class JitterBuffer:
    """Packets of one call in as they come, 20 ms out at every tick.

    Audio is decoded, of any codec: int16, or float32 of full scale 1; packets of any
    length up to 250 ms. Time is ``now``, in seconds of any clock that only goes on.
    """

    def __init__(self, rate_hz: int = 8000, settings: JitterSettings | None = None) -> None:
        self.frame_samples = frame_samples(rate_hz)
        self._bank = JitterBank(rate_hz, settings, 1)
        self._row = self._bank.open(Law.ULAW)
        self._rows = np.array([self._row])
        self._dtype: np.dtype[Any] = np.dtype(np.int16)
        self._newest: int | None = None
        self.kind = Kind.SILENT
        """What the last frame taken was."""
        self.faults = 0
        """Packets with samples that are not numbers; those were taken for silence."""

    def put(
        self,
        audio: NDArray[Any],
        sequence: int,
        now: float,
        *,
        timestamp: int | None = None,
        source: int = 0,
    ) -> None:
        """A packet arrived: its audio and its number, which may wrap at 65,536.

        ``timestamp`` counts samples, and may wrap at 2^32; without one every packet is
        taken to be as long as this one and none to be followed by a pause. ``source``
        tells streams apart (RTP's SSRC). Raises `UsageError` for audio that is not int16
        or float; nothing else a peer sends does.
        """
        pcm, faulty = pcm_of(audio)
        self.faults += faulty
        self._dtype = np.asarray(audio).dtype
        if timestamp is None:
            timestamp = self._unwrapped(sequence) * len(pcm)
        self._bank.put_decoded(
            self._row, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, source, False, pcm, now
        )

    def take(self, now: float) -> NDArray[Any]:
        """The next frame, to be called every 20 ms; in the dtype of the last packet."""
        taken = self._bank.take(self._rows, now)
        self.kind = Kind(int(taken.kind[0]))
        return as_given(taken.pcm[0], self._dtype)

    def reset(self) -> None:
        """Begin anew, statistics included."""
        self._bank.reset(self._row)
        self._newest, self.faults, self.kind = None, 0, Kind.SILENT

    @property
    def statistics(self) -> JitterStatistics:
        """Losses, delay, jitter and what was done about them."""
        return self._bank.statistics(self._row)

    def _unwrapped(self, sequence: int) -> int:
        """A number that goes on where sequence numbers wrap."""
        if self._newest is None:
            self._newest = sequence
        number = self._newest + (sequence - self._newest + 0x8000 & 0xFFFF) - 0x8000
        self._newest = max(self._newest, number)
        return number
