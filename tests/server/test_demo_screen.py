"""The demo's terminal while the call is up."""

import asyncio
import contextlib
import io
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from trunkline.agent.events import (
    AgentFailed,
    AgentSaying,
    AgentSpoke,
    AgentStarted,
    BargeIn,
    CallerSilent,
    CallerStarted,
    CallerTurn,
    ToolCalled,
)
from trunkline.calls.call import Call
from trunkline.calls.events import CallEnded
from trunkline.server.demo_caller import CallerSpoke
from trunkline.server.demo_screen import DemoScreen, clock, print_neatly

BEGAN = 1000.0


class Shown:
    """A screen whose call began at `BEGAN`, and what it has shown."""

    def __init__(self, *, terminal: bool = False, width: int = 80, **options: Any) -> None:
        self.out = io.StringIO()
        self.now = BEGAN
        self.console = Console(
            file=self.out, width=width, force_terminal=terminal, highlight=False,
            color_system="standard" if terminal else None, **options,
        )  # fmt: skip
        self.screen = DemoScreen(self.console, lambda: self.now)
        self.screen.connected(cast("Call", SimpleNamespace(started_monotonic=BEGAN)))

    def tell(self, *events: object) -> str:
        for event in events:
            self.screen.event(event)
        return self.text

    @property
    def text(self) -> str:
        return self.out.getvalue()

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


def understood(text: str, confidence: float = 0.97, at: float = BEGAN + 4.2) -> CallerTurn:
    return CallerTurn(at + 2, 1, text, confidence, 1400, at, at + 1.4)


def spoke(heard: str, unheard: str = "", *, interrupted: bool = False) -> AgentSpoke:
    return AgentSpoke(BEGAN + 12.7, 1, heard, unheard, interrupted, False)


# What is printed


def test_a_conversation_reads_from_top_to_bottom() -> None:
    shown = Shown()
    shown.screen.begin("flite")
    shown.screen.dialling("sip:shop@127.0.0.1:5060", "5551234@127.0.0.1:5062")
    shown.tell(AgentStarted(BEGAN + 0.14, 1), spoke("Good morning."))
    shown.screen.caller_speaks(CallerSpoke(BEGAN + 4.2, "when are you open", False))
    shown.tell(understood("when are you open"))
    shown.screen.ended(CallEnded("id", BEGAN + 61.26, "hangup", "them", None))
    assert shown.lines[0] == "Trunkline demo"
    assert shown.lines[-4:] == [
        "0:00.0  call    5551234@127.0.0.1:5062 calls sip:shop@127.0.0.1:5060",
        "0:00.1  agent   Good morning.",
        "0:04.2  caller  when are you open",
        "1:01.3  call    the agent hung up (hangup)",
    ]


def test_lines_carry_the_time_at_which_they_began() -> None:
    shown = Shown()
    shown.tell(AgentStarted(BEGAN + 7.4, 1), spoke("We open at nine."))
    assert shown.lines == ["0:07.4  agent   We open at nine."]


def test_long_text_is_a_block_and_nothing_is_wider_than_the_terminal() -> None:
    shown = Shown(width=80)
    shown.tell(AgentStarted(BEGAN, 1), spoke("twelve words and more " * 12))
    assert len(shown.lines) > 3
    assert all(line.startswith(" " * 16) for line in shown.lines[1:])
    assert all(len(line) <= 80 and line == line.rstrip() for line in shown.lines)


def test_what_was_cut_off_is_marked_where_nothing_can_be_struck_through() -> None:
    shown = Shown()
    shown.tell(
        AgentStarted(BEGAN + 7.4, 1),
        BargeIn(BEGAN + 12.7, BEGAN + 12.4),
        spoke("On", " Saturdays at nine.", interrupted=True),
    )
    assert shown.lines == [
        "0:07.4  agent   On [not heard: Saturdays at nine.]",
        "                ✂ cut off at 0:12.7, the caller broke in; the rest was not heard",
    ]


def test_what_was_cut_off_is_struck_through_on_a_terminal() -> None:
    shown = Shown(terminal=True)
    shown.tell(AgentStarted(BEGAN, 1), spoke("On", " Saturdays.", interrupted=True))
    assert "\x1b[2;9mSaturdays.\x1b[0m" in shown.text
    assert "not heard:" not in shown.text


def test_no_colour_where_none_is_wanted() -> None:
    shown = Shown(terminal=True, no_color=True)
    shown.tell(AgentStarted(BEGAN, 1), spoke("On", " Saturdays.", interrupted=True))
    assert not any(f"\x1b[{code}m" in shown.text for code in (33, 35, 36))


def test_doubt_is_shown_and_certainty_is_not() -> None:
    shown = Shown()
    assert "sure" not in shown.tell(understood("yes please", 0.93))
    assert shown.tell(understood("yes please", 0.31)).endswith("yes please  31% sure\n")


