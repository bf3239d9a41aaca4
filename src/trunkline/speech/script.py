"""A dialogue written down as data: states, what they say and hear, tools and repair.

The words are VoiceXML's where it has them (https://www.w3.org/TR/voicexml20/): a state
with ``ask`` is a form whose fields are slots, filled in any order and asked for where
missing; ``nomatch`` and ``noinput`` prompts escalate; commands are understood everywhere.
`trunkline.speech.conversation` runs a script, `ScriptedModel` makes a model of it.

Texts the agent says are templates: ``{day}`` is a slot's value as it is said, or a field
of the tool's result. In repair prompts ``{question}`` is what was last asked and
``{choices}`` what can be said.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from trunkline.errors import UsageError

from .phrases import Phrase, PhraseError, Slot

__all__ = [
    "HELP",
    "REPEAT",
    "RESUME",
    "Ask",
    "Command",
    "Option",
    "Outcome",
    "Repair",
    "Script",
    "ScriptError",
    "State",
    "Use",
]

REPEAT, HELP, RESUME = "@repeat", "@help", "@resume"
"""Where a command leads when not to a state: say it again, say what can be said, go on."""

PLACEHOLDER = re.compile(r"\{(\w+)\}")


class ScriptError(UsageError):
    """A script cannot work as written; the message lists everything that is wrong."""


@dataclass(frozen=True, slots=True)
class Option:
    """Something the caller may say in a state, and where it leads."""

    hear: str
    """A pattern (see `trunkline.speech.phrases`); its slots are filled on the way."""
    go: str
    """The next state."""
    means: str = ""
    """What it means, to complete "Did you want ...?"; without it, it is never doubted."""
    also: str = ""
    """A pattern that is understood too, but kept out of grammars: words too short or too
    loose for a small recogniser to tell apart."""


@dataclass(frozen=True, slots=True)
class Ask:
    """How a state asks for a slot."""

    say: str
    """The question."""
    hear: str
    """The pattern of its answers; may fill other slots of the state too."""
    choices: str = ""
    """What can be answered, for a caller who was not understood twice."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What follows from a tool's result: the first outcome that applies is taken."""

    say: str
    """What the agent says; may use the result's fields."""
    go: str
    """The next state."""
    when: Mapping[str, str] = field(default_factory=dict)
    """Fields the result must have, with these values; nothing applies always."""
    forget: tuple[str, ...] = ()
    """Slots to ask for again."""


