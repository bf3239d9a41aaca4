"""Messages as carriers, phones and vandals write them."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import UsageError
from trunkline.sip.errors import ParseError
from trunkline.sip.message import Request, Response, parse_message

INVITE = (
    b"INVITE sip:+15551234@192.0.2.1:5060;user=phone SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 203.0.113.5:5060;branch=z9hG4bK1;rport\r\n"
    b"Via: SIP/2.0/UDP 203.0.113.6;branch=z9hG4bK0;received=203.0.113.7\r\n"
    b"Record-Route: <sip:203.0.113.5;lr>, <sip:203.0.113.6;lr>\r\n"
    b'From: "Alice" <sip:+15550000@carrier.example>;tag=abc\r\n'
    b"To: <sip:+15551234@192.0.2.1>\r\n"
    b"Call-ID: 1@203.0.113.6\r\n"
    b"CSeq: 1 INVITE\r\n"
    b"Max-Forwards: 68\r\n"
    b"Contact: <sip:alice@203.0.113.6:5070>\r\n"
    b"Content-Type: application/sdp\r\n"
    b"Content-Length: 4\r\n"
    b"\r\n"
    b"body"
)


def request(data: bytes = INVITE) -> Request:
    message = parse_message(data)
    assert isinstance(message, Request)
    return message


def refused(data: bytes) -> ParseError:
    with pytest.raises(ParseError) as caught:
        parse_message(data)
    return caught.value


def test_a_request_is_taken_apart() -> None:
    message = request()
    assert (message.method, message.parsed_uri.number) == ("INVITE", "+15551234")
    assert message.via.branch == "z9hG4bK1"
    assert message.from_.tag == "abc"
    assert message.to.tag == ""
    assert message.call_id == "1@203.0.113.6"
    assert str(message.cseq) == "1 INVITE"
    assert message.contact is not None
    assert message.contact.uri == "sip:alice@203.0.113.6:5070"
    assert [route.uri for route in message.addresses("record-route")] == [
        "sip:203.0.113.5;lr",
        "sip:203.0.113.6;lr",
    ]
    assert message.content_type == "application/sdp"
    assert message.body == b"body"


def test_a_message_is_written_as_it_was_read() -> None:
    assert bytes(request()) == INVITE


def test_short_names_folded_lines_bare_line_feeds_and_any_case_are_read() -> None:
    message = request(
        b"\r\n\r\nINVITE sip:h SIP/2.0\n"
        b"v: SIP/2.0/UDP a;branch=z9hG4bK1,\n SIP/2.0/UDP b\n"
        b"F :\n\t<sip:x>\n ;tag=1\n"
        b"t: sip:y\nI: id\ncSEQ:\t5  \r\n INVITE\nm: sip:c\n\nxyz"
    )
    assert message.values("Via") == ["SIP/2.0/UDP a;branch=z9hG4bK1", "SIP/2.0/UDP b"]
    assert message.from_.tag == "1"
    assert message.cseq.number == 5
    assert message.body == b"xyz"  # no Content-Length on a datagram: to its end


def test_what_follows_the_content_length_is_discarded() -> None:
    assert request(INVITE + b"trailing").body == b"body"


def test_a_response_is_taken_apart() -> None:
    data = INVITE.replace(b"INVITE sip:+15551234@192.0.2.1:5060;user=phone SIP/2.0",
                          b"SIP/2.0 486 Besetzt, \xc3\xbc", 1)  # fmt: skip
    message = parse_message(data)
    assert isinstance(message, Response)
    assert (message.code, message.reason) == (486, "Besetzt, ü")
    assert bytes(message) == data


def test_headers_are_a_read_only_mapping() -> None:
    view = request().header_view
    assert view["call-ID"] == "1@203.0.113.6"
    assert view["via"].count("SIP/2.0/UDP") == 2
    assert "X-Nothing" not in view
    assert 7 not in view
    assert len(view) == len(list(view)) == 10
    with pytest.raises(KeyError):
        view["nothing"]


def test_an_answer_copies_what_belongs_to_the_request() -> None:
    response = request().response(180, to_tag="xyz", headers=[("X-A", "b")])
    assert response.reason == "Ringing"
    assert list(response.all("via")) == list(request().all("via"))
    assert response.get("to") == "<sip:+15551234@192.0.2.1>;tag=xyz"
    assert response.get("record-route") is not None
    assert response.get("x-a") == "b"
    assert parse_message(bytes(response)) is not None


def test_trying_has_no_tag_and_no_route() -> None:
    response = request(INVITE.replace(b"Max-F", b"Timestamp: 54\r\nMax-F")).response(
        100, to_tag="x"
    )
    assert response.to.tag == ""
    assert response.get("timestamp") == "54"
    assert response.get("record-route") is None


def test_a_refusal_has_a_tag_but_no_route() -> None:
    response = request().response(486, to_tag="x")
    assert response.to.tag == "x"
    assert response.get("record-route") is None


def test_the_source_is_written_into_the_top_via_only() -> None:
    message = request()
    message.note_source(("198.51.100.9", 33000))
    assert message.via.parameters["rport"] == "33000"
    vias = message.response(200).values("via")
    assert (
        vias[0] == "SIP/2.0/UDP 203.0.113.5:5060;branch=z9hG4bK1;rport=33000;received=198.51.100.9"
    )
    assert vias[1] == "SIP/2.0/UDP 203.0.113.6;branch=z9hG4bK0;received=203.0.113.7"


def test_the_source_is_noted_without_rport_only_when_it_differs() -> None:
    message = request(INVITE.replace(b";rport", b""))
    message.note_source(("203.0.113.5", 9))
    assert "received" not in message.via.parameters
    message.note_source(("203.0.113.99", 9))
    assert message.via.parameters["received"] == "203.0.113.99"
    assert "rport" not in message.via.parameters


@pytest.mark.parametrize("name", [b"Via", b"From", b"To", b"Call-ID", b"CSeq"])
def test_a_missing_mandatory_header_is_400_and_the_rest_is_kept(name: bytes) -> None:
    lines = [line for line in INVITE.split(b"\r\n") if not line.startswith(name + b":")]
    error = refused(b"\r\n".join(lines))
    assert error.code == 400
    assert error.message.method == "INVITE"
    answer = error.message.response(error.code, error.reason, to_tag="t")
    assert bytes(answer).startswith(b"SIP/2.0 400 Missing ")


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (b"SIP/2.0\r\nVia", b"SIP/7.0\r\nVia", 505),
        (b"user=phone SIP", b"user=phone x SIP", 400),
        (b"sip:+15551234@192.0.2.1:5060;user=phone", b"<sip:a@b>", 400),
        (b"CSeq: 1 INVITE", b"CSeq: 1 BYE", 400),
        (b"CSeq: 1 INVITE", b"CSeq: 36893488147419103232 INVITE", 400),
        (b"Max-Forwards: 68", b"Max-Forwards: 300", 400),
        (b"Max-Forwards: 68", b"Max-Forwards: -1", 400),
        (b"Max-Forwards: 68", b"no colon here", 400),
        (b"Max-Forwards: 68", b"Bad Name: x", 400),
        (b"Max-Forwards: 68", b"X: a\rb", 400),
        (b"Content-Length: 4", b"Content-Length: 5", 400),
        (b"Content-Length: 4", b"Content-Length: -4", 400),
        (b"Content-Length: 4", b"Content-Length: four", 400),
        (b"Content-Length: 4", b"Content-Length: 4\r\nl: 4", 400),
        (b"To: <sip:+15551234@192.0.2.1>", b"To: <sip:a>\r\nTo: <sip:b>", 400),
        (b"Call-ID: 1@203.0.113.6", b"Call-ID:", 400),
        (b"\r\n\r\nbody", b"", 400),
        (b"Via: SIP/2.0/UDP 203.0.113.5:5060", b"Via: SIP/2.0/UDP", 400),
    ],
)
def test_what_is_wrong_with_a_request_has_a_status(old: bytes, new: bytes, code: int) -> None:
    assert old in INVITE
    error = refused(INVITE.replace(old, new, 1))
    assert error.code == code
    assert error.message.method == "INVITE"


@pytest.mark.parametrize(
    "data",
    [b"", b"\r\n", b"hello", b"GET / HTTP/1.1\r\n\r\n", b"\x00\x01\x00\x00!\x12\xa4B", b"SIP/2.0",
     b"SIP/2.0 99 x\r\n\r\n", b"SIP/2.0 4294967301 x\r\n\r\n", b"SIP/2.0 20\xc2\xb2 OK\r\n\r\n",
     b"(INVITE sip:h SIP/2.0\r\n\r\n"],
)  # fmt: skip
def test_what_is_not_sip_cannot_be_answered(data: bytes) -> None:
    assert refused(data).message is None


def test_thousands_of_header_lines_are_refused() -> None:
    assert refused(INVITE.replace(b"Max-F", b"X: y\r\n" * 2000 + b"Max-F")).code == 400


def test_a_line_break_in_a_header_is_our_mistake() -> None:
    for value in ("a\r\nEvil: yes", "a\nb", "a\rb"):
        with pytest.raises(UsageError, match="line break"):
            bytes(Request("OPTIONS", "sip:h", [("Subject", value)]))


def test_content_length_is_always_that_of_the_body() -> None:
    message = Request("INFO", "sip:h", [("l", "99"), ("X", "y")], b"abc")
    assert bytes(message) == b"INFO sip:h SIP/2.0\r\nl: 3\r\nX: y\r\n\r\nabc"


VALUE = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=30)


@given(
    st.lists(st.tuples(st.from_regex(r"X-[A-Za-z]{1,9}", fullmatch=True), VALUE), max_size=6),
    st.binary(max_size=50),
)
def test_every_message_survives_being_written_and_read(
    extra: list[tuple[str, str]], body: bytes
) -> None:
    headers = [field for field in request().headers if field[0] != "Content-Length"]
    headers += [(name, value.strip(" \t")) for name, value in extra]
    message = Request("INVITE", "sip:h", headers, body)
    again = parse_message(bytes(message))
    assert again.headers[:-1] == message.headers
    assert (again.body, bytes(again)) == (body, bytes(message))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_a_parse_error(data: bytes) -> None:
    for candidate in (data, INVITE[:40] + data, INVITE[:-4] + data):
        with contextlib.suppress(ParseError):
            assert bytes(parse_message(candidate))
