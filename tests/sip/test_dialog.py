"""Dialogs: tags, route sets, counters, targets."""

import pytest

from trunkline.sip.dialog import Dialog
from trunkline.sip.errors import ParseError
from trunkline.sip.message import Request, Response, parse_message

BASE = (
    "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\n"
    "From: Al <{caller}>;tag=aa\r\nTo: <sip:bo@b.example>{tag}\r\n"
    "Call-ID: c1\r\nCSeq: 7 INVITE\r\n{rest}\r\n"
)
ROUTES = "Record-Route: <sip:p1.example;lr>, <sip:p2.example:5070;lr>\r\n"
CONTACT = "Contact: <sip:al@192.0.2.9:5080>\r\n"


def invite(rest: str = CONTACT, caller: str = "sip:al@a.example") -> Request:
    message = parse_message(f"INVITE sip:bo@b.example SIP/2.0\r\n{BASE}".format(
        tag="", rest=rest, caller=caller).encode())  # fmt: skip
    assert isinstance(message, Request)
    return message


def ok(rest: str) -> Response:
    message = parse_message(
        f"SIP/2.0 200 OK\r\n{BASE}".format(
            tag=";tag=bb", rest=rest, caller="sip:al@a.example"
        ).encode()
    )
    assert isinstance(message, Response)
    return message


def test_the_called_side_visits_the_routes_in_their_order() -> None:
    dialog = Dialog.from_request(invite(CONTACT + ROUTES), "bb")
    request = dialog.request("BYE")
    assert request.uri == "sip:al@192.0.2.9:5080"
    assert request.values("route") == ["<sip:p1.example;lr>", "<sip:p2.example:5070;lr>"]
    assert dialog.next_hop.address == ("p1.example", 0)
    assert request.get("from") == "<sip:bo@b.example>;tag=bb"
    assert request.get("to") == '"Al" <sip:al@a.example>;tag=aa'
    assert request.cseq.number == 1


def test_the_calling_side_visits_the_routes_backwards() -> None:
    dialog = Dialog.from_response(invite(), ok("Contact: <sip:bo@192.0.2.8>\r\n" + ROUTES))
    request = dialog.request("BYE")
    assert request.values("route") == ["<sip:p2.example:5070;lr>", "<sip:p1.example;lr>"]
    assert dialog.next_hop.address == ("p2.example", 5070)
    assert (request.from_.tag, request.to.tag) == ("aa", "bb")
    assert request.cseq.number == 8


def test_a_strict_router_becomes_the_request_uri() -> None:
    routes = "Record-Route: <sip:strict.example;x=1>\r\nRecord-Route: <sip:p2.example;lr>\r\n"
    dialog = Dialog.from_request(invite(CONTACT + routes), "bb")
    request = dialog.request("BYE")
    assert request.uri == "sip:strict.example;x=1"
    assert request.values("route") == ["<sip:p2.example;lr>", "<sip:al@192.0.2.9:5080>"]
    assert dialog.next_hop.address == ("strict.example", 0)


def test_without_routes_requests_go_to_the_contact() -> None:
    assert Dialog.from_request(invite(), "bb").next_hop.address == ("192.0.2.9", 5080)


@pytest.mark.parametrize(
    "rest",
    ["Contact: *\r\n", "Contact: <sip:a>, <sip:b>\r\n", "Contact: <http://x>\r\n",
     "Contact: <tel:+1555>\r\n", "Contact: <sip:a b@c>\r\n",
     CONTACT + "Record-Route: <what>\r\n", CONTACT + "Record-Route: <sip:p;lr>," * 2 + " x y\r\n",
     CONTACT + "Record-Route: <sip:p;lr>\r\n" * 65],
)  # fmt: skip
def test_an_invite_nothing_can_be_sent_back_to_is_refused(rest: str) -> None:
    with pytest.raises(ParseError):
        Dialog.from_request(invite(rest), "bb")


def test_an_invite_without_a_contact_is_answered_to_its_from() -> None:
    dialog = Dialog.from_request(invite(""), "bb")
    assert dialog.remote_target == invite("").from_.uri
    with pytest.raises(ParseError):
        Dialog.from_request(invite("", caller="tel:+1555"), "bb")


def test_a_2xx_without_contact_means_the_address_that_was_called() -> None:
    assert Dialog.from_response(invite(), ok("")).remote_target == "sip:bo@b.example"


def test_their_requests_must_count_up() -> None:
    dialog = Dialog.from_request(invite(), "bb")
    assert not dialog.accept_sequence(7)
    assert dialog.accept_sequence(9)
    assert not dialog.accept_sequence(8)
    ours = Dialog.from_response(invite(), ok(""))
    assert ours.accept_sequence(0)


def test_an_ack_repeats_its_invites_number_and_does_not_count() -> None:
    dialog = Dialog.from_response(invite(), ok(""))
    assert dialog.request("ACK", sequence=7).cseq.number == 7
    assert dialog.request("INVITE").cseq.number == 8
    assert dialog.request("BYE").cseq.number == 9


def test_the_target_follows_a_new_contact_and_survives_a_bad_one() -> None:
    dialog = Dialog.from_request(invite(), "bb")
    dialog.refresh_target(ok("Contact: <sip:new@192.0.2.77>\r\n"))
    assert dialog.next_hop.address == ("192.0.2.77", 5060)
    dialog.refresh_target(ok("Contact: *\r\n"))
    assert dialog.remote_target == "sip:new@192.0.2.77"


def test_a_peer_without_a_tag_gets_none_back() -> None:
    request = parse_message(bytes(invite()).replace(b";tag=aa", b""))
    assert isinstance(request, Request)
    assert "tag" not in (Dialog.from_request(request, "bb").request("BYE").get("to") or "")
