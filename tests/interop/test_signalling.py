"""Calls set up, changed and ended by a raw peer: every order of messages that hurts."""

import asyncio
import time
from concurrent.futures import Future
from typing import Any

import pytest

from trunkline.calls.apps import echo
from trunkline.calls.call import Call
from trunkline.calls.errors import DialError
from trunkline.calls.events import CallEvent, CallHeld, CallResumed
from trunkline.calls.switchboard import Switchboard
from trunkline.settings import Media, Outbound, Secret, Sip

from .conftest import Start
from .kit import RunningNode, until
from .peer import Dialled, MediaPort, Message, Packet, Peer, rtp, sdp, tag_of, uri_of

QUICK = Sip(t1_ms=30)
"""64 times T1, the patience of RFC 3261, is 1.9 s."""


def kinds(node: RunningNode, *types: type[CallEvent]) -> list[str]:
    return [type(event).__name__ for event in node.events if isinstance(event, types)]


def silence_after(media: MediaPort, seconds: float = 0.2) -> bool:
    """Whether nothing comes any more."""
    time.sleep(0.05)
    before = len(media.received)
    time.sleep(seconds)
    return len(media.received) == before


def flowing(media: MediaPort) -> Packet:
    """Wait until packets come; returns one of them."""
    before = len(media.received)
    until(lambda: len(media.received) > before + 2)
    return media.received[-1]


# -- calls in -------------------------------------------------------------------------


