"""What was said, as a list that follows the playback and as blocks under the waveform."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from trunkline.calls.record import CallRecord, ToolUse, TurnRecord
from trunkline.server.markup import moment, safe, words

from .sound import STEPS, Sound

__all__ = ["Span", "spans", "timeline", "transcript"]

UNSURE_BELOW = 0.5
SIDES = ("caller", "agent")
_TICKS_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800)
_MOST_TICKS = 12


@dataclass(frozen=True, slots=True)
class Span:
    """A turn and where it lies, in seconds of what the page plays."""

    turn: TurnRecord
    by: str
    """caller or agent."""
    start: float
    end: float


def spans(record: CallRecord, starts: float, length: float) -> list[Span]:
    """The turns of a call that is played from ``starts`` on, for ``length`` seconds."""
    found = []
    for turn in record.turns:
        start = min(max(0.0, turn.get("started_seconds", 0.0) - starts), length)
        end = min(max(start, turn.get("ended_seconds", start + starts) - starts), length)
        by = "caller" if turn.get("by") == "caller" else "agent"
        found.append(Span(turn, by, start, end))
    return found


# -- the waveform and what lies under it -------------------------------------------------


def timeline(sound: Sound | None, turns: Sequence[Span], length: float, note: str) -> str:
    """The player: waveform, turns in time, playhead and buttons; ``note`` if it is silent."""
    if length <= 0:
        return f'<p class="note">{note}</p>' if note else ""
    return "".join(
        [
            '<section class="player" aria-label="Recording">',
            _controls(sound, length) if sound else "",
            f'<p class="note">{note}</p>' if note else "",
            f'<div class="timeline" id="timeline" data-duration="{length:.3f}"',
            ' role="slider" tabindex="0" aria-label="Position in the call" aria-valuemin="0"'
            if sound
            else "",
            f' aria-valuemax="{length:.1f}" aria-valuenow="0" aria-valuetext="0:00.0">'
            if sound
            else ">",
            _waveforms(sound.outlines) if sound else "",
            *(_lane(side, turns, length) for side in SIDES),
            _axis(length),
            '<div class="playhead" id="playhead"></div>' if sound else "",
            "</div>",
            _KEY,
            "</section>",
        ]
    )


_KEY = """\
<ul class="key">
<li><i class="caller"></i>the caller speaks</li>
<li><i class="agent"></i>the agent speaks</li>
<li><i class="cut"></i>cut off</li>
<li><i class="wait"></i>the caller waits for an answer</li>
<li><i class="tool"></i>a tool was called</li>
</ul>
"""


def _controls(sound: Sound, length: float) -> str:
    # Megabytes of base64, which has no sign that means anything in HTML.
    source = sound.source if sound.embedded else safe(sound.source)
    return f"""\
<div class="controls">
<button id="play" class="play" type="button" aria-label="Play" aria-keyshortcuts="Space" disabled>
<svg viewBox="0 0 24 24" aria-hidden="true"><path class="on-pause" d="M8 5v14l11-7z"/>
<path class="on-play" d="M7 5h4v14H7zM13 5h4v14h-4z"/></svg></button>
<p class="clock"><span id="now">0:00.0</span> <span class="soft">/ {moment(length)}</span></p>
<div class="sides" id="sides" role="group" aria-label="Who is heard" hidden>
<button type="button" aria-pressed="true" data-side="0"><i class="caller"></i>Caller</button>
<button type="button" aria-pressed="true" data-side="1"><i class="agent"></i>Agent</button>
</div>
<label class="speed">Speed <select id="speed" disabled>
<option value="0.75">0.75 ×</option><option value="1" selected>1 ×</option>
<option value="1.25">1.25 ×</option><option value="1.5">1.5 ×</option>
<option value="2">2 ×</option></select></label>
<p class="keys"><kbd>space</kbd> play <kbd>←</kbd> <kbd>→</kbd> 2 s
<kbd>shift</kbd> 10 s</p>
<audio id="audio" preload="metadata" controls{" data-embedded" if sound.embedded else ""}
 src="{source}"></audio>
