"""Engines and tools are anybody's code: what keeps their habits out of a conversation."""

import asyncio
import contextvars
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar, cast

__all__ = ["call_in_thread", "closable", "is_cancelled"]

T = TypeVar("T")


def is_cancelled() -> bool:
    """Whether somebody wants this task to end.

    Otherwise a `CancelledError` is only how foreign code failed: it awaited something
    that was cancelled. Left alone it would end the task that called it, in silence.
    """
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def closable(stream: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    """An engine's stream as something that can be closed."""
    if hasattr(stream, "aclose"):
        return cast("AsyncGenerator[T, None]", stream)
    return _wrapped(stream)


async def _wrapped(stream: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    async for piece in stream:
        yield piece


async def call_in_thread(name: str, function: Callable[..., T], arguments: Mapping[str, Any]) -> T:
    """Call a function that may block, in a daemon thread of its own.

    Not in the loop's pool: that has a few threads for all calls, and waits for each of
    them when the process is to end. A function that never returns costs one thread.
    Cancelling this leaves the function to itself.
    """
    loop = asyncio.get_running_loop()
    context = contextvars.copy_context()
    done: asyncio.Future[tuple[T | None, BaseException | None]] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if not done.done():
            done.set_result((result, error))

    def run() -> None:
        result, failure = None, None
        try:
            result = context.run(function, **arguments)
        except BaseException as error:  # noqa: BLE001 - raised below, in the caller's task
            failure = error
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name=name, daemon=True).start()
    result, failure = await done
    if failure is not None:
        raise failure  # a StopIteration leaves a coroutine as a RuntimeError (PEP 479)
    return cast("T", result)
