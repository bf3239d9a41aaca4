"""Calling: INVITE sent, answered, forked, challenged, cancelled (RFC 3261 13.2, 9.1)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from trunkline.errors import UsageError

from .attempts import cancellation
from .bodies import SDP_TYPE, checked_headers, read_description
from .core import Core
from .dialog import Dialog
from .digest import Authorizer, Credentials
from .ending import Ending, reason_word
from .errors import ParseError, StateError
from .events import Accepted, Confirmed, Progress, ReInviteAnswered, Rejected
from .headers import NameAddress
from .hop import Hop, HopLike, as_hop
from .in_dialog import seconds_of
from .message import Message, Request, Response
from .prack import Prack
from .public_address import ContactForm
from .reason import reason_field
from .redirect import Redirection
from .reliable import OPTION
from .retrying import Retrying
from .sdp import SessionDescription
from .session import Cause, Fork, Internals, Session, SessionState
from .session_timer import SessionTimer
from .uri import Uri

__all__ = ["Invitation", "Outbound", "cancellation"]

MAX_FORKS = 32
"""Early dialogs and 2xx of one INVITE that are followed; more is an attack."""

Body = bytes | SessionDescription | None


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a call to be made needs."""

    target: str
    """The URI to call: ``sip:+15551234@trunk.example``."""
    from_: str
    """Who calls: a URI, or a name-addr with a display name."""
    sdp: bytes | SessionDescription | None = None
    """Our offer; None: they make the offer in their 2xx."""
    headers: Sequence[tuple[str, str]] = ()
    """Further fields: P-Asserted-Identity, Privacy, X-..."""
    credentials: Sequence[Credentials] = ()
    """Who we are, if they ask."""
    destination: HopLike | None = None
    """Where to send it; None: the first route's or the target's host."""
    trunk: str = ""
    """What the session says it goes out on."""
    contact_user: str = ""
    """The user of our Contact: what a registrar knows us by."""
    route: Sequence[str] = ()
    """Route values to preload: an outbound proxy, ``<sip:proxy.example;lr>``."""
    no_response_seconds: float | None = None
    """Give up, as with 408, when a target answers nothing at all for this long."""
    no_answer_seconds: float | None = None
    """Cancel if there is no final answer after this long; None: wait for ever."""
    session_expires_seconds: int = 0
    """The session timer to ask for (RFC 4028); 0: what the settings say."""
    may_redirect: Callable[[str], bool] | None = None
    """Whether to follow a 3xx to that URI; None follows none."""


