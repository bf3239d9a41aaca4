"""One pattern finds its words in text and writes its grammar."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import UsageError
from trunkline.speech.phrases import MAX_WORDS, Digits, Phrase, PhraseError, Slot, Words, words_of

SLOTS: dict[str, Slot] = {
    "day": Words({"Monday": "monday", "Tuesday": "tuesday | the day after monday"}),
    "time": Words(
        {"10:00": "ten o'clock [sharp]", "14:00": "two o'clock"}, say={"10:00": "ten o'clock"}
    ),
    "ticket": Digits(4),
}


def find(pattern: str, text: str) -> tuple[int, bool, dict[str, str]] | None:
    match = Phrase(pattern, SLOTS).find(words_of(text))
    return (match.words, match.whole, dict(match.slots)) if match else None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Is it ready?", ("is", "it", "ready")),
        ("Ten o’clock, PLEASE!", ("ten", "o'clock", "please")),
        ("4711 — or_so...", ("4711", "or", "so")),
        ("  ", ()),
        ("äß ñ 東京", ("äß", "ñ", "東京")),
        ("'quoted'", ("quoted",)),
    ],
)
def test_words_are_lower_case_and_bare(text: str, words: tuple[str, ...]) -> None:
    assert words_of(text) == words


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("book a repair", "Book a repair.", (3, True, {})),
        ("book a repair", "I want to book a repair now", (3, False, {})),
        ("book a repair", "book repair", None),
        ("[please] book", "please book", (2, True, {})),
        ("[please] book", "book", (1, True, {})),
        ("a (b | c d) e", "a c d e", (4, True, {})),
        ("a (b | c d) e", "a b c", None),
        ("yes | no thanks", "no thanks", (2, True, {})),
        ("a [b [c]] d", "a b c d", (4, True, {})),
        ("a [b [c]] d", "a d", (2, True, {})),
        ("on {day}", "on Monday", (2, True, {"day": "Monday"})),
        ("[on] {day}", "Tuesday works", (1, False, {"day": "Tuesday"})),
        ("{day}", "the day after monday", (4, True, {"day": "Tuesday"})),
        ("book [on {day}] [at {time}]", "book at ten o'clock", (4, True, {"time": "10:00"})),
        (
            "book [on {day}] [at {time}]",
            "book on monday at ten o'clock sharp",
            (7, True, {"day": "Monday", "time": "10:00"}),
        ),
        ("at {time}", "at 10 o'clock", (3, True, {"time": "10:00"})),
        ("it is {ticket}", "It is 4711.", (3, True, {"ticket": "4711"})),
        ("it is {ticket}", "it is four seven one one", (6, True, {"ticket": "4711"})),
        ("it is {ticket}", "it is 47 oh 1", (5, True, {"ticket": "4701"})),
        ("it is {ticket}", "it is four seven one", None),
        ("{ticket}", "four seven one one two", (4, False, {"ticket": "4711"})),
        ("a", "", None),
    ],
)
def test_finds_the_longest_place_and_its_slots(
    pattern: str, text: str, found: tuple[int, bool, dict[str, str]] | None
) -> None:
    assert find(pattern, text) == found


@pytest.mark.parametrize(
    "pattern",
    ["", "  ", "(", "a (b", "a b)", "[a", "a]", "a |", "| a", "a || b", "()", "[a]", "[a] [b]",
     "{", "{day", "{nobody}", "a, b", "a (b]", "[a | ]"],
)  # fmt: skip
def test_malformed_patterns_are_refused(pattern: str) -> None:
    with pytest.raises(PhraseError) as caught:
        Phrase(pattern, SLOTS)
    assert isinstance(caught.value, UsageError)
    assert repr(pattern) in str(caught.value)


def test_a_phrase_knows_its_slots() -> None:
    assert Phrase("book [on {day}] [at {time}]", SLOTS).slots == {"day", "time"}


@pytest.mark.parametrize(
    ("pattern", "jsgf"),
    [
        ("Book a repair", "book a repair"),
        ("[please] book | go", "([please] book | go)"),
        ("a (b | c d) e", "a (b | c d) e"),
        ("[on] {day}", "[on] <day>"),
        ("[a | b] c", "[a | b] c"),
        ("(a) b", "a b"),
    ],
)
def test_a_pattern_becomes_jsgf(pattern: str, jsgf: str) -> None:
    assert Phrase(pattern, SLOTS).jsgf() == jsgf


def test_slots_become_rules() -> None:
    assert SLOTS["day"].jsgf("day") == "<day> = monday | (tuesday | the day after monday);"
    rules = SLOTS["ticket"].jsgf("ticket")
    assert "<ticket> = <ticket_digit> <ticket_digit> <ticket_digit> <ticket_digit>;" in rules
    assert re.findall("oh", rules) == []


def test_values_are_spoken() -> None:
    assert SLOTS["day"].spoken("Monday") == "Monday"
    assert SLOTS["time"].spoken("10:00") == "ten o'clock"
    assert SLOTS["ticket"].spoken("4701") == "four, seven, zero, one"
    assert SLOTS["ticket"].spoken("4x") == "four, x"


@pytest.mark.parametrize("length", [0, -1, 21])
def test_a_digit_slot_has_a_sensible_length(length: int) -> None:
    with pytest.raises(PhraseError):
        Digits(length)


def test_only_the_beginning_of_a_long_speech_is_looked_at() -> None:
    assert find("book", "word " * (MAX_WORDS - 1) + "book") is not None
    assert find("book", "word " * MAX_WORDS + "book") is None


PATTERNS = [
    "a [b] c",
    "(a | b) [c]",
    "{ticket} [please]",
    "on {day} | {day} at {time}",
    "a a [a] a",
]


@pytest.mark.parametrize("pattern", PATTERNS)
@given(text=st.text(max_size=200))
def test_any_text_is_matched_or_not(pattern: str, text: str) -> None:
    match = Phrase(pattern, SLOTS).find(words_of(text))
    assert match is None or 0 < match.words <= len(words_of(text))


@given(st.from_regex(r"[0-9]{4}", fullmatch=True))
def test_digits_are_heard_as_they_are_spoken(value: str) -> None:
    spoken = SLOTS["ticket"].spoken(value)
    assert find("{ticket}", spoken) == (4, True, {"ticket": value})
