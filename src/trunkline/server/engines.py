"""The speech engines of a node: made on first use, shared by its calls."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from trunkline.agent.agent import Agent, Host
from trunkline.agent.turns import TurnSettings
from trunkline.calls.apps import echo
from trunkline.calls.call import Call
from trunkline.calls.switchboard import Switchboard
from trunkline.settings import Settings, Turns
from trunkline.speech import LanguageModel, SpeechToText, TextToSpeech, create
from trunkline.speech.scripted import ScriptedModel

from .demo_script import INSTRUCTIONS, SCRIPT, Shop

__all__ = ["SpeechEngines", "default_board", "turn_settings"]

log = logging.getLogger(__name__)


class SpeechEngines:
    """What a node's agents hear, think and speak with, as the settings name it.

    An engine that cannot be made (a package is missing) raises
    `MissingDependencyError`, with the command to run, when it is first asked for.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._made: dict[str, Any] = {}

    @property
    def llm(self) -> LanguageModel:
        """The language model: the configured endpoint, or the demo's script."""
        return self._once("llm", self._make_llm)

    @property
    def stt(self) -> SpeechToText:
        """The recogniser."""
        speech = self._settings.speech
        return self._once("stt", lambda: create("stt", speech.stt, **speech.stt_options))

    @property
    def tts(self) -> TextToSpeech:
        """The voice."""
        speech = self._settings.speech
        return self._once("tts", lambda: create("tts", speech.tts, **speech.tts_options))

    def host(self, call: Call) -> Host:
        """What a call offers an agent; see ``agent.Hosted``."""
        return Host(
            llm=self.llm,
            stt=self.stt,
            tts=self.tts,
            hangup=call.hangup_soon,
            send_dtmf=call.send_dtmf_soon,
            observers=(call.tell,),
        )

    async def warm(self) -> None:
        """Start what takes time to start, so that the first caller need not wait."""
        for engine in (self.stt, self.tts):
            warm = getattr(engine, "warm", None)
            if warm is not None:
                await warm()

    async def aclose(self) -> None:
        """Close every engine that was made."""
        made, self._made = self._made, {}
        for engine in made.values():
            close = getattr(engine, "aclose", None)
            if close is not None:
                await close()

    def _once(self, kind: str, make: Callable[[], Any]) -> Any:
        if kind not in self._made:
            self._made[kind] = make()
        return self._made[kind]

    def _make_llm(self) -> LanguageModel:
        llm = self._settings.llm
        if not llm.url:
            return ScriptedModel(SCRIPT)
        model: LanguageModel = create(
            "llm",
            "openai",
            url=llm.url,
            model=llm.model or None,
            api_key=llm.api_key.reveal() or None,
        )
        return model


def turn_settings(turns: Turns) -> TurnSettings:
    """The configured turn-taking as the agent takes it."""
    return TurnSettings(
        threshold=turns.threshold,
        release=min(0.35, turns.threshold),
        speech_ms=turns.speech_ms,
        silence_ms=turns.silence_ms,
        barge_in=turns.barge_in,
        barge_in_ms=turns.barge_in_ms,
        max_turn_ms=turns.max_turn_ms,
        idle_ms=turns.idle_ms,
    )


def default_board(settings: Settings, tools: Sequence[Callable[..., object]] = ()) -> Switchboard:
    """A switchboard whose agent answers every call, as the settings describe it.

    Without a language model it is the bicycle shop of the demo.
    """
    scripted = not settings.llm.url
    agent = Agent(
        INSTRUCTIONS if scripted else settings.agent.instructions,
        tools=(*Shop().tools, *tools) if scripted else tools,
        greeting=settings.agent.greeting or None,
        turns=turn_settings(settings.agent.turns),
    )
    board = Switchboard()

    board.answer("echo")(echo)

    @board.answer("*")
    async def agent_app(call: Call) -> None:
        await agent.talk(call)

    return board
