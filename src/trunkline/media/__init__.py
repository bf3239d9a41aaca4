"""Pure media: frames, codecs, RTP, RTCP, DTMF, resampling, playout, the engine.

No socket, thread, clock or logger in here: time comes in as ``now``, in seconds.
"""

from .errors import (
    MalformedAudioError,
    MalformedMediaError,
    MalformedRtcpError,
    MalformedRtpError,
    WavError,
)
from .frames import (
    FRAME_MS,
    FRAMES_PER_SECOND,
    QUIETEST_DBOV,
    frame_samples,
    level_dbov,
    levels_dbov,
    silence,
    to_float,
    to_int16,
)
from .g711 import Law
from .rtp import Datagram, HeaderExtension, RandomBits, RtpPacket, RtpSender, classify

# Codecs are named with their module: ``g711.decode``, ``l16.decode``.
__all__ = [
    "FRAMES_PER_SECOND",
    "FRAME_MS",
    "QUIETEST_DBOV",
    "Datagram",
    "HeaderExtension",
    "Law",
    "MalformedAudioError",
    "MalformedMediaError",
    "MalformedRtcpError",
    "MalformedRtpError",
    "RandomBits",
    "RtpPacket",
    "RtpSender",
    "WavError",
    "classify",
    "frame_samples",
    "level_dbov",
    "levels_dbov",
    "silence",
    "to_float",
    "to_int16",
]
