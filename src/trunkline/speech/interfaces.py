"""What the rest of Trunkline needs of speech engines.

Five kinds of engine. Voice activity is a bank: batched over calls, it runs inline in
the media tick. The other four belong to the application's event loop and do their
work elsewhere: in threads, in a process of their own, or across the network.

Audio is mono signed 16-bit PCM everywhere; the sample rate is in a name or a field.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Activity",
    "ActivityBank",
    "Detection",
    "Finished",
    "Grammar",
    "LanguageModel",
    "Message",
    "Pcm",
    "Piece",
    "Recognition",
    "Role",
    "SpeechToText",
    "Spotter",
    "TextDelta",
    "TextToSpeech",
    "ToolCall",
    "ToolSpec",
    "Transcript",
    "Usage",
    "WakeWord",
]

Pcm: TypeAlias = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Activity:
    """Speech probabilities of the windows completed by one `ActivityBank.process`."""

    index: NDArray[np.intp]
    """Position in the block given, ascending in time; a frame may complete two windows."""
    probability: NDArray[np.float32]
    """Probability of speech in the window, 0..1."""
    end_offset: NDArray[np.intp]
    """Samples between the end of the window and the end of the frame given, >= 0."""


class ActivityBank(Protocol):
    """Voice activity for many calls at once; runs inline in the media tick."""

    rate_hz: int
    window_samples: int
    """Length of a decision: 256 at 8 kHz for Silero (32 ms). Frames are re-blocked inside."""

    def open(self) -> int:
        """A fresh row."""
        ...

    def close(self, row: int) -> None:
        """Give the row back."""
        ...

    def process(self, block: Pcm, rows: NDArray[np.intp]) -> Activity:
        """Hear one frame (n, frame samples) of each of ``rows``, which are distinct."""
        ...


@dataclass(frozen=True, slots=True)
class Grammar:
    """What the caller may say now; recognisers without grammars ignore it."""

    jsgf: str
    """The grammar's whole text, in the JSpeech Grammar Format."""
    name: str
    """A short name for logs and caches; equal names need not mean equal text."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was understood of one utterance."""

    text: str
    """The words, lower case where the engine has no case; empty for nothing understood."""
    confidence: float
    """0..1, the engine's own honesty; below about 0.5 an agent should ask again."""
    final: bool
    audio_ms: int
    """How much audio the text is of."""


class Recognition(Protocol):
    """One call's recogniser. An object of the application loop; it never blocks it."""

    def start(self, grammar: Grammar | None) -> None:
        """A new utterance begins; an unfinished one is dropped."""
        ...

    def feed(self, pcm: Pcm) -> None:
        """More audio of the utterance, any length. Never blocks; bounded inside."""
        ...

    async def finish(self) -> Transcript:
        """The final text of everything fed since `start`.

        Raises:
            SpeechError: the engine failed on this utterance.
        """
        ...

    def cancel(self) -> None:
        """Drop the utterance; nothing happens if there is none."""
        ...

    def close(self) -> None:
        """The call is over."""
        ...


class SpeechToText(Protocol):
    """A recogniser for all calls of a node."""

    name: str

    def open(self, rate_hz: int) -> Recognition:
        """One call's recogniser, for audio at ``rate_hz``; cheap."""
        ...

    async def aclose(self) -> None:
        """Stop the engine and everything it runs."""
        ...


@dataclass(frozen=True, slots=True)
class Detection:
    """A wake phrase was said."""

    phrase: str
    """As it was asked for, in lower case."""
    start: int
    """Where it begins, in samples of the call's audio at the call's rate."""
    end: int
    """The sample after it; some 100 to 300 ms of audio are fed until it is known."""


class Spotter(Protocol):
    """One call's wake words. An object of the application loop; it never blocks it."""

    def feed(self, pcm: Pcm) -> None:
        """More of the call's audio, any length. Never blocks; bounded inside."""
        ...

    def detections(self) -> Sequence[Detection]:
        """What was found since the last time this was asked, the oldest first.

        Raises:
            SpeechError: the engine cannot listen.
        """
        ...

    async def wait(self) -> Detection:
        """The next detection.

        Raises:
            SpeechError: the engine cannot listen.
        """
        ...

    def close(self) -> None:
        """The call is over."""
        ...


class WakeWord(Protocol):
    """Hears phrases in calls, without being asked to recognise."""

    name: str
    phrases: Mapping[str, float]
    """What is listened for, and the threshold of each; its scale is the engine's."""

    def open(self, rate_hz: int) -> Spotter:
        """One call's spotter, for audio at ``rate_hz``; cheap."""
        ...

    async def aclose(self) -> None:
        """Stop the engine and everything it runs."""
        ...


class TextToSpeech(Protocol):
    """A voice for all calls of a node."""

    name: str
    rate_hz: int

    def speak(self, text: str) -> AsyncIterator[Pcm]:
        """Audio at ``rate_hz`` as it is synthesised; closing the iterator cancels.

        Raises:
            SpeechError: the engine failed on this text.
        """
        ...

    async def aclose(self) -> None:
        """Stop the engine and everything it runs."""
        ...


Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A language model asks for a tool."""

    id: str
    name: str
    arguments: str
    """JSON text, as the model wrote it; may be anything."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a dialogue, as language models see it."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    """Of an assistant's message: the tools it asked for."""
    tool_call_id: str | None = None
    """Of a tool's message: which call this answers."""
    confidence: float | None = None
    """Of a user's message: the `Transcript.confidence` it came with; None for typed text."""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as a language model is told of it."""

    name: str
    description: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """JSON schema of the arguments object."""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the reply's text."""

    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens one reply cost."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The reply is complete."""

    reason: str
    """"stop", "tool_calls", "length" or the engine's own word."""
    usage: Usage | None = None


Piece: TypeAlias = TextDelta | ToolCall | Finished


class LanguageModel(Protocol):
    """What thinks of the agent's replies."""

    name: str

    def reply(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> AsyncIterator[Piece]:
        """The reply's pieces as the model writes them; closing the iterator cancels.

        Raises:
            SpeechError: the model failed on this request.
        """
        ...

    def expects(self, messages: Sequence[Message]) -> Grammar | None:
        """The small language the caller's next turn is in; None means anything."""
        ...

    async def aclose(self) -> None:
        """Stop the engine and close its connections."""
        ...
