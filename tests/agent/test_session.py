import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from trunkline.agent.agent import Agent, Host
from trunkline.agent.errors import NoEngineError
from trunkline.agent.events import (
    AgentEvent,
    AgentFailed,
    AgentSaying,
    AgentSpoke,
    AgentStarted,
    BargeIn,
    CallerSilent,
    CallerStarted,
    CallerTurn,
    FalseStart,
    KeyPressed,
    ToolCalled,
    TurnLatency,
)
from trunkline.agent.manners import Limits, Phrases
from trunkline.agent.session import Conversation
from trunkline.agent.testing import MemoryLine, run_virtual, silence, tone
from trunkline.agent.turns import TurnSettings
from trunkline.speech import (
    Finished,
    Grammar,
    Message,
    ModelFailed,
    Pcm,
    Piece,
    RecognitionFailed,
    SynthesisFailed,
    TextDelta,
    ToolCall,
    ToolSpec,
    Transcript,
)

# Engines that do as they are told


class Voice:
    """Each letter is 50 ms of tone; a word is a chunk, ready at once."""

    name = "letters"
    rate_hz = 8000

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.finished: list[str] = []
        self.closed: list[str] = []
        self.delay = 0.0
        self.fails: dict[str, Exception] = {}

    async def speak(self, text: str) -> AsyncIterator[Pcm]:
        self.begun.append(text)
        try:
            for word in text.split():
                await asyncio.sleep(self.delay)
                if text in self.fails:
                    raise self.fails[text]
                yield tone(50 * len(word))
            self.finished.append(text)
        finally:
            self.closed.append(text)

    async def aclose(self) -> None:
        pass


class Ears:
    """Understands what a test put into ``texts``, whatever is said."""

    name = "prepared"

    def __init__(self) -> None:
        self.texts: list[str | Exception] = []
        self.delay = 0.0
        self.utterances: list[list[Pcm]] = []
        self.grammars: list[Grammar | None] = []
        self.closed = 0

    def open(self, rate_hz: int) -> "Ears":
        return self

    def start(self, grammar: Grammar | None) -> None:
        self.grammars.append(grammar)
        self.utterances.append([])

    def feed(self, pcm: Pcm) -> None:
        self.utterances[-1].append(pcm)

    async def finish(self) -> Transcript:
        audio_ms = sum(map(len, self.utterances[-1])) // 8
        await asyncio.sleep(self.delay)
        text = self.texts.pop(0)
        if isinstance(text, BaseException):
            raise text
        return Transcript(text, 0.9 if text else 0.0, True, audio_ms)

    def cancel(self) -> None:
        pass

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        pass


class Model:
    """Says what a test put into ``replies``: text, tool calls, pauses, errors."""

    name = "prepared"

    def __init__(self) -> None:
        self.replies: list[Sequence[str | ToolCall | float | Exception]] = []
        self.asked: list[list[Message]] = []
        self.tools: list[Sequence[ToolSpec]] = []
        self.closed = 0
        self.completed = 0

    async def reply(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> AsyncIterator[Piece]:
        self.asked.append(list(messages))
        self.tools.append(tools)
        try:
            for part in self.replies.pop(0):
                if isinstance(part, Exception):
                    raise part
                if isinstance(part, float):
                    await asyncio.sleep(part)
                elif isinstance(part, ToolCall):
                    yield part
                else:
                    for word in part.split(" "):
                        yield TextDelta(word + " ")
            yield Finished("stop")
            self.completed += 1
        finally:
            self.closed += 1

    def expects(self, messages: Sequence[Message]) -> Grammar | None:
        return Grammar(f"#JSGF after {len(messages)}", "g")

    async def aclose(self) -> None:
        pass


@dataclass
class Stage:
    """An agent, its engines, its line and what was observed."""

    model: Model = field(default_factory=Model)
    ears: Ears = field(default_factory=Ears)
    voice: Voice = field(default_factory=Voice)
    events: list[AgentEvent] = field(default_factory=list)
    hung_up: list[float] = field(default_factory=list)
    pressed: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    line: MemoryLine = field(default_factory=MemoryLine)

    def play(
        self,
        story: Callable[["Stage"], Awaitable[None]],
        *,
        ends: bool = True,
        hangs_up: bool = True,
        **options: Any,
    ) -> Conversation:
        """Run a story against an agent; afterwards nothing is left running."""
        return run_virtual(self._play(story, ends, hangs_up, options))

    async def _play(
        self,
        story: Callable[["Stage"], Awaitable[None]],
        ends: bool,
        hangs_up: bool,
        options: dict[str, Any],
    ) -> Conversation:
        loop = asyncio.get_running_loop()
        self.line = MemoryLine(clock=loop.time)

        def hangup() -> None:
            self.hung_up.append(loop.time())
            self.line.end()

        host = Host(
            self.model,
            self.ears,
            self.voice,
            hangup if hangs_up else None,
            self.pressed.append,
            [self.events.append],
        )
        agent = Agent(**({"instructions": "Be brief.", "greeting": "Hello there."} | options))
        async with self.line:
            talk = loop.create_task(agent.talk(self.line, host, clock=loop.time))
            try:
                await story(self)
                if ends:
                    self.line.end()
                conversation = await asyncio.wait_for(talk, 60)
            finally:
                talk.cancel()
            await asyncio.sleep(0.04)
            assert self.line.listening == ()
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert left == [], "no task outlives a conversation"
        assert self.ears.closed == 1
        assert len(self.voice.closed) == len(self.voice.begun)
        assert self.model.closed == len(self.model.asked)
        return conversation

    def of(self, *kinds: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kinds)]

    async def until(self, kind: type, count: int = 1) -> Any:
        """Wait for an event; virtual time makes this instant."""
        for _ in range(3000):
            if len(self.of(kind)) >= count:
                return self.of(kind)[count - 1]
            await asyncio.sleep(0.02)
        raise AssertionError(f"no {kind.__name__} in a minute; {self.events}")

    async def turn(self, text: str | Exception, ms: int = 600, pause_ms: int = 700) -> None:
        """The caller says something and waits for the end of the turn."""
        self.ears.texts.append(text)
        await self.line.say(tone(ms))
        await self.line.say(silence(pause_ms))


