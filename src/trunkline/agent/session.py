"""One conversation on one line: what the hearing half reports becomes replies.

Everything here runs on the application's loop. Messages from the media thread are acted
on as they arrive, without a queue of our own. There is at most one reply at a time; a
task of the session's group makes it, and interrupting it is cancelling that task.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from trunkline.speech import Grammar, LanguageModel, Message, SpeechToText, TextToSpeech, Transcript

from .dialogue import Dialogue
from .endpointing import Endpointer
from .events import (
    AgentSaying,
    AgentStarted,
    CallerSilent,
    CallerStarted,
    CallerTurn,
    KeyPressed,
    Observers,
)
from .foreign import is_cancelled
from .latency import Stopwatch
from .line import Heard, Line
from .listening import (
    Awaited,
    CallerAudio,
    Cut,
    Hearing,
    HearingMessage,
    LineEnded,
    Pressed,
    ReplyDrained,
    ReplyStarted,
)
from .manners import Limits, Phrases
from .recognising import Recogniser
from .replying import Mind, Reply
from .speaking import SpeakingSettings, Speech
from .tools import Toolbox
from .turn_events import BargeIn, FalseStart, Idle, SpeechStarted, TurnEnded
from .turns import TurnSettings

__all__ = ["Conversation", "Engines", "Manner", "Session"]

log = logging.getLogger(__name__)

DRAIN_SECONDS = 5.0
"""How long after its last sample a goodbye may take to be reported as played."""


@dataclass(frozen=True, slots=True)
class Engines:
    """The engines a conversation runs on."""

    llm: LanguageModel
    stt: SpeechToText
    tts: TextToSpeech


@dataclass(frozen=True, slots=True)
class Manner:
    """How an agent behaves in every conversation."""

    instructions: str = ""
    phrases: Phrases = field(default_factory=Phrases)
    limits: Limits = field(default_factory=Limits)
    turns: TurnSettings = field(default_factory=TurnSettings)
    speaking: SpeakingSettings = field(default_factory=SpeakingSettings)


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation that is over."""

    messages: tuple[Message, ...]
    """As the model knew it: what was understood, and what the caller heard."""
    turns: int
    """How many turns the caller had."""
    ended: Literal["line", "agent"]
    """Who ended it: the line did, or the agent hung up."""


@dataclass(frozen=True, slots=True)
class _Interrupted:
    """A reply that was cut off, in case it was by mistake."""

    unheard: str
    leaving: bool


