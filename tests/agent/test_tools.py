"""Tools answer the model, whatever happens inside them."""

import asyncio
import functools
import json
import logging
import threading
import time
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from trunkline.agent.tools import MAX_RESULT_CHARS, Tool, Toolbox, ToolError, tool
from trunkline.errors import UsageError
from trunkline.speech.interfaces import Message, ToolCall, ToolSpec


@dataclass
class Slot:
    day: str
    free: bool = True


def repair_status(ticket: str, loud: bool = False) -> dict[str, object]:
    """Look up a repair.

    Args:
        ticket: Its four digits.
    """
    return {"ticket": ticket, "loud": loud}


async def free_slot(day: Literal["Monday", "Friday"]) -> Slot:
    """Find a free slot."""
    await asyncio.sleep(0)
    return Slot(day)


def call(toolbox: Toolbox, name: str, arguments: Any = "") -> Message:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return asyncio.run(toolbox.call(ToolCall("c1", name, text)))


def result(function: Any, arguments: Any = "") -> Any:
    made = function if isinstance(function, Tool) else tool(name="it")(function)
    return json.loads(call(Toolbox([made]), made.spec.name, arguments).content)


def test_a_plain_function_is_a_tool() -> None:
    assert Toolbox([repair_status]).specs == (
        ToolSpec(
            "repair_status",
            "Look up a repair.",
            {
                "type": "object",
                "properties": {
                    "ticket": {"type": "string", "description": "Its four digits."},
                    "loud": {"type": "boolean", "default": False},
                },
                "required": ["ticket"],
                "additionalProperties": False,
            },
        ),
    )


def test_the_answer_is_a_message_for_the_call() -> None:
    assert call(Toolbox([repair_status]), "repair_status", {"ticket": 4711}) == Message(
        "tool", '{"ticket": "4711", "loud": false}', tool_call_id="c1"
    )


def test_async_tools_are_awaited() -> None:
    assert result(free_slot, {"day": "friday"}) == {"day": "Friday", "free": True}


def test_sync_tools_run_in_a_thread() -> None:
    def where() -> str:
        return json.dumps(threading.current_thread() is threading.main_thread())

    assert result(where) is False


def test_a_tool_that_blocks_stops_nobody_else() -> None:
    def slow() -> str:
        released.wait(5)
        return "done"

    released = threading.Event()

    async def main() -> str:
        task = asyncio.create_task(Toolbox([slow]).call(ToolCall("c", "slow", "{}")))
        await asyncio.sleep(0.01)
        assert not task.done()
        released.set()
        return (await task).content

    assert asyncio.run(main()) == "done"


def test_methods_and_callables_are_tools_too() -> None:
    class Shop:
        def status(self, ticket: str) -> str:
            """Look it up."""
            return f'"{ticket} is ready"'

        async def __call__(self, day: str) -> str:
            return f'"{day}"'

    assert result(Shop().status, {"ticket": "1"}) == "1 is ready"
    assert result(Shop(), {"day": "Monday"}) == "Monday"
    assert Toolbox([Shop().status]).specs[0].name == "status"


def test_a_wrapped_function_keeps_its_signature() -> None:
    @functools.wraps(repair_status)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return repair_status(*args, **kwargs)

    assert Toolbox([wrapped]).specs == Toolbox([repair_status]).specs


def test_the_decorator_gives_a_name_and_a_limit_and_leaves_a_function() -> None:
    @tool
    def plain_one(x: int) -> int:
        """One."""
        return x + 1

    @tool(name="other", timeout_seconds=3)
    def other_one() -> str:
        """Other."""
        return "x"

    assert plain_one(1) == 2
    assert (plain_one.spec.name, plain_one.timeout_seconds) == ("plain_one", 10.0)
    assert (other_one.spec.name, other_one.timeout_seconds) == ("other", 3)


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("as it is", "as it is"),
        ("", ""),
        (None, "null"),
        (7, "7"),
        ([1, "ö"], '[1, "ö"]'),
        ({"a": True}, '{"a": true}'),
        (Slot("Monday"), '{"day": "Monday", "free": true}'),
    ],
)
def test_results_are_text_or_json(value: Any, content: str) -> None:
    assert call(Toolbox([tool(name="it")(lambda: value)]), "it").content == content


def test_a_long_result_is_cut_and_says_so() -> None:
    content = call(Toolbox([tool(name="it")(lambda: "x" * 100_000)]), "it").content
    assert len(content) < MAX_RESULT_CHARS + 50
    assert content.endswith("(100000 characters in all)")


