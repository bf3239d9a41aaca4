"""Phrases where the dialogue has no grammar."""

import asyncio

import numpy as np
import pytest

from trunkline.speech import Grammar, Pcm, Transcript, UnknownWords, create
from trunkline.speech.grammar import check, words
from trunkline.speech.phrasebook import WithPhrases, grammar_of
from trunkline.speech.phrases import PhraseError

from .telephone import said


class Recognition:
    def __init__(self) -> None:
        self.log: list[object] = []

    def start(self, grammar: Grammar | None) -> None:
        self.log.append(grammar)

    def feed(self, pcm: Pcm) -> None:
        self.log.append(pcm.size)

    async def finish(self) -> Transcript:
        return Transcript("yes", 1.0, True, 0)

    def cancel(self) -> None:
        self.log.append("cancel")

    def close(self) -> None:
        self.log.append("close")


class Engine:
    name = "plain"

    def __init__(self) -> None:
        self.recognition = Recognition()
        self.closed = False

    def open(self, rate_hz: int) -> Recognition:
        return self.recognition

    async def aclose(self) -> None:
        self.closed = True


def test_phrases_become_one_grammar() -> None:
    made = grammar_of(["yes | no", "[please] call (me | us) back", "yes | no"])
    check(made)
    assert set(words(made)) == {"yes", "no", "please", "call", "me", "us", "back"}
    assert made.jsgf.count("yes") == 1
    assert made.name == "phrases"


@pytest.mark.parametrize("patterns", [[], ["yes |"], ["(yes"], ["what is {day}"], ["[please]"]])
def test_what_is_no_pattern_is_refused(patterns: list[str]) -> None:
    with pytest.raises(PhraseError):
        grammar_of(patterns)


def test_they_are_expected_where_nothing_else_is() -> None:
    engine, grammar, other = Engine(), grammar_of(["yes"]), Grammar("#JSGF V1.0;", "other")
    stt = WithPhrases(engine, grammar)
    assert stt.name == "plain"
    recognition = stt.open(8000)
    recognition.start(None)
    recognition.feed(np.zeros(160, np.int16))
    recognition.start(other)
    recognition.cancel()
    recognition.close()
    assert engine.recognition.log == [grammar, 160, other, "cancel", "close"]

    async def rest() -> None:
        assert (await recognition.finish()).text == "yes"
        await stt.warm()  # it has nothing to start
        await stt.aclose()

    asyncio.run(rest())
    assert engine.closed


@pytest.mark.needs("sphinx")
def test_words_nobody_can_say_are_named_at_once() -> None:
    stt = create("stt", "sphinx")
    with pytest.raises(UnknownWords, match="xyzzyx"):
        WithPhrases(stt, grammar_of(["say xyzzyx"]))


@pytest.mark.needs("sphinx", "flite")
def test_a_small_recogniser_hears_them() -> None:
    (line,) = said(["please call me back"], voice="kal16")

    async def run() -> str:
        stt = WithPhrases(create("stt", "sphinx"), grammar_of(["[please] call (me | us) back"]))
        await stt.warm()
        recognition = stt.open(8000)
        recognition.start(None)
        recognition.feed(line)
        text = (await recognition.finish()).text
        recognition.close()
        await stt.aclose()
        return text

    assert asyncio.run(run()) == "please call me back"
