"""Transfers between two user agents: REFER, its NOTIFYs, and what goes wrong with them."""

import random
import re
from collections.abc import Callable

import pytest

from trunkline.errors import UsageError
from trunkline.sip import (
    Account,
    Admission,
    Challenger,
    Credentials,
    ReferProgress,
    Referral,
    Referred,
    Replaces,
    Request,
    Response,
    Session,
    StateError,
    Terminated,
    parse_message,
)
from trunkline.sip.testing import Peer, VirtualNetwork, describe

from .test_calls import ALICE, BOB, agreeable, call, quiet, up

CAROL = "sip:carol@10.0.0.3"


def progress(peer: Peer) -> list[tuple[int, bool]]:
    return [(event.code, event.is_final) for event in peer.of(ReferProgress)]


def following(network: VirtualNetwork, peer: Peer) -> Referral:
    """The one transfer a peer was asked for, accepted."""
    (asked,) = peer.of(Referred)
    assert peer.agent.referring.accept(asked.referral, network.now)
    network.run(1)
    return asked.referral


def sent(network: VirtualNetwork, method: str) -> Callable[[], list[Request | Response]]:
    """Notes every message of a method from now on."""
    noted: list[Request | Response] = []
    send = network.send

    def watch(data: bytes, sender: str, receiver: str) -> None:
        message = parse_message(data)
        if message.cseq.method == method:
            noted.append(message)
        send(data, sender, receiver)

    network.send = watch  # type: ignore[method-assign]
    return lambda: noted


def requests(found: list[Request | Response]) -> list[Request]:
    return [one for one in found if isinstance(one, Request)]


def inject(network: VirtualNetwork, at: Peer, method: str, session: Session, **fields: str) -> str:
    """A request of Bob's in a session's dialog, written by hand; returns what it is answered."""
    dialog = session._internals.dialog
    assert dialog is not None
    number = dialog.local_seq = dialog.local_seq + 1
    body = fields.pop("body", "")
    tags = {"from": dialog.local_tag, "to": dialog.remote_tag}
    tags.update({key: fields.pop(key) for key in ("from", "to") if key in fields})
    lines = [
        f"{method} sip:x@{at.host} SIP/2.0",
        f"Via: SIP/2.0/UDP {BOB};branch=z9hG4bK{network.rng.getrandbits(64):x}",
        f"From: <sip:bob@{BOB}>;tag={tags['from']}",
        f"To: <sip:alice@{ALICE}>" + (f";tag={tags['to']}" if tags["to"] else ""),
        f"Call-ID: {fields.pop('call_id', dialog.call_id)}",
        f"CSeq: {fields.pop('cseq', str(number))} {method}",
        f"Contact: <sip:bob@{BOB}>",
        *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items()),
        f"Content-Length: {len(body)}",
    ]
    before = len(network.said(at.host))
    at.agent.receive(("\r\n".join(lines) + "\r\n\r\n" + body).encode(), (BOB, 5060), network.now)
    at.flush()
    said = [what for what in network.said(at.host)[before:] if what.endswith(f" {method}")]
    return said[0].split()[0] if said else ""


def notify(network: VirtualNetwork, at: Peer, session: Session, line: str, **fields: str) -> str:
    fields.setdefault("Event", "refer")
    fields.setdefault("Subscription_State", "active;expires=60")
    return inject(network, at, "NOTIFY", session, body=f"{line}\r\n" if line else "", **fields)


# A transfer as it should be.


