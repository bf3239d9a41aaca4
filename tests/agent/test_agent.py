import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from trunkline.agent.agent import Agent, Host
from trunkline.agent.endpointing import Pause, SilenceEndpointer
from trunkline.agent.errors import NoEngineError
from trunkline.agent.events import AgentEvent, AgentSpoke, AgentStarted, ToolCalled
from trunkline.agent.manners import Limits, Phrases
from trunkline.agent.testing import MemoryLine, run_virtual, silence, tone
from trunkline.agent.turns import TurnSettings
from trunkline.errors import TrunklineError, UsageError
from trunkline.speech import (
    Finished,
    Message,
    Piece,
    TextDelta,
    ToolCall,
    ToolSpec,
    UnknownEngine,
    register,
)
from trunkline.speech.standins import SttStandIn, TtsStandIn


class OneLiner:
    """Answers everything with one line."""

    name = "one-liner"

    def __init__(self, line: str = "Yes.", call: ToolCall | None = None) -> None:
        self.line = line
        self.call = call
        self.closed = 0
        self.tools: list[str] = []

    async def reply(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> AsyncIterator[Piece]:
        self.tools = [tool.name for tool in tools]
        yield TextDelta(self.line)
        if self.call is not None:
            yield self.call
        yield Finished("stop")

    def expects(self, messages: Sequence[Message]) -> None:
        return None

    async def aclose(self) -> None:
        self.closed += 1


class CallLine(MemoryLine):
    """A line that is a call: it brings what the node is configured with."""

    def __init__(self, host: Host) -> None:
        super().__init__(clock=asyncio.get_running_loop().time)
        self.host = host

    def agent_host(self) -> Host:
        return self.host


def test_a_call_brings_its_own_engines_and_observers() -> None:
    events: list[AgentEvent] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        host = Host(OneLiner(), SttStandIn("hello"), TtsStandIn(), observers=[events.append])
        line = CallLine(host)
        async with line:
            talk = loop.create_task(Agent(greeting="Hello.").talk(line, clock=loop.time))
            await asyncio.sleep(2)
            await line.say(tone(500))
            await line.say(silence(3000))
            line.end()
            conversation = await talk
        assert [message.content for message in conversation.messages] == ["Hello.", "hello", "Yes."]

    run_virtual(main())
    assert len([event for event in events if isinstance(event, AgentSpoke)]) == 2


def test_engines_named_are_made_once_and_closed_with_the_agent() -> None:
    made: list[OneLiner] = []

    def make() -> OneLiner:
        made.append(OneLiner())
        return made[-1]

    register("llm", "one_liner", make)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        agent = Agent(llm="one_liner", stt="standin", tts="standin", greeting="Hi.")
        assert made == [], "engines are made when they are needed"
        for _ in range(2):
            line = MemoryLine(clock=loop.time)
            async with line:
                talk = loop.create_task(agent.talk(line, clock=loop.time))
                await asyncio.sleep(0.2)
                line.end()
                await talk
        assert len(made) == 1
        await agent.aclose()
        assert made[0].closed == 1
        await agent.aclose()
        assert made[0].closed == 1

    run_virtual(main())


def test_an_agents_own_engine_goes_before_the_calls() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        own, other = OneLiner("Mine."), OneLiner("Theirs.")
        line = MemoryLine(clock=loop.time)
        host = Host(other, SttStandIn(), TtsStandIn())
        async with line:
            talk = loop.create_task(Agent(llm=own).talk(line, host, clock=loop.time))
            await asyncio.sleep(0.2)
            line.end()
            await talk
        assert own.tools == []
        assert own.closed == 0, "an engine that was given belongs to its giver"

    run_virtual(main())


@pytest.mark.parametrize("missing", ["llm", "stt", "tts"])
def test_a_missing_engine_is_named(missing: str) -> None:
    engines = {"llm": OneLiner(), "stt": SttStandIn(), "tts": TtsStandIn()}
    del engines[missing]

    async def main() -> None:
        with pytest.raises(NoEngineError, match=f"no {missing} engine"):
            await Agent(**engines).talk(MemoryLine())  # type: ignore[arg-type]

    asyncio.run(main())


def test_an_unknown_engine_is_named() -> None:
    async def main() -> None:
        with pytest.raises(UnknownEngine, match="nonsuch"):
            await Agent(llm="nonsuch").talk(MemoryLine())

    asyncio.run(main())


def test_a_mistake_in_the_tools_shows_when_the_agent_is_made() -> None:
    def opening_hours() -> str:
        """Hours."""
        return ""

    def bad(x) -> str:  # type: ignore[no-untyped-def]
        """No annotation."""
        return ""

    with pytest.raises(UsageError, match="two tools"):
        Agent(tools=[opening_hours, opening_hours])
    with pytest.raises(UsageError):
        Agent(tools=[bad])
    assert [spec.name for spec in Agent(tools=[opening_hours]).tools] == ["opening_hours"]


def test_an_agents_own_hang_up_goes_before_the_built_in_one() -> None:
    calls: list[str] = []

    async def hang_up() -> str:
        """My own."""
        calls.append("own")
        return "ok"

    async def main() -> None:
        loop = asyncio.get_running_loop()
        line = MemoryLine(clock=loop.time)
        model = OneLiner("Bye.", ToolCall("c", "hang_up", "{}"))
        host = Host(model, SttStandIn(), TtsStandIn(), hangup=lambda: calls.append("built-in"))
        agent = Agent(tools=[hang_up], limits=Limits(tool_rounds=1))
        async with line:
            talk = loop.create_task(agent.talk(line, host, clock=loop.time))
            await asyncio.sleep(4)
            assert not talk.done()
            line.end()
            await talk

    run_virtual(main())
    assert calls == ["own"]


def test_without_a_hang_up_the_talk_still_ends_when_the_agent_gives_up() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        line = MemoryLine(clock=loop.time)
        agent = Agent(greeting="Hello.", turns=TurnSettings(idle_ms=500), limits=Limits(silences=0))
        host = Host(OneLiner(), SttStandIn(), TtsStandIn())
        async with line:
            conversation = await agent.talk(line, host, clock=loop.time)
        assert conversation.ended == "agent"
        assert "Goodbye" in conversation.messages[-1].content

    run_virtual(main())


def test_each_conversation_has_an_endpointer_of_its_own() -> None:
    made: list[SilenceEndpointer] = []

    class Counting(SilenceEndpointer):
        def wait_ms(self, pause: Pause) -> float:
            assert len(pause.audio(pause.start, pause.end)) > 0
            return super().wait_ms(pause)

    def make() -> SilenceEndpointer:
        made.append(Counting(300))
        return made[-1]

    async def main() -> None:
        loop = asyncio.get_running_loop()
        agent = Agent(greeting="", endpointer=make)
        for _ in range(2):
            line = MemoryLine(clock=loop.time)
            events: list[AgentEvent] = []
            host = Host(OneLiner(), SttStandIn(), TtsStandIn(), observers=[events.append])
            async with line:
                talk = loop.create_task(agent.talk(line, host, clock=loop.time))
                await line.say(tone(500))
                await line.say(silence(400))
                assert any(isinstance(event, AgentStarted) for event in events)
                line.end()
                await talk

    run_virtual(main())
    assert len(made) == 2


def test_the_greeting_may_be_given_in_short() -> None:
    phrases = Phrases(greeting="a", no_input="b")
    assert Agent(phrases=phrases).manner.phrases.greeting == "a"
    assert Agent(phrases=phrases, greeting="c").manner.phrases == Phrases("c", no_input="b")


class Transferring:
    """What a call does when it is asked to transfer."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.targets: list[str] = []

    async def __call__(self, target: str) -> int:
        self.targets.append(target)
        if self.error is not None:
            raise self.error
        return 200


class BusyError(TrunklineError):
    code = 486


async def used(agent: Agent, host: Host, arguments: str) -> list[str]:
    """What the model is told by the tool ``transfer``, called once."""
    loop = asyncio.get_running_loop()
    line = MemoryLine(clock=loop.time)
    told: list[ToolCalled] = []
    host = replace(host, llm=OneLiner("One moment.", ToolCall("c", "transfer", arguments)),
                   stt=SttStandIn(), tts=TtsStandIn(),
                   observers=[lambda event: _note(told, event)])  # fmt: skip
    async with line:
        talk = loop.create_task(agent.talk(line, host, clock=loop.time))
        await asyncio.sleep(1)
        line.end()
        await talk
    return [event.result for event in told]


def _note(told: list[ToolCalled], event: object) -> None:
    if isinstance(event, ToolCalled):
        told.append(event)


ONCE = Limits(tool_rounds=1)
PEOPLE = {"workshop": "sip:workshop@pbx.example", "sales": "+4930123"}


def test_an_agent_hands_the_caller_to_whom_it_was_given() -> None:
    transferring = Transferring()

    async def main() -> None:
        agent = Agent(transfers=PEOPLE, limits=ONCE)
        (told,) = await used(agent, Host(transfer=transferring), '{"to": "workshop"}')
        assert "over for you" in told

    run_virtual(main())
    assert transferring.targets == ["sip:workshop@pbx.example"]


def test_a_model_can_hand_the_caller_to_nobody_else() -> None:
    transferring = Transferring()

    async def main() -> None:
        agent = Agent(transfers=PEOPLE, limits=ONCE)
        for to in ("+1900555", "sip:evil@x", ""):
            (told,) = await used(agent, Host(transfer=transferring), json.dumps({"to": to}))
            assert "error" in told

    run_virtual(main())
    assert transferring.targets == []


def test_a_transfer_that_fails_is_told_to_the_model_and_no_number_is() -> None:
    async def main() -> None:
        agent = Agent(transfers=PEOPLE, limits=ONCE)
        for error, status in (
            (BusyError("sip:workshop@pbx.example"), "486"),
            (UsageError("no"), ""),
        ):
            host = Host(transfer=Transferring(error))
            (told,) = await used(agent, host, '{"to": "workshop"}')
            assert "could not be reached" in told and status in told
            assert "pbx.example" not in told

    run_virtual(main())


@pytest.mark.parametrize(
    ("people", "host"), [(PEOPLE, Host()), ({}, Host(transfer=Transferring())), (None, Host())]
)
def test_without_people_or_a_call_that_can_there_is_no_tool(
    people: dict[str, str] | None, host: Host
) -> None:
    async def main() -> None:
        agent = Agent(transfers=people, limits=ONCE)
        (told,) = await used(agent, host, '{"to": "workshop"}')
        assert "there is no tool" in told

    run_virtual(main())