def test_what_was_misheard_is_told() -> None:
    shown = Shown()
    shown.screen.caller_speaks(CallerSpoke(BEGAN, "on saturday please", True))
    shown.tell(understood("on sunday please"))
    assert shown.lines == [
        "0:04.2  caller  on sunday please  ✂ breaks in",
        "                ≠ misheard: the caller said “on saturday please”",
    ]


def test_what_was_not_understood_is_told() -> None:
    shown = Shown()
    assert "(nothing was understood)" in shown.tell(understood(""))


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("A repair on Saturday. Is that right?", "? makes sure before going on"),
        ("Did you say nine, three?", "? makes sure before going on"),
        ("Sorry, I did not catch that. Which day?", "↺ asks again"),
        ("Are you still there?", "↺ asks again"),
        ("As I was saying: Saturdays at nine.", "↺ asks again"),
        ("You are right. It is booked.", ""),
    ],
)
def test_confirmations_and_repairs_are_seen_as_such(text: str, note: str) -> None:
    shown = Shown()
    shown.tell(AgentStarted(BEGAN, 1), spoke(text))
    assert [line.strip() for line in shown.lines[1:]] == ([note] if note else [])


@pytest.mark.parametrize(
    ("arguments", "result", "shown_as"),
    [
        ('{"day": "Saturday", "seats": 2}', '{"booked": true, "by": "Ann"}',
         'book(day="Saturday", seats=2) → booked: true, by: Ann  2 ms'),
        ("{}", "The call ends as soon as your goodbye has been heard.", "book()  2 ms"),
        ("not json", "[1, 2]", "book(not json)  2 ms"),
    ],
)  # fmt: skip
def test_tools_are_shown_with_their_results(arguments: str, result: str, shown_as: str) -> None:
    shown = Shown()
    shown.tell(ToolCalled(BEGAN + 1, "book", arguments, result, 0.0021))
    assert shown.lines == [f"0:01.0  tool    {shown_as}"]


def test_trouble_is_told() -> None:
    shown = Shown()
    shown.tell(
        AgentFailed(BEGAN + 1, "synthesis", "it gave no [audio]"), CallerSilent(BEGAN + 2, 1)
    )
    assert shown.lines == [
        "0:01.0  call    synthesis failed: it gave no [audio]",
        "0:02.0  call    nobody has said anything",
    ]


def test_other_events_are_passed_over() -> None:
    assert Shown().tell(object(), CallerStarted(BEGAN, 1)) == ""


# What moves


def test_nothing_moves_where_there_is_no_terminal() -> None:
    shown = Shown()
    with shown.screen:
        asyncio.run(shown.screen.run())
    assert shown.text == ""


def test_the_words_appear_as_they_are_spoken() -> None:
    shown = Shown(terminal=True)
    shown.tell(
        AgentSaying(BEGAN, "We open at nine in the morning.", BEGAN + 1.0, 1),
        AgentStarted(BEGAN + 1.0, 1),
    )

    def bright(now: float) -> str:
        shown.now = now
        with shown.console.capture() as capture:
            shown.console.print(shown.screen._happening())
        text = capture.get().partition("agent \x1b[0m")[2]
        return text.partition("\x1b[2m")[0].strip()

    assert bright(BEGAN + 0.5) == ""
    assert bright(BEGAN + 1.6) == "We open"
    assert bright(BEGAN + 9.0) == "We open at nine in the morning."


def test_it_says_who_is_listened_to() -> None:
    shown = Shown(terminal=True)

    def happening() -> str:
        with shown.console.capture() as capture:
            shown.console.print(shown.screen._happening())
        return capture.get()

    assert "listening" in happening()
    shown.screen.caller_speaks(CallerSpoke(BEGAN, "yes please", False))
    assert "yes please" in happening()
    assert "caller" in happening()
    shown.tell(understood("yes please"))
    assert "yes please" not in happening()


def test_the_moving_part_is_gone_in_the_end() -> None:
    shown = Shown(terminal=True)

    async def watch() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await shown.screen.run()

    with shown.screen:
        asyncio.run(watch())
        assert "listening" in shown.text
    assert shown.text.endswith("\x1b[2K")  # the line is cleared
    assert "\x1b[?25h" in shown.text  # the cursor is back


# Small things


@pytest.mark.parametrize(
    ("seconds", "shown_as"), [(0, "0:00.0"), (9.96, "0:10.0"), (61.24, "1:01.2"), (-0.3, "0:00.0")]
)
def test_clock(seconds: float, shown_as: str) -> None:
    assert clock(seconds) == shown_as


def test_lines_have_no_spaces_at_their_end_in_a_file() -> None:
    out = io.StringIO()
    print_neatly(Console(file=out, width=20), "word  \nother   ")
    assert out.getvalue() == "word\nother\n"
