"""Speech-to-text by pocketsphinx, with a grammar for each state of a dialogue.

pocketsphinx (BSD licence) carries its model inside its package and hears a small
language well over the telephone: the right sentence in 95 of 100 cases, digits in 82 to
97 of 100 ("six" is the weakest), at 2 % of a core while somebody speaks. A sentence that
is not of the grammar comes back with a low confidence, or empty. It takes dictation badly:
an utterance without a grammar is heard with a general language model, which has a fifth to
a half of the words wrong.

Decoding happens in a worker process while the caller speaks; `Recognition.finish`
waits only for the last pieces. Worker processes hold decoders of 5 MB each, and one
for dictation, of 100 MB, once it is needed.
"""

import asyncio
import importlib.util
import json
import logging
from collections.abc import Mapping
from pathlib import Path

from trunkline.errors import ConfigError, MissingDependencyError, TrunklineError, UsageError

from . import grammar as grammars
from .errors import RecognitionFailed
from .hints import setup_speech
from .interfaces import Grammar, Pcm, Transcript
from .lexicon import Lexicon
from .pipes import Kind
from .worker import Worker

__all__ = ["Sphinx", "SphinxRecognition", "find_model"]

_MODULE = "trunkline.speech.sphinx_worker"
_INSTALL = setup_speech()
_FINISH_SECONDS = 10.0
_CHECKED = 256

DICTATION = (
    "the embedded recogniser takes dictation badly over the telephone (a fifth to a half of "
    "the words are wrong); set speech.stt to a real one, or speech.phrases to what may be said"
)
"""What to expect where nobody says what callers may say."""
NO_DICTATION = (
    "the embedded recogniser understands nothing without a grammar, as dictation is off; set "
    "speech.stt to a real one, or speech.phrases to what may be said"
)

_log = logging.getLogger(__name__)


def find_model() -> Path:
    """The folder with the acoustic model and dictionary inside the package.

    Raises:
        MissingDependencyError: it is not installed; says what to run.
    """
    spec = importlib.util.find_spec("pocketsphinx")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder, "model", "en-us")
        if path.is_dir():
            return path
    raise MissingDependencyError(f"pocketsphinx is not installed; run: {_INSTALL}")


class Sphinx:
    """pocketsphinx in worker processes, for all calls of a node. Belongs to one loop."""

    name = "sphinx"

    def __init__(
        self,
        decoders: int = 4,
        processes: int = 1,
        pronunciations: Mapping[str, str] | None = None,
        model_path: str | Path | None = None,
        dictation: str = "general",
    ) -> None:
        """A recogniser; starts nothing yet.

        Args:
            decoders: utterances each process decodes as they are spoken, 5 MB each; more
                wait their turn, and are decoded within some 40 ms a second of audio.
            processes: worker processes; one keeps up with 50 callers who all speak.
            pronunciations: words the dictionary lacks, as ARPAbet phones:
                ``{"trunkline": "T R AH NG K L AY N"}``.
            model_path: a folder with ``en-us`` (acoustic model) and
                ``cmudict-en-us.dict``; None finds the installed package's.
            dictation: "general" hears an utterance without a grammar with a general
                language model, badly: see `DICTATION`. "off" gives it no text.

        Raises:
            MissingDependencyError: pocketsphinx is not installed.
            ConfigError: the model is not there or a pronunciation is ill-formed.
            UsageError: a number is not positive, or there is no such dictation.
        """
        if dictation not in ("general", "off"):
            raise UsageError(f'dictation is "general" or "off", not {dictation!r}')
        if decoders < 1 or processes < 1:
            raise UsageError("a recogniser needs at least one decoder and one process")
        if importlib.util.find_spec("pocketsphinx") is None:
            raise MissingDependencyError(f"pocketsphinx is not installed; run: {_INSTALL}")
        model = Path(model_path) if model_path else find_model()
        acoustic = model / "en-us"
        if not acoustic.is_dir():
            raise ConfigError(f"there is no acoustic model in {model}")
        self._lexicon = Lexicon(model / "cmudict-en-us.dict", pronunciations)
        self._workers = [Worker(_MODULE, (str(acoustic), str(decoders))) for _ in range(processes)]
        self.dictates = dictation == "general"
        """Whether utterances without a grammar have a text."""
        self._told = False
        self._opened = 0
        self._checked: dict[str, dict[str, list[str]]] = {}

    def check(self, grammar: Grammar) -> dict[str, list[str]]:
        """How the words of a grammar are said, having seen that it can be used.

        Raises:
            GrammarError: it is not well formed.
            UnknownWords: it has words without a pronunciation; names them.
        """
        if (known := self._checked.get(grammar.jsgf)) is not None:
            return known
        grammars.check(grammar)
        said = self._lexicon.pronounce(grammar.name, grammars.words(grammar))
        if len(self._checked) >= _CHECKED:
            self._checked.pop(next(iter(self._checked)))
        self._checked[grammar.jsgf] = said
        return said

    async def warm(self) -> None:
        """Start the processes and make them ready, so that the first call need not wait.

        Raises:
            MissingDependencyError: pocketsphinx cannot run here.
            SpeechError: a process did not start.
        """
        async with asyncio.TaskGroup() as tasks:
            for worker in self._workers:
                tasks.create_task(worker.ready())

    async def warm_dictation(self) -> str:
        """Make ready for utterances without a grammar; returns what to expect of them."""
        self._told = True
        if not self.dictates:
            return NO_DICTATION
        await self.warm()
        for worker in self._workers:
            request = worker.open(lambda kind, payload: None)
            worker.send(Kind.START, request, _asked("", {}, 8000, "", None))
            worker.send(Kind.CANCEL, request)
            worker.forget(request)
        return DICTATION

    def tell_of_dictation(self) -> None:
        """Say once what to expect of utterances without a grammar."""
        if not self._told:
            self._told = True
            _log.warning("%s", DICTATION if self.dictates else NO_DICTATION)

    def open(self, rate_hz: int) -> "SphinxRecognition":
        """One call's recogniser, for audio at 8000 to 48000 Hz."""
        if not 8000 <= rate_hz <= 48000:
            raise UsageError(f"a recogniser hears 8000 to 48000 Hz, not {rate_hz}")
        self._opened += 1
        return SphinxRecognition(self, self._workers[self._opened % len(self._workers)], rate_hz)

    async def aclose(self) -> None:
        """End the processes."""
        for worker in self._workers:
            await worker.aclose()
        self._lexicon.close()


