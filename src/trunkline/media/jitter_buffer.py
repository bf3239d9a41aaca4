"""The jitter buffer of a single call: a bank of one, for users' own pipelines."""

from typing import Any

import numpy as np

from trunkline.errors import UsageError

from .codec import Codec
from .concealer import pcm_of
from .frames import Audio, as_given, frame_samples, to_float
from .g711 import Law
from .jitter import JitterBank, JitterSettings, JitterStatistics, Kind
from .onward import OnwardClock

__all__ = ["JitterBuffer"]


class JitterBuffer:
    """Packets of one call in as they come, 20 ms out at every tick, losses concealed.

        buffer = JitterBuffer(rate_hz=8000)
        buffer.put(audio, sequence, now)           # when a packet arrives
        frame = buffer.take(now)                   # every 20 ms, always a frame

    Time is ``now``, in seconds of any clock; where that steps back, time goes on from there.
    Nothing waits, so a recorded trace is played as fast as one likes: every `put` and `take`
    in the order of their times. Audio is int16, or float32 or float64 of full scale 1.0, of
    any codec and of any length up to 250 ms; `take` gives the type of the last packet, and
    silence before the first one. The delay follows the network between ``settings.min_ms`` and
    ``max_ms``; the same number for both (and ``start_ms``) keeps it as it is.
    """

    def __init__(
        self,
        rate_hz: int = 8000,
        settings: JitterSettings | None = None,
        *,
        codec: Codec | None = None,
    ) -> None:
        """``codec``: what `put_payload` takes. Opus then heals losses by its own means.

        Raises `UsageError` for a rate that is none, and for a codec of another rate.
        """
        self.rate_hz = rate_hz
        self.frame_samples = frame_samples(rate_hz)
        self._bank = JitterBank(rate_hz, settings, 1)
        self._row = self._bank.open(Law.ULAW)
        self._rows = np.array([self._row])
        self._codec = codec
        if codec is not None:
            self._bank.set_codec(self._row, codec)
        self._forget()

    def _forget(self) -> None:
        self._dtype: np.dtype[Any] = np.dtype(np.int16)
        self._newest: int | None = None
        self._clock = OnwardClock()
        self.kind = Kind.SILENT
        """What the last frame taken was."""
        self.faults = 0
        """Packets with samples that are no audio; those were taken for silence."""

    def put(
        self,
        audio: Audio,
        sequence: int,
        now: float,
        *,
        timestamp: int | None = None,
        source: int = 0,
    ) -> None:
        """A packet arrived ``now``: its audio and its number, which may wrap at 65,536.

        ``timestamp`` counts samples, and may wrap at 2^32; without one every packet is
        taken to be as long as this one and none to be followed by a pause. ``source``
        tells streams apart (RTP's SSRC). Raises `UsageError` for what is no row of audio,
        and for a time that is none; nothing else a peer sends does.
        """
        pcm, faulty = pcm_of(audio)
        now = self._clock(now)
        if self._codec is not None:
            raise UsageError("a buffer that was made with a codec takes payloads: put_payload")
        self.faults += faulty
        self._dtype = audio.dtype
        if timestamp is None:
            timestamp = self._unwrapped(sequence) * len(pcm)
        self._bank.put_decoded(
            self._row, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, source, False, pcm, now
        )

    def put_payload(
        self, payload: bytes, sequence: int, now: float, *, timestamp: int, source: int = 0
    ) -> None:
        """A packet of the buffer's codec arrived, not decoded yet.

        ``timestamp`` is on the codec's RTP clock (Opus: 48 kHz at every rate, G.722: 8 kHz).
        What no encoder makes is counted as lost. Raises `UsageError` without a codec.
        """
        if self._codec is None:
            raise UsageError("a buffer takes payloads if it is made with their codec=")
        now = self._clock(now)
        self._bank.put_coded(
            self._row, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, source, False, payload, now
        )

    def take(self, now: float) -> Audio:
        """The next 20 ms, to be called once every 20 ms; in the type of the last packet.

        Raises `UsageError` for a time that is none.
        """
        taken = self._bank.take(self._rows, self._clock(now))
        self.kind = Kind(int(taken.kind[0]))
        return as_given(to_float(taken.pcm[0]), self._dtype)

    def reset(self) -> None:
        """Begin anew, statistics included."""
        self._bank.reset(self._row)
        self._forget()

    @property
    def position(self) -> int:
        """Where the next frame begins, in samples that count on through restarts."""
        return int(self._bank.positions(self._rows)[0])

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
