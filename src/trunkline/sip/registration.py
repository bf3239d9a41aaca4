"""A registration: one address of record at one registrar, and where it stands.

`registering` is the part of a user agent that drives it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from .attempts import ClientRequest
from .digest import Authorizer, Credentials
from .hop import HopLike
from .timers import Timer
from .uri import Uri

__all__ = ["Registration", "RegistrationRequest", "RegistrationState"]


class RegistrationState(StrEnum):
    """Where a registration is."""

    TRYING = "trying"
    """A REGISTER is out and there was no success yet."""
    REGISTERED = "registered"
    """The registrar knows where we are."""
    WAITING = "waiting"
    """Refused, or nobody there; tried again at `Registration.next_at`."""
    WITHDRAWING = "withdrawing"
    """Our last REGISTER, with Expires: 0, is out."""
    WITHDRAWN = "withdrawn"
    """Over."""


@dataclass(frozen=True, slots=True)
class RegistrationRequest:
    """What a registration needs."""

    registrar: str
    """The registrar's URI: ``sip:carrier.example`` or ``sip:carrier.example;transport=tcp``."""
    address: str
    """Who we are, the address of record: ``sip:4711@carrier.example``."""
    contact_user: str = ""
    """The user of our Contact, by which the registrar's calls are told from others';
    empty: the address's own."""
    credentials: Sequence[Credentials] = ()
    """Who we are, if they ask."""
    expires_seconds: int = 3600
    """For how long we ask; the registrar decides."""
    routes: Sequence[str] = ()
    """Route values to preload: an outbound proxy, ``<sip:proxy.example;lr>``."""
    destination: HopLike | None = None
    """Where to send it; None: the first route's or the registrar's host."""
    headers: Sequence[tuple[str, str]] = ()
    """Further fields."""
    trunk: str = ""
    """Whose it is, and whose TLS settings hold."""


class Registration:
    """One registration. Read it; the user agent's commands change it."""

    __slots__ = ("_call_id", "_contact", "_retries", "_sequence", "_tag", "_timer", "_transaction",
                 "authorizer", "bindings", "code", "expires_at", "expires_seconds", "failures",
                 "next_at", "reason", "request", "service_routes", "state", "target")  # fmt: skip

    def __init__(self, request: RegistrationRequest, target: Uri, authorizer: Authorizer) -> None:
        self.request = request
        """What was asked for."""
        self.target = target
        """The registrar, as it was last redirected."""
        self.state = RegistrationState.TRYING
        self.expires_seconds = request.expires_seconds
        """For how long we ask now: the registrar may have wanted more (423)."""
        self.expires_at: float | None = None
        """When the binding ends unless it is refreshed; None where there is none."""
        self.next_at: float | None = None
        """When the next REGISTER goes out."""
        self.service_routes: tuple[str, ...] = ()
        """Route values for calls through the registrar (RFC 3608 section 6.1)."""
        self.bindings = 0
        """Contacts the registrar has for the address, ours among them."""
        self.code = 0
        """The last final status; 0 before the first."""
        self.reason = ""
        """The phrase with it."""
        self.failures = 0
        """Refusals and silences since the last success."""
        self.authorizer = authorizer
        self._call_id = ""
        self._tag = ""
        self._sequence = 0
        self._retries = 0
        self._contact = ""
        self._timer: Timer | None = None
        self._transaction: ClientRequest | None = None

    def __repr__(self) -> str:
        return f"<Registration {self.request.address} {self.state}>"

    @property
    def is_registered(self) -> bool:
        """Whether the registrar has a binding of ours that has not expired."""
        return self.expires_at is not None

    @property
    def contact_user(self) -> str:
        """The user part calls through the registrar are addressed to."""
        return self.request.contact_user or Uri.parse(self.request.address).user or ""
