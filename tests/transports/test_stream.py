"""A call streamed to a bot: plain audio both ways, Twilio's dialect, and bots that misbehave."""

import asyncio
import base64
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import uvloop
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from trunkline.errors import UsageError
from trunkline.media.engine import PHASES, Engine
from trunkline.media.g711 import Law, decode, encode
from trunkline.media.lane import Heard, Lane, StreamInlet
from trunkline.transports import stream as stream_module
from trunkline.transports.stream import (
    BotStream,
    L16Stream,
    StreamDescription,
    StreamEnded,
    TwilioStream,
    UlawStream,
    open_stream,
)
from trunkline.transports.websocket import Limits, Watch
from trunkline.wire.events import Hangup, SendDtmf
from trunkline.wire.twilio import Encoder

FRAME = (8000 * np.sin(np.arange(160) / 5)).astype(np.int16)
DESCRIPTION = StreamDescription("call_1", "+15550100", "+15550199", parameters={"a": "b"})
KINDS: list[type[BotStream]] = [L16Stream, UlawStream, TwilioStream]


class Sink:
    """An outlet that keeps what was sent."""

    encoding: Law | None = None
    lead_frames = 0
    continuous = False
    marks = False
    busy = False

    def __init__(self) -> None:
        self.sent = b""

    def send(self, payload: bytes, now: float, *, silence: bool) -> None:
        self.sent += payload

    def mark(self, generation: int, samples: int) -> None:
        raise AssertionError("not asked for")

    def cleared(self) -> None:
        pass

    def second(self, now: float) -> None:
        pass


@dataclass
class CallLine:
    """A line on a real lane of a real engine, ticked by the test."""

    engine: Engine
    lane: Lane
    generation: int = 0
    clears: int = 0
    events: list[SendDtmf | Hangup] = field(default_factory=list)

    def listen(self, ear: BotStream, *, activity: bool = True) -> None:
        assert not activity
        self.lane.ears.append(ear)

    def unlisten(self, ear: BotStream) -> None:
        if ear in self.lane.ears:
            self.lane.ears.remove(ear)

    def push(self, pcm: bytes, generation: int) -> None:
        self.engine.push(self.lane, pcm, generation)

    def clear(self, now: float) -> Heard:
        self.clears += 1
        self.generation += 1
        return self.lane.clear(self.generation)

    def observe(self, event: SendDtmf | Hangup, now: float) -> None:
        self.events.append(event)

    def say(self, frame: np.ndarray[Any, Any], times: int = 1) -> None:
        """The caller says something."""
        for _ in range(times):
            assert isinstance(self.lane.inlet, StreamInlet)
            self.lane.inlet.push(frame.tobytes())
            self.tick()

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            for phase in range(PHASES):
                self.engine.tick(phase, asyncio.get_running_loop().time())

    @property
    def played(self) -> bytes:
        assert isinstance(self.lane.outlet, Sink)
        return self.lane.outlet.sent


def make_line() -> CallLine:
    engine = Engine()
    lane = Lane("x", inlet=StreamInlet(8000, None), outlet=Sink())
    engine.open(lane)
    return CallLine(engine, lane)


@dataclass
class World:
    line: CallLine
    stream: BotStream
    bot: ServerConnection
    ended: asyncio.Task[StreamEnded]
    watch: Watch

    async def hear(self) -> dict[str, Any]:
        """The next message that is not binary audio."""
        async with asyncio.timeout(2):
            while not isinstance(text := await self.bot.recv(), str):
                pass
        message = json.loads(text)
        assert isinstance(message, dict)
        return message

    async def settle(self) -> None:
        """Wait until the stream has read everything the bot sent."""
        await (await self.bot.ping())


