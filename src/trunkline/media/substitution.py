"""Waveform substitution: missing speech goes on by its last pitch periods.

After ITU-T G.711 Appendix I: the last period is repeated for 20 ms, the last two for the next
20 ms and the last three from then on, where each begins again its end is overlapped with what
preceded its beginning over a quarter of a period, and after 10 ms it fades by a fifth every 10 ms.
Three things are other than there. Nothing is delayed: the joint with the past is made smooth
by spreading its step over a quarter period. There is no state: the whole of a concealment is
made anew from what was received before it, so phase and fade go on over any number of losses.
And where audio after the gap is here already, the periods are stretched or squeezed a little to
arrive at it in phase, and blended with those of its own, backwards.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .pitch import LONGEST_MS, correlations, pitch_periods
from .sample_ring import HOLE

__all__ = ["Pitch"]

_HELD_MS, _FADED_MS = 10, 60
_PAST_MS = 80
_STEP_MS = 20
"""One period, then two, then three: each for so long. Appendix I has 10 ms; on synthetic
voices 20 ms measured better at every rate of loss (PESQ +0.06 without a frame ahead)."""
_PERIODS = 3
_TEMPLATE_MS = 20
_SHORT_TEMPLATE_MS = 10
"""Of one frame after a gap: its second half is what the first is compared with."""
_BRIDGED_MS = 60
"""Gaps up to this are bridged in phase; beyond, audio after them fades in."""
_SQUEEZED = 0.1
"""No more than so much faster or slower: pitch seldom changes faster, and phase wraps."""
_ALIKE = 0.6
"""Correlation with what follows from which on phase means something."""

_Audio = NDArray[np.float32]
_Integers = NDArray[np.int64]


@dataclass(slots=True)
class _Source:
    """Audio that is repeated: each row's last sample borders on the gap."""

    audio: _Audio
    """(k, n)."""
    period: _Integers
    """(k, 1), samples."""
    most: _Integers
    """(k, 1), how many periods may be used."""

    def select(self, chosen: NDArray[np.intp]) -> "_Source":
        """Some of the rows."""
        return _Source(self.audio[chosen], self.period[chosen], self.most[chosen])


