"""Session timers in both roles (RFC 4028)."""

import pytest

from trunkline.sip import Credentials, Invited, ReInviteAnswered, Request, Response, Session
from trunkline.sip.testing import ANSWER, HOLD, OFFER

from .phone import Phone, said

ALLOW = ("Allow", "INVITE, ACK, BYE, CANCEL, UPDATE")
TIMER = ("Supported", "timer")


def called(phone: Phone, *fields: tuple[str, str]) -> tuple[Session, Response]:
    """A call of theirs with these fields, up; our 200."""
    phone.invite(extra=fields)
    session = phone.last(Invited).session  # type: ignore[union-attr]
    phone.agent.accept(session, ANSWER, phone.now)
    (answer,) = phone.take()
    phone.request("ACK", 1, to_tag=answer.to.tag)
    assert session.is_confirmed and isinstance(answer, Response)
    return session, answer


def dialled(phone: Phone, *fields: tuple[str, str], **options: object) -> Session:
    """A call of ours, up, whose 200 has these fields."""
    session, invite = phone.dial(**options)
    phone.answer(invite, 200, body=ANSWER, extra=fields)
    assert session.is_confirmed
    return session


# Called.


@pytest.mark.parametrize(
    ("fields", "agreed", "required"),
    [
        ([("Session-Expires", "120"), TIMER], "120;refresher=uac", True),
        ([("x", "120;refresher=uac"), TIMER], "120;refresher=uac", True),
        ([("Session-Expires", "120;refresher=uas"), TIMER], "120;refresher=uas", False),
        ([TIMER], None, False),
        ([], None, False),
        ([("Session-Expires", "120")], None, False),
    ],
)
def test_the_one_who_is_called_says_who_refreshes(
    fields: list[tuple[str, str]], agreed: str | None, required: bool
) -> None:
    _, answer = called(Phone(), *fields)
    assert answer.get("session-expires") == agreed
    assert ("timer" in answer.values("require")) is required


def test_too_short_an_interval_is_422_with_the_shortest_there_is() -> None:
    phone = Phone()
    (refused,) = phone.invite(extra=[("Session-Expires", "60"), TIMER])
    assert said([refused]) == ["422 INVITE"] and refused.get("min-se") == "90"
    assert phone.events == []


def test_a_proxy_that_asks_for_a_caller_without_timers_is_not_refused() -> None:
    called(Phone(), ("Session-Expires", "60"))


def test_we_may_ask_as_the_one_who_is_called() -> None:
    phone = Phone(session_expires_seconds=200)
    _, answer = called(phone, TIMER)
    assert answer.get("session-expires") == "200;refresher=uac"
    phone = Phone(session_expires_seconds=200)
    _, answer = called(phone, ("Session-Expires", "1800"), ("Min-SE", "300"), TIMER)
    assert answer.get("session-expires") == "300;refresher=uac", "not below their Min-SE"


def test_a_caller_who_should_refresh_and_does_not_is_hung_up_on() -> None:
    phone = Phone()
    called(phone, ("Session-Expires", "120"), TIMER)
    assert phone.hear(87.9) == []
    (bye,) = phone.hear(0.5)
    assert said([bye]) == ["BYE"]
    assert "cause=102" in (bye.get("reason") or "")
    phone.answer(bye, 200)
    assert phone.ended() == [("timeout", "them", 408)]
    phone.assert_quiet()


@pytest.mark.parametrize(("seconds", "warning"), [(90, 30), (1800, 32)])
def test_the_end_comes_a_third_or_32_seconds_early(seconds: int, warning: int) -> None:
    phone = Phone()
    called(phone, ("Session-Expires", str(seconds)), TIMER)
    assert phone.hear(seconds - warning - 0.1) == []
    assert said(phone.hear(0.2)) == ["BYE"]


@pytest.mark.parametrize("method", ["UPDATE", "INVITE"])
def test_their_refresh_begins_the_interval_anew(method: str) -> None:
    phone = Phone()
    session, answer = called(phone, ("Session-Expires", "120"), TIMER)
    for round_ in range(3):
        assert phone.hear(60) == []
        body = OFFER if method == "INVITE" else b""
        fields = [("Session-Expires", "120;refresher=uac"), TIMER]
        cseq = 2 + round_
        phone.request(method, cseq, to_tag=answer.to.tag, body=body, extra=fields)
        if body:
            phone.agent.answer_reinvite(session, ANSWER, phone.now)
            phone.take()
            phone.request("ACK", cseq, to_tag=answer.to.tag)
        refreshed = phone.sent[-1]
        assert refreshed.get("session-expires") == "120;refresher=uac"
    assert session.is_confirmed
    assert said(phone.hear(89)) == ["BYE"]


