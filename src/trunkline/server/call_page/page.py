"""Puts the parts of a call's page together."""

import os
from importlib.resources import files
from pathlib import Path
from string import Template
from urllib.parse import quote

from trunkline.calls.record import CallRecord
from trunkline.media.errors import WavError
from trunkline.server.markup import head, safe

from .conversation import spans, timeline, transcript
from .ladder import ladder
from .measures import facts, quality, summary, waterfall
from .plots import plots
from .sound import Sound, recording_starts

__all__ = ["call_page", "write_call_page"]


def call_page(record: CallRecord, recording: Path | None = None, folder: Path | None = None) -> str:
    """The page of a call, as HTML that needs nothing else.

    Args:
        record: the call.
        recording: where the recording is; by default where the record says.
        folder: where the page will be, to link a recording that is too long for it.
    """
    path = recording or (Path(record.recording) if record.recording else None)
    sound, note = _sound(path, folder)
    length = sound.duration_seconds if sound else _length(record)
    starts = recording_starts(record, length) if sound else 0.0
    turns = spans(record, starts, length)
    script = _static("page.js")
    title = f"Call {record.caller or record.id} → {record.callee}"
    return Template(_static("page.html")).substitute(
        head=head(title, _static("page.css"), script),
        script=script,
        heading=f"{safe(record.caller or 'unknown')} <span class=soft>→</span> "
        f"{safe(record.callee or 'unknown')}",
        summary=summary(record),
        timeline=timeline(sound, turns, length, note),
        transcript=transcript(turns),
        waterfall=waterfall(turns),
        quality=quality(record),
        plots=plots(record),
        ladder=ladder(record),
        facts=facts(record),
    )


def write_call_page(record: CallRecord, path: Path) -> None:
    """Write the page of a call to a file, readable by us alone as its recording is.

    Raises:
        OSError: it cannot be written.
    """
    page = call_page(record, folder=path.parent)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(page)


def _sound(path: Path | None, folder: Path | None) -> tuple[Sound | None, str]:
    """The recording, and what is to be said about it."""
    if path is None:
        return None, "This call was not recorded."
    try:
        sound = Sound.load(path, _address(path, folder))
    except (OSError, WavError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        return None, f"The recording {safe(path)} cannot be shown: {safe(reason)}."
    if sound.embedded:
        return sound, ""
    return sound, (
        "The recording is too long to be part of this page. It is played from "
        f'<a href="{safe(sound.source)}">{safe(path.name)}</a>.'
    )


def _address(path: Path, folder: Path | None) -> str:
    """Where a page in ``folder`` finds the recording."""
    if folder is None:
        return path.absolute().as_uri()
    return quote(os.path.relpath(path.absolute(), folder.absolute()))


def _length(record: CallRecord) -> float:
    """How long a call without a recording is shown."""
    ends = [turn.get("ended_seconds", 0.0) for turn in record.turns]
    over = (record.ended_at or record.started_at) - record.started_at
    return max(over, *ends, 0.0) if ends else over


def _static(name: str) -> str:
    return files(__package__).joinpath("static", name).read_text(encoding="utf-8")
