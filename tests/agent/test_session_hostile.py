"""Tools, models and callers that do what nobody expects; the conversation holds."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from trunkline.agent.events import AgentFailed, AgentSpoke, AgentStarted, ToolCalled, TurnLatency
from trunkline.agent.manners import Limits
from trunkline.agent.speaking import SpeakingSettings
from trunkline.agent.testing import tone
from trunkline.agent.tools import MAX_RESULT_CHARS, Toolbox, tool
from trunkline.speech import SynthesisFailed, ToolCall

from .test_session import Stage, plain, said

# What was heard


def test_a_caller_who_hangs_up_after_a_pause_has_not_heard_what_was_yet_to_come() -> None:
    stage = Stage()
    call = ToolCall("c1", "slow", "{}")
    stage.model.replies = [["One moment. ", call], ["Your bicycle is ready for you at the shop."]]

    async def slow() -> str:
        """Take long."""
        await asyncio.sleep(4)
        return "done"

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("is it ready")
        await stage.until(ToolCalled)
        await asyncio.sleep(0.7)  # 50 ms a letter: "Your bicycle" and no more

    conversation = stage.play(story, tools=[slow])
    assert said(conversation)[-1] == ("assistant", "Your bicycle—")
    assert plain(stage.of(AgentSpoke)[-1].heard) == "One moment. Your bicycle"


def test_a_caller_who_hangs_up_while_the_voice_is_slow_has_heard_the_first_sentence() -> None:
    stage = Stage()
    stage.model.replies = [["Yes. ", 5.0, "It has been ready since last Tuesday."]]

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("is it ready")
        await stage.until(AgentStarted, 2)
        await asyncio.sleep(5.3)

    conversation = stage.play(story)
    assert plain(said(conversation)[-1][1]) in ("Yes. It—", "Yes. It has—")


def test_two_interruptions_in_a_row_keep_what_was_heard_of_both() -> None:
    stage = Stage()
    stage.model.replies = [
        ["We open at nine in the morning on every day of the week."],
        ["On Sunday we are closed all day and all night."],
        ["Goodbye then."],
    ]

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("when do you open")
        await stage.until(AgentStarted, 2)
        await asyncio.sleep(0.6)
        await stage.turn("and on sunday")
        await stage.until(AgentStarted, 3)
        await asyncio.sleep(0.1)
        await stage.turn("never mind")
        await stage.until(AgentSpoke, 4)

    conversation = stage.play(story)
    cut = [event for event in stage.of(AgentSpoke) if event.interrupted]
    assert len(cut) == 2
    kept = [text for role, text in said(conversation)[2:] if role == "assistant"]
    assert kept == [*(event.heard.rstrip() + "—" for event in cut), "Goodbye then."]


@pytest.mark.parametrize("early_ms", range(-80, 100, 20))
def test_an_interruption_at_the_very_end_keeps_what_was_heard(early_ms: int) -> None:
    stage = Stage()
    stage.model.replies = [["We are open until nine."], ["Goodbye then."]]

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("when do you close")
        started = await stage.until(AgentStarted, 2)
        # The voice takes 50 ms a letter; an interruption is one after 240 ms of speech.
        ends = started.at + 0.05 * len("Weareopenuntilnine.")
        await asyncio.sleep(ends - 0.24 - early_ms / 1000 - asyncio.get_running_loop().time())
        await stage.turn("fine", ms=500)
        await stage.until(AgentSpoke, 3)

    conversation = stage.play(story)
    spoke = stage.of(AgentSpoke)
    assert len(spoke) == 3, "each reply is told of once"
    heard = spoke[1].heard.rstrip()
    whole = heard == "We are open until nine."
    assert spoke[1].interrupted or whole
    kept = heard if whole else heard + "—"
    assert said(conversation)[2:] == [
        ("user", "when do you close"),
        ("assistant", kept),
        ("user", "fine"),
        ("assistant", "Goodbye then."),
    ]


# Tools


async def _cancelled() -> str:
    """Give up."""
    raise asyncio.CancelledError


async def _exits() -> str:
    """Leave."""
    sys.exit(3)


def _exits_in_its_thread() -> str:
    """Leave."""
    sys.exit(3)


def _finds_nothing() -> str:
    """Look."""
    return next(iter(()))


@pytest.mark.parametrize("broken", [_cancelled, _exits, _exits_in_its_thread, _finds_nothing])
def test_a_tool_may_end_in_any_way(broken: Callable[[], Any]) -> None:
    async def main() -> str:
        box = Toolbox([tool(name="broken", timeout_seconds=5)(broken)])
        began = time.monotonic()
        answer = await box.call(ToolCall("c1", "broken", "{}"))
        assert time.monotonic() - began < 2
        return answer.content

    assert "broken failed" in asyncio.run(main())


def test_a_conversation_survives_a_tool_that_ends_its_own_task() -> None:
    stage = Stage()
    stage.model.replies = [[ToolCall("c1", "_cancelled", "{}")], ["That did not work."]]

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("do it")
        await stage.until(AgentSpoke, 2)

    conversation = stage.play(story, tools=[_cancelled])
    assert said(conversation)[-1] == ("assistant", "That did not work.")
    assert "failed" in stage.of(ToolCalled)[0].result


def test_cancelling_a_tool_from_outside_is_no_failure() -> None:
    async def main() -> None:
        async def slow() -> str:
            """Take long."""
            await asyncio.sleep(10)
            return ""

        task = asyncio.create_task(Toolbox([slow]).call(ToolCall("c1", "slow", "{}")))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_tools_that_never_end_leave_room_for_others() -> None:
    free = threading.Event()

    @tool(timeout_seconds=0.02)
    def stuck() -> str:
        """Wait for ever."""
        free.wait(20)
        return "too late"

    def quick() -> str:
        """Be quick."""
        return "here"

    async def main() -> None:
        box = Toolbox([stuck, quick])
        answers = await asyncio.gather(
            *(box.call(ToolCall(f"c{n}", "stuck", "{}")) for n in range(50))
        )
        assert all("too long" in answer.content for answer in answers)
        answer = await asyncio.wait_for(box.call(ToolCall("c", "quick", "{}")), 5)
        assert answer.content == "here"
        assert await asyncio.wait_for(asyncio.to_thread(quick), 5) == "here"

    try:
        asyncio.run(main())
    finally:
        free.set()


def test_a_tool_that_never_ends_does_not_keep_the_process_alive() -> None:
    program = """
