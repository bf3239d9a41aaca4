"""What one application does to the others: nothing a caller would hear."""

import asyncio
import itertools
import logging
import time
from collections.abc import Callable

import pytest

from trunkline.calls.apps import echo
from trunkline.calls.call import Call
from trunkline.calls.switchboard import Switchboard
from trunkline.settings import Media

from .conftest import Start
from .kit import assert_explained, settled, until
from .peer import Dialled, MediaPort, Peer, found_in_order, gaps, noise, sdp, stream

BLOCKED_SECONDS = 2.0


def sleep() -> None:
    time.sleep(BLOCKED_SECONDS)


def compute() -> None:
    end = time.monotonic() + BLOCKED_SECONDS
    while time.monotonic() < end:
        sum(range(1_000))


@pytest.mark.parametrize("block", [sleep, compute])
def test_an_app_that_blocks_costs_no_other_call_a_frame_and_is_named(
    start: Start, block: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    board = Switchboard()
    board.answer("100")(echo)
    blocking: list[str] = []

    @board.answer("200")
    async def clumsy(call: Call) -> None:
        blocking.append(call.id)
        block()

    # Busy cores and a sender in the same interpreter: a quarter second of patience.
    node = start(board, media=Media(jitter_min_ms=200, jitter_start_ms=200))
    with Peer(node.sip_port) as peer, MediaPort() as media, MediaPort() as other:
        call = Dialled(peer, "100")
        there = call.answered(sdp(media.port)).media
        sent = noise(160)
        playing = media.play(there, stream(sent))
        until(lambda: len(media.received) > 15)
        began = time.monotonic()
        Dialled(peer, "200").answered(sdp(other.port))
        until(lambda: blocking)
        playing.join()
        whole = settled(lambda: found_in_order(sent, [p.payload for p in media.received]), 160)
        assert whole >= 130
        packets = [p for p in media.received if began <= p.at <= began + BLOCKED_SECONDS]
        assert not gaps(media.received)
        assert len(packets) >= 0.9 * BLOCKED_SECONDS * 50
        pauses = [b.at - a.at for a, b in itertools.pairwise(packets)]
        assert sorted(pauses)[int(len(pauses) * 0.9)] < 0.060
        # The call of the app that blocks has its audio as well.
        assert len(other.received) > 50 and not gaps(other.received)
        peer.respond(peer.request("BYE"), 200)
        assert call.bye().code == 200
        node.assert_clean()
    (quality,) = [r.quality for r in node.records() if r.quality["received"] == len(sent)]
    assert_explained(len(sent) - whole, quality)
    watchdog = node.node.media.watchdog
    assert watchdog is not None
    found = until(lambda: list(watchdog.blocked))
    named = [entry for entry in found if entry.task == f"clumsy ({blocking[0]})"]
    assert named and named[0].seconds > 1.0 and "test_isolation.py" in named[0].where
    warned = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert any(blocking[0] in text for text in warned)


def test_an_app_that_fails_ends_its_call_and_no_other(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    board = Switchboard()
    board.answer("100")(echo)

    @board.answer("200")
    async def broken(call: Call) -> None:
        raise ValueError("a bug of theirs")

    node = start(board)
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer, "100")
        call.answered(sdp(media.port))
        Dialled(peer, "200").answered(sdp(4000))
        peer.respond(peer.request("BYE"), 200)
        before = len(media.received)
        until(lambda: len(media.received) > before + 5)
        assert call.bye().code == 200
        node.assert_clean()
    assert sorted(record.end_reason for record in node.records()) == ["error", "hangup"]
    texts = [r.getMessage() for r in caplog.records if r.exc_info]
    assert len(texts) == 1 and "broken failed" in texts[0]
    caplog.clear()


def test_an_app_that_does_not_read_its_frames_loses_the_oldest(start: Start) -> None:
    board = Switchboard()
    read: list[int] = []

    @board.answer("*")
    async def slow(call: Call) -> None:
        async for frame in call.frames(keep_ms=100):
            read.append(len(frame))
            await asyncio.sleep(0.1)

    node = start(board)
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        there = call.answered(sdp(media.port)).media
        media.play(there, stream(noise(50))).join()
        assert call.bye().code == 200
        node.assert_clean()
    assert 5 <= len(read) < 30 and set(read) == {160}
