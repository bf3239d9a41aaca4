"""Whole calls between two user agents: good links, bad links, races."""

import random
from collections.abc import Callable

import pytest

from trunkline.errors import UsageError
from trunkline.sip import (
    Accepted,
    Account,
    Acked,
    Admission,
    Cancelled,
    Challenger,
    Credentials,
    Hop,
    Invitation,
    Invited,
    Progress,
    ReInviteAnswered,
    ReInvited,
    Rejected,
    Send,
    Session,
    StateError,
    Terminated,
)
from trunkline.sip.events import Event
from trunkline.sip.testing import ANSWER, HOLD, OFFER, Peer, VirtualNetwork, describe

ALICE, BOB = "10.0.0.1", "10.0.0.2"


def call(**options: object) -> Invitation:
    values: dict[str, object] = {"target": f"sip:bob@{BOB}", "from_": f"sip:alice@{ALICE}",
                                 "sdp": OFFER, **options}  # fmt: skip
    return Invitation(**values)  # type: ignore[arg-type]


def agreeable(peer: Peer, event: Event) -> None:
    """Rings, answers, and agrees to every change."""
    now = peer.network.now
    if isinstance(event, Invited):
        peer.agent.ring(event.session, now)
        peer.agent.accept(event.session, ANSWER, now)
    elif isinstance(event, ReInvited):
        peer.agent.answer_reinvite(event.session, ANSWER, now)
    elif isinstance(event, Accepted) and event.offer:
        peer.agent.acknowledge(event.session, ANSWER, now)


def pair(
    bob: Callable[[Peer, Event], None] | None = agreeable, seed: int = 1, **options: float
) -> tuple[VirtualNetwork, Peer, Peer]:
    network = VirtualNetwork(random.Random(seed), **options)
    alice = network.peer(ALICE, on_event=agreeable)
    return network, alice, network.peer(BOB, on_event=bob)


def up(**options: float) -> tuple[VirtualNetwork, Peer, Peer, Session, Session]:
    network, alice, bob = pair(**options)
    ours = alice.agent.invite(call(), network.now)
    network.run(2)
    (theirs,) = bob.agent.sessions.values()
    assert ours.is_confirmed
    assert theirs.is_confirmed
    return network, alice, bob, ours, theirs


def ends(peer: Peer) -> list[tuple[str, str, int | None]]:
    return [(event.reason, event.by, event.code) for event in peer.of(Terminated)]


def drop_first(*kinds: str) -> Callable[[bytes, str, str], bool]:
    left = list(kinds)

    def drop(data: bytes, sender: str, receiver: str) -> bool:
        if (what := describe(data)) in left:
            left.remove(what)
            return True
        return False

    return drop


def quiet(network: VirtualNetwork) -> None:
    """After a while nothing of any call is left."""
    network.run(200)
    for peer in network.peers.values():
        assert not any(peer.agent.live.values()), peer.agent.live


# Answer, progress, refusal.


def test_early_media_is_reported_before_the_answer() -> None:
    network, alice, bob = pair(None)
    alice.agent.invite(call(), network.now)
    network.run(1)
    (session,) = bob.agent.sessions.values()
    bob.agent.progress(session, 183, ANSWER, network.now)
    network.run(1)
    (progress,) = alice.of(Progress)
    assert progress.code == 183
    assert progress.answer is not None
    assert bytes(progress.answer) == ANSWER
    bob.agent.accept(session, ANSWER, network.now)
    network.run(1)
    assert alice.names()[-2:] == ["Accepted", "Confirmed"]


@pytest.mark.parametrize(
    ("code", "word"),
    [(486, "busy"), (600, "busy"), (404, "rejected"), (480, "no-answer"), (302, "rejected"),
     (503, "error"), (603, "rejected")],
)  # fmt: skip
def test_a_refusal_is_acknowledged_and_ends_both_sides(code: int, word: str) -> None:
    network, alice, bob = pair(None)
    alice.agent.invite(call(), network.now)
    network.run(1)
    (session,) = bob.agent.sessions.values()
    bob.agent.reject(session, code, network.now, reason="No", headers=[("Contact", "<sip:c@h>")])
    network.run(1)
    (rejected,) = alice.of(Rejected)
    assert (rejected.code, rejected.reason) == (code, "No")
    assert rejected.response is not None
    assert rejected.response.get("contact") == "<sip:c@h>"
    assert ends(alice) == [(word, "them", code)]
    assert ends(bob) == [(word, "us", code)]
    assert network.said(ALICE) == ["INVITE", "ACK"]
    quiet(network)


