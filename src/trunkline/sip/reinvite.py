"""Changing a call that is up: re-INVITE, ours and theirs (RFC 3261 section 14)."""

from collections.abc import Callable
from functools import partial

from .acknowledgement import Acknowledgement
from .bodies import SDP_TYPE, accept_headers, read_description
from .core import Core
from .ending import Ending, destroys_dialog
from .errors import ParseError, StateError
from .events import ReInviteAnswered, ReInvited
from .exchange import (
    LONGEST_RETRY_SECONDS,
    MAX_ATTEMPTS,
    conflict,
    glare_delay,
    retry_after,
    theirs_is_open,
)
from .hop import Hop
from .in_dialog import seconds_of
from .message import Headers, Request, Response
from .outbound import acknowledge, cancellation
from .sdp import SessionDescription
from .session import Fork, Session, SessionState
from .session_timer import SessionTimer

__all__ = ["ReInvite"]


class ReInvite:
    """Both sides of changing a session."""

    def __init__(
        self,
        core: Core,
        ending: Ending,
        acknowledgement: Acknowledgement,
        timer: SessionTimer,
    ) -> None:
        self._core = core
        self._timer = timer
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
        if not internals.reinvite_is_out:  # a refresh that is out goes first
            self._send_or_wait(session, now)
        return True

    def refresh(self, session: Session, now: float) -> bool:
        """Repeat what holds, to show that we are there (RFC 4028 section 10)."""
        internals = session._internals
        busy = internals.reinvite_offer is not None or internals.reinvite_is_out
        if not session.is_confirmed or busy or self._another_is_open(session):
            return False
        internals.reinvite_is_refresh = True
        self._send(session, internals.local_body, now)
        return True

    def _another_is_open(self, session: Session) -> bool:
        """Whether an offer has no answer yet, or an answer of ours no ACK (14.1)."""
        internals = session._internals
        update = internals.update is not None and internals.update.is_out
        return update or theirs_is_open(session) or bool(internals.unacknowledged)

    def _send_or_wait(self, session: Session, now: float) -> None:
        internals = session._internals
        if self._another_is_open(session):  # that one first: as if it were answered 491
            self._retry_later(session, glare_delay(self._core, session), now)
        else:
            assert internals.reinvite_offer is not None
            internals.reinvite_is_refresh = False
            self._send(session, internals.reinvite_offer(), now)

    def _send(self, session: Session, body: bytes, now: float) -> None:
        core, internals = self._core, session._internals
        assert internals.dialog is not None
        internals.reinvite_body = body
        hop = core.destination(session)
        request = internals.dialog.request("INVITE")
        request.headers += core.client_headers(hop, internals.contact)
        request.headers += self._timer.request_headers(session)
        if body:
            request.headers.append(("Content-Type", SDP_TYPE))
            request.body = body
        if internals.authorizer is not None:
            request.headers += internals.authorizer.headers("INVITE", request.uri, request.body)
        internals.reinvite_is_out = True
        fork = Fork(internals.dialog, request)
        internals.client_reinvite = core.send_request(  # type: ignore[assignment]
            request,
            hop,
            partial(self._on_response, session, fork),
            partial(self._on_failure, session),
            now,
        )

    def _on_response(self, session: Session, fork: Fork, response: Response, now: float) -> None:
        internals = session._internals
        if response.code < 200:
            if "reinvite" not in internals.timers:  # from here on only we can end it
                self._later(session, partial(self._cancel, session, fork.request), now)
            return
        internals.stop_timer("reinvite")
        if response.code < 300:
            self._agreed(session, fork, response, now)
            return
        internals.reinvite_is_out = False
        if session.state is not SessionState.CONFIRMED or self._goes_again(session, response, now):
            return
        if destroys_dialog(response.code):
            self._ending.dialog_is_gone(session, response.code, now)
        else:
            self._report(session, response.code, response.reason, now)

    def _goes_again(self, session: Session, response: Response, now: float) -> bool:
        """Whether a refusal is one that passes, or can be helped."""
        internals, code = session._internals, response.code
        challenged = code in (401, 407) and internals.authorizer is not None
        if self._timer.is_too_small(session, response) or (
            challenged and internals.authorizer.challenged(response)  # type: ignore[union-attr]
        ):
            self._send(session, internals.reinvite_body, now)
            return True
        if internals.reinvite_attempts >= MAX_ATTEMPTS:
            return False
        later = seconds_of(response.get("retry-after"))
        if code == 491:
            self._retry_later(session, glare_delay(self._core, session), now)
        elif code in (500, 503) and later is not None and later <= LONGEST_RETRY_SECONDS:
            self._retry_later(session, float(later), now)
        else:
            return False
        return True

    def _agreed(self, session: Session, fork: Fork, response: Response, now: float) -> None:
        core, internals = self._core, session._internals
        if fork.acknowledged:  # the 2xx again: our ACK was lost
            if fork.ack:
                core.transmit(fork.ack, fork.destination)
            return
        fork.acknowledged = True
        fork.dialog.refresh_target(response)
        internals.note_allow(response)
        internals.reinvite_is_out = False
        description = None
        try:
            description = read_description(response)
        except ParseError:
            core.counters["answer-unreadable"] += 1
        if session.state is not SessionState.CONFIRMED or fork.request.body or not description:
            self._acknowledge(session, fork)
            self._concluded(session, response, description, now)
        else:
            internals.reinvite_offer = None
            internals.unanswered_offer = fork
            self._timer.answered(session, response, now)
            core.emit(ReInviteAnswered(session, response.code, response.reason, None, description))

    def _acknowledge(self, session: Session, fork: Fork) -> None:
        fork.destination = self._core.destination(session, fork.dialog)
        fork.ack = acknowledge(self._core, fork.dialog, fork.request, fork.destination)
        self._core.transmit(fork.ack, fork.destination)

    def _concluded(
        self,
        session: Session,
        response: Response,
        answer: SessionDescription | None,
        now: float,
    ) -> None:
        """A 2xx and its ACK: what was proposed holds."""
        internals, body = session._internals, session._internals.reinvite_body
        if session.state is not SessionState.CONFIRMED:
            return
        self._timer.answered(session, response, now)
        refreshed = body == internals.local_body and answer == session.remote_sdp
        internals.local_body = body or internals.local_body
        if answer is not None:
            session.remote_sdp = answer
        if session._internals.reinvite_is_refresh:
            if not refreshed:
                self._core.emit(ReInviteAnswered(session, response.code, response.reason, answer))
            self._go_on(session, now)
            return
        internals.reinvite_offer = None
        self._core.emit(ReInviteAnswered(session, response.code, response.reason, answer))

    def _go_on(self, session: Session, now: float) -> None:
        """A refresh is over: what was wished for meanwhile comes now."""
        if session._internals.reinvite_offer is not None:
            self._send_or_wait(session, now)

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
        self._report(session, 408, "Request Timeout", now)

    def _retry_later(self, session: Session, delay: float, now: float) -> None:
        internals = session._internals
        internals.reinvite_attempts += 1
        internals.timers["glare"] = self._core.timers.start(
            now + delay, partial(self._retry, session)
        )

    def _retry(self, session: Session, now: float) -> None:
        internals = session._internals
        if session.state is not SessionState.CONFIRMED or internals.reinvite_is_out:
            return
        if internals.reinvite_offer is not None:
            self._send_or_wait(session, now)
        elif not self.refresh(session, now):
            self._timer.again_later(session, now)

    def _on_failure(self, session: Session, code: int, now: float) -> None:
        session._internals.reinvite_is_out = False
        if session.state is SessionState.CONFIRMED:
            self._ending.dialog_is_gone(session, code, now)

    def _report(self, session: Session, code: int, reason: str, now: float) -> None:
        if session._internals.reinvite_is_refresh:
            self._timer.again_later(session, now)
            self._go_on(session, now)
            return
        session._internals.reinvite_offer = None
        self._core.emit(ReInviteAnswered(session, code, reason, None))

    # Theirs.

    def receive(self, session: Session, request: Request, source: Hop, now: float) -> None:
        """Their re-INVITE, in order and with a new CSeq."""
        core, internals = self._core, session._internals
        refusal, headers = self._refusal(session, request)
        if refusal:
            core.refuse(request, source, refusal, now, headers=headers)
            return
        try:
            offer = read_description(request)
        except ParseError as error:  # with a memory: its repetition has an old CSeq
            headers = accept_headers(error.code)
            core.refuse(request, source, error.code, now, error.reason, headers)
            return
        transaction = core.serve(request, source)
        internals.note_allow(request)
        internals.server_reinvite = transaction  # type: ignore[assignment]
        transaction.on_cancel = partial(self._cancelled, session)
        core.respond(transaction, 100, now)
        core.emit(ReInvited(session, request, offer))

    def _refusal(self, session: Session, request: Request) -> tuple[int, Headers]:
        """The status another change in progress asks for (section 14.2), or 0."""
        state = session.state
        if state in (SessionState.ENDING, SessionState.CLOSING):
            return 481, ()
        if state is SessionState.INVITED:
            return 500, retry_after(self._core)
        if too_short := self._timer.refusal(request):
            return 422, too_short
        code = conflict(session, request.from_.tag)
        calling = state in (SessionState.CALLING, SessionState.CANCELLING)
        if calling or session._internals.unanswered_offer is not None:
            code = 491  # our INVITE is not finished before its ACK
        return code, retry_after(self._core) if code == 500 else ()

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
            *self._core.server_headers(transaction.destination, internals.contact),
            *self._timer.answer(session, request, now),
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

    def reject(self, session: Session, code: int, now: float, headers: Headers = ()) -> bool:
        """Refuse; see `UserAgent.reject_reinvite`."""
        internals = session._internals
        transaction, internals.server_reinvite = internals.server_reinvite, None
        if transaction is None or session.is_terminated or transaction.is_answered:
            return False
        self._core.respond(transaction, code, now, headers=headers)
        return True

    def _cancelled(self, session: Session, request: Request, now: float) -> None:
        self.reject(session, 487, now)


def _ignore(*_: object) -> None:
    """Nobody waits for this answer."""
