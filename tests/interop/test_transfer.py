"""Transfers with plain peers: we ask for them, are asked for them, and are taken over."""

import time
from typing import Any

import numpy as np
import pytest

from trunkline.calls import succession, transfer
from trunkline.calls.apps import echo
from trunkline.calls.call import Call
from trunkline.calls.errors import CallEndedError, OutboundDeniedError, TransferError
from trunkline.calls.switchboard import Switchboard
from trunkline.errors import UsageError
from trunkline.settings import Outbound, Sip
from trunkline.transports.leg import TransferRequest

from .answered import Answered, begin, hung_up, transfers, willing
from .conftest import Start
from .kit import until
from .peer import (
    LOOPBACK,
    Dialled,
    MediaPort,
    Peer,
    found_in_order,
    noise,
    sdp,
    stream,
    tag_of,
    uri_of,
)

QUICK = Sip(t1_ms=50)
CAROL = "sip:carol@127.0.0.1:9"
TONE = (12_000 * np.sin(np.arange(8000) * 0.3)).astype(np.int16)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for out of politeness is waited for a moment."""
    monkeypatch.setattr(transfer, "GRACE_SECONDS", 0.4)
    monkeypatch.setattr(succession, "RETIRE_SECONDS", 0.4)


def following_board(**options: Any) -> Switchboard:
    """A board whose calls may be transferred."""
    board = Switchboard()

    @board.answer("*")
    async def allowed(call: Call) -> None:
        call.allow_transfers(**options)
        await echo(call)

    return board


# -- we ask --------------------------------------------------------------------------------


def test_a_transfer_is_followed_to_its_end_and_then_hung_up(start: Start) -> None:
    node = start(sip=QUICK)
    with Peer() as bob, MediaPort() as media:
        call = Answered(node, bob, media)
        waiting = begin(node, call.call.transfer(CAROL))
        refer = bob.request("REFER")
        assert refer["refer-to"] == f"<{CAROL}>" and "referred-by" in dict(refer.headers)
        bob.respond(refer, 202, "Accepted", tag="")
        assert call.notify("SIP/2.0 100 Trying") == 200
        assert call.notify("SIP/2.0 180 Ringing") == 200
        assert call.notify("SIP/2.0 200 OK", "terminated;reason=noresource") == 200
        assert waiting.result(5) == 200
        hung_up(bob)
        node.assert_clean()
    assert transfers(node) == [
        ("Transferring", 202), ("Transferring", 100), ("Transferring", 180), ("Transferred", 200),
    ]  # fmt: skip
    (record,) = node.records()
    assert (record.end_reason, record.end_by) == ("transferred", "us")
    (kept,) = record.transfers
    assert (kept["by"], kept["to"], kept["code"], kept["done"]) == ("us", CAROL, 200, True)


def test_a_number_is_one_at_the_far_ends_own_domain(start: Start) -> None:
    node = start(sip=QUICK, outbound=Outbound(allowed_prefixes=("+4930",)))
    with Peer() as bob, MediaPort() as media:
        call = Answered(node, bob, media)
        waiting = begin(node, call.call.transfer("+4930123456"))
        refer = bob.request("REFER")
        assert refer["refer-to"] == f"<sip:+4930123456@{LOOPBACK}>"
        bob.respond(refer, 603, tag="")
        with pytest.raises(TransferError):
            waiting.result(5)


def test_whom_the_policy_does_not_allow_nobody_is_transferred_to(start: Start) -> None:
    node = start(sip=QUICK)
    with Peer() as bob, MediaPort() as media:
        call = Answered(node, bob, media)
        for target in ("sip:+4930123456@carrier.example", "tel:+4930123456", "+4930123456"):
            with pytest.raises(OutboundDeniedError):
                node.run(call.call.transfer(target))
        assert bob.poll(lambda m: m.is_request and m.method == "REFER", 0.3) is None


@pytest.mark.parametrize("code", [400, 403, 405, 420, 481, 488, 500, 501, 503, 603])
def test_a_refusal_is_an_error_and_the_call_goes_on(start: Start, code: int) -> None:
    node = start(sip=QUICK)
    with Peer() as bob, MediaPort() as media:
        call = Answered(node, bob, media)
        waiting = begin(node, call.call.transfer(CAROL))
        bob.respond(bob.request("REFER"), code, tag="")
        with pytest.raises(TransferError) as caught:
            waiting.result(5)
        assert (caught.value.code, caught.value.target) == (code, CAROL)
        assert call.call.is_answered
        again = begin(node, call.call.transfer(CAROL))
        bob.respond(bob.request("REFER"), 202, tag="")
        assert call.notify("SIP/2.0 200 OK", "terminated") == 200
        assert again.result(5) == 200
        hung_up(bob)
        node.assert_clean()


@pytest.mark.parametrize(
    ("line", "state", "code"),
    [("SIP/2.0 486 Busy Here", "terminated;reason=noresource", 486),
     ("SIP/2.0 603 Decline", "active;expires=60", 603),
     ("", "terminated;reason=rejected", 603),
     ("", "terminated;reason=timeout", 408)],
)  # fmt: skip
def test_a_transfer_that_fails_leaves_the_call(
    start: Start, line: str, state: str, code: int
) -> None:
    node = start(sip=QUICK)
    with Peer() as bob, MediaPort() as media:
        call = Answered(node, bob, media)
        waiting = begin(node, call.call.transfer(CAROL))
        bob.respond(bob.request("REFER"), 202, tag="")
        assert call.notify(line, state) == 200
        with pytest.raises(TransferError) as caught:
            waiting.result(5)
        assert caught.value.code == code and call.call.is_answered
        # The end again, however it is told, changes nothing.
        assert call.notify("SIP/2.0 200 OK", "terminated") in (200, 481)
        assert call.notify("SIP/2.0 200 OK", "terminated") == 481
        assert call.call.is_answered
    assert transfers(node)[-1] == ("TransferFailed", code)


def test_a_notify_before_the_202_and_a_202_that_is_lost(start: Start) -> None:
    node = start(sip=QUICK)
    with Peer() as bob, MediaPort() as media:
        call = Answered(node, bob, media)
        waiting = begin(node, call.call.transfer(CAROL))
        bob.request("REFER")
        assert call.notify("SIP/2.0 180 Ringing") == 200
        assert call.notify("SIP/2.0 200 OK", "terminated;reason=noresource") == 200
        assert waiting.result(5) == 200
        hung_up(bob)
        node.assert_clean(12)


def test_who_agrees_and_hangs_up_has_done_it(start: Start) -> None:
    node = start(sip=QUICK)
    with Peer() as bob, MediaPort() as media:
        call = Answered(node, bob, media)
        waiting = begin(node, call.call.transfer(CAROL))
        bob.respond(bob.request("REFER"), 202, tag="")
        call.bye()
        assert waiting.result(5) == 202
        # What they say after their BYE is still listened to (RFC 5057).
        assert call.notify("SIP/2.0 200 OK", "terminated;reason=noresource") == 200
        assert call.notify("SIP/2.0 200 OK", "terminated;reason=noresource") == 481
        node.assert_clean()
    (record,) = node.records()
    assert (record.end_by, record.transfers[0]["code"]) == ("them", 202)


def test_what_is_said_after_the_bye_is_let_in_where_only_some_may_speak(start: Start) -> None:
    node = start(sip=Sip(t1_ms=50, allowed_addresses=("127.0.0.9",)))
    with Peer() as bob, MediaPort() as media:
        call = Answered(node, bob, media)
        waiting = begin(node, call.call.transfer(CAROL))
        bob.respond(bob.request("REFER"), 202, tag="")
        call.bye()
        assert waiting.result(5) == 202
        assert call.notify("SIP/2.0 200 OK", "terminated;reason=noresource") == 200
        call.request("NOTIFY", [("Event", "refer"), ("Subscription-State", "active")])
        until(lambda: node.endpoint.counters["not allowed"] == 1)


def test_who_hangs_up_without_agreeing_has_ended_the_call(start: Start) -> None:
    node = start(sip=QUICK)
    with Peer() as bob, MediaPort() as media:
        call = Answered(node, bob, media)
        waiting = begin(node, call.call.transfer(CAROL))
        bob.request("REFER")
        call.bye()
        with pytest.raises(CallEndedError):
            waiting.result(5)


def test_who_stops_telling_and_hangs_up_has_done_it(start: Start) -> None:
    node = start(sip=QUICK)
    with Peer() as bob, MediaPort() as media:
        call = Answered(node, bob, media)
        waiting = begin(node, call.call.transfer(CAROL))
        bob.respond(bob.request("REFER"), 202, tag="")
        assert call.notify("SIP/2.0 100 Trying", "terminated;reason=noresource") == 200
        call.bye()
        assert waiting.result(5) == 202


def test_who_stops_telling_and_stays_has_not(start: Start) -> None:
    node = start(sip=QUICK)
    with Peer() as bob, MediaPort() as media:
        call = Answered(node, bob, media)
        waiting = begin(node, call.call.transfer(CAROL))
        bob.respond(bob.request("REFER"), 202, tag="")
        assert call.notify("SIP/2.0 100 Trying", "terminated;reason=noresource") == 200
        with pytest.raises(TransferError, match="stopped reporting"):
            waiting.result(8)
        assert call.call.is_answered


def test_who_never_tells_is_waited_for_only_so_long(start: Start) -> None:
    node = start(sip=QUICK)
    with Peer() as bob, MediaPort() as media:
        call = Answered(node, bob, media)
        waiting = begin(node, call.call.transfer(CAROL, timeout=0.3))
        bob.respond(bob.request("REFER"), 202, tag="")
        with pytest.raises(TransferError) as caught:
            waiting.result(5)
        assert caught.value.code == 408 and call.call.is_answered
        # Too late: it is taken, and changes nothing.
        assert call.notify("SIP/2.0 200 OK", "terminated") == 200
        assert call.call.is_answered


def test_a_far_end_that_never_answers_the_refer(start: Start) -> None:
    node = start(sip=Sip(t1_ms=15))
    with Peer() as bob, MediaPort() as media:
        call = Answered(node, bob, media)
        waiting = begin(node, call.call.transfer(CAROL))
        with pytest.raises(TransferError) as caught:
            waiting.result(5)
        assert caught.value.code == 408 and call.call.is_answered


def test_who_is_not_to_tell_is_not_waited_for(start: Start) -> None:
    node = start(sip=QUICK)
    with Peer() as bob, MediaPort() as media:
        call = Answered(node, bob, media)
        waiting = begin(node, call.call.transfer(CAROL, notify=False))
        refer = bob.request("REFER")
        assert refer["refer-sub"] == "false"
        bob.respond(refer, 202, tag="", extra=[("Refer-Sub", "false")])
        assert waiting.result(5) == 202
        hung_up(bob)


def test_a_transfer_goes_on_when_nobody_waits_for_it(start: Start) -> None:
    node = start(sip=QUICK)
    with Peer() as bob, MediaPort() as media:
        call = Answered(node, bob, media)
        waiting = begin(node, call.call.transfer(CAROL))
        bob.respond(bob.request("REFER"), 202, tag="")
        waiting.cancel()
        with pytest.raises(UsageError, match="being transferred"):
            node.run(call.call.transfer(CAROL))
        assert call.notify("SIP/2.0 200 OK", "terminated") == 200
        hung_up(bob)
        node.assert_clean()


@pytest.mark.parametrize(
    "target", ["not an address", "mailto:a@127.0.0.1", "sip:a@127.0.0.1\r\nX: y"]
)
def test_an_address_that_is_none_is_refused(start: Start, target: str) -> None:
    node = start(sip=QUICK, outbound=Outbound(allowed_prefixes=("",)))
    with Peer() as bob, MediaPort() as media:
        call = Answered(node, bob, media)
        with pytest.raises(UsageError):
            node.run(call.call.transfer(target))
        waiting = begin(node, call.call.transfer(CAROL))
        bob.respond(bob.request("REFER"), 603, tag="")
        with pytest.raises(TransferError):
            waiting.result(5)


# -- attended --------------------------------------------------------------------------------


def test_two_far_ends_are_put_together_and_both_calls_end(start: Start) -> None:
    node = start(sip=QUICK)
    with Peer() as bob, Peer() as carol, MediaPort() as one, MediaPort() as two:
        first = Answered(node, bob, one)
        second = Answered(node, carol, two)
        waiting = begin(node, first.call.transfer_to(second.call))
        refer = bob.request("REFER")
        target, _, header = uri_of(refer["refer-to"]).partition("?Replaces=")
        assert f"<{target}>" == carol.contact
        found = header.replace("%3B", ";").replace("%3D", "=").replace("%40", "@")
        call_id, to_tag, from_tag = found.split(";")
        assert call_id == second.invite["call-id"]
        # Who is asked to give the call up reads its own tag first.
        assert to_tag == f"to-tag=t{carol.port}"
        assert from_tag == f"from-tag={tag_of(second.invite['from'])}"
        bob.respond(refer, 202, tag="")
        second.bye()  # Bob took its place
        assert first.notify("SIP/2.0 200 OK", "terminated;reason=noresource") == 200
        assert waiting.result(5) == 200
        hung_up(bob)
        node.assert_clean()


def test_the_other_call_ending_says_that_it_worked(start: Start) -> None:
    node = start(sip=QUICK)
    with Peer() as bob, Peer() as carol, MediaPort() as one, MediaPort() as two:
        first, second = Answered(node, bob, one), Answered(node, carol, two)
        waiting = begin(node, first.call.transfer_to(second.call))
        bob.respond(bob.request("REFER"), 202, tag="")
        until(lambda: transfers(node))
        second.bye()
        assert waiting.result(8) == 202
        hung_up(bob)


def test_an_attended_transfer_that_fails_leaves_both_calls(start: Start) -> None:
    node = start(sip=QUICK)
    with Peer() as bob, Peer() as carol, MediaPort() as one, MediaPort() as two:
        first, second = Answered(node, bob, one), Answered(node, carol, two)
        waiting = begin(node, first.call.transfer_to(second.call))
        bob.respond(bob.request("REFER"), 202, tag="")
        assert first.notify("SIP/2.0 481 Gone", "terminated;reason=noresource") == 200
        with pytest.raises(TransferError):
            waiting.result(5)
        assert first.call.is_answered and second.call.is_answered
        with pytest.raises(UsageError, match="to itself"):
            node.run(first.call.transfer_to(first.call))


def test_who_knows_no_transfer_is_joined_by_us_where_we_can(start: Start) -> None:
    node = start(sip=QUICK)
    joined: list[tuple[object, object]] = []

    async def join(one: object, two: object) -> None:
        joined.append((one, two))

    with Peer() as bob, Peer() as carol, MediaPort() as one, MediaPort() as two:
        first, second = Answered(node, bob, one), Answered(node, carol, two)
        first.call.joiner = join
        waiting = begin(node, first.call.transfer_to(second.call))
        bob.respond(bob.request("REFER"), 405, tag="")
        assert waiting.result(5) == 200
        assert joined == [(first.call, second.call)] and first.call.is_answered


# -- they ask --------------------------------------------------------------------------------


def test_nobody_is_transferred_without_permission(start: Start) -> None:
    node = start(sip=QUICK)
    with Peer() as bob, Peer() as carol, MediaPort() as media:
        call = Answered(node, bob, media, echo)
        target = f"<sip:carol@{LOOPBACK}:{carol.port}>"
        assert call.refer(target) == 603
        assert carol.poll(seconds=0.3) is None
        assert call.call.is_answered
    assert transfers(node, "them") == [("TransferFailed", 603)]


def test_permission_is_no_permission_to_call_everybody(start: Start) -> None:
    node = start(sip=QUICK, outbound=Outbound(allowed_prefixes=("+4930",)))
    with Peer() as bob, MediaPort() as media:
        call = Answered(node, bob, media, willing)
        until(lambda: call.call._may_transfer)
        for target in (
            "sip:+1900555@127.0.0.2.example",
            "sip:%2B1900555@192.0.2.1",
            "sip:+1900555@192.0.2.1;x=%40127.0.0.1",
            "sip:+1900555@192.0.2.1?x=%40127.0.0.1",
            "tel:+1900555",
            "sip:evil@192.0.2.1",
        ):
            assert call.refer(f"<{target}>") == 603
        assert call.call.is_answered
        assert len(node.calls) == 1
    assert node.endpoint.counters["name not found"] == 0


def test_an_app_is_asked_about_each_transfer(start: Start) -> None:
    node = start(sip=QUICK)
    asked: list[TransferRequest] = []

    def judge(request: TransferRequest) -> bool:
        asked.append(request)
        if len(asked) == 2:
            raise ValueError("cannot decide")
        return False

    with Peer() as bob, MediaPort() as media:
        call = Answered(node, bob, media)
        call.call.allow_transfers(judge)
        assert call.refer(f"<{CAROL}>", [("Referred-By", "<sip:boss@127.0.0.1>")]) == 603
        assert (asked[0].target, asked[0].referred_by) == (CAROL, "<sip:boss@127.0.0.1>")


def test_the_call_goes_on_with_the_new_party(start: Start) -> None:
    """The app stays, its call stays, and what it hears and says is the new party's."""
    node = start(sip=QUICK)
    with Peer() as bob, Peer() as carol, MediaPort() as one, MediaPort() as two:
        call = Answered(node, bob, one, willing)
        until(lambda: call.call._may_transfer)
        target = f"sip:carol@{LOOPBACK}:{carol.port}"
        by = [("Referred-By", "<sip:bob@127.0.0.1>")]
        assert call.refer(f"<{target}>", by) == 202
        assert call.told()[0] == "SIP/2.0 100 Trying"
        invite = carol.request("INVITE")
        assert invite["referred-by"] == "<sip:bob@127.0.0.1>"
        carol.respond(invite, 180, "Ringing")
        assert call.told()[0] == "SIP/2.0 180 Ringing"
        carol.respond(invite, 200, body=sdp(two.port))
        carol.request("ACK")
        line, state = call.told()
        assert (line, state) == ("SIP/2.0 200 OK", "terminated;reason=noresource")
        call.bye()
        frames = noise(60)
        two.play(invite.media, stream(frames))
        until(lambda: found_in_order(frames, [p.payload for p in two.received]) > 20)
        assert call.call.is_answered and not call.call.is_over
        assert call.call.party.callee == "carol"
        node.run(call.call.hangup())
        hung_up(carol)
        node.assert_clean()
    assert transfers(node, "them") == [
        ("Transferring", 180), ("Transferred", 200),
    ]  # fmt: skip
    (record,) = node.records()
    (kept,) = record.transfers
    assert (kept["by"], kept["to"], kept["done"]) == ("them", target, True)
    assert kept["sip_call_id"] == invite["call-id"] != record.sip_call_id
    assert "packets_sent" in kept["quality"]


