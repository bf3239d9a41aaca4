"""Comfort noise (RFC 3389): what is heard while a far end sends nothing.

A packet has a level and, as far as its sender went, the shape of the noise as reflection
coefficients. `ComfortNoise` makes noise of that level and shape, frame by frame;
`describe_noise` says level and shape of what is there. The filter is applied as a spectrum,
in overlapping windows, so that there is no loop over samples.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .errors import MalformedAudioError
from .frames import frame_samples, level_dbov

__all__ = ["ComfortNoise", "NoiseDescription", "describe_noise"]

_QUIETEST_DBOV = -127
_MOST_COEFFICIENTS = 32
_STEP = 258 / 32768  # RFC 3389 section 3.2
_MIDDLE = 127
_ORDER = 10
_GLIDE = 0.3
"""Share of the way to a new level that each frame goes: a jump in noise is heard."""

_Audio = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class NoiseDescription:
    """What a comfort noise packet says."""

    level_dbov: int
    """0 to -127."""
    reflection: tuple[float, ...] = ()
    """Reflection coefficients, each between -1 and 1; none is white noise."""

    @classmethod
    def parse(cls, payload: bytes) -> "NoiseDescription":
        """Read a payload; raises `MalformedAudioError` for an empty one.

        What follows after 32 coefficients is left: none has a model of such an order.
        """
        if not payload:
            raise MalformedAudioError("a comfort noise packet without a level")
        coded = np.frombuffer(payload[1 : 1 + _MOST_COEFFICIENTS], np.uint8)
        reflection = np.clip((coded.astype(np.float64) - _MIDDLE) * _STEP, -0.999, 0.999)
        return cls(-(payload[0] & 0x7F), tuple(reflection.tolist()))

    def __bytes__(self) -> bytes:
        level = min(127, max(0, -self.level_dbov))
        coded = np.rint(np.array(self.reflection) / _STEP) + _MIDDLE
        return bytes([level, *np.clip(coded, 0, 254).astype(np.uint8).tolist()])

    def predictor(self) -> _Audio:
        """The prediction filter 1, a1, a2 ... of these coefficients (step-up recursion)."""
        taps = np.ones(1)
        for coefficient in self.reflection:
            extended = np.append(taps, 0.0)
            taps = extended + coefficient * extended[::-1]
        return taps


class ComfortNoise:
    """Makes one leg's noise. Belongs to one stream; ``rng`` is its own."""

    def __init__(self, rate_hz: int, rng: np.random.Generator) -> None:
        self._frame = frame_samples(rate_hz)
        self._rng = rng
        self._window = np.sqrt(np.hanning(2 * self._frame + 1)[:-1])
        self._shape = np.ones(self._frame + 1)
        self._gain = self._wanted = 0.0
        self._tail = np.zeros(self._frame)

    def describe(self, description: NoiseDescription) -> None:
        """From the next frame on the noise is like this."""
        size = 2 * self._frame
        taps = description.predictor()
        shape = 1 / np.maximum(np.abs(np.fft.rfft(taps, size)), 1e-3)
        self._shape = shape / np.sqrt(np.mean(np.square(shape)))
        # 0 dBov is a square wave of full scale: its power is 1.
        self._wanted = 32768 * 10 ** (description.level_dbov / 20)
        if description.level_dbov <= _QUIETEST_DBOV:
            self._wanted = 0.0
        if not self._gain:
            self._gain = self._wanted

    def next(self) -> NDArray[np.int16]:
        """The next 20 ms."""
        self._gain += (self._wanted - self._gain) * _GLIDE
        size = 2 * self._frame
        spectrum = np.fft.rfft(self._rng.standard_normal(size)) * self._shape
        noise = np.fft.irfft(spectrum, size) * self._window * self._gain
        frame = self._tail + noise[: self._frame]
        self._tail = noise[self._frame :]
        return np.clip(np.rint(frame), -32767, 32767).astype(np.int16)


def describe_noise(pcm: NDArray[np.int16], order: int = _ORDER) -> NoiseDescription:
    """Level and shape of noise, one row of int16 of 10 ms or more.

    Raises `UsageError` for another shape or an order that is not 0 to 32.
    """
    if pcm.ndim != 1 or pcm.dtype != np.int16 or pcm.size < 2 * _MOST_COEFFICIENTS:
        raise UsageError(f"noise is one row of int16, 64 samples or more, not {pcm.shape}")
    if not 0 <= order <= _MOST_COEFFICIENTS:
        raise UsageError(f"an order is 0 to {_MOST_COEFFICIENTS}, not {order!r}")
    level = max(_QUIETEST_DBOV, round(level_dbov(pcm)))
    audio = pcm * np.hanning(len(pcm))
    full = np.fft.irfft(np.square(np.abs(np.fft.rfft(audio, 2 * len(audio)))))
    # A little white noise keeps the recursion stable on tones.
    correlation = full[: order + 1] * np.append(1.0001, np.ones(order))
    return NoiseDescription(level, _reflections(correlation))


def _reflections(correlation: _Audio) -> tuple[float, ...]:
    """Levinson and Durbin's recursion; nothing for silence."""
    error = float(correlation[0])
    if error <= 0:
        return ()
    taps, found = np.ones(1), []
    for index in range(1, len(correlation)):
        coefficient = -float(taps @ correlation[index:0:-1]) / error
        coefficient = min(0.999, max(-0.999, coefficient))
        found.append(coefficient)
        extended = np.append(taps, 0.0)
        taps = extended + coefficient * extended[::-1]
        error *= 1 - coefficient * coefficient
    return tuple(found)
