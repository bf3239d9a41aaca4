"""The page of an inspection: one HTML file with pictures, sound and numbers in it."""

import base64
import math
import os
from importlib.resources import files
from pathlib import Path
from string import Template

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError
from trunkline.media.frames import FRAME_MS, QUIETEST_DBOV
from trunkline.media.jitter import Kind
from trunkline.media.scores import frame_levels
from trunkline.media.wav import serialise_wav
from trunkline.server.markup import duration, head, moment, safe

from .drawing import STEPS, bands, dots, line, spectrogram_png, waveform
from .inspection import Inspection

__all__ = ["audio_page", "write_inspection"]

_QUIET_DBOV = -80.0
_TICKS_SECONDS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120)
_MOST_TICKS = 12


def write_inspection(inspection: Inspection, page: Path) -> Path:
    """Write the page and, beside it, the processed audio; returns where that is.

    Raises:
        UsageError: a file cannot be written, or would replace one that was read.
    """
    if page.name in ("", "..") or page.suffix.lower() == ".wav":
        raise UsageError(
            f"--output is the page, as page.html, not {page}: the audio goes beside it"
        )
    audio = page.with_suffix(".wav")
    options = inspection.options
    read = {one.resolve() for one in (options.path, options.far) if one is not None}
    for path in (page, audio):
        if path.resolve() in read:
            raise UsageError(f"{path} was read and is not replaced: choose another --output")
    _write(audio, serialise_wav(inspection.run.output, inspection.run.rate_hz))
    _write(page, audio_page(inspection).encode())
    return audio


