"""Races on real sockets, with a raw peer: each ends with one end, and nothing left.

The same orders of messages as in tests/sip/test_races.py, where time is virtual; here a
whole node with its media is behind them. What test_signalling has already (a late offer,
lost ACKs, forks after the answer) is not repeated.
"""

import asyncio
import time
from concurrent.futures import Future
from typing import Any

import pytest

from trunkline.calls.apps import echo
from trunkline.calls.call import Call
from trunkline.calls.errors import DialError
from trunkline.calls.events import CallEarlyMedia
from trunkline.calls.switchboard import Switchboard
from trunkline.settings import Outbound, Sip

from .conftest import Start
from .kit import RunningNode, until
from .peer import Dialled, MediaPort, Message, Packet, Peer, noise, sdp, stream, tag_of, uri_of
from .test_signalling import dialling, flowing, silence_after

QUICK = Sip(t1_ms=30)
"""64 times T1, the patience of RFC 3261, is 1.9 s."""
RELIABLE = [("Require", "100rel"), ("RSeq", "8000")]


def early_board(*, answer_after: float = 0.2) -> Switchboard:
    """A board whose app plays before it answers."""
    board = Switchboard()

    @board.answer("*", early=True)
    async def announce(call: Call) -> None:
        await call.early_media()
        await asyncio.sleep(answer_after)
        await call.answer()
        await echo(call)

    return board


def all_quiet(node: RunningNode, *, ends: int = 1, seconds: float = 8.0) -> None:
    """One end for each call, and no leg, port, lane, session or dialog is left."""
    node.assert_clean(seconds)
    assert len(node.ended) == ends
    live = node.on_media(lambda: node.endpoint.agent.live)
    assert live["sessions"] == live["dialogs"] == 0


def request(message: Message, method: str) -> bool:
    return message.is_request and message.method == method


def theirs(peer: Peer, invite: Message, tag: str = "theirs") -> Dialled:
    """The dialog of a call of the node's, from the peer's side."""
    call = Dialled(peer, call_id=invite["call-id"])
    call.local, call.remote = f"{invite['to']};tag={tag}", invite["from"]
    call.target = uri_of(invite["contact"])
    return call


def hung_up(node: RunningNode, peer: Peer, future: "Future[Call]", tag: str = "") -> None:
    """The node ends a call that is up."""
    call = future.result(5)
    node.run(call.hangup())
    bye = peer.receive(lambda m: request(m, "BYE") and (not tag or tag_of(m["to"]) == tag))
    peer.respond(bye, 200)
    all_quiet(node)


def prack(call: Dialled, response: Message, body: bytes = b"") -> None:
    call.remote = response["to"]
    call.target = uri_of(response["contact"])
    call.request("PRACK", body, [("RAck", f"{response['rseq']} 1 INVITE")])


# -- 1: forked answers ----------------------------------------------------------------


