"""WebSockets on the media thread: who gets in, what is sent, how it ends."""

import asyncio
import contextlib
import logging
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvloop
from picows import WSMsgType
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from trunkline.errors import ConfigError
from trunkline.transports.websocket import Closed, Connection, Limits
from trunkline.transports.websocket_server import Reply, Upgrade, WebSocketServer

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class Recorder(Connection):
    """Echoes, and keeps what it was told."""

    def __init__(self, limits: Limits | None = None) -> None:
        super().__init__(limits or Limits())
        self.told: list[Any] = []
        self.gone: asyncio.Future[Closed] = asyncio.get_running_loop().create_future()
        self.checks = 0

    def opened(self) -> None:
        self.told.append("opened")

    def text(self, data: bytes) -> None:
        self.told.append(data)
        self.send(data)

    def binary(self, data: bytes) -> None:
        self.told.append(data)
        self.send_media(WSMsgType.BINARY, data)

    def closed(self, closed: Closed) -> None:
        assert not self.gone.done(), "closed twice"
        self.gone.set_result(closed)

    def checked(self, now: float) -> None:
        self.checks += 1


class Buggy(Recorder):
    def text(self, data: bytes) -> None:
        raise RuntimeError("a bug of ours")


@contextlib.asynccontextmanager
async def serving(
    limits: Limits | None = None, kind: type[Recorder] = Recorder, **options: Any
) -> AsyncIterator[tuple[WebSocketServer, list[Recorder]]]:
    server = WebSocketServer("127.0.0.1", 0, limits=limits, **options)
    made: list[Recorder] = []

    def door(upgrade: Upgrade) -> Connection:
        made.append(kind(server.limits))
        return made[-1]

    server.route("/echo", door)
    await server.start()
    try:
        yield server, made
    finally:
        await server.close()


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(10):
            await body()

    uvloop.run(bounded())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def url(server: WebSocketServer, path: str = "/echo") -> str:
    return f"ws://127.0.0.1:{server.port}{path}"


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    """A masked frame, as a client must send it."""
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    size = len(payload)
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += bytes([0x80 | 126]) + struct.pack("!H", size)
    else:
        head += bytes([0x80 | 127]) + struct.pack("!Q", size)
    mask = b"\1\2\3\4"
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


def request(path: str = "/echo", **headers: str) -> bytes:
    fields = {
        "Host": "127.0.0.1",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": KEY,
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}" for name, value in fields.items() if value]
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode()


