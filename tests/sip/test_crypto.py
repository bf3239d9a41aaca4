"""Keys in SDP: what RFC 4568 prints, what peers write, and what must be refused."""

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.sip.crypto import SUITES, CryptoLine, choose_crypto
from trunkline.sip.errors import SdpError

EXAMPLE = "1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4"
"""The RFC's own, section 9.1."""
KEY = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"


def test_the_rfcs_example_is_read() -> None:
    line = CryptoLine.parse(EXAMPLE)
    assert line is not None
    assert (line.tag, line.suite.name) == (1, "AES_CM_128_HMAC_SHA1_80")
    assert line.secret == base64.b64decode(KEY)
    assert (line.lifetime_packets, line.mki, line.mki_bytes) == (1 << 20, 1, 4)
    assert str(line) == EXAMPLE


@given(
    st.integers(0, 999_999_999),
    st.sampled_from(sorted(SUITES)),
    st.data(),
    st.none() | st.integers(1, 1 << 48),
    st.none() | st.integers(0, 2**31),
)
def test_what_is_written_is_read(tag, name, data, lifetime, mki) -> None:
    suite = SUITES[name]
    secret = data.draw(st.binary(min_size=suite.secret_bytes, max_size=suite.secret_bytes))
    line = CryptoLine(tag, suite, secret, lifetime, mki, 4 if mki is not None else 0)
    assert CryptoLine.parse(str(line)) == line


def test_a_key_is_in_no_repr() -> None:
    line = CryptoLine.parse(EXAMPLE)
    assert KEY not in repr(line)
    assert repr(line.secret) not in repr(line)


@pytest.mark.parametrize("missing", ["", "=", "=="])
def test_padding_may_be_left_out(missing: str) -> None:
    secret = bytes(range(44))
    encoded = base64.b64encode(secret).decode().rstrip("=")
    line = CryptoLine.parse(f"3 AEAD_AES_256_GCM inline:{encoded}{missing}")
    assert line is not None
    assert line.secret == secret


@pytest.mark.parametrize(
    "text",
    [
        f"1 F8_128_HMAC_SHA1_80 inline:{KEY}",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY};inline:{KEY}",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTP",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} KDR=1",
    ],
)
def test_what_we_do_not_speak_is_passed_over(text: str) -> None:
    assert CryptoLine.parse(text) is None


def test_a_window_size_and_what_may_be_ignored_are() -> None:
    assert CryptoLine.parse(f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} WSH=128 -X=1") is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "x AES_CM_128_HMAC_SHA1_80 inline:abc",
        "1 AES_CM_128_HMAC_SHA1_80 abc",
        "1 AES_CM_128_HMAC_SHA1_80 inline:abc",
        "1 AES_CM_128_HMAC_SHA1_80 inline:!!!",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^49",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|0",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1:0",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1:4|2^20",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|2^20",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4|9",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|later",
    ],
)
def test_what_is_no_crypto_line_is_refused(text: str) -> None:
    with pytest.raises(SdpError) as caught:
        CryptoLine.parse(text)
    assert KEY not in str(caught.value)


@given(st.text(max_size=120))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(SdpError):
        CryptoLine.parse(text)


def test_the_first_that_both_speak_is_chosen() -> None:
    offered = ["garbage", f"1 UNKNOWN inline:{KEY}", EXAMPLE.replace("1 ", "2 ", 1)]
    chosen = choose_crypto(offered, SUITES)
    assert chosen is not None
    assert chosen.tag == 2
    assert choose_crypto(offered, ["AEAD_AES_128_GCM"]) is None


@pytest.mark.parametrize("mki", ["256:1", "4294967296:4", "1:0", "1:129"])
def test_an_identifier_fits_its_length(mki: str) -> None:
    with pytest.raises(SdpError):
        CryptoLine.parse(f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^31|{mki}")
