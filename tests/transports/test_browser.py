"""A page as a leg, played by a plain WebSocket client."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pytest
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from trunkline.errors import ConfigError
from trunkline.media.engine import PHASES, Engine
from trunkline.media.lane import Lane
from trunkline.transports.browser import BrowserLeg, BrowserServer
from trunkline.transports.leg import Answered, Digit, Ended, Leg, LegEvent, LegObserver, Party
from trunkline.transports.media_thread import MediaThread
from trunkline.transports.websocket import Limits
from trunkline.transports.websocket_server import WebSocketServer

FRAME = (8000 * np.sin(np.arange(160) / 5)).astype("<i2")


class Clock:
    def phase_after(self, now: float) -> int:
        return 1


@dataclass
class World:
    server: WebSocketServer
    browser: BrowserServer
    engine: Engine
    legs: list[BrowserLeg]
    events: list[LegEvent]

    @property
    def leg(self) -> BrowserLeg:
        return self.legs[-1]

    @property
    def lane(self) -> Lane:
        assert self.leg.lane is not None
        return self.leg.lane

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            for phase in range(PHASES):
                self.engine.tick(phase, asyncio.get_running_loop().time())

    def socket(self, query: str = "", **options: Any) -> connect:
        url = f"ws://127.0.0.1:{self.server.port}/talk{query}"
        return connect(url, max_queue=None, **options)

    @contextlib.asynccontextmanager
    async def page(self, query: str = "", **options: Any) -> AsyncIterator[ClientConnection]:
        """A page that is ready, with the answer to that read."""
        async with self.socket(query, **options) as peer:
            await say(peer, "client-ready", version="2.1.0")
            ready = await hear(peer)
            assert ready["type"] == "bot-ready"
            assert ready["data"]["leg"] == self.leg.id
            assert ready["data"]["audio"] == {"encoding": "l16", "rate_hz": 8000}
            yield peer


async def say(peer: ClientConnection, type: str, **data: Any) -> None:
    await peer.send(json.dumps({"label": "rtvi-ai", "type": type, "data": data}))


async def hear(peer: ClientConnection) -> dict[str, Any]:
    """The next message that is not audio."""
    async with asyncio.timeout(2):
        while not isinstance(text := await peer.recv(), str):
            pass
    message = json.loads(text)
    assert message["label"] == "rtvi-ai"
    return cast(dict[str, Any], message)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[World]:
    engine = Engine()
    legs: list[BrowserLeg] = []
    events: list[LegEvent] = []

    def observe(leg: Leg, event: LegEvent, now: float) -> None:
        events.append(event)

    def receive(leg: Leg, now: float) -> LegObserver:
        assert isinstance(leg, BrowserLeg)
        legs.append(leg)
        return observe

    media = type("Media", (), {"engine": engine, "clock": Clock()})()
    server = WebSocketServer("127.0.0.1", 0, limits=Limits(close_seconds=0.1))
    browser = BrowserServer(server, cast(MediaThread, media), receive, **options)
    await server.start()
    try:
        yield World(server, browser, engine, legs, events)
    finally:
        await server.close()
        assert not engine.lanes
        assert not browser.legs


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(10):
            await body()
        await asyncio.sleep(0)

    uvloop.run(bounded())


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.WARNING)
    yield
    records = caplog.get_records("call")  # `caplog.records` are those of the teardown by now
    assert not records, [record.getMessage() for record in records]


def test_a_page_that_is_ready_becomes_a_leg() -> None:
    async def body() -> None:
        async with serving() as world, world.page():
            assert world.leg.transport == "browser"
            assert world.leg.party == Party("browser", "talk")
            assert world.lane in world.engine.lanes
            assert set(world.browser.legs) == {world.leg.id}
            world.leg.answer()
            await until(lambda: world.events == [Answered()])

    run(body)


def test_the_address_may_say_whom_to_call() -> None:
    async def body() -> None:
        async with serving() as world, world.page("?to=%2B15550100"):
            assert world.leg.party.callee == "+15550100"

    run(body)


def test_the_microphone_is_heard_and_the_playout_is_sent() -> None:
    async def body() -> None:
        async with serving() as world, world.page() as peer:
            for _ in range(10):
                await peer.send(FRAME.tobytes())
            await until(lambda: world.lane.phase == 1)
            world.engine.push(world.lane, FRAME.astype(np.int16), 0)
            world.tick()
            assert await peer.recv() == FRAME.tobytes()
            mark = await hear(peer)
            assert (mark["type"], mark["data"]) == ("audio-mark", {"name": "0:160"})
            await say(peer, "audio-mark-reached", name="0:160")
            await until(lambda: world.lane.played_samples == 160)

    run(body)


def test_clearing_reaches_the_page_and_old_marks_are_not_believed() -> None:
    async def body() -> None:
        async with serving() as world, world.page() as peer:
            world.engine.push(world.lane, np.tile(FRAME, 30).astype(np.int16), 0)
            world.tick(5)
            world.lane.clear(1)
            while (await hear(peer))["type"] != "audio-clear":
                pass
            await say(peer, "audio-mark-reached", name="0:160")
            await say(peer, "dtmf", buttons=["1"])
            await until(lambda: bool(world.events))
            assert world.lane.played_generation == -1

    run(body)


def test_the_page_is_told_what_to_show() -> None:
    async def body() -> None:
        async with serving() as world, world.page() as peer:
            world.leg.tell("user-transcription", {"text": "<b>hello</b>"})
            world.browser.tell(world.leg.id, "bot-interrupted", {})
            world.browser.tell("browser-0", "bot-interrupted", {})
            first, second = await hear(peer), await hear(peer)
            assert first["data"] == {"text": "<b>hello</b>"}
            assert second["type"] == "bot-interrupted"
            world.leg.hangup()
            world.leg.tell("metrics", {})

    run(body)


def test_keys_and_the_end() -> None:
    async def body() -> None:
        async with serving() as world, world.page() as peer:
            await say(peer, "dtmf", buttons=["1", "#"])
            await say(peer, "disconnect-bot")
            await until(lambda: len(world.events) == 3)
            assert world.events == [Digit("1", 0), Digit("#", 0), Ended("hangup", "them")]
            with pytest.raises(ConnectionClosed):
                await peer.recv()
        assert len(world.events) == 3

    run(body)


def test_a_closed_page_ends_the_leg() -> None:
    async def body() -> None:
        async with serving() as world:
            async with world.page():
                pass
            await until(lambda: bool(world.events))
            assert world.events == [Ended("hangup", "them", 1000)]

    run(body)


def test_nonsense_is_counted() -> None:
    async def body() -> None:
        async with serving() as world, world.page() as peer:
            for nonsense in ("", "{", '{"type":"later"}', b"\1", "\0"):
                await peer.send(nonsense)
            await say(peer, "client-ready")
            await say(peer, "audio-mark-reached", name="mine")
            await say(peer, "dtmf", buttons=["1"])
            await until(lambda: bool(world.events))
            assert world.leg.statistics()["messages_ignored"] == 7
            assert len(world.legs) == 1

    run(body)


def test_audio_before_the_page_is_ready_is_dropped() -> None:
    async def body() -> None:
        async with serving() as world, world.socket() as peer:
            await peer.send(FRAME.tobytes())
            await say(peer, "dtmf", buttons=["1"])
            await say(peer, "client-ready")
            await hear(peer)
            assert world.leg.statistics()["messages_ignored"] == 2
            assert not world.events

    run(body)


def test_a_page_that_never_gets_ready_is_closed() -> None:
    async def body() -> None:
        async with serving() as world, world.socket() as peer:
            await until(lambda: bool(world.server.connections))
            (connection,) = world.server.connections
            now = asyncio.get_running_loop().time()
            connection.check(now)
            connection.check(now + 10.5)
            with pytest.raises(ConnectionClosed) as caught:
                await peer.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1008
            assert not world.legs

    run(body)


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://localhost:1", "null", "http://127.0.0.1"]
)
def test_other_web_sites_are_kept_out(origin: str) -> None:
    async def body() -> None:
        async with serving() as world:
            with pytest.raises(InvalidStatus) as caught:
                async with world.page(origin=origin):
                    pass
            assert caught.value.response.status_code == 403

    run(body)


def test_our_own_page_and_configured_sites_are_let_in() -> None:
    async def body() -> None:
        async with serving(origins=["https://talk.example"]) as world:
            async with world.page(origin=f"http://127.0.0.1:{world.server.port}"):
                pass
            async with world.page(origin="https://talk.example"):
                pass

    run(body)


def test_with_a_token_only_who_knows_it_gets_in() -> None:
    async def body() -> None:
        async with serving(token="s3cret") as world:
            for query, headers in (
                ("", {}),
                ("?token=wrong", {}),
                ("?token=%F0%9F%94%91", {}),
                ("", {"Authorization": "Bearer no"}),
            ):
                with pytest.raises(InvalidStatus) as caught:
                    async with world.page(query, additional_headers=headers):
                        pass
                assert caught.value.response.status_code == 401
            async with world.page("?token=s3cret"):
                pass
            async with world.page(additional_headers={"Authorization": "Bearer s3cret"}):
                pass

    run(body)


def test_without_a_token_the_page_stays_on_loopback() -> None:
    nobody = cast(Any, None)
    with pytest.raises(ConfigError, match="a token"):
        BrowserServer(WebSocketServer("0.0.0.0", 0), nobody, nobody)
    BrowserServer(WebSocketServer("0.0.0.0", 0), nobody, nobody, token="t")
