"""What can go wrong with media.

    PeerError
    └── MalformedMediaError         bytes from the far end that no specification allows
        ├── MalformedRtpError       not an RTP packet (RFC 3550 5.1)
        ├── MalformedRtcpError      not a compound RTCP packet (RFC 3550 6, A.2)
        └── MalformedAudioError     a payload that is not whole samples
    UsageError
    └── WavError                    a WAV file that cannot be read, or not by us

Whoever receives from the network catches `MalformedMediaError`, counts, and goes on.
"""

from trunkline.errors import PeerError, UsageError

__all__ = [
    "MalformedAudioError",
    "MalformedMediaError",
    "MalformedRtcpError",
    "MalformedRtpError",
    "WavError",
]


class MalformedMediaError(PeerError):
    """Media from the far end that no specification allows."""


class MalformedRtpError(MalformedMediaError):
    """A datagram that is not an RTP packet."""


class MalformedRtcpError(MalformedMediaError):
    """A datagram that is not a valid compound RTCP packet."""


class MalformedAudioError(MalformedMediaError):
    """An audio payload that does not hold whole samples."""


class WavError(UsageError):
    """A WAV file that is broken, or holds an encoding we do not read."""
