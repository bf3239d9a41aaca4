"""Text-to-speech in a process of its own: flite where the system has it, else espeak-ng.

One worker process an engine serves all calls. Audio comes in chunks while the sentence
is still being made (first audio within some 10 ms of a short sentence), already at the rate asked
for, so the switchboard's own process does nothing but pass it on.
"""

import asyncio
import json
import logging
import re
import unicodedata
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing

import numpy as np

from trunkline.errors import MissingDependencyError, UsageError

from . import espeak as _espeak
from . import flite as _flite
from .errors import SynthesisFailed
from .interfaces import Pcm
from .pipes import Kind
from .worker import Worker

__all__ = ["Synthesiser", "best_available", "clean_text", "espeak", "flite"]

MAX_CHARACTERS = 2000
"""Longest text spoken at once, some two and a half minutes; the rest is left out."""

_SILENT_SECONDS = 20.0
_MODULE = "trunkline.speech.synthesis_worker"
# Markup an engine might obey: SSML's tags, espeak's phonemes, flite's and others' commands.
_MARKUP = re.compile(r"<[^<>]{0,500}>|\[\[|\]\]|[<>{}\\|^~`]")
_SPACES = re.compile(r"\s+")

_log = logging.getLogger(__name__)


def clean_text(text: str) -> str:
    """What of a text is spoken: no control characters, no markup, a bounded length."""
    kept = "".join(
        char if unicodedata.category(char)[0] != "C" else " " for char in text[: 4 * MAX_CHARACTERS]
    )
    return _SPACES.sub(" ", _MARKUP.sub(" ", kept)).strip()[:MAX_CHARACTERS]


def flite(voice: str = "slt", rate_hz: int = 16000, stretch: float = 1.0) -> "Synthesiser":
    """flite's voice: slt (a woman), rms, awb (men), kal or kal16 (a robot, quickest).

    Raises:
        MissingDependencyError: the system has no flite; says what to run.
        UsageError: there is no such voice.
    """
    if voice not in _flite.VOICES:
        raise UsageError(f"flite has no voice {voice!r}; there are {', '.join(_flite.VOICES)}")
    if not _flite.is_installed():
        raise MissingDependencyError(f"flite is not installed; run: {_flite.INSTALL}")
    return Synthesiser("flite", rate_hz, {"voice": voice, "stretch": stretch})


def espeak(
    voice: str = _espeak.VOICE,
    rate_hz: int = 16000,
    speed: int = _espeak.SPEED_WPM,
    pitch: int = _espeak.PITCH,
) -> "Synthesiser":
    """An espeak-ng voice, ``speed`` in words a minute, ``pitch`` 0 to 99.

    Raises:
        MissingDependencyError: there is no espeak-ng; says what to run.
    """
    if not _espeak.is_installed():
        raise MissingDependencyError(f"espeak-ng is not installed; run: {_espeak.INSTALL}")
    _log.info("espeak-ng (%s) speaks, in a process of its own", _espeak.LICENCE)
    return Synthesiser("espeak", rate_hz, {"voice": voice, "speed": speed, "pitch": pitch})


def best_available(rate_hz: int = 16000) -> "Synthesiser":
    """flite where the system has it, else espeak-ng, each with its default voice.

    Raises:
        MissingDependencyError: there is neither; says what to run.
    """
    if _flite.is_installed():
        return flite(rate_hz=rate_hz)
    if _espeak.is_installed():
        return espeak(rate_hz=rate_hz)
    raise MissingDependencyError(
        f"nothing here can speak; run: {_flite.INSTALL} (as root), or: {_espeak.INSTALL} "
        f"(espeak-ng, {_espeak.LICENCE})"
    )


class Synthesiser:
    """A voice in a worker process. Belongs to one event loop."""

    def __init__(self, engine: str, rate_hz: int, settings: Mapping[str, object]) -> None:
        """A voice of ``engine`` at 8000 to 48000 Hz; starts nothing yet.

        Raises:
            UsageError: the rate is out of range.
        """
        if not 8000 <= rate_hz <= 48000:
            raise UsageError(f"a voice speaks at 8000 to 48000 Hz, not {rate_hz}")
        self.name = engine
        self.rate_hz = rate_hz
        self._settings = dict(settings)
        self._worker = Worker(_MODULE, (engine, str(rate_hz)))

    async def warm(self) -> None:
        """Start the process and make it ready, so that the first reply need not wait.

        Raises:
            MissingDependencyError: the engine cannot run here.
            SpeechError: the process did not start.
        """
        await self._worker.ready()

    async def speak(self, text: str) -> AsyncIterator[Pcm]:
        """Chunks of audio as they are made; closing the iterator cancels.

        Raises:
            SynthesisFailed: the engine refused, fell silent, or died twice.
            SpeechError: it died too often just now.
            MissingDependencyError: it cannot run here.
        """
        said = clean_text(text)
        if not said:
            return
        begun = False
        for last in (False, True):  # a process that dies before the first chunk is tried again
            try:
                async with aclosing(self._speak(said)) as chunks:
                    async for chunk in chunks:
                        begun = True
                        yield chunk
                return
            except _WorkerDied:
                if begun or last:
                    raise

    async def _speak(self, text: str) -> AsyncGenerator[Pcm, None]:
        # Unbounded, but for MAX_CHARACTERS: at most some 5 MB.
        inbox: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        request = self._worker.open(lambda kind, payload: inbox.put_nowait((kind, payload)))
        over = False
        try:
            asked = json.dumps({"text": text, **self._settings}).encode()
            self._worker.send(Kind.SPEAK, request, asked)
            while not over:
                kind, payload = await self._next(inbox)
                over = kind != Kind.CHUNK
                if kind == Kind.CHUNK:
                    yield np.frombuffer(payload, "<i2").astype(np.int16, copy=False)
                elif kind == Kind.ERROR:
                    raise SynthesisFailed(payload.decode(errors="replace"))
                elif kind == Kind.DIED:
                    raise _WorkerDied(f"{self.name} died while it spoke")
        finally:
            self._worker.forget(request)
            if not over and self._worker.running:
                self._worker.send(Kind.CANCEL, request)

    async def _next(self, inbox: asyncio.Queue[tuple[int, bytes]]) -> tuple[int, bytes]:
        try:
            async with asyncio.timeout(_SILENT_SECONDS):
                return await inbox.get()
        except TimeoutError:
            self._worker.kill()
            raise SynthesisFailed(f"{self.name} was silent for {_SILENT_SECONDS:.0f} s") from None

    async def aclose(self) -> None:
        """End the process."""
        await self._worker.aclose()


class _WorkerDied(SynthesisFailed):
    """The process is gone; another may do better."""
