"""Changing a call that is up: re-INVITE, ours and theirs (RFC 3261 section 14)."""

from collections.abc import Callable
from functools import partial

from .acknowledgement import Acknowledgement
from .core import SDP_TYPE, Core, read_description
from .ending import Ending
from .errors import ParseError, StateError
from .events import ReInviteAnswered, ReInvited
from .hop import Hop
from .message import Request, Response
from .outbound import acknowledge, cancellation
from .session import Fork, Session, SessionState

__all__ = ["ReInvite"]

MAX_ATTEMPTS = 8
"""After so many 491 we tell the application that it will not be."""


class ReInvite:
    """Both sides of changing a session."""

    def __init__(self, core: Core, ending: Ending, acknowledgement: Acknowledgement) -> None:
        self._core = core
        self._ending = ending
        self._acknowledgement = acknowledgement

    # Ours.

    def start(self, session: Session, offer: Callable[[], bytes], now: float) -> bool:
        """Propose a change; see `UserAgent.reinvite`."""
        if session.is_terminated or session.state is SessionState.ENDING:
            return False
        internals = session._internals
        if session.state is not SessionState.CONFIRMED or internals.unanswered_offer:
            raise StateError(f"no re-INVITE in state {session.state}")
        if internals.reinvite_offer is not None:
            raise StateError("the last re-INVITE is not answered yet")
        internals.reinvite_offer = offer
        internals.reinvite_attempts = 0
        if self._theirs_is_open(session):
            self._retry_later(session, now)  # theirs first: as if it were answered 491
        else:
            self._send(session, now)
        return True

    def _theirs_is_open(self, session: Session) -> bool:
        """Whether an INVITE of theirs has no answer yet, or its answer no ACK (14.1)."""
        internals = session._internals
        return internals.server_reinvite is not None or bool(internals.unacknowledged)

    def _send(self, session: Session, now: float) -> None:
        core, internals = self._core, session._internals
        assert internals.dialog is not None
        assert internals.reinvite_offer is not None
        internals.reinvite_body = internals.reinvite_offer()
        request = internals.dialog.request("INVITE")
        request.headers += core.client_headers(core.destination(session))
        request.headers.append(("Content-Type", SDP_TYPE))
        request.body = internals.reinvite_body
        if internals.authorizer is not None:
            request.headers += internals.authorizer.headers("INVITE", request.uri, request.body)
        internals.reinvite_is_out = True
        fork = Fork(internals.dialog)
        internals.client_reinvite = core.send_request(  # type: ignore[assignment]
            request,
            core.destination(session),
            partial(self._on_response, session, fork, request),
            partial(self._on_failure, session),
            now,
        )

    def _on_response(
        self, session: Session, fork: Fork, request: Request, response: Response, now: float
    ) -> None:
        internals = session._internals
        if response.code < 200:
            if "reinvite" not in internals.timers:  # from here on only we can end it
                self._later(session, partial(self._cancel, session, request), now)
            return
        internals.stop_timer("reinvite")
        if response.code < 300:
            self._agreed(session, fork, request, response)
            return
        internals.reinvite_is_out = False
        if session.state is not SessionState.CONFIRMED:
            return
        challenged = response.code in (401, 407) and internals.authorizer is not None
        if challenged and internals.authorizer.challenged(response):  # type: ignore[union-attr]
            self._send(session, now)
        elif response.code == 491 and internals.reinvite_attempts < MAX_ATTEMPTS:
            self._retry_later(session, now)
        elif response.code in (408, 481):
            self._ending.dialog_is_gone(session, response.code, now)
        else:
            self._report(session, response.code, response.reason)

    def _agreed(self, session: Session, fork: Fork, request: Request, response: Response) -> None:
        core, internals = self._core, session._internals
        if fork.ack:  # the 2xx again: our ACK was lost
            core.transmit(fork.ack, fork.destination)
            return
        fork.dialog.refresh_target(response)
        fork.destination = core.destination(session)
        fork.ack = acknowledge(core, fork.dialog, request, fork.destination)
        core.transmit(fork.ack, fork.destination)
        internals.reinvite_is_out = False
        if session.state is not SessionState.CONFIRMED:
            return
        answer = None
        try:
            answer = read_description(response)
        except ParseError:
            core.counters["answer-unreadable"] += 1
        internals.local_body = internals.reinvite_body
        internals.reinvite_offer = None
        if answer is not None:
            session.remote_sdp = answer
        core.emit(ReInviteAnswered(session, response.code, response.reason, answer))

    def _later(self, session: Session, step: Callable[[float], None], now: float) -> None:
        due = now + self._core.timing.patience
        session._internals.timers["reinvite"] = self._core.timers.start(due, step)

    def _cancel(self, session: Session, request: Request, now: float) -> None:
        """They have it and do not decide: a change, unlike a call, is worth no long wait."""
        transaction = session._internals.client_reinvite
        assert transaction is not None
        cancel = cancellation(request)
        self._core.send_request(cancel, transaction.destination, _ignore, _ignore, now)
        self._later(session, partial(self._abandon, session), now)

    def _abandon(self, session: Session, now: float) -> None:
        """Not even the CANCEL brought a final response (section 9.1)."""
        internals = session._internals
        assert internals.client_reinvite is not None
        internals.client_reinvite.drop()
        internals.reinvite_is_out = False
        self._report(session, 408, "Request Timeout")

    def _retry_later(self, session: Session, now: float) -> None:
        """Glare: the owner of the Call-ID waits longer (RFC 3261 section 14.1)."""
        internals = session._internals
        internals.reinvite_attempts += 1
        steps = int(self._core.random() * 191)
        delay = (210 + steps) / 100 if session.direction == "outbound" else steps / 95
        internals.timers["glare"] = self._core.timers.start(
            now + delay, partial(self._retry, session)
        )

    def _retry(self, session: Session, now: float) -> None:
        if self._theirs_is_open(session):
            self._retry_later(session, now)
        elif session.state is SessionState.CONFIRMED:
            self._send(session, now)

    def _on_failure(self, session: Session, code: int, now: float) -> None:
        session._internals.reinvite_is_out = False
        if session.state is SessionState.CONFIRMED:
            self._ending.dialog_is_gone(session, code, now)

    def _report(self, session: Session, code: int, reason: str) -> None:
        session._internals.reinvite_offer = None
        self._core.emit(ReInviteAnswered(session, code, reason, None))

    # Theirs.

    def receive(self, session: Session, request: Request, source: Hop, now: float) -> None:
        """Their re-INVITE, in order and with a new CSeq."""
        core, internals = self._core, session._internals
        refusal = self._conflict(session)
        if refusal:
            delay = [("Retry-After", str(int(core.random() * 11)))] if refusal == 500 else []
            core.refuse(request, source, refusal, now, headers=delay)
            return
        try:
            offer = read_description(request)
        except ParseError as error:  # with a memory: its repetition has an old CSeq
            core.refuse(request, source, error.code, now, error.reason)
            return
        transaction = core.serve(request, source)
        internals.server_reinvite = transaction  # type: ignore[assignment]
        transaction.on_cancel = partial(self._cancelled, session)
        core.respond(transaction, 100, now)
        core.emit(ReInvited(session, request, offer))

    def _conflict(self, session: Session) -> int:
        """The status another INVITE in progress asks for (section 14.2), or 0."""
        internals = session._internals
        state = session.state
        if state is SessionState.INVITED or internals.server_reinvite is not None:
            return 500
        if state in (SessionState.ENDING, SessionState.CLOSING):
            return 481
        if internals.reinvite_is_out or internals.unanswered_offer is not None:
            return 491
        if state in (SessionState.CALLING, SessionState.CANCELLING):
            return 491
        # Our offer is out in a 2xx and its answer, in the ACK, has not come.
        if any(waiting.late_offer for waiting in internals.unacknowledged.values()):
            return 491
        return 0

    def answer(self, session: Session, body: bytes, now: float) -> bool:
        """Agree; see `UserAgent.answer_reinvite`."""
        internals = session._internals
        transaction, internals.server_reinvite = internals.server_reinvite, None
        if transaction is None or session.is_terminated or transaction.is_answered:
            return False
        request = transaction.request
        offer = read_description(request)
        if offer is not None:
            session.remote_sdp = offer
        assert internals.dialog is not None
        internals.dialog.refresh_target(request)
        internals.local_body = body
        headers = [
            *self._core.server_headers(transaction.destination),
            ("Content-Type", SDP_TYPE),
        ]
        response = request.response(200, headers=headers, body=body)
        if session.state is SessionState.ENDING:
            transaction.respond(response, now)
        else:
            self._acknowledgement.send_success(
                session, transaction, response, now, late_offer=offer is None
            )
        return True

    def reject(self, session: Session, code: int, now: float) -> bool:
        """Refuse; see `UserAgent.reject_reinvite`."""
        internals = session._internals
        transaction, internals.server_reinvite = internals.server_reinvite, None
        if transaction is None or session.is_terminated or transaction.is_answered:
            return False
        self._core.respond(transaction, code, now)
        return True

    def _cancelled(self, session: Session, request: Request, now: float) -> None:
        self.reject(session, 487, now)


def _ignore(*_: object) -> None:
    """Nobody waits for this answer."""
