"""A session: one INVITE and the call that comes of it, as the application sees it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from .dialog import Dialog
from .digest import Authorizer
from .errors import SdpError, StateError
from .headers import NameAddress
from .hop import Hop
from .message import HeaderView, Request, Response
from .pending import Interval, OutgoingUpdate, Provisionals
from .public_address import ContactForm
from .redirect import Redirection
from .sdp import Direction, SessionDescription
from .timers import Timer
from .transaction import (
    InviteClientTransaction,
    InviteServerTransaction,
    NonInviteServerTransaction,
)

__all__ = ["Cause", "Session", "SessionState"]

Party = Literal["us", "them"]
NOWHERE = Hop("", 0)


class SessionState(StrEnum):
    """Where a session is."""

    CALLING = "calling"
    """We invited and wait."""
    CANCELLING = "cancelling"
    """We invited and changed our mind; their last word is awaited."""
    INVITED = "invited"
    """They invited and wait for us."""
    ANSWERED = "answered"
    """We accepted; their ACK is awaited."""
    CLOSING = "closing"
    """We accepted and want to end; a BYE may only follow the ACK (RFC 3261 15)."""
    CONFIRMED = "confirmed"
    """The call is up."""
    ENDING = "ending"
    """Our BYE is out."""
    TERMINATED = "terminated"
    """Over; nothing more will come."""


class Cause(StrEnum):
    """What moves a session."""

    ANSWERED = "2xx sent or received"
    ACKNOWLEDGED = "ack received"
    HUNG_UP = "we want to end"
    BYE_SENT = "our bye is out"
    OVER = "refused, cancelled, ended or timed out"


_S = SessionState

TABLE: Mapping[tuple[SessionState, Cause], SessionState] = {
    (_S.CALLING, Cause.ANSWERED): _S.CONFIRMED,
    (_S.CALLING, Cause.HUNG_UP): _S.CANCELLING,
    (_S.CALLING, Cause.OVER): _S.TERMINATED,
    (_S.CANCELLING, Cause.HUNG_UP): _S.CANCELLING,
    (_S.CANCELLING, Cause.BYE_SENT): _S.ENDING,
    (_S.CANCELLING, Cause.OVER): _S.TERMINATED,
    (_S.INVITED, Cause.ANSWERED): _S.ANSWERED,
    (_S.INVITED, Cause.OVER): _S.TERMINATED,
    (_S.ANSWERED, Cause.ACKNOWLEDGED): _S.CONFIRMED,
    (_S.ANSWERED, Cause.HUNG_UP): _S.CLOSING,
    (_S.ANSWERED, Cause.BYE_SENT): _S.ENDING,
    (_S.ANSWERED, Cause.OVER): _S.TERMINATED,
    (_S.CLOSING, Cause.ACKNOWLEDGED): _S.CLOSING,
    (_S.CLOSING, Cause.HUNG_UP): _S.CLOSING,
    (_S.CLOSING, Cause.BYE_SENT): _S.ENDING,
    (_S.CLOSING, Cause.OVER): _S.TERMINATED,
    (_S.CONFIRMED, Cause.ACKNOWLEDGED): _S.CONFIRMED,
    (_S.CONFIRMED, Cause.BYE_SENT): _S.ENDING,
    (_S.CONFIRMED, Cause.OVER): _S.TERMINATED,
    (_S.ENDING, Cause.ACKNOWLEDGED): _S.ENDING,
    (_S.ENDING, Cause.HUNG_UP): _S.ENDING,
    (_S.ENDING, Cause.OVER): _S.TERMINATED,
}
"""The session machine; any other pair raises StateError."""


@dataclass(slots=True)
class Fork:
    """One 2xx of an outbound INVITE: its dialog and the ACK it gets, again if need be."""

    dialog: Dialog
    request: Request
    """The INVITE."""
    acknowledged: bool = False
    ack: bytes = b""
    destination: Hop = NOWHERE


@dataclass(slots=True)
class Unacknowledged:
    """A 2xx of ours that is repeated until its ACK (RFC 3261 section 13.3.1.4)."""

    transaction: InviteServerTransaction
    late_offer: bool
    """The 2xx had our offer: the ACK has the answer."""
    interval: float
    repeat: Timer | None = None
    deadline: Timer | None = None

    def stop(self) -> None:
        """No more repetitions."""
        for timer in (self.repeat, self.deadline):
            if timer is not None:
                timer.cancel()


@dataclass(slots=True)
class Internals:
    """What the user agent keeps about a session; no business of the application."""

    local_tag: str
    dialog: Dialog | None = None
    early_dialogs: dict[str, Dialog] = field(default_factory=dict)
    early_tag: str = ""
    """Whose provisional response came last: the early dialog that is followed."""
    settled: set[str] = field(default_factory=set)
    """Dialogs, by their tag, whose offer was answered reliably before the 2xx."""
    changed: set[str] = field(default_factory=set)
    """Dialogs whose session an UPDATE has changed: what a 2xx says is older."""
    provisionals: Provisionals | None = None
    """Our reliable provisional responses (RFC 3262)."""
    received_numbers: dict[str, int] = field(default_factory=dict)
    """The last RSeq of each early dialog."""
    early_offer: tuple[Dialog, Response] | None = None
    """Their reliable 1xx had an offer: the PRACK waits for `acknowledge`."""
    update: OutgoingUpdate | None = None
    server_change: NonInviteServerTransaction | None = None
    """Their UPDATE or PRACK with an offer, until it is answered."""
    interval: Interval = field(default_factory=Interval)
    allowed: str | None = None
    """Their Allow, as it came last; None: they have not said."""
    cause: str = ""
    """Their Reason header, with what ended the call (RFC 3326)."""
    retry_after_seconds: int = 0
    """Of their refusal."""
    redirection: Redirection | None = None
    """Where else to call, as others say; None: nowhere else."""
    forks: dict[str, Fork] = field(default_factory=dict)
    server_invite: InviteServerTransaction | None = None
    client_invite: InviteClientTransaction | None = None
    got_provisional: bool = False
    cancel_sent: bool = False
    told_end: bool = False
    """`Terminated` was emitted; what is left of it is between the two user agents."""
    unanswered_offer: Fork | None = None
    """Their 2xx had an offer: the ACK waits for `acknowledge`."""
    reinvite_offer: Callable[[], bytes] | None = None
    """Makes what our re-INVITE carries; None when there is none wished for."""
    reinvite_body: bytes = b""
    """What it carried when it was last sent."""
    reinvite_is_out: bool = False
    reinvite_is_refresh: bool = False
    """It repeats what holds, for the session timer, and is nobody's wish."""
    reinvite_attempts: int = 0
    probing: bool = False
    server_reinvite: InviteServerTransaction | None = None
    client_reinvite: InviteClientTransaction | None = None
    unacknowledged: dict[int, Unacknowledged] = field(default_factory=dict)
    authorizer: Authorizer | None = None
    replaces: "Session | None" = None
    """Whose place it takes; ended when this one is accepted."""
    referrals: int = 0
    """REFERs of theirs that were accepted in its dialog."""
    source: Hop | None = None
    username: str = ""
    trunk: str = ""
    contact: ContactForm = field(default=ContactForm())
    """How we name ourselves in it."""
    profile: str = ""
    """Whose TLS settings its requests are sent with."""
    no_response_seconds: float | None = None
    """How long its INVITE waits for a sign of life."""
    timers: dict[str, Timer] = field(default_factory=dict)
    local_body: bytes = b""
    end_reason: str = ""
    end_by: Party = "us"
    end_code: int | None = None

    def stop_timer(self, name: str) -> None:
        """Cancel a timer, if it runs."""
        timer = self.timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def stop_all(self) -> None:
        """Cancel every timer of the session; its transactions have their own."""
        for timer in self.timers.values():
            timer.cancel()
        self.timers.clear()
        for waiting in self.unacknowledged.values():
            waiting.stop()
        self.unacknowledged.clear()
        if self.provisionals is not None:
            self.provisionals.close()

    def note_allow(self, message: Request | Response) -> None:
        """Remember what they take."""
        allow = message.get("allow")
        if allow is not None:
            self.allowed = ", ".join(message.all("allow")).upper()


