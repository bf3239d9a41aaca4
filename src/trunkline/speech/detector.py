"""Voice activity of a single call: a bank of one, for files and users' own pipelines."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from trunkline.media.frames import Audio, FitCounts, as_float, frame_samples, to_int16
from trunkline.media.resample import StreamResampler
from trunkline.media.segments import SegmentSettings, SpeechBoundary, SpeechSegmenter

from .interfaces import ActivityBank
from .registry import create

__all__ = ["SpeechDetector"]

_MODEL_HZ = (8000, 16000)
_KEPT = 4096
"""Boundaries that nobody asked for; then the oldest go."""


class SpeechDetector:
    """Hears where in one call's audio somebody speaks.

        detector = SpeechDetector(rate_hz=8000)
        probabilities = detector.push(audio)      # any length, one for each window completed
        for boundary in detector.boundaries():    # "start" or "end", and the sample it is at
            ...

    Windows follow each other without a gap, ``window_samples`` of the caller's audio each
    (32 ms with Silero). Audio is int16, or float32 or float64 of full scale 1.0. At rates
    other than 8 and 16 kHz it is brought to 16 kHz.
    """

    def __init__(
        self,
        rate_hz: int = 8000,
        engine: str | ActivityBank = "best",
        settings: SegmentSettings | None = None,
    ) -> None:
        """``engine``: "best" (Silero if installed), "silero", "gated", "subband", or a bank.

        Raises:
            UsageError: there is no such rate, or the bank is of another one.
            UnknownEngine: there is no engine of that name.
            MissingDependencyError: its package is not installed; says what to run.
        """
        frame_samples(rate_hz)
        self.rate_hz = rate_hz
        inside_hz = rate_hz if rate_hz in _MODEL_HZ else _MODEL_HZ[-1]
        bank: ActivityBank = (
            create("activity", engine, rate_hz=inside_hz, capacity=1)
            if isinstance(engine, str)
            else engine
        )
        self._bank = bank
        self._frame = frame_samples(bank.rate_hz)
        self._resampler: StreamResampler | None = None
        if bank.rate_hz != rate_hz:
            self._resampler = StreamResampler(rate_hz, bank.rate_hz)
        self.window_samples = bank.window_samples * rate_hz / bank.rate_hz
        """Of the caller's audio; a fraction only at rates like 44.1 kHz."""
        self._segmenter = SpeechSegmenter(bank.rate_hz, bank.window_samples, settings)
        self._row = bank.open()
        self._clear()

    def _clear(self) -> None:
        self._waiting = np.zeros(0, np.int16)
        self._found: deque[SpeechBoundary] = deque(maxlen=_KEPT)
        self._counts = FitCounts()

    @property
    def faults(self) -> int:
        """Pieces that held something that is no audio; silence took its place."""
        return self._counts.faults

    def push(self, audio: Audio) -> NDArray[np.float32]:
        """More audio; the probability of speech, 0 to 1, of each window it completes.

        Audio goes to the engine in whole frames of 20 ms; the rest waits for the next piece.
        Raises `UsageError` for what is no row of audio.
        """
        sound, faulty = as_float(audio)
        self._counts.faults += faulty
        if self._resampler is not None:
            sound, _ = as_float(self._resampler.push(sound))
        return self._hear(to_int16(sound))

    def flush(self) -> NDArray[np.float32]:
        """The audio is over: what waits is filled up with silence, and speech ends.

        The probability of the last window; then another recording may begin.
        """
        rest = np.zeros(0, np.int16)
        if self._resampler is not None:
            rest = to_int16(as_float(self._resampler.flush())[0])
        window = self._bank.window_samples
        begun = self._segmenter.samples + self._waiting.size + rest.size
        silent = np.zeros(window + self._frame, np.int16)
        last = self._hear(np.concatenate([rest, silent])) if begun else np.zeros(0, np.float32)
        self._note(self._segmenter.finish())
        found, counts = self._found, self._counts
        self.reset()
        self._found, self._counts = found, counts
        return last

    def boundaries(self) -> list[SpeechBoundary]:
        """Where speech began or ended since this was last asked; positions in samples."""
        found = list(self._found)
        self._found.clear()
        return found

    def reset(self) -> None:
        """Begin anew, as for another call."""
        self._bank.close(self._row)
        self._row = self._bank.open()
        self._segmenter.reset()
        if self._resampler is not None:
            self._resampler.flush()
        self._clear()

    def _hear(self, pcm: NDArray[np.int16]) -> NDArray[np.float32]:
        audio = np.concatenate([self._waiting, pcm])
        whole = audio.size // self._frame * self._frame
        self._waiting = audio[whole:].copy()
        rows = np.array([self._row], np.intp)
        heard = [
            self._bank.process(audio[np.newaxis, start : start + self._frame], rows).probability
            for start in range(0, whole, self._frame)
        ]
        found = np.concatenate(heard) if heard else np.zeros(0, np.float32)
        for probability in found.tolist():
            self._note(self._segmenter.push(probability))
        return np.asarray(found, np.float32)

    def _note(self, boundaries: list[SpeechBoundary]) -> None:
        ratio = self.rate_hz / self._bank.rate_hz
        for one in boundaries:
            position, decided_at = round(one.position * ratio), round(one.decided_at * ratio)
            self._found.append(SpeechBoundary(one.kind, position, decided_at))
