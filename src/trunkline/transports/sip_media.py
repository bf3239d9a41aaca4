"""What an endpoint's calls may agree on about their media, and with which secrets."""

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from trunkline.media.srtp import SRTP_SUITES, require_srtp
from trunkline.sip.offer_answer import AudioCapabilities, AudioNegotiation
from trunkline.sip.secure_media import SrtpMode
from trunkline.sip.session import Session

from .leg import DialOptions
from .rtp_policy import MediaPolicy

__all__ = ["MediaOptions", "SipMedia"]

log = logging.getLogger(__name__)

# The one that everybody has comes first: some look at the first line only.
SUITES_WANTED = tuple(sorted(SRTP_SUITES, key=lambda name: name != "AES_CM_128_HMAC_SHA1_80"))


@dataclass(frozen=True, slots=True)
class MediaOptions:
    """How RTP is secured, kept alive, and where it may go."""

    srtp: SrtpMode = "off"
    """SDES on calls in, and on calls out that name no trunk."""
    srtp_suites: tuple[str, ...] = SUITES_WANTED
    """What is offered and accepted, the most wanted first."""
    rtcp_mux: Literal["off", "accept", "offer"] = "accept"
    """Reports on the port of the audio."""
    comfort_noise: bool = False
    """Offer comfort noise, and send it in silence; it is always accepted."""
    keep_alive_seconds: float = 0.0
    """Send something so often while we are held; 0: nothing."""
    allowed: tuple[str, ...] = ()
    """The only networks media may go to; none: see `MediaPolicy`."""
    denied: tuple[str, ...] = ()
    """Networks it never may."""


class SipMedia:
    """Makes the negotiations of an endpoint's calls; raises `MissingDependencyError`
    where SRTP is wanted and its library is not installed.

    ``address`` says what a far end at a host is told about where our media is; ``draw``
    gives session ids.
    """

    def __init__(
        self,
        options: MediaOptions,
        capabilities: AudioCapabilities,
        address: Callable[[str], str],
        policy: MediaPolicy,
        draw: Callable[[int], int],
    ) -> None:
        if options.srtp != "off":
            require_srtp()
        self.options = options
        self.policy = policy
        """Where media may go."""
        self.trunk_srtp: Callable[[str], SrtpMode | None] = lambda trunk: None
        """Says of a trunk, by its name, whether calls in on it are encrypted; None: as others."""
        self._address = address
        self._draw = draw
        self._capabilities = replace(
            capabilities,
            srtp=options.srtp,
            srtp_suites=options.srtp_suites,
            rtcp_mux=options.rtcp_mux,
            comfort_noise=options.comfort_noise,
        )
        self._told_of_keys = False

    def inbound(self, port: int, trunk: str, toward: str = "") -> AudioNegotiation:
        """For a call that came in from a host, on a trunk if there is one."""
        mode = self.trunk_srtp(trunk) if trunk else None
        return self._negotiate(port, self.options.srtp if mode is None else mode, toward)

    def outbound(self, port: int, options: DialOptions, toward: str = "") -> AudioNegotiation:
        """For a call out: a trunk says for itself, and without one the node's setting holds."""
        mode: SrtpMode = options.srtp
        if mode == "off" and not options.trunk:
            mode = self.options.srtp
        return self._negotiate(port, mode, toward, options.codecs)

    def _negotiate(
        self, port: int, srtp: SrtpMode, toward: str, codecs: tuple[str, ...] = ()
    ) -> AudioNegotiation:
        capabilities = self._capabilities
        if codecs:
            capabilities = replace(capabilities, codecs=codecs)
        if srtp != capabilities.srtp:
            require_srtp()
            capabilities = replace(capabilities, srtp=srtp)
        # Keys are the system's own randomness, whatever numbers the rest is made of.
        return AudioNegotiation(
            capabilities,
            self._address(toward),
            port,
            self._draw(62),
            random_bytes=secrets.token_bytes,
        )

    def keys_are_seen(self, session: Session) -> None:
        """Say once that keys went over signalling that is not encrypted."""
        transport = _transport(session)
        if transport != "TLS" and not self._told_of_keys:
            self._told_of_keys = True
            log.warning(
                "SRTP keys go over SIP by %s, for everybody on the way to read: use TLS", transport
            )


def _transport(session: Session) -> str:
    """What carries a session's signalling."""
    if session.source is not None:
        return session.source.transport
    via = session.request.get("via") or "SIP/2.0/UDP"
    return via.split()[0].rpartition("/")[2].upper()