class Session:
    """One INVITE usage. Read it; the `UserAgent`'s commands change it."""

    __slots__ = ("_internals", "_local_party", "_remote_party", "direction", "id", "remote_sdp",
                 "request", "state")  # fmt: skip

    def __init__(
        self,
        identifier: str,
        direction: Literal["inbound", "outbound"],
        request: Request,
        internals: Internals,
    ) -> None:
        self.id = identifier
        """Unique in this user agent for as long as it lives."""
        self.direction = direction
        self.request = request
        """The INVITE that began it, as received or sent (the last one, after a challenge)."""
        inbound = direction == "inbound"
        self.state = SessionState.INVITED if inbound else SessionState.CALLING
        self.remote_sdp: SessionDescription | None = None
        """What they said last, offer or answer."""
        self._internals = internals
        self._local_party = request.to if inbound else request.from_
        self._remote_party = request.from_ if inbound else request.to

    def __repr__(self) -> str:
        return f"<Session {self.id} {self.direction} {self.state}>"

    @property
    def call_id(self) -> str:
        """The Call-ID; several sessions may share one (forks, spirals)."""
        return self.request.call_id

    @property
    def from_(self) -> NameAddress:
        """Who calls, as the INVITE says: display name and URI."""
        return self.request.from_

    @property
    def to(self) -> NameAddress:
        """Who is called, as the INVITE says."""
        return self.request.to

    @property
    def local(self) -> NameAddress:
        """Our side of From and To."""
        return self._local_party

    @property
    def remote(self) -> NameAddress:
        """Their side of From and To."""
        return self._remote_party

    @property
    def headers(self) -> Mapping[str, str]:
        """The INVITE's header fields, names in any case, read only."""
        return HeaderView(self.request)

    @property
    def remote_contact(self) -> str | None:
        """The URI requests to them are addressed to; None before there is a dialog."""
        dialog = self._internals.dialog
        return dialog.remote_target if dialog else None

    @property
    def source(self) -> Hop | None:
        """Where their last message for this session came from."""
        return self._internals.source

    @property
    def username(self) -> str:
        """Who they proved to be by digest; empty if they were not asked."""
        return self._internals.username

    @property
    def trunk(self) -> str:
        """The trunk it came in on, or goes out on; empty where there is none."""
        return self._internals.trunk

    @property
    def local_sdp(self) -> SessionDescription | None:
        """What we said last, offer or answer."""
        try:
            body = self._internals.local_body
            return SessionDescription.parse(body) if body else None
        except SdpError:
            return None

    @property
    def is_confirmed(self) -> bool:
        """Whether the call is up: 2xx and ACK have been exchanged."""
        return self.state is SessionState.CONFIRMED

    @property
    def is_terminated(self) -> bool:
        """Whether `Terminated` has been reported."""
        return self.state is SessionState.TERMINATED

    @property
    def held_by_them(self) -> bool:
        """Whether they want no audio from us."""
        return _refuses_audio(self.remote_sdp)

    @property
    def held_by_us(self) -> bool:
        """Whether we said that we want no audio from them."""
        return _refuses_audio(self.local_sdp)

    def move(self, cause: Cause) -> None:
        """One step of the machine; for the user agent only. Raises StateError."""
        state = TABLE.get((self.state, cause))
        if state is None:
            raise StateError(f"{cause} in state {self.state} of session {self.id}")
        self.state = state


def _refuses_audio(description: SessionDescription | None) -> bool:
    if description is None:
        return False
    lines = [line for line in description.media if line.kind == "audio"]
    directions = [description.direction(line) for line in lines if line.port]
    if not directions:
        return bool(lines)
    return not any(Direction(direction).receives for direction in directions)
