"""Speech: voice activity, wake words, recognition, synthesis and language models.

The public names are imported when they are first used: a worker process begins with
this package and needs next to nothing of it. Engines are made by name with `create`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .detector import SpeechDetector
    from .errors import (
        GrammarError,
        ModelFailed,
        RecognitionFailed,
        SpeechError,
        SynthesisFailed,
        UnknownEngine,
        UnknownWords,
    )
    from .interfaces import (
        Activity,
        ActivityBank,
        Detection,
        Finished,
        Grammar,
        LanguageModel,
        Message,
        Pcm,
        Piece,
        Recognition,
        Role,
        SpeechToText,
        Spotter,
        TextDelta,
        TextToSpeech,
        ToolCall,
        ToolSpec,
        Transcript,
        Usage,
        WakeWord,
    )
    from .opus import Opus, OpusLibrary, OpusSettings
    from .registry import create, names, register

__all__ = [
    "Activity",
    "ActivityBank",
    "Detection",
    "Finished",
    "Grammar",
    "GrammarError",
    "LanguageModel",
    "Message",
    "ModelFailed",
    "Opus",
    "OpusLibrary",
    "OpusSettings",
    "Pcm",
    "Piece",
    "Recognition",
    "RecognitionFailed",
    "Role",
    "SpeechDetector",
    "SpeechError",
    "SpeechToText",
    "Spotter",
    "SynthesisFailed",
    "TextDelta",
    "TextToSpeech",
    "ToolCall",
    "ToolSpec",
    "Transcript",
    "UnknownEngine",
    "UnknownWords",
    "Usage",
    "WakeWord",
    "create",
    "names",
    "register",
]

_ERRORS = frozenset(
    {
        "GrammarError",
        "ModelFailed",
        "RecognitionFailed",
        "SpeechError",
        "SynthesisFailed",
        "UnknownEngine",
        "UnknownWords",
    }
)
_HOMES = {
    "Opus": "opus",
    "OpusLibrary": "opus",
    "OpusSettings": "opus",
    "SpeechDetector": "detector",
    "create": "registry",
    "names": "registry",
    "register": "registry",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES.get(name, "errors" if name in _ERRORS else "interfaces")
    return getattr(import_module(f"{__name__}.{home}"), name)
