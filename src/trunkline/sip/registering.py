"""The part of a user agent that registers, and stays registered (RFC 3261 section 10).

A registration is refreshed before it expires, put off longer and longer while the
registrar refuses (RFC 5626 section 4.5), taken back with `Registering.withdraw`. What
the registrar says of the way to it, the Service-Route (RFC 3608), is what calls through
it are routed by; that proxies may put themselves between is said with Path (RFC 3327).
"""

from dataclasses import replace
from functools import partial

from trunkline.errors import UsageError

from .bodies import checked_headers
from .core import Core
from .digest import Authorizer
from .errors import ParseError
from .events import Registered, RegistrationFailed, RegistrationWithdrawn
from .headers import NameAddress
from .hop import Hop, as_hop
from .message import Request, Response
from .public_address import ContactForm
from .registration import Registration, RegistrationRequest, RegistrationState
from .uri import Uri

__all__ = ["Registering"]

BACK_OFF_SECONDS = 30.0
"""The first wait after a failure; it doubles with every further one."""
LONGEST_BACK_OFF_SECONDS = 1800.0
"""RFC 5626's upper bound."""
MAX_RETRIES = 4
"""Answers to challenges, 423 and redirections before it counts as refused."""
SHORTEST_SECONDS = 1
LONGEST_SECONDS = 2**31 - 1
LONGEST_ASKED_SECONDS = 30 * 86_400
"""A registrar that wants longer intervals means something else."""


