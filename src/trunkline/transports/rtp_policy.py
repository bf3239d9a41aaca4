"""Where media may go: an address in a session description is not always meant well."""

import ipaddress

__all__ = ["MediaPolicy"]


class MediaPolicy:
    """Where media may go: an offer names an address, and not every one is meant.

    With ``loopback_only`` (a node that listens on loopback) media stays on this
    machine. Otherwise unicast addresses are allowed, and multicast, broadcast
    and unspecified ones never are. An address of the other family than ours
    cannot be sent to.
    """

    def __init__(self, *, loopback_only: bool, version: int = 0) -> None:
        self._loopback_only = loopback_only
        self._version = version  # 4 or 6; 0 does not ask

    def allows(self, host: str) -> bool:
        """Whether media may be sent to this address (a literal, not a name)."""
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        if self._version not in (0, address.version):
            return False
        if self._loopback_only:
            return address.is_loopback
        return not (address.is_multicast or address.is_unspecified or str(address).endswith(".255"))
