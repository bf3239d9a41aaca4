"""Noise suppression for many legs at once: a short-time spectrum and a rule for it.

Windows of 20 ms every 10 ms (square roots of a Hann window, so that unaltered audio
comes back as it was), the noise followed in each bin (`noise_power`), a gain for each
(`noise_rules`), overlap and add: 10 ms late, whatever the rate.

Rows are exact: a leg's samples are the same bits alone and among 500 others. All of it
is additions, products, quotients and tables, which round alike wherever an element
lies, and numpy transforms one row at a time.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .frames import frame_samples
from .noise_power import NoiseFollower, NoiseState, Spectra
from .noise_rules import Gain, LogMmse, SpectralSubtraction
from .reserve import enlarged, reserved
from .rows import Rows
from .spectra import irfft, rfft
from .stage import (
    LOUDEST,
    Block,
    Bypass,
    RowNumbers,
    Stage,
    check_block,
    grown,
    shards,
    silence_faults,
)

__all__ = ["METHODS", "NoiseBank", "NoiseSettings", "noise_stage"]

FULL_DB = 20.0
"""By how much noise is reduced at strength 1. Musical noise grows faster than PESQ from there."""
_SHARD = 128
# 30 dB over the noise are speech, however much more it is: the 16th power of it is a float32.
_GREATEST_RATIO = np.float32(1000)
# Eight steps of 16-bit PCM: what A-law and mu-law make of nothing at all. It is not the
# line's noise, and a profile of it would be exceeded by every noise there is.
_DIGITAL_SILENCE = np.float32(8.5 / 32768)


@dataclass(frozen=True, slots=True)
class NoiseSettings:
    """How noise is reduced; the same for all rows of a bank."""

    method: str = "logmmse"
    """One of `METHODS`."""
    strength: float = 0.8
    """0 (nothing is reduced) to 1 (by 20 dB)."""
    stationary: bool = False
    """Whether the profile of the opening is kept, or followed as the noise changes."""
    opening_frames: int = 10
    """Frames at the beginning of a row that are taken for noise, and left as they are,
    1 to 500. Digital silence does not count."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            known = ", ".join(sorted(METHODS))
            raise UsageError(f"no noise suppression is called {self.method!r}; there are {known}")
        if not 0 <= self.strength <= 1:
            raise UsageError(f"the strength is 0 to 1, not {self.strength!r}")
        if not 1 <= self.opening_frames <= 500:
            raise UsageError(f"the opening is 1 to 500 frames, not {self.opening_frames!r}")

    @property
    def floor(self) -> float:
        """The least gain."""
        return float(10 ** (-FULL_DB * self.strength / 20))


