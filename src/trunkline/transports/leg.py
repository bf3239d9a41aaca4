"""A leg: one endpoint's signalling and media, whatever it came in on.

Transports make legs; ``calls`` gives them to applications. A leg lives on the
media thread: all its methods are called there and all its events are delivered
there. The frames themselves never pass through here; they go through the leg's
`Lane` in the engine.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from trunkline.media.lane import Lane

__all__ = [
    "Answered",
    "DialOptions",
    "Digit",
    "Direction",
    "EarlyMedia",
    "Ended",
    "Held",
    "HoldChanged",
    "HoldableLeg",
    "Leg",
    "LegEvent",
    "LegObserver",
    "LegReceiver",
    "LegReplaced",
    "Party",
    "RedirectableLeg",
    "Resumed",
    "Ringing",
    "TransferAsked",
    "TransferObserver",
    "TransferProgress",
    "TransferRequest",
    "TransferableLeg",
]

Direction = Literal["inbound", "outbound"]


@dataclass(frozen=True, slots=True)
class Party:
    """Who is at the two ends of a leg, as its signalling names them."""

    caller: str
    """The calling number or address, without scheme where it is a number."""
    callee: str
    """The called number or address: what routes are matched against."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """SIP headers, or a media stream's custom parameters."""
    account: str = ""
    """The account that the two ends proved, of a SIP call: theirs, or ours with them."""
    host: str = ""
    """Where a SIP call came from (an address), or goes to."""
    trunk: str = ""
    """The trunk it came in on, or goes out on; empty where there is none."""


@dataclass(frozen=True, slots=True)
class DialOptions:
    """How one call out is placed, where that is not how the node places calls.

    A trunk makes it of its settings; what a transport cannot do it refuses with
    `UsageError` when it is asked to dial.
    """

    trunk: str = ""
    """The trunk's name: in the leg's party, in records, and whose TLS settings hold."""
    server: str = ""
    """The URI it is sent to, ``sip:203.0.113.9;transport=tcp``; empty: the target's host."""
    routes: tuple[str, ...] = ()
    """Route values to preload: an outbound proxy, a registrar's Service-Route."""
    username: str = ""
    """Who we are to a far end that asks; empty: the node's own account."""
    password: str = ""
    """The password for it."""
    contact_user: str = ""
    """The user part of our Contact: what a registrar knows us by."""
    codecs: tuple[str, ...] = ()
    """What is offered, the most wanted first; empty: the node's."""
    srtp: Literal["off", "optional", "required"] = "off"
    """SDES (RFC 4568): not offered, offered in RTP/AVP, or RTP/SAVP and nothing else."""
    no_response_seconds: float | None = None
    """Give up, as with 408, when nothing at all is answered for this long."""
    no_answer_seconds: float | None = None
    """Cancel when it is not answered after this long; None: the node's."""
    session_expires_seconds: int = 0
    """Ask for session timers of this length (RFC 4028); 0 does not."""
    replaces: str = ""
    """The value of a Replaces field: the call takes another's place (RFC 3891)."""
    late_offer: bool = False
    """Offer nothing: they make the offer, and our ACK or PRACK answers it."""


@dataclass(frozen=True, slots=True)
class Ringing:
    """The far end is alerting (outbound legs)."""

    code: int = 180
    """The SIP status that said so; 181: the call is sent on, 182: it waits in a queue."""


@dataclass(frozen=True, slots=True)
class EarlyMedia:
    """Audio flows before the answer (outbound legs)."""

    code: int = 183
    """The SIP status that brought the session description."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The call is up: billing and talking begin."""


@dataclass(frozen=True, slots=True)
class Held:
    """The far end put us on hold; nothing is to be expected from it."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The far end took us off hold."""


@dataclass(frozen=True, slots=True)
class HoldChanged:
    """What came of `HoldableLeg.hold` and ``resume``: how things stand now."""

    held: bool
    """Whether we hold the far end."""
    code: int = 200
    """The SIP status that said so; 300 and above: refused, and nothing has changed."""
    reason: str = ""
    """What they said about it."""


@dataclass(frozen=True, slots=True)
class Digit:
    """The far end pressed a key."""

    digit: str
    """One of 0-9, *, #, A-D."""
    duration_ms: int
    """How long it was held, as far as known; 0 where the dialect does not say."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The leg is gone and its resources are free. Exactly one per leg, always last."""

    reason: str
    """A word: hangup, cancelled, rejected, redirected, busy, no-answer, timeout, media-timeout,
    error."""
    by: Literal["us", "them"]
    """Who began the end."""
    code: int | None = None
    """The SIP status or WebSocket close code, where there is one."""
    detail: str = ""
    """What a person debugging would want to read: a SIP far end's Reason, for one."""
    retry_after_seconds: int = 0
    """When a far end that refused wants to be called again; 0: it does not say."""


