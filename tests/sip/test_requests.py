"""What a user agent answers to requests, one raw datagram at a time."""

import random

import pytest

from trunkline.sip import (
    Acked,
    Cancelled,
    DigitReceived,
    Hop,
    Invited,
    Request,
    Response,
    Send,
    Session,
    Settings,
    Terminated,
    UserAgent,
    parse_message,
)
from trunkline.sip.testing import ANSWER, HOLD, OFFER

SOURCE = ("198.51.100.7", 40000)


class Bench:
    """A user agent, a clock, and a peer made of text."""

    def __init__(self, **settings: object) -> None:
        self.agent = UserAgent(Settings("192.0.2.1", **settings), random.Random(1))  # type: ignore
        self.now = 0.0

    def give(self, data: bytes | str) -> list[Response]:
        """Feed a datagram; the responses to it."""
        data = data.encode() if isinstance(data, str) else data
        self.agent.receive(data, SOURCE, self.now)
        return self.responses()

    def responses(self) -> list[Response]:
        self.events = [output for output in self.agent.outputs if not isinstance(output, Send)]
        sends = [output for output in self.agent.drain() if isinstance(output, Send)]
        self.sent = [parse_message(output.data) for output in sends]
        self.destinations = [output.destination.address for output in sends]
        return [message for message in self.sent if isinstance(message, Response)]

    def codes(self, data: bytes | str) -> list[int]:
        return [response.code for response in self.give(data)]

    def session(self) -> Session:
        (session,) = self.agent.sessions.values()
        return session

    def answered(self) -> str:
        """A call that is up; the tag we gave it."""
        self.give(message("INVITE", body=OFFER))
        self.agent.accept(self.session(), ANSWER, self.now)
        (ok,) = self.responses()
        self.give(message("ACK", to_tag=ok.to.tag, branch="a"))
        assert self.session().is_confirmed
        return ok.to.tag


def message(
    method: str,
    *,
    number: int = 1,
    branch: str = "1",
    to_tag: str = "",
    extra: str = "",
    body: bytes = b"",
    kind: str = "application/sdp",
    uri: str = "sip:us@192.0.2.1",
    call_id: str = "c1",
    via: str = "203.0.113.9:5062",
) -> bytes:
    tag = f";tag={to_tag}" if to_tag else ""
    content = f"Content-Type: {kind}\r\n" if body else ""
    cookie = "z9hG4bK" if branch else ""
    head = (
        f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {via};branch={cookie}{branch}\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:peer@h>;tag=p\r\nTo: <sip:us@192.0.2.1>{tag}\r\n"
        f"Call-ID: {call_id}\r\nCSeq: {number} {method}\r\nContact: <sip:peer@203.0.113.9:5062>\r\n"
        f"{extra}{content}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def test_an_invite_is_tried_at_once_and_reported() -> None:
    bench = Bench()
    (trying,) = bench.give(message("INVITE", body=OFFER))
    assert trying.code == 100
    assert trying.to.tag == ""
    (invited,) = bench.events
    assert isinstance(invited, Invited)
    assert bytes(invited.offer or b"") == OFFER


def test_answers_go_to_the_source_and_say_what_it_was() -> None:
    bench = Bench()
    (answer,) = bench.give(message("OPTIONS"))
    assert bench.destinations == [SOURCE]
    assert answer.via.parameters["received"] == SOURCE[0]


def test_answers_go_to_the_via_port_when_told_to_be_strict() -> None:
    bench = Bench(force_rport=False)
    bench.give(message("OPTIONS"))
    assert bench.destinations == [(SOURCE[0], 5062)]
    bench.give(message("OPTIONS", branch="2;rport", number=2))
    assert bench.destinations == [SOURCE]


def test_options_say_what_we_can_do() -> None:
    (answer,) = Bench().give(message("OPTIONS"))
    assert answer.code == 200
    assert answer.to.tag
    for name in ("Allow", "Accept", "Accept-Encoding", "Accept-Language", "Supported"):
        assert answer.get(name) is not None
    assert "INVITE" in answer.values("allow")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (message("REGISTER"), 405),
        (message("UPDATE"), 481),
        (message("FROBNICATE"), 501),
        (message("invite"), 501),
        (message("BYE"), 481),
        (message("BYE", to_tag="x"), 481),
        (message("INFO"), 481),
        (message("INVITE", to_tag="x", body=OFFER), 481),
        (message("CANCEL"), 481),
        (message("INVITE", uri="http://x", body=OFFER), 416),
        (message("INVITE", uri="sip:a@@b", body=OFFER), 400),
        (message("INVITE", extra="Require: tomorrow, 100rel, nothing\r\n", body=OFFER), 420),
        (message("INVITE", body=b"x", kind="text/html"), 415),
        (message("INVITE", body=OFFER, extra="Content-Encoding: gzip\r\n"), 415),
        (message("INVITE", body=b"v=0\r\nrubbish"), 400),
        (message("INVITE", body=OFFER, extra="Contact: <sip:second@h>\r\n"), 400),
        (message("INVITE", body=OFFER).replace(b"SIP/2.0\r\n", b"SIP/3.0\r\n", 1), 505),
        (message("INVITE", body=OFFER)[:-10], 400),
        (message("INVITE", body=OFFER, extra="Record-Route: <http://x>\r\n"), 400),
        (message("OPTIONS", uri="tel:+1555"), 200),
        (message("OPTIONS").replace(b"Max-Forwards: 70", b"Max-Forwards: 0"), 200),
        (message("INVITE", body=OFFER).replace(b"Max-Forwards: 70", b"Max-Forwards: 0"), 483),
    ],
)
def test_requests_get_the_status_the_rfc_gives_them(data: bytes, code: int) -> None:
    bench = Bench()
    (answer,) = bench.give(data)
    assert answer.code == code
    assert not bench.events
    if code in (405, 501):
        assert answer.get("allow")
    if code == 420:
        assert answer.get("unsupported") == "tomorrow, nothing"
    if code >= 300:
        assert bench.agent.counters[f"refused-{code}"] == 1
        assert answer.to.tag