def test_three_forked_answers_at_once(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media:
        future = dialling(node, peer)
        invite = peer.request("INVITE")
        for tag in ("a", "b", "c"):
            peer.respond(invite, 200, tag=tag, body=sdp(media.port))
        acked = {tag_of(peer.request("ACK")["to"]) for _ in range(3)}
        assert acked == {"a", "b", "c"}
        byes = [peer.request("BYE") for _ in range(2)]
        assert {tag_of(bye["to"]) for bye in byes} == {"b", "c"}
        for bye in byes:
            peer.respond(bye, 200)
        flowing(media)
        hung_up(node, peer, future, "a")


# -- 2: a 200 that crosses the CANCEL, behind a proxy ---------------------------------


def test_a_200_that_crosses_the_cancel_is_ended_through_the_proxy(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, Peer() as proxy, MediaPort() as media:
        future = dialling(node, peer, timeout=0.2)
        invite = peer.request("INVITE")
        peer.respond(invite, 180)
        cancel = peer.request("CANCEL")
        route = [("Record-Route", f"<sip:127.0.0.1:{proxy.port};lr>")]
        peer.respond(invite, 200, body=sdp(media.port), extra=route)
        peer.respond(cancel, 200)
        for method in ("ACK", "BYE"):
            message = proxy.request(method)
            assert message["route"] == route[0][1]
        proxy.respond(message, 200)
        with pytest.raises(DialError):
            future.result(5)
        all_quiet(node)


# -- 3: glare -------------------------------------------------------------------------


def test_two_reinvites_that_meet_are_refused_and_ours_comes_again(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        call.answered(sdp(media.port))
        until(lambda: node.calls and node.calls[0].is_answered)
        held = asyncio.run_coroutine_threadsafe(node.calls[0].hold(), node.loop)
        ours = peer.request("INVITE")
        call.invite(sdp(media.port, version=2))
        call.refuse_ack(peer.status(491))
        peer.respond(ours, 491, tag="")
        peer.request("ACK")
        again = peer.request("INVITE", 4)
        peer.respond(again, 200, tag="", body=sdp(media.port, direction="recvonly", version=2))
        peer.request("ACK")
        held.result(5)
        call.answered(sdp(media.port, direction="recvonly", version=3))
        assert call.bye().code == 200
        all_quiet(node)


# -- 4 to 7: the ACK ------------------------------------------------------------------


def test_an_ack_that_comes_when_all_patience_is_over(start: Start) -> None:
    node = start(sip=QUICK)
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        call.invite(sdp(media.port))
        call.ok()
        bye = peer.request("BYE", 5)
        call.ack()
        peer.respond(bye, 200)
        call.ack()
        all_quiet(node)


def test_a_bye_without_an_ack(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        call.invite(sdp(media.port))
        call.ok()
        assert call.bye().code == 200
        call.ack(of=1)
        peer.mailbox.clear()
        assert peer.poll(lambda m: m.method == "INVITE", 0.5) is None, "the 200 is not repeated"
        all_quiet(node)


def test_a_reinvite_before_the_ack(start: Start) -> None:
    node = start(sip=QUICK)
    with Peer(node.sip_port) as peer, MediaPort() as media, MediaPort() as other:
        call = Dialled(peer)
        call.invite(sdp(media.port))
        call.ok()
        call.invite(sdp(other.port, version=2))
        call.ok()
        call.ack()  # the first one is lost for good
        flowing(other)
        assert peer.poll(lambda m: request(m, "BYE"), 2.5) is None
        flowing(other)
        assert call.bye().code == 200
        all_quiet(node)


# -- 8: CANCEL ------------------------------------------------------------------------


def test_a_cancel_that_the_answer_has_overtaken(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        call.invite(sdp(media.port))
        call.cancel()
        peer.receive(lambda m: m.method == "CANCEL")
        final = peer.receive(lambda m: m.method == "INVITE" and m.code >= 200)
        if final.code == 200:  # too late: the call is up, and has to be ended
            call.remote, call.target = final["to"], uri_of(final["contact"])
            call.ack()
            flowing(media)
            assert call.bye().code == 200
        else:
            call.refuse_ack(final)
        all_quiet(node)


# -- 9: PRACK -------------------------------------------------------------------------


def test_a_200_waits_for_the_prack_and_the_prack_may_come_late(start: Start) -> None:
    node = start(early_board(answer_after=0.05))
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        call.invite(sdp(media.port), [("Supported", "100rel")])
        first = peer.status(183)
        again = peer.status(183)
        assert again["rseq"] == first["rseq"]
        assert peer.poll(lambda m: m.code == 200) is None
        flowing(media)  # it is heard all the same
        prack(call, first)
        assert peer.status(200, "PRACK")
        call.remote = peer.status(200)["to"]
        call.ack(of=1)
        prack(call, first)
        assert peer.status(481, "PRACK"), "it is acknowledged already"
        assert call.bye().code == 200
        all_quiet(node)


def test_a_caller_who_never_sends_the_prack_is_refused(start: Start) -> None:
    node = start(early_board(), sip=QUICK)
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        call.invite(sdp(media.port), [("Require", "100rel")])
        call.refuse_ack(peer.receive(lambda m: m.code == 504, 5))
        all_quiet(node)
    assert (node.ended[0].reason, node.ended[0].by, node.ended[0].code) == ("timeout", "them", 504)


def test_a_prack_and_the_end_of_the_call_cross(start: Start) -> None:
    node = start(early_board(answer_after=5))
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        call.invite(sdp(media.port), [("Supported", "100rel")])
        progress = peer.status(183)
        call.cancel()
        prack(call, progress)
        assert peer.receive(lambda m: m.method == "PRACK").code in (200, 481)
        final = peer.status(487)
        call.cseq = 1
        call.remote = f"<{call.uri}>"
        call.refuse_ack(final)
        all_quiet(node)


def test_our_prack_is_repeated_until_it_is_answered_and_the_183_only_taken_once(
    start: Start,
) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media:
        future = dialling(node, peer)
        invite = peer.request("INVITE")
        data = peer.respond(invite, 183, body=sdp(media.port), extra=RELIABLE)
        first = peer.request("PRACK")
        peer.send(data, invite.source)
        second = peer.request("PRACK")
        assert first.headers == second.headers and first["rack"] == "8000 1 INVITE"
        peer.respond(first, 200, tag="")
        flowing(media)
        peer.respond(invite, 200, body=sdp(media.port))
        peer.request("ACK")
        assert [isinstance(event, CallEarlyMedia) for event in node.events].count(True) == 1
        hung_up(node, peer, future)


# -- 10: UPDATE -----------------------------------------------------------------------


def test_an_update_in_the_early_dialog_that_crosses_the_200(start: Start) -> None:
    node = start(early_board(answer_after=0.1))
    with Peer(node.sip_port) as peer, MediaPort() as media, MediaPort() as other:
        call = Dialled(peer)
        call.invite(sdp(media.port), [("Supported", "100rel")])
        progress = peer.status(183)
        prack(call, progress)
        peer.status(200, "PRACK")
        answer = peer.status(200)
        call.request("UPDATE", sdp(other.port, version=2))  # sent before the 200 was seen
        updated = peer.status(200, "UPDATE")
        assert updated.media == answer.media
        call.ack(of=1)
        flowing(other)
        assert silence_after(media)
        assert call.bye().code == 200
        all_quiet(node)


def test_a_callee_moves_its_early_audio_by_update_and_answers_at_once(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media, MediaPort() as other:
        future = dialling(node, peer)
        invite = peer.request("INVITE")
        peer.respond(invite, 183, body=sdp(media.port), extra=RELIABLE)
        peer.respond(peer.request("PRACK"), 200, tag="")
        flowing(media)
        call = theirs(peer, invite)
        call.request("UPDATE", sdp(other.port, version=2))
        peer.respond(invite, 200, body=sdp(media.port))
        assert peer.status(200, "UPDATE")
        assert peer.request("ACK")
        flowing(other)
        hung_up(node, peer, future)


# -- 11: the same INVITE with another branch ------------------------------------------


def test_a_duplicate_invite_with_another_branch_makes_no_second_call(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        data = call.invite(sdp(media.port))
        peer.send(data.replace(call.branch.encode(), b"z9hG4bKanother"))
        assert peer.status(482)["via"].find("another") > 0
        call.ok()
        call.ack()
        assert call.bye().code == 200
        all_quiet(node)
    assert len(node.calls) == 1


def test_the_echo_of_a_refused_call_makes_no_second_call(start: Start) -> None:
    board = Switchboard()
    board.answer("100")(echo)
    node = start(board)
    with Peer(node.sip_port) as peer:
        call = Dialled(peer, "999")
        data = call.invite(sdp(4000))
        call.refuse_ack(peer.status(404))
        for number in range(3):
            peer.send(data.replace(call.branch.encode(), b"z9hG4bKecho%d" % number))
            assert peer.receive(lambda m: m.code >= 300).code in (404, 482)
            time.sleep(0.3)  # T4 at this T1 stays 5 s; the memory goes on after it
        all_quiet(node)
    assert len(node.calls) == 1


# -- 12: strays -----------------------------------------------------------------------


def test_responses_and_requests_that_belong_to_nothing(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        call.answered(sdp(media.port))
        ok = peer.seen[-1]
        for code in (100, 180, 200, 404, 487):
            peer.respond(ok, code, tag="stray")  # a response to what was never asked
        stranger = Dialled(peer)
        stranger.remote += ";tag=nobody"
        for method in ("BYE", "PRACK", "UPDATE", "INFO", "INVITE"):
            stranger.request(method)
            assert peer.status(481, method)
        stranger.ack()
        flowing(media)
        assert not node.ended
        assert call.bye().code == 200
        all_quiet(node)


# -- BYE against INVITE ---------------------------------------------------------------


def test_a_bye_that_overtakes_the_200_of_our_call(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media:
        future = dialling(node, peer)
        invite = peer.request("INVITE")
        peer.respond(invite, 180)
        until(lambda: any(type(event).__name__ == "CallRinging" for event in node.events))
        call = theirs(peer, invite)
        call.request("BYE")
        assert peer.status(200, "BYE")
        peer.respond(invite, 200, body=sdp(media.port))
        peer.request("ACK")
        peer.respond(peer.request("BYE"), 481)
        with pytest.raises(DialError):
            future.result(5)
        all_quiet(node)


# -- early media ----------------------------------------------------------------------


def test_the_early_media_of_the_last_branch_is_heard_and_the_answer_wins(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as one, MediaPort() as two:
        future = dialling(node, peer)
        invite = peer.request("INVITE")
        peer.respond(invite, 183, tag="one", body=sdp(one.port))
        flowing(one)
        peer.respond(invite, 180, tag="two", body=sdp(two.port))
        flowing(two)
        assert silence_after(one)
        peer.respond(invite, 199, tag="two")
        peer.respond(invite, 200, tag="one", body=sdp(one.port))
        peer.request("ACK")
        flowing(one)
        assert silence_after(two)
        assert [isinstance(event, CallEarlyMedia) for event in node.events].count(True) == 1
        hung_up(node, peer, future)


def test_what_a_callee_plays_before_the_answer_reaches_the_application(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media:
        future = dialling(node, peer)
        invite = peer.request("INVITE")
        peer.respond(invite, 183, body=sdp(media.port))
        where: Packet = flowing(media)
        assert where.payload_type == 0
        media.play(invite.media, stream(noise(25)))
        until(lambda: statistics(node).get("received", 0) >= 20)
        peer.respond(invite, 200, body=sdp(media.port))
        peer.request("ACK")
        hung_up(node, peer, future)


def statistics(node: RunningNode) -> dict[str, Any]:
    def read() -> dict[str, Any]:
        return dict(next(iter(node.endpoint.legs.values())).statistics())

    return node.on_media(read)


# -- why it ended ---------------------------------------------------------------------

BUSY = 'Q.850;cause=17;text="User busy"'


def test_their_reason_is_in_the_event_and_in_the_record(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        call.answered(sdp(media.port))
        call.request("BYE", extra=[("Reason", BUSY)])
        assert peer.status(200, "BYE")
        all_quiet(node)
    assert node.ended[0].detail == BUSY
    assert node.records()[0].end_detail == BUSY


def test_our_bye_says_why(start: Start) -> None:
    board = Switchboard()

    @board.answer("*")
    async def brief(call: Call) -> None:
        """Hangs up at once."""

    node = start(board)
    with Peer(node.sip_port) as peer, MediaPort() as media:
        Dialled(peer).answered(sdp(media.port))
        bye = peer.request("BYE")
        assert "cause=16" in bye["reason"]
        peer.respond(bye, 200)
        all_quiet(node)


# -- being sent elsewhere -------------------------------------------------------------


def test_a_redirect_to_what_is_not_allowed_is_the_end(start: Start) -> None:
    node = start(outbound=Outbound(follow_redirects=True))
    with Peer(node.sip_port) as peer:
        future = dialling(node, peer)
        invite = peer.request("INVITE")
        peer.contact = "<sip:+4990012345@203.0.113.9>"
        peer.respond(invite, 302)
        peer.request("ACK")
        with pytest.raises(DialError) as caught:
            future.result(5)
        assert caught.value.code == 302
        all_quiet(node)
    assert len([m for m in peer.seen if request(m, "INVITE")]) == 1


def test_a_call_that_is_sent_in_a_circle_ends(start: Start) -> None:
    node = start(outbound=Outbound(follow_redirects=True))
    with Peer(node.sip_port) as peer:
        future = dialling(node, peer)
        for number in range(6):
            invite = peer.request("INVITE")
            peer.contact = f"<sip:n{number}@127.0.0.1:{peer.port}>"
            peer.respond(invite, 302)
            peer.request("ACK")
        assert peer.poll(lambda m: request(m, "INVITE"), 0.3) is None
        with pytest.raises(DialError):
            future.result(5)
        all_quiet(node)


# -- what we cannot take --------------------------------------------------------------


def test_refusals_say_what_is_wrong_and_what_would_be_taken(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer:
        call = Dialled(peer)
        call.invite(sdp(4000, formats="18"))
        refused = peer.status(488)
        assert refused["warning"].startswith("305 ")
        call.refuse_ack(refused)
        other = Dialled(peer)
        headers = [*other._headers("INVITE", "z9hG4bKx", 1), ("Content-Type", "text/plain")]
        lines = [f"INVITE {other.uri} SIP/2.0", *(f"{n}: {v}" for n, v in headers)]
        peer.send("\r\n".join([*lines, "Content-Length: 2"]).encode() + b"\r\n\r\nhi")
        assert peer.status(415)["accept"] == "application/sdp"
        all_quiet(node)
