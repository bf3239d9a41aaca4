"""Reliable provisional responses that we send (RFC 3262)."""

import random

import pytest

from trunkline.sip import EarlyAnswered, Invited, ReInvited, Response, Session
from trunkline.sip.testing import ANSWER, HOLD, OFFER, VirtualNetwork

from .phone import Phone, said

RELIABLE = [("Supported", "100rel")]


def called(phone: Phone, *, body: bytes = OFFER, require: bool = False) -> Session:
    name = "Require" if require else "Supported"
    assert said(phone.invite(extra=[(name, "100rel")], body=body)) == ["100 INVITE"]
    event = phone.last(Invited)
    assert isinstance(event, Invited)
    return event.session


def rseq(response: object) -> int:
    assert isinstance(response, Response)
    assert response.values("require") == ["100rel"]
    return int(response.get("rseq") or 0)


def prack(phone: Phone, response: object, cseq: int = 2, *, body: bytes = b"", of: int = 0):  # type: ignore[no-untyped-def]
    assert isinstance(response, Response)
    number = of or rseq(response)
    return phone.request(
        "PRACK", cseq, to_tag=response.to.tag, body=body, extra=[("RAck", f"{number} 1 INVITE")]
    )


def test_who_does_not_know_them_gets_them_once() -> None:
    phone = Phone()
    phone.invite()
    session = phone.last(Invited).session  # type: ignore[union-attr]
    phone.agent.ring(session, phone.now)
    (ringing,) = phone.take()
    assert ringing.get("rseq") is None and ringing.get("require") is None
    assert phone.wait(30) == []


def test_ringing_is_repeated_at_growing_intervals_until_its_prack() -> None:
    phone = Phone()
    session = called(phone)
    phone.agent.ring(session, phone.now)
    (first,) = phone.take()
    began, times = phone.now, []
    for _ in range(320):
        times += [round(phone.now - began, 1) for _ in phone.wait(0.05)]
    assert [round(time, 1) for time in times] == pytest.approx([0.5, 1.5, 3.5, 7.5, 15.5], abs=0.1)
    assert said(prack(phone, first)) == ["200 PRACK"]
    assert phone.wait(100) == []


def test_without_a_prack_the_call_is_refused_with_a_5xx() -> None:
    phone = Phone()
    session = called(phone)
    phone.agent.progress(session, 183, ANSWER, phone.now)
    sent = phone.wait(40)
    assert "504 INVITE" in said(sent)
    assert phone.ended() == [("timeout", "them", 504)]
    assert phone.agent.counters["prack-missing"] == 1
    phone.assert_quiet()


def test_one_is_out_at_a_time_and_the_numbers_go_up_by_one() -> None:
    phone = Phone()
    session = called(phone, require=True)
    phone.agent.ring(session, phone.now)
    phone.agent.progress(session, 183, ANSWER, phone.now)
    (ringing,) = phone.take()
    agreed, progress = prack(phone, ringing)
    assert said([agreed, progress]) == ["200 PRACK", "183 INVITE"]
    assert rseq(progress) == rseq(ringing) + 1
    assert said(prack(phone, progress, 3)) == ["200 PRACK"]


@pytest.mark.parametrize("rack", ["", "nonsense", "1 1 INVITE", "{} 2 INVITE", "{} 1 BYE"])
def test_a_prack_that_matches_nothing_is_481(rack: str) -> None:
    phone = Phone()
    session = called(phone)
    phone.agent.ring(session, phone.now)
    (ringing,) = phone.take()
    tag = ringing.to.tag
    fields = [("RAck", rack.format(rseq(ringing)))] if rack else []
    assert said(phone.request("PRACK", 2, to_tag=tag, extra=fields)) == ["481 PRACK"]
    assert said(prack(phone, ringing, 3)) == ["200 PRACK"]
    assert said(prack(phone, ringing, 4)) == ["481 PRACK"], "it is acknowledged already"


def test_a_prack_that_an_update_has_overtaken_counts() -> None:
    phone = Phone()
    session = called(phone)
    phone.agent.progress(session, 183, ANSWER, phone.now)
    (progress,) = phone.take()
    assert said(phone.request("UPDATE", 3, to_tag=progress.to.tag)) == ["200 UPDATE"]
    assert said(prack(phone, progress, 2)) == ["200 PRACK"]


