"""The hearing half of an agent: what runs on the media thread.

A `Hearing` is the `Ear` of one call. It keeps the last moments of the caller's audio,
runs the turn machine frame by frame, and tells the application what happened, at most
once per tick. Barge-in does not go through the application: the playout is cleared
here and now, and the application learns of it afterwards.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from trunkline.media.lane import Heard, Window

from .endpointing import LOOK_BACK_MS, ONSET_BACK_MS, Endpointer, first_speech, last_speech
from .line import Line
from .turn_events import BargeIn, CallerContinued, Idle, SpeechStarted, TurnEnded, TurnEvent
from .turns import State, TurnMachine, TurnSettings

__all__ = [
    "Awaited",
    "CallerAudio",
    "Cut",
    "Hearing",
    "HearingMessage",
    "LineEnded",
    "Pressed",
    "RecentAudio",
    "ReplyDrained",
    "ReplyStarted",
]

Frame: TypeAlias = NDArray[np.int16]

FEED_MS = 100
"""How much of an utterance crosses to the recogniser at once. What is still here at the
end of the turn crosses with it, so this delays nothing; it saves four crossings of five."""
KEYS_MS = 1500
"""Silence after a key that ends a number; # ends it at once."""


@dataclass(frozen=True, slots=True)
class CallerAudio:
    """More of the utterance that is going on."""

    pcm: Frame


@dataclass(frozen=True, slots=True)
class Awaited:
    """A reply is awaited."""

    event: TurnEnded | Idle
    generation: int
    """What the reply's audio must carry. Read in the tick of the decision: whatever
    clears the line later makes it old, however late the application gets to it."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The reply is not wanted any more; the line has been cleared."""

    event: BargeIn | CallerContinued
    heard: Heard


@dataclass(frozen=True, slots=True)
class ReplyStarted:
    """The first frame of the reply has left."""

    at: float
    generation: int


@dataclass(frozen=True, slots=True)
class ReplyDrained:
    """The reply has been played to its end."""

    at: float
    heard: Heard


@dataclass(frozen=True, slots=True)
class Pressed:
    """The caller has pressed a key."""

    at: float
    digit: str


@dataclass(frozen=True, slots=True)
class LineEnded:
    """The call is over."""

    at: float


HearingMessage: TypeAlias = (
    CallerAudio | Awaited | Cut | ReplyStarted | ReplyDrained | Pressed | LineEnded | TurnEvent
)


