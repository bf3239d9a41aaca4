"""The settings of the quality monitor."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from .secret import Secret

__all__ = ["Quality"]


class Quality(Struct, frozen=True, kw_only=True):
    """The quality monitor: what calls sound like, and the messages that made them."""

    enabled: bool = True
    """Look at every call's losses, delays, levels and score. Costs about 0.2 µs a frame."""
    sample_seconds: Annotated[float, Meta(ge=1, le=60)] = 5.0
    """How often R and MOS are taken, and a point of the time series in the record."""
    poor_mos: Annotated[float, Meta(ge=1, le=4.5)] = 3.1
    """A stretch with a lower MOS is told of as poor (R = 60) ..."""
    good_mos: Annotated[float, Meta(ge=1, le=4.5)] = 3.6
    """... until there is one above this (R = 70)."""
    one_way_seconds: Annotated[float, Meta(ge=1, le=60)] = 3.0
    """A direction that is dead although nobody holds is told of at the latest after this."""
    silence_seconds: Annotated[float, Meta(ge=0, le=3600)] = 30.0
    """Packets that bring nothing but silence are told of after this; 0 never."""
    clipped: Annotated[float, Meta(gt=0, le=1)] = 0.05
    """More than this share of frames at the limit is told of."""
    extended_reports: Literal["off", "asked", "offered"] = "asked"
    """RTCP XR (RFC 3611): "asked" sends them to far ends that ask for them in SDP, "offered" asks
    for them too."""
    ladder: bool = True
    """Keep each call's SIP messages with its record, without passwords and media keys."""
    ladder_messages: Annotated[int, Meta(ge=1, le=1000)] = 64
    """How many of a call; of later ones nothing is kept."""
    ladder_bytes: Annotated[int, Meta(ge=1000, le=1_000_000)] = 64_000
    """How much of a call; of what comes after only the first lines are kept."""
    hep: str = ""
    """Where HOMER, or another collector of HEP3, listens: "udp:203.0.113.9:9060" or "tcp:...".
    It gets SIP, RTCP and figures of quality. Empty is nowhere."""
    hep_id: Annotated[int, Meta(ge=0, le=0xFFFFFFFF)] = 1
    """The number of this capture agent."""
    hep_password: Secret = Secret()
    """What the collector knows us by; best as "file:..." or "env:..."."""
