"""Turn-taking: who speaks, whose turn it is, when a turn is over.

One state machine for both sides of a call. The caller side follows the verdicts
of a voice-activity model; the agent side is told when a reply's audio begins to
leave, when it has been played, and when there will be none. `TRANSITIONS` is the
whole machine; `diagram` draws it.

In words. In QUIET nobody speaks. A window above the threshold is an ONSET: it
becomes a turn (TALKING) when it has lasted long enough, and is forgotten as a
click or a breath when it has not. A talking caller who falls silent is PAUSING:
either speech comes back, or the pause grows as long as the endpointer asks for,
and the turn is over. Then a reply is awaited (THINKING). A caller who speaks in
that time is INTERJECTING; if it lasts, the reply is no longer wanted and the
turn goes on. Once the reply's first frame has left the agent is REPLYING, and a
caller who speaks now is OVERLAPPING: a moment of it is a "mhm", more than that
is barge-in. Keys pressed by the caller end a turn from any state.

Time here is audio time, in samples of the caller's audio, because that is the
clock the caller hears: a decision falls on the 20 ms frame in which it became
due and never waits for the window of the model that is still incomplete.
``now`` only stamps the events.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from trunkline.media.lane import Window

from .endpointing import BlindPast, Endpointer, Past, Pause, SilenceEndpointer
from .errors import BadSettingsError, IllegalTransitionError
from .turn_events import (
    BargeIn,
    CallerContinued,
    EndReason,
    FalseStart,
    Idle,
    SpeechEnded,
    SpeechResumed,
    SpeechStarted,
    TurnEnded,
    TurnEvent,
)

__all__ = ["TRANSITIONS", "Cue", "State", "TurnMachine", "TurnSettings", "diagram"]


class State(Enum):
    """Who is doing what."""

    QUIET = "quiet"
    """Nobody speaks; it is the caller's turn."""
    ONSET = "onset"
    """The caller makes a sound that is not long enough yet to be a turn."""
    TALKING = "talking"
    """The caller has the turn and speaks."""
    PAUSING = "pausing"
    """The caller has the turn and is silent."""
    THINKING = "thinking"
    """The agent has the turn; no audio of its reply has left."""
    INTERJECTING = "interjecting"
    """The caller makes a sound while a reply is awaited."""
    REPLYING = "replying"
    """The agent speaks."""
    OVERLAPPING = "overlapping"
    """The caller makes a sound while the agent speaks."""
    ENDED = "ended"
    """The call is over."""


class Cue(Enum):
    """What can happen."""

    VOICE = "voice"
    """A window above the threshold."""
    CONFIRMED = "confirmed"
    """The voice has lasted long enough to be meant."""
    HUSH = "hush"
    """A window below the release threshold."""
    PAUSE_OVER = "pause over"
    """The pause is as long as the endpointer asks for."""
    TOO_LONG = "too long"
    """The turn has reached its greatest length."""
    KEYS = "keys"
    """The caller has pressed keys."""
    REPLY_STARTED = "reply started"
    """The first frame of the reply has left."""
    REPLY_DRAINED = "reply drained"
    """The reply has been played to its end."""
    REPLY_NOTHING = "reply nothing"
    """The reply that was awaited has no audio, or failed before any."""
    IDLE = "idle"
    """Nobody has spoken for long."""
    END = "end"
    """The call is over."""


TRANSITIONS: Mapping[tuple[State, Cue], State] = MappingProxyType(
    {
        (State.QUIET, Cue.VOICE): State.ONSET,
        (State.QUIET, Cue.IDLE): State.THINKING,
        (State.QUIET, Cue.KEYS): State.THINKING,
        (State.QUIET, Cue.END): State.ENDED,
        (State.ONSET, Cue.CONFIRMED): State.TALKING,
        (State.ONSET, Cue.HUSH): State.QUIET,
        (State.ONSET, Cue.KEYS): State.THINKING,
        (State.ONSET, Cue.END): State.ENDED,
        (State.TALKING, Cue.HUSH): State.PAUSING,
        (State.TALKING, Cue.TOO_LONG): State.THINKING,
        (State.TALKING, Cue.KEYS): State.THINKING,
        (State.TALKING, Cue.END): State.ENDED,
        (State.PAUSING, Cue.VOICE): State.TALKING,
        (State.PAUSING, Cue.PAUSE_OVER): State.THINKING,
        (State.PAUSING, Cue.TOO_LONG): State.THINKING,
        (State.PAUSING, Cue.KEYS): State.THINKING,
        (State.PAUSING, Cue.END): State.ENDED,
        (State.THINKING, Cue.VOICE): State.INTERJECTING,
        (State.THINKING, Cue.KEYS): State.THINKING,
        (State.THINKING, Cue.REPLY_STARTED): State.REPLYING,
        (State.THINKING, Cue.REPLY_NOTHING): State.QUIET,
        (State.THINKING, Cue.END): State.ENDED,
        (State.INTERJECTING, Cue.CONFIRMED): State.TALKING,
        (State.INTERJECTING, Cue.HUSH): State.THINKING,
        (State.INTERJECTING, Cue.KEYS): State.THINKING,
        (State.INTERJECTING, Cue.REPLY_STARTED): State.OVERLAPPING,
        (State.INTERJECTING, Cue.REPLY_NOTHING): State.ONSET,
        (State.INTERJECTING, Cue.END): State.ENDED,
        (State.REPLYING, Cue.VOICE): State.OVERLAPPING,
        (State.REPLYING, Cue.KEYS): State.THINKING,
        (State.REPLYING, Cue.REPLY_DRAINED): State.QUIET,
        (State.REPLYING, Cue.END): State.ENDED,
        (State.OVERLAPPING, Cue.CONFIRMED): State.TALKING,
        (State.OVERLAPPING, Cue.HUSH): State.REPLYING,
        (State.OVERLAPPING, Cue.KEYS): State.THINKING,
        (State.OVERLAPPING, Cue.REPLY_DRAINED): State.ONSET,
        (State.OVERLAPPING, Cue.END): State.ENDED,
    }
)
"""Every legal step. A pair that is not here raises `IllegalTransitionError`."""


