"""``examples/shop.py``: a conversation with a tool, on a model that speaks OpenAI's protocol."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack

import pytest
from tests.interop.kit import until
from tests.speech import openai_server
from tests.speech.openai_server import Answer, Server, calls, text

from trunkline.agent import ToolCalled

from .conftest import EXAMPLES, Run, Telephones


@pytest.fixture
def model() -> Iterator[Callable[..., Server]]:
    """Start a language model that gives these answers, on a loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    stack = AsyncExitStack()

    def begin(*answers: Answer) -> Server:
        entering = stack.enter_async_context(openai_server.serve(*answers))
        return asyncio.run_coroutine_threadsafe(entering, loop).result(10)

    yield begin
    asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_it_is_as_short_as_it_is_said_to_be() -> None:
    assert len((EXAMPLES / "shop.py").read_text(encoding="utf-8").splitlines()) <= 25


def test_the_agent_greets_looks_up_a_repair_and_hangs_up(
    run: Run, telephone: Telephones, model: Callable[..., Server]
) -> None:
    server = model(
        text("Copper Street Cycles, good morning."),
        calls(("repair_status", '{"ticket": "9320"}')),
        text("Good news, it is ready."),
        calls(("hang_up", "{}")),
        text("Goodbye."),
    )
    example = run(
        "shop.py", llm_url=f"{server.url}/v1", heard="is ticket nine three two zero ready"
    )
    phone = telephone(example)
    phone.dial()
    example.wait_said("Copper Street")
    until(phone.sounds)
    phone.speak(1.0)
    example.wait_said("Good news", 10)
    (used,) = [event for event in example.node.events if isinstance(event, ToolCalled)]
    assert (used.name, used.result) == ("repair_status", "ready")
    told = server.chats[2].json["messages"]
    assert {"role": "user", "content": "is ticket nine three two zero ready"} in told
    assert told[0]["content"].startswith("You answer for a bicycle shop.")
    phone.speak(1.0)
    phone.wait_hung_up()
    assert example.said[-1] == "Goodbye."


def test_the_model_is_told_what_the_tool_is_for(
    run: Run, telephone: Telephones, model: Callable[..., Server]
) -> None:
    server = model(text("Hello."))
    example = run("shop.py", llm_url=f"{server.url}/v1")
    phone = telephone(example)
    phone.dial()
    example.wait_said("Hello")
    tools = {tool["function"]["name"]: tool["function"] for tool in server.chats[0].json["tools"]}
    assert "four digits" in tools["repair_status"]["description"]
    assert tools["repair_status"]["parameters"]["required"] == ["ticket"]
    phone.hang_up()