def said(conversation: Conversation) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in conversation.messages]


def plain(text: str) -> str:
    return " ".join(text.split())


def seconds_of(stage: Stage, generation: int) -> float:
    return len(stage.line.played().get(generation, ())) / 8000


# Greeting and turns


def test_the_greeting_is_spoken_first_and_kept() -> None:
    stage = Stage()

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)

    conversation = stage.play(story)
    assert said(conversation) == [("system", "Be brief."), ("assistant", "Hello there.")]
    (spoke,) = stage.of(AgentSpoke)
    assert (spoke.heard, spoke.unheard, spoke.interrupted) == ("Hello there.", "", False)
    assert stage.voice.begun == ["Hello there."]
    assert conversation.ended == "line"
    assert conversation.turns == 0
    assert stage.of(TurnLatency) == []


def test_the_model_greets_where_there_is_no_greeting() -> None:
    stage = Stage()
    stage.model.replies = [["Welcome to the shop."]]

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)

    conversation = stage.play(story, greeting=None)
    assert said(conversation)[1:] == [("assistant", "Welcome to the shop.")]
    assert [message.role for message in stage.model.asked[0]] == ["system"]


def test_an_empty_greeting_lets_the_caller_begin() -> None:
    stage = Stage()
    stage.model.replies = [["Hello."]]

    async def story(stage: Stage) -> None:
        await asyncio.sleep(2)
        assert stage.events == []
        await stage.turn("good morning")
        await stage.until(AgentSpoke)

    conversation = stage.play(story, greeting="")
    assert said(conversation)[1:] == [("user", "good morning"), ("assistant", "Hello.")]


def test_a_turn_is_heard_understood_answered_and_measured() -> None:
    stage = Stage()
    stage.ears.delay = 0.05
    stage.model.replies = [[0.1, "We open at nine. Come early."]]

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("when do you open")
        await stage.until(AgentSpoke, 2)

    conversation = stage.play(story)
    assert said(conversation)[2:] == [
        ("user", "when do you open"),
        ("assistant", "We open at nine. Come early."),
    ]
    assert conversation.turns == 1
    assert stage.model.asked[0][-1].confidence == 0.9
    (started,), (turn,) = stage.of(CallerStarted), stage.of(CallerTurn)
    assert (turn.turn, turn.text, turn.confidence) == (1, "when do you open", 0.9)
    assert turn.speech_started_at == pytest.approx(started.at)
    assert turn.speech_ended_at - turn.speech_started_at == pytest.approx(0.6, abs=0.04)
    assert turn.audio_ms == pytest.approx(300 + 600 + 600, abs=45)
    assert len(stage.ears.grammars) == 1
    assert stage.ears.grammars[0] == Grammar("#JSGF after 2", "g")
    (latency,) = stage.of(TurnLatency)
    assert latency.endpointing_ms == pytest.approx(600, abs=25)
    assert latency.recognition_ms - latency.endpointing_ms == pytest.approx(50, abs=1)
    assert latency.first_token_ms - latency.recognition_ms == pytest.approx(100, abs=1)
    assert latency.first_audio_ms - latency.first_token_ms == pytest.approx(0, abs=1)
    assert 0 <= latency.first_packet_ms - latency.first_audio_ms <= 21
    assert stage.of(AgentStarted)[1].at == latency.at


