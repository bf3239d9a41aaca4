"""A language model that follows a script: no download, no network, the same every time.

It keeps nothing between calls. Where a conversation is follows from its messages alone:
each reply replays them through `Conversation`, some ten microseconds a turn. So one
model serves all calls, and a conversation can be cut short, stored and taken up again.
Whatever an assistant's message holds is what the caller heard; where that is less than
the script meant to say, the caller broke in, and the script knows what was not heard.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from copy import copy

from .conversation import Conversation, Turn
from .interfaces import Finished, Grammar, Message, Piece, TextDelta, ToolSpec
from .phrases import Phrase, words_of
from .script import Script

__all__ = ["ScriptedModel"]


class ScriptedModel:
    """A `LanguageModel` out of a `Script`.

    Messages must be the whole conversation, oldest first. With no message but the
    system's it greets; after an assistant's message it takes the caller to be silent.
    ``delay_seconds`` is waited before each word, as a model takes time to write.
    """

    def __init__(self, script: Script, *, delay_seconds: float = 0.0) -> None:
        self.script = script
        self.name = f"scripted:{script.name}"
        self._delay_seconds = delay_seconds
        self._phrases: dict[str, Phrase] = {}
        self._grammars: dict[str, Grammar] = {}

    async def reply(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> AsyncIterator[Piece]:
        """The script's next words, one by one, and the tool it calls after them."""
        conversation, turn = self._replay(messages)
        if turn is None:
            started = any(message.role != "system" for message in messages)
            turn = conversation.silence() if started else conversation.begin()
        if turn.call is not None and turn.call.name not in {tool.name for tool in tools}:
            turn = conversation.without_tool(turn.text)
        for word in re.findall(r"\S+\s*", turn.text):
            if self._delay_seconds > 0:
                await asyncio.sleep(self._delay_seconds)
            yield TextDelta(word)
        if turn.call is not None:
            yield turn.call
        yield Finished("tool_calls" if turn.call is not None else "stop")

    def expects(self, messages: Sequence[Message]) -> Grammar:
        """The grammar of what the caller may say next; the same object for the same place."""
        conversation, turn = self._replay(messages)
        if turn is None and not any(message.role != "system" for message in messages):
            conversation.begin()
        grammar = conversation.grammar()
        return self._grammars.setdefault(grammar.name, grammar)

    async def aclose(self) -> None:
        """Nothing to close."""

    def _replay(self, messages: Iterable[Message]) -> tuple[Conversation, Turn | None]:
        """The conversation after these messages, and the turn that is still to be said."""
        conversation = Conversation(self.script, self._phrases)
        turn: Turn | None = None
        begun = False
        for message in messages:
            if message.role == "system":
                continue
            if message.role == "assistant":
                if turn is None and begun:
                    conversation = _after_silence(conversation, message)
                else:
                    turn = turn or conversation.begin()
                    conversation.keep(turn, message.content, called=bool(message.tool_calls))
                turn = None
            else:
                if turn is None and not begun:
                    turn = conversation.begin()
                if turn is not None:  # it was meant to be said, and nothing of it was heard
                    conversation.keep(turn, "", called=False)
                if message.role == "user":
                    turn = conversation.hear(message.content, message.confidence)
                else:
                    turn = conversation.result(message.content, message.tool_call_id)
            begun = True
        return conversation, turn


def _after_silence(conversation: Conversation, message: Message) -> Conversation:
    """The conversation after the agent spoke again unasked.

    The words may be the script's own for a silent caller, or the agent's: those change nothing.
    """
    prompted = copy(conversation)
    turn = prompted.silence()
    kept, meant = words_of(message.content), words_of(turn.text)
    if meant[: len(kept)] != kept:
        return conversation
    prompted.keep(turn, message.content, called=bool(message.tool_calls))
    return prompted