class NoiseBank:
    """Noise suppression by a gain a bin; see the module."""

    def __init__(self, rate_hz: int, settings: NoiseSettings, capacity: int = 64) -> None:
        """Raises `UsageError` for a rate whose 10 ms are not whole samples."""
        self.rate_hz = rate_hz
        self.settings = settings
        self.frame_samples = frame_samples(rate_hz)
        if self.frame_samples % 2:
            raise UsageError(f"10 ms at {rate_hz} Hz are not whole samples: resample first")
        self._hop = self.delay_samples = self.frame_samples // 2
        phase = (np.arange(self.frame_samples) + 0.5) / self.frame_samples
        self._window = np.sin(np.pi * phase).astype(np.float32)
        self._gain = _RULES[settings.method](settings.floor)
        self._opening = settings.opening_frames
        self._follower = NoiseFollower(self._opening, settings.stationary)
        self.rows = Rows(capacity)
        self.faults = np.zeros(capacity, np.int64)
        """Frames of each row that held something that is no audio, (rows,)."""
        # What came in and is not in a window's first half yet; what is added to the next.
        self._audio = reserved((2, capacity, self._hop), np.float32)
        # The noise, how improbable speech was lately, and what the rule keeps.
        self._known = reserved((3, capacity, self._hop + 1), np.float32)
        self._heard = np.zeros(capacity, np.int64)
        # Rows whose last frame was nothing but zeros: another one changes nothing.
        self._mute = np.zeros(capacity, np.bool_)

    def open(self) -> int:
        """A row that knows nothing of its line's noise yet."""
        row = self.rows.open()
        if self.rows.capacity > len(self.faults):
            for name in ("faults", "_heard", "_mute"):
                setattr(self, name, grown(getattr(self, name), self.rows.capacity))
            for name in ("_audio", "_known"):
                setattr(self, name, enlarged(getattr(self, name), self.rows.capacity, axis=1))
        self.faults[row] = 0
        self.reset(row)
        return row

    def close(self, row: int) -> None:
        """Give a row back; raises `UsageError` if it is not open."""
        self.rows.close(row)

    def reset(self, row: int) -> None:
        """Forget what this row has heard; raises `UsageError` if it is not open."""
        self.rows.check(row)
        self._audio[:, row] = 0
        self._know(row, self._follower.quietest)
        self._heard[row] = 0
        self._mute[row] = False

    def process(
        self, block: Block, rows: RowNumbers, learn: NDArray[np.bool_] | None = None
    ) -> Block:
        """The next 20 ms of these rows, 10 ms late.

        ``learn``: rows whose frame is known to be noise alone, (n,); by default the
        audio decides.

        Raises:
            UsageError: the block does not suit the rows, or a row is not open.
        """
        check_block(block, rows, self.frame_samples, self.rows)
        if learn is not None and (learn.shape != rows.shape or learn.dtype != np.bool_):
            raise UsageError(f"learn is one bool a row, not {learn.dtype} {learn.shape}")
        peak = np.abs(block).max(axis=1, initial=0)
        if not (peak <= LOUDEST).all():
            block, faulty = silence_faults(block)
            self.faults[rows[faulty]] += 1
            peak = np.abs(block).max(axis=1, initial=0)
        if learn is not None and not learn.any():
            learn = None
        zeros = peak == 0
        if zeros.any():
            return self._around_silence(block, rows, learn, peak, zeros)
        self._mute[rows] = False
        return self._shards(block, rows, learn, peak)

    def _know(self, row: int, noise: NDArray[np.float32] | np.float32) -> None:
        """This row's noise is known, and nothing of its speech."""
        self._known[_NOISE, row] = noise
        self._known[_ABSENCE, row] = 1
        self._known[_KEPT, row] = 0

    def _around_silence(
        self,
        block: Block,
        rows: RowNumbers,
        learn: NDArray[np.bool_] | None,
        peak: Block,
        zeros: NDArray[np.bool_],
    ) -> Block:
        """Leave out the rows that were nothing but zeros before and are so still."""
        busy = np.flatnonzero(~(zeros & self._mute[rows]))
        self._mute[rows] = zeros
        out = np.zeros_like(block)
        told = None if learn is None else learn[busy]
        out[busy] = self._shards(block[busy], rows[busy], told, peak[busy])
        return out

    def _shards(
        self, block: Block, rows: RowNumbers, learn: NDArray[np.bool_] | None, peak: Block
    ) -> Block:
        """All of these rows, as many at a time as suit the processor."""
        out = np.empty_like(block)
        held = peak <= _DIGITAL_SILENCE
        for piece in shards(len(rows), _SHARD):
            told = None if learn is None else learn[piece]
            silent = held[piece] if held[piece].any() else None
            self._clean(block[piece], rows[piece], told, silent, out[piece])
        return out

    def learn_noise(self, row: int, audio: NDArray[np.float32]) -> None:
        """Take this row's profile from audio that is noise alone, 20 ms of it or more.

        Raises:
            UsageError: it is too short, or the row is not open.
        """
        self.rows.check(row)
        if audio.ndim != 1 or audio.dtype != np.float32 or audio.size < self.frame_samples:
            raise UsageError(f"a profile needs {self.frame_samples} float32 samples or more")
        sound, _ = silence_faults(audio[np.newaxis])
        windows = np.lib.stride_tricks.sliding_window_view(sound[0], self.frame_samples)
        spectrum = rfft(windows[:: self._hop] * self._window, orthonormal=True)
        profile = _power(spectrum).mean(axis=0)
        self._know(row, np.maximum(profile, self._follower.quietest))
        self._heard[row] = self._opening

    def noise_dbov(self, row: int) -> float:
        """The level of the noise as it is known now; raises `UsageError` if not open."""
        self.rows.check(row)
        # Parseval: every bin but the first and the last stands for two.
        noise = self._known[_NOISE, row].astype(np.float64)
        twice = 2 * noise.sum() - noise[0] - noise[-1]
        return float(10 * np.log10(twice / self._hop))

    def has_profile(self, row: int) -> bool:
        """Whether the opening is over; raises `UsageError` if the row is not open."""
        self.rows.check(row)
        return bool(self._heard[row] >= self._opening)

    def _clean(
        self,
        block: Block,
        rows: RowNumbers,
        learn: NDArray[np.bool_] | None,
        held: NDArray[np.bool_] | None,
        out: Block,
    ) -> None:
        """One shard."""
        hop = self._hop
        late, rest = self._audio.take(rows, axis=1)
        known = self._known.take(rows, axis=1)
        heard = self._heard[rows]
        spectrum = self._analyse(block, late)
        power = _power(spectrum)
        # Relative to what was known before this frame; nothing is known of an opening.
        ratio = power / known[_NOISE]
        np.minimum(ratio, _GREATEST_RATIO, out=ratio)
        opening = heard < self._opening
        state = NoiseState(known[_NOISE], known[_ABSENCE], heard)
        quiet = self._follower.follow(power[0] + power[1], ratio[0] + ratio[1], state, learn, held)
        begun = not opening.any()
        for each in range(2):
            gain = self._gain.gains(ratio[each], known[_KEPT], quiet)
            # Nothing is taken out before it is known: a caller who speaks at once would
            # lose 12 to 17 dB of the first 100 ms.
            if not begun:
                gain[opening] = 1
            spectrum[each] *= gain
        self._known[:, rows] = known
        self._heard[rows] = heard
        audio = irfft(spectrum, orthonormal=True)
        audio *= self._window
        np.add(rest, audio[0, :, :hop], out=out[:, :hop])
        np.add(audio[0, :, hop:], audio[1, :, :hop], out=out[:, hop:])
        self._audio[0, rows] = block[:, hop:]
        self._audio[1, rows] = audio[1, :, hop:]

    def _analyse(self, block: Block, late: Block) -> NDArray[np.complex64]:
        """Spectra of the two windows that this frame completes, (2, n, bins)."""
        hop = self._hop
        windows = np.empty((2, *block.shape), np.float32)
        windows[0, :, :hop] = late
        windows[0, :, hop:] = block[:, :hop]
        windows[1] = block
        windows *= self._window
        return rfft(windows, orthonormal=True)


def _power(spectrum: NDArray[np.complex64]) -> Spectra:
    """The squared magnitude of each bin."""
    power: Spectra = spectrum.real**2
    power += spectrum.imag**2
    return power.astype(np.float32, copy=False)


_NOISE, _ABSENCE, _KEPT = range(3)

_RULES: dict[str, Callable[[float], Gain]] = {
    "logmmse": LogMmse,
    "spectral": SpectralSubtraction,
}

METHODS: dict[str, Callable[[int, NoiseSettings, int], Stage]] = {
    "logmmse": NoiseBank,
    "off": lambda rate_hz, settings, capacity: Bypass(rate_hz, capacity),
    "spectral": NoiseBank,
}
"""Noise suppression by name; each is made for a sample rate, settings and a capacity."""


def noise_stage(rate_hz: int, settings: NoiseSettings | None = None, capacity: int = 64) -> Stage:
    """Noise suppression by the method these settings name; log-MMSE by default."""
    settings = settings or NoiseSettings()
    return METHODS[settings.method](rate_hz, settings, capacity)
