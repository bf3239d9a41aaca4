"""Where media may go: an address in a session description is not always meant well."""

import ipaddress
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

__all__ = ["MediaPolicy"]

Network = IPv4Network | IPv6Network
_PRIVATE = [
    ipaddress.ip_network(text)
    for text in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),  # RFC 1918
        "100.64.0.0/10",  # RFC 6598, behind a carrier's NAT
        *("169.254.0.0/16", "fe80::/10"),  # link-local
        "fc00::/7",  # RFC 4193
    )
]


class MediaPolicy:
    """Where media may go: an offer names an address, and not every one is meant.

    With ``loopback_only`` (a node that listens on loopback) media stays on this
    machine. Otherwise it goes to public unicast addresses, and to private ones (RFC 1918
    and the like) or loopback only where the other end's signalling comes from such an
    address too: who calls from outside cannot have us send into a network of ours.
    Multicast, broadcast and unspecified addresses are never sent to, nor those of the other
    family than ours. ``allowed`` networks, if there are any, are the only ones, and replace the
    rule about private ones; ``denied`` ones never are.
    """

    def __init__(
        self,
        *,
        loopback_only: bool,
        version: int = 0,
        allowed: Iterable[str] = (),
        denied: Iterable[str] = (),
    ) -> None:
        """Raises ValueError for a network that is none."""
        self._loopback_only = loopback_only
        self._version = version  # 4 or 6; 0 does not ask
        self._allowed = [ipaddress.ip_network(text, strict=False) for text in allowed]
        self._denied = [ipaddress.ip_network(text, strict=False) for text in denied]

    def allows(self, host: str, peer: str = "") -> bool:
        """Whether media may be sent to this address (a literal, not a name).

        ``peer`` is where the other end's signalling comes from; empty, or a name: a place
        that our own configuration named.
        """
        address = _parse(host) if host != "localhost" else None
        if address is None or self._version not in (0, address.version):
            return False
        if address.is_multicast or address.is_unspecified or str(address).endswith(".255"):
            return False
        if any(address in network for network in self._denied):
            return False
        if self._loopback_only and not address.is_loopback:
            return False
        if self._allowed:
            return any(address in network for network in self._allowed)
        if self._loopback_only or not _is_inside(address):
            return True
        other = _parse(peer)
        if other is None:
            return not address.is_loopback
        if address.is_loopback:
            return other.is_loopback
        return _is_inside(other)

    def awaits(self, host: str, peer: str) -> bool:
        """Whether an address that is not allowed is that of a far end behind a NAT.

        It names its private address and calls from a public one: packets go where its own
        come from, once they do.
        """
        address, other = _parse(host), _parse(peer)
        if address is None or other is None or self._version not in (0, address.version):
            return False
        return self.is_translated(host, peer) and not self._loopback_only

    @staticmethod
    def is_translated(host: str, source: str) -> bool:
        """Whether ``host`` can only be reached as ``source``, which is outside."""
        address, other = _parse(host), _parse(source)
        if address is None or other is None or address.is_loopback:
            return False
        return _is_inside(address) and not _is_inside(other)


def _parse(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        return None


def _is_inside(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address means something else on every network."""
    return address.is_loopback or any(address in network for network in _PRIVATE)
