"""Addresses: what is read is what is written again."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.sip.errors import ParseError
from trunkline.sip.hop import Hop
from trunkline.sip.uri import Uri

TEXT = st.text(min_size=1, max_size=12).filter(lambda text: text.strip() == text)
NAME = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
HOST = st.one_of(
    st.from_regex(r"[a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?(\.[a-z]{2,5}){0,2}", fullmatch=True),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
)
URI = st.builds(
    Uri,
    scheme=st.sampled_from(["sip", "sips"]),
    user=st.none() | TEXT,
    host=HOST,
    port=st.none() | st.integers(0, 65535),
    parameters=st.lists(
        st.tuples(NAME, st.none() | TEXT), max_size=3, unique_by=lambda pair: pair[0]
    ).map(tuple),
    headers=st.lists(st.tuples(NAME, TEXT), max_size=2).map(tuple),
)


@given(URI)
def test_every_address_survives_being_written_and_read(uri: Uri) -> None:
    assert Uri.parse(str(uri)) == uri


@given(st.from_regex(r"\+?[0-9]{1,15}", fullmatch=True), st.none() | TEXT)
def test_every_telephone_number_survives_being_written_and_read(number: str, context: str) -> None:
    uri = Uri("tel", number, parameters=(("phone-context", context),))
    assert Uri.parse(str(uri)) == uri


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_a_parse_error(text: str) -> None:
    for candidate in (text, "sip:" + text, "tel:" + text):
        with contextlib.suppress(ParseError):
            assert Uri.parse(str(Uri.parse(candidate)))


def test_all_parts_are_found() -> None:
    uri = Uri.parse("SIP:+1%20555:pw@[2001:db8::1]:5070;Transport=TCP;lr?Subject=a%26b&x=")
    assert uri.scheme == "sip"
    assert (uri.user, uri.password) == ("+1 555", "pw")
    assert (uri.host, uri.port) == ("2001:db8::1", 5070)
    assert uri.parameter("transport") == "TCP"
    assert uri.parameter("lr") == ""
    assert uri.parameter("maddr") is None
    assert uri.headers == (("Subject", "a&b"), ("x", ""))


def test_parameters_in_the_user_part_belong_to_the_user() -> None:
    uri = Uri.parse("sip:+358-555-1234567;postd=pp22@foo.example;user=phone")
    assert uri.user == "+358-555-1234567;postd=pp22"
    assert uri.host == "foo.example"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("tel:+1-201-555-0123", "+12015550123"),
        ("tel:863(1234);phone-context=+1", "8631234"),
        ("sip:+1.415.555@h", "+1415555"),
        ("sip:first.last@h", "first.last"),
        ("sip:h", ""),
    ],
)
def test_a_number_has_no_visual_separators(text: str, number: str) -> None:
    assert Uri.parse(text).number == number


@pytest.mark.parametrize(
    "text",
    [
        "", "sip", "sip:", "sip:@host", "sip:a@b@c", "sip:host:", "sip:host:70000", "sip:host:x",
        "sip:a b@c", "sip:a@[::1", "sip:[zz]", "sip:ho%st", "tel:", "tel:abcxyz", "sip:a@h\r\nX: y",
        "<sip:a@b>",
    ],
)  # fmt: skip
def test_malformed_addresses_are_answered_400(text: str) -> None:
    with pytest.raises(ParseError) as caught:
        Uri.parse(text)
    assert caught.value.code == 400


@pytest.mark.parametrize("text", ["http://a", "im:a@b", "mailto:x@y", "nobodyKnowsThisScheme:x"])
def test_foreign_schemes_are_answered_416(text: str) -> None:
    with pytest.raises(ParseError) as caught:
        Uri.parse(text)
    assert caught.value.code == 416


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("sip:%61lice@Example.com;Transport=TCP", "sip:alice@example.COM;transport=tcp", True),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", True),
        ("sip:ALICE@h", "sip:alice@h", False),
        ("sip:bob@h", "sip:bob@h:5060", False),
        ("sip:bob@h", "sip:bob@h;transport=udp", False),
        ("sip:bob@h;a=1", "sip:bob@h;a=2", False),
        ("sip:bob@h?Subject=a", "sip:bob@h", False),
    ],
)
def test_addresses_compare_as_the_rfc_says(one: str, other: str, same: bool) -> None:
    assert Uri.parse(one).equivalent(Uri.parse(other)) is same


def test_the_default_port_follows_the_scheme() -> None:
    assert Uri.parse("sip:192.0.2.1").hop == Hop("192.0.2.1", 5060)
    assert Uri.parse("sip:h").hop == Hop("h", 0, any_transport=True)
    assert Uri.parse("sip:h;transport=udp").hop == Hop("h", 0)
    assert Uri.parse("sip:h:5060").hop == Hop("h", 5060)
    assert Uri.parse("sips:[::1]").hop == Hop("::1", 5061, "TLS")
    assert Uri.parse("sip:h;transport=TCP;maddr=192.0.2.2").hop == Hop("192.0.2.2", 5060, "TCP")
    assert Uri.parse("sip:h:1;transport=tls").hop == Hop("h", 1, "TLS")
    assert Uri.parse("sip:192.0.2.1;transport=ws").hop == Hop("192.0.2.1", 80, "WS")
    assert Uri.parse("sips:192.0.2.1;transport=WS").hop == Hop("192.0.2.1", 443, "WSS")
