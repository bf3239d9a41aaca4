"""The demo's terminal after the call: latency, quality, what is left, and whether it went well."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trunkline.agent.events import TurnLatency
from trunkline.calls.record import CallRecord

from .demo_result import DemoResult
from .demo_screen import print_neatly
from .quality import quality_lines

__all__ = ["STAGES", "print_report", "waterfall"]

STAGES = (
    ("endpointing_ms", "silence", "bright_black", "░"),
    ("recognition_ms", "hear", "blue", "▒"),
    ("first_token_ms", "think", "magenta", "▓"),
    ("first_audio_ms", "voice", "yellow", "█"),
    ("first_packet_ms", "send", "green", "■"),
)
"""Field of `TurnLatency`, heading, colour, and the sign where there are no colours."""
_SAID_COLUMNS = 22
_LEAST_CELLS = 10
"""Of a bar; where the numbers of the stages would leave less, they are left out."""


def print_report(console: Console, result: DemoResult) -> None:
    """Everything there is to say after the call."""
    console.print()
    if result.latencies:
        _heading(console, "How long each answer took", "ms from the caller's last sound")
        print_neatly(console, waterfall(result.latencies, result.understood, console))
        console.print(_summary(result.latencies))
    if result.record is not None and result.record.quality:
        _heading(console, "Quality of the call", "as the agent's side measured it")
        rows = _rows()
        for name, value in quality_lines(result.record.quality, result.record.talked_seconds):
            rows.add_row(Text(name, style="dim"), value)
        print_neatly(console, rows)
    _print_places(console, result)
    _print_outcome(console, result)


def _heading(console: Console, heading: str, remark: str = "") -> None:
    text = Text(heading, style="bold")
    if remark:
        text.append(f"  {remark}", style="dim not bold")
    console.print(text)


def _rows() -> Table:
    rows = Table.grid(padding=(0, 2, 0, 0))
    rows.add_column(width=12)
    rows.add_column(overflow="fold")
    return rows


# -- latency -------------------------------------------------------------------------


def waterfall(latencies: Sequence[TurnLatency], said: Mapping[int, str], console: Console) -> Table:
    """A line a turn: what each stage took, and a bar in proportion.

    ``said`` is what was understood of each of the caller's turns.
    """
    coloured = console.is_terminal and not console.no_color
    headings = [name if coloured else sign + name for _, name, _, sign in STAGES]
    room = console.width - _SAID_COLUMNS - len(" total ")
    numbers = sum(len(heading) + 1 for heading in headings)
    numbered = room - numbers >= _LEAST_CELLS
    cells = max(_LEAST_CELLS, min(60, room - numbers if numbered else room))
    # Room for the stages that have a cell though they are shorter than that.
    cells_a_ms = (cells - len(STAGES)) / max(1.0, *(one.first_packet_ms for one in latencies))
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("the caller said", width=_SAID_COLUMNS, no_wrap=True, overflow="ellipsis")
    for heading, (_, _, colour, _) in zip(headings, STAGES, strict=True) if numbered else ():
        style = f"not dim {colour}" if coloured else ""
        table.add_column(Text(heading, style=style), justify="right", no_wrap=True)
    table.add_column("total", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for latency in latencies:
        steps = _steps(latency)
        table.add_row(
            Text(said.get(latency.turn) or "(not understood)", style="cyan"),
            *(f"{step:.0f}" for step in steps if numbered),
            Text(f"{latency.first_packet_ms:.0f}", style="bold"),
            _bar(steps, cells_a_ms, coloured=coloured),
        )
    return table


def _steps(latency: TurnLatency) -> list[float]:
    """What each stage took by itself: in the event they hold those before them."""
    ends = [getattr(latency, name) for name, *_ in STAGES]
    return [max(0.0, end - before) for end, before in zip(ends, (0.0, *ends), strict=False)]


def _bar(steps: Sequence[float], cells_a_ms: float, *, coloured: bool) -> Text:
    """A bar of whole cells; a stage of a millisecond or more has one at least."""
    bar = Text()
    for step, (_, _, colour, sign) in zip(steps, STAGES, strict=True):
        cells = max(round(step * cells_a_ms), 1 if step >= 1 else 0)
        bar.append(("▆" if coloured else sign) * cells, style=colour if coloured else "")
    return bar


def _summary(latencies: Sequence[TurnLatency]) -> Text:
    total = median(one.first_packet_ms for one in latencies)
    waiting = median(one.endpointing_ms for one in latencies)
    ours = median(one.first_packet_ms - one.endpointing_ms for one in latencies)
    return Text(
        f"Median {total:.0f} ms: {waiting:.0f} of silence that ends the turn, "
        f"{ours:.0f} of work.\n",
        style="dim",
    )


# -- what is left ----------------------------------------------------------------------


def _print_places(console: Console, result: DemoResult) -> None:
    record = result.record
    if record is None:
        return
    console.print()
    _heading(console, "What is left of it")
    where = {
        "recording": f"{shown_path(record.recording)}  left: caller, right: agent",
        "page": f"{shown_path(result.page)}  open it in a browser" if result.page else "",
        "record": _show_command(record, result.records),
    }
    for name, place in where.items():
        if place:
            line = Text(f"{name:12}  ", style="dim")
            path, _, remark = place.partition("  ")
            line.append(path, style="not dim").append(f"  {remark}" if remark else "")
            console.print(line, soft_wrap=True)


def shown_path(path: Path | str) -> str:
    """A path as short as it can be given, from here."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _show_command(record: CallRecord, records: Path) -> str:
    """A command that shows the record, as this one was started."""
    program = Path(sys.argv[0])
    command = (
        [shown_path(program)] if program.name == "trunkline" else ["python", "-m", "trunkline"]
    )
    place = f"records.path={shown_path(records)}"
    return shlex.join([*command, "calls", "show", record.id, "--set", place])


def _print_outcome(console: Console, result: DemoResult) -> None:
    console.print()
    if not result.problems:
        turns = result.conversation.turns if result.conversation else 0
        talked = result.record.talked_seconds if result.record else 0.0
        console.print(
            Text("✓ The call went as it should: ", style="bold green").append(
                f"{turns} turns in {talked:.0f} s, one of them cut in.",
                style="not bold default",
            )
        )
        return
    console.print(Text("✗ The call did not go as it should:", style="bold red"))
    for problem in result.problems:
        console.print(Text(f"  {problem}"))
