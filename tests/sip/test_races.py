"""Messages in the orders that hurt: each race ends with one end, and nothing left."""

import random

import pytest

from trunkline.sip import (
    Accepted,
    Invitation,
    Invited,
    ReInviteAnswered,
    ReInvited,
    Request,
    Session,
    Terminated,
    Timing,
)
from trunkline.sip.events import Event
from trunkline.sip.testing import ANSWER, HOLD, OFFER, Peer, VirtualNetwork

from .phone import THEIRS, Phone, said

PROXY = [("Record-Route", f"<sip:proxy@{THEIRS};lr>")]
RELIABLE = [("Require", "100rel"), ("RSeq", "1")]


def answered(phone: Phone) -> tuple[Session, str]:
    """A call of theirs that we accepted; its ACK has not come."""
    phone.invite()
    session = phone.last(Invited).session  # type: ignore[union-attr]
    phone.agent.accept(session, ANSWER, phone.now)
    (answer,) = phone.take()
    return session, answer.to.tag


def dialled(phone: Phone) -> tuple[Session, Request]:
    session, invite = phone.dial()
    phone.answer(invite, 200, body=ANSWER)
    assert session.is_confirmed
    return session, invite


def hung_up(phone: Phone, session: Session) -> None:
    """We end it, they agree, and all is quiet."""
    phone.agent.end(session, phone.now)
    for message in phone.take():
        if isinstance(message, Request) and message.method == "BYE":
            phone.answer(message, 200)
    phone.assert_quiet()


# Forked 2xx.


@pytest.mark.parametrize("cancelled", [False, True])
def test_forked_answers_are_acknowledged_whoever_wins(cancelled: bool) -> None:
    phone = Phone()
    session, invite = phone.dial()
    phone.answer(invite, 180, tag="a")
    phone.answer(invite, 180, tag="b")
    if cancelled:
        phone.agent.end(session, phone.now)
        assert said(phone.take()) == ["CANCEL"]
    byes = []
    for tag in "abc":
        sent = phone.answer(invite, 200, tag=tag, body=ANSWER)
        assert said(sent)[0] == "ACK" and sent[0].to.tag == tag
        byes += sent[1:]
    assert [bye.to.tag for bye in byes] == (["a"] if cancelled else []) + ["b", "c"]
    for bye in byes:
        phone.answer(bye, 200)
    hung_up(phone, session)


# A 200 that crosses our CANCEL.


@pytest.mark.parametrize("tag", ["early", "another"])
def test_a_200_that_crosses_our_cancel_is_ended_along_its_own_route(tag: str) -> None:
    phone = Phone()
    session, invite = phone.dial()
    phone.answer(invite, 180, tag="early", extra=[("Record-Route", "<sip:old@10.0.0.8;lr>")])
    phone.agent.end(session, phone.now)
    phone.take()
    ack, bye = phone.answer(invite, 200, tag=tag, body=ANSWER, extra=PROXY)
    for message in (ack, bye):
        assert message.values("route") == [f"<sip:proxy@{THEIRS};lr>"] and message.to.tag == tag
    assert said(phone.answer(invite, 200, tag=tag, body=ANSWER, extra=PROXY)) == ["ACK"]
    phone.answer(bye, 200)
    phone.assert_quiet()


def test_a_487_after_the_cancel_and_a_200_after_the_487_is_the_end_all_the_same() -> None:
    phone = Phone()
    session, invite = phone.dial()
    phone.answer(invite, 180)
    phone.agent.end(session, phone.now)
    phone.answer(invite, 487)
    assert phone.answer(invite, 200, body=ANSWER) == [], "its transaction is over"
    phone.assert_quiet()


# Glare.


