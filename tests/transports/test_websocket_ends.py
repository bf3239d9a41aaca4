"""A connection's patience, told by a clock of the test's own, and what its owner did wrong."""

import asyncio
import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from picows import WSCloseCode, WSMsgType

from trunkline.transports.websocket import QUIET, Closed, Connection, Limits, Watch


class Lower:
    """The socket's transport, as asyncio has it."""

    def __init__(self) -> None:
        self.closing = False
        self.unsent = 0

    def set_write_buffer_limits(self, high: int) -> None:
        self.high = high

    def get_extra_info(self, name: str) -> Any:
        return SimpleNamespace(setsockopt=lambda *args: None)

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return self.unsent


class Transport:
    """picows' transport: keeps what it was asked for."""

    def __init__(self) -> None:
        self.underlying_transport = Lower()
        self.close_handshake = None
        self.is_close_frame_sent = False
        self.asked: list[Any] = []

    def send(self, kind: WSMsgType, data: bytes) -> None:
        self.asked.append(data)

    def send_close(self, code: WSCloseCode, reason: str = "") -> None:
        self.is_close_frame_sent = True
        self.asked.append((int(code), reason))

    def send_ping(self) -> None:
        self.asked.append("ping")

    def disconnect(self, graceful: bool = True) -> None:
        self.asked.append("disconnect" if graceful else "cut")


class Told(Connection):
    def __init__(self, limits: Limits | None = None, *, fails: str = "") -> None:
        super().__init__(limits or Limits())
        self.fails = fails
        self.ends: list[Closed] = []
        self.checks: list[float] = []

    def _maybe(self, what: str) -> None:
        if self.fails == what:
            raise RuntimeError(f"a bug in {what}")

    def opened(self) -> None:
        self._maybe("opened")

    def closed(self, closed: Closed) -> None:
        self.ends.append(closed)
        self._maybe("closed")

    def checked(self, now: float) -> None:
        self.checks.append(now)
        self._maybe("checked")


def connected(connection: Told) -> tuple[Told, Transport]:
    transport = Transport()
    connection.on_ws_connected(transport)  # type: ignore[arg-type]
    return connection, transport


def on_a_loop(body: Callable[[], None]) -> None:
    async def main() -> None:
        body()

    asyncio.run(main())


def test_a_silent_peer_is_pinged_once_and_cut_after_twice_the_time() -> None:
    connection, transport = connected(Told(Limits(idle_seconds=15)))
    for now in (100, 110, 115, 115.1, 116, 129, 130):
        connection.check(now)
    assert transport.asked == ["ping"]
    connection.check(130.1)
    assert transport.asked == ["ping", "cut"]
    connection.on_ws_disconnected(transport)  # type: ignore[arg-type]
    assert connection.ends == [Closed(1006, "the peer fell silent", "them", clean=False)]


def test_a_peer_that_is_heard_again_has_all_its_time_again() -> None:
    connection, transport = connected(Told(Limits(idle_seconds=15)))
    for now in (100, 116):
        connection.check(now)
    connection.heard = True
    for now in (120, 134, 135):
        connection.check(now)
    assert transport.asked == ["ping"]
    connection.check(135.5)
    assert transport.asked == ["ping", "ping"]


def test_a_peer_that_does_not_read_is_cut_after_its_patience_or_beyond_the_limit() -> None:
    async def main() -> None:
        connection, transport = connected(Told(Limits(stall_seconds=5, write_limit_bytes=1000)))
        connection.pause_writing()
        began = asyncio.get_running_loop().time()
        connection.heard = True
        connection.check(began + 4.9)
        assert transport.asked == []
        connection.resume_writing()
        connection.check(began + 6)
        assert transport.asked == []
        transport.underlying_transport.unsent = 1001
        connection.check(began + 7)
        assert transport.asked == ["cut"]
        connection.on_ws_disconnected(transport)  # type: ignore[arg-type]
        assert connection.ends[0].reason == "the peer does not read"

    asyncio.run(main())


