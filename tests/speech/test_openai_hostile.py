"""Servers that do worse than fail: what leaks, what never ends, what is no answer at all."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from trunkline.speech import chat
from trunkline.speech.errors import LanguageModelError, ReplyBroken, RequestRefused
from trunkline.speech.interfaces import Message, TextDelta
from trunkline.speech.openai import OpenAIModel, Patience

from .openai_server import Answer, Exchange, body, chunk, error, events, serve

KEY = "sk-very-secret-0123456789"
ASK = (Message("user", "Hello?"),)
QUICK = Patience(
    connect_seconds=2.0,
    first_token_seconds=2.0,
    total_seconds=4.0,
    retries=1,
    backoff_seconds=0.005,
)


def failure(*answers: Answer, patience: Patience = QUICK) -> tuple[LanguageModelError, int]:
    """The error of asking with a key, and how many requests it took."""

    async def main() -> tuple[LanguageModelError, int]:
        async with serve(*answers) as server, asyncio.timeout(10):
            model = OpenAIModel(server.url, model="tiny", api_key=KEY, patience=patience)
            try:
                with pytest.raises(LanguageModelError) as caught:
                    async for _ in model.reply(ASK, ()):
                        pass
            finally:
                await model.aclose()
            return caught.value, len(server.chats)

    return asyncio.run(main())


# The key


@pytest.mark.parametrize(
    "answer",
    [
        events({"error": {"message": f"no such key: {KEY}"}}),
        events(chunk({"content": "Yes"}), {"error": {"message": f"no such key: {KEY}"}}),
        events(f"not JSON but {KEY}"),
        events(f'["{KEY}"]'),
        body(200, f"not JSON but {KEY}", "application/json"),
        error(400, "x" * 285 + KEY),
        body(502, "x" * 65_530 + KEY, "text/plain"),
        error(307, "elsewhere", Location=f"http://127.0.0.1:1/?key={KEY}"),
    ],
)
def test_no_part_of_the_key_is_repeated(answer: Answer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="trunkline"):
        failed, _ = failure(answer)
    assert KEY[:12] not in f"{failed!r} {failed} {caplog.text}"


# What never ends


async def _words_without_end(exchange: Exchange) -> None:
    await exchange.head()
    many = b"".join(
        b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % (b"word " * 200)
        for _ in range(20)
    )
    while not exchange.request.client_left.is_set():
        await exchange.write(many)


async def _arguments_without_end(exchange: Exchange) -> None:
    await exchange.head()
    call: dict[str, Any] = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}}
    await exchange.event(chunk({"tool_calls": [call]}))
    more = chunk({"tool_calls": [{"index": 0, "function": {"arguments": " " * 2000}}]})
    while not exchange.request.client_left.is_set():
        await exchange.event(more)


@pytest.mark.parametrize("answer", [_words_without_end, _arguments_without_end])
def test_a_reply_without_end_is_cut_off(answer: Answer) -> None:
    failed, requests = failure(answer)
    assert isinstance(failed, ReplyBroken)
    assert str(chat.MAX_REPLY_CHARACTERS) in str(failed)
    assert len(failed.partial) <= chat.MAX_REPLY_CHARACTERS
    assert requests == (1 if failed.partial else 2)


# What is no answer


@pytest.mark.parametrize("status", [201, 204, 301, 307, 308])
def test_another_status_is_not_taken_for_a_reply(status: int) -> None:
    failed, requests = failure(body(status, "", "text/plain", Location="http://127.0.0.1:1/"))
    assert isinstance(failed, RequestRefused)
    assert failed.status == status
    assert requests == 1


def test_a_page_is_not_taken_for_a_reply() -> None:
    failed, _ = failure(body(200, "<html><body>Log in</body></html>", "text/html"))
    assert isinstance(failed, ReplyBroken)
    assert "Log in" in str(failed)


def test_a_choice_without_a_number_is_the_first() -> None:
    reader = chat.ReplyReader()
    data = '{"choices": [{"index": null, "delta": {"content": "x"}, "finish_reason": "stop"}]}'
    assert list(reader.feed(data)) == [TextDelta("x")]


def test_no_gateway_is_asked_to_compress() -> None:
    async def main() -> str:
        async with serve() as server:
            await first_model(server.url)
            return server.requests[0].headers["accept-encoding"]

    assert asyncio.run(main()) == "identity"


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@asynccontextmanager
async def tls_server(authority: trustme.CA, name: str) -> AsyncIterator[tuple[str, list[str]]]:
    """One that lists a model, for whoever trusts it; its URL, and each handshake's host."""
    handshakes: list[str] = []
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    context.sni_callback = lambda connection, host, used: handshakes.append(host)
    asyncio.get_running_loop().set_exception_handler(lambda loop, told: None)

    async def list_models(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        listed = b'{"data": [{"id": "tiny"}]}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(listed), listed))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(list_models, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}", handshakes


async def first_model(url: str) -> str:
    model = OpenAIModel(url, patience=QUICK)
    try:
        return await model.warm_up()
    finally:
        await model.aclose()


def test_a_certificate_nobody_vouches_for_is_refused_at_once(authority: trustme.CA) -> None:
    async def main() -> None:
        async with tls_server(authority, "localhost") as (url, handshakes):
            model = OpenAIModel(url, model="tiny", patience=QUICK)
            with pytest.raises(RequestRefused, match=r"cannot trust .*certificate.*SSL_CERT_FILE"):
                await anext(model.reply(ASK, ()))
            await model.aclose()
            assert handshakes == ["localhost"]

    asyncio.run(main())


def test_an_authority_of_ones_own_is_trusted_when_it_is_named(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))

    async def main() -> None:
        async with tls_server(authority, "localhost") as (url, _):
            assert await first_model(url) == "tiny"
        async with tls_server(authority, "somebody.else") as (url, _):
            with pytest.raises(RequestRefused, match="localhost"):
                await first_model(url)

    asyncio.run(main())
