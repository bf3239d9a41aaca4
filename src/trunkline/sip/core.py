"""What every part of the user agent stands on.

`Core` has the outputs, the timers, the live transactions and the live sessions.
It finds the transaction a message belongs to, makes new ones, and ends sessions.
It decides nothing about calls.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, Protocol

from .attempts import Attempts, ClientRequest, ClientTransaction
from .bodies import SDP_TYPE
from .carrier import Carrier
from .dead_targets import DeadTargets
from .dialog import Dialog
from .errors import ParseError
from .events import Event, Output, RegistrationEvent, Send, Terminated
from .hop import Hop, Transport, is_address
from .message import Headers, Message, Request, Response, parse_message
from .public_address import ContactForm, PublicAddresses, put_contact
from .refusals import Refusals
from .session import Cause, Session
from .timers import TimerQueue
from .transaction import (
    InviteClientTransaction,
    InviteServerTransaction,
    NonInviteClientTransaction,
    NonInviteServerTransaction,
    State,
    Timing,
    Transaction,
    TransactionKey,
    server_key,
)

__all__ = ["Core", "Randomness", "Settings"]

METHODS = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO")
"""What every user agent takes part in; its parts add theirs."""
ENDED_KEPT = 1000
"""Dialogs that ended lately and are still told from ones that never were."""
LARGEST_DATAGRAM = 1300
"""A longer request goes over TCP, where we have it (RFC 3261 section 18.1.1)."""

ServerTransaction = InviteServerTransaction | NonInviteServerTransaction


class Randomness(Protocol):
    """`random.Random`, or `random.SystemRandom` where tags must not be guessed."""

    def getrandbits(self, bits: int, /) -> int:
        """A number of that many bits."""

    def random(self) -> float:
        """At least 0, below 1."""


PLAIN = ContactForm()


@dataclass(frozen=True, slots=True)
class Settings:
    """How a user agent presents itself and how patient it is."""

    host: str
    """The address peers reach us at: goes into Via and Contact. IPv6 without brackets."""
    port: int = 5060
    user_agent: str = "Trunkline"
    """The Server and User-Agent header; empty: none."""
    ports: Mapping[Transport, int] = field(default_factory=lambda: MappingProxyType({}))
    """Our ports for connections, by transport; UDP's is ``port``. What is not in it we
    have not: no request is moved to TCP for its size."""
    timing: Timing = field(default_factory=Timing)
    force_rport: bool = True
    """Answer to where a request came from even if it does not ask for it (RFC 3581)."""
    learn_address: bool = False
    """Write into Contact what an answer's Via says we are seen as (RFC 3581): for a node
    behind a NAT whose public address nobody has configured."""
    follow_source: bool = False
    """Send requests to where the peer's last message came from, not to its Contact, when
    there is no route set: for peers behind a NAT."""
    ring_limit_seconds: float | None = 180.0
    """An inbound call nobody answers is refused with 480 after this long."""
    reliable: Literal["off", "supported", "required"] = "supported"
    """Reliable provisional responses (RFC 3262): never, with who knows them, or only."""
    session_expires_seconds: int = 0
    """The session timer we ask for (RFC 4028); 0: only those of the others."""
    min_se_seconds: int = 90
    """The shortest session timer we take; a shorter one is answered 422."""
    max_transactions: int = 50_000
    """Above this a new request gets 503 and Retry-After: memory against a flood."""

    def hostport(self, transport: Transport = "UDP", host: str = "") -> str:
        """Host and port as they are written in a message that goes over ``transport``."""
        host = host or self.host
        host = f"[{host}]" if ":" in host else host
        return f"{host}:{self.port_of(transport)}"

    def port_of(self, transport: Transport) -> int:
        """Where we are reached over ``transport``."""
        return self.ports.get(transport, self.port)

    def contact(self, transport: Transport = "UDP", form: ContactForm = PLAIN) -> str:
        """Our Contact value for who reaches us over ``transport``."""
        return form.value(self.host, self.port_of(transport), transport)


class Core:
    """Outputs, timers, live transactions, live sessions. A `transaction.Layer`."""

    def __init__(self, settings: Settings, rng: Randomness, carrier: Carrier | None = None) -> None:
        self.settings = settings
        self.carrier = carrier
        """Who looks names up and keeps connections; None: names go out as they are."""
        self.dead = DeadTargets()
        self.public = PublicAddresses()
        """How those we spoke with see us, where a NAT is between."""
        self.timing = settings.timing
        self.timers = TimerQueue()
        self.outputs: deque[Output] = deque()
        self.counters: Counter[str] = Counter()
        self.clients: dict[TransactionKey, ClientTransaction] = {}
        self.servers: dict[TransactionKey, ServerTransaction] = {}
        self.merged: dict[TransactionKey, TransactionKey] = {}
        self.sessions: dict[str, Session] = {}
        self.dialogs: dict[tuple[str, str], Session] = {}
        self.far_ends: Counter[Hop] = Counter()
        """Where the far ends of live sessions send from, and how many of them."""
        self.far_hosts: Counter[str] = Counter()
        """The same by address alone."""
        self.ended: deque[tuple[str, str, str]] = deque(maxlen=ENDED_KEPT)
        """Dialogs of late: Call-ID, our tag, theirs."""
        self.methods = list(METHODS)
        """What we take part in: Allow. Parts add theirs when they are made."""
        self.supported: list[str] = []
        """The extensions we know, by option tag: Supported, and what Require may name."""
        self.refusals = Refusals(settings.max_transactions)
        """INVITEs that were refused a short while ago."""
        self.now = 0.0
        """The time of the message or timer that is being looked at."""
        self.source: Hop | None = None
        """Where the message that is being looked at came from."""
        self._rng = rng
        self._pool = ""
        self._agent: Mapping[str, list[tuple[str, str]]] = {
            name: [(name, settings.user_agent)] if settings.user_agent else []
            for name in ("Server", "User-Agent")
        }

    # Outputs.

    def transmit(self, data: bytes, destination: Hop) -> None:
        """Put a message on the wire."""
        if self.carrier is not None and not is_address(destination.host):
            self._transmit_to_name(data, destination)
        else:
            self.outputs.append(Send(data, destination))

    def _transmit_to_name(self, data: bytes, destination: Hop) -> None:
        """The ACK of a 2xx, which has no transaction to look its next hop up."""
        request = parse_message(data)
        assert self.carrier is not None
        assert isinstance(request, Request)

        def located(targets: Sequence[Hop], now: float) -> None:
            if not targets:
                self.counters["name not found"] += 1
                return
            request.drop_first("via")
            request.put_first(*self.new_via(targets[0]))
            self.outputs.append(Send(bytes(request), targets[0]))

        self.carrier.locate(destination, request.call_id, located)

    def emit(self, event: Event | RegistrationEvent) -> None:
        """Tell the application."""
        self.outputs.append(event)

    # Identifiers.

    def token(self, digits: int = 16) -> str:
        """A random identifier of that many hex digits."""
        if len(self._pool) < digits:  # one system call for 64 identifiers, where it is one
            self._pool = f"{self._rng.getrandbits(4096):01024x}"
        token, self._pool = self._pool[:digits], self._pool[digits:]
        return token

    def random(self) -> float:
        """At least 0, below 1."""
        return self._rng.random()

    # How we are seen.

    def new_via(self, place: Hop | Transport) -> tuple[str, str]:
        """A Via field with a branch of its own, for a request that goes there."""
        hop = _somewhere(place)
        sent_by = self.settings.hostport(hop.transport, self._address(hop))
        return "Via", f"SIP/2.0/{hop.transport} {sent_by};branch=z9hG4bK{self.token()};rport"

    def contact(self, place: Hop | Transport, form: ContactForm = PLAIN) -> str:
        """Our Contact value for whoever is there."""
        hop = _somewhere(place)
        if form.secure and hop.transport in ("UDP", "TCP"):  # that is what brought the request
            hop = hop._replace(transport="TLS")
        seen = self.public.get(hop) if self.public else None
        if seen is None:
            host = self._address(hop) or self.settings.host
            seen = host, self.settings.port_of(hop.transport)
        return form.value(*seen, hop.transport)

    def _address(self, hop: Hop) -> str:
        return self.carrier.our_address(hop) if self.carrier is not None else ""

    # Transactions.

    def forget(self, transaction: Transaction) -> None:
        """A transaction is over."""
        key = transaction.key
        if self.clients.get(key) is transaction:
            del self.clients[key]
        elif self.servers.get(key) is transaction:
            del self.servers[key]
            merged = merge_key(transaction.request, transaction.destination.transport)
            if self.merged.get(merged) == key:
                del self.merged[merged]
                if isinstance(transaction, InviteServerTransaction):
                    self.refusals.note(merged, transaction.last_code, self.now)

    def reply_address(self, request: Request, source: Hop) -> Hop:
        """Where a response goes (RFC 3261 section 18.2.2, RFC 3581 section 4)."""
        via = request.via
        if source.is_reliable or self.settings.force_rport or "rport" in via.parameters:
            return source
        return source._replace(port=via.port or 5060)

    def serve(
        self,
        request: Request,
        source: Hop,
        on_failure: Callable[[int, float], None] | None = None,
    ) -> ServerTransaction:
        """Begin a server transaction; one of INVITE for an INVITE."""
        key = server_key(request, transport=source.transport)
        kind = InviteServerTransaction if request.method == "INVITE" else NonInviteServerTransaction
        transaction = kind(
            self,
            key,
            request,
            self.reply_address(request, source),
            on_failure=on_failure,
            reliable=source.is_reliable,
        )
        self.servers[key] = transaction
        self.merged[merge_key(request, source.transport)] = key
        return transaction

    def send_request(
        self,
        request: Request,
        destination: Hop,
        on_response: Callable[[Response, float], None],
        on_failure: Callable[[int, float], None],
        now: float,
        *,
        no_response_seconds: float | None = None,
        on_next: Callable[[], None] | None = None,
    ) -> ClientRequest:
        """Begin a client transaction, or several, one after the other.

        The request gets its Via here, unless it has one: a CANCEL has its INVITE's. A name is
        looked up; a request too long for a datagram goes over TCP, where we have it; targets
        are tried until one answers. ``no_response_seconds``: how long each of them may say
        nothing at all. ``on_next`` is called before the second and each further target.
        """
        named = not is_address(destination.host) and self.carrier is not None
        long = destination.transport == "UDP" and self._is_long(request)
        simple = not (named or long or no_response_seconds or destination.is_reliable)
        if simple or request.all("via"):
            if self.public:
                put_contact(request, self.contact(destination))
            return self._begin(request, destination, on_response, on_failure, now)
        attempts = Attempts(
            self,
            request,
            destination,
            on_response,
            on_failure,
            no_response_seconds=no_response_seconds,
            on_next=on_next,
        )
        if named and self.carrier is not None:
            self.carrier.locate(destination, request.call_id, attempts.start)
        else:
            attempts.start([destination], now)
        return attempts

    def begin(
        self,
        request: Request,
        destination: Hop,
        on_response: Callable[[Response, float], None],
        on_failure: Callable[[int, float], None],
        now: float,
    ) -> ClientTransaction:
        """A client transaction with one target of several; see `attempts.Sender`."""
        put_contact(request, self.contact(destination))
        return self._begin(request, destination, on_response, on_failure, now)

    def _begin(
        self,
        request: Request,
        destination: Hop,
        on_response: Callable[[Response, float], None],
        on_failure: Callable[[int, float], None],
        now: float,
    ) -> ClientTransaction:
        if not request.all("via"):
            request.put_first(*self.new_via(destination))
        kind = InviteClientTransaction if request.method == "INVITE" else NonInviteClientTransaction
        transaction = kind(
            self,
            (request.via.branch, request.method),
            request,
            destination,
            now,
            on_response=on_response,
            on_failure=on_failure,
            reliable=destination.is_reliable,
        )
        self.clients[transaction.key] = transaction
        return transaction

    def fitting(self, request: Request, target: Hop) -> tuple[Hop, ...]:
        """The target; of a request too long for a datagram, over TCP first (18.1.1)."""
        if target.transport != "UDP" or not self._is_long(request):
            return (target,)
        return target._replace(transport="TCP", flow=0), target

    def _is_long(self, request: Request) -> bool:
        if "TCP" not in self.settings.ports:
            return False
        fields = sum(len(name) + len(value) + 4 for name, value in request.headers)
        return fields + len(request.body) + len(request.uri) > LARGEST_DATAGRAM - 150

    # Messages.

    def respond(
        self,
        transaction: ServerTransaction,
        code: int,
        now: float,
        *,
        reason: str = "",
        headers: Headers = (),
        tag: str = "",
        body: bytes = b"",
    ) -> None:
        """Answer a request; the body is a session description."""
        described = [("Content-Type", SDP_TYPE)] if body else []
        response = transaction.request.response(
            code,
            reason,
            to_tag=tag or (self.token() if code > 100 else ""),
            headers=[*self._agent["Server"], *headers, *described],
            body=body,
        )
        transaction.respond(response, now)

    def refuse(
        self,
        request: Request,
        source: Hop,
        code: int,
        now: float,
        reason: str = "",
        headers: Headers = (),
    ) -> None:
        """Answer a request that comes to nothing; counted."""
        self.counters[f"refused-{code}"] += 1
        self.respond(self.serve(request, source), code, now, reason=reason, headers=headers)

    def answer_statelessly(
        self,
        request: Request,
        source: Hop,
        code: int,
        reason: str = "",
        headers: Headers = (),
    ) -> None:
        """Answer and forget (RFC 3261 section 8.2.7): for what may be an attack."""
        self.counters[f"refused-{code}"] += 1
        try:
            destination = self.reply_address(request, source)
        except ParseError:
            destination = source
        response = request.response(
            code, reason, to_tag=self.token(), headers=[*self._agent["Server"], *headers]
        )
        self.transmit(bytes(response), destination)

    @property
    def allow(self) -> str:
        """The Allow value."""
        return ", ".join(self.methods)

    def server_headers(
        self, place: Hop | Transport, form: ContactForm = PLAIN
    ) -> list[tuple[str, str]]:
        """Of a response, to there, that makes or changes a dialog."""
        return [*self.dialog_headers(place, form), *self._agent["Server"]]

    def client_headers(
        self, place: Hop | Transport, form: ContactForm = PLAIN
    ) -> list[tuple[str, str]]:
        """Of a request, to there, that makes or changes a dialog."""
        return [*self.dialog_headers(place, form), *self._agent["User-Agent"]]

    def dialog_headers(
        self, place: Hop | Transport, form: ContactForm = PLAIN
    ) -> list[tuple[str, str]]:
        """Contact and what we can do, for who is there."""
        return [
            ("Contact", self.contact(place, form)),
            ("Allow", self.allow),
            ("Supported", ", ".join(self.supported)),
        ]

    def destination(self, session: Session, dialog: Dialog | None = None) -> Hop:
        """Where a request in the session's dialog goes, or in an early one of it."""
        internals = session._internals
        dialog = dialog or internals.dialog
        assert dialog is not None
        source = internals.source
        following = self.settings.follow_source and not dialog.route_set
        if following and source and self.is_open(source):
            return source
        return dialog.next_hop._replace(profile=internals.profile)

    def is_open(self, hop: Hop) -> bool:
        """Whether something can be sent back to where it came from."""
        return not hop.flow or self.carrier is None or self.carrier.is_open(hop)

    # Sessions.

    def register(self, session: Session) -> None:
        """A session begins."""
        self.sessions[session.id] = session
        self.dialogs[session.call_id, session._internals.local_tag] = session
        self._count_far_end(session._internals.source, 1)

    def follow(self, session: Session, source: Hop | None) -> None:
        """A message of the session came from there."""
        old = session._internals.source
        if old == source:
            return
        session._internals.source = source
        if session.id in self.sessions:
            self._count_far_end(old, -1)
            self._count_far_end(source, 1)

    def _count_far_end(self, source: Hop | None, change: int) -> None:
        if source is None:
            return
        self.far_ends[source] += change
        if not self.far_ends[source]:
            del self.far_ends[source]
        self.far_hosts[source.host] += change
        if not self.far_hosts[source.host]:
            del self.far_hosts[source.host]

    def find_session(self, message: Message, *, inbound: bool) -> Session | None:
        """Whose dialog a message belongs to (RFC 3261 section 12.2.2)."""
        ours, theirs = (message.to, message.from_) if inbound else (message.from_, message.to)
        session = self.dialogs.get((message.call_id, ours.tag))
        if session is None:
            return None
        dialog = session._internals.dialog
        if dialog is not None:
            return session if dialog.remote_tag == theirs.tag else None
        return session if theirs.tag in session._internals.early_dialogs else None

    def terminate(
        self,
        session: Session,
        now: float,
        reason: str,
        by: Literal["us", "them"],
        code: int | None = None,
    ) -> None:
        """End a session and say so; once, however often it is called.

        An INVITE of theirs that is still open is answered 487 (RFC 3261 section 15.1.2).
        """
        if session.is_terminated:
            return
        session.move(Cause.OVER)
        internals = session._internals
        internals.stop_all()
        for invite in (internals.server_invite, internals.server_reinvite):
            if invite is not None and not invite.is_answered:
                self.respond(invite, 487, now, tag=internals.local_tag)
        change, internals.server_change = internals.server_change, None
        if change is not None and not change.is_answered:
            self.respond(change, 481, now, tag=internals.local_tag)
        for request in (internals.client_invite, internals.client_reinvite):
            if request is not None and request.state in (State.CALLING, State.PROCEEDING):
                request.drop()
        if self.sessions.pop(session.id, None) is not None:
            self._count_far_end(internals.source, -1)
        self.dialogs.pop((session.call_id, internals.local_tag), None)
        if (dialog := internals.dialog) is not None:
            self.ended.append((dialog.call_id, dialog.local_tag, dialog.remote_tag))
        self.tell_end(session, reason, by, code)

    def tell_end(
        self, session: Session, reason: str, by: Literal["us", "them"], code: int | None
    ) -> None:
        """Say that a session is over, once."""
        internals = session._internals
        if not internals.told_end:
            internals.told_end = True
            later = internals.retry_after_seconds
            self.emit(Terminated(session, reason, by, code, internals.cause, later))


def _somewhere(place: Hop | Transport) -> Hop:
    """A hop, where only what carries it may be known."""
    return place if isinstance(place, Hop) else Hop("", 0, place)


def merge_key(request: Request, transport: Transport) -> TransactionKey:
    """What a request has in common with itself on another path (RFC 3261 8.2.2.2)."""
    cseq = request.cseq
    return request.call_id, request.from_.tag, str(cseq.number), cseq.method, transport
