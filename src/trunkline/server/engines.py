"""The speech engines of a node: made on first use, shared by its calls."""

from collections.abc import Callable
from typing import Any, TypeVar

from trunkline.agent.agent import Host
from trunkline.calls.call import Call
from trunkline.errors import MissingDependencyError
from trunkline.settings import LLM, Settings
from trunkline.speech import LanguageModel, SpeechError, SpeechToText, TextToSpeech, create
from trunkline.speech.openai import Patience
from trunkline.speech.phrasebook import WithPhrases, grammar_of
from trunkline.speech.scripted import ScriptedModel

from .demo_script import SCRIPT

__all__ = ["SpeechEngines"]

T = TypeVar("T")


class SpeechEngines:
    """What a node's agents hear, think and speak with, as the settings name it.

    An engine that cannot be made (a package is missing) raises
    `MissingDependencyError`, with the command to run, when it is first asked for.

    Raises:
        PhraseError: ``speech.phrases`` has a malformed pattern.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        phrases = settings.speech.phrases
        self._grammar = grammar_of(phrases) if phrases else None
        self._made: dict[str, Any] = {}

    @property
    def llm(self) -> LanguageModel:
        """The language model: the configured endpoint, or the demo's script."""
        return self._once("llm", lambda: _make_llm(self._settings.llm))

    @property
    def stt(self) -> SpeechToText:
        """The recogniser."""
        return self._once("stt", self._make_stt)

    @property
    def tts(self) -> TextToSpeech:
        """The voice."""
        return self._once("tts", self._make_tts)

    def host(self, call: Call) -> Host:
        """What a call offers an agent; see ``agent.Hosted``."""
        return Host(
            llm=self.llm,
            stt=self.stt,
            tts=self.tts,
            hangup=call.hangup_soon,
            send_dtmf=call.send_dtmf_soon,
            transfer=call.transfer if call.can_transfer else None,
            observers=(call.tell,),
        )

    def make(self) -> None:
        """Make every engine now; cheap, nothing is started.

        Raises:
            MissingDependencyError: a package is missing; says what to run.
            TrunklineError: the settings name or describe an engine that cannot be.
        """
        _ = self.llm, self.stt, self.tts

    async def warm(self) -> list[str]:
        """Start what takes time to start, so that the first caller need not wait.

        Returns what is wrong with engines, one line each; calls are taken all the same.
        """
        problems = []
        for kind in ("stt", "tts", "llm"):
            try:
                problems += await self._warm(kind)
            except MissingDependencyError as error:
                problems.append(str(error))
            except SpeechError as error:
                problems.append(f"{_KINDS[kind]} cannot be used yet: {error}")
        return problems

    async def _warm(self, kind: str) -> list[str]:
        """Warm one engine; what is to be said of it."""
        engine = getattr(self, kind)
        for name in ("warm", "warm_up"):
            if (warm := getattr(engine, name, None)) is not None:
                await warm()
        # Only a language model on a server says nothing of what callers may say.
        dictation = getattr(engine, "warm_dictation", None)
        free = self._settings.llm.url and self._grammar is None
        return [await dictation()] if dictation is not None and free else []

    async def aclose(self) -> None:
        """Close every engine that was made."""
        made, self._made = self._made, {}
        for engine in made.values():
            close = getattr(engine, "aclose", None)
            if close is not None:
                await close()

    def _once(self, kind: str, make: Callable[[], T]) -> T:
        if kind not in self._made:
            self._made[kind] = make()
        made: T = self._made[kind]
        return made

    def _make_stt(self) -> SpeechToText:
        speech = self._settings.speech
        options = dict(speech.stt_options)
        if speech.stt_api_key:
            options["api_key"] = speech.stt_api_key.reveal()
        stt: SpeechToText = create("stt", speech.stt, **options)
        return WithPhrases(stt, self._grammar) if self._grammar is not None else stt

    def _make_tts(self) -> TextToSpeech:
        speech = self._settings.speech
        tts: TextToSpeech = create("tts", speech.tts, **speech.tts_options)
        return tts


_KINDS = {"stt": "the recogniser", "tts": "the voice", "llm": "the language model"}


def _make_llm(llm: LLM) -> LanguageModel:
    if not llm.url:
        return ScriptedModel(SCRIPT)
    seconds = llm.timeout_seconds
    model: LanguageModel = create(
        "llm",
        "openai",
        url=llm.url,
        model=llm.model or None,
        api_key=llm.api_key.reveal() or None,
        patience=Patience(
            connect_seconds=min(3.0, seconds),
            first_token_seconds=seconds,
            between_tokens_seconds=seconds,
            total_seconds=seconds,
        ),
    )
    return model