def test_a_transferor_that_does_not_hang_up_is_hung_up(start: Start) -> None:
    node = start(sip=QUICK)
    with Peer() as bob, Peer() as carol, MediaPort() as one, MediaPort() as two:
        call = Answered(node, bob, one, willing)
        until(lambda: call.call._may_transfer)
        assert call.refer(f"<sip:carol@{LOOPBACK}:{carol.port}>") == 202
        call.told()
        carol.respond(carol.request("INVITE"), 200, body=sdp(two.port))
        carol.request("ACK")
        assert call.told()[0] == "SIP/2.0 200 OK"
        hung_up(bob)
        assert call.call.is_answered
        node.run(call.call.hangup())
        hung_up(carol)
        node.assert_clean()


def test_a_transferor_that_hangs_up_at_once_still_gets_it_done(start: Start) -> None:
    node = start(sip=QUICK)
    with Peer() as bob, Peer() as carol, MediaPort() as one, MediaPort() as two:
        call = Answered(node, bob, one, willing)
        until(lambda: call.call._may_transfer)
        assert call.refer(f"<sip:carol@{LOOPBACK}:{carol.port}>") == 202
        call.told()
        invite = carol.request("INVITE")
        call.bye()
        time.sleep(0.1)
        assert not call.call.is_over
        carol.respond(invite, 200, body=sdp(two.port))
        carol.request("ACK")
        assert call.told()[0] == "SIP/2.0 200 OK"
        until(lambda: two.received)
        assert call.call.is_answered
        node.run(call.call.hangup())
        hung_up(carol)
        node.assert_clean()


