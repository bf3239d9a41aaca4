"""What a user agent asks of whoever carries its messages: names, addresses, connections."""

from collections.abc import Callable, Sequence
from typing import Protocol

from .hop import Hop

__all__ = ["Carrier", "Located"]

Located = Callable[[Sequence[Hop], float], None]
"""Told the targets of a name, the one to try first in front, and ``now``."""


class Carrier(Protocol):
    """The sockets, connections and resolver under a user agent."""

    def locate(self, hop: Hop, key: str, then: Located) -> None:
        """Look a name up, and call back with its targets; at once, or later.

        Requests with the same ``key`` (a Call-ID) go to the same of several equal servers.
        """

    def our_address(self, hop: Hop) -> str:
        """The address a peer sees us by, where that depends on the peer; else empty."""

    def is_open(self, hop: Hop) -> bool:
        """Whether a flow is still there."""

    def went_silent(self, hop: Hop, since: float) -> None:
        """A request sent over a connection at ``since`` has no answer: it may be a dead one."""
