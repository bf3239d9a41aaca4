"""Our Contact: the address in it, the user, the scheme.

The address is what we look like from outside, as answers say (RFC 3581, ``received`` and
``rport``). A node behind a NAT writes its own address into Via; the far end answers with the
one it saw. That is what goes into Contact for this far end from then on, so that it can call
back through the binding the NAT made. Over TCP and TLS only the address is taken: the port it
saw is that of one connection.
"""

import re
from dataclasses import dataclass, replace

from .headers import NameAddress, Via, canonical_name
from .hop import Hop, Transport, transport_parameter
from .message import Request
from .uri import Uri

__all__ = ["ContactForm", "PublicAddresses", "put_contact"]

MOST = 4096
"""Far ends it is known for; more would be an attack."""
_LITERAL = re.compile(r"[0-9.]{7,15}|[0-9A-Fa-f:.]{2,45}")


@dataclass(frozen=True, slots=True)
class ContactForm:
    """How our Contact is written in one session."""

    user: str = ""
    """What a registrar knows us by."""
    secure: bool = False
    """``sips``: the call was asked for so (RFC 3261 sections 8.1.1.8 and 12.1.1)."""

    def value(self, host: str, port: int | None, transport: Transport) -> str:
        """The field's value for who reaches us there."""
        if not self.user and not self.secure:  # nearly always; a quarter of the time
            host = f"[{host}]" if ":" in host else host
            return f"<sip:{host}:{port}{transport_parameter(transport)}>"
        named = "" if self.secure and transport == "TLS" else transport_parameter(transport)
        scheme = "sips" if self.secure else "sip"
        return f"<{Uri(scheme, self.user or None, host, port)}{named}>"


class PublicAddresses:
    """Our address and port as each far end sees them, where they are not our own."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], tuple[str, int]] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def get(self, hop: Hop) -> tuple[str, int] | None:
        """Host and port as those see us who are there; None: as we see ourselves."""
        return self._seen.get((hop.host, hop.transport))

    def learn(self, via: Via, source: Hop) -> None:
        """Our Via came back from there in an answer."""
        received, rport = via.parameters.get("received"), via.parameters.get("rport")
        if not received and not rport:
            return
        host, ours = received or via.host.strip("[]"), via.port or 5060
        port = ours
        if rport and rport.isascii() and rport.isdecimal() and not source.is_reliable:
            port = int(rport)
        place = (source.host, source.transport)
        same = host == via.host.strip("[]") and port == ours
        if same or not 0 < port < 65536 or not _LITERAL.fullmatch(host):
            self._seen.pop(place, None)
        elif len(self._seen) < MOST or place in self._seen:
            self._seen[place] = (host, port)


def put_contact(request: Request, ours: str) -> None:
    """Have the request's Contact be where the host, port and transport of ``ours`` say.

    Its scheme, its user and its parameters stay.
    """
    for position, (name, value) in enumerate(request.headers):
        if canonical_name(name) != "contact" or value in (ours, "*"):
            continue
        old, there = NameAddress.parse(value), NameAddress.parse(ours).parsed_uri
        others = tuple(one for one in old.parsed_uri.parameters if one[0] != "transport")
        # A sips URI means TLS by itself (RFC 3261 section 26.2.2).
        secure = old.parsed_uri.scheme == "sips" and there.parameter("transport") == "tls"
        over = () if secure else there.parameters
        uri = replace(old.parsed_uri, host=there.host, port=there.port, parameters=(*over, *others))
        request.headers[position] = (name, str(replace(old, uri=str(uri))))
        request.forget_index()