@pytest.mark.parametrize("early_bye", [False, True])
def test_a_new_party_that_is_busy(start: Start, early_bye: bool) -> None:
    node = start(sip=QUICK)
    with Peer() as bob, Peer() as carol, MediaPort() as media:
        call = Answered(node, bob, media, willing)
        until(lambda: call.call._may_transfer)
        assert call.refer(f"<sip:carol@{LOOPBACK}:{carol.port}>") == 202
        call.told()
        invite = carol.request("INVITE")
        if early_bye:
            call.bye()
        carol.respond(invite, 486, "Busy Here")
        line, state = call.told()
        assert line == "SIP/2.0 486 Busy Here" and state == "terminated;reason=noresource"
        if early_bye:
            node.assert_clean()
            assert node.records()[0].end_by == "them"
        else:
            assert call.call.is_answered
            received = len(media.received)
            until(lambda: len(media.received) > received + 5)


def test_an_app_that_hangs_up_meanwhile_gives_the_new_call_up(start: Start) -> None:
    node = start(sip=QUICK)
    with Peer() as bob, Peer() as carol, MediaPort() as media:
        call = Answered(node, bob, media, willing)
        until(lambda: call.call._may_transfer)
        assert call.refer(f"<sip:carol@{LOOPBACK}:{carol.port}>") == 202
        call.told()
        invite = carol.request("INVITE")
        carol.respond(invite, 180)
        assert call.told()[0] == "SIP/2.0 180 Ringing"
        # Another one has to wait for the first.
        assert call.refer(f"<sip:carol@{LOOPBACK}:{carol.port}>") == 491
        node.run(call.call.hangup())
        carol.respond(carol.request("CANCEL"), 200)
        carol.respond(invite, 487)
        hung_up(bob)
        node.assert_clean()


