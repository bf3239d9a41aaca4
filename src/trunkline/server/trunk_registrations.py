"""Registers a node's trunks, and tells calls over them what their registrars said."""

import logging
from typing import Final

from trunkline.calls.trunk_states import Trunks
from trunkline.calls.trunks import Trunk
from trunkline.errors import UsageError
from trunkline.sip.digest import Credentials
from trunkline.sip.events import (
    Registered,
    RegistrationEvent,
    RegistrationFailed,
)
from trunkline.sip.registration import Registration, RegistrationRequest, RegistrationState
from trunkline.sip.secure_media import SrtpMode
from trunkline.sip.uri import Uri
from trunkline.transports.sip import SipEndpoint
from trunkline.transports.sip_tls import TlsProfile

__all__ = ["TrunkRegistrations"]

log = logging.getLogger(__name__)

WORDS: Final = {
    RegistrationState.TRYING: "registering",
    RegistrationState.REGISTERED: "registered",
    RegistrationState.WAITING: "failed",
}


class TrunkRegistrations:
    """Implements `calls.trunk_states.Registrar`. Media thread only."""

    def __init__(self, endpoint: SipEndpoint, trunks: Trunks) -> None:
        self._endpoint = endpoint
        self._trunks = trunks
        self._begun: dict[str, tuple[RegistrationRequest, Registration]] = {}
        endpoint.on_registration = self._told
        endpoint.media.trunk_srtp = self._srtp

    def apply(self) -> None:
        """Follow the trunks as they are now: register, register anew, or no more."""
        trunks = {trunk.name: trunk for trunk in self._trunks.values()}
        profiles = {name: tls_profile(trunk) for name, trunk in trunks.items()}
        for name in [name for name in self._endpoint.profiles if name and name not in profiles]:
            del self._endpoint.profiles[name]
        self._endpoint.profiles.update(profiles)
        wanted = {name: request(trunk) for name, trunk in trunks.items() if trunk.register}
        for name, (asked, registration) in list(self._begun.items()):
            if wanted.get(name) != asked:
                del self._begun[name]
                self._endpoint.withdraw(registration)
        for name, asked in wanted.items():
            if name not in self._begun:
                try:
                    self._begun[name] = asked, self._endpoint.register(asked)
                except UsageError as error:
                    log.error("trunk %s is not registered: %s", name, error)

    def _srtp(self, trunk: str) -> SrtpMode | None:
        """What a trunk says of the encryption of calls in over it."""
        return self._trunks[trunk].srtp if trunk in self._trunks else None

    def _told(self, event: RegistrationEvent) -> None:
        registration = event.registration
        name = registration.request.trunk
        if isinstance(event, Registered):
            log.info("trunk %s is registered as %s", name, registration.request.address)
        elif isinstance(event, RegistrationFailed):
            log.warning("trunk %s is not registered: %d %s", name, event.code, event.reason)

    # What calls ask.

    def state(self, trunk: str) -> str:
        """See `Registrar`."""
        begun = self._begun.get(trunk)
        return WORDS.get(begun[1].state, "") if begun is not None else ""

    def routes(self, trunk: str) -> tuple[str, ...]:
        """See `Registrar`."""
        begun = self._begun.get(trunk)
        return begun[1].service_routes if begun is not None else ()

    def contact_user(self, trunk: str) -> str:
        """See `Registrar`."""
        begun = self._begun.get(trunk)
        return begun[1].contact_user if begun is not None else ""


def request(trunk: Trunk) -> RegistrationRequest:
    """What a trunk has itself registered with."""
    registrar = trunk.registrar or trunk.gateways[0].server
    domain = trunk.domain or Uri.parse(registrar).host
    host = f"[{domain}]" if ":" in domain else domain
    return RegistrationRequest(
        registrar=registrar,
        address=f"sip:{trunk.username}@{host}",
        credentials=(Credentials(trunk.username, trunk.password),),
        expires_seconds=trunk.expires_seconds,
        trunk=trunk.name,
    )


def tls_profile(trunk: Trunk) -> TlsProfile:
    """How a trunk is connected to over TLS."""
    return TlsProfile(
        trunk.tls_verify, trunk.tls_ca, trunk.tls_certificate, trunk.tls_key, trunk.tls_server_name
    )
