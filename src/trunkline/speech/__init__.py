"""Speech: voice activity, recognition, synthesis and language models.

Only the interfaces, the errors and the registry are imported here; engines are made by
name with `create` and import what they need then.
"""

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
    Finished,
    Grammar,
    LanguageModel,
    Message,
    Pcm,
    Piece,
    Recognition,
    Role,
    SpeechToText,
    TextDelta,
    TextToSpeech,
    ToolCall,
    ToolSpec,
    Transcript,
    Usage,
)
from .registry import create, names, register

__all__ = [
    "Activity",
    "ActivityBank",
    "Finished",
    "Grammar",
    "GrammarError",
    "LanguageModel",
    "Message",
    "ModelFailed",
    "Pcm",
    "Piece",
    "Recognition",
    "RecognitionFailed",
    "Role",
    "SpeechError",
    "SpeechToText",
    "SynthesisFailed",
    "TextDelta",
    "TextToSpeech",
    "ToolCall",
    "ToolSpec",
    "Transcript",
    "UnknownEngine",
    "UnknownWords",
    "Usage",
    "create",
    "names",
    "register",
]
