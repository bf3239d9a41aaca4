"""The four transaction machines (RFC 3261 section 17, with RFC 6026's Accepted).

Each is a table of (state, cause) to (state, actions); nothing else decides. The
causes are what arrives, what the user of the transaction sends, and the timers;
the timers' names are the RFC's. A pair that is in no table is ignored if the peer
caused it, and raises StateError if we did.

A transaction belongs to a `Layer`, which gives it time, a wire and a place in the
map of live transactions; tests give it a fake one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from .errors import StateError
from .hop import Hop, Transport
from .message import Request, Response
from .timers import Timer, TimerQueue

__all__ = [
    "Action",
    "Cause",
    "InviteClientTransaction",
    "InviteServerTransaction",
    "Layer",
    "NonInviteClientTransaction",
    "NonInviteServerTransaction",
    "State",
    "Timing",
    "Transaction",
    "TransactionKey",
    "client_key",
    "server_key",
]

MAGIC_COOKIE = "z9hG4bK"
"""How a branch says that it is unique (RFC 3261 section 8.1.1.7)."""

TransactionKey = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Timing:
    """The times of RFC 3261 table 4, in seconds."""

    t1: float = 0.5
    """Round trip estimate: the first retransmission."""
    t2: float = 4.0
    """The longest wait between retransmissions of what is not an INVITE."""
    t4: float = 5.0
    """How long a message may stay in the network."""

    @property
    def patience(self) -> float:
        """64 times T1: timers B, F, H, J, L, M, and D with its floor of 32 s."""
        return 64 * self.t1


class State(StrEnum):
    """Where a transaction is."""

    CALLING = "calling"
    TRYING = "trying"
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    ACCEPTED = "accepted"
    CONFIRMED = "confirmed"
    TERMINATED = "terminated"


class Cause(StrEnum):
    """What moves a transaction."""

    REQUEST = "request received"
    ACK = "ack received"
    PROVISIONAL = "1xx received"
    SUCCESS = "2xx received"
    FAILURE = "3xx-6xx received"
    SEND_PROVISIONAL = "1xx from user"
    SEND_SUCCESS = "2xx from user"
    SEND_FAILURE = "3xx-6xx from user"
    RETRANSMIT = "timer A, E or G"
    GIVE_UP = "timer B, F or H"
    FORGET = "timer D, I, J, K, L or M"
    TRANSPORT_ERROR = "transport error"


class Action(StrEnum):
    """What a transaction does on the way; the value names the method."""

    SEND = "_send"
    RESEND = "_resend"
    PASS = "_pass_to_user"
    ACK = "_acknowledge"
    STOP = "_stop_timers"
    TIMED_OUT = "_report_timeout"
    UNREACHABLE = "_report_unreachable"
    A_AGAIN = "_restart_timer_a"
    E_AGAIN = "_restart_timer_e"
    E_AT_T2 = "_restart_timer_e_at_t2"
    G_AGAIN = "_restart_timer_g"
    START_D = "_start_timer_d"
    START_G_H = "_start_timers_g_h"
    START_I = "_start_timer_i"
    START_J = "_start_timer_j"
    START_K = "_start_timer_k"
    START_L = "_start_timer_l"
    START_M = "_start_timer_m"


Table = Mapping[tuple[State, Cause], tuple[State, tuple[Action, ...]]]

_FROM_PEER = {Cause.REQUEST, Cause.ACK, Cause.PROVISIONAL, Cause.SUCCESS, Cause.FAILURE}


class Layer(Protocol):
    """What a transaction needs around it."""

    timing: Timing
    timers: TimerQueue

    def transmit(self, data: bytes, destination: Hop) -> None:
        """Put a message on the wire."""

    def forget(self, transaction: "Transaction") -> None:
        """It is over: take it out of the map of live ones."""


class Transaction:
    """What the four have in common."""

    TABLE: ClassVar[Table] = {}

    __slots__ = ("_deadline", "_interval", "_last", "_layer", "_retransmission", "destination",
                 "key", "reliable", "request", "state")  # fmt: skip

    def __init__(
        self,
        layer: Layer,
        key: TransactionKey,
        request: Request,
        destination: Hop,
        state: State,
        reliable: bool,
    ) -> None:
        self._layer = layer
        self.key = key
        """Under which the layer finds it."""
        self.request = request
        """What began it."""
        self.destination = destination
        """Where its messages go."""
        self.state = state
        self.reliable = reliable
        """Over TCP and TLS nothing is repeated (RFC 3261 section 17.1.1.1)."""
        self._last = b""  # the message that is repeated
        self._interval = layer.timing.t1
        self._retransmission: Timer | None = None
        self._deadline: Timer | None = None

    def fail(self, now: float) -> None:
        """The transport could not deliver."""
        self._fire(Cause.TRANSPORT_ERROR, None, now)

    def drop(self) -> None:
        """Stop at once, without a word to anybody."""
        self._stop_timers(None, 0.0)
        if self.state is not State.TERMINATED:
            self.state = State.TERMINATED
            self._layer.forget(self)

    def _fire(self, cause: Cause, message: Any, now: float) -> None:
        step = self.TABLE.get((self.state, cause))
        if step is None:
            if cause in _FROM_PEER or self.state is State.TERMINATED:
                return
            raise StateError(f"{cause} in state {self.state} of {type(self).__name__}")
        state, actions = step
        ends = state is State.TERMINATED and self.state is not State.TERMINATED
        self.state = state
        if ends:  # before the user is told, who may start the next one
            self._stop_timers(None, now)
            self._layer.forget(self)
        for action in actions:
            getattr(self, action)(message, now)

    def _send(self, message: Any, now: float) -> None:
        self._last = bytes(message)
        self._layer.transmit(self._last, self.destination)

    def _resend(self, message: Any, now: float) -> None:
        if self._last:
            self._layer.transmit(self._last, self.destination)

    def _stop_timers(self, message: Any, now: float) -> None:
        for timer in (self._retransmission, self._deadline):
            if timer is not None:
                timer.cancel()
        self._retransmission = self._deadline = None

    def _retransmit_after(self, seconds: float, now: float) -> None:
        if not self.reliable:
            self._interval = seconds
            self._retransmission = self._layer.timers.start(now + seconds, self._on_retransmission)

    def _give_up_after(self, seconds: float, now: float) -> None:
        self._deadline = self._layer.timers.start(now + seconds, self._on_patience_over)

    def _forget_after(self, seconds: float, now: float) -> None:
        self._stop_timers(None, now)
        self._deadline = self._layer.timers.start(now + seconds, self._on_memory_over)

    def _on_retransmission(self, now: float) -> None:
        self._fire(Cause.RETRANSMIT, None, now)

    def _on_patience_over(self, now: float) -> None:
        self._fire(Cause.GIVE_UP, None, now)

    def _on_memory_over(self, now: float) -> None:
        self._fire(Cause.FORGET, None, now)


class _ClientTransaction(Transaction):
    """Sends a request and brings back what is answered."""

    __slots__ = ("_on_failure", "_on_response")

    def __init__(
        self,
        layer: Layer,
        key: TransactionKey,
        request: Request,
        destination: Hop,
        now: float,
        *,
        on_response: Callable[[Response, float], None],
        on_failure: Callable[[int, float], None],
        reliable: bool = False,
        state: State = State.TRYING,
    ) -> None:
        super().__init__(layer, key, request, destination, state, reliable)
        self._on_response = on_response
        self._on_failure = on_failure
        self._retransmit_after(layer.timing.t1, now)
        self._give_up_after(layer.timing.patience, now)
        self._send(request, now)

    def receive(self, response: Response, now: float) -> None:
        """A response that matched the key."""
        if response.code < 200:
            cause = Cause.PROVISIONAL
        else:
            cause = Cause.SUCCESS if response.code < 300 else Cause.FAILURE
        self._fire(cause, response, now)

    def hush(self) -> None:
        """Repeat the request no more; whatever still comes is passed on."""
        if self._retransmission is not None:
            self._retransmission.cancel()
            self._retransmission = None

    def withdraw(self, now: float) -> None:
        """Try no further target: there is none."""

    def _pass_to_user(self, response: Any, now: float) -> None:
        self._on_response(response, now)

    def _report_timeout(self, message: Any, now: float) -> None:
        self._on_failure(408, now)

    def _report_unreachable(self, message: Any, now: float) -> None:
        self._on_failure(503, now)


class InviteClientTransaction(_ClientTransaction):
    """RFC 3261 figure 5, RFC 6026 figure 4."""

    TABLE: ClassVar[Table] = {
        (State.CALLING, Cause.RETRANSMIT): (State.CALLING, (Action.RESEND, Action.A_AGAIN)),
        (State.CALLING, Cause.GIVE_UP): (State.TERMINATED, (Action.TIMED_OUT,)),
        (State.CALLING, Cause.PROVISIONAL): (State.PROCEEDING, (Action.STOP, Action.PASS)),
        (State.CALLING, Cause.SUCCESS): (State.ACCEPTED, (Action.START_M, Action.PASS)),
        (State.CALLING, Cause.FAILURE): (
            State.COMPLETED,
            (Action.ACK, Action.START_D, Action.PASS),
        ),
        (State.CALLING, Cause.TRANSPORT_ERROR): (State.TERMINATED, (Action.UNREACHABLE,)),
        (State.PROCEEDING, Cause.PROVISIONAL): (State.PROCEEDING, (Action.PASS,)),
        (State.PROCEEDING, Cause.SUCCESS): (State.ACCEPTED, (Action.START_M, Action.PASS)),
        (State.PROCEEDING, Cause.FAILURE): (
            State.COMPLETED,
            (Action.ACK, Action.START_D, Action.PASS),
        ),
        (State.PROCEEDING, Cause.TRANSPORT_ERROR): (State.PROCEEDING, ()),
        (State.ACCEPTED, Cause.SUCCESS): (State.ACCEPTED, (Action.PASS,)),
        (State.ACCEPTED, Cause.TRANSPORT_ERROR): (State.ACCEPTED, ()),
        (State.ACCEPTED, Cause.FORGET): (State.TERMINATED, ()),
        (State.COMPLETED, Cause.FAILURE): (State.COMPLETED, (Action.ACK,)),
        (State.COMPLETED, Cause.TRANSPORT_ERROR): (State.TERMINATED, ()),
        (State.COMPLETED, Cause.FORGET): (State.TERMINATED, ()),
    }
    __slots__ = ()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, state=State.CALLING, **options)

    def _acknowledge(self, response: Any, now: float) -> None:
        """The ACK of a refusal belongs to the transaction (RFC 3261 17.1.1.3)."""
        request = self.request
        to = response.get("to") or request.get("to") or ""
        headers = [
            ("Via", str(request.via)),
            *(("Route", value) for value in request.all("route")),
            ("From", request.get("from") or ""),
            ("To", to),
            ("Call-ID", request.call_id),
            ("CSeq", f"{request.cseq.number} ACK"),
            ("Max-Forwards", "70"),
            *(("Authorization", value) for value in request.all("authorization")),
            *(("Proxy-Authorization", value) for value in request.all("proxy-authorization")),
        ]
        self._layer.transmit(bytes(Request("ACK", request.uri, headers)), self.destination)

    def _restart_timer_a(self, message: Any, now: float) -> None:
        self._retransmit_after(self._interval * 2, now)

    def _start_timer_d(self, message: Any, now: float) -> None:
        self._forget_after(0.0 if self.reliable else max(32.0, self._layer.timing.patience), now)

    def _start_timer_m(self, message: Any, now: float) -> None:
        self._forget_after(self._layer.timing.patience, now)


class NonInviteClientTransaction(_ClientTransaction):
    """RFC 3261 figure 6."""

    TABLE: ClassVar[Table] = {
        (State.TRYING, Cause.RETRANSMIT): (State.TRYING, (Action.RESEND, Action.E_AGAIN)),
        (State.TRYING, Cause.GIVE_UP): (State.TERMINATED, (Action.TIMED_OUT,)),
        (State.TRYING, Cause.TRANSPORT_ERROR): (State.TERMINATED, (Action.UNREACHABLE,)),
        (State.TRYING, Cause.PROVISIONAL): (State.PROCEEDING, (Action.PASS,)),
        (State.TRYING, Cause.SUCCESS): (State.COMPLETED, (Action.START_K, Action.PASS)),
        (State.TRYING, Cause.FAILURE): (State.COMPLETED, (Action.START_K, Action.PASS)),
        (State.PROCEEDING, Cause.RETRANSMIT): (State.PROCEEDING, (Action.RESEND, Action.E_AT_T2)),
        (State.PROCEEDING, Cause.GIVE_UP): (State.TERMINATED, (Action.TIMED_OUT,)),
        (State.PROCEEDING, Cause.TRANSPORT_ERROR): (State.TERMINATED, (Action.UNREACHABLE,)),
        (State.PROCEEDING, Cause.PROVISIONAL): (State.PROCEEDING, (Action.PASS,)),
        (State.PROCEEDING, Cause.SUCCESS): (State.COMPLETED, (Action.START_K, Action.PASS)),
        (State.PROCEEDING, Cause.FAILURE): (State.COMPLETED, (Action.START_K, Action.PASS)),
        (State.COMPLETED, Cause.TRANSPORT_ERROR): (State.COMPLETED, ()),
        (State.COMPLETED, Cause.FORGET): (State.TERMINATED, ()),
    }
    __slots__ = ()

    def _restart_timer_e(self, message: Any, now: float) -> None:
        self._retransmit_after(min(self._interval * 2, self._layer.timing.t2), now)

    def _restart_timer_e_at_t2(self, message: Any, now: float) -> None:
        self._retransmit_after(self._layer.timing.t2, now)

    def _start_timer_k(self, message: Any, now: float) -> None:
        self._forget_after(0.0 if self.reliable else self._layer.timing.t4, now)


class _ServerTransaction(Transaction):
    """Takes a request, and its repetitions, and sends what is answered."""

    __slots__ = ("_on_failure", "on_cancel")

    def __init__(
        self,
        layer: Layer,
        key: TransactionKey,
        request: Request,
        destination: Hop,
        *,
        on_failure: Callable[[int, float], None] | None = None,
        reliable: bool = False,
        state: State = State.TRYING,
    ) -> None:
        super().__init__(layer, key, request, destination, state, reliable)
        self._on_failure = on_failure
        self.on_cancel: Callable[[Request, float], None] | None = None
        """Called when a CANCEL for it arrives in time."""

    def receive(self, request: Request, now: float) -> None:
        """The request again, or the ACK of its refusal."""
        self._fire(Cause.ACK if request.method == "ACK" else Cause.REQUEST, request, now)

    def respond(self, response: Response, now: float) -> None:
        """Send a response; StateError if one like it is not possible any more."""
        if response.code < 200:
            cause = Cause.SEND_PROVISIONAL
        else:
            cause = Cause.SEND_SUCCESS if response.code < 300 else Cause.SEND_FAILURE
        self._fire(cause, response, now)

    @property
    def is_answered(self) -> bool:
        """Whether a final response is out."""
        return self.state not in (State.TRYING, State.PROCEEDING)

    @property
    def last_code(self) -> int:
        """The status of the last response; 0 before the first."""
        return int(self._last[8:11] or 0)

    def _report_timeout(self, message: Any, now: float) -> None:
        if self._on_failure is not None:
            self._on_failure(408, now)

    def _report_unreachable(self, message: Any, now: float) -> None:
        if self._on_failure is not None:
            self._on_failure(503, now)


class InviteServerTransaction(_ServerTransaction):
    """RFC 3261 figure 7, RFC 6026 figure 5.

    A 2xx is repeated by the user, which sends it again in state Accepted.
    """

    TABLE: ClassVar[Table] = {
        (State.PROCEEDING, Cause.REQUEST): (State.PROCEEDING, (Action.RESEND,)),
        (State.PROCEEDING, Cause.SEND_PROVISIONAL): (State.PROCEEDING, (Action.SEND,)),
        (State.PROCEEDING, Cause.SEND_SUCCESS): (State.ACCEPTED, (Action.SEND, Action.START_L)),
        (State.PROCEEDING, Cause.SEND_FAILURE): (
            State.COMPLETED,
            (Action.SEND, Action.START_G_H),
        ),
        (State.PROCEEDING, Cause.TRANSPORT_ERROR): (State.TERMINATED, (Action.UNREACHABLE,)),
        (State.ACCEPTED, Cause.REQUEST): (State.ACCEPTED, ()),
        (State.ACCEPTED, Cause.ACK): (State.ACCEPTED, ()),
        (State.ACCEPTED, Cause.SEND_SUCCESS): (State.ACCEPTED, (Action.SEND,)),
        (State.ACCEPTED, Cause.TRANSPORT_ERROR): (State.ACCEPTED, ()),
        (State.ACCEPTED, Cause.FORGET): (State.TERMINATED, ()),
        (State.COMPLETED, Cause.REQUEST): (State.COMPLETED, (Action.RESEND,)),
        (State.COMPLETED, Cause.RETRANSMIT): (State.COMPLETED, (Action.RESEND, Action.G_AGAIN)),
        (State.COMPLETED, Cause.GIVE_UP): (State.TERMINATED, (Action.TIMED_OUT,)),
        (State.COMPLETED, Cause.ACK): (State.CONFIRMED, (Action.START_I,)),
        (State.COMPLETED, Cause.TRANSPORT_ERROR): (State.TERMINATED, (Action.UNREACHABLE,)),
        (State.CONFIRMED, Cause.REQUEST): (State.CONFIRMED, ()),
        (State.CONFIRMED, Cause.ACK): (State.CONFIRMED, ()),
        (State.CONFIRMED, Cause.TRANSPORT_ERROR): (State.CONFIRMED, ()),
        (State.CONFIRMED, Cause.FORGET): (State.TERMINATED, ()),
    }
    __slots__ = ()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, state=State.PROCEEDING, **options)

    def repeat(self) -> None:
        """Send the 2xx again, while its ACK is missing."""
        if self.state is State.ACCEPTED:
            self._resend(None, 0.0)

    def _start_timers_g_h(self, message: Any, now: float) -> None:
        self._retransmit_after(self._layer.timing.t1, now)
        self._give_up_after(self._layer.timing.patience, now)

    def _restart_timer_g(self, message: Any, now: float) -> None:
        self._retransmit_after(min(self._interval * 2, self._layer.timing.t2), now)

    def _start_timer_i(self, message: Any, now: float) -> None:
        self._forget_after(0.0 if self.reliable else self._layer.timing.t4, now)

    def _start_timer_l(self, message: Any, now: float) -> None:
        self._forget_after(self._layer.timing.patience, now)


class NonInviteServerTransaction(_ServerTransaction):
    """RFC 3261 figure 8."""

    TABLE: ClassVar[Table] = {
        (State.TRYING, Cause.REQUEST): (State.TRYING, ()),
        (State.TRYING, Cause.SEND_PROVISIONAL): (State.PROCEEDING, (Action.SEND,)),
        (State.TRYING, Cause.SEND_SUCCESS): (State.COMPLETED, (Action.SEND, Action.START_J)),
        (State.TRYING, Cause.SEND_FAILURE): (State.COMPLETED, (Action.SEND, Action.START_J)),
        (State.TRYING, Cause.TRANSPORT_ERROR): (State.TERMINATED, (Action.UNREACHABLE,)),
        (State.PROCEEDING, Cause.REQUEST): (State.PROCEEDING, (Action.RESEND,)),
        (State.PROCEEDING, Cause.SEND_PROVISIONAL): (State.PROCEEDING, (Action.SEND,)),
        (State.PROCEEDING, Cause.SEND_SUCCESS): (State.COMPLETED, (Action.SEND, Action.START_J)),
        (State.PROCEEDING, Cause.SEND_FAILURE): (State.COMPLETED, (Action.SEND, Action.START_J)),
        (State.PROCEEDING, Cause.TRANSPORT_ERROR): (State.TERMINATED, (Action.UNREACHABLE,)),
        (State.COMPLETED, Cause.REQUEST): (State.COMPLETED, (Action.RESEND,)),
        (State.COMPLETED, Cause.TRANSPORT_ERROR): (State.TERMINATED, (Action.UNREACHABLE,)),
        (State.COMPLETED, Cause.FORGET): (State.TERMINATED, ()),
    }
    __slots__ = ()

    def _start_timer_j(self, message: Any, now: float) -> None:
        # It waits for the peer's repetitions, whose T1 may be longer than ours: as with D,
        # no less than 64 times the usual one.
        self._forget_after(0.0 if self.reliable else max(32.0, self._layer.timing.patience), now)


def client_key(response: Response) -> TransactionKey:
    """Which request a response answers (RFC 3261 section 17.1.3)."""
    return response.via.branch, response.cseq.method


def server_key(request: Request, method: str = "", transport: Transport = "UDP") -> TransactionKey:
    """Which transaction a request belongs to (RFC 3261 section 17.2.3).

    An ACK has the key of its INVITE. ``method`` asks for that of another one: a
    CANCEL finds what it cancels with ``"INVITE"``. Peers of RFC 2543, without a
    unique branch, are told apart by everything else in the request. What comes over
    another ``transport`` is another request: it wants its answer there.
    """
    via = request.via
    method = method or ("INVITE" if request.method == "ACK" else request.method)
    if via.branch.startswith(MAGIC_COOKIE) and len(via.branch) > len(MAGIC_COOKIE):
        # The Call-ID too: phones behind two NATs may share an address, and some count
        # their branches from one after every start.
        return via.branch, via.sent_by, request.call_id, method, transport
    return (
        request.uri,
        request.from_.tag,
        request.call_id,
        str(request.cseq.number),
        via.sent_by,
        via.branch,
        method,
        transport,
    )
