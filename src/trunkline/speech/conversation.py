"""One conversation along a script: a pure machine without clock, socket or thread.

It is told what the caller said (`Conversation.hear`), what a tool gave back (`result`),
that nobody said anything (`silence`) and how much of the agent's last words was heard
(`keep`); each of the first three answers with a `Turn`, the agent's next words and tool.
The same messages lead to the same place, so a model can find its place by replaying them.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from .interfaces import Grammar, ToolCall
from .phrases import Match, Phrase, words_of
from .script import HELP, PLACEHOLDER, REPEAT, RESUME, Command, Option, Script

__all__ = ["Conversation", "Mode", "Turn"]


class Mode(Enum):
    """What the conversation waits for."""

    OPEN = "open"
    """One of the state's options."""
    ASK = "ask"
    """The value of a slot."""
    CONFIRM = "confirm"
    """Yes or no to the state's confirmation."""
    DOUBT = "doubt"
    """Yes or no to "did you say ...?"."""
    TOOL = "tool"
    """A tool's result."""
    ENDED = "ended"
    """Nothing; the caller may still change their mind."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What the agent says next, and the tool it calls after saying it."""

    text: str
    call: ToolCall | None = None


class _Heard(NamedTuple):
    """One thing the caller may say now."""

    kind: str
    """option, slot, yes, no or command."""
    phrase: Phrase
    go: str = ""
    means: str = ""
    in_grammar: bool = True


class _Doubt(NamedTuple):
    """Something understood with little certainty, kept until it is confirmed."""

    heard: _Heard
    slots: Mapping[str, str]
    mode: Mode
    """What was waited for before."""
    question: str
    """What was asked before."""