import asyncio, threading
from trunkline.agent.tools import Toolbox, tool
from trunkline.speech import ToolCall

@tool(timeout_seconds=0.02)
def stuck() -> str:
    "Wait for ever."
    threading.Event().wait()

print(asyncio.run(Toolbox([stuck]).call(ToolCall("c", "stuck", "{}"))).content)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True
    )
    assert "too long" in done.stdout


def test_a_tool_in_a_thread_sees_the_context_of_the_call() -> None:
    import contextvars

    caller = contextvars.ContextVar("caller", default="nobody")

    def who() -> str:
        """Who calls."""
        return caller.get()

    async def main() -> str:
        caller.set("alice")
        return (await Toolbox([who]).call(ToolCall("c", "who", "{}"))).content

    assert asyncio.run(main()) == "alice"


def test_a_megabyte_of_result_is_cut_before_the_model_reads_it() -> None:
    stage = Stage()
    stage.model.replies = [[ToolCall("c1", "everything", "{}")], ["That is a lot."]]

    async def everything() -> list[str]:
        """Get everything."""
        return ["word"] * 150_000

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("tell me everything")
        await stage.until(AgentSpoke, 2)

    stage.play(story, tools=[everything])
    (told,) = [message for message in stage.model.asked[1] if message.role == "tool"]
    assert len(told.content) < MAX_RESULT_CHARS + 100


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (ToolCall("c1", "no_such_thing", "{}"), "there is no tool"),
        (ToolCall("c1", "book", "{not json"), "JSON"),
        (ToolCall("c1", "book", '["monday"]'), "error"),
        (ToolCall("c1", "book", '{"dya": "monday"}'), "day"),
        (ToolCall("c1", "book", '{"day": "' + "x" * 100_000 + '"'), "JSON"),
    ],
)
def test_a_call_no_tool_can_take_is_told_to_the_model(call: ToolCall, told: str) -> None:
    stage = Stage()
    stage.model.replies = [[call], ["Let me try again."]]

    async def book(day: str) -> str:
        """Book a day."""
        raise AssertionError("not with these arguments")

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("book it")
        await stage.until(AgentSpoke, 2)

    conversation = stage.play(story, tools=[book])
    assert said(conversation)[-1] == ("assistant", "Let me try again.")
    (result,) = [message for message in conversation.messages if message.role == "tool"]
    assert told in result.content
    assert len(result.content) < 2000


# Models and voices


@pytest.mark.parametrize("reply", [[], [" ", "\n", "\t "], ["..."], ["*", "**"]])
def test_a_model_that_says_nothing_leaves_the_call_alive(reply: list[str]) -> None:
    stage = Stage()
    stage.model.replies = [reply, ["Now I do."]]

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("say something")
        await asyncio.sleep(0.5)
        await stage.turn("please")
        await stage.until(AgentSpoke, 2)

    conversation = stage.play(story)
    assert said(conversation)[-2:] == [("user", "please"), ("assistant", "Now I do.")]
    assert [text for role, text in said(conversation) if role == "assistant" and not text] == []
    assert stage.of(AgentFailed) == []


def test_a_model_that_ends_its_own_task_is_asked_again() -> None:
    stage = Stage()
    stage.model.replies = [[_Cancels()], ["Here I am."]]

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("hello")
        await stage.until(AgentSpoke, 2)

    conversation = stage.play(story)
    assert said(conversation)[-1] == ("assistant", "Here I am.")
    assert stage.of(AgentFailed)[0].stage == "model"


