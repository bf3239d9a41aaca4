"""Pure media: frames, codecs, RTP, RTCP, DTMF, resampling, playout, the engine.

No socket, thread, clock or logger in here: time comes in as ``now``, in seconds.
"""

from .concealer import Concealer, ConcealmentStatistics
from .concealment import ConcealmentBank
from .dtmf import DtmfDigit, DtmfReceiver, DtmfSender
from .engine import PHASES, TICK_SECONDS, ActivityBank, Engine
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
from .jitter import JitterBank, JitterSettings, JitterStatistics
from .jitter_buffer import JitterBuffer
from .lane import Ear, Heard, JitterInlet, Lane, Outlet, StreamInlet, Tap, Window
from .playout import Playout
from .resample import Resampler, StreamResampler
from .rtcp import RtcpCompound
from .rtcp_session import ReceptionCounters, RtcpSession
from .rtp import Datagram, HeaderExtension, RandomBits, RtpPacket, RtpSender, classify

# Codecs and files are named with their module: ``g711.decode``, ``l16.encode``, ``wav.parse_wav``.
__all__ = [
    "FRAMES_PER_SECOND",
    "FRAME_MS",
    "PHASES",
    "QUIETEST_DBOV",
    "TICK_SECONDS",
    "ActivityBank",
    "Concealer",
    "ConcealmentBank",
    "ConcealmentStatistics",
    "Datagram",
    "DtmfDigit",
    "DtmfReceiver",
    "DtmfSender",
    "Ear",
    "Engine",
    "HeaderExtension",
    "Heard",
    "JitterBank",
    "JitterBuffer",
    "JitterInlet",
    "JitterSettings",
    "JitterStatistics",
    "Lane",
    "Law",
    "MalformedAudioError",
    "MalformedMediaError",
    "MalformedRtcpError",
    "MalformedRtpError",
    "Outlet",
    "Playout",
    "RandomBits",
    "ReceptionCounters",
    "Resampler",
    "RtcpCompound",
    "RtcpSession",
    "RtpPacket",
    "RtpSender",
    "StreamInlet",
    "StreamResampler",
    "Tap",
    "WavError",
    "Window",
    "classify",
    "frame_samples",
    "level_dbov",
    "levels_dbov",
    "silence",
    "to_float",
    "to_int16",
]
