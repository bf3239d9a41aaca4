"""Requests whose end nobody knows: answered 400 if they can be, and never more than that."""

import random

from hypothesis import given
from hypothesis import strategies as st

from trunkline.sip.core import Settings
from trunkline.sip.events import Send
from trunkline.sip.hop import Hop
from trunkline.sip.user_agent import UserAgent

SOURCE = Hop("192.0.2.9", 40_000, "TCP", 7)
HEAD = (
    b"INVITE sip:100@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.9;branch=z9hG4bK1\r\n"
    b"From: <sip:a@192.0.2.9>;tag=1\r\nTo: <sip:100@192.0.2.1>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n"
    b"Contact: <sip:a@192.0.2.9>\r\nContent-Length: 99\r\n\r\n"
)


def told(head: bytes) -> list[bytes]:
    agent = UserAgent(Settings("192.0.2.1"), random.Random(1))
    agent.receive_unframed(head, SOURCE, 0.0)
    assert agent.live["sessions"] == agent.live["server transactions"] == 0
    outputs = agent.drain()
    assert all(isinstance(one, Send) and one.destination == SOURCE for one in outputs)
    return [one.data for one in outputs if isinstance(one, Send)]


def test_a_request_is_answered_where_it_came_from() -> None:
    (answer,) = told(HEAD)
    assert answer.startswith(b"SIP/2.0 400 Wrong Content-Length\r\n")


def test_what_would_be_a_good_request_elsewhere_is_still_refused() -> None:
    (answer,) = told(HEAD.replace(b"Content-Length: 99\r\n", b""))
    assert answer.startswith(b"SIP/2.0 400 ")


def test_nobody_answers_a_response_or_an_ack_or_noise() -> None:
    ack = HEAD.replace(b"INVITE", b"ACK")
    response = HEAD.replace(b"INVITE sip:100@192.0.2.1 SIP/2.0", b"SIP/2.0 200 OK")
    for head in (ack, response, b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"):
        assert told(head) == []


@given(st.integers(0, len(HEAD) - 1), st.binary(max_size=8), st.integers(0, 20))
def test_nothing_in_it_raises(place: int, noise: bytes, cut: int) -> None:
    assert len(told(HEAD[:place] + noise + HEAD[place + cut :])) <= 1
