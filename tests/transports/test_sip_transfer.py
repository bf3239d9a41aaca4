"""The transport's half of transfers: who is told what, and where a number leads."""

import random
from typing import Any

import pytest

from trunkline.errors import UsageError
from trunkline.sip import Invitation, ReferProgress, Referred
from trunkline.sip.events import Invited
from trunkline.sip.hop import Hop
from trunkline.sip.referral import Referral, ReferTo
from trunkline.sip.testing import ANSWER, OFFER, Peer, VirtualNetwork
from trunkline.transports.leg import LegReplaced, TransferAsked, TransferProgress
from trunkline.transports.sip_transfer import SipTransferRequest, SipTransfers, Transferring


class Events:
    def __init__(self) -> None:
        self.told: list[Any] = []

    def emit(self, event: Any) -> None:
        self.told.append(event)


class Endpoint:
    """As much of an endpoint as transfers need, on a virtual network."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.agent = peer.agent
        self.legs: dict[str, Any] = {}
        self.transfers = SipTransfers(self, self.legs)

    def now(self) -> float:
        return self.peer.network.now

    def flush(self) -> None:
        self.peer.flush()


class Leg(Transferring):
    def __init__(self, endpoint: Endpoint, session: Any) -> None:
        self.id = session.id
        self.session = session
        self._switch = endpoint  # type: ignore[assignment]
        self._events = Events()  # type: ignore[assignment]
        endpoint.legs[session.id] = self

    @property
    def told(self) -> list[Any]:
        return self._events.told  # type: ignore[attr-defined, no-any-return]


def up(remote: str = "sip:bob@10.0.0.2") -> tuple[VirtualNetwork, Endpoint, Leg, Peer]:
    network = VirtualNetwork(random.Random(3))

    def agree(peer: Peer, event: Any) -> None:
        if isinstance(event, Invited):
            peer.agent.accept(event.session, ANSWER, network.now)

    def report(peer: Peer, event: Any) -> None:
        if isinstance(event, ReferProgress):
            endpoint.transfers.progress(event)

    us, bob = network.peer("10.0.0.1", on_event=report), network.peer("10.0.0.2", on_event=agree)
    endpoint = Endpoint(us)
    invitation = Invitation(remote, "sip:us@10.0.0.1", OFFER, destination=Hop("10.0.0.2", 5060))
    session = us.agent.invite(invitation, network.now)
    network.run(1)
    assert session.is_confirmed
    return network, endpoint, Leg(endpoint, session), bob


@pytest.mark.parametrize(
    ("target", "refer_to"),
    [("sip:x@y", "sip:x@y"), ("SIPS:x@y", "SIPS:x@y"), ("tel:+49", "tel:+49"),
     ("+4930", "sip:+4930@pbx.example"), ("carol", "sip:carol@pbx.example"), ("x@y", "sip:x@y")],
)  # fmt: skip
def test_where_a_number_leads(target: str, refer_to: str) -> None:
    network, _, leg, bob = up("sip:bob@pbx.example")
    leg.transfer(target, lambda progress: None)
    network.run(1)
    (asked,) = bob.of(Referred)
    assert asked.referral.to.uri.lower() == refer_to.lower()


@pytest.mark.parametrize(
    "target", ["", "a b", "mailto:x@y", "sip:", "<sip:x@y>", "sip:x@y\r\nVia: z"]
)
def test_what_leads_nowhere(target: str) -> None:
    network, endpoint, leg, bob = up()
    with pytest.raises(UsageError):
        leg.transfer(target, lambda progress: None)
    with pytest.raises(UsageError):
        leg.transfer("sip:x@y", lambda progress: None, replaces="nonsense")
    network.run(1)
    assert not bob.of(Referred) and len(endpoint.transfers) == 0


def test_an_address_of_another_version_is_written_in_brackets() -> None:
    network, _, leg, bob = up("sip:bob@[2001:db8::1]")
    leg.transfer("300", lambda progress: None)
    network.run(1)
    assert bob.of(Referred)[0].referral.to.uri == "sip:300@[2001:db8::1]"


def test_who_asked_is_told_to_the_end_and_then_forgotten() -> None:
    network, endpoint, leg, bob = up()
    told: list[TransferProgress] = []
    leg.transfer("sip:x@y", told.append)
    network.run(1)
    source = leg.session.source
    assert source is not None and endpoint.transfers.expects(source)
    assert not endpoint.transfers.expects(Hop("10.0.0.9", 5060))
    referral = bob.of(Referred)[0].referral
    bob.agent.referring.accept(referral, network.now)
    bob.agent.referring.report(referral, 200, "OK", network.now)
    network.run(1)
    assert [(one.code, one.final) for one in told] == [(202, False), (100, False), (200, True)]
    assert len(endpoint.transfers) == 0 and not endpoint.transfers.expects(source)


def test_a_call_is_named_by_its_far_ends_tag_first() -> None:
    network, endpoint, leg, bob = up()
    target, replaces = leg.place()
    (theirs,) = bob.agent.sessions.values()
    assert target == leg.session.remote_contact
    tags = (theirs._internals.local_tag, leg.session._internals.local_tag)
    assert replaces == f"{leg.session.call_id};to-tag={tags[0]};from-tag={tags[1]}"
    endpoint.agent.bye(leg.session, network.now)
    with pytest.raises(UsageError, match="not up"):
        leg.place()


def test_a_transfer_they_ask_for_is_the_legs_to_decide() -> None:
    network, endpoint, leg, bob = up()
    (theirs,) = bob.agent.sessions.values()
    for decide, codes in (("refuse", [(603, True)]), ("accept", [(202, False), (100, False)])):
        bob.events.clear()
        bob.agent.referring.refer(theirs, "sip:x@y", network.now)
        network.run(0.1)
        endpoint.transfers.asked(endpoint.peer.of(Referred)[-1])
        request = leg.told[-1].request
        assert isinstance(leg.told[-1], TransferAsked) and request.target == "sip:x@y"
        assert getattr(request, decide)() and not request.accept()
        network.run(1)
        assert [(e.code, e.is_final) for e in bob.of(ReferProgress)] == codes
    request.report(486)
    network.run(1)
    assert [(e.code, e.is_final) for e in bob.of(ReferProgress)][-1] == (486, True)


def test_a_call_that_has_no_leg_any_more_is_not_transferred() -> None:
    network, endpoint, leg, bob = up()
    (theirs,) = bob.agent.sessions.values()
    bob.agent.referring.refer(theirs, "sip:x@y", network.now)
    network.run(0.1)
    endpoint.legs.clear()
    endpoint.transfers.asked(endpoint.peer.of(Referred)[-1])
    network.run(1)
    assert [(e.code, e.is_final) for e in bob.of(ReferProgress)] == [(603, True)]
    assert not endpoint.transfers.take_place(leg.session, object())  # type: ignore[arg-type]


def test_a_leg_is_offered_to_the_one_it_replaces() -> None:
    _, endpoint, leg, _ = up()

    class New:
        def observe(self, observer: Any) -> None:
            self.observer = observer

    new = New()
    assert endpoint.transfers.take_place(leg.session, new)  # type: ignore[arg-type]
    (event,) = leg.told
    assert isinstance(event, LegReplaced) and event.leg is new
    event.observe("somebody")  # type: ignore[arg-type]
    assert new.observer == "somebody"


def test_a_request_says_what_it_is_about() -> None:
    network, endpoint, leg, _ = up()
    dialog = leg.session._internals.dialog
    assert dialog is not None
    referral = Referral(leg.session, ReferTo("sip:x@y"), "<sip:b@c>", False, None, dialog)
    request = SipTransferRequest(endpoint, referral)
    assert (request.target, request.referred_by, request.replaces) == ("sip:x@y", "<sip:b@c>", "")
    assert not request.refuse() and not request.accept()
    request.report(200)  # nobody to tell it to
    assert "NOTIFY" not in network.said("10.0.0.1")