def test_the_answer_waits_for_the_prack_of_a_description() -> None:
    phone = Phone()
    session = called(phone)
    phone.agent.progress(session, 183, ANSWER, phone.now)
    phone.agent.accept(session, ANSWER, phone.now)
    (progress,) = phone.take()
    assert said(phone.wait(0.6)) == ["183 INVITE"], "it is repeated, and nothing overtakes it"
    agreed, answer = prack(phone, progress)
    assert said([agreed, answer]) == ["200 PRACK", "200 INVITE"]
    assert answer.body == ANSWER
    phone.request("ACK", 1, to_tag=answer.to.tag)
    assert session.is_confirmed


def test_the_answer_waits_for_ringing_but_not_for_long() -> None:
    phone = Phone()
    session = called(phone)
    phone.agent.ring(session, phone.now)
    phone.agent.progress(session, 181, None, phone.now)
    phone.agent.accept(session, ANSWER, phone.now)
    (ringing,) = phone.take()
    (answer,) = [m for m in phone.wait(0.6) if said([m]) == ["200 INVITE"]]
    assert said(prack(phone, ringing)) == ["200 PRACK"], "late, and no mistake"
    later = said(phone.wait(5))
    assert "180 INVITE" not in later, "what the 200 has overtaken is not repeated"
    assert "181 INVITE" not in later, "nor is it sent after the 200"
    phone.request("ACK", 1, to_tag=answer.to.tag)
    assert session.is_confirmed


def test_the_answer_follows_the_prack_of_ringing_at_once() -> None:
    phone = Phone()
    session = called(phone)
    phone.agent.ring(session, phone.now)
    phone.agent.accept(session, ANSWER, phone.now)
    (ringing,) = phone.take()
    assert said(prack(phone, ringing)) == ["200 PRACK", "200 INVITE"]
    assert said(phone.wait(0.6)) == ["200 INVITE"], "the next one is its repetition"
    phone.request("ACK", 1, to_tag=session._internals.local_tag)
    assert session.is_confirmed


def test_an_answer_that_still_waits_can_be_taken_back() -> None:
    phone = Phone()
    session = called(phone)
    phone.agent.progress(session, 183, ANSWER, phone.now)
    phone.agent.accept(session, ANSWER, phone.now)
    phone.take()
    phone.agent.end(session, phone.now, reason="hangup")
    assert said(phone.take()) == ["603 INVITE"]
    assert phone.ended() == [("hangup", "us", 603)]


def test_a_cancel_ends_a_call_whose_answer_still_waits() -> None:
    phone = Phone()
    phone.request("INVITE", 1, body=OFFER, extra=RELIABLE, branch="invite")
    session = phone.last(Invited).session  # type: ignore[union-attr]
    phone.agent.progress(session, 183, ANSWER, phone.now)
    phone.agent.accept(session, ANSWER, phone.now)
    phone.take()
    assert said(phone.request("CANCEL", 1, branch="invite")) == ["200 CANCEL", "487 INVITE"]
    phone.request("ACK", 1, branch="invite")
    phone.assert_quiet()


def test_our_offer_in_a_provisional_response_is_answered_in_the_prack() -> None:
    phone = Phone()
    session = called(phone, body=b"")
    phone.agent.progress(session, 183, OFFER, phone.now)
    (progress,) = phone.take()
    assert progress.body == OFFER
    assert said(prack(phone, progress, body=ANSWER)) == ["200 PRACK"]
    event = phone.last(EarlyAnswered)
    assert isinstance(event, EarlyAnswered) and bytes(event.answer or b"") == ANSWER
    phone.agent.accept(session, OFFER, phone.now)
    (answer,) = phone.take()
    assert answer.body == b"", "a description here would be another offer"
    phone.request("ACK", 1, to_tag=answer.to.tag)
    assert phone.names()[-2:] == ["Acked", "Confirmed"]


def test_a_prack_without_the_answer_is_told() -> None:
    phone = Phone()
    session = called(phone, body=b"")
    phone.agent.progress(session, 183, OFFER, phone.now)
    (progress,) = phone.take()
    assert said(prack(phone, progress)) == ["200 PRACK"]
    event = phone.last(EarlyAnswered)
    assert isinstance(event, EarlyAnswered) and event.answer is None


def test_an_offer_of_ours_is_not_made_where_nothing_could_answer_it() -> None:
    phone = Phone()
    phone.invite(body=b"")
    session = phone.last(Invited).session  # type: ignore[union-attr]
    phone.agent.progress(session, 183, OFFER, phone.now)
    (progress,) = phone.take()
    assert progress.body == b""
    phone.agent.accept(session, OFFER, phone.now)
    assert phone.take()[0].body == OFFER