def test_a_transfer_is_asked_for_followed_and_told_to_its_end() -> None:
    network, alice, bob, ours, _ = up()
    refers, notifies = sent(network, "REFER"), sent(network, "NOTIFY")
    alice.agent.referring.refer(ours, CAROL, network.now)
    network.run(1)
    referral = following(network, bob)
    assert referral.to.uri == CAROL and referral.to.replaces is None
    assert referral.referred_by == f"<sip:alice@{ALICE}>"
    bob.agent.referring.report(referral, 180, "Ringing", network.now)
    network.run(1)
    bob.agent.referring.report(referral, 200, "OK", network.now)
    network.run(1)
    assert progress(alice) == [(202, False), (100, False), (180, False), (200, True)]
    refer = requests(refers())[0]
    assert refer.get("refer-to") == f"<{CAROL}>"
    states = [(one.get("event"), one.get("subscription-state")) for one in requests(notifies())]
    assert states[0] == ("refer", "active;expires=180")
    assert states[-1] == ("refer", "terminated;reason=noresource")
    assert {one.content_type for one in requests(notifies())} == {"message/sipfrag"}
    assert requests(notifies())[-1].body == b"SIP/2.0 200 OK\r\n"
    assert ours.is_confirmed
    alice.agent.bye(ours, network.now)
    quiet(network)


def test_a_second_transfer_in_the_dialog_is_told_by_its_id() -> None:
    network, alice, bob, ours, _ = up()
    notifies = sent(network, "NOTIFY")
    for code in (486, 200):
        alice.agent.referring.refer(ours, CAROL, network.now)
        network.run(1)
        referral = bob.of(Referred)[-1].referral
        bob.agent.referring.accept(referral, network.now)
        bob.agent.referring.report(referral, code, "", network.now)
        network.run(1)
    assert [code for code, final in progress(alice) if final] == [486, 200]
    events = [one.get("event") or "" for one in requests(notifies())]
    assert events[0] == "refer" and re.fullmatch(r"refer;id=\d+", events[-1])


def test_two_transfers_at_once_are_told_apart() -> None:
    network, alice, bob, ours, _ = up()
    first = alice.agent.referring.refer(ours, CAROL, network.now)
    second = alice.agent.referring.refer(ours, "sip:dave@10.0.0.4", network.now)
    network.run(1)
    asked = [event.referral for event in bob.of(Referred)]
    for referral in asked:
        bob.agent.referring.accept(referral, network.now)
    bob.agent.referring.report(asked[1], 603, "No", network.now)
    bob.agent.referring.report(asked[0], 200, "OK", network.now)
    network.run(1)
    ends = {event.refer: event.code for event in alice.of(ReferProgress) if event.is_final}
    assert ends == {first: 200, second: 603}


def test_an_attended_transfer_names_the_call_it_replaces() -> None:
    network, alice, bob, ours, _ = up()
    replaces = Replaces("a@b", "t-1", "f-1", early_only=True)
    alice.agent.referring.refer(ours, CAROL, network.now, replaces=replaces)
    network.run(1)
    (asked,) = bob.of(Referred)
    assert (asked.referral.to.uri, asked.referral.to.replaces) == (CAROL, replaces)


def test_who_does_not_want_to_be_told_is_not() -> None:
    network, alice, bob, ours, _ = up()
    notifies = sent(network, "NOTIFY")
    alice.agent.referring.refer(ours, CAROL, network.now, silent=True)
    network.run(1)
    referral = following(network, bob)
    assert referral.silent and not notifies()
    assert not bob.agent.referring.report(referral, 200, "OK", network.now)
    assert progress(alice) == [(202, True)]


@pytest.mark.parametrize("code", [400, 403, 404, 405, 420, 481, 488, 501, 503, 603])
def test_a_refusal_ends_the_waiting_and_not_the_call(code: int) -> None:
    network, alice, bob, ours, theirs = up()
    alice.agent.referring.refer(ours, CAROL, network.now)
    network.run(1)
    (asked,) = bob.of(Referred)
    assert bob.agent.referring.refuse(asked.referral, code, network.now)
    assert not bob.agent.referring.accept(asked.referral, network.now)
    assert not bob.agent.referring.refuse(asked.referral, 603, network.now)
    network.run(1)
    assert progress(alice) == [(code, True)]
    assert ours.is_confirmed and theirs.is_confirmed
    assert alice.agent.live["subscriptions"] == bob.agent.live["subscriptions"] == 0


