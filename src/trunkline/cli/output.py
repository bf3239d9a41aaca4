"""Writing to a terminal: tables, JSON, and text of strangers made harmless."""

import json
import sys
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["clock_time", "console", "print_json", "seconds", "table", "text"]


def console() -> Console:
    """Standard output; 100 columns wide where it is no terminal."""
    out = Console(highlight=False, soft_wrap=False)
    return out if out.is_terminal else Console(highlight=False, width=100)


def print_json(value: object) -> None:
    """Write a value as JSON to standard output."""
    json.dump(value, sys.stdout, indent=2, default=str)
    print()


def table(*headings: str) -> Table:
    """A table without lines, as wide as it must be."""
    made = Table(box=None, pad_edge=False, header_style="dim", show_header=bool(headings))
    for heading in headings:
        made.add_column(heading, overflow="fold")
    return made


def text(value: str, style: str = "") -> Text:
    """Text that is shown as it is: no markup, and nothing that drives the terminal."""
    shown = "".join(char if char.isprintable() else repr(char)[1:-1] for char in value)
    return Text(shown, style=style)


def seconds(value: float | None) -> str:
    """A duration: 4.2 s, 3:07, 1:02:33; a dash for none."""
    if value is None:
        return "–"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def clock_time(epoch: float) -> str:
    """A moment in local time, to the second."""
    return datetime.fromtimestamp(epoch).strftime("%Y-%m-%d %H:%M:%S")