def test_a_late_offer_is_answered_in_the_ack() -> None:
    network, alice, bob = pair()
    alice.agent.invite(call(sdp=None), network.now)
    network.run(1)
    assert bob.of(Invited)[0].offer is None
    assert alice.of(Accepted)[0].offer is not None
    assert bob.of(Acked)[0].answer is not None
    assert alice.names()[-1] == bob.names()[-1] == "Confirmed"


def test_hanging_up_before_answering_a_late_offer_acknowledges_first() -> None:
    network, alice, bob = pair()
    alice.on_event = None
    session = alice.agent.invite(call(sdp=None), network.now)
    network.run(1)
    alice.agent.end(session, network.now)
    network.run(1)
    assert network.said(ALICE)[-2:] == ["ACK", "BYE"]
    assert ends(bob) == [("hangup", "them", None)]
    assert "Confirmed" not in alice.names()
    assert not alice.agent.acknowledge(session, ANSWER, network.now)


def test_an_answer_to_a_late_offer_of_a_call_that_is_ending_is_no_mistake() -> None:
    network, alice, _ = pair()
    alice.on_event = None
    session = alice.agent.invite(call(sdp=None), network.now)
    network.run(1)
    alice.agent.end(session, network.now)
    assert not alice.agent.acknowledge(session, ANSWER, network.now)


def test_nobody_there_is_a_timeout_after_32_seconds() -> None:
    network, alice, bob = pair()
    bob.vanish()
    alice.agent.invite(call(), network.now)
    network.run(31)
    assert alice.events == []
    network.run(2)
    assert alice.names() == ["Rejected", "Terminated"]
    assert ends(alice) == [("timeout", "them", 408)]
    quiet(network)


def test_an_unreachable_destination_fails_at_once() -> None:
    network, alice, _bob = pair()
    alice.agent.invite(call(), network.now)
    alice.agent.unreachable(Hop(BOB, 5060), network.now)
    alice.flush()
    assert ends(alice) == [("error", "them", 503)]


def test_ringing_too_long_is_cancelled_by_the_caller() -> None:
    network, alice, bob = pair(None)
    alice.agent.invite(call(no_answer_seconds=20), network.now)
    network.run(1)
    bob.agent.ring(bob.of(Invited)[0].session, network.now)
    network.run(25)
    assert ends(alice) == [("no-answer", "us", 487)]
    assert bob.names() == ["Invited", "Cancelled", "Terminated"]
    quiet(network)


def test_ringing_too_long_is_refused_by_the_called_and_refreshed_until_then() -> None:
    network = VirtualNetwork(random.Random(1))
    alice, bob = network.peer(ALICE), network.peer(BOB, settings={"reliable": "off"})
    alice.agent.invite(call(), network.now)
    network.run(1)
    bob.agent.ring(bob.of(Invited)[0].session, network.now)
    network.run(185)
    assert network.said(BOB).count("180 INVITE") == 3
    assert ends(bob) == [("no-answer", "us", 480)]
    assert ends(alice) == [("no-answer", "them", 480)]
    quiet(network)


# Loss.


@pytest.mark.parametrize(
    "lost",
    [["INVITE"], ["100 INVITE"], ["180 INVITE"], ["200 INVITE"], ["ACK"], ["ACK"] * 5, ["BYE"],
     ["200 BYE"], ["INVITE", "200 INVITE", "ACK", "BYE", "200 BYE"], ["200 INVITE"] * 4],
)  # fmt: skip
def test_lost_datagrams_are_made_up_for(lost: list[str]) -> None:
    network, alice, bob = pair()
    network.drop = drop_first(*lost)
    session = alice.agent.invite(call(), network.now)
    network.run(20)
    assert alice.names()[-1] == bob.names()[-1] == "Confirmed"
    alice.agent.end(session, network.now)
    network.run(20)
    assert ends(alice) == [("hangup", "us", None)]
    assert ends(bob) == [("hangup", "them", None)]
    quiet(network)


