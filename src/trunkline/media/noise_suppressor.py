"""Noise suppression for one call: a bank of one, with counters."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .frames import to_float, to_int16
from .noise import NoiseBank, NoiseSettings, noise_stage
from .stage import LOUDEST, Stage

__all__ = ["NoiseStatistics", "NoiseSuppressor"]

Audio = NDArray[np.int16] | NDArray[np.float32]


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
    """Takes noise out of one call, 20 ms at a time, ``delay_samples`` late.

        suppressor = NoiseSuppressor(rate_hz=16000, strength=0.8)
        clean = suppressor.process(frame)

    Audio is int16, or float32 of full scale 1.0, and comes back as it was given.
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
        """``stage``: another suppression than ``method``, for instance a library's.

        Raises:
            UsageError: there is no such method, or a number is out of range.
        """
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
        self._clear()

    def process(self, audio: Audio, is_speech: bool | None = None) -> Audio:
        """The next frame without noise; longer is cut, shorter is filled with silence.

        ``is_speech``: False says that this frame is noise alone, and it is learnt from.
        True and None leave it to the audio: speech is found in each frequency by itself.

        Raises:
            UsageError: the audio is not one row of int16 or float32.
        """
        block = self._fit(_float(audio))
        self._frames += 1
        self._faults += not bool((np.abs(block) <= LOUDEST).all())
        if isinstance(self._stage, NoiseBank):
            learn = np.array([True]) if is_speech is False else None
            out = self._stage.process(block, self._rows, learn)
        else:
            out = self._stage.process(block, self._rows)
        self._told_silence += is_speech is False
        return to_int16(out[0]) if audio.dtype == np.int16 else out[0]

    def learn_noise_from_silence(self, audio: Audio) -> None:
        """Take the noise from a stretch in which nobody speaks, 20 ms or longer.

        Raises:
            UsageError: it is too short, or no audio, or the method has no profile.
        """
        if not isinstance(self._stage, NoiseBank):
            raise UsageError(f"the method {self._method!r} has no noise profile")
        self._stage.learn_noise(self._row, _float(audio))

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
            padded=self._padded,
            truncated=self._truncated,
            faults=self._faults,
            told_silence=self._told_silence,
            has_profile=known,
            noise_dbov=bank.noise_dbov(self._row) if bank is not None and known else None,
        )

    def _clear(self) -> None:
        self._frames = self._padded = self._truncated = 0
        self._faults = self._told_silence = 0

    def _fit(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        """One row of exactly 20 ms."""
        self._padded += audio.size < self.frame_samples
        self._truncated += audio.size > self.frame_samples
        block = np.zeros((1, self.frame_samples), np.float32)
        kept = audio[: self.frame_samples]
        block[0, : kept.size] = kept
        return block


def _float(audio: Audio) -> NDArray[np.float32]:
    if audio.ndim != 1:
        raise UsageError(f"audio is one row of samples, not {audio.shape}")
    if audio.dtype == np.int16:
        return to_float(np.asarray(audio, np.int16))
    if audio.dtype == np.float32:
        return np.asarray(audio, np.float32)
    raise UsageError(f"audio is int16 or float32, not {audio.dtype}")
