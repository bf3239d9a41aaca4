"""Speech-to-text by any server that has OpenAI's ``/audio/transcriptions``.

faster-whisper-server, speaches, LocalAI, vLLM, whisper.cpp's server (with its inference
path set to it), Groq, OpenAI and more. An utterance is uploaded whole when it is over, as
a 16 kHz WAV of 32 KB a second: the text comes one request later, and nothing is sent
while nobody speaks. Needs the extra ``llm`` (httpx2).
"""

import asyncio
import json
import logging
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from trunkline.errors import ConfigError, UsageError
from trunkline.media.resample import StreamResampler
from trunkline.media.wav import serialise_wav

from .endpoint import Endpoint
from .errors import LanguageModelError, RecognitionFailed, ReplyTimeout, TemporaryFailure
from .interfaces import Grammar, Pcm, Transcript

__all__ = ["OpenAIRecogniser", "OpenAIRecognition"]

log = logging.getLogger(__name__)

RATE_HZ = 16_000
"""What is sent: the rate Whisper and its kin work at; some servers take no other."""
MAX_SECONDS = 60
"""Audio of one utterance that is kept; what follows is dropped and counted."""
MIN_SECONDS = 0.1
"""OpenAI refuses less; it is no word either."""
CONNECT_SECONDS = 3.0
PAUSE_SECONDS = 0.2
"""Before the second attempt."""
UNTOLD_CONFIDENCE = 0.9
"""Of a text: the plain reply has none, and recognisers of this kind are mostly right."""

# What models write of sounds that are no speech: [BLANK_AUDIO], (music), *coughs*, ♪.
_NO_SPEECH = re.compile(r"\[[^\]]*\]|\([^)]*\)|\*[^*]*\*|♪")