def test_who_does_not_know_what_refer_is_says_so() -> None:
    network, alice, bob, ours, _ = up()
    bob.agent._core.methods.remove("REFER")
    alice.agent.referring.refer(ours, CAROL, network.now)
    network.run(1)
    assert progress(alice) == [(405, True)] and ours.is_confirmed


def test_what_nobody_decides_is_declined() -> None:
    network, alice, bob, ours, _ = up()
    alice.agent.referring.refer(ours, CAROL, network.now)
    network.run(31)
    assert progress(alice) == [(603, True)]
    assert not bob.agent.referring.accept(bob.of(Referred)[0].referral, network.now)


def test_a_far_end_that_is_gone_is_a_timeout() -> None:
    network, alice, bob, ours, _ = up()
    bob.vanish()
    alice.agent.referring.refer(ours, CAROL, network.now)
    network.run(33)
    assert progress(alice) == [(408, True)]


@pytest.mark.parametrize("seed", range(8))
def test_a_transfer_survives_a_bad_link(seed: int) -> None:
    network, alice, bob, ours, _ = up(seed=seed)
    network.loss, network.duplicates, network.jitter_seconds = 0.25, 0.2, 0.3
    alice.agent.referring.refer(ours, CAROL, network.now)
    network.run(12)
    (asked,) = bob.of(Referred)
    bob.agent.referring.accept(asked.referral, network.now)
    for code in (180, 183, 180, 200):
        bob.agent.referring.report(asked.referral, code, "", network.now)
        network.run(0.2)
    network.run(70)
    codes = progress(alice)
    assert codes[-1] == (200, True) and sum(final for _, final in codes) == 1


# Whom it may be asked of.


def test_only_a_call_that_is_up_can_be_transferred_and_only_to_an_address() -> None:
    network, alice, _, ours, _ = up()
    with pytest.raises(UsageError, match="cannot transfer"):
        alice.agent.referring.refer(ours, "carol at home", network.now)
    alice.agent.bye(ours, network.now)
    with pytest.raises(StateError):
        alice.agent.referring.refer(ours, CAROL, network.now)
    ringing = alice.agent.invite(call(), network.now)
    with pytest.raises(StateError):
        alice.agent.referring.refer(ringing, CAROL, network.now)


def test_a_password_that_is_asked_for_is_given() -> None:
    network = VirtualNetwork(random.Random(1))
    challenger = Challenger("pbx", {"alice": Account("secret")}, b"a key of sixteen")
    alice = network.peer(ALICE, on_event=agreeable)
    bob = network.peer(BOB, on_event=agreeable, access=lambda *_: Admission(challenger=challenger))
    credentials = [Credentials("alice", "secret")]
    ours = alice.agent.invite(call(credentials=credentials), network.now)
    network.run(2)
    refers = sent(network, "REFER")
    receive = bob.agent._in_dialog["REFER"]

    def challenge(session: Session, request: Request, source: object, now: float) -> None:
        if request.get("authorization"):
            receive(session, request, source, now)  # type: ignore[arg-type]
        else:
            core = bob.agent._core
            core.answer_statelessly(request, source, 401, headers=challenger.headers(now))  # type: ignore[arg-type]

    bob.agent._in_dialog["REFER"] = challenge
    bob.agent._core.counters.clear()
    ours._internals.authorizer._met.clear()  # type: ignore[union-attr]
    alice.agent.referring.refer(ours, CAROL, network.now)
    network.run(1)
    referral = following(network, bob)
    bob.agent.referring.report(referral, 200, "OK", network.now)
    network.run(1)
    assert progress(alice)[-1] == (200, True)
    numbers = sorted({one.cseq.number for one in requests(refers())})
    assert len(numbers) == 2 and numbers[1] == numbers[0] + 1


# What they tell us, in whatever order.


