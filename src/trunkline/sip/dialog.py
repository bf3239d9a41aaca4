"""Dialogs: what two user agents remember of each other (RFC 3261 section 12)."""

from collections.abc import Sequence

from .errors import ParseError
from .headers import NameAddress
from .hop import Hop
from .message import Request, Response
from .uri import Uri

__all__ = ["Dialog"]

MAX_ROUTES = 64
"""A longer route set is refused; real ones have one to five."""


class Dialog:
    """One dialog, early or confirmed, from one side."""

    __slots__ = ("call_id", "local_seq", "local_tag", "local_uri", "remote_seq", "remote_tag",
                 "remote_target", "remote_uri", "route_set")  # fmt: skip

    def __init__(
        self,
        *,
        call_id: str,
        local_tag: str,
        remote_tag: str,
        local_uri: NameAddress,
        remote_uri: NameAddress,
        remote_target: str,
        route_set: Sequence[str],
        local_seq: int,
        remote_seq: int | None,
    ) -> None:
        self.call_id = call_id
        self.local_tag = local_tag
        self.remote_tag = remote_tag
        self.local_uri = local_uri
        """Our From or To, without its tag."""
        self.remote_uri = remote_uri
        """Their To or From, without its tag."""
        self.remote_target = remote_target
        """Their Contact: what requests in the dialog are addressed to."""
        self.route_set = tuple(route_set)
        """Route values in the order a request has to visit them."""
        self.local_seq = local_seq
        """The CSeq number of our last request: one counter, whoever asks."""
        self.remote_seq = remote_seq
        """The CSeq number of their last request; None before the first."""

    @classmethod
    def from_request(cls, request: Request, local_tag: str) -> "Dialog":
        """As the side that is called (RFC 3261 section 12.1.1).

        Raises ParseError when the request has no usable Contact or Record-Route.
        """
        routes = _routes(request)
        # RFC 2543 asked for no Contact: such a caller is at the address in its From.
        if not request.all("contact") and _can_be_sent_to(request.from_):
            target = request.from_.uri
        else:
            target = _target(request)
        return cls(
            call_id=request.call_id,
            local_tag=local_tag,
            remote_tag=request.from_.tag,
            local_uri=_untagged(request.to),
            remote_uri=_untagged(request.from_),
            remote_target=target,
            route_set=routes,
            local_seq=0,
            remote_seq=request.cseq.number,
        )

    @classmethod
    def from_response(cls, request: Request, response: Response) -> "Dialog":
        """As the side that calls (RFC 3261 section 12.1.2).

        Raises ParseError for an unusable Record-Route. A 2xx without a Contact, which
        is not allowed, is taken to mean the address that was called.
        """
        try:
            target = _target(response)
        except ParseError:
            target = request.uri
        return cls(
            call_id=request.call_id,
            local_tag=request.from_.tag,
            remote_tag=response.to.tag,
            local_uri=_untagged(request.from_),
            remote_uri=_untagged(request.to),
            remote_target=target,
            route_set=tuple(reversed(_routes(response))),
            local_seq=request.cseq.number,
            remote_seq=None,
        )

    def refresh_target(self, message: Request | Response) -> None:
        """Take a new Contact from a re-INVITE or its answer (section 12.2)."""
        try:
            self.remote_target = _target(message)
        except ParseError:
            return  # the old one stays

    def accept_sequence(self, number: int) -> bool:
        """Whether a request of theirs is in order (section 12.2.2); remembers it."""
        if self.remote_seq is not None and number <= self.remote_seq:
            return False
        self.remote_seq = number
        return True

    def request(self, method: str, *, sequence: int | None = None) -> Request:
        """A request inside the dialog, without Via (section 12.2.1.1).

        ``sequence`` is for ACK, which repeats its INVITE's number; every other
        request takes the next one.
        """
        if sequence is None:
            self.local_seq += 1
            sequence = self.local_seq
        uri, routes = self._routing()
        headers = [("Route", route) for route in routes]
        headers += [
            ("From", _tagged(self.local_uri, self.local_tag)),
            ("To", _tagged(self.remote_uri, self.remote_tag)),
            ("Call-ID", self.call_id),
            ("CSeq", f"{sequence} {method}"),
            ("Max-Forwards", "70"),
        ]
        return Request(method, uri, headers)

    def _routing(self) -> tuple[str, Sequence[str]]:
        """Request-URI and Route values; a strict router wants them rotated."""
        if not self.route_set:
            return self.remote_target, ()
        first = NameAddress.parse(self.route_set[0])
        if first.parsed_uri.parameter("lr") is not None:
            return self.remote_target, self.route_set
        return first.uri, (*self.route_set[1:], f"<{self.remote_target}>")

    @property
    def next_hop(self) -> Hop:
        """Where to send a request: the first route, or the remote target."""
        if self.route_set:
            return NameAddress.parse(self.route_set[0]).parsed_uri.hop
        return Uri.parse(self.remote_target).hop


def _target(message: Request | Response) -> str:
    """The one Contact's address, known to be one that can be sent to."""
    contact = message.contact
    if contact is None or not _can_be_sent_to(contact):
        raise ParseError("Missing or unusable Contact")
    return contact.uri


def _can_be_sent_to(address: NameAddress) -> bool:
    try:
        return address.parsed_uri.scheme != "tel"
    except ParseError:
        return False


def _routes(message: Request | Response) -> list[str]:
    """Record-Route values; each one is known to be readable."""
    values = message.values("record-route")
    if len(values) > MAX_ROUTES:
        raise ParseError("Too many Record-Route headers")
    for value in values:
        if not _can_be_sent_to(NameAddress.parse(value)):
            raise ParseError("Unusable Record-Route")
    return values


def _untagged(address: NameAddress) -> NameAddress:
    parameters = {name: value for name, value in address.parameters.items() if name != "tag"}
    return NameAddress(address.uri, address.display, parameters)


def _tagged(address: NameAddress, tag: str) -> str:
    return f"{address};tag={tag}" if tag else str(address)
