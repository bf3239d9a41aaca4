"""A script that cannot work is refused before the first call."""

from dataclasses import replace
from typing import Any

import pytest

from trunkline.errors import UsageError
from trunkline.speech.phrases import Digits
from trunkline.speech.script import (
    HELP,
    REPEAT,
    Ask,
    Command,
    Option,
    Outcome,
    Repair,
    Script,
    ScriptError,
    State,
    Use,
)

ASK_CODE = {"code": Ask("Which code?", "[it is] {code}")}


def script(**states: State) -> Script:
    base = {
        "start": State("Hello.", hear=(Option("help me", "start"),)),
        "end": State("Goodbye.", end=True),
    }
    return Script(
        name="test",
        start="start",
        menu="start",
        lost="end",
        states={**base, **states},
        slots={"code": Digits(2)},
    )


def test_a_small_script_is_accepted() -> None:
    made = script(more=State(like="start", choices="Say: help me."), most=State(like="more"))
    assert [option.hear for option in made.options("most")] == ["help me"]
    assert made.choices("most") == "Say: help me."
    assert made.choices("start") == ""


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (State(go="nowhere"), "leads to 'nowhere'"),
        (State(like="nowhere"), "leads to 'nowhere'"),
        (State(hear=(Option("a", "nowhere"),)), "leads to 'nowhere'"),
        (State(use=Use("t", outcomes=(Outcome("", "nowhere"),))), "leads to 'nowhere'"),
        (State(hear=(Option("a (b", "start"),)), "')' is missing"),
        (State(hear=(Option("a", "start", also="[b]"),)), "matches silence"),
        (State(hear=(Option("my {name}", "start"),)), "no slot 'name'"),
        (State(ask={"name": Ask("Who?", "it is me")}), "needs 'name'"),
        (State(ask={"code": Ask("Which?", "it is me")}), "does not hear it"),
        (State(use=Use("t", slots=("name",))), "needs 'name'"),
        (State(confirm="Sure?"), "confirms"),
        (State(ask=ASK_CODE, confirm="Sure?"), "confirms"),
        (State(go="more"), "goes round"),
        (State(like="more"), "like itself"),
    ],
)
def test_what_cannot_work_is_told(state: State, told: str) -> None:
    with pytest.raises(ScriptError, match="cannot work") as caught:
        script(more=state)
    assert told in str(caught.value)
    assert isinstance(caught.value, UsageError)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ScriptError) as caught:
        script(one=State(go="nowhere"), two=State(hear=(Option("(", "start"),)))
    assert "nowhere" in str(caught.value)
    assert "'('" in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "two words"},
        {"start": "nowhere"},
        {"menu": "nowhere"},
        {"lost": "nowhere"},
        {"commands": (Command("a", "nowhere"),)},
        {"commands": (Command("(", HELP),)},
        {"repair": Repair(yes="(")},
        {"repair": Repair(short_no="[no]")},
    ],
)
def test_the_script_itself_is_checked_too(change: dict[str, Any]) -> None:
    with pytest.raises(ScriptError):
        replace(script(), **change)


def test_going_round_through_a_question_is_no_loop() -> None:
    made = script(
        one=State(ask=ASK_CODE, go="two"),
        two=State("Again.", go="one"),
    )
    assert made.states["two"].go == "one"


def test_commands_may_lead_to_what_is_built_in() -> None:
    made = replace(script(), commands=(Command("again please", REPEAT),))
    assert made.commands[0].go == REPEAT