class SphinxRecognition:
    """One call's recogniser. It keeps what it has learned of the call's channel."""

    def __init__(self, engine: Sphinx, worker: Worker, rate_hz: int) -> None:
        self._engine = engine
        self._worker = worker
        self._rate_hz = rate_hz
        self._mean = ""
        self._level: float | None = None
        self._request = 0
        self._samples = 0
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._error: TrunklineError | None = None
        self._closed = False
        self.dropped_samples = 0
        """Audio that found the pipe full and is missing from what was recognised."""

    def start(self, grammar: Grammar | None) -> None:
        """An utterance in this grammar begins; without one it is dictation.

        Raises:
            UsageError: the call's recogniser was closed.
            GrammarError: the grammar cannot be used.
            UnknownWords: it has words without a pronunciation.
        """
        if self._closed:
            raise UsageError("this recognition was closed")
        self.cancel()
        if grammar is None:
            self._engine.tell_of_dictation()
            if not self._engine.dictates:
                return
        words = self._engine.check(grammar) if grammar is not None else {}
        jsgf = grammar.jsgf if grammar is not None else ""
        asked = _asked(jsgf, words, self._rate_hz, self._mean, self._level)
        answer = asyncio.get_running_loop().create_future()
        self._answer = answer

        def hear(kind: int, payload: bytes) -> None:
            if not answer.done():
                answer.set_result((kind, payload))

        self._request = self._worker.open(hear)
        self._send(Kind.START, asked)

    def feed(self, pcm: Pcm) -> None:
        """More audio, any length. What finds the pipe full is dropped and counted."""
        self._samples += pcm.size
        data = pcm.astype("<i2", copy=False).tobytes()
        for at in range(0, len(data), 1 << 20):
            piece = data[at : at + (1 << 20)]
            if self._answer is None or self._answer.done() or self._error is not None:
                return  # nobody hears any more; `finish` tells why
            if not self._send(Kind.AUDIO, piece):
                self.dropped_samples += len(piece) // 2

    async def finish(self) -> Transcript:
        """The utterance's text.

        Raises:
            RecognitionFailed: the engine refused, died, or gave no answer.
            SpeechError: it died too often just now.
            MissingDependencyError: pocketsphinx cannot run here.
        """
        audio_ms = self._samples * 1000 // self._rate_hz
        request, answer = self._request, self._answer
        if not request or answer is None:
            self.cancel()
            return Transcript("", 0.0, True, audio_ms)
        if self._error is None and not answer.done():
            self._send(Kind.FINISH)
        error, self._request, self._samples, self._answer = self._error, 0, 0, None
        try:
            if error is not None:
                raise error
            async with asyncio.timeout(_FINISH_SECONDS):
                kind, payload = await answer
        except TimeoutError:
            self._worker.kill()
            raise RecognitionFailed(f"no text within {_FINISH_SECONDS:.0f} s") from None
        except asyncio.CancelledError:
            self._abandon(request)
            raise
        finally:
            self._worker.forget(request)
        return self._transcript(kind, payload, audio_ms)

    def cancel(self) -> None:
        """Drop the utterance, if there is one."""
        if self._request:
            self._abandon(self._request)
        self._request, self._samples, self._answer, self._error = 0, 0, None, None

    def close(self) -> None:
        """The call is over."""
        self.cancel()
        self._closed = True

    def _send(self, kind: Kind, payload: bytes = b"") -> bool:
        try:
            return self._worker.send(kind, self._request, payload)
        except TrunklineError as error:  # it is told by `finish`: nothing else may fail
            self._error = error
            return False

    def _abandon(self, request: int) -> None:
        self._worker.forget(request)
        if self._worker.running:
            self._worker.send(Kind.CANCEL, request)

    def _transcript(self, kind: int, payload: bytes, audio_ms: int) -> Transcript:
        if kind == Kind.DIED:
            raise RecognitionFailed("the recogniser's process died")
        if kind != Kind.RESULT:
            raise RecognitionFailed(payload.decode(errors="replace"))
        answer = json.loads(payload)
        if answer["text"] and answer["confidence"] >= 0.5:
            # Of speech it understood, not of a slammed door.
            self._mean, self._level = str(answer["mean"]), answer["level"]
        return Transcript(answer["text"], float(answer["confidence"]), True, audio_ms)


def _asked(
    jsgf: str, words: Mapping[str, list[str]], rate_hz: int, mean: str, level: float | None
) -> bytes:
    """What begins an utterance in the worker; no ``jsgf`` is dictation."""
    asked = {"jsgf": jsgf, "words": words, "mean": mean, "level": level, "rate_hz": rate_hz}
    return json.dumps(asked).encode()
