"""Opus through libopus itself (RFC 6716, RFC 7587), loaded with ctypes.

Looked for at the configured path; among the libraries of an installed PyAV wheel, which
are newer than most systems'; then among the system's. Nothing is imported from PyAV.
Without a library there is no Opus, and `find_opus` says so with None.

A coder belongs to one leg and must not be used by two threads at once. While libopus works,
other threads wait: a frame takes it 15 to 150 µs.

What a far end sends is checked by ``media.opus_packet`` before it reaches the library.
"""

import ctypes
import ctypes.util
import importlib.util
import weakref
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import MissingDependencyError, UsageError
from trunkline.media.codec import Decoder, Encoder
from trunkline.media.errors import MalformedAudioError
from trunkline.media.expected_loss import ExpectedLoss
from trunkline.media.opus_packet import LONGEST_PACKET_US, OpusPacket
from trunkline.sip.opus_parameters import OpusParameters

from .errors import SpeechError

__all__ = [
    "Opus",
    "OpusDecoder",
    "OpusEncoder",
    "OpusFailed",
    "OpusLibrary",
    "OpusSettings",
    "find_opus",
]

Pcm = NDArray[np.int16]
Bandwidth = Literal["narrow", "medium", "wide", "superwide", "full"]

RATES_HZ: Final = (8000, 12_000, 16_000, 24_000, 48_000)
RTP_CLOCK_HZ: Final = 48_000  # RFC 7587 section 4.1: whatever the audio has

_APPLICATION_VOIP = 2048
_BANDWIDTHS: Final[dict[str, int]] = {
    "narrow": 1101, "medium": 1102, "wide": 1103, "superwide": 1104, "full": 1105,
}  # fmt: skip
_PLAYBACK_HZ: Final[dict[Bandwidth, int]] = {
    "narrow": 8000, "medium": 12_000, "wide": 16_000, "superwide": 24_000, "full": 48_000,
}  # fmt: skip
"""The rate at which nothing of a bandwidth is lost (RFC 7587 section 3.1.1)."""
# opus_defines.h; requests with an argument, and the ones that ask.
_SET_BITRATE, _SET_MAX_BANDWIDTH, _SET_VBR, _SET_COMPLEXITY = 4002, 4004, 4006, 4010
_SET_INBAND_FEC, _SET_PACKET_LOSS_PERC, _SET_DTX = 4012, 4014, 4016
_RESET_STATE, _GET_LOOKAHEAD = 4028, 4027

_DURATIONS_US = (2500, 5000, 10_000, 20_000, 40_000, 60_000)
_SHORTEST_US = 2500
_LONGEST_PAYLOAD = 1275 * 3 + 7  # 60 ms are three frames, their lengths and the head


class OpusFailed(SpeechError):  # noqa: N818 - the tree names the thing, not the class of it
    """The library refused what it should have taken; the message is its own."""


class OpusLibrary:
    """A loaded libopus. Make it with `OpusLibrary.load`."""

    def __init__(self, library: Any, path: str) -> None:
        self.path = path
        self.functions = _declared(library)
        self.version: str = library.opus_get_version_string().decode("ascii", "replace")
        """As the library says it: "libopus 1.5.2"."""

    @classmethod
    def load(cls, path: str | Path = "") -> "OpusLibrary":
        """Load from a path, or the first place that has one.

        Raises `MissingDependencyError` where there is none, or it does not load.
        """
        return _load(str(path))

    def check(self, code: int) -> int:
        """The code, unless it is an error; raises `OpusFailed`."""
        if code < 0:
            raise OpusFailed(self.say(code))
        return code

    def say(self, code: int) -> str:
        """The library's words for an error code."""
        return str(self.functions.opus_strerror(code).decode("ascii", "replace"))