@contextlib.asynccontextmanager
async def streaming(
    kind: type[BotStream], limits: Limits | None = None, *, skip: int = -1
) -> AsyncIterator[World]:
    """A stream to a bot, with the messages of its start read."""
    bots: asyncio.Queue[ServerConnection] = asyncio.Queue()

    async def bot(connection: ServerConnection) -> None:
        bots.put_nowait(connection)
        await connection.wait_closed()

    line = make_line()
    watch = Watch(asyncio.get_running_loop())
    stream = kind(line, line.lane, DESCRIPTION, line.observe, limits or Limits(close_seconds=0.1))
    async with serve(bot, "127.0.0.1", 0, max_queue=None) as server:
        port = server.sockets[0].getsockname()[1]
        ended = asyncio.create_task(open_stream(stream, f"ws://127.0.0.1:{port}/bot", watch))
        connection = await bots.get()
        world = World(line, stream, connection, ended, watch)
        await until(lambda: bool(line.lane.ears))
        for _ in range(skip if skip >= 0 else (2 if kind is TwilioStream else 1)):
            await world.hear()
        try:
            yield world
        finally:
            stream.close()
            await ended
            assert not line.lane.ears
            await watch.close(0.1)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(10):
            await body()

    uvloop.run(bounded())


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.WARNING)
    yield
    records = [
        record for record in caplog.get_records("call") if not record.name.startswith("websockets")
    ]
    assert not records, [record.getMessage() for record in records]


# -- audio -----------------------------------------------------------------------------


def test_a_plain_bot_is_told_which_call_it_is() -> None:
    async def body() -> None:
        async with streaming(L16Stream, skip=0) as world:
            assert await world.hear() == {
                "type": "start",
                "call": {
                    "id": "call_1",
                    "from": "+15550100",
                    "to": "+15550199",
                    "direction": "inbound",
                },
                "media": {"encoding": "l16", "rate_hz": 8000, "channels": 1},
                "parameters": {"a": "b"},
            }

    run(body)


def test_16_bit_audio_goes_both_ways_unchanged() -> None:
    async def body() -> None:
        async with streaming(L16Stream) as world:
            world.line.say(FRAME)
            assert await world.bot.recv() == FRAME.astype("<i2").tobytes()
            await world.bot.send(FRAME.tobytes() * 2)
            await world.settle()
            world.line.tick(2)
            assert world.line.played == FRAME.tobytes() * 2

    run(body)


def test_ulaw_audio_goes_both_ways() -> None:
    async def body() -> None:
        async with streaming(UlawStream) as world:
            payload = encode(FRAME, Law.ULAW).tobytes()
            world.line.say(FRAME)
            assert await world.bot.recv() == payload
            await world.bot.send(payload)
            await world.settle()
            world.line.tick()
            assert world.line.played == decode(payload, Law.ULAW).tobytes()

    run(body)


def test_pieces_of_any_length_are_played_in_order() -> None:
    async def body() -> None:
        async with streaming(L16Stream) as world:
            audio = np.arange(800, dtype="<i2").tobytes()
            for start in range(0, 1600, 100):
                await world.bot.send(audio[start : start + 100])
            await world.bot.send(b"")
            await world.settle()
            world.line.tick(5)
            assert world.line.played == audio

    run(body)


def test_half_a_sample_is_dropped_and_counted() -> None:
    async def body() -> None:
        async with streaming(L16Stream) as world:
            await world.bot.send(FRAME.tobytes() + b"\7")
            await world.bot.send(b"\7")
            await world.settle()
            world.line.tick()
            assert world.line.played == FRAME.tobytes()
            assert world.stream.ignored_messages == 2

    run(body)


def test_seconds_of_audio_may_come_at_once() -> None:
    async def body() -> None:
        async with streaming(L16Stream, Limits(message_bytes=1_048_576)) as world:
            await world.bot.send(FRAME.tobytes() * 3000)
            await world.settle()
            assert world.line.lane.playout.queued_samples == 480_000

    run(body)


# -- control ---------------------------------------------------------------------------