def test_without_an_ack_the_answer_is_repeated_and_then_the_call_is_ended() -> None:
    network, alice, bob = pair()
    network.drop = lambda data, sender, receiver: describe(data) == "ACK"
    alice.agent.invite(call(), network.now)
    network.run(70)
    sent = [when - 1000.01 for when, _, _, what in network.log if what == "200 INVITE"]
    assert [round(when, 1) for when in sent[:6]] == [0, 0.5, 1.5, 3.5, 7.5, 11.5]
    assert ends(bob) == [("timeout", "them", None)]
    assert bob.agent.counters["ack-missing"] == 1
    assert "BYE" in network.said(BOB)
    assert ends(alice) == [("hangup", "them", None)]
    quiet(network)


def test_a_dead_peer_ends_the_call_when_the_bye_is_given_up() -> None:
    network, alice, bob, session, _ = up()
    bob.vanish()
    alice.agent.end(session, network.now)
    alice.agent.end(session, network.now)
    network.run(31)
    assert ends(alice) == []
    network.run(5)
    assert ends(alice) == [("hangup", "us", None)]
    assert network.said(ALICE).count("BYE") == 11
    quiet(network)


@pytest.mark.parametrize("seed", range(60))
def test_calls_end_once_and_leave_nothing_on_a_terrible_link(seed: int) -> None:
    network, alice, bob = pair(
        seed=seed, loss=0.25, duplicates=0.2, delay_seconds=0.02, jitter_seconds=0.6
    )
    rng = random.Random(seed)
    sessions = [alice.agent.invite(call(), network.now) for _ in range(4)]
    network.run(rng.random() * 6)
    for session in sessions[:2]:
        alice.agent.end(session, network.now)
    if sessions[2].is_confirmed:
        alice.agent.reinvite(sessions[2], HOLD, network.now)
    for session in list(bob.agent.sessions.values()):
        if session.is_confirmed and rng.random() < 0.5:
            bob.agent.reinvite(session, HOLD, network.now)
    network.run(40)
    for peer in (alice, bob):
        for session in list(peer.agent.sessions.values()):
            peer.agent.end(session, network.now)
    quiet(network)
    for peer in (alice, bob):
        over = [event.session.id for event in peer.of(Terminated)]
        begun = {event.session.id for event in peer.events}
        assert len(over) == len(set(over)) == len(begun)
        for identifier in over:
            last = [e for e in peer.events if e.session.id == identifier][-1]
            assert isinstance(last, Terminated)


# Cancelling and races.


def test_a_call_is_cancelled_while_it_rings() -> None:
    network, alice, bob = pair(None)
    session = alice.agent.invite(call(), network.now)
    network.run(1)
    bob.agent.ring(bob.of(Invited)[0].session, network.now)
    network.run(1)
    assert alice.agent.cancel(session, network.now)
    network.run(1)
    assert network.said(ALICE) == ["INVITE", "PRACK", "CANCEL", "ACK"]
    assert network.said(BOB)[3:] == ["200 CANCEL", "487 INVITE"]
    assert bob.of(Cancelled)
    assert ends(alice) == [("cancelled", "us", 487)]
    assert ends(bob) == [("cancelled", "them", 487)]
    assert not alice.agent.cancel(session, network.now)
    assert not bob.agent.accept(bob.of(Invited)[0].session, ANSWER, network.now)
    quiet(network)


def test_a_cancel_waits_for_the_first_provisional() -> None:
    network, alice, _bob = pair(None)
    network.drop = drop_first("INVITE")
    session = alice.agent.invite(call(), network.now)
    alice.agent.end(session, network.now)
    network.run(0.4)
    assert network.said(ALICE) == ["INVITE"]
    assert ends(alice) == [("cancelled", "us", None)], "the application does not wait with it"
    network.run(1)
    assert network.said(ALICE) == ["INVITE", "INVITE", "CANCEL", "ACK"]
    network.run(40)
    assert len(ends(alice)) == 1 and not alice.agent.sessions
    quiet(network)


