"""The Reason field: read as it comes, written as Q.850 has it (RFC 3326)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.sip import Cancelled, Invited, Reason, Terminated
from trunkline.sip.reason import reason_field
from trunkline.sip.testing import ANSWER, OFFER

from .phone import Phone

Q850 = 'Q.850;cause=17;text="User busy"'


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (Q850, [Reason("Q.850", 17, "User busy")]),
        ("SIP;cause=200, Q.850 ; cause=16", [Reason("SIP", 200), Reason("Q.850", 16)]),
        ('SIP;text="no cause"', [Reason("SIP", None, "no cause")]),
        ("Q.850;cause=x", [Reason("Q.850")]),
        ("Q.850;=1", [Reason("Q.850")]),
        ("", []),
        (";cause=1", []),
    ],
)
def test_it_is_read(text: str, found: list[Reason]) -> None:
    assert Reason.parse_all(text) == found


@given(st.text(max_size=60))
def test_nothing_in_it_raises(text: str) -> None:
    for reason in Reason.parse_all(text):
        assert reason.protocol


@given(
    st.sampled_from(["Q.850", "SIP"]),
    st.none() | st.integers(0, 999),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
)
def test_what_is_written_is_read_again(protocol: str, cause: int | None, text: str) -> None:
    reason = Reason(protocol, cause, text)
    assert Reason.parse_all(str(reason)) == [reason]


def test_words_have_numbers_and_other_words_none() -> None:
    assert reason_field("hangup") == [("Reason", 'Q.850;cause=16;text="Normal call clearing"')]
    assert reason_field("answered-elsewhere")[0][1].startswith("SIP;cause=200")
    assert reason_field("because") == []


def terminated(phone: Phone) -> Terminated:
    event = phone.last(Terminated)
    assert isinstance(event, Terminated)
    return event


def test_the_reason_of_their_bye_is_told() -> None:
    phone = Phone()
    phone.invite()
    phone.agent.accept(phone.last(Invited).session, ANSWER, phone.now)  # type: ignore[union-attr]
    tag = phone.take()[0].to.tag
    phone.request("ACK", 1, to_tag=tag)
    phone.request("BYE", 2, to_tag=tag, extra=[("Reason", Q850)])
    assert terminated(phone).cause == Q850


def test_the_reason_of_their_cancel_is_told() -> None:
    phone = Phone()
    phone.request("INVITE", 1, body=OFFER, branch="b")
    elsewhere = 'SIP;cause=200;text="Call completed elsewhere"'
    phone.request("CANCEL", 1, branch="b", extra=[("Reason", elsewhere)])
    cancelled = phone.last(Cancelled)
    assert isinstance(cancelled, Cancelled) and cancelled.cause == elsewhere
    assert terminated(phone).cause == elsewhere


def test_the_reason_of_their_refusal_is_told() -> None:
    phone = Phone()
    _, invite = phone.dial()
    phone.answer(invite, 503, extra=[("Reason", "Q.850;cause=34")])
    assert (terminated(phone).cause, terminated(phone).code) == ("Q.850;cause=34", 503)


def test_ours_is_in_the_bye_and_in_the_cancel() -> None:
    phone = Phone()
    session, invite = phone.dial()
    phone.answer(invite, 180)
    phone.agent.end(session, phone.now, reason="answered-elsewhere")
    (cancel,) = phone.take()
    assert cancel.get("reason") == 'SIP;cause=200;text="Call completed elsewhere"'
    session, invite = phone.dial()
    phone.answer(invite, 200, body=ANSWER)
    phone.agent.end(session, phone.now)
    assert (phone.take()[-1].get("reason") or "").startswith("Q.850;cause=16")
