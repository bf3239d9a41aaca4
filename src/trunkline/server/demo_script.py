"""The demo's two speakers, as data: a bicycle shop's agent and somebody who calls it.

The words are chosen for a small recogniser on a telephone line: what may be said in one
place differs in several syllables, and nothing hangs on a lone "no" or "go".
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from trunkline.speech.interfaces import Message
from trunkline.speech.phrases import Digits, Words
from trunkline.speech.script import (
    HELP,
    REPEAT,
    RESUME,
    Ask,
    Command,
    Option,
    Outcome,
    Script,
    State,
    Use,
)

__all__ = ["CALLER", "INSTRUCTIONS", "SCRIPT", "Caller", "Cue", "Saying", "Shop", "shortcomings"]

INSTRUCTIONS = (
    "You answer the telephone of Copper Street Cycles, a bicycle workshop. Be brief and "
    "friendly: one or two short sentences, no lists. You can tell the opening hours (Monday to "
    "Friday eight to six, Saturday nine to two, Sunday closed), say whether a repair is ready "
    "(ask for the four digits of the ticket) and book a repair (ask for day and time, read them "
    "back, and book only when the caller agrees). When the caller is done, say goodbye and "
    "hang up."
)
"""The same shop for a language model that needs no script."""

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_HOURS = {9: "nine", 10: "ten", 11: "eleven", 14: "two", 15: "three", 16: "four"}

_MENU = State(
    say="Can I do anything else for you?",
    hear=(
        Option(
            hear="[excuse me] what are your opening hours | [excuse me] when are you open",
            also="opening hours | opening times | when do you (open | close)",
            go="hours",
            means="our opening hours",
        ),
        Option(
            hear="[excuse me | hold on please] is my bicycle ready | has my bicycle been repaired",
            also="is my (bike | repair | bicycle) (ready | done | finished)",
            go="status",
            means="to know whether a repair is ready",
        ),
        Option(
            hear="[excuse me] i would like to book a repair [on {day}] [at {time}]",
            also="book a repair | (book | make) an appointment | {day} at {time}",
            go="booking",
            means="to book a repair",
        ),
        Option(hear="no thank you [that is everything]", go="goodbye", also="no | nothing"),
    ),
    choices=(
        "You can ask for our opening hours, ask whether your bicycle is ready, or book a repair."
    ),
)

SCRIPT = Script(
    name="cycles",
    start="welcome",
    menu="menu",
    lost="lost",
    slots={
        "day": Words({day: day.lower() for day in _DAYS}),
        "time": Words(
            {f"{hour:02}:00": f"{word} o'clock" for hour, word in _HOURS.items()},
            say={f"{hour:02}:00": f"{word} o'clock" for hour, word in _HOURS.items()},
        ),
        "ticket": Digits(4),
    },
    states={
        "welcome": State(say="Copper Street Cycles, good morning.", go="first"),
        "first": State(say="What can I do for you?", like="menu"),
        "menu": _MENU,
        "hours": State(
            say=(
                "From Monday to Friday we are open from eight in the morning until six in the "
                "evening. On Saturdays we open an hour later, at nine, and we close at two in the "
                "afternoon. On Sundays we are closed, but you can leave your bicycle in the yard "
                "behind the shop."
            ),
            go="menu",
        ),
        "status": State(
            ask={
                "ticket": Ask(
                    say="What is your ticket number, please?",
                    hear="[my ticket number is | it is] {ticket}",
                    choices="Please say the four digits on your ticket.",
                )
            },
            use=Use(
                "repair_status",
                slots=("ticket",),
                say="One moment, I will look that up.",
                outcomes=(
                    Outcome(
                        when={"status": "ready"},
                        say="Good news. Ticket {ticket}, your {bicycle}, is ready.",
                        go="menu",
                    ),
                    Outcome(
                        when={"status": "waiting"},
                        say="Your {bicycle} is not ready yet. It should be done by {ready_on}.",
                        go="menu",
                    ),
                    Outcome(
                        when={"status": "unknown"},
                        say="I cannot find ticket {ticket}.",
                        forget=("ticket",),
                        go="status",
                    ),
                ),
            ),
        ),
        "booking": State(
            ask={
                "day": Ask(
                    say="Which day suits you?",
                    hear="[on] {day} [please] | on {day} at {time}",
                    choices="Any day from Monday to Saturday.",
                ),
                "time": Ask(
                    say="And at what time?",
                    hear="[at] {time} [please]",
                    choices="Nine, ten or eleven in the morning, two, three or four o'clock.",
                ),
            },
            confirm="A repair on {day} at {time}. Is that right?",
            use=Use(
                "book_repair",
                slots=("day", "time"),
                outcomes=(
                    Outcome(
                        when={"booked": "true"},
                        say="It is booked. We expect you on {day} at {time}.",
                        go="menu",
                    ),
                    Outcome(
                        when={"booked": "false"},
                        say="I am afraid {day} at {time} is taken.",
                        forget=("day", "time"),
                        go="booking",
                    ),
                ),
            ),
        ),
        "lost": State(
            say="I am sorry, the line seems to be bad. Please call again later. Goodbye.",
            go="hang_up",
        ),
        "goodbye": State(say="Thank you for calling. Goodbye.", go="hang_up"),
        "hang_up": State(use=Use("hang_up"), like="menu", end=True),
    },
    commands=(
        Command(
            "could you repeat that please | what did you say",
            REPEAT,
            also="what was that | (say | repeat) that again | pardon",
        ),
        Command("please continue", RESUME),
        Command("please help me", HELP, also="help | what can i say"),
        Command("thank you goodbye", "goodbye"),
    ),
)


class Shop:
    """The workshop's books, in memory: what the tools of one demo read and write."""

    def __init__(self) -> None:
        self.repairs: dict[str, dict[str, str]] = {
            "9320": {"status": "ready", "bicycle": "green touring bicycle"},
            "3902": {"status": "waiting", "bicycle": "red racing bicycle", "ready_on": "Friday"},
        }
        self.bookings: set[tuple[str, str]] = {("Monday", "09:00")}

    def repair_status(self, ticket: str) -> dict[str, str]:
        """Look up whether a repair is ready.

        Args:
            ticket: The four digits on the repair ticket.
        """
        return self.repairs.get(ticket, {"status": "unknown"})

    def book_repair(
        self,
        day: Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"],
        time: Literal["09:00", "10:00", "11:00", "14:00", "15:00", "16:00"],
    ) -> dict[str, bool]:
        """Book a repair.

        Args:
            day: The day of this week.
            time: When the bicycle is brought in.
        """
        free = (day, time) not in self.bookings
        self.bookings.add((day, time))
        return {"booked": free}

    @property
    def tools(self) -> tuple[Callable[..., object], ...]:
        """The tools to give to the agent."""
        return (self.repair_status, self.book_repair)


