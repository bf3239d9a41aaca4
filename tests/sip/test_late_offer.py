"""Offers that come late, from either side, and answers that come later (RFC 3261 13.2.1)."""

import pytest

from trunkline.sip import (
    Accepted,
    Acked,
    Invited,
    ReInviteAnswered,
    ReInvited,
    Request,
    Session,
    StateError,
)
from trunkline.sip.testing import ANSWER, HOLD, OFFER

from .phone import Phone, said


def called(phone: Phone, body: bytes = OFFER) -> tuple[Session, str]:
    """A call of theirs that is up."""
    phone.invite(body=body)
    session = phone.last(Invited).session  # type: ignore[union-attr]
    phone.agent.accept(session, ANSWER, phone.now)
    (answer,) = phone.take()
    phone.request("ACK", 1, to_tag=answer.to.tag, body=b"" if body else OFFER)
    assert session.is_confirmed
    return session, answer.to.tag


def answer_of(message: object) -> bytes:
    assert isinstance(message, Request)
    return message.body


# Theirs.


def test_a_call_without_an_offer_gets_ours_and_answers_in_the_ack() -> None:
    phone = Phone()
    session, _ = called(phone, b"")
    acked = phone.last(Acked)
    assert isinstance(acked, Acked) and bytes(acked.answer or b"") == OFFER
    assert bytes(session.local_sdp or b"") == ANSWER


@pytest.mark.parametrize("body", [b"", b"rubbish"])
def test_an_ack_without_an_answer_of_use_is_told(body: bytes) -> None:
    phone = Phone()
    phone.invite(body=b"")
    session = phone.last(Invited).session  # type: ignore[union-attr]
    phone.agent.accept(session, OFFER, phone.now)
    tag = phone.take()[0].to.tag
    phone.request("ACK", 1, to_tag=tag, body=body)
    acked = phone.last(Acked)
    assert isinstance(acked, Acked) and acked.answer is None
    phone.agent.end(session, phone.now)
    (bye,) = phone.take()
    phone.answer(bye, 200)
    phone.assert_quiet()


def test_their_reinvite_without_an_offer_gets_one_and_keeps_others_out_until_its_answer() -> None:
    phone = Phone()
    session, tag = called(phone)
    phone.request("INVITE", 2, to_tag=tag)
    event = phone.last(ReInvited)
    assert isinstance(event, ReInvited) and event.offer is None
    phone.agent.answer_reinvite(session, OFFER, phone.now)
    phone.take()
    for method in ("INVITE", "UPDATE"):
        cseq = 3 if method == "INVITE" else 4
        refused = phone.request(method, cseq, to_tag=tag, body=HOLD)
        assert said(refused) == [f"491 {method}"], "our offer is not answered"
    phone.request("ACK", 2, to_tag=tag, body=ANSWER)
    assert bytes(session.remote_sdp or b"") == ANSWER


def test_an_answer_may_be_long_in_coming() -> None:
    phone = Phone()
    phone.invite()
    session = phone.last(Invited).session  # type: ignore[union-attr]
    phone.agent.ring(session, phone.now)
    phone.wait(150)
    phone.agent.accept(session, ANSWER, phone.now)
    phone.take()
    phone.request("ACK", 1, to_tag=session._internals.local_tag)
    assert session.is_confirmed


# Ours.


def test_a_reinvite_of_ours_without_an_offer_is_answered_in_our_ack() -> None:
    phone = Phone()
    session, _ = called(phone)
    assert phone.agent.reinvite(session, None, phone.now)
    (invite,) = phone.take()
    assert said([invite]) == ["INVITE"] and answer_of(invite) == b""
    assert phone.answer(invite, 200, body=HOLD) == [], "the ACK waits for our answer"
    event = phone.last(ReInviteAnswered)
    assert isinstance(event, ReInviteAnswered)
    assert event.answer is None and bytes(event.offer or b"") == HOLD
    assert phone.agent.acknowledge(session, ANSWER, phone.now)
    (ack,) = phone.take()
    assert (said([ack]), answer_of(ack)) == (["ACK"], ANSWER)
    assert ack.cseq.number == invite.cseq.number
    assert phone.answer(invite, 200, body=HOLD) == [ack], "the 2xx again: our ACK was lost"
    assert phone.names().count("Confirmed") == 1


def test_while_their_offer_waits_for_our_ack_nothing_else_is_changed() -> None:
    phone = Phone()
    session, tag = called(phone)
    phone.agent.reinvite(session, None, phone.now)
    (invite,) = phone.take()
    phone.answer(invite, 200, body=HOLD)
    assert said(phone.request("INVITE", 2, to_tag=tag, body=OFFER)) == ["491 INVITE"]
    with pytest.raises(StateError):
        phone.agent.reinvite(session, OFFER, phone.now)
    phone.agent.acknowledge(session, ANSWER, phone.now)
    assert phone.agent.reinvite(session, OFFER, phone.now)


def test_a_200_without_an_offer_to_our_empty_reinvite_changes_nothing() -> None:
    phone = Phone()
    session, _ = called(phone)
    phone.agent.reinvite(session, None, phone.now)
    (invite,) = phone.take()
    assert said(phone.answer(invite, 200)) == ["ACK"]
    assert session.is_confirmed and bytes(session.local_sdp or b"") == ANSWER


def test_ending_a_call_with_their_offer_open_acknowledges_first() -> None:
    phone = Phone()
    session, _ = called(phone)
    phone.agent.reinvite(session, None, phone.now)
    (invite,) = phone.take()
    phone.answer(invite, 200, body=HOLD)
    phone.agent.end(session, phone.now)
    ack, bye = phone.take()
    assert said([ack, bye]) == ["ACK", "BYE"]
    phone.answer(bye, 200)
    phone.assert_quiet()


def test_the_offer_of_a_200_is_refused_by_an_empty_ack_and_a_bye() -> None:
    phone = Phone()
    session, invite = phone.dial(sdp=None)
    phone.answer(invite, 200, body=OFFER)
    accepted = phone.last(Accepted)
    assert isinstance(accepted, Accepted) and accepted.offer is not None
    phone.agent.end(session, phone.now, reason="error")
    ack, bye = phone.take()
    assert said([ack, bye]) == ["ACK", "BYE"] and answer_of(ack) == b""
    phone.answer(bye, 200)
    phone.assert_quiet()


def test_early_media_of_a_call_without_an_offer_needs_a_reliable_response() -> None:
    phone = Phone()
    session, invite = phone.dial(sdp=None)
    phone.answer(invite, 183, body=OFFER)
    assert phone.names() == ["Progress"]
    with pytest.raises(StateError):
        phone.agent.acknowledge(session, ANSWER, phone.now)
    phone.answer(invite, 200, body=OFFER)
    assert phone.agent.acknowledge(session, ANSWER, phone.now)