def diagram() -> str:
    """The machine as a Mermaid state diagram, one line per transition."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.QUIET.value}"]
    lines += [f"    {a.value} --> {b.value}: {cue.value}" for (a, cue), b in TRANSITIONS.items()]
    return "\n".join([*lines, f"    {State.ENDED.value} --> [*]", ""])


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """When a sound is speech, when speech is a turn, and when a turn is over."""

    threshold: float = 0.5
    """Probability from which a window is speech; what Silero was tuned for."""
    release: float = 0.35
    """Probability below which speech has ended. Lower than the threshold, so that a
    weak syllable inside a sentence does not end it."""
    speech_ms: int = 100
    """Speech this long is a turn; shorter sounds are clicks and breath. "No" takes 200."""
    silence_ms: int = 600
    """Silence after speech that ends a turn. People pause 200 to 500 ms inside a
    sentence, and telephone callers read out numbers in groups."""
    barge_in: bool = True
    """Whether the caller may interrupt the agent."""
    barge_in_ms: int = 240
    """Speech over the agent this long stops it. More lets "mhm" pass, less reacts sooner."""
    opening_ms: int = 0
    """The caller cannot interrupt in this first part of the call: an echo canceller is
    still learning, or a notice must be heard. Speech then becomes a turn afterwards."""
    preroll_ms: int = 300
    """Audio before a turn's first speech that goes to the recogniser: soft first
    consonants, and what a recogniser needs to learn the background from."""
    max_turn_ms: int = 30_000
    """A turn this long is ended and answered: music on hold is not a caller."""
    idle_ms: int = 0
    """The agent may speak up after this much silence from both; 0 never."""

    def __post_init__(self) -> None:
        if not 0 < self.release <= self.threshold < 1:
            raise BadSettingsError("it must be that 0 < release <= threshold < 1")
        for name in ("speech_ms", "silence_ms", "barge_in_ms", "max_turn_ms"):
            if getattr(self, name) < 20:
                raise BadSettingsError(f"{name} is at least one frame of 20 ms")
        for name in ("opening_ms", "preroll_ms", "idle_ms"):
            if getattr(self, name) < 0:
                raise BadSettingsError(f"{name} cannot be negative")
        if self.preroll_ms > 2000:
            raise BadSettingsError("preroll_ms is at most 2000: more than that is another turn")


_CALM = frozenset({State.QUIET, State.THINKING, State.REPLYING})
"""States in which nothing happens without a window."""
_OPEN = frozenset({*_CALM, State.PAUSING})
"""States in which a voice is news."""
_CONFIRMING = frozenset({State.ONSET, State.INTERJECTING, State.OVERLAPPING})
_NOTHING: tuple[TurnEvent, ...] = ()
RESCORE_MS = 200
"""How often an endpointer is asked again while the pause lasts."""


class TurnMachine:
    """The turn-taking of one call. See the module's text; not thread-safe.

    ``past`` refines where speech began and ended (see `endpointing.Past`).
    ``awaiting`` begins in THINKING: the agent is going to speak first.
    """

    __slots__ = (
        "_answering",
        "_armed",
        "_asked_at",
        "_endpointer",
        "_first",
        "_idle_at",
        "_idles",
        "_now",
        "_onset",
        "_past",
        "_rate_hz",
        "_segment",
        "_settings",
        "_speech_end",
        "_start",
        "_voice_end",
        "_wait",
        "endpointer_failures",
        "received",
        "reply",
        "state",
        "turn",
    )

    def __init__(
        self,
        settings: TurnSettings,
        rate_hz: int,
        *,
        endpointer: Endpointer | None = None,
        past: Past | None = None,
        awaiting: bool = False,
    ) -> None:
        self._settings = settings
        self._rate_hz = rate_hz
        self._endpointer = endpointer or SilenceEndpointer(settings.silence_ms)
        self._past = past or BlindPast(rate_hz)
        self.state = State.THINKING if awaiting else State.QUIET
        self.received = 0
        """Samples of the caller's audio so far."""
        self.turn = 0
        """The caller's turn, counted from 1; 0 before the first."""
        self.reply = 1 if awaiting else 0
        """The reply awaited or being spoken, counted from 1."""
        self.endpointer_failures = 0
        """How often the endpointer raised, or answered with what is no number."""
        self._now = 0.0
        self._first = 0  # start of the first window of the sound going on
        self._onset = 0  # where that sound really began
        self._segment = 0  # where its speech began, or came back after a pause
        self._start = 0  # where the turn began
        self._voice_end = 0  # end of the last window of speech
        self._speech_end = 0  # where speech really ended
        self._armed = True  # False: a sound that was cut off must end before another counts
        self._answering = False  # True: the reply awaited is to a turn of the caller
        self._asked_at = 0
        self._wait = 0
        self._idles = 0
        self._idle_at = 0
        self._rest()

    def hear(self, samples: int, windows: Sequence[Window], now: float) -> Sequence[TurnEvent]:
        """One more frame of the caller's audio, and the verdicts it completed."""
        self.received += samples
        if not windows and self.state in _CALM and not self._idle_at:
            return _NOTHING
        if self.state is State.ENDED:
            return _NOTHING
        self._now = now
        out: list[TurnEvent] = []
        for window in windows:
            self._verdict(window, out)
        self._elapse(out)
        return out

    def reply_started(self, now: float) -> None:
        """The first frame of the awaited reply has left."""
        self._now = now
        self._step(Cue.REPLY_STARTED)

    def reply_drained(self, now: float) -> None:
        """The reply has been played to its end."""
        self._now = now
        self._step(Cue.REPLY_DRAINED)
        self._rest()

    def reply_nothing(self, reply: int, now: float) -> None:
        """The awaited reply has no audio. A ``reply`` awaited earlier is ignored."""
        if reply != self.reply or self.state not in (State.THINKING, State.INTERJECTING):
            return
        self._now = now
        self._step(Cue.REPLY_NOTHING)
        self._rest()

    def keys(self, keys: str, now: float) -> Sequence[TurnEvent]:
        """The caller has pressed keys: that ends a turn, and interrupts."""
        self._now = now
        before = self.state
        out: list[TurnEvent] = []
        spoken = before in (State.TALKING, State.PAUSING)
        if before is not State.PAUSING:
            self._speech_end = self.received
        if before in (State.REPLYING, State.OVERLAPPING):
            out.append(BargeIn(now, now))
        elif before in (State.THINKING, State.INTERJECTING):
            out.append(CallerContinued(now, now))
        if not spoken:
            self._next_turn(before)
        if before not in _OPEN:
            self._armed = False
        self._end_turn(Cue.KEYS, EndReason.KEYS, out, spoken=spoken, keys=keys)
        return out

    def end(self) -> None:
        """The call is over."""
        self._step(Cue.END)

    def _step(self, cue: Cue) -> None:
        state = TRANSITIONS.get((self.state, cue))
        if state is None:
            raise IllegalTransitionError(f"{cue.value!r} cannot happen in {self.state.value!r}")
        self.state = state

    def _rest(self) -> None:
        """Begin to count idle time, where the machine has come to rest."""
        settings = self._settings
        resting = self.state is State.QUIET and settings.idle_ms
        self._idle_at = self.received + self._samples(settings.idle_ms) if resting else 0

    def _verdict(self, window: Window, out: list[TurnEvent]) -> None:
        probability, end_offset, length = window
        end = self.received - end_offset
        settings = self._settings
        if self.state in _OPEN:
            if probability < settings.release:
                self._armed = True
            elif probability >= settings.threshold and self._armed:
                self._voice(end - length, end, out)
        elif probability >= settings.release:
            self._voice_end = end
        else:
            self._hush(out)

    def _voice(self, first: int, end: int, out: list[TurnEvent]) -> None:
        """Speech, where there was none."""
        if self.state is State.PAUSING:
            out.append(SpeechResumed(self._at(end)))
        else:
            self._first = first
            self._onset = min(self._past.onset(first, self.received), end)
            self._idle_at = 0
        self._segment = first
        self._voice_end = end
        self._step(Cue.VOICE)

    def _hush(self, out: list[TurnEvent]) -> None:
        """Silence, where there was speech."""
        if self.state is State.TALKING:
            end = self._past.offset(self._voice_end, self.received)
            # Not before the speech of this segment: the model was sure that it is there.
            self._speech_end = max(self._segment, min(end, self._voice_end))
            self._asked_at = self._wait = 0
            out.append(SpeechEnded(self._at(self._speech_end), self._speech_end))
        else:
            duration = self._voice_end - self._first
            over = self.state is State.OVERLAPPING
            out.append(FalseStart(self._now, duration * 1000 // self._rate_hz, over))
        self._step(Cue.HUSH)
        self._rest()

    def _elapse(self, out: list[TurnEvent]) -> None:
        """What time alone brings about."""
        state = self.state
        if state in _CONFIRMING:
            if self._is_meant():
                self._confirm(out)
        elif state is State.TALKING:
            if self.received - self._start >= self._samples(self._settings.max_turn_ms):
                self._speech_end = self.received
                self._armed = False
                self._end_turn(Cue.TOO_LONG, EndReason.TOO_LONG, out)
        elif state is State.PAUSING:
            if self._pause_is_over():
                self._end_turn(Cue.PAUSE_OVER, EndReason.SILENCE, out)
            elif self.received - self._start >= self._samples(self._settings.max_turn_ms):
                self._end_turn(Cue.TOO_LONG, EndReason.TOO_LONG, out)
        elif state is State.QUIET and self._idle_at and self.received >= self._idle_at:
            self._idles += 1
            self.reply += 1
            self._answering = False
            self._step(Cue.IDLE)
            self._idle_at = 0
            out.append(Idle(self._now, self._idles, self.reply))

    def _is_meant(self) -> bool:
        """Whether the sound going on has lasted long enough.

        The time counts to the last sample received, though up to a window of it
        is not judged yet; half of it must have been judged to be speech, or a
        breath before a click would do.
        """
        settings = self._settings
        least_ms = settings.speech_ms
        if self.state is State.OVERLAPPING:
            if not settings.barge_in or self.received < self._samples(settings.opening_ms):
                return False
            least_ms = settings.barge_in_ms
        least = self._samples(least_ms)
        return self.received - self._onset >= least and 2 * (self._voice_end - self._first) >= least

    def _confirm(self, out: list[TurnEvent]) -> None:
        onset_at = self._at(self._onset)
        if self.state is State.OVERLAPPING:
            out.append(BargeIn(self._now, onset_at))
        elif self.state is State.INTERJECTING:
            out.append(CallerContinued(self._now, onset_at))
        self._next_turn(self.state)
        self._start = self._onset
        self._step(Cue.CONFIRMED)
        preroll = self._samples(self._settings.preroll_ms)
        out.append(SpeechStarted(onset_at, self._onset, preroll, self.turn))

    def _next_turn(self, before: State) -> None:
        """Count turns; one that goes on while its reply is awaited stays the same."""
        if not (self._answering and before in (State.THINKING, State.INTERJECTING)):
            self.turn += 1

    def _pause_is_over(self) -> bool:
        silence = self.received - self._speech_end
        if silence < self._samples(self._endpointer.minimum_ms):
            return False
        if not self._asked_at or self.received - self._asked_at >= self._samples(RESCORE_MS):
            self._asked_at = self.received
            self._wait = self._ask(silence)
        return silence >= self._wait

    def _ask(self, silence: int) -> int:
        """The silence the endpointer wants; the settings' if it fails."""
        try:
            return self._samples(self._endpointer.wait_ms(self._pause(silence)))
        except Exception:  # noqa: BLE001 - anybody's code, and this is the media thread
            self.endpointer_failures += 1
            return self._samples(self._settings.silence_ms)

    def _pause(self, silence: int) -> Pause:
        return Pause(
            silence_ms=silence * 1000 // self._rate_hz,
            speech_ms=(self._speech_end - self._start) * 1000 // self._rate_hz,
            rate_hz=self._rate_hz,
            audio=self._past.audio,
            start=self._start,
            end=self.received,
        )

    def _end_turn(
        self,
        cue: Cue,
        reason: EndReason,
        out: list[TurnEvent],
        *,
        spoken: bool = True,
        keys: str = "",
    ) -> None:
        self._step(cue)
        self.reply += 1
        self._answering = True
        self._idles = self._idle_at = 0
        start = self._start if spoken else self._speech_end
        started_at, ended_at = self._at(start), self._at(self._speech_end)
        turn, reply = self.turn, self.reply
        out.append(TurnEnded(self._now, started_at, ended_at, reason, turn, reply, spoken, keys))

    def _samples(self, milliseconds: float) -> int:
        return int(milliseconds * self._rate_hz) // 1000

    def _at(self, sample: int) -> float:
        """When a sample was received, in seconds of ``now``."""
        return self._now - (self.received - sample) / self._rate_hz
