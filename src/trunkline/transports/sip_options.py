"""How a SIP endpoint is set up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from trunkline.sip.opus_parameters import OpusParameters

from .sip_carrier import Listening
from .sip_media import MediaOptions
from .sip_tls import TlsProfile

__all__ = ["SipOptions"]


@dataclass(frozen=True, slots=True)
class SipOptions:
    """How an endpoint presents itself, whom it lets in, and its media."""

    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int = 5060
    """The UDP port; 0 lets the system choose."""
    listening: Listening = field(default_factory=Listening)
    """TCP and TLS; its host and port are the ones above."""
    tls: TlsProfile = field(default_factory=TlsProfile)
    """Connections out over TLS, where a trunk says nothing else."""
    advertised_host: str = ""
    """What peers are told; empty: ``host``."""
    media_host: str = "127.0.0.1"
    """The address RTP is received on."""
    user_agent: str = "Trunkline"
    accounts: Mapping[str, str] = field(default_factory=dict)
    """User and password of those who may call in with digest authentication."""
    realm: str = "trunkline"
    allowed: Sequence[str] = ()
    """Addresses and networks that may call in without a password."""
    codecs: tuple[str, ...] = ("PCMU", "PCMA")
    """What legs speak, the most wanted first: G.711, and what the endpoint is given beside."""
    opus: OpusParameters = field(
        default_factory=lambda: OpusParameters(use_inband_fec=True, min_ptime_ms=10)
    )
    """How we want to receive Opus; of its rate no more than the engine's is asked for."""
    t1_ms: int = 500
    timeout_seconds: float = 30.0
    """Media silence that ends a call; 0: none does."""
    far_buffer_ms: int = 60
    no_answer_seconds: float = 180.0
    """When an outbound call that nobody answers is cancelled."""
    username: str = ""
    """Who we are to a far end that asks."""
    password: str = ""
    extended_reports: Literal["off", "asked", "offered"] = "off"
    """RTCP XR (RFC 3611): never, where the far end asks for it, or asked for by us."""
    reliable: Literal["off", "supported", "required"] = "supported"
    """Reliable provisional responses (RFC 3262)."""
    session_expires_seconds: int = 0
    """The session timer to ask for (RFC 4028); 0 asks for none."""
    min_se_seconds: int = 90
    """The shortest session timer that is taken."""
    media: MediaOptions = field(default_factory=MediaOptions)
    """Of RTP, beside its addresses and ports."""
