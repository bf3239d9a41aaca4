"""Where media may go, by address, by where the signalling comes from, and by setting."""

import pytest

from trunkline.transports.rtp_policy import MediaPolicy

LOCAL = MediaPolicy(loopback_only=True)
WIDE = MediaPolicy(loopback_only=False)
OUTSIDE, INSIDE, HERE = "198.51.100.7", "10.1.1.7", "127.0.0.1"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1"])
def test_a_node_on_loopback_sends_there_only(host: str) -> None:
    assert LOCAL.allows(host) and LOCAL.allows(host, OUTSIDE)
    for other in (OUTSIDE, INSIDE, "224.0.0.1", "0.0.0.0", "::", "fe80::1", "a.name", ""):
        assert not LOCAL.allows(other)
        assert not LOCAL.awaits(other, OUTSIDE)


@pytest.mark.parametrize(
    ("host", "by_outside", "by_inside", "by_loopback"),
    [
        (OUTSIDE, True, True, True),
        ("2001:db8::9", True, True, True),
        *((host, False, True, True) for host in (INSIDE, "172.16.0.1", "192.168.1.1")),
        *((host, False, True, True) for host in ("100.64.0.1", "169.254.1.1", "fd00::1")),
        ("fe80::1", False, True, True),
        ("127.0.0.1", False, False, True),
        ("::1", False, False, True),
        *((host, False, False, False) for host in ("224.0.0.1", "ff02::1", "0.0.0.0", "::")),
        *((host, False, False, False) for host in ("255.255.255.255", "192.0.2.255")),
        *((host, False, False, False) for host in ("localhost", "a.name", "", "10.0.0")),
    ],
)
def test_private_addresses_are_for_who_calls_from_one(
    host: str, by_outside: bool, by_inside: bool, by_loopback: bool
) -> None:
    assert WIDE.allows(host, OUTSIDE) is by_outside
    assert WIDE.allows(host, INSIDE) is by_inside
    assert WIDE.allows(host, HERE) is by_loopback
    assert WIDE.allows(host, "localhost") is by_loopback


def test_a_far_end_that_our_configuration_names_may_be_inside_and_not_on_this_machine() -> None:
    for peer in ("", "pbx.example"):
        assert WIDE.allows(INSIDE, peer) and WIDE.allows(OUTSIDE, peer)
        assert not WIDE.allows(HERE, peer)


def test_who_names_a_private_address_and_calls_from_outside_is_waited_for() -> None:
    assert WIDE.awaits(INSIDE, OUTSIDE)
    assert WIDE.is_translated("192.168.0.9", OUTSIDE)
    for host, peer in ((OUTSIDE, OUTSIDE), (HERE, OUTSIDE), ("224.0.0.1", OUTSIDE), (INSIDE, "")):
        assert not WIDE.awaits(host, peer)
    assert not WIDE.awaits("fd00::1", INSIDE)


@pytest.mark.parametrize("local", [True, False])
def test_an_address_of_the_other_family_cannot_be_sent_to(local: bool) -> None:
    four, six = (MediaPolicy(loopback_only=local, version=version) for version in (4, 6))
    assert (four.allows("127.0.0.1", HERE), four.allows("::1", HERE)) == (True, False)
    assert (six.allows("127.0.0.1", "::1"), six.allows("::1", "::1")) == (False, True)
    assert not six.awaits(INSIDE, OUTSIDE)


def test_networks_that_are_allowed_are_the_only_ones() -> None:
    policy = MediaPolicy(loopback_only=False, allowed=("203.0.113.0/24", "10.0.0.0/8"))
    assert policy.allows("203.0.113.9", OUTSIDE) and policy.allows(INSIDE, OUTSIDE)
    assert not policy.allows(OUTSIDE, OUTSIDE) and not policy.allows("203.0.113.255", OUTSIDE)
    local = MediaPolicy(loopback_only=True, allowed=("203.0.113.0/24", "127.0.0.1"))
    assert local.allows(HERE) and not local.allows("127.0.0.2") and not local.allows("203.0.113.9")


def test_networks_that_are_denied_never_are() -> None:
    policy = MediaPolicy(loopback_only=False, allowed=("203.0.113.0/24",), denied=("203.0.113.8",))
    assert policy.allows("203.0.113.9") and not policy.allows("203.0.113.8")
    assert not MediaPolicy(loopback_only=True, denied=("127.0.0.0/8",)).allows(HERE)


def test_a_network_that_is_none_is_an_error() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        MediaPolicy(loopback_only=False, allowed=("nonsense",))