def test_an_optional_body_is_passed_over_and_a_part_of_several_is_found() -> None:
    bench = Bench()
    extra = "Content-Disposition: session;handling=optional\r\n"
    assert bench.codes(message("INVITE", body=b"x", kind="a/b", extra=extra)) == [100]
    body = (
        b"--x\r\nContent-Type: a/b\r\n\r\n1\r\n--x\r\nC: application/sdp\r\n\r\n" + OFFER + b"--x--"
    )
    kind = 'multipart/mixed; boundary="x"'
    bench.give(message("INVITE", branch="2", call_id="c2", body=body, kind=kind))
    (invited,) = bench.events
    assert isinstance(invited, Invited)
    assert invited.offer is not None
    for bad in ("multipart/mixed", "multipart/mixed;boundary=nope"):
        assert bench.codes(message("INVITE", branch=bad[-4:], call_id=bad[-3:], body=body,
                                   kind=bad)) == [415]  # fmt: skip


def test_an_ack_is_never_answered() -> None:
    bench = Bench()
    assert bench.codes(message("ACK")) == []
    assert bench.codes(message("ACK", to_tag="x", uri="http://x")) == []
    assert bench.codes(message("ACK").replace(b"CSeq: 1", b"CSeq: x")) == []
    assert bench.codes(message("ACK", extra="Require: x\r\n")) == []
    assert bench.agent.counters["ack-stray"] == 3
    assert bench.agent.counters["malformed"] == 1


def test_a_repeated_invite_gets_the_same_answer_and_no_second_call() -> None:
    bench = Bench()
    invite = message("INVITE", body=OFFER)
    bench.give(invite)
    bench.agent.ring(bench.session(), 0)
    (ringing,) = bench.responses()
    (again,) = bench.give(invite)
    assert bytes(again) == bytes(ringing)
    assert not bench.events


def test_the_same_request_on_another_path_is_a_loop() -> None:
    bench = Bench()
    bench.give(message("INVITE", body=OFFER))
    assert bench.codes(message("INVITE", branch="2", body=OFFER)) == [482]
    assert len(bench.agent.sessions) == 1


def test_a_cancel_is_matched_by_branch_even_if_the_proxy_renamed_itself() -> None:
    bench = Bench()
    bench.give(message("INVITE", body=OFFER))
    codes = bench.codes(message("CANCEL", via="203.0.113.77"))
    assert codes == [200, 487]
    assert [type(event) for event in bench.events] == [Cancelled, Terminated]


def test_a_cancel_of_another_branch_is_not_for_us() -> None:
    bench = Bench()
    bench.give(message("INVITE", body=OFFER))
    assert bench.codes(message("CANCEL", branch="2")) == [481]
    assert len(bench.agent.sessions) == 1


