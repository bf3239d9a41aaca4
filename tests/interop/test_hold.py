"""Holding a far end: a softphone, and a plain peer that agrees, refuses, collides or dies."""

import asyncio
import time
from pathlib import Path

import pytest

from trunkline.calls.apps import echo
from trunkline.calls.call import Call
from trunkline.calls.errors import CallEndedError, HoldRefusedError
from trunkline.calls.events import CallHeld, CallResumed
from trunkline.settings import Media, Sip

from .conftest import Start
from .kit import RunningNode, until
from .peer import Dialled, MediaPort, Message, Peer, noise, sdp, stream
from .programs import Baresip


def received(node: RunningNode) -> float:
    """What the only call has received so far."""
    (leg,) = node.endpoint.legs.values()
    return node.on_media(leg.statistics).get("received", 0.0)


def told(node: RunningNode) -> list[tuple[str, str]]:
    """Who held and resumed."""
    return [
        (type(event).__name__, event.by)
        for event in node.events
        if isinstance(event, CallHeld | CallResumed)
    ]


def direction_of(message: Message) -> str:
    lines = message.body.decode().split("\r\n")
    return next(line[2:] for line in lines if line in
                ("a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"))  # fmt: skip


def version_of(message: Message) -> int:
    return int(message.body.decode().split("o=")[1].split()[2])


@pytest.mark.program("baresip")
@pytest.mark.parametrize("silent", [False, True])
def test_baresip_is_held_and_resumed(start: Start, tmp_path: Path, silent: bool) -> None:
    node = start(sip=Sip(t1_ms=20), media=Media(timeout_seconds=1.0))
    with Baresip(tmp_path / "b", answer="auto")() as phone:
        call = node.run(node.board.dial(f"sip:bare@127.0.0.1:{phone.port}", app=echo))
        until(lambda: received(node) > 25)
        node.run(call.hold(silent=silent))
        assert call.on_hold
        # It stops when it has followed its own answer; then nothing more comes.
        until(lambda: received(node) == (time.sleep(0.3), received(node))[1], 5, phone.output)
        # Longer than the media timeout and the patience for an answer to OPTIONS.
        time.sleep(3.5)
        assert not node.ended, "it was asked whether the call is there, and it is"
        node.run(call.resume())
        before = received(node)
        until(lambda: received(node) > before + 25, 5, phone.output)
        phone.command("hangup")
        node.assert_clean()
    assert told(node) == [("CallHeld", "us"), ("CallResumed", "us")]
    (record,) = node.records()
    assert (record.end_reason, record.end_by) == ("hangup", "them")


class Held:
    """A call to the node's echo, up, with its audio running."""

    def __init__(self, node: RunningNode, peer: Peer, media: MediaPort) -> None:
        self.node, self.peer, self.media = node, peer, media
        self.dialled = Dialled(peer)
        first = self.dialled.answered(sdp(media.port))
        self.version = version_of(first)
        media.play(first.media, stream(noise(1500)))
        until(lambda: len(media.received) > 10)
        (self.call,) = node.calls

    def ask(self, held: bool, *, silent: bool = False) -> "asyncio.Future[None]":
        """Have the node's call held or resumed."""
        change = self.call.hold(silent=silent) if held else self.call.resume()
        return asyncio.run_coroutine_threadsafe(change, self.node.loop)  # type: ignore[return-value]

    def agree(self, direction: str, version: int) -> Message:
        """Say yes to the next re-INVITE, and return it."""
        request = self.peer.request("INVITE")
        body = sdp(self.media.port, direction=direction, version=version)
        self.peer.respond(request, 200, body=body)
        ack = self.peer.request("ACK")
        assert ack["cseq"].split()[0] == request["cseq"].split()[0]
        return request


def loud(call: Held) -> bool:
    """Whether the echo sends back anything but silence."""
    return any(set(packet.payload) - {0xFF, 0x7F} for packet in call.media.received[-10:])


