"""One request, several targets: RFC 3263 section 4.3 and RFC 3261 section 18.1.1.

A name may stand for several servers, and a request too long for a datagram goes over TCP
first. `Attempts` is what `Core.send_request` returns then: it looks like a client transaction,
and has one after another, each a new branch of the same request. It goes on to the next target
after a 503, a transport error, a timeout, and silence; every other answer is the answer.

A target that was given up may answer after all. Its 2xx is passed on, for whoever sent the
INVITE has to acknowledge it; its 1xx gets a CANCEL.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from .carrier import Carrier
from .dead_targets import DeadTargets
from .errors import ParseError
from .headers import NameAddress, canonical_name
from .hop import Hop, is_address
from .message import Headers, Request, Response
from .timers import Timer, TimerQueue
from .transaction import InviteClientTransaction, NonInviteClientTransaction, State

__all__ = ["Attempts", "ClientRequest", "ClientTransaction", "Sender", "cancellation"]

TARGET_PATIENCE_SECONDS = 4.0
"""How long a target may say nothing while there is another one to try."""

ClientTransaction = InviteClientTransaction | NonInviteClientTransaction
OnResponse = Callable[[Response, float], None]
OnFailure = Callable[[int, float], None]


class Sender(Protocol):
    """What attempts need around them: the user agent's core."""

    timers: TimerQueue
    dead: DeadTargets
    carrier: Carrier | None
    counters: Counter[str]

    def begin(
        self,
        request: Request,
        destination: Hop,
        on_response: OnResponse,
        on_failure: OnFailure,
        now: float,
    ) -> ClientTransaction:
        """A client transaction with one target; the request gets its Via."""

    def fitting(self, request: Request, target: Hop) -> Sequence[Hop]:
        """The target, or the ways to it that suit a long request."""


