"""What two ends of an RTP stream agreed to send each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from trunkline.media.codec import Codec
from trunkline.media.g711 import Law

__all__ = ["G711_CLOCK_HZ", "StreamFormat"]

G711_CLOCK_HZ = 8000


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
    extended_reports: bool = False
    """Whether they asked for extended reports (RFC 3611)."""

    @property
    def clock_hz(self) -> int:
        """The RTP clock of what we send."""
        return G711_CLOCK_HZ if self.codec is None else self.codec.rtp_clock_hz

    def announces(self, payload_type: int) -> bool:
        """Whether a packet of this payload type may come."""
        events = (self.dtmf_payload_type, self.dtmf_receive_type)
        types = (*self.receive, *self.receive_codecs, *events)
        return payload_type in types