def test_two_changes_at_once_are_both_refused_with_491_and_come_again() -> None:
    phone = Phone()
    session, tag = answered(phone)
    phone.request("ACK", 1, to_tag=tag)
    phone.agent.reinvite(session, HOLD, phone.now)
    (ours,) = phone.take()
    assert said(phone.request("INVITE", 2, to_tag=tag, body=OFFER)) == ["491 INVITE"]
    assert said(phone.answer(ours, 491)) == ["ACK"]
    (again,) = phone.hear(2.1)  # they own the Call-ID: we wait 2 s at most
    assert said([again]) == ["INVITE"]
    phone.answer(again, 200, body=ANSWER)
    assert isinstance(phone.last(ReInviteAnswered), ReInviteAnswered)
    hung_up(phone, session)


@pytest.mark.parametrize("seed", range(25))
def test_updates_and_reinvites_that_meet_are_all_agreed_in_the_end(seed: int) -> None:
    def agree(peer: Peer, event: Event) -> None:
        if isinstance(event, Invited):
            peer.agent.accept(event.session, ANSWER, network.now)
        elif isinstance(event, ReInvited):
            peer.agent.answer_reinvite(event.session, ANSWER, network.now)

    network = VirtualNetwork(random.Random(seed), delay_seconds=0.05, jitter_seconds=0.05)
    alice, bob = (network.peer(host, on_event=agree) for host in ("10.0.0.1", "10.0.0.2"))
    ours = alice.agent.invite(
        Invitation("sip:b@10.0.0.2", "sip:a@10.0.0.1", OFFER, session_expires_seconds=90),
        network.now,
    )
    network.run(1)
    (theirs,) = bob.agent.sessions.values()
    alice.agent.update(ours, HOLD, network.now)
    bob.agent.reinvite(theirs, HOLD, network.now)
    network.run(60)
    for peer in (alice, bob):
        (event,) = peer.of(ReInviteAnswered)
        assert event.code == 200
    bob.agent.end(theirs, network.now)
    network.run(200)
    for peer in (alice, bob):
        assert len(peer.of(Terminated)) == 1 and not any(peer.agent.live.values())


def test_a_second_invite_before_our_answer_to_the_first_is_500_with_retry_after() -> None:
    phone = Phone()
    phone.invite()
    session = phone.last(Invited).session  # type: ignore[union-attr]
    phone.agent.ring(session, phone.now)
    (ringing,) = phone.take()
    (refused,) = phone.request("INVITE", 2, to_tag=ringing.to.tag, body=OFFER)
    assert said([refused]) == ["500 INVITE"] and refused.get("retry-after") is not None
    phone.agent.reject(session, 486, phone.now)
    phone.assert_quiet()


# The ACK: late, lost, overtaken.


def test_a_late_ack_after_the_patience_is_over_is_a_stray() -> None:
    phone = Phone()
    session, tag = answered(phone)
    assert "BYE" in said(phone.wait(33))
    assert phone.request("ACK", 1, to_tag=tag) == []
    phone.answer(phone.sent[-1], 200)
    assert phone.ended() == [("timeout", "them", None)]
    assert session.is_terminated
    phone.assert_quiet()


def test_a_lost_ack_is_made_good_by_the_next_one() -> None:
    phone = Phone()
    session, tag = answered(phone)
    assert said(phone.wait(1.6)) == ["200 INVITE", "200 INVITE"]
    phone.request("ACK", 1, to_tag=tag)
    assert session.is_confirmed and phone.wait(60) == []
    hung_up(phone, session)


@pytest.mark.parametrize("late", [True, False])
def test_a_bye_that_overtakes_the_ack_ends_the_call(late: bool) -> None:
    phone = Phone()
    _, tag = answered(phone)
    assert said(phone.request("BYE", 2, to_tag=tag)) == ["200 BYE"]
    if late:
        assert phone.request("ACK", 1, to_tag=tag) == []
    assert phone.wait(40) == [], "the 200 is not repeated to who has hung up"
    phone.assert_quiet()


def test_a_reinvite_that_overtakes_the_ack_is_answered_and_the_call_lives() -> None:
    phone = Phone()
    session, tag = answered(phone)
    phone.request("INVITE", 2, to_tag=tag, body=HOLD)
    phone.agent.answer_reinvite(session, ANSWER, phone.now)
    phone.take()
    phone.request("ACK", 2, to_tag=tag)
    assert phone.wait(60) == [], "the first ACK never came, and nobody minds"
    assert session.is_confirmed and session.held_by_them
    hung_up(phone, session)