def test_a_cancel_after_the_answer_changes_nothing() -> None:
    bench = Bench()
    bench.give(message("INVITE", body=OFFER))
    bench.agent.accept(bench.session(), ANSWER, 0)
    bench.responses()
    assert bench.codes(message("CANCEL")) == [200]
    assert not bench.session().is_terminated


def test_an_old_peer_without_branches_can_call_and_cancel() -> None:
    bench = Bench()
    assert bench.codes(message("INVITE", branch="", body=OFFER)) == [100]
    assert bench.codes(message("CANCEL", branch="")) == [200, 487]
    assert bench.codes(message("ACK", branch="")) == []
    bench.agent.tick(1e4)
    assert not any(bench.agent.live.values())


def test_an_answer_carries_the_route_our_contact_and_the_session() -> None:
    bench = Bench()
    route = "Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\n"
    bench.give(message("INVITE", body=OFFER, extra=route))
    bench.agent.accept(bench.session(), ANSWER, 0)
    (ok,) = bench.responses()
    assert ok.get("record-route") == "<sip:p1;lr>, <sip:p2;lr>"
    assert ok.get("contact") == "<sip:192.0.2.1:5060>"
    assert ok.body == ANSWER
    bench.give(message("ACK", to_tag=ok.to.tag, branch="a"))
    bench.agent.bye(bench.session(), 0)
    bench.responses()
    (bye,) = bench.sent
    assert isinstance(bye, Request)
    assert bye.values("route") == ["<sip:p1;lr>", "<sip:p2;lr>"]
    assert bench.destinations == [("p1", 0)]  # its records say the port


def test_in_a_dialog_numbers_must_rise_and_tags_must_fit() -> None:
    bench = Bench()
    tag = bench.answered()
    assert bench.codes(message("BYE", number=1, branch="b", to_tag=tag)) == [500]
    assert bench.codes(message("BYE", number=2, branch="c", to_tag="other")) == [481]
    other = message("BYE", number=2, branch="d", to_tag=tag).replace(b"tag=p", b"tag=q")
    assert bench.codes(other) == [481]
    assert bench.codes(message("OPTIONS", number=4, branch="e", to_tag=tag)) == [200]
    assert bench.codes(message("BYE", number=9, branch="f", to_tag=tag)) == [200]
    assert bench.codes(message("BYE", number=9, branch="f", to_tag=tag)) == [200]
    assert bench.codes(message("BYE", number=10, branch="g", to_tag=tag)) == [481]


def test_a_second_invite_while_one_is_open_is_500_with_retry_after() -> None:
    bench = Bench()
    bench.give(message("INVITE", body=OFFER))
    bench.agent.ring(bench.session(), 0)
    (ringing,) = bench.responses()
    second = message("INVITE", number=2, branch="2", to_tag=ringing.to.tag, body=HOLD)
    (answer,) = bench.give(second)
    assert answer.code == 500
    assert 0 <= int(answer.get("retry-after") or "x") <= 10


def test_a_change_that_cannot_be_read_is_refused_and_the_call_stays() -> None:
    bench = Bench()
    tag = bench.answered()
    unreadable = message("INVITE", number=2, branch="b", to_tag=tag, body=b"v=9")
    assert bench.codes(unreadable) == [400]
    assert bench.codes(unreadable) == [400]  # the same answer when it was lost
    bench.give(message("INVITE", number=3, branch="c", to_tag=tag, body=HOLD))
    assert bench.codes(message("CANCEL", number=3, branch="c", to_tag=tag)) == [200, 487]
    assert not bench.agent.answer_reinvite(bench.session(), ANSWER, 0)
    assert bench.session().is_confirmed


def test_a_change_without_an_offer_gets_ours_and_its_answer_comes_in_the_ack() -> None:
    bench = Bench()
    tag = bench.answered()
    bench.give(message("INVITE", number=2, branch="b", to_tag=tag))
    bench.agent.answer_reinvite(bench.session(), OFFER, 0)
    bench.responses()
    assert bench.codes(message("INVITE", number=3, branch="c", to_tag=tag, body=HOLD)) == [491]
    bench.give(message("ACK", number=2, branch="d", to_tag=tag, body=HOLD))
    (acked,) = bench.events
    assert isinstance(acked, Acked)
    assert acked.answer is not None
    assert bench.session().held_by_them


