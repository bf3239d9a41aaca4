"""Where messages go: what a hop is, and what goes over which transport."""

import random

import pytest

from trunkline.sip import Admission, Hop, Invitation, Request, Send, Settings, UserAgent
from trunkline.sip.hop import as_hop, default_port
from trunkline.sip.message import parse_message
from trunkline.sip.testing import ANSWER, OFFER

PEER = Hop("198.51.100.7", 40000, "TCP", flow=7)
INVITE = (
    "INVITE sip:shop@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/TCP pc:5060;branch=z9hG4bK1\r\n"
    "From: <sip:a@pc>;tag=1\r\nTo: <sip:shop@192.0.2.1>\r\nCall-ID: c1\r\nCSeq: 1 INVITE\r\n"
    "Contact: <sip:a@198.51.100.7:40000;transport=tcp>\r\nContent-Type: application/sdp\r\n"
    "Content-Length: {}\r\n\r\n"
)


def agent(**settings: object) -> UserAgent:
    return UserAgent(Settings("192.0.2.1", **settings), random.Random(3))  # type: ignore


def sends(user_agent: UserAgent) -> list[Send]:
    return [output for output in user_agent.drain() if isinstance(output, Send)]


def test_host_and_port_alone_mean_udp() -> None:
    assert as_hop(("192.0.2.1", 5060)) == Hop("192.0.2.1", 5060, "UDP", 0, "")
    assert not as_hop(("192.0.2.1", 5060)).is_reliable
    assert as_hop(PEER) is PEER and PEER.is_reliable
    assert PEER.address == ("198.51.100.7", 40000)
    assert (default_port("UDP"), default_port("TCP"), default_port("TLS")) == (5060, 5060, 5061)


def test_a_hop_is_written_for_people() -> None:
    assert str(PEER) == "tcp:198.51.100.7:40000"
    assert str(Hop("2001:db8::1", 5061, "TLS")) == "tls:[2001:db8::1]:5061"


def test_what_came_over_a_connection_is_answered_on_it_and_never_repeated() -> None:
    ours = agent(ports={"TCP": 5070})
    ours.receive(INVITE.format(len(OFFER)).encode() + OFFER, PEER, 0.0)
    (session,) = ours.sessions.values()
    ours.accept(session, ANSWER, 0.0)
    answers = sends(ours)
    assert {send.destination for send in answers} == {PEER}
    ok = parse_message(answers[-1].data)
    assert ok.get("contact") == "<sip:192.0.2.1:5070;transport=tcp>"
    ours.tick(10.0)
    # RFC 3261 13.3.1.4: the 2xx alone is repeated whatever carries it.
    assert {send.data for send in sends(ours)} <= {answers[-1].data}


def test_a_request_says_in_its_via_what_it_goes_over() -> None:
    ours = agent(ports={"TCP": 5070, "TLS": 5071})
    for uri, transport, port in (
        ("sip:b@192.0.2.9", "UDP", 5060),
        ("sip:b@192.0.2.9;transport=tcp", "TCP", 5070),
        ("sips:b@192.0.2.9", "TLS", 5071),
    ):
        ours.invite(Invitation(uri, "sip:a@192.0.2.1", OFFER), 0.0)
        (send,) = sends(ours)
        assert send.destination.transport == transport
        request = parse_message(send.data)
        assert (request.via.transport, request.via.port) == (transport, port)


@pytest.mark.parametrize(("ports", "transport"), [({}, "UDP"), ({"TCP": 5060}, "TCP")])
def test_a_request_too_long_for_a_datagram_goes_over_tcp_where_we_have_it(
    ports: dict[str, int], transport: str
) -> None:
    ours = agent(ports=ports)
    long = [("Identity", "e" * 1500)]
    ours.invite(Invitation("sip:b@192.0.2.9", "sip:a@192.0.2.1", OFFER, long), 0.0)
    (send,) = sends(ours)
    assert send.destination == Hop("192.0.2.9", 5060, transport)  # type: ignore[arg-type]
    assert parse_message(send.data).via.transport == transport


@pytest.mark.parametrize(
    ("admission", "codes"),
    [
        (Admission(silent=True), []),
        (Admission(code=503, reason="Too Many Calls", retry_after_seconds=7), [503]),
        (Admission(trunk="carrier"), [100]),
    ],
)
def test_the_gate_says_what_becomes_of_a_call(admission: Admission, codes: list[int]) -> None:
    asked: list[tuple[str, Hop]] = []

    def policy(request: Request, source: Hop, now: float) -> Admission:
        asked.append((request.method, source))
        return admission

    ours = UserAgent(Settings("192.0.2.1"), random.Random(3), policy)
    ours.receive(INVITE.format(len(OFFER)).encode() + OFFER, PEER, 0.0)
    answers = [parse_message(send.data) for send in sends(ours)]
    assert [answer.code for answer in answers] == codes  # type: ignore[union-attr]
    assert asked == [("INVITE", PEER)]
    if admission.code:
        assert answers[0].get("retry-after") == "7"
        assert not ours.sessions
    if admission.trunk:
        assert [session.trunk for session in ours.sessions.values()] == ["carrier"]


def test_what_is_no_sip_is_told_with_its_source() -> None:
    ours, told = agent(), []
    ours.on_malformed = lambda source, now: told.append((source, now))
    ours.receive(b"GET / HTTP/1.1\r\n\r\n", PEER, 4.0)
    assert told == [(PEER, 4.0)]
