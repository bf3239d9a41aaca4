"""Transfers: REFER, ours and theirs (RFC 3515, 3892, 4488, 4538, 5589)."""

from functools import partial

from trunkline.errors import UsageError

from .core import Core, ServerTransaction
from .dialog import Dialog
from .errors import ParseError, StateError
from .events import ReferProgress, Referred
from .headers import NameAddress
from .hop import Hop
from .message import Message, Request, Response
from .referral import Notification, Refer, Referral, ReferTo
from .replaces import Replaces
from .session import Session, SessionState
from .subscription import Subscriptions
from .uri import Uri

__all__ = ["Referring"]

SILENT = ("Refer-Sub", "false")


class Referring:
    """Asks far ends to call somebody else, and is asked to."""

    def __init__(self, core: Core, subscriptions: Subscriptions) -> None:
        self._core = core
        self._subscriptions = subscriptions
        core.methods.append("REFER")
        core.supported += ["norefersub", "tdialog"]

    # Ours.

    def refer(
        self,
        session: Session,
        target: str,
        now: float,
        *,
        replaces: Replaces | None = None,
        silent: bool = False,
    ) -> Refer:
        """Ask the far end to call somebody; `ReferProgress` follows, the last one final.

        ``replaces``: to take a call's place there. ``silent``: to say nothing of what
        comes of it. Raises UsageError for an address that is none, StateError for a
        session that is not up.
        """
        if session.state is not SessionState.CONFIRMED:
            raise StateError(f"no REFER in state {session.state}")
        try:
            Uri.parse(target)
        except ParseError as error:
            raise UsageError(f"cannot transfer to {target!r}: {error}") from error
        internals = session._internals
        assert internals.dialog is not None
        refer = Refer(session, ReferTo(target, replaces), silent)
        refer.referred_by = f"<{internals.dialog.local_uri.uri}>"
        told = partial(self._notified, refer)
        refer.watch = self._subscriptions.watch(internals.dialog, told, now)
        self._send(refer, now)
        return refer

    def _send(self, refer: Refer, now: float) -> None:
        core, internals = self._core, refer.session._internals
        assert internals.dialog is not None
        hop = core.destination(refer.session)
        request = internals.dialog.request("REFER")
        request.headers += core.client_headers(hop, internals.contact)
        request.headers += [("Refer-To", str(refer.to)), ("Referred-By", refer.referred_by)]
        if refer.silent:
            request.headers.append(SILENT)
        if internals.authorizer is not None:
            request.headers += internals.authorizer.headers("REFER", request.uri)
        if refer.watch is not None:
            refer.watch.numbers.append(request.cseq.number)
        answered, failed = partial(self._answered, refer), partial(self._failed, refer)
        core.send_request(request, hop, answered, failed, now)

    def _answered(self, refer: Refer, response: Response, now: float) -> None:
        if response.code < 200 or refer.is_over:
            return
        authorizer = refer.session._internals.authorizer
        again = response.code in (401, 407) and not refer.session.is_terminated
        if again and authorizer is not None and authorizer.challenged(response):
            self._send(refer, now)
        elif response.code >= 300:
            self._finish(refer, response.code, response.reason)
        else:
            refer.accepted = True
            if _is_silent(response):
                self._finish(refer, response.code, response.reason)
            else:
                self._core.emit(
                    ReferProgress(refer.session, refer, response.code, response.reason, False)
                )

    def _failed(self, refer: Refer, code: int, now: float) -> None:
        # A NOTIFY says as well as a 202 that they do it: that one is only lost.
        if not refer.accepted:
            self._finish(refer, code, "Request Timeout" if code == 408 else "Service Unavailable")

    def _notified(self, refer: Refer, notification: Notification, now: float) -> None:
        state, code, reason = notification
        refer.accepted = True
        over = state.word == "terminated"
        if refer.is_over:
            return
        if code >= 200:
            # Some go on with "active" after the end: it stays watched, and is told once.
            self._finish(refer, code, reason, forget=over)
        elif over:
            code = {"rejected": 603, "timeout": 408}.get(state.reason, code)
            self._finish(refer, code, reason or state.reason)
        elif code:
            self._core.emit(ReferProgress(refer.session, refer, code, reason, False))

    def _finish(self, refer: Refer, code: int, reason: str, *, forget: bool = True) -> None:
        if refer.is_over:
            return
        refer.is_over = True
        if forget and refer.watch is not None:
            self._subscriptions.forget(refer.watch)
        self._core.emit(ReferProgress(refer.session, refer, code, reason, True))

    # Theirs.

    def receive(self, session: Session, request: Request, source: Hop, now: float) -> None:
        """A REFER in a call's dialog; it may have overtaken the ACK."""
        if session.state not in (SessionState.CONFIRMED, SessionState.ANSWERED):
            self._core.refuse(request, source, 403, now)
            return
        dialog = session._internals.dialog
        assert dialog is not None
        self._asked(session, dialog, request, source, now)

    def receive_outside(self, request: Request, source: Hop, now: float) -> None:
        """A REFER in no dialog: only about a call it can name (RFC 4538)."""
        session = self._target_session(request)
        if session is None:
            self._core.refuse(request, source, 603, now)
            return
        dialog = Dialog.from_request(request, self._core.token())
        self._asked(session, dialog, request, source, now)

    def _target_session(self, request: Request) -> Session | None:
        """Whose call a Target-Dialog field names, from where we stand."""
        call_id, *rest = (request.get("target-dialog") or "").split(";")
        tags = dict(part.strip().partition("=")[::2] for part in rest)
        session = self._core.dialogs.get((call_id.strip(), tags.get("local-tag", "")))
        dialog = session._internals.dialog if session is not None else None
        if session is None or dialog is None or session.state is not SessionState.CONFIRMED:
            return None
        return session if dialog.remote_tag == tags.get("remote-tag", "") else None

    def _asked(
        self, session: Session, dialog: Dialog, request: Request, source: Hop, now: float
    ) -> None:
        core = self._core
        try:
            to = ReferTo.parse(request)
        except ParseError as error:
            core.refuse(request, source, error.code, now, error.reason)
            return
        core.counters["refer-header-ignored"] += len(to.ignored)
        transaction = core.serve(request, source)
        by = _referred_by(request)
        referral = Referral(session, to, by, _is_silent(request), transaction, dialog)
        # Unanswered requests are repeated for 64 times T1; nobody decides for that long.
        referral.timer = core.timers.start(
            now + core.timing.patience / 2, partial(self._undecided, referral)
        )
        core.emit(Referred(session, referral))

    def _undecided(self, referral: Referral, now: float) -> None:
        self.refuse(referral, 603, now)

    def accept(self, referral: Referral, now: float) -> bool:
        """Agree: 202, and the first NOTIFY. False when it was answered before."""
        transaction = self._decide(referral)
        if transaction is None:
            return False
        core = self._core
        headers = core.server_headers(transaction.destination, referral.session._internals.contact)
        if referral.silent:
            headers.append(SILENT)
        tag = referral.dialog.local_tag
        core.respond(transaction, 202, now, headers=headers, tag=tag)
        if not referral.silent:
            referral.session._internals.referrals += 1
            referral.report = self._subscriptions.open_report(
                referral.session, referral.dialog, transaction.request.cseq.number, now
            )
        return True

    def refuse(self, referral: Referral, code: int, now: float, reason: str = "") -> bool:
        """Refuse it; False when it was answered before."""
        transaction = self._decide(referral)
        if transaction is None:
            return False
        self._core.counters[f"refused-{code}"] += 1
        tag = referral.dialog.local_tag
        self._core.respond(transaction, code, now, reason=reason, tag=tag)
        return True

    def _decide(self, referral: Referral) -> ServerTransaction | None:
        transaction, referral.transaction = referral.transaction, None
        if referral.timer is not None:
            referral.timer.cancel()
        return transaction

    def report(self, referral: Referral, code: int, reason: str, now: float) -> bool:
        """Tell them how the call they asked for stands; a final status is the last."""
        if referral.report is None:
            return False
        return self._subscriptions.tell(referral.report, code, reason, now)


def _is_silent(message: Message) -> bool:
    """Whether it says that there are to be no reports (RFC 4488)."""
    return (message.get("refer-sub") or "").partition(";")[0].strip().lower() == "false"


def _referred_by(request: Request) -> str:
    """The Referred-By value, if it can be read and is of a sane length."""
    value = request.get("referred-by") or ""
    try:
        NameAddress.parse(value)
    except ParseError:
        return ""
    return value if len(value) <= 1024 else ""