def test_the_utterance_the_recogniser_gets_is_one_piece_of_the_callers_audio() -> None:
    stage = Stage()
    stage.model.replies = [["Yes."]]
    ramp = tone(900, hz=217.0)

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        stage.ears.texts.append("x")
        await stage.line.say(ramp)
        await stage.until(AgentSpoke, 2)

    stage.play(story)
    audio = np.concatenate(stage.ears.utterances[0])
    first = int(np.flatnonzero(audio)[0])
    assert np.array_equal(audio[first - 1 : first - 1 + len(ramp)], ramp)
    assert 2200 <= first <= 2700  # the pre-roll
    assert max(map(len, stage.ears.utterances[0][1:])) <= 8 * 100 + 160


def test_sentences_are_synthesised_in_order_while_the_model_still_writes() -> None:
    stage = Stage()
    stage.model.replies = [["One is here. ", 1.0, "Two is there. ", 1.0, "Three."]]

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("count")
        await stage.until(AgentSaying, 2)
        assert stage.model.completed == 0
        await stage.until(AgentSpoke, 2)

    stage.play(story)
    sayings = stage.of(AgentSaying)[1:]
    assert [saying.text.strip() for saying in sayings] == [
        "One is here.",
        "Two is there.",
        "Three.",
    ]
    assert all(saying.plays_at >= saying.at for saying in sayings)
    assert plain(stage.of(AgentSpoke)[1].heard) == "One is here. Two is there. Three."


def test_the_next_sentence_is_synthesised_while_one_is_played_but_not_all_of_them() -> None:
    stage = Stage()
    sentence = "This sentence takes a good second and a half."
    stage.model.replies = [[" ".join([sentence] * 8)]]

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("go on")
        await stage.until(AgentStarted, 2)
        await asyncio.sleep(0.5)
        assert 2 <= len(stage.voice.begun) - 1 <= 3
        await stage.until(AgentSpoke, 2)

    stage.play(story)
    assert len(stage.voice.finished) == 9
    spoken = [sent.at for sent in stage.line.sent if sent.generation == 1]
    assert max(np.diff(spoken)) < 0.021, "no gap between sentences"


# Barge-in


def test_an_interrupted_reply_keeps_what_was_heard_and_stops_everything() -> None:
    stage = Stage()
    stage.model.replies = [
        ["We open at nine in the morning. ", 0.2, "And we close at six. ", 30.0, "Never said."],
        ["On Sunday we are closed."],
    ]

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("when do you open")
        await stage.until(AgentStarted, 2)
        await asyncio.sleep(0.6)
        await stage.turn("and on sunday")
        await stage.until(AgentSpoke, 3)

    conversation = stage.play(story)
    (barge,) = stage.of(BargeIn)
    spoke = stage.of(AgentSpoke)[1]
    assert spoke.interrupted
    assert not spoke.exact
    # 50 ms a letter: interrupted 240 ms after the caller spoke, less the far buffer's 60.
    assert spoke.heard.rstrip() in ("We open at nine", "We open at nine in")
    whole = "We open at nine in the morning. And we close at six."
    assert plain(spoke.heard + spoke.unheard) == whole
    assert stage.model.completed == 1, "the interrupted model was closed, not read to its end"
    assert said(conversation)[2:] == [
        ("user", "when do you open"),
        ("assistant", spoke.heard.rstrip() + "—"),
        ("user", "and on sunday"),
        ("assistant", "On Sunday we are closed."),
    ]
    ((cleared_at, heard),) = stage.line.cleared
    assert barge.at == cleared_at
    assert not [
        sent
        for sent in stage.line.sent
        if sent.at > cleared_at and sent.generation == heard.generation
    ]
    assert stage.of(CallerTurn)[1].turn == 2


def test_barge_in_clears_the_line_in_the_tick_in_which_speech_is_long_enough() -> None:
    stage = Stage()

    async def story(stage: Stage) -> None:
        await stage.until(AgentStarted)
        began = stage.line.clock()
        stage.ears.texts.append("stop")
        stage.model.replies = [["Yes."]]
        await stage.line.say(tone(400))
        ((cleared_at, _),) = stage.line.cleared
        assert 0.18 <= cleared_at - began + 1e-6 <= 0.26  # the first frame holds 20 ms
        await stage.until(AgentSpoke, 2)

    stage.play(
        story,
        greeting="This is a rather long greeting that nobody wants to hear to its end.",
        turns=TurnSettings(barge_in_ms=200),
    )


def test_the_synthesiser_is_closed_in_the_middle_of_a_sentence() -> None:
    stage = Stage()
    stage.voice.delay = 0.3

    async def story(stage: Stage) -> None:
        await stage.until(AgentStarted)
        await asyncio.sleep(0.4)
        stage.model.replies = [["Yes."]]
        await stage.turn("stop")
        await stage.until(AgentSpoke, 2)

    greeting = "Every word of this takes the voice three tenths of a second to make"
    stage.play(story, greeting=greeting)
    assert stage.voice.begun == [greeting, "Yes."]
    assert stage.voice.finished == ["Yes."]
    assert stage.voice.closed == [greeting, "Yes."]


