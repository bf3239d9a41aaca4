"""The last third of the INVITE handshake, on the side that answers (RFC 3261 13.3.1.4).

A 2xx is repeated, at growing intervals, until its ACK; without one the call ends.
"""

from functools import partial

from .bodies import read_description
from .core import Core
from .ending import Ending
from .errors import ParseError
from .events import Acked, Confirmed
from .message import Request, Response
from .session import Cause, Session, SessionState, Unacknowledged
from .transaction import InviteServerTransaction

__all__ = ["Acknowledgement"]


class Acknowledgement:
    """Sends 2xx responses and waits for their ACK."""

    def __init__(self, core: Core, ending: Ending) -> None:
        self._core = core
        self._ending = ending

    def send_success(
        self,
        session: Session,
        transaction: InviteServerTransaction,
        response: Response,
        now: float,
        *,
        late_offer: bool,
    ) -> None:
        """Send a 2xx and keep at it; ``late_offer``: the answer comes in the ACK."""
        transaction.respond(response, now)
        core, timing = self._core, self._core.timing
        number = transaction.request.cseq.number
        waiting = Unacknowledged(transaction, late_offer, timing.t1)
        waiting.repeat = core.timers.start(now + timing.t1, partial(self._repeat, waiting))
        waiting.deadline = core.timers.start(
            now + timing.patience, partial(self._give_up, session, number)
        )
        session._internals.unacknowledged[number] = waiting

    def _repeat(self, waiting: Unacknowledged, now: float) -> None:
        waiting.transaction.repeat()
        waiting.interval = min(waiting.interval * 2, self._core.timing.t2)
        waiting.repeat = self._core.timers.start(
            now + waiting.interval, partial(self._repeat, waiting)
        )

    def _give_up(self, session: Session, number: int, now: float) -> None:
        """No ACK in 64 times T1: the peer is gone, or never got the answer."""
        session._internals.unacknowledged.pop(number).stop()
        self._core.counters["ack-missing"] += 1
        if session.state is SessionState.CLOSING:
            self._hang_up_as_asked(session, now)
        elif not session.is_terminated and session.state is not SessionState.ENDING:
            self._ending.hang_up(session, now, reason="timeout", by="them")

    def receive_ack(self, request: Request, now: float) -> None:
        """An ACK that belongs to no transaction: that of a 2xx."""
        session = self._core.find_session(request, inbound=True)
        if session is None:
            self._core.counters["ack-stray"] += 1
            return
        internals = session._internals
        number = request.cseq.number
        waiting = internals.unacknowledged.pop(number, None)
        if waiting is None:
            return  # again, because our 2xx went twice
        # Who acknowledges a later INVITE has had the answer to the earlier ones: an ACK that
        # was lost, or is overtaken, is not waited for any more.
        for earlier in [other for other in internals.unacknowledged if other < number]:
            if not internals.unacknowledged[earlier].late_offer:
                internals.unacknowledged.pop(earlier).stop()
        waiting.stop()
        answer = None
        if waiting.late_offer:
            try:
                answer = session.remote_sdp = read_description(request)
            except ParseError:
                self._core.counters["answer-unreadable"] += 1
        self._core.emit(Acked(session, answer))
        if session.state is SessionState.ANSWERED:
            session.move(Cause.ACKNOWLEDGED)
            self._core.emit(Confirmed(session))
        elif session.state is SessionState.CLOSING:
            self._hang_up_as_asked(session, now)

    def _hang_up_as_asked(self, session: Session, now: float) -> None:
        internals = session._internals
        self._ending.hang_up(session, now, reason=internals.end_reason, by=internals.end_by)
