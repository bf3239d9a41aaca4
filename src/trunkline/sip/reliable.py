"""Reliable provisional responses, on the side that sends them (RFC 3262 section 3).

One is out at a time and is repeated until its PRACK; the others wait. A 2xx waits for
the PRACK of one with a session description. `prack` is the other side.
"""

from collections.abc import Callable
from functools import partial

from .bodies import SDP_TYPE, read_description
from .core import Core
from .errors import ParseError
from .events import EarlyAnswered, ReInvited
from .hop import Hop
from .message import Request
from .pending import Provisional, Provisionals
from .session import Session, SessionState

__all__ = ["OPTION", "Reliable", "acknowledges", "is_supported"]

OPTION = "100rel"
MOST_REMEMBERED = 10_000
"""Responses without a PRACK that are kept in mind after their call, all calls together."""
Failure = Callable[[Session, float], None]


def is_supported(request: Request) -> bool:
    """Whether who sent it acknowledges provisional responses."""
    return any(
        OPTION in request.values(name)
        for name in ("supported", "require")
        if request.get(name) is not None
    )


class Reliable:
    """Sends 101 to 199 until they are acknowledged."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.on_unacknowledged: Failure = lambda session, now: None
        """Told of an INVITE whose provisional response nobody acknowledges."""
        self._unacknowledged: dict[tuple[str, str], list[str]] = {}
        if core.settings.reliable != "off":
            core.methods.append("PRACK")
            core.supported.append(OPTION)

    def applies(self, session: Session) -> bool:
        """Whether provisional responses in this session are sent reliably."""
        internals = session._internals
        if internals.provisionals is None:
            if self._core.settings.reliable == "off" or not is_supported(session.request):
                return False
            # Any number to begin with that leaves room to count (section 3).
            first = 1 + int(self._core.random() * 0x7FFF)
            internals.provisionals = Provisionals(first)
        return True

    def send(self, session: Session, code: int, body: bytes, now: float) -> None:
        """Send one, after those that are waiting."""
        provisionals = session._internals.provisionals
        assert provisionals is not None
        if provisionals.closed:
            return
        if provisionals.waiting is not None:
            provisionals.queue.append((code, body))
        else:
            self._send_now(session, provisionals, code, body, now)

    def _send_now(
        self, session: Session, provisionals: Provisionals, code: int, body: bytes, now: float
    ) -> None:
        core, internals = self._core, session._internals
        transaction = internals.server_invite
        assert transaction is not None
        number = provisionals.next_number
        provisionals.next_number += 1
        headers = [
            *core.server_headers(transaction.destination, internals.contact),
            ("Require", OPTION),
            ("RSeq", str(number)),
        ]
        if body:
            headers.append(("Content-Type", SDP_TYPE))
            internals.local_body = body
        response = session.request.response(
            code, to_tag=internals.local_tag, headers=headers, body=body
        )
        offered = bool(body) and session.remote_sdp is None
        t1 = core.timing.t1
        waiting = Provisional(number, bytes(response), bool(body), offered, t1)
        provisionals.waiting = waiting
        waiting.repeat = core.timers.start(now + t1, partial(self._repeat, session, waiting))
        waiting.deadline = core.timers.start(
            now + core.timing.patience, partial(self._give_up, session)
        )
        remembered = self._unacknowledged
        remembered[session.call_id, internals.local_tag] = rack_of(session, number)
        if len(remembered) > MOST_REMEMBERED:
            del remembered[next(iter(remembered))]
        transaction.respond(response, now)

    def _repeat(self, session: Session, waiting: Provisional, now: float) -> None:
        transaction = session._internals.server_invite
        assert transaction is not None
        # Over TCP too: a proxy on the way may have lost it (section 3).
        self._core.transmit(waiting.data, transaction.destination)
        waiting.interval *= 2
        waiting.repeat = self._core.timers.start(
            now + waiting.interval, partial(self._repeat, session, waiting)
        )

    def _give_up(self, session: Session, now: float) -> None:
        self._core.counters["prack-missing"] += 1
        provisionals = session._internals.provisionals
        assert provisionals is not None
        provisionals.close()
        self.on_unacknowledged(session, now)

    def hold_back(self, session: Session, final: Callable[[float], None], now: float) -> bool:
        """Whether the 2xx has to wait; ``final`` sends it when it need not any more.

        What is queued behind it is not sent at all: the 2xx says the same. Ringing that is
        not acknowledged keeps it T1 at most: it need not wait (section 3), but some
        peers take whichever 200 comes first for the one of their PRACK.
        """
        provisionals = session._internals.provisionals
        if provisionals is None:
            return False
        provisionals.queue.clear()
        if provisionals.waiting is None:
            provisionals.close()
            return False
        provisionals.final = final
        if not provisionals.waiting.described:
            session._internals.timers["final"] = self._core.timers.start(
                now + self._core.timing.t1, partial(self._next, session, provisionals)
            )
        return True

    def receive_prack(self, session: Session, request: Request, source: Hop, now: float) -> None:
        """Their PRACK; one that acknowledges nothing is 481 (section 3)."""
        core, provisionals = self._core, session._internals.provisionals
        if provisionals is None or not acknowledges(session, request):
            core.refuse(request, source, 481, now)
            return
        waiting, provisionals.waiting = provisionals.waiting, None
        assert waiting is not None
        waiting.stop()
        self._unacknowledged.pop((request.call_id, request.to.tag), None)
        try:
            description = read_description(request)
        except ParseError as error:
            core.refuse(request, source, error.code, now, error.reason)
            description = None
        else:
            self._settle(session, request, source, waiting, now)
        if waiting.offered and not session.is_terminated:
            session.remote_sdp = description
            core.emit(EarlyAnswered(session, description))
        if not provisionals.closed:
            self._next(session, provisionals, now)

    def is_late(self, request: Request) -> bool:
        """Whether it acknowledges what we sent in a call that is over; once (section 3)."""
        key = (request.call_id, request.to.tag)
        late = self._unacknowledged.get(key) == _rack(request)
        if late:
            del self._unacknowledged[key]
        return late

    def _settle(
        self, session: Session, request: Request, source: Hop, waiting: Provisional, now: float
    ) -> None:
        """200 at once, or when an offer that came with it has its answer (section 5)."""
        core, internals = self._core, session._internals
        transaction = core.serve(request, source)
        if waiting.described:
            internals.settled.add(request.from_.tag)
        offers = bool(request.body) and not waiting.offered
        if offers and internals.settled and session.state is SessionState.INVITED:
            internals.server_change = transaction  # type: ignore[assignment]
            core.emit(ReInvited(session, request, read_description(request)))
        else:
            core.respond(transaction, 200, now, tag=internals.local_tag)

    def _next(self, session: Session, provisionals: Provisionals, now: float) -> None:
        final, provisionals.final = provisionals.final, None
        session._internals.stop_timer("final")
        if final is not None:
            provisionals.close()
            final(now)
        elif provisionals.queue:
            code, body = provisionals.queue.popleft()
            self._send_now(session, provisionals, code, body, now)


def acknowledges(session: Session, request: Request) -> bool:
    """Whether its RAck names the response that waits (section 7.2)."""
    provisionals = session._internals.provisionals
    if provisionals is None or provisionals.waiting is None:
        return False
    return _rack(request) == rack_of(session, provisionals.waiting.number)


def rack_of(session: Session, number: int) -> list[str]:
    """What the RAck of the response with that number says."""
    return [str(number), str(session.request.cseq.number), "INVITE"]


def _rack(request: Request) -> list[str]:
    parts = (request.get("rack") or "").split()
    return [part.lstrip("0") or "0" for part in parts[:2]] + parts[2:]