def test_a_mark_comes_back_when_its_audio_has_left() -> None:
    async def body() -> None:
        async with streaming(L16Stream) as world:
            await world.bot.send(FRAME.tobytes() * 3)
            await world.bot.send('{"type":"mark","name":"three"}')
            await world.bot.send(FRAME.tobytes())
            await world.bot.send('{"type":"mark","name":"four"}')
            await world.settle()
            for _ in range(3):
                world.line.say(FRAME)
                assert await world.bot.recv() == FRAME.tobytes()
            world.line.say(FRAME)
            assert await world.bot.recv() == FRAME.tobytes()
            assert await world.hear() == {"type": "mark", "name": "three", "cleared": False}
            world.line.say(FRAME)
            assert await world.bot.recv() == FRAME.tobytes()
            assert await world.hear() == {"type": "mark", "name": "four", "cleared": False}

    run(body)


def test_a_mark_with_nothing_queued_comes_back_at_once() -> None:
    async def body() -> None:
        async with streaming(L16Stream) as world:
            await world.bot.send('{"type":"mark","name":"now"}')
            assert (await world.hear())["name"] == "now"

    run(body)


def test_clearing_drops_the_audio_and_returns_the_marks() -> None:
    async def body() -> None:
        async with streaming(L16Stream) as world:
            await world.bot.send(FRAME.tobytes() * 50)
            await world.bot.send('{"type":"mark","name":"a"}')
            await world.bot.send('{"type":"mark","name":"b"}')
            await world.settle()
            world.line.tick(10)
            await world.bot.send('{"type":"clear"}')
            for name in "ab":
                assert await world.hear() == {"type": "mark", "name": name, "cleared": True}
            assert world.line.clears == 1
            assert not world.line.lane.playout.queued_samples
            await world.bot.send(FRAME.tobytes())
            await world.settle()
            world.line.tick(10)
            assert len(world.line.played) == 11 * 320

    run(body)


def test_audio_follows_when_somebody_else_clears() -> None:
    async def body() -> None:
        async with streaming(L16Stream) as world:
            await world.bot.send(FRAME.tobytes() * 50)
            await world.settle()
            world.line.clear(0.0)
            await world.bot.send(FRAME.tobytes())
            await world.settle()
            world.line.tick(3)
            assert world.line.played == FRAME.tobytes()

    run(body)


def test_a_bot_may_press_keys_and_hang_up() -> None:
    async def body() -> None:
        async with streaming(L16Stream) as world:
            await world.bot.send('{"type":"dtmf","digits":"12#"}')
            await world.bot.send('{"type":"hangup"}')
            await world.settle()
            assert world.line.events == [SendDtmf("12#"), Hangup()]

    run(body)


def test_a_bot_is_told_of_keys() -> None:
    async def body() -> None:
        async with streaming(L16Stream) as world:
            world.stream.digit("5", 0.0)
            assert await world.hear() == {"type": "dtmf", "digit": "5"}

    run(body)


@pytest.mark.parametrize("kind", KINDS)
def test_nonsense_is_counted_and_the_stream_goes_on(kind: type[BotStream]) -> None:
    async def body() -> None:
        async with streaming(kind) as world:
            for nonsense in ("", "{", "[]", '{"type":"x"}', '{"event":"x"}', '{"type":"mark"}'):
                await world.bot.send(nonsense)
            await world.settle()
            assert world.stream.ignored_messages == 6
            assert world.stream.is_open

    run(body)


def test_marks_that_are_never_reached_are_bounded() -> None:
    async def body() -> None:
        async with streaming(L16Stream) as world:
            await world.bot.send(FRAME.tobytes())
            for index in range(1010):
                await world.bot.send(json.dumps({"type": "mark", "name": str(index)}))
            await world.settle()
            assert world.stream.ignored_messages == 10

    run(body)


# -- as Twilio ----------------------------------------------------------------------------


