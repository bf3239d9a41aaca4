"""What calls may agree on: by setting, by trunk, and with a warning."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from trunkline.errors import MissingDependencyError
from trunkline.sip.hop import Hop
from trunkline.sip.message import Request
from trunkline.sip.offer_answer import AudioCapabilities
from trunkline.transports.leg import DialOptions
from trunkline.transports.rtp_policy import MediaPolicy
from trunkline.transports.sip_media import MediaOptions, SipMedia


def media(**options: Any) -> SipMedia:
    policy = MediaPolicy(loopback_only=True)
    return SipMedia(
        MediaOptions(**options),
        AudioCapabilities(),
        lambda toward: "127.0.0.1",
        policy,
        lambda bits: bits,
    )


def profile(negotiation: Any) -> str:
    line = negotiation.offer().media[0]
    return f"{line.protocol} {'crypto' if line.attribute('crypto') else 'clear'}"


@pytest.mark.parametrize(
    ("node", "trunk", "asked", "offered"),
    [
        ("off", "", "off", "RTP/AVP clear"),
        ("off", "", "optional", "RTP/AVP crypto"),
        ("off", "acme", "required", "RTP/SAVP crypto"),
        ("required", "", "off", "RTP/SAVP crypto"),
        ("required", "acme", "off", "RTP/AVP clear"),  # the trunk says for itself
        ("optional", "", "required", "RTP/SAVP crypto"),
    ],
)
def test_calls_out_are_encrypted_as_their_trunk_says(
    node: str, trunk: str, asked: Any, offered: str
) -> None:
    options = DialOptions(trunk=trunk, srtp=asked)
    assert profile(media(srtp=node).outbound(4000, options)) == offered


@pytest.mark.parametrize(
    ("trunk", "offered"),
    [
        ("", "RTP/AVP crypto"),
        ("plain", "RTP/AVP clear"),
        ("strict", "RTP/SAVP crypto"),
        ("other", "RTP/AVP crypto"),
    ],
)
def test_calls_in_are_encrypted_as_their_trunk_says(trunk: str, offered: str) -> None:
    made = media(srtp="optional")
    said: dict[str, Any] = {"plain": "off", "strict": "required"}
    made.trunk_srtp = said.get
    assert profile(made.inbound(4000, trunk)) == offered


def test_keys_are_of_the_systems_randomness() -> None:
    lines = {media(srtp="required").inbound(4000, "").offer().media[0].all("crypto")[0]}
    lines |= {media(srtp="required").inbound(4000, "").offer().media[0].all("crypto")[0]}
    assert len(lines) == 2


def test_the_one_that_everybody_has_is_offered_first() -> None:
    lines = media(srtp="optional").inbound(4000, "").offer().media[0].all("crypto")
    assert [line.split()[1] for line in lines] == [
        "AES_CM_128_HMAC_SHA1_80",
        "AEAD_AES_256_GCM",
        "AEAD_AES_128_GCM",
        "AES_CM_128_HMAC_SHA1_32",
    ]


def test_a_node_or_a_trunk_that_wants_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'trunkline\[srtp\]'"):
        media(srtp="optional")
    made = media()
    made.inbound(4000, "")
    with pytest.raises(MissingDependencyError, match="pylibsrtp"):
        made.outbound(4000, DialOptions(srtp="required"))
    made.trunk_srtp = lambda trunk: "required"
    with pytest.raises(MissingDependencyError):
        made.inbound(4000, "acme")


def session(source: Hop | None, via: str = "") -> Any:
    request = Request("INVITE", "sip:a@b")
    if via:
        request.headers.append(("Via", via))
    return SimpleNamespace(source=source, request=request)


@pytest.mark.parametrize(
    ("of", "told"),
    [
        (session(Hop("192.0.2.1", 5060)), "UDP"),
        (session(Hop("192.0.2.1", 5060, "TCP")), "TCP"),
        (session(Hop("192.0.2.1", 5061, "TLS")), ""),
        (session(None, "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1"), "UDP"),
        (session(None, "SIP/2.0/TLS 192.0.2.1;branch=z9hG4bK1"), ""),
    ],
)
def test_keys_that_everybody_can_read_are_warned_of_once(
    of: Any, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = media(srtp="optional")
    with caplog.at_level(logging.WARNING):
        made.keys_are_seen(of)
        made.keys_are_seen(of)
    found = [record.getMessage() for record in caplog.records]
    assert len(found) == bool(told) and all(f"SIP by {told}," in text for text in found)