def test_nothing_of_an_interrupted_greeting_that_was_not_heard_is_kept() -> None:
    stage = Stage()
    stage.model.replies = [["Yes."]]

    async def story(stage: Stage) -> None:
        await stage.turn("hello hello", ms=700)
        await stage.until(AgentSpoke, 1)

    stage.voice.delay = 0.5
    conversation = stage.play(story, greeting="Welcome everybody.")
    assert said(conversation)[1:] == [("user", "hello hello"), ("assistant", "Yes.")]
    assert stage.of(BargeIn) == []


def test_a_cough_does_not_stop_the_agent() -> None:
    stage = Stage()

    async def story(stage: Stage) -> None:
        await stage.until(AgentStarted)
        await stage.line.say(tone(120))
        await stage.until(AgentSpoke)

    stage.play(story, greeting="This goes on whatever sounds there are.")
    (false_start,) = stage.of(FalseStart)
    assert false_start.over_agent
    assert stage.of(AgentSpoke)[0].unheard == ""
    assert stage.line.cleared == []


def test_a_reply_interrupted_by_mistake_is_taken_up_again() -> None:
    stage = Stage()
    greeting = "Our opening hours are nine to five on every single weekday."

    async def story(stage: Stage) -> None:
        await stage.until(AgentStarted)
        await asyncio.sleep(0.8)
        await stage.turn("", ms=400)
        await stage.until(AgentSpoke, 2)

    conversation = stage.play(story, greeting=greeting)
    first, second = stage.of(AgentSpoke)
    assert first.interrupted
    assert not second.interrupted
    assert first.heard + second.heard == greeting
    assert said(conversation)[1:] == [("assistant", greeting)]
    assert stage.model.asked == []


def test_a_reply_taken_up_again_and_cut_off_again_keeps_both_parts() -> None:
    stage = Stage()
    greeting = "Our opening hours are nine to five on every single weekday but never at night."
    stage.model.replies = [["Fine."]]

    async def story(stage: Stage) -> None:
        await stage.until(AgentStarted)
        await asyncio.sleep(0.8)
        await stage.turn("", ms=400)
        await stage.until(AgentStarted, 2)
        await asyncio.sleep(0.6)
        await stage.turn("enough")
        await stage.until(AgentSpoke, 3)

    conversation = stage.play(story, greeting=greeting)
    first, second = stage.of(AgentSpoke)[:2]
    assert second.interrupted
    assert second.heard.strip()
    assert said(conversation)[1:] == [
        ("assistant", (first.heard + second.heard).rstrip() + "—"),
        ("user", "enough"),
        ("assistant", "Fine."),
    ]


def test_resuming_can_be_switched_off() -> None:
    stage = Stage()

    async def story(stage: Stage) -> None:
        await stage.until(AgentStarted)
        await asyncio.sleep(0.8)
        await stage.turn("", ms=400)
        await asyncio.sleep(2)

    stage.play(story, greeting="Our opening hours are nine to five.", limits=Limits(resume=False))
    assert len(stage.of(AgentSpoke)) == 1


# The caller goes on


def test_a_caller_who_goes_on_while_the_model_thinks_is_answered_once_to_all_of_it() -> None:
    stage = Stage()
    stage.model.replies = [[2.0, "Too early."], ["A repair, on Monday."]]

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("i want a repair")
        await asyncio.sleep(0.3)
        await stage.turn("on monday")
        await stage.until(AgentSpoke, 2)

    conversation = stage.play(story)
    assert said(conversation)[2:] == [
        ("user", "i want a repair on monday"),
        ("assistant", "A repair, on Monday."),
    ]
    assert [turn.turn for turn in stage.of(CallerTurn)] == [1, 1]
    assert stage.of(CallerTurn)[1].text == "i want a repair on monday"
    assert stage.of(BargeIn) == []
    assert "Too early." not in stage.voice.begun
    assert stage.model.completed == 1


def test_a_caller_who_goes_on_before_the_text_is_there_loses_nothing() -> None:
    stage = Stage()
    stage.ears.delay = 1.0
    stage.model.replies = [["Good."]]

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("first part", pause_ms=620)
        await stage.turn("second part")
        await stage.until(AgentSpoke, 2)

    conversation = stage.play(story)
    assert said(conversation)[2:] == [("user", "first part second part"), ("assistant", "Good.")]
    second = np.concatenate(stage.ears.utterances[1])
    assert np.count_nonzero(np.abs(second) > 1000) > 3000, "nothing was lost while waiting"


def test_a_tool_that_was_called_stays_called_when_the_caller_goes_on() -> None:
    stage = Stage()
    call = ToolCall("c1", "book", '{"day": "monday"}')
    stage.model.replies = [[call], [2.0, "Never said."], ["It is booked."]]

    async def book(day: str) -> str:
        """Book a day."""
        return "booked " + day

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("book monday")
        await stage.until(ToolCalled)
        await stage.turn("please")
        await stage.until(AgentSpoke, 2)

    conversation = stage.play(story, tools=[book])
    assert [message.role for message in conversation.messages[2:]] == [
        "user",
        "assistant",
        "tool",
        "user",
        "assistant",
    ]
    assert conversation.messages[5].content == "please"