def test_a_twilio_bot_sees_twilio() -> None:
    async def body() -> None:
        async with streaming(TwilioStream, skip=0) as world:
            assert (await world.hear())["event"] == "connected"
            start = await world.hear()
            assert start["event"] == "start"
            assert start["start"]["callSid"] == "call_1"
            assert start["start"]["mediaFormat"] == {
                "encoding": "audio/x-mulaw",
                "sampleRate": 8000,
                "channels": 1,
            }
            assert start["start"]["customParameters"] == {
                "a": "b",
                "from": "+15550100",
                "to": "+15550199",
            }
            sid = start["streamSid"]
            world.line.say(FRAME, 2)
            for chunk in ("1", "2"):
                media = await world.hear()
                assert (media["event"], media["streamSid"]) == ("media", sid)
                assert media["media"]["chunk"] == chunk
                payload = base64.b64decode(media["media"]["payload"])
                assert payload == encode(FRAME, Law.ULAW).tobytes()
            world.stream.digit("7", 0.0)
            assert (await world.hear())["dtmf"]["digit"] == "7"

    run(body)


def test_a_twilio_bot_speaks_marks_and_clears() -> None:
    async def body() -> None:
        async with streaming(TwilioStream) as world:
            payload = encode(FRAME, Law.ULAW).tobytes()
            twilio = Encoder("MZ1")
            await world.bot.send(twilio.media(payload * 2).decode())
            await world.bot.send(twilio.mark("one").decode())
            await world.bot.send(b"\0\1\2")
            await world.settle()
            assert world.stream.ignored_messages == 1
            world.line.tick(2)
            assert world.line.played == decode(payload * 2, Law.ULAW).tobytes()
            world.line.say(FRAME)
            assert (await world.hear())["event"] == "media"
            mark = await world.hear()
            assert (mark["event"], mark["mark"]) == ("mark", {"name": "one"})
            await world.bot.send(twilio.media(payload * 20).decode())
            await world.bot.send(twilio.mark("two").decode())
            await world.bot.send(twilio.clear().decode())
            assert (await world.hear())["mark"] == {"name": "two"}
            assert world.line.clears == 1
            assert not world.line.lane.playout.queued_samples

    run(body)


# -- ends ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_end_of_the_call_ends_the_stream(kind: type[BotStream]) -> None:
    async def body() -> None:
        async with streaming(kind) as world:
            world.stream.ended(0.0)
            message = await world.hear()
            assert "stop" in (message.get("type"), message.get("event"))
            with pytest.raises(ConnectionClosed) as caught:
                await world.bot.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1000
            assert await world.ended == StreamEnded("hangup", 1000, "")

    run(body)


def test_a_bot_that_closes_ends_the_stream() -> None:
    async def body() -> None:
        async with streaming(L16Stream) as world:
            await world.bot.close(4001, "enough")
            assert await world.ended == StreamEnded("closed", 4001, "enough")
            world.line.say(FRAME)

    run(body)


def test_a_bot_that_is_gone_ends_the_stream() -> None:
    async def body() -> None:
        async with streaming(L16Stream) as world:
            world.bot.transport.abort()
            assert await world.ended == StreamEnded("error", 1006, "connection lost")

    run(body)


def test_a_bot_that_does_not_read_loses_audio_and_then_the_stream() -> None:
    async def body() -> None:
        limits = Limits(write_pause_bytes=4096, stall_seconds=0.05, close_seconds=0.05)
        async with streaming(L16Stream, limits) as world:
            world.bot.transport.pause_reading()
            for _ in range(50_000):
                world.stream.hear(FRAME, (), 0.0)
                if world.stream.dropped_messages > 10:
                    break
            assert world.stream.dropped_messages > 10
            world.stream.check(asyncio.get_running_loop().time() + 1)
            assert (await world.ended).detail == "the peer does not read"
            world.bot.transport.abort()

    run(body)