def test_a_transferor_that_wants_no_reports_gets_none(start: Start) -> None:
    node = start(sip=QUICK)
    with Peer() as bob, Peer() as carol, MediaPort() as one, MediaPort() as two:
        call = Answered(node, bob, one, willing)
        until(lambda: call.call._may_transfer)
        fields = [("Refer-Sub", "false"), ("Supported", "norefersub")]
        assert call.refer(f"<sip:carol@{LOOPBACK}:{carol.port}>", fields) == 202
        carol.respond(carol.request("INVITE"), 200, body=sdp(two.port))
        carol.request("ACK")
        call.bye()
        assert not [m for m in bob.seen if m.is_request and m.method == "NOTIFY"]


def test_an_attended_transfer_carries_its_replaces(start: Start) -> None:
    node = start(sip=QUICK)
    with Peer() as bob, Peer() as carol, MediaPort() as media:
        call = Answered(node, bob, media, willing)
        until(lambda: call.call._may_transfer)
        header = "Replaces=abc%40x%3Bto-tag%3D7%3Bfrom-tag%3D9&X-Evil=1&From=%3Csip%3Aa%40b%3E"
        assert call.refer(f"<sip:carol@{LOOPBACK}:{carol.port}?{header}>") == 202
        invite = carol.request("INVITE")
        assert invite["replaces"] == "abc@x;to-tag=7;from-tag=9"
        assert "x-evil" not in dict(invite.headers) and len(invite.all("from")) == 1


