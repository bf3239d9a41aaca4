"""Twilio's request signature, with its published vector."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.wire.signatures import twilio_signature, twilio_signature_is_valid

TOKEN = "12345"
URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
FORM = {
    "CallSid": "CA1234567890ABCDE",
    "Caller": "+12349013030",
    "Digits": "1234",
    "From": "+12349013030",
    "To": "+18005551212",
}
SIGNATURE = "0/KCTR6DLpKmkAf8muzZqo1nDgQ="


def test_the_published_vector_is_reproduced() -> None:
    assert twilio_signature(TOKEN, URL, FORM) == SIGNATURE
    assert twilio_signature_is_valid(TOKEN, SIGNATURE, URL, FORM)


def test_the_order_of_the_fields_does_not_matter() -> None:
    assert twilio_signature(TOKEN, URL, dict(reversed(FORM.items()))) == SIGNATURE


@pytest.mark.parametrize(
    ("token", "signature", "url"),
    [
        ("12346", SIGNATURE, URL),
        (TOKEN, SIGNATURE, URL + "&x=1"),
        (TOKEN, SIGNATURE, URL.replace("https", "http")),
        (TOKEN, SIGNATURE.lower(), URL),
        (TOKEN, SIGNATURE[:-1], URL),
        (TOKEN, "", URL),
        (TOKEN, "é\ud800", URL),
    ],
)
def test_anything_else_is_refused(token: str, signature: str, url: str) -> None:
    assert not twilio_signature_is_valid(token, signature, url, FORM)


def test_a_changed_added_or_missing_field_is_refused() -> None:
    assert not twilio_signature_is_valid(TOKEN, SIGNATURE, URL, FORM | {"Digits": "1235"})
    assert not twilio_signature_is_valid(TOKEN, SIGNATURE, URL, FORM | {"New": "1"})
    assert not twilio_signature_is_valid(TOKEN, SIGNATURE, URL)


def test_repeated_fields_are_sorted_and_each_value_counts_once() -> None:
    once = twilio_signature(TOKEN, URL, {"MediaUrl": ["https://a", "https://b"]})
    assert once == twilio_signature(
        TOKEN, URL, {"MediaUrl": ["https://b", "https://a", "https://a"]}
    )
    assert once == twilio_signature(TOKEN, URL + "MediaUrlhttps://aMediaUrlhttps://b")


@pytest.mark.parametrize(
    ("signed", "seen"),
    [
        ("https://a.example/x?y=1", "https://a.example:443/x?y=1"),
        ("https://a.example:443/x?y=1", "https://a.example/x?y=1"),
        ("http://a.example:80/x", "http://a.example/x"),
        ("wss://a.example/x", "wss://a.example:443/x"),
        ("wss://a.example:443/x", "wss://a.example/x"),
        ("wss://u:p@a.example:443/x", "wss://u:p@a.example/x"),
        ("wss://[2001:db8::1]:443/x", "wss://[2001:db8::1]/x"),
        ("https://https:443/https", "https://https/https"),
        ("https://a.example:443/x?", "https://a.example/x?"),
    ],
)
def test_the_default_port_may_be_written_or_not(signed: str, seen: str) -> None:
    signature = twilio_signature(TOKEN, signed)
    assert twilio_signature_is_valid(TOKEN, signature, seen)
    assert twilio_signature_is_valid(TOKEN, signature, signed)


def test_another_port_is_part_of_the_url() -> None:
    signature = twilio_signature(TOKEN, "wss://a.example/x")
    assert not twilio_signature_is_valid(TOKEN, signature, "wss://a.example:8443/x")
    signature = twilio_signature(TOKEN, "wss://a.example:8443/x")
    assert twilio_signature_is_valid(TOKEN, signature, "wss://a.example:8443/x")
    assert not twilio_signature_is_valid(TOKEN, signature, "wss://a.example/x")


def test_a_socket_url_is_signed_with_its_own_scheme() -> None:
    signature = twilio_signature(TOKEN, "wss://a.example/stream")
    assert twilio_signature_is_valid(TOKEN, signature, "wss://a.example/stream")
    assert not twilio_signature_is_valid(TOKEN, signature, "https://a.example/stream")


def test_a_json_body_is_signed_through_its_hash() -> None:
    body = b'{"a": 1}'
    url = "https://a.example/hook?bodySHA256=" + sha256(body).hexdigest()
    signature = twilio_signature(TOKEN, url)
    assert twilio_signature_is_valid(TOKEN, signature, url, body=body)
    assert not twilio_signature_is_valid(TOKEN, signature, url, body=body + b" ")
    assert not twilio_signature_is_valid(TOKEN, signature, url, body=b"")


def test_a_body_without_its_hash_is_refused() -> None:
    url = "https://a.example/hook"
    assert not twilio_signature_is_valid(TOKEN, twilio_signature(TOKEN, url), url, body=b"{}")


@pytest.mark.parametrize("url", ["", "nonsense", "https://[::1", "https://a:99999/", "wss://:443"])
def test_a_url_that_cannot_be_parsed_is_compared_as_it_is(url: str) -> None:
    assert twilio_signature_is_valid(TOKEN, twilio_signature(TOKEN, url), url)
    assert not twilio_signature_is_valid(TOKEN, twilio_signature(TOKEN, url), url, body=b"{}")


@given(st.text(), st.text(), st.dictionaries(st.text(), st.text() | st.lists(st.text())))
def test_nothing_in_a_request_raises(
    signature: str, url: str, form: dict[str, str | list[str]]
) -> None:
    assert not twilio_signature_is_valid(TOKEN, signature, url, form)
    assert twilio_signature_is_valid(TOKEN, twilio_signature(TOKEN, url, form), url, form)
