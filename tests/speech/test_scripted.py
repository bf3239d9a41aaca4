"""A script behind the interface of a language model: nothing is kept but the messages."""

import asyncio
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.speech import create
from trunkline.speech.interfaces import (
    Finished,
    LanguageModel,
    Message,
    Piece,
    TextDelta,
    ToolCall,
    ToolSpec,
)
from trunkline.speech.phrases import Digits
from trunkline.speech.script import REPEAT, Ask, Command, Option, Outcome, Script, State, Use
from trunkline.speech.scripted import ScriptedModel

SCRIPT = Script(
    name="shop",
    start="start",
    menu="menu",
    lost="bye",
    slots={"code": Digits(2)},
    states={
        "start": State("Good day.", go="menu"),
        "menu": State(
            "What can I do?", hear=(Option("check", "check"), Option("that is all", "bye"))
        ),
        "check": State(
            ask={"code": Ask("Which code?", "[it is] {code}")},
            use=Use(
                "check",
                slots=("code",),
                say="One moment.",
                outcomes=(Outcome("It is {state}.", "menu"),),
            ),
        ),
        "bye": State("Goodbye.", use=None, go="hang_up"),
        "hang_up": State(use=Use("hang_up"), end=True),
    },
    commands=(Command("repeat please", REPEAT),),
)
TOOLS = (ToolSpec("check", "Check a code."), ToolSpec("hang_up", "End the call."))
SYSTEM = Message("system", "You are a shop.")


def pieces(
    messages: Sequence[Message],
    tools: Sequence[ToolSpec] = TOOLS,
    model: LanguageModel | None = None,
) -> list[Piece]:
    async def collect() -> list[Piece]:
        return [one async for one in (model or ScriptedModel(SCRIPT)).reply(messages, tools)]

    return asyncio.run(collect())


def answer(messages: Sequence[Message], tools: Sequence[ToolSpec] = TOOLS) -> Message:
    """The reply as the message a dialogue keeps when all of it was heard."""
    reply = pieces(messages, tools)
    text = "".join(one.text for one in reply if isinstance(one, TextDelta))
    return Message("assistant", text, tuple(one for one in reply if isinstance(one, ToolCall)))


def talk(*said: str | Message, tools: Sequence[ToolSpec] = TOOLS) -> list[Message]:
    """A conversation: what the caller says or a tool gives, and the model's replies."""
    messages = [SYSTEM]
    messages.append(answer(messages, tools))
    for one in said:
        messages.append(Message("user", one) if isinstance(one, str) else one)
        messages.append(answer(messages, tools))
    return messages


def test_it_greets_word_by_word_as_a_model_writes() -> None:
    assert pieces([SYSTEM]) == [
        TextDelta("Good "),
        TextDelta("day. "),
        TextDelta("What "),
        TextDelta("can "),
        TextDelta("I "),
        TextDelta("do?"),
        Finished("stop"),
    ]
    assert pieces([]) == pieces([SYSTEM])


def test_a_tool_is_called_after_the_words_that_announce_it() -> None:
    messages = [*talk("check"), Message("user", "it is four two")]
    assert pieces(messages) == [
        TextDelta("One "),
        TextDelta("moment."),
        ToolCall("call_1", "check", '{"code": "42"}'),
        Finished("tool_calls"),
    ]


def test_the_result_is_told() -> None:
    result = Message("tool", '{"state": "ready"}', tool_call_id="call_1")
    messages = talk("check", "four two", result)
    assert messages[-1].content == "It is ready. What can I do?"


def test_it_hangs_up_and_then_has_nothing_to_say() -> None:
    messages = talk("that is all")
    assert messages[-1].content == "Goodbye."
    assert [call.name for call in messages[-1].tool_calls] == ["hang_up"]
    messages.append(Message("tool", "ok", tool_call_id=messages[-1].tool_calls[0].id))
    assert pieces(messages) == [Finished("stop")]


def test_a_tool_that_is_not_offered_is_not_called() -> None:
    messages = talk("check", "four two", "check", tools=())
    sorry = "One moment. I am sorry, I cannot do that at the moment. What can I do?"
    assert [one.content for one in messages if one.role == "assistant"] == [
        "Good day. What can I do?",
        "Which code?",
        sorry,
        "Which code?",
    ]


def test_without_hanging_up_it_says_goodbye_all_the_same() -> None:
    assert pieces([*talk(), Message("user", "that is all")], ()) == [
        TextDelta("Goodbye."),
        Finished("stop"),
    ]


def test_the_same_messages_have_the_same_reply_in_any_model() -> None:
    messages = [*talk("check", "four two"), Message("tool", "{}", tool_call_id="call_1")]
    assert pieces(messages) == pieces(messages, model=ScriptedModel(SCRIPT))


def test_one_model_serves_many_conversations() -> None:
    model = ScriptedModel(SCRIPT)
    asked = [*talk("check"), Message("user", "four two")]
    greeted = [*talk(), Message("user", "mumble")]
    for _ in range(2):
        assert isinstance(pieces(asked, model=model)[-2], ToolCall)
        assert pieces(greeted, model=model)[0] == TextDelta("Sorry, ")


