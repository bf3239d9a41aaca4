"""What is heard while a far end pauses: its decoder goes on by itself.

Discontinuous transmission leaves out what would be the room's noise. Opus's decoder
knows that noise and makes more of it when it is told of nothing (RFC 6716 section 4.4);
silence instead would come and go with every word, and sound like a line that is cut.
"""

import numpy as np
from numpy.typing import NDArray

from .jitter_coded import CodedRow
from .packet_decoder import FillSource

__all__ = ["Comfort"]

_LONGEST_MS = 1000
"""Who pauses sends some noise every 400 ms (libopus); who sends nothing for longer has
stopped. One such packet may be lost."""
_FADE_MS = 200
_STEPS_PER_SECOND = 400
"""A codec conceals whole 2.5 ms."""


class Comfort:
    """Noise for the rows of a jitter bank that wait and have a codec with noise of its own."""

    def __init__(self, rate_hz: int) -> None:
        self._step = rate_hz // _STEPS_PER_SECOND
        self._fade = rate_hz * _FADE_MS // 1000
        self._longest = rate_hz * _LONGEST_MS // 1000 + self._fade
        # Of rows that were heard: where each waits, and how much noise it had there.
        self._waits: dict[int, tuple[int, int]] = {}

    def heard(self, row: int) -> None:
        """The row's decoder was given a packet: it knows what the room sounds like."""
        self._waits.setdefault(row, (0, 0))

    def forget(self, row: int) -> None:
        """The row has a new decoder."""
        self._waits.pop(row, None)

    def fill(
        self, frame: NDArray[np.int16], row: int, at: int, coded: CodedRow, *, paused: bool
    ) -> None:
        """Put noise in place of the zeros at the end of a frame of a row that waits ``at``.

        ``paused``: the far end is known to pause. What counts is what was known as the row
        began to wait: of a voice that was cut off the decoder would make more voice.
        """
        if row not in self._waits:
            return
        heard = np.flatnonzero(frame)
        lead = int(heard[-1]) + 1 if heard.size else 0
        waited, had = self._waits[row]
        if waited != at:
            had = 0 if paused else self._longest
        samples = frame.size - lead
        self._waits[row] = at, had + samples
        if not samples or had >= self._longest:
            return
        noise = self._noise(coded, samples)
        if noise is not None:
            left = (self._longest - had - np.arange(samples)) / self._fade
            frame[lead:] = noise * np.clip(left, 0, 1) if left[-1] < 1 else noise

    def _noise(self, coded: CodedRow, samples: int) -> NDArray[np.int16] | None:
        """The decoder's; None if it has none."""
        steps = -(-samples // self._step)
        filled = coded.decoder.fill(steps * self._step)
        made = int(np.count_nonzero(filled.source == FillSource.CONCEALED))
        coded.decoder.concealed -= made  # a pause is no loss
        return filled.pcm[:samples] if made == filled.pcm.size else None
