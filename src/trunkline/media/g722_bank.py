"""G.722 for many calls: one numpy step a sample pair over all rows and both bands.

The two bands' coders differ only in their tables, so they run as one array of
(2, rows) integers; the packet's bits are those of ``g722``. A step is some seventy
small numpy calls whatever the number of rows: dear for one call (`G722Encoder` costs
a fifth), and from five or so on cheaper and cheaper.
"""

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .g722 import TAPS, join_bands, split_bands
from .g722_tables import HIGH, LARGEST_RATIO, LOW, LOW_SIX_BITS, stacked
from .rows import Rows

__all__ = ["G722DecoderBank", "G722EncoderBank"]

Ints = NDArray[np.int32]


_LOWEST, _HIGHEST = -32768, 32767
_HALF_BAND = 16_384

# Both bands' tables behind each other. A code of the upper band is looked up 64 further on.
_OUTPUTS = stacked(LOW.outputs, HIGH.outputs)
_HEARD = stacked(LOW_SIX_BITS, HIGH.outputs)
_LOG_CHANGES = stacked(LOW.log_changes, HIGH.log_changes)
_STEPS = stacked(LOW.steps, HIGH.steps)
_CODES = stacked(
    LOW.by_ratio[0] + LOW.by_ratio[1],
    [code + 64 for code in HIGH.by_ratio[0] + HIGH.by_ratio[1]],
)
_RATIOS = LARGEST_RATIO + 1
_CODE_OFFSET = np.array([[0], [2 * _RATIOS]], np.int32)
_STEP_OFFSET = np.array([[0], [LOW.log_limit + 1]], np.int32)
_LOG_LIMIT = np.array([[LOW.log_limit], [HIGH.log_limit]], np.int32)
_FIRST_STEP = np.array([LOW.first_step, HIGH.first_step], np.int32)

# A row's memory, as columns: per band the six zeros' coefficients, the six last
# differences (doubled) and their signs, and so on.
_ZEROS = slice(0, 6)
_DIFFERENCES = slice(6, 12)
_SIGNS = slice(12, 18)
_POLES = slice(18, 20)
_HEARD_LAST = slice(20, 22)
_SUM_SIGNS = slice(22, 24)
_SUMS = slice(24, 26)
_SIGNAL, _LOG, _STEP = 26, 27, 28
_COLUMNS = 29


def _clip(values: Ints, low: int | Ints, high: int | Ints) -> Ints:
    """In place; two calls are quicker than ``np.clip`` on small arrays."""
    np.maximum(values, low, out=values)
    return np.minimum(values, high, out=values)


class _Coders:
    """The adaptive predictors of some rows for some steps; see ``g722._Predictor``."""

    def __init__(self, memory: Ints, steps: int) -> None:
        rows = memory.shape[-1]
        self.zeros = memory[_ZEROS].copy()
        self.poles = memory[_POLES].copy()
        self.sums = memory[_SUMS].copy()  # what zeros and poles predict
        self.signal, self.log, self.step = (memory[i].copy() for i in (_SIGNAL, _LOG, _STEP))
        # What is remembered of earlier steps, the oldest first, then room for the new.
        self._differences = self._longer(memory[_DIFFERENCES], steps)
        self._signs = self._longer(memory[_SIGNS], steps)
        self._heard = self._longer(memory[_HEARD_LAST], steps)
        self._sum_signs = self._longer(memory[_SUM_SIGNS], steps)
        self._six, self._two = np.empty((6, 2, rows), np.int32), np.empty((2, 2, rows), np.int32)
        self._at = 0

    @staticmethod
    def _longer(old: Ints, steps: int) -> Ints:
        return np.concatenate([old, np.empty((steps, *old.shape[1:]), np.int32)])

    def memory(self) -> Ints:
        """All of it, to be given to the next packet's coders."""
        at = self._at
        parts = (
            self.zeros, self._differences[at : at + 6], self._signs[at : at + 6], self.poles,
            self._heard[at : at + 2], self._sum_signs[at : at + 2], self.sums,
            self.signal[None], self.log[None], self.step[None],
        )  # fmt: skip
        return np.concatenate(parts)

    def quantise(self, samples: Ints) -> Ints:
        """The codes of (2, rows) samples; the upper band's are 64 higher."""
        difference = samples - self.signal
        _clip(difference, _LOWEST, _HIGHEST)
        negative = difference >> 31
        difference ^= negative
        difference += 1
        difference <<= 12
        difference -= 1
        difference //= self.step
        np.minimum(difference, LARGEST_RATIO, out=difference)
        negative &= _RATIOS
        difference += negative
        difference += _CODE_OFFSET
        codes: Ints = _CODES.take(difference)
        return codes

    def follow(self, codes: Ints) -> None:
        """Adapt to (2, rows) codes."""
        at = self._at
        self._at += 1
        d = _OUTPUTS.take(codes)
        d *= self.step
        d >>= 15
        log = self.log
        log *= 127
        log >>= 7
        log += _LOG_CHANGES.take(codes)
        _clip(log, 0, _LOG_LIMIT)
        self.step = _STEPS.take(log + _STEP_OFFSET)
        self._adapt_poles(d + self.sums[0], at)
        self._adapt_zeros(d, at)
        heard = self._heard
        np.add(self.signal, d, out=d)
        d += d
        np.minimum(np.maximum(d, _LOWEST, out=d), _HIGHEST, out=heard[at + 2])
        np.multiply(self.poles, heard[at + 1 : at + 3], out=self._two)
        self._two >>= 15
        np.add(self._two[0], self._two[1], out=self.sums[1])
        _clip(self.sums, _LOWEST, _HIGHEST)
        np.add(self.sums[0], self.sums[1], out=self.signal)
        _clip(self.signal, _LOWEST, _HIGHEST)

    def _adapt_poles(self, p: Ints, at: int) -> None:
        """``poles[1]`` is the first coefficient: the older sample comes first."""
        signs = self._sum_signs
        p >>= 31
        p |= 1
        signs[at + 2] = p
        same = signs[at : at + 2] * p
        same2, same1 = same[0], same[1]
        pole2, pole1 = self.poles[0], self.poles[1]
        turn = pole1 * same1
        np.negative(turn, out=turn)
        turn >>= 5
        _clip(turn, -256, 255)
        pole2 *= 32512
        pole2 >>= 15
        pole2 += turn
        same2 <<= 7
        pole2 += same2
        _clip(pole2, -12288, 12288)
        pole1 *= 32640
        pole1 >>= 15
        same1 *= 192
        pole1 += same1
        np.subtract(15360, pole2, out=turn)
        np.minimum(pole1, turn, out=pole1)
        np.negative(turn, out=turn)
        np.maximum(pole1, turn, out=pole1)

    def _adapt_zeros(self, d: Ints, at: int) -> None:
        """Coefficients and differences, the oldest first."""
        six, zeros = self._six, self.zeros
        change = np.sign(d)
        change <<= 7
        zeros *= 32640
        zeros >>= 15
        np.multiply(self._signs[at : at + 6], change, out=six)
        zeros += six
        sign = self._signs[at + 6]
        np.right_shift(d, 31, out=sign)
        sign |= 1
        doubled = self._differences[at + 6]
        np.add(d, d, out=doubled)
        _clip(doubled, _LOWEST, _HIGHEST)
        np.multiply(zeros, self._differences[at + 1 : at + 7], out=six)
        six >>= 15
        np.add.reduce(six, axis=0, out=self.sums[0])
        # Saturated before the poles are added, as `sums` is a moment later.
        _clip(self.sums[0], _LOWEST, _HIGHEST)