def _declared(library: Any) -> Any:
    """The functions we call, with their types; raises AttributeError without one."""
    pointer, number = ctypes.c_void_p, ctypes.c_int
    library.opus_get_version_string.restype = ctypes.c_char_p
    library.opus_strerror.restype = ctypes.c_char_p
    library.opus_strerror.argtypes = [number]
    library.opus_encoder_create.restype = pointer
    library.opus_encoder_create.argtypes = [ctypes.c_int32, number, number, pointer]
    library.opus_decoder_create.restype = pointer
    library.opus_decoder_create.argtypes = [ctypes.c_int32, number, pointer]
    library.opus_encode.argtypes = [pointer, pointer, number, ctypes.c_char_p, ctypes.c_int32]
    library.opus_decode.argtypes = [
        pointer, ctypes.c_char_p, ctypes.c_int32, pointer, number, number,
    ]  # fmt: skip
    for control in (library.opus_encoder_ctl, library.opus_decoder_ctl):
        # The rest is variadic: only what is declared may be passed as fixed arguments.
        control.argtypes = [pointer, number]
    for destroy in (library.opus_encoder_destroy, library.opus_decoder_destroy):
        destroy.argtypes = [pointer]
        destroy.restype = None
    return library


def _candidates() -> list[str]:
    """Where a libopus may be, the most wanted first."""
    found: list[str] = []
    spec = importlib.util.find_spec("av")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        package = Path(place)
        for folder in (package.parent / "av.libs", package / ".dylibs"):
            # auditwheel and delvewheel put a hash behind the name.
            found += sorted(str(path) for path in folder.glob("*opus*") if _is_opus(path.name))
    system = ctypes.util.find_library("opus")
    return found + ([system] if system else [])


def _is_opus(name: str) -> bool:
    return name.removeprefix("lib").startswith(("opus-", "opus."))


@lru_cache(maxsize=8)
def _load(path: str) -> OpusLibrary:
    reasons: list[str] = []
    for candidate in [path] if path else _candidates():
        try:
            # Not CDLL, which lets go of the interpreter's lock for every frame: with a busy
            # application, fifty encoders of 70 µs then took 14 ms (worst: 290) instead of 4.
            return OpusLibrary(ctypes.PyDLL(candidate), candidate)
        except (OSError, AttributeError) as error:
            reasons.append(f"{candidate}: {error}")
    raise MissingDependencyError(
        "Opus needs libopus: install your system's package (libopus0) or PyAV "
        "(pip install av), or name its path" + (f" ({'; '.join(reasons)})" if reasons else "")
    )


def find_opus(path: str | Path = "") -> OpusLibrary | None:
    """The library to use, or None: then Opus is not to be offered.

    A configured path that does not load is an error and raises
    `MissingDependencyError`, so that a wrong setting does not go unnoticed.
    """
    try:
        return OpusLibrary.load(path)
    except MissingDependencyError:
        if path:
            raise
        return None


@dataclass(frozen=True, slots=True)
class OpusSettings:
    """How to encode. What a far end asks for in SDP may lower it."""

    bitrate: int = 24_000
    """Bits a second, 6,000 to 510,000; 24,000 is transparent for speech at 16 kHz."""
    complexity: int = 5
    """0 to 10: what an encoder costs, from a third to one and a half times."""
    fec: bool = True
    """Carry a coarse copy of the packet before."""
    expected_loss_percent: int = 10
    """What the encoder is to expect: without loss there is no copy."""
    follow_loss: bool = False
    """Expect what the far end reports (`OpusEncoder.expect_loss`) as soon as it does."""
    dtx: bool = False
    """Send nothing in silence."""
    bandwidth: Bandwidth = "full"
    """The most that is encoded; the audio's own rate limits it too."""
    constant_bitrate: bool = False
    """Packets of one size, for a far end that asks for them."""

    def __post_init__(self) -> None:
        for name, least, most in (
            ("bitrate", 6000, 510_000), ("complexity", 0, 10), ("expected_loss_percent", 0, 100),
        ):  # fmt: skip
            if not least <= getattr(self, name) <= most:
                raise UsageError(f"Opus's {name} is {least} to {most}, not {getattr(self, name)}")
        if self.bandwidth not in _BANDWIDTHS:
            known = ", ".join(_BANDWIDTHS)
            raise UsageError(f"Opus's bandwidth is one of {known}, not {self.bandwidth!r}")

    def for_peer(self, wanted: OpusParameters) -> "OpusSettings":
        """These, no more than a far end wants to receive (RFC 7587 section 6.1)."""
        most = wanted.max_average_bitrate or self.bitrate
        heard = next(
            name for name, rate_hz in _PLAYBACK_HZ.items() if rate_hz >= wanted.max_playback_rate_hz
        )
        return replace(
            self,
            bitrate=min(self.bitrate, most),
            fec=self.fec and wanted.use_inband_fec,
            dtx=self.dtx and wanted.use_dtx,
            bandwidth=min(self.bandwidth, heard, key=lambda name: _BANDWIDTHS[name]),
            constant_bitrate=self.constant_bitrate or wanted.constant_bitrate,
        )