def test_an_unknown_tool_is_told_with_the_known_ones() -> None:
    answer = json.loads(call(Toolbox([repair_status, free_slot]), "fly").content)
    assert answer == {"error": "there is no tool 'fly'; there are repair_status, free_slot"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ("{}", "'ticket' is missing"),
        ('{"ticket": "1", "colour": "red"}', "no argument 'colour'"),
        ('{"ticket": "1", "loud": "maybe"}', "true or false"),
    ],
)
def test_bad_arguments_are_told_and_nothing_is_called(arguments: str, told: str) -> None:
    assert told in result(tool(repair_status), arguments)["error"]


def test_a_failure_is_told_without_its_details(caplog: pytest.LogCaptureFixture) -> None:
    def fails() -> None:
        raise ConnectionError("postgres://admin:hunter2@db/")

    with caplog.at_level(logging.ERROR):
        answer = result(fails)
    assert answer == {"error": "it failed (ConnectionError)"}
    assert "hunter2" in caplog.text  # whoever runs it must be able to see what happened


def test_a_tool_error_is_meant_for_the_model() -> None:
    async def refuses() -> None:
        raise ToolError("The shop is closed on Sundays.")

    assert result(refuses) == {"error": "The shop is closed on Sundays."}


def test_a_result_that_cannot_be_written_is_a_failure() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert "failed" in result(lambda: loop)["error"]


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_slow_tool_is_given_up(kind: str) -> None:
    release = threading.Event()

    async def slow_async() -> None:
        await asyncio.sleep(30)

    def slow_sync() -> None:
        release.wait(30)

    function = slow_async if kind == "async" else slow_sync

    async def main() -> str:
        toolbox = Toolbox([tool(name="slow", timeout_seconds=0.02)(function)])
        answer = await toolbox.call(ToolCall("c", "slow", "{}"))
        release.set()  # asyncio.run waits for its threads
        return answer.content

    assert json.loads(asyncio.run(main()))["error"] == "slow took too long and was given up"


def test_a_timeout_of_the_tools_own_is_a_failure_like_any_other() -> None:
    async def own() -> None:
        raise TimeoutError("of its own")

    assert result(own) == {"error": "it failed (TimeoutError)"}


def test_cancelling_the_call_cancels_the_tool() -> None:
    ended: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def main() -> None:
        task = asyncio.create_task(Toolbox([waits]).call(ToolCall("c", "waits", "")))
        await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert ended == ["cancelled"]


def test_several_calls_run_at_once_and_answer_in_order() -> None:
    async def nap(seconds: float, name: str) -> str:
        await asyncio.sleep(seconds)
        finished.append(name)
        return name

    finished: list[str] = []
    calls = [
        ToolCall("1", "nap", '{"seconds": 0.02, "name": "long"}'),
        ToolCall("2", "nap", '{"seconds": 0.0, "name": "short"}'),
        ToolCall("3", "nap", "broken"),
    ]

    async def main() -> list[Message]:
        box = Toolbox([nap])
        return await asyncio.gather(*map(box.call, calls))

    answers = asyncio.run(main())
    assert finished == ["short", "long"]
    assert [answer.tool_call_id for answer in answers] == ["1", "2", "3"]
    assert [answer.content for answer in answers[:2]] == ["long", "short"]
    assert "not JSON" in answers[2].content


def test_a_context_reaches_the_thread() -> None:
    import contextvars

    number = contextvars.ContextVar("number", default=0)

    def read() -> int:
        return number.get()

    async def main() -> str:
        number.set(42)
        return (await Toolbox([read]).call(ToolCall("c", "read", ""))).content

    assert asyncio.run(main()) == "42"


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(UsageError, match="two tools"):
        Toolbox([repair_status, repair_status])


@pytest.mark.parametrize("function", [lambda: 1, functools.partial(repair_status)])
def test_a_tool_needs_a_name(function: Any) -> None:
    with pytest.raises(UsageError, match="name"):
        tool(function)


def test_a_tool_needs_time() -> None:
    with pytest.raises(UsageError):
        tool(timeout_seconds=0)(repair_status)


def test_an_empty_toolbox_has_no_specs() -> None:
    assert Toolbox().specs == ()
    start = time.monotonic()
    assert "there is no tool" in call(Toolbox(), "any").content
    assert time.monotonic() - start < 5