def test_a_notify_that_overtakes_the_202_is_taken() -> None:
    network, alice, bob, ours, theirs = up()
    network.drop = lambda data, *_: describe(data) == "REFER"
    alice.agent.referring.refer(ours, CAROL, network.now)
    network.run(0.1)
    assert notify(network, alice, theirs, "SIP/2.0 180 Ringing") == "200"
    assert progress(alice) == [(180, False)]
    # That the REFER's own answer never comes is no failure then.
    network.run(40)
    assert progress(alice) == [(180, False)]
    assert notify(network, alice, theirs, "SIP/2.0 200 OK") == "200"
    assert progress(alice)[-1] == (200, True)
    assert bob.of(Referred) == []


def test_the_end_is_told_once_however_often_they_tell_it() -> None:
    network, alice, bob, ours, theirs = up()
    alice.agent.referring.refer(ours, CAROL, network.now)
    network.run(1)
    following(network, bob)
    assert notify(network, alice, theirs, "SIP/2.0 200 OK") == "200"
    assert notify(network, alice, theirs, "SIP/2.0 486 Busy") == "200"
    over = {"Subscription_State": "terminated;reason=noresource"}
    assert notify(network, alice, theirs, "SIP/2.0 200 OK", **over) == "200"
    assert notify(network, alice, theirs, "SIP/2.0 200 OK", **over) == "481"
    assert [event for event in progress(alice) if event[1]] == [(200, True)]


def test_the_end_may_come_after_the_bye() -> None:
    network, alice, bob, ours, theirs = up()
    alice.agent.referring.refer(ours, CAROL, network.now)
    network.run(1)
    referral = following(network, bob)
    bob.agent.bye(theirs, network.now)
    network.run(1)
    assert alice.of(Terminated)
    bob.agent.referring.report(referral, 200, "OK", network.now)
    network.run(1)
    assert progress(alice)[-1] == (200, True)
    quiet(network)


def test_we_tell_who_hung_up_before_the_end() -> None:
    network, alice, bob, ours, _ = up()
    alice.agent.referring.refer(ours, CAROL, network.now)
    network.run(1)
    referral = following(network, bob)
    alice.agent.bye(ours, network.now)
    network.run(1)
    for code in (180, 486):
        assert bob.agent.referring.report(referral, code, "", network.now)
        network.run(1)
    assert not bob.agent.referring.report(referral, 200, "OK", network.now)
    assert progress(alice)[-1] == (486, True)
    quiet(network)


@pytest.mark.parametrize(
    ("state", "line", "code"),
    [
        ("terminated;reason=rejected", "", 603),
        ("terminated;reason=timeout", "", 408),
        ("terminated;reason=noresource", "SIP/2.0 100 Trying", 100),
        ("terminated", "", 0),
        ("terminated;reason=noresource", "no fragment at all", 0),
        ("TERMINATED;REASON=noresource;retry-after=3", "SIP/2.0 503 Later", 503),
        ("active;expires=x", "sip/2.0 404", 404),
    ],
)
def test_what_they_say_at_the_end_is_understood(state: str, line: str, code: int) -> None:
    network, alice, _, ours, theirs = up()
    alice.agent.referring.refer(ours, CAROL, network.now)
    network.run(0.005)
    assert notify(network, alice, theirs, line, Subscription_State=state) == "200"
    assert progress(alice)[-1] == (code, True)


def test_a_far_end_that_never_tells_is_waited_for_as_long_as_a_call_rings() -> None:
    network, alice, bob, ours, _ = up()
    network.drop = lambda data, *_: describe(data) == "NOTIFY"
    alice.agent.referring.refer(ours, CAROL, network.now)
    network.run(1)
    following(network, bob)
    network.run(150)
    assert progress(alice) == [(202, False)]
    network.run(40)
    assert progress(alice) == [(202, False), (408, True)]
    assert ours.is_confirmed
    assert bob.agent.counters["notify-unanswered"] == 1
    alice.agent.bye(ours, network.now)
    quiet(network)


