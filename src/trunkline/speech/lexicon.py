"""Pronunciations: which words a recogniser knows, and how they sound.

The dictionary is a text file of lines ``word PH OH N EH M Z``, further ways to say a
word as ``word(2) ...``, in the order of its words (CMU's is). It is searched in place:
134,000 words as Python objects would be 25 MB for the thirty a grammar needs.
"""

import mmap
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from trunkline.errors import ConfigError

from .errors import UnknownWords

__all__ = ["PHONES", "Lexicon"]

_PHONES = """
AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW
V W Y Z ZH
"""
PHONES = frozenset(_PHONES.split())
"""ARPAbet without stress, as CMU's dictionary and acoustic model write it."""

_ALTERNATIVE = re.compile(rb"\(\d+\)$")


class Lexicon:
    """A pronunciation dictionary, with words of one's own before it."""

    def __init__(self, path: Path, own: Mapping[str, str] | None = None) -> None:
        """The dictionary at ``path`` and ``own`` words, each with its phones.

        Raises:
            ConfigError: the file cannot be read, or a word of one's own is ill-formed.
        """
        self._own: dict[str, list[str]] = {}
        for word, phones in (own or {}).items():
            self._own[word.lower()] = [_checked(word, phones)]
        try:
            with path.open("rb") as file:
                self._text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise ConfigError(f"the dictionary {path} cannot be read: {error}") from error
        self._found: dict[str, list[str]] = {}

    def find(self, word: str) -> list[str]:
        """The ways to say a word, each as phones with spaces; empty if it is unknown."""
        if (own := self._own.get(word)) is not None:
            return own
        if (known := self._found.get(word)) is not None:
            return known
        found = self._search(word.encode())
        if found and len(self._found) < 10_000:
            self._found[word] = found
        return found

    def pronounce(self, grammar: str, words: Iterable[str]) -> dict[str, list[str]]:
        """The ways to say each of a grammar's words.

        Raises:
            UnknownWords: some have none; names all of them.
        """
        said = {word: self.find(word) for word in sorted(set(words))}
        unknown = tuple(word for word, ways in said.items() if not ways)
        if unknown:
            raise UnknownWords(grammar, unknown)
        return said

    def close(self) -> None:
        """Let go of the file."""
        self._text.close()

    def _search(self, word: bytes) -> list[str]:
        low, high = 0, len(self._text)
        while low < high:  # the first line whose word is not before this one
            start = self._line((low + high) // 2)
            if self._word(start) < word:
                end = self._text.find(b"\n", start)
                low = end + 1 if end >= 0 else len(self._text)
            else:
                high = start
        ways = []
        while low < len(self._text) and self._word(low) == word:
            end = self._text.find(b"\n", low)
            end = end if end >= 0 else len(self._text)
            ways.append(b" ".join(self._text[low:end].split()[1:]).decode())
            low = end + 1
        return ways

    def _line(self, at: int) -> int:
        """Where the line that ``at`` is in begins."""
        return self._text.rfind(b"\n", 0, at) + 1

    def _word(self, start: int) -> bytes:
        head = self._text[start : start + 80].split(None, 1)
        return _ALTERNATIVE.sub(b"", head[0]) if head else b""


def _checked(word: str, phones: str) -> str:
    wrong = [phone for phone in phones.split() if phone not in PHONES]
    if wrong or not phones.split() or len(word.split()) != 1:
        raise ConfigError(
            f"the pronunciation {word!r} = {phones!r} is not one word and ARPAbet phones such as "
            f"'HH AH L OW'" + (f"; unknown: {', '.join(wrong)}" if wrong else "")
        )
    return " ".join(phones.split())
