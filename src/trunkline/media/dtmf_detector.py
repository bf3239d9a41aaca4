"""Keys heard as tones in the audio, for many lines at once (ITU-T Q.23, Q.24).

Every 5 ms the last 20 ms are looked at, through a Hann window, at the eight frequencies.
How loud two of them are says which key it may be. Their *phase* says which frequency it
really is: from one look to the next a tone that is a little off turns a little further,
so 5 ms tell apart what 5 ms of spectrum cannot, and speech, whose tones wander, is known
by it. A key is judged when it is over, by all it was:

- each tone within 2.5 % of its frequency (Q.24: 1.5 % must pass, 3.5 % must not);
- the high tone 5 dB louder to 9 dB fainter than the low one (Q.24: 4 and 8 must pass);
- the two tones are nearly all there is: 15 dB of noise passes, a vowel does not;
- at least 32 ms long (Q.24: 40 ms must pass, 23 ms must not), and a pause of 40 ms ends it,
  one of 10 ms does not.

Lines on which nobody presses anything cost one matrix product for all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .dtmf_tones import HIGH_HZ, LOW_HZ, TONE_KEYS
from .rows import Rows

__all__ = ["HeardKey", "ToneDetector"]

HOP_MS = 5
WINDOW_MS = 20
LEAST_PEAK = 250.0
"""A tone is at least so loud: -39 dBm0, where Q.24's administrations ask for -25 to -29."""
FREQUENCY = 0.025
TWIST_DB = (-9.0, 5.0)
"""The high tone against the low one."""
SHARE = 0.88
"""Of all energy, so much is of the two tones where the key is steady."""
MAYBE = 0.40
"""Below this it is not worth a closer look; a tone that is 3.5 % off loses 4 dB of itself."""
LEAST_MS = 32
WANDER_HZ = 6.0
"""How much the frequency of a tone varies from look to look; noise of 15 dB is below 4."""
GAP_HOPS = 5
"""So many looks without the tones end a key: about 32 ms of pause."""
FAINT = 0.25
"""A tone that has fallen to this share of its loudest is not there."""
LONGEST_HOPS = 2000
"""A key that is held for longer than 10 s is told as one of 10 s."""

_Pcm = NDArray[np.int16]


class HeardKey(NamedTuple):
    """A key that was pressed and is up again."""

    place: int
    """Of its line's frame, in the block it ended in."""
    digit: str
    duration_ms: int


class _Look(NamedTuple):
    """What one look at a line found of the two tones of a key."""

    low: float
    """How loud, as a peak."""
    high: float
    low_off: float
    """How far its frequency is off, in Hz."""
    high_off: float
    share: float
    """Of all energy."""


@dataclass(slots=True)
class _Press:
    """A key that may be down."""

    low: int
    high: int
    looks: list[_Look] = field(default_factory=list)
    loudest: float = 0.0
    """Of both tones together."""
    missing: int = 0


