"""Twilio's streams as legs, from a socket that plays Twilio and one that plays a fool."""

import asyncio
import base64
import contextlib
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytest
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from trunkline.errors import ConfigError
from trunkline.media.engine import PHASES, Engine
from trunkline.media.g711 import Law, decode, encode
from trunkline.media.lane import Heard, Lane
from trunkline.transports.leg import (
    Answered,
    Digit,
    Ended,
    Leg,
    LegEvent,
    LegObserver,
    Party,
)
from trunkline.transports.media_thread import MediaThread
from trunkline.transports.twilio import TwilioLeg, TwilioServer
from trunkline.transports.websocket import Limits
from trunkline.transports.websocket_server import WebSocketServer
from trunkline.wire.events import Started
from trunkline.wire.signatures import twilio_signature
from trunkline.wire.twilio import ProviderEncoder

SID = "MZ00000000000000000000000000000001"
PATH = "/streams/twilio"
SPEECH = (8000 * np.sin(np.arange(160) / 5)).astype(np.int16)
STARTED = Started(SID, "CA1", "AC1", parameters={"from": "+15550100", "to": "+15550199"})


class Clock:
    """Says which phase comes after the audio."""

    def __init__(self) -> None:
        self.next = 2
        self.asked: list[float] = []

    def phase_after(self, now: float) -> int:
        self.asked.append(now)
        return self.next


@dataclass
class Ear:
    """Keeps what it heard."""

    frames: list[Any] = field(default_factory=list)
    drains: list[Heard] = field(default_factory=list)

    def hear(self, frame: Any, windows: Any, now: float) -> None:
        self.frames.append(frame.copy())

    def started(self, generation: int, now: float) -> None:
        pass

    def drained(self, heard: Heard, now: float) -> None:
        self.drains.append(heard)


@dataclass
class World:
    """A server, its engine, and everything the legs said."""

    server: WebSocketServer
    twilio: TwilioServer
    engine: Engine
    legs: list[TwilioLeg]
    events: list[tuple[str, LegEvent]]
    clock: Clock

    @property
    def leg(self) -> TwilioLeg:
        return self.legs[-1]

    @property
    def lane(self) -> Lane:
        lane = self.leg.lane
        assert lane is not None
        return lane

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            for phase in range(PHASES):
                self.engine.tick(phase, asyncio.get_running_loop().time())

    def told(self, leg: Leg | None = None) -> list[LegEvent]:
        chosen = leg or self.leg
        return [event for id, event in self.events if id == chosen.id]

    def socket(self) -> connect:
        """A socket on which no stream has begun."""
        return self._connect(PATH)

    def _connect(self, path: str, **options: Any) -> connect:
        # Without max_queue the client stops reading, and closing takes 10 s.
        url = f"ws://127.0.0.1:{self.server.port}{path}"
        return connect(url, max_queue=None, **options)

    @contextlib.asynccontextmanager
    async def call(
        self, started: Started = STARTED, path: str = PATH, **options: Any
    ) -> AsyncIterator[tuple[ClientConnection, ProviderEncoder]]:
        encoder = ProviderEncoder(started)
        before = len(self.legs)
        async with self._connect(path, **options) as peer:
            await say(peer, encoder.connected(), encoder.start())
            await until(lambda: len(self.legs) > before)
            yield peer, encoder


async def say(peer: ClientConnection, *messages: bytes) -> None:
    for message in messages:
        await peer.send(message.decode())