@contextlib.asynccontextmanager
async def raw(
    server: WebSocketServer, handshake: bytes = b""
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A socket that may misbehave; upgraded unless told otherwise."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(handshake or request())
    if not handshake:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in head
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def status(server: WebSocketServer, handshake: bytes) -> tuple[int, bytes]:
    async with raw(server, handshake) as (reader, _):
        answer = await reader.read()
    return int(answer.split(b" ", 2)[1]), answer


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Any:
    """Whatever a peer does, it is not worth a line above DEBUG."""
    caplog.set_level(logging.INFO)
    yield
    records = caplog.get_records("call")  # `caplog.records` are those of the teardown by now
    assert not records, [record.getMessage() for record in records]


def test_messages_go_both_ways_and_the_end_is_told_once() -> None:
    async def body() -> None:
        async with serving() as (server, made), connect(url(server)) as peer:
            await peer.send("hello")
            await peer.send(b"\0\1")
            assert await peer.recv() == "hello"
            assert await peer.recv() == b"\0\1"
            await peer.close(1000, "bye")
            assert await made[0].gone == Closed(1000, "bye", "them", clean=True)
            assert made[0].told == ["opened", b"hello", b"\0\1"]
            assert not made[0].is_open

    run(body)


def test_we_close_with_a_code_and_a_reason() -> None:
    async def body() -> None:
        async with serving() as (server, made), connect(url(server)) as peer:
            await until(lambda: bool(made) and made[0].is_open)
            made[0].close(1008, "é" * 100)
            made[0].close(1000, "again")
            with pytest.raises(ConnectionClosed) as caught:
                await peer.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1008
            assert caught.value.rcvd.reason == "é" * 61
            assert (await made[0].gone).by == "us"

    run(body)


def test_a_peer_that_does_not_answer_our_close_is_cut() -> None:
    async def body() -> None:
        limits = Limits(close_seconds=0.03)
        async with serving(limits) as (server, made), raw(server) as (reader, _):
            await until(lambda: bool(made) and made[0].is_open)
            made[0].close(1001, "later")
            closed = await made[0].gone
            assert closed == Closed(1001, "later", "us", clean=False)
            assert await reader.read() == b"\x88\x07\x03\xe9later"

    run(body)


def test_sending_after_the_end_does_nothing() -> None:
    async def body() -> None:
        async with serving() as (server, made):
            async with connect(url(server)):
                await until(lambda: bool(made) and made[0].is_open)
            await made[0].gone
            made[0].send(b"x")
            assert not made[0].send_media(WSMsgType.TEXT, b"x")
            made[0].close()
            made[0].abort()

    run(body)


def test_a_lost_connection_is_an_end() -> None:
    async def body() -> None:
        async with serving() as (server, made):
            async with raw(server) as (_, writer):
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            assert await made[0].gone == Closed(1006, "connection lost", "them", clean=False)

    run(body)


def test_a_half_closed_socket_is_an_end() -> None:
    async def body() -> None:
        async with serving() as (server, made), raw(server) as (reader, writer):
            writer.write_eof()
            assert (await made[0].gone).code == 1006
            assert await reader.read() == b""

    run(body)


def test_fragments_become_one_message() -> None:
    async def body() -> None:
        async with serving() as (server, made), raw(server) as (_, writer):
            writer.write(frame(1, b"he", fin=False) + frame(0, b"l", fin=False))
            writer.write(frame(9, b"ping between") + frame(0, b"lo"))
            writer.write(frame(2, b"", fin=False) + frame(0, b"\7"))
            await until(lambda: made[0].told[-1] == b"\7")
            assert made[0].told == ["opened", b"hello", b"\7"]

    run(body)


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (frame(0, b"x"), 1002),
        (frame(1, b"x", fin=False) + frame(1, b"y"), 1002),
        (frame(2, b"x", rsv=4), 1002),
        (frame(2, b"x", rsv=1), 1002),
        (frame(3, b"x"), 1002),
        (frame(9, b"x", fin=False), 1002),
        (frame(9, b"x" * 126), 1002),
        (b"\x82\x01x", 1002),
        (frame(2, b"x" * 1001), 1009),
        (b"\x82\xff" + struct.pack("!Q", 1 << 62) + b"\0\0\0\0" + b"x" * 5000, 1009),
        (b"\x82\xff" + struct.pack("!Q", 1 << 63) + b"\0\0\0\0", 1002),
        (frame(2, b"x" * 600, fin=False) + frame(0, b"x" * 600), 1009),
        (frame(2, b"", fin=False) + frame(0, b"", fin=False) * 20, 1009),
        (frame(8, b"\1"), 1002),
        (frame(8, struct.pack("!H", 1005)), 1002),
        (frame(8, struct.pack("!H", 1000) + b"\xff\xfe"), 1007),
    ],
)
def test_a_peer_that_breaks_the_protocol_is_closed_with_the_code_for_it(
    frames: bytes, code: int
) -> None:
    async def body() -> None:
        limits = Limits(message_bytes=1000, close_seconds=0.05)
        async with serving(limits) as (server, made), raw(server) as (reader, writer):
            writer.write(frames)
            answer = await reader.read()
            assert answer[0] == 0x88
            assert struct.unpack_from("!H", answer, 2)[0] == code
            closed = await made[0].gone
            assert (closed.code, closed.by, closed.clean) == (code, "them", False)
            assert made[0].told == ["opened"]

    run(body)


@pytest.mark.parametrize("payload", [b"", struct.pack("!H", 1001), struct.pack("!H", 4000)])
def test_every_close_frame_is_answered(payload: bytes) -> None:
    async def body() -> None:
        async with serving() as (server, made), raw(server) as (reader, writer):
            writer.write(frame(8, payload))
            assert await reader.read() == b"\x88\x02\x03\xe8"
            closed = await made[0].gone
            code = struct.unpack("!H", payload)[0] if payload else 1005
            assert closed == Closed(code, "", "them", clean=True)

    run(body)


def test_random_bytes_after_the_handshake_end_the_connection_quietly() -> None:
    async def body() -> None:
        async with serving(Limits(close_seconds=0.05)) as (server, made):
            for _ in range(20):
                async with raw(server) as (_, writer):
                    writer.write(os.urandom(2000))
                    writer.write_eof()
                    await made[-1].gone
            await until(lambda: not server.connections)

    run(body)


def test_a_bug_of_ours_closes_one_connection_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def body() -> None:
        async with (
            serving(kind=Buggy) as (server, _),
            connect(url(server)) as other,
            connect(url(server)) as peer,
        ):
            await peer.send("x")
            with pytest.raises(ConnectionClosed) as caught:
                await peer.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1011
            await other.send(b"still here")
            assert await other.recv() == b"still here"

    run(body)
    assert "a message for a Buggy failed" in caplog.text
    assert "a bug of ours" in caplog.text
    caplog.clear()