class Pitch:
    """Repeats pitch periods; see the module's text."""

    crossfades = True

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        per_ms = rate_hz / 1000
        self._past = int(_PAST_MS * per_ms)
        self._step = int(_STEP_MS * per_ms)
        self._held, self._faded = _HELD_MS * per_ms, _FADED_MS * per_ms
        self._template = int(_TEMPLATE_MS * per_ms)
        self._short = int(_SHORT_TEMPLATE_MS * per_ms)
        self._reach = int(LONGEST_MS * per_ms) // 2
        self._bridged = int(_BRIDGED_MS * per_ms)

    def extend(
        self,
        history: _Audio,
        concealed: _Integers,
        samples: int,
        future: _Audio | None = None,
    ) -> _Audio:
        """Go on by pitch periods, towards ``future`` if there is some."""
        k, size = history.shape
        back = np.minimum(concealed, size - self._past)[:, np.newaxis]
        past = np.take_along_axis(history, size - self._past - back + np.arange(self._past), axis=1)
        period, _ = pitch_periods(past, self._template, self._rate_hz)
        source = _Source(past, period[:, np.newaxis], np.full((k, 1), _PERIODS))
        at = (concealed[:, np.newaxis] + np.arange(samples)).astype(np.float32)
        audio = self._repeat(source, at, np.ones((k, 1), np.float32)) * self._gain(at)
        if future is not None:
            self._bridge(audio, source, at, concealed, future)
        return audio

    def _gain(self, age: _Audio) -> _Audio:
        """1 for 10 ms, 0 from 60 ms on."""
        gain: _Audio = np.clip((self._faded - age) / (self._faded - self._held), 0, 1)
        return gain.astype(np.float32)

    # -- periods -----------------------------------------------------------------------------

    def _repeat(self, source: _Source, at: _Audio, pace: _Audio) -> _Audio:
        """What the source goes on as at these times, (k, n) samples after its end.

        ``pace``, (k, 1): how much faster than real it runs; near 1.
        """
        quarter = np.maximum(source.period // 4, 1).astype(np.float32)
        count = np.clip((at // self._step).astype(np.int64) + 1, 1, source.most)
        audio = self._periods(source, at, count, pace, quarter)
        # Into two and three periods instead of one and two: over a quarter period as well.
        since = at - ((count - 1) * self._step).astype(np.float32)
        changing = (count > 1) & (since < quarter)
        if changing.any():
            before = self._periods(source, at, np.maximum(count - 1, 1), pace, quarter)
            rise = np.where(changing, (since + 1) / (quarter + 1), np.float32(1))
            audio = before + (audio - before) * rise
        ends = source.audio[:, -1:]
        begins = np.take_along_axis(source.audio, source.audio.shape[1] - 1 - source.period, 1)
        fall = np.maximum(1 - (at + 1) / (quarter + 1), 0)
        joined: _Audio = audio + (ends - begins) * fall
        return joined

    def _periods(
        self, source: _Source, at: _Audio, count: _Integers, pace: _Audio, quarter: _Audio
    ) -> _Audio:
        """Cycles of ``count`` periods, at fractional places where the pace is not 1."""
        period = source.period.astype(np.float32)
        cycle = count * period
        began = (count - 1) * np.float32(self._step) * pace
        # Phase goes on where the number of periods changes.
        phase = np.fmod(np.fmod(began, period) + np.maximum(at * pace - began, 0), cycle)
        whole = np.floor(phase)
        first = self._sample(source.audio, whole, cycle, quarter)
        second = self._sample(source.audio, np.fmod(whole + 1, cycle), cycle, quarter)
        value: _Audio = first + (second - first) * (phase - whole)
        return value

    @staticmethod
    def _sample(audio: _Audio, place: _Audio, cycle: _Audio, quarter: _Audio) -> _Audio:
        """A sample of the cycle, its end overlapped with what precedes its beginning."""
        index = (audio.shape[1] - cycle + place).astype(np.int64)
        value = np.take_along_axis(audio, index, axis=1)
        earlier = np.take_along_axis(audio, np.maximum(index - cycle.astype(np.int64), 0), axis=1)
        rise = np.maximum((place - cycle + quarter + 1) / (quarter + 1), 0)
        mixed: _Audio = value + (earlier - value) * rise
        return mixed

    # -- two-sided -----------------------------------------------------------------------------

    def _bridge(
        self, audio: _Audio, source: _Source, at: _Audio, concealed: _Integers, future: _Audio
    ) -> None:
        """Blend with what leads backwards from the audio after the gap, in place."""
        present = future != HOLE
        gap = present.argmax(axis=1)
        after = np.where(np.arange(future.shape[1]) >= gap[:, np.newaxis], ~present, np.False_)
        known = np.where(after.any(axis=1), after.argmax(axis=1), future.shape[1]) - gap
        chosen = (present.any(axis=1) & (known >= 2 * self._short)).nonzero()[0]
        if not chosen.size:
            return
        gap, known = gap[chosen, np.newaxis], known[chosen, np.newaxis]
        shift = np.arange(future.shape[1] - 1, -1, -1)
        mirror = np.take_along_axis(
            future[chosen], np.minimum(gap + shift, future.shape[1] - 1), axis=1
        )
        mirror[shift >= known] = 0
        source, at = source.select(chosen), at[chosen]
        length = (concealed[chosen, np.newaxis] + gap).astype(np.float32)
        pace = self._pace(source, length, mirror)
        behind, usable = self._behind(source, mirror, known, pace)
        theirs = (pace * (behind.period / source.period)).astype(np.float32)
        ahead = np.maximum(length - 1 - at, 0)
        forward = self._repeat(source, at, pace) * self._gain(at)
        backward = self._repeat(behind, ahead, theirs) * self._gain(ahead)
        width = np.minimum(length, self._bridged)
        part = np.clip((at + 0.5 - (length - width)) / width, 0, 1)
        rise = part * part * (3 - 2 * part)
        blended = forward + (backward - forward) * rise
        # From the gap's end on it is what was received.
        beyond = np.clip(at - length, 0, future.shape[1] - 1).astype(np.int64)
        received = np.take_along_axis(mirror, future.shape[1] - 1 - beyond, axis=1)
        blended = np.where(at >= length, received, blended)
        audio[chosen] = np.where(usable, blended, audio[chosen])

    def _pace(self, source: _Source, length: _Audio, mirror: _Audio) -> _Audio:
        """How much faster the past must go on to arrive in phase, (k, 1)."""
        reach = self._reach
        window = length - reach + np.arange(self._short + 2 * reach, dtype=np.float32)
        single = _Source(source.audio, source.period, np.ones_like(source.period))
        expected = self._repeat(single, np.maximum(window, 0), np.ones_like(length))
        follows = np.ascontiguousarray(mirror[:, : -self._short - 1 : -1])
        score = correlations(expected, follows)
        offset = np.arange(-reach, reach + 1)
        limit = np.minimum(source.period // 2, (length * _SQUEEZED).astype(np.int64))
        score = np.where(np.abs(offset) <= limit, score, np.float32(-2))
        best = score.argmax(axis=1)
        alike = score[np.arange(len(score)), best] >= _ALIKE
        moved = np.where(alike, offset[best], 0)[:, np.newaxis].astype(np.float32)
        pace: _Audio = 1 + moved / length
        return pace

    def _behind(
        self, source: _Source, mirror: _Audio, known: _Integers, pace: _Audio
    ) -> tuple[_Source, NDArray[np.bool_]]:
        """The audio after the gap, backwards, and whether it is as long as its period, (k, 1)."""
        about = np.rint(source.period / pace).astype(np.int64)
        span = mirror[:, -2 * self._short - int(LONGEST_MS * self._rate_hz / 1000) :]
        period, alike = pitch_periods(
            np.ascontiguousarray(span), self._short, self._rate_hz, about[:, 0]
        )
        period = np.where(alike[:, np.newaxis] >= _ALIKE, period[:, np.newaxis], about)
        most = np.clip((known - period // 4 - 1) // period, 0, _PERIODS)
        return _Source(mirror, period, np.maximum(most, 1)), most > 0
