"""The demo's terminal while the call is up: who speaks, what was understood, what was cut off.

What is over is printed, a line each, with the time it began. On a terminal a live
region below shows what is happening now; where the output is piped there is none.
"""

import asyncio
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

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

from .demo_caller import CallerSpoke

__all__ = ["DemoScreen", "clock", "print_neatly"]

FRAME_SECONDS = 0.125
"""Between two pictures of the live region; each costs about 2 ms."""
LETTERS_A_SECOND = 15.0
"""How fast a synthetic voice speaks, to show roughly which word it is at."""
UNSURE_BELOW = 0.5
"""A confidence below this is worth showing; it is also where the agent asks back."""

STYLES = {"caller": "cyan", "agent": "magenta", "tool": "yellow", "call": "dim"}
_ASKS_TO_BE_SURE = re.compile(r"\bis that right\?|\bdid you (say|want)\b", re.IGNORECASE)
_REPAIRS = re.compile(
    r"did not (catch|understand)|are you still there|sorry about that|as i was saying|i said:",
    re.IGNORECASE,
)


@dataclass(slots=True)
class _Piece:
    """One sentence of the reply that is being spoken."""

    text: str
    plays_at: float


@dataclass(slots=True)
class _Now:
    """What is going on: shown live, and the source of what is printed when it is over."""

    pieces: list[_Piece] = field(default_factory=list)
    agent_began: float | None = None
    caller_says: str = ""
    """What the synthetic caller is really saying."""
    caller_speaks: bool = False
    listening_since: float | None = None


