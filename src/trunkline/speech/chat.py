"""The chat-completions dialect, without a network: requests out, replies in.

https://platform.openai.com/docs/api-reference/chat. Servers that speak it differ in the
details; what is known of them is written where it matters. What a server sends is never
trusted: anything of the wrong shape raises `ReplyBroken`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import LanguageModelError, ReplyBroken, RequestRefused, TemporaryFailure
from .interfaces import Finished, Message, Piece, TextDelta, ToolCall, ToolSpec, Usage

__all__ = ["ReplyReader", "error_of", "request_body"]

MAX_TOOL_CALLS = 64
"""In one reply; a server that numbers them higher is not to be believed."""

MAX_REPLY_CHARACTERS = 1_000_000
"""Of text and tool arguments in one reply: some twenty hours of speech. A server that
writes more has lost its way, and may not fill memory."""

_PERMANENT_CODES = {"insufficient_quota", "invalid_api_key", "model_not_found"}


def request_body(
    model: str,
    messages: Sequence[Message],
    tools: Sequence[ToolSpec],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """The JSON of a streamed request; ``options`` are added last and so go first."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [_message(message) for message in messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if tools:
        body["tools"] = [_tool(tool) for tool in tools]
    return {**body, **options}


def _message(message: Message) -> dict[str, Any]:
    body: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        body["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        body["tool_call_id"] = message.tool_call_id
    return body


def _tool(tool: ToolSpec) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters) or {"type": "object", "properties": {}},
    }
    return {"type": "function", "function": function}


@dataclass(slots=True)
class _Fragments:
    """One tool call, as far as it has come."""

    id: str = ""
    name: str = ""
    arguments: str = ""


class ReplyReader:
    """Reads one reply: the data of its events, or the whole body of one not streamed.

    ``progress`` counts what the model wrote, including pieces of tool calls that are not
    complete: reasoning, roles and keep-alives are no progress. ``text`` is what it said.
    """

    def __init__(self) -> None:
        self.progress = 0
        self.text = ""
        self.done = False
        self._reason = ""
        self._refused = False
        self._usage: Usage | None = None
        self._calls: dict[int, _Fragments] = {}
        self._characters = 0

    @property
    def complete(self) -> bool:
        """Whether the model has said that it is finished; the usage may still follow."""
        return bool(self._reason)

    def feed(self, data: str) -> Iterator[Piece]:
        """Pieces of the reply in one event's data.

        Raises:
            LanguageModelError: the server reports an error, or sends what cannot be read.
        """
        if data.strip() == "[DONE]":
            self.done = True
            return
        yield from self._read(_object(data), "delta")

    def whole(self, body: str) -> Iterator[Piece]:
        """All pieces of a reply that was not streamed.

        Raises:
            LanguageModelError: as `feed`.
        """
        yield from self._read(_object(body), "message")
        self.done = True

    def finish(self) -> Iterator[Piece]:
        """The tool calls and the end; to be called once, when no more will come.

        Raises:
            ReplyBroken: the reply has no end.
        """
        if not self.done and not self.complete:
            raise ReplyBroken("the connection was cut in the middle of a reply")
        if self.progress == 0 and not self.complete:
            raise ReplyBroken("the server sent an empty reply")
        for index in sorted(self._calls):
            call = self._calls[index]
            if not call.name:
                raise ReplyBroken("the server sent a tool call without a name")
            yield ToolCall(call.id or f"call_{index}", call.name, call.arguments or "{}")
        yield Finished(self._finish_reason(), self._usage)

    def _finish_reason(self) -> str:
        if self._calls and self._reason in ("", "stop", "function_call"):
            return "tool_calls"  # Ollama says "stop" after tool calls too
        return "refusal" if self._refused else self._reason or "stop"

    def _read(self, event: dict[str, Any], part: str) -> Iterator[Piece]:
        if event.get("error"):
            raise error_of(event, None)
        self._read_usage(event.get("usage"))
        choices = event.get("choices")
        if not isinstance(choices, list):
            return  # some gateways send status objects of their own between the chunks
        for choice in choices:
            if not isinstance(choice, dict) or choice.get("index") not in (0, None):
                continue
            delta = choice.get(part)
            if isinstance(delta, dict):
                yield from self._read_delta(delta)
            reason = choice.get("finish_reason")
            if isinstance(reason, str):
                self._reason = reason

    def _read_delta(self, delta: dict[str, Any]) -> Iterator[Piece]:
        # `reasoning_content` and `reasoning` are the model talking to itself: not for callers.
        for key in ("content", "refusal"):
            text = delta.get(key)
            if isinstance(text, str) and text:
                self._refused |= key == "refusal"
                self._wrote(text)
                self.text += text
                yield TextDelta(text)
        calls = delta.get("tool_calls")
        for position, call in enumerate(calls if isinstance(calls, list) else ()):
            self._read_call(call, position)

    def _read_call(self, call: object, position: int) -> None:
        if not isinstance(call, dict):
            raise ReplyBroken("the server sent a tool call that is no object")
        index = call.get("index")
        if not isinstance(index, int):  # Gemini's endpoint leaves it out and sends calls whole
            index = len(self._calls) if call.get("id") else max(position, len(self._calls) - 1)
        if not 0 <= index < MAX_TOOL_CALLS:
            raise ReplyBroken(f"the server sent tool call number {index}")
        function = call.get("function")
        if not isinstance(function, dict):
            function = {}
        fragments = self._calls.get(index)
        if fragments is None:
            fragments = self._calls[index] = _Fragments()
            self.progress += 1
        fragments.id = fragments.id or _text(call.get("id"))
        fragments.name = fragments.name or _text(function.get("name"))
        arguments = function.get("arguments")
        if isinstance(arguments, dict):  # Ollama's older servers send an object
            arguments = json.dumps(arguments)
        if text := _text(arguments):
            self._wrote(text)
            fragments.arguments += text

    def _wrote(self, text: str) -> None:
        """The model goes on, within bounds."""
        self.progress += 1
        self._characters += len(text)
        if self._characters > MAX_REPLY_CHARACTERS:
            raise ReplyBroken(f"the reply is longer than {MAX_REPLY_CHARACTERS} characters")

    def _read_usage(self, usage: object) -> None:
        if not isinstance(usage, dict):
            return
        counts = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if isinstance(counts[0], int) and isinstance(counts[1], int):
            self._usage = Usage(counts[0], counts[1])


def error_of(
    body: object, status: int | None, retry_after_seconds: float | None = None
) -> LanguageModelError:
    """The error a server's JSON or text describes, permanent or not by its status and code."""
    error = body.get("error", body) if isinstance(body, dict) else body
    code: object = None
    if isinstance(error, dict):
        code = error.get("code") or error.get("type")
        message = error.get("message") or error.get("detail") or json.dumps(error)
    else:
        message = error
    if status is None and isinstance(code, int):
        status = code
    text = " ".join(str(message).split())[:300]
    told = f"the server says: {text}" if text else "the server gave no reason"
    if status is not None:
        told = f"{told} (HTTP {status})"
    temporary = status is None or status in (408, 409, 425, 429) or status >= 500
    if not temporary or str(code) in _PERMANENT_CODES:
        return RequestRefused(told, status=status)
    return TemporaryFailure(told, status=status, retry_after_seconds=retry_after_seconds)


def _object(data: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise ReplyBroken(f"the server sent what is not JSON: {data[:80]!r}") from None
    if not isinstance(value, dict):
        raise ReplyBroken(f"the server sent JSON that is no object: {data[:80]!r}")
    return value


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