class _State:
    """A C state that is freed once: by `close`, or with the object."""

    def __init__(self, library: OpusLibrary, state: int | None, error: int, free: Any) -> None:
        library.check(error)
        if not state:
            raise OpusFailed("libopus has no memory for another call")
        self._library = library
        self._functions = library.functions
        self._state: int | None = state
        self._free = weakref.finalize(self, free, state)

    @property
    def _open(self) -> int:
        if self._state is None:
            raise UsageError("this Opus coder is closed")
        return self._state

    def close(self) -> None:
        """Free the library's state. Legal more than once."""
        self._state = None
        self._free()


class OpusEncoder(_State):
    """One direction of one leg, audio to payloads."""

    def __init__(self, library: OpusLibrary, rate_hz: int, settings: OpusSettings) -> None:
        error = ctypes.c_int()
        functions = library.functions
        state = functions.opus_encoder_create(rate_hz, 1, _APPLICATION_VOIP, ctypes.byref(error))
        super().__init__(library, state, error.value, functions.opus_encoder_destroy)
        self._rate_hz = rate_hz
        self._dtx = settings.dtx
        expected = settings.expected_loss_percent
        self._loss = ExpectedLoss(expected) if settings.fec and settings.follow_loss else None
        self._buffer = ctypes.create_string_buffer(_LONGEST_PAYLOAD)
        self._sizes = {rate_hz * us // 1_000_000 for us in _DURATIONS_US}
        self._set(_SET_BITRATE, settings.bitrate)
        self._set(_SET_COMPLEXITY, settings.complexity)
        self._set(_SET_INBAND_FEC, int(settings.fec))
        self._set(_SET_PACKET_LOSS_PERC, expected)
        self._set(_SET_DTX, int(settings.dtx))
        self._set(_SET_VBR, int(not settings.constant_bitrate))
        self._set(_SET_MAX_BANDWIDTH, _BANDWIDTHS[settings.bandwidth])
        lookahead = ctypes.c_int32()
        self._control(_GET_LOOKAHEAD, ctypes.byref(lookahead))
        self.delay_samples = int(lookahead.value)
        """What encoding and decoding delay the audio by."""

    def encode(self, pcm: Pcm) -> bytes:
        """One packet of 2.5, 5, 10, 20, 40 or 60 ms; empty: nothing need be sent.

        Raises `UsageError` for another length or type.
        """
        if pcm.dtype != np.int16 or pcm.ndim != 1 or pcm.size not in self._sizes:
            raise UsageError(
                f"Opus at {self._rate_hz} Hz takes one row of int16 of "
                f"{sorted(self._sizes)} samples, not {pcm.dtype} of {pcm.shape}"
            )
        audio = np.ascontiguousarray(pcm)
        size = self._library.check(
            self._functions.opus_encode(
                self._open, audio.ctypes.data, audio.size, self._buffer, _LONGEST_PAYLOAD
            )
        )
        # opus.h: a packet of two bytes or less need not be transmitted.
        return b"" if self._dtx and size <= 2 else self._buffer.raw[:size]

    def expect_loss(self, percent: float) -> None:
        """One report of the far end's, 0 to 100: how much FEC is worth, if that is followed."""
        if self._loss is not None and self._loss.percent != self._loss.report(percent):
            self._set(_SET_PACKET_LOSS_PERC, self._loss.percent)

    def limit_bitrate(self, bitrate: int) -> None:
        """Follow a far end or a network that takes no more; 6,000 to 510,000."""
        self._set(_SET_BITRATE, min(max(bitrate, 6000), 510_000))

    def _set(self, request: int, value: int) -> None:
        self._control(request, ctypes.c_int32(value))

    def _control(self, request: int, argument: Any) -> None:
        self._library.check(self._functions.opus_encoder_ctl(self._open, request, argument))


class OpusDecoder(_State):
    """One direction of one leg, payloads to audio; stereo is mixed to mono by libopus."""

    def __init__(self, library: OpusLibrary, rate_hz: int) -> None:
        error = ctypes.c_int()
        functions = library.functions
        state = functions.opus_decoder_create(rate_hz, 1, ctypes.byref(error))
        super().__init__(library, state, error.value, functions.opus_decoder_destroy)
        self._rate_hz = rate_hz
        self._shortest = rate_hz * _SHORTEST_US // 1_000_000
        self._longest = rate_hz * LONGEST_PACKET_US // 1_000_000

    def decode(self, payload: bytes) -> Pcm:
        """All audio of a packet, 2.5 to 120 ms; raises `MalformedAudioError`."""
        samples = OpusPacket.parse(payload).samples(self._rate_hz)
        return self._decoded(payload, samples, from_copy=False)

    def conceal(self, samples: int) -> Pcm:
        """libopus's own concealment of a lost packet: whole 2.5 ms, at most 120 ms.

        Raises `UsageError` for another length.
        """
        self._check(samples)
        return self._decoded(None, samples, from_copy=False)

    def recover(self, payload: bytes, samples: int) -> Pcm | None:
        """The lost audio before this payload, from the copy it carries; None without one.

        Raises `MalformedAudioError`, and `UsageError` as `conceal` does.
        """
        self._check(samples)
        packet = OpusPacket.parse(payload)
        return self._decoded(payload, samples, from_copy=True) if packet.carries_copy else None

    def reset(self) -> None:
        """Forget the past, as for a new stream."""
        self._library.check(self._functions.opus_decoder_ctl(self._open, _RESET_STATE))

    def _check(self, samples: int) -> None:
        if not 0 < samples <= self._longest or samples % self._shortest:
            raise UsageError(
                f"Opus conceals whole {self._shortest} samples up to {self._longest}, not {samples}"
            )

    def _decoded(self, payload: bytes | None, samples: int, *, from_copy: bool) -> Pcm:
        pcm = np.empty(samples, np.int16)
        size = 0 if payload is None else len(payload)
        count = self._functions.opus_decode(
            self._open, payload, size, pcm.ctypes.data, samples, int(from_copy)
        )
        if count < 0:
            raise MalformedAudioError(self._library.say(count))
        return pcm[:count]


@dataclass(frozen=True, slots=True)
class Opus:
    """Opus as a `trunkline.media.Codec`, mono inside at a rate of ours."""

    library: OpusLibrary = field(default_factory=OpusLibrary.load)
    """Without one, the first that is found; raises `MissingDependencyError` if none is."""
    rate_hz: int = 16_000
    settings: OpusSettings = field(default_factory=OpusSettings)
    name: str = "OPUS"
    rtp_clock_hz: int = RTP_CLOCK_HZ
    channels: int = 1

    def __post_init__(self) -> None:
        if self.rate_hz not in RATES_HZ:
            raise UsageError(f"Opus runs at one of {RATES_HZ} Hz, not {self.rate_hz}")

    def samples(self, payload: bytes) -> int:
        """What the packet says of itself; raises `MalformedAudioError`."""
        return OpusPacket.parse(payload).samples(self.rate_hz)

    def quiet(self, payload: bytes) -> bool:
        """What the packet says of itself: the sender may send nothing from then on."""
        return OpusPacket.parse(payload).quiet

    def encoder(self) -> Encoder:
        """A new `OpusEncoder`."""
        return OpusEncoder(self.library, self.rate_hz, self.settings)

    def decoder(self) -> Decoder:
        """A new `OpusDecoder`."""
        return OpusDecoder(self.library, self.rate_hz)