@pytest.mark.parametrize("body", [b"", OFFER])
def test_their_refresh_may_be_422_and_the_call_goes_on(body: bytes) -> None:
    phone = Phone()
    session, answer = called(phone, ("Session-Expires", "120"), TIMER)
    method = "INVITE" if body else "UPDATE"
    fields = [("Session-Expires", "10"), TIMER]
    sent = phone.request(method, 2, to_tag=answer.to.tag, body=body, extra=fields)
    assert said(sent) == [f"422 {method}"]
    assert session.is_confirmed


# The refresher.


def test_we_refresh_by_update_at_half_of_the_interval_and_go_on_doing_it() -> None:
    phone = Phone()
    session, _ = called(phone, ("Session-Expires", "120;refresher=uas"), TIMER, ALLOW)
    for _ in range(3):
        assert phone.hear(59.9) == []
        (update,) = phone.hear(0.2)
        assert said([update]) == ["UPDATE"] and update.body == b""
        assert update.get("session-expires") == "120;refresher=uac"
        phone.answer(update, 200, extra=[("Session-Expires", "120;refresher=uac"), ALLOW])
    assert session.is_confirmed and "ReInviteAnswered" not in phone.names()


def test_we_refresh_by_the_same_reinvite_where_they_take_no_update() -> None:
    phone = Phone()
    session, _ = called(phone, ("Session-Expires", "120;refresher=uas"), TIMER)
    for _ in range(3):
        (invite,) = phone.hear(60.1)
        assert said([invite]) == ["INVITE"] and invite.body == ANSWER, "the same version too"
        sent = phone.answer(
            invite, 200, body=OFFER, extra=[("Session-Expires", "120;refresher=uac")]
        )
        assert said(sent) == ["ACK"]
    assert session.is_confirmed and "ReInviteAnswered" not in phone.names()


def test_an_answer_to_a_refresh_that_changes_something_is_told() -> None:
    phone = Phone()
    called(phone, ("Session-Expires", "120;refresher=uas"), TIMER)
    (invite,) = phone.hear(60.1)
    phone.answer(invite, 200, body=HOLD, extra=[("Session-Expires", "120;refresher=uac")])
    event = phone.last(ReInviteAnswered)
    assert isinstance(event, ReInviteAnswered) and bytes(event.answer or b"") == HOLD


@pytest.mark.parametrize("code", [405, 501])
def test_an_update_that_they_do_not_know_after_all_becomes_a_reinvite(code: int) -> None:
    phone = Phone()
    called(phone, ("Session-Expires", "120;refresher=uas"), TIMER, ALLOW)
    (update,) = phone.hear(60.1)
    assert said(phone.answer(update, code)) == ["INVITE"]


@pytest.mark.parametrize("code", [481, 408])
def test_a_refresh_that_nobody_knows_ends_the_call(code: int) -> None:
    phone = Phone()
    called(phone, ("Session-Expires", "120;refresher=uas"), TIMER, ALLOW)
    (update,) = phone.hear(60.1)
    (bye,) = phone.answer(update, code)
    phone.answer(bye, 481)
    assert [end[1:] for end in phone.ended()] == [("them", code)]
    phone.assert_quiet()


def test_a_refresh_that_nobody_answers_ends_the_call() -> None:
    phone = Phone()
    called(phone, ("Session-Expires", "1800;refresher=uas"), TIMER, ALLOW)
    phone.hear(900.1)
    sent = phone.hear(33)
    assert said(sent)[-1] == "BYE"
    phone.assert_quiet()


def test_a_refresh_that_is_refused_is_tried_again_and_then_it_is_over() -> None:
    phone = Phone()
    called(phone, ("Session-Expires", "120;refresher=uas"), TIMER, ALLOW)
    (update,) = phone.hear(60.1)
    tries = 1
    while said([update]) == ["UPDATE"]:
        phone.answer(update, 503)
        (update,) = phone.hear(16) or phone.hear(16)
        tries += 1
    assert said([update]) == ["BYE"] and tries >= 3
    phone.answer(update, 200)
    phone.assert_quiet()


def test_a_refresh_keeps_out_of_the_way_of_a_change_of_the_applications() -> None:
    phone = Phone()
    session, _ = called(phone, ("Session-Expires", "120;refresher=uas"), TIMER)
    phone.hear(59.9)
    phone.agent.reinvite(session, HOLD, phone.now)
    (invite,) = phone.take()
    assert invite.get("session-expires") == "120;refresher=uac"
    assert phone.hear(0.3) == [], "half of the interval is over, and nothing more is sent"
    phone.answer(invite, 200, body=ANSWER, extra=[("Session-Expires", "120;refresher=uac")])
    assert phone.hear(59) == [], "the change has refreshed it"
    assert said(phone.hear(2)) == ["INVITE"]