def test_stopping_the_stream_closes_it() -> None:
    async def body() -> None:
        async with streaming(L16Stream) as world:
            world.ended.cancel()
            with pytest.raises(ConnectionClosed) as caught:
                await world.bot.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1000
            await until(lambda: world.stream.result is not None)
            assert world.stream.result == StreamEnded("cancelled", 1000, "the stream was stopped")
            world.ended = asyncio.create_task(asyncio.sleep(0, world.stream.result))

    async def tolerant() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await body()

    run(tolerant)


# -- bots that cannot be reached --------------------------------------------------------------


async def try_to_open(url: str, **options: Any) -> tuple[StreamEnded, BotStream]:
    line = make_line()
    stream = L16Stream(line, line.lane, DESCRIPTION, line.observe)
    watch = Watch(asyncio.get_running_loop())
    ended = await open_stream(stream, url, watch, **options)
    assert not line.lane.ears
    assert not watch.connections
    return ended, stream


@contextlib.asynccontextmanager
async def answering(reply: bytes, *, hold: bool = False) -> AsyncIterator[str]:
    """A server that reads a request and sends these bytes."""
    done = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(reply)
            await writer.drain()
            if hold:
                await done.wait()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/bot"
        done.set()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "bot",
        "http://127.0.0.1/",
        "ws://",
        "wss:///x",
        "file:///etc/passwd",
        "ws://[::1",
        "ws://host:99999/",
        "ws://host:port/",
        "ws://host:0/",
    ],
)
def test_a_url_must_be_a_websockets(url: str) -> None:
    async def body() -> None:
        with pytest.raises(UsageError, match="ws://"):
            await try_to_open(url)

    run(body)


def test_nobody_there_is_an_end_and_not_an_exception() -> None:
    async def body() -> None:
        ended, _ = await try_to_open("ws://127.0.0.1:1/")
        assert ended.reason == "error"
        assert ended.code is None
        assert "efused" in ended.detail

    run(body)


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: wrong\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"\xff" * 500 + b"\r\n\r\n",
        b"x" * 20_000 + b"\r\n\r\n",
    ],
)
def test_an_answer_that_is_no_websocket_is_a_refusal(reply: bytes) -> None:
    async def body() -> None:
        async with answering(reply) as url:
            ended, _ = await try_to_open(url)
            assert ended.reason == "refused"
            assert ended.detail

    run(body)


def test_a_server_that_hangs_up_is_an_end() -> None:
    async def body() -> None:
        async with answering(b"") as url:
            ended, stream = await try_to_open(url)
            assert ended.reason in ("error", "refused")
            assert not stream.is_open

    run(body)


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "CONNECT_SECONDS", 0.05)

    async def body() -> None:
        async with answering(b"", hold=True) as url:
            ended, stream = await try_to_open(url)
            assert ended == StreamEnded("error", None, "no answer in time")
            assert stream.abandoned

    run(body)


@pytest.mark.parametrize(
    ("junk", "code"),
    [
        (b"\x83\x01x", 1002),
        (b"\x82\x81\0\0\0\0x", 1002),
        (b"\x82\x7f" + (1 << 40).to_bytes(8, "big"), 1009),
        (b"\xc2\x01x", 1002),
        (b"\x00\x01x", 1002),
    ],
)
def test_a_bot_that_breaks_the_protocol_ends_the_stream(junk: bytes, code: int) -> None:
    async def body() -> None:
        limits = Limits(close_seconds=0.05)
        async with streaming(L16Stream, limits) as world:
            world.bot.transport.write(junk)
            ended = await world.ended
            assert (ended.reason, ended.code) == ("error", code)

    run(body)


def test_headers_reach_the_bot() -> None:
    async def body() -> None:
        seen: list[str | None] = []

        async def bot(connection: ServerConnection) -> None:
            assert connection.request is not None
            seen.append(connection.request.headers.get("Authorization"))

        async with serve(bot, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            headers = {"Authorization": "Bearer t"}
            ended, _ = await try_to_open(f"ws://127.0.0.1:{port}/", headers=headers)
        assert seen == ["Bearer t"]
        assert ended.reason == "closed"

    run(body)
