"""Who calls and whom for, from headers good, bad and hostile."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.sip import (
    Diverted,
    Invitation,
    ParseError,
    Request,
    Send,
    Settings,
    UserAgent,
    caller_identity,
    diversions,
    identity_headers,
    parse_message,
)
from trunkline.sip.testing import OFFER

PAI = '"Ann Lee" <sip:+1-555-0100@carrier.example;user=phone>'


def invite(*headers: tuple[str, str], caller: str = "<sip:4711@pbx>") -> Request:
    base = [("Via", "SIP/2.0/UDP h;branch=z9hG4bK1"), ("From", f"{caller};tag=1"),
            ("To", "<sip:shop@h>"), ("Call-ID", "c"), ("CSeq", "1 INVITE")]  # fmt: skip
    parsed = parse_message(bytes(Request("INVITE", "sip:shop@h", [*base, *headers])))
    assert isinstance(parsed, Request)
    return parsed


def test_an_assertion_counts_only_from_who_is_trusted() -> None:
    request = invite(("P-Asserted-Identity", f"{PAI}, <tel:+15550100>"))
    trusted = caller_identity(request, trusted=True)
    assert (trusted.number, trusted.display) == ("+15550100", "Ann Lee")
    assert trusted.source == "P-Asserted-Identity" and not trusted.private
    stranger = caller_identity(request)
    assert (stranger.number, stranger.source) == ("4711", "From")


def test_the_older_header_counts_where_there_is_no_newer() -> None:
    rpid = '"A" <sip:100@h>;party=called, "B" <sip:200@h>;party=calling;privacy=full;screen=yes'
    identity = caller_identity(invite(("Remote-Party-ID", rpid)), trusted=True)
    assert (identity.number, identity.source, identity.private) == ("200", "Remote-Party-ID", True)
    both = invite(("Remote-Party-ID", rpid), ("P-Asserted-Identity", PAI))
    assert caller_identity(both, trusted=True).source == "P-Asserted-Identity"


@pytest.mark.parametrize(
    ("privacy", "caller", "private"),
    [
        ("id", "<sip:1@h>", True),
        ("header; user", "<sip:1@h>", True),
        ("none", "<sip:1@h>", False),
        ("id;none", "<sip:1@h>", False),
        ("", "<sip:1@h>", False),
        ("session", "<sip:1@h>", False),
        ("", '"Anonymous" <sip:anonymous@anonymous.invalid>', True),
        ("", "<sip:Unavailable@h>", True),
    ],
)
def test_a_wish_for_privacy_is_seen(privacy: str, caller: str, private: bool) -> None:
    headers = [("Privacy", privacy)] if privacy else []
    assert caller_identity(invite(*headers, caller=caller)).private is private


@pytest.mark.parametrize(
    "value",
    ["<sip:+15550100;verstat=TN-Validation-Passed@h;user=phone>",
     "<tel:+15550100;verstat=TN-Validation-Passed>",
     "<sip:+15550100@h>;verstat=TN-Validation-Passed"],
)  # fmt: skip
def test_the_networks_verdict_on_the_signature_is_read(value: str) -> None:
    identity = caller_identity(invite(("P-Asserted-Identity", value)), trusted=True)
    assert (identity.number, identity.verified) == ("+15550100", "TN-Validation-Passed")


def test_what_cannot_be_read_is_passed_over() -> None:
    request = invite(("P-Asserted-Identity", "<<<"), ("P-Asserted-Identity", PAI))
    assert caller_identity(request, trusted=True).number == "+15550100"
    other = caller_identity(invite(caller="<http://www.example.com>"), trusted=True)
    assert (other.uri, other.number, other.source) == ("http://www.example.com", "", "From")


def test_diversions_come_the_latest_first() -> None:
    old = invite(
        ("Diversion", '"Bo" <sip:200@h>;reason=user-busy;counter=2'),
        ("Diversion", "<sip:100@h>;reason=unconditional;counter=junk, <oops"),
    )
    assert diversions(old) == [
        Diverted("sip:200@h", "user-busy", 2), Diverted("sip:100@h", "unconditional", 1)
    ]  # fmt: skip
    new = invite(
        ("History-Info", "<sip:100@h?Reason=SIP%3Bcause%3D302>;index=1"),
        ("History-Info", "<sip:200@h;cause=486>;index=1.1, <sip:300@h>;index=1.1.1"),
    )
    assert diversions(new) == [Diverted("sip:200@h;cause=486", "486"), Diverted("sip:100@h", "302")]
    assert diversions(invite()) == []
    assert len(diversions(invite(*[("Diversion", "<sip:1@h>")] * 200))) == 16


def test_identities_are_written_so_that_they_can_be_read() -> None:
    headers = identity_headers(
        ["sip:+15550100@us.example", "tel:+15550100"], display='Ann "A" Lee', privacy=["id"],
        diverted=[Diverted("sip:200@h", "no-answer", 3)], extra={"P-Charging-Vector": "icid=1"},
    )  # fmt: skip
    request = invite(*headers)
    identity = caller_identity(request, trusted=True)
    assert (identity.display, identity.number, identity.private) == (
        'Ann "A" Lee',
        "+15550100",
        True,
    )
    assert diversions(request) == [Diverted("sip:200@h", "no-answer", 3)]
    assert len(request.values("p-asserted-identity")) == 2
    with pytest.raises(ParseError):
        identity_headers(["not an address"])
    with pytest.raises(ParseError):
        identity_headers(diverted=[Diverted("nor this")])


def test_a_signed_identity_goes_through_byte_for_byte() -> None:
    signed = (
        "eyJhbGciOiJFUzI1NiIsInBwdCI6InNoYWtlbiIsInR5cCI6InBhc3Nwb3J0In0=.e30=.a-_b=="
        ';info=<https://cert.example/passport.pem?x=1,2>;alg=ES256;ppt="shaken"'
    )
    came = invite(("Identity", signed))
    agent = UserAgent(Settings("192.0.2.1"), random.Random(1))
    passed_on = [("Identity", came.get("identity") or "")]
    agent.invite(Invitation("sip:b@192.0.2.9", "sip:a@192.0.2.1", OFFER, passed_on), 0.0)
    (send,) = (output for output in agent.drain() if isinstance(output, Send))
    assert b"\r\nIdentity: " + signed.encode() + b"\r\n" in send.data


HEADERS = ["P-Asserted-Identity", "Remote-Party-ID", "Privacy", "Diversion", "History-Info"]


@given(st.text(max_size=60), st.sampled_from(HEADERS))
def test_no_header_can_make_it_fail(text: str, name: str) -> None:
    message = Request("INVITE", "sip:h", [("From", "<sip:a@h>;tag=1"), (name, text)])
    caller_identity(message, trusted=True)
    diversions(message)
