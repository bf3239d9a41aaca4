"""An interruption reaches the language model's server: it sees the connection close."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from trunkline.agent.agent import Agent, Host
from trunkline.agent.events import AgentEvent, AgentStarted, BargeIn, CallerTurn, ToolCalled
from trunkline.agent.testing import MemoryLine, silence, tone
from trunkline.speech.openai import OpenAIModel

from ..speech.openai_server import Answer, Exchange, Server, calls, chunk, serve, text  # noqa: TID252
from .test_session import Ears, Voice

pytestmark = pytest.mark.slow


async def _writes_for_ever(exchange: Exchange) -> None:
    await exchange.head()
    while not exchange.request.client_left.is_set():
        await exchange.event(chunk({"content": "and so on, "}))
        await asyncio.sleep(0.01)


async def _stalls_midway(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.event(chunk({"content": "We are open. On every day of the week, "}))
    await exchange.stall()


async def _never_begins(exchange: Exchange) -> None:
    await exchange.stall()


class World:
    """A call to an agent whose model is a real HTTP server; real time."""

    def __init__(self, line: MemoryLine, server: Server) -> None:
        self.line = line
        self.server = server
        self.events: list[AgentEvent] = []
        self.ears = Ears()

    async def until(self, kind: type, count: int = 1) -> None:
        while sum(isinstance(event, kind) for event in self.events) < count:
            await asyncio.sleep(0.005)

    async def turn(self, said: str) -> None:
        self.ears.texts.append(said)
        await self.line.say(tone(400))
        await self.line.say(silence(700))

    async def left(self, chat: int) -> None:
        """The server has seen the client of this chat go away."""
        while len(self.server.chats) <= chat:
            await asyncio.sleep(0.005)
        await asyncio.wait_for(self.server.chats[chat].client_left.wait(), 0.5)


async def _interrupts(world: World) -> None:
    await world.turn("hello")
    await world.until(AgentStarted)
    await asyncio.sleep(0.2)
    interrupting = asyncio.create_task(world.turn("stop"))
    await world.until(BargeIn)
    await world.left(0)
    await interrupting
    await world.until(AgentStarted, 2)


async def _goes_on_while_it_thinks(world: World) -> None:
    await world.turn("hello")
    await world.until(CallerTurn)
    going_on = asyncio.create_task(world.turn("are you there"))
    await world.left(0)
    await going_on
    await world.until(AgentStarted)


async def _interrupts_a_tool(world: World) -> None:
    await world.turn("look it up")
    await world.until(CallerTurn)
    while len(world.server.chats) < 1:
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.1)
    await world.turn("never mind")
    await world.until(AgentStarted)
    assert not [event for event in world.events if isinstance(event, ToolCalled)]


async def _hangs_up(world: World) -> None:
    await world.turn("hello")
    while len(world.server.chats) < 1:
        await asyncio.sleep(0.005)
    world.line.end()
    await world.left(0)


async def _play(story: Callable[[World], Awaitable[None]], *answers: Answer) -> World:
    async with serve(*answers) as server:
        model = OpenAIModel(server.url, model="tiny")
        line = MemoryLine()
        world = World(line, server)

        async def look_up() -> str:
            """Look it up."""
            await asyncio.sleep(30)
            return "late"

        host = Host(model, world.ears, Voice(), observers=[world.events.append])
        agent = Agent(greeting="", tools=[look_up])
        before = asyncio.all_tasks()
        async with asyncio.timeout(15), line:
            talk = asyncio.create_task(agent.talk(line, host))
            await story(world)
            line.end()
            await talk
        await model.aclose()
        await asyncio.sleep(0.01)
        ours = {task for task in asyncio.all_tasks() - before if "serve" not in repr(task)}
        assert not ours, "no task outlives the call"
    return world


@pytest.mark.parametrize("first", [_writes_for_ever, _stalls_midway])
def test_barge_in_closes_the_request_in_the_middle_of_the_reply(first: Answer) -> None:
    world = asyncio.run(_play(_interrupts, first, text("Stopped.")))
    messages = world.server.chats[1].json["messages"]
    roles = [message["role"] for message in messages]
    assert roles[-3:] == ["user", "assistant", "user"]
    assert messages[-2]["content"].endswith("—")
    assert messages[-1]["content"] == "stop"


def test_a_caller_who_goes_on_closes_the_request_that_has_no_answer_yet() -> None:
    world = asyncio.run(_play(_goes_on_while_it_thinks, _never_begins, text("Yes.")))
    assert world.server.chats[1].json["messages"][-1]["content"] == "hello are you there"


def test_a_tool_cut_off_is_told_to_the_server_in_the_form_it_insists_on() -> None:
    asked = calls(("look_up", "{}"))
    world = asyncio.run(_play(_interrupts_a_tool, asked, text("Fine.")))
    *_, call, result, last = world.server.chats[1].json["messages"]
    assert call["tool_calls"][0]["id"] == result["tool_call_id"]
    assert result["role"] == "tool"
    assert "interrupted" in result["content"]
    assert last["content"] == "never mind"


@pytest.mark.parametrize("answer", [_writes_for_ever, _stalls_midway, _never_begins])
def test_hanging_up_closes_the_request(answer: Answer) -> None:
    asyncio.run(_play(_hangs_up, answer))
