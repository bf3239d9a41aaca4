"""Via, CSeq, name-addr and the splitting of lists."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.sip.errors import ParseError
from trunkline.sip.headers import (
    CSeq,
    NameAddress,
    Via,
    canonical_name,
    parse_parameters,
    split_values,
)

PRINTABLE = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), max_size=20)
TOKEN = st.from_regex(r"[a-z0-9-]{1,8}", fullmatch=True)
PARAMETERS = st.dictionaries(
    TOKEN, st.none() | TOKEN | PRINTABLE.filter(lambda t: t and t.strip() == t), max_size=3
)


@given(PRINTABLE.filter(lambda text: text.strip() == text), PARAMETERS)
def test_a_name_address_survives_being_written_and_read(
    display: str, parameters: dict[str, str | None]
) -> None:
    address = NameAddress("sip:a@b;x=y", display, parameters)
    assert NameAddress.parse(str(address)) == address


@given(st.sampled_from(["UDP", "TCP", "TLS"]), st.none() | st.integers(1, 65535), PARAMETERS)
def test_a_via_survives_being_written_and_read(
    transport: str, port: int | None, parameters: dict[str, str | None]
) -> None:
    via = Via(transport, "[2001:db8::1]", port, parameters)
    assert Via.parse(str(via)) == via


@given(st.text(max_size=80))
def test_any_text_is_a_header_or_a_parse_error(text: str) -> None:
    for parse in (NameAddress.parse, Via.parse, CSeq.parse, parse_parameters):
        with contextlib.suppress(ParseError):
            parse(text)
    assert isinstance(split_values(text), list)


@pytest.mark.parametrize(
    ("text", "display", "uri", "tag"),
    [
        ('"A. G. Bell" <sip:agb@b.example> ;tag=a48s', "A. G. Bell", "sip:agb@b.example", "a48s"),
        ("sip:+12125551212@h;tag=887s", "", "sip:+12125551212@h", "887s"),
        ("Anonymous <sip:c8@h;tag=inner>;tag=hyh8", "Anonymous", "sip:c8@h;tag=inner", "hyh8"),
        (r'"a \"q\" <x>, y;tag=no" <sip:h>;TAG=yes', 'a "q" <x>, y;tag=no', "sip:h", "yes"),
        ("<sip:h>", "", "sip:h", ""),
        ('""<sip:h>;tag', "", "sip:h", ""),
    ],
)
def test_name_addresses_are_taken_apart(text: str, display: str, uri: str, tag: str) -> None:
    address = NameAddress.parse(text)
    assert (address.display, address.uri, address.tag) == (display, uri, tag)


@pytest.mark.parametrize("text", ["", '"open <sip:h>', "<sip:h", "a b", '"x" sip:h', "<sip:h> x"])
def test_malformed_name_addresses_are_refused(text: str) -> None:
    with pytest.raises(ParseError):
        NameAddress.parse(text)


def test_lists_split_at_commas_that_are_not_quoted_or_bracketed() -> None:
    text = r'"a, \"b" <sip:x,y>;p="1,2", <sip:z>,sip:q'
    assert split_values(text) == [r'"a, \"b" <sip:x,y>;p="1,2"', "<sip:z>", "sip:q"]
    assert split_values('"never closed, a') == ['"never closed, a']
    assert split_values("<never closed, a") == ["<never closed, a"]


def test_via_allows_blanks_around_slashes_and_colons() -> None:
    via = Via.parse("SIP  / 2.0 /udp  host.example : 5070 ; Branch=z9hG4bKx;rport;received=1.2.3.4")
    assert (via.transport, via.host, via.port) == ("UDP", "host.example", 5070)
    assert via.branch == "z9hG4bKx"
    assert via.sent_by == "host.example:5070"
    assert via.parameters["rport"] is None


@pytest.mark.parametrize(
    "text", ["", "SIP/3.0/UDP h", "SIP/2.0/UDP", "SIP/2.0/UDP h:99999", "SIP/2.0/UDP h x", "UDP h"]
)
def test_malformed_vias_are_refused(text: str) -> None:
    with pytest.raises(ParseError):
        Via.parse(text)


@pytest.mark.parametrize("text", ["", "1", "INVITE", "-1 INVITE", "4294967296 A", "²3 A", "1_0 A",
                                  "00000000000001 A", "1 A B"])  # fmt: skip
def test_malformed_cseqs_are_refused(text: str) -> None:
    with pytest.raises(ParseError):
        CSeq.parse(text)


def test_cseq_keeps_the_case_of_its_method() -> None:
    assert CSeq.parse("4294967295   Invite") == CSeq(4294967295, "Invite")
    assert str(CSeq(7, "BYE")) == "7 BYE"


@pytest.mark.parametrize(
    ("name", "canonical"),
    [("v", "via"), ("V", "via"), ("call-id", "call-id"), ("CALL-ID \t", "call-id"), ("X-A", "x-a"),
     ("bad name", ""), ("", ""), ("na@me", "")],
)  # fmt: skip
def test_names_are_found_in_any_case_and_short_form(name: str, canonical: str) -> None:
    assert canonical_name(name) == canonical


@pytest.mark.parametrize(
    "text",
    [" " * 60000, '"' + " " * 60000, "a" * 60000, ";" * 60000, '"\\' * 30000, "<" * 60000,
     "a=" * 30000, ',"' * 30000, "\t;" * 30000, 'x="' * 20000],
)  # fmt: skip
def test_long_hostile_text_is_read_in_linear_time(text: str) -> None:
    # Backtracking would take minutes here and the suite's patience would end.
    for parse in (NameAddress.parse, Via.parse, CSeq.parse, parse_parameters, split_values):
        with contextlib.suppress(ParseError):
            parse(text)
