"""The client against a server that speaks the real protocol over real TCP."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from trunkline.speech.errors import (
    LanguageModelError,
    ReplyBroken,
    ReplyTimeout,
    RequestRefused,
    TemporaryFailure,
)
from trunkline.speech.interfaces import (
    Finished,
    Message,
    Piece,
    TextDelta,
    ToolCall,
    ToolSpec,
    Usage,
)
from trunkline.speech.openai import OpenAIModel, Patience

from .openai_server import (
    Answer,
    Exchange,
    Server,
    body,
    calls,
    chunk,
    error,
    events,
    serve,
    text,
)

ASK = (Message("system", "Be brief."), Message("user", "Hello?"))
QUICK = Patience(
    connect_seconds=2.0,
    first_token_seconds=2.0,
    between_tokens_seconds=2.0,
    total_seconds=4.0,
    backoff_seconds=0.005,
)
# Short waits only where a server says nothing on purpose: a busy machine is slow to answer.
STALLED = Patience(first_token_seconds=0.25, retries=0)


def run(
    *answers: Answer,
    use: Callable[[OpenAIModel, Server], Awaitable[Any]],
    patience: Patience = QUICK,
    **options: Any,
) -> Any:
    """Run ``use`` with a model and a server that gives these answers."""

    async def main() -> Any:
        async with serve(*answers) as server:
            model = OpenAIModel(server.url, patience=patience, **{"model": "tiny", **options})
            try:
                async with asyncio.timeout(10):
                    return await use(model, server)
            finally:
                await model.aclose()

    return asyncio.run(main())


async def pieces_of(model: OpenAIModel, *tools: ToolSpec) -> list[Piece]:
    return [piece async for piece in model.reply(ASK, tools)]


def ask(*answers: Answer, patience: Patience = QUICK, **options: Any) -> list[Piece]:
    async def use(model: OpenAIModel, _: Server) -> list[Piece]:
        return await pieces_of(model)

    return run(*answers, use=use, patience=patience, **options)  # type: ignore[no-any-return]


def failure(*answers: Answer, patience: Patience = QUICK, **options: Any) -> Any:
    """The error of asking, and the number of requests it took."""

    async def use(model: OpenAIModel, server: Server) -> tuple[LanguageModelError, int]:
        with pytest.raises(LanguageModelError) as caught:
            await pieces_of(model)
        return caught.value, len(server.chats)

    return run(*answers, use=use, patience=patience, **options)


async def left(server: Server) -> None:
    """Wait until the server has seen the client of its first chat go away."""
    while not server.chats:
        await asyncio.sleep(0.001)
    await server.chats[0].client_left.wait()


def said(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces if isinstance(piece, TextDelta))


# Replies


def test_text_is_streamed_with_its_end_and_its_cost() -> None:
    assert ask(text("Good ", "day", ".")) == [
        TextDelta("Good "),
        TextDelta("day"),
        TextDelta("."),
        Finished("stop", Usage(7, 3)),
    ]


def test_the_first_piece_is_there_before_the_second_is_written() -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.event(chunk({"content": "One"}))
        await go_on.wait()
        await exchange.event(chunk({"content": " two"}, "stop"))
        await exchange.event("[DONE]")
        await exchange.end()

    go_on = asyncio.Event()

    async def use(model: OpenAIModel, _: Server) -> None:
        reply = model.reply(ASK, ())
        assert await anext(reply) == TextDelta("One")
        go_on.set()
        assert [piece async for piece in reply] == [TextDelta(" two"), Finished("stop")]

    run(answer, use=use)


def test_one_tool_call_comes_in_fragments() -> None:
    arguments = '{"ticket": "9320", "loud": true}'
    assert ask(calls(("repair_status", arguments))) == [
        ToolCall("call_repair_status", "repair_status", arguments),
        Finished("tool_calls"),
    ]


def test_two_tool_calls_come_interleaved() -> None:
    pieces = ask(calls(("first", '{"a": 1}'), ("second", '{"b": [1, 2, 3]}'), fragment=2))
    assert pieces == [
        ToolCall("call_first", "first", '{"a": 1}'),
        ToolCall("call_second", "second", '{"b": [1, 2, 3]}'),
        Finished("tool_calls"),
    ]


def test_a_server_that_does_not_stream_is_read_whole() -> None:
    message = {"role": "assistant", "content": "All at once."}
    plain = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    assert ask(body(200, plain)) == [TextDelta("All at once."), Finished("stop")]


def test_single_bytes_slowly_are_as_good_as_chunks() -> None:
    async def drip(exchange: Exchange) -> None:
        raw = 'data: {"choices": [{"delta": {"content": "grün ✓"}}]}\r\n\r\ndata: [DONE]\r\n\r\n'
        await exchange.head()
        for byte in raw.encode():
            await exchange.write(bytes([byte]))
            await asyncio.sleep(0)
        await exchange.end()

    assert said(ask(drip)) == "grün ✓"


def test_keep_alive_comments_are_read_over() -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.write(b": OPENROUTER PROCESSING\n\n")
        await exchange.event(chunk({"content": "Hi"}))
        await exchange.write(b": ping\n\n")
        await exchange.event(chunk(reason="stop"))
        await exchange.event("[DONE]")
        await exchange.end()

    assert ask(answer) == [TextDelta("Hi"), Finished("stop")]


def test_a_huge_chunk_passes() -> None:
    huge = "word " * 200_000
    assert said(ask(events(chunk({"content": huge}, "stop"), "[DONE]"))) == huge


def test_a_reply_may_end_with_its_connection() -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        await exchange.raw(b'data: {"choices": [{"delta": {"content": "Hi"}}]}\n\n')
        await exchange.raw(b"data: [DONE]\n\n")
        exchange._writer.close()
        exchange.cut = True

    assert ask(answer) == [TextDelta("Hi"), Finished("stop")]


def test_a_finished_reply_does_not_wait_for_counts_that_never_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.event(chunk({"content": "Hi"}, "stop"))
        await exchange.stall()

    monkeypatch.setattr("trunkline.speech.openai.USAGE_GRACE_SECONDS", 0.02)
    assert ask(answer) == [TextDelta("Hi"), Finished("stop")]


# Requests


def test_a_request_carries_the_conversation_the_tools_and_the_options() -> None:
    async def use(model: OpenAIModel, server: Server) -> None:
        await pieces_of(model, ToolSpec("hang_up", "End the call."))
        sent = server.chats[0]
        assert sent.path == "/v1/chat/completions"
        assert sent.headers["authorization"] == "Bearer sk-1"
        assert sent.json["model"] == "tiny"
        assert sent.json["stream"] is True
        assert sent.json["temperature"] == 0.1
        assert sent.json["messages"][1] == {"role": "user", "content": "Hello?"}
        assert sent.json["tools"][0]["function"]["name"] == "hang_up"

    run(text("Hi"), use=use, api_key="sk-1", options={"temperature": 0.1})


def test_without_a_key_none_is_sent() -> None:
    async def use(model: OpenAIModel, server: Server) -> None:
        await pieces_of(model)
        assert "authorization" not in server.chats[0].headers

    run(text("Hi"), use=use)


def test_the_connection_is_used_again() -> None:
    async def use(model: OpenAIModel, server: Server) -> None:
        await model.warm_up()
        for _ in range(3):
            await pieces_of(model)
        assert {request.connection for request in server.requests} == {1}

    run(text("Hi"), use=use)


def test_without_a_name_the_first_model_is_taken_and_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with serve(text("Hi"), models=["small", "large"]) as server:
            model = OpenAIModel(server.url, patience=QUICK)
            assert model.name == "openai:?"
            # Several calls at once ask for the list once.
            await asyncio.gather(*(pieces_of(model) for _ in range(3)))
            assert model.name == "openai:small"
            assert [one.json["model"] for one in server.chats] == ["small"] * 3
            assert len(server.requests) == 4
            await model.aclose()

    with caplog.at_level(logging.INFO, "trunkline.speech.openai"):
        asyncio.run(main())
    assert "small" in caplog.text


def test_a_server_without_models_is_refused() -> None:
    async def main() -> None:
        async with serve(models=[]) as server:
            model = OpenAIModel(server.url, patience=QUICK)
            with pytest.raises(RequestRefused, match="name one"):
                await model.warm_up()
            await model.aclose()

    asyncio.run(main())


def test_a_model_the_server_does_not_list_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    async def use(model: OpenAIModel, _: Server) -> str:
        return await model.warm_up()

    with caplog.at_level(logging.WARNING, "trunkline.speech.openai"):
        assert run(use=use, model="other") == "other"
    assert "other" in caplog.text


def test_an_older_server_is_asked_again_without_the_counts() -> None:
    async def use(model: OpenAIModel, server: Server) -> None:
        assert said(await pieces_of(model)) == "Hi"
        assert said(await pieces_of(model)) == "Hi"
        assert ["stream_options" in one.json for one in server.chats] == [True, False, False]

    run(error(400, "Unknown field: stream_options"), text("Hi"), use=use)


# Failures


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (error(401, "Incorrect API key provided: sk-1", "invalid_api_key"), "check the API key"),
        (error(404, "The model `tiny` does not exist", "model_not_found"), "model's name"),
        (error(400, "context too long"), "context too long"),
        (error(429, "You exceeded your quota", "insufficient_quota"), "quota"),
        (body(403, "<h1>Forbidden</h1>", "text/html"), "Forbidden"),
        (body(301, "", "text/html", Location="https://elsewhere/"), "https://elsewhere/"),
    ],
)
def test_what_will_not_get_better_is_not_asked_again(answer: Answer, told: str) -> None:
    error, requests = failure(answer, api_key="sk-1")
    assert isinstance(error, RequestRefused)
    assert requests == 1
    assert told in str(error)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 529])
def test_what_may_get_better_is_asked_again(status: int) -> None:
    async def use(model: OpenAIModel, server: Server) -> None:
        assert said(await pieces_of(model)) == "Now"
        assert len(server.chats) == 2

    run(error(status, "busy"), text("Now"), use=use)


def test_attempts_are_bounded() -> None:
    error, requests = failure(body(500, "boom", "text/plain"))
    assert type(error) is TemporaryFailure
    assert (error.status, requests) == (500, 3)


def test_retry_after_is_obeyed_when_there_is_time() -> None:
    async def use(model: OpenAIModel, server: Server) -> None:
        start = asyncio.get_running_loop().time()
        assert said(await pieces_of(model)) == "Now"
        assert asyncio.get_running_loop().time() - start >= 0.05

    run(error(429, "slow down", retry_after="0.05"), text("Now"), use=use)


@pytest.mark.parametrize("when", ["60", "Fri, 31 Dec 2100 23:59:59 GMT"])
def test_a_wait_longer_than_the_caller_has_is_told_at_once(when: str) -> None:
    error, requests = failure(error_429(when))
    assert requests == 1
    assert error.retry_after_seconds >= 59


def error_429(when: str) -> Answer:
    return error(429, "slow down", retry_after=when)


@pytest.mark.parametrize("when", ["soon", "-5", "Fri, 31 Dec 1999 23:59:59 GMT"])
def test_a_senseless_retry_after_does_no_harm(when: str) -> None:
    assert said(ask(error_429(when), text("Now"))) == "Now"


async def _stall(exchange: Exchange) -> None:
    await exchange.stall()


async def _headers_then_stall(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.stall()


async def _only_reasoning(exchange: Exchange) -> None:
    await exchange.head()
    while not exchange.request.client_left.is_set():
        await exchange.event(chunk({"reasoning_content": "Hmm"}))
        await exchange.write(b": ping\n\n")
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("answer", [_stall, _headers_then_stall, _only_reasoning])
def test_a_server_that_does_not_begin_times_out_and_is_hung_up_on(answer: Answer) -> None:
    async def use(model: OpenAIModel, server: Server) -> None:
        with pytest.raises(ReplyTimeout, match="did not begin") as caught:
            await pieces_of(model)
        assert caught.value.partial == ""
        await left(server)

    run(answer, use=use, patience=STALLED)


def test_a_stall_before_the_first_token_is_asked_again() -> None:
    patience = Patience(first_token_seconds=0.3, backoff_seconds=0.001)
    assert said(ask(_headers_then_stall, text("Now"), patience=patience)) == "Now"


def test_all_attempts_together_have_an_end() -> None:
    patience = Patience(
        first_token_seconds=0.05, total_seconds=0.08, backoff_seconds=0.001, retries=100
    )
    error, requests = failure(_stall, patience=patience)
    assert isinstance(error, ReplyTimeout)
    assert requests <= 2


async def _stall_midway(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.event(chunk({"content": "Your bicycle"}))
    await exchange.write(b": ping\n\n")
    await exchange.stall()


async def _cut_midway(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.event(chunk({"content": "Your bicycle"}))
    await asyncio.sleep(0.01)
    exchange.abort()


async def _end_midway(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.event(chunk({"content": "Your bicycle"}))
    await exchange.end()


@pytest.mark.parametrize(
    ("answer", "kind", "between_tokens_seconds"),
    [
        (_stall_midway, ReplyTimeout, 0.05),
        (_cut_midway, ReplyBroken, 2.0),
        (_end_midway, ReplyBroken, 2.0),
        (events(chunk({"content": "Your bicycle"}), "{not json"), ReplyBroken, 2.0),
        (
            events(chunk({"content": "Your bicycle"}), {"error": {"message": "overloaded"}}),
            TemporaryFailure,
            2.0,
        ),
    ],
)
def test_what_breaks_off_is_not_asked_again_and_tells_what_was_said(
    answer: Answer, kind: type[LanguageModelError], between_tokens_seconds: float
) -> None:
    patience = Patience(between_tokens_seconds=between_tokens_seconds, backoff_seconds=0.001)
    error, requests = failure(answer, text("again"), patience=patience)
    assert isinstance(error, kind)
    assert error.partial == "Your bicycle"
    assert requests == 1


async def _cut_at_once(exchange: Exchange) -> None:
    exchange.abort()


@pytest.mark.parametrize(
    "answer",
    [
        _cut_at_once,
        events("{not json"),
        events("[DONE]"),
        body(200, "<html>hello</html>", "text/html"),
        events({"error": {"message": "warming up", "code": 503}}),
    ],
)
def test_what_breaks_before_the_first_token_is_asked_again(answer: Answer) -> None:
    assert said(ask(answer, text("Now"))) == "Now"


def test_an_event_without_end_is_cut_off() -> None:
    async def flood(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.event(chunk({"content": "Hi"}))
        while not exchange.request.client_left.is_set():
            await exchange.write(b"data: " + b"x" * 1_000_000)

    error, _ = failure(flood)
    assert isinstance(error, ReplyBroken)
    assert error.partial == "Hi"


def test_a_server_that_is_not_there_is_a_temporary_failure() -> None:
    async def main() -> None:
        async with serve() as server:
            url = server.url
        model = OpenAIModel(url, model="tiny", patience=Patience(retries=0))
        with pytest.raises(TemporaryFailure, match="cannot connect"):
            await pieces_of(model)
        await model.aclose()

    asyncio.run(main())


def test_a_connection_the_server_closed_while_idle_is_no_failure() -> None:
    async def once(exchange: Exchange) -> None:
        await text("Hi")(exchange)
        exchange.abort()

    async def use(model: OpenAIModel, server: Server) -> None:
        for _ in range(3):
            assert said(await pieces_of(model)) == "Hi"
            await asyncio.sleep(0.01)
        assert server.connections == 3

    run(once, use=use)


@pytest.mark.parametrize(
    "answer",
    [
        error(401, "Incorrect API key provided: sk-very-secret"),
        body(500, "Authorization: Bearer sk-very-secret", "text/plain"),
        _cut_at_once,
        _stall,
    ],
)
def test_the_key_is_in_no_error_no_log_and_no_repr(
    answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        error, _ = failure(answer, api_key="sk-very-secret", patience=STALLED)
    shown = [caplog.text, repr(error), str(error)]
    cause: BaseException | None = error
    while cause is not None:
        shown.append(repr(cause))
        if not cause.__suppress_context__:
            shown.append(repr(cause.__context__))
        cause = cause.__cause__
    model = OpenAIModel("http://127.0.0.1:1", api_key="sk-very-secret")
    assert "sk-very-secret" not in "".join([*shown, repr(model), repr(vars(model))])


# Cancelling


async def _talks_for_ever(exchange: Exchange) -> None:
    await exchange.head()
    while not exchange.request.client_left.is_set():
        await exchange.event(chunk({"content": "and "}))
        await asyncio.sleep(0.001)


def test_closing_the_reply_hangs_up_on_the_server() -> None:
    async def use(model: OpenAIModel, server: Server) -> None:
        reply = model.reply(ASK, ())
        assert await anext(reply) == TextDelta("and ")
        await reply.aclose()  # type: ignore[attr-defined]
        await left(server)

    run(_talks_for_ever, use=use)


@pytest.mark.parametrize("answer", [_stall, _headers_then_stall, _stall_midway])
def test_cancelling_whoever_waits_hangs_up_on_the_server(answer: Answer) -> None:
    async def use(model: OpenAIModel, server: Server) -> None:
        task = asyncio.create_task(pieces_of(model))
        while not server.chats:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await left(server)

    run(answer, use=use)


def test_after_a_cancelled_reply_the_next_one_works() -> None:
    async def use(model: OpenAIModel, server: Server) -> None:
        reply = model.reply(ASK, ())
        await anext(reply)
        await reply.aclose()  # type: ignore[attr-defined]
        assert said(await pieces_of(model)) == "Yes?"

    run(_talks_for_ever, text("Yes?"), use=use)


def test_many_replies_at_once_do_not_mix() -> None:
    async def echo(exchange: Exchange) -> None:
        await exchange.head()
        for word in exchange.request.json["messages"][0]["content"].split():
            await exchange.event(chunk({"content": word + " "}))
            await asyncio.sleep(0)
        await exchange.event("[DONE]")
        await exchange.end()

    async def use(model: OpenAIModel, _: Server) -> None:
        async def one(number: int) -> None:
            words = f"{number} " * 5
            messages = [Message("user", words)]
            assert said([piece async for piece in model.reply(messages, ())]) == words

        await asyncio.gather(*(one(number) for number in range(40)))

    run(echo, use=use)


def test_a_model_expects_anything() -> None:
    assert OpenAIModel("http://127.0.0.1:1").expects(ASK) is None


# The server of these tests is what the official client takes for one


def test_the_official_client_reads_our_server_as_we_do() -> None:
    openai = pytest.importorskip("openai")

    async def main() -> None:
        answers = [text("Good ", "day"), calls(("first", '{"a": 1}'), ("second", '{"b": 2}'))]
        async with serve(*answers, error(429, "slow", "rate_limit_exceeded")) as server:
            client = openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="sk-1", max_retries=0)
            assert [model.id async for model in client.models.list()] == ["tiny"]

            async def stream() -> list[Any]:
                chunks = await client.chat.completions.create(
                    model="tiny", messages=[{"role": "user", "content": "Hi"}], stream=True
                )
                return [one async for one in chunks]

            first = await stream()
            told = [one.choices[0].delta.content for one in first if one.choices]
            assert "".join(part or "" for part in told) == "Good day"
            assert first[-1].usage.completion_tokens == 2
            arguments = {0: "", 1: ""}
            for one in await stream():
                for call in one.choices[0].delta.tool_calls or ():
                    arguments[call.index] += call.function.arguments or ""
            assert arguments == {0: '{"a": 1}', 1: '{"b": 2}'}
            with pytest.raises(openai.RateLimitError):
                await stream()
            await client.close()

    asyncio.run(main())


# Lists of models that servers give, or do not


async def listing(status: int, content: str, use: Callable[[OpenAIModel], Awaitable[Any]]) -> Any:
    """Use a model of a server that answers every request with this."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status} x\r\ncontent-length: {len(content)}\r\nconnection: close\r\n\r\n"
        writer.write((head + content).encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    model = OpenAIModel(f"http://127.0.0.1:{port}", model="tiny", patience=QUICK)
    try:
        async with asyncio.timeout(10):
            return await use(model)
    finally:
        await model.aclose()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("status", [403, 404, 405])
def test_a_server_that_does_not_list_its_models_is_used_with_the_name_that_is_given(
    status: int,
) -> None:
    assert asyncio.run(listing(status, "{}", lambda model: model.warm_up())) == "tiny"


def test_a_wrong_key_is_told_before_the_first_call() -> None:
    with pytest.raises(RequestRefused, match="check the API key"):
        asyncio.run(listing(401, "{}", lambda model: model.warm_up()))


@pytest.mark.parametrize(
    "content", ["<html>", '{"models": []}', '{"data": 5}', '{"data": [{}]}', "[" * 100_000]
)
def test_what_is_no_list_of_models_stops_nobody_who_names_one(content: str) -> None:
    assert asyncio.run(listing(200, content, lambda model: model.warm_up())) == "tiny"


def test_a_name_the_server_does_not_list_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    content = '{"data": [{"id": "small"}, {"id": "large"}]}'
    assert asyncio.run(listing(200, content, lambda model: model.warm_up())) == "tiny"
    assert "does not list the model tiny" in caplog.text