def test_an_answer_that_crosses_the_cancel_is_acknowledged_and_ended() -> None:
    network, alice, bob = pair(None)
    session = alice.agent.invite(call(), network.now)
    network.run(1)
    bob.agent.accept(bob.of(Invited)[0].session, ANSWER, network.now)
    bob.flush()
    alice.agent.end(session, network.now, reason="no-answer")
    network.run(2)
    assert network.said(ALICE) == ["INVITE", "CANCEL", "ACK", "BYE"]
    assert "200 CANCEL" in network.said(BOB)
    assert alice.of(Accepted) == []
    assert ends(alice) == [("no-answer", "us", None)]
    assert ends(bob) == [("hangup", "them", None)]
    quiet(network)


def test_a_cancel_nobody_heeds_ends_after_32_seconds() -> None:
    network, alice, bob = pair(None)
    session = alice.agent.invite(call(), network.now)
    network.run(1)
    bob.vanish()
    alice.agent.end(session, network.now)
    network.run(31)
    assert ends(alice) == []
    network.run(3)
    assert ends(alice) == [("cancelled", "us", None)]
    quiet(network)


def test_both_sides_may_hang_up_at_once() -> None:
    network, alice, bob, ours, theirs = up()
    alice.agent.end(ours, network.now)
    bob.agent.end(theirs, network.now)
    network.run(2)
    assert ends(alice) == ends(bob) == [("hangup", "us", None)]
    quiet(network)


def test_the_called_side_hangs_up_only_after_the_ack() -> None:
    network, alice, bob = pair()
    network.drop = drop_first("ACK")
    alice.agent.invite(call(), network.now)
    network.run(0.1)
    (session,) = bob.agent.sessions.values()
    bob.agent.end(session, network.now)
    bob.agent.end(session, network.now)
    network.run(0.1)
    assert "BYE" not in network.said(BOB)
    network.run(2)
    assert network.said(BOB).count("BYE") == 1
    assert ends(bob) == [("hangup", "us", None)]
    quiet(network)


def test_ending_an_unanswered_call_refuses_it() -> None:
    network, alice, bob = pair(None)
    alice.agent.invite(call(), network.now)
    network.run(1)
    bob.agent.end(bob.of(Invited)[0].session, network.now)
    network.run(1)
    assert ends(alice) == [("rejected", "them", 603)]
    quiet(network)


# Forks.


def test_of_two_answers_the_first_wins_and_the_other_is_ended() -> None:
    network, alice, bob = pair()
    carol = network.peer("10.0.0.3", on_event=agreeable)
    session = alice.agent.invite(call(), network.now)
    (invite,) = list(alice.agent.outputs)
    network.delay_seconds = 0.02
    carol.agent.receive(invite.data, (ALICE, 5060), network.now)  # type: ignore[union-attr]
    network.run(3)
    assert session.is_confirmed
    assert len(alice.of(Accepted)) == 1
    assert alice.agent.counters["fork-dropped"] == 1
    said = network.said(ALICE)
    assert (said.count("ACK"), said.count("BYE")) == (2, 1)
    assert sorted([len(ends(bob)), len(ends(carol))]) == [0, 1]
    alice.agent.end(session, network.now)
    quiet(network)


# Authentication.

ACCOUNTS = {"alice": Account(password="secret")}


def guarded(*credentials: Credentials, algorithms: tuple[str, ...] = ("MD5",), **options: float
            ) -> tuple[VirtualNetwork, Peer, Peer]:  # fmt: skip
    network = VirtualNetwork(random.Random(3), **options)
    challenger = Challenger("pbx", ACCOUNTS, b"0123456789abcdef", algorithms=algorithms)
    alice = network.peer(ALICE)
    bob = network.peer(
        BOB,
        on_event=agreeable,
        access=lambda request, source, now: Admission(challenger=challenger),
    )
    alice.agent.invite(call(credentials=credentials), network.now)
    network.run(5)
    return network, alice, bob


