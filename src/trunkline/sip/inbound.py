"""Being called: INVITE received, rung, accepted, refused, cancelled (RFC 3261 13.3)."""

from functools import partial

from .acknowledgement import Acknowledgement
from .admission import Admission
from .core import SDP_TYPE, Core, checked_headers, read_description
from .dialog import Dialog
from .ending import reason_word
from .errors import StateError
from .events import Cancelled, Invited
from .hop import Hop
from .message import Headers, Request, Response
from .session import Cause, Internals, Session, SessionState

__all__ = ["Inbound"]

PROVISIONAL_REFRESH_SECONDS = 60.0
"""A provisional is repeated this often, or proxies give up (RFC 3261 13.3.1.1)."""


class Inbound:
    """The calls that come in, until they are answered."""

    def __init__(self, core: Core, acknowledgement: Acknowledgement) -> None:
        self._core = core
        self._acknowledgement = acknowledgement

    def receive_invite(
        self,
        request: Request,
        source: Hop,
        admission: Admission,
        username: str,
        now: float,
        *,
        replaces: Session | None = None,
    ) -> None:
        """A new call. Raises ParseError for one that has to be refused."""
        core = self._core
        offer = read_description(request)
        tag = core.token()
        dialog = Dialog.from_request(request, tag)
        transaction = core.serve(request, source)
        core.respond(transaction, 100, now)
        internals = Internals(
            tag, dialog=dialog, source=source, username=username, trunk=admission.trunk
        )
        internals.profile = source.profile
        internals.replaces = replaces
        internals.server_invite = transaction  # type: ignore[assignment]
        session = Session(core.token(), "inbound", request, internals)
        session.remote_sdp = offer
        transaction.on_cancel = partial(self._cancelled, session)
        core.register(session)
        limit = core.settings.ring_limit_seconds
        if limit is not None:
            internals.timers["ring"] = core.timers.start(
                now + limit, partial(self._rang_too_long, session)
            )
        core.emit(Invited(session, request, offer, replaces))

    def progress(self, session: Session, code: int, body: bytes, now: float) -> bool:
        """Send 18x; see `UserAgent.progress`."""
        if session.is_terminated:
            return False
        if session.state is not SessionState.INVITED or not 100 < code < 200:
            raise StateError(f"no {code} in state {session.state}")
        self._respond(session, code, body, now)
        self._refresh_later(session, code, body, now)
        return True

    def _refresh_later(self, session: Session, code: int, body: bytes, now: float) -> None:
        internals = session._internals
        internals.stop_timer("refresh")

        def refresh(now: float) -> None:
            self._respond(session, code, body, now)
            self._refresh_later(session, code, body, now)

        internals.timers["refresh"] = self._core.timers.start(
            now + PROVISIONAL_REFRESH_SECONDS, refresh
        )

    def _respond(self, session: Session, code: int, body: bytes, now: float) -> None:
        transaction = session._internals.server_invite
        assert transaction is not None
        if body:
            session._internals.local_body = body
        transaction.respond(self._response(session, code, body), now)

    def _response(self, session: Session, code: int, body: bytes) -> Response:
        transaction = session._internals.server_invite
        assert transaction is not None
        headers = self._core.server_headers(transaction.destination.transport)
        if body:
            headers.append(("Content-Type", SDP_TYPE))
        tag = session._internals.local_tag
        return session.request.response(code, to_tag=tag, headers=headers, body=body)

    def accept(self, session: Session, body: bytes, now: float) -> bool:
        """Send 200; see `UserAgent.accept`."""
        if session.is_terminated:
            return False
        session.move(Cause.ANSWERED)
        internals = session._internals
        assert internals.server_invite is not None
        internals.stop_timer("ring")
        internals.stop_timer("refresh")
        internals.local_body = body
        self._acknowledgement.send_success(
            session,
            internals.server_invite,
            self._response(session, 200, body),
            now,
            late_offer=session.remote_sdp is None,
        )
        return True

    def reject(
        self, session: Session, code: int, reason: str, headers: Headers, now: float, word: str = ""
    ) -> bool:
        """Send 3xx to 6xx; see `UserAgent.reject`."""
        if session.is_terminated:
            return False
        if session.state is not SessionState.INVITED or not 300 <= code < 700:
            raise StateError(f"no {code} in state {session.state}")
        internals = session._internals
        assert internals.server_invite is not None
        own = checked_headers([*headers, ("Reason-Phrase", reason)], keep=("contact",))[:-1]
        self._core.respond(
            internals.server_invite,
            code,
            now,
            reason=reason,
            headers=own,
            tag=internals.local_tag,
        )
        self._core.terminate(session, now, word or reason_word(code), "us", code)
        return True

    def _rang_too_long(self, session: Session, now: float) -> None:
        self.reject(session, 480, "", (), now, "no-answer")

    def _cancelled(self, session: Session, request: Request, now: float) -> None:
        """A CANCEL that was in time (RFC 3261 section 9.2)."""
        internals = session._internals
        assert internals.server_invite is not None
        self._core.respond(internals.server_invite, 487, now, tag=internals.local_tag)
        self._core.emit(Cancelled(session, request.get("reason") or ""))
        self._core.terminate(session, now, "cancelled", "them", 487)
