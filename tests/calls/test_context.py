"""The current call follows the code that runs for it."""

import asyncio

from trunkline.calls.context import current_call, in_call


def test_outside_of_calls_it_is_empty() -> None:
    assert current_call.get() == ""


def test_calls_may_nest() -> None:
    with in_call("a"):
        with in_call("b"):
            assert current_call.get() == "b"
        assert current_call.get() == "a"
    assert current_call.get() == ""


def test_tasks_started_in_a_call_inherit_it() -> None:
    async def tool() -> str:
        await asyncio.sleep(0)
        return current_call.get()

    async def app(call_id: str) -> str:
        with in_call(call_id):
            return await asyncio.create_task(tool())

    async def main() -> list[str]:
        return await asyncio.gather(app("a"), app("b"), tool())

    assert asyncio.run(main()) == ["a", "b", ""]