# -- they take over ------------------------------------------------------------------------------


def test_an_invite_with_replaces_takes_the_call_over(start: Start) -> None:
    node = start(sip=QUICK)
    with Peer() as bob, Peer(node.sip_port) as carol, MediaPort() as one, MediaPort() as two:
        call = Answered(node, bob, one, echo)
        took = Dialled(carol)
        took.invite(sdp(two.port), [("Replaces", call.replaces()), ("Require", "replaces")])
        response = took.ok()
        took.ack()
        hung_up(bob)
        frames = noise(60)
        two.play(response.media, stream(frames))
        until(lambda: found_in_order(frames, [p.payload for p in two.received]) > 20)
        assert call.call.is_answered and len(node.calls) == 1
        assert took.bye().code == 200
        node.assert_clean()
    assert transfers(node, "them") == [("Transferred", 200)]
    (record,) = node.records()
    assert (record.end_reason, record.end_by) == ("hangup", "them")


@pytest.mark.parametrize(
    ("change", "code"),
    [(lambda text: text.replace("from-tag=t", "from-tag=x"), 481),
     (lambda text: "nobody@x;to-tag=1;from-tag=2", 481),
     (lambda text: "nonsense", 400),
     (lambda text: f"{text};early-only", 486)],
)  # fmt: skip
def test_an_invite_that_may_not_replace_changes_nothing(
    start: Start, change: Any, code: int
) -> None:
    node = start(sip=QUICK)
    with Peer() as bob, Peer(node.sip_port) as carol, MediaPort() as one, MediaPort() as two:
        call = Answered(node, bob, one, echo)
        took = Dialled(carol)
        took.invite(sdp(two.port), [("Replaces", change(call.replaces()))])
        took.refuse_ack(carol.status(code))
        assert call.call.is_answered and len(node.calls) == 1
        call.bye()
        node.assert_clean()


