import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.speech import Grammar, GrammarError
from trunkline.speech.grammar import check, grammar, one_of, optional, read, slot, words

DAY = slot("day", {"monday": "mon", "tuesday": "tue"})
HOUR = slot("hour", ["nine", "ten o'clock"])
WHEN = grammar("when", f"[on] {DAY} {optional(f'at {HOUR}')}")


def jsgf(body: str) -> Grammar:
    return Grammar(f"#JSGF V1.0;\ngrammar g;\n{body}", "g")


class TestReading:
    @pytest.mark.parametrize(
        ("text", "slots"),
        [
            ("monday", {"day": "mon"}),
            ("on tuesday at ten o'clock", {"day": "tue", "hour": "ten o'clock"}),
            ("On Monday at NINE", {"day": "mon", "hour": "nine"}),
        ],
    )
    def test_a_sentence_gives_its_slots(self, text: str, slots: dict[str, str]) -> None:
        assert read(WHEN, text) == slots

    @pytest.mark.parametrize("text", ["", "on", "monday at", "monday tuesday", "on on monday"])
    def test_what_the_grammar_does_not_allow_is_none(self, text: str) -> None:
        assert read(WHEN, text) is None

    def test_a_sentence_without_slots_gives_none_of_them(self) -> None:
        assert read(grammar("yes", "yes [please]"), "yes please") == {}

    def test_the_first_way_that_reads_the_whole_sentence_wins(self) -> None:
        made = grammar("g", "(one) {n=short} two | (one two) {n=long}", "one")
        assert read(made, "one two") == {"n": "short"}
        assert read(made, "one") == {}

    def test_a_tag_without_a_value_carries_the_words(self) -> None:
        assert read(jsgf("public <g> = call (john | mary ann) {who};"), "call mary ann") == {
            "who": "mary ann"
        }

    def test_rules_weights_and_repetitions_are_followed(self) -> None:
        digits = grammar("digits", "/0.5/ <d>+ | /2/ none <x>*", d="oh | one | two", x="at all")
        assert read(digits, "one oh two") == {}
        assert read(digits, "none at all at all") == {}
        assert read(digits, "none") == {}
        assert read(digits, "at all") is None

    def test_null_is_nothing(self) -> None:
        assert read(jsgf("public <g> = yes (please | <NULL>);"), "yes") == {}

    def test_a_very_long_text_is_not_even_tried(self) -> None:
        assert read(grammar("g", "<a>+", a="yes | yes yes"), "yes " * 5000) is None

    def test_a_repetition_of_nothing_ends(self) -> None:
        assert read(jsgf("public <g> = [a]* [b]+;"), "a b") == {}
        assert read(jsgf("public <g> = [a]* [b]+;"), "c") is None


class TestBuilding:
    def test_a_grammar_is_jsgf_text(self) -> None:
        made = grammar("menu", one_of("hours", "repair"), "call <who>", who="john | mary")
        assert made.name == "menu"
        assert made.jsgf.splitlines() == [
            "#JSGF V1.0;",
            "grammar menu;",
            "public <menu> = (hours | repair) | call <who>;",
            "<who> = john | mary;",
        ]

    def test_its_words_are_known(self) -> None:
        assert words(WHEN) == {"on", "monday", "tuesday", "at", "nine", "ten", "o'clock"}

    @pytest.mark.parametrize("name", ["", "two words", "9", "a-b", "a;b"])
    def test_a_name_that_is_not_a_word_is_refused(self, name: str) -> None:
        with pytest.raises(GrammarError, match="name"):
            grammar(name, "yes")
        with pytest.raises(GrammarError, match="name"):
            slot(name, ["yes"])

    def test_a_slot_value_that_would_end_its_tag_is_refused(self) -> None:
        with pytest.raises(GrammarError, match="value"):
            slot("s", {"yes": "}; <x> = no"})


class TestChecking:
    @pytest.mark.parametrize(
        ("body", "says"),
        [
            ("public <g> = <day>;", "<day>, which is not defined"),
            ("public <g> = a <g>;", "refers to itself"),
            ("public <g> = <a>; <a> = x <b>; <b> = y <a>;", "refers to itself"),
            ("<g> = yes;", "public rule"),
            ("public <g> = yes | ;", "empty"),
            ("public <g> = (yes | no;", "expected '\\)'"),
            ("public <g> = yes", "missing"),
            ("public <g> = yes; <g> = no;", "twice"),
            ('public <g> = "yes;', "cannot read"),
            ("public g = yes;", "expected a rule"),
            ("public <g> = <NULL>;", "no words"),
            ("import <other.*>; public <g> = yes;", "cannot read"),
            ("public <g> = " + "(" * 100 + "a" + ")" * 100 + ";", "deep"),
        ],
    )
    def test_a_broken_grammar_says_where(self, body: str, says: str) -> None:
        with pytest.raises(GrammarError, match=says):
            check(jsgf(body))

    @pytest.mark.parametrize("text", ["", "yes | no", "#ABNF 1.0;", "#JSGF V1.0; public <a> = b;"])
    def test_what_is_not_jsgf_is_refused(self, text: str) -> None:
        with pytest.raises(GrammarError, match="begins with"):
            check(Grammar(text, "g"))

    def test_an_endless_grammar_is_refused(self) -> None:
        with pytest.raises(GrammarError, match="characters"):
            check(jsgf("public <g> = " + "a " * 100_000 + ";"))

    def test_comments_are_not_read(self) -> None:
        check(jsgf("// <nothing>\npublic <g> = yes /* | <no> */ | no;"))

    @given(st.text(alphabet="ab<>[](){}|*+=;/ \npublic", max_size=60))
    def test_any_text_is_read_or_refused_and_nothing_else(self, body: str) -> None:
        try:
            check(jsgf(body))
        except GrammarError:
            return
        read(jsgf(body), "a b")


SENTENCES = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4).map(" ".join)


@given(st.lists(SENTENCES, min_size=1, max_size=6, unique=True))
def test_every_phrase_of_a_slot_reads_back_as_its_value(phrases: list[str]) -> None:
    made = grammar("g", "say " + slot("s", {text: f"v{n}" for n, text in enumerate(phrases)}))
    for number, text in enumerate(phrases):
        assert read(made, f"say {text}") == {"s": f"v{number}"}
