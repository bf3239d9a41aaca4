"""Redirects: followed where that is allowed, and given (RFC 3261 8.1.3.4, 21.3)."""

from collections.abc import Callable

import pytest

from trunkline.errors import UsageError
from trunkline.sip import Invited, Redirected, Request, Response, StateError
from trunkline.sip.hop import Hop
from trunkline.sip.redirect import as_contacts, contacts_of
from trunkline.sip.testing import ANSWER

from .phone import THEIRS, Phone, said

FIRST = f"sip:phone@{THEIRS}"


def contact(*values: str) -> list[tuple[str, str]]:
    return [("Contact", value) for value in values]


def dialled(
    allowed: Callable[[str], bool] = lambda uri: True, **options: object
) -> tuple[Phone, Request]:
    phone = Phone()
    _, invite = phone.dial(may_redirect=allowed, **options)
    return phone, invite


def moved(phone: Phone, invite: object, *values: str, code: int = 302) -> list[object]:
    """What we say to a 3xx; an answer's own Contact would be a target too."""
    assert isinstance(invite, Request)
    response = invite.response(code, "", to_tag="x", headers=contact(*values))
    return list(phone.give(response))


def next_invite(sent: list[object]) -> Request:
    ack, invite = sent
    assert isinstance(invite, Request) and isinstance(ack, Request)
    assert said([ack, invite]) == ["ACK", "INVITE"]
    return invite


@pytest.mark.parametrize("code", [300, 301, 302])
def test_a_redirect_is_followed_in_the_same_call(code: int) -> None:
    phone, invite = dialled()
    again = next_invite(moved(phone, invite, "<sip:other@10.0.0.7:5070>", code=code))
    assert again.uri == "sip:other@10.0.0.7:5070"
    assert (again.call_id, again.from_.tag) == (invite.call_id, invite.from_.tag)
    assert again.cseq.number == 2 and again.to.uri == FIRST and again.body == invite.body
    redirected = phone.last(Redirected)
    assert isinstance(redirected, Redirected)
    assert (redirected.code, redirected.target) == (code, again.uri)
    phone.answer(again, 200, body=ANSWER)
    assert "Confirmed" in phone.names()


def test_none_is_followed_unless_it_is_allowed_to() -> None:
    phone = Phone()
    _, invite = phone.dial()
    assert said(moved(phone, invite, "<sip:other@10.0.0.7>")) == ["ACK"]  # type: ignore[arg-type]
    assert phone.ended() == [("rejected", "them", 302)]
    phone.assert_quiet()


def test_a_secure_call_is_not_sent_on_to_where_it_can_be_listened_to() -> None:
    phone, invite = dialled(target=f"sips:phone@{THEIRS}")
    assert said(moved(phone, invite, "<sip:other@10.0.0.7>")) == ["ACK"]
    phone, invite = dialled(target=f"sips:phone@{THEIRS}")
    assert next_invite(moved(phone, invite, "<sips:other@10.0.0.7>")).uri == "sips:other@10.0.0.7"


def test_every_target_has_to_be_allowed() -> None:
    asked: list[str] = []

    def allowed(uri: str) -> bool:
        asked.append(uri)
        return "good" in uri

    phone, invite = dialled(allowed)
    again = next_invite(moved(phone, invite, "<sip:premium@10.0.0.7>", "<sip:good@10.0.0.7>;q=0.1"))
    assert again.uri == "sip:good@10.0.0.7"
    assert asked == ["sip:premium@10.0.0.7", "sip:good@10.0.0.7"]
    phone, invite = dialled(allowed)
    assert said(moved(phone, invite, "<sip:premium@10.0.0.7>")) == ["ACK"]  # type: ignore[arg-type]


def test_the_most_wanted_is_called_first_and_the_others_if_it_fails() -> None:
    phone, invite = dialled()
    second = next_invite(
        moved(
            phone,
            invite,
            "<sip:c@10.0.0.7>;q=0.1, <sip:a@10.0.0.7>;q=0.9",
            "<sip:b@10.0.0.7>;q=0.5",
        )
    )
    assert second.uri == "sip:a@10.0.0.7"
    third = next_invite(list(phone.answer(second, 503)))
    assert third.uri == "sip:b@10.0.0.7"
    phone.wait(33)
    assert isinstance(phone.sent[-1], Request) and phone.sent[-1].uri == "sip:c@10.0.0.7"


@pytest.mark.parametrize("code", [486, 600, 603, 404, 403])
def test_a_person_who_says_no_is_the_last_word(code: int) -> None:
    phone, invite = dialled()
    second = next_invite(moved(phone, invite, "<sip:a@10.0.0.7>, <sip:b@10.0.0.7>"))
    assert said(phone.answer(second, code)) == ["ACK"]
    assert [end[2] for end in phone.ended()] == [code]


