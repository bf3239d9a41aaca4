"""Conversations as tables: what happens, and what the agent then says or calls."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.speech.conversation import Conversation, Mode, Turn
from trunkline.speech.phrases import Digits, Words
from trunkline.speech.script import (
    HELP,
    REPEAT,
    RESUME,
    Ask,
    Command,
    Option,
    Outcome,
    Script,
    State,
    Use,
)

LONG = "We open at eight. We close at six. On Sundays we rest."
MENU = "What can I do?"
REST = f"We close at six. On Sundays we rest. {MENU}"
SCRIPT = Script(
    name="shop",
    start="start",
    menu="menu",
    lost="lost",
    slots={
        "day": Words({"Monday": "monday", "Friday": "friday"}),
        "time": Words({"10:00": "ten o'clock"}, say={"10:00": "ten o'clock"}),
        "code": Digits(3),
    },
    states={
        "start": State("Hello.", go="menu"),
        "menu": State(
            MENU,
            hear=(
                Option("opening hours", "hours", means="our opening hours"),
                Option("book [on {day}] [at {time}]", "book", means="to book"),
                Option("my code is {code} | check a code", "code"),
                Option("say thanks", "thanks"),
                Option("that is all", "bye", also="nothing"),
            ),
            choices="You can ask for our hours.",
        ),
        "hours": State(LONG, go="menu"),
        "thanks": State("You are welcome.", go="menu"),
        "book": State(
            ask={
                "day": Ask("Which day?", "[on] {day} [at {time}]", choices="Monday or Friday."),
                "time": Ask("What time?", "[at] {time}"),
            },
            confirm="{day} at {time}, right?",
            use=Use(
                "book",
                slots=("day", "time"),
                outcomes=(
                    Outcome("Booked for {day}.", "menu", when={"ok": "true"}),
                    Outcome("{day} is full.", "book", when={"ok": "false"}, forget=("day",)),
                ),
            ),
        ),
        "code": State(
            ask={"code": Ask("Which code?", "[it is] {code}")},
            use=Use(
                "check",
                slots=("code",),
                say="Let me see.",
                outcomes=(
                    Outcome("The check is down.", "menu", when={"error": "down"}),
                    Outcome("Code {code}: {result}{colour}.", "menu"),
                ),
            ),
        ),
        "lost": State("Please call again.", go="hang_up"),
        "bye": State("Goodbye.", go="hang_up"),
        "hang_up": State(use=Use("hang_up"), like="menu", end=True),
    },
    commands=(
        Command("repeat please", REPEAT, also="pardon"),
        Command("help me", HELP),
        Command("go on", RESUME),
        Command("goodbye then", "bye"),
    ),
)

Step = str | tuple[str, float] | dict[str, object] | int


def talk(*steps: Step) -> tuple[Conversation, Turn]:
    """A conversation after these steps, and its last turn.

    Text is said by the caller, (text, confidence) too; a mapping is a tool's result; a
    number is how many words were heard of the turn before; "" is a silence.
    """
    conversation = Conversation(SCRIPT)
    turn = conversation.begin()
    kept = False
    for step in steps:
        if isinstance(step, int):
            heard = " ".join(turn.text.split()[:step])
            conversation.keep(turn, heard, called=False)
            kept = True
            continue
        if not kept:
            conversation.keep(turn, turn.text, called=turn.call is not None)
        kept = False
        if isinstance(step, dict):
            turn = conversation.result(json.dumps(step), turn.call.id if turn.call else None)
        elif isinstance(step, tuple):
            turn = conversation.hear(*step)
        else:
            turn = conversation.hear(step) if step else conversation.silence()
    return conversation, turn


def says(*steps: Step) -> str:
    """What the agent says after these steps; a tool as ``[name arguments]``."""
    _, turn = talk(*steps)
    call = f" [{turn.call.name} {turn.call.arguments}]" if turn.call else ""
    return (turn.text + call).strip()


AGAIN = "Sorry, I did not catch that."
STILL = "I am sorry, I still did not understand."
BOOK_CALL = '[book {"day": "Monday", "time": "10:00"}]'


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        # The straight way
        ((), f"Hello. {MENU}"),
        (("opening hours",), f"{LONG} {MENU}"),
        (("er, the opening hours please",), f"{LONG} {MENU}"),
        (("book",), "Which day?"),
        (("book", "friday"), "What time?"),
        (("book", "friday", "at ten o'clock"), "Friday at ten o'clock, right?"),
        (("book on monday at ten o'clock",), "Monday at ten o'clock, right?"),
        (("book at ten o'clock", "on monday"), "Monday at ten o'clock, right?"),
        (("book", "on monday at ten o'clock"), "Monday at ten o'clock, right?"),
        (("nothing",), "Goodbye. [hang_up {}]"),
        # Confirming
        (("book on monday at ten o'clock", "yes please"), BOOK_CALL),
        (("book on monday at ten o'clock", "Yeah."), BOOK_CALL),
        (("book on monday at ten o'clock", "no thank you"), "Sorry about that. Which day?"),
        (("book on monday at ten o'clock", "no"), "Sorry about that. Which day?"),
        (
            ("book on monday at ten o'clock", "no thank you on friday"),
            "Friday at ten o'clock, right?",
        ),
        (("book on monday at ten o'clock", "no, Friday"), "Friday at ten o'clock, right?"),
        (
            ("book on monday at ten o'clock", "mumble"),
            f"{AGAIN} Monday at ten o'clock, right?",
        ),
        # Tools and their results
        (("check a code",), "Which code?"),
        (("my code is one two three",), 'Let me see. [check {"code": "123"}]'),
        (("check a code", "1 2 3"), 'Let me see. [check {"code": "123"}]'),
        (
            ("my code is one two three", {"colour": "blue"}),
            f"Code one, two, three: blue. {MENU}",
        ),
        (("my code is one two three", {"error": "down"}), f"The check is down. {MENU}"),
        (
            ("my code is one two three", {"error": "other"}),
            f"I am sorry, I cannot do that at the moment. {MENU}",
        ),
        (("book on monday at ten o'clock", "yes", {"ok": True}), f"Booked for Monday. {MENU}"),
        (("book on monday at ten o'clock", "yes", {"ok": False}), "Monday is full. Which day?"),
        (
            ("book on monday at ten o'clock", "yes", {"ok": False}, "friday"),
            "Friday at ten o'clock, right?",
        ),
        (("book on monday at ten o'clock", "yes", {"no": "outcome"}), MENU),
        (
            ("book on monday at ten o'clock", "yes", {"ok": True}, "book"),
            "Which day?",
        ),
        # Not understood: ask again, offer the choices, give up
        (("mumble",), f"{AGAIN} {MENU}"),
        (("",), f"Are you still there? {MENU}"),
        (("mumble", "mumble"), f"{STILL} You can ask for our hours. {MENU}"),
        (("mumble", "mumble", "mumble"), "Please call again. [hang_up {}]"),
        (("mumble", "opening hours", "mumble"), f"{AGAIN} {MENU}"),
        (("book", "mumble"), f"{AGAIN} Which day?"),
        (("book", "mumble", "mumble"), f"{STILL} Monday or Friday. Which day?"),
        (("", ""), "Please call again. [hang_up {}]"),
        (("", "mumble", ""), f"Are you still there? {MENU}"),
        # Understood with little certainty
        ((("opening hours", 0.9),), f"{LONG} {MENU}"),
        ((("opening hours", 0.3),), "Did you want our opening hours?"),
        ((("opening hours", 0.1),), f"{AGAIN} {MENU}"),
        ((("opening hours", 0.3), "yes please"), f"{LONG} {MENU}"),
        ((("opening hours", 0.3), "no"), f"Sorry about that. {MENU}"),
        ((("opening hours", 0.3), ("book", 0.3)), "Which day?"),
        ((("opening hours", 0.3), "mumble"), f"{AGAIN} Did you want our opening hours?"),
        ((("my code is one two three", 0.3),), "Did you say one, two, three?"),
        (
            (("my code is one two three", 0.3), "yes please"),
            'Let me see. [check {"code": "123"}]',
        ),
        (("check a code", ("it is one two three", 0.3)), "Did you say one, two, three?"),
        (
            ("check a code", ("it is one two three", 0.3), "no"),
            "Sorry about that. Which code?",
        ),
        (
            ("check a code", ("it is one two three", 0.3), "no, one two four"),
            'Let me see. [check {"code": "124"}]',
        ),
        # ... but not where it is confirmed anyway, means nothing to doubt, or is a command
        ((("book on monday at ten o'clock", 0.3),), "Monday at ten o'clock, right?"),
        ((("say thanks", 0.3),), f"You are welcome. {MENU}"),
        ((("repeat please", 0.3),), f"Hello. {MENU}"),
        (("book on monday at ten o'clock", ("yes please", 0.3)), BOOK_CALL),
        # Commands
        (("repeat please",), f"Hello. {MENU}"),
        (("mumble", "repeat please"), MENU),
        (("help me",), f"You can ask for our hours. {MENU}"),
        (("book", "help me"), "Monday or Friday. Which day?"),
        (("book", "goodbye then"), "Goodbye. [hang_up {}]"),
        # After the end
        (("that is all", "mumble"), ""),
        (("that is all", {"ok": True}), ""),
        (("that is all", ""), ""),
        (("that is all", "opening hours"), f"{LONG} {MENU}"),
    ],
)  # fmt: skip
def test_the_agent_says(steps: tuple[Step, ...], expected: str) -> None:
    assert says(*steps) == expected


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        # The caller broke in on "We open at eight. We close at six. On Sundays we rest. ..."
        (("opening hours", 6, "book"), "Which day?"),
        (("opening hours", 6, "repeat please"), f"I said: {REST}"),
        (("opening hours", 6, "pardon?"), f"I said: {REST}"),
        (("opening hours", 6, "go on"), f"As I was saying: {REST}"),
        (("opening hours", 6, "mhm"), f"As I was saying: {REST}"),
        (("opening hours", 4, "mhm"), f"As I was saying: {REST}"),
        (("opening hours", 6, "mhm", "opening hours"), f"{LONG} {MENU}"),
        # broke in again on what was resumed: that is no backchannel any more
        (("opening hours", 6, "mhm", 5, "mhm"), f"{AGAIN} {MENU}"),
        # heard nothing of it: it is said again, without a word about saying it again
        (("opening hours", 0, "mhm"), f"{LONG} {MENU}"),
        (("opening hours", 0, "repeat please"), f"I said: {LONG} {MENU}"),
        # heard all of it: nothing is resumed
        (("opening hours", 99, "repeat please"), f"{LONG} {MENU}"),
        (("opening hours", 99, "mhm"), f"{AGAIN} {MENU}"),
        # a yes to a question that was not heard is none
        (("book on monday at ten o'clock", 0, "yes"), "Monday at ten o'clock, right?"),
        (("book on monday at ten o'clock", 2, "yes"), BOOK_CALL),
        (("book on monday at ten o'clock", 0, "no"), "Monday at ten o'clock, right?"),
        # cut off within the lead of a repair prompt: the question itself was not heard
        (("mumble", 3, "repeat please"), f"I said: {MENU}"),
        # the tool was not called, because the caller broke in before
        (("my code is one two three", 2, "mhm"), 'Let me see. [check {"code": "123"}]'),
        (("my code is one two three", 2, "opening hours"), f"{LONG} {MENU}"),
    ],
)  # fmt: skip
def test_after_an_interruption_the_agent_says(steps: tuple[Step, ...], expected: str) -> None:
    assert says(*steps) == expected


def test_words_while_a_tool_works_do_not_call_it_twice() -> None:
    conversation, turn = talk("my code is one two three")
    conversation.keep(turn, turn.text, called=True)
    assert conversation.hear("mumble") == Turn("")
    assert turn.call is not None
    assert conversation.result('"blue"', turn.call.id).text.startswith("Code one, two, three: ")


def test_a_result_nobody_waits_for_is_passed_over() -> None:
    conversation, turn = talk("my code is one two three")
    assert conversation.result("{}", "call_99") == Turn("")
    assert conversation.result("{}", None) == Turn("")
    assert turn.call is not None
    assert conversation.result("green", turn.call.id).text.startswith(
        "Code one, two, three: green."
    )
    assert conversation.result("green", turn.call.id) == Turn("")


def test_without_its_tool_the_agent_apologises_and_goes_on() -> None:
    conversation, turn = talk("my code is one two three")
    said = conversation.without_tool(turn.text)
    assert said.text == f"Let me see. I am sorry, I cannot do that at the moment. {MENU}"
    assert conversation.hear("opening hours").text == f"{LONG} {MENU}"


def test_what_was_kept_shows_that_there_was_no_tool() -> None:
    conversation, turn = talk("my code is one two three")
    said = Conversation(SCRIPT)
    said.begin()
    text = said.without_tool(said.hear("my code is one two three").text).text
    conversation.keep(turn, text, called=False)
    assert conversation.mode is Mode.OPEN
    assert conversation.hear("mumble").text == f"{AGAIN} {MENU}"


def test_every_call_has_an_id_of_its_own() -> None:
    _, first = talk("my code is one two three")
    _, second = talk("my code is one two three", {"colour": "blue"}, "my code is one two four")
    assert first.call is not None and second.call is not None
    assert first.call.id != second.call.id


@pytest.mark.parametrize(
    "content",
    ["", "null", "[1, 2]", "{", '{"a": {"b": [1]}}', '{"a": null}', "[" * 100_000, '{"day": 5}'],
)
def test_any_result_is_survived(content: str) -> None:
    conversation, turn = talk("my code is one two three")
    assert turn.call is not None
    assert conversation.result(content, turn.call.id).text.endswith(MENU)


# What is listened for


def heard_in(*steps: Step) -> str:
    return talk(*steps)[0].grammar().jsgf


def test_a_grammar_has_the_states_options_the_commands_and_their_slots() -> None:
    assert heard_in() == (
        "#JSGF V1.0;\n"
        "grammar shop_menu_open;\n"
        "public <turn> = opening hours | book [on <day>] [at <time>] | "
        "(my code is <code> | check a code) | say thanks | that is all | repeat please | "
        "help me | go on | goodbye then;\n"
        "<code_digit> = zero | one | two | three | four | five | six | seven | eight | nine;\n"
        "<code> = <code_digit> <code_digit> <code_digit>;\n"
        "<day> = monday | friday;\n"
        "<time> = ten o'clock;\n"
    )


def test_where_a_slot_is_asked_for_only_its_answers_and_commands_are_heard() -> None:
    grammar = heard_in("book")
    assert "public <turn> = [on] <day> [at <time>] | repeat please |" in grammar
    assert "opening hours" not in grammar


def test_where_something_is_confirmed_yes_and_no_are_heard_and_corrections() -> None:
    grammar = heard_in("book on monday at ten o'clock")
    assert "yes please" in grammar
    assert "(no thank you | no that is wrong | that is wrong) [on] <day> [at <time>]" in grammar
    assert "yeah" not in grammar


def test_a_doubt_hears_yes_and_no_and_the_options_it_stands_among() -> None:
    grammar = heard_in(("opening hours", 0.3))
    assert "yes please" in grammar
    assert "book" in grammar


def test_each_place_has_a_name_of_its_own() -> None:
    places: list[tuple[Step, ...]] = [
        (),
        ("book",),
        ("book", "monday"),
        ("book on monday at ten o'clock",),
        (("opening hours", 0.3),),
        ("check a code",),
        ("check a code", ("it is one two three", 0.3)),
        ("my code is one two three",),
        ("that is all",),
    ]
    grammars = [talk(*steps)[0].grammar() for steps in places]
    assert len({grammar.name for grammar in grammars}) == len(places)
    assert all(f"grammar {grammar.name};" in grammar.jsgf for grammar in grammars)


STEPS = st.one_of(
    st.sampled_from(
        ["opening hours", "book", "on monday", "at ten o'clock", "yes", "no", "mumble", "",
         "repeat please", "help me", "my code is one two three", "that is all", "go on"]
    ),
    st.tuples(st.sampled_from(["opening hours", "book", "it is one two three"]), st.floats(0, 1)),
    st.integers(0, 20),
    st.sampled_from([{"ok": True}, {"ok": False}, {"error": "x"}, {}]),
)  # fmt: skip


@given(st.lists(STEPS, max_size=12))
def test_no_conversation_goes_astray(steps: list[Step]) -> None:
    conversation, turn = talk(*steps)
    assert "{" not in turn.text
    assert conversation.grammar().jsgf.count("public <turn> = ") == 1
    assert conversation.grammar().name in conversation.grammar().jsgf


def test_a_state_that_confirms_and_has_no_tool_just_goes_on() -> None:
    book = replace(SCRIPT.states["book"], use=None, say="Noted: {day}.", go="menu")
    conversation = Conversation(replace(SCRIPT, states={**SCRIPT.states, "book": book}))
    conversation.begin()
    conversation.hear("book on monday at ten o'clock")
    assert conversation.hear("yes").text == f"Noted: Monday. {MENU}"
