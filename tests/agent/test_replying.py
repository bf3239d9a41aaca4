import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from trunkline.agent.dialogue import Dialogue
from trunkline.agent.events import AgentEvent, AgentFailed, Observers, ToolCalled
from trunkline.agent.manners import Limits, Phrases
from trunkline.agent.replying import Mind, Reply
from trunkline.agent.speaking import SpeakingSettings, Speech
from trunkline.agent.testing import MemoryLine, run_virtual
from trunkline.agent.tools import Toolbox
from trunkline.speech import Finished, Message, ModelFailed, Piece, TextDelta, ToolCall, ToolSpec
from trunkline.speech.errors import ReplyBroken, ReplyTimeout, RequestRefused
from trunkline.speech.standins import TtsStandIn


class Model:
    """Plays back prepared streams: pieces, errors, pauses in seconds."""

    name = "prepared"

    def __init__(self, *streams: Sequence[Piece | Exception | float]) -> None:
        self.streams = list(streams)
        self.messages: list[list[Message]] = []
        self.tools: list[int] = []

    async def reply(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> AsyncIterator[Piece]:
        self.messages.append(list(messages))
        self.tools.append(len(tools))
        for part in self.streams.pop(0):
            if isinstance(part, Exception):
                raise part
            if isinstance(part, float):
                await asyncio.sleep(part)
            else:
                yield part

    def expects(self, messages: Sequence[Message]) -> None:
        return None

    async def aclose(self) -> None:
        pass


class Plain:
    """A stream that is an iterator and no generator."""

    def __init__(self, *pieces: Piece) -> None:
        self.pieces = list(pieces)

    def __aiter__(self) -> "Plain":
        return self

    async def __anext__(self) -> Piece:
        if not self.pieces:
            raise StopAsyncIteration
        return self.pieces.pop(0)


async def look(what: str) -> str:
    """Look something up."""
    await asyncio.sleep(1)
    return f"{what} found"


def answer(model: Model, **limits: float) -> tuple[Dialogue, Reply, list[AgentEvent]]:
    """Let a model answer "hello"; everything that came of it."""

    async def main() -> tuple[Dialogue, Reply, list[AgentEvent]]:
        loop = asyncio.get_running_loop()
        line = MemoryLine(clock=loop.time)
        events: list[AgentEvent] = []
        dialogue = Dialogue("Be brief.")
        mind = Mind(
            model,
            Toolbox([look]),
            dialogue,
            phrases=Phrases(failed="Sorry."),
            limits=Limits(**limits),  # type: ignore[arg-type]
            tell=Observers([events.append]),
            clock=loop.time,
        )
        speech = Speech(line, 0, TtsStandIn(), SpeakingSettings(), clock=loop.time)
        reply = Reply(1, speech)
        dialogue.hear("hello")
        dialogue.open()
        await mind.answer(reply)
        dialogue.close()
        return dialogue, reply, events

    return run_virtual(main())


def contents(dialogue: Dialogue) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in dialogue.messages[2:]]


def test_text_goes_to_the_dialogue_and_to_the_voice() -> None:
    dialogue, reply, _ = answer(Model([TextDelta("Good "), TextDelta("day."), Finished("stop")]))
    assert contents(dialogue) == [("assistant", "Good day.")]
    assert reply.speech.text == "Good day."


def test_a_stream_that_just_ends_is_an_answer() -> None:
    dialogue, _, events = answer(Model([TextDelta("Good day.")]))
    assert contents(dialogue) == [("assistant", "Good day.")]
    assert events == []


def test_a_stream_that_is_no_generator_will_do() -> None:
    model = Model()
    model.reply = lambda messages, tools: Plain(TextDelta("Hi."))  # type: ignore[assignment,method-assign]
    dialogue, _, _ = answer(model)
    assert contents(dialogue) == [("assistant", "Hi.")]