class Attempts:
    """A request on its way to the first of its targets that answers."""

    def __init__(
        self,
        sender: Sender,
        request: Request,
        hop: Hop,
        on_response: OnResponse,
        on_failure: OnFailure,
        *,
        no_response_seconds: float | None = None,
        on_next: Callable[[], None] | None = None,
    ) -> None:
        self._sender = sender
        self.request = request
        self._hop = hop
        self._on_response = on_response
        self._on_failure = on_failure
        self._on_next = on_next
        self._patience = no_response_seconds
        self._targets: deque[Hop] = deque()
        self._current: ClientTransaction | None = None
        self._given_up: list[ClientTransaction] = []
        self._timer: Timer | None = None
        self._over = False

    # What it shares with a client transaction.

    @property
    def destination(self) -> Hop:
        """Where it was sent last; before that, where it is to go."""
        return self._current.destination if self._current is not None else self._hop

    @property
    def state(self) -> State:
        """The state of the transaction with the present target; over when all have failed.

        One that was given up may live on behind it, in case its answer comes after all.
        """
        if self._over:
            return State.TERMINATED
        if self._current is not None:
            return self._current.state
        return State.CALLING if self.request.method == "INVITE" else State.TRYING

    def drop(self) -> None:
        """Stop at once, without a word to anybody."""
        self._stop()
        for transaction in (self._current, *self._given_up):
            if transaction is not None:
                transaction.drop()

    def withdraw(self, now: float) -> None:
        """Try no further target; if it was not sent yet, it fails."""
        self._targets.clear()
        if self._current is None and not self._over:
            self._fail(503, now)

    # One target after the other.

    def start(self, targets: Sequence[Hop], now: float) -> None:
        """The targets are known."""
        if self._over:
            return
        ways = [way for target in targets for way in self._sender.fitting(self.request, target)]
        self._targets.extend(self._sender.dead.last(ways, now))
        if self._targets:
            self._next(now)
        else:
            self._sender.counters["name not found"] += 1
            self._fail(503, now)

    def _next(self, now: float) -> None:
        target = self._targets.popleft()
        if (old := self._current) is not None:
            self._sender.counters["next target"] += 1
            old.request = self.request.copy()  # its ACK and CANCEL have its own Via
            self.request.drop_first("via")
            if self._on_next is not None:
                self._on_next()
        patience = self._patience or (TARGET_PATIENCE_SECONDS if self._targets else 0.0)
        holder: list[ClientTransaction] = []
        self._current = self._sender.begin(
            self.request,
            target,
            lambda response, now: self._answered(holder[0], response, now),
            lambda code, now: self._failed(holder[0], code, now),
            now,
        )
        holder.append(self._current)
        if patience:
            self._timer = self._sender.timers.start(now + patience, partial(self._silent, now))

    def _answered(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        if transaction is not self._current or self._over:
            self._answered_late(transaction, response, now)
            return
        self._stop_timer()
        target = transaction.destination
        if response.code == 503:
            self._sender.dead.failed(target, now, _retry_after(response))
            self._skip(target)
            if self._targets:
                self._next(now)
                return
        elif target in self._sender.dead:
            self._sender.dead.works(target)
        if response.code >= 200:
            self._targets.clear()
        self._on_response(response, now)

    def _answered_late(
        self, transaction: ClientTransaction, response: Response, now: float
    ) -> None:
        """A target that was given up says something."""
        is_invite = self.request.method == "INVITE"
        if 200 <= response.code < 300 and is_invite:
            current = self._current
            if current is not transaction and current is not None and not self._over:
                self._stop_timer()
                self._targets.clear()
                self._given_up.append(current)
                self._current = transaction
                self._cancel(current, now)
            self._on_response(response, now)
        elif response.code < 200 and is_invite and transaction in self._given_up:
            self._given_up.remove(transaction)  # once
            self._cancel(transaction, now)

    def _cancel(self, transaction: ClientTransaction, now: float) -> None:
        if transaction.state is State.PROCEEDING:
            request = cancellation(transaction.request)
            self._sender.begin(request, transaction.destination, _ignore, _ignore, now)

    def _failed(self, transaction: ClientTransaction, code: int, now: float) -> None:
        """Timer B or F, or the transport could not deliver."""
        if transaction is not self._current or self._over:
            return
        self._stop_timer()
        self._sender.dead.failed(transaction.destination, now)
        if code == 503 and not self._targets and transaction.destination.flow:
            self._targets.extend(_beyond(self.request, transaction.destination))
        if self._targets:
            self._next(now)
        else:
            self._over = True
            self._on_failure(code, now)

    def _silent(self, since: float, now: float) -> None:
        """Nothing at all for as long as we wait for a target."""
        self._timer = None
        transaction = self._current
        assert transaction is not None
        if transaction.state not in (State.CALLING, State.TRYING):
            return
        self._sender.dead.failed(transaction.destination, now)
        if self._sender.carrier is not None and transaction.reliable:
            self._sender.carrier.went_silent(transaction.destination, since)
        transaction.hush()
        self._given_up.append(transaction)
        if self._targets:
            self._next(now)
        else:
            self._over = True
            transaction.request = self.request.copy()
            self._on_failure(408, now)

    def _skip(self, target: Hop) -> None:
        """Who is overloaded over TCP is so over UDP: not the same server once more."""
        others = [other for other in self._targets if other.address != target.address]
        self._targets = deque(others)

    def _fail(self, code: int, now: float) -> None:
        """Soon, not at once: whoever sends is not back from sending yet."""
        self._stop()
        self._sender.timers.start(now, partial(self._on_failure, code))

    def _stop(self) -> None:
        self._over = True
        self._targets.clear()
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


ClientRequest = ClientTransaction | Attempts
"""A request under way: to one target, or to the targets of a name."""


def _beyond(request: Request, lost: Hop) -> list[Hop]:
    """Where a request goes whose connection was lost under it: its Route, or its address."""
    try:
        route = request.values("route")
        uri = NameAddress.parse(route[0]).parsed_uri if route else request.parsed_uri
    except ParseError:
        return []
    hop = uri.hop._replace(profile=lost.profile)
    return [hop] if is_address(hop.host) and hop.is_reliable else []


def cancellation(invite: Request, more: Headers = ()) -> Request:
    """The CANCEL of an INVITE, in the same hop's eyes the same request (section 9.1)."""
    names = {"via", "route", "from", "to", "call-id", "max-forwards"}
    headers = [field for field in invite.headers if canonical_name(field[0]) in names]
    headers += [("CSeq", f"{invite.cseq.number} CANCEL"), *more]
    return Request("CANCEL", invite.uri, headers)


def _retry_after(response: Response) -> float:
    """RFC 3261 section 20.33: seconds, then a comment or parameters."""
    text = (response.get("retry-after") or "").strip().partition(";")[0].partition("(")[0].strip()
    return float(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 0.0


def _ignore(*_: object) -> None:
    """Nobody waits for this answer."""
