"""What a node hears, thinks and speaks with, as its settings say."""

import asyncio
from typing import Any

import pytest

from trunkline.errors import ConfigError, MissingDependencyError
from trunkline.server.engines import SpeechEngines
from trunkline.settings import load
from trunkline.speech import Message, RecognitionFailed, register, registry
from trunkline.speech.openai import OpenAIModel
from trunkline.speech.phrases import PhraseError
from trunkline.speech.scripted import ScriptedModel


class Engine:
    """Whatever is asked for."""

    name = "made"
    rate_hz = 8000

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.log: list[str] = []
        self.error: Exception | None = None

    async def warm(self) -> None:
        self.log.append("warm")
        if self.error is not None:
            raise self.error

    async def aclose(self) -> None:
        self.log.append("closed")


class Dictating(Engine):
    async def warm_dictation(self) -> str:
        self.log.append("dictation")
        return "hears badly"


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})
    register("stt", "made", Engine)
    register("stt", "dictating", Dictating)
    register("tts", "made", Engine)


def engines(**flags: object) -> SpeechEngines:
    dotted = {"speech.stt": "made", "speech.tts": "made"}
    dotted |= {key.replace("__", "."): value for key, value in flags.items()}
    return SpeechEngines(load(flags=dotted).settings)


def test_engines_are_made_once_with_their_options_and_closed() -> None:
    async def run() -> None:
        own = engines(speech__stt_options={"speed": 2}, speech__stt_api_key="sk")
        own.make()
        stt: Any = own.stt
        assert own.stt is stt
        assert stt.options == {"speed": 2, "api_key": "sk"}
        assert isinstance(own.llm, ScriptedModel)
        assert await own.warm() == []
        await own.aclose()
        await own.aclose()
        assert stt.log == ["warm", "closed"]

    asyncio.run(run())


def test_a_model_on_a_server_is_as_patient_as_the_settings_say() -> None:
    own = engines(llm__url="http://127.0.0.1:9", llm__timeout_seconds=2.5, llm__api_key="sk-x")
    model = own.llm
    assert isinstance(model, OpenAIModel)
    assert model.model is None  # the first one the server lists
    patience = model._patience
    assert patience.connect_seconds == 2.5
    assert patience.first_token_seconds == patience.between_tokens_seconds == 2.5
    assert patience.total_seconds == 2.5
    assert "sk-x" not in repr(model)


def test_what_cannot_be_used_yet_is_told_in_one_line_and_the_rest_is_warmed() -> None:
    async def run() -> None:
        own = engines(llm__url="http://127.0.0.1:9", llm__timeout_seconds=1)
        stt: Any = own.stt
        stt.error = RecognitionFailed("no server")
        tts: Any = own.tts
        tts.error = MissingDependencyError("run: pip install it")
        problems = await own.warm()
        assert problems[:2] == ["the recogniser cannot be used yet: no server",
                                "run: pip install it"]  # fmt: skip
        assert problems[2].startswith("the language model cannot be used yet: cannot connect")
        assert len(problems) == 3
        assert not any("\n" in problem for problem in problems)
        await own.aclose()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({}, []),  # the script says what may be said
        ({"speech__phrases": ["yes | no"], "llm__url": "http://127.0.0.1:9"}, []),
        ({"llm__url": "http://127.0.0.1:9"}, ["hears badly"]),
    ],
)
def test_dictation_is_prepared_where_nobody_says_what_may_be_said(
    flags: dict[str, object], said: list[str]
) -> None:
    async def run() -> None:
        own = engines(speech__stt="dictating", llm__timeout_seconds=1, **flags)
        told = [one for one in await own.warm() if "language model" not in one]
        assert told == said
        await own.aclose()

    asyncio.run(run())


def test_phrases_are_what_the_recogniser_expects() -> None:
    own = engines(speech__phrases=["yes", "no"])
    assert own.stt.name == "made"
    assert "public <turn> = yes | no;" in own._grammar.jsgf  # type: ignore[union-attr]
    with pytest.raises(PhraseError, match=r"\(yes"):
        engines(speech__phrases=["(yes"])


def test_the_script_expects_by_itself() -> None:
    assert engines().llm.expects([Message("system", "x")]) is not None


def test_a_recogniser_on_a_server_needs_its_address() -> None:
    with pytest.raises(ConfigError, match=r"speech\.stt_options\.url"):
        engines(speech__stt="openai").make()