def test_an_unreadable_answer_in_an_ack_is_reported_as_none() -> None:
    bench = Bench()
    bench.give(message("INVITE"))
    bench.agent.accept(bench.session(), OFFER, 0)
    (ok,) = bench.responses()
    bench.give(message("ACK", branch="a", to_tag=ok.to.tag, body=b"rubbish"))
    assert isinstance(bench.events[0], Acked)
    assert bench.events[0].answer is None
    assert bench.agent.counters["answer-unreadable"] == 1


def test_a_bye_before_the_answer_ends_the_call() -> None:
    bench = Bench()
    bench.give(message("INVITE", body=OFFER))
    bench.agent.ring(bench.session(), 0)
    (ringing,) = bench.responses()
    codes = bench.codes(message("BYE", number=2, branch="b", to_tag=ringing.to.tag))
    assert codes == [200, 487]
    assert [type(event).__name__ for event in bench.events] == ["ByeReceived", "Terminated"]


@pytest.mark.parametrize(
    ("kind", "body", "digit", "milliseconds"),
    [
        ("application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n", "5", 160),
        ("application/dtmf-relay", b"Signal= 11\nDuration= x", "#", 0),
        ("application/dtmf-relay", b"signal=a", "A", 0),
        ("application/dtmf", b"*", "*", 0),
        ("application/dtmf", b"10", "*", 0),
    ],
)
def test_digits_come_in_info(kind: str, body: bytes, digit: str, milliseconds: int) -> None:
    bench = Bench()
    tag = bench.answered()
    info = message("INFO", number=2, branch="i", to_tag=tag, body=body, kind=kind)
    assert bench.codes(info) == [200]
    (event,) = bench.events
    assert isinstance(event, DigitReceived)
    assert (event.digit, event.duration_ms) == (digit, milliseconds)


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [("text/plain", b"5", 415), ("application/dtmf", b"\xff\xfe", 200), ("x/y", b"", 200),
     ("application/dtmf-relay", b"Signal=55", 200)],
)  # fmt: skip
def test_other_infos_are_no_digits(kind: str, body: bytes, code: int) -> None:
    bench = Bench()
    tag = bench.answered()
    info = message("INFO", number=2, branch="i", to_tag=tag, body=body, kind=kind)
    assert bench.codes(info) == [code]
    assert not bench.events


def test_a_flood_is_answered_503_and_costs_no_memory() -> None:
    bench = Bench(max_transactions=5)
    for number in range(50):
        bench.give(message("INVITE", branch=str(number), call_id=str(number), body=OFFER))
    assert bench.agent.live["server transactions"] == 5
    assert bench.agent.counters["refused-503"] == 45
    assert bench.codes(message("OPTIONS", branch="x")) == [503]


def test_keep_alives_and_garbage_are_dropped_and_counted() -> None:
    bench = Bench()
    assert bench.codes(b"") == []
    assert bench.codes(b"\0\0\0\0") == []
    assert bench.codes(b"\x00\x01\x00\x08!\x12\xa4B" + b"x" * 20) == []
    assert bench.codes(b"hello") == []
    assert bench.agent.counters == {"keep-alive": 2, "malformed": 2}
    bench.agent.receive(b"\r\n\r\n", SOURCE, 0)
    assert bench.agent.drain() == [Send(b"\r\n", Hop(*SOURCE))]


def test_responses_to_nothing_are_dropped_and_counted() -> None:
    bench = Bench()
    stray = message("OPTIONS").replace(b"OPTIONS sip:us@192.0.2.1 SIP/2.0", b"SIP/2.0 200 OK")
    assert bench.codes(stray) == []
    assert bench.codes(stray.replace(b"CSeq: 1", b"CSeq: -1")) == []
    assert bench.agent.counters == {"response-stray": 1, "malformed": 1}


def test_a_header_with_a_line_break_cannot_be_put_into_an_answer() -> None:
    bench = Bench()
    bench.give(message("INVITE", body=OFFER))
    for options in ({"reason": "a\r\nb"}, {"headers": [("X", "a\nb")]}):
        with pytest.raises(Exception, match="line break"):
            bench.agent.reject(bench.session(), 486, 0, **options)  # type: ignore[arg-type]
    assert bench.agent.reject(bench.session(), 486, 0)
