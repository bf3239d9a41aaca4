"""G.722 at 64 kbit/s: 16 kHz audio in two bands of adaptive differential PCM (ITU-T G.722).

A byte is a pair of samples: 6 bits of the lower band, 2 of the upper. What can be
done for a whole packet at once (the two quadrature mirror filters) is; the coders of
the two bands look at every pair's result before the next, so they are plain integers
for one call, and ``g722_bank`` for many: both give the same bits.

RTP's clock for G.722 is 8000 Hz although the audio has 16,000 samples a second, a
mistake that RFC 3551 4.5.2 keeps: a packet of 20 ms moves the timestamp by 160.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .g722_tables import HIGH, LARGEST_RATIO, LOW, LOW_SIX_BITS, QMF, Band

__all__ = ["ENCODING_NAME", "PAYLOAD_TYPE", "RATE_HZ", "RTP_CLOCK_HZ", "G722Decoder", "G722Encoder"]

ENCODING_NAME: Final = "G722"
PAYLOAD_TYPE: Final = 9
RATE_HZ: Final = 16_000
RTP_CLOCK_HZ: Final = 8000

TAPS: Final = len(QMF)
_HALF_BAND = 16_384  # a band's samples have 15 bits


_TAPS = np.array(QMF, np.float64)
_EVEN = np.where(np.arange(TAPS) % 2 == 0, _TAPS, 0)
_ODD = _TAPS - _EVEN
# Sums of 24 products of 16 by 12 bits are whole numbers that a float64 holds exactly.
_SPLIT = np.stack([_ODD + _EVEN, _ODD - _EVEN], axis=1)
_JOIN = np.stack([_ODD, _EVEN], axis=1)


def _filtered(
    audio: NDArray[np.float64], taps: NDArray[np.float64], shift: int
) -> NDArray[np.int32]:
    """Windows of 24 samples, two apart, through two filters: (n, pairs, 2) integers."""
    windows = np.lib.stride_tricks.sliding_window_view(audio, TAPS, axis=-1)[..., ::2, :]
    sums: NDArray[np.float64] = np.floor((windows @ taps) * 2.0**-shift)
    return sums.astype(np.int32)


def split_bands(
    history: NDArray[np.float64], pcm: NDArray[np.int16]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """The transmit filter (section 5.2.1): (n, pairs, 2) of lower and upper band.

    Takes (n, 22) samples of history and (n, samples) of audio; gives the next history.
    """
    audio = np.concatenate([history, pcm], axis=-1)
    bands = np.clip(_filtered(audio, _SPLIT, 14), -_HALF_BAND, _HALF_BAND - 1)
    return bands, audio[..., -(TAPS - 2) :]


def join_bands(
    history: NDArray[np.float64], bands: NDArray[np.int32]
) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """The receive filter (section 5.2.2): (n, pairs, 2) of bands to (n, samples)."""
    low, high = bands[..., 0], bands[..., 1]
    rows, samples = len(low), 2 * low.shape[1]
    mixed = np.stack([low + high, low - high], axis=-1).reshape(rows, samples)
    audio = np.concatenate([history, mixed], axis=-1)
    pairs = np.clip(_filtered(audio, _JOIN, 11), -32768, 32767)
    return pairs.reshape(rows, samples).astype(np.int16), audio[..., -(TAPS - 2) :]


def no_history(rows: int) -> NDArray[np.float64]:
    """What a filter remembers before the first sample."""
    return np.zeros((rows, TAPS - 2))


def whole_pairs(pcm: NDArray[np.int16]) -> None:
    """Raise `UsageError` for audio that does not end with a whole byte's worth."""
    if pcm.shape[-1] % 2:
        raise UsageError(f"G.722 codes pairs of samples, {pcm.shape[-1]} are not whole pairs")


