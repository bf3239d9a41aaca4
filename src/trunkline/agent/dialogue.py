"""The conversation as a language model is to remember it: what was really heard.

Between two turns of the caller the agent makes one *reply*: some rounds of text and
tool calls. While it is spoken the reply is open; when it is over, or cut off, only what
the caller has heard of it is kept. A tool that was called stays called.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from trunkline.speech import Message, ToolCall

__all__ = ["Dialogue"]

UNFINISHED = (
    '{"error": "interrupted", "detail": "The caller spoke before this was done. '
    'It may or may not have taken effect."}'
)
"""The result of a tool that was still at work when the reply was cut off."""


@dataclass(slots=True)
class _Round:
    """One answer of the model: text, and the tools it asked for."""

    text: str = ""
    before: str = ""
    """What was heard of it before it was cut off by mistake; `text` is the rest."""
    calls: tuple[ToolCall, ...] = ()
    results: list[Message] = field(default_factory=list)

    def messages(self) -> list[Message]:
        made = []
        text = (self.before + self.text).strip()
        if text or self.calls:
            made.append(Message("assistant", text, tool_calls=self.calls))
        answered = {result.tool_call_id for result in self.results}
        made += self.results
        made += [
            Message("tool", UNFINISHED, tool_call_id=call.id)
            for call in self.calls
            if call.id not in answered
        ]
        return made


class Dialogue:
    """Messages, oldest first, with at most one reply open at the end.

    ``cut_mark`` is put where the caller cut the agent off. The default is a dash, as in
    print: models trained on text read it as an interruption, and it adds no word.
    """

    def __init__(self, instructions: str = "", *, cut_mark: str = "—") -> None:
        self._kept: list[Message] = [Message("system", instructions)] if instructions else []
        self._cut_mark = cut_mark
        self._rounds: list[_Round] | None = None
        self._asked: Message | None = None  # the user message the open reply answers

    @property
    def messages(self) -> list[Message]:
        """Everything, the open reply included as if it were heard to its end."""
        made = list(self._kept)
        for opened in self._rounds or ():
            made += opened.messages()
        return made

    def hear(self, text: str, confidence: float | None = None) -> None:
        """The caller said something."""
        self._asked = Message("user", text, confidence=confidence)
        self._kept.append(self._asked)

    def open(self) -> None:
        """A reply begins."""
        self._rounds = [_Round()]

    def write(self, text: str) -> None:
        """The reply has more text."""
        if self._rounds:
            self._rounds[-1].text += text

    def call(self, calls: Sequence[ToolCall]) -> None:
        """The model asked for tools."""
        if self._rounds:
            self._rounds[-1].calls += tuple(calls)

    def result(self, message: Message) -> None:
        """A tool gave its result."""
        if self._rounds:
            self._rounds[-1].results.append(message)

    def next_round(self) -> None:
        """The model is asked again, with the results."""
        if self._rounds:
            self._rounds.append(_Round())

    def close(self) -> None:
        """The reply was heard to its end."""
        for opened in self._rounds or ():
            self._kept += opened.messages()
        self._rounds = self._asked = None

    def cut(self, heard: Sequence[str]) -> None:
        """The reply was cut off; ``heard`` is what was heard of each round's text."""
        for index, opened in enumerate(self._rounds or ()):
            said = heard[index] if index < len(heard) else ""
            cut = said.strip() != opened.text.strip()
            if cut and (opened.before + said).strip():
                said = (opened.before + said).rstrip() + self._cut_mark
                opened = replace(opened, before="")
            self._kept += replace(opened, text=said).messages()
        self._rounds = self._asked = None

    def retract(self) -> bool:
        """Drop a reply of which nothing was heard, and the turn it was to answer.

        True: the turn is gone, and what the caller says next should hold it again.
        False: the reply had called tools, so both stay.
        """
        rounds, asked = self._rounds, self._asked
        acted = any(opened.calls for opened in rounds or ())
        self.cut(())
        if acted or asked is None or not self._kept or self._kept[-1] is not asked:
            return False
        self._kept.pop()
        return True

    def resume(self) -> None:
        """The last reply, cut off by mistake, is open again: `write` adds what is left."""
        if not self._kept or self._kept[-1].role != "assistant" or self._kept[-1].tool_calls:
            self.open()
            return
        heard = self._kept.pop().content.removesuffix(self._cut_mark)
        self._rounds = [_Round(before=heard)]