@pytest.mark.parametrize(
    ("silent", "ours", "theirs"), [(False, "sendonly", "recvonly"), (True, "inactive", "inactive")]
)
def test_who_sends_all_the_same_is_not_heard(
    start: Start, silent: bool, ours: str, theirs: str
) -> None:
    node = start(media=Media(timeout_seconds=1.0))
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Held(node, peer, media)
        until(lambda: loud(call))
        done = call.ask(True, silent=silent)
        request = call.agree(theirs, 2)
        done.result(5)
        assert direction_of(request) == ours and version_of(request) == call.version + 1
        assert "To" in {name.title() for name, _ in request.headers}
        if silent:
            time.sleep(0.2)
            before = len(media.received)
            time.sleep(0.5)
            assert len(media.received) <= before + 1
        else:
            until(lambda: not loud(call))
        done = call.ask(False)
        assert direction_of(call.agree("sendrecv", 3)) == "sendrecv"
        done.result(5)
        until(lambda: loud(call))
        assert call.dialled.bye().code == 200
        node.assert_clean()


def test_a_refused_hold_raises_and_the_call_goes_on(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Held(node, peer, media)
        done = call.ask(True)
        request = peer.request("INVITE")
        peer.respond(request, 488, "Not Acceptable Here")
        peer.request("ACK")
        with pytest.raises(HoldRefusedError, match="488"):
            done.result(5)
        # Their hold is answered as if ours had never been, but with a new version.
        call.dialled.invite(sdp(media.port, version=2, direction="sendonly"))
        response = call.dialled.ok()
        call.dialled.ack()
        assert direction_of(response) == "recvonly"
        assert version_of(response) == version_of(request) + 1
        assert call.dialled.bye().code == 200
        node.assert_clean()


def test_glare_is_waited_out(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Held(node, peer, media)
        done = call.ask(True)
        request = peer.request("INVITE")
        call.dialled.invite(sdp(media.port, version=2))
        refused = peer.status(491)
        call.dialled.refuse_ack(refused)
        # The peer owns the Call-ID, so ours comes again within 2 s (RFC 3261 14.1).
        peer.respond(request, 491, "Request Pending")
        peer.request("ACK")
        again = call.agree("recvonly", 3)
        done.result(5)
        assert int(again["cseq"].split()[0]) == int(request["cseq"].split()[0]) + 1
        assert version_of(again) == version_of(request), "the same offer is the same version"
        assert call.dialled.bye().code == 200
        node.assert_clean()


def test_a_hangup_crosses_a_hold(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Held(node, peer, media)
        done = call.ask(True)
        request = peer.request("INVITE")
        assert call.dialled.bye().code == 200
        with pytest.raises(CallEndedError):
            done.result(5)
        peer.respond(request, 487, "Request Terminated")
        node.assert_clean()


def test_we_hang_up_while_a_hold_is_open(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Held(node, peer, media)
        done = call.ask(True)
        request = peer.request("INVITE")
        node.run(call.call.hangup())
        peer.respond(peer.request("BYE"), 200)
        with pytest.raises(CallEndedError):
            done.result(5)
        peer.respond(request, 200, body=sdp(media.port, direction="recvonly", version=2))
        node.assert_clean()


def test_a_peer_that_dies_on_hold_is_found_out(start: Start) -> None:
    node = start(sip=Sip(t1_ms=20), media=Media(timeout_seconds=1.0))
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Held(node, peer, media)
        done = call.ask(True)
        call.agree("recvonly", 2)
        done.result(5)
        media.stop()
        for _ in range(2):  # alive, and asked again
            peer.respond(peer.request("OPTIONS", 5), 200)
        peer.request("OPTIONS", 5)
        # Dead: 64 times T1 without an answer, then as long for the BYE.
        node.assert_clean(20)
    (record,) = node.records()
    assert (record.end_reason, record.end_by) == ("timeout", "them")


def test_only_a_call_that_is_up_can_be_held(start: Start) -> None:
    node = start()
    errors: list[Exception] = []

    async def misuse(call: Call) -> None:
        try:
            await call.hold()
        except Exception as error:
            errors.append(error)

    node.board.routes.clear()
    node.board.answer("*", early=True)(misuse)
    with Peer(node.sip_port) as peer:
        Dialled(peer).invite(sdp(4000))
        until(lambda: errors)
        node.assert_clean()
    assert "not up" in str(errors[0])