def test_a_report_nobody_ends_times_out_and_says_so() -> None:
    network, alice, bob, ours, _ = up()
    alice.agent.referring.refer(ours, CAROL, network.now)
    network.run(1)
    following(network, bob)
    network.run(182)
    assert progress(alice)[-1] == (408, True)
    assert bob.agent.live["subscriptions"] == alice.agent.live["subscriptions"] == 0


def test_options_says_what_can_be_reported() -> None:
    network, _, bob, _, theirs = up()
    answers = sent(network, "OPTIONS")
    bob.agent.probe(theirs, network.now)
    network.run(1)
    (answer,) = [one for one in answers() if isinstance(one, Response)]
    assert answer.get("allow-events") == "refer"
    assert {"REFER", "NOTIFY", "SUBSCRIBE"} <= set(answer.values("allow"))
    assert {"replaces", "norefersub", "tdialog"} <= set(answer.values("supported"))


def test_who_wants_no_more_notifies_gets_none() -> None:
    network, alice, bob, ours, _ = up()
    refer = alice.agent.referring.refer(ours, CAROL, network.now)
    network.run(1)
    referral = following(network, bob)
    assert refer.watch is not None
    alice.agent._subscriptions.forget(refer.watch)  # the next NOTIFY is answered 481
    notifies = sent(network, "NOTIFY")
    bob.agent.referring.report(referral, 180, "Ringing", network.now)
    network.run(1)
    assert not bob.agent.referring.report(referral, 200, "OK", network.now)
    network.run(1)
    assert [describe(bytes(one)) for one in notifies()] == ["NOTIFY", "481 NOTIFY"]


# NOTIFY and SUBSCRIBE that belong to nothing.


@pytest.mark.parametrize(
    ("event", "code"),
    [("refer", "481"), ("refer;id=7", "481"), ("refer;id=x", "481"), ("presence", "489"),
     ("message-summary", "200"), ("", "489"), ("REFER;;=", "481")],
)  # fmt: skip
def test_a_notify_in_a_call_without_a_subscription(event: str, code: str) -> None:
    network, alice, _, ours, theirs = up()
    assert notify(network, alice, theirs, "SIP/2.0 200 OK", Event=event) == code
    assert ours.is_confirmed and not progress(alice)


@pytest.mark.parametrize(
    ("event", "tag", "code"),
    [("message-summary", "", "200"), ("keep-alive", "", "200"), ("refer", "", "481"),
     ("presence", "", "489"), ("message-summary", "unknown", "481"), ("refer", "unknown", "481")],
)  # fmt: skip
def test_a_notify_in_no_call(event: str, tag: str, code: str) -> None:
    network, alice, _, _, theirs = up()
    fields = {"Event": event, "call_id": "mwi@pbx", "to": tag}
    assert notify(network, alice, theirs, "", **fields) == code


def test_a_notify_with_the_wrong_tag_is_none_of_ours() -> None:
    network, alice, _, ours, theirs = up()
    alice.agent.referring.refer(ours, CAROL, network.now)
    assert notify(network, alice, theirs, "SIP/2.0 200 OK", **{"from": "mallory"}) == "481"
    assert not progress(alice)


@pytest.mark.parametrize(("event", "code"), [("refer", "403"), ("presence", "489"), ("", "489")])
def test_nothing_can_be_subscribed_to_from_outside(event: str, code: str) -> None:
    network, alice, _, _, theirs = up()
    fields = {"Event": event, "call_id": "new@pbx", "to": ""}
    assert inject(network, alice, "SUBSCRIBE", theirs, **fields) == code


