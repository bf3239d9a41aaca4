"""What a user agent has to say: datagrams to send and events to act on."""

from dataclasses import dataclass
from typing import Literal

from .hop import Hop
from .message import Request, Response
from .referral import Refer, Referral
from .registration import Registration
from .sdp import SessionDescription
from .session import Session

__all__ = [
    "Accepted",
    "Acked",
    "ByeReceived",
    "Cancelled",
    "Confirmed",
    "DigitReceived",
    "EarlyAnswered",
    "Event",
    "Invited",
    "Output",
    "Progress",
    "ReInviteAnswered",
    "ReInvited",
    "Redirected",
    "ReferProgress",
    "Referred",
    "Registered",
    "RegistrationEvent",
    "RegistrationFailed",
    "RegistrationWithdrawn",
    "Rejected",
    "Send",
    "Terminated",
]


@dataclass(frozen=True, slots=True)
class Send:
    """Put this on the wire."""

    data: bytes
    destination: Hop
    """The host may be a name the transport has to look up, with port 0 then."""


@dataclass(frozen=True, slots=True)
class Invited:
    """Somebody calls. 100 Trying is out; ring, accept or reject."""

    session: Session
    request: Request
    offer: SessionDescription | None
    """None: they want our offer in the 2xx (late offer)."""
    replaces: Session | None = None
    """The session whose place it takes (RFC 3891): accepting it ends that one."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The caller gave up before an answer; 487 is out. `Terminated` follows."""

    session: Session
    cause: str = ""
    """Their Reason header (RFC 3326): "answered elsewhere" and the like."""


@dataclass(frozen=True, slots=True)
class Acked:
    """The ACK of a 2xx of ours arrived (the first one, or a re-INVITE's)."""

    session: Session
    answer: SessionDescription | None
    """Their answer, if our 2xx was the offer; None then means that it was unusable."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The call is up, once per session: 2xx and ACK have been exchanged."""

    session: Session


@dataclass(frozen=True, slots=True)
class Progress:
    """A provisional response to our INVITE: ringing, early media."""

    session: Session
    code: int
    reason: str
    answer: SessionDescription | None
    """Early media, if there is one. Forks may give several; the last one counts."""
    offer: SessionDescription | None = None
    """Their offer, if we made none: `UserAgent.acknowledge` answers it (RFC 3262)."""


@dataclass(frozen=True, slots=True)
class EarlyAnswered:
    """The PRACK of our 1xx answers the offer it had: audio may flow before the 200."""

    session: Session
    answer: SessionDescription | None
    """None: it could not be read."""


@dataclass(frozen=True, slots=True)
class Redirected:
    """They named others to call instead, and one of those is called now (RFC 3261 8.1.3.4)."""

    session: Session
    code: int
    """300, 301, 302 or 305."""
    target: str
    """The URI that is called now."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """They took our call."""

    session: Session
    answer: SessionDescription | None
    """Their answer to our offer; None if they sent none that can be read."""
    offer: SessionDescription | None = None
    """Their offer, if we made none: `UserAgent.acknowledge` answers it."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """They refused our call, or nobody was there. `Terminated` follows."""

    session: Session
    code: int
    """The SIP status; 408 when nothing answered, 503 when nothing could be sent."""
    reason: str
    response: Response | None
    """Their last response, with Contact, Retry-After, Reason; None if there was none."""


@dataclass(frozen=True, slots=True)
class ReInvited:
    """They change the session: hold, resume, a new address. Answer it."""

    session: Session
    request: Request
    """An INVITE; or an UPDATE or a PRACK with an offer, before the answer too."""
    offer: SessionDescription | None
    """None: they want a new offer from us."""


@dataclass(frozen=True, slots=True)
class ReInviteAnswered:
    """How our own change of the session went."""

    session: Session
    code: int
    """2xx: agreed. Anything else: the session stays as it was."""
    reason: str
    answer: SessionDescription | None
    offer: SessionDescription | None = None
    """Their offer, if we made none: `UserAgent.acknowledge` answers it."""


@dataclass(frozen=True, slots=True)
class Referred:
    """They ask us to call somebody else. Accept or refuse it (`UserAgent.referring`)."""

    session: Session
    referral: Referral


@dataclass(frozen=True, slots=True)
class ReferProgress:
    """What comes of a REFER of ours; may follow `Terminated`."""

    session: Session
    refer: Refer
    code: int
    """Their answer to it, or the status of the call they place; 0: they never said."""
    reason: str
    is_final: bool
    """Nothing more comes. Below 200: they stopped telling before its end."""


@dataclass(frozen=True, slots=True)
class DigitReceived:
    """A key in an INFO (application/dtmf-relay, application/dtmf)."""

    session: Session
    digit: str
    """One of 0-9, *, #, A-D."""
    duration_ms: int
    """0 if not said."""


@dataclass(frozen=True, slots=True)
class ByeReceived:
    """They hung up; 200 is out. `Terminated` follows."""

    session: Session
    cause: str
    """Their Reason header (RFC 3326), or empty."""


@dataclass(frozen=True, slots=True)
class Terminated:
    """The session is over. Exactly one per session, always its last event."""

    session: Session
    reason: str
    """hangup, cancelled, rejected, busy, no-answer, timeout or error, or what `end` was given."""
    by: Literal["us", "them"]
    """Who began the end."""
    code: int | None
    """The SIP status, where one did it."""
    cause: str = ""
    """Their Reason header, ``Q.850;cause=16;text="..."``, where they gave one (RFC 3326)."""
    retry_after_seconds: int = 0
    """When they want to be called again (section 20.33); 0: they do not say."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A registrar has taken our binding; refreshes are not reported again."""

    registration: "Registration"


@dataclass(frozen=True, slots=True)
class RegistrationFailed:
    """A registrar refused, or is not there. It is tried again at ``next_at``."""

    registration: "Registration"
    code: int
    """The status; 408 when nothing answered, 503 when nothing could be sent."""
    reason: str


@dataclass(frozen=True, slots=True)
class RegistrationWithdrawn:
    """A registration is over, as we wanted. Its last event."""

    registration: "Registration"


RegistrationEvent = Registered | RegistrationFailed | RegistrationWithdrawn
"""What is about no session."""

Event = (
    Invited
    | Cancelled
    | Acked
    | Confirmed
    | Progress
    | EarlyAnswered
    | Redirected
    | Accepted
    | Rejected
    | ReInvited
    | ReInviteAnswered
    | Referred
    | ReferProgress
    | DigitReceived
    | ByeReceived
    | Terminated
)
Output = Send | Event | RegistrationEvent
