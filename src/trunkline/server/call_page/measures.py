"""How fast the answers were, how good the line was, and the facts of the call."""

from collections.abc import Sequence
from datetime import UTC, datetime
from statistics import median

from trunkline.calls.record import CallRecord
from trunkline.server.markup import duration, safe, words
from trunkline.server.quality import quality_lines

from .conversation import Span

__all__ = ["facts", "quality", "summary", "waterfall"]

STAGES = (
    ("endpointing", "silence until the turn counts as over"),
    ("recognition", "recognition"),
    ("first_token", "first word of the answer"),
    ("first_audio", "first sound of it"),
    ("first_packet", "first packet of it"),
)
"""The stages of ``TurnRecord.stages_ms`` in order, each holding those before it."""


def waterfall(turns: Sequence[Span]) -> str:
    """A bar an answer, from the caller's last sound to the agent's first packet."""
    rows, last = [], ""
    totals, works = [], []
    for number, span in enumerate(turns):
        if span.by == "caller":
            last = span.turn.get("text", "")
            continue
        steps = _steps(span)
        if steps:
            totals.append(sum(steps))
            works.append(sum(steps[1:]))
            rows.append(_row(number, last or "(not understood)", steps))
            last = ""
    if not rows:
        return ""
    legend = "".join(
        f'<li><i class="stage-{index}"></i>{text}</li>' for index, (_, text) in enumerate(STAGES)
    )
    return f"""\
<section class="latency" aria-labelledby="latency-heading"
 style="--longest:{max(totals):.1f};--longest-work:{max(*works, 1.0):.1f}">
<h2 id="latency-heading">How long each answer took</h2>
<p class="soft">From the caller's last sound. Median {median(totals):.0f} ms, of it
{median(works):.0f} ms work; the rest is the silence that ends a turn.</p>
<label class="only-work"><input type="checkbox" id="only-work"> Without the silence</label>
<ol class="waterfall">{"".join(rows)}</ol>
<ul class="key">{legend}</ul>
</section>
"""


def _steps(span: Span) -> list[float]:
    """What each stage took by itself, in milliseconds."""
    stages = span.turn.get("stages_ms", {})
    if not stages:
        return []
    steps, before = [], 0.0
    for name, _ in STAGES:
        end = max(before, stages.get(name, before))
        steps.append(end - before)
        before = end
    return steps


def _row(number: int, said: str, steps: Sequence[float]) -> str:
    parts = "".join(
        f'<span class="stage-{index}" style="flex-grow:{step:.1f}" '
        f'title="{text}: {step:.1f} ms"></span>'
        for index, (step, (_, text)) in enumerate(zip(steps, STAGES, strict=True))
    )
    told = ", ".join(f"{text} {step:.0f} ms" for step, (_, text) in zip(steps, STAGES, strict=True))
    total, work = sum(steps), sum(steps[1:])
    return (
        f'<li data-go="{number}"><p class="row"><bdi>{words(said)}</bdi>'
        f'<strong><span class="total">{total:.0f}</span>'
        f'<span class="work">{work:.0f}</span> ms</strong></p>'
        f'<div class="bar" role="img" aria-label="{told}" '
        f'style="--total:{total:.1f};--work:{max(work, 0.1):.1f}">{parts}</div></li>'
    )


def quality(record: CallRecord) -> str:
    """The line's quality in words; the numbers behind them on demand."""
    lines = quality_lines(record.quality, record.talked_seconds)
    if not record.quality:
        return ""
    numbers = "".join(
        f"<tr><th scope=row>{safe(name.replace('_', ' '))}</th>"
        f"<td>{'–' if value is None else safe(f'{value:g}')}</td></tr>"
        for name, value in record.quality.items()
    )
    return f"""\
<section aria-labelledby="quality-heading">
<h2 id="quality-heading">Quality</h2>
{_list(lines)}
<details><summary>All numbers</summary><table>{numbers}</table></details>
</section>
"""


def facts(record: CallRecord) -> str:
    """Who called whom, when and how it ended."""
    known = [
        ("from", record.caller),
        ("to", record.callee),
        ("kind", " ".join(part for part in (record.direction, record.transport) if part)),
        ("application", record.app),
        ("began", _when(record.started_at)),
        ("answered", _after(record, record.answered_at)),
        ("ended", _after(record, record.ended_at)),
        ("end", _end(record)),
        ("SIP Call-ID", record.sip_call_id),
        ("recording", record.recording),
        ("node", record.node),
        ("call", record.id),
    ]
    return f"""\
<section aria-labelledby="facts-heading">
<h2 id="facts-heading">The call</h2>
{_list([(name, value) for name, value in known if value])}
{_headers(record)}
</section>
"""


def _headers(record: CallRecord) -> str:
    if not record.headers:
        return ""
    listed = _list(sorted((str(name), str(value)) for name, value in record.headers.items()))
    return f"<details><summary>Headers</summary>{listed}</details>"


def summary(record: CallRecord) -> str:
    """One line under the heading."""
    parts = [_when(record.started_at)]
    if record.talked_seconds:
        parts.append(duration(record.talked_seconds))
    parts.append(_end(record))
    return " · ".join(safe(part) for part in parts if part)


def _list(rows: Sequence[tuple[str, str]]) -> str:
    entries = "".join(f"<dt>{safe(name)}</dt><dd>{safe(value)}</dd>" for name, value in rows)
    return f"<dl>{entries}</dl>"


def _when(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _after(record: CallRecord, at: float | None) -> str:
    return "" if at is None else f"{at - record.started_at:.1f} s after that"


def _end(record: CallRecord) -> str:
    if record.state != "ended":
        return {"live": "the call is up", "crashed": "the node died during the call"}.get(
            record.state, record.state
        )
    by = {"us": "our side", "them": "the other side"}.get(record.end_by, record.end_by)
    code = "" if record.end_code is None else f" ({record.end_code})"
    return f"{record.end_reason}{f' by {by}' if by else ''}{code}"