class _Cancels(str):
    """A text that the model of these tests cannot even take apart."""

    def split(self, *_: Any) -> Any:  # type: ignore[override]
        raise asyncio.CancelledError


def test_a_voice_that_ends_its_own_task_ends_the_reply_and_not_the_call() -> None:
    stage = Stage()
    stage.model.replies = [["Never heard."], ["Once more."]]
    stage.voice.fails = {"Never heard.": asyncio.CancelledError()}  # type: ignore[dict-item]

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("one")
        await stage.until(AgentFailed)
        await stage.turn("two")
        await stage.until(AgentSpoke, 2)

    conversation = stage.play(story)
    assert said(conversation)[2:] == [
        ("user", "one"),
        ("user", "two"),
        ("assistant", "Once more."),
    ]


def test_a_recogniser_that_ends_its_own_task_loses_nothing_of_what_comes_next() -> None:
    stage = Stage()
    stage.ears.delay = 1.0
    stage.model.replies = [["Here."]]

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn(asyncio.CancelledError())  # type: ignore[arg-type]
        await stage.turn("hello")  # begins while the first text is still awaited
        await stage.until(AgentSpoke, 2)

    conversation = stage.play(story)
    assert stage.of(AgentFailed)[0].stage == "recognition"
    assert said(conversation)[-2:] == [("user", "hello"), ("assistant", "Here.")]
    assert sum(map(len, stage.ears.utterances[-1])) >= 600 * 8


def test_a_voice_that_fails_in_mid_sentence_keeps_only_what_was_said() -> None:
    stage = Stage()
    stage.model.replies = [["We open at nine. And we close at six."], ["Once more."]]
    speak = stage.voice.speak

    async def breaks(text: str) -> Any:
        async for chunk in speak(text):
            yield chunk
            if text.startswith("And") and chunk is not None:
                raise SynthesisFailed("the voice broke")

    stage.voice.speak = breaks  # type: ignore[method-assign]

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        await stage.turn("when")
        await stage.until(AgentSpoke, 2)
        await stage.turn("what")
        await stage.until(AgentSpoke, 3)

    conversation = stage.play(story)
    (failed,) = stage.of(AgentFailed)
    assert failed.stage == "synthesis"
    broken = stage.of(AgentSpoke)[1]
    assert plain(broken.heard + " " + broken.unheard) == "We open at nine. And we close at six."
    assert broken.heard.startswith("We open at nine.")
    assert "six" in broken.unheard
    assert said(conversation)[3] == ("assistant", broken.heard.rstrip() + "—")


# Latency


def test_the_stages_of_every_turn_follow_each_other_and_end_with_the_total() -> None:
    stage = Stage()
    stage.voice.delay = 0.15
    stage.ears.delay = 0.2
    stage.model.replies = [
        [0.3, "Yes."],
        [0.1, ToolCall("c1", "slow", "{}")],
        ["Done."],
        [RuntimeError("once")],
        ["Here."],
    ]

    async def slow() -> str:
        """Take a while."""
        await asyncio.sleep(0.4)
        return "done"

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        for number, text in enumerate(("one", "two", "three"), 2):
            await stage.turn(text)
            await stage.until(AgentSpoke, number)

    stage.play(story, tools=[slow], speaking=SpeakingSettings())
    turns: list[TurnLatency] = stage.of(TurnLatency)
    assert [turn.turn for turn in turns] == [1, 2, 3]
    for turn in turns:
        stages = (
            turn.endpointing_ms,
            turn.recognition_ms,
            turn.first_token_ms,
            turn.first_audio_ms,
            turn.first_packet_ms,
        )
        assert list(stages) == sorted(stages)
        started = [event.at for event in stage.of(AgentStarted)][turn.turn]
        assert turn.at == started
    first = turns[0]
    assert first.recognition_ms - first.endpointing_ms == pytest.approx(200, abs=1)
    assert first.first_token_ms - first.recognition_ms == pytest.approx(300, abs=1)
    assert first.first_audio_ms - first.first_token_ms == pytest.approx(150, abs=1)
    assert first.first_packet_ms - first.first_audio_ms <= 20 + 1e-6


def test_a_caller_who_hangs_up_during_any_stage_of_a_tool_leaves_no_thread() -> None:
    stage = Stage()
    stage.model.replies = [[ToolCall("c1", "blocks", "{}")]]
    entered, free = threading.Event(), threading.Event()

    def blocks() -> str:
        """Block."""
        entered.set()
        free.wait(20)
        return "unheard"

    async def story(stage: Stage) -> None:
        await stage.until(AgentSpoke)
        stage.ears.texts.append("do it")
        await stage.line.say(tone(600))
        while not entered.is_set():
            await asyncio.sleep(0.02)

    try:
        stage.play(story, tools=[blocks], limits=Limits())
    finally:
        free.set()
    for thread in threading.enumerate():
        if thread.name.startswith("tool "):
            thread.join(5)
            assert not thread.is_alive()
