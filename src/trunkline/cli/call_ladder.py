"""A call's SIP messages and its quality over time, as text."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from trunkline.calls.record import CallRecord

from .output import text

__all__ = ["print_ladder", "print_series"]

_BARS = "▁▂▃▄▅▆▇█"
_LEAST_ARROW, _MOST_ARROW = 24, 64
_ROWS = (
    # direction, column, name, unit, factor, and the values of the lowest and highest bar
    ("in", "mos", "MOS, what we heard", "", 1.0, 1.0, 4.5),
    ("out", "mos", "MOS, what they heard", "", 1.0, 1.0, 4.5),
    ("in", "loss", "lost of theirs", "%", 100.0, 0.0, 10.0),
    ("in", "late", "too late of theirs", "%", 100.0, 0.0, 10.0),
    ("out", "loss", "lost of ours", "%", 100.0, 0.0, 10.0),
    ("in", "jitter", "jitter of theirs", "ms", 1.0, 0.0, 50.0),
    ("in", "level", "level of theirs", "dBov", 1.0, -70.0, -10.0),
    ("out", "level", "level of ours", "dBov", 1.0, -70.0, -10.0),
)


def print_series(record: CallRecord, out: Console) -> None:
    """A line of bars for each figure that is known of the call's stretches."""
    series = record.series
    if not series.get("in"):
        return
    step = series.get("step", 0)
    out.print(Text(f"\nquality over time, {step:g} s a sign", style="bold"))
    room = max(10, out.width - 50)
    for way, column, name, unit, factor, low, high in _ROWS:
        values = [_times(value, factor) for value in series.get(way, {}).get(column, ())]
        known = [value for value in values if value is not None]
        if not known or (low == 0 and not any(known)):
            continue
        bars = "".join(_bar(value, low, high) for value in _squeezed(values, room))
        spread = f"{min(known):.4g} to {max(known):.4g} {unit}".rstrip()
        line = Text(f"{name:21} ", style="dim")
        line.append(bars, "cyan" if way == "in" else "magenta").append(f"  {spread}", "not dim")
        out.print(line, soft_wrap=True)


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _squeezed(values: Sequence[float | None], room: int) -> Iterator[float | None]:
    """At most so many values: means of neighbours."""
    each = -(-len(values) // room)
    for at in range(0, len(values), each):
        known = [value for value in values[at : at + each] if value is not None]
        yield sum(known) / len(known) if known else None


def _bar(value: float | None, low: float, high: float) -> str:
    if value is None:
        return " "
    share = (min(max(value, low), high) - low) / (high - low)
    return _BARS[min(len(_BARS) - 1, int(share * len(_BARS)))]


def print_ladder(record: CallRecord, out: Console) -> None:
    """An arrow a message, and where it came from if that is not where the others did."""
    messages = record.ladder.get("messages", ())
    if not messages:
        return
    first = str(messages[0].get("peer", ""))
    arrow = min(_MOST_ARROW, max(_LEAST_ARROW, out.width - 40))
    out.print(Text("\nSIP messages", style="bold"))
    heading = f"{'':10}{first:{arrow + 2}}us"
    out.print(text(heading, "dim"), soft_wrap=True)
    for message in messages:
        peer = str(message.get("peer", ""))
        line = Text(f"{message.get('at', 0.0):8.3f}  ", style="dim")
        line.append(_arrow(message, arrow), _style(message))
        if peer != first:
            line.append(f"  {peer}", "dim")
        out.print(line, soft_wrap=True)
    dropped = record.ladder.get("dropped")
    if dropped:
        out.print(text(f"{'':10}and {dropped} that were too many, or too long to be kept", "dim"))


def _arrow(message: Mapping[str, Any], columns: int) -> str:
    label = f" {_label(message)} "
    if len(label) > columns - 6:
        label = label[: columns - 7] + "… "
    dashes = columns - len(label) - 1
    before, after = "─" * (dashes // 2), "─" * (dashes - dashes // 2)
    return f"│◀{before}{label}{after}│" if message.get("sent") else f"│{before}{label}{after}▶│"


def _label(message: Mapping[str, Any]) -> str:
    """The method and who for, or the status; and whether there is a session description."""
    body = str(message.get("text", ""))
    line = body.partition("\r\n")[0]
    words = line.split(" ", 2)
    label = " ".join(words[1:] if line.startswith("SIP/2.0 ") else words[:2])
    printable = "".join(char for char in label if char.isprintable())
    return printable + (" (SDP)" if "\r\n\r\nv=0" in body else "")


def _style(message: Mapping[str, Any]) -> str:
    line = str(message.get("text", ""))[:12]
    if line.startswith("SIP/2.0 "):
        return {"2": "green", "1": "dim", "3": "yellow"}.get(line[8:9], "red")
    return "bold"
