"""From probabilities of speech to where speech begins and ends.

A voice-activity model judges windows one after another. A window at the threshold or
above may be an onset; speech has begun when windows at the release or above have gone
on for ``speech_ms``, and has ended when for ``silence_ms`` none was at the threshold
after one had been below the release. What is shorter than ``speech_ms`` is a click. A
segment begins ``preroll_ms`` before its first window, though not in the segment before.

An agent's turns have the same four numbers among their states (`agent.turns`), where
they mean something else while the agent speaks; this is for everything that has no
turns: recordings to cut up, transcripts, wake words, statistics.

Positions are in samples of a call's audio, counted by its windows, which follow each
other without gaps. Everything is vectorised over rows; a row is a few numbers.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .rows import Rows

__all__ = ["Boundaries", "SegmentSettings", "SegmenterBank", "SpeechBoundary", "SpeechSegmenter"]

_Numbers: TypeAlias = NDArray[np.int64]
_QUIET, _ONSET, _SPEECH, _PAUSE = range(4)


@dataclass(frozen=True, slots=True)
class SegmentSettings:
    """When speech has begun, and when it has ended."""

    threshold: float = 0.5
    """Probability from which a window may begin speech."""
    release: float = 0.35
    """Probability below which a window may end it; at most the threshold."""
    speech_ms: int = 100
    """Shorter sounds are no speech."""
    silence_ms: int = 300
    """Shorter silences are pauses in it."""
    preroll_ms: int = 200
    """How much before its first window a segment begins: soft first consonants."""

    def __post_init__(self) -> None:
        if not 0 < self.release <= self.threshold <= 1:
            raise UsageError("it must be that 0 < release <= threshold <= 1")
        for name in ("speech_ms", "silence_ms", "preroll_ms"):
            if not 0 <= getattr(self, name) <= 60_000:
                raise UsageError(f"{name} is 0 to 60000, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Boundaries:
    """What one `SegmenterBank.process` decided: at most one boundary a row."""

    index: NDArray[np.intp]
    """Position among the rows given, ascending."""
    begins: NDArray[np.bool_]
    """True where speech has begun, False where it has ended."""
    position: NDArray[np.int64]
    """The segment's first sample, pre-roll included; or the sample after its last window."""


@dataclass(frozen=True, slots=True)
class SpeechBoundary:
    """One call's speech has begun or ended."""

    kind: Literal["start", "end"]
    position: int
    """The segment's first sample, pre-roll included; or the sample after its last window."""
    decided_at: int
    """Samples that had been judged when this became clear."""


