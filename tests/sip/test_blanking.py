"""What others may see of a message: no digest, no token, no media key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.sip.blanking import blanked

SECRETS = (b"0a4f113bdeadbeef", b"NONCE", b"s3cret", b"WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz")


@pytest.mark.parametrize(
    "header",
    [
        b'Authorization: Digest username="u", nonce="NONCE", response="0a4f113bdeadbeef"',
        b'PROXY-AUTHORIZATION :Digest response=0a4f113bdeadbeef,username="u"',
        b'authorization: Digest username="u",\r\n response="0a4f113bdeadbeef"\r\n\tc="s3cret"',
        b"Authorization: Bearer s3cret",
        b"Authorization: Basic czNjcmV0OnMzY3JldA== s3cret",
        b'Authorization: Digest username="a\\"b", response="0a4f113bdeadbeef"',
    ],
)
def test_credentials_are_blanked_and_the_rest_stays(header: bytes) -> None:
    message = b"INVITE sip:x SIP/2.0\r\n" + header + b"\r\nCall-ID: 1\r\n\r\nv=0\r\n"
    found = blanked(message)
    assert not [secret for secret in SECRETS if secret in found]
    assert b"[blanked]" in found
    assert found.startswith(b"INVITE sip:x SIP/2.0\r\n")
    assert found.endswith(b"\r\nCall-ID: 1\r\n\r\nv=0\r\n")


def test_who_authenticates_stays() -> None:
    found = blanked(b'A\r\nAuthorization: Digest username="bob", realm="here", nonce="NONCE"\r\n')
    assert b'Digest username="bob", realm="here", [blanked]' in found


@pytest.mark.parametrize(
    "line",
    [
        b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + SECRETS[3] + b"|2^20|1:4",
        b"a=CRYPTO:2 X INLINE:" + SECRETS[3],
        b"k=base64:" + SECRETS[3],
        b"a=key-mgmt:mikey " + SECRETS[3],
    ],
)
def test_media_keys_are_blanked(line: bytes) -> None:
    message = (
        b"SIP/2.0 200 OK\r\n\r\nv=0\r\nm=audio 1 RTP/SAVP 0\r\n" + line + b"\r\na=sendrecv\r\n"
    )
    found = blanked(message)
    assert SECRETS[3] not in found
    assert found.endswith(b"[blanked]\r\na=sendrecv\r\n")


def test_a_second_key_of_a_line_is_blanked_too() -> None:
    line = b"a=crypto:1 X inline:" + SECRETS[3] + b";inline:" + SECRETS[3] + b" KDR=1"
    assert SECRETS[3] not in blanked(b"SIP\r\n\r\n" + line + b"\r\n")


def test_a_challenge_is_no_secret() -> None:
    message = b'SIP/2.0 401 No\r\nWWW-Authenticate: Digest realm="r", nonce="NONCE"\r\n\r\n'
    assert blanked(message) == message


@given(st.binary(max_size=300))
def test_bytes_that_are_no_message_do_no_harm(data: bytes) -> None:
    assert isinstance(blanked(data), bytes)
