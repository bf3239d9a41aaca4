"""Two user agents on a virtual network: the ordinary life of calls."""

import random

from trunkline.sip import Accepted, Confirmed, Invitation, Invited, Settings, Terminated, UserAgent
from trunkline.sip.events import Event
from trunkline.sip.testing import ANSWER, OFFER, Peer, VirtualNetwork

ALICE, BOB = "10.0.0.1", "10.0.0.2"
CALL = Invitation(f"sip:bob@{BOB}", f'"Alice" <sip:alice@{ALICE}>', sdp=OFFER)


def answering(peer: Peer, event: Event) -> None:
    if isinstance(event, Invited):
        peer.agent.ring(event.session, peer.network.now)
        peer.agent.accept(event.session, ANSWER, peer.network.now)


def pair(seed: int = 1, **link: float) -> tuple[VirtualNetwork, Peer, Peer]:
    network = VirtualNetwork(random.Random(seed), **link)
    return network, network.peer(ALICE), network.peer(BOB, on_event=answering)


def test_a_call_is_answered_confirmed_and_ended_once_on_both_sides() -> None:
    network, alice, bob = pair()
    session = alice.agent.invite(CALL, network.now)
    network.run(1)
    assert alice.names() == ["Progress", "Accepted", "Confirmed"]
    assert bob.names() == ["Invited", "Acked", "Confirmed"]
    assert session.is_confirmed
    alice.agent.end(session, network.now)
    network.run(1)
    assert network.said(ALICE) == ["INVITE", "PRACK", "ACK", "BYE"]
    assert network.said(BOB) == [
        "100 INVITE", "180 INVITE", "200 PRACK", "200 INVITE", "200 BYE",
    ]  # fmt: skip
    assert [(e.reason, e.by) for e in alice.of(Terminated)] == [("hangup", "us")]
    assert [(e.reason, e.by) for e in bob.of(Terminated)] == [("hangup", "them")]


def test_nothing_stays_behind_after_a_call() -> None:
    network, alice, bob = pair()
    session = alice.agent.invite(CALL, network.now)
    network.run(1)
    alice.agent.end(session, network.now)
    network.run(40)
    assert not any(alice.agent.live.values())
    assert not any(bob.agent.live.values())


def test_a_session_shows_what_a_call_needs() -> None:
    network, alice, bob = pair()
    alice.agent.invite(CALL, network.now)
    network.run(1)
    session = bob.of(Confirmed)[0].session
    assert session.from_.display == "Alice"
    assert session.from_.uri == f"sip:alice@{ALICE}"
    assert session.to.uri == f"sip:bob@{BOB}"
    assert session.headers["cAlL-iD"] == session.call_id
    assert session.remote_contact == f"sip:{ALICE}:5060"
    assert bytes(session.remote_sdp or b"") == OFFER
    assert bytes(session.local_sdp or b"") == ANSWER
    assert not session.held_by_them
    assert alice.of(Accepted)[0].session.remote.uri == f"sip:bob@{BOB}"


def test_an_agent_at_rest_waits_for_nothing() -> None:
    agent = UserAgent(Settings("192.0.2.1"), random.Random(1))
    assert agent.next_timeout() is None
    agent.tick(1e9)
    assert agent.drain() == []
