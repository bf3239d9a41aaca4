"""Noise suppression for one call: a bank of one, with counters."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .aligned import Aligned
from .frames import Audio, FitCounts, as_float, as_given, fit
from .noise import NoiseBank, NoiseSettings, noise_stage
from .stage import Stage

__all__ = ["NoiseStatistics", "NoiseSuppressor"]

_ENGINES = ("noisereduce", "rnnoise", "webrtc")


@dataclass(frozen=True, slots=True)
class NoiseStatistics:
    """What a suppressor did so far."""

    method: str
    """Its name, or that of the stage it was given."""
    strength: float
    """0 to 1."""
    frames: int
    """20 ms each, since the beginning or `reset`."""
    padded: int
    """Frames that were shorter than 20 ms."""
    truncated: int
    """Frames that were longer."""
    faults: int
    """Frames that held something that is no audio."""
    told_silence: int
    """Frames that the caller said to be noise alone."""
    has_profile: bool
    """Whether the noise is known: the opening is over, or it was learnt."""
    noise_dbov: float | None
    """Its level, where the method knows one."""


class NoiseSuppressor:
    """Takes steady noise out of one call, of any even rate from 8 to 48 kHz.

        suppressor = NoiseSuppressor(rate_hz=16000, strength=0.8)
        clean = suppressor.process(frame)         # 20 ms in, 20 ms out, delay_samples late

        clean = suppressor.push(recording)        # any length, aligned with what went in
        rest = suppressor.flush()                 # and the end of it

    Audio is int16, or float32 or float64 of full scale 1.0, and comes back as it was given.
    A suppressor is used in one of the two ways.
    """

    def __init__(
        self,
        rate_hz: int = 8000,
        strength: float = 0.8,
        method: str = "logmmse",
        *,
        stationary: bool = False,
        opening_frames: int = 10,
        stage: Stage | None = None,
    ) -> None:
        """A suppression by name, or any stage.

        Args:
            rate_hz: of the audio.
            strength: 0 (nothing is taken out) to 1 (20 dB at most).
            method: "logmmse", "spectral" or "off".
            stationary: the noise of the opening stays what it is, and is not followed.
            opening_frames: frames at the beginning that are taken for noise, and left as
                they are; speech in them is not lost, but teaches it wrong for a while.
            stage: another suppression than ``method``, for instance a library's:
                ``trunkline.speech.create("noise", "rnnoise", rate_hz=16000)``.

        Raises:
            UsageError: there is no such method, or a number is out of range.
        """
        if method in _ENGINES and stage is None:
            raise UsageError(
                f"{method!r} is an engine of trunkline.speech: give "
                f"stage=create('noise', {method!r}, rate_hz={rate_hz})"
            )
        settings = NoiseSettings(method, strength, stationary, opening_frames)
        if stage is not None and stage.rate_hz != rate_hz:
            raise UsageError(f"the stage is for {stage.rate_hz} Hz, not for {rate_hz}")
        self._method = method if stage is None else type(stage).__name__.lower()
        self._strength = strength
        self._stage = noise_stage(rate_hz, settings, 1) if stage is None else stage
        self._row = self._stage.open()
        self._rows = np.array([self._row], np.intp)
        self.rate_hz = rate_hz
        self.frame_samples = self._stage.frame_samples
        self.delay_samples = self._stage.delay_samples
        """By how much what `process` gives is later than what it was given."""
        self._aligned = Aligned(self.frame_samples, self.delay_samples, self._frame)
        self._clear()

    def process(self, audio: Audio, is_speech: bool | None = None) -> Audio:
        """The next frame without noise; longer is cut, shorter is filled with silence.

        ``is_speech``: False says that this frame is noise alone, and it is learnt from.
        True and None leave it to the audio: speech is found in each frequency by itself.

        Raises:
            UsageError: it is no row of audio.
        """
        frame = fit(audio, self.frame_samples, self._fit)
        return as_given(self._frame(frame, is_speech), audio.dtype)

    def push(self, audio: Audio) -> Audio:
        """The next piece of a recording, any length: as much as is clean, perhaps nothing.

        What comes is aligned with what was pushed: nothing of ``delay_samples`` is in it.

        Raises:
            UsageError: it is no row of audio.
        """
        return self._aligned.push((audio,), self._fit)

    def flush(self) -> Audio:
        """The rest of what was pushed: as many samples have then come as went in."""
        return self._aligned.flush()

    def _frame(self, frame: NDArray[np.float32], is_speech: bool | None = None) -> Any:
        """A frame through the stage."""
        block = frame[np.newaxis]
        self._frames += 1
        self._told_silence += is_speech is False
        if isinstance(self._stage, NoiseBank):
            learn = np.array([True]) if is_speech is False else None
            return self._stage.process(block, self._rows, learn)[0]
        return self._stage.process(block, self._rows)[0]

    def learn_noise_from_silence(self, audio: Audio) -> None:
        """Take the noise from a stretch in which nobody speaks, 20 ms or longer.

        Raises:
            UsageError: it is too short, or no audio, or the method has no profile.
        """
        if not isinstance(self._stage, NoiseBank):
            raise UsageError(f"the method {self._method!r} has no noise profile")
        self._stage.learn_noise(self._row, as_float(audio)[0])

    def reset(self) -> None:
        """Forget the noise and what was heard; counters begin again."""
        self._stage.reset(self._row)
        self._clear()

    @property
    def statistics(self) -> NoiseStatistics:
        """What happened so far."""
        bank = self._stage if isinstance(self._stage, NoiseBank) else None
        known = bank is not None and bank.has_profile(self._row)
        return NoiseStatistics(
            method=self._method,
            strength=self._strength,
            frames=self._frames,
            padded=self._fit.padded,
            truncated=self._fit.truncated,
            faults=self._fit.faults,
            told_silence=self._told_silence,
            has_profile=known,
            noise_dbov=bank.noise_dbov(self._row) if bank is not None and known else None,
        )

    def _clear(self) -> None:
        self._fit = FitCounts()
        self._aligned.restart()
        self._frames = self._told_silence = 0