</div>
"""


def _waveforms(outlines: Sequence[str]) -> str:
    drawn = []
    for side, path in zip(SIDES, outlines, strict=False):
        drawn.append(
            f'<div class="wave {side}"><span class="side-name">{side}</span>'
            f'<svg viewBox="0 0 {STEPS} 100" preserveAspectRatio="none" role="img" '
            f'aria-label="Waveform of the {side}"><path class="ahead" d="{path}"/></svg>'
            f'<svg class="played" viewBox="0 0 {STEPS} 100" preserveAspectRatio="none" '
            f'aria-hidden="true"><path d="{path}"/></svg></div>'
        )
    return "".join(drawn)


def _lane(side: str, turns: Sequence[Span], length: float) -> str:
    blocks = []
    for number, span in enumerate(turns):
        if span.by == side:
            blocks.append(_block(number, span, length))
            if side == "agent":
                blocks += _before(span, length)
    return f'<div class="lane {side}" aria-hidden="true">{"".join(blocks)}</div>'


def _block(number: int, span: Span, length: float) -> str:
    cut = " cut" if span.turn.get("interrupted") else ""
    said = words(span.turn.get("text", ""))
    width = max(0.15, (span.end - span.start) / length * 100)
    return (
        f'<span class="block {span.by}{cut}" data-turn="{number}" title="{said}" '
        f'style="left:{span.start / length * 100:.3f}%;width:{width:.3f}%"></span>'
    )


def _before(span: Span, length: float) -> list[str]:
    """What lies before an agent's block: the wait for it, and the tools it called."""
    marks = []
    stages = span.turn.get("stages_ms", {})
    waited = max(stages.values(), default=0.0) / 1000
    if waited > 0:
        left = max(0.0, span.start - waited)
        marks.append(
            f'<span class="wait" style="left:{left / length * 100:.3f}%;'
            f'width:{(span.start - left) / length * 100:.3f}%" '
            f'title="{waited * 1000:.0f} ms until the agent speaks"></span>'
        )
    if tools := span.turn.get("tools", ()):
        names = ", ".join(safe(tool.get("name", "")) for tool in tools)
        marks.append(
            f'<span class="tool" style="left:{span.start / length * 100:.3f}%" '
            f'title="{names}"></span>'
        )
    return marks


def _axis(length: float) -> str:
    step = next((one for one in _TICKS_SECONDS if length / one <= _MOST_TICKS), 3600)
    ticks = []
    for second in range(0, int(length) + 1, step):
        clock = f"{second // 60}:{second % 60:02}"
        ticks.append(f'<span style="left:{second / length * 100:.3f}%">{clock}</span>')
    return f'<div class="axis" aria-hidden="true">{"".join(ticks)}</div>'


# -- the transcript ---------------------------------------------------------------------


def transcript(turns: Sequence[Span]) -> str:
    """Every turn with its time, its words and what went with them."""
    if not turns:
        return '<p class="note">Nothing was said, or nothing was understood.</p>'
    items = "".join(_item(number, span) for number, span in enumerate(turns))
    return f'<ol class="transcript" id="transcript">{items}</ol>'


def _item(number: int, span: Span) -> str:
    turn = span.turn
    said = words(turn.get("text", ""))
    if unheard := turn.get("unheard", ""):
        said += f' <del><span class="hidden">not heard: </span>{words(unheard)}</del>'
    tools = "".join(_tool(tool) for tool in turn.get("tools", ()))
    return (
        f'<li class="{span.by}" data-turn="{number}" data-start="{span.start:.3f}" '
        f'data-end="{span.end:.3f}">'
        f'<button type="button" class="at" aria-label="Play from {moment(span.start)}">'
        f"{moment(span.start)}</button>"
        f'<div class="said"><p class="who">{span.by}{_remarks(turn)}</p>'
        f"{tools}<p><bdi>{said}</bdi></p></div></li>"
    )


def _remarks(turn: TurnRecord) -> str:
    remarks = ""
    confidence = turn.get("confidence")
    if confidence is not None:
        unsure = " unsure" if confidence < UNSURE_BELOW else ""
        remarks += f'<span class="remark{unsure}">{confidence:.0%} sure</span>'
    if turn.get("interrupted"):
        remarks += '<span class="remark cut">cut off</span>'
    stages = turn.get("stages_ms", {})
    if stages:
        remarks += f'<span class="remark">after {max(stages.values()):.0f} ms</span>'
    return remarks


def _tool(tool: ToolUse) -> str:
    result = tool.get("result", "")
    arrow = f' <span class="arrow">→</span> {_pairs(result, ": ")}' if result else ""
    took = tool.get("duration_ms")
    time = f' <span class="soft">{took:.0f} ms</span>' if took is not None else ""
    call = f"{safe(tool.get('name', ''))}({_pairs(tool.get('arguments', ''), '=')})"
    return f'<p class="used"><code>{call}{arrow}</code>{time}</p>'


def _pairs(written: str, between: str) -> str:
    """A JSON object as ``name: value`` pairs; anything else as it is."""
    try:
        value = json.loads(written)
    except (ValueError, RecursionError):
        return safe(written)
    if not isinstance(value, dict):
        return safe(written)
    return ", ".join(
        f"{safe(name)}{between}{safe(json.dumps(one, ensure_ascii=False))}"
        for name, one in value.items()
    )
