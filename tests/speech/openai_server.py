"""A chat-completions server over real TCP, told by a test what to answer.

It speaks just enough HTTP/1.1 to be taken for one: keep-alive, chunked bodies written
piece by piece when the test says so, and connections cut in the middle. Each request is
kept; so is whether the client went away while it was being answered.

    async with serve(text("Hello ", "there")) as server:
        ... server.url ... server.requests[0].json["model"]
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

CREATED = 1_700_000_000


@dataclass
class Request:
    """One request, and how it went."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    client_left: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Exchange:
    """What an answer writes to."""

    def __init__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.request = request
        self._writer = writer
        self.cut = False

    async def head(
        self, status: int = 200, kind: str = "text/event-stream", **headers: str
    ) -> None:
        lines = [f"HTTP/1.1 {status} Whatever", f"Content-Type: {kind}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        lines += ["Transfer-Encoding: chunked", "", ""]
        await self.raw("\r\n".join(lines).encode())

    async def write(self, data: bytes) -> None:
        """Some of the body, at once on the wire."""
        await self.raw(b"%x\r\n%s\r\n" % (len(data), data))

    async def raw(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def event(self, data: object) -> None:
        text = data if isinstance(data, str) else json.dumps(data)
        await self.write(f"data: {text}\n\n".encode())

    async def end(self) -> None:
        await self.raw(b"0\r\n\r\n")

    async def stall(self) -> None:
        """Say nothing more, until the client has had enough."""
        await self.request.client_left.wait()

    def abort(self) -> None:
        """Cut the connection, with a reset where the system sends one."""
        self.cut = True
        self._writer.transport.abort()


Answer = Callable[[Exchange], Awaitable[None]]


@dataclass
class Server:
    """A running server: answers in order, the last again and again."""

    answers: list[Answer]
    models: list[str]
    url: str = ""
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    @property
    def chats(self) -> list[Request]:
        return [one for one in self.requests if one.path.endswith("/chat/completions")]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            connection = self.connections
            while (request := await self._read(reader, connection)) is not None:
                self.requests.append(request)
                if not await self._answer(request, reader, writer):
                    break
        writer.close()
        self._tasks.discard(task)

    async def _read(self, reader: asyncio.StreamReader, connection: int) -> Request | None:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").strip().split("\r\n")
        method, path, _ = first.split(" ")
        pairs = [line.partition(":") for line in lines]
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        return Request(method, path, headers, body, connection)

    async def _answer(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one request; False when the connection is over."""
        exchange = Exchange(request, writer)
        if request.path.endswith("/models"):
            listed = [{"id": name, "object": "model"} for name in self.models]
            await body(200, {"object": "list", "data": listed})(exchange)
            return True
        answer = self.answers[min(len(self.chats), len(self.answers)) - 1]
        # A client says nothing while it is answered: anything read is its leaving.
        watch = asyncio.ensure_future(reader.read(1))
        watch.add_done_callback(lambda done: done.cancelled() or request.client_left.set())
        try:
            await answer(exchange)
        finally:
            watch.cancel()
            await asyncio.wait([watch])
        return watch.cancelled() and not exchange.cut

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def serve(*answers: Answer, models: Sequence[str] = ("tiny",)) -> AsyncIterator[Server]:
    server = Server(list(answers) or [text("Hello.")], list(models))
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()
    server.url = f"http://{host}:{port}"
    try:
        yield server
    finally:
        listener.close()
        await server.stop()


def chunk(
    delta: dict[str, Any] | None = None, reason: str | None = None, **more: Any
) -> dict[str, Any]:
    """One chunk of a streamed reply, with everything the official client insists on."""
    choices = [{"index": 0, "delta": delta or {}, "finish_reason": reason, "logprobs": None}]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": "tiny",
        "choices": choices,
        **more,
    }


def usage(prompt: int, completion: int) -> dict[str, Any]:
    counts = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    return {**chunk(), "choices": [], "usage": counts}


def text(*parts: str, reason: str = "stop") -> Answer:
    """A reply in so many pieces, with its usage and its end."""
    return events(
        chunk({"role": "assistant", "content": ""}),
        *(chunk({"content": part}) for part in parts),
        chunk(reason=reason),
        usage(7, len(parts)),
        "[DONE]",
    )


def calls(*wanted: tuple[str, str], fragment: int = 3) -> Answer:
    """Tool calls (name, arguments), the arguments in fragments, interleaved."""
    made: list[object] = [chunk({"role": "assistant", "content": None})]
    for index, (name, _) in enumerate(wanted):
        function = {"name": name, "arguments": ""}
        call = {"index": index, "id": f"call_{name}", "type": "function", "function": function}
        made.append(chunk({"tool_calls": [call]}))
    longest = max(len(arguments) for _, arguments in wanted)
    for start in range(0, longest, fragment):
        for index, (_, arguments) in enumerate(wanted):
            if part := arguments[start : start + fragment]:
                call = {"index": index, "function": {"arguments": part}}
                made.append(chunk({"tool_calls": [call]}))
    return events(*made, chunk(reason="tool_calls"), "[DONE]")


def events(*data: object) -> Answer:
    """These events, then the end of the body."""

    async def answer(exchange: Exchange) -> None:
        await exchange.head()
        for one in data:
            await exchange.event(one)
        await exchange.end()

    return answer


def body(status: int, content: object, kind: str = "application/json", **headers: str) -> Answer:
    """A whole body at once."""
    raw = content if isinstance(content, str) else json.dumps(content)

    async def answer(exchange: Exchange) -> None:
        await exchange.head(status, kind, **headers)
        await exchange.write(raw.encode())
        await exchange.end()

    return answer


def error(status: int, message: str, code: str | None = None, **headers: str) -> Answer:
    """An error as the API reports it."""
    told = {"message": message, "type": "error", "param": None, "code": code}
    return body(status, {"error": told}, **headers)