@pytest.mark.parametrize(
    ("handshake", "expected"),
    [
        (request("/elsewhere"), 404),
        (request("/echo/"), 404),
        (request(Upgrade=""), 426),
        (request("/elsewhere", Upgrade=""), 404),
        (request(Connection="close"), 400),
        (request(Sec_WebSocket_Key="short"), 400),
        (request(Sec_WebSocket_Version="12"), 400),
        (b"POST /echo HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /echo HTTP/1.0\r\nHost: x\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (request() + b"", 101),
        (request("/echo?token=1"), 101),
        (request(Connection="keep-alive, Upgrade"), 101),
        (request(Upgrade="WebSocket"), 101),
    ],
)
def test_requests_are_answered_in_http(handshake: bytes, expected: int) -> None:
    async def body() -> None:
        async with serving() as (server, _), raw(server, handshake) as (reader, _):
            line = await reader.readline()
            assert int(line.split(b" ")[1]) == expected

    run(body)


def test_a_request_that_never_ends_or_is_too_long_is_cut() -> None:
    async def body() -> None:
        async with serving() as (server, made):
            async with raw(server, b"GET /" + b"x" * 40_000) as (reader, _):
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
            assert not made

    run(body)


def test_a_door_may_refuse_and_a_page_may_be_served() -> None:
    async def body() -> None:
        async with serving() as (server, _):
            server.route("/closed", lambda upgrade: Reply(403, b"not you"))
            server.page("/", Reply(200, b"<h1>x</h1>", "text/html", {"X-A": "b"}))
            with pytest.raises(InvalidStatus) as caught:
                async with connect(url(server, "/closed")):
                    pass
            assert caught.value.response.status_code == 403
            assert caught.value.response.body == b"not you"
            code, answer = await status(server, request("/", Upgrade="", Connection=""))
            assert code == 200
            assert answer.endswith(b"\r\n\r\n<h1>x</h1>")
            assert b"Content-Type: text/html\r\n" in answer
            assert b"X-A: b\r\n" in answer
            assert server.refused == 1

    run(body)


def test_a_door_that_fails_is_our_bug_and_says_nothing_to_the_peer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def door(upgrade: Upgrade) -> Connection:
        raise RuntimeError("secret")

    async def body() -> None:
        async with serving() as (server, _):
            server.route("/bug", door)
            code, answer = await status(server, request("/bug"))
            assert code == 500
            assert b"secret" not in answer

    run(body)
    assert "secret" in caplog.text
    caplog.clear()


def test_a_route_that_ends_in_a_slash_takes_everything_below() -> None:
    async def body() -> None:
        seen: list[str] = []

        def door(upgrade: Upgrade) -> Reply:
            seen.append(upgrade.target)
            return Reply(403)

        async with serving() as (server, _):
            server.route("/a/", door)
            server.route("/a/b/", lambda upgrade: Reply(410))
            for path in ("/a/", "/a/x/y?z=1", "/a/b/c", "/a"):
                await status(server, request(path))
        assert seen == ["/a/", "/a/x/y?z=1"]

    run(body)


def test_one_connection_too_many_is_told_to_come_later() -> None:
    async def body() -> None:
        async with serving(connections_limit=1) as (server, made), connect(url(server)):
            code, answer = await status(server, request())
            assert code == 503
            assert b"Retry-After" in answer
            made[0].abort()
            await until(lambda: not server.connections)
            async with connect(url(server)):
                pass

    run(body)


def test_a_peer_that_does_not_read_loses_media_and_then_the_connection() -> None:
    async def body() -> None:
        limits = Limits(stall_seconds=0.05, write_pause_bytes=4096)
        async with serving(limits) as (server, made), raw(server):
            await until(lambda: bool(made) and made[0].is_open)
            peer = made[0]
            sent = 0
            while peer.send_media(WSMsgType.BINARY, bytes(8000)):
                sent += 1
                assert sent < 5000, "nothing bounds what is unsent"
            assert peer.congested
            before = peer.dropped_messages
            assert not peer.send_media(WSMsgType.BINARY, bytes(8000))
            assert peer.dropped_messages == before + 1
            now = asyncio.get_running_loop().time()
            peer.check(now + 0.01)
            assert peer.is_open
            peer.check(now + 1)
            assert await peer.gone == Closed(1006, "the peer does not read", "them", clean=False)

    run(body)


def test_what_must_arrive_is_bounded_too() -> None:
    async def body() -> None:
        limits = Limits(write_limit_bytes=50_000)
        async with serving(limits) as (server, made), raw(server):
            await until(lambda: bool(made) and made[0].is_open)
            peer = made[0]
            while not peer.congested:
                peer.send(bytes(8000))
            for _ in range(10):
                peer.send(bytes(8000))
            peer.check(asyncio.get_running_loop().time())
            assert (await peer.gone).reason == "the peer does not read"

    run(body)


def test_a_peer_that_catches_up_gets_media_again() -> None:
    async def body() -> None:
        limits = Limits(write_pause_bytes=4096)
        async with serving(limits) as (server, made), raw(server) as (reader, _):
            await until(lambda: bool(made) and made[0].is_open)
            peer = made[0]
            while peer.send_media(WSMsgType.BINARY, bytes(8000)):
                pass
            while peer.congested:
                await reader.read(65536)
            assert peer.send_media(WSMsgType.BINARY, b"x")

    run(body)


def test_a_peer_that_neither_reads_nor_closes_is_cut_when_it_half_closes() -> None:
    async def body() -> None:
        limits = Limits(close_seconds=0.05)
        async with serving(limits) as (server, made), raw(server) as (_, writer):
            await until(lambda: bool(made) and made[0].is_open)
            peer = made[0]
            while not peer.congested:
                peer.send(bytes(8000))
            writer.write_eof()
            assert peer.transport is not None
            socket = peer.transport.underlying_transport
            await until(socket.is_closing)
            now = asyncio.get_running_loop().time()
            peer.check(now)
            peer.check(now + 0.1)
            assert (await peer.gone).by == "them"

    run(body)


def test_a_silent_peer_is_pinged_and_then_cut() -> None:
    async def body() -> None:
        async with serving(Limits(idle_seconds=10)) as (server, made), raw(server) as (reader, _):
            await until(lambda: bool(made) and made[0].is_open)
            now = asyncio.get_running_loop().time()
            for second in range(0, 19, 3):
                made[0].check(now + second)
            assert await reader.readexactly(2) == b"\x89\x00"
            made[0].check(now + 21)
            assert (await made[0].gone).reason == "the peer fell silent"
            assert await reader.read() == b""

    run(body)


def test_a_peer_that_answers_pings_stays() -> None:
    async def body() -> None:
        async with serving(Limits(idle_seconds=10)) as (server, made), connect(url(server)) as peer:
            await until(lambda: bool(made) and made[0].is_open)
            now = asyncio.get_running_loop().time()
            for second in range(0, 100, 3):
                made[0].check(now + second)
                await asyncio.sleep(0.001)
            assert made[0].is_open
            assert made[0].checks == 34
            await peer.send("x")
            assert await peer.recv() == "x"

    run(body)


def test_closing_the_server_closes_every_connection() -> None:
    async def body() -> None:
        async with (
            serving(Limits(close_seconds=0.05)) as (server, made),
            connect(url(server)) as polite,
            raw(server),
        ):
            await until(lambda: len(server.connections) == 2)
            await server.close()
            with pytest.raises(ConnectionClosed) as caught:
                await polite.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1001
            assert not server.connections
            assert all(connection.gone.done() for connection in made)
            with pytest.raises(OSError, match="onnect"):
                await asyncio.open_connection("127.0.0.1", server.port)

    run(body)


def test_closing_the_server_cuts_sockets_that_never_asked_for_anything() -> None:
    async def body() -> None:
        # Browsers open such sockets ahead of need; scanners open them to keep them.
        async with serving() as (server, made):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            half, half_writer = await asyncio.open_connection("127.0.0.1", server.port)
            half_writer.write(b"GET /echo HTTP/1.1\r\nHost:")
            await asyncio.sleep(0.01)
            await server.close()
            async with asyncio.timeout(1):
                for silent in (reader, half):
                    with contextlib.suppress(ConnectionError):
                        assert await silent.read() == b""
            assert not made
            writer.close()
            half_writer.close()

    run(body)


def test_an_address_in_use_is_a_configuration_error() -> None:
    async def body() -> None:
        async with serving() as (server, _):
            with pytest.raises(ConfigError) as caught:
                await WebSocketServer("127.0.0.1", server.port, setting="http.port").start()
            assert str(caught.value) == (
                f"cannot listen for WebSockets on 127.0.0.1:{server.port}: "
                "Address already in use (http.port chooses another port)"
            )

    run(body)


def test_connections_come_and_go_without_a_trace() -> None:
    async def body() -> None:
        async with serving() as (server, made):
            for _ in range(50):
                async with connect(url(server)) as peer:
                    await peer.send("x")
            await until(lambda: not server.connections)
            assert len(made) == 50
            assert all(connection.gone.done() for connection in made)
            assert all(connection.transport is None for connection in made)

    run(body)