def test_what_is_unsent_at_the_end_has_two_seconds_to_go_out() -> None:
    connection, transport = connected(Told(Limits(close_seconds=2)))
    transport.underlying_transport.closing = True
    for now in (10.0, 11.0, 12.0):
        connection.check(now)
    assert transport.asked == []
    connection.check(12.1)
    assert transport.asked == ["cut"]


def test_the_end_is_told_once_and_nothing_is_checked_after_it() -> None:
    connection, transport = connected(Told())
    for _ in range(2):
        connection.on_ws_disconnected(transport)  # type: ignore[arg-type]
    connection.check(1.0)
    connection._peer_closes()
    assert len(connection.ends) == 1
    assert connection.checks == transport.asked == []


@pytest.mark.parametrize("fails", ["opened", "checked"])
def test_a_bug_of_an_owner_closes_its_connection_and_is_logged(
    fails: str, caplog: pytest.LogCaptureFixture
) -> None:
    def body() -> None:
        connection, transport = connected(Told(fails=fails))
        connection.check(1.0)
        assert transport.asked == [(1011, "internal error")]
        assert not connection.is_open
        assert connection.checks == ([] if fails == "opened" else [1.0])

    on_a_loop(body)
    assert f"a bug in {fails}" in caplog.text


def test_a_bug_at_the_end_leaves_nothing_to_be_looked_after(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def body() -> None:
        connection = Told(fails="closed")
        connection.watch = Watch(asyncio.get_running_loop())
        _, transport = connected(connection)
        assert connection.watch.connections == {connection}
        connection.on_ws_disconnected(transport)  # type: ignore[arg-type]
        assert not connection.watch.connections
        assert connection.transport is None

    on_a_loop(body)
    assert "a bug in closed" in caplog.text


def test_media_of_a_tick_is_sent_together_and_before_what_must_arrive() -> None:
    def body() -> None:
        connection = Told()
        watch = connection.watch = Watch(asyncio.get_running_loop())
        watch.batching = True
        _, transport = connected(connection)
        assert connection.send_media(WSMsgType.TEXT, b"1")
        assert connection.send_media(WSMsgType.TEXT, b"2")
        assert transport.asked == []
        connection.send(b"clear")
        assert transport.asked == [b"1", b"2", b"clear"]
        connection.send_media(WSMsgType.TEXT, b"3")
        watch.flush()
        watch.flush()
        assert transport.asked == [b"1", b"2", b"clear", b"3"]
        connection.congested = True
        assert not connection.send_media(WSMsgType.TEXT, b"4")
        assert connection.dropped_messages == 1

    on_a_loop(body)


def test_a_watch_closes_what_it_looks_after_and_waits_no_longer_than_it_is_told() -> None:
    async def main() -> None:
        watch = Watch(asyncio.get_running_loop(), every_seconds=0.001)
        stubborn, polite = Told(), Told()
        stubborn.watch = polite.watch = watch
        _, transport = connected(stubborn)
        connected(polite)
        while not stubborn.checks or not polite.checks:
            await asyncio.sleep(0.001)
        loop = asyncio.get_running_loop()
        loop.call_soon(polite.on_ws_disconnected, polite.transport)
        await watch.close(0.01)
        assert transport.asked[-1] == (1001, "shutting down")
        assert watch.connections == {stubborn}
        assert polite.ends
        loop.call_soon(stubborn.on_ws_disconnected, transport)
        await watch.close(5)
        assert not watch.connections

    asyncio.run(main())


def test_what_picows_says_of_a_peer_is_heard_only_by_who_asks_for_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        QUIET.error("a protocol error of %s", "theirs")
    assert not caplog.records
    with caplog.at_level(logging.DEBUG):
        QUIET.error("a protocol error of %s", "theirs")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("DEBUG", "a protocol error of theirs")
    ]
    assert QUIET.process("x", {"extra": 1}) == ("x", {"extra": 1})