class OpenAIRecogniser:
    """A `SpeechToText` at ``url``. Nothing is opened before the first use.

    Args:
        url: the server's base URL, as in ``http://127.0.0.1:8000/v1``.
        model: the recogniser's name there.
        api_key: sent as a bearer token, and shown nowhere.
        language: two letters (ISO 639-1); empty lets the model find out.
        prompt: names and words it would not know how to spell.
        timeout_seconds: how long a text may take, a second attempt included.

    Raises:
        ConfigError: the URL is missing or cannot be used.
        MissingDependencyError: httpx2 is not installed.
    """

    def __init__(
        self,
        url: str = "",
        model: str = "whisper-1",
        *,
        api_key: str | None = None,
        language: str = "",
        prompt: str = "",
        timeout_seconds: float = 8.0,
    ) -> None:
        if not url:
            raise ConfigError('the recogniser "openai" needs its server: speech.stt_options.url')
        if timeout_seconds <= 0:
            raise ConfigError("a recogniser's timeout_seconds is more than 0")
        self._endpoint = Endpoint(url, api_key, connect_seconds=CONNECT_SECONDS)
        self._timeout_seconds = timeout_seconds
        self.name = f"openai:{model}"
        asked = {
            "model": model,
            "response_format": "json",
            "temperature": "0",
            "language": language,
            "prompt": prompt,
        }
        self._fields = {name: value for name, value in asked.items() if value}

    def __repr__(self) -> str:
        return f"OpenAIRecogniser({self._endpoint.url!r}, model={self._fields['model']!r})"

    def open(self, rate_hz: int) -> "OpenAIRecognition":
        """One call's recogniser, for audio at 8000 to 48000 Hz."""
        if not 8000 <= rate_hz <= 48000:
            raise UsageError(f"a recogniser hears 8000 to 48000 Hz, not {rate_hz}")
        return OpenAIRecognition(self, rate_hz)

    async def warm(self) -> None:
        """See that the server takes audio: recognise half a second of silence.

        Servers load their model on the first request, which may take them a while.

        Raises:
            RecognitionFailed: it cannot be reached, or refuses.
        """
        await self.transcribe(np.zeros(RATE_HZ // 2, np.int16), RATE_HZ)

    async def transcribe(self, pcm: Pcm, rate_hz: int) -> str:
        """The text of some audio; empty for no speech.

        Raises:
            RecognitionFailed: no text within ``timeout_seconds``, or the server refuses.
        """
        wav = _wav(pcm, rate_hz)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._ask(wav)
        except TimeoutError:
            raise RecognitionFailed(
                f"no text from {self._endpoint.url} within {self._timeout_seconds:g} s"
            ) from None
        except LanguageModelError as error:
            # Not chained: the two trees are one failure, told once.
            raise RecognitionFailed(str(error)) from None

    async def aclose(self) -> None:
        """Close the connections."""
        await self._endpoint.aclose()

    async def _ask(self, wav: bytes) -> str:
        """Upload, and once more where that may help; slowness is not repeated."""
        try:
            return await self._upload(wav)
        except ReplyTimeout:
            raise
        except TemporaryFailure as error:
            log.warning("uploading an utterance again: %s", error)
            await asyncio.sleep(error.retry_after_seconds or PAUSE_SECONDS)
            return await self._upload(wav)

    async def _upload(self, wav: bytes) -> str:
        files = {"file": ("speech.wav", wav, "audio/wav")}
        response = await self._endpoint.request(
            "POST", "/audio/transcriptions", fields=self._fields, files=files
        )
        return _text(await self._endpoint.text(response))


class OpenAIRecognition:
    """One call's recogniser: keeps an utterance until it is over."""

    def __init__(self, engine: OpenAIRecogniser, rate_hz: int) -> None:
        self._engine = engine
        self._rate_hz = rate_hz
        self._audio: list[Pcm] = []
        self._samples = 0
        self._closed = False
        self.dropped_samples = 0
        """Audio beyond `MAX_SECONDS` of an utterance."""

    def start(self, grammar: Grammar | None) -> None:
        """A new utterance begins; grammars are not used.

        Raises:
            UsageError: the call's recogniser was closed.
        """
        if self._closed:
            raise UsageError("this recognition was closed")
        self.cancel()

    def feed(self, pcm: Pcm) -> None:
        """More audio, any length."""
        room = MAX_SECONDS * self._rate_hz - self._samples
        taken = pcm[: max(room, 0)]
        self.dropped_samples += pcm.size - taken.size
        if taken.size and not self._closed:
            self._audio.append(taken.copy())
            self._samples += taken.size

    async def finish(self) -> Transcript:
        """The utterance's text.

        Raises:
            RecognitionFailed: the server failed, refused or was too slow.
        """
        audio_ms = self._samples * 1000 // self._rate_hz
        pcm = np.concatenate(self._audio) if self._audio else np.zeros(0, np.int16)
        self.cancel()
        if pcm.size < MIN_SECONDS * self._rate_hz:
            return Transcript("", 0.0, True, audio_ms)
        text = await self._engine.transcribe(pcm, self._rate_hz)
        return Transcript(text, UNTOLD_CONFIDENCE if text else 0.0, True, audio_ms)

    def cancel(self) -> None:
        """Drop the utterance, if there is one."""
        self._audio.clear()
        self._samples = 0

    def close(self) -> None:
        """The call is over."""
        self.cancel()
        self._closed = True


def _wav(pcm: Pcm, rate_hz: int) -> bytes:
    if rate_hz != RATE_HZ:
        resampler = StreamResampler(rate_hz, RATE_HZ)
        pcm = np.concatenate([resampler.push(pcm), resampler.flush()])
    return serialise_wav(pcm, RATE_HZ)


def _text(body: str) -> str:
    """The words in a reply, without what is no speech."""
    try:
        reply: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise RecognitionFailed(f"the server sent what is not JSON: {body[:80]!r}") from None
    text = reply.get("text") if isinstance(reply, Mapping) else None
    if not isinstance(text, str):
        raise RecognitionFailed(f"the server sent no text: {body[:80]!r}")
    words = " ".join(_NO_SPEECH.sub(" ", text).split())
    return words if any(character.isalnum() for character in words) else ""
