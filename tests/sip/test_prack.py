"""Reliable provisional responses that we get, and early dialogs (RFC 3262, RFC 3261 13.2)."""

import pytest

from trunkline.sip import Accepted, Credentials, Progress, Request
from trunkline.sip.testing import ANSWER, HOLD, OFFER

from .phone import THEIRS, Phone, said


def reliable(number: int) -> list[tuple[str, str]]:
    return [("Require", "100rel"), ("RSeq", str(number))]


def progresses(phone: Phone) -> list[Progress]:
    phone.take()
    return [event for event in phone.events if isinstance(event, Progress)]


def test_a_reliable_provisional_is_acknowledged_and_reported() -> None:
    phone = Phone()
    _, invite = phone.dial()
    assert "100rel" in invite.values("supported") and "PRACK" in invite.values("allow")
    (prack,) = phone.answer(invite, 183, body=ANSWER, extra=reliable(988789))
    assert isinstance(prack, Request)
    assert (prack.method, prack.get("rack")) == ("PRACK", "988789 1 INVITE")
    assert prack.cseq.number == 2 and prack.to.tag == "far"
    assert bytes(progresses(phone)[0].answer or b"") == ANSWER


def test_a_repeated_one_and_one_too_early_are_ignored() -> None:
    phone = Phone()
    _, invite = phone.dial()
    assert said(phone.answer(invite, 180, extra=reliable(5))) == ["PRACK"]
    assert phone.answer(invite, 180, extra=reliable(5)) == []
    assert phone.answer(invite, 183, extra=reliable(7)) == []
    assert said(phone.answer(invite, 183, extra=reliable(6))) == ["PRACK"]
    assert [event.code for event in progresses(phone)] == [180, 183]
    assert phone.agent.counters["provisional-out-of-order"] == 2


def test_each_fork_counts_for_itself() -> None:
    phone = Phone()
    _, invite = phone.dial()
    assert said(phone.answer(invite, 180, tag="a", extra=reliable(5))) == ["PRACK"]
    (prack,) = phone.answer(invite, 180, tag="b", extra=reliable(5))
    assert prack.to.tag == "b"


@pytest.mark.parametrize("extra", [[("Require", "100rel")], [("Require", "100rel"), ("RSeq", "x")]])
def test_one_without_a_number_is_an_ordinary_one(extra: list[tuple[str, str]]) -> None:
    phone = Phone()
    _, invite = phone.dial()
    assert phone.answer(invite, 180, extra=extra) == []
    assert [event.code for event in progresses(phone)] == [180]


def test_the_bye_counts_on_from_the_prack() -> None:
    phone = Phone()
    session, invite = phone.dial()
    phone.answer(invite, 183, body=ANSWER, extra=reliable(1))
    (ack,) = phone.answer(invite, 200, body=ANSWER)
    assert (said([ack]), ack.cseq.number) == (["ACK"], 1)
    phone.agent.end(session, phone.now)
    (bye,) = phone.take()
    assert bye.cseq.number == 3
    phone.answer(bye, 200)
    phone.assert_quiet()


def test_the_route_of_the_answer_replaces_that_of_the_early_dialog() -> None:
    phone = Phone()
    _, invite = phone.dial()
    early, late = ([("Record-Route", f"<sip:{name}@{THEIRS};lr>")] for name in ("one", "two"))
    (prack,) = phone.answer(invite, 183, extra=[*reliable(1), *early])
    assert prack.values("route") == [f"<sip:one@{THEIRS};lr>"]
    (ack,) = phone.answer(invite, 200, body=ANSWER, extra=late)
    assert ack.values("route") == [f"<sip:two@{THEIRS};lr>"]


def test_their_offer_in_a_provisional_is_answered_in_the_prack() -> None:
    phone = Phone()
    session, invite = phone.dial(sdp=None)
    assert phone.answer(invite, 183, body=OFFER, extra=reliable(1)) == []
    (progress,) = progresses(phone)
    assert progress.answer is None and bytes(progress.offer or b"") == OFFER
    assert phone.agent.acknowledge(session, ANSWER, phone.now)
    (prack,) = phone.take()
    assert (said([prack]), prack.body) == (["PRACK"], ANSWER)
    (ack,) = phone.answer(invite, 200)
    assert ack.body == b""
    assert session.is_confirmed
    assert bytes(session.local_sdp or b"") == ANSWER


def test_the_second_description_of_a_dialog_that_is_agreed_says_nothing() -> None:
    phone = Phone()
    _, invite = phone.dial()
    phone.answer(invite, 183, body=ANSWER, extra=reliable(1))
    phone.answer(invite, 180, body=HOLD)
    assert [event.answer is None for event in progresses(phone)] == [False, True]


