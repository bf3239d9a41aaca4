"""WebSockets over TLS, made and accepted, with certificates that the tests issue."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import WebSocketException

from trunkline.media.engine import Engine
from trunkline.transports import stream as stream_module
from trunkline.transports.media_thread import MediaThread
from trunkline.transports.stream import L16Stream, StreamEnded, open_stream
from trunkline.transports.websocket import Connection, Limits, Watch
from trunkline.transports.websocket_server import WebSocketServer

from .test_stream import DESCRIPTION, FRAME, make_line, run, until


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.WARNING)
    yield
    ours = [
        record for record in caplog.get_records("call") if not record.name.startswith("websockets")
    ]
    assert not ours, [(record.name, record.getMessage()) for record in ours]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Have the process trust the authority, as an operator would."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    stream_module.system_trust.cache_clear()
    yield
    stream_module.system_trust.cache_clear()


def presenting(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """A server's side of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@asynccontextmanager
async def bot(tls: ssl.SSLContext | None) -> AsyncIterator[str]:
    """A bot that answers each frame with the same audio."""
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)

    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            if isinstance(message, bytes):
                await connection.send(message)

    async with serve(echo, "127.0.0.1", 0, ssl=tls) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"wss://localhost:{port}/bot"


async def refused_by(url: str, tls: ssl.SSLContext | None = None) -> StreamEnded:
    line = make_line()
    watch = Watch(asyncio.get_running_loop())
    stream = L16Stream(line, line.lane, DESCRIPTION, line.observe)
    ended = await open_stream(stream, url, watch, tls=tls)
    assert not line.lane.ears
    assert not watch.connections
    return ended


@pytest.mark.usefixtures("trusted")
def test_a_call_is_streamed_over_tls_both_ways(authority: trustme.CA) -> None:
    async def body() -> None:
        async with bot(presenting(authority.issue_cert("localhost"))) as url:
            line = make_line()
            watch = Watch(asyncio.get_running_loop())
            stream = L16Stream(line, line.lane, DESCRIPTION, line.observe)
            ended = asyncio.create_task(open_stream(stream, url, watch))
            await until(lambda: bool(line.lane.ears))
            for _ in range(5):
                line.say(FRAME)
            await until(lambda: line.lane.playout.queued_samples == 5 * 160)
            line.tick(6)
            assert line.played.startswith(FRAME.tobytes() * 5)
            stream.close()
            assert (await ended).reason == "cancelled"

    run(body)


def test_a_trust_of_ones_own_may_be_given(authority: trustme.CA) -> None:
    trust = ssl.create_default_context()
    authority.configure_trust(trust)

    async def body() -> None:
        async with bot(presenting(authority.issue_cert("somebody.else"))) as url:
            ended = await refused_by(url, trust)
            assert ended.reason == "refused"
            assert "hostname mismatch" in ended.detail

    run(body)


def test_an_unknown_authority_is_named_as_the_reason(authority: trustme.CA) -> None:
    async def body() -> None:
        async with bot(presenting(authority.issue_cert("localhost"))) as url:
            ended = await refused_by(url)
            assert ended.reason == "refused"
            assert ended.code is None
            assert "certificate verify failed: unable to get local issuer" in ended.detail
            assert "_ssl.c" not in ended.detail

    run(body)


@pytest.mark.usefixtures("trusted")
def test_an_expired_certificate_is_named_as_the_reason(authority: trustme.CA) -> None:
    past = datetime.now(UTC) - timedelta(days=1)

    async def body() -> None:
        async with bot(presenting(authority.issue_cert("localhost", not_after=past))) as url:
            ended = await refused_by(url)
            assert ended.reason == "refused"
            assert "certificate has expired" in ended.detail

    run(body)


@pytest.mark.parametrize(
    ("reply", "told"),
    [(b"HTTP/1.1 400 Bad Request\r\n\r\n", "no TLS"), (b"", "cut in the handshake")],
)
def test_a_bot_without_tls_is_an_end_that_says_so(reply: bytes, told: str) -> None:
    async def body() -> None:
        async def no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(10_000)
            writer.write(reply)
            writer.close()

        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        async with await asyncio.start_server(no_tls, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            ended = await refused_by(f"wss://localhost:{port}/bot")
            assert ended.reason == "error"
            assert told in ended.detail

    run(body)


class Echo(Connection):
    """Sends back what it hears."""

    def text(self, data: bytes) -> None:
        self.send(data)


@asynccontextmanager
async def listening(authority: trustme.CA) -> AsyncIterator[WebSocketServer]:
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    tls = presenting(authority.issue_cert("localhost"))
    server = WebSocketServer("127.0.0.1", 0, limits=Limits(close_seconds=0.1), tls=tls)
    server.route("/calls", lambda upgrade: Echo(server.limits))
    await server.start()
    try:
        yield server
    finally:
        await server.close()
        assert not server.connections


def test_calls_are_accepted_over_tls(authority: trustme.CA) -> None:
    trust = ssl.create_default_context()
    authority.configure_trust(trust)

    async def body() -> None:
        async with listening(authority) as server:
            url = f"wss://localhost:{server.port}/calls"
            async with connect(url, ssl=trust) as client:
                await client.send("hello")
                assert await client.recv() == "hello"
            assert server.accepted == 1

    run(body)


def test_who_speaks_no_tls_is_not_let_in_and_keeps_nobody_else_out(authority: trustme.CA) -> None:
    trust = ssl.create_default_context()
    authority.configure_trust(trust)

    async def body() -> None:
        async with listening(authority) as server:
            with pytest.raises((WebSocketException, OSError, EOFError)):
                await connect(f"ws://localhost:{server.port}/calls", open_timeout=2)
            silent = await asyncio.open_connection("127.0.0.1", server.port)
            with pytest.raises(ssl.SSLCertVerificationError):
                await connect(f"wss://localhost:{server.port}/calls")
            async with connect(f"wss://localhost:{server.port}/calls", ssl=trust) as client:
                await client.send("still here")
                assert await client.recv() == "still here"
            silent[1].close()

    run(body)


def test_a_handshake_broken_off_is_nothing_to_log(capfd: pytest.CaptureFixture[str]) -> None:
    async def body() -> None:
        media = MediaThread(Engine(), asyncio.get_running_loop(), watch=False)
        media.start()
        try:
            async with bot(None) as url:
                ended = await media.run_async(lambda: refused_by(url))
                assert ended.reason == "error"
                assert ended.detail
        finally:
            await media.stop()

    run(body)
    assert capfd.readouterr().err == ""


def test_other_surprises_of_the_media_loop_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        media = MediaThread(Engine(), asyncio.get_running_loop(), watch=False)
        media.start()
        try:
            await media.run(media.loop.call_exception_handler, {"message": "a surprise"})
        finally:
            await media.stop()

    run(body)
    assert "a surprise" in caplog.text
    caplog.clear()