@dataclass(frozen=True, slots=True)
class Cue:
    """When the agent says this, the caller says that. The first cue that fits is taken."""

    after: str
    """A regular expression, searched in what the agent said last, case ignored."""
    says: str
    plainly: str = ""
    """What the caller says instead after "Sorry, ..."; nothing: the same again."""
    until: str = ""
    """Once the agent has said this, the cue is over: the caller has what they wanted."""
    breaks_in_after_words: int = 0
    """Words of the agent's the caller hears before breaking in; 0: the caller waits."""


@dataclass(frozen=True, slots=True)
class Saying:
    """What the caller says next, and when."""

    text: str
    breaks_in_after_words: int = 0


CALLER = (
    Cue("what can i do|anything else", "what are your opening hours", "when are you open",
        until="we are open from"),
    Cue("we are open from", "hold on please is my bicycle ready",
        until="ticket number|we are closed", breaks_in_after_words=14),
    Cue("anything else", "is my bicycle ready", until="your green touring bicycle"),
    Cue("nine, three, two, zero. is that right|say nine, three, two, zero", "yes please",
        "that is correct"),
    Cue("ticket number|digits", "my ticket number is nine three two zero", "nine three two zero"),
    Cue("anything else", "i would like to book a repair", until="it is booked"),
    Cue("did you want (our|to know|to book)", "yes please", "that is correct"),
    Cue("say saturday|say eleven o'clock", "yes please", "that is correct"),
    Cue("on saturday at eleven o'clock. is that right", "yes please", "that is right"),
    Cue("is that right|did you (say|want)", "no thank you", "that is wrong"),
    Cue("which day|any day", "on saturday please", "on saturday"),
    Cue("what time|nine, ten or eleven", "at eleven o'clock please", "at eleven o'clock"),
    Cue("anything else", "no thank you that is everything",
        "thank you goodbye"),
)  # fmt: skip
"""The demo's caller: asks, breaks in, gives a ticket, books, and says goodbye."""

_NOT_UNDERSTOOD = re.compile("did not catch|did not understand|are you still there", re.I)


class Caller:
    """Goes through cues: told what the agent said, tells what the caller says to it."""

    def __init__(self, cues: Sequence[Cue] = CALLER) -> None:
        self._cues = list(cues)
        self._last: Cue | None = None

    def answer(self, agent_said: str) -> Saying | None:
        """What to say when the agent's turn is this; None: nothing, the call is over."""
        if "goodbye" in agent_said.lower():
            return None
        if self._last is not None and _NOT_UNDERSTOOD.search(agent_said):
            return Saying(self._last.plainly or self._last.says)
        live = [cue for cue in self._cues if _said(cue.after, agent_said)]
        self._cues = [cue for cue in self._cues if not (cue.until and _said(cue.until, agent_said))]
        live = [cue for cue in live if cue in self._cues or cue.breaks_in_after_words]
        if not live:
            return None
        self._last = live[0]
        return Saying(live[0].says, live[0].breaks_in_after_words)


def shortcomings(messages: Sequence[Message]) -> list[str]:
    """What the demo's conversation should have and this one has not; empty if it went well."""
    calls = {(call.name, call.arguments) for one in messages for call in one.tool_calls}
    replies = [one.content for one in messages if one.role == "assistant"]
    spoken = " ".join(replies)
    checks = {
        "the opening hours were not told": "From Monday to Friday" in spoken,
        "the repair was not looked up": ("repair_status", '{"ticket": "9320"}') in calls,
        "the caller was not told that it is ready": "your green touring bicycle" in spoken,
        "nothing was booked": _BOOKING in calls and "It is booked" in spoken,
        "the agent did not hang up": "hang_up" in {name for name, _ in calls},
    }
    return [problem for problem, well in checks.items() if not well]


_BOOKING = ("book_repair", '{"day": "Saturday", "time": "11:00"}')


def _said(pattern: str, text: str) -> bool:
    return re.search(pattern, text, re.IGNORECASE) is not None