def test_a_subscription_can_be_ended_and_refreshed_by_who_has_it() -> None:
    network, alice, bob, ours, theirs = up()
    refused = inject(network, alice, "SUBSCRIBE", theirs, Event="refer")
    assert refused == "481"
    assert inject(network, alice, "REFER", theirs, Refer_To=f"<{CAROL}>") == ""
    (asked,) = alice.of(Referred)
    notifies = sent(network, "NOTIFY")
    told: list[str] = []
    assert theirs._internals.dialog is not None
    bob.agent._subscriptions.watch(
        theirs._internals.dialog, lambda what, _: told.append(what.state.word), network.now
    )
    alice.agent.referring.accept(asked.referral, network.now)
    network.run(1)
    assert inject(network, alice, "SUBSCRIBE", theirs, Event="refer", Expires="9999") == "200"
    assert inject(network, alice, "SUBSCRIBE", theirs, Event="refer", Expires="0") == "200"
    states = [one.get("subscription-state") for one in requests(notifies())]
    assert states == ["active;expires=180", "active;expires=3600"]
    network.run(1)
    assert told == ["active", "active", "terminated"]
    assert not alice.agent.referring.report(asked.referral, 200, "OK", network.now)
    assert ours.is_confirmed


# REFER that cannot be followed.


@pytest.mark.parametrize(
    ("refer_to", "code"),
    [("", "400"), ("<>", "400"), ("<mailto:a@b>", "416"), ("<sip:a@b;method=BYE>", "603"),
     ("<sip:a@b>, <sip:c@d>", "400"), ("<sip:a@b?Replaces=nonsense>", "400"),
     ("<sip:a@b?Replaces=x%0d%0aVia:y%3Bto-tag%3D1%3Bfrom-tag%3D2>", "400"),
     ("<sip:a@b?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2&replaces=y%3Bto-tag%3D1%3Bfrom-tag%3D2>",
      "400"), ("<sip:" + "a" * 2000 + "@b>", "400")],
)  # fmt: skip
def test_a_refer_that_cannot_be_read_is_refused(refer_to: str, code: str) -> None:
    network, alice, _, ours, theirs = up()
    assert inject(network, alice, "REFER", theirs, Refer_To=refer_to) == code
    assert not alice.of(Referred) and ours.is_confirmed


def test_two_refer_to_fields_are_one_too_many() -> None:
    network, alice, _, _, theirs = up()
    fields = {"Refer_To": "<sip:a@b>", "r": "<sip:c@d>"}
    assert inject(network, alice, "REFER", theirs, **fields) == "400"


def test_an_at_sign_that_was_not_escaped_is_understood() -> None:
    network, alice, _, _, theirs = up()
    header = "Replaces=x@y%3Bto-tag%3D1%3Bfrom-tag%3D2"
    inject(network, alice, "REFER", theirs, Refer_To=f"<sip:c@d?{header}>")
    asked = alice.of(Referred)[-1].referral.to
    assert (asked.uri, asked.replaces) == ("sip:c@d", Replaces("x@y", "1", "2"))
    inject(network, alice, "REFER", theirs, Refer_To="<sip:who?me@d>")
    assert alice.of(Referred)[-1].referral.to.uri == "sip:who?me@d"


def test_what_else_is_hidden_in_an_address_is_left_out() -> None:
    network, alice, _, _, theirs = up()
    hidden = "From=%3Csip:boss%40x%3E&Route=%3Csip:evil%40x%3E&body=v%3D0&X-A=b"
    inject(network, alice, "REFER", theirs, Refer_To=f'"C" <sip:c@d;user=phone?{hidden}>')
    (asked,) = alice.of(Referred)
    assert asked.referral.to.uri == "sip:c@d;user=phone"
    assert set(asked.referral.to.ignored) == {"From", "Route", "body", "X-A"}
    assert alice.agent.counters["refer-header-ignored"] == 4


@pytest.mark.parametrize("value", ["", "nonsense <", "<sip:a@b>" + ";x=y" * 500])
def test_a_referrer_that_cannot_be_read_is_nobody(value: str) -> None:
    network, alice, _, _, theirs = up()
    inject(network, alice, "REFER", theirs, Refer_To="<sip:c@d>", Referred_By=value)
    assert alice.of(Referred)[0].referral.referred_by == ""


