"""Being called: INVITE received, rung, accepted, refused, cancelled (RFC 3261 13.3)."""

from functools import partial

from .acknowledgement import Acknowledgement
from .admission import Admission
from .bodies import SDP_TYPE, accepts, checked_headers, read_description
from .core import Core
from .dialog import Dialog
from .ending import reason_word
from .errors import ParseError, StateError
from .events import Cancelled, Invited
from .hop import Hop
from .message import Headers, Request, Response
from .public_address import ContactForm
from .reliable import OPTION, Reliable, is_supported
from .session import Cause, Internals, Session, SessionState
from .session_timer import SessionTimer

__all__ = ["Inbound"]

PROVISIONAL_REFRESH_SECONDS = 60.0
"""A provisional is repeated this often, or proxies give up (RFC 3261 13.3.1.1)."""
RELIABLE_REFRESH_SECONDS = 150.0
"""What is acknowledged need not be repeated as often (RFC 3262 section 3)."""


class Inbound:
    """The calls that come in, until they are answered."""

    def __init__(
        self,
        core: Core,
        acknowledgement: Acknowledgement,
        reliable: Reliable,
        timer: SessionTimer,
    ) -> None:
        self._core = core
        self._acknowledgement = acknowledgement
        self._reliable = reliable
        self._timer = timer
        reliable.on_unacknowledged = self._unacknowledged

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
        refusal, headers = self._refusal(request)
        if refusal:
            core.refuse(request, source, refusal, now, headers=headers)
            return
        offer = read_description(request)
        if not accepts(request, SDP_TYPE):
            raise ParseError("Not Acceptable", 406)
        tag = core.token()
        dialog = Dialog.from_request(request, tag)
        transaction = core.serve(request, source)
        core.respond(transaction, 100, now)
        internals = Internals(
            tag, dialog=dialog, source=source, username=username, trunk=admission.trunk
        )
        internals.contact = ContactForm(secure=_is_secure(request, dialog))
        internals.profile = source.profile
        internals.replaces = replaces
        internals.server_invite = transaction  # type: ignore[assignment]
        session = Session(core.token(), "inbound", request, internals)
        session.remote_sdp = offer
        internals.note_allow(request)
        self._timer.begin(session, 0)
        transaction.on_cancel = partial(self._cancelled, session)
        core.register(session)
        limit = core.settings.ring_limit_seconds
        if limit is not None:
            internals.timers["ring"] = core.timers.start(
                now + limit, partial(self._rang_too_long, session)
            )
        core.emit(Invited(session, request, offer, replaces))

    def _refusal(self, request: Request) -> tuple[int, Headers]:
        """What a new call lacks, as a status and its fields; 0 where it lacks nothing."""
        if (request.get("max-forwards") or "").strip() == "0":
            return 483, ()  # a call goes on to others from here
        if self._core.settings.reliable == "required" and not is_supported(request):
            return 421, [("Require", OPTION)]
        too_short = self._timer.refusal(request)
        return (422, too_short) if too_short else (0, ())

    def progress(self, session: Session, code: int, body: bytes, now: float) -> bool:
        """Send 18x; see `UserAgent.progress`."""
        if session.is_terminated:
            return False
        if session.state is not SessionState.INVITED or not 100 < code < 200:
            raise StateError(f"no {code} in state {session.state}")
        reliable = self._reliable.applies(session)
        if (session.remote_sdp is None and not reliable) or self._is_agreed(session):
            body = b""  # an offer needs an answer, and only a PRACK could bring it
        self._send(session, code, body, now, reliable)
        return True

    def _send(self, session: Session, code: int, body: bytes, now: float, reliable: bool) -> None:
        if reliable:
            self._reliable.send(session, code, body, now)
        else:
            self._respond(session, code, body, now)
        internals, later = session._internals, b"" if reliable else body
        internals.stop_timer("refresh")
        seconds = RELIABLE_REFRESH_SECONDS if reliable else PROVISIONAL_REFRESH_SECONDS
        internals.timers["refresh"] = self._core.timers.start(
            now + seconds, lambda now: self._send(session, code, later, now, reliable)
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
        ours = session._internals.contact
        headers = self._core.server_headers(transaction.destination, ours)
        if body:
            headers.append(("Content-Type", SDP_TYPE))
        tag = session._internals.local_tag
        return session.request.response(code, to_tag=tag, headers=headers, body=body)

    def accept(self, session: Session, body: bytes, now: float) -> bool:
        """Send 200; see `UserAgent.accept`."""
        if session.is_terminated:
            return False
        if session.state is not SessionState.INVITED:
            raise StateError(f"no 200 in state {session.state}")
        session.move(Cause.ANSWERED)
        internals = session._internals
        internals.stop_timer("ring")
        internals.stop_timer("refresh")
        final = partial(self._send_success, session, body)
        if not self._reliable.hold_back(session, final, now):
            final(now)
        return True

    def _send_success(self, session: Session, body: bytes, now: float) -> None:
        internals = session._internals
        assert internals.server_invite is not None
        late_offer = session.remote_sdp is None
        if self._is_agreed(session):
            body = b""
        internals.local_body = body or internals.local_body
        response = self._response(session, 200, body)
        response.headers += self._timer.answer(session, session.request, now)
        self._acknowledgement.send_success(
            session, internals.server_invite, response, now, late_offer=late_offer
        )

    def _is_agreed(self, session: Session) -> bool:
        """Whether a description in a response would be taken for an offer, or is old."""
        internals = session._internals
        assert internals.dialog is not None
        tag = internals.dialog.remote_tag
        return tag in internals.changed or (not session.request.body and tag in internals.settled)

    def _unacknowledged(self, session: Session, now: float) -> None:
        """No PRACK in 64 times T1 (RFC 3262 section 3)."""
        self._refuse(session, 504, "", (), now)
        self._core.terminate(session, now, "timeout", "them", 504)

    def reject(
        self, session: Session, code: int, reason: str, headers: Headers, now: float, word: str = ""
    ) -> bool:
        """Send 3xx to 6xx; see `UserAgent.reject`."""
        if session.is_terminated:
            return False
        if session.state is not SessionState.INVITED or not 300 <= code < 700:
            raise StateError(f"no {code} in state {session.state}")
        self._refuse(session, code, reason, headers, now)
        self._core.terminate(session, now, word or reason_word(code), "us", code)
        return True

    def take_back(self, session: Session, code: int, word: str, now: float) -> bool:
        """Refuse what was accepted, if the 200 is still waiting for a PRACK."""
        invite = session._internals.server_invite
        if invite is None or invite.is_answered:
            return False
        self._refuse(session, code, "", (), now)
        self._core.terminate(session, now, word or reason_word(code), "us", code)
        return True

    def _refuse(
        self, session: Session, code: int, reason: str, headers: Headers, now: float
    ) -> None:
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

    def _rang_too_long(self, session: Session, now: float) -> None:
        self.reject(session, 480, "", (), now, "no-answer")

    def _cancelled(self, session: Session, request: Request, now: float) -> None:
        """A CANCEL that was in time (RFC 3261 section 9.2)."""
        internals = session._internals
        assert internals.server_invite is not None
        self._core.respond(internals.server_invite, 487, now, tag=internals.local_tag)
        internals.cause = request.get("reason") or ""
        self._core.emit(Cancelled(session, internals.cause))
        self._core.terminate(session, now, "cancelled", "them", 487)


def _is_secure(request: Request, dialog: Dialog) -> bool:
    """Whether our Contact has to be a sips URI (RFC 3261 section 12.1.1)."""
    nearest = dialog.route_set[0] if dialog.route_set else dialog.remote_target
    return request.uri[:5].lower() == "sips:" or nearest.lower().startswith(("sips:", "<sips:"))
