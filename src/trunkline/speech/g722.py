"""G.722 by a library: FFmpeg's coder through PyAV, or spandsp's through ctypes.

One call's coder costs 30 to 40 µs a frame of 20 ms in C, both directions together, and
2.6 ms in ``media.g722``, which is for machines without either. All three make the same
bits of audio that no filter overflows on. Of audio that is louder than full scale, FFmpeg
and ``media.g722`` hear the same, bit for bit; spandsp 0.0.6 lets samples wrap around, which
crackles, and so comes second.

A coder belongs to one leg and must not be used by two threads at once.
"""

import ctypes
import ctypes.util
import importlib
import importlib.util
import weakref
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import MissingDependencyError, UsageError
from trunkline.media import g722
from trunkline.media.codec import G722, Decoder, Encoder
from trunkline.media.errors import MalformedAudioError

__all__ = ["FFmpegG722", "LibraryG722", "SpandspG722", "find_g722"]

Pcm = NDArray[np.int16]

_BITRATE: Final = 64_000
_FRAME: Final = g722.RATE_HZ // 50


class G722Library(Protocol):
    """What makes coders; equal to another of the same library."""

    @property
    def name(self) -> str:
        """What it is, with its version where it tells."""

    def encoder(self) -> Encoder:
        """A new one."""

    def decoder(self) -> Decoder:
        """A new one."""


@dataclass(frozen=True, slots=True)
class LibraryG722:
    """G.722 at 64 kbit/s as a `trunkline.media.Codec`, coded by a library."""

    library: G722Library
    name: str = g722.ENCODING_NAME
    rate_hz: int = g722.RATE_HZ
    rtp_clock_hz: int = g722.RTP_CLOCK_HZ
    channels: int = 1

    def samples(self, payload: bytes) -> int:
        """Two a byte."""
        return G722().samples(payload)

    def quiet(self, payload: bytes) -> bool:
        """Nothing in it tells."""
        return False

    def encoder(self) -> Encoder:
        """With a state of its own."""
        return self.library.encoder()

    def decoder(self) -> Decoder:
        """With a state of its own."""
        return self.library.decoder()


def find_g722() -> G722Library | None:
    """The library to use, or None: then ``media.g722`` it is."""
    for make in (FFmpegG722, SpandspG722):
        try:
            return make()
        except MissingDependencyError:
            continue
    return None


class _Coder:
    """What all of them share, being no part of the other direction's."""

    def expect_loss(self, percent: float) -> None:
        """Nothing can be done about it."""

    def conceal(self, samples: int) -> Pcm | None:
        """None: the jitter buffer conceals."""
        return None

    def recover(self, payload: bytes, samples: int) -> Pcm | None:
        """None: no payload carries a copy of another."""
        return None


def _checked(pcm: Pcm, multiple: int) -> Pcm:
    if pcm.dtype != np.int16 or pcm.ndim != 1 or pcm.size % multiple:
        raise UsageError(
            f"this G.722 takes one row of int16 of whole {multiple} samples, "
            f"not {pcm.dtype} of {pcm.shape}"
        )
    return np.ascontiguousarray(pcm)


# -- FFmpeg ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FFmpegG722:
    """FFmpeg's, of an installed PyAV.

    Raises `MissingDependencyError` without PyAV, or if its FFmpeg has no G.722.
    """

    def __post_init__(self) -> None:
        try:
            self.encoder()
            self.decoder()
        except (ImportError, ValueError) as error:  # av's errors are ValueErrors as well
            raise MissingDependencyError(f"G.722 by FFmpeg needs PyAV ({error})") from None

    @property
    def name(self) -> str:
        """As in "FFmpeg of PyAV 14.0.0"."""
        return f"FFmpeg of PyAV {_av().__version__}"

    def encoder(self) -> Encoder:
        """Takes whole 20 ms at a time."""
        return _FFmpegEncoder()

    def decoder(self) -> Decoder:
        """Takes payloads of any length."""
        return _FFmpegDecoder()


def _av() -> Any:
    return importlib.import_module("av")


def _context(mode: str) -> Any:
    context = _av().CodecContext.create("g722", mode)
    context.sample_rate, context.layout = g722.RATE_HZ, "mono"
    if mode == "w":
        context.format = "s16"
    context.open()
    return context