def test_a_challenged_prack_is_sent_again_with_the_password() -> None:
    phone = Phone()
    _, invite = phone.dial(credentials=[Credentials("us", "secret")])
    (prack,) = phone.answer(invite, 180, extra=reliable(1))
    challenge = [("WWW-Authenticate", 'Digest realm="r", nonce="n", algorithm=MD5')]
    (again,) = phone.answer(prack, 401, extra=challenge)
    assert said([again]) == ["PRACK"] and again.cseq.number == 3
    assert again.get("authorization")
    assert again.get("rack") == prack.get("rack")


def test_a_refused_prack_changes_nothing() -> None:
    phone = Phone()
    session, invite = phone.dial()
    (prack,) = phone.answer(invite, 180, extra=reliable(1))
    assert phone.answer(prack, 481) == []
    assert phone.agent.counters["prack-481"] == 1
    assert not session.is_terminated


def test_a_provisional_that_crosses_our_cancel_is_acknowledged_all_the_same() -> None:
    phone = Phone()
    session, invite = phone.dial()
    phone.answer(invite, 100)
    phone.agent.end(session, phone.now)
    assert said(phone.take()) == ["CANCEL"]
    assert said(phone.answer(invite, 183, body=ANSWER, extra=reliable(1))) == ["PRACK"]
    assert "Progress" not in phone.names()
    assert said(phone.answer(invite, 487)) == ["ACK"]
    phone.assert_quiet()


def test_the_setting_off_asks_for_none_and_acknowledges_none() -> None:
    phone = Phone(reliable="off")
    _, invite = phone.dial()
    assert "100rel" not in invite.values("supported")
    assert phone.answer(invite, 183, body=ANSWER, extra=reliable(1)) == []
    assert len(progresses(phone)) == 1


def test_the_setting_required_insists() -> None:
    phone = Phone(reliable="required")
    _, invite = phone.dial()
    assert invite.values("require") == ["100rel"]


# Forks and early media.


def test_the_last_early_media_is_followed_and_the_answer_wins() -> None:
    phone = Phone()
    session, invite = phone.dial()
    first, second = ANSWER.replace(b"40000", b"41000"), ANSWER.replace(b"40000", b"42000")
    phone.answer(invite, 183, tag="a", body=first)
    phone.answer(invite, 180, tag="b", body=second)
    assert [bytes(event.answer or b"") for event in progresses(phone)] == [first, second]
    assert bytes(session.remote_sdp or b"") == second
    phone.answer(invite, 200, tag="a", body=first)
    accepted = phone.last(Accepted)
    assert isinstance(accepted, Accepted) and bytes(accepted.answer or b"") == first
    assert bytes(session.remote_sdp or b"") == first


def test_a_branch_that_ends_is_absorbed() -> None:
    phone = Phone()
    session, invite = phone.dial()
    phone.answer(invite, 180, tag="a")
    phone.answer(invite, 199, tag="a")
    assert [event.code for event in progresses(phone)] == [180]
    assert phone.agent.counters["early-dialog-ended"] == 1
    assert not session.is_terminated


@pytest.mark.parametrize("code", [181, 182])
def test_being_forwarded_and_queued_is_told(code: int) -> None:
    phone = Phone()
    _, invite = phone.dial()
    phone.answer(invite, code)
    assert [event.code for event in progresses(phone)] == [code]


def test_every_forked_answer_is_acknowledged_and_all_but_the_first_are_ended() -> None:
    phone = Phone()
    session, invite = phone.dial()
    phone.answer(invite, 183, tag="b", body=ANSWER, extra=reliable(1))
    assert said(phone.answer(invite, 200, tag="a", body=ANSWER)) == ["ACK"]
    ack, bye = phone.answer(invite, 200, tag="b", body=ANSWER)
    assert said([ack, bye]) == ["ACK", "BYE"] and bye.to.tag == "b"
    assert bye.cseq.number == 3, "it counts on from the loser's PRACK"
    ack, bye2 = phone.answer(invite, 200, tag="c", body=ANSWER)
    assert said([ack, bye2]) == ["ACK", "BYE"]
    assert said(phone.answer(invite, 200, tag="b", body=ANSWER)) == ["ACK"], "ours was lost"
    for request in (bye, bye2):
        phone.answer(request, 200)
    phone.agent.end(session, phone.now)
    (last,) = phone.take()
    assert last.to.tag == "a"
    phone.answer(last, 200)
    phone.assert_quiet()
