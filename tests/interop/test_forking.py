"""One call that rings several telephones: the first to answer has it, the others are told."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from trunkline.calls.apps import bridge_to
from trunkline.calls.forking import Fork
from trunkline.calls.switchboard import Switchboard

from .conftest import Start
from .kit import RunningNode, until
from .peer import Dialled, MediaPort, Message, Peer, found_in_order, noise, sdp, stream


class Desk:
    """One of the telephones."""

    def __init__(self) -> None:
        self.peer = Peer()
        self.media = MediaPort()
        self.invite: Message

    @property
    def uri(self) -> str:
        return f"sip:desk@127.0.0.1:{self.peer.port}"

    def called(self) -> None:
        self.invite = self.peer.request("INVITE")

    def ring(self, code: int = 180) -> None:
        body = sdp(self.media.port) if code == 183 else b""
        self.peer.respond(self.invite, code, body=body)

    def answer(self) -> None:
        self.peer.respond(self.invite, 200, body=sdp(self.media.port))

    def refuse(self, code: int) -> None:
        self.peer.respond(self.invite, code)
        self.peer.request("ACK")

    def cancelled(self) -> Message:
        cancel = self.peer.request("CANCEL")
        self.peer.respond(cancel, 200)
        self.peer.respond(self.invite, 487)
        self.peer.request("ACK")
        return cancel


@contextmanager
def office(
    start: Start, count: int = 3, **options: float
) -> Iterator[tuple[RunningNode, list[Desk]]]:
    desks = [Desk() for _ in range(count)]
    board = Switchboard()
    board.answer("*")(bridge_to(*(desk.uri for desk in desks), **options))  # type: ignore[arg-type]
    try:
        yield start(board), desks
    finally:
        for desk in desks:
            desk.media.stop()
            desk.media.socket.close()
            desk.peer.socket.close()


def test_the_first_to_answer_has_the_call_and_the_others_are_cancelled(start: Start) -> None:
    with office(start) as (node, desks), Peer(node.sip_port) as caller, MediaPort() as ear:
        call = Dialled(caller, "200")
        call.invite(sdp(ear.port))
        for desk in desks:
            desk.called()
            desk.ring()
        assert caller.status(180)
        desks[1].answer()
        desks[1].peer.request("ACK")
        response = call.ok()
        call.ack()
        for loser in (desks[0], desks[2]):
            loser.cancelled()
        said = noise(80)
        ear.play(response.media, stream(said))
        until(lambda: found_in_order(said, [p.payload for p in desks[1].media.received]) > 30)
        call.bye()
        desks[1].peer.respond(desks[1].peer.request("BYE"), 200)
        node.assert_clean()
        assert len(node.records()) == 2, "one call in, one out: however many were rung"


def test_two_who_answer_at_once_have_one_winner_and_one_is_hung_up(start: Start) -> None:
    with office(start, 2) as (node, desks), Peer(node.sip_port) as caller, MediaPort() as ear:
        call = Dialled(caller, "200")
        call.invite(sdp(ear.port))
        for desk in desks:
            desk.called()
        for desk in desks:
            desk.answer()
        for desk in desks:
            desk.peer.request("ACK")
        call.ok()
        call.ack()
        byes = until(
            lambda: [
                (desk, bye)
                for desk in desks
                if (bye := desk.peer.poll(lambda m: m.is_request and m.method == "BYE", 0.05))
            ]
        )
        assert len(byes) == 1
        loser, bye = byes[0]
        loser.peer.respond(bye, 200)
        time.sleep(0.2)
        winner = next(desk for desk in desks if desk is not loser)
        assert not winner.peer.poll(lambda m: m.is_request and m.method == "BYE", 0.05)
        assert not node.ended
        call.bye()
        winner.peer.respond(winner.peer.request("BYE"), 200)
        node.assert_clean()


def test_who_declines_for_everybody_ends_it(start: Start) -> None:
    with office(start) as (node, desks), Peer(node.sip_port) as caller, MediaPort() as ear:
        call = Dialled(caller, "200")
        call.invite(sdp(ear.port))
        for desk in desks:
            desk.called()
            desk.ring()
        desks[0].refuse(603)
        for other in desks[1:]:
            other.cancelled()
        call.refuse_ack(caller.status(603))
        node.assert_clean()


def test_all_are_busy(start: Start) -> None:
    with office(start, 2) as (node, desks), Peer(node.sip_port) as caller, MediaPort() as ear:
        call = Dialled(caller, "200")
        call.invite(sdp(ear.port))
        for desk, code in zip(desks, (486, 503), strict=True):
            desk.called()
            desk.refuse(code)
        call.refuse_ack(caller.status(486))
        node.assert_clean()


def test_they_are_rung_one_after_the_other(start: Start) -> None:
    with (
        office(start, 2, stagger_seconds=0.4) as (node, desks),
        Peer(node.sip_port) as caller,
        MediaPort() as ear,
    ):
        call = Dialled(caller, "200")
        call.invite(sdp(ear.port))
        desks[0].called()
        desks[0].ring()
        assert not desks[1].peer.poll(seconds=0.15)
        desks[1].called()
        desks[1].answer()
        desks[1].peer.request("ACK")
        desks[0].cancelled()
        call.ok()
        call.ack()
        call.bye()
        desks[1].peer.respond(desks[1].peer.request("BYE"), 200)
        node.assert_clean()


def test_early_media_of_one_is_heard_and_another_may_answer(start: Start) -> None:
    with office(start, 2) as (node, desks), Peer(node.sip_port) as caller, MediaPort() as ear:
        call = Dialled(caller, "200")
        call.invite(sdp(ear.port))
        for desk in desks:
            desk.called()
        desks[0].ring(183)
        there = caller.status(183).media
        tune, voice = noise(100, 1), noise(100, 2)
        desks[0].media.play(desks[0].invite.media, stream(tune))
        ear.play(there, stream(noise(150, 3)))
        until(lambda: found_in_order(tune, [p.payload for p in ear.received]) > 10)
        desks[1].answer()
        desks[1].peer.request("ACK")
        desks[0].cancelled()
        call.ok()
        call.ack()
        desks[1].media.play(desks[1].invite.media, stream(voice))
        until(lambda: found_in_order(voice, [p.payload for p in ear.received]) > 30)
        call.bye()
        desks[1].peer.respond(desks[1].peer.request("BYE"), 200)
        node.assert_clean()


def test_a_caller_who_gives_up_has_all_of_them_cancelled(start: Start) -> None:
    with office(start) as (node, desks), Peer(node.sip_port) as caller, MediaPort() as ear:
        call = Dialled(caller, "200")
        call.invite(sdp(ear.port))
        for desk in desks:
            desk.called()
            desk.ring()
        caller.status(180)
        call.cancel()
        for desk in desks:
            desk.cancelled()
        call.refuse_ack(caller.status(487))
        node.assert_clean()


@pytest.mark.parametrize("dead", [1, 2])
def test_dead_telephones_do_not_keep_the_live_one_from_answering(start: Start, dead: int) -> None:
    with office(start, 3) as (node, desks), Peer(node.sip_port) as caller, MediaPort() as ear:
        for desk in desks[:dead]:
            desk.peer.socket.close()  # an ICMP error, or nothing at all
        call = Dialled(caller, "200")
        call.invite(sdp(ear.port))
        for desk in desks[dead:]:
            desk.called()
            desk.ring()
        desks[-1].answer()
        desks[-1].peer.request("ACK")
        for other in desks[dead:-1]:
            other.cancelled()
        call.ok()
        call.ack()
        call.bye()
        desks[-1].peer.respond(desks[-1].peer.request("BYE"), 200)
        node.assert_clean(12)


def test_an_application_may_place_a_fork_itself(start: Start) -> None:
    board = Switchboard()
    node = start(board)
    desks = [Desk(), Desk()]
    fork = Fork(tuple(desk.uri for desk in desks))
    dialling = asyncio.run_coroutine_threadsafe(board.dial(fork), node.loop)
    for desk in desks:
        desk.called()
        desk.ring()
    desks[0].answer()
    desks[0].peer.request("ACK")
    desks[1].cancelled()
    call = dialling.result(5)
    assert call.is_answered
    node.run(call.hangup())
    desks[0].peer.respond(desks[0].peer.request("BYE"), 200)
    node.assert_clean()
    for desk in desks:
        desk.media.stop()
        desk.media.socket.close()
        desk.peer.socket.close()