class _FFmpegEncoder(_Coder):
    def __init__(self) -> None:
        self._context = _context("w")
        self._frame = _av().AudioFrame.from_ndarray

    def encode(self, pcm: Pcm) -> bytes:
        frames = _checked(pcm, _FRAME).reshape(-1, 1, _FRAME)
        payload = b""
        for samples in frames:
            frame = self._frame(samples, format="s16", layout="mono")
            frame.sample_rate = g722.RATE_HZ
            payload += b"".join(map(bytes, self._context.encode(frame)))
        return payload

    def close(self) -> None:
        self._context = None


class _FFmpegDecoder(_Coder):
    def __init__(self) -> None:
        self._context = _context("r")
        self._packet, self._refused = _av().Packet, _av().FFmpegError

    def decode(self, payload: bytes) -> Pcm:
        G722().samples(payload)
        try:
            frames = self._context.decode(self._packet(payload))
        except self._refused as error:  # every byte is a code: out of memory, or a new FFmpeg
            raise MalformedAudioError(f"FFmpeg: {error}") from None
        if len(frames) != 1:
            raise MalformedAudioError(f"FFmpeg makes {len(frames)} frames of it")
        pcm: Pcm = frames[0].to_ndarray()[0]
        return pcm

    def close(self) -> None:
        self._context = None


# -- spandsp ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpandspG722:
    """spandsp's, of the system (Debian: libspandsp2).

    Raises `MissingDependencyError` without it.
    """

    path: str = ""

    def __post_init__(self) -> None:
        _spandsp(self.path)

    @property
    def name(self) -> str:
        """It does not tell its version."""
        return "spandsp"

    def encoder(self) -> Encoder:
        """Takes any even number of samples."""
        return _SpandspEncoder(_spandsp(self.path))

    def decoder(self) -> Decoder:
        """Takes payloads of any length."""
        return _SpandspDecoder(_spandsp(self.path))


_LOADED: dict[str, Any] = {}


def _spandsp(path: str) -> Any:
    """The library with its functions' types."""
    if path in _LOADED:
        return _LOADED[path]
    found = path or ctypes.util.find_library("spandsp")
    if found is None:
        raise MissingDependencyError("spandsp is not installed (Debian: libspandsp2)")
    try:
        # Not CDLL, which would hand the interpreter's lock to another thread each time.
        library = ctypes.PyDLL(found)
        pointer, number = ctypes.c_void_p, ctypes.c_int
        for direction in ("encode", "decode"):
            make, free = (getattr(library, f"g722_{direction}_{what}") for what in ("init", "free"))
            make.restype, make.argtypes = pointer, [pointer, number, number]
            free.argtypes = [pointer]
        library.g722_encode.argtypes = [pointer, ctypes.c_char_p, pointer, number]
        library.g722_decode.argtypes = [pointer, pointer, ctypes.c_char_p, number]
    except (OSError, AttributeError) as error:
        raise MissingDependencyError(f"G.722 by spandsp: {error}") from None
    _LOADED[path] = library
    return library


class _SpandspState(_Coder):
    """A C state that is freed once: by `close`, or with the object."""

    def __init__(self, make: Any, free: Any) -> None:
        state = make(None, _BITRATE, 0)
        if not state:
            raise MemoryError("spandsp has no memory for another call")
        self._state: int | None = state
        self._free = weakref.finalize(self, free, state)

    @property
    def _open(self) -> int:
        if self._state is None:
            raise UsageError("this G.722 coder is closed")
        return self._state

    def close(self) -> None:
        self._state = None
        self._free()


class _SpandspEncoder(_SpandspState):
    def __init__(self, library: Any) -> None:
        super().__init__(library.g722_encode_init, library.g722_encode_free)
        self._encode = library.g722_encode

    def encode(self, pcm: Pcm) -> bytes:
        audio = _checked(pcm, 2)
        buffer = ctypes.create_string_buffer(audio.size // 2 or 1)
        size = self._encode(self._open, buffer, audio.ctypes.data, audio.size)
        return buffer.raw[:size]


class _SpandspDecoder(_SpandspState):
    def __init__(self, library: Any) -> None:
        super().__init__(library.g722_decode_init, library.g722_decode_free)
        self._decode = library.g722_decode

    def decode(self, payload: bytes) -> Pcm:
        pcm = np.empty(G722().samples(payload), np.int16)
        self._decode(self._open, pcm.ctypes.data, payload, len(payload))
        return pcm