# Failures


def test_a_model_that_fails_before_a_word_is_asked_again() -> None:
    stage = Stage()
    stage.model.replies = [[ModelFailed("no route")], ["Here I am."]]

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("hello")
        await stage.until(AgentSpoke, 2)

    conversation = stage.play(story)
    assert said(conversation)[-1] == ("assistant", "Here I am.")
    (failed,) = stage.of(AgentFailed)
    assert (failed.stage, failed.message) == ("model", "ModelFailed: no route")


def test_a_model_that_keeps_failing_is_apologised_for() -> None:
    stage = Stage()
    stage.model.replies = [[ModelFailed("a")], [ModelFailed("b")], ["Better now."]]

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("hello")
        await stage.until(AgentSpoke, 2)
        await stage.turn("again")
        await stage.until(AgentSpoke, 3)

    conversation = stage.play(story, phrases=Phrases(failed="Sorry about that."))
    assert said(conversation)[3:] == [
        ("assistant", "Sorry about that."),
        ("user", "again"),
        ("assistant", "Better now."),
    ]


def test_a_model_that_fails_in_mid_sentence_is_not_asked_again() -> None:
    stage = Stage()
    stage.model.replies = [["We open at", RuntimeError("cut off")]]

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("hello")
        await stage.until(AgentSpoke, 2)

    conversation = stage.play(story, phrases=Phrases(failed="Sorry."))
    assert said(conversation)[-1] == ("assistant", "We open at  Sorry.")
    assert len(stage.model.asked) == 1


def test_a_model_that_stalls_is_given_up() -> None:
    stage = Stage()
    stage.model.replies = [[60.0, "late"], ["Now."]]

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("hello")
        began = stage.line.clock()
        await stage.until(AgentSpoke, 2)
        assert 4 < stage.line.clock() - began < 8

    conversation = stage.play(story, limits=Limits(model_stall_seconds=5))
    assert said(conversation)[-1] == ("assistant", "Now.")
    assert "wrote nothing for 5 s" in stage.of(AgentFailed)[0].message


def test_a_recogniser_that_fails_is_a_turn_nobody_understood() -> None:
    stage = Stage()

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn(RecognitionFailed("crashed"))
        await stage.until(AgentSpoke, 2)

    conversation = stage.play(story)
    assert said(conversation)[-1] == ("assistant", "Sorry, I did not catch that.")
    assert stage.of(AgentFailed)[0].stage == "recognition"
    assert stage.of(CallerTurn)[0].text == ""


def test_a_recogniser_that_hangs_is_not_waited_for() -> None:
    stage = Stage()
    stage.ears.delay = 100.0

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("never")
        await stage.until(AgentSpoke, 2)

    stage.play(story, limits=Limits(recognition_seconds=2))
    assert stage.of(AgentFailed)[0].message == "TimeoutError"


def test_a_short_sound_that_means_nothing_is_passed_over() -> None:
    stage = Stage()
    stage.model.replies = [["Yes."]]

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("", ms=200)
        await asyncio.sleep(1)
        assert len(stage.of(AgentSpoke)) == 1
        await stage.turn("hello")
        await stage.until(AgentSpoke, 2)

    conversation = stage.play(story)
    assert said(conversation)[2:] == [("user", "hello"), ("assistant", "Yes.")]


def test_the_model_can_be_left_to_deal_with_what_was_not_understood() -> None:
    stage = Stage()
    stage.model.replies = [["Pardon?"]]

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("")
        await stage.until(AgentSpoke, 2)

    conversation = stage.play(story, phrases=Phrases(unclear=None))
    assert said(conversation)[2:] == [("user", ""), ("assistant", "Pardon?")]
    assert conversation.messages[2].confidence == 0.0


def test_a_synthesiser_that_fails_ends_the_reply_with_what_was_said() -> None:
    stage = Stage()
    stage.model.replies = [["First sentence. Second sentence."], ["Fine."]]
    stage.voice.fails["Second sentence."] = SynthesisFailed("no")

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("hello")
        await stage.until(AgentSpoke, 2)
        await stage.turn("and now")
        await stage.until(AgentSpoke, 3)

    conversation = stage.play(story)
    assert stage.of(AgentFailed)[0].stage == "synthesis"
    spoke = stage.of(AgentSpoke)[1]
    assert (spoke.heard, spoke.unheard.strip()) == ("First sentence.", "Second sentence.")
    assert said(conversation)[3] == ("assistant", "First sentence.—")


def test_a_synthesiser_that_says_nothing_at_all_leaves_the_call_alive() -> None:
    stage = Stage()
    stage.voice.fails["Hello there."] = SynthesisFailed("no")
    stage.model.replies = [["Yes."]]

    async def story(stage: Stage) -> None:
        await stage.until(AgentFailed)
        await stage.turn("anybody")
        await stage.until(AgentSpoke)

    conversation = stage.play(story)
    assert said(conversation)[1:] == [("user", "anybody"), ("assistant", "Yes.")]


