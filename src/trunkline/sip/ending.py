"""Ending a call: BYE, ours and theirs (RFC 3261 section 15), and noticing an end."""

from functools import partial
from typing import Literal

from .core import Core, ServerTransaction
from .dialog import Dialog
from .events import ByeReceived
from .hop import Hop
from .message import Request, Response
from .reason import reason_field
from .session import Cause, Session, SessionState

__all__ = ["Ending", "destroys_dialog", "reason_word"]


def reason_word(code: int) -> str:
    """What a final status means for a call that was not taken."""
    if code in (486, 600):
        return "busy"
    return {408: "timeout", 480: "no-answer", 487: "cancelled", 503: "error"}.get(code, "rejected")


def destroys_dialog(code: int) -> bool:
    """Whether a final status to a change of a call says that the call is gone.

    RFC 5057 section 5.1: what cannot be reached any more, or is not known any more.
    """
    return code in (404, 408, 410, 416, 480, 481, 482, 483, 484, 485, 502, 604)


class Ending:
    """Sends and receives BYE; asks whether a BYE was missed."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def hang_up(
        self,
        session: Session,
        now: float,
        *,
        reason: str,
        by: Literal["us", "them"] = "us",
        code: int | None = None,
    ) -> None:
        """Send the BYE of a session that has a dialog; `Terminated` follows its end."""
        session.move(Cause.BYE_SENT)
        internals = session._internals
        internals.end_reason, internals.end_by, internals.end_code = reason, by, code
        internals.stop_all()
        self._send_bye(session, now)

    def _send_bye(self, session: Session, now: float) -> None:
        core, internals = self._core, session._internals
        assert internals.dialog is not None
        request = internals.dialog.request("BYE")
        request.headers += reason_field(internals.end_reason)
        if internals.authorizer is not None:
            request.headers += internals.authorizer.headers("BYE", request.uri)
        core.send_request(
            request,
            core.destination(session),
            partial(self._on_response, session),
            partial(self._on_failure, session),
            now,
        )

    def _on_response(self, session: Session, response: Response, now: float) -> None:
        if response.code < 200 or session.is_terminated:
            return
        internals = session._internals
        authorizer = internals.authorizer
        challenged = response.code in (401, 407) and authorizer is not None
        if challenged and authorizer is not None and authorizer.challenged(response):
            self._send_bye(session, now)
        else:
            self._finish(session, now)

    def _on_failure(self, session: Session, code: int, now: float) -> None:
        self._core.counters["bye-unanswered"] += 1
        self._finish(session, now)

    def _finish(self, session: Session, now: float) -> None:
        internals = session._internals
        self._core.terminate(
            session, now, internals.end_reason, internals.end_by, internals.end_code
        )

    def probe(self, session: Session, now: float) -> bool:
        """Ask if they still know the call; see `UserAgent.probe`."""
        core, internals = self._core, session._internals
        if session.state is not SessionState.CONFIRMED or internals.probing:
            return False
        assert internals.dialog is not None
        internals.probing = True
        request = internals.dialog.request("OPTIONS")
        core.send_request(
            request,
            core.destination(session),
            partial(self._on_probe_answered, session),
            partial(self._on_probe_failed, session),
            now,
        )
        return True

    def _on_probe_answered(self, session: Session, response: Response, now: float) -> None:
        """Whatever they answer, they live; unless they say that the call does not."""
        if destroys_dialog(response.code):
            self._on_probe_failed(session, response.code, now)
        elif response.code >= 200:
            session._internals.probing = False

    def _on_probe_failed(self, session: Session, code: int, now: float) -> None:
        session._internals.probing = False
        if session.state is SessionState.CONFIRMED:
            self.dialog_is_gone(session, code, now)

    def dialog_is_gone(self, session: Session, code: int, now: float) -> None:
        """They do not know the call any more, or are silent (section 12.2.1.2)."""
        word = "error" if code == 481 else "timeout"
        self.hang_up(session, now, reason=word, by="them", code=code)

    def drop_fork(self, dialog: Dialog, destination: Hop, now: float) -> None:
        """End the dialog of a 2xx nobody wants, silently (RFC 3261 section 13.2.2.4)."""
        request = dialog.request("BYE")
        self._core.send_request(request, destination, _ignore, _ignore, now)

    def receive_bye(
        self, session: Session, transaction: ServerTransaction, request: Request, now: float
    ) -> None:
        """Their BYE: 200, and it is over, with all that was open (section 15.1.2)."""
        core, internals = self._core, session._internals
        core.respond(transaction, 200, now, tag=internals.local_tag)
        cause = request.get("reason") or ""
        internals.cause = cause
        core.emit(ByeReceived(session, cause))
        if internals.end_reason:  # both hung up at once: ours began it
            core.terminate(session, now, internals.end_reason, internals.end_by, internals.end_code)
        else:
            core.terminate(session, now, "hangup", "them")


def _ignore(*_: object) -> None:
    """Nobody waits for this answer."""
