"""Music on hold: something played to a call over and over, until it is stopped.

A file is read as it plays, a second at a time, so a radio programme of hours costs no
more memory than a jingle. What is queued ahead is two seconds: an application that
blocks its loop for longer is heard as a pause.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trunkline.media.errors import WavError
from trunkline.media.hold_music import hold_music
from trunkline.media.resample import StreamResampler
from trunkline.media.wav import WavFile

from .line import CallLine

__all__ = ["Music", "MusicSource"]

log = logging.getLogger(__name__)

Pcm = NDArray[np.int16]
AHEAD_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class MusicSource:
    """Where music comes from."""

    path: str | Path = ""
    """A WAV file; empty is the music that is made here."""
    samples: Pcm | None = None
    """Or these samples, at the call's rate."""

    def check(self) -> None:
        """Raise `OSError` or ``WavError`` for a file that cannot be played; reads its header."""
        if self.path:
            file = WavFile.open(self.path)
            file.close()
            if not file.frames:
                raise WavError(f"{self.path} has no samples")

    async def pieces(self, rate_hz: int) -> AsyncIterator[Pcm]:
        """It once, in pieces of at most a second, at a sample rate."""
        if not self.path:
            whole = hold_music(rate_hz) if self.samples is None else self.samples
            for at in range(0, len(whole), rate_hz):
                yield whole[at : at + rate_hz]
            return
        file = await asyncio.to_thread(WavFile.open, self.path)
        try:
            resampler = StreamResampler(file.rate_hz, rate_hz) if file.rate_hz != rate_hz else None
            while len(piece := await asyncio.to_thread(file.read, file.rate_hz)):
                yield piece if resampler is None else resampler.push(piece)
            if resampler is not None:
                yield resampler.flush()
        finally:
            file.close()


class Music:
    """Plays a source to a call from now on. Made and stopped on the application's loop."""

    def __init__(self, call: CallLine, source: MusicSource) -> None:
        self._call = call
        self._source = source
        self._task = asyncio.get_running_loop().create_task(self._play(), name=f"music ({call.id})")

    def stop(self) -> None:
        """Fall silent now; what was queued is dropped. Legal more than once."""
        if not self._task.cancelled():
            self._task.cancel()
            self._call.on_media(lambda: self._call.clear(self._call.media.now()))

    async def _play(self) -> None:
        call = self._call
        generation = call.generation
        until = call.media.now()
        try:
            while True:
                played = until
                async for piece in self._source.pieces(call.rate_hz):
                    call.play(piece, generation)
                    until = max(until, call.media.now()) + len(piece) / call.rate_hz
                    await asyncio.sleep(max(0.0, until - call.media.now() - AHEAD_SECONDS))
                if until == played:
                    raise WavError(f"{self._source.path or 'it'} has no samples")
        except (OSError, WavError) as error:
            log.warning("call %s: no music: %s", call.id, error)