def test_a_synthesiser_that_stalls_is_given_up() -> None:
    stage = Stage()
    stage.voice.delay = 100.0

    async def story(stage: Stage) -> None:
        failed = await stage.until(AgentFailed)
        assert "gave no audio for 5.0 s" in failed.message

    stage.play(story)


def test_an_observer_that_fails_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()

    def broken(event: AgentEvent) -> None:
        raise ValueError("observer")

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)

    stage.play(story, observers=[broken])
    assert "an observer failed on AgentStarted" in caplog.text


# Tools


def test_a_tool_is_called_and_its_result_answered() -> None:
    stage = Stage()
    call = ToolCall("c1", "opening_hours", '{"day": "sunday"}')
    stage.model.replies = [["Let me look. ", call], ["We are closed on Sunday."]]

    async def opening_hours(day: str) -> str:
        """When the shop is open."""
        await asyncio.sleep(1.0)
        return f"closed on {day}"

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("are you open on sunday")
        await stage.until(AgentStarted, 2)
        assert stage.of(ToolCalled) == [], "what comes before the tool is said meanwhile"
        await stage.until(AgentSpoke, 2)

    conversation = stage.play(story, tools=[opening_hours])
    (tool,) = stage.of(ToolCalled)
    assert (tool.name, tool.arguments) == ("opening_hours", '{"day": "sunday"}')
    assert "closed on sunday" in tool.result
    assert tool.seconds == pytest.approx(1.0, abs=0.01)
    assert [message.role for message in conversation.messages[2:]] == [
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert conversation.messages[3].tool_calls == (call,)
    assert conversation.messages[4].tool_call_id == "c1"
    assert stage.model.asked[1] == list(conversation.messages[:5])
    assert {spec.name for spec in stage.model.tools[0]} == {
        "opening_hours",
        "hang_up",
        "send_dtmf",
    }
    (spoke,) = stage.of(AgentSpoke)[1:]
    assert plain(spoke.heard) == "Let me look. We are closed on Sunday."


def test_a_tool_that_raises_is_told_to_the_model() -> None:
    stage = Stage()
    stage.model.replies = [[ToolCall("c1", "broken", "{}")], ["That did not work."]]

    async def broken() -> str:
        """Break."""
        raise ValueError("secret")

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("do it")
        await stage.until(AgentSpoke, 2)

    conversation = stage.play(story, tools=[broken])
    assert said(conversation)[-1] == ("assistant", "That did not work.")
    assert "secret" not in stage.of(ToolCalled)[0].result


def test_a_model_that_only_calls_tools_must_answer_in_the_end() -> None:
    stage = Stage()
    stage.model.replies = [[ToolCall(f"c{n}", "again", "{}")] for n in range(3)]
    stage.model.replies[2] = ["Enough."]

    async def again() -> str:
        """Do it again."""
        return "again"

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("loop")
        await stage.until(AgentSpoke, 2)

    conversation = stage.play(story, tools=[again], limits=Limits(tool_rounds=2))
    assert said(conversation)[-1] == ("assistant", "Enough.")
    assert stage.model.tools[2] == ()


def test_a_tool_cut_off_by_the_caller_has_a_result_that_says_so() -> None:
    stage = Stage()
    call = ToolCall("c1", "slow", "{}")
    stage.model.replies = [["One moment please, I am looking it up. ", call], ["Stopped."]]
    cancelled = []

    async def slow() -> str:
        """Take long."""
        try:
            await asyncio.sleep(8)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        return "done"

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("look it up")
        await stage.until(AgentStarted, 2)
        await asyncio.sleep(0.5)
        await stage.turn("stop that")
        await stage.until(AgentSpoke, 3)

    conversation = stage.play(story, tools=[slow])
    assert cancelled == [True]
    roles = [message.role for message in conversation.messages]
    assert roles[2:] == ["user", "assistant", "tool", "user", "assistant"]
    assert "interrupted" in conversation.messages[4].content
    assert conversation.messages[3].content.endswith("—")


# Hanging up


def test_the_agent_hangs_up_when_its_goodbye_has_been_heard() -> None:
    stage = Stage()
    stage.model.replies = [["Thank you, goodbye.", ToolCall("c1", "hang_up", "{}")]]

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("that is all")

    conversation = stage.play(story, ends=False)
    assert conversation.ended == "agent"
    assert len(stage.hung_up) == 1
    assert len(stage.model.asked) == 1
    spoke = stage.of(AgentSpoke)[1]
    assert (spoke.heard.strip(), spoke.interrupted) == ("Thank you, goodbye.", False)
    assert stage.hung_up[0] >= stage.line.sent[-1].at + 0.06
    assert seconds_of(stage, 1) == pytest.approx(17 * 0.05, abs=0.05)


def test_a_model_that_hangs_up_without_a_word_may_still_say_goodbye() -> None:
    stage = Stage()
    stage.model.replies = [[ToolCall("c1", "hang_up", "{}")], ["Goodbye."]]

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("that is all")

    conversation = stage.play(story, ends=False)
    assert said(conversation)[-1] == ("assistant", "Goodbye.")
    assert conversation.ended == "agent"


def test_a_caller_who_interrupts_the_goodbye_is_not_hung_up_on() -> None:
    stage = Stage()
    stage.model.replies = [
        ["Thank you very much for calling us, goodbye.", ToolCall("c1", "hang_up", "{}")],
        ["Of course."],
    ]

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("that is all")
        await stage.until(AgentStarted, 2)
        await asyncio.sleep(0.4)
        await stage.turn("wait one more thing")
        await stage.until(AgentSpoke, 3)
        await asyncio.sleep(5)

    conversation = stage.play(story)
    assert conversation.ended == "line"
    assert stage.hung_up == []


def test_a_goodbye_cut_off_by_a_cough_still_ends_the_call() -> None:
    stage = Stage()
    stage.model.replies = [
        ["Thank you very much for calling us, goodbye.", ToolCall("c1", "hang_up", "{}")],
    ]

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("that is all")
        await stage.until(AgentStarted, 2)
        await asyncio.sleep(0.4)
        await stage.turn("", ms=400)

    conversation = stage.play(story, ends=False)
    assert conversation.ended == "agent"


def test_without_a_way_to_hang_up_there_is_no_such_tool() -> None:
    stage = Stage()
    stage.model.replies = [["Hello."]]

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)

    stage.play(story, greeting=None, hangs_up=False)
    assert [spec.name for spec in stage.model.tools[0]] == ["send_dtmf"]