@dataclass(frozen=True, slots=True)
class Use:
    """A tool to call."""

    tool: str
    slots: tuple[str, ...] = ()
    """The arguments: slots, by name."""
    say: str = ""
    """What the agent says while it waits."""
    outcomes: tuple[Outcome, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """One state. In this order: ask for slots, confirm, use a tool, say, go on or listen."""

    say: str = ""
    go: str = ""
    """Where it goes on to after saying, without listening."""
    hear: tuple[Option, ...] = ()
    like: str = ""
    """Another state whose options are heard here too."""
    choices: str = ""
    """What can be said, for help and for a caller who was not understood."""
    ask: Mapping[str, Ask] = field(default_factory=dict)
    """Slots this state needs and how it asks for them, in order."""
    confirm: str = ""
    """Asked before the tool is used."""
    use: Use | None = None
    end: bool = False
    """The conversation is over when the tool, or the last word, is through."""


@dataclass(frozen=True, slots=True)
class Command:
    """Something the caller may say anywhere."""

    hear: str
    go: str
    """A state, or `REPEAT`, `HELP` or `RESUME`."""
    also: str = ""
    """Understood, but kept out of grammars: see `Option.also`."""


@dataclass(frozen=True, slots=True)
class Repair:
    """What is said when hearing or understanding fails."""

    yes: str = "yes please | yes that is right | that is right | that is correct"
    no: str = "no thank you | no that is wrong | that is wrong"
    short_yes: str = "yes | yeah | yep | right | correct | sure | okay | exactly"
    short_no: str = "no | nope | wrong | not (right | correct)"
    """Understood, but kept out of grammars: see `Option.also`."""
    nomatch: tuple[str, ...] = (
        "Sorry, I did not catch that. {question}",
        "I am sorry, I still did not understand. {choices} {question}",
    )
    """One after the other; after the last, `Script.lost` is entered."""
    noinput: tuple[str, ...] = ("Are you still there? {question}",)
    """The same for a caller who says nothing."""
    doubt_option: str = "Did you want {means}?"
    doubt_slots: str = "Did you say {said}?"
    denied: str = "Sorry about that. {question}"
    again: str = "I said: {text}"
    resume: str = "As I was saying: {text}"
    failed: str = "I am sorry, I cannot do that at the moment."
    """A tool failed or is not there, and no outcome is meant for that."""
    reject_below: float = 0.2
    """Transcripts less certain than this were not understood."""
    doubt_below: float = 0.5
    """Transcripts less certain than this are confirmed first."""


@dataclass(frozen=True, slots=True)
class Script:
    """A whole dialogue.

    Raises:
        ScriptError: it names states or slots that do not exist, a pattern is malformed,
            or states lead to each other without ever listening.
    """

    name: str
    """A word; grammars are named after it."""
    start: str
    menu: str
    """Where a failed state leads, and whose options are heard while a tool works."""
    lost: str
    """Where a caller is led who cannot be understood."""
    states: Mapping[str, State]
    slots: Mapping[str, Slot] = field(default_factory=dict)
    commands: tuple[Command, ...] = ()
    repair: Repair = field(default_factory=Repair)

    def __post_init__(self) -> None:
        """Check everything that can be checked before a call."""
        problems = [*self._check_names(), *self._check_patterns(), *self._check_silent_loops()]
        if problems:
            raise ScriptError(f"the script {self.name!r} cannot work: " + "; ".join(problems))

    def options(self, state: str) -> tuple[Option, ...]:
        """What is heard in a state, its likeness's options included."""
        here = self.states[state]
        return (*here.hear, *(self.options(here.like) if here.like else ()))

    def choices(self, state: str) -> str:
        """What can be said in a state, as the agent says it."""
        here = self.states[state]
        return here.choices or (self.choices(here.like) if here.like else "")

    def _check_names(self) -> Iterator[str]:
        if not self.name.isidentifier():
            yield f"its name {self.name!r} is not a word"
        targets = [("it", goal) for goal in (self.start, self.menu, self.lost)]
        for name, state in self.states.items():
            targets += [(f"state {name!r}", goal) for goal in _targets(state)]
        builtin = (REPEAT, HELP, RESUME)
        targets += [("a command", c.go) for c in self.commands if c.go not in builtin]
        for where, goal in targets:
            if goal not in self.states:
                yield f"{where} leads to {goal!r}, which is no state"
        for name, state in self.states.items():
            needed = {*state.ask, *(state.use.slots if state.use else ())}
            for slot in sorted(needed - set(self.slots)):
                yield f"state {name!r} needs {slot!r}, which is no slot"
            if state.confirm and not (state.ask and (state.use or state.go)):
                yield f"state {name!r} confirms, but asks for nothing or leads nowhere"

    def _check_patterns(self) -> Iterator[str]:
        repair = self.repair
        patterns = [repair.yes, repair.no, repair.short_yes, repair.short_no]
        heard: list[Option | Command] = list(self.commands)
        for state in self.states.values():
            heard += state.hear
        patterns += [pattern for one in heard for pattern in (one.hear, one.also) if pattern]
        for state in self.states.values():
            patterns += [ask.hear for ask in state.ask.values()]
        for pattern in patterns:
            try:
                Phrase(pattern, self.slots)
            except PhraseError as error:
                yield str(error)
        for name, state in self.states.items():
            for slot, ask in state.ask.items():
                if slot in self.slots and f"{{{slot}}}" not in ask.hear:
                    yield f"state {name!r} asks for {slot!r} but does not hear it"

    def _check_silent_loops(self) -> Iterator[str]:
        for name in self.states:
            seen, here = {name}, name
            while here in self.states and (here := _goes_on(self.states[here])):
                if here in seen:
                    yield f"from {name!r} it goes round through {here!r} without listening"
                    break
                seen.add(here)
            seen, here = {name}, name
            while here in self.states and (here := self.states[here].like):
                if here in seen:
                    yield f"state {name!r} is like itself"
                    break
                seen.add(here)


def _targets(state: State) -> Iterator[str]:
    yield from (goal for goal in (state.go, state.like) if goal)
    yield from (option.go for option in state.hear)
    yield from (outcome.go for outcome in (state.use.outcomes if state.use else ()))


def _goes_on(state: State) -> str:
    """The next state where nothing stops the script before it."""
    return "" if state.ask or state.confirm or state.use else state.go
