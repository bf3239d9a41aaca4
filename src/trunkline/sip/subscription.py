"""What a REFER subscribes to, on both sides (RFC 6665, RFC 3515 section 2.4).

A `Watch` is ours: the far end tells us, in NOTIFY requests, what comes of a REFER. A
`Report` is theirs: we tell. Both live in a call's dialog and may outlive the call, as
a transferor hangs up before it has heard the end (RFC 5057).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from .core import Core
from .dialog import Dialog
from .errors import ParseError
from .headers import parse_parameters
from .hop import Hop
from .message import REASONS, Request, Response
from .referral import Notification, Report, SubscriptionState, Watch, read_fragment
from .session import Session

__all__ = ["Subscriptions"]

FRAGMENT_TYPE = "message/sipfrag;version=2.0"
LIFETIME_SECONDS = 180
"""How long a subscription lives if nothing is said: as long as a call may ring."""
LONGEST_SECONDS = 3600
ABSORBED = ("message-summary", "keep-alive", "check-sync")
"""Events that are told unasked, by PBXs of old habit: taken, and nothing made of them."""

Key = tuple[str, str]
One = TypeVar("One", Watch, Report)


class Subscriptions:
    """Every subscription of a user agent; receives NOTIFY and SUBSCRIBE."""

    def __init__(self, core: Core) -> None:
        self._core = core
        core.methods += ["NOTIFY", "SUBSCRIBE"]
        self._watches: dict[Key, list[Watch]] = {}
        self._reports: dict[Key, list[Report]] = {}

    def __len__(self) -> int:
        watches, reports = self._watches.values(), self._reports.values()
        return sum(map(len, watches)) + sum(map(len, reports))

    # Ours.

    def watch(
        self, dialog: Dialog, told: Callable[[Notification, float], None], now: float
    ) -> Watch:
        """Expect NOTIFYs in a dialog: from now on, as one may overtake the 202."""
        watch = Watch(dialog, told)
        self._watches.setdefault(_key(dialog), []).append(watch)
        self._expire_later(watch, LIFETIME_SECONDS, now)
        return watch

    def forget(self, watch: Watch) -> None:
        """Expect no more; legal more than once."""
        _discard(self._watches, watch)
        if watch.timer is not None:
            watch.timer.cancel()

    def _expire_later(self, watch: Watch, seconds: float, now: float) -> None:
        if watch.timer is not None:
            watch.timer.cancel()
        watch.timer = self._core.timers.start(now + seconds, partial(self._expired, watch))

    def _expired(self, watch: Watch, now: float) -> None:
        self.forget(watch)
        watch.told(Notification(SubscriptionState("terminated", None, "timeout"), 0, ""), now)

    def receive_notify(
        self, session: Session | None, request: Request, source: Hop, now: float
    ) -> None:
        """A NOTIFY, in a session's dialog or in none; a dialog's CSeq is in order."""
        core = self._core
        package, number = _event(request)
        if package in ABSORBED and (session is not None or not request.to.tag):
            core.respond(core.serve(request, source), 200, now)
            return
        if package != "refer" and (session is not None or not request.to.tag):
            core.refuse(request, source, 489, now, headers=[("Allow-Events", "refer")])
            return
        watch = _pick(self._watches.get(_asked(request), []), request, number)
        in_order = watch is None or session is not None or _in_order(watch.dialog, request)
        if watch is None or not in_order:
            core.refuse(request, source, 500 if watch is not None else 481, now)
            return
        try:
            text = request.get("subscription-state")
            state = SubscriptionState.parse(text or "active")
        except ParseError:
            core.refuse(request, source, 400, now, "Malformed Subscription-State")
            return
        core.respond(core.serve(request, source), 200, now)
        if state.word == "terminated":
            self.forget(watch)
        elif state.expires_seconds is not None:
            self._expire_later(watch, min(state.expires_seconds, LONGEST_SECONDS) + 32, now)
        watch.told(Notification(state, *read_fragment(request.body)), now)

    # Theirs.

    def open_report(self, session: Session, dialog: Dialog, number: int, now: float) -> Report:
        """They subscribed: tell them at once how things stand (RFC 3515 section 2.4.4)."""
        reports = self._reports.setdefault(_key(dialog), [])
        report = Report(session, dialog, (number,), with_id=dialog is session._internals.dialog
                        and session._internals.referrals > 1)  # fmt: skip
        report.expires_at = now + LIFETIME_SECONDS
        reports.append(report)
        self._end_later(report)
        self._send(report, now)
        return report

    def tell(self, report: Report, code: int, reason: str, now: float) -> bool:
        """Tell them a status; a final one is the last. False when it was over before."""
        if report.ending or report not in self._reports.get(_key(report.dialog), ()):
            return False
        report.code, report.reason = code, reason
        if code >= 200:
            report.ending = "noresource"
        self._send(report, now)
        return True

    def receive_subscribe(
        self, session: Session | None, request: Request, source: Hop, now: float
    ) -> None:
        """Refresh or end what a REFER began; nothing else can be subscribed to."""
        core = self._core
        package, number = _event(request)
        if package != "refer":
            core.refuse(request, source, 489, now, headers=[("Allow-Events", "refer")])
            return
        reports = self._reports.get(_asked(request), [])
        report = _pick(reports, request, number)
        if report is None:  # only a REFER makes one (RFC 3515 section 2.4.4)
            core.refuse(request, source, 481 if request.to.tag else 403, now)
            return
        if session is None and not _in_order(report.dialog, request):
            core.refuse(request, source, 500, now)
            return
        expires = request.get("expires") or ""
        known = expires.isascii() and expires.isdecimal() and len(expires) <= 9
        seconds = min(int(expires) if known else LIFETIME_SECONDS, LONGEST_SECONDS)
        headers = [
            *core.server_headers(source, report.session._internals.contact),
            ("Expires", str(seconds)),
        ]
        core.respond(core.serve(request, source), 200, now, headers=headers)
        report.expires_at = now + seconds
        if seconds == 0:
            report.ending = report.ending or "timeout"
        else:
            self._end_later(report)
        self._send(report, now)

    def _end_later(self, report: Report) -> None:
        if report.timer is not None:
            report.timer.cancel()
        report.timer = self._core.timers.start(report.expires_at, partial(self._timed_out, report))

    def _timed_out(self, report: Report, now: float) -> None:
        if not report.ending:
            report.ending = "timeout"
            self._send(report, now)

    def _send(self, report: Report, now: float) -> None:
        if report.in_flight:
            report.stale = True
            return
        report.in_flight, report.stale = True, False
        core, internals = self._core, report.session._internals
        hop = self._hop(report)
        request = report.dialog.request("NOTIFY")
        request.headers += core.client_headers(hop, internals.contact)
        left = max(0, int(report.expires_at - now))
        state = SubscriptionState("active", left)
        if report.ending:
            state = SubscriptionState("terminated", None, report.ending)
        request.headers += [
            ("Event", report.event),
            ("Subscription-State", str(state)),
            ("Content-Type", FRAGMENT_TYPE),
        ]
        reason = _one_line(report.reason) or REASONS.get(report.code, "Unknown")
        request.body = f"SIP/2.0 {report.code} {reason}\r\n".encode()
        if internals.authorizer is not None:
            request.headers += internals.authorizer.headers("NOTIFY", request.uri, request.body)
        answered, failed = partial(self._answered, report), partial(self._failed, report)
        core.send_request(request, hop, answered, failed, now)

    def _hop(self, report: Report) -> Hop:
        if report.dialog is report.session._internals.dialog:
            return self._core.destination(report.session)
        source = report.session.source
        following = self._core.settings.follow_source and not report.dialog.route_set
        return source if following and source is not None else report.dialog.next_hop

    def _answered(self, report: Report, response: Response, now: float) -> None:
        if response.code < 200:
            return
        report.in_flight = False
        authorizer = report.session._internals.authorizer
        challenged = response.code in (401, 407) and authorizer is not None
        if challenged and authorizer is not None and authorizer.challenged(response):
            self._send(report, now)
        elif response.code in (405, 481, 489, 501):
            self._drop(report)  # they want no more of it (RFC 6665 section 4.2.2)
        elif report.stale:
            self._send(report, now)
        elif report.ending:
            self._drop(report)

    def _failed(self, report: Report, code: int, now: float) -> None:
        self._core.counters["notify-unanswered"] += 1
        self._drop(report)

    def _drop(self, report: Report) -> None:
        _discard(self._reports, report)
        report.ending = report.ending or "giveup"
        if report.timer is not None:
            report.timer.cancel()


def _key(dialog: Dialog) -> Key:
    return dialog.call_id, dialog.local_tag


def _asked(request: Request) -> Key:
    """Whose dialog a request of theirs is in."""
    return request.call_id, request.to.tag


def _discard(table: dict[Key, list[One]], one: One) -> None:
    key = _key(one.dialog)
    found = table.get(key, [])
    if one in found:
        found.remove(one)
    if not found:
        table.pop(key, None)


def _pick(found: Sequence[One], request: Request, number: int | None) -> One | None:
    """The one a request is about; without an id the dialog's first (RFC 3515 2.4.6)."""
    for one in found:
        if one.dialog.remote_tag == request.from_.tag and (number is None or number in one.numbers):
            return one
    return None


def _in_order(dialog: Dialog, request: Request) -> bool:
    return dialog.accept_sequence(request.cseq.number)


def _event(request: Request) -> tuple[str, int | None]:
    """The event package and the id, of the Event field."""
    package, _, rest = (request.get("event") or "").partition(";")
    try:
        identifier = parse_parameters(rest).get("id") or ""
    except ParseError:
        identifier = ""
    known = identifier.isascii() and identifier.isdecimal() and len(identifier) <= 10
    number = int(identifier) if known else None
    return package.strip().lower(), -1 if identifier and number is None else number


def _one_line(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())[:128]
