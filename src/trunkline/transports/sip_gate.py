"""Who may speak to a SIP endpoint, and call: the gate every message passes.

An endpoint asks its gate twice: for each message of somebody it has no call with,
whether to read it at all, and for each request outside a dialog, what becomes of it.
`AddressGate` is the one of a node without trunks.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Protocol

from trunkline.sip.admission import Admission
from trunkline.sip.digest import Account, Challenger, Verdict
from trunkline.sip.hop import Hop
from trunkline.sip.message import Request

__all__ = ["AddressGate", "SipGate", "is_literal"]


class SipGate(Protocol):
    """What an endpoint asks before it listens to anybody. Media thread only."""

    def may_speak(self, source: Hop) -> bool:
        """Whether a request from there is read; False is answered with silence, and counted.

        Not asked for responses, nor for the far ends of calls that are up.
        """

    def ignores(self, request: Request, source: Hop, now: float) -> bool:
        """Whether a request outside a dialog gets no answer at all; asked before `admit`."""

    def admit(self, request: Request, source: Hop, now: float) -> Admission:
        """What becomes of a request that belongs to no dialog."""

    def on_digest(self, request: Request, source: Hop, verdict: Verdict, now: float) -> None:
        """What came of a password the gate had asked for."""

    def on_malformed(self, source: Hop, now: float) -> None:
        """Something came from there that is no SIP."""


class AddressGate:
    """Lets known networks call as they are, and everybody else with a password.

    With neither networks nor accounts everybody may call: a node on loopback.
    """

    def __init__(
        self, allowed: Sequence[str], accounts: Mapping[str, str], realm: str, secret: bytes
    ) -> None:
        self._networks = [ipaddress.ip_network(text, strict=False) for text in allowed]
        known = {name: Account(password) for name, password in accounts.items()}
        self._challenger = Challenger(realm, known, secret) if known else None

    def may_speak(self, source: Hop) -> bool:
        """Silence for strangers where only addresses are known; see `SipGate`."""
        if not self._networks or self._challenger is not None:
            return True
        return not source.is_web_socket and self._knows(source.host)  # it may be a proxy's

    def ignores(self, request: Request, source: Hop, now: float) -> bool:
        """Nobody who may speak is; see `SipGate`."""
        return False

    def admit(self, request: Request, source: Hop, now: float) -> Admission:
        """A password from whoever is not known by address; see `SipGate`."""
        known = not source.is_web_socket and self._knows(source.host)
        return Admission(challenger=None if known else self._challenger)

    def on_digest(self, request: Request, source: Hop, verdict: Verdict, now: float) -> None:
        """Nothing is made of it here."""

    def on_malformed(self, source: Hop, now: float) -> None:
        """Nothing is made of it here."""

    def _knows(self, host: str) -> bool:
        address = ipaddress.ip_address(host.partition("%")[0])
        return any(address in network for network in self._networks)


def is_literal(host: str) -> bool:
    """Whether this is an address, not a name."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