def test_an_offer_that_cannot_be_agreed_to_leaves_the_old_leg(start: Start) -> None:
    node = start(sip=QUICK)
    with Peer() as bob, Peer(node.sip_port) as carol, MediaPort() as one, MediaPort() as two:
        call = Answered(node, bob, one, echo)
        took = Dialled(carol)
        took.invite(sdp(two.port, formats="31"), [("Replaces", call.replaces())])
        took.refuse_ack(carol.status(488))
        received = len(one.received)
        until(lambda: len(one.received) > received + 5)
        assert call.call.is_answered
        call.bye()
        node.assert_clean()


def test_a_dialog_that_is_over_cannot_be_replaced(start: Start) -> None:
    node = start(sip=QUICK)
    with Peer() as bob, Peer(node.sip_port) as carol, MediaPort() as one, MediaPort() as two:
        call = Answered(node, bob, one, echo)
        call.bye()
        took = Dialled(carol)
        took.invite(sdp(two.port), [("Replaces", call.replaces())])
        took.refuse_ack(carol.status(603))
        node.assert_clean()


def test_a_late_offer_takes_over_too(start: Start) -> None:
    node = start(sip=QUICK)
    with Peer() as bob, Peer(node.sip_port) as carol, MediaPort() as one, MediaPort() as two:
        call = Answered(node, bob, one, echo)
        took = Dialled(carol)
        took.invite(b"", [("Replaces", call.replaces())])
        took.ok()
        hung_up(bob)
        took.ack(sdp(two.port))
        until(lambda: len(two.received) > 5)
        assert call.call.is_answered
        assert took.bye().code == 200
        node.assert_clean()