async def hear(peer: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(2):
        return cast(dict[str, Any], json.loads(await peer.recv()))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def serving(
    receiver: Callable[[World, Leg], None] | None = None,
    limits: Limits | None = None,
    **options: Any,
) -> AsyncIterator[World]:
    engine = Engine()
    legs: list[TwilioLeg] = []
    events: list[tuple[str, LegEvent]] = []

    def observe(leg: Leg, event: LegEvent, now: float) -> None:
        events.append((leg.id, event))

    def receive(leg: Leg, now: float) -> LegObserver:
        assert isinstance(leg, TwilioLeg)
        legs.append(leg)
        if receiver is not None:
            receiver(world, leg)
        return observe

    clock = Clock()
    media = type("Media", (), {"engine": engine, "clock": clock})()
    server = WebSocketServer("127.0.0.1", 0, limits=limits or Limits(close_seconds=0.1))
    twilio = TwilioServer(server, cast(MediaThread, media), receive, path=PATH, **options)
    world = World(server, twilio, engine, legs, events, clock)
    await server.start()
    try:
        yield world
    finally:
        await server.close()
        assert not engine.lanes, "a lane was left open"
        for leg in legs:
            ends = [event for event in world.told(leg) if isinstance(event, Ended)]
            assert len(ends) == 1 or not world.events, "a leg ends exactly once"
            assert not ends or isinstance(world.told(leg)[-1], Ended), "and last"


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(10):
            await body()
        await asyncio.sleep(0)

    uvloop.run(bounded())


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Any:
    """Whatever a peer does, it is not worth a warning."""
    caplog.set_level(logging.WARNING)
    yield
    records = caplog.get_records("call")  # `caplog.records` are those of the teardown by now
    assert not records, [record.getMessage() for record in records]


# -- beginning ------------------------------------------------------------------------


def test_a_stream_becomes_a_leg_with_its_two_ends() -> None:
    async def body() -> None:
        async with serving() as world, world.call():
            leg = world.leg
            assert leg.transport == "twilio"
            assert leg.direction == "inbound"
            assert leg.party == Party("+15550100", "+15550199", STARTED.parameters)
            assert (leg.stream_id, leg.call_sid, leg.account_sid) == (SID, "CA1", "AC1")
            assert world.lane in world.engine.lanes
            assert world.twilio.streams_started == 1
            assert world.twilio.ignored_messages == 0

    run(body)


def test_without_parameters_the_call_and_the_path_name_the_ends() -> None:
    async def body() -> None:
        async with serving() as world, world.call(Started(SID, "CA7"), f"{PATH}/support"):
            assert world.leg.party == Party("CA7", f"{PATH}/support")

    run(body)


def test_names_are_made_fit_for_logs() -> None:
    async def body() -> None:
        started = Started(SID, parameters={"from": "a\x1b[31m\nb" + "x" * 500, "\n": "\r\0"})
        async with serving() as world, world.call(started):
            party = world.leg.party
            assert party.caller.startswith("a[31mbx")
            assert len(party.caller) <= 128
            assert party.headers[""] == ""

    run(body)


def test_answering_says_so_once_and_after_the_receiver_returned() -> None:
    def receiver(world: World, leg: Leg) -> None:
        leg.ring()
        leg.early_media()
        leg.answer()
        leg.answer()
        assert not world.events

    async def body() -> None:
        async with serving(receiver) as world, world.call():
            await until(lambda: bool(world.events))
            assert world.told() == [Answered()]

    run(body)


def test_a_leg_may_be_refused_by_its_receiver() -> None:
    async def body() -> None:
        async with serving(lambda world, leg: leg.reject(603, "no")) as world, world.call() as call:
            with pytest.raises(ConnectionClosed) as caught:
                await call[0].recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1000
            assert world.told() == [Ended("rejected", "us", 603, "no")]

    run(body)


def test_a_receiver_that_fails_ends_the_leg_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def receiver(world: World, leg: Leg) -> None:
        raise RuntimeError("a bug of ours")

    async def body() -> None:
        async with serving(receiver) as world, world.call() as (peer, _):
            with pytest.raises(ConnectionClosed) as caught:
                await peer.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1011
            assert not world.engine.lanes

    run(body)
    assert "a bug of ours" in caplog.text
    caplog.clear()


def test_two_calls_at_once_never_share_an_id() -> None:
    async def body() -> None:
        async with serving() as world, world.call(), world.call():
            assert world.legs[0].id != world.legs[1].id
            assert len(world.engine.lanes) == 2

    run(body)


# -- audio ----------------------------------------------------------------------------


def test_the_callers_audio_is_heard() -> None:
    async def body() -> None:
        async with serving() as world, world.call() as (peer, twilio):
            ear = Ear()
            world.lane.ears.append(ear)
            payload = encode(SPEECH, Law.ULAW).tobytes()
            await say(peer, twilio.media(payload), twilio.media(payload))
            await until(lambda: len(world.lane.inlet.frames) == 2)  # type: ignore[union-attr]
            world.tick(2)
            assert len(ear.frames) == 2
            np.testing.assert_array_equal(ear.frames[0], decode(payload, Law.ULAW))
            assert world.leg.statistics()["frames_received"] == 2

    run(body)


def test_pieces_of_any_length_are_made_into_frames() -> None:
    async def body() -> None:
        async with serving() as world, world.call() as (peer, twilio):
            frames = world.lane.inlet.frames  # type: ignore[union-attr]
            await say(peer, *(twilio.media(bytes([index] * 100)) for index in range(8)))
            await until(lambda: len(frames) == 5)
            assert all(len(frame) == 160 for frame in frames)
            assert b"".join(frames) == b"".join(bytes([index] * 100) for index in range(8))

    run(body)


def test_the_lane_moves_to_the_phase_after_its_audio() -> None:
    async def body() -> None:
        async with serving() as world, world.call() as (peer, twilio):
            assert world.lane.phase == 0
            await say(peer, *(twilio.media(bytes(160)) for _ in range(10)))
            await until(lambda: world.lane.phase == 2)

    run(body)


def test_a_lane_that_strayed_is_moved_when_that_is_certain() -> None:
    async def body() -> None:
        async with serving() as world, world.call():
            leg = world.leg

            def second(phase: int) -> int:
                world.clock.next = phase
                for _ in range(50):
                    leg.push(bytes(160))
                return world.lane.phase

            assert second(2) == 2  # the first ten frames are enough
            assert [second(phase) for phase in (3, 3, 2, 3, 3)] == [2] * 5
            assert second(3) == 3
            assert second(3) == 3

    run(body)


def test_the_phase_is_chosen_by_the_time_it_is_and_not_by_the_loops_clock() -> None:
    async def body() -> None:
        async with serving() as world, world.call():
            asyncio.get_running_loop().time()
            busy_until = time.monotonic() + 0.02
            while time.monotonic() < busy_until:
                pass  # the loop's own clock stands still meanwhile
            for _ in range(10):
                world.leg.push(bytes(160))
            assert world.clock.asked[0] >= busy_until

    run(body)


def test_what_is_played_reaches_twilio_in_its_dialect() -> None:
    async def body() -> None:
        async with serving() as world, world.call() as (peer, _):
            pcm = np.tile(SPEECH, 3)
            assert world.engine.push(world.lane, pcm, 0) == 480
            world.tick(3)
            got = b""
            while len(got) < 480:
                message = await hear(peer)
                assert message["streamSid"] == SID
                if message["event"] == "media":
                    payload = base64.b64decode(message["media"]["payload"])
                    assert len(payload) == 160
                    got += payload
            assert got == encode(pcm, Law.ULAW).tobytes()

    run(body)


def test_the_first_two_frames_leave_at_once() -> None:
    async def body() -> None:
        async with serving() as world, world.call() as (peer, _):
            world.engine.push(world.lane, np.tile(SPEECH, 5), 0)
            world.engine.kick(0.0)
            events = [(await hear(peer))["event"] for _ in range(3)]
            assert events == ["media", "mark", "media"]
            assert world.lane.playout.frames_taken == 2

    run(body)


def test_nothing_is_sent_while_nobody_speaks() -> None:
    async def body() -> None:
        async with serving() as world, world.call() as (peer, _):
            world.tick(50)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await peer.recv()

    run(body)


# -- marks and clear ----------------------------------------------------------------


def test_marks_that_come_back_say_what_was_heard() -> None:
    async def body() -> None:
        async with serving() as world, world.call() as (peer, twilio):
            world.engine.push(world.lane, np.tile(SPEECH, 30), 0)
            world.tick(30)
            marks: list[str] = []
            while len(marks) < 3:
                message = await hear(peer)
                if message["event"] == "mark":
                    marks.append(message["mark"]["name"])
            await say(peer, twilio.mark(marks[0]), twilio.mark(marks[1]))
            await until(lambda: world.lane.played_samples > 1000)
            heard = world.lane.clear(1)
            assert heard.exact
            assert heard.samples == world.lane.played_samples == 1760
            assert heard.generation == 0

    run(body)


def test_the_last_mark_of_an_utterance_says_that_it_is_over() -> None:
    async def body() -> None:
        async with serving() as world, world.call() as (peer, twilio):
            ear = Ear()
            world.lane.ears.append(ear)
            world.engine.push(world.lane, np.tile(SPEECH, 20), 0)
            world.lane.playout.finish(0)
            world.tick(10)
            names = []
            for _ in range(11):
                message = await hear(peer)
                if message["event"] == "mark":
                    names.append(message["mark"]["name"])
            await say(peer, twilio.mark(names[0]))
            await until(lambda: world.lane.played_generation == 0)
            world.tick(11)
            assert not ear.drains
            while names[-1] != "0:3200":
                message = await hear(peer)
                if message["event"] == "mark":
                    names.append(message["mark"]["name"])
            await say(peer, twilio.mark("0:3200"))
            await until(lambda: bool(ear.drains))
            assert ear.drains == [Heard(0, 3200, 0, True)]

    run(body)


def test_clearing_tells_twilio_and_marks_it_returns_are_not_believed() -> None:
    async def body() -> None:
        async with serving() as world, world.call() as (peer, twilio):
            world.engine.push(world.lane, np.tile(SPEECH, 30), 0)
            world.tick(12)
            await say(peer, twilio.mark("0:160"))
            await until(lambda: world.lane.played_samples == 160)
            heard = world.lane.clear(1)
            assert heard.samples == 160
            while (await hear(peer))["event"] != "clear":
                pass
            await say(peer, twilio.mark("0:1760"), twilio.dtmf("1"))
            await until(lambda: bool(world.events))
            assert world.lane.played_samples == 160
            assert world.engine.push(world.lane, SPEECH, 0) == 0
            world.engine.push(world.lane, SPEECH, 1)
            world.tick()
            assert (await hear(peer))["event"] == "media"
            await say(peer, twilio.mark("1:160"))
            await until(lambda: world.lane.played_generation == 1)

    run(body)


def test_nothing_of_an_old_generation_follows_a_clear() -> None:
    async def body() -> None:
        async with serving() as world, world.call() as (peer, _):
            world.engine.push(world.lane, np.tile(SPEECH, 30), 0)
            world.tick(5)
            left = world.lane.playout.frames_taken
            assert 5 <= left <= 7
            world.lane.clear(1)
            world.engine.push(world.lane, np.tile(SPEECH, 30), 0)
            world.engine.kick(0.0)
            world.tick(20)
            world.leg.hangup()
            events = []
            with contextlib.suppress(ConnectionClosed):
                while True:
                    events.append((await hear(peer))["event"])
            assert events[-1] == "clear"
            assert events.count("media") == left

    run(body)


def test_marks_that_are_not_ours_are_counted() -> None:
    async def body() -> None:
        async with serving() as world, world.call() as (peer, twilio):
            names = ["x", "1", ":", "1:", ":1", "-1:1", "1:1:1", "²:1", "1" * 500, "1:1e3"]
            await say(peer, *map(twilio.mark, names))
            await until(lambda: world.twilio.ignored_messages == len(names))
            assert world.lane.played_generation == -1
            assert world.leg.statistics()["messages_ignored"] == len(names)

    run(body)


# -- keys -------------------------------------------------------------------------------


def test_keys_become_digits_in_order() -> None:
    async def body() -> None:
        async with serving() as world, world.call() as (peer, twilio):
            await say(peer, *map(twilio.dtmf, "12*#"))
            await until(lambda: len(world.events) == 4)
            assert world.told() == [Digit(key, 0) for key in "12*#"]

    run(body)


def test_keys_cannot_be_sent_and_that_is_counted() -> None:
    async def body() -> None:
        async with serving() as world, world.call():
            world.leg.send_dtmf("1")
            assert world.leg.statistics()["requests_unsupported"] == 1

    run(body)


# -- ends -------------------------------------------------------------------------------


def test_stop_ends_the_leg() -> None:
    async def body() -> None:
        async with serving() as world, world.call() as (peer, twilio):
            await say(peer, twilio.dtmf("5"), twilio.stop(), twilio.dtmf("6"), twilio.stop())
            await until(lambda: len(world.events) == 2)
            assert world.told() == [Digit("5", 0), Ended("hangup", "them")]
            assert not world.engine.lanes
            with pytest.raises(ConnectionClosed):
                await peer.recv()

    run(body)


@pytest.mark.parametrize(("code", "reason"), [(1000, "hangup"), (1001, "hangup"), (4000, "hangup")])
def test_a_closed_socket_ends_the_leg(code: int, reason: str) -> None:
    async def body() -> None:
        async with serving() as world, world.call() as (peer, _):
            await peer.close(code)
            await until(lambda: bool(world.events))
            assert world.told() == [Ended(reason, "them", code)]

    run(body)


def test_a_lost_socket_ends_the_leg_as_an_error() -> None:
    async def body() -> None:
        async with serving() as world, world.call() as (peer, _):
            peer.transport.abort()
            await until(lambda: bool(world.events))
            assert world.told() == [Ended("error", "them", 1006, "connection lost")]

    run(body)


def test_a_silent_stream_ends_the_leg() -> None:
    async def body() -> None:
        limits = Limits(idle_seconds=0.5, close_seconds=0.1)
        async with serving(limits=limits) as world, world.call():
            (connection,) = world.server.connections
            now = asyncio.get_running_loop().time()
            connection.check(now)
            connection.check(now + 1.1)
            await until(lambda: bool(world.events))
            assert world.told() == [Ended("media-timeout", "them", 1006, "the peer fell silent")]

    run(body)


def test_we_hang_up_by_closing_the_socket() -> None:
    async def body() -> None:
        async with serving() as world, world.call() as (peer, _):
            world.leg.hangup()
            world.leg.hangup("again")
            assert not world.engine.lanes
            assert not world.events
            with pytest.raises(ConnectionClosed) as caught:
                await peer.recv()
            assert caught.value.rcvd is not None
            assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1000, "hangup")
            world.leg.answer()
            assert world.told() == [Ended("hangup", "us")]

    run(body)


