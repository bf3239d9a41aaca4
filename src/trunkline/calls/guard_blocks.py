"""Who is not listened to, why, and for how long: addresses and networks.

Each offence of the same address blocks it for longer. Memory is bounded: whoever spoofs
a million addresses pushes others' entries out, and nothing grows.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from ipaddress import ip_address, ip_network
from typing import Any, Final

from trunkline.errors import UsageError

__all__ = ["Block", "Blocklist", "address_key"]

BLOCK_SECONDS: Final = (60.0, 300.0, 1800.0, 14_400.0, 86_400.0)
"""For the first offence, the second, and so on; the last is the longest."""
FORGIVEN_SECONDS: Final = 86_400.0
"""So long after the end of a block its address is as good as new."""


@dataclass(slots=True)
class Block:
    """One address that is not listened to. Times are seconds since 1970."""

    address: str
    """An address, or a network; of IPv6 the /64."""
    reason: str
    until: float
    """0: for ever, as an operator said."""
    strikes: int = 1
    """How often it was blocked."""
    hits: int = 0
    """Messages of it that were dropped since the node began."""
    added_at: float = 0.0

    def active(self, at: float) -> bool:
        """Whether it holds."""
        return self.until == 0 or at < self.until


Saved = Callable[[str, Mapping[str, Any] | None], None]
"""Keeps an entry over a restart; None: it is gone."""


class Blocklist:
    """Blocked addresses. The media thread's; `listing` may be read from any."""

    def __init__(self, most: int = 50_000, saved: Saved | None = None) -> None:
        self._most = most
        self._saved = saved or (lambda key, value: None)
        self._blocks: OrderedDict[str, Block] = OrderedDict()
        self._networks: dict[str, Block] = {}
        self.dropped = 0
        """Messages that were not listened to."""

    def __len__(self) -> int:
        return len(self._blocks) + len(self._networks)

    def restore(self, entries: Mapping[str, Mapping[str, Any]], at: float) -> None:
        """Take in what was kept."""
        for value in entries.values():
            block = Block(**{**value, "hits": 0})
            if block.active(at - FORGIVEN_SECONDS):
                self._put(block)

    def blocks(self, host: str, at: float) -> bool:
        """Whether to drop a message from there; counted."""
        found = self._blocks.get(address_key(host)) if self._blocks else None
        if (found is None or not found.active(at)) and self._networks:
            found = self._network_of(host)
        if found is None or not found.active(at):
            return False
        found.hits += 1
        self.dropped += 1
        return True

    def _network_of(self, host: str) -> Block | None:
        try:
            address = ip_address(host.partition("%")[0])
        except ValueError:
            return None
        return next(
            (one for net, one in self._networks.items() if address in ip_network(net)), None
        )

    def strike(self, host: str, reason: str, at: float, strikes: int = 1) -> Block:
        """An address has offended: block it, for longer than the last time."""
        key = address_key(host)
        former = self._blocks.get(key)
        if former is not None:
            if former.until == 0:
                return former
            if at < former.until + FORGIVEN_SECONDS:
                strikes += former.strikes
        seconds = BLOCK_SECONDS[min(strikes, len(BLOCK_SECONDS)) - 1]
        block = Block(key, reason, at + seconds, strikes, former.hits if former else 0, at)
        self._put(block)
        self._saved(key, asdict(block))
        return block

    def add(self, written: str, at: float, *, seconds: float = 0.0, reason: str = "") -> Block:
        """An operator blocks an address or network; raises `UsageError` for what is none."""
        key = written_key(written)
        block = Block(key, reason or "added by hand", at + seconds if seconds else 0.0, 1, 0, at)
        self._put(block)
        self._saved(key, asdict(block))
        return block

    def remove(self, written: str) -> bool:
        """Listen to an address or network again; whether it was blocked."""
        key = written_key(written)
        found = self._blocks.pop(key, None) or self._networks.pop(key, None)
        self._saved(key, None)
        return found is not None

    def _put(self, block: Block) -> None:
        if "/" in block.address and not block.address.endswith("::/64"):
            self._networks[block.address] = block
            return
        self._blocks[block.address] = block
        self._blocks.move_to_end(block.address)
        if len(self._blocks) > self._most:
            self._saved(self._drop_one(), None)

    def _drop_one(self) -> str:
        """Forget the oldest entry; what an operator said comes last."""
        for key, block in self._blocks.items():
            if block.until:
                del self._blocks[key]
                return key
        key, _ = self._blocks.popitem(last=False)
        return key

    def listing(self, at: float) -> Iterator[Block]:
        """What holds now, the newest last."""
        for block in [*self._networks.values(), *self._blocks.values()]:
            if block.active(at):
                yield block


def address_key(host: str) -> str:
    """What an address is remembered by: itself, or the /64 of IPv6, which is one subscriber."""
    if ":" not in host:
        return host
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None:
        return str(mapped)
    return str(ip_network(f"{address}/64", strict=False))


def written_key(written: str) -> str:
    """The same for what an operator writes: an address or a network."""
    try:
        network = ip_network(written.strip(), strict=False)
    except ValueError as error:
        raise UsageError(f"{written!r} is no address or network: {error}") from None
    if network.num_addresses == 1:
        return address_key(str(network.network_address))
    return str(network)