def _write(path: Path, data: bytes) -> None:
    """As calls' pages: for the user alone, as it may hold what somebody said."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def audio_page(inspection: Inspection) -> str:
    """The page, as HTML that needs nothing else."""
    script = _static("page.js")
    length = len(inspection.run.output) / inspection.run.rate_hz
    return Template(_static("page.html")).substitute(
        head=head(f"{inspection.options.path.name} – audio path", _static("page.css"), script),
        script=script,
        heading=safe(inspection.options.path.name),
        summary=safe(_summary(inspection)),
        duration=f"{length:.3f}",
        length=moment(length),
        choices=_choices(inspection),
        tracks=_tracks(inspection),
        axis=_axis(length),
        scores=_scores(inspection),
        counters=_list(
            [(_words(name), f"{value:g}") for name, value in inspection.counters.items()]
        ),
    )


def _summary(inspection: Inspection) -> str:
    options = inspection.options
    network = options.network
    parts = [
        duration(len(inspection.near) / inspection.run.rate_hz),
        f"{inspection.codec} at {inspection.run.rate_hz} Hz",
        f"{network.loss:.0%} of packets lost"
        + (f" in bursts of {network.burst:g}" if network.burst > 1 else ""),
        f"{network.jitter_ms:g} ms jitter",
        f"concealment {options.concealment}",
        f"echo {inspection.echo}",
        f"noise {options.noise}" + (f" {options.strength:g}" if options.noise != "off" else ""),
    ]
    return " · ".join(parts)


# -- what is heard -------------------------------------------------------------------------


def _choices(inspection: Inspection) -> str:
    """A button and a player each; the script leaves the buttons."""
    audible = [("before", "Before", inspection.near), ("after", "After", inspection.run.output)]
    if inspection.far is not None:
        audible.append(("far", "Far end", inspection.run.far))
    buttons, players = "", ""
    for name, label, pcm in audible:
        pressed = str(name == "after").lower()
        buttons += f'<button type="button" data-sound="{name}" aria-pressed="{pressed}">'
        buttons += f'<i class="{name}"></i>{label}</button>'
        encoded = base64.b64encode(serialise_wav(pcm, inspection.run.rate_hz)).decode()
        players += f'<label class="player-of"><span>{label}</span><audio controls id="{name}" '
        players += f'preload="auto" src="data:audio/wav;base64,{encoded}"></audio></label>'
    return (
        f'<div class="choice" id="choice" role="group" aria-label="What is heard" hidden>{buttons}'
        f"</div>{players}"
    )


# -- what is seen --------------------------------------------------------------------------


def _tracks(inspection: Inspection) -> str:
    run = inspection.run
    ticks = len(run.kinds)
    before = np.zeros(len(run.output), np.int16)
    before[: len(inspection.near)] = inspection.near[: len(before)]
    loudest = float(max(np.quantile(np.abs(before.astype(np.int32)), 0.9999), 500))
    lost = np.isnan(run.network_ms)
    marks = {
        "concealed": run.kinds == Kind.CONCEALED,
        "stretched": run.kinds == Kind.STRETCHED,
    }
    parts = [
        _wave("before", "before", before, loudest, {"lost": lost}, ticks),
        _spectrogram("before", before, run.rate_hz),
        _wave("after", "after", run.output, loudest, marks, ticks),
        _spectrogram("after", run.output, run.rate_hz),
    ]
    if inspection.far is not None:
        parts.append(_wave("far", "far end", run.far, loudest, {}, ticks))
    return "".join([*parts, _delays(inspection), _levels(inspection, before)])


def _wave(
    name: str,
    label: str,
    pcm: NDArray[np.int16],
    loudest: float,
    marks: dict[str, NDArray[np.bool_]],
    ticks: int,
) -> str:
    drawn = "".join(
        f'<path class="{kind}" d="{bands(chosen, ticks)}"/>' for kind, chosen in marks.items()
    )
    said = "".join(f", {int(chosen.sum())} frames {kind}" for kind, chosen in marks.items())
    return _track(
        f"wave {name}",
        label,
        _svg(
            f"Waveform {label}{said}", f'{drawn}<path class="sound" d="{waveform(pcm, loudest)}"/>'
        ),
    )


def _spectrogram(label: str, pcm: NDArray[np.int16], rate_hz: int) -> str:
    encoded = base64.b64encode(spectrogram_png(pcm, rate_hz)).decode()
    return _track(
        "spectrogram",
        f"{label}, 0 to {rate_hz / 2000:g} kHz",
        f'<img src="data:image/png;base64,{encoded}" alt="Spectrogram {label}">',
    )


def _delays(inspection: Inspection) -> str:
    run = inspection.run
    delay = np.where(run.delay_ms > 0, run.delay_ms, np.nan)
    came = run.network_ms[~np.isnan(run.network_ms)]
    # The latest packet of all would press everything else to the ground.
    latest = float(np.quantile(came, 0.99)) if came.size else 0.0
    highest = max(60.0, float(run.target_ms.max()), float(run.delay_ms.max()), latest)
    highest = 20 * math.ceil(highest * 1.08 / 20)
    drawn = (
        f'<path class="packets" d="{dots(run.network_ms, len(run.kinds), highest)}"/>'
        f'<path class="target" d="{line(run.target_ms, 0, highest)}"/>'
        f'<path class="delay" d="{line(delay, 0, highest)}"/>'
    )
    said = _svg(f"Delay of the jitter buffer, 0 to {highest:g} ms", drawn)
    return _track("chart delays", "jitter buffer", said, (f"{highest:g} ms", "0"))


def _levels(inspection: Inspection, before: NDArray[np.int16]) -> str:
    run = inspection.run
    heard = {"before": before, "after": run.output}
    if inspection.far is not None:
        heard["far"] = run.far
    drawn = "".join(
        f'<path class="level {name}" d="{line(_level(pcm, run.rate_hz), _QUIET_DBOV, 0)}"/>'
        for name, pcm in reversed(heard.items())
    )
    said = _svg("Levels, -80 to 0 dBov", drawn)
    return _track("chart levels", "level", said, ("0 dBov", f"{_QUIET_DBOV:g}"))


def _level(pcm: NDArray[np.int16], rate_hz: int) -> NDArray[np.float32]:
    levels = frame_levels(pcm, rate_hz)
    return np.where(levels > QUIETEST_DBOV, levels, np.float32(_QUIET_DBOV))


def _track(kind: str, label: str, drawn: str, scale: tuple[str, str] | None = None) -> str:
    ends = ""
    if scale is not None:
        ends = f'<span class="top">{scale[0]}</span><span class="bottom">{scale[1]}</span>'
    return f'<div class="track {kind}"><span class="name">{label}</span>{ends}{drawn}</div>'


def _svg(label: str, drawn: str) -> str:
    return (
        f'<svg viewBox="0 0 {STEPS} 100" preserveAspectRatio="none" role="img" '
        f'aria-label="{safe(label)}">{drawn}</svg>'
    )


def _axis(length: float) -> str:
    step = next((one for one in _TICKS_SECONDS if length / one <= _MOST_TICKS), 300)
    ticks = []
    for index in range(int(length / step) + 1):
        at = index * step
        clock = f"{int(at) // 60}:{at % 60:04.1f}" if step < 1 else f"{at // 60}:{at % 60:02}"
        place = at / max(length, 0.001) * 100
        end = ' class="end"' if place > 97 else ""
        ticks.append(f'<span{end} style="left:{place:.3f}%">{clock}</span>')
    return f'<div class="axis" aria-hidden="true">{"".join(ticks)}</div>'


# -- numbers -------------------------------------------------------------------------------


def _scores(inspection: Inspection) -> str:
    rows = [
        (one.label, "–" if one.value is None else f"{one.value:.2f} {one.unit}".strip())
        for one in inspection.scores
    ]
    spoken = inspection.run.kinds != Kind.SILENT
    concealed = inspection.run.kinds == Kind.CONCEALED
    if spoken.any():
        share = concealed.sum() / spoken.sum()
        rows.append(("concealed", f"{share:.1%}, {int(concealed.sum()) * FRAME_MS} ms"))
    return _list(rows)


def _words(name: str) -> str:
    return name.replace("_ms", " (ms)").replace("_", " ")


def _list(rows: list[tuple[str, str]]) -> str:
    entries = "".join(f"<dt>{safe(name)}</dt><dd>{safe(value)}</dd>" for name, value in rows)
    return f"<dl>{entries}</dl>"


def _static(name: str) -> str:
    return files(__package__).joinpath("static", name).read_text(encoding="utf-8")
