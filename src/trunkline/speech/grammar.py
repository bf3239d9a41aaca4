"""Grammars: build JSGF from Python, check it, and read slots back from text.

    day = slot("day", {"monday": "mon", "tuesday": "tue"})
    hour = slot("hour", ["nine", "ten"])
    when = grammar("when", f"[on] {day} [at {hour}]")
    read(when, "on tuesday at ten")     # {"day": "tue", "hour": "ten"}

Only what pocketsphinx understands of the JSpeech Grammar Format is allowed: rules of
this grammar, alternatives, weights, groups, ``[optional]``, ``*`` and ``+``, and tags
(``{name=value}``, or ``{name}`` for the words themselves). No imports.

JSpeech Grammar Format: https://www.w3.org/TR/jsgf/
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from .errors import GrammarError
from .interfaces import Grammar

__all__ = ["check", "grammar", "one_of", "optional", "read", "slot", "words"]

MAX_CHARACTERS = 100_000
MAX_DEPTH = 30
MAX_WORDS = 64

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_HEADER = re.compile(r"\s*#JSGF\s+V1\.0[^;\n]*;\s*grammar\s+[\w.]+\s*;")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_TOKEN = re.compile(
    r"\s*(?:(?P<rule><[\w.]+>)|(?P<tag>\{[^{}]*\})|(?P<weight>/[\d.eE+-]+/)"
    r"|(?P<sign>[()\[\]|*+=;])|(?P<word>[^\s()\[\]|*+=;<>{}/\"]+))"
)


@dataclass(frozen=True, slots=True)
class _Word:
    text: str


@dataclass(frozen=True, slots=True)
class _Reference:
    rule: str


@dataclass(frozen=True, slots=True)
class _Sequence:
    items: tuple["_Node", ...]


@dataclass(frozen=True, slots=True)
class _Choice:
    items: tuple["_Node", ...]


@dataclass(frozen=True, slots=True)
class _Repeat:
    item: "_Node"
    least: int


@dataclass(frozen=True, slots=True)
class _Tagged:
    item: "_Node"
    name: str
    value: str | None


_Node = _Word | _Reference | _Sequence | _Choice | _Repeat | _Tagged


@dataclass(frozen=True, slots=True)
class _Parsed:
    rules: Mapping[str, _Node]
    public: str


def one_of(*alternatives: str) -> str:
    """One of these, as a piece of JSGF."""
    return f"({' | '.join(alternatives)})"


def optional(*alternatives: str) -> str:
    """One of these or nothing, as a piece of JSGF."""
    return f"[{' | '.join(alternatives)}]"


def slot(name: str, values: Mapping[str, str] | Iterable[str]) -> str:
    """A named place for one of several phrases, as a piece of JSGF.

    Args:
        name: what `read` calls it.
        values: phrases, or a mapping from phrases to the values `read` gives for them.

    Raises:
        GrammarError: the name or a value cannot be written in a tag.
    """
    pairs = values.items() if isinstance(values, Mapping) else ((each, each) for each in values)
    if not _NAME.match(name):
        raise GrammarError(f"a slot's name is letters, digits and _; not {name!r}")
    parts = []
    for phrase, value in pairs:
        if set(value) & set("{}\n"):
            raise GrammarError(f"slot {name!r} cannot have the value {value!r}")
        parts.append(f"({phrase}) {{{name}={value}}}")
    return one_of(*parts)


def grammar(name: str, *alternatives: str, **rules: str) -> Grammar:
    """A grammar of these alternatives, with ``rules`` they refer to as ``<rule>``.

    Raises:
        GrammarError: it cannot be used; says where it is wrong.
    """
    if not _NAME.match(name):
        raise GrammarError(f"a grammar's name is letters, digits and _; not {name!r}")
    lines = [
        "#JSGF V1.0;",
        f"grammar {name};",
        f"public <{name}> = {' | '.join(alternatives)};",
        *(f"<{rule}> = {text};" for rule, text in rules.items()),
    ]
    made = Grammar("\n".join(lines) + "\n", name)
    check(made)
    return made


def check(grammar: Grammar) -> None:
    """Raise `GrammarError`, saying where it is wrong, unless the grammar can be used."""
    parsed = _parse(grammar.jsgf)
    for rule, node in parsed.rules.items():
        for reference in _references(node):
            if reference not in parsed.rules and reference not in ("NULL", "VOID"):
                raise GrammarError(f"rule <{rule}> refers to <{reference}>, which is not defined")
        if _reaches(parsed, rule, rule, set()):
            raise GrammarError(f"rule <{rule}> refers to itself, which no recogniser here can")
    if not words(grammar):
        raise GrammarError(f"grammar {grammar.name!r} has no words")


def words(grammar: Grammar) -> frozenset[str]:
    """Every word of the grammar, lower case.

    Raises:
        GrammarError: it is not well formed.
    """
    return frozenset(
        node.text
        for root in _parse(grammar.jsgf).rules.values()
        for node in _walk(root)
        if isinstance(node, _Word)
    )


def read(grammar: Grammar, text: str) -> dict[str, str] | None:
    """The slots of a text, or None when the grammar does not allow it.

    Raises:
        GrammarError: the grammar is not well formed.
    """
    parsed = _parse(grammar.jsgf)
    said = tuple(text.lower().split())
    if len(said) > MAX_WORDS:
        return None
    root = parsed.rules[parsed.public]
    for end, slots in _match(parsed, root, said, 0, 0):
        if end == len(said):
            return dict(slots)
    return None


_Slots = tuple[tuple[str, str], ...]


def _match(
    parsed: _Parsed, node: _Node, said: tuple[str, ...], at: int, depth: int
) -> Iterator[tuple[int, _Slots]]:
    """Every way to read the words from ``at`` on as this node."""
    if depth > MAX_DEPTH * 4:
        return
    match node:
        case _Word(text):
            if at < len(said) and said[at] == text:
                yield at + 1, ()
        case _Reference("NULL"):
            yield at, ()
        case _Reference(rule):
            if rule in parsed.rules:
                yield from _match(parsed, parsed.rules[rule], said, at, depth + 1)
        case _Choice(items):
            for item in items:
                yield from _match(parsed, item, said, at, depth + 1)
        case _Sequence(items):
            yield from _match_sequence(parsed, items, said, at, depth + 1)
        case _Repeat(item, least):
            if least == 0:
                yield at, ()
            for end, slots in _match(parsed, item, said, at, depth + 1):
                if end > at:
                    for last, more in _match(parsed, _Repeat(item, 0), said, end, depth + 1):
                        yield last, slots + more
        case _Tagged(item, name, value):
            for end, slots in _match(parsed, item, said, at, depth + 1):
                own = " ".join(said[at:end]) if value is None else value
                yield end, (*slots, (name, own))


def _match_sequence(
    parsed: _Parsed, items: tuple[_Node, ...], said: tuple[str, ...], at: int, depth: int
) -> Iterator[tuple[int, _Slots]]:
    if not items:
        yield at, ()
        return
    for end, slots in _match(parsed, items[0], said, at, depth):
        for last, more in _match_sequence(parsed, items[1:], said, end, depth):
            yield last, slots + more


def _children(node: _Node) -> tuple[_Node, ...]:
    match node:
        case _Sequence(items) | _Choice(items):
            return items
        case _Repeat(item, _) | _Tagged(item, _, _):
            return (item,)
    return ()


def _walk(node: _Node) -> Iterator[_Node]:
    yield node
    for child in _children(node):
        yield from _walk(child)


def _references(node: _Node) -> Iterator[str]:
    return (each.rule for each in _walk(node) if isinstance(each, _Reference))


def _reaches(parsed: _Parsed, start: str, goal: str, seen: set[str]) -> bool:
    for rule in _references(parsed.rules[start]):
        if rule == goal:
            return True
        if rule in parsed.rules and rule not in seen:
            seen.add(rule)
            if _reaches(parsed, rule, goal, seen):
                return True
    return False


@lru_cache(maxsize=256)
def _parse(jsgf: str) -> _Parsed:
    if len(jsgf) > MAX_CHARACTERS:
        raise GrammarError(f"a grammar has at most {MAX_CHARACTERS} characters")
    text = _COMMENT.sub(" ", jsgf.lstrip("\ufeff"))
    header = _HEADER.match(text)
    if header is None:
        raise GrammarError("a grammar begins with '#JSGF V1.0; grammar NAME;'")
    return _Parser(_tokens(text, header.end())).grammar()


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

    def grammar(self) -> _Parsed:
        rules: dict[str, _Node] = {}
        public = ""
        while self._at < len(self._tokens):
            is_public = self._skip("public")
            kind, text = self._next()
            if kind != "rule":
                raise GrammarError(f"expected a rule such as <name>, found {text!r}")
            name = text[1:-1]
            self._expect("=")
            if name in rules:
                raise GrammarError(f"rule <{name}> is defined twice")
            rules[name] = self._choice()
            self._expect(";")
            public = public or (name if is_public else "")
        if not public:
            raise GrammarError("a grammar needs a public rule")
        return _Parsed(rules, public)

    def _choice(self) -> _Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise GrammarError(f"a grammar is nested at most {MAX_DEPTH} deep")
        items = [self._sequence()]
        while self._skip("|"):
            items.append(self._sequence())
        self._depth -= 1
        return items[0] if len(items) == 1 else _Choice(tuple(items))

    def _sequence(self) -> _Node:
        items: list[_Node] = []
        while self._at < len(self._tokens):
            kind, text = self._tokens[self._at]
            if kind == "weight":
                self._at += 1
            elif kind in ("word", "rule") or text in ("(", "["):
                items.append(self._item())
            else:
                break
        if not items:
            raise GrammarError("an alternative is empty; write <NULL> if that is meant")
        return items[0] if len(items) == 1 else _Sequence(tuple(items))

    def _item(self) -> _Node:
        kind, text = self._next()
        node: _Node
        if kind == "word":
            node = _Word(text.lower())
        elif kind == "rule":
            node = _Reference(text[1:-1])
        else:
            node = self._choice()
            self._expect(")" if text == "(" else "]")
            if text == "[":
                node = _Choice((node, _Reference("NULL")))
        return self._suffixes(node)

    def _suffixes(self, node: _Node) -> _Node:
        while self._at < len(self._tokens):
            kind, text = self._tokens[self._at]
            if text in ("*", "+") and kind == "sign":
                node = _Repeat(node, 0 if text == "*" else 1)
            elif kind == "tag":
                name, given, value = text[1:-1].strip().partition("=")
                node = _Tagged(node, name.strip(), value.strip() if given else None)
            else:
                break
            self._at += 1
        return node

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
