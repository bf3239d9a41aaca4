"""UPDATE, ours and theirs: a change of the session without an INVITE (RFC 3311)."""

from collections.abc import Callable
from functools import partial

from .bodies import read_description
from .core import Core
from .dialog import Dialog
from .ending import Ending, destroys_dialog
from .errors import ParseError, StateError
from .events import ReInviteAnswered, ReInvited
from .exchange import (
    LONGEST_RETRY_SECONDS,
    MAX_ATTEMPTS,
    conflict,
    glare_delay,
    ours_is_open,
    retry_after,
    theirs_is_open,
)
from .hop import Hop
from .in_dialog import Requests, seconds_of
from .message import Headers, Request, Response
from .pending import OutgoingUpdate
from .session import Session, SessionState
from .session_timer import SessionTimer

__all__ = ["Update"]

_EARLY = (SessionState.CALLING, SessionState.INVITED)
_OVER = (SessionState.CLOSING, SessionState.ENDING, SessionState.TERMINATED)


class Update:
    """Both sides of UPDATE, in early and in confirmed dialogs."""

    def __init__(self, core: Core, ending: Ending, requests: Requests, timer: SessionTimer) -> None:
        self._core = core
        self._ending = ending
        self._requests = requests
        self._timer = timer
        core.methods.append("UPDATE")

    # Ours.

    def start(self, session: Session, offer: Callable[[], bytes], now: float) -> bool:
        """Propose a change; see `UserAgent.update`."""
        internals = session._internals
        if session.is_terminated or session.state in (*_OVER, SessionState.CANCELLING):
            return False
        dialog = _dialog(session)
        early = session.state in _EARLY
        if dialog is None or (early and dialog.remote_tag not in internals.settled):
            raise StateError(f"no UPDATE with an offer in state {session.state}")
        if internals.update is not None:
            if internals.update.offer is not None:
                raise StateError("the last UPDATE is not answered yet")
            internals.update.offer = offer  # the refresh that is out goes first
            return True
        internals.update = OutgoingUpdate(dialog, offer)
        self._send(session, now)
        return True

    def refresh(self, session: Session, now: float) -> bool:
        """Show that we are there, without a change (RFC 4028 section 10)."""
        dialog = _dialog(session)
        if dialog is None or session._internals.update is not None:
            return False
        session._internals.update = OutgoingUpdate(dialog, None)
        self._send(session, now)
        return True

    def _send(self, session: Session, now: float) -> None:
        core, update = self._core, session._internals.update
        assert update is not None
        if update.offer is not None and (ours_is_open(session) or theirs_is_open(session)):
            self._later(session, glare_delay(core, session), now)
            return
        update.body = update.offer() if update.offer is not None else b""
        update.is_out = True
        hop = core.destination(session, update.dialog)
        headers = [
            *core.client_headers(hop, session._internals.contact),
            *self._timer.request_headers(session),
        ]
        self._requests.send(
            session,
            update.dialog,
            "UPDATE",
            now,
            partial(self._on_final, session, update, update.body),
            headers=headers,
            body=update.body,
        )

    def _on_final(
        self,
        session: Session,
        update: OutgoingUpdate,
        body: bytes,
        code: int,
        response: Response | None,
        now: float,
    ) -> None:
        internals = session._internals
        update.is_out = False
        if internals.update is not update or session.state in _OVER:
            return
        if response is not None and code < 300:
            self._agreed(session, update, body, response, now)
        elif response is not None and self._goes_again(session, update, response, now):
            return
        elif session.is_confirmed and (response is None or destroys_dialog(code)):
            self._ending.dialog_is_gone(session, code, now)
        elif body:
            self._report(session, code, response.reason if response else "")
        else:
            self._refresh_failed(session, update, code, now)

    def _agreed(
        self, session: Session, update: OutgoingUpdate, body: bytes, response: Response, now: float
    ) -> None:
        internals = session._internals
        update.dialog.refresh_target(response)
        internals.note_allow(response)
        if session.is_confirmed:
            self._timer.answered(session, response, now)
        if not body:
            self._continue(session, update, now)
            return
        answer = None
        try:
            answer = read_description(response)
        except ParseError:
            self._core.counters["answer-unreadable"] += 1
        internals.update = None
        internals.local_body = body
        internals.changed.add(update.dialog.remote_tag)
        if answer is not None:
            session.remote_sdp = answer
        self._core.emit(ReInviteAnswered(session, response.code, response.reason, answer))

    def _goes_again(
        self, session: Session, update: OutgoingUpdate, response: Response, now: float
    ) -> bool:
        """Whether a refusal is one that passes."""
        if self._timer.is_too_small(session, response):
            self._send(session, now)
            return True
        if update.attempts >= MAX_ATTEMPTS:
            return False
        later = seconds_of(response.get("retry-after"))
        if response.code == 491:
            self._later(session, glare_delay(self._core, session), now)
            return True
        passes = response.code in (500, 503) and later is not None
        if passes and later is not None and later <= LONGEST_RETRY_SECONDS:
            self._later(session, float(later), now)
            return True
        return False

    def _later(self, session: Session, delay: float, now: float) -> None:
        internals = session._internals
        assert internals.update is not None
        internals.update.attempts += 1
        internals.timers["update"] = self._core.timers.start(
            now + delay, partial(self._again, session)
        )

    def _again(self, session: Session, now: float) -> None:
        if session._internals.update is not None and session.state not in _OVER:
            self._send(session, now)

    def _refresh_failed(
        self, session: Session, update: OutgoingUpdate, code: int, now: float
    ) -> None:
        self._continue(session, update, now)
        if code in (405, 501):
            self._timer.no_update(session, now)
        else:
            self._timer.again_later(session, now)

    def _continue(self, session: Session, update: OutgoingUpdate, now: float) -> None:
        """A refresh is over; a change may have come up meanwhile."""
        if update.offer is None:
            session._internals.update = None
        else:
            self._send(session, now)

    def _report(self, session: Session, code: int, reason: str) -> None:
        session._internals.update = None
        self._core.emit(ReInviteAnswered(session, code, reason, None))

    # Theirs.

    def receive(self, session: Session, request: Request, source: Hop, now: float) -> None:
        """Their UPDATE, in order and with a new CSeq (RFC 3311 section 5.2)."""
        core, internals = self._core, session._internals
        code, headers = self._refusal(session, request)
        if code:
            core.refuse(request, source, code, now, headers=headers)
            return
        try:
            offer = read_description(request)
        except ParseError as error:
            core.refuse(request, source, error.code, now, error.reason)
            return
        transaction = core.serve(request, source)
        internals.note_allow(request)
        internals.server_change = transaction  # type: ignore[assignment]
        if offer is None:
            self.answer(session, b"", now)
        else:
            core.emit(ReInvited(session, request, offer))

    def _refusal(self, session: Session, request: Request) -> tuple[int, Headers]:
        if session.state in _OVER:
            return 481, ()
        if session._internals.server_change is not None:
            return 500, retry_after(self._core)
        if too_short := self._timer.refusal(request):
            return 422, too_short
        code = conflict(session, request.from_.tag) if request.body else 0
        return code, retry_after(self._core) if code == 500 else ()

    def answer(self, session: Session, body: bytes, now: float) -> bool:
        """Agree to a change by UPDATE or PRACK, with our answer."""
        core, internals = self._core, session._internals
        transaction, internals.server_change = internals.server_change, None
        if transaction is None or session.is_terminated:
            return False
        request = transaction.request
        headers = core.dialog_headers(transaction.destination, internals.contact)
        if request.method == "UPDATE":
            _refresh_target(session, request)
            if session.state not in _EARLY:
                headers += self._timer.answer(session, request, now)
        if body:
            offer = read_description(request)
            session.remote_sdp = offer or session.remote_sdp
            internals.local_body = body
            internals.changed.add(request.from_.tag)
        core.respond(transaction, 200, now, headers=headers, body=body)
        return True

    def reject(self, session: Session, code: int, headers: Headers, now: float) -> bool:
        """Refuse a change by UPDATE or PRACK."""
        internals = session._internals
        transaction, internals.server_change = internals.server_change, None
        if transaction is None or session.is_terminated:
            return False
        self._core.respond(transaction, code, now, headers=headers)
        return True


def _dialog(session: Session) -> Dialog | None:
    internals = session._internals
    return internals.dialog or internals.early_dialogs.get(internals.early_tag)


def _refresh_target(session: Session, request: Request) -> None:
    internals = session._internals
    dialog = internals.dialog or internals.early_dialogs.get(request.from_.tag)
    if dialog is not None:
        dialog.refresh_target(request)