def test_a_circle_ends() -> None:
    phone, invite = dialled()
    second = next_invite(moved(phone, invite, "<sip:a@10.0.0.7>"))
    assert said(moved(phone, second, f"<{FIRST}>, <sip:a@10.0.0.7>")) == ["ACK"]  # type: ignore[arg-type]
    assert [end[2] for end in phone.ended()] == [302]


def test_a_chain_ends_after_five() -> None:
    phone, invite = dialled()
    followed = 0
    sent = moved(phone, invite, "<sip:n0@10.0.0.7>")
    while len(sent) == 2:
        followed += 1
        sent = moved(phone, next_invite(sent), f"<sip:n{followed}@10.0.0.7>")
    assert followed == 5
    phone.assert_quiet()


def test_use_proxy_sends_the_same_request_elsewhere() -> None:
    phone, invite = dialled()
    phone.take()
    phone.agent.receive(
        bytes(invite.response(305, "", to_tag="x", headers=contact("<sip:10.0.0.8:5080;lr>"))),
        (THEIRS, 5060),
        phone.now,
    )
    hops = [out.destination for out in phone.agent.outputs if hasattr(out, "destination")]
    assert hops[-1] == Hop("10.0.0.8", 5080)
    again = phone.take()[-1]
    assert isinstance(again, Request) and again.uri == invite.uri


def test_who_diverted_it_is_passed_on() -> None:
    phone, invite = dialled(headers=[("Diversion", "<sip:zero@h>")])
    response = invite.response(
        302, "", to_tag="x",
        headers=[*contact("<sip:a@10.0.0.7>"), ("Diversion", "<sip:one@h>;reason=unconditional"),
                 ("History-Info", "<sip:one@h>;index=1")],
    )  # fmt: skip
    again = next_invite(list(phone.give(response)))
    assert again.all("diversion") == ["<sip:zero@h>", "<sip:one@h>;reason=unconditional"]
    assert again.all("history-info") == ["<sip:one@h>;index=1"]


def test_headers_in_a_contact_are_not_taken_over() -> None:
    phone, invite = dialled()
    again = next_invite(moved(phone, invite, "<sip:a@10.0.0.7?Replaces=x%3Bto-tag%3D1>"))
    assert again.uri == "sip:a@10.0.0.7" and again.get("replaces") is None


def test_an_outbound_proxy_stays_in_the_way() -> None:
    phone, invite = dialled(route=[f"<sip:{THEIRS};lr>"])
    again = next_invite(moved(phone, invite, "<sip:a@10.0.0.7>"))
    assert again.values("route") == [f"<sip:{THEIRS};lr>"]


def test_a_call_that_is_given_up_follows_nothing() -> None:
    phone, invite = dialled()
    phone.answer(invite, 180)
    session = next(iter(phone.agent.sessions.values()))
    phone.agent.end(session, phone.now)
    phone.take()
    assert said(moved(phone, invite, "<sip:a@10.0.0.7>")) == ["ACK"]  # type: ignore[arg-type]
    phone.assert_quiet()


@pytest.mark.parametrize(
    "value", ["*", "<tel:+1555>", "<http://x>", "<sip:>", "<sip:a@h>;q=x", "<sip:a@h>;q=7", ""]
)
def test_a_contact_that_cannot_be_called_is_left_out(value: str) -> None:
    assert contacts_of(Response(302, "", contact(value))) == []


# Ours.


def test_a_caller_is_sent_elsewhere() -> None:
    phone = Phone()
    phone.invite()
    session = phone.last(Invited).session  # type: ignore[union-attr]
    assert phone.agent.redirect(session, ["sip:a@h", '"B" <sip:b@h>'], phone.now)
    (response,) = phone.take()
    assert said([response]) == ["302 INVITE"]
    assert response.values("contact") == ["<sip:a@h>;q=1.0", '"B" <sip:b@h>;q=0.9']
    assert phone.ended() == [("redirected", "us", 302)]


def test_nowhere_and_nonsense_are_our_mistakes() -> None:
    phone = Phone()
    phone.invite()
    session = phone.last(Invited).session  # type: ignore[union-attr]
    with pytest.raises(StateError):
        phone.agent.redirect(session, [], phone.now)
    with pytest.raises(StateError):
        phone.agent.redirect(session, ["sip:a@h"], phone.now, code=404)
    for target in ("nobody", "http://x", "sip:a@h\r\nEvil: 1"):
        with pytest.raises(UsageError):
            as_contacts([target])
    assert not session.is_terminated