class RecentAudio:
    """The last moments of a caller's audio, by position; a `Past` for the turn machine."""

    __slots__ = ("_at", "_rate_hz", "_ring", "_size", "received")

    def __init__(self, rate_hz: int, memory_ms: int) -> None:
        frame = rate_hz // 50
        # A whole number of frames: a frame then never wraps around the end.
        self._size = -(-memory_ms * rate_hz // 1000 // frame) * frame
        self._ring = np.zeros(self._size, np.int16)
        self._at = 0
        self._rate_hz = rate_hz
        self.received = 0

    def push(self, frame: Frame) -> None:
        """One more frame of 20 ms."""
        at = self._at
        end = at + len(frame)
        self._ring[at:end] = frame
        self._at = end if end < self._size else 0
        self.received += len(frame)

    def audio(self, start: int, end: int) -> Frame:
        """A copy of what is still there of ``start`` to ``end``."""
        end = min(end, self.received)
        start = max(start, self.received - self._size, 0)
        if start >= end:
            return np.empty(0, np.int16)
        at, stop = start % self._size, end % self._size
        if at < stop:
            return self._ring[at:stop].copy()
        return np.concatenate((self._ring[at:], self._ring[:stop]))

    def onset(self, first: int, received: int) -> int:
        """Where the sound began whose first window of speech begins at ``first``."""
        start = max(0, first - ONSET_BACK_MS * self._rate_hz // 1000)
        start = max(start, self.received - self._size)
        return start + first_speech(self.audio(start, received), first - start, self._rate_hz)

    def offset(self, voice_end: int, received: int) -> int:
        """Where the speech ended whose last window ends at ``voice_end``."""
        start = max(0, voice_end - LOOK_BACK_MS * self._rate_hz // 1000)
        start = max(start, self.received - self._size)
        return start + last_speech(self.audio(start, received), voice_end - start, self._rate_hz)


class Hearing:
    """The `Ear` of one call. Everything but ``reply_nothing`` is for the media thread.

    ``sink`` gets tuples of messages on the application's loop, at most one per tick.
    ``awaiting`` is the generation of a greeting that is going to be spoken, or None.
    """

    __slots__ = (
        "_expected",
        "_feed_samples",
        "_keys",
        "_keys_at",
        "_keys_samples",
        "_line",
        "_machine",
        "_now",
        "_out",
        "_recent",
        "_sent",
        "_settings",
        "_sink",
        "_streaming",
        "_takes_keys",
    )

    def __init__(
        self,
        line: Line,
        settings: TurnSettings,
        sink: Callable[[tuple[HearingMessage, ...]], None],
        *,
        endpointer: Endpointer | None = None,
        awaiting: int | None = None,
        keys: bool = True,
    ) -> None:
        rate_hz = line.rate_hz
        self._line = line
        self._sink = sink
        self._settings = settings
        memory_ms = settings.preroll_ms + max(settings.speech_ms, settings.barge_in_ms) + 500
        self._recent = RecentAudio(rate_hz, max(memory_ms, LOOK_BACK_MS + 400))
        self._machine = TurnMachine(
            settings,
            rate_hz,
            endpointer=endpointer,
            past=self._recent,
            awaiting=awaiting is not None,
        )
        self._expected = -1 if awaiting is None else awaiting
        self._feed_samples = rate_hz * FEED_MS // 1000
        self._keys_samples = rate_hz * KEYS_MS // 1000
        self._takes_keys = keys
        self._keys = ""
        self._keys_at = 0
        self._streaming = False
        self._sent = 0  # how much of the caller's audio has crossed, while streaming
        self._out: list[HearingMessage] = []
        self._now = 0.0

    @property
    def state(self) -> State:
        """What the turn machine is doing."""
        return self._machine.state

    def hear(self, frame: Frame, windows: Sequence[Window], now: float) -> None:
        """One frame (20 ms) from the caller, and the verdicts it completed."""
        self._recent.push(frame)
        events = self._machine.hear(len(frame), windows, now)
        if events:
            for event in events:
                self._take(event, now)
        if self._streaming and self._recent.received - self._sent >= self._feed_samples:
            self._feed()
        if self._keys and self._recent.received >= self._keys_at:
            self._end_keys(now)
        if self._out:
            self._post()

    def started(self, generation: int, now: float) -> None:
        """The first frame of a generation has left."""
        if generation != self._expected or self.state not in (State.THINKING, State.INTERJECTING):
            return
        self._machine.reply_started(now)
        self._out.append(ReplyStarted(now, generation))
        self._post()

    def drained(self, heard: Heard, now: float) -> None:
        """A finished generation has been played to its end."""
        if heard.generation != self._expected:
            return
        if self.state in (State.REPLYING, State.OVERLAPPING):
            self._machine.reply_drained(now)
        else:  # it had no audio
            self._machine.reply_nothing(self._machine.reply, now)
        self._expected = -1
        self._out.append(ReplyDrained(now, heard))
        self._post()

    def digit(self, digit: str, now: float) -> None:
        """A key pressed by the caller."""
        if self.state is State.ENDED:
            return
        self._out.append(Pressed(now, digit))
        if self._takes_keys:
            self._keys += digit
            self._keys_at = self._recent.received + self._keys_samples
            if digit == "#":
                self._end_keys(now)
        self._post()

    def ended(self, now: float) -> None:
        """The call is over."""
        if self.state is State.ENDED:
            return
        self._machine.end()
        self._streaming = False
        self._keys = ""
        self._expected = -1
        self._out.append(LineEnded(now))
        self._post()

    def reply_nothing(self, reply: int) -> None:
        """The reply awaited under that number has no audio. Any thread."""
        self._line.on_media(self._nothing, reply)

    def _nothing(self, reply: int) -> None:
        self._machine.reply_nothing(reply, self._now)

    def _end_keys(self, now: float) -> None:
        """A number is complete; it waits where the agent may not be interrupted."""
        if not self._settings.barge_in and self.state in (State.REPLYING, State.OVERLAPPING):
            return
        keys, self._keys = self._keys, ""
        for event in self._machine.keys(keys, now):
            self._take(event, now)

    def _take(self, event: TurnEvent, now: float) -> None:
        """Act on an event here, then tell of it."""
        if isinstance(event, BargeIn | CallerContinued):
            heard = self._line.clear(now)
            self._expected = -1
            self._out.append(Cut(event, heard))
        elif isinstance(event, SpeechStarted):
            self._out.append(event)
            self._streaming = True
            self._sent = max(0, event.start - event.preroll_samples)
            self._feed()
        elif isinstance(event, TurnEnded | Idle):
            if self._streaming:
                self._feed()
                self._streaming = False
            self._expected = self._line.generation
            self._out.append(Awaited(event, self._expected))
        else:
            self._out.append(event)

    def _feed(self) -> None:
        pcm = self._recent.audio(self._sent, self._recent.received)
        self._sent = self._recent.received
        if len(pcm):
            self._out.append(CallerAudio(pcm))

    def _post(self) -> None:
        messages, self._out = tuple(self._out), []
        self._line.post(self._sink, messages)
