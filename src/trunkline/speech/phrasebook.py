"""A grammar for recognisers that want one where the dialogue has none.

A language model says nothing of what a caller may say next. Who knows it writes
phrases, in the patterns of `trunkline.speech.phrases`, and a recogniser that hears a
small language well is told of them.
"""

from collections.abc import Sequence

from .interfaces import Grammar, Recognition, SpeechToText, Transcript
from .phrases import Phrase, PhraseError

__all__ = ["WithPhrases", "grammar_of"]


def grammar_of(patterns: Sequence[str], name: str = "phrases") -> Grammar:
    """One grammar of all these patterns.

    Raises:
        PhraseError: a pattern is malformed, or there is none.
    """
    if not patterns:
        raise PhraseError("a grammar needs at least one phrase")
    rules = dict.fromkeys(Phrase(pattern).jsgf() for pattern in patterns)
    turn = f"public <turn> = {' | '.join(rules)};"
    return Grammar(f"#JSGF V1.0;\ngrammar {name};\n{turn}\n", name)


class WithPhrases:
    """A `SpeechToText` that expects these phrases where nothing else is expected."""

    def __init__(self, stt: SpeechToText, grammar: Grammar) -> None:
        """``stt`` is used, and closed, by this.

        Raises:
            GrammarError: the recogniser cannot use the grammar, and says so now.
        """
        self.name = stt.name
        self._stt = stt
        self._grammar = grammar
        check = getattr(stt, "check", None)
        if check is not None:
            check(grammar)

    def open(self, rate_hz: int) -> Recognition:
        """One call's recogniser."""
        return _Recognition(self._stt.open(rate_hz), self._grammar)

    async def warm(self) -> None:
        """Start what the recogniser has to start."""
        warm = getattr(self._stt, "warm", None)
        if warm is not None:
            await warm()

    async def aclose(self) -> None:
        """Stop the recogniser."""
        await self._stt.aclose()


class _Recognition:
    def __init__(self, recognition: Recognition, grammar: Grammar) -> None:
        self._recognition = recognition
        self._grammar = grammar
        self.feed = recognition.feed
        self.cancel = recognition.cancel
        self.close = recognition.close

    def start(self, grammar: Grammar | None) -> None:
        self._recognition.start(grammar or self._grammar)

    async def finish(self) -> Transcript:
        return await self._recognition.finish()