def test_a_prack_may_carry_a_new_offer_that_its_200_answers() -> None:
    phone = Phone()
    session = called(phone)
    phone.agent.progress(session, 183, ANSWER, phone.now)
    (progress,) = phone.take()
    assert prack(phone, progress, body=HOLD) == []
    event = phone.last(ReInvited)
    assert isinstance(event, ReInvited) and event.request.method == "PRACK"
    phone.agent.answer_reinvite(session, ANSWER, phone.now)
    (agreed,) = phone.take()
    assert (said([agreed]), agreed.body) == (["200 PRACK"], ANSWER)
    assert bytes(session.remote_sdp or b"") == HOLD


@pytest.mark.parametrize(("mode", "extra", "code"), [
    ("off", [("Require", "100rel")], 420), ("required", [], 421),
])  # fmt: skip
def test_a_setting_says_whether_they_are_used(
    mode: str, extra: list[tuple[str, str]], code: int
) -> None:
    phone = Phone(reliable=mode)
    (refused,) = phone.invite(extra=extra)
    assert isinstance(refused, Response) and refused.code == code
    assert "100rel" in (refused.get("unsupported") or refused.get("require") or "")


def test_off_means_that_nobody_hears_of_them() -> None:
    phone = Phone(reliable="off")
    (options,) = phone.request("OPTIONS", 1)
    assert "100rel" not in options.values("supported")
    assert "PRACK" not in options.values("allow")
    phone.invite(extra=RELIABLE)
    phone.agent.ring(phone.last(Invited).session, phone.now)  # type: ignore[union-attr]
    assert phone.take()[0].get("rseq") is None


def test_a_phone_that_rings_for_minutes_is_told_again_with_new_numbers() -> None:
    network = VirtualNetwork(random.Random(1))
    alice, bob = network.peer("10.0.0.1"), network.peer("10.0.0.2")
    from trunkline.sip import Invitation

    alice.agent.invite(Invitation("sip:b@10.0.0.2", "sip:a@10.0.0.1", OFFER), network.now)
    network.run(1)
    bob.agent.ring(bob.of(Invited)[0].session, network.now)
    network.run(170)
    assert network.said("10.0.0.2").count("180 INVITE") == 2
    assert network.said("10.0.0.1").count("PRACK") == 2


@pytest.mark.parametrize("seed", range(30))
def test_reliable_early_media_comes_up_on_a_terrible_link(seed: int) -> None:
    from trunkline.sip import Confirmed, Invitation
    from trunkline.sip.events import Event
    from trunkline.sip.testing import Peer

    def early(peer: Peer, event: Event) -> None:
        if isinstance(event, Invited):
            peer.agent.ring(event.session, network.now)
            peer.agent.progress(event.session, 183, ANSWER, network.now)
            peer.agent.accept(event.session, ANSWER, network.now)

    network = VirtualNetwork(
        random.Random(seed), loss=0.2, duplicates=0.2, delay_seconds=0.02, jitter_seconds=0.3
    )
    alice, bob = network.peer("10.0.0.1"), network.peer("10.0.0.2", on_event=early)
    session = alice.agent.invite(Invitation("sip:b@10.0.0.2", "sip:a@10.0.0.1", OFFER), network.now)
    network.run(60)
    assert alice.of(Confirmed) and bob.of(Confirmed)
    alice.agent.end(session, network.now)
    network.run(200)
    for peer in (alice, bob):
        assert peer.names().count("Terminated") == 1
        assert not any(peer.agent.live.values())


def test_of_calls_that_are_over_only_so_many_are_kept_in_mind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trunkline.sip.reliable.MOST_REMEMBERED", 2)
    phone = Phone()
    ringing = []
    for number in range(3):
        phone.request("INVITE", 1, body=OFFER, extra=RELIABLE, call_id=str(number))
        session = phone.last(Invited).session  # type: ignore[union-attr]
        phone.agent.ring(session, phone.now)
        ringing += phone.take()
        phone.agent.reject(session, 486, phone.now)
    late = [
        phone.request(
            "PRACK", 2, call_id=str(number), to_tag=response.to.tag,
            extra=[("RAck", f"{response.get('rseq')} 1 INVITE")],
        )[-1]
        for number, response in enumerate(ringing)
    ]  # fmt: skip
    assert said(late) == ["481 PRACK", "200 PRACK", "200 PRACK"]