class Conversation:
    """Where one conversation is in its script, and what it says and hears there."""

    def __init__(self, script: Script, phrases: dict[str, Phrase] | None = None) -> None:
        self.script = script
        self.state = script.start
        self.mode = Mode.OPEN
        self.slots: dict[str, str] = {}
        self._asked = ""  # the slot asked for, in ASK
        self._fields: dict[str, str] = {}  # of the last tool result
        self._doubt: _Doubt | None = None
        self._question = ""  # what repair prompts ask again
        self._preamble = ""  # the words that led to it in the last turn: "Sorry, ..."
        self._said = ""  # what the last turn said after its preamble
        self._unheard = ""  # the sentences of that which the caller did not hear to the end
        self._missed = False  # the caller heard nothing of it at all
        self._resumed = False
        self._calls = 0
        self._call: ToolCall | None = None  # the one whose result is waited for
        self._failures = 0
        self._silences = 0
        # Compiled patterns: every conversation of a script can share one dictionary.
        self._phrases = {} if phrases is None else phrases

    # What happens to it

    def begin(self) -> Turn:
        """The agent speaks first."""
        return self._enter(self.script.start)

    def hear(self, text: str, confidence: float | None = None) -> Turn:
        """The caller said something; ``confidence`` as in `Transcript`, None for certain."""
        repair, certainty = self.script.repair, 1.0 if confidence is None else confidence
        self._silences = 0
        found = self._understand(text)
        if found is None or certainty < repair.reject_below:
            return self._nomatch()
        heard, match = found
        if certainty < repair.doubt_below and self._worth_asking(heard, match):
            return self._ask_doubt(heard, match)
        return self._take(heard, match.slots)

    def result(self, content: str, call_id: str | None) -> Turn:
        """A tool's result came; the fields of a JSON object can be used in texts."""
        if self._call is None or call_id != self._call.id:
            return Turn("")
        self._call = None
        if self.mode is Mode.ENDED:
            return Turn("")
        self._fields = _fields(content)
        state = self.script.states[self.state]
        for outcome in state.use.outcomes if state.use else ():
            if outcome.when.items() <= self._fields.items() and (
                outcome.when or "error" not in self._fields
            ):
                text = self._fill(outcome.say)
                for slot in outcome.forget:
                    self.slots.pop(slot, None)
                return self._enter(outcome.go, text)
        if "error" in self._fields:
            return self.without_tool()
        return self._enter(state.go or self.script.menu)

    def without_tool(self, said: str = "") -> Turn:
        """The tool just called is not to be had; ``said`` goes before the apology."""
        self._call = None
        if self.mode is Mode.ENDED:
            return Turn(said)
        return self._enter(self.script.menu, said, self.script.repair.failed)

    def silence(self) -> Turn:
        """It is the caller's turn and nothing is said."""
        if self.mode in (Mode.ENDED, Mode.TOOL):
            return Turn("")
        prompts = self.script.repair.noinput
        if self._silences >= len(prompts):
            return self._give_up()
        self._silences += 1
        return self._prompt(prompts[self._silences - 1])

    def keep(self, turn: Turn, text: str, *, called: bool) -> None:
        """What the caller heard of ``turn``, and whether its tool was ``called``."""
        heard = len(words_of(text))
        if turn.call is not None and not called:
            if heard > len(words_of(turn.text)):  # it went on without the tool: there was none
                turn = self.without_tool(turn.text)
            self._call = None
        self._unheard = ""
        if heard < len(words_of(turn.text)):
            heard -= len(words_of(self._preamble))
            self._unheard = _rest(self._said, heard)
            self._missed = heard <= 0

    # What it listens for

    def grammar(self) -> Grammar:
        """The language of the caller's next turn, as JSGF. Equal names mean equal text."""
        heard = [heard for heard in self._listening() if heard.in_grammar]
        slots = sorted({slot for one in heard for slot in one.phrase.slots})
        asked = self._asked if self._asks() else ""
        name = "_".join(filter(None, (self.script.name, self.state, self.mode.value, asked)))
        phrases = dict.fromkeys(one.phrase.jsgf() for one in heard)
        rules = [self.script.slots[slot].jsgf(slot) for slot in slots]
        turn = f"public <turn> = {' | '.join(phrases)};"
        return Grammar("\n".join(["#JSGF V1.0;", f"grammar {name};", turn, *rules, ""]), name)

    def _listening(self) -> Iterator[_Heard]:
        """Everything that may be said now; of equals the first is understood."""
        state, mode, repair = self.script.states[self.state], self.mode, self.script.repair
        asks = [state.ask[self._asked]] if self._asks() else list(state.ask.values())
        if mode in (Mode.CONFIRM, Mode.DOUBT):
            yield from self._heard("yes", repair.yes, repair.short_yes)
            yield from self._heard("no", repair.no, repair.short_no)
            for ask in asks:  # "no thank you, on Friday"
                loose = f"[{repair.short_no}] ({ask.hear})"
                yield from self._heard("slot", f"({repair.no}) ({ask.hear})", loose)
        elif mode is Mode.ASK:
            yield from self._heard("slot", asks[0].hear)
        if mode in (Mode.OPEN, Mode.TOOL, Mode.ENDED) or (mode is Mode.DOUBT and not asks):
            here = self.script.menu if mode is Mode.TOOL else self.state
            for option in self.script.options(here):
                yield from self._heard("option", option.hear, option.also, option)
        for command in self.script.commands:
            yield from self._heard("command", command.hear, command.also, command)

    def _asks(self) -> bool:
        """Whether a slot is asked for, if only to be sure of it."""
        return Mode.ASK in (self.mode, self._doubt.mode if self._doubt else None)

    def _heard(
        self, kind: str, pattern: str, also: str = "", source: Option | Command | None = None
    ) -> Iterator[_Heard]:
        go = source.go if source else ""
        means = source.means if isinstance(source, Option) else ""
        yield _Heard(kind, self._phrase(pattern), go, means)
        if also:
            yield _Heard(kind, self._phrase(also), go, means, in_grammar=False)

    def _phrase(self, pattern: str) -> Phrase:
        phrase = self._phrases.get(pattern)
        if phrase is None:
            phrase = self._phrases[pattern] = Phrase(pattern, self.script.slots)
        return phrase

    def _understand(self, text: str) -> tuple[_Heard, Match] | None:
        """What covers most of what was said; of equals, the one listed first."""
        words = words_of(text)
        best: tuple[_Heard, Match] | None = None
        for heard in self._listening():
            match = heard.phrase.find(words)
            if match is not None and (best is None or match.words > best[1].words):
                best = heard, match
        return best

    # What follows from what was said

    def _take(self, heard: _Heard, slots: Mapping[str, str]) -> Turn:
        """Something was said and understood: do as it says."""
        if heard.kind == "command":
            return self._command(heard.go)
        if heard.kind in ("yes", "no") and self._missed:
            return self._nomatch()  # the question was not heard: this answers something else
        self._failures = 0
        self._resumed = False
        doubt, self._doubt = self._doubt, None
        if doubt is not None:
            self.mode = doubt.mode
        if heard.kind == "no":
            return self._denied(doubt)
        if heard.kind == "yes":
            return self._confirmed() if doubt is None else self._take(doubt.heard, doubt.slots)
        if heard.go:
            self._forget(heard.go)
        self.slots.update(slots)
        return self._enter(heard.go or self.state)

    def _command(self, go: str) -> Turn:
        repair = self.script.repair
        if go == HELP:
            return self._prompt("{choices} {question}")
        if go in (REPEAT, RESUME):
            lead = repair.again if go == REPEAT else repair.resume
            return self._say(self._unheard or self._said, lead if self._unheard else "")
        self._failures = 0
        self._doubt = None
        self._forget(go)
        return self._enter(go)

    def _denied(self, doubt: _Doubt | None) -> Turn:
        """No: what was doubted is asked again; what was to be confirmed, from the start."""
        repair = self.script.repair
        if doubt is not None:
            self._question = doubt.question
            return self._say(self._question, repair.denied)
        self._forget(self.state)
        return self._enter(self.state, _lead(repair.denied))

    def _worth_asking(self, heard: _Heard, match: Match) -> bool:
        """Whether to doubt: not what was just doubted, nor what will be confirmed anyway."""
        if self.mode is Mode.DOUBT or heard.kind not in ("option", "slot"):
            return False
        if match.slots:
            return not self.script.states[heard.go or self.state].confirm
        return bool(heard.means)

    def _ask_doubt(self, heard: _Heard, match: Match) -> Turn:
        repair = self.script.repair
        self._doubt = _Doubt(heard, match.slots, self.mode, self._question)
        self.mode = Mode.DOUBT
        spoken = [self.script.slots[name].spoken(value) for name, value in match.slots.items()]
        template = repair.doubt_slots if spoken else repair.doubt_option
        said = ", ".join(spoken)
        self._question = self._fill(template, {"said": said, "means": heard.means})
        return self._say(self._question)

    def _nomatch(self) -> Turn:
        """Not understood: go on where the caller broke in, else ask again, else give up."""
        repair = self.script.repair
        if self.mode is Mode.ENDED:
            return Turn("")
        if self.mode is Mode.TOOL:
            return self._call_tool() if self._call is None else Turn("")
        if self._unheard and not self._resumed:
            self._resumed = True
            begun = self._unheard != self._said
            return self._say(self._unheard, repair.resume if begun else "")
        if self._failures >= len(repair.nomatch):
            return self._give_up()
        self._failures += 1
        return self._prompt(repair.nomatch[self._failures - 1])

    def _give_up(self) -> Turn:
        self._failures = self._silences = 0
        self._doubt = None
        return self._enter(self.script.lost)

    # What is said

    def _enter(self, name: str, *before: str) -> Turn:
        """Go to a state and on from it, up to where something is waited for."""
        texts = [text for text in before if text]
        while True:
            self.state = name
            state = self.script.states[name]
            missing = next((slot for slot in state.ask if slot not in self.slots), None)
            if missing is not None:
                self.mode, self._asked = Mode.ASK, missing
                return self._ask(state.ask[missing].say, texts)
            if state.confirm:
                self.mode = Mode.CONFIRM
                return self._ask(state.confirm, texts)
            if state.use is not None:
                return self._call_tool(*texts)
            if state.go:
                texts.append(self._fill(state.say))
                name = state.go
                continue
            self.mode = Mode.ENDED if state.end else Mode.OPEN
            return self._ask(state.say, texts)

    def _confirmed(self) -> Turn:
        state = self.script.states[self.state]
        if state.use is not None:
            return self._call_tool()
        said = self._fill(state.say)
        return self._enter(state.go, said) if state.go else self._say(said)

    def _call_tool(self, *before: str) -> Turn:
        """Say what is said while waiting, and call the state's tool."""
        state = self.script.states[self.state]
        assert state.use is not None
        self.mode = Mode.ENDED if state.end else Mode.TOOL
        self._calls += 1
        arguments = json.dumps({slot: self.slots.get(slot, "") for slot in state.use.slots})
        self._call = ToolCall(f"call_{self._calls}", state.use.tool, arguments)
        return self._say(_join(*before, self._fill(state.use.say)), call=self._call)

    def _ask(self, template: str, before: list[str]) -> Turn:
        self._question = self._fill(template)
        return self._say(_join(*before, self._question))

    def _prompt(self, template: str) -> Turn:
        """A repair prompt: what leads up to its question is not part of what is repeated."""
        lead = template.replace("{choices}", self._choices())
        return self._say(self._question, lead)

    def _choices(self) -> str:
        if self.mode is Mode.ASK:
            return self.script.states[self.state].ask[self._asked].choices
        return self.script.choices(self.state)

    def _say(self, text: str, lead: str = "", call: ToolCall | None = None) -> Turn:
        """Text, after what leads up to its ``{...}`` in a repair prompt."""
        self._preamble = _lead(lead)
        self._said, self._unheard, self._missed = text, "", False
        return Turn(_join(self._preamble, text), call)

    def _fill(self, template: str, values: Mapping[str, str] | None = None) -> str:
        """A template with slots as they are said and fields of the tool's result."""

        def value(found: re.Match[str]) -> str:
            name = found[1]
            raw = {**self.slots, **self._fields, **(values or {})}.get(name, "")
            slot = self.script.slots.get(name)
            return slot.spoken(raw) if slot is not None else raw

        return PLACEHOLDER.sub(value, template)

    def _forget(self, state: str) -> None:
        for slot in self.script.states[state].ask:
            self.slots.pop(slot, None)


def _lead(template: str) -> str:
    """What a repair prompt says before its question."""
    return PLACEHOLDER.split(template)[0].strip()


def _join(*texts: str) -> str:
    return " ".join(" ".join(texts).split())


def _rest(text: str, heard: int) -> str:
    """The sentences of ``text`` that were not wholly within its first ``heard`` words."""
    sentences = re.split(r"(?<=[.!?])\s+", text)
    for index, sentence in enumerate(sentences):
        heard -= len(words_of(sentence))
        if heard < 0:
            return " ".join(sentences[index:])
    return ""


def _fields(content: str) -> dict[str, str]:
    """A tool's result as text fields: its JSON object, or itself as ``result``."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return {"result": content}
    if not isinstance(value, dict):
        return {"result": content}
    return {
        name: one if isinstance(one, str) else json.dumps(one)
        for name, one in value.items()
        if one is not None
    }