class Session:
    """One conversation. `run` it once."""

    def __init__(
        self,
        line: Line,
        engines: Engines,
        toolbox: Toolbox,
        manner: Manner,
        *,
        tell: Observers,
        endpointer: Endpointer | None = None,
        hangup: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._line = line
        self._engines = engines
        self._manner = manner
        self._tell = tell
        self._hangup = hangup
        self._clock = clock
        self._dialogue = Dialogue(manner.instructions, cut_mark=manner.limits.cut_mark)
        self._mind = Mind(
            engines.llm,
            toolbox,
            self._dialogue,
            phrases=manner.phrases,
            limits=manner.limits,
            tell=tell,
            clock=clock,
        )
        self._greets = manner.phrases.greeting != ""
        self._first_generation = line.generation
        self._hearing = Hearing(
            line,
            manner.turns,
            self._receive,
            endpointer=endpointer,
            awaiting=self._first_generation if self._greets else None,
            keys=manner.limits.keys,
        )
        self._over = asyncio.Event()
        self._ended: Literal["line", "agent"] = "line"
        self._reply: Reply | None = None
        self._parts: list[asyncio.Future[Transcript]] = []  # of the turn, as it is understood
        self._keys = ""  # of the turn
        self._interrupted: _Interrupted | None = None
        self._turns = 0
        self._group: asyncio.TaskGroup
        self._recogniser: Recogniser

    async def run(self) -> Conversation:
        """Talk until the line ends or the agent has hung up. No task outlives this."""
        recognition = self._engines.stt.open(self._line.rate_hz)
        try:
            async with asyncio.TaskGroup() as self._group:
                self._recogniser = Recogniser(
                    recognition,
                    self._group,
                    lambda error: self._mind.failed("recognition", error),
                    timeout_seconds=self._manner.limits.recognition_seconds,
                )
                self._line.listen(self._hearing)
                try:
                    if self._greets:
                        self._begin(1, self._first_generation, self._greet)
                    await self._over.wait()
                finally:
                    self._over.set()
                    self._line.unlisten(self._hearing)
                    self._cancel()
                    self._recogniser.close()
        finally:
            recognition.close()
        return Conversation(tuple(self._dialogue.messages), self._turns, self._ended)

    def leave(self) -> None:
        """Hang up when what is being said has been heard (or now, if nothing is)."""
        if self._reply is None:
            self._leave()
        else:
            self._reply.leaving = True

    # What the hearing half reports

    def _receive(self, messages: tuple[HearingMessage, ...]) -> None:
        for message in messages:
            if self._over.is_set():
                return
            self._take(message)

    def _take(self, message: HearingMessage) -> None:
        match message:
            case CallerAudio(pcm):
                self._recogniser.feed(pcm)
            case SpeechStarted():
                self._recogniser.start(self._expected())
                self._tell(CallerStarted(message.at, message.turn))
            case Cut(event, heard):
                if isinstance(event, BargeIn):
                    self._tell(event)
                self._cut(event.at, heard, interrupted=isinstance(event, BargeIn))
            case Awaited(TurnEnded() as event, generation):
                self._turn_ended(event, generation)
            case Awaited(Idle() as event, generation):
                self._tell(CallerSilent(event.at, event.count))
                self._begin(event.reply, generation, lambda reply: self._prompt(reply, event.count))
            case ReplyStarted(at, _):
                self._started(at)
            case ReplyDrained(at, heard):
                self._drained(at, heard)
            case FalseStart():
                self._tell(message)
            case Pressed(at, digit):
                self._tell(KeyPressed(at, digit))
            case LineEnded(at):
                self._line_ended(at)

    def _turn_ended(self, event: TurnEnded, generation: int) -> None:
        self._turns = max(self._turns, event.turn)
        if event.spoken:
            self._parts.append(self._recogniser.finish())
        self._keys += event.keys
        watch = Stopwatch(event)
        self._begin(event.reply, generation, lambda reply: self._answer(reply, event), watch)

    def _cut(self, at: float, heard: Heard, *, interrupted: bool) -> None:
        """The reply is not wanted any more; nothing of it leaves any more."""
        reply = self._reply
        self._cancel()
        if reply is None:
            return
        if not interrupted:
            self._continued(reply)
            return
        samples = heard.samples if heard.generation == reply.speech.generation else 0
        told = reply.speech.told(samples)
        self._dialogue.cut(told.rounds)
        self._forget_turn()
        self._interrupted = _Interrupted(told.unheard, reply.leaving)
        self._tell(reply.spoke(at, samples, cut=True, exact=heard.exact))

    def _continued(self, reply: Reply) -> None:
        """The caller goes on: the turn is not over, and nothing was heard of the reply."""
        if not reply.answers:
            self._dialogue.cut(())
        elif not self._dialogue.retract():
            self._forget_turn()

    def _started(self, at: float) -> None:
        reply = self._reply
        if reply is None:
            return
        reply.started_at = at
        self._tell(AgentStarted(at, reply.number))
        if reply.watch is not None:
            self._tell(reply.watch.stopped(at, reply.speech.first_audio_at))

    def _drained(self, at: float, heard: Heard) -> None:
        reply = self._reply
        if reply is None or heard.generation != reply.speech.generation:
            return
        self._close(reply, heard.samples)
        self._tell(reply.spoke(at, heard.samples, cut=False, exact=heard.exact))
        reply.drained.set()

    def _line_ended(self, at: float) -> None:
        reply = self._reply
        if reply is not None:
            samples = reply.speech.played(at) if reply.started_at is not None else 0
            self._dialogue.cut(reply.speech.told(samples).rounds)
            if reply.started_at is not None:
                self._tell(reply.spoke(at, samples, cut=True, exact=False))
        self._over.set()

    # Replies

    def _begin(
        self,
        number: int,
        generation: int,
        compose: Callable[[Reply], Awaitable[None]],
        watch: Stopwatch | None = None,
    ) -> None:
        def saying(text: str, plays_at: float) -> None:
            self._tell(AgentSaying(self._clock(), text, plays_at, number))

        speech = Speech(
            self._line,
            generation,
            self._engines.tts,
            self._manner.speaking,
            clock=self._clock,
            saying=saying,
        )
        self._cancel()
        reply = self._reply = Reply(number, speech, watch)
        self._dialogue.open()
        reply.task = self._group.create_task(self._make(reply, compose), name="reply")

    async def _make(self, reply: Reply, compose: Callable[[Reply], Awaitable[None]]) -> None:
        """Compose and speak a reply at once; then see it out."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._speak(reply), name="speak")
            try:
                await compose(reply)
            except Exception as error:
                log.exception("a reply could not be made")
                self._mind.failed("model", error)
            reply.speech.close()
        if reply.speech.first_audio_at is None:
            self._close(reply, 0)
            self._hearing.reply_nothing(reply.number)
        elif reply.leaving:
            await self._until_drained(reply)
        if reply.leaving:
            self._leave()

    async def _speak(self, reply: Reply) -> None:
        try:
            await reply.speech.run()
        except (Exception, asyncio.CancelledError) as error:
            if is_cancelled():
                raise
            reply.broken = True
            self._mind.failed("synthesis", error)
            if reply.speech.first_audio_at is not None:
                self._line.finish(reply.speech.generation)

    async def _until_drained(self, reply: Reply) -> None:
        """Wait until a goodbye has been heard; not for ever, should nobody say so."""
        left = max(0.0, reply.speech.played_until - self._clock())
        try:
            async with asyncio.timeout(left + DRAIN_SECONDS):
                await reply.drained.wait()
        except TimeoutError:
            log.warning("nobody said that the goodbye was played; hanging up")

    def _close(self, reply: Reply, samples: int) -> None:
        """The reply is over, and was not cut off."""
        if reply.broken:
            self._dialogue.cut(reply.speech.told(samples).rounds)
        else:
            self._dialogue.close()
        self._forget_turn()
        if self._reply is reply:
            self._reply = None

    def _cancel(self) -> None:
        reply, self._reply = self._reply, None
        if reply is not None and reply.task is not None:
            reply.task.cancel()

    def _leave(self) -> None:
        if not self._over.is_set():
            self._ended = "agent"
            self._over.set()
            if self._hangup is not None:
                self._hangup()

    # What replies are made of

    async def _greet(self, reply: Reply) -> None:
        greeting = self._manner.phrases.greeting
        if greeting is None:
            await self._mind.answer(reply)
        else:
            self._mind.say(reply, greeting)

    async def _prompt(self, reply: Reply, count: int) -> None:
        """The caller says nothing."""
        phrases = self._manner.phrases
        if phrases.no_input is None:
            await self._mind.answer(reply)
        elif count <= self._manner.limits.silences:
            self._mind.say(reply, phrases.no_input)
        else:
            reply.leaving = True
            self._mind.say(reply, phrases.farewell)

    async def _answer(self, reply: Reply, turn: TurnEnded) -> None:
        transcript = await self._understood(turn)
        if reply.watch is not None:
            reply.watch.recognised(self._clock())
        keys = self._manner.limits.keys_text.replace("{keys}", self._keys) if self._keys else ""
        text = " ".join(filter(None, (transcript.text, keys)))
        now = self._clock()
        self._tell(
            CallerTurn(
                now,
                turn.turn,
                text,
                transcript.confidence,
                transcript.audio_ms,
                turn.speech_started_at,
                turn.speech_ended_at,
                self._keys,
            )
        )
        if not text:
            await self._misheard(reply, turn)
            return
        self._interrupted = None
        await self._ask(reply, text, transcript.confidence if transcript.text else None)

    async def _ask(self, reply: Reply, text: str, confidence: float | None) -> None:
        self._dialogue.hear(text, confidence)
        reply.answers = True
        await self._mind.answer(reply)

    async def _understood(self, turn: TurnEnded) -> Transcript:
        """The turn's text, of all its parts; waiting for it may be cancelled safely."""
        parts = list(self._parts)
        if parts:
            await asyncio.wait(parts)
        done = [part.result() for part in parts]
        heard = [one for one in done if one.text]
        return Transcript(
            " ".join(one.text for one in heard),
            min((one.confidence for one in heard), default=1.0 if turn.keys else 0.0),
            True,
            sum(one.audio_ms for one in done),
        )

    async def _misheard(self, reply: Reply, turn: TurnEnded) -> None:
        """Something was said, or sounded as if; nothing was understood."""
        limits, phrases = self._manner.limits, self._manner.phrases
        cut, self._interrupted = self._interrupted, None
        if cut is not None and cut.unheard.strip() and limits.resume:
            self._dialogue.resume()
            reply.leaving = cut.leaving
            self._mind.say(reply, cut.unheard)
        elif (turn.speech_ended_at - turn.speech_started_at) * 1000 < limits.sound_ms:
            return
        elif phrases.unclear is not None:
            self._mind.say(reply, phrases.unclear)
        else:
            await self._ask(reply, "", 0.0)

    def _forget_turn(self) -> None:
        """The caller's turn has been answered."""
        self._parts.clear()
        self._keys = ""

    def _expected(self) -> Grammar | None:
        """What the caller may be expected to say."""
        try:
            return self._engines.llm.expects(self._dialogue.messages)
        except Exception as error:  # noqa: BLE001 - an engine is anybody's code
            self._mind.failed("model", error)
            return None
