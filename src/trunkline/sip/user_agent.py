"""The user agent: where datagrams come in and commands are given.

It looks at what arrives in the order RFC 3261 section 8.2 gives, answers what can
be answered without a call, and hands the rest to the part that knows about it.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

from .acknowledgement import Acknowledgement
from .admission import OPEN, AccessPolicy, Admission
from .bodies import SDP_TYPE, accept_headers
from .carrier import Carrier
from .core import Core, Randomness, Settings, merge_key
from .digest import Verdict
from .ending import Ending
from .errors import ParseError, StateError
from .events import DigitReceived, Output
from .hop import Hop, HopLike, as_hop
from .in_dialog import Requests
from .inbound import Inbound
from .message import Headers, Request, Response, parse_message
from .outbound import Body, Invitation, Outbound
from .prack import Prack
from .probing import OptionsAnswer, Probing
from .redirect import as_contacts
from .refer import Referring
from .registering import Registering
from .reinvite import ReInvite
from .reliable import Reliable, acknowledges
from .replaces import find_replaced
from .session import Cause, Session, SessionState
from .session_timer import SessionTimer
from .subscription import Subscriptions
from .transaction import server_key
from .update import Update

__all__ = ["UserAgent"]

InDialog = Callable[[Session, Request, Hop, float], None]
"""Deals with a request in a session's dialog; its CSeq is in order."""
OutOfDialog = Callable[[Request, Hop, float], None]
"""Deals with a request that is in no dialog; `Admission` has let it in."""
# Methods that exist, but not here (RFC 3261 section 21.4.6); others get 501.
_KNOWN = frozenset(("REGISTER", "SUBSCRIBE", "NOTIFY", "PUBLISH", "MESSAGE", "REFER", "PRACK"))
_DTMF_TYPES = ("application/dtmf-relay", "application/dtmf")