def test_a_change_of_the_applications_waits_for_a_refresh() -> None:
    phone = Phone()
    session, _ = called(phone, ("Session-Expires", "120;refresher=uas"), TIMER)
    (refresh,) = phone.hear(60.1)
    assert phone.agent.reinvite(session, HOLD, phone.now)
    assert phone.take() == []
    ack, change = phone.answer(
        refresh, 200, body=OFFER, extra=[("Session-Expires", "120;refresher=uac")]
    )
    assert said([ack, change]) == ["ACK", "INVITE"] and change.body == HOLD
    assert change.cseq.number == refresh.cseq.number + 1
    phone.answer(change, 200, body=ANSWER)
    assert phone.names().count("ReInviteAnswered") == 1


def test_a_refresh_that_meets_their_reinvite_is_tried_again() -> None:
    phone = Phone()
    called(phone, ("Session-Expires", "120;refresher=uas"), TIMER)
    (refresh,) = phone.hear(60.1)
    assert said(phone.answer(refresh, 491)) == ["ACK"]
    assert said(phone.hear(5)) == ["INVITE"]


def test_a_challenged_refresh_proves_who_we_are() -> None:
    phone = Phone()
    dialled(
        phone, ("Session-Expires", "120;refresher=uac"), ALLOW,
        session_expires_seconds=120, credentials=[Credentials("us", "pw")],
    )  # fmt: skip
    (update,) = phone.hear(60.1)
    challenge = [("WWW-Authenticate", 'Digest realm="r", nonce="n", algorithm=MD5')]
    (again,) = phone.answer(update, 401, extra=challenge)
    assert said([again]) == ["UPDATE"] and again.get("authorization")


# Calling.


def test_a_call_asks_for_what_it_was_told_to() -> None:
    _, invite = Phone().dial(session_expires_seconds=600)
    assert invite.get("session-expires") == "600"
    assert "timer" in invite.values("supported")
    _, invite = Phone().dial()
    assert invite.get("session-expires") is None


def test_a_422_is_tried_again_with_the_longer_interval() -> None:
    phone = Phone()
    session, invite = phone.dial(session_expires_seconds=90)
    ack, again = phone.answer(invite, 422, extra=[("Min-SE", "300")])
    assert said([ack, again]) == ["ACK", "INVITE"] and isinstance(again, Request)
    assert (again.get("session-expires"), again.get("min-se")) == ("300", "300")
    assert again.call_id == invite.call_id and again.cseq.number == 2
    phone.answer(again, 200, body=ANSWER, extra=[("Session-Expires", "300;refresher=uas")])
    assert session.is_confirmed and "Rejected" not in phone.names()


def test_a_422_that_asks_for_nothing_new_is_a_refusal() -> None:
    phone = Phone()
    _, invite = phone.dial(session_expires_seconds=90)
    phone.answer(invite, 422, extra=[("Min-SE", "90")])
    assert phone.ended() == [("rejected", "them", 422)]
    phone.assert_quiet()


def test_a_422_to_a_refresh_lengthens_it() -> None:
    phone = Phone()
    dialled(phone, ("Session-Expires", "90;refresher=uac"), ALLOW, session_expires_seconds=90)
    (update,) = phone.hear(45.1)
    (again,) = phone.answer(update, 422, extra=[("Min-SE", "200")])
    assert again.get("session-expires") == "200;refresher=uac"


def test_a_far_end_that_refreshes_and_stops_is_hung_up_on() -> None:
    phone = Phone()
    dialled(phone, ("Session-Expires", "120;refresher=uas"), session_expires_seconds=120)
    assert phone.hear(87) == []
    assert said(phone.hear(2)) == ["BYE"]


def test_a_far_end_without_timers_is_refreshed_all_the_same() -> None:
    phone = Phone()
    session = dialled(phone, ALLOW, session_expires_seconds=120)
    for _ in range(2):
        (update,) = phone.hear(60.1)
        phone.answer(update, 200, extra=[ALLOW])
    assert session.is_confirmed


def test_a_far_end_may_ask_where_we_did_not() -> None:
    phone = Phone()
    dialled(phone, ("Session-Expires", "120;refresher=uac"), ALLOW)
    assert said(phone.hear(60.1)) == ["UPDATE"]


@pytest.mark.parametrize("value", ["", "x", "99999999999", '120;refresher="', "120;=x", "-5"])
def test_nonsense_does_no_harm(value: str) -> None:
    phone = Phone()
    session = dialled(phone, ("Session-Expires", value))
    phone.request("OPTIONS", 5)
    phone.agent.end(session, phone.now)
    phone.answer(phone.take()[0], 200)
    phone.assert_quiet()