class SegmenterBank:
    """Segments of many calls, from the windows of a voice-activity bank."""

    def __init__(
        self,
        rate_hz: int = 8000,
        window_samples: int = 256,
        settings: SegmentSettings | None = None,
        capacity: int = 64,
    ) -> None:
        """For windows of one length; both figures are the activity bank's.

        Raises:
            UsageError: a number is not positive.
        """
        if rate_hz < 1 or window_samples < 1:
            raise UsageError(f"there is no window of {window_samples} samples at {rate_hz} Hz")
        self.settings = settings or SegmentSettings()
        self.rate_hz = rate_hz
        self.window_samples = window_samples
        self._speech, self._silence, self._preroll = (
            milliseconds * rate_hz // 1000
            for milliseconds in (
                self.settings.speech_ms,
                self.settings.silence_ms,
                self.settings.preroll_ms,
            )
        )
        self._rows = Rows(capacity)
        self._state = np.zeros(capacity, np.int8)
        self._heard = np.zeros(capacity, np.int64)
        self._onset = np.zeros(capacity, np.int64)
        self._voiced = np.zeros(capacity, np.int64)
        self._before = np.zeros(capacity, np.int64)
        self.faults = np.zeros(capacity, np.int64)
        """Probabilities of each row that were none (NaN, beyond 0..1); they count as silence."""

    def open(self) -> int:
        """A fresh row, at sample 0 and silent."""
        row = self._rows.open()
        more = self._rows.capacity - len(self._state)
        if more:
            for name in ("_state", "_heard", "_onset", "_voiced", "_before", "faults"):
                table = getattr(self, name)
                setattr(self, name, np.concatenate([table, np.zeros(more, table.dtype)]))
        self._clear(row)
        return row

    def close(self, row: int) -> None:
        """Give the row back; `finish` says first whether speech was going on.

        Raises:
            UsageError: it is not open.
        """
        self._rows.close(row)

    def reset(self, row: int) -> None:
        """Begin again at sample 0.

        Raises:
            UsageError: it is not open.
        """
        self._rows.check(row)
        self._clear(row)

    def finish(self, row: int) -> int | None:
        """The end of a segment that is going on, which ends with this; else None.

        Raises:
            UsageError: the row is not open.
        """
        self._rows.check(row)
        speaking = self._state[row] >= _SPEECH
        self._state[row] = _QUIET
        if not speaking:
            return None
        self._before[row] = self._voiced[row]
        return int(self._voiced[row])

    def samples(self, row: int) -> int:
        """How much of a row's audio was judged."""
        self._rows.check(row)
        return int(self._heard[row])

    def process(self, probability: NDArray[np.float32], rows: NDArray[np.intp]) -> Boundaries:
        """The next window of each of ``rows``, which are distinct.

        After ``activity = bank.process(block, rows)`` that is
        ``process(activity.probability, mine[activity.index])``.

        Raises:
            UsageError: a shape is wrong or a row is not open.
        """
        probability = np.asarray(probability)
        if probability.shape != (len(rows),):
            raise UsageError(f"{probability.shape} probabilities do not suit {len(rows)} rows")
        self._rows.check_all(rows)
        good = (probability >= 0) & (probability <= 1)
        self.faults[rows] += ~good
        probability = np.where(good, probability, 0)
        first = self._heard[rows]
        end = first + self.window_samples
        self._heard[rows] = end
        state = self._turned(probability, rows, first, end)
        begins = (state == _ONSET) & (end - self._onset[rows] >= self._speech)
        ends = (state == _PAUSE) & (end - self._voiced[rows] >= self._silence)
        start = np.maximum(self._onset[rows] - self._preroll, self._before[rows])
        self._before[rows] = np.where(ends, self._voiced[rows], self._before[rows])
        state[begins], state[ends] = _SPEECH, _QUIET
        self._state[rows] = state
        index = np.flatnonzero(begins | ends)
        position = np.where(begins, start, self._voiced[rows])
        return Boundaries(index, begins[index], position[index])

    def _turned(
        self,
        probability: NDArray[np.float32],
        rows: NDArray[np.intp],
        first: _Numbers,
        end: _Numbers,
    ) -> NDArray[np.int8]:
        """The states after these windows, before time alone changes them."""
        state = self._state[rows]
        loud = probability >= np.float32(self.settings.threshold)
        kept = probability >= np.float32(self.settings.release)
        onset = (state == _QUIET) & loud
        self._onset[rows] = np.where(onset, first, self._onset[rows])
        going = (state == _ONSET) | (state == _SPEECH)
        resumed = (state == _PAUSE) & loud
        voiced = onset | resumed | (going & kept)
        self._voiced[rows] = np.where(voiced, end, self._voiced[rows])
        turned = state.copy()
        turned[onset] = _ONSET
        turned[resumed] = _SPEECH
        turned[(state == _ONSET) & ~kept] = _QUIET
        turned[(state == _SPEECH) & ~kept] = _PAUSE
        return turned

    def _clear(self, row: int) -> None:
        self._state[row] = _QUIET
        for table in (self._heard, self._onset, self._voiced, self._before, self.faults):
            table[row] = 0


class SpeechSegmenter:
    """Segments of one call: a bank of one.

        segmenter = SpeechSegmenter(rate_hz=8000, window_samples=256)
        for boundary in segmenter.push(probability): ...

    Not thread-safe.
    """

    def __init__(
        self,
        rate_hz: int = 8000,
        window_samples: int = 256,
        settings: SegmentSettings | None = None,
    ) -> None:
        """See `SegmenterBank`.

        Raises:
            UsageError: a number is not positive.
        """
        self._bank = SegmenterBank(rate_hz, window_samples, settings, 1)
        self._rows = np.array([self._bank.open()], np.intp)

    @property
    def samples(self) -> int:
        """How much audio was judged."""
        return self._bank.samples(0)

    @property
    def faults(self) -> int:
        """Probabilities that were none."""
        return int(self._bank.faults[0])

    def push(self, probability: float) -> list[SpeechBoundary]:
        """The next window's probability of speech; what it decided, one boundary or none."""
        found = self._bank.process(np.array([probability], np.float32), self._rows)
        return [
            SpeechBoundary("start" if begins else "end", int(position), self.samples)
            for begins, position in zip(found.begins, found.position, strict=True)
        ]

    def finish(self) -> list[SpeechBoundary]:
        """The audio is over, and with it the segment that is going on."""
        end = self._bank.finish(0)
        return [] if end is None else [SpeechBoundary("end", end, self.samples)]

    def reset(self) -> None:
        """Begin again at sample 0."""
        self._bank.reset(0)