def test_a_refer_before_the_answer_is_refused() -> None:
    network = VirtualNetwork(random.Random(1))
    alice, bob = network.peer(ALICE), network.peer(BOB)
    bob.agent.invite(call(target=f"sip:alice@{ALICE}"), network.now)
    network.run(1)
    (theirs,) = bob.agent.sessions.values()
    (ours,) = alice.agent.sessions.values()
    alice.agent.ring(ours, network.now)
    network.run(1)
    (dialog,) = theirs._internals.early_dialogs.values()
    theirs._internals.dialog = dialog
    assert inject(network, alice, "REFER", theirs, Refer_To=f"<{CAROL}>") == "403"


def test_a_refer_that_overtakes_the_ack_is_looked_at() -> None:
    network = VirtualNetwork(random.Random(1))
    alice, bob = network.peer(ALICE, on_event=agreeable), network.peer(BOB)
    network.drop = lambda data, *_: describe(data) == "ACK"
    theirs = bob.agent.invite(call(target=f"sip:alice@{ALICE}"), network.now)
    network.run(0.1)
    assert theirs.is_confirmed
    assert [session.state for session in alice.agent.sessions.values()] == ["answered"]
    assert inject(network, alice, "REFER", theirs, Refer_To=f"<{CAROL}>") == ""
    assert len(alice.of(Referred)) == 1


def outside(network: VirtualNetwork, alice: Peer, theirs: Session, **fields: str) -> str:
    values = {"Refer_To": f"<{CAROL}>", "call_id": "other@x", "to": "", "cseq": "1", **fields}
    return inject(network, alice, "REFER", theirs, **values)


def test_a_refer_outside_a_call_is_declined_unless_it_names_one() -> None:
    network, alice, _, ours, theirs = up()
    dialog = ours._internals.dialog
    assert dialog is not None
    named = f"{dialog.call_id};local-tag={dialog.local_tag};remote-tag={dialog.remote_tag}"
    assert outside(network, alice, theirs) == "603"
    for wrong in (named.replace(dialog.remote_tag, "x"), "nonsense", named + "x", ""):
        cseq = str(len(wrong) + 9)
        assert outside(network, alice, theirs, Target_Dialog=wrong, cseq=cseq) == "603"
    assert not alice.of(Referred)
    assert outside(network, alice, theirs, Target_Dialog=named, cseq="3") == ""
    (asked,) = alice.of(Referred)
    assert asked.session is ours
    notifies = sent(network, "NOTIFY")
    alice.agent.referring.accept(asked.referral, network.now)
    alice.flush()
    # Its reports go into the dialog that the REFER made, not into the call's.
    (told,) = requests(notifies())
    assert told.call_id == "other@x" and told.from_.tag == asked.referral.dialog.local_tag


def test_who_may_not_call_may_not_refer_either() -> None:
    network, alice, _, _, theirs = up()
    alice.agent._access = lambda *_: Admission(code=403)
    assert outside(network, alice, theirs) == "403"
    alice.agent._access = lambda *_: Admission(silent=True)
    assert outside(network, alice, theirs, cseq="2") == ""


def test_nothing_they_send_raises() -> None:
    network, alice, _, ours, theirs = up()
    rng = random.Random(4)
    alphabet = "<>;=?&%\"'@:,.0aZ \t\\é"
    alice.agent.referring.refer(ours, CAROL, network.now)

    def noise() -> str:
        return "".join(rng.choices(alphabet, k=rng.randrange(40)))

    for _ in range(300):
        assert inject(network, alice, "REFER", theirs, Refer_To=noise(), Target_Dialog=noise(),
                      Referred_By=noise(), Refer_Sub=noise()) in ("400", "416", "")  # fmt: skip
        line = noise()
        notify(network, alice, theirs, line, Event="refer;" + noise(), Subscription_State=noise())
        inject(network, alice, "SUBSCRIBE", theirs, Event=noise(), Expires=noise())
    assert ours.is_confirmed
