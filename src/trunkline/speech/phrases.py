"""What a caller may say, as patterns: they match text and they make a grammar.

A pattern is words with three signs, the same ones JSGF has, and slots:

    [please] book (a repair | an appointment) [on {day}]

``[...]`` may be left out, ``(a | b)`` is one or the other (also at the top level), and
``{day}`` is a slot: a small language of its own whose value the match carries.
The same pattern finds its words in any recogniser's text and, through `Phrase.jsgf`,
tells a recogniser that takes grammars what to listen for.

JSpeech Grammar Format: https://www.w3.org/TR/jsgf/
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from trunkline.errors import UsageError

__all__ = ["Digits", "Match", "Phrase", "PhraseError", "Slot", "Words", "words_of"]

MAX_WORDS = 64
"""Words of one utterance that are looked at: matching is quadratic, and a turn is not a speech."""

_TOKEN = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_SIGNS = re.compile(r"\s*(?:(?P<slot>\{\w+\})|(?P<sign>[\[\]()|])|(?P<word>[^\W_]+(?:'[^\W_]+)*))")
_NUMBERS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen", "twenty",
)  # fmt: skip
_WRITTEN = {str(number): word for number, word in enumerate(_NUMBERS)}
_DIGITS = {word: str(number) for number, word in enumerate(_NUMBERS[:10])} | {"oh": "0"}


class PhraseError(UsageError):
    """A pattern is not well formed; the message says where."""


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text, lower case, without punctuation."""
    return tuple(word.replace("’", "'") for word in _TOKEN.findall(text.lower()))


class Slot(Protocol):
    """A small language whose phrases have values."""

    def match(self, words: Sequence[str], start: int) -> Iterator[tuple[int, str]]:
        """Every (end, value) that the words from ``start`` on can be read as."""
        ...

    def spoken(self, value: str) -> str:
        """A value as the agent says it."""
        ...

    def jsgf(self, name: str) -> str:
        """The JSGF rules that define ``<name>``, each ending in a semicolon."""
        ...


@dataclass(frozen=True)
class Match:
    """A pattern found in what was said."""

    words: int
    """How many words the pattern covered; more is better."""
    whole: bool
    """Whether nothing else was said."""
    slots: Mapping[str, str] = field(default_factory=dict)


class Phrase:
    """One pattern, compiled with the slots it may name.

    Raises:
        PhraseError: the pattern is malformed, empty, or names a slot there is not.
    """

    def __init__(self, pattern: str, slots: Mapping[str, Slot] | None = None) -> None:
        self.pattern = pattern
        self._root = _Parser(pattern, slots or {}).parse()
        self.slots: frozenset[str] = frozenset(self._root.slots())
        if next((end for end, _ in self._root.match((), 0)), None) == 0:
            raise PhraseError(f"the pattern {pattern!r} matches silence: something must be said")

    def find(self, words: Sequence[str]) -> Match | None:
        """The longest place where the pattern occurs, preferring the whole utterance."""
        words = words[:MAX_WORDS]
        best: Match | None = None
        for start in range(len(words)):
            for end, slots in self._root.match(words, start):
                if best is None or end - start > best.words:
                    best = Match(end - start, end - start == len(words), slots)
            if best is not None and best.words >= len(words) - start - 1:
                break
        return best

    def jsgf(self) -> str:
        """The pattern as the right side of a JSGF rule; slots are ``<slot>``."""
        return self._root.jsgf()

    def __repr__(self) -> str:
        return f"Phrase({self.pattern!r})"


class Words:
    """A slot with a list of values and what is said for each.

    ``Words({"10:00": "ten o'clock | ten"}, say={"10:00": "ten o'clock"})``; without
    ``say`` the agent says the value as it is.
    """

    def __init__(self, values: Mapping[str, str], say: Mapping[str, str] | None = None) -> None:
        self._values = {value: Phrase(pattern) for value, pattern in values.items()}
        self._say = dict(say or {})

    def match(self, words: Sequence[str], start: int) -> Iterator[tuple[int, str]]:
        """Every (end, value) that the words from ``start`` on can be read as."""
        for value, phrase in self._values.items():
            for end, _ in phrase._root.match(words, start):
                yield end, value

    def spoken(self, value: str) -> str:
        """A value as the agent says it."""
        return self._say.get(value, value)

    def jsgf(self, name: str) -> str:
        """One rule: the values' phrases."""
        return f"<{name}> = {' | '.join(phrase.jsgf() for phrase in self._values.values())};"


class Digits:
    """A slot of so many digits, said one by one; the agent says them so too."""

    def __init__(self, length: int) -> None:
        if not 1 <= length <= 20:
            raise PhraseError(f"a digit slot has 1 to 20 digits, not {length}")
        self.length = length

    def match(self, words: Sequence[str], start: int) -> Iterator[tuple[int, str]]:
        """One reading, if exactly `length` digits begin here ("four two" or "42")."""
        value = ""
        for end in range(start, len(words)):
            word = words[end]
            digits = _DIGITS.get(word) or (word if word.isascii() and word.isdigit() else "")
            value += digits
            if not digits or len(value) > self.length:
                return
            if len(value) == self.length:
                yield end + 1, value

    def spoken(self, value: str) -> str:
        """The digits one by one, with commas so that a voice does not make a number of them."""
        return ", ".join(_WRITTEN.get(digit, digit) for digit in value)

    def jsgf(self, name: str) -> str:
        """Two rules: a digit, and so many of it. "Oh" costs a small recogniser other digits."""
        return (
            f"<{name}_digit> = {' | '.join(_NUMBERS[:10])};\n"
            f"<{name}> = {' '.join([f'<{name}_digit>'] * self.length)};"
        )