class Registering:
    """The part of a user agent that registers."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.registrations: list[Registration] = []
        """Every registration that is not withdrawn."""

    def begin(self, request: RegistrationRequest, now: float) -> Registration:
        """Register, and stay registered. Raises UsageError for an address that is none."""
        try:
            target = Uri.parse(request.registrar)
            address = NameAddress.parse(request.address).parsed_uri
            for route in request.routes:
                _ = NameAddress.parse(route).parsed_uri
        except ParseError as error:
            raise UsageError(f"cannot register {request.address!r}: {error}") from error
        if target.scheme == "tel" or not target.host:
            raise UsageError(f"{request.registrar!r} is no registrar: sip:carrier.example is one")
        if address.scheme == "tel":
            raise UsageError(f"{request.address!r} cannot be registered: it names no domain")
        checked_headers(request.headers)
        core = self._core
        registration = Registration(request, target, Authorizer(request.credentials, core.token))
        registration._call_id, registration._tag = core.token(32), core.token()
        self.registrations.append(registration)
        self._send(registration, now)
        return registration

    def refresh(self, registration: Registration, now: float) -> None:
        """Register again at once: an address has changed, a connection is lost."""
        state = registration.state
        if state not in (RegistrationState.WITHDRAWING, RegistrationState.WITHDRAWN):
            self._send(registration, now)

    def withdraw(self, registration: Registration, now: float) -> None:
        """Take the binding back; `RegistrationWithdrawn` follows, whatever they answer."""
        state = registration.state
        if state in (RegistrationState.WITHDRAWING, RegistrationState.WITHDRAWN):
            return
        known = registration.is_registered or state is RegistrationState.TRYING
        registration.state = RegistrationState.WITHDRAWING
        if known:
            registration._retries = 0
            self._send(registration, now)
        else:
            self._withdrawn(registration)

    # What is sent.

    def _hop(self, registration: Registration) -> Hop:
        request = registration.request
        if request.destination is not None:
            hop = as_hop(request.destination)
        elif request.routes:
            hop = NameAddress.parse(request.routes[0]).parsed_uri.hop
        else:
            hop = registration.target.hop
        return hop._replace(profile=request.trunk) if request.trunk else hop

    def _send(self, registration: Registration, now: float) -> None:
        core, request = self._core, registration.request
        self._stop(registration)
        hop = self._hop(registration)
        leaving = registration.state is RegistrationState.WITHDRAWING
        expires = 0 if leaving else registration.expires_seconds
        if not leaving and not registration.is_registered:
            registration.state = RegistrationState.TRYING
        address = NameAddress.parse(request.address)
        contact = self._contact(registration, hop)
        registration._contact = contact
        registration._sequence += 1
        uri = str(replace(registration.target, user=None, password=None, headers=()))
        headers = [
            *(("Route", route) for route in request.routes),
            ("Max-Forwards", "70"),
            ("From", f"{address};tag={registration._tag}"),
            ("To", str(address)),
            ("Call-ID", registration._call_id),
            ("CSeq", f"{registration._sequence} REGISTER"),
            ("Contact", f"<{contact}>;expires={expires}"),
            ("Expires", str(expires)),
            ("Allow", core.allow),
            ("Supported", ", ".join([*core.supported, "path"])),
            *checked_headers(request.headers),
            *registration.authorizer.headers("REGISTER", uri),
        ]
        registration._transaction = core.send_request(
            Request("REGISTER", uri, headers),
            hop,
            partial(self._on_response, registration, registration._sequence),
            partial(self._on_failure, registration, registration._sequence),
            now,
        )

    def _contact(self, registration: Registration, hop: Hop) -> str:
        secure = "sips" in (registration.target.scheme, _scheme(registration.request.address))
        form = ContactForm(registration.contact_user, secure)
        return self._core.settings.contact(hop.transport, form)[1:-1]

    # What comes back.

    def _on_response(
        self, registration: Registration, sequence: int, response: Response, now: float
    ) -> None:
        if response.code < 200 or sequence != registration._sequence:
            return  # of a REGISTER that a later one has replaced
        if registration.state is RegistrationState.WITHDRAWN:
            return
        if response.code < 300:
            self._accepted(registration, response, now)
        elif registration._retries < MAX_RETRIES and self._mended(registration, response):
            registration._retries += 1
            self._send(registration, now)
        else:
            self._refused(registration, response.code, response.reason, response, now)

    def _accepted(self, registration: Registration, response: Response, now: float) -> None:
        registration.code, registration.reason = response.code, response.reason
        registration._retries = 0
        registration.authorizer.worked()
        if registration.state is RegistrationState.WITHDRAWING:
            self._withdrawn(registration)
            return
        granted = self._granted(registration, response)
        if granted <= 0:
            self._refused(registration, response.code, "No Binding", response, now)
            return
        first = not registration.is_registered
        registration.failures = 0
        registration.state = RegistrationState.REGISTERED
        registration.expires_at = now + granted
        registration.service_routes = tuple(_usable_routes(response))
        # Between 80 and 90 percent: many who were cut off together do not come back so.
        share = 0.8 + 0.1 * self._core.random()
        self._schedule(registration, now + max(SHORTEST_SECONDS, granted * share))
        if first:
            self._core.emit(Registered(registration))

    def _granted(self, registration: Registration, response: Response) -> int:
        """For how long our binding holds, in seconds; 0 if it is not among theirs."""
        default = _seconds(response.get("expires")) or registration.expires_seconds
        ours = Uri.parse(registration._contact)
        try:
            contacts = response.addresses("contact")
        except ParseError:
            self._core.counters["register-contact-unreadable"] += 1
            contacts = []
        registration.bindings = len(contacts)
        if not contacts:  # some registrars do not list them
            return default
        for contact in contacts:
            if _same_binding(ours, contact):
                given = contact.parameters.get("expires")
                return default if given is None else _seconds(given) or 0
        # A proxy between us may have rewritten the address; the user is what it keeps.
        others = [contact for contact in contacts if _user(contact) == ours.user]
        if len(others) == 1:
            return _seconds(others[0].parameters.get("expires")) or default
        return 0

    def _mended(self, registration: Registration, response: Response) -> bool:
        """Whether there is something to do better at once."""
        if response.code in (401, 407):
            return registration.authorizer.challenged(response)
        if response.code == 423:  # RFC 3261 section 10.3, step 7
            least = _seconds(response.get("min-expires")) or 0
            if registration.state is RegistrationState.WITHDRAWING:
                return False
            if registration.expires_seconds < least <= LONGEST_ASKED_SECONDS:
                registration.expires_seconds = least
                return True
        if response.code in (300, 301, 302, 305):
            return self._redirected(registration, response)
        return False

    def _redirected(self, registration: Registration, response: Response) -> bool:
        """Another registrar is named (RFC 3261 section 8.1.3.4)."""
        try:
            contact = response.contact
            target = contact.parsed_uri if contact else None
        except ParseError:
            return False
        if target is None or target.scheme == "tel" or target.equivalent(registration.target):
            return False
        if registration.target.scheme == "sips" and target.scheme != "sips":
            return False  # never to a way that can be listened to
        registration.target = replace(target, user=None, password=None, headers=())
        return True

    def _on_failure(self, registration: Registration, sequence: int, code: int, now: float) -> None:
        if sequence == registration._sequence:
            reason = "Request Timeout" if code == 408 else "Service Unavailable"
            self._refused(registration, code, reason, None, now)

    def _refused(
        self,
        registration: Registration,
        code: int,
        reason: str,
        response: Response | None,
        now: float,
    ) -> None:
        if registration.state is RegistrationState.WITHDRAWN:
            return
        registration.code, registration.reason = code, reason
        registration._retries = 0
        if registration.state is RegistrationState.WITHDRAWING:
            self._withdrawn(registration)
            return
        registration.failures += 1
        registration.target = Uri.parse(registration.request.registrar)
        registration.authorizer.worked()  # the next try may be asked anew, once
        self._core.counters[f"register-{code}"] += 1
        delay = self._back_off(registration, response)
        expires_at = registration.expires_at
        if code in (408, 500, 503, 504) and expires_at is not None and now < expires_at:
            # The binding still holds: no use in waiting until it does not.
            delay = min(delay, max(SHORTEST_SECONDS, (expires_at - now) / 2))
        else:
            registration.expires_at = None
            registration.state = RegistrationState.WAITING
            registration.service_routes = ()
        self._schedule(registration, now + delay)
        self._core.emit(RegistrationFailed(registration, code, reason))

    def _back_off(self, registration: Registration, response: Response | None) -> float:
        """Seconds to wait: what they say, or half to all of what doubles each time."""
        said = _seconds(response.get("retry-after")) if response is not None else None
        if said:
            return float(min(said, LONGEST_BACK_OFF_SECONDS)) + self._core.random()
        doubled = BACK_OFF_SECONDS * 2.0 ** min(registration.failures - 1, 10)
        return min(LONGEST_BACK_OFF_SECONDS, doubled) * (0.5 + 0.5 * self._core.random())

    def _schedule(self, registration: Registration, due: float) -> None:
        registration.next_at = due
        registration._timer = self._core.timers.start(due, partial(self._again, registration))

    def _again(self, registration: Registration, now: float) -> None:
        if registration.expires_at is not None and now >= registration.expires_at:
            registration.expires_at = None  # it was not refreshed in time
        self._send(registration, now)

    def _stop(self, registration: Registration) -> None:
        registration.next_at = None
        if registration._timer is not None:
            registration._timer.cancel()
            registration._timer = None
        if registration._transaction is not None:
            registration._transaction.drop()
            registration._transaction = None

    def _withdrawn(self, registration: Registration) -> None:
        self._stop(registration)
        registration.state = RegistrationState.WITHDRAWN
        registration.expires_at = None
        registration.service_routes = ()
        if registration in self.registrations:
            self.registrations.remove(registration)
        self._core.emit(RegistrationWithdrawn(registration))


def _same_binding(ours: Uri, contact: NameAddress) -> bool:
    try:
        return ours.equivalent(contact.parsed_uri)
    except ParseError:
        return False


def _scheme(address: str) -> str:
    return NameAddress.parse(address).parsed_uri.scheme


def _user(contact: NameAddress) -> str | None:
    try:
        return contact.parsed_uri.user
    except ParseError:
        return None


def _usable_routes(response: Response) -> list[str]:
    """The Service-Route values that can be sent to (RFC 3608 section 6)."""
    usable = []
    for value in response.values("service-route")[:16]:
        try:
            if NameAddress.parse(value).parsed_uri.host:
                usable.append(value)
        except ParseError:
            continue
    return usable


def _seconds(text: str | None) -> int | None:
    """Delta seconds, without the comment or parameters that may follow; None if unusable."""
    digits = (text or "").strip().partition(";")[0].partition("(")[0].strip()
    if not digits or not (digits.isascii() and digits.isdecimal()):
        return None
    return min(int(digits[:12]), LONGEST_SECONDS)
