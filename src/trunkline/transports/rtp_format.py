"""What two ends of an RTP stream agreed to send each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from trunkline.media.codec import Codec
from trunkline.media.g711 import Law
from trunkline.media.srtp import SrtpKey

__all__ = ["G711_CLOCK_HZ", "StreamFormat", "StreamKeys"]

G711_CLOCK_HZ = 8000
STATIC_NOISE = 13
"""Comfort noise at 8000 Hz (RFC 3551 section 6): understood also where it was not agreed."""


@dataclass(frozen=True, slots=True)
class StreamKeys:
    """What a stream is encrypted with."""

    ours: SrtpKey
    """What we send."""
    theirs: SrtpKey
    """What comes."""


@dataclass(frozen=True, slots=True)
class StreamFormat:
    """What two ends agreed to send each other."""

    law: Law
    """What we send, unless there is a ``codec``."""
    payload_type: int
    """What we mark it with."""
    receive: Mapping[int, Law]
    """What may arrive, by payload type."""
    dtmf_payload_type: int | None
    """The payload type of telephone-event, as the far end wants to receive it."""
    dtmf_receive_type: int | None = None
    """The payload type we announced for telephone-event."""
    codec: Codec | None = None
    """What we send where that is not G.711, at the engine's rate."""
    receive_codecs: Mapping[int, Codec] = field(default_factory=dict)
    """What else may arrive, by payload type, at the engine's rate."""
    dtmf_clock_hz: int = 8000
    """The clock of telephone-event."""
    noise_payload_type: int | None = None
    """The payload type of comfort noise that we send in silence; None: we send silence."""
    noise_types: frozenset[int] = frozenset({STATIC_NOISE})
    """The payload types of comfort noise that may arrive."""
    keys: StreamKeys | None = None
    """What both directions are encrypted with (SRTP); None: nothing is."""
    rtcp_mux: bool = False
    """Reports are on the port of the audio (RFC 5761)."""
    packet_ms: int = 20
    """What the far end wants in a packet, where our codec can be cut that way."""
    extended_reports: bool = False
    """Whether they asked for extended reports (RFC 3611)."""

    @property
    def clock_hz(self) -> int:
        """The RTP clock of what we send."""
        return G711_CLOCK_HZ if self.codec is None else self.codec.rtp_clock_hz

    def announces(self, payload_type: int) -> bool:
        """Whether a packet of this payload type may come."""
        events = (self.dtmf_payload_type, self.dtmf_receive_type)
        types = (*self.receive, *self.receive_codecs, *events, *self.noise_types)
        return payload_type in types

    @property
    def unused_type(self) -> int:
        """A payload type that means nothing here (RFC 6263 section 4.6)."""
        used = {self.payload_type, self.noise_payload_type}
        free = (n for n in range(127, 95, -1) if n not in used and not self.announces(n))
        return next(free, 127)