def test_we_hang_up_before_the_ack_and_the_bye_waits_for_it() -> None:
    phone = Phone()
    session, tag = answered(phone)
    phone.agent.end(session, phone.now)
    assert "BYE" not in said(phone.wait(1))
    (bye,) = phone.request("ACK", 1, to_tag=tag)
    phone.answer(bye, 200)
    phone.assert_quiet()


# CANCEL.


def test_a_cancel_after_our_200_changes_nothing() -> None:
    phone = Phone()
    phone.request("INVITE", 1, body=OFFER, branch="b")
    session = phone.last(Invited).session  # type: ignore[union-attr]
    phone.agent.accept(session, ANSWER, phone.now)
    (answer,) = phone.take()
    assert said(phone.request("CANCEL", 1, branch="b")) == ["200 CANCEL"]
    phone.request("ACK", 1, to_tag=answer.to.tag)
    assert session.is_confirmed
    hung_up(phone, session)


def test_a_cancel_that_comes_twice_is_answered_twice_and_cancels_once() -> None:
    phone = Phone()
    phone.request("INVITE", 1, body=OFFER, branch="b")
    assert said(phone.request("CANCEL", 1, branch="b")) == ["200 CANCEL", "487 INVITE"]
    assert said(phone.request("CANCEL", 1, branch="b")) == ["200 CANCEL"]
    phone.request("ACK", 1, branch="b")
    phone.assert_quiet()


# PRACK and UPDATE.


def test_a_200_that_overtakes_the_answer_to_our_prack() -> None:
    phone = Phone()
    session, invite = phone.dial()
    (prack,) = phone.answer(invite, 183, body=ANSWER, extra=RELIABLE)
    assert said(phone.answer(invite, 200, body=ANSWER)) == ["ACK"]
    phone.answer(prack, 200)
    assert phone.wait(60) == []
    hung_up(phone, session)


def test_a_200_that_overtakes_the_183() -> None:
    phone = Phone()
    session, invite = phone.dial()
    phone.answer(invite, 200, body=ANSWER)
    assert phone.answer(invite, 183, body=HOLD, extra=RELIABLE) == []
    assert bytes(session.remote_sdp or b"") == ANSWER
    hung_up(phone, session)


def test_a_prack_that_crosses_the_end_is_taken_and_a_second_one_is_481() -> None:
    phone = Phone()
    phone.request("INVITE", 1, body=OFFER, extra=[("Supported", "100rel")], branch="b")
    session = phone.last(Invited).session  # type: ignore[union-attr]
    phone.agent.ring(session, phone.now)
    (ringing,) = phone.take()
    phone.request("CANCEL", 1, branch="b")
    rack = [("RAck", f"{ringing.get('rseq')} 1 INVITE")]
    late = phone.request("PRACK", 2, to_tag=ringing.to.tag, extra=rack)
    assert said(late) == ["200 PRACK"], "it is prepared for them (RFC 3262 section 3)"
    again = phone.request("PRACK", 3, to_tag=ringing.to.tag, extra=rack)
    assert said(again) == ["481 PRACK"]
    phone.request("ACK", 1, branch="b")
    phone.assert_quiet()


def test_our_early_update_that_crosses_their_200() -> None:
    phone = Phone()
    session, invite = phone.dial()
    (prack,) = phone.answer(invite, 183, body=ANSWER, extra=RELIABLE)
    phone.answer(prack, 200)
    phone.agent.update(session, HOLD, phone.now)
    (update,) = phone.take()
    (ack,) = phone.answer(invite, 200, body=ANSWER)
    assert (said([ack]), session.is_confirmed) == (["ACK"], True)
    accepted = phone.last(Accepted)
    assert isinstance(accepted, Accepted)
    phone.answer(update, 200, body=ANSWER)
    assert session.held_by_us
    hung_up(phone, session)