class ToneDetector:
    """A bank: one row a line, fed 20 ms at a time."""

    def __init__(self, rate_hz: int = 8000, capacity: int = 8) -> None:
        if rate_hz % 1000:
            raise UsageError(f"tones are heard at whole kilohertz, not at {rate_hz} Hz")
        self.rate_hz = rate_hz
        self._frame = rate_hz // 50
        self._hop, self._size = rate_hz * HOP_MS // 1000, rate_hz * WINDOW_MS // 1000
        self._rows = Rows(capacity)
        window = np.hanning(self._size + 2)[1:-1]
        hz = np.array(LOW_HZ + HIGH_HZ, float)
        turns = np.exp(-2j * np.pi * np.outer(np.arange(self._size), hz) / rate_hz)
        basis = turns * window[:, None] / window.sum()
        self._basis = np.hstack([basis.real, basis.imag]).astype(np.float32)
        self._power = (window**2).astype(np.float32)
        self._noise_gain = float(2 * (window**2).sum())
        # What a tone of exactly its frequency turns by from one look to the next.
        self._turn = np.exp(-2j * np.pi * hz * self._hop / rate_hz)
        self._hz_per_radian = rate_hz / (2 * np.pi * self._hop)
        self._past = np.zeros((capacity, self._size - self._hop), np.float32)
        self._last = np.zeros((capacity, 8), np.complex64)
        self._presses: dict[int, _Press] = {}

    def __len__(self) -> int:
        return len(self._rows.opened)

    def open(self) -> int:
        """A row for a line."""
        row = self._rows.open()
        if row >= len(self._past):
            more = self._rows.capacity - len(self._past)
            self._past = np.vstack([self._past, np.zeros((more, self._past.shape[1]), np.float32)])
            self._last = np.vstack([self._last, np.zeros((more, 8), np.complex64)])
        self._past[row] = 0
        self._last[row] = 0
        return row

    def close(self, row: int) -> None:
        """Give a row back; raises `UsageError` if it is not open."""
        self._rows.close(row)
        self._presses.pop(row, None)

    def process(self, block: _Pcm, rows: NDArray[np.intp]) -> list[HeardKey]:
        """Look at 20 ms of some lines, (lines, samples); the keys that ended in them."""
        audio = np.concatenate([self._past[rows], block.astype(np.float32)], axis=1)
        self._past[rows] = audio[:, self._frame :]
        looks = np.lib.stride_tricks.sliding_window_view(audio, self._size, axis=1)
        looks = looks[:, :: self._hop]
        spectrum = looks @ self._basis
        tones = spectrum[..., :8] + 1j * spectrum[..., 8:]
        energy = (looks * looks) @ self._power
        found = np.abs(tones) ** 2
        share = self._noise_gain * (found[..., :4].max(-1) + found[..., 4:].max(-1))
        # A peak is twice the magnitude; of the fainter tone of two that may differ by 9 dB.
        maybe = (share > MAYBE * energy) & (found.max(-1) > (LEAST_PEAK / 2) ** 2)
        before = self._last[rows]
        self._last[rows] = tones[:, -1]
        places = set(np.flatnonzero(maybe.any(axis=1)).tolist())
        if self._presses:
            numbers = rows.tolist()
            places |= {place for place, row in enumerate(numbers) if row in self._presses}
        keys: list[HeardKey] = []
        for place in sorted(places):
            line = np.vstack([before[place], tones[place]])
            keys += self._follow(place, int(rows[place]), line, energy[place], maybe[place])
        return keys

    def _follow(
        self,
        place: int,
        row: int,
        tones: NDArray[np.complex64],
        energy: NDArray[np.float32],
        maybe: NDArray[np.bool_],
    ) -> list[HeardKey]:
        """Look by look through 20 ms of one line."""
        keys: list[HeardKey] = []
        for number in range(len(energy)):
            press = self._presses.get(row)
            magnitudes = np.abs(tones[number + 1])
            pair = int(magnitudes[:4].argmax()), 4 + int(magnitudes[4:].argmax())
            if press is None:
                if maybe[number]:
                    press = self._presses[row] = _Press(*pair)
                    self._note(press, tones, number, float(energy[number]))
                continue
            if self._continues(press, pair, magnitudes, bool(maybe[number])):
                press.missing = 0
                if len(press.looks) < LONGEST_HOPS:
                    self._note(press, tones, number, float(energy[number]))
                continue
            press.missing += 1
            other = maybe[number] and pair != (press.low, press.high)
            if press.missing >= GAP_HOPS or (other and press.missing >= 2):
                del self._presses[row]
                duration_ms = judge(press.looks, press.low, press.high)
                if duration_ms:
                    keys.append(HeardKey(place, TONE_KEYS[press.low][press.high - 4], duration_ms))
                if other:
                    self._presses[row] = _Press(*pair)
                    self._note(self._presses[row], tones, number, float(energy[number]))
        return keys

    def _continues(
        self,
        press: _Press,
        pair: tuple[int, int],
        magnitudes: NDArray[np.float32],
        maybe: bool,
    ) -> bool:
        """Whether the tones of a key are still there."""
        fading = 2 * float(magnitudes[press.low] + magnitudes[press.high])
        there = fading > FAINT * press.loudest
        return there and pair == (press.low, press.high) and (maybe or press.missing == 0)

    def _note(
        self, press: _Press, tones: NDArray[np.complex64], number: int, energy: float
    ) -> None:
        pair = [press.low, press.high]
        now = tones[number + 1][pair]
        turned = now * np.conj(tones[number][pair]) * self._turn[pair]
        off = np.angle(turned) * self._hz_per_radian
        peaks = 2 * np.abs(now) / _response(off * WINDOW_MS / 1000)
        share = self._noise_gain / 4 * float((peaks**2).sum()) / max(energy, 1e-9)
        low, high = peaks.tolist()
        press.loudest = max(press.loudest, low + high)
        press.looks.append(_Look(low, high, float(off[0]), float(off[1]), share))


def judge(looks: Sequence[_Look], low: int, high: int) -> int:
    """How long a key was pressed, in ms; 0 if it was none."""
    loud = max(looks, key=lambda look: look.low + look.high)
    # In the middle of the edge of a tone a Hann window shows half of it.
    inside = [one for one in looks if one.low > loud.low / 2 and one.high > loud.high / 2]
    if len(inside) * HOP_MS < LEAST_MS:
        return 0
    # What a window shows that is not filled by the tone is not what the tone is.
    steady = [one for one in inside if one.low > 0.8 * loud.low and one.high > 0.8 * loud.high]
    if len(steady) < 3:
        return 0
    values = np.array(steady)
    peaks, off, share = values[:, :2].mean(0), values[:, 2:4], values[:, 4]
    hz = np.array([LOW_HZ[low], HIGH_HZ[high - 4]])
    twist_db = 20 * np.log10(peaks[1] / peaks[0])
    if (
        peaks.min() < LEAST_PEAK
        or not TWIST_DB[0] <= twist_db <= TWIST_DB[1]
        or (np.abs(np.median(off, axis=0)) > FREQUENCY * hz).any()
        or (off.std(axis=0) > WANDER_HZ).any()
        or np.median(share) < SHARE
        or len(steady) < 0.6 * (len(inside) - 4)
    ):
        return 0
    return len(inside) * HOP_MS


def _response(bins: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a Hann window shows of a tone so many bins off, at most two."""
    bins = np.minimum(np.abs(bins), 1.5)
    return np.asarray(np.sinc(bins) / np.where(np.abs(1 - bins**2) < 1e-3, 2e-3, 1 - bins**2))