class DemoScreen:
    """Shows one call. Use it as a context; `run` keeps the live region moving."""

    def __init__(self, console: Console, now: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = now
        self._began: float | None = None
        self._now = _Now()
        self._said = ""  # what the caller said last, to compare with what was understood
        self._broke_in = False
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(
                console=self._console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    async def run(self) -> None:
        """Refresh the live region until cancelled."""
        while self._live is not None:
            self._live.update(self._happening(), refresh=True)
            await asyncio.sleep(FRAME_SECONDS)

    # -- what happens, in order ----------------------------------------------------------

    def begin(self, engine: str) -> None:
        """Before anything is started."""
        out = self._console
        out.print(Text("Trunkline demo", style="bold"))
        out.print(
            "A telephone call on this machine, over real SIP and RTP on loopback. A synthetic "
            "caller rings a bicycle shop; a voice agent answers and hears nothing but audio. "
            f"Both speak with {engine}. It takes about a minute.",
            style="dim",
        )
        out.print()

    def dialling(self, target: str, caller: str) -> None:
        """The call is being placed."""
        self._event("call", Text(f"{caller} calls {target}", style="dim"), 0.0)

    def connected(self, call: Call) -> None:
        """The shop has the call."""
        self._began = call.started_monotonic

    def caller_speaks(self, event: CallerSpoke) -> None:
        """The synthetic caller begins to speak."""
        self._now.caller_says = self._said = event.text
        self._broke_in = event.breaks_in

    def event(self, event: object) -> None:
        """What the agent tells; other events are ignored."""
        match event:
            case AgentSaying():
                self._now.pieces.append(_Piece(event.text, event.plays_at))
            case AgentStarted():
                self._now.agent_began = event.at
            case AgentSpoke():
                self._agent_spoke(event)
            case CallerStarted():
                self._now.caller_speaks = True
            case BargeIn():
                self._now.caller_speaks = True
            case CallerTurn():
                self._caller_turn(event)
            case ToolCalled():
                self._event("tool", _tool(event), event.at)
            case CallerSilent():
                self._event("call", Text("nobody has said anything", style="dim"), event.at)
            case AgentFailed():
                text = Text(f"{event.stage} failed: {event.message}", style="bold red")
                self._event("call", text, event.at)

    def ended(self, end: CallEnded) -> None:
        """The call is over, as the caller's side saw it."""
        self._now = _Now()
        by = "the agent" if end.by == "them" else "the caller"
        self._event("call", Text(f"{by} hung up ({end.reason})", style="dim"), end.at)
        self._refresh()

    # -- what is printed ------------------------------------------------------------------

    def _agent_spoke(self, event: AgentSpoke) -> None:
        began = self._now.agent_began or event.at
        text = Text(event.heard.strip(), style="" if event.heard else "dim")
        unheard = event.unheard.strip()
        if unheard:
            text.append_text(_struck(unheard, marked=not self._console.is_terminal))
        notes = []
        if event.interrupted:
            notes.append(
                Text(f"✂ cut off at {clock(event.at - self._start())}, ", style="yellow")
                + Text("the caller broke in; the rest was not heard", style="dim")
            )
        elif _REPAIRS.search(event.heard):
            notes.append(Text("↺ asks again", style="yellow"))
        elif _ASKS_TO_BE_SURE.search(event.heard):
            notes.append(Text("? makes sure before going on", style="dim"))
        self._event("agent", text, began, notes)
        self._now.pieces.clear()
        self._now.agent_began = None
        self._now.listening_since = event.at

    def _caller_turn(self, event: CallerTurn) -> None:
        said, self._said = self._said, ""
        self._now.caller_says, self._now.caller_speaks = "", False
        self._now.listening_since = None
        text = Text(event.text or "(nothing was understood)", style="" if event.text else "dim")
        notes = []
        if event.text and event.confidence < UNSURE_BELOW:
            text.append(f"  {event.confidence:.0%} sure", style="yellow")
        if said and _words(said) != _words(event.text):
            notes.append(Text(f"≠ misheard: the caller said “{said}”", style="yellow"))
        if self._broke_in:
            text.append("  ✂ breaks in", style="yellow")
            self._broke_in = False
        self._event("caller", text, event.speech_started_at, notes)

    def _event(self, who: str, text: Text, at: float, notes: list[Text] | None = None) -> None:
        """One line; its text is indented as a block however wide the terminal is."""
        seconds = at - self._start() if at else 0.0
        line = _grid()
        line.add_row(Text(clock(seconds), style="dim"), Text(who, style=STYLES[who]), text)
        for note in notes or ():
            line.add_row("", "", note)
        print_neatly(self._console, line)

    def _start(self) -> float:
        return self._began if self._began is not None else self._clock()

    # -- what is going on -------------------------------------------------------------------

    def _refresh(self) -> None:
        if self._live is not None:
            self._live.update(self._happening(), refresh=True)

    def _happening(self) -> RenderableType:
        """The live region: the agent's words as they are spoken, or who is listened to."""
        if self._began is None:
            return Text("        setting up the engines …", style="dim")
        now, grid = self._clock(), _grid()
        if self._now.pieces and self._now.agent_began is not None:
            who = Text("agent", style=f"bold {STYLES['agent']}")
            grid.add_row(_pulse(now), who, _spoken(self._now.pieces, now))
        if self._now.caller_says:
            who = Text("caller", style=f"bold {STYLES['caller']}")
            grid.add_row(_pulse(now), who, Text(self._now.caller_says + " …", style="dim"))
        elif not self._now.pieces:
            grid.add_row(_pulse(now), "", Text("listening …", style="dim"))
        return grid


def print_neatly(console: Console, shown: RenderableType) -> None:
    """Print; where there is no terminal without the spaces that fill its lines."""
    if console.is_terminal:
        console.print(shown)
        return
    with console.capture() as capture:
        console.print(shown)
    console.file.writelines(f"{line.rstrip()}\n" for line in capture.get().splitlines())
    console.file.flush()


def clock(seconds: float) -> str:
    """A time in the call: 0:04.2."""
    tenths = round(max(0.0, seconds) * 10)
    return f"{tenths // 600}:{tenths // 10 % 60:02}.{tenths % 10}"


def _grid() -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=6, justify="right")
    grid.add_column(width=6)
    grid.add_column(overflow="fold")
    return grid


def _pulse(now: float) -> Text:
    return Text("●" if now % 1.0 < 0.6 else "○", style="green")


def _spoken(pieces: list[_Piece], now: float) -> Text:
    """The reply, what has been spoken of it bright and the rest dim."""
    text = Text()
    for piece in pieces:
        letters = max(0, int((now - piece.plays_at) * LETTERS_A_SECOND))
        # Not in the middle of a word.
        end = len(piece.text) if letters >= len(piece.text) else piece.text.rfind(" ", 0, letters)
        end = max(0, end)
        text.append(piece.text[:end])
        text.append(piece.text[end:], style="dim")
    return Text() + text[len(text.plain) - len(text.plain.lstrip()) :]


def _struck(unheard: str, *, marked: bool) -> Text:
    """Words that were never heard; in brackets where nothing can be struck through."""
    text = Text(" ")
    return text.append(f"[not heard: {unheard}]" if marked else unheard, style="dim strike")


def _tool(event: ToolCalled) -> Text:
    """``book_repair(day="Saturday", time="11:00") → booked: true``."""
    text = Text().append(event.name, style="bold")
    text.append(f"({_pairs(event.arguments, '=')})")
    result = _pairs(event.result, ": ")
    if result and result != event.result:  # sentences are meant for the model
        text.append(" → ", style="dim").append(result)
    return text.append(f"  {event.seconds * 1000:.0f} ms", style="dim")


def _pairs(written: str, between: str) -> str:
    """A JSON object as ``name: value`` pairs; anything else as it is."""
    try:
        value = json.loads(written)
    except ValueError:
        return written
    if not isinstance(value, dict):
        return written
    quoted = between == "="
    return ", ".join(
        f"{name}{between}"
        f"{one if isinstance(one, str) and not quoted else json.dumps(one, ensure_ascii=False)}"
        for name, one in value.items()
    )


def _words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())
