from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.speech import Grammar, GrammarError
from trunkline.speech.grammar import check, words

from .jsgf import grammar


def jsgf(body: str) -> Grammar:
    return Grammar(f"#JSGF V1.0;\ngrammar g;\n{body}", "g")


class TestWords:
    def test_words_of_all_rules_are_found_in_lower_case(self) -> None:
        when = grammar(
            "when",
            "[on] /0.5/ <day>+ {day} (at <hour> {hour=9})*",
            "<NULL>",
            day="Monday {mon} | tuesday",
            hour="nine | ten o'clock",
        )
        check(when)
        assert words(when) == {"on", "monday", "tuesday", "at", "nine", "ten", "o'clock"}

    def test_a_tag_is_no_word(self) -> None:
        assert words(jsgf("public <g> = call (john | mary ann) {who=me};")) == {
            "call",
            "john",
            "mary",
            "ann",
        }


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
        with suppress(GrammarError):
            check(jsgf(body))