class _Bank:
    """Rows, and what each remembers."""

    def __init__(self, capacity: int = 64) -> None:
        self._rows = Rows(capacity)
        self._memory = np.zeros((_COLUMNS, 2, capacity), np.int32)
        self._history = np.zeros((capacity, TAPS - 2))

    def __len__(self) -> int:
        return len(self._rows.opened)

    def open(self) -> int:
        """A row for one direction of one call."""
        row = self._rows.open()
        if self._rows.capacity > len(self._history):
            self._memory = np.concatenate([self._memory, np.zeros_like(self._memory)], axis=-1)
            self._history = np.concatenate([self._history, np.zeros_like(self._history)])
        self.reset(row)
        return row

    def close(self, row: int) -> None:
        """Give a row back; raises `UsageError` if it is not open."""
        self._rows.close(row)

    def reset(self, row: int) -> None:
        """Begin anew, as both ends do at the start of a stream."""
        self._rows.check(row)
        self._history[row] = 0
        self._memory[:, :, row] = 0
        # Signs are one or minus one, and nothing counts as positive.
        self._memory[_SIGNS, :, row] = self._memory[_SUM_SIGNS, :, row] = 1
        self._memory[_STEP, :, row] = _FIRST_STEP

    def _check(self, block: NDArray[np.generic], rows: NDArray[np.intp], multiple: int) -> None:
        wanted = np.int16 if multiple == 2 else np.uint8
        if block.dtype != wanted:
            raise UsageError(f"a block of {np.dtype(wanted)} is wanted, not of {block.dtype}")
        if block.ndim != 2 or len(block) != len(rows) or block.shape[1] % multiple:
            raise UsageError(f"{len(rows)} rows are not coded from a block of {block.shape}")
        self._rows.check_all(rows)


class G722EncoderBank(_Bank):
    """Encoders; rows share nothing but the work."""

    def process(self, block: NDArray[np.int16], rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        """(n, samples) at 16 kHz to (n, samples / 2) codes; each row once."""
        self._check(block, rows, 2)
        bands, history = split_bands(self._history[rows], block)
        samples = np.ascontiguousarray(bands.transpose(1, 2, 0))
        coders = _Coders(self._memory[:, :, rows], len(samples))
        codes = np.empty_like(samples)
        for pair, chosen in zip(samples, codes, strict=True):
            chosen[:] = coders.quantise(pair)
            coders.follow(chosen)
        self._memory[:, :, rows] = coders.memory()
        self._history[rows] = history
        low, high = codes[:, 0], codes[:, 1] & 3
        return np.ascontiguousarray((high << 6 | low).T.astype(np.uint8))


class G722DecoderBank(_Bank):
    """Decoders; every byte is a valid code, so no payload can harm a row but its own."""

    def process(self, block: NDArray[np.uint8], rows: NDArray[np.intp]) -> NDArray[np.int16]:
        """(n, bytes) codes to (n, 2 x bytes) samples at 16 kHz; each row once."""
        self._check(block, rows, 1)
        packed = block.T.astype(np.int32)
        codes = np.stack([packed & 63, (packed >> 6) + 64], axis=1)
        heard = _HEARD.take(codes)
        coders = _Coders(self._memory[:, :, rows], len(codes))
        for code, level in zip(codes, heard, strict=True):
            level *= coders.step
            level >>= 15
            level += coders.signal
            coders.follow(code)
        self._memory[:, :, rows] = coders.memory()
        bands = np.clip(heard, -_HALF_BAND, _HALF_BAND - 1).transpose(2, 0, 1)
        pcm, self._history[rows] = join_bands(self._history[rows], bands)
        return pcm
