"""Which trunk an address is: by network and port, the nearest network first."""

from collections.abc import Iterable
from ipaddress import IPv4Address, ip_address, ip_network

from .trunks import Trunk, source_of

__all__ = ["AddressTable", "NetworkTable"]


class NetworkTable:
    """Values by network; a look-up for each length of prefix there is. Never changed."""

    def __init__(self, networks: Iterable[tuple[str, str]]) -> None:
        self._tables: dict[tuple[int, int], dict[int, str]] = {}
        for written, value in networks:
            network = ip_network(written, strict=False)
            key = network.version, network.max_prefixlen - network.prefixlen
            bits = int(network.network_address) >> key[1]
            self._tables.setdefault(key, {})[bits] = value
        self._order = sorted(self._tables)

    def __bool__(self) -> bool:
        return bool(self._tables)

    def find(self, host: str) -> str | None:
        """The value of the nearest network an address is in; None for none, or for a name."""
        try:
            address = ip_address(host.partition("%")[0])
        except ValueError:
            return None
        mapped = getattr(address, "ipv4_mapped", None)
        if isinstance(mapped, IPv4Address):
            address = mapped
        bits = int(address)
        for version, shift in self._order:
            if version == address.version:
                found = self._tables[version, shift].get(bits >> shift)
                if found is not None:
                    return found
        return None


class AddressTable:
    """The trunks' names by where they call from. Never changed."""

    def __init__(self, trunks: Iterable[Trunk]) -> None:
        any_port: list[tuple[str, str]] = []
        by_port: dict[int, list[tuple[str, str]]] = {}
        for trunk in trunks:
            for written in _sources(trunk):
                network, port = source_of(written)
                (by_port.setdefault(port, []) if port else any_port).append((network, trunk.name))
        self._any_port = NetworkTable(any_port)
        self._by_port = {port: NetworkTable(found) for port, found in by_port.items()}

    def find(self, host: str, port: int) -> str:
        """The trunk that calls from there; empty for none."""
        found = None
        if port in self._by_port:
            found = self._by_port[port].find(host)
        return found or self._any_port.find(host) or ""


def _sources(trunk: Trunk) -> Iterable[str]:
    """Its addresses; gateways that are addresses belong to them, whatever their port."""
    yield from trunk.addresses
    if trunk.addresses:
        return
    for gateway in trunk.gateways:
        host = gateway.uri.host
        try:
            ip_address(host)
        except ValueError:
            continue  # a name: who calls from there has to be said
        yield f"[{host}]" if ":" in host else host