def test_an_early_update_of_a_branch_that_lost_is_forgotten() -> None:
    phone = Phone()
    session, invite = phone.dial()
    (prack,) = phone.answer(invite, 183, tag="loser", body=ANSWER, extra=RELIABLE)
    phone.answer(prack, 200)
    phone.agent.update(session, HOLD, phone.now)
    (update,) = phone.take()
    phone.answer(invite, 200, tag="winner", body=ANSWER)
    phone.answer(update, 200, body=HOLD)
    assert bytes(session.remote_sdp or b"") == ANSWER
    phone.agent.reinvite(session, HOLD, phone.now)
    assert said(phone.take()) == ["INVITE"], "nothing of the loser is in the way"


# BYE.


def test_a_bye_that_overtakes_their_200_ends_the_call_and_the_200_is_acknowledged() -> None:
    phone = Phone()
    _, invite = phone.dial()
    phone.answer(invite, 180)
    sent = phone.ask(invite, "BYE", 1)
    assert said(sent) == ["200 BYE", "CANCEL"]
    ack, bye = phone.answer(invite, 200, body=ANSWER)
    assert said([ack, bye]) == ["ACK", "BYE"]
    phone.answer(bye, 481)
    assert phone.ended() == [("hangup", "them", None)]
    phone.assert_quiet()


def test_two_byes_that_cross_are_both_answered() -> None:
    phone = Phone()
    session, tag = answered(phone)
    phone.request("ACK", 1, to_tag=tag)
    phone.agent.end(session, phone.now)
    (ours,) = phone.take()
    assert said(phone.request("BYE", 2, to_tag=tag)) == ["200 BYE"]
    phone.answer(ours, 481)
    assert phone.ended() == [("hangup", "us", None)]
    phone.assert_quiet()


@pytest.mark.parametrize("seconds", [1, 8, 31])
def test_a_bye_that_is_repeated_for_half_a_minute_is_always_answered_200(seconds: int) -> None:
    phone = Phone(timing=Timing(t1=0.1))  # theirs is 0.5
    session, tag = answered(phone)
    phone.request("ACK", 1, to_tag=tag)
    assert said(phone.request("BYE", 2, to_tag=tag, branch="bye")) == ["200 BYE"]
    phone.wait(seconds)
    assert said(phone.request("BYE", 2, to_tag=tag, branch="bye")) == ["200 BYE"]
    assert session.is_terminated


# What nobody asked for.


def test_a_duplicate_invite_with_another_branch_is_a_loop() -> None:
    phone = Phone()
    phone.request("INVITE", 1, body=OFFER, branch="a")
    assert said(phone.request("INVITE", 1, body=OFFER, branch="b")) == ["482 INVITE"]
    assert phone.names() == ["Invited"]


@pytest.mark.parametrize("code", [100, 183, 200, 486])
def test_responses_to_nothing_are_counted_and_change_nothing(code: int) -> None:
    phone = Phone()
    session, invite = dialled(phone)
    other = Request("INVITE", invite.uri, list(invite.headers), invite.body)
    other.headers[0] = ("Via", "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKnobody")
    assert phone.answer(other, code, tag="x", body=ANSWER) == []
    assert phone.agent.counters["response-stray"] == 1
    assert session.is_confirmed
    hung_up(phone, session)


def test_a_refusal_that_comes_after_the_200_changes_nothing() -> None:
    phone = Phone()
    session, invite = dialled(phone)
    assert phone.answer(invite, 486) == []
    assert session.is_confirmed
    hung_up(phone, session)


def test_a_200_that_comes_after_everything_is_over_is_a_stray() -> None:
    phone = Phone()
    session, invite = dialled(phone)
    phone.agent.end(session, phone.now)
    phone.answer(phone.take()[-1], 200)
    phone.wait(100)
    assert phone.answer(invite, 200, body=ANSWER) == []
    phone.assert_quiet()