_Reading = Iterator[tuple[int, Mapping[str, str]]]


class _Node(Protocol):
    def match(self, words: Sequence[str], start: int) -> _Reading: ...
    def jsgf(self) -> str: ...
    def slots(self) -> Iterator[str]: ...


@dataclass(frozen=True)
class _Word:
    text: str

    def match(self, words: Sequence[str], start: int) -> _Reading:
        if start < len(words):
            said = words[start]
            if said == self.text or _WRITTEN.get(said) == self.text:
                yield start + 1, {}

    def jsgf(self) -> str:
        return self.text

    def slots(self) -> Iterator[str]:
        return iter(())


@dataclass(frozen=True)
class _SlotNode:
    name: str
    slot: Slot

    def match(self, words: Sequence[str], start: int) -> _Reading:
        for end, value in self.slot.match(words, start):
            yield end, {self.name: value}

    def jsgf(self) -> str:
        return f"<{self.name}>"

    def slots(self) -> Iterator[str]:
        yield self.name


@dataclass(frozen=True)
class _Sequence:
    parts: tuple[_Node, ...]

    def match(self, words: Sequence[str], start: int) -> _Reading:
        yield from self._from(0, words, start)

    def _from(self, index: int, words: Sequence[str], start: int) -> _Reading:
        if index == len(self.parts):
            yield start, {}
            return
        for middle, slots in self.parts[index].match(words, start):
            for end, more in self._from(index + 1, words, middle):
                yield end, {**slots, **more}

    def jsgf(self) -> str:
        return " ".join(part.jsgf() for part in self.parts)

    def slots(self) -> Iterator[str]:
        for part in self.parts:
            yield from part.slots()


@dataclass(frozen=True)
class _Choice:
    branches: tuple[_Node, ...]
    optional: bool = False

    def match(self, words: Sequence[str], start: int) -> _Reading:
        for branch in self.branches:
            yield from branch.match(words, start)
        if self.optional:
            yield start, {}

    def jsgf(self) -> str:
        inside = " | ".join(branch.jsgf() for branch in self.branches)
        return f"[{inside}]" if self.optional else f"({inside})"

    def slots(self) -> Iterator[str]:
        for branch in self.branches:
            yield from branch.slots()


class _Parser:
    """Recursive descent over one pattern."""

    def __init__(self, pattern: str, slots: Mapping[str, Slot]) -> None:
        self._pattern = pattern
        self._slots = slots
        self._tokens = list(self._scan())
        self._next = 0

    def parse(self) -> _Node:
        node = self._choice()
        if self._next < len(self._tokens):
            raise self._error(f"{self._tokens[self._next][1]!r} without its opening")
        return node

    def _scan(self) -> Iterator[tuple[str, str]]:
        position = 0
        text = self._pattern.rstrip()
        while position < len(text):
            found = _SIGNS.match(text, position)
            if found is None or found.lastgroup is None:
                raise self._error(f"cannot read {text[position:].strip()!r}")
            yield found.lastgroup, found[found.lastgroup]
            position = found.end()

    def _choice(self, closing: str = "") -> _Node:
        branches = [self._sequence()]
        while self._take("|"):
            branches.append(self._sequence())
        if closing and not self._take(closing):
            raise self._error(f"{closing!r} is missing")
        if len(branches) == 1 and closing != "]":
            return branches[0]
        return _Choice(tuple(branches), optional=closing == "]")

    def _sequence(self) -> _Node:
        parts: list[_Node] = []
        while (part := self._part()) is not None:
            parts.append(part)
        if not parts:
            raise self._error("an alternative is empty")
        return parts[0] if len(parts) == 1 else _Sequence(tuple(parts))

    def _part(self) -> _Node | None:
        if self._take("["):
            return self._choice("]")
        if self._take("("):
            return self._choice(")")
        if self._next == len(self._tokens):
            return None
        kind, text = self._tokens[self._next]
        if kind == "sign":
            return None
        self._next += 1
        return _Word(text.lower()) if kind == "word" else self._slot(text[1:-1])

    def _slot(self, name: str) -> _Node:
        if name not in self._slots:
            raise self._error(f"there is no slot {name!r} (known: {', '.join(self._slots)})")
        return _SlotNode(name, self._slots[name])

    def _take(self, sign: str) -> bool:
        taken = self._next < len(self._tokens) and self._tokens[self._next] == ("sign", sign)
        self._next += taken
        return taken

    def _error(self, what: str) -> PhraseError:
        return PhraseError(f"in the pattern {self._pattern!r}: {what}")
