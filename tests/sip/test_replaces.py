"""INVITE with Replaces: what it takes the place of, and when it may not (RFC 3891)."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.sip import (
    Invited,
    ParseError,
    Replaces,
    Session,
    SessionState,
    StateError,
    Terminated,
)
from trunkline.sip.events import Event
from trunkline.sip.testing import ANSWER, Peer, VirtualNetwork

from .test_calls import ALICE, BOB, call, ends, quiet, up

CAROL = "10.0.0.3"
WORDS = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=40)


@given(WORDS, WORDS, WORDS, st.booleans())
def test_what_is_written_is_read(call_id: str, ours: str, theirs: str, early: bool) -> None:
    value = Replaces(call_id, ours, theirs, early)
    assert Replaces.parse(str(value)) == value


@pytest.mark.parametrize(
    "text",
    ["a@b;to-tag=1;from-tag=2;x=y", "a@b; from-tag=2 ; to-tag=1", "a@b;TO-TAG=1;From-Tag=2"],
)
def test_order_case_and_what_else_is_there_do_not_matter(text: str) -> None:
    assert Replaces.parse(text) == Replaces("a@b", "1", "2")


@pytest.mark.parametrize(
    "text",
    ["", "a@b", "a@b;to-tag=1", "a@b;from-tag=1", ";to-tag=1;from-tag=2", "a b;to-tag=1;from-tag=2",
     "a@b;to-tag=;from-tag=2", "a@b;to-tag=1;to-tag=3;from-tag=2",
     "a\r\nVia: x;to-tag=1;from-tag=2",
     "a@b;to-tag=1\nx;from-tag=2", "x" * 600 + ";to-tag=1;from-tag=2"],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        Replaces.parse(text)


def replacing(
    network: VirtualNetwork, target: Session, *, early: bool = False, **changed: str
) -> tuple[Peer, Session]:
    """Carol calls Alice in the place of ``target``, a session of Bob's."""
    found = Replaces.of(target)
    values = {"call_id": found.call_id, "to_tag": found.to_tag, "from_tag": found.from_tag}
    header = Replaces(**(values | changed), early_only=early)
    carol = network.peers.get(CAROL) or network.peer(CAROL)
    session = carol.agent.invite(
        call(target=f"sip:alice@{ALICE}", from_=f"sip:carol@{CAROL}",
             headers=[("Replaces", str(header)), ("Require", "replaces")]),
        network.now,
    )  # fmt: skip
    network.run(1)
    return carol, session


def test_accepting_the_new_call_ends_the_old_one() -> None:
    network, alice, bob, ours, theirs = up()
    carol, hers = replacing(network, theirs)
    invited = alice.of(Invited)[-1]
    assert invited.replaces is ours
    network.run(1)
    assert invited.session.is_confirmed and hers.is_confirmed
    assert ends(alice) == [("replaced", "us", None)]
    assert ends(bob) == [("hangup", "them", None)]
    carol.agent.bye(hers, network.now)
    quiet(network)


def test_refusing_the_new_call_leaves_the_old_one() -> None:
    network, alice, _, ours, theirs = up()

    def refuse(peer: Peer, event: Event) -> None:
        if isinstance(event, Invited):
            peer.agent.reject(event.session, 488, peer.network.now)

    alice.on_event = refuse
    carol, _ = replacing(network, theirs)
    network.run(1)
    assert ends(carol) == [("rejected", "them", 488)]
    assert ours.is_confirmed and theirs.is_confirmed


@pytest.mark.parametrize(
    "changed", [{"call_id": "nobody@x"}, {"to_tag": "x"}, {"from_tag": "x"}, {"from_tag": "0"}]
)
def test_a_dialog_there_is_not_is_481(changed: dict[str, str]) -> None:
    network, alice, _, ours, theirs = up()
    carol, _ = replacing(network, theirs, **changed)
    assert ends(carol)[0][2] == 481
    assert ours.is_confirmed and len(alice.of(Invited)) == 0


def test_a_dialog_that_has_ended_is_603() -> None:
    network, alice, bob, _, theirs = up()
    bob.agent.bye(theirs, network.now)
    network.run(1)
    carol, _ = replacing(network, theirs)
    assert ends(carol)[0][2] == 603
    assert len(alice.of(Terminated)) == 1


def test_a_dialog_that_is_ending_is_603() -> None:
    network, alice, bob, ours, theirs = up()
    bob.vanish()
    alice.agent.bye(ours, network.now)
    assert ours.state is SessionState.ENDING
    carol, _ = replacing(network, theirs)
    assert ends(carol)[0][2] == 603


def test_early_only_does_not_take_a_call_that_is_up() -> None:
    network, _, _, ours, theirs = up()
    carol, _ = replacing(network, theirs, early=True)
    assert ends(carol) == [("busy", "them", 486)]
    assert ours.is_confirmed


def ringing() -> tuple[VirtualNetwork, Peer, Peer, Session, Session]:
    """Alice calls Bob, where it rings."""
    network = VirtualNetwork(random.Random(2))

    def ring(peer: Peer, event: Event) -> None:
        if isinstance(event, Invited):
            peer.agent.ring(event.session, peer.network.now)

    alice, bob = network.peer(ALICE), network.peer(BOB, on_event=ring)
    ours = alice.agent.invite(call(), network.now)
    network.run(1)
    (theirs,) = bob.agent.sessions.values()
    return network, alice, bob, ours, theirs


@pytest.mark.parametrize("early", [False, True])
def test_a_call_of_ours_that_rings_can_be_taken_over(early: bool) -> None:
    network, alice, bob, ours, theirs = ringing()
    carol, hers = replacing(network, theirs, early=early)
    invited = alice.of(Invited)[-1]
    assert invited.replaces is ours
    alice.agent.accept(invited.session, ANSWER, network.now)
    network.run(1)
    assert hers.is_confirmed
    assert ends(alice) == [("replaced", "us", 487)] and ends(bob) == [("cancelled", "them", 487)]
    carol.agent.bye(hers, network.now)
    quiet(network)


def test_a_call_that_rings_here_belongs_to_who_called() -> None:
    network, alice, bob, ours, theirs = ringing()
    header = Replaces(ours.call_id, theirs._internals.local_tag, ours._internals.local_tag)
    carol = network.peer(CAROL)
    carol.agent.invite(call(headers=[("Replaces", str(header))]), network.now)
    network.run(1)
    assert ends(carol)[0][2] == 481
    assert bob.agent.sessions and alice.agent.sessions


@pytest.mark.parametrize(
    ("headers", "code"),
    [([("Replaces", "nonsense")], 400),
     ([("Replaces", "a;to-tag=1;from-tag=2"), ("Replaces", "b;to-tag=1;from-tag=2")], 400),
     ([("Replaces", "a;to-tag=1;from-tag=2"), ("Join", "b;to-tag=1;from-tag=2")], 400),
     ([("Require", "join")], 420)],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(headers: list[tuple[str, str]], code: int) -> None:
    network, alice, bob, _, _ = up()
    bob.agent.invite(call(target=f"sip:alice@{ALICE}", headers=headers), network.now)
    network.run(1)
    assert ends(bob) == [("rejected", "them", code)]
    assert not alice.of(Invited)


def test_without_a_dialog_there_is_nothing_to_name() -> None:
    network, alice, _, _, _ = up()
    calling = alice.agent.invite(call(), network.now)
    with pytest.raises(StateError):
        Replaces.of(calling)
