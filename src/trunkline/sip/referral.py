"""What a REFER asks for: the one that is sent, and the one that is received (RFC 3515).

The Refer-To of a peer is text from outside: of the header fields it carries, only
Replaces is taken over into the call it leads to (RFC 3261 section 19.1.5).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from .dialog import Dialog
from .errors import ParseError
from .headers import NameAddress, parse_parameters
from .message import Request
from .replaces import Replaces
from .session import Session
from .timers import Timer
from .transaction import InviteServerTransaction, NonInviteServerTransaction
from .uri import Uri

__all__ = ["Notification", "Refer", "ReferTo", "Referral", "Report", "SubscriptionState", "Watch",
           "read_fragment"]  # fmt: skip

MAX_TARGET = 1024
"""A longer address is refused; real ones have 20 to 200 characters."""

_FIELD = re.compile(r"[A-Za-z-]{1,64}=")
_STATUS = re.compile(rb"\s*SIP/2\.0[ \t]+([1-6][0-9][0-9])(?:[ \t]+([^\r\n]{0,128}))?", re.I)


@dataclass(frozen=True, slots=True)
class ReferTo:
    """Where a REFER points."""

    uri: str
    """Whom to call, without the header fields that were in it."""
    replaces: Replaces | None = None
    """Whose place the call takes there: an attended transfer."""
    ignored: tuple[str, ...] = ()
    """Header fields the address carried that are not taken over."""

    @classmethod
    def parse(cls, request: Request) -> "ReferTo":
        """Read a REFER; raises ParseError with the status that refuses it."""
        values = request.values("refer-to")
        if len(values) != 1 or len(values[0]) > MAX_TARGET:
            raise ParseError("Missing or several Refer-To headers")
        uri = Uri.parse(_escaped(NameAddress.parse(values[0]).uri))
        if (uri.parameter("method") or "INVITE").upper() != "INVITE":
            raise ParseError("Only calls are made", 603)
        found = [value for name, value in uri.headers if name.lower() == "replaces"]
        if len(found) > 1:
            raise ParseError("Several Replaces in Refer-To")
        ignored = tuple(name for name, _ in uri.headers if name.lower() != "replaces")
        parameters = tuple(pair for pair in uri.parameters if pair[0] != "method")
        target = str(replace(uri, headers=(), parameters=parameters))
        return cls(target, Replaces.parse(found[0]) if found else None, ignored)

    def __str__(self) -> str:
        if self.replaces is None:
            return f"<{self.uri}>"
        uri = Uri.parse(self.uri)
        return f"<{replace(uri, headers=(('Replaces', str(self.replaces)),))}>"


def _escaped(text: str) -> str:
    """An address whose header fields have an ``@`` as it is, as some telephones write it."""
    head, mark, fields = text.partition("?")
    if mark and _FIELD.match(fields):
        return head + mark + fields.replace("@", "%40")
    return text


class SubscriptionState(NamedTuple):
    """The Subscription-State field (RFC 6665 section 8.2.3)."""

    word: str
    """active, pending, terminated."""
    expires_seconds: int | None = None
    reason: str = ""
    """Why it was terminated: noresource, timeout, rejected, deactivated, giveup."""

    @classmethod
    def parse(cls, text: str) -> "SubscriptionState":
        """Read it; raises ParseError."""
        word, _, rest = text.partition(";")
        parameters = parse_parameters(rest)
        expires = parameters.get("expires") or ""
        known = expires.isascii() and expires.isdecimal() and len(expires) <= 9
        return cls(
            word.strip().lower(),
            int(expires) if known else None,
            (parameters.get("reason") or "").lower(),
        )

    def __str__(self) -> str:
        expires = "" if self.expires_seconds is None else f";expires={self.expires_seconds}"
        return f"{self.word}{expires}" + (f";reason={self.reason}" if self.reason else "")


class Notification(NamedTuple):
    """One NOTIFY about a REFER of ours, or the end of waiting for one."""

    state: SubscriptionState
    code: int
    """The status of the call they place; 0 where nothing readable was said."""
    reason: str


def read_fragment(body: bytes) -> tuple[int, str]:
    """The status line of a message/sipfrag (RFC 3420); 0 and "" if there is none."""
    match = _STATUS.match(body)
    if match is None:
        return 0, ""
    return int(match[1]), (match[2] or b"").decode("utf-8", "replace").strip()


@dataclass(slots=True, eq=False)
class Watch:
    """A subscription of ours, from the moment its REFER is sent."""

    dialog: Dialog
    told: Callable[[Notification, float], None]
    numbers: list[int] = field(default_factory=list)
    """CSeq numbers its REFER was sent with: what ``id=`` may name."""
    timer: Timer | None = None


@dataclass(slots=True, eq=False)
class Report:
    """A subscription of theirs: what they are told about the call they asked for."""

    session: Session
    dialog: Dialog
    numbers: tuple[int]
    """The CSeq of their REFER."""
    with_id: bool
    """Whether NOTIFYs name it: all but the first REFER of a dialog have to."""
    expires_at: float = 0.0
    code: int = 100
    reason: str = "Trying"
    ending: str = ""
    """Why it ends, once it does."""
    in_flight: bool = False
    """A NOTIFY waits for its answer: the next one would overtake it on UDP."""
    stale: bool = False
    """There is something they have not been told."""
    timer: Timer | None = None

    @property
    def event(self) -> str:
        """The Event value."""
        return f"refer;id={self.numbers[0]}" if self.with_id else "refer"


@dataclass(slots=True, eq=False)
class Refer:
    """A transfer we asked for; `ReferProgress` says what comes of it."""

    session: Session
    to: ReferTo
    silent: bool
    """We asked not to be told (RFC 4488)."""
    referred_by: str = ""
    watch: Watch | None = None
    accepted: bool = False
    """They said that they will."""
    is_over: bool = False
    """Its end was told."""


@dataclass(slots=True, eq=False)
class Referral:
    """A transfer they ask for; `Referring.accept` or ``refuse`` answers it."""

    session: Session
    """The call it is about."""
    to: ReferTo
    referred_by: str
    """Who asks, as Referred-By says (RFC 3892); the value goes into the call."""
    silent: bool
    """They do not want to be told (RFC 4488)."""
    transaction: InviteServerTransaction | NonInviteServerTransaction | None
    """Waits for the answer; None when there was one."""
    dialog: Dialog
    """What is told goes there."""
    timer: Timer | None = None
    report: Report | None = None