class _Predictor:
    """One band's adaptive predictor (section 3.6): two poles, six zeros."""

    __slots__ = ("band", "bs", "ds", "log", "p1", "p2", "pole1", "pole2", "r1", "r2",
                 "signal", "step", "zero")  # fmt: skip

    def __init__(self, band: Band) -> None:
        self.band = band
        self.log, self.step = 0, band.first_step
        self.signal, self.zero = 0, 0
        self.pole1, self.pole2 = 0, 0
        self.r1, self.r2 = 0, 0  # doubled, as filtering wants them
        self.p1, self.p2 = 0, 0
        self.bs, self.ds = [0] * 6, [0] * 6

    def follow(self, code: int) -> None:
        """Adapt to a code: blocks INVQAL to PREDIC of section 6.2, or the upper band's."""
        band = self.band
        d = self.step * band.outputs[code] >> 15
        log = (self.log * 127 >> 7) + band.log_changes[code]
        self.log = log = 0 if log < 0 else min(log, band.log_limit)
        self.step = band.steps[log]
        self._poles(d + self.zero)
        self._zeros(d)
        r2, self.r2 = self.r1, 0
        r = 2 * (self.signal + d)
        self.r1 = r = -32768 if r < -32768 else min(r, 32767)
        self.r2 = r2
        poles = (self.pole1 * r >> 15) + (self.pole2 * r2 >> 15)
        poles = -32768 if poles < -32768 else min(poles, 32767)
        signal = poles + self.zero
        self.signal = -32768 if signal < -32768 else min(signal, 32767)

    def _poles(self, p: int) -> None:
        """Blocks UPPOL2 and UPPOL1: what the last signs say of both coefficients."""
        negative = p < 0
        same1, same2 = negative == self.p1, negative == self.p2
        self.p2, self.p1 = self.p1, negative
        pole1 = self.pole1
        # The recommendation takes four times the first coefficient in 16 bits.
        turn = -pole1 >> 5 if same1 else pole1 >> 5
        turn = -256 if turn < -256 else min(turn, 255)
        pole2 = turn + (128 if same2 else -128) + (self.pole2 * 32512 >> 15)
        self.pole2 = pole2 = -12288 if pole2 < -12288 else min(pole2, 12288)
        pole1 = (pole1 * 32640 >> 15) + (192 if same1 else -192)
        limit = 15360 - pole2
        self.pole1 = -limit if pole1 < -limit else min(pole1, limit)

    def _zeros(self, d: int) -> None:
        """Blocks UPZERO and FILTEZ: six coefficients, and their prediction."""
        bs, ds = self.bs, self.ds
        up, down = (0, 0) if not d else (128, -128) if d > 0 else (-128, 128)
        bs[:] = [
            (b * 32640 >> 15) + (up if old >= 0 else down) for b, old in zip(bs, ds, strict=True)
        ]
        d += d
        ds.insert(0, -32768 if d < -32768 else min(d, 32767))
        del ds[6]
        zero = 0
        for b, old in zip(bs, ds, strict=True):
            zero += b * old >> 15
        self.zero = -32768 if zero < -32768 else min(zero, 32767)

    def quantise(self, sample: int) -> int:
        """The code of a sample of this band (blocks SUBTRA and QUANTL or QUANTH)."""
        difference = sample - self.signal
        difference = -32768 if difference < -32768 else min(difference, 32767)
        negative = difference < 0
        size = ~difference if negative else difference
        ratio = ((size + 1 << 12) - 1) // self.step
        return self.band.by_ratio[negative][min(ratio, LARGEST_RATIO)]


class G722Encoder:
    """One direction of one call, audio to payloads."""

    def __init__(self) -> None:
        self._history = no_history(1)
        self._low, self._high = _Predictor(LOW), _Predictor(HIGH)

    def encode(self, pcm: NDArray[np.int16]) -> bytes:
        """Samples at 16 kHz as half as many bytes; raises `UsageError` for an odd number."""
        whole_pairs(pcm)
        if not pcm.size:
            return b""
        bands, self._history = split_bands(self._history, pcm[np.newaxis])
        low, high = self._low, self._high
        payload = bytearray()
        for low_sample, high_sample in bands[0].tolist():
            six, two = low.quantise(low_sample), high.quantise(high_sample)
            low.follow(six)
            high.follow(two)
            payload.append(two << 6 | six)
        return bytes(payload)


class G722Decoder:
    """One direction of one call, payloads to audio. Every byte is a valid code."""

    def __init__(self) -> None:
        self._history = no_history(1)
        self._low, self._high = _Predictor(LOW), _Predictor(HIGH)

    def decode(self, payload: bytes) -> NDArray[np.int16]:
        """Two samples at 16 kHz for each byte."""
        if not payload:
            return np.zeros(0, np.int16)
        low, high = self._low, self._high
        bands: list[int] = []
        for code in payload:
            six, two = code & 63, code >> 6
            bands.append(low.signal + (low.step * LOW_SIX_BITS[six] >> 15))
            bands.append(high.signal + (high.step * HIGH.outputs[two] >> 15))
            low.follow(six)
            high.follow(two)
        limited = np.clip(np.array(bands, np.int32), -_HALF_BAND, _HALF_BAND - 1)
        pcm, self._history = join_bands(self._history, limited.reshape(1, -1, 2))
        heard: NDArray[np.int16] = pcm[0]
        return heard
