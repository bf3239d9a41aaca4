"""Calling: INVITE sent, answered, forked, challenged, cancelled (RFC 3261 13.2, 9.1)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from trunkline.errors import UsageError

from .core import SDP_TYPE, Core, checked_headers, read_description
from .dialog import Dialog
from .digest import Authorizer, Credentials
from .ending import Ending, reason_word
from .errors import ParseError, StateError
from .events import Accepted, Confirmed, Progress, Rejected
from .headers import NameAddress, canonical_name
from .hop import Hop, HopLike, as_hop
from .message import Message, Request, Response
from .sdp import SessionDescription
from .session import Cause, Fork, Internals, Session, SessionState
from .uri import Uri

__all__ = ["Invitation", "Outbound"]

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
    route: Sequence[str] = ()
    """Route values to preload: an outbound proxy, ``<sip:proxy.example;lr>``."""
    no_answer_seconds: float | None = None
    """Cancel if there is no final answer after this long; None: wait for ever."""
    no_response_seconds: float | None = None
    """Give up, as with 408, if nothing at all is answered for this long."""


class Outbound:
    """The calls that go out, until they are answered."""

    def __init__(self, core: Core, ending: Ending) -> None:
        self._core = core
        self._ending = ending

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
        tag = core.token()
        body = bytes(invitation.sdp) if invitation.sdp else b""
        headers = [
            *(("Route", route) for route in invitation.route),
            ("Max-Forwards", "70"),
            ("From", f"{caller};tag={tag}"),
            ("To", f"<{target}>"),
            ("Call-ID", core.token(32)),
            ("CSeq", "1 INVITE"),
            *core.client_headers(destination.transport),
            *checked_headers(invitation.headers),
        ]
        if body:
            headers.append(("Content-Type", SDP_TYPE))
        request = Request("INVITE", str(target), headers, body)
        bytes(request)  # a line break in it raises now, before anything is begun
        internals = Internals(tag, local_body=body, trunk=invitation.trunk)
        internals.profile = destination.profile
        if invitation.credentials:
            internals.authorizer = Authorizer(invitation.credentials, core.token)
        session = Session(core.token(), "outbound", request, internals)
        core.register(session)
        if invitation.no_answer_seconds is not None:
            internals.timers["no-answer"] = core.timers.start(
                now + invitation.no_answer_seconds, partial(self._no_answer, session)
            )
        if invitation.no_response_seconds is not None:
            internals.timers["no-response"] = core.timers.start(
                now + invitation.no_response_seconds, partial(self._no_response, session)
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
        )
        session._internals.client_invite = transaction  # type: ignore[assignment]

    def _on_response(self, session: Session, response: Response, now: float) -> None:
        session._internals.source = self._core.source
        session._internals.stop_timer("no-response")
        if response.code < 200:
            self._progressed(session, response, now)
        elif response.code < 300:
            self._answered(session, response, now)
        elif not self._try_again(session, response, now):
            self._refused(session, response, now)

    # Provisional.

    def _progressed(self, session: Session, response: Response, now: float) -> None:
        internals = session._internals
        internals.got_provisional = True
        if session.state is SessionState.CANCELLING:
            self._send_cancel(session, now)
        elif session.state is SessionState.CALLING and response.code > 100:
            tag = response.to.tag
            if tag and tag not in internals.early_dialogs:
                if len(internals.early_dialogs) >= MAX_FORKS:
                    return
                try:
                    dialog = Dialog.from_response(session.request, response)
                except ParseError:
                    self._core.counters["response-unusable"] += 1
                    return
                internals.early_dialogs[tag] = dialog
            answer = self._description(session, response)
            self._core.emit(Progress(session, response.code, response.reason, answer))

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
            fork = Fork(Dialog.from_response(session.request, response))
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
            self._ending.hang_up(session, now, reason=internals.end_reason, code=internals.end_code)
        else:
            self._core.counters["fork-dropped"] += 1
            self._send_ack(session, fork, b"", now)
            self._ending.drop_fork(fork.dialog, fork.destination, now)

    def _won(self, session: Session, fork: Fork, response: Response, now: float) -> None:
        internals = session._internals
        internals.stop_timer("no-answer")
        internals.dialog = fork.dialog
        internals.early_dialogs.clear()
        session.move(Cause.ANSWERED)
        description = self._description(session, response)
        if session.request.body or description is None:
            self._send_ack(session, fork, b"", now)
            self._core.emit(Accepted(session, description))
            self._core.emit(Confirmed(session))
        else:
            internals.unanswered_offer = fork
            self._core.emit(Accepted(session, None, description))

    def acknowledge(self, session: Session, body: bytes, now: float) -> bool:
        """Send the ACK with our answer; see `UserAgent.acknowledge`."""
        if session.is_terminated or session.state is SessionState.ENDING:
            return False
        internals = session._internals
        fork, internals.unanswered_offer = internals.unanswered_offer, None
        if fork is None:
            raise StateError("no offer of theirs is waiting for an answer")
        internals.local_body = body
        self._send_ack(session, fork, body, now)
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
        following = self._core.settings.follow_source and not fork.dialog.route_set
        source = session._internals.source
        fork.destination = (
            source
            if following and source
            else fork.dialog.next_hop._replace(profile=session._internals.profile)
        )
        fork.ack = acknowledge(self._core, fork.dialog, session.request, fork.destination, body)
        self._core.transmit(fork.ack, fork.destination)

    # Refusals.

    def _try_again(self, session: Session, response: Response, now: float) -> bool:
        """Answer a challenge with the same call, one CSeq on (section 22.2)."""
        internals = session._internals
        authorizer = internals.authorizer
        if response.code not in (401, 407) or session.state is not SessionState.CALLING:
            return False
        if authorizer is None or not authorizer.challenged(response):
            return False
        old = session.request
        replaced = {"via", "cseq", "authorization", "proxy-authorization"}
        headers = [field for field in old.headers if canonical_name(field[0]) not in replaced]
        headers.append(("CSeq", f"{old.cseq.number + 1} INVITE"))
        headers += authorizer.headers("INVITE", old.uri, old.body)
        session.request = Request("INVITE", old.uri, headers, old.body)
        internals.got_provisional = False
        internals.early_dialogs.clear()
        assert internals.client_invite is not None
        self._send_invite(session, internals.client_invite.destination, now)
        return True

    def _refused(self, session: Session, response: Response, now: float) -> None:
        internals = session._internals
        if session.state is SessionState.CANCELLING:
            self._core.terminate(session, now, internals.end_reason, "us", response.code)
        elif session.state is SessionState.CALLING:
            code = response.code if response.code >= 300 else 502
            self._core.emit(Rejected(session, code, response.reason, response))
            self._core.terminate(session, now, reason_word(code), "them", code)

    def _on_failure(self, session: Session, code: int, now: float) -> None:
        if session.state is SessionState.CANCELLING:
            self._core.terminate(session, now, session._internals.end_reason, "us", code)
        elif session.state is SessionState.CALLING:
            reason = "Request Timeout" if code == 408 else "Service Unavailable"
            self._core.emit(Rejected(session, code, reason, None))
            self._core.terminate(session, now, reason_word(code), "them", code)

    # Giving up.

    def _no_response(self, session: Session, now: float) -> None:
        # Should it answer after all: a CANCEL follows its 1xx, ACK and BYE its 2xx.
        self.cancel(session, "timeout", 408, now)

    def _no_answer(self, session: Session, now: float) -> None:
        self.cancel(session, "no-answer", None, now)

    def cancel(self, session: Session, reason: str, code: int | None, now: float) -> None:
        """Give up a call that is not answered; legal more than once."""
        internals = session._internals
        first = session.state is SessionState.CALLING
        session.move(Cause.HUNG_UP)
        if not first:
            return
        internals.end_reason, internals.end_code = reason, code
        internals.stop_timer("no-answer")
        if internals.got_provisional:
            self._send_cancel(session, now)
        else:
            # CANCEL waits for a response (section 9.1), half a minute if nobody is there;
            # the application need not.
            self._core.tell_end(session, reason, "us", code)

    def _send_cancel(self, session: Session, now: float) -> None:
        internals = session._internals
        if internals.cancel_sent:
            return
        internals.cancel_sent = True
        assert internals.client_invite is not None
        self._core.send_request(
            cancellation(session.request),
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
            self._core.terminate(session, now, internals.end_reason, "us", internals.end_code)


def cancellation(invite: Request) -> Request:
    """The CANCEL of an INVITE, in the same hop's eyes the same request (section 9.1)."""
    names = {"via", "route", "from", "to", "call-id", "max-forwards"}
    headers = [field for field in invite.headers if canonical_name(field[0]) in names]
    headers.append(("CSeq", f"{invite.cseq.number} CANCEL"))
    return Request("CANCEL", invite.uri, headers)


def acknowledge(
    core: Core, dialog: Dialog, invite: Message, destination: Hop, body: bytes = b""
) -> bytes:
    """The ACK of a 2xx, with the credentials of its INVITE (RFC 3261 section 22.1)."""
    request = dialog.request("ACK", sequence=invite.cseq.number)
    request.headers.insert(0, core.new_via(destination.transport))
    for name in ("Authorization", "Proxy-Authorization"):
        request.headers += [(name, value) for value in invite.all(name)]
    if body:
        request.headers.append(("Content-Type", SDP_TYPE))
        request.body = body
    return bytes(request)


def _ignore(*_: object) -> None:
    """Nobody waits for this answer."""
