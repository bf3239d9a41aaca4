"""UPDATE both ways, before and after the answer (RFC 3311)."""

import pytest

from trunkline.sip import Invited, ReInviteAnswered, ReInvited, Response, Session, StateError
from trunkline.sip.testing import ANSWER, HOLD, OFFER

from .phone import Phone, said

RELIABLE = [("Require", "100rel"), ("RSeq", "1")]


def up(phone: Phone) -> tuple[Session, str]:
    """A call of theirs that is up; our tag."""
    phone.invite()
    session = phone.last(Invited).session  # type: ignore[union-attr]
    phone.agent.accept(session, ANSWER, phone.now)
    (answer,) = phone.take()
    phone.request("ACK", 1, to_tag=answer.to.tag)
    assert session.is_confirmed
    return session, answer.to.tag


def early(phone: Phone) -> tuple[Session, object]:
    """A call of ours with early media that was agreed reliably."""
    session, invite = phone.dial()
    (prack,) = phone.answer(invite, 183, body=ANSWER, extra=RELIABLE)
    phone.answer(prack, 200)
    return session, invite


# Theirs.


def test_theirs_without_an_offer_is_agreed_to_and_may_move_their_contact() -> None:
    phone = Phone()
    session, tag = up(phone)
    (agreed,) = phone.request("UPDATE", 2, to_tag=tag)
    assert isinstance(agreed, Response) and agreed.code == 200
    assert agreed.contact is not None and "UPDATE" in agreed.values("allow")
    assert "ReInvited" not in phone.names()
    assert session.remote_contact == "sip:phone@10.0.0.9"


def test_theirs_with_an_offer_is_answered_in_its_200() -> None:
    phone = Phone()
    session, tag = up(phone)
    assert phone.request("UPDATE", 2, to_tag=tag, body=HOLD) == []
    event = phone.last(ReInvited)
    assert isinstance(event, ReInvited) and bytes(event.offer or b"") == HOLD
    assert phone.agent.answer_reinvite(session, ANSWER, phone.now)
    (agreed,) = phone.take()
    assert said([agreed]) == ["200 UPDATE"] and agreed.body == ANSWER
    assert session.held_by_them


def test_theirs_can_be_refused() -> None:
    phone = Phone()
    session, tag = up(phone)
    phone.request("UPDATE", 2, to_tag=tag, body=HOLD)
    warning = [("Warning", '305 h "no"')]
    assert phone.agent.reject_reinvite(session, 488, phone.now, headers=warning)
    (refused,) = phone.take()
    assert said([refused]) == ["488 UPDATE"] and refused.get("warning") == '305 h "no"'
    assert not session.held_by_them


def test_a_second_one_before_the_first_is_answered_is_500_with_retry_after() -> None:
    phone = Phone()
    session, tag = up(phone)
    phone.request("UPDATE", 2, to_tag=tag, body=HOLD)
    for method in ("UPDATE", "INVITE"):
        (refused,) = phone.request(method, 3 + (method == "INVITE"), to_tag=tag, body=HOLD)
        assert isinstance(refused, Response) and refused.code == 500
        assert 0 <= int(refused.get("retry-after") or -1) <= 10
    phone.agent.answer_reinvite(session, ANSWER, phone.now)


def test_theirs_while_our_offer_is_open_is_491() -> None:
    phone = Phone()
    session, tag = up(phone)
    phone.agent.reinvite(session, HOLD, phone.now)
    phone.take()
    assert said(phone.request("UPDATE", 2, to_tag=tag, body=OFFER)) == ["491 UPDATE"]
    assert said(phone.request("UPDATE", 3, to_tag=tag)) == ["200 UPDATE"], "no offer, no glare"


def test_theirs_before_the_answer_is_taken_once_the_offer_is_settled() -> None:
    phone = Phone()
    session, invite = early(phone)
    assert phone.ask(invite, "UPDATE", 1, body=HOLD) == []  # type: ignore[arg-type]
    assert phone.agent.answer_reinvite(session, OFFER, phone.now)
    assert said(phone.take()) == ["200 UPDATE"]
    phone.answer(invite, 200, body=ANSWER)  # type: ignore[arg-type]
    assert bytes(session.remote_sdp or b"") == HOLD, "what the 200 says is older"


def test_theirs_before_our_offer_is_answered_is_491() -> None:
    phone = Phone()
    _, invite = phone.dial()
    phone.answer(invite, 183, body=ANSWER)
    assert said(phone.ask(invite, "UPDATE", 1, body=HOLD)) == ["491 UPDATE"]


def test_theirs_before_we_answered_their_offer_is_500() -> None:
    phone = Phone()
    phone.invite(extra=[("Supported", "100rel")])
    session = phone.last(Invited).session  # type: ignore[union-attr]
    phone.agent.ring(session, phone.now)
    (ringing,) = phone.take()
    (refused,) = phone.request("UPDATE", 2, to_tag=ringing.to.tag, body=HOLD)
    assert said([refused]) == ["500 UPDATE"] and refused.get("retry-after")