def test_a_call_is_answered_and_ended_by_the_caller(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        response = call.answered(sdp(media.port))
        assert response.media[0] == "127.0.0.1"
        until(lambda: media.received)
        assert call.bye().code == 200
        node.assert_clean()
    (record,) = node.records()
    assert (record.state, record.end_reason, record.end_by) == ("ended", "hangup", "them")
    assert record.answered_at is not None and record.sip_call_id == call.call_id
    assert (record.caller, record.callee, record.app) == ("peer", "100", "echo")
    assert (record.quality["packets_sent"] or 0) > 0


def test_a_call_is_ended_by_the_app(start: Start) -> None:
    board = Switchboard()

    @board.answer("*")
    async def brief(call: Call) -> None:
        """Hangs up at once."""

    node = start(board)
    with Peer(node.sip_port) as peer, MediaPort() as media:
        Dialled(peer).answered(sdp(media.port))
        peer.respond(peer.request("BYE"), 200)
        node.assert_clean()
    (record,) = node.records()
    assert (record.end_reason, record.end_by, record.app) == ("hangup", "us", "brief")


def test_a_number_without_a_route_is_404(start: Start) -> None:
    board = Switchboard()
    board.answer("100")(echo)
    node = start(board)
    with Peer(node.sip_port) as peer:
        call = Dialled(peer, "999")
        call.invite(sdp(4000))
        call.refuse_ack(peer.status(404))
        node.assert_clean()
    (record,) = node.records()
    assert (record.end_reason, record.end_by, record.end_code) == ("rejected", "us", 404)


@pytest.mark.parametrize(
    "body",
    [
        sdp(4000, host="198.51.100.7"),
        sdp(4000, host="224.0.0.1"),
        sdp(4000, host="somewhere.example"),
        sdp(4000, formats="18"),
        sdp(0),
    ],
    ids=["not loopback", "multicast", "a name", "G.729 only", "port 0"],
)
def test_a_session_description_we_must_not_follow_is_488(start: Start, body: bytes) -> None:
    node = start()
    with Peer(node.sip_port) as peer:
        call = Dialled(peer)
        call.invite(body)
        call.refuse_ack(peer.status(488))
        node.assert_clean()
    (record,) = node.records()
    assert (record.end_reason, record.end_code, record.answered_at) == ("rejected", 488, None)


def test_a_retransmitted_invite_is_the_same_call_and_gets_the_same_answer(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        data = call.invite(sdp(media.port))
        peer.send(data)
        first = call.ok()
        peer.send(data)
        second = call.ok()
        assert tag_of(first["to"]) == tag_of(second["to"]) and first.body == second.body
        call.ack()
        assert call.bye().code == 200
        node.assert_clean()
    assert len(node.calls) == 1


def test_a_lost_ack_is_made_good_by_the_repeated_200(start: Start) -> None:
    node = start(sip=QUICK)
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        call.invite(sdp(media.port))
        call.ok()
        call.ok()
        call.ok()
        call.ack()
        call.ack()
        assert call.bye().code == 200
        node.assert_clean()
    assert node.ended[0].by == "them"


def test_a_caller_that_never_acknowledges_is_hung_up_on(start: Start) -> None:
    node = start(sip=QUICK)
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        call.invite(sdp(media.port))
        call.ok()
        bye = peer.request("BYE", 5)
        assert tag_of(bye["to"]) == tag_of(call.local)
        peer.respond(bye, 200)
        node.assert_clean()
    (record,) = node.records()
    assert (record.end_reason, record.end_by) == ("timeout", "them")


def test_an_offer_in_our_200_is_answered_in_the_ack(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        call.invite()
        offer = call.ok()
        assert b"m=audio" in offer.body and b"PCMU" in offer.body
        assert not node.ended
        call.ack(sdp(media.port, formats="8 101"))
        assert flowing(media).payload_type == 8
        assert call.bye().code == 200
        node.assert_clean()


def test_a_late_offer_whose_ack_has_no_answer_ends_the_call(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer:
        call = Dialled(peer)
        call.invite()
        call.ok()
        call.ack()
        peer.respond(peer.request("BYE"), 200)
        node.assert_clean()
    (record,) = node.records()
    assert (record.end_reason, record.end_by) == ("error", "us")


def ringing_board() -> Switchboard:
    """A board whose app lets it ring until somebody gives up."""
    board = Switchboard()

    @board.answer("*", early=True)
    async def ring(call: Call) -> None:
        await call.ring()
        await call.wait_ended()

    return board


def test_a_caller_gives_up_while_it_rings(start: Start) -> None:
    node = start(ringing_board())
    with Peer(node.sip_port) as peer:
        call = Dialled(peer)
        call.invite(sdp(4000))
        peer.status(180)
        call.cancel()
        assert peer.status(200, "CANCEL").code == 200
        call.refuse_ack(peer.status(487))
        node.assert_clean()
    (record,) = node.records()
    assert (record.end_reason, record.end_by, record.end_code) == ("cancelled", "them", 487)
    assert record.answered_at is None


def test_a_cancel_after_the_answer_changes_nothing(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        call.invite(sdp(media.port))
        call.ok()
        call.cancel()
        assert peer.receive(lambda m: m.method == "CANCEL").code == 200
        call.ack()
        flowing(media)
        assert not node.ended
        assert call.bye().code == 200
        node.assert_clean()


def test_a_cancel_for_a_call_that_is_none_is_481(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer:
        call = Dialled(peer)
        call.cseq, call.branch = 1, "z9hG4bKnothing"
        call.cancel()
        assert peer.status(481, "CANCEL")


def test_a_bye_before_our_answer_ends_the_call(start: Start) -> None:
    node = start(ringing_board())
    with Peer(node.sip_port) as peer:
        call = Dialled(peer)
        call.invite(sdp(4000))
        call.remote = peer.status(180)["to"]
        assert call.bye().code == 200
        assert peer.status(487)
        node.assert_clean()


def test_both_ends_hang_up_at_once(start: Start) -> None:
    board = Switchboard()

    @board.answer("*")
    async def brief(call: Call) -> None:
        """Hangs up at once."""

    node = start(board)
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        call.answered(sdp(media.port))
        theirs = peer.request("BYE")
        assert call.bye().code == 200
        peer.respond(theirs, 481)
        node.assert_clean()
    assert [(end.reason, end.by) for end in node.ended] == [("hangup", "us")]


def test_early_media_goes_both_ways_before_the_answer(start: Start) -> None:
    board = Switchboard()

    @board.answer("*", early=True)
    async def announce(call: Call) -> None:
        await call.early_media()
        await call.next_digit(5)  # keys work before the answer, too
        await call.answer()
        await call.wait_ended()

    node = start(board)
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        call.invite(sdp(media.port))
        progress = peer.status(183)
        flowing(media)
        key = bytes([5, 0x8A, 0x03, 0x20])
        for number in range(3):
            media.socket.sendto(
                rtp(number, 7000, key, payload_type=101, marker=not number), progress.media
            )
        response = call.ok()
        assert response.media == progress.media
        call.ack()
        assert call.bye().code == 200
        node.assert_clean()


def test_an_app_may_refuse(start: Start) -> None:
    board = Switchboard()

    @board.answer("*", early=True)
    async def busy(call: Call) -> None:
        await call.reject()

    node = start(board)
    with Peer(node.sip_port) as peer:
        call = Dialled(peer)
        call.invite(sdp(4000))
        call.refuse_ack(peer.status(486))
        node.assert_clean()
    assert node.records()[0].end_code == 486


# -- changes of a call that is up -------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "answer"),
    [
        ({"direction": "sendonly"}, b"a=recvonly"),
        ({"direction": "inactive"}, b"a=inactive"),
        ({"host": "0.0.0.0"}, b"a=recvonly"),
    ],
    ids=["sendonly", "inactive", "c=0.0.0.0"],
)
def test_hold_stops_our_audio_and_resuming_starts_it_again(
    start: Start, held: dict[str, str], answer: bytes
) -> None:
    node = start(media=Media(timeout_seconds=1.0))
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        first = call.answered(sdp(media.port))
        flowing(media)
        call.invite(sdp(media.port, version=2, **held))
        response = call.ok()
        call.ack()
        assert answer in response.body
        assert version_of(response) == version_of(first) + 1
        until(lambda: kinds(node, CallHeld))
        assert silence_after(media)
        # Longer than the media timeout: a held call waits.
        time.sleep(2.2)
        assert not node.ended
        call.invite(sdp(media.port, version=3))
        call.ok()
        call.ack()
        assert flowing(media).ssrc == media.received[0].ssrc
        assert kinds(node, CallHeld, CallResumed) == ["CallHeld", "CallResumed"]
        assert call.bye().code == 200
        node.assert_clean()
    (record,) = node.records()
    assert (record.end_reason, record.end_by) == ("hangup", "them")


def version_of(message: Message) -> int:
    line = next(line for line in message.body.decode().split("\r\n") if line.startswith("o="))
    return int(line.split()[2])


def test_a_reinvite_that_changes_nothing_keeps_our_version(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        first = call.answered(sdp(media.port))
        again = call.answered(sdp(media.port))
        assert first.body == again.body
        assert call.bye().code == 200
        node.assert_clean()


def test_a_reinvite_without_an_offer_gets_ours(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        first = call.answered(sdp(media.port))
        call.invite()
        offer = call.ok()
        assert offer.media == first.media
        call.ack(sdp(media.port, version=2))
        flowing(media)
        call.invite()
        call.ok()
        call.ack()  # no answer at all: the call stays as it was
        flowing(media)
        assert call.bye().code == 200
        node.assert_clean()


def test_a_reinvite_moves_the_audio_to_another_port_and_codec(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media, MediaPort() as other:
        call = Dialled(peer)
        call.answered(sdp(media.port))
        assert flowing(media).payload_type == 0
        call.answered(sdp(other.port, formats="8 101", version=2))
        assert flowing(other).payload_type == 8
        assert silence_after(media)
        assert call.bye().code == 200
        node.assert_clean()


def test_a_reinvite_to_a_forbidden_address_is_488_and_the_call_goes_on(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        call.answered(sdp(media.port))
        call.invite(sdp(media.port, host="198.51.100.7", version=2))
        call.refuse_ack(peer.status(488))
        flowing(media)
        again = call.answered(sdp(media.port, version=3))
        assert b"a=sendrecv" in again.body
        flowing(media)
        assert call.bye().code == 200
        node.assert_clean()


def test_requests_we_do_not_know_are_refused_and_the_call_goes_on(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        call.answered(sdp(media.port))
        for method, code in (("PUBLISH", 405), ("MESSAGE", 405), ("FOO", 501)):
            call.request(method)
            response = peer.status(code, method)
            assert "INVITE" in response["allow"]
        call.request("OPTIONS")
        assert peer.status(200, "OPTIONS")
        flowing(media)
        assert call.bye().code == 200
        node.assert_clean()


def test_options_says_what_we_can_without_a_call(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer:
        Dialled(peer).request("OPTIONS")
        response = peer.status(200, "OPTIONS")
        assert "INVITE" in response["allow"]
        assert node.sessions == 0


def test_an_old_cseq_is_refused_and_the_dialog_stays(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        call.cseq = 10
        call.answered(sdp(media.port))
        call.cseq = 3
        call.request("INFO")
        assert peer.status(500, "INFO")
        call.cseq = 11
        assert call.bye().code == 200
        node.assert_clean()


def test_a_second_invite_before_the_first_is_answered_is_500(start: Start) -> None:
    node = start(ringing_board())
    with Peer(node.sip_port) as peer:
        call = Dialled(peer)
        call.invite(sdp(4000))
        call.remote = peer.status(180)["to"]
        call.invite(sdp(4000))
        assert "retry-after" in dict(peer.status(500).headers)
        call.cseq -= 1
        assert call.bye().code in (200, 500)


def test_digits_by_info_reach_the_app(start: Start) -> None:
    board = Switchboard()
    digits: list[str] = []

    @board.answer("*")
    async def keys(call: Call) -> None:
        digits.extend([await call.next_digit(5) for _ in range(2)])

    node = start(board)
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        call.answered(sdp(media.port))
        for key in "5#":
            body = f"Signal={key}\r\nDuration=160\r\n".encode()
            call.cseq += 1
            headers = call._headers("INFO", f"z9hG4bKinfo{key}".replace("#", "h"), call.cseq)
            lines = [f"INFO {call.target} SIP/2.0", *(f"{n}: {v}" for n, v in headers)]
            lines += ["Content-Type: application/dtmf-relay", f"Content-Length: {len(body)}"]
            peer.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
            assert peer.status(200, "INFO")
        peer.respond(peer.request("BYE"), 200)
        node.assert_clean()
    assert digits == ["5", "#"]


# -- who may call -------------------------------------------------------------------------


def test_an_account_has_to_prove_itself(start: Start) -> None:
    node = start(sip=Sip(t1_ms=100, accounts={"peer": Secret("sesame")}))
    with Peer(node.sip_port) as peer:
        call = Dialled(peer)
        call.invite(sdp(4000))
        challenge = peer.status(401)
        assert challenge["www-authenticate"].startswith("Digest ")
        call.refuse_ack(challenge)
        assert node.sessions == 0 and not node.calls


def test_a_stranger_is_not_even_answered(start: Start) -> None:
    node = start(sip=Sip(t1_ms=100, allowed_addresses=("192.0.2.0/24",)))
    with Peer(node.sip_port) as peer:
        Dialled(peer).invite(sdp(4000))
        assert peer.poll(seconds=0.3) is None
        assert node.endpoint.counters["not allowed"] > 0


def test_a_callee_outside_the_allowed_addresses_may_answer_us(start: Start) -> None:
    node = start(sip=Sip(t1_ms=100, allowed_addresses=("192.0.2.0/24",)))
    with Peer(node.sip_port) as peer, MediaPort() as media:
        future = dialling(node, peer)
        peer.respond(peer.request("INVITE"), 200, body=sdp(media.port))
        assert peer.request("ACK")
        call = future.result(5)
        node.run(call.hangup())
        peer.respond(peer.request("BYE"), 200)
        node.assert_clean()


# -- calls out ----------------------------------------------------------------------------


def dialling(node: RunningNode, peer: Peer, **options: Any) -> "Future[Call]":
    target = f"sip:bob@127.0.0.1:{peer.port}"
    return asyncio.run_coroutine_threadsafe(node.board.dial(target, **options), node.loop)


def test_a_call_out_is_answered_after_it_rang(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media:
        future = dialling(node, peer, app=echo, caller="200")
        invite = peer.request("INVITE")
        assert invite["from"].startswith("<sip:200@")
        peer.respond(invite, 100, tag="")
        peer.respond(invite, 180)
        peer.respond(invite, 200, body=sdp(media.port))
        ack = peer.request("ACK")
        assert ack["cseq"].split()[0] == invite["cseq"].split()[0]
        call = future.result(5)
        flowing(media)
        names = [type(event).__name__ for event in node.events]
        assert names[:3] == ["CallStarted", "CallRinging", "CallAnswered"]
        node.run(call.hangup())
        peer.respond(peer.request("BYE"), 200)
        node.assert_clean()
    (record,) = node.records()
    assert (record.direction, record.end_reason, record.end_by) == ("outbound", "hangup", "us")


@pytest.mark.parametrize(
    ("code", "reason"),
    [(486, "busy"), (600, "busy"), (603, "rejected"), (404, "rejected"), (302, "rejected"),
     (503, "error"), (480, "no-answer"), (408, "timeout")],
)  # fmt: skip
def test_a_refusal_is_acknowledged_and_told(start: Start, code: int, reason: str) -> None:
    node = start()
    with Peer(node.sip_port) as peer:
        future = dialling(node, peer)
        invite = peer.request("INVITE")
        peer.respond(invite, code)
        assert peer.request("ACK")["via"] == invite["via"]
        with pytest.raises(DialError) as caught:
            future.result(5)
        assert (caught.value.code, caught.value.reason) == (code, reason)
        node.assert_clean()
    (record,) = node.records()
    assert (record.end_reason, record.end_by, record.end_code) == (reason, "them", code)


def test_nobody_answers_and_we_cancel(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer:
        future = dialling(node, peer, timeout=0.3)
        invite = peer.request("INVITE")
        peer.respond(invite, 180)
        cancel = peer.request("CANCEL")
        assert cancel["via"] == invite["via"]
        peer.respond(cancel, 200)
        peer.respond(invite, 487)
        assert peer.request("ACK")
        with pytest.raises(DialError, match="no-answer"):
            future.result(5)
        node.assert_clean()
    (record,) = node.records()
    assert (record.end_reason, record.end_by) == ("no-answer", "us")


def test_a_200_that_crosses_our_cancel_is_acknowledged_and_ended(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media:
        future = dialling(node, peer, timeout=0.2)
        invite = peer.request("INVITE")
        peer.respond(invite, 180)
        cancel = peer.request("CANCEL")
        peer.respond(invite, 200, body=sdp(media.port))
        peer.respond(cancel, 200)
        assert peer.request("ACK")
        peer.respond(peer.request("BYE"), 200)
        with pytest.raises(DialError):
            future.result(5)
        node.assert_clean()
    assert len(node.ended) == 1


def test_an_app_that_is_cancelled_while_it_dials_leaves_no_call_behind(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer:
        future = dialling(node, peer)
        invite = peer.request("INVITE")
        peer.respond(invite, 180)
        until(lambda: node.calls)
        future.cancel()
        peer.respond(peer.request("CANCEL"), 200)
        peer.respond(invite, 487)
        node.assert_clean()


def test_nobody_is_there(start: Start) -> None:
    node = start(sip=QUICK)
    with Peer(node.sip_port) as peer:
        future = dialling(node, peer)
        with pytest.raises(DialError) as caught:
            future.result(8)
        assert caught.value.code == 408
        assert len([m for m in peer.seen if m.method == "INVITE"]) == 0
        node.assert_clean()


def test_early_media_of_the_callee_is_heard_before_the_answer(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media:
        future = dialling(node, peer)
        invite = peer.request("INVITE")
        peer.respond(invite, 183, body=sdp(media.port))
        flowing(media)
        assert kinds(node, CallEvent)[-1] == "CallEarlyMedia"
        peer.respond(invite, 200, body=sdp(media.port))
        peer.request("ACK")
        call = future.result(5)
        node.run(call.hangup())
        peer.respond(peer.request("BYE"), 200)
        node.assert_clean()


def test_a_long_ringing_with_early_media_and_no_packets_is_no_media_timeout(start: Start) -> None:
    node = start(media=Media(timeout_seconds=1.0))
    with Peer(node.sip_port) as peer, MediaPort() as media:
        future = dialling(node, peer)
        invite = peer.request("INVITE")
        peer.respond(invite, 183, body=sdp(media.port))
        assert peer.poll(lambda m: m.is_request and m.method == "CANCEL", 2.5) is None
        peer.respond(invite, 200, body=sdp(media.port))
        peer.request("ACK")
        call = future.result(5)
        assert peer.poll(lambda m: m.is_request and m.method == "BYE", 0.7) is None
        node.run(call.hangup())
        peer.respond(peer.request("BYE"), 200)
        node.assert_clean()


def test_a_200_whose_ack_was_lost_is_acknowledged_again(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media:
        future = dialling(node, peer)
        invite = peer.request("INVITE")
        data = peer.respond(invite, 200, body=sdp(media.port))
        first = peer.request("ACK")
        peer.send(data, invite.source)
        assert peer.request("ACK").headers == first.headers
        call = future.result(5)
        node.run(call.hangup())
        peer.respond(peer.request("BYE"), 200)
        node.assert_clean()


def test_a_second_fork_that_answers_is_acknowledged_and_ended(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media:
        future = dialling(node, peer)
        invite = peer.request("INVITE")
        peer.respond(invite, 200, tag="winner", body=sdp(media.port))
        call = future.result(5)
        peer.respond(invite, 200, tag="loser", body=sdp(media.port))
        for_loser = lambda m: m.is_request and tag_of(m["to"]) == "loser"  # noqa: E731
        assert peer.receive(for_loser).method == "ACK"
        bye = peer.receive(for_loser)
        assert bye.method == "BYE"
        peer.respond(bye, 200)
        flowing(media)
        node.run(call.hangup())
        last = peer.receive(
            lambda m: m.is_request and tag_of(m["to"]) == "winner" and m.method == "BYE"
        )
        peer.respond(last, 200)
        node.assert_clean()
    assert len(node.ended) == 1


def test_the_route_of_the_answer_is_followed_and_stays(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, Peer() as proxy, MediaPort() as media:
        future = dialling(node, peer)
        invite = peer.request("INVITE")
        route = f"<sip:127.0.0.1:{proxy.port};lr>"
        peer.respond(invite, 200, body=sdp(media.port), extra=[("Record-Route", route)])
        ack = proxy.request("ACK")
        assert ack["route"] == route and uri_of(peer.contact) in ack.start
        call = future.result(5)
        node.run(call.hangup())
        bye = proxy.request("BYE")
        assert bye["route"] == route
        proxy.respond(bye, 200)
        node.assert_clean()


def test_an_offer_from_a_callee_without_audio_for_us_ends_the_call(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer:
        future = dialling(node, peer)
        peer.respond(peer.request("INVITE"), 200, body=sdp(4000, formats="18"))
        peer.request("ACK")
        peer.respond(peer.request("BYE"), 200)
        with pytest.raises(DialError):
            future.result(5)
        node.assert_clean()
    assert node.ended[0].reason == "error"


def test_a_callee_may_hold_and_hang_up(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media:
        future = dialling(node, peer, app=echo)
        invite = peer.request("INVITE")
        peer.respond(invite, 200, body=sdp(media.port))
        peer.request("ACK")
        future.result(5)
        theirs = Dialled(peer, call_id=invite["call-id"])
        theirs.local, theirs.remote = f"{invite['to']};tag=theirs", invite["from"]
        theirs.target = uri_of(invite["contact"])
        theirs.answered(sdp(media.port, direction="inactive", version=2))
        until(lambda: kinds(node, CallHeld))
        assert theirs.bye().code == 200
        node.assert_clean()
    assert (node.ended[0].reason, node.ended[0].by) == ("hangup", "them")


def test_a_call_out_that_is_not_allowed_sends_nothing(start: Start) -> None:
    node = start(outbound=Outbound(allow_loopback=False))
    with Peer(node.sip_port) as peer:
        future = dialling(node, peer)
        with pytest.raises(Exception, match="not allowed"):
            future.result(5)
        assert peer.poll(seconds=0.1) is None


def test_a_node_that_ends_hangs_up_its_calls(start: Start) -> None:
    node = start()
    with Peer(node.sip_port) as peer, MediaPort() as media:
        Dialled(peer).answered(sdp(media.port))
        node.loop.call_soon_threadsafe(node.node.stop)
        peer.respond(peer.request("BYE"), 200)
        node.stop()
    (record,) = node.records()
    assert (record.state, record.end_reason, record.end_by) == ("ended", "shutdown", "us")


def test_a_draining_node_refuses_new_calls_with_503(start: Start) -> None:
    node = start(drain_seconds=5)
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        call.answered(sdp(media.port))
        node.loop.call_soon_threadsafe(node.node.stop)
        until(lambda: node.board._draining)
        other = Dialled(peer)
        other.invite(sdp(4000))
        other.refuse_ack(peer.status(503))
        assert call.bye().code == 200
        node.stop()
    assert sorted(record.end_reason for record in node.records()) == ["error", "hangup"]


def test_a_node_whose_callers_are_gone_ends_all_the_same(start: Start) -> None:
    node = start(sip=Sip(t1_ms=500))
    with Peer(node.sip_port) as peer, MediaPort() as media:
        Dialled(peer).answered(sdp(media.port))
        silent = Dialled(peer)
        silent.invite(sdp(media.port))
        silent.ok()  # and no ACK
    began = time.monotonic()
    node.stop()
    assert time.monotonic() - began < 8
    records = node.records()
    assert [(record.state, record.end_reason) for record in records] == [("ended", "shutdown")] * 2
