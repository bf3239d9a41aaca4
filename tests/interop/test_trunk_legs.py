"""Calls over trunks whose legs are made of attempts: their records, and their transfers."""

from typing import Any

import pytest

from trunkline.calls import succession
from trunkline.calls.call import Call
from trunkline.calls.forking import Fork
from trunkline.calls.record import CallRecord
from trunkline.calls.records import RecordStore
from trunkline.calls.switchboard import Switchboard
from trunkline.settings import Outbound, Quality, Sip

from .answered import Answered, begin, hung_up, willing
from .carrier import Gateway
from .conftest import Start
from .kit import RunningNode, until
from .peer import Dialled, MediaPort, Peer, found_in_order, noise, sdp, stream
from .test_trunks import NUMBER, board_with, trunk

ALLOWED = Outbound(allowed_prefixes=("+49",))
QUICK = Sip(t1_ms=50)
OTHER = "+4930999"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for out of politeness is waited for a moment."""
    monkeypatch.setattr(succession, "RETIRE_SECONDS", 0.4)


def server_of(peer: Peer) -> str:
    return f"sip:127.0.0.1:{peer.port}"


def record_of(node: RunningNode) -> CallRecord:
    """The only one, whole."""
    (record,) = node.records()
    whole = RecordStore(node.settings.records.path).get(record.id)
    assert whole is not None
    return whole


def invited(record: CallRecord) -> list[str]:
    """Where the record's ladder has INVITEs of ours going."""
    return [
        message["peer"]
        for message in record.ladder["messages"]
        if message["sent"] and message["text"].startswith("INVITE ")
    ]


def quick(node: Any, board: Switchboard) -> RunningNode:
    started: RunningNode = node(
        board, sip=QUICK, outbound=ALLOWED, quality=Quality(sample_seconds=0.5)
    )
    return started


def test_the_record_of_a_call_over_trunks_has_every_attempt_and_the_winners_quality(
    start: Start,
) -> None:
    with Gateway(answer=503) as full, Peer() as bob, MediaPort() as media:
        node = quick(start, board_with(trunk("carrier", full.server, server_of(bob))))
        call = Answered(node, bob, media, target=NUMBER)
        said = noise(100)
        media.play(call.invite.media, stream(said))
        until(lambda: call.call.quality and call.call.quality.heard.mos)
        node.run(call.call.hangup())
        hung_up(bob)
        node.assert_clean()
    record = record_of(node)
    assert invited(record) == [f"udp:127.0.0.1:{port}" for port in (full.peer.port, bob.port)]
    assert any(" 503 " in one["text"] for one in record.ladder["messages"])
    assert record.ladder["messages"][-2]["text"].startswith("BYE ")
    assert record.sip_call_id == call.invite["call-id"]
    assert record.quality["received"] and record.quality["mos"]
    assert record.series["in"]["mos"]


def test_so_has_the_record_of_a_forked_one(start: Start) -> None:
    with Gateway(answer=0) as silent, Peer() as bob, MediaPort() as media:
        node = quick(
            start,
            board_with(
                trunk("a", silent.server, prefixes=("+491",), no_response_seconds=30.0),
                trunk("b", server_of(bob), prefixes=("+493",)),
            ),
        )
        call = Answered(node, bob, media, target=Fork(("+491", NUMBER)))
        assert (call.call.callee, call.call.trunk) == (NUMBER, "b")
        media.play(call.invite.media, stream(noise(100)))
        until(lambda: call.call.quality and call.call.quality.heard.mos)
        node.run(call.call.hangup())
        hung_up(bob)
        node.assert_clean(40)
    record = record_of(node)
    assert set(invited(record)) == {
        f"udp:127.0.0.1:{silent.peer.port}",
        f"udp:127.0.0.1:{bob.port}",
    }
    assert [one["trunk"] for one in record.attempts] == ["a", "b"]
    assert record.attempts[1]["answered"]
    assert record.sip_call_id == call.invite["call-id"]
    assert record.quality["received"] and record.quality["mos"]


@pytest.mark.parametrize("forked", [False, True])
def test_either_side_may_transfer_a_call_over_a_trunk(start: Start, forked: bool) -> None:
    """The far end asks, and the call goes on over a trunk; then we ask the one it goes on with."""
    with Peer() as bob, Peer() as carol, MediaPort() as one, MediaPort() as two:
        node = quick(
            start,
            board_with(
                trunk("bobs", server_of(bob), prefixes=(NUMBER,)),
                trunk("carols", server_of(carol), prefixes=(OTHER,)),
            ),
        )
        target = Fork((NUMBER,)) if forked else NUMBER
        call = Answered(node, bob, one, willing, target=target)
        until(lambda: call.call._may_transfer and one.received)
        assert call.refer(f"<tel:{OTHER}>") == 202
        invite = carol.request("INVITE")
        carol.respond(invite, 200, body=sdp(two.port))
        carol.request("ACK")
        assert call.told()[0] == "SIP/2.0 100 Trying"
        assert call.told()[0] == "SIP/2.0 200 OK"
        call.bye()
        frames = noise(100)
        two.play(invite.media, stream(frames))
        until(lambda: found_in_order(frames, [p.payload for p in two.received]) > 20)
        until(lambda: call.call.quality and call.call.quality.heard.mos)
        asked = begin(node, call.call.transfer("sip:dan@127.0.0.1:9"))
        refer = carol.request("REFER")
        assert refer["refer-to"] == "<sip:dan@127.0.0.1:9>"
        carol.respond(refer, 603)
        assert asked.exception(10)
        assert call.call.is_answered
        node.run(call.call.hangup())
        hung_up(carol)
        node.assert_clean()
    record = record_of(node)
    assert invited(record) == [f"udp:127.0.0.1:{peer.port}" for peer in (bob, carol)]
    assert [one["trunk"] for one in record.attempts] == ["bobs", "carols"]
    assert "mos" in record.quality and record.quality["received"]
    assert record.transfers[0]["quality"]["packets_sent"]


def test_a_call_that_rings_over_a_trunk_may_be_picked_up(start: Start) -> None:
    """An INVITE with Replaces takes an early dialog of ours (RFC 3891), forked or not."""
    with Peer() as bob, Peer() as carol, MediaPort() as media:
        node = quick(start, board_with(trunk("bobs", server_of(bob), server_of(bob))))
        asked = begin(node, node.board.dial(Fork((NUMBER,))))
        invite = bob.request("INVITE")
        bob.respond(invite, 180)
        carol.server = ("127.0.0.1", node.sip_port)
        until(lambda: node.calls and node.calls[0].state.value == "ringing")
        took = Dialled(carol)
        tags = f"to-tag={invite['from'].partition(';tag=')[2]};from-tag=theirs"
        took.invite(sdp(media.port), [("Replaces", f"{invite['call-id']};{tags}")])
        took.ok()
        took.ack()
        call: Call = asked.result(10)
        bob.respond(bob.request("CANCEL"), 200)
        bob.respond(invite, 487)
        assert call.is_answered
        node.run(call.hangup())
        hung_up(carol)
        node.assert_clean()
