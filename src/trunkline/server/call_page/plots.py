"""A call's quality over time, drawn: a plot a figure, each way."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10
from typing import Any

from trunkline.calls.record import CallRecord
from trunkline.server.markup import moment, safe

__all__ = ["plots"]

WIDTH, HEIGHT = 520, 92
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 6, 8, 18
_TICKS = 5

Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class _Figure:
    """One plot."""

    column: str
    name: str
    unit: str
    low: float
    high: float
    """The least the scale goes to; further where a value does."""
    factor: float = 1.0
    also: str = ""
    """A second column, drawn on top of the first."""
    poor: float | None = None
    """A value worth a line of its own."""


_HEARD = (
    _Figure("mos", "MOS", "", 1.0, 5.0, poor=3.1),
    _Figure("loss", "Lost, and too late", "%", 0.0, 5.0, 100.0, also="late"),
    _Figure("jitter", "Jitter", "ms", 0.0, 20.0),
    _Figure("delay", "Delay of the jitter buffer", "ms", 0.0, 100.0),
    _Figure("level", "Level", "dBov", -70.0, -10.0),
)
_SENT = (
    _Figure("mos", "MOS, as far as they say", "", 1.0, 5.0, poor=3.1),
    _Figure("loss", "Lost, by their reports", "%", 0.0, 5.0, 100.0),
    _Figure("jitter", "Jitter, by their reports", "ms", 0.0, 20.0),
    _Figure("rtt", "Round trip", "ms", 0.0, 100.0),
    _Figure("level", "Level", "dBov", -70.0, -10.0),
)


def plots(record: CallRecord) -> str:
    """Both directions side by side, and how losses and delays were spread."""
    series = record.series
    if not isinstance(series.get("in"), Mapping) or not series["in"].get("mos"):
        return ""
    start, step = float(series.get("start", 0.0)), float(series.get("step", 5.0))
    sides = "".join(
        f'<div class="side-plots {css}"><h3>{heading}</h3>'
        f"{''.join(_plots(series.get(way, {}), figures, start, step))}</div>"
        for way, heading, css, figures in (
            ("in", "What we heard", "caller", _HEARD),
            ("out", "What they heard", "agent", _SENT),
        )
    )
    return f"""\
<section class="plots" aria-labelledby="plots-heading">
<h2 id="plots-heading">Quality over time</h2>
<div class="both">{sides}</div>
{_histograms(series)}
</section>
"""


def _plots(
    columns: Mapping[str, Any], figures: Sequence[_Figure], start: float, step: float
) -> Iterator[str]:
    for figure in figures:
        values = _numbers(columns.get(figure.column), figure.factor)
        if any(value is not None for value in values):
            also = _numbers(columns.get(figure.also), figure.factor) if figure.also else []
            yield _plot(figure, values, also, start, step)


def _numbers(column: object, factor: float) -> list[float | None]:
    if not isinstance(column, list):
        return []
    return [value * factor if isinstance(value, int | float) else None for value in column]


def _plot(figure: _Figure, values: Values, also: Values, start: float, step: float) -> str:
    known = [value for value in (*values, *also) if value is not None]
    stacked = [_sum(one, two) for one, two in zip(values, also, strict=False)] if also else []
    low = figure.low
    most_seen = max([*known, *[value for value in stacked if value is not None]])
    high = figure.high if most_seen <= figure.high else _round_up(most_seen)
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    across = (right - _LEFT) / max(1, len(values))

    def y(value: float) -> float:
        return bottom - (max(value, low) - low) / (high - low) * (bottom - _TOP)

    grid = "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y(at):.1f}" y2="{y(at):.1f}"/>'
        f'<text x="{_LEFT - 5}" y="{y(at) + 3.5:.1f}" text-anchor="end">{at:.4g}</text>'
        for at in (low, (low + high) / 2, high)
    )
    if figure.poor is not None:
        grid += (
            f'<line class="poor" x1="{_LEFT}" x2="{right}" y1="{y(figure.poor):.1f}"'
            f' y2="{y(figure.poor):.1f}"/>'
        )
    drawn = _steps(stacked, across, y, "second", low) if stacked else ""
    if stacked:
        drawn += _steps(values, across, y, "ground", low)
    drawn += _steps(values, across, y, "first", low)
    most = max(values, key=lambda value: -1e9 if value is None else value)
    least = min(values, key=lambda value: 1e9 if value is None else value)
    told = f"{figure.name}: {least:.4g} to {most:.4g} {figure.unit}".rstrip()
    unit = f" <span class=soft>{figure.unit}</span>" if figure.unit else ""
    if stacked:
        unit += (
            ' <span class="swatches"><i class="first"></i>lost <i class="second"></i>late</span>'
        )
    return (
        f"<figure><figcaption>{safe(figure.name)}{unit}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{safe(told)}">'
        f"{grid}{drawn}{_axis(len(values), across, start, step)}</svg></figure>"
    )


def _round_up(value: float) -> float:
    """To a number whose half is short as well."""
    size = 10.0 ** floor(log10(value))
    return next(step * size for step in (1, 2, 4, 5, 6, 8, 10) if step * size >= value)


def _sum(one: float | None, two: float | None) -> float | None:
    return None if one is None and two is None else (one or 0.0) + (two or 0.0)


def _steps(values: Values, across: float, y: Any, css: str, low: float) -> str:
    """A step a value, filled to the ground; nothing where nothing is known."""
    lines, areas, open_ = [], [], False
    ground = y(low)
    for index, value in enumerate(values):
        x, end = _LEFT + index * across, _LEFT + (index + 1) * across
        if value is None:
            open_ = False
            continue
        at = y(value)
        lines.append(f"{'L' if open_ else 'M'}{x:.1f} {at:.1f}H{end:.1f}")
        areas.append(f"M{x:.1f} {ground:.1f}V{at:.1f}H{end:.1f}V{ground:.1f}Z")
        open_ = True
    return (
        f'<path class="area {css}" d="{"".join(areas)}"/>'
        f'<path class="line {css}" d="{"".join(lines)}"/>'
    )


def _axis(count: int, across: float, start: float, step: float) -> str:
    """Times below, at whole steps."""
    every = max(1, -(-count // _TICKS))
    marks = []
    for index in range(0, count + 1, every):
        x = _LEFT + index * across
        anchor = "start" if index == 0 else "end" if index + every > count else "middle"
        at = moment(start + index * step).partition(".")[0]
        marks.append(f'<text x="{x:.1f}" y="{HEIGHT - 4}" text-anchor="{anchor}">{at}</text>')
    return "".join(marks)


def _histograms(series: Mapping[str, Any]) -> str:
    """Losses by length, and packets by delay."""
    found = ""
    for name, heading in (
        ("runs", "Losses, by packets in a row"),
        ("delays", "Packets looked at, by ms over the fastest"),
    ):
        counts = series.get(name)
        if isinstance(counts, Mapping) and any(counts.values()):
            found += _bars(counts, heading)
    return f'<div class="both histograms">{found}</div>' if found else ""


def _bars(counts: Mapping[str, Any], heading: str) -> str:
    most = max(counts.values())
    rows = "".join(
        f"<tr><th scope=row>{safe(name)}</th>"
        f'<td class="bar-cell"><span style="width:{100 * count / most:.1f}%"></span></td>'
        f"<td>{count}</td></tr>"
        for name, count in counts.items()
    )
    return f"<div><h3>{heading}</h3><table>{rows}</table></div>"
