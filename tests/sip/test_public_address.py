"""RFC 3581, the other way round: what answers tell us about ourselves."""

import random

import pytest

from trunkline.sip.core import Settings
from trunkline.sip.events import Invited
from trunkline.sip.headers import Via
from trunkline.sip.hop import Hop
from trunkline.sip.message import Request, parse_message
from trunkline.sip.outbound import Invitation
from trunkline.sip.public_address import MOST, PublicAddresses, put_contact
from trunkline.sip.testing import ANSWER, HOLD, OFFER
from trunkline.sip.user_agent import UserAgent

from .phone import OURS, THEIRS, Phone

TRUNK = Hop("203.0.113.5", 5060)


def learnt(via: str, source: Hop = TRUNK) -> tuple[str, int] | None:
    public = PublicAddresses()
    public.learn(Via.parse(via), source)
    return public.get(source)


@pytest.mark.parametrize(
    ("via", "seen"),
    [
        ("SIP/2.0/UDP 10.0.0.2:5060;received=198.51.100.7;rport=40123", ("198.51.100.7", 40123)),
        ("SIP/2.0/UDP 10.0.0.2:5060;received=198.51.100.7", ("198.51.100.7", 5060)),
        ("SIP/2.0/UDP 10.0.0.2:5060;rport=40123", ("10.0.0.2", 40123)),
        ("SIP/2.0/UDP [2001:db8::2]:5060;received=2001:db8::7;rport=1", ("2001:db8::7", 1)),
        ("SIP/2.0/UDP 10.0.0.2:5060;received=10.0.0.2;rport=5060", None),
        ("SIP/2.0/UDP 10.0.0.2:5060;rport", None),
        ("SIP/2.0/UDP 10.0.0.2:5060", None),
        ("SIP/2.0/UDP 10.0.0.2:5060;received=evil.example;rport=1", None),
        ("SIP/2.0/UDP 10.0.0.2:5060;received=198.51.100.7;rport=0", None),
        ("SIP/2.0/UDP 10.0.0.2:5060;received=198.51.100.7;rport=99999", None),
        ("SIP/2.0/UDP 10.0.0.2:5060;received=198.51.100.7;rport=x", ("198.51.100.7", 5060)),
    ],
)
def test_received_and_rport_are_what_we_are_seen_as(via: str, seen: object) -> None:
    assert learnt(via) == seen


def test_of_a_connection_only_the_address_counts() -> None:
    via = "SIP/2.0/TCP 10.0.0.2:5060;received=198.51.100.7;rport=40123"
    assert learnt(via, TRUNK._replace(transport="TCP", flow=4)) == ("198.51.100.7", 5060)


def test_it_is_forgotten_when_the_nat_is_gone() -> None:
    public = PublicAddresses()
    public.learn(Via.parse("SIP/2.0/UDP 10.0.0.2:5060;received=198.51.100.7"), TRUNK)
    public.learn(Via.parse("SIP/2.0/UDP 10.0.0.2:5060;received=10.0.0.2"), TRUNK)
    assert len(public) == 0


def test_memory_is_bounded() -> None:
    public = PublicAddresses()
    via = Via.parse("SIP/2.0/UDP 10.0.0.2:5060;received=198.51.100.7")
    for number in range(MOST + 10):
        public.learn(via, Hop(f"h{number}", 5060))
    assert len(public) == MOST


def invited(agent: UserAgent, target: str = "sip:b@203.0.113.5") -> Request:
    agent.invite(Invitation(target, "sip:a@10.0.0.2", OFFER), 0.0)
    request = parse_message(agent.drain()[0].data)  # type: ignore[union-attr]
    assert isinstance(request, Request)
    return request


def answered(agent: UserAgent, request: Request, code: int = 486) -> None:
    """The trunk answers through a NAT."""
    via = request.via
    via.parameters["received"], via.parameters["rport"] = "198.51.100.7", "40123"
    response = request.response(code, to_tag="far")
    response.headers[0] = ("Via", str(via))
    agent.receive(bytes(response), TRUNK, 1.0)
    agent.drain()


def test_after_the_first_answer_contact_is_what_the_far_end_sees() -> None:
    agent = UserAgent(Settings("10.0.0.2", learn_address=True), random.Random(1))
    first = invited(agent)
    assert first.get("contact") == "<sip:10.0.0.2:5060>"
    answered(agent, first)
    second = invited(agent)
    assert second.get("contact") == "<sip:198.51.100.7:40123>"
    assert second.via.host == "10.0.0.2"  # Via stays as it is: rport does its part
    assert invited(agent, "sip:b@192.0.2.4").get("contact") == "<sip:10.0.0.2:5060>"


