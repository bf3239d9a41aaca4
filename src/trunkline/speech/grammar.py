"""Grammars in JSGF text, checked before a recogniser sees them: is it sound, which words?

Only what pocketsphinx understands of the JSpeech Grammar Format is allowed: rules of
this grammar, alternatives, weights, groups, ``[optional]``, ``*`` and ``+``, and tags
(``{...}``, which are read over). No imports. `Phrase.jsgf` writes such grammars.

JSpeech Grammar Format: https://www.w3.org/TR/jsgf/
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from .errors import GrammarError
from .interfaces import Grammar

__all__ = ["check", "words"]

MAX_CHARACTERS = 100_000
MAX_DEPTH = 30

_HEADER = re.compile(r"\s*#JSGF\s+V1\.0[^;\n]*;\s*grammar\s+[\w.]+\s*;")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_TOKEN = re.compile(
    r"\s*(?:(?P<rule><[\w.]+>)|(?P<tag>\{[^{}]*\})|(?P<weight>/[\d.eE+-]+/)"
    r"|(?P<sign>[()\[\]|*+=;])|(?P<word>[^\s()\[\]|*+=;<>{}/\"]+))"
)
_REPEATED = (("sign", "*"), ("sign", "+"))


@dataclass(slots=True)
class _Rule:
    """What matters of a rule: what it may be made of, not in which order."""

    words: set[str] = field(default_factory=set)
    references: set[str] = field(default_factory=set)


_Rules = Mapping[str, _Rule]


def check(grammar: Grammar) -> None:
    """Raise `GrammarError`, saying where it is wrong, unless the grammar can be used."""
    rules = _parse(grammar.jsgf)
    for name, rule in rules.items():
        for reference in sorted(rule.references):
            if reference not in rules and reference not in ("NULL", "VOID"):
                raise GrammarError(f"rule <{name}> refers to <{reference}>, which is not defined")
        if _reaches(rules, name, name, set()):
            raise GrammarError(f"rule <{name}> refers to itself, which no recogniser here can")
    if not words(grammar):
        raise GrammarError(f"grammar {grammar.name!r} has no words")


def words(grammar: Grammar) -> frozenset[str]:
    """Every word of the grammar, lower case.

    Raises:
        GrammarError: it is not well formed.
    """
    return frozenset().union(*(rule.words for rule in _parse(grammar.jsgf).values()))


def _reaches(rules: _Rules, start: str, goal: str, seen: set[str]) -> bool:
    for name in rules[start].references:
        if name == goal:
            return True
        if name in rules and name not in seen:
            seen.add(name)
            if _reaches(rules, name, goal, seen):
                return True
    return False


@lru_cache(maxsize=256)
def _parse(jsgf: str) -> _Rules:
    if len(jsgf) > MAX_CHARACTERS:
        raise GrammarError(f"a grammar has at most {MAX_CHARACTERS} characters")
    text = _COMMENT.sub(" ", jsgf.lstrip("\ufeff"))
    header = _HEADER.match(text)
    if header is None:
        raise GrammarError("a grammar begins with '#JSGF V1.0; grammar NAME;'")
    return _Parser(_tokens(text, header.end())).rules()


def _tokens(text: str, at: int) -> list[tuple[str, str]]:
    found = []
    while text[at:].strip():
        token = _TOKEN.match(text, at)
        if token is None:
            raise GrammarError(f"cannot read the grammar from {text[at : at + 30].strip()!r} on")
        assert token.lastgroup is not None
        found.append((token.lastgroup, token[token.lastgroup]))
        at = token.end()
    return found


class _Parser:
    """Recursive descent over the tokens; each method reads one construct."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self._rule = _Rule()

    def rules(self) -> _Rules:
        rules: dict[str, _Rule] = {}
        has_public = False
        while self._at < len(self._tokens):
            has_public |= self._skip("public")
            kind, text = self._next()
            if kind != "rule":
                raise GrammarError(f"expected a rule such as <name>, found {text!r}")
            name = text[1:-1]
            self._expect("=")
            if name in rules:
                raise GrammarError(f"rule <{name}> is defined twice")
            self._rule = rules[name] = _Rule()
            self._choice()
            self._expect(";")
        if not has_public:
            raise GrammarError("a grammar needs a public rule")
        return rules

    def _choice(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise GrammarError(f"a grammar is nested at most {MAX_DEPTH} deep")
        self._sequence()
        while self._skip("|"):
            self._sequence()
        self._depth -= 1

    def _sequence(self) -> None:
        empty = True
        while self._at < len(self._tokens):
            kind, text = self._tokens[self._at]
            if kind == "weight":
                self._at += 1
            elif kind in ("word", "rule") or text in ("(", "["):
                self._item()
                empty = False
            else:
                break
        if empty:
            raise GrammarError("an alternative is empty; write <NULL> if that is meant")

    def _item(self) -> None:
        kind, text = self._next()
        if kind == "word":
            self._rule.words.add(text.lower())
        elif kind == "rule":
            self._rule.references.add(text[1:-1])
        else:
            self._choice()
            self._expect(")" if text == "(" else "]")
        while self._at < len(self._tokens) and (
            self._tokens[self._at][0] == "tag" or self._tokens[self._at] in _REPEATED
        ):
            self._at += 1

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise GrammarError("the grammar ends in the middle of a rule; is a ';' missing?")
        self._at += 1
        return self._tokens[self._at - 1]

    def _skip(self, text: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at][1] == text:
            self._at += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        _, found = self._next()
        if found != text:
            raise GrammarError(f"expected {text!r}, found {found!r}")
