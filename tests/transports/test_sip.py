"""The endpoint's small decisions about addresses; its work is in test_sip_leg."""

import pytest

from trunkline.transports import sip
from trunkline.transports.sip_gate import is_literal


@pytest.mark.parametrize(
    ("host", "literal", "loopback"),
    [
        ("127.0.0.1", True, True),
        ("127.8.8.8", True, True),
        ("::1", True, True),
        ("[::1]", True, False),
        ("192.0.2.1", True, False),
        ("localhost", False, True),
        ("trunk.example", False, False),
        ("", False, False),
    ],
)
def test_addresses_are_told_from_names(host: str, literal: bool, loopback: bool) -> None:
    assert is_literal(host) is literal
    if host != "[::1]":
        assert sip._is_loopback(host) is loopback


def test_an_address_that_peers_can_reach_is_told() -> None:
    assert sip._reachable("192.0.2.9") == "192.0.2.9"
    assert sip._reachable("0.0.0.0") not in ("", "0.0.0.0")
    assert sip._reachable("::") != "::"