@pytest.mark.parametrize("algorithms", [("MD5",), ("SHA-256", "MD5")])
def test_a_challenge_is_answered_with_the_next_number_in_the_same_call(
    algorithms: tuple[str, ...],
) -> None:
    network, alice, bob = guarded(Credentials("alice", "secret"), algorithms=algorithms)
    assert alice.names()[-1] == "Confirmed"
    (invited,) = bob.of(Invited)
    assert invited.session.username == "alice"
    assert invited.request.cseq.number == 2
    assert network.said(ALICE) == ["INVITE", "ACK", "INVITE", "PRACK", "ACK"]
    (session,) = alice.agent.sessions.values()
    alice.agent.end(session, network.now)
    quiet(network)


@pytest.mark.parametrize("credentials", [(), (Credentials("alice", "wrong"),)])
def test_without_the_password_there_is_no_call(credentials: tuple[Credentials, ...]) -> None:
    network, alice, bob = guarded(*credentials)
    assert bob.events == []
    assert ends(alice) == [("rejected", "them", 401)]
    assert network.said(BOB) == ["401 INVITE"] * (1 + len(credentials))
    quiet(network)


def test_authentication_survives_a_bad_link() -> None:
    network, alice, bob = guarded(Credentials("alice", "secret"), loss=0.3)
    network.run(30)
    assert len(bob.of(Invited)) == 1
    assert "Confirmed" in alice.names()


# Changing a call.


def test_hold_and_resume_are_seen_on_both_sides() -> None:
    network, alice, _bob, ours, theirs = up()
    assert alice.agent.reinvite(ours, HOLD, network.now)
    network.run(1)
    assert theirs.held_by_them
    assert ours.held_by_us
    assert not ours.held_by_them
    assert [event.code for event in alice.of(ReInviteAnswered)] == [200]
    alice.agent.reinvite(ours, OFFER, network.now)
    network.run(1)
    assert not theirs.held_by_them
    alice.agent.end(ours, network.now)
    quiet(network)


def test_a_refused_change_leaves_the_call_as_it_was() -> None:
    network, alice, bob, ours, theirs = up()
    bob.on_event = lambda peer, event: (
        peer.agent.reject_reinvite(event.session, 488, network.now)
        if isinstance(event, ReInvited)
        else None
    )
    alice.agent.reinvite(ours, HOLD, network.now)
    network.run(1)
    assert [event.code for event in alice.of(ReInviteAnswered)] == [488]
    assert ours.is_confirmed
    assert not ours.held_by_us
    assert not theirs.held_by_them


@pytest.mark.parametrize("seed", range(20))
def test_two_changes_at_once_both_succeed_in_the_end(seed: int) -> None:
    network, alice, bob, ours, theirs = up(seed=seed)
    alice.agent.reinvite(ours, HOLD, network.now)
    bob.agent.reinvite(theirs, OFFER, network.now)
    network.run(0.1)
    assert network.said(ALICE).count("491 INVITE") == 1
    assert network.said(BOB).count("491 INVITE") == 1
    network.run(6)
    assert [event.code for event in alice.of(ReInviteAnswered)] == [200]
    assert [event.code for event in bob.of(ReInviteAnswered)] == [200]
    assert ours.is_confirmed
    assert theirs.is_confirmed


def test_our_change_waits_while_theirs_is_open() -> None:
    network, alice, bob, ours, theirs = up()
    bob.on_event = None
    alice.agent.reinvite(ours, HOLD, network.now)
    network.run(1)
    assert bob.agent.reinvite(theirs, OFFER, network.now)
    network.run(1)
    assert bob.agent.answer_reinvite(theirs, ANSWER, network.now)
    assert not bob.agent.answer_reinvite(theirs, ANSWER, network.now)
    network.run(5)
    assert [event.code for event in bob.of(ReInviteAnswered)] == [200]


@pytest.mark.parametrize("lost", [["INVITE"], ["200 INVITE"], ["ACK"], ["200 INVITE", "ACK"]])
def test_a_change_survives_lost_datagrams(lost: list[str]) -> None:
    network, alice, bob, ours, _theirs = up()
    network.drop = drop_first(*lost)
    alice.agent.reinvite(ours, HOLD, network.now)
    network.run(10)
    assert len(alice.of(ReInviteAnswered)) == 1
    assert len(bob.of(ReInvited)) == 1
    alice.agent.end(ours, network.now)
    quiet(network)


