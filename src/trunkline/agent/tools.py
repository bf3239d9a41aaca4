"""Tools: plain Python functions that a language model can call.

The signature becomes the JSON schema, the docstring the description. What a model gets
wrong (unknown names, wrong types, text that is not JSON) and what fails inside a tool is
told to the model as the tool's result, so that it can mend it or apologise; nothing of
that is raised into the call. Details of an exception go to the log and not to the model,
which would read them out.
"""

import asyncio
import inspect
import json
import logging
import typing
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from trunkline.errors import UsageError
from trunkline.speech.interfaces import Message, ToolCall, ToolSpec

from .arguments import (
    BadArgument,
    Parameter,
    defaults_of,
    object_schema,
    parameters_of,
    plain,
    read_arguments,
)
from .docstrings import read_docstring
from .foreign import call_in_thread, is_cancelled

__all__ = ["Tool", "ToolError", "Toolbox", "tool"]

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 10.0
"""What a caller waits for a tool, if the tool does not say otherwise."""

MAX_RESULT_CHARS = 16_000
"""Of a result that are passed on: some four thousand tokens."""


class ToolError(Exception):
    """Raised by a tool to tell the model what went wrong, in words meant for it."""


@dataclass(frozen=True)
class Tool:
    """A function as a tool. Make it with `tool` or by giving the function to a `Toolbox`."""

    function: Callable[..., Any]
    spec: ToolSpec
    timeout_seconds: float
    parameters: Mapping[str, Parameter]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function as if it had not been made a tool."""
        return self.function(*args, **kwargs)


@typing.overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@typing.overload
def tool(
    *, name: str | None = None, timeout_seconds: float = TIMEOUT_SECONDS
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make a tool of a function: ``@tool`` or ``@tool(timeout_seconds=30)``.

    Parameters may be str, int, float, bool, Literal, Enum, list, Optional, dict, Any or a
    dataclass of those. The docstring's first part describes the tool, its ``Args:`` the
    parameters. Sync functions run in a thread of their own, so they may block.

    Raises:
        UsageError: a parameter has no annotation or one that has no JSON schema.
    """
    if function is None:
        return lambda function: _make(function, name, timeout_seconds)
    return _make(function, name, timeout_seconds)


class Toolbox:
    """The tools of one agent.

    Raises:
        UsageError: two tools have one name, or a function cannot be a tool.
    """

    def __init__(self, tools: Iterable[Tool | Callable[..., Any]] = ()) -> None:
        self._tools: dict[str, Tool] = {}
        for one in tools:
            made = one if isinstance(one, Tool) else tool(one)
            if made.spec.name in self._tools:
                raise UsageError(f"two tools are called {made.spec.name!r}")
            self._tools[made.spec.name] = made

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """The tools as a language model is told of them."""
        return tuple(one.spec for one in self._tools.values())

    async def call(self, call: ToolCall) -> Message:
        """Do what a model asked for; the answer is always a message for the model.

        Cancelling this cancels an async tool; a sync one ends in its thread, unheard.
        """
        try:
            content = await self._run(call)
        except (ToolError, BadArgument) as error:
            content = _error(str(error))
        return Message("tool", content, tool_call_id=call.id)

    async def _run(self, call: ToolCall) -> str:
        found = self._tools.get(call.name)
        if found is None:
            raise ToolError(f"there is no tool {call.name!r}; there are {', '.join(self._tools)}")
        arguments = read_arguments(found.parameters, call.arguments)
        try:
            async with asyncio.timeout(found.timeout_seconds) as limit:
                return _serialised(await _invoke(found, arguments))
        except ToolError:
            raise
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            # Whatever a tool does, the call goes on.
            if is_cancelled():
                raise
            if isinstance(error, TimeoutError) and limit.expired():
                log.warning("tool %s took more than %g s", call.name, found.timeout_seconds)
                raise ToolError(f"{call.name} took too long and was given up") from None
            log.exception("tool %s failed", call.name)
            raise ToolError(f"{call.name} failed ({type(error).__name__})") from None


async def _invoke(called: Tool, arguments: dict[str, Any]) -> Any:
    function = called.function
    if inspect.iscoroutinefunction(inspect.unwrap(function)):
        return await function(**arguments)
    result = await call_in_thread(f"tool {called.spec.name}", function, arguments)
    return await result if isinstance(result, Awaitable) else result


def _serialised(result: Any) -> str:
    """A result as the model reads it: text as it is, anything else as JSON."""
    text = result if isinstance(result, str) else json.dumps(plain(result), ensure_ascii=False)
    if len(text) > MAX_RESULT_CHARS:
        return f"{text[:MAX_RESULT_CHARS]}... ({len(text)} characters in all)"
    return text


def _error(text: str) -> str:
    return json.dumps({"error": text}, ensure_ascii=False)


def _make(function: Callable[..., Any], name: str | None, timeout_seconds: float) -> Tool:
    name = name if name is not None else str(getattr(function, "__name__", ""))
    if not name.isidentifier():
        raise UsageError(f"a tool needs a name that is a word, not {name!r}: @tool(name=...)")
    if timeout_seconds <= 0:
        raise UsageError(f"the tool {name!r} cannot be done in {timeout_seconds} s")
    docs = read_docstring(inspect.getdoc(function) or "")
    parameters = parameters_of(function, name)
    spec = ToolSpec(name, docs.summary, object_schema(parameters, defaults_of(function), docs))
    return Tool(function, spec, timeout_seconds, parameters)
