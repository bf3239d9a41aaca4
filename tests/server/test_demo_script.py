"""The demo's two speakers get through their call, and back on course when misheard."""

import asyncio
import random
import re

import pytest

from trunkline.agent.tools import Toolbox
from trunkline.server.demo_script import CALLER, SCRIPT, Caller, Saying, Shop, shortcomings
from trunkline.speech.interfaces import Message, TextDelta, ToolCall
from trunkline.speech.scripted import ScriptedModel


def hang_up() -> str:
    """End the call."""
    return "ok"


class Misheard:
    """What a recogniser makes of an utterance: by default exactly it."""

    def __call__(self, text: str) -> tuple[str, float]:
        return text, 0.95


class SometimesMisheard(Misheard):
    """One utterance in five is not understood, one in five with little certainty."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def __call__(self, text: str) -> tuple[str, float]:
        luck = self._random.random()
        return ("", 0.0) if luck < 0.2 else (text, 0.35 if luck < 0.4 else 0.9)


async def call(hearing: Misheard) -> list[Message]:
    """The whole call as text; the caller breaks in where the cues say so."""
    model, caller = ScriptedModel(SCRIPT), Caller()
    toolbox = Toolbox([*Shop().tools, hang_up])
    messages: list[Message] = [Message("system", "You are a shop.")]
    for _ in range(40):
        said = await reply(model, toolbox, messages)
        saying = caller.answer(said)
        if saying is None:
            return messages
        if saying.breaks_in_after_words:
            heard = " ".join(messages[-1].content.split()[: saying.breaks_in_after_words])
            messages[-1] = Message("assistant", heard + "—")
        text, confidence = hearing(saying.text)
        messages.append(Message("user", text, confidence=confidence))
    raise AssertionError("the call has no end")


async def reply(model: ScriptedModel, toolbox: Toolbox, messages: list[Message]) -> str:
    said = ""
    while True:
        pieces = [piece async for piece in model.reply(messages, toolbox.specs)]
        text = "".join(piece.text for piece in pieces if isinstance(piece, TextDelta))
        calls = tuple(piece for piece in pieces if isinstance(piece, ToolCall))
        messages.append(Message("assistant", text, calls))
        said += " " + text
        if not calls:
            return said
        messages += await asyncio.gather(*map(toolbox.call, calls))


def test_the_call_goes_as_it_should() -> None:
    messages = asyncio.run(call(Misheard()))
    assert shortcomings(messages) == []
    assert [message.content for message in messages if message.role == "user"] == [
        "what are your opening hours",
        "hold on please is my bicycle ready",
        "my ticket number is nine three two zero",
        "i would like to book a repair",
        "on saturday please",
        "at eleven o'clock please",
        "yes please",
        "no thank you that is everything",
    ]


def test_the_caller_who_is_misheard_nearly_always_gets_there() -> None:
    good = sum(shortcomings(asyncio.run(call(SometimesMisheard(seed)))) == [] for seed in range(40))
    assert good >= 30


def test_the_agent_is_long_enough_about_its_hours_to_be_interrupted() -> None:
    hours = SCRIPT.states["hours"].say
    cue = next(cue for cue in CALLER if cue.breaks_in_after_words)
    assert cue.breaks_in_after_words < len(hours.split()) / 2
    assert re.search(cue.after, hours)


@pytest.mark.parametrize(
    ("agent", "caller"),
    [
        (
            "Copper Street Cycles, good morning. What can I do for you?",
            Saying("what are your opening hours"),
        ),
        ("Thank you for calling. Goodbye.", None),
        ("Well.", None),
        ("A repair on Saturday at eleven o'clock. Is that right?", Saying("yes please")),
        ("A repair on Monday at eleven o'clock. Is that right?", Saying("no thank you")),
        ("Did you say nine, three, two, zero?", Saying("yes please")),
        ("Did you say nine, three, two, two?", Saying("no thank you")),
    ],
)
def test_the_caller_answers_what_was_asked(agent: str, caller: Saying | None) -> None:
    assert Caller().answer(agent) == caller


def test_a_caller_not_understood_says_it_more_plainly() -> None:
    caller = Caller()
    caller.answer("What is your ticket number, please?")
    said = caller.answer("Sorry, I did not catch that. What is your ticket number, please?")
    assert said == Saying("nine three two zero")


def test_what_went_wrong_is_told() -> None:
    hours = [Message("assistant", SCRIPT.states["hours"].say)]
    assert "the opening hours were not told" not in shortcomings(hours)
    assert "nothing was booked" in shortcomings(hours)
    assert len(shortcomings([])) == 5


def test_the_shop_keeps_its_books() -> None:
    shop = Shop()
    assert shop.repair_status("9320")["status"] == "ready"
    assert shop.repair_status("0000") == {"status": "unknown"}
    assert shop.book_repair("Friday", "10:00") == {"booked": True}
    assert shop.book_repair("Friday", "10:00") == {"booked": False}
    assert Shop().book_repair("Friday", "10:00") == {"booked": True}


def test_everything_the_caller_says_is_in_the_grammar_where_it_is_said() -> None:
    messages = asyncio.run(call(Misheard()))
    model = ScriptedModel(SCRIPT)
    for index, message in enumerate(messages):
        if message.role == "user":
            grammar = model.expects(messages[:index]).jsgf
            words = set(re.findall(r"[a-z']+", grammar))
            assert set(message.content.split()) <= words


def test_the_recogniser_knows_every_word_of_every_grammar() -> None:
    pocketsphinx = pytest.importorskip("pocketsphinx")
    decoder = pocketsphinx.Decoder(lm=None, loglevel="FATAL")
    messages = asyncio.run(call(Misheard()))
    model = ScriptedModel(SCRIPT)
    grammars = {model.expects(messages[:end]).jsgf for end in range(len(messages) + 1)}
    words = {
        word
        for grammar in grammars
        for line in grammar.splitlines()[2:]
        for word in re.findall(r"(?<![<\w])[a-z']+(?![\w>])", line.partition("=")[2])
    }
    assert len(words) > 40
    assert [word for word in sorted(words) if decoder.lookup_word(word) is None] == []