def test_a_silent_caller_is_asked_again() -> None:
    messages = talk()
    messages.append(answer(messages))
    assert messages[-1].content == "Are you still there? What can I do?"
    assert answer(messages).content == "Goodbye."


def test_what_the_agent_says_of_its_own_to_a_silent_caller_changes_nothing() -> None:
    messages = talk("check")
    for prompt in ("Are you still there?", "Hello?", "Are you still there?", "Hello?"):
        messages.append(Message("assistant", prompt))
    assert answer([*messages, Message("user", "four two")]).tool_calls[0].name == "check"


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        ("Good day. What can I do?", "Good day. What can I do?"),
        ("Good day. What—", "I said: What can I do?"),
        ("Good day.", "I said: What can I do?"),
        ("Good—", "I said: Good day. What can I do?"),
    ],
)
def test_only_what_was_heard_counts_as_said(heard: str, expected: str) -> None:
    messages = [SYSTEM, Message("assistant", heard), Message("user", "repeat please")]
    assert answer(messages).content == expected


def test_a_reply_of_which_nothing_was_kept_was_not_heard() -> None:
    messages = [*talk(), Message("user", "check"), Message("user", "mumble")]
    assert answer(messages).content == "Which code?"


def test_a_caller_who_speaks_first_is_answered() -> None:
    assert answer([SYSTEM, Message("user", "check")]).content == "Which code?"
    assert answer([SYSTEM, Message("user", "hello")]).content == "Good day. What can I do?"


def test_a_greeting_of_somebody_elses_is_taken_as_it_is() -> None:
    messages = [
        Message("assistant", "Welcome to the old shop, dear caller."),
        Message("user", "check"),
    ]
    assert answer(messages).content == "Which code?"


def test_little_certainty_comes_with_the_message() -> None:
    certain, unsure = (
        [*talk("check"), Message("user", "it is four two", confidence=confidence)]
        for confidence in (0.9, 0.3)
    )
    assert answer(certain).content == "One moment."
    assert answer(unsure).content == "Did you say four, two?"


def test_a_tool_cut_off_at_work_is_not_called_again_by_itself() -> None:
    messages = talk("check", "four two")
    unfinished = Message("tool", '{"error": "interrupted"}', tool_call_id="call_1")
    assert answer([*messages, unfinished, Message("user", "check")]).content == "Which code?"
    mumbled = answer([*messages, unfinished, Message("user", "mumble")])
    assert mumbled.content == "I am sorry, I cannot do that at the moment. What can I do?"


def test_it_expects_the_language_of_the_place() -> None:
    model = ScriptedModel(SCRIPT)
    assert "check | that is all" in model.expects([]).jsgf
    assert "check | that is all" in model.expects(talk()).jsgf
    assert "<code>" in model.expects([*talk(), Message("user", "check")]).jsgf
    assert "<code>" in model.expects(talk("check")).jsgf


def test_a_place_has_one_grammar_object_so_that_recognisers_can_keep_it() -> None:
    model = ScriptedModel(SCRIPT)
    assert model.expects(talk("check")) is model.expects(talk("mumble", "check"))


def test_it_writes_no_faster_than_it_is_told() -> None:
    start = time.monotonic()
    pieces([SYSTEM], model=ScriptedModel(SCRIPT, delay_seconds=0.002))
    assert time.monotonic() - start >= 6 * 0.002


def test_a_reply_can_be_closed_between_words() -> None:
    async def main() -> None:
        reply = ScriptedModel(SCRIPT, delay_seconds=0.001).reply([SYSTEM], TOOLS)
        assert await anext(reply) == TextDelta("Good ")
        await reply.aclose()  # type: ignore[attr-defined]
        with pytest.raises(StopAsyncIteration):
            await anext(reply)

    asyncio.run(main())


def test_the_registry_makes_it() -> None:
    model = create("llm", "scripted", script=SCRIPT)
    assert model.name == "scripted:shop"
    asyncio.run(model.aclose())


MESSAGES = st.lists(
    st.builds(
        Message,
        role=st.sampled_from(["user", "assistant", "tool", "system"]),
        content=st.sampled_from(["check", "four two", "that is all", "Good day.", "", "{}"]),
        tool_calls=st.sampled_from([(), (ToolCall("call_1", "check", "{}"),)]),
        tool_call_id=st.sampled_from([None, "call_1", "call_2"]),
        confidence=st.sampled_from([None, 0.0, 0.4, 1.0]),
    ),
    max_size=8,
)


@given(MESSAGES)
def test_any_messages_have_a_reply_and_a_grammar(messages: list[Message]) -> None:
    reply = pieces(messages)
    assert isinstance(reply[-1], Finished)
    assert ScriptedModel(SCRIPT).expects(messages).jsgf.startswith("#JSGF V1.0;")