class Outbound:
    """The calls that go out, until they are answered."""

    def __init__(self, core: Core, ending: Ending, prack: Prack, timer: SessionTimer) -> None:
        self._core = core
        self._ending = ending
        self._prack = prack
        self._timer = timer
        self._retrying = Retrying(core, timer)

    def invite(self, invitation: Invitation, now: float) -> Session:
        """Call; see `UserAgent.invite`."""
        core = self._core
        try:
            target = replace(Uri.parse(invitation.target), headers=())
            caller = NameAddress.parse(invitation.from_)
            hop = NameAddress.parse(invitation.route[0]).parsed_uri if invitation.route else target
        except ParseError as error:
            raise UsageError(f"cannot call {invitation.target!r}: {error}") from error
        destination = as_hop(invitation.destination or hop.hop)
        if not destination.host:
            raise UsageError(f"cannot call {invitation.target!r} without a destination")
        if destination.is_web_socket and not destination.flow:
            raise UsageError(f"cannot call {invitation.target!r}: WebSockets are opened to us only")
        form = ContactForm(invitation.contact_user, "sips" in (target.scheme, hop.scheme))
        tag = core.token()
        body = bytes(invitation.sdp) if invitation.sdp else b""
        headers = [
            *(("Route", route) for route in invitation.route),
            ("Max-Forwards", "70"),
            ("From", f"{caller};tag={tag}"),
            ("To", f"<{target}>"),
            ("Call-ID", core.token(32)),
            ("CSeq", "1 INVITE"),
            *core.client_headers(destination, form),
            *checked_headers(invitation.headers),
        ]
        if body:
            headers.append(("Content-Type", SDP_TYPE))
        if core.settings.reliable == "required":
            headers.append(("Require", OPTION))
        request = Request("INVITE", str(target), headers, body)
        bytes(request)  # a line break in it raises now, before anything is begun
        internals = Internals(tag, local_body=body, trunk=invitation.trunk, contact=form)
        internals.profile = destination.profile
        internals.no_response_seconds = invitation.no_response_seconds
        if invitation.credentials:
            internals.authorizer = Authorizer(invitation.credentials, core.token)
        if invitation.may_redirect is not None:
            internals.redirection = Redirection(invitation.may_redirect)
        session = Session(core.token(), "outbound", request, internals)
        self._timer.begin(session, invitation.session_expires_seconds)
        request.headers += self._timer.request_headers(session)
        core.register(session)
        if invitation.no_answer_seconds is not None:
            internals.timers["no-answer"] = core.timers.start(
                now + invitation.no_answer_seconds, partial(self._no_answer, session)
            )
        self._send_invite(session, destination, now)
        return session

    def _send_invite(self, session: Session, destination: Hop, now: float) -> None:
        transaction = self._core.send_request(
            session.request,
            destination,
            partial(self._on_response, session),
            partial(self._on_failure, session),
            now,
            no_response_seconds=session._internals.no_response_seconds,
            on_next=partial(self._begin_again, session),
        )
        session._internals.client_invite = transaction  # type: ignore[assignment]

    def _begin_again(self, session: Session) -> None:
        """The INVITE goes to its next target, who has said nothing yet."""
        session._internals.got_provisional = False
        session._internals.early_dialogs.clear()

    def _on_response(self, session: Session, response: Response, now: float) -> None:
        self._core.follow(session, self._core.source)
        if response.code < 200:
            self._progressed(session, response, now)
        elif response.code < 300:
            self._answered(session, response, now)
        elif not self._try_again(session, response.code, response, now):
            self._refused(session, response, now)

    # Provisional.

    def _progressed(self, session: Session, response: Response, now: float) -> None:
        internals = session._internals
        internals.got_provisional = True
        if session.state is SessionState.CANCELLING:
            self._send_cancel(session, now)
        elif session.state is not SessionState.CALLING:
            return
        if response.code == 100:
            return
        reliable = self._prack.is_reliable(response)
        dialog = self._early_dialog(session, response)
        if dialog is None and response.to.tag:
            return
        if reliable and (dialog is None or not self._prack.is_next(session, response)):
            return
        offered = self._is_offer(session, response, reliable=reliable)
        if reliable and dialog is not None and not offered:
            self._prack.acknowledge(session, dialog, response, b"", now)
        if session.state is SessionState.CALLING:
            if offered and dialog is not None:
                internals.early_offer = (dialog, response)
            self._tell_progress(session, response, reliable=reliable, offered=offered)
        elif offered and dialog is not None:
            self._prack.acknowledge(session, dialog, response, b"", now)

    def _early_dialog(self, session: Session, response: Response) -> Dialog | None:
        """The dialog a provisional response makes or belongs to."""
        internals, tag = session._internals, response.to.tag
        dialog = internals.early_dialogs.get(tag)
        if dialog is not None or not tag or len(internals.early_dialogs) >= MAX_FORKS:
            return dialog
        try:
            dialog = Dialog.from_response(session.request, response)
        except ParseError:
            self._core.counters["response-unusable"] += 1
            return None
        internals.early_dialogs[tag] = dialog
        return dialog

    def _is_offer(self, session: Session, response: Response, *, reliable: bool) -> bool:
        """Whether a description in it is their offer (RFC 3262 section 5)."""
        settled = response.to.tag in session._internals.settled
        return reliable and bool(response.body) and not session.request.body and not settled

    def _tell_progress(
        self, session: Session, response: Response, *, reliable: bool, offered: bool
    ) -> None:
        internals, tag, code = session._internals, response.to.tag, response.code
        if code == 199:  # one of several branches is over; the call is not (RFC 6228)
            self._core.counters["early-dialog-ended"] += 1
            return
        internals.note_allow(response)
        internals.early_tag = tag
        old = tag in internals.changed or (tag in internals.settled and not offered)
        described = None if old else self._description(session, response)
        if reliable and described is not None:
            internals.settled.add(tag)
        if not session.request.body and not offered:
            described = None  # of our making nobody has seen anything to answer
        answer, offer = (None, described) if offered else (described, None)
        self._core.emit(Progress(session, code, response.reason, answer, offer))

    def _description(self, session: Session, response: Response) -> SessionDescription | None:
        try:
            description = read_description(response)
        except ParseError:
            self._core.counters["answer-unreadable"] += 1
            return None
        if description is not None:
            session.remote_sdp = description
        return description

    # 2xx.

    def _answered(self, session: Session, response: Response, now: float) -> None:
        internals = session._internals
        tag = response.to.tag
        fork = internals.forks.get(tag)
        if fork is not None:  # again: our ACK was lost (RFC 3261 section 13.2.2.4)
            if fork.ack:
                self._core.transmit(fork.ack, fork.destination)
            return
        if len(internals.forks) >= MAX_FORKS:
            return
        try:
            fork = Fork(self._confirmed_dialog(session, response), session.request)
        except ParseError:
            self._core.counters["response-unusable"] += 1
            self._refused(session, response, now)
            return
        internals.forks[tag] = fork
        if session.state is SessionState.CALLING:
            self._won(session, fork, response, now)
        elif session.state is SessionState.CANCELLING:  # it crossed our CANCEL
            internals.dialog = fork.dialog
            self._send_ack(session, fork, b"", now)
            self._ending.hang_up(
                session,
                now,
                reason=internals.end_reason,
                by=internals.end_by,
                code=internals.end_code,
            )
        else:
            self._core.counters["fork-dropped"] += 1
            self._send_ack(session, fork, b"", now)
            self._ending.drop_fork(fork.dialog, fork.destination, now)

    def _confirmed_dialog(self, session: Session, response: Response) -> Dialog:
        """The early dialog, with the 2xx's routes, or a new one (section 13.2.2.4).

        Its CSeq goes on where PRACK and UPDATE left it.
        """
        dialog = Dialog.from_response(session.request, response)
        early = session._internals.early_dialogs.get(response.to.tag)
        if early is None:
            return dialog
        early.route_set, early.remote_target = dialog.route_set, dialog.remote_target
        return early

    def _won(self, session: Session, fork: Fork, response: Response, now: float) -> None:
        internals, tag = session._internals, response.to.tag
        internals.stop_timer("no-answer")
        internals.dialog = fork.dialog  # the losers' early ones stay: their BYE counts on
        internals.early_offer = None
        internals.note_allow(response)
        session.move(Cause.ANSWERED)
        if internals.authorizer is not None:
            internals.authorizer.worked()
        self._forget_update(session, fork)
        agreed = tag in internals.changed or (not session.request.body and tag in internals.settled)
        description = None if agreed else self._description(session, response)
        self._timer.answered(session, response, now)
        if session.request.body or description is None:
            self._send_ack(session, fork, b"", now)
            self._core.emit(Accepted(session, description))
            self._core.emit(Confirmed(session))
        else:
            internals.unanswered_offer = fork
            self._core.emit(Accepted(session, None, description))

    def _forget_update(self, session: Session, winner: Fork) -> None:
        """What was proposed to a branch that lost is settled: it will not be."""
        internals, update = session._internals, session._internals.update
        if update is not None and update.dialog is not winner.dialog:
            internals.update = None
            internals.stop_timer("update")
            if update.offer is not None:
                self._core.emit(ReInviteAnswered(session, 481, "Another branch answered", None))

    def acknowledge(self, session: Session, body: bytes, now: float) -> bool:
        """Send the ACK with our answer; see `UserAgent.acknowledge`."""
        if session.is_terminated or session.state is SessionState.ENDING:
            return False
        internals = session._internals
        early, internals.early_offer = internals.early_offer, None
        if early is not None:
            dialog, response = early
            internals.local_body = body
            self._prack.acknowledge(session, dialog, response, body, now)
            return True
        fork, internals.unanswered_offer = internals.unanswered_offer, None
        if fork is None:
            raise StateError("no offer of theirs is waiting for an answer")
        internals.local_body = body or internals.local_body
        self._send_ack(session, fork, body, now)
        if fork.request is session.request:  # and not a later change
            self._core.emit(Confirmed(session))
        return True

    def acknowledge_without_answer(self, session: Session, now: float) -> None:
        """The ACK that has to come before the BYE of a call we do not want after all."""
        internals = session._internals
        fork, internals.unanswered_offer = internals.unanswered_offer, None
        assert fork is not None
        self._send_ack(session, fork, b"", now)

    def _send_ack(self, session: Session, fork: Fork, body: bytes, now: float) -> None:
        """The ACK of a 2xx: a request of its own in the dialog (section 13.2.2.4)."""
        fork.destination = self._core.destination(session, fork.dialog)
        fork.ack = acknowledge(self._core, fork.dialog, fork.request, fork.destination, body)
        self._core.transmit(fork.ack, fork.destination)

    # Refusals.

    def _try_again(
        self, session: Session, code: int, response: Response | None, now: float
    ) -> bool:
        """Make the attempt that a refusal asks for, if there is one."""
        if session.state is not SessionState.CALLING:
            return False
        hop = self._retrying.next_attempt(session, code, response)
        if hop is None:
            return False
        self._send_invite(session, hop, now)
        return True

    def _refused(self, session: Session, response: Response, now: float) -> None:
        internals = session._internals
        internals.cause = response.get("reason") or ""
        internals.retry_after_seconds = seconds_of(response.get("retry-after")) or 0
        if session.state is SessionState.CANCELLING:
            self._core.terminate(
                session, now, internals.end_reason, internals.end_by, response.code
            )
        elif session.state is SessionState.CALLING:
            code = response.code if response.code >= 300 else 502
            self._core.emit(Rejected(session, code, response.reason, response))
            self._core.terminate(session, now, reason_word(code), "them", code)

    def _on_failure(self, session: Session, code: int, now: float) -> None:
        if session.state is SessionState.CANCELLING:
            internals = session._internals
            self._core.terminate(session, now, internals.end_reason, internals.end_by, code)
        elif session.state is SessionState.CALLING and not self._try_again(
            session, code, None, now
        ):
            reason = "Request Timeout" if code == 408 else "Service Unavailable"
            self._core.emit(Rejected(session, code, reason, None))
            self._core.terminate(session, now, reason_word(code), "them", code)

    # Giving up.

    def _no_answer(self, session: Session, now: float) -> None:
        self.cancel(session, "no-answer", None, now)

    def cancel(
        self,
        session: Session,
        reason: str,
        code: int | None,
        now: float,
        *,
        by: Literal["us", "them"] = "us",
    ) -> None:
        """Give up a call that is not answered; legal more than once."""
        internals = session._internals
        first = session.state is SessionState.CALLING
        session.move(Cause.HUNG_UP)
        if not first:
            return
        internals.end_reason, internals.end_code, internals.end_by = reason, code, by
        internals.stop_timer("no-answer")
        if internals.got_provisional:
            self._send_cancel(session, now)
        else:
            # CANCEL waits for a response (section 9.1), half a minute if nobody is there;
            # the application need not.
            self._core.tell_end(session, reason, by, code)
            if internals.client_invite is not None:
                internals.client_invite.withdraw(now)

    def _send_cancel(self, session: Session, now: float) -> None:
        internals = session._internals
        if internals.cancel_sent:
            return
        internals.cancel_sent = True
        assert internals.client_invite is not None
        self._core.send_request(
            cancellation(session.request, reason_field(internals.end_reason)),
            internals.client_invite.destination,
            _ignore,
            _ignore,
            now,
        )
        internals.timers["cancel"] = self._core.timers.start(
            now + self._core.timing.patience, partial(self._cancel_ignored, session)
        )

    def _cancel_ignored(self, session: Session, now: float) -> None:
        """No final response 64 times T1 after the CANCEL: it is over (section 9.1)."""
        internals = session._internals
        if internals.client_invite is not None:
            internals.client_invite.drop()
        if session.state is SessionState.CANCELLING:
            self._core.terminate(
                session, now, internals.end_reason, internals.end_by, internals.end_code
            )


def acknowledge(
    core: Core, dialog: Dialog, invite: Message, destination: Hop, body: bytes = b""
) -> bytes:
    """The ACK of a 2xx, with the credentials of its INVITE (RFC 3261 section 22.1)."""
    request = dialog.request("ACK", sequence=invite.cseq.number)
    request.headers.insert(0, core.new_via(destination))
    for name in ("Authorization", "Proxy-Authorization"):
        request.headers += [(name, value) for value in invite.all(name)]
    if body:
        request.headers.append(("Content-Type", SDP_TYPE))
        request.body = body
    return bytes(request)


def _ignore(*_: object) -> None:
    """Nobody waits for this answer."""
