"""Cutting a stream of text into pieces a synthesiser can speak.

A language model writes a few letters at a time; a synthesiser wants sentences, for
their melody, and the caller wants the first of them soon. `SentenceSplitter` gives
each sentence as soon as it is certain that it is one, and the very first clause
already at its comma. Joined together the pieces are the text, letter for letter:
what was heard is cut from them later.
"""

import re
from collections.abc import Iterator

__all__ = ["SentenceSplitter", "speakable", "units"]

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9d"
"""Kana and ideographs: written without spaces. (Hangul has spaces.)"""
_CLOSERS = r"[\"'”’»)\]}]*"
_END = re.compile(rf"[.!?…]+{_CLOSERS}(?=\s)|[。！？｡]+[」』”’）]*|\n+")
_CLAUSE = re.compile(rf"[,;:–—]{_CLOSERS}(?=\s)|[、，；：]")
_EMOJI = re.compile(
    "[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\ufe0f\u200d\u20e3\U000e0020-\U000e007f]+"
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Never the end of a sentence: something always follows them.
_TITLES = _words("mr mrs ms dr prof rev gen col lt sgt capt hon st fr mt vs e.g i.e cf")
# The end of a sentence only where no small letter follows.
_SHORT = _words(
    """a.m p.m etc inc ltd co corp dept est approx tel ext min max hr hrs u.s u.k d.c ave blvd
    rd jr sr al jan feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri sat sun"""
)
_NUMBERED = _words("no nos fig pp p vol art")  # only before a digit


class SentenceSplitter:
    """Text in, sentences out.

    ``first_clause`` is the least length of the first piece that may end at a comma;
    ``longest`` is where a piece is cut if nothing ends it.
    """

    def __init__(self, *, first_clause: int = 20, longest: int = 240) -> None:
        self._first_clause = first_clause
        self._longest = longest
        self._text = ""
        self._looked = 0  # endings before this index are known not to be any
        self._first = True

    def push(self, text: str) -> list[str]:
        """More text; the pieces it completed."""
        self._text += text
        return list(self._pieces())

    def flush(self) -> list[str]:
        """There is no more text; the pieces that were still open."""
        pieces = list(self._pieces())
        if self._text:
            pieces.append(self._cut(len(self._text)))
        return pieces

    def _pieces(self) -> Iterator[str]:
        while (end := self._end()) is not None:
            yield self._cut(end)

    def _cut(self, end: int) -> str:
        piece, self._text = self._text[:end], self._text[end:]
        self._looked = 0
        if piece.strip():
            self._first = False
        return piece

    def _end(self) -> int | None:
        """Where the first piece ends, if that is certain."""
        end = self._sentence()
        if self._first and (clause := self._clause(end)) is not None:
            return clause
        if end is None and len(self._text) > self._longest:
            return self._break()
        if end is not None and end > self._longest:
            return self._break()
        return end

    def _sentence(self) -> int | None:
        for match in _END.finditer(self._text, self._looked):
            if not self._text[: match.start()].strip():
                continue  # nothing but space, or a stray mark, before it
            verdict = _ends(self._text, match)
            if verdict is None:
                return None
            if verdict:
                return match.end()
            self._looked = match.end()
        return None

    def _clause(self, before: int | None) -> int | None:
        """The first comma that makes a first piece long enough."""
        for match in _CLAUSE.finditer(self._text):
            if before is not None and match.end() >= before:
                return None
            if len(self._text[: match.start()].strip()) >= self._first_clause:
                return match.end()
        return None

    def _break(self) -> int:
        """Where to cut what has no end: at a comma, else a space, else anywhere."""
        head = self._text[: self._longest]
        least = self._longest // 3
        clauses = [match.end() for match in _CLAUSE.finditer(head) if match.end() >= least]
        if clauses:
            return clauses[-1]
        space = head.rfind(" ", least)
        return space if space > 0 else self._longest


def _ends(text: str, match: re.Match[str]) -> bool | None:
    """Whether this mark ends a sentence; None while that depends on what follows."""
    mark = match.group()
    if mark[0] in "。！？｡" and match.end() == len(text) and _is_open(text):
        return None  # the closing bracket may follow
    if mark[0] not in ".…":
        return True
    after = text[match.end() :].lstrip()
    if mark.startswith(("..", "…")):  # a hesitation, unless a new sentence follows
        return None if not after else not after[0].islower()
    word = re.split(r"[\s(\[\"'“‘]", text[: match.start()])[-1]
    name = word.lower().lstrip("-*_")
    if name in _TITLES:
        return False
    doubtful = name in _SHORT or name in _NUMBERED or len(name) == 1 or name.isdigit()
    if not doubtful:
        return True
    if not after:
        return None
    if name in _NUMBERED:
        return not after[0].isdigit()
    if len(name) == 1 and name.isalpha():
        # "J. Smith" goes on, "plan B. We" does not: a capital of its own ends it only
        # after a word that is written small.
        return not (word.isupper() and after[0].isupper()) and not after[0].islower()
    if name.isdigit() and not text[: match.start()][: -len(word)].strip():
        return False  # "1. First" in a list
    return not after[0].islower()


def _is_open(text: str) -> bool:
    """Whether a quotation or bracket is open at the end."""
    return any(text.count(a) > text.count(b) for a, b in ("「」", "『』", "（）", "“”"))


_MARKUP = (
    (re.compile(r"```.*?(```|$)", re.S), " "),
    (re.compile(r"!?\[([^\]]*)\]\([^)]*\)"), r"\1"),
    (re.compile(r"^\s*(#{1,6}|[-*•]|>)\s+", re.M), ""),
    (re.compile(r"[*_]{2,}|(?<!\w)[*_](?=\w)|(?<=[\w.!?,])[*_](?!\w)|`|~~"), ""),
    (_EMOJI, " "),
    (re.compile(r"\s+"), " "),
)


def speakable(text: str) -> str:
    """The text without what cannot be said: markup and emoji. May be empty."""
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text)
    text = text.strip()
    return text if any(character.isalnum() for character in text) else ""


_WORD = rf"\s*(?:[{_CJK}][^\w\s]*|(?:(?![{_CJK}])\S)+)"
_UNIT = re.compile(rf"{_WORD}\s*\Z|{_WORD}")


def units(text: str) -> list[str]:
    """The text cut before each word (or ideograph); joined again it is the text."""
    found = _UNIT.findall(text)
    return found if found else ([text] if text else [])