def test_keys_can_be_pressed_by_the_model() -> None:
    stage = Stage()
    stage.model.replies = [[ToolCall("c1", "send_dtmf", '{"digits": "12#"}')], ["Done."]]

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("press one two")
        await stage.until(AgentSpoke, 2)

    stage.play(story)
    assert stage.pressed == ["12#"]


# Silence and keys


def test_a_silent_caller_is_asked_and_then_hung_up_on() -> None:
    stage = Stage()

    async def story(stage: Stage) -> None:
        await stage.until(CallerSilent, 3)

    conversation = stage.play(
        story,
        ends=False,
        turns=TurnSettings(idle_ms=5000),
        phrases=Phrases(no_input="Hello?", farewell="Goodbye."),
    )
    assert said(conversation)[1:] == [
        ("assistant", "Hello there."),
        ("assistant", "Hello?"),
        ("assistant", "Hello?"),
        ("assistant", "Goodbye."),
    ]
    assert conversation.ended == "agent"
    first, second = stage.of(CallerSilent)[:2]
    assert first.at == pytest.approx(stage.of(AgentSpoke)[0].at + 5, abs=0.05)
    assert second.at == pytest.approx(stage.of(AgentSpoke)[1].at + 5, abs=0.05)


def test_the_model_can_be_asked_what_to_say_to_a_silent_caller() -> None:
    stage = Stage()
    stage.model.replies = [["Take your time."]]

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke, 2)

    stage.play(story, turns=TurnSettings(idle_ms=2000), phrases=Phrases(no_input=None))
    assert stage.model.asked[0][-1].role == "assistant"


def test_a_number_pressed_is_a_turn() -> None:
    stage = Stage()
    stage.model.replies = [["Account four two."]]

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        stage.line.press("4")
        await asyncio.sleep(0.5)
        stage.line.press("2")
        await stage.until(AgentSpoke, 2)

    conversation = stage.play(story)
    assert said(conversation)[2:] == [
        ("user", "[keys pressed: 42]"),
        ("assistant", "Account four two."),
    ]
    assert [pressed.digit for pressed in stage.of(KeyPressed)] == ["4", "2"]
    (turn,) = stage.of(CallerTurn)
    assert turn.keys == "42"


def test_a_hash_ends_a_number_at_once_and_interrupts() -> None:
    stage = Stage()
    stage.model.replies = [["Yes."]]

    async def story(stage: Stage) -> None:
        await stage.until(AgentStarted)
        await asyncio.sleep(0.3)
        stage.line.press("1")
        stage.line.press("#")
        await asyncio.sleep(0.02)
        assert len(stage.line.cleared) == 1
        await stage.until(AgentSpoke, 2)

    stage.play(story, greeting="Press the number of your account, followed by the hash key.")
    assert stage.of(AgentSpoke)[0].interrupted
    assert stage.model.asked[0][-1].content == "[keys pressed: 1#]"


def test_keys_can_be_ignored() -> None:
    stage = Stage()

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        stage.line.press("4")
        await asyncio.sleep(3)

    stage.play(story, limits=Limits(keys=False))
    assert len(stage.of(KeyPressed)) == 1
    assert stage.of(CallerTurn) == []