def test_an_observer_that_fails_does_not_keep_the_leg_from_ending(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[LegEvent] = []

    async def body() -> None:
        async with serving() as world:

            def fail(leg: Leg, event: LegEvent, now: float) -> None:
                seen.append(event)
                raise RuntimeError("observer")

            world.twilio.receiver = lambda leg, now: fail
            async with world.socket() as peer:
                twilio = ProviderEncoder(STARTED)
                await say(peer, twilio.start(), twilio.dtmf("1"), twilio.stop())
                await until(lambda: len(seen) == 2)

    run(body)
    assert seen == [Digit("1", 0), Ended("hangup", "them")]
    assert caplog.text.count("RuntimeError: observer") == 2
    caplog.clear()


def test_closing_the_server_ends_every_leg() -> None:
    async def body() -> None:
        async with serving() as world, world.call(), world.call():
            await world.server.close()
            await until(lambda: len(world.events) == 2)
            assert world.told() == [Ended("hangup", "us", 1001, "shutting down")]

    run(body)


# -- fools ---------------------------------------------------------------------------------


def test_messages_that_make_no_sense_are_counted_and_the_call_goes_on() -> None:
    async def body() -> None:
        async with serving() as world, world.call() as (peer, twilio):
            other = ProviderEncoder(Started("MZ-other"))
            nonsense: list[str | bytes] = [
                "",
                "{",
                "null",
                '{"event":"later"}',
                '{"event":"media"}',
                '{"event":"mark","mark":{}}',
                os.urandom(300),
                b"",
                twilio.start().decode(),
                other.start().decode(),
                other.media(b"x" * 160).decode(),
                other.dtmf("1").decode(),
                other.mark("0:160").decode(),
                other.stop().decode(),
                twilio.media(b"x").decode().replace('"inbound"', '"outbound"'),
            ]
            for message in nonsense:
                await peer.send(message)
            await say(peer, twilio.dtmf("9"))
            await until(lambda: bool(world.events))
            assert world.told() == [Digit("9", 0)]
            assert world.twilio.ignored_messages == len(nonsense)
            assert len(world.legs) == 1
            assert not world.lane.inlet.frames  # type: ignore[union-attr]

    run(body)


def test_media_before_the_start_is_counted_and_forgotten() -> None:
    async def body() -> None:
        async with serving() as world, world.socket() as peer:
            twilio = ProviderEncoder(STARTED)
            await say(peer, twilio.media(b"x" * 160), twilio.dtmf("1"), twilio.stop())
            await say(peer, twilio.start())
            await until(lambda: bool(world.legs))
            assert world.twilio.ignored_messages == 3
            assert not world.lane.inlet.frames  # type: ignore[union-attr]

    run(body)


def test_messages_without_a_sid_belong_to_the_only_stream() -> None:
    async def body() -> None:
        async with serving() as world, world.call() as (peer, _):
            await peer.send('{"event":"media","media":{"payload":"%s"}}' % ("A" * 640))
            await peer.send('{"event":"dtmf","dtmf":{"digit":"3"}}')
            await peer.send('{"event":"stop"}')
            await until(lambda: len(world.events) == 2)
            assert world.told() == [Digit("3", 0), Ended("hangup", "them")]
            assert world.leg.statistics()["messages_ignored"] == 0

    run(body)


def test_another_audio_format_is_refused() -> None:
    async def body() -> None:
        async with serving() as world:
            for started in (Started(SID, encoding="l16"), Started(SID, rate_hz=16000)):
                async with world.socket() as peer:
                    await say(peer, ProviderEncoder(started).start())
                    with pytest.raises(ConnectionClosed) as caught:
                        await peer.recv()
                    assert caught.value.rcvd is not None
                    assert caught.value.rcvd.code == 1003
            assert not world.legs

    run(body)


def test_a_socket_without_a_stream_is_closed() -> None:
    async def body() -> None:
        async with serving() as world, world.socket() as peer:
            await until(lambda: bool(world.server.connections))
            (connection,) = world.server.connections
            now = asyncio.get_running_loop().time()
            connection.check(now)
            connection.check(now + 9)
            assert connection.is_open
            connection.check(now + 10.5)
            with pytest.raises(ConnectionClosed) as caught:
                await peer.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1008

    run(body)


def test_a_gigantic_message_ends_the_call() -> None:
    async def body() -> None:
        async with serving() as world, world.call() as (peer, _):
            with contextlib.suppress(ConnectionClosed):
                await peer.send("x" * 100_000)
                await peer.recv()
            await until(lambda: bool(world.events))
            (end,) = world.told()
            assert isinstance(end, Ended)
            assert (end.reason, end.by, end.code) == ("error", "them", 1009)

    run(body)


def test_a_flood_of_audio_is_bounded() -> None:
    async def body() -> None:
        async with serving() as world, world.call() as (peer, twilio):
            await say(peer, *(twilio.media(bytes(8000)) for _ in range(10)), twilio.dtmf("1"))
            await until(lambda: bool(world.events))
            assert len(world.lane.inlet.frames) == 100  # type: ignore[union-attr]
            assert world.leg.statistics()["frames_overflowed"] == 400

    run(body)


def test_a_caller_that_never_reads_loses_audio_and_not_our_memory() -> None:
    async def body() -> None:
        limits = Limits(stall_seconds=0.05, close_seconds=0.05, write_pause_bytes=4096)
        async with serving(limits=limits) as world:
            reader, writer = await asyncio.open_connection("127.0.0.1", world.server.port)
            writer.write(
                f"GET {PATH} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                "".encode()
            )
            await reader.readuntil(b"\r\n\r\n")
            start = ProviderEncoder(STARTED).start()
            size = len(start)
            writer.write(bytes([0x81, 0xFE, size >> 8, size & 255, 0, 0, 0, 0]) + start)
            await until(lambda: bool(world.legs))
            lane, loop = world.lane, asyncio.get_running_loop()
            outlet = lane.outlet
            (connection,) = world.server.connections
            for _ in range(50_000):
                outlet.send(bytes(160), loop.time(), silence=False)
                if connection.dropped_messages:
                    break
            assert connection.dropped_messages
            connection.check(loop.time() + 1)
            await until(lambda: bool(world.events))
            (end,) = world.told()
            assert isinstance(end, Ended)
            assert end.detail == "the peer does not read"
            writer.close()

    run(body)


# -- who gets in ---------------------------------------------------------------------------


def test_without_a_token_the_server_stays_on_loopback() -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", ""):
        with pytest.raises(ConfigError, match="twilio_auth_token"):
            TwilioServer(WebSocketServer(host, 0), cast(Any, None), cast(Any, None))
        TwilioServer(WebSocketServer(host, 0), cast(Any, None), cast(Any, None), auth_token="t")


def test_without_a_token_web_pages_are_kept_out() -> None:
    async def body() -> None:
        async with serving() as world:
            with pytest.raises(InvalidStatus) as caught:
                async with world.call(origin="https://evil.example"):
                    pass
            assert caught.value.response.status_code == 403

    run(body)


PUBLIC = "wss://voice.example.com/twilio"


@pytest.mark.parametrize(
    ("public_url", "path", "signed"),
    [
        (PUBLIC, PATH, PUBLIC),
        (PUBLIC + "/", PATH, PUBLIC),
        (PUBLIC, PATH, "wss://voice.example.com:443/twilio"),
        (PUBLIC, f"{PATH}/support?a=b", f"{PUBLIC}/support?a=b"),
        ("", PATH, "wss://HOST" + PATH),
        ("", f"{PATH}/support", f"wss://HOST{PATH}/support"),
    ],
)
def test_with_a_token_what_twilio_signed_gets_in(public_url: str, path: str, signed: str) -> None:
    async def body() -> None:
        async with serving(auth_token="12345", public_url=public_url) as world:
            url = signed.replace("HOST", f"127.0.0.1:{world.server.port}")
            headers = {"X-Twilio-Signature": twilio_signature("12345", url)}
            async with world.call(path=path, additional_headers=headers):
                assert world.twilio.unsigned_requests == 0

    run(body)


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "nonsense",
        twilio_signature("54321", PUBLIC),
        twilio_signature("12345", PUBLIC + "/other"),
        twilio_signature("12345", PUBLIC.replace("wss", "https")),
    ],
)
def test_with_a_token_everything_else_is_refused(signature: str) -> None:
    async def body() -> None:
        async with serving(auth_token="12345", public_url=PUBLIC) as world:
            headers = {"X-Twilio-Signature": signature} if signature else {}
            with pytest.raises(InvalidStatus) as caught:
                async with world.call(additional_headers=headers):
                    pass
            assert caught.value.response.status_code == 403
            assert world.twilio.unsigned_requests == 1
            assert not world.legs

    run(body)