class TransferRequest(Protocol):
    """The far end wants the call to go on with somebody else. Media thread only."""

    target: str
    """Whom, as an address. Text from outside: a policy has to allow it."""
    referred_by: str
    """Who says so; goes into the new call as it is (RFC 3892). May be empty."""
    replaces: str
    """Whose place the new call takes there (`DialOptions.replaces`); may be empty."""

    def accept(self) -> bool:
        """Agree, before the call is placed; False when it was answered before."""

    def refuse(self, code: int = 603) -> bool:
        """Do not; the call stays as it is. False when it was answered before."""

    def report(self, code: int, reason: str = "") -> None:
        """Tell them how the new call stands, by SIP status; from 200 on for the last time."""


@dataclass(frozen=True, slots=True)
class TransferAsked:
    """The far end asks for a transfer, and waits for `TransferRequest.accept` or ``refuse``."""

    request: TransferRequest


@dataclass(frozen=True, slots=True)
class LegReplaced:
    """Another leg is to take this one's place: answering it ends this one.

    It rings until it is answered or rejected; where it fails, this one goes on.
    """

    leg: "Leg"
    observe: Callable[["LegObserver"], None]
    """Gives it the observer that takes it."""


@dataclass(frozen=True, slots=True)
class TransferProgress:
    """What comes of a transfer we asked for."""

    code: int
    """Their answer, or the SIP status of the call they place; 0: they never said."""
    reason: str = ""
    final: bool = False
    """Nothing more comes: 200 to 299 done (202: agreed, and the rest they do not tell), below
    200 they stopped telling, 300 and above it failed and the leg goes on."""


TransferObserver = Callable[[TransferProgress], None]
"""Told what comes of a transfer, on the media thread, maybe after the leg's end."""

LegEvent = (
    Ringing
    | EarlyMedia
    | Answered
    | Held
    | Resumed
    | HoldChanged
    | Digit
    | TransferAsked
    | LegReplaced
    | Ended
)
LegObserver = Callable[["Leg", LegEvent, float], None]
"""Gets every event of a leg, with the media clock's ``now``, on the media thread."""

LegReceiver = Callable[["Leg", float], LegObserver]
"""Given a new inbound leg by its transport; returns who observes it from now on."""


class Leg(Protocol):
    """One endpoint of a call. Media thread only."""

    @property
    def id(self) -> str:
        """Unique in this process."""

    @property
    def transport(self) -> str:
        """A word: sip, twilio, browser."""

    @property
    def direction(self) -> Direction:
        """Who began it, from where we stand."""

    @property
    def party(self) -> Party:
        """Who calls whom."""

    @property
    def lane(self) -> Lane | None:
        """The leg's place in the engine; None until its media is agreed."""

    def ring(self) -> None:
        """Say that somebody is being alerted (inbound, before the answer)."""

    def early_media(self) -> None:
        """Open the audio before the answer (inbound)."""

    def answer(self) -> None:
        """Accept an inbound leg."""

    def reject(self, code: int, reason: str = "") -> None:
        """Refuse an inbound leg that is not answered yet."""

    def hangup(self, reason: str = "hangup") -> None:
        """End the leg in any state; legal more than once."""

    @property
    def takes_keys(self) -> bool:
        """Whether `send_dtmf` reaches the far end; else keys are tones in the audio."""

    def send_dtmf(self, digits: str, duration_ms: int = 100) -> None:
        """Press keys towards the far end, each for so long."""

    def statistics(self) -> Mapping[str, float]:
        """Loss, jitter, round trip and the like, as flat numbers for the record."""


@runtime_checkable
class RedirectableLeg(Protocol):
    """A leg whose signalling can send a caller elsewhere. Media thread only."""

    def redirect(self, targets: Sequence[str], code: int = 302) -> None:
        """Refuse an inbound leg and name who to call instead, the most wanted first.

        Raises `UsageError` for what is no address.
        """


@runtime_checkable
class HoldableLeg(Protocol):
    """A leg whose signalling can put the far end on hold. Media thread only.

    `HoldChanged` follows each of the two, also where there was nothing to change.
    """

    def hold(self, *, silent: bool = False) -> None:
        """Have the far end send nothing; ``silent``: and send it nothing either.

        Without ``silent`` what is played is still sent: music on hold. Raises
        `UsageError` for a call that is not answered.
        """

    def resume(self) -> None:
        """Take the far end off hold; raises `UsageError` like `hold`."""


@runtime_checkable
class TransferableLeg(Protocol):
    """A leg whose signalling can hand its far end to somebody else. Media thread only."""

    def transfer(
        self, target: str, told: TransferObserver, *, replaces: str = "", silent: bool = False
    ) -> None:
        """Ask the far end to call ``target``: an address, or a number at its own domain.

        ``replaces`` is another leg's `place`: an attended transfer. ``silent`` asks to be
        told no more than whether they agree. Raises `UsageError` for a leg that is not up
        or an address that is none. On success the leg is still up: hang it up.
        """

    def place(self) -> tuple[str, str]:
        """Where the far end is, and what names this call to it (RFC 3891).

        Raises `UsageError` for a leg that is not up.
        """
