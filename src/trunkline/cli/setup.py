"""``trunkline setup``: install what cannot be had as a plain dependency."""

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, NamedTuple

from cyclopts import App, Parameter

from trunkline.errors import MissingDependencyError
from trunkline.speech import espeak as espeak_engine
from trunkline.speech import flite as flite_engine

from .output import console, print_json, table

__all__ = ["app"]

app = App(name="setup", help="Install what hearing and speaking need.")


class Part(NamedTuple):
    """Something that hearing or speaking needs."""

    name: str
    """The package or program."""
    use: str
    """What it is for."""
    licence: str
    """Under what terms."""
    module: str
    """What is imported."""
    requirement: str
    """What pip is asked for; empty for what the system has or has not."""
    dependencies: bool = True
    """Whether pip installs what it declares to depend on."""
    found: Callable[[], bool] | None = None
    """Whether it is there, where that is not whether the module is."""


_PARTS = (
    Part("onnxruntime", "runs the voice-activity model", "MIT", "onnxruntime", "onnxruntime>=1.18"),
    # Declares torch (2 GB) and needs it only for what we do not use: its .onnx file is enough.
    Part("silero-vad", "voice activity", "MIT", "silero_vad", "silero-vad>=6", False),
    Part("pocketsphinx", "speech to text", "BSD", "pocketsphinx", "pocketsphinx>=5.0.3"),
)
# As the voices look for them: the libraries, not the programs; the system's espeak-ng will do.
_FLITE = Part(
    "flite", "text to speech", "BSD-like", "", "", found=lambda: flite_engine.is_installed()
)
_ESPEAK = Part(
    "espeak-ng", "text to speech", "GPL-3.0-or-later", "espeakng_loader",
    "espeakng-loader>=0.2.4", found=lambda: espeak_engine.is_installed(),
)  # fmt: skip


@app.command
def speech(
    *,
    espeak: bool | None = None,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Install voice activity, speech to text and a voice, with no large download.

    Examples: `trunkline setup speech`, `trunkline setup speech --dry-run`

    Parameters
    ----------
    espeak
        Install espeak-ng's voice (GPL-3.0-or-later, run as a process of its own).
        By default only where the flite program is missing.
    dry_run
        Only say what would be run.
    json
        What is installed, as JSON.
    """
    wanted = [*_PARTS, *([_ESPEAK] if _needs_espeak(espeak) else [])]
    for command in _commands([part for part in wanted if not _has(part)]):
        print(" ".join(command), file=sys.stderr)
        if not dry_run:
            _install(command)
    return _report(json)


def _needs_espeak(asked: bool | None) -> bool:
    return not _has(_FLITE) if asked is None else asked


def _has(part: Part) -> bool:
    if part.found is not None:
        return part.found()
    importlib.invalidate_caches()
    return importlib.util.find_spec(part.module) is not None


def _commands(missing: list[Part]) -> Iterator[list[str]]:
    """How to install: with pip, or with uv where the environment has no pip."""
    if not missing:
        return
    pip = [sys.executable, "-m", "pip", "install"]
    if importlib.util.find_spec("pip") is None:
        uv = shutil.which("uv")
        if uv is None:
            raise MissingDependencyError(
                f"neither pip nor uv can install into {sys.prefix}: python -m ensurepip first"
            )
        pip = [uv, "pip", "install", "--python", sys.executable]
    whole = [part.requirement for part in missing if part.dependencies]
    alone = [part.requirement for part in missing if not part.dependencies]
    if whole:
        yield [*pip, *whole]
    if alone:
        yield [*pip, "--no-deps", *alone]


def _install(command: list[str]) -> None:
    # pip's own words go to standard error: standard output is for the report.
    if subprocess.run(command, stdout=sys.stderr, check=False).returncode:
        raise MissingDependencyError(f"this failed: {' '.join(command)}")


def _report(json: bool) -> int:
    parts = [*_PARTS, _FLITE, _ESPEAK]
    there = {part.name: _has(part) for part in parts}
    voice = there["flite"] or there["espeak-ng"]
    ready = voice and all(there[part.name] for part in _PARTS)
    if json:
        print_json({"ready": ready, "parts": there})
        return 0 if ready else 1
    listing = table("part", "for", "licence", "")
    for part in parts:
        state = "installed" if there[part.name] else "not installed"
        listing.add_row(part.name, part.use, part.licence, state)
    console().print(listing)
    return 0 if ready else 1
