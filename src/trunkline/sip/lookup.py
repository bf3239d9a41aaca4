"""Where a name's messages go: RFC 3263, without a resolver.

`look_up` is a conversation: it yields questions for the domain name system, is sent their
answers, and returns the targets in the order they are to be tried. Who asks, and what is
remembered, is `trunkline.transports.resolver`'s business::

    lookup = look_up(Hop("sip.example.com", 0), ["UDP", "TCP"], ["A"], rng)
    questions = next(lookup)
    ...
    questions = lookup.send([records of the first, of the second])
"""

from collections.abc import Collection, Generator, Iterable, Sequence
from typing import Literal, NamedTuple, Protocol

from .hop import Hop, Transport, default_port, is_address

__all__ = ["Answer", "Lookup", "Naptr", "Question", "Service", "look_up", "order_services"]

MAX_TARGETS = 16
"""More are not tried: a request's patience does not last for them."""

RecordType = Literal["NAPTR", "SRV", "A", "AAAA"]

# RFC 3263 section 4.1: what NAPTR calls a transport, and where its SRV records are.
_NAPTR_SERVICES: dict[str, Transport] = {"SIP+D2U": "UDP", "SIP+D2T": "TCP", "SIPS+D2T": "TLS"}
_SRV_PREFIX = {"UDP": "_sip._udp.", "TCP": "_sip._tcp.", "TLS": "_sips._tcp."}
_PREFERENCE: tuple[Transport, ...] = ("UDP", "TCP", "TLS")


class Draw(Protocol):
    """Chooses among servers of one priority."""

    def random(self) -> float:
        """At least 0, below 1."""


class Question(NamedTuple):
    """Records wanted."""

    name: str
    type: RecordType


class Naptr(NamedTuple):
    """One NAPTR record (RFC 3403), without its expression."""

    order: int
    preference: int
    flags: str
    service: str
    replacement: str


class Service(NamedTuple):
    """One SRV record (RFC 2782)."""

    priority: int
    weight: int
    port: int
    target: str


Answer = Sequence[Naptr] | Sequence[Service] | Sequence[str]
"""The records of one question; addresses as text; empty where there are none."""
Lookup = Generator[list[Question], list[Answer], list[Hop]]


def look_up(
    hop: Hop, speaks: Collection[Transport], families: Sequence[Literal["A", "AAAA"]], rng: Draw
) -> Lookup:
    """Find the targets of a hop; see the module. No target: the name leads nowhere.

    ``speaks``: the transports we have. ``families``: what addresses we can send to, the
    preferred first.
    """
    if is_address(hop.host):
        return [_target(hop, hop.host, hop.port or default_port(hop.transport), hop.transport)]
    if hop.port:  # RFC 3263 section 4.2: a port leaves nothing to ask but the address
        servers = [(hop.transport, hop.host, hop.port)]
    else:
        servers = yield from _servers(hop, speaks, rng)
    names = list(dict.fromkeys(name for _, name, _ in servers if not is_address(name)))
    names = names[:MAX_TARGETS]
    found: dict[str, list[str]] = {}
    if names:
        questions = [Question(name, family) for name in names for family in families]
        answers = yield questions
        for question, answer in zip(questions, answers, strict=True):
            found.setdefault(question.name, []).extend(map(str, answer))
    targets = [
        _target(hop, address, port, transport)
        for transport, name, port in servers
        for address in found.get(name, [name] if is_address(name) else [])
    ]
    return list(dict.fromkeys(targets))[:MAX_TARGETS]


def _servers(
    hop: Hop, speaks: Collection[Transport], rng: Draw
) -> Generator[list[Question], list[Answer], list[tuple[Transport, str, int]]]:
    """Transport, name and port of each server, in order (RFC 3263 sections 4.1 and 4.2)."""
    services: list[tuple[Transport, str]] = []
    if hop.any_transport:
        (answer,) = yield [Question(hop.host, "NAPTR")]
        services = _preferred(answer, speaks)
        transports = [one for one in _PREFERENCE if one in speaks]
    else:
        transports = [hop.transport]
    if not services:
        services = [(transport, _SRV_PREFIX[transport] + hop.host) for transport in transports]
    answers = yield [Question(name, "SRV") for _, name in services]
    servers = []
    for (transport, _), answer in zip(services, answers, strict=True):
        records = [record for record in answer if isinstance(record, Service)]
        servers += [
            (transport, record.target.rstrip("."), record.port)
            for record in order_services(records, rng)
        ]
    if servers:
        # A target of "." says that the service is decidedly not there (RFC 2782).
        return [server for server in servers if server[1]]
    return [(hop.transport, hop.host, default_port(hop.transport))]


def _preferred(answer: Answer, speaks: Collection[Transport]) -> list[tuple[Transport, str]]:
    """What NAPTR records offer of what we speak, the most wanted first."""
    offers = []
    for record in answer:
        if isinstance(record, Naptr) and record.flags.lower() == "s" and record.replacement:
            transport = _NAPTR_SERVICES.get(record.service.upper())
            if transport is not None and transport in speaks:
                offers.append((record.order, record.preference, transport, record.replacement))
    return [(transport, name.rstrip(".")) for _, _, transport, name in sorted(offers)]


def order_services(records: Iterable[Service], rng: Draw) -> list[Service]:
    """SRV records in the order to try them: by priority, by chance in their weights' ratio.

    As RFC 2782 says, so that a record without weight is taken first only now and then.
    """
    left = sorted(records, key=lambda record: (record.priority, record.weight))
    ordered: list[Service] = []
    while left:
        same = [record for record in left if record.priority == left[0].priority]
        chosen = same[0]
        mark = rng.random() * (sum(record.weight for record in same) + 1)
        reached = 0
        for record in same:
            chosen = record
            reached += record.weight
            if reached >= int(mark):
                break
        ordered.append(chosen)
        left.remove(chosen)
    return ordered


def _target(hop: Hop, address: str, port: int, transport: Transport) -> Hop:
    name = hop.name or ("" if is_address(hop.host) else hop.host)
    return Hop(address, port, transport, 0, hop.profile, name)