def test_a_change_to_a_dead_peer_ends_the_call() -> None:
    network, alice, bob, ours, _ = up()
    bob.vanish()
    alice.agent.reinvite(ours, HOLD, network.now)
    network.run(80)
    assert ends(alice) == [("timeout", "them", 408)]
    quiet(network)


def test_a_hangup_during_a_change_ends_it() -> None:
    network, alice, bob, ours, theirs = up()
    bob.on_event = None
    alice.agent.reinvite(ours, HOLD, network.now)
    network.run(1)
    bob.agent.end(theirs, network.now)
    network.run(2)
    assert ends(alice) == [("hangup", "them", None)]
    assert not bob.agent.answer_reinvite(theirs, ANSWER, network.now)
    assert not alice.agent.reinvite(ours, HOLD, network.now)
    quiet(network)


# Misuse.


def test_commands_that_make_no_sense_raise() -> None:
    network, alice, bob, ours, theirs = up()
    with pytest.raises(StateError):
        bob.agent.accept(theirs, ANSWER, network.now)
    with pytest.raises(StateError):
        bob.agent.ring(theirs, network.now)
    with pytest.raises(StateError):
        bob.agent.reject(theirs, 486, network.now)
    with pytest.raises(StateError):
        alice.agent.cancel(ours, network.now)
    with pytest.raises(StateError):
        alice.agent.acknowledge(ours, ANSWER, network.now)
    with pytest.raises(StateError):
        alice.agent.update(ours, None, network.now)
    alice.agent.reinvite(ours, HOLD, network.now)
    with pytest.raises(StateError):
        alice.agent.reinvite(ours, OFFER, network.now)
    with pytest.raises(StateError):
        bob.agent.accept(theirs, None, network.now)


@pytest.mark.parametrize(
    "options",
    [{"target": "bob"}, {"target": "http://x"}, {"from_": "<sip:x"}, {"target": "tel:+1555"},
     {"route": ["<nonsense>"]}, {"headers": [("X-A", "b\r\nEvil: yes")]}],
)  # fmt: skip
def test_an_impossible_call_is_our_mistake_and_leaves_nothing(options: dict[str, object]) -> None:
    network, alice, _ = pair()
    with pytest.raises(UsageError):
        alice.agent.invite(call(**options), network.now)
    assert not any(alice.agent.live.values())


def test_a_telephone_number_is_called_through_a_proxy() -> None:
    network, alice, bob = pair()
    alice.agent.invite(
        call(target="tel:+1-555", destination=(BOB, 5060), headers=[("X-Campaign", "7")],
             route=[f"<sip:{BOB};lr>"]),
        network.now,
    )  # fmt: skip
    network.run(1)
    (invited,) = bob.of(Invited)
    assert invited.request.parsed_uri.number == "+1555"
    assert invited.session.headers["x-campaign"] == "7"
    assert invited.request.values("route") == [f"<sip:{BOB};lr>"]


def test_peers_behind_a_nat_can_be_followed() -> None:
    network = VirtualNetwork(random.Random(1))
    alice = network.peer(ALICE)
    bob = network.peer(BOB, on_event=agreeable, settings={"follow_source": True})
    alice.agent.invite(call(), network.now)
    (invite,) = alice.agent.drain()
    assert isinstance(invite, Send)
    data = invite.data.replace(f"<sip:{ALICE}:5060>".encode(), b"<sip:192.168.1.2>")
    bob.agent.receive(data, (ALICE, 5060), network.now)
    network.run(1)
    (session,) = bob.agent.sessions.values()
    assert session.remote_contact == "sip:192.168.1.2"
    bob.agent.end(session, network.now)
    network.run(1)
    assert [to for _, who, to, what in network.log if what == "BYE"] == [ALICE]


def test_thousands_of_calls_leave_nothing_behind() -> None:
    network, alice, bob = pair()
    for number in range(1500):
        session = alice.agent.invite(call(), network.now)
        network.run(0.05)
        if number % 3:
            alice.agent.end(session, network.now)
        network.run(0.05)
    for session in list(alice.agent.sessions.values()):
        alice.agent.end(session, network.now)
    quiet(network)
    assert len(bob.of(Terminated)) == len(alice.of(Terminated)) == 1500
    assert len(alice.agent._core.timers._heap) == 0
    assert not alice.agent._core.merged
    assert not bob.agent._core.merged