def test_where_an_address_is_configured_none_is_learnt() -> None:
    agent = UserAgent(Settings("10.0.0.2"), random.Random(1))
    answered(agent, invited(agent))
    assert invited(agent).get("contact") == "<sip:10.0.0.2:5060>"


def test_a_stray_response_teaches_nothing() -> None:
    agent = UserAgent(Settings("10.0.0.2", learn_address=True), random.Random(1))
    request = invited(agent)
    request.drop_first("via")
    request.put_first("Via", "SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKguess;received=192.0.2.66")
    agent.receive(bytes(request.response(200, to_tag="x")), TRUNK, 1.0)
    assert invited(agent).get("contact") == "<sip:10.0.0.2:5060>"


@pytest.mark.parametrize(
    ("written", "ours", "becomes"),
    [
        ("<sip:10.0.0.2:5060>", "<sip:[2001:db8::7]:1>", "<sip:[2001:db8::7]:1>"),
        (
            '<sip:line7@10.0.0.2:5060;transport=tcp;ob>;expires=60;+sip.instance="<urn:x>"',
            "<sip:198.51.100.7:40123>",
            '<sip:line7@198.51.100.7:40123;ob>;expires=60;+sip.instance="<urn:x>"',
        ),
        ("<sip:line7@10.0.0.2>", "<sip:h:5061;transport=tls>", "<sip:line7@h:5061;transport=tls>"),
        ("<sips:line7@10.0.0.2>", "<sip:h:5061;transport=tls>", "<sips:line7@h:5061>"),
        ("*", "<sip:h:1>", "*"),
    ],
)
def test_a_contact_keeps_its_user_and_parameters(written: str, ours: str, becomes: str) -> None:
    request = Request("REGISTER", "sip:h", [("To", "<sip:x@h>"), ("m", written)])
    assert request.get("contact") == written
    put_contact(request, ours)
    assert request.get("contact") == becomes


@pytest.mark.parametrize(
    ("options", "ours"),
    [
        ({"contact_user": "line7"}, f"<sip:line7@{OURS}:5060>"),
        ({"contact_user": "a b"}, f"<sip:a%20b@{OURS}:5060>"),
        ({"target": f"sips:phone@{THEIRS}"}, f"<sips:{OURS}:5061>"),
        ({"route": (f"<sips:{THEIRS};lr>",)}, f"<sips:{OURS}:5061>"),
    ],
)
def test_all_of_a_call_names_us_the_same_way(options: dict[str, object], ours: str) -> None:
    phone = Phone(ports={"TLS": 5061})
    session, invite = phone.dial(**options)
    assert invite.get("contact") == ours
    phone.answer(invite, 200, body=ANSWER)
    phone.agent.reinvite(session, HOLD, phone.now)
    (again,) = phone.take()
    assert again.get("contact") == ours
    phone.answer(again, 200, body=ANSWER)
    phone.take()
    phone.ask(invite, "INVITE", 1, body=OFFER)
    phone.agent.answer_reinvite(session, ANSWER, phone.now)
    assert [one.get("contact") for one in phone.take()] == [ours]


@pytest.mark.parametrize(
    ("uri", "contact", "via", "secure"),
    [
        ("sips:us@10.0.0.1", "sip:phone@10.0.0.9", "", True),
        ("sip:us@10.0.0.1", "sip:phone@10.0.0.9", "<sips:10.0.0.5;lr>", True),
        ("sip:us@10.0.0.1", "sips:phone@10.0.0.9", "", True),
        ("sip:us@10.0.0.1", "sips:phone@10.0.0.9", "<sip:10.0.0.5;lr>", False),
        ("sip:us@10.0.0.1", "sip:phone@10.0.0.9", "", False),
    ],
)
def test_who_calls_by_sips_gets_a_contact_that_is_sips(
    uri: str, contact: str, via: str, secure: bool
) -> None:
    """RFC 3261 section 12.1.1."""
    phone = Phone()
    fields = {**dict(Phone().dial()[1].headers), "Contact": f"<{contact}>"}
    routes = [("Record-Route", via)] if via else []
    phone.give(Request("INVITE", uri, [*fields.items(), *routes], OFFER))
    phone.agent.accept(phone.last(Invited).session, ANSWER, phone.now)  # type: ignore[union-attr]
    (answer,) = phone.take()
    assert str(answer.get("contact")).startswith("<sips:") is secure