def test_a_telephone_puts_two_of_our_calls_together(start: Start) -> None:
    """It has called two apps of ours, and steps out: they talk to each other from then on."""
    board = Switchboard()
    loud = {"frames": 0}

    @board.answer("talker", transfers=True)
    async def talker(call: Call) -> None:
        while not call.is_over:
            await call.play_audio(TONE, 8000)

    @board.answer("listener")
    async def listener(call: Call) -> None:
        async for frame in call.frames():
            loud["frames"] += int(frame.max()) > 5000

    node = start(board, sip=QUICK)
    with Peer(node.sip_port) as phone, MediaPort() as one, MediaPort() as two:
        first, second = Dialled(phone, "talker"), Dialled(phone, "listener")
        first.answered(sdp(one.port))
        response = second.answered(sdp(two.port))
        # From the listener's side: its own tag first.
        tags = f"%3Bto-tag%3D{tag_of(response['to'])}%3Bfrom-tag%3D{tag_of(second.local)}"
        replaces = second.call_id + tags  # with an @ that should have been escaped
        target = uri_of(response["contact"])
        first.request("REFER", extra=[("Refer-To", f"<{target}?Replaces={replaces}>")])
        assert phone.receive(lambda m: m.code >= 200 and m.method == "REFER").code == 202
        while True:
            told = phone.request("NOTIFY", 8)
            phone.respond(told, 200, tag="")
            if "terminated" in told["subscription-state"]:
                break
        assert told.body == b"SIP/2.0 200 OK\r\n"
        hung_up(phone)
        assert first.bye().code == 200
        until(lambda: loud["frames"] > 20, 8)
        assert [call.is_over for call in node.calls] == [False, False]
        node.run(node.calls[0].hangup())
        node.assert_clean()