class UserAgent:
    """One SIP address: makes calls, takes calls. Neither socket nor clock inside.

    ``now`` is in seconds and must never go backwards. What there is to send and to
    report is in `outputs` after each call; take it out with `drain`.
    """

    def __init__(
        self,
        settings: Settings,
        rng: Randomness,
        access: AccessPolicy | None = None,
        carrier: Carrier | None = None,
    ) -> None:
        self._core = Core(settings, rng, carrier)
        self._ending = Ending(self._core)
        self._acknowledgement = Acknowledgement(self._core, self._ending)
        requests = Requests(self._core)
        self._reliable = Reliable(self._core)
        timer = SessionTimer(self._core, self._ending)
        self._inbound = Inbound(self._core, self._acknowledgement, self._reliable, timer)
        prack = Prack(self._core, requests)
        self._outbound = Outbound(self._core, self._ending, prack, timer)
        self._reinvite = ReInvite(self._core, self._ending, self._acknowledgement, timer)
        self._update = Update(self._core, self._ending, requests, timer)
        timer.refresh_by_update = self._update.refresh
        timer.refresh_by_reinvite = self._reinvite.refresh
        self.registering = Registering(self._core)
        """Registers with registrars, and keeps it so."""
        self._core.supported.append("replaces")
        self._subscriptions = Subscriptions(self._core)
        self.referring = Referring(self._core, self._subscriptions)
        """Transfers: asks for them, and answers who asks for one."""
        self._probing = Probing(self._core)
        self._access = access
        self.on_digest: Callable[[Request, Hop, Verdict, float], None] = lambda *_: None
        """Told what came of each password that was asked for."""
        self.on_malformed: Callable[[Hop, float], None] = lambda *_: None
        """Told where something came from that is no SIP, or wrong SIP."""
        self.ignores: Callable[[Request, Hop, float], bool] = lambda *_: False
        """Asked of each request outside a dialog, before anything is answered: whether it
        gets no answer at all, as from a scanner."""
        self._in_dialog: dict[str, InDialog] = {
            "INVITE": self._reinvite.receive,
            "UPDATE": self._update.receive,
            "PRACK": self._reliable.receive_prack,
            "BYE": self._receive_bye,
            "INFO": self._receive_info,
            "OPTIONS": lambda _, request, source, now: self._answer_options(request, source, now),
            "REFER": self.referring.receive,
            "NOTIFY": self._subscriptions.receive_notify,
            "SUBSCRIBE": self._subscriptions.receive_subscribe,
        }
        self._out_of_dialog: dict[str, OutOfDialog] = {
            "INVITE": self._receive_invite,
            "OPTIONS": self._answer_options,
            "REFER": self._receive_refer,
            "NOTIFY": partial(self._subscriptions.receive_notify, None),
            "SUBSCRIBE": partial(self._subscriptions.receive_subscribe, None),
        }

    # What there is to do, and to know.

    @property
    def settings(self) -> Settings:
        """What it was made with."""
        return self._core.settings

    @property
    def outputs(self) -> deque[Output]:
        """`Send` and events, in order; whoever takes one out deals with it."""
        return self._core.outputs

    def drain(self) -> list[Output]:
        """Take everything out of `outputs`."""
        outputs = list(self._core.outputs)
        self._core.outputs.clear()
        return outputs

    @property
    def sessions(self) -> Mapping[str, Session]:
        """The live sessions by id; those that are over are gone from it."""
        return MappingProxyType(self._core.sessions)

    @property
    def counters(self) -> Counter[str]:
        """What went wrong with messages, and how often, by reason."""
        return self._core.counters

    @property
    def live(self) -> dict[str, int]:
        """How much is kept now: sessions, transactions, timers."""
        core = self._core
        return {
            "sessions": len(core.sessions),
            "dialogs": len(core.dialogs),
            "client transactions": len(core.clients),
            "server transactions": len(core.servers),
            "subscriptions": len(self._subscriptions),
            "timers": len(core.timers),
        }

    def next_timeout(self) -> float | None:
        """When `tick` has something to do, on the same clock as ``now``."""
        return self._core.timers.next_due()

    def tick(self, now: float) -> None:
        """Let the timers that are due do their work."""
        self._core.now = now
        self._core.timers.run(now)

    # Commands for calls that come in.

    def progress(self, session: Session, code: int, sdp: Body, now: float) -> bool:
        """Send 180 to 183, with a session description for early media.

        This and the commands below return False, and do nothing, when the session is
        over or ending already: a race with the peer, not a mistake. They raise StateError where
        the command makes no sense in the session's state.
        """
        return self._inbound.progress(session, code, bytes(sdp or b""), now)

    def ring(self, session: Session, now: float) -> bool:
        """Send 180 Ringing."""
        return self.progress(session, 180, None, now)

    def accept(self, session: Session, sdp: Body, now: float) -> bool:
        """Send 200 with our answer, or our offer if they made none.

        It waits for the PRACK of a reliable provisional response with a description.
        """
        if not sdp:
            raise StateError("a 200 needs a session description")
        accepted = self._inbound.accept(session, bytes(sdp), now)
        replaced = session._internals.replaces
        if accepted and replaced is not None:
            self.end(replaced, now, reason="replaced")
        return accepted

    def reject(
        self,
        session: Session,
        code: int,
        now: float,
        *,
        reason: str = "",
        headers: Headers = (),
    ) -> bool:
        """Refuse with 3xx (give a Contact in ``headers``) to 6xx."""
        return self._inbound.reject(session, code, reason, headers, now)

    def redirect(
        self, session: Session, contacts: Sequence[str], now: float, *, code: int = 302
    ) -> bool:
        """Send the caller elsewhere: 300 to 305 with the addresses to call instead."""
        if not contacts or not 300 <= code <= 305:
            raise StateError(f"a {code} needs an address to send the caller to")
        fields = [("Contact", contact) for contact in as_contacts(contacts)]
        return self._inbound.reject(session, code, "", fields, now, "redirected")

    # Commands for calls that go out.

    def invite(self, invitation: Invitation, now: float) -> Session:
        """Call somebody. Raises UsageError for an address that is none."""
        return self._outbound.invite(invitation, now)

    def acknowledge(self, session: Session, sdp: Body, now: float) -> bool:
        """Answer the offer of `Accepted`, `Progress` or `ReInviteAnswered` (late offer).

        Without a description the offer is refused; the call stays to be ended.
        """
        return self._outbound.acknowledge(session, bytes(sdp or b""), now)

    def cancel(self, session: Session, now: float, *, reason: str = "cancelled") -> bool:
        """Give up a call of ours that is not answered."""
        if session.is_terminated or session.state is SessionState.ENDING:
            return False
        self._outbound.cancel(session, reason, None, now)
        return True

    def ask_options(
        self,
        uri: str,
        hop: Hop,
        told: Callable[[OptionsAnswer, float], None],
        now: float,
        timeout_seconds: float = 3.0,
    ) -> None:
        """Ask a server whether it is there; ``told`` hears what came of it, once."""
        self._probing.ask(uri, hop, told, now, timeout_seconds)

    # Commands for calls that are up.

    def reinvite(self, session: Session, sdp: Body | Callable[[], Body], now: float) -> bool:
        """Propose a change: hold, resume, another address. `ReInviteAnswered` follows.

        If it meets one of theirs it is tried again by itself (RFC 3261 section 14.1);
        theirs may have changed what there is to offer, so ``sdp`` may be a callable
        that is asked before each attempt. Without a description they make the offer.
        """
        return self._reinvite.start(session, _asked(sdp), now)

    def update(self, session: Session, sdp: Body | Callable[[], Body], now: float) -> bool:
        """Propose a change by UPDATE, before the answer too; `ReInviteAnswered` follows.

        Before the answer it takes an offer that was answered reliably (RFC 3311 section
        5.1), or StateError is raised.
        """
        if not sdp:
            raise StateError("an UPDATE needs a session description")
        return self._update.start(session, _asked(sdp), now)

    def answer_reinvite(self, session: Session, sdp: Body, now: float) -> bool:
        """Agree to their change, with our answer, or our offer if they made none."""
        if not sdp:
            raise StateError("a 200 needs a session description")
        if session._internals.server_change is not None:
            return self._update.answer(session, bytes(sdp), now)
        return self._reinvite.answer(session, bytes(sdp), now)

    def reject_reinvite(
        self, session: Session, code: int, now: float, *, headers: Headers = ()
    ) -> bool:
        """Refuse their change (488); the session stays as it was."""
        if session._internals.server_change is not None:
            return self._update.reject(session, code, headers, now)
        return self._reinvite.reject(session, code, now, headers)

    def probe(self, session: Session, now: float) -> bool:
        """Ask whether the far end still knows the call; if not, the call ends.

        An OPTIONS inside the dialog, for when no media can tell (RFC 5057 section 5.1).
        """
        return self._ending.probe(session, now)

    def bye(self, session: Session, now: float, *, reason: str = "hangup") -> bool:
        """Hang up a call that is up."""
        if session.is_terminated or session.state is SessionState.ENDING:
            return False
        if session.state is not SessionState.CONFIRMED:
            raise StateError(f"no BYE in state {session.state}")
        self._end_confirmed(session, reason, now)
        return True

    def end(self, session: Session, now: float, *, reason: str = "", code: int = 603) -> None:
        """Hang up in whatever state; legal more than once.

        CANCEL before their answer, BYE after it, ``code`` if we were asked and had not
        answered. ``reason`` is the word `Terminated` will carry.
        """
        state = session.state
        if state is SessionState.INVITED:
            self._inbound.reject(session, code, "", (), now, reason)
        elif state is SessionState.CALLING:
            self._outbound.cancel(session, reason or "cancelled", None, now)
        elif state is SessionState.ANSWERED and not self._inbound.take_back(
            session, code, reason, now
        ):
            session.move(Cause.HUNG_UP)
            session._internals.end_reason = reason or "hangup"
        elif state is SessionState.CONFIRMED:
            self._end_confirmed(session, reason or "hangup", now)

    def _end_confirmed(self, session: Session, reason: str, now: float) -> None:
        if session._internals.unanswered_offer is not None:
            self._outbound.acknowledge_without_answer(session, now)
        self._ending.hang_up(session, now, reason=reason)

    def unreachable(self, destination: Hop, now: float) -> None:
        """Nothing can be sent there: requests that wait for an answer fail.

        A destination with a flow is a connection that is gone: what was sent to its far end
        without naming one fails as well.
        """
        place = _place(destination)
        for transaction in list(self._core.clients.values()):
            waiting = transaction.destination
            if waiting.flow in (0, destination.flow) and _place(waiting) == place:
                transaction.fail(now)

    def is_far_end(self, source: Hop) -> bool:
        """Whether the far end of a live session sends from there."""
        return source in self._core.far_ends

    def is_far_host(self, host: str) -> bool:
        """Whether the far end of a live session sends from that address."""
        return host in self._core.far_hosts

    # What arrives.

    def receive(self, data: bytes, source: HopLike, now: float) -> None:
        """Take a datagram. Never raises because of what is in it."""
        core = self._core
        source = core.source = as_hop(source)
        core.now = now
        if not data.strip(b"\r\n\0"):
            core.counters["keep-alive"] += 1
            if data == b"\r\n\r\n":  # RFC 5626 section 4.4.1
                core.transmit(b"\r\n", source)
            return
        try:
            message = parse_message(data)
        except ParseError as error:
            self._receive_malformed(error, source, now)
            return
        if isinstance(message, Request):
            try:
                self._receive_request(message, source, now)
            except ParseError as error:
                error.message = message
                self._receive_malformed(error, source, now)
        else:
            self._receive_response(message, now)

    def receive_unframed(self, head: bytes, source: Hop, now: float) -> None:
        """Take what a stream could not be followed beyond (RFC 3261 section 18.3)."""
        message: Request | Response | None
        try:
            message = parse_message(head)
        except ParseError as error:
            message = error.message
        wrong = ParseError("Wrong Content-Length")
        wrong.message = message
        self._receive_malformed(wrong, source, now)

    def _receive_malformed(self, error: ParseError, source: Hop, now: float) -> None:
        """Answer what can be answered (RFC 3261 section 8.2), count the rest."""
        core = self._core
        message = error.message
        self.on_malformed(source, now)
        if isinstance(message, Request) and message.method != "ACK" and message.all("via"):
            fields = accept_headers(error.code)
            core.answer_statelessly(message, source, error.code, error.reason, fields)
        else:
            core.counters["malformed"] += 1

    def _receive_response(self, response: Response, now: float) -> None:
        core = self._core
        via = response.via
        transaction = core.clients.get((via.branch, response.cseq.method))
        if transaction is None or len(response.values("via")) > 1:
            core.counters["response-stray"] += 1
            return
        if core.settings.learn_address and core.source is not None:
            core.public.learn(via, core.source)
        transaction.receive(response, now)

    def _receive_request(self, request: Request, source: Hop, now: float) -> None:
        core = self._core
        transaction = core.servers.get(server_key(request, transport=source.transport))
        if transaction is not None:
            transaction.receive(request, now)
            return
        if request.method == "ACK":
            self._acknowledgement.receive_ack(request, now)
            return
        if not request.to.tag and self.ignores(request, source, now):
            core.counters["unanswered"] += 1
            return
        request.note_source(source)
        if len(core.servers) >= core.settings.max_transactions:
            busy = [("Retry-After", "5")]
            core.answer_statelessly(request, source, 503, headers=busy)
        elif request.method == "CANCEL":
            self._receive_cancel(request, source, now)
        elif not self._refuse(request, source, now):
            if request.to.tag:
                self._receive_in_dialog(request, source, now)
            else:
                self._receive_out_of_dialog(request, source, now)

    def _refuse(self, request: Request, source: Hop, now: float) -> bool:
        """The inspections of RFC 3261 sections 8.2.1 to 8.2.2."""
        core = self._core
        if request.method not in core.methods:
            code = 405 if request.method in _KNOWN else 501
            core.refuse(request, source, code, now, headers=[("Allow", core.allow)])
            return True
        if request.parsed_uri.headers:  # raises with 416 or 400, too
            raise ParseError("Header fields in the Request-URI")  # RFC 3261 section 19.1.1
        if not request.to.tag and self._is_echo(request, source, now):
            return True
        unknown = [tag for tag in request.values("require") if tag not in core.supported]
        if unknown:
            core.refuse(request, source, 420, now, headers=[("Unsupported", ", ".join(unknown))])
            return True
        return False

    def _is_echo(self, request: Request, source: Hop, now: float) -> bool:
        """The same request on another path (section 8.2.2.2), or one refused before."""
        core, key = self._core, merge_key(request, source.transport)
        if key in core.merged:
            core.refuse(request, source, 482, now)
            return True
        code = core.refusals.code_of(key, now)
        if code:
            core.refuse(request, source, code, now)
        return bool(code)

    def _receive_cancel(self, request: Request, source: Hop, now: float) -> None:
        """RFC 3261 section 9.2."""
        core = self._core
        transaction = core.servers.get(server_key(request, "INVITE", source.transport))
        if transaction is None:  # a proxy that changed its sent-by keeps its branch
            number = str(request.cseq.number)
            merged = (request.call_id, request.from_.tag, number, "INVITE", source.transport)
            key = core.merged.get(merged)
            if key is not None and key[0] == request.via.branch:
                transaction = core.servers.get(key)
        if transaction is None:
            core.refuse(request, source, 481, now)
            return
        core.respond(core.serve(request, source), 200, now)
        if not transaction.is_answered and transaction.on_cancel is not None:
            transaction.on_cancel(request, now)

    def _receive_out_of_dialog(self, request: Request, source: Hop, now: float) -> None:
        handler = self._out_of_dialog.get(request.method)
        if handler is None:
            self._core.refuse(request, source, 481, now)
        else:
            handler(request, source, now)

    def _receive_invite(self, request: Request, source: Hop, now: float) -> None:
        admitted = self._admit(request, source, now)
        if admitted is None:
            return
        try:
            replaced = find_replaced(request, self._core.dialogs, self._core.ended)
        except ParseError as error:
            self._core.refuse(request, source, error.code, now, error.reason)
            return
        self._inbound.receive_invite(request, source, *admitted, now, replaces=replaced)

    def _receive_refer(self, request: Request, source: Hop, now: float) -> None:
        if self._admit(request, source, now) is not None:
            self.referring.receive_outside(request, source, now)

    def _admit(self, request: Request, source: Hop, now: float) -> tuple[Admission, str] | None:
        """Whether a request may begin something, and who they proved to be."""
        core = self._core
        admission = self._access(request, source, now) if self._access else OPEN
        if admission.silent:
            core.counters["unanswered"] += 1
            return None
        if admission.code:
            later = admission.retry_after_seconds
            headers = [("Retry-After", str(later))] if later else []
            core.refuse(request, source, admission.code, now, admission.reason, headers)
            return None
        username = ""
        if (challenger := admission.challenger) is not None:
            given = request.all("authorization")
            verdict = challenger.check(request.method, request.uri, given, request.body, now)
            self.on_digest(request, source, verdict, now)
            if verdict.outcome != "accepted":
                core.counters[f"digest-{verdict.outcome}"] += 1
                headers = challenger.headers(now, stale=verdict.outcome == "stale")
                core.answer_statelessly(request, source, 401, headers=headers)
                return None
            username = verdict.username
        return admission, username

    def _receive_in_dialog(self, request: Request, source: Hop, now: float) -> None:
        """RFC 3261 section 12.2.2."""
        core = self._core
        session = core.find_session(request, inbound=True)
        if session is None:
            if request.method == "NOTIFY":  # what a REFER began outlives its call
                self._subscriptions.receive_notify(None, request, source, now)
            elif request.method == "SUBSCRIBE":
                self._subscriptions.receive_subscribe(None, request, source, now)
            elif request.method == "PRACK" and self._reliable.is_late(request):
                core.respond(core.serve(request, source), 200, now)
            else:
                core.refuse(request, source, 481, now)
            return
        internals = session._internals
        dialog = internals.dialog or internals.early_dialogs[request.from_.tag]
        in_order = dialog.accept_sequence(request.cseq.number)
        # A PRACK that an UPDATE has overtaken still says what it says.
        if not in_order and not (request.method == "PRACK" and acknowledges(session, request)):
            core.refuse(request, source, 500, now, reason="CSeq out of order")
            return
        core.follow(session, source)
        handler = self._in_dialog.get(request.method)
        if handler is None:  # it makes a dialog of its own, and never goes into one
            core.refuse(request, source, 405, now, headers=[("Allow", core.allow)])
        else:
            handler(session, request, source, now)

    def _receive_bye(self, session: Session, request: Request, source: Hop, now: float) -> None:
        if session.state in (SessionState.CALLING, SessionState.CANCELLING):
            # It has overtaken their answer, or ends an early dialog of several.
            session._internals.cause = request.get("reason") or ""
            self._core.respond(self._core.serve(request, source), 200, now)
            self._outbound.cancel(session, "hangup", None, now, by="them")
            return
        self._ending.receive_bye(session, self._core.serve(request, source), request, now)

    def _answer_options(self, request: Request, source: Hop, now: float) -> None:
        """RFC 3261 section 11.2."""
        headers = [
            ("Contact", self._core.contact(source)),
            ("Allow", self._core.allow),
            ("Accept", SDP_TYPE),
            ("Accept-Encoding", "identity"),
            ("Accept-Language", "en"),
            ("Allow-Events", "refer"),
            ("Supported", ", ".join(self._core.supported)),
        ]
        self._core.respond(self._core.serve(request, source), 200, now, headers=headers)

    def _receive_info(self, session: Session, request: Request, source: Hop, now: float) -> None:
        """RFC 6086; digits come as Signal= and Duration= lines, or bare."""
        core = self._core
        if request.body and request.content_type not in _DTMF_TYPES:
            accept = [("Accept", ", ".join(_DTMF_TYPES))]
            core.refuse(request, source, 415, now, headers=accept)
            return
        core.respond(core.serve(request, source), 200, now)
        digit, duration_ms = _read_digit(request)
        if digit:
            core.emit(DigitReceived(session, digit, duration_ms))


def _place(hop: Hop) -> Hop:
    """A far end, whatever flow leads there; whose TLS settings hold matters with TLS only."""
    if hop.transport == "TLS":
        return hop._replace(flow=0)
    return hop._replace(flow=0, profile="", name="")


def _asked(sdp: Body | Callable[[], Body]) -> Callable[[], bytes]:
    return lambda: bytes((sdp() if callable(sdp) else sdp) or b"")


def _read_digit(request: Request) -> tuple[str, int]:
    """The key and its milliseconds; "" if there is none."""
    text = request.body.decode("ascii", "replace").strip()
    if request.content_type == "application/dtmf":
        text = f"Signal={text}" if "=" not in text else text
    values = {}
    for line in text.splitlines():
        name, _, value = line.partition("=")
        values[name.strip().lower()] = value.strip()
    signal = {"10": "*", "11": "#"}.get(values.get("signal", ""), values.get("signal", "")).upper()
    duration = values.get("duration", "")
    known = duration.isascii() and duration.isdecimal() and len(duration) <= 6
    return (
        signal if len(signal) == 1 and signal in "0123456789*#ABCD" else "",
        int(duration) if known else 0,
    )