def test_what_is_offered_is_asked_for_before_each_attempt() -> None:
    network, alice, bob, ours, theirs = up()
    offers: list[bytes] = []

    def offer() -> bytes:
        offers.append(HOLD.replace(b"o=- 1 2", b"o=- 1 %d" % (len(offers) + 2)))
        return offers[-1]

    alice.agent.reinvite(ours, offer, network.now)
    bob.agent.reinvite(theirs, OFFER, network.now)
    network.run(6)
    assert len(offers) == 2
    assert theirs.remote_sdp is not None and theirs.remote_sdp.origin.version == 3


def test_our_change_waits_for_the_ack_of_theirs() -> None:
    network, alice, bob, ours, theirs = up()
    network.drop = lambda data, sender, receiver: data.startswith(b"ACK")
    alice.agent.reinvite(ours, HOLD, network.now)
    network.run(1)
    assert bob.agent.reinvite(theirs, OFFER, network.now)
    network.run(1)
    assert "INVITE" not in network.said(BOB)
    network.drop = lambda data, sender, receiver: False
    network.run(6)
    assert [event.code for event in bob.of(ReInviteAnswered)] == [200]


@pytest.mark.parametrize("lost", [[], ["OPTIONS"], ["200 OPTIONS"]])
def test_a_probe_of_a_call_that_lives_is_answered_and_not_told(lost: list[str]) -> None:
    network, alice, bob, ours, _theirs = up()
    network.drop = drop_first(*lost)
    events = alice.names(), bob.names()
    assert alice.agent.probe(ours, network.now)
    assert not alice.agent.probe(ours, network.now)
    network.run(5)
    assert (alice.names(), bob.names()) == events
    assert alice.agent.probe(ours, network.now)
    alice.agent.end(ours, network.now)
    assert not alice.agent.probe(ours, network.now)
    quiet(network)


@pytest.mark.parametrize("knows", [True, False])
def test_a_probe_finds_out_that_the_call_is_gone(knows: bool) -> None:
    network, alice, bob, ours, theirs = up()
    if knows:
        network.drop = lambda data, sender, receiver: data.startswith(b"BYE")
        bob.agent.end(theirs, network.now)
        network.run(40)
        network.drop = lambda data, sender, receiver: False
    else:
        bob.vanish()
    alice.agent.probe(ours, network.now)
    network.run(80)
    assert ends(alice) == [("error", "them", 481) if knows else ("timeout", "them", 408)]
    quiet(network)


def test_a_change_they_do_not_decide_about_is_cancelled() -> None:
    network, alice, bob, ours, theirs = up()
    bob.on_event = None
    alice.agent.reinvite(ours, HOLD, network.now)
    network.run(31)
    assert "CANCEL" not in network.said(ALICE)
    network.run(2)
    assert network.said(ALICE).count("CANCEL") == 1
    assert [event.code for event in alice.of(ReInviteAnswered)] == [487]
    assert ours.is_confirmed
    assert theirs.is_confirmed
    alice.agent.end(ours, network.now)
    quiet(network)


def test_a_change_they_never_decide_about_is_given_up() -> None:
    network, alice, bob, ours, _theirs = up()
    bob.on_event = None
    alice.agent.reinvite(ours, HOLD, network.now)
    network.run(1)
    network.drop = lambda data, sender, receiver: data.startswith(b"CANCEL")
    network.run(70)
    assert [event.code for event in alice.of(ReInviteAnswered)] == [408]
    network.drop = lambda data, sender, receiver: False
    alice.agent.end(ours, network.now)
    quiet(network)


def test_a_change_that_is_decided_about_late_is_not_cancelled() -> None:
    network, alice, bob, ours, theirs = up()
    bob.on_event = None
    alice.agent.reinvite(ours, HOLD, network.now)
    network.run(20)
    bob.agent.answer_reinvite(theirs, ANSWER, network.now)
    network.run(60)
    assert "CANCEL" not in network.said(ALICE)
    assert [event.code for event in alice.of(ReInviteAnswered)] == [200]
