"""In-process stand-ins for speech engines, for benchmarks and tests.

They do no recognition and no synthesis: they answer at once, always the same, so that
what is measured or tested is everything around them.
"""

from collections.abc import AsyncIterator, Sequence

import numpy as np

from trunkline.errors import UsageError

from .interfaces import Grammar, Pcm, Transcript

__all__ = ["SttStandIn", "SttStandInRecognition", "ToneVoice", "TtsStandIn"]


class SttStandIn:
    """A recogniser that always understands the same; the caller's words do not matter."""

    name = "standin"

    def __init__(self, text: str | Sequence[str] = "hello", confidence: float = 1.0) -> None:
        """Each call's utterances give ``text``, or one text after another and over again."""
        self._texts = (text,) if isinstance(text, str) else tuple(text)
        if not self._texts:
            raise UsageError("a stand-in recogniser needs a text")
        self._confidence = confidence

    def open(self, rate_hz: int) -> "SttStandInRecognition":
        """One call's recogniser."""
        return SttStandInRecognition(self._texts, self._confidence, rate_hz)

    async def aclose(self) -> None:
        """Nothing to stop."""


class SttStandInRecognition:
    """One call's stand-in; remembers what it was given, for tests to look at."""

    def __init__(self, texts: Sequence[str], confidence: float, rate_hz: int) -> None:
        self._texts = texts
        self._confidence = confidence
        self._rate_hz = rate_hz
        self.utterances = 0
        self.samples = 0
        self.grammar: Grammar | None = None
        self.closed = False

    def start(self, grammar: Grammar | None) -> None:
        """An utterance begins."""
        self.grammar = grammar
        self.samples = 0

    def feed(self, pcm: Pcm) -> None:
        """Counted, not heard."""
        self.samples += pcm.size

    async def finish(self) -> Transcript:
        """The next text, at once; empty when nothing was fed."""
        audio_ms = self.samples * 1000 // self._rate_hz
        if not self.samples:
            return Transcript("", 0.0, True, 0)
        text = self._texts[self.utterances % len(self._texts)]
        self.utterances += 1
        self.samples = 0
        return Transcript(text, self._confidence, True, audio_ms)

    def cancel(self) -> None:
        """Drop the utterance."""
        self.samples = 0

    def close(self) -> None:
        """The call is over."""
        self.closed = True


class TtsStandIn:
    """A voice that says everything in one second of a tone, in pieces of 20 ms, at once."""

    name = "standin"

    def __init__(self, rate_hz: int = 8000, seconds: float = 1.0) -> None:
        self.rate_hz = rate_hz
        self._piece = rate_hz // 50
        audio = _tone(rate_hz, 300.0, round(seconds * 50) * self._piece)
        self._pieces = list(audio.reshape(-1, self._piece))

    async def speak(self, text: str) -> AsyncIterator[Pcm]:
        """The same pieces for every text; none for an empty one."""
        if text.strip():
            for piece in self._pieces:
                yield piece

    async def aclose(self) -> None:
        """Nothing to stop."""


class ToneVoice:
    """A voice that hums: each character its own pitch for 60 ms, the same every time.

    Texts can be told apart in a recording, and the length of the audio is exactly
    60 ms a character: what a test of marks and interruptions needs.
    """

    name = "tone"
    CHARACTER_MS = 60

    def __init__(self, rate_hz: int = 8000) -> None:
        self.rate_hz = rate_hz

    def render(self, text: str) -> Pcm:
        """The whole audio of a text, int16 at ``rate_hz``."""
        samples = self.rate_hz * self.CHARACTER_MS // 1000
        notes = [_tone(self.rate_hz, 200.0 + 20 * (ord(char) % 64), samples) for char in text]
        return np.concatenate(notes) if notes else np.zeros(0, np.int16)

    async def speak(self, text: str) -> AsyncIterator[Pcm]:
        """One chunk a character."""
        for char in text:
            yield self.render(char)

    async def aclose(self) -> None:
        """Nothing to stop."""


def _tone(rate_hz: int, pitch_hz: float, samples: int) -> Pcm:
    """A tone of -15 dBov with 5 ms ramps, so that nothing clicks."""
    time = np.arange(samples) / rate_hz
    ramp = np.minimum(1.0, np.minimum(time, time[::-1]) / 0.005)
    return (8000 * ramp * np.sin(2 * np.pi * pitch_hz * time)).astype(np.int16)
