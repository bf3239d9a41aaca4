"""``trunkline calls``: the calls there were and are, and one of them in full."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trunkline.calls.record import CallRecord, TurnRecord
from trunkline.calls.records import RecordStore
from trunkline.errors import UsageError
from trunkline.server.quality import quality_lines

from .arguments import Common
from .call_ladder import print_ladder, print_series
from .output import clock_time, console, print_json, seconds, table, text

__all__ = ["app", "show_record"]

app = App(name="calls", help="The calls there were, and are.")

_STATES = {"live": "bold green", "crashed": "bold red", "ended": ""}
_BAR_COLUMNS = 40


@app.default
def calls(
    *,
    common: Common | None = None,
    limit: Annotated[int, Parameter(name=["--limit", "-n"])] = 20,
    live: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """List calls, the newest first.

    Examples: `trunkline calls --live`, `trunkline calls -n 100 --json`

    Parameters
    ----------
    limit
        How many.
    live
        Only those that are up now.
    json
        As JSON.
    """
    if limit < 1:
        raise UsageError(f"--limit is a number of calls from 1 on, not {limit}")
    store = _store(common)
    records = store.list(limit, "live" if live else None)
    if json:
        print_json([plain(record) for record in records])
        return
    if not records:
        console().print("There are no calls yet." if not live else "There are no live calls.")
        return
    out = console()
    out.print(_listing(records, out.width))


def _listing(records: Sequence[CallRecord], width: int) -> Table:
    """One line a call; in a narrow terminal only what tells calls apart."""
    chosen = _COLUMNS if width >= _WIDE else [each for each in _COLUMNS if each[0] in _NARROW]
    listing = table(*(heading for heading, _ in chosen))
    for column in listing.columns:
        # An id in two pieces cannot be copied.
        column.no_wrap = column.header == "id"
    for record in records:
        listing.add_row(*(shown(record) for _, shown in chosen))
    return listing


@app.command
def show(
    id: str,
    /,
    *,
    common: Common | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
    page: Annotated[Path | None, Parameter(name=["--html", "--page"])] = None,
) -> None:
    """Show one call: times, parties, quality, messages, what was said, each answer's time.

    Examples: `trunkline calls show 1f3a`, `trunkline calls show 1f3a --html call.html`

    Parameters
    ----------
    id
        The call's id; its beginning is enough.
    json
        As JSON.
    page
        Write a page of it to this file instead: the recording with its waveform, the
        conversation in time with it, quality over time, the SIP messages and everything
        else, in one HTML file.
    """
    record = _store(common).get(id)
    if page is not None:
        _write_page(record, page)
    elif json:
        print_json(plain(record))
    else:
        show_record(record, console())


def _write_page(record: CallRecord, path: Path) -> None:
    # Here and not above: the page needs numpy.
    from trunkline.server.call_page import write_call_page

    try:
        write_call_page(record, path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    console().print(f"The page of {record.id} is in {path}", markup=False)


def _store(common: Common | None) -> RecordStore:
    return RecordStore((common or Common()).load().settings.records.path)


def plain(record: CallRecord) -> dict[str, Any]:
    """A record for machines: its fields, with the times in ISO 8601 too."""
    fields = asdict(record)
    for name in ("started", "answered", "ended"):
        at = fields[f"{name}_at"]
        moment = None if at is None else datetime.fromtimestamp(at, UTC)
        fields[f"{name}_utc"] = moment and moment.isoformat(timespec="milliseconds")
    fields["talked_seconds"] = record.talked_seconds
    return fields


def show_record(record: CallRecord, out: Console) -> None:
    """One call for people."""
    facts = table()
    for name, value in _facts(record):
        facts.add_row(text(name, "dim"), value)
    out.print(facts)
    if record.quality:
        out.print(Text("\nquality", style="bold"))
        out.print(_words(record))
        print_series(record, out)
        out.print(Text("\nall numbers", style="bold"))
        out.print(_quality(record))
    print_ladder(record, out)
    if record.turns:
        out.print(Text("\nconversation", style="bold"))
        for turn in record.turns:
            _print_turn(turn, out)
        _print_latency(record.turns, out)


def _facts(record: CallRecord) -> list[tuple[str, Text]]:
    kind = " ".join(part for part in (record.direction, record.transport) if part)
    facts = [
        ("call", text(record.id, "bold")),
        ("kind", text(kind)),
        ("from", text(record.caller)),
        ("to", text(record.callee)),
        ("trunk", text(record.trunk)),
        ("app", text(record.app)),
        ("began", Text(clock_time(record.started_at))),
        ("answered", Text(_since(record, record.answered_at))),
        ("ended", Text(_since(record, record.ended_at))),
        ("end", _end(record)),
        ("end detail", text(record.end_detail)),
        ("SIP Call-ID", text(record.sip_call_id)),
        ("recording", text(record.recording)),
        ("node", text(record.node)),
    ]
    headers = sorted(record.headers.items())
    facts += [(name, text(str(value))) for name, value in headers if name != "Call-ID"]
    return [(name, value) for name, value in facts if value.plain]


def _since(record: CallRecord, at: float | None) -> str:
    return "" if at is None else f"{clock_time(at)} (+{at - record.started_at:.1f} s)"


def _end(record: CallRecord) -> Text:
    style = _STATES.get(record.state, "")
    if record.state != "ended":
        return text(record.state, style)
    code = "" if record.end_code is None else f" ({record.end_code})"
    by = f" by {record.end_by}" if record.end_by else ""
    return text(f"{record.end_reason}{by}{code}", style)


def _words(record: CallRecord) -> Any:
    lines = table()
    for name, value in quality_lines(record.quality, record.talked_seconds):
        lines.add_row(text(name, "dim"), text(value))
    return lines


def _quality(record: CallRecord) -> Any:
    numbers = table()
    for name, value in record.quality.items():
        shown = "–" if value is None else f"{value:g}"
        numbers.add_row(text(name.replace("_", " "), "dim"), shown)
    return numbers


def _print_turn(turn: TurnRecord, out: Console) -> None:
    """One turn as ``  3.2  caller  what was said``; what nobody heard is struck through."""
    caller = turn.get("by") == "caller"
    begin = Text(f"{turn.get('started_seconds', 0.0):7.1f}  ", style="dim")
    begin.append(f"{turn.get('by', '?'):7}", style="cyan" if caller else "magenta")
    line = text(turn.get("text", ""))
    unheard = turn.get("unheard")
    if unheard:
        line.append(" ")
        line.append_text(text(unheard, "dim strike"))
    if turn.get("interrupted"):
        line.append("  ✂ interrupted", style="yellow")
    confidence = turn.get("confidence")
    if caller and confidence is not None and confidence < 0.5:
        line.append(f"  ({confidence:.0%} sure)", style="dim")
    grid = Table.grid(padding=0)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(begin, line)
    for tool in turn.get("tools", ()):
        used = f"{tool.get('name', '')}({tool.get('arguments', '')}) → {tool.get('result', '')}"
        grid.add_row("", text(used, "dim"))
    out.print(grid)


def _print_latency(turns: Sequence[TurnRecord], out: Console) -> None:
    """Each answer's stages, as numbers and, where there is room, a bar."""
    timed = [turn for turn in turns if turn.get("stages_ms")]
    if not timed:
        return
    out.print(Text("\nlatency, ms from the end of the caller's speech", style="bold"))
    names = list(dict.fromkeys(name for turn in timed for name in turn["stages_ms"]))
    longest = max(max(turn["stages_ms"].values()) for turn in timed) or 1.0
    latency = table("at", *(name.replace("_", " ") for name in names), "")
    room = out.width - sum(max(4, len(name)) + 2 for name in ("12.3", *names))
    columns = min(_BAR_COLUMNS, max(0, room))
    for turn in timed:
        stages = turn["stages_ms"]
        numbers = [f"{stages[name]:.0f}" if name in stages else "–" for name in names]
        bar = "█" * min(columns, max(1, round(max(stages.values()) / longest * columns)))
        latency.add_row(f"{turn.get('started_seconds', 0.0):.1f}", *numbers, Text(bar, "blue"))
    out.print(latency)


def _talked(record: CallRecord) -> str:
    return seconds(record.talked_seconds) if record.answered_at and record.ended_at else "–"


_COLUMNS: Sequence[tuple[str, Callable[[CallRecord], str | Text]]] = (
    ("began", lambda record: clock_time(record.started_at)),
    ("id", lambda record: text(record.id)),
    ("from", lambda record: text(record.caller)),
    ("to", lambda record: text(record.callee)),
    ("app", lambda record: text(record.app)),
    ("talked", _talked),
    ("end", _end),
)
_NARROW = ("id", "to", "end")
_WIDE = 72
"""Columns below which only those are shown."""