# Ends


@pytest.mark.parametrize("after_ms", [0, 20, 100, 300, 700, 1000, 1300, 1600, 1760, 2000, 2300])
def test_a_line_that_ends_at_any_moment_leaves_nothing_behind(after_ms: int) -> None:
    stage = Stage()
    stage.voice.delay = 0.05
    stage.ears.delay = 0.1
    call = ToolCall("c1", "slow", "{}")
    stage.model.replies = [[0.1, "One moment. ", call], [0.1, "It is a long answer, you know."]]

    async def slow() -> str:
        """Take a while."""
        await asyncio.sleep(0.3)
        return "done"

    async def story(stage: Stage) -> None:
        asyncio.get_running_loop().call_later(after_ms / 1000, stage.line.end)
        stage.ears.texts.append("hello")
        while not stage.line.ended:
            caller = stage.line.say(tone(400) if not stage.of(CallerStarted) else silence(700))
            try:
                await asyncio.wait_for(caller, 0.5)
            except TimeoutError:
                continue

    conversation = stage.play(story, tools=[slow], greeting="Hi.")
    assert conversation.ended == "line"
    spoken = "".join(event.heard for event in stage.of(AgentSpoke))
    kept = " ".join(m.content for m in conversation.messages if m.role == "assistant")
    assert kept.replace("—", "").split() == spoken.split()


def test_a_line_that_has_ended_already_is_a_very_short_conversation() -> None:
    stage = Stage()

    async def story(stage: Stage) -> None:
        stage.line.end()

    assert stage.play(story).ended == "line"


def test_a_conversation_that_is_cancelled_stops_at_once() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        model, ears, voice = Model(), Ears(), Voice()
        line = MemoryLine(clock=loop.time)
        async with line:
            agent = Agent(greeting="A long greeting, in which it is cancelled.")
            talk = loop.create_task(agent.talk(line, Host(model, ears, voice), clock=loop.time))
            await asyncio.sleep(0.3)
            talk.cancel()
            with pytest.raises(asyncio.CancelledError):
                await talk
            assert voice.closed == voice.begun
            assert len(asyncio.all_tasks()) == 2
            await asyncio.sleep(0.04)
            assert line.listening == ()
        assert ears.closed == 1

    run_virtual(main())


def test_an_agent_without_an_engine_says_which() -> None:
    async def main() -> None:
        with pytest.raises(NoEngineError, match="no stt engine"):
            await Agent(llm=Model(), tts=Voice()).talk(MemoryLine())

    asyncio.run(main())


def test_two_hundred_conversations_share_one_loop() -> None:
    finished = []

    async def one(number: int) -> None:
        loop = asyncio.get_running_loop()
        stage = Stage(line=MemoryLine(id=str(number), clock=loop.time))
        stage.model.replies = [[f"You are number {number}."]]
        host = Host(stage.model, stage.ears, stage.voice, observers=[stage.events.append])
        await asyncio.sleep(number / 200)
        async with stage.line:
            agent = Agent(greeting="Hello.")
            talk = loop.create_task(agent.talk(stage.line, host, clock=loop.time))
            await stage.until(AgentSpoke)
            await stage.turn(f"i am {number}")
            await stage.until(AgentSpoke, 2)
            stage.line.end()
            conversation = await talk
        assert said(conversation) == [
            ("assistant", "Hello."),
            ("user", f"i am {number}"),
            ("assistant", f"You are number {number}."),
        ]
        finished.append(number)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(200):
                group.create_task(one(number))
        assert len(asyncio.all_tasks()) == 1

    run_virtual(main())
    assert sorted(finished) == list(range(200))


# Engines and texts that are not as they should be


def test_a_model_that_cannot_say_what_it_expects_is_reported_and_the_turn_goes_on() -> None:
    class Clueless(Model):
        def expects(self, messages: Sequence[Message]) -> Grammar | None:
            raise LookupError("no idea")

    stage = Stage(model=Clueless())
    stage.model.replies = [["We open at nine."]]

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("when do you open")
        await stage.until(AgentSpoke, 2)

    conversation = stage.play(story)
    assert said(conversation)[-1] == ("assistant", "We open at nine.")
    assert stage.ears.grammars == [None]
    (failed,) = stage.of(AgentFailed)
    assert (failed.stage, failed.message) == ("model", "LookupError: no idea")


def test_the_text_about_keys_may_hold_any_other_braces() -> None:
    stage = Stage()
    stage.model.replies = [["Sales."]]

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        stage.line.press("2")
        await stage.until(AgentSpoke, 2)

    limits = Limits(keys_text='{"keys": "{keys}"}')
    conversation = stage.play(story, limits=limits)
    assert said(conversation)[2:] == [("user", '{"keys": "2"}'), ("assistant", "Sales.")]
    assert stage.of(AgentFailed) == []
