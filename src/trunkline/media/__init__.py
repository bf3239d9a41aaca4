"""Pure media: frames, codecs, RTP, RTCP, DTMF, resampling, playout, the engine.

No socket, thread, clock or logger in here: time comes in as ``now``, in seconds.
"""

from .audio_buffer import AudioBuffer, AudioChunk, BufferMetrics
from .chain import Chain
from .chain_bank import Branches, ChainBank, ChainRow, ChainStages
from .chain_state import ChainHealth, ChainMetrics, ChainSettings
from .codec import G711, G722, L16, Codec, Decoder, Encoder
from .concealer import Concealer, ConcealmentStatistics
from .concealment import ConcealmentBank
from .dtmf import DtmfDigit, DtmfReceiver, DtmfSender
from .dtmf_detector import HeardKey, ToneDetector
from .dtmf_tones import dtmf_audio
from .echo import ECHO_CANCELLERS, EchoCanceller, EchoStage, EchoStatistics, NoEcho, create_echo
from .echo_alignment import EchoAlignment
from .echo_bank import KalmanEcho
from .echo_nlms import NlmsEcho
from .echo_resampled import ResampledEcho
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
    Audio,
    frame_samples,
    level_dbov,
    levels_dbov,
    silence,
    to_float,
    to_int16,
)
from .g711 import Law
from .g722_bank import G722DecoderBank, G722EncoderBank
from .jitter import JitterBank, JitterSettings, JitterStatistics, Kind
from .jitter_buffer import JitterBuffer
from .joints import Joint
from .lane import Ear, Heard, JitterInlet, Lane, Outlet, StreamInlet, Tap, Window
from .mixing import Mixer
from .noise import NoiseBank, NoiseSettings, noise_stage
from .noise_suppressor import NoiseStatistics, NoiseSuppressor
from .opus_packet import OpusBandwidth, OpusMode, OpusPacket
from .packet_decoder import Filled, FillSource, PacketDecoder
from .playout import Playout
from .resample import Resampler, StreamResampler
from .resampled_codec import ResampledCodec
from .rtcp import RtcpCompound
from .rtcp_session import ReceptionCounters, RtcpSession
from .rtp import Datagram, HeaderExtension, RandomBits, RtpPacket, RtpSender, classify
from .segments import (
    Boundaries,
    SegmenterBank,
    SegmentSettings,
    SpeechBoundary,
    SpeechSegmenter,
)
from .srtp import SrtpKey, SrtpReceiver, SrtpSender, srtp_available
from .stage import Bypass, Stage

# Codecs and files are named with their module: ``g711.decode``, ``l16.encode``, ``wav.parse_wav``.
__all__ = [
    "ECHO_CANCELLERS",
    "FRAMES_PER_SECOND",
    "FRAME_MS",
    "G711",
    "G722",
    "L16",
    "PHASES",
    "QUIETEST_DBOV",
    "TICK_SECONDS",
    "ActivityBank",
    "Audio",
    "AudioBuffer",
    "AudioChunk",
    "Boundaries",
    "Branches",
    "BufferMetrics",
    "Bypass",
    "Chain",
    "ChainBank",
    "ChainHealth",
    "ChainMetrics",
    "ChainRow",
    "ChainSettings",
    "ChainStages",
    "Codec",
    "Concealer",
    "ConcealmentBank",
    "ConcealmentStatistics",
    "Datagram",
    "Decoder",
    "DtmfDigit",
    "DtmfReceiver",
    "DtmfSender",
    "Ear",
    "EchoAlignment",
    "EchoCanceller",
    "EchoStage",
    "EchoStatistics",
    "Encoder",
    "Engine",
    "FillSource",
    "Filled",
    "G722DecoderBank",
    "G722EncoderBank",
    "HeaderExtension",
    "Heard",
    "HeardKey",
    "JitterBank",
    "JitterBuffer",
    "JitterInlet",
    "JitterSettings",
    "JitterStatistics",
    "Joint",
    "KalmanEcho",
    "Kind",
    "Lane",
    "Law",
    "MalformedAudioError",
    "MalformedMediaError",
    "MalformedRtcpError",
    "MalformedRtpError",
    "Mixer",
    "NlmsEcho",
    "NoEcho",
    "NoiseBank",
    "NoiseSettings",
    "NoiseStatistics",
    "NoiseSuppressor",
    "OpusBandwidth",
    "OpusMode",
    "OpusPacket",
    "Outlet",
    "PacketDecoder",
    "Playout",
    "RandomBits",
    "ReceptionCounters",
    "ResampledCodec",
    "ResampledEcho",
    "Resampler",
    "RtcpCompound",
    "RtcpSession",
    "RtpPacket",
    "RtpSender",
    "SegmentSettings",
    "SegmenterBank",
    "SpeechBoundary",
    "SpeechSegmenter",
    "SrtpKey",
    "SrtpReceiver",
    "SrtpSender",
    "Stage",
    "StreamInlet",
    "StreamResampler",
    "Tap",
    "ToneDetector",
    "WavError",
    "Window",
    "classify",
    "create_echo",
    "dtmf_audio",
    "frame_samples",
    "level_dbov",
    "levels_dbov",
    "noise_stage",
    "silence",
    "srtp_available",
    "to_float",
    "to_int16",
]