def test_several_tools_at_once_are_called_at_once() -> None:
    calls = [ToolCall(f"c{n}", "look", f'{{"what": "thing {n}"}}') for n in range(3)]
    dialogue, _, events = answer(Model([*calls], [TextDelta("Found.")]))
    assert [role for role, _ in contents(dialogue)] == [
        "assistant",
        "tool",
        "tool",
        "tool",
        "assistant",
    ]
    called = [event for event in events if isinstance(event, ToolCalled)]
    assert len(called) == 3
    assert max(event.at for event in called) - min(event.at for event in called) < 0.01


def test_the_model_sees_its_own_words_and_the_results_in_the_next_round() -> None:
    call = ToolCall("c1", "look", '{"what": "it"}')
    model = Model([TextDelta("Wait. "), call], [TextDelta("Here.")])
    answer(model)
    said, result = model.messages[1][-2:]
    assert (said.content, said.tool_calls) == ("Wait.", (call,))
    assert result.tool_call_id == "c1"
    assert "it found" in result.content


@pytest.mark.parametrize("arguments", ["", "not json", "[]", '{"nonsense": "x"}'])
def test_arguments_that_make_no_sense_are_told_to_the_model(arguments: str) -> None:
    dialogue, _, _ = answer(Model([ToolCall("c", "look", arguments)], [TextDelta("Hm.")]))
    assert "error" in contents(dialogue)[1][1]
    assert contents(dialogue)[2] == ("assistant", "Hm.")


def test_a_model_that_will_not_stop_calling_tools_gets_none_in_the_end() -> None:
    call = ToolCall("c", "look", '{"what": "x"}')
    model = Model([call], [call], [TextDelta("Enough."), call])
    dialogue, _, _ = answer(model, tool_rounds=2)
    assert model.tools == [1, 1, 0]
    assert contents(dialogue)[-1] == ("assistant", "Enough.")


def test_tool_calls_of_a_stream_that_broke_are_not_made() -> None:
    call = ToolCall("c", "look", '{"what": "x"}')
    model = Model([call, ModelFailed("cut")], [TextDelta("Hello.")])
    dialogue, _, events = answer(model)
    assert contents(dialogue) == [("assistant", "Hello.")]
    assert [type(event) for event in events] == [AgentFailed]


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_failing_model_is_asked_so_often_and_no_more(retries: int) -> None:
    model = Model(*[[ModelFailed("no")]] * (retries + 1))
    dialogue, _, events = answer(model, retries=retries)
    assert contents(dialogue) == [("assistant", "Sorry.")]
    assert len(events) == retries + 1


@pytest.mark.parametrize(
    "error",
    [
        RequestRefused("a wrong key", status=401),
        ReplyTimeout("too slow"),
        ReplyBroken("cut", partial="Hel"),
    ],
)
def test_what_a_servers_client_gave_up_on_is_not_asked_again(error: ModelFailed) -> None:
    model = Model([error], [TextDelta("Never.")])
    dialogue, _, events = answer(model, retries=3)
    assert contents(dialogue) == [("assistant", "Sorry.")]
    assert len(events) == len(model.messages) == 1


def test_a_stall_in_the_middle_ends_the_answer_with_an_apology() -> None:
    model = Model([TextDelta("We open at"), 100.0, TextDelta(" nine.")])
    dialogue, reply, events = answer(model, model_stall_seconds=2)
    assert contents(dialogue) == [("assistant", "We open at Sorry.")]
    assert reply.speech.text == "We open at Sorry."
    assert isinstance(events[0], AgentFailed)
    assert events[0].at == pytest.approx(2)


def test_a_slow_model_that_keeps_writing_has_not_stalled() -> None:
    model = Model([1.5, TextDelta("a "), 1.5, TextDelta("b "), 1.5, TextDelta("c")])
    dialogue, _, events = answer(model, model_stall_seconds=2)
    assert contents(dialogue) == [("assistant", "a b c")]
    assert events == []
