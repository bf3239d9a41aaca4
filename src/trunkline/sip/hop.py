"""Where a message goes to or came from: address, transport and connection.

A hop is what RFC 3261 section 18 sends to. `Hop` compares by all of it, so that two
connections from one address are two hops.
"""

import re
from typing import Literal, NamedTuple

__all__ = ["Hop", "HopLike", "Transport", "default_port", "is_address", "transport_parameter"]

Transport = Literal["UDP", "TCP", "TLS", "WS", "WSS"]
"""As a Via writes it."""

_ADDRESS = re.compile(r"[0-9.]+|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*(?:%[^%]+)?")

_DEFAULT_PORTS: dict[Transport, int] = {"TLS": 5061, "WS": 80, "WSS": 443}


class Hop(NamedTuple):
    """One place messages are sent to, or come from."""

    host: str
    """A literal address, or a name that still has to be looked up. IPv6 without brackets."""
    port: int
    """0: the lookup says (RFC 3263 section 4.2), or else the transport's default."""
    transport: Transport = "UDP"
    """What carries it."""
    flow: int = 0
    """The connection, as the transport numbers them; 0 is any, or a new one. A flow that is
    gone is replaced by a new connection to host and port (RFC 3261 section 18.2.2)."""
    profile: str = ""
    """Whose TLS settings hold on it: a trunk's name; empty is the node's own."""
    name: str = ""
    """The name the address was looked up from: whose certificate a TLS server has to show
    (RFC 5922 section 4)."""
    any_transport: bool = False
    """Nothing said which transport: the name's records may (RFC 3263 section 4.1)."""

    @property
    def is_reliable(self) -> bool:
        """Whether nothing sent on it is ever repeated (RFC 3261 section 17.1.1.1)."""
        return self.transport != "UDP"

    @property
    def is_web_socket(self) -> bool:
        """Whether it is a WebSocket (RFC 7118): those are opened to us, never by us."""
        return self.transport in ("WS", "WSS")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return self.host, self.port

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.transport.lower()}:{host}:{self.port}"


HopLike = Hop | tuple[str, int]
"""A hop, or host and port over UDP."""


def as_hop(place: HopLike) -> Hop:
    """A hop from what may be host and port only."""
    return place if isinstance(place, Hop) else Hop(*place)


def default_port(transport: Transport) -> int:
    """RFC 3261 section 19.1.2, RFC 7118 section 5."""
    return _DEFAULT_PORTS.get(transport, 5060)


def transport_parameter(transport: Transport) -> str:
    """What a URI of ours says of the transport: nothing of UDP, ``;transport=tcp`` of TCP."""
    if transport == "UDP":
        return ""
    # RFC 7118 section 5.5 has one value for both kinds of WebSocket.
    return f";transport={'ws' if transport == 'WSS' else transport.lower()}"


def is_address(host: str) -> bool:
    """Whether this is written like an IP address, and need not be looked up."""
    return _ADDRESS.fullmatch(host) is not None
