"""flite by way of its shared library. Runs inside the synthesis worker only.

flite (Carnegie Mellon, BSD-style licence) comes with the system, not with pip. Its
voices are libraries of their own. Audio is handed out while the sentence is still
being made, through the library's streaming hook.
"""

import ctypes
import ctypes.util
from collections.abc import Callable
from functools import lru_cache

from trunkline.errors import MissingDependencyError

__all__ = ["INSTALL", "VOICES", "Flite", "is_installed"]

VOICES = ("slt", "rms", "awb", "kal", "kal16")
INSTALL = "apt install flite"

_GO_ON, _STOP = 0, -1
_CHUNK_SAMPLES = 800  # 50 ms at 16 kHz: the least the hook waits for


class _Wave(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_char_p),
        ("sample_rate", ctypes.c_int),
        ("num_samples", ctypes.c_int),
        ("num_channels", ctypes.c_int),
        ("samples", ctypes.POINTER(ctypes.c_short)),
    )


_Hook = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(_Wave), ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p
)


class _Streaming(ctypes.Structure):
    # The beginning of cst_audio_streaming_info; the rest is not ours to touch.
    _fields_ = (("min_buffsize", ctypes.c_int), ("asc", _Hook))


class _Voice(ctypes.Structure):
    # The beginning of cst_voice.
    _fields_ = (("name", ctypes.c_char_p), ("features", ctypes.c_void_p))


@lru_cache(maxsize=1)
def is_installed() -> bool:
    """Whether the system has flite and at least one voice."""
    try:
        _library("flite")
        return any(_library(f"flite_cmu_us_{voice}") for voice in VOICES)
    except OSError:
        return False


def _library(name: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(f"lib{name}.so.1", ctypes.RTLD_GLOBAL)
    except OSError:
        found = ctypes.util.find_library(name)
        if found is None:
            raise
        return ctypes.CDLL(found, ctypes.RTLD_GLOBAL)


class Flite:
    """The library, its voices as they are asked for, one text at a time."""

    rate_hz = 16000
    licence = "BSD-style"

    def __init__(self) -> None:
        """Raises `MissingDependencyError` where the system has no flite."""
        try:
            lib = _library("flite")
            # The voices find these among what is loaded already.
            for name in ("flite_usenglish", "flite_cmulex"):
                _library(name)
        except OSError as error:
            raise MissingDependencyError(f"flite is not installed; run: {INSTALL}") from error
        lib.flite_init()
        lib.new_audio_streaming_info.restype = ctypes.POINTER(_Streaming)
        lib.audio_streaming_info_val.restype = ctypes.c_void_p
        lib.audio_streaming_info_val.argtypes = [ctypes.c_void_p]
        lib.feat_set.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        lib.feat_set_float.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_float]
        lib.flite_text_to_wave.restype = ctypes.POINTER(_Wave)
        lib.flite_text_to_wave.argtypes = [ctypes.c_char_p, ctypes.POINTER(_Voice)]
        lib.delete_wave.argtypes = [ctypes.POINTER(_Wave)]
        self._lib = lib
        self._voices: dict[str, ctypes._Pointer[_Voice]] = {}
        self._emit: Callable[[bytes, int], bool] = lambda _pcm, _rate_hz: False
        self._hook = _Hook(self._on_audio)  # kept: the library holds a pointer to it

    def speak(
        self, text: str, settings: dict[str, object], emit: Callable[[bytes, int], bool]
    ) -> None:
        """Speak one text; ``emit(pcm, rate_hz)`` returns False to stop.

        Args:
            text: one sentence.
            settings: "voice", one of `VOICES`, and "stretch", 1.0 being the voice's own pace.
            emit: given int16 bytes as they are made.

        Raises:
            ValueError: there is no such voice.
        """
        voice = self._voice(str(settings.get("voice") or VOICES[0]))
        features = voice.contents.features
        stretch = float(str(settings.get("stretch") or 1.0))
        self._lib.feat_set_float(features, b"duration_stretch", stretch)
        self._emit = emit
        wave = self._lib.flite_text_to_wave(text.encode("ascii", "ignore"), voice)
        if wave:
            self._lib.delete_wave(wave)

    def _voice(self, name: str) -> "ctypes._Pointer[_Voice]":
        if (known := self._voices.get(name)) is not None:
            return known
        if name not in VOICES:
            raise ValueError(f"flite has no voice {name!r}; there are {', '.join(VOICES)}")
        try:
            register = getattr(_library(f"flite_cmu_us_{name}"), f"register_cmu_us_{name}")
        except (OSError, AttributeError):
            raise ValueError(f"flite's voice {name!r} is not installed") from None
        register.restype = ctypes.POINTER(_Voice)
        register.argtypes = [ctypes.c_char_p]
        voice: ctypes._Pointer[_Voice] = register(None)
        streaming = self._lib.new_audio_streaming_info()
        streaming.contents.min_buffsize = _CHUNK_SAMPLES
        streaming.contents.asc = self._hook
        value = self._lib.audio_streaming_info_val(streaming)
        self._lib.feat_set(voice.contents.features, b"streaming_info", value)
        self._voices[name] = voice
        return voice

    def _on_audio(self, wave: "ctypes._Pointer[_Wave]", start: int, size: int, *_: object) -> int:
        if size <= 0:
            return _GO_ON
        made = wave.contents
        at = ctypes.addressof(made.samples.contents) + 2 * start
        return _GO_ON if self._emit(ctypes.string_at(at, 2 * size), made.sample_rate) else _STOP
