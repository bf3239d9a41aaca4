"""Who answers where no application says otherwise."""

import asyncio
from collections.abc import Sequence

import pytest

from trunkline.agent.turns import TurnSettings
from trunkline.server.default_board import SHOP_HINTS, about, default_board, turn_settings
from trunkline.server.demo_script import SCRIPT
from trunkline.settings import load
from trunkline.speech import Finished, Message, TextDelta
from trunkline.speech.scripted import ScriptedModel


def settings(**flags: object):
    return load(flags={key.replace("__", "."): value for key, value in flags.items()}).settings


def replied(messages: Sequence[Message]) -> str:
    async def run() -> str:
        said = ""
        async for piece in ScriptedModel(SCRIPT).reply(messages, []):
            if isinstance(piece, TextDelta):
                said += piece.text
            else:
                assert isinstance(piece, Finished)
        return said

    return asyncio.run(run())


@pytest.mark.parametrize("hint", SHOP_HINTS)
def test_everything_the_page_suggests_is_understood(hint: str) -> None:
    greeting = Message("assistant", "Copper Street Cycles, good morning. What can I do for you?")
    talked = [greeting]
    if "ticket" in hint:
        talked += [
            Message("user", "is my bicycle ready", confidence=1.0),
            Message("assistant", "What is your ticket number, please?"),
        ]
    said = replied([*talked, Message("user", hint, confidence=1.0)])
    assert "catch" not in said
    assert "understand" not in said
    assert said


def test_the_page_knows_who_answers() -> None:
    shop = about(settings())
    assert shop.hints == SHOP_HINTS
    assert shop.phone("127.0.0.1", 5060) == "sip:shop@127.0.0.1:5060"
    assert shop.phone("127.0.0.1", 0) == ""
    model = about(settings(llm__url="http://127.0.0.1:9", speech__phrases=["yes"]))
    assert (model.agent, model.hints, model.user) == ("", ("yes",), "agent")
    assert about(settings(llm__url="http://127.0.0.1:9"), shop=True).user == "shop"


def test_every_number_is_answered_and_one_of_them_echoes() -> None:
    board = default_board(settings())
    echo, agent = board.find("echo"), board.find("+15550100@example.com")
    assert echo is not None
    assert agent is not None
    assert (echo.name, agent.name) == ("echo", "agent_app")


def test_turns_are_as_configured() -> None:
    made = turn_settings(settings(agent__turns__silence_ms=700, agent__turns__threshold=0.2)
                         .agent.turns)  # fmt: skip
    assert made.silence_ms == 700
    assert made.release <= made.threshold == 0.2
    assert turn_settings(settings().agent.turns).idle_ms == 15_000
    assert isinstance(made, TurnSettings)