def test_theirs_crossing_our_answer_is_dealt_with() -> None:
    phone = Phone()
    phone.invite(extra=[("Supported", "100rel")])
    session = phone.last(Invited).session  # type: ignore[union-attr]
    phone.agent.progress(session, 183, ANSWER, phone.now)
    (progress,) = phone.take()
    rack = [("RAck", f"{progress.get('rseq')} 1 INVITE")]
    phone.request("PRACK", 2, to_tag=progress.to.tag, extra=rack)
    phone.agent.accept(session, ANSWER, phone.now)
    phone.request("UPDATE", 3, to_tag=progress.to.tag, body=HOLD)
    phone.agent.answer_reinvite(session, ANSWER, phone.now)
    assert said(phone.take()) == ["200 UPDATE"]
    phone.request("ACK", 1, to_tag=progress.to.tag)
    assert session.is_confirmed
    phone.request("BYE", 4, to_tag=progress.to.tag)
    phone.assert_quiet()


def test_one_that_is_open_when_the_call_ends_is_answered() -> None:
    phone = Phone()
    session, tag = up(phone)
    phone.request("UPDATE", 2, to_tag=tag, body=HOLD)
    sent = phone.request("BYE", 3, to_tag=tag)
    assert sorted(said(sent)) == ["200 BYE", "481 UPDATE"]
    assert not phone.agent.answer_reinvite(session, ANSWER, phone.now)
    phone.assert_quiet()


@pytest.mark.parametrize(("body", "code"), [(b"rubbish", 400)])
def test_one_that_cannot_be_read_is_refused(body: bytes, code: int) -> None:
    phone = Phone()
    _, tag = up(phone)
    assert said(phone.request("UPDATE", 2, to_tag=tag, body=body)) == [f"{code} UPDATE"]


# Ours.


def test_ours_changes_a_call_that_is_up() -> None:
    phone = Phone()
    session, _ = up(phone)
    assert phone.agent.update(session, HOLD, phone.now)
    (update,) = phone.take()
    assert said([update]) == ["UPDATE"] and update.body == HOLD
    phone.answer(update, 200, body=ANSWER)
    event = phone.last(ReInviteAnswered)
    assert isinstance(event, ReInviteAnswered) and event.answer is not None
    assert session.held_by_us


def test_ours_before_the_answer_needs_a_settled_offer() -> None:
    phone = Phone()
    session, invite = phone.dial()
    phone.answer(invite, 183, body=ANSWER)
    with pytest.raises(StateError):
        phone.agent.update(session, HOLD, phone.now)
    session, invite = early(phone)  # type: ignore[assignment]
    assert phone.agent.update(session, HOLD, phone.now)
    (update,) = phone.take()
    assert update.to.tag == "far" and update.cseq.number == 3
    (ack,) = phone.answer(invite, 200, body=ANSWER)
    assert said([ack]) == ["ACK"]
    phone.answer(update, 200, body=ANSWER)
    assert phone.names()[-1] == "ReInviteAnswered"


def test_ours_that_met_theirs_is_tried_again() -> None:
    phone = Phone()
    session, _ = up(phone)
    phone.agent.update(session, HOLD, phone.now)
    (update,) = phone.take()
    assert phone.answer(update, 491) == []
    (again,) = phone.hear(5)
    assert said([again]) == ["UPDATE"] and again.cseq.number == update.cseq.number + 1
    phone.answer(again, 200, body=ANSWER)
    assert phone.names().count("ReInviteAnswered") == 1


def test_ours_that_came_too_soon_is_tried_when_they_say() -> None:
    phone = Phone()
    session, _ = up(phone)
    phone.agent.update(session, HOLD, phone.now)
    (update,) = phone.take()
    phone.answer(update, 500, extra=[("Retry-After", "7")])
    assert phone.hear(6.5) == []
    assert said(phone.hear(1)) == ["UPDATE"]


@pytest.mark.parametrize("code", [488, 405, 500, 403])
def test_ours_that_is_refused_leaves_the_call_as_it_was(code: int) -> None:
    phone = Phone()
    session, _ = up(phone)
    phone.agent.update(session, HOLD, phone.now)
    (update,) = phone.take()
    phone.answer(update, code)
    event = phone.last(ReInviteAnswered)
    assert isinstance(event, ReInviteAnswered) and event.code == code
    assert session.is_confirmed and not session.held_by_us


@pytest.mark.parametrize("code", [408, 481, 404])
def test_ours_that_shows_that_they_know_no_call_ends_it(code: int) -> None:
    phone = Phone()
    session, _ = up(phone)
    phone.agent.update(session, HOLD, phone.now)
    (update,) = phone.take()
    (bye,) = phone.answer(update, code)
    assert said([bye]) == ["BYE"]
    phone.answer(bye, 481)
    assert [(by, end) for _, by, end in phone.ended()] == [("them", code)]
    phone.assert_quiet()


def test_a_second_one_of_ours_has_to_wait_for_the_first() -> None:
    phone = Phone()
    session, _ = up(phone)
    phone.agent.update(session, HOLD, phone.now)
    with pytest.raises(StateError):
        phone.agent.update(session, OFFER, phone.now)


def test_a_reinvite_waits_for_our_update() -> None:
    phone = Phone()
    session, _ = up(phone)
    phone.agent.update(session, HOLD, phone.now)
    (update,) = phone.take()
    phone.agent.reinvite(session, OFFER, phone.now)
    assert phone.take() == []
    phone.answer(update, 200, body=ANSWER)
    assert said(phone.hear(5)) == ["INVITE"]
