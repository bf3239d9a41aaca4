"""What `trunkline setup speech` does: say what there is, and install what is missing.

Nothing is installed unless asked for. Silero's package declares torch, which its model
file does not need and which no extra can leave out: it is installed without its
dependencies. espeak-ng is GPL-3.0-or-later: it is named before it is installed, and only
installed where the system has no flite.
"""

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from trunkline.errors import MissingDependencyError, TrunklineError

from . import espeak, flite, silero

__all__ = ["Part", "SetupFailed", "commands", "install", "survey", "table"]

_PIP_SECONDS = 600
_OFFLINE = ("Temporary failure in name resolution", "NewConnectionError", "Network is unreachable",
            "Could not find a version", "Connection refused", "ConnectTimeout")  # fmt: skip

Need = Literal["hearing", "voice activity", "speaking"]


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of the embedded speech engines."""

    name: str
    need: Need
    found: bool
    note: str
    """Where it is, or what works without it."""
    licence: str
    pip: tuple[str, ...] = ()
    """Arguments of ``pip install`` that bring it; empty: pip cannot, or it is not wanted."""


class SetupFailed(TrunklineError):  # noqa: N818 - the tree names the thing
    """Something could not be installed; the message says what to do."""


def survey() -> list[Part]:
    """What there is and what is missing; imports no package and runs nothing."""
    has_flite, has_espeak = flite.is_installed(), espeak.is_installed()
    return [
        _package("onnxruntime", ">=1.18", "voice activity", "MIT", "runs Silero's model"),
        Part(
            "silero-vad",
            "voice activity",
            _has_silero(),
            "without it a coarser detector is used",
            "MIT",
            ("--no-deps", "silero-vad>=6"),
        ),
        _package("pocketsphinx", ">=5.0.3", "hearing", "BSD", "speech-to-text with a grammar"),
        Part(
            "flite",
            "speaking",
            has_flite,
            "the system's" if has_flite else f"a clearer voice; as root: {flite.INSTALL}",
            "BSD-style",
        ),
        Part(
            "espeak-ng",
            "speaking",
            has_espeak,
            "not needed: flite speaks" if has_flite and not has_espeak else "in its own process",
            espeak.LICENCE,
            () if has_flite else ("espeakng-loader>=0.2.4",),
        ),
    ]


def commands(parts: Iterable[Part]) -> list[list[str]]:
    """The commands that bring what is missing, as `install` runs them."""
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    missing = [part for part in parts if not part.found and part.pip]
    plain = [each for part in missing if "--no-deps" not in part.pip for each in part.pip]
    alone = [part.pip for part in missing if "--no-deps" in part.pip]
    return [[*pip, *group] for group in ([plain] if plain else []) + [list(p) for p in alone]]


def table(parts: Sequence[Part]) -> str:
    """What there is, one line a part, for a terminal."""
    rows = [("", "part", "for", "licence", "")]
    rows += [
        ("yes" if part.found else "no", part.name, part.need, part.licence, part.note)
        for part in parts
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = (
        "  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def install(
    say: Callable[[str], None], run: Callable[[list[str]], str] | None = None
) -> list[Part]:
    """Install with pip what `survey` finds missing; returns what there is afterwards.

    Args:
        say: told of each step, licences included.
        run: runs a command and returns what it printed; raises `SetupFailed`.

    Raises:
        SetupFailed: pip is missing, or failed (no network, say); says what to do.
    """
    parts = survey()
    for part in parts:
        if not part.found and part.pip and "GPL" in part.licence:
            say(f"{part.name} is {part.licence}; it runs in a process of its own")
    for command in commands(parts):
        say("running: " + " ".join(command))
        (run or _run)(command)
    importlib.invalidate_caches()
    return survey()


def _has_silero() -> bool:
    try:
        silero.find_model()
    except MissingDependencyError:
        return False
    return True


def _package(name: str, version: str, need: Need, licence: str, note: str) -> Part:
    found = importlib.util.find_spec(name) is not None
    return Part(name, need, found, note, licence, (name + version,))


def _run(command: list[str]) -> str:
    if importlib.util.find_spec("pip") is None:
        raise SetupFailed(
            f"this Python ({sys.executable}) has no pip; run: {sys.executable} -m ensurepip, "
            "or with uv: uv pip install " + " ".join(command[5:])
        )
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PIP_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise SetupFailed(f"pip did not finish within {_PIP_SECONDS} s") from None
    if done.returncode:
        raise SetupFailed(_explain(command, done.stdout + done.stderr))
    return done.stdout


def _explain(command: list[str], output: str) -> str:
    said = output.strip().splitlines()[-1:] or ["no reason given"]
    message = f"pip failed ({said[0].strip()})"
    if any(sign in output for sign in _OFFLINE):
        packages = " ".join(command[5:])
        message += (
            "; it seems that there is no network. Where there is one, run "
            f"'pip download -d wheels {packages}', bring the folder here and run "
            f"'pip install --no-index --find-links wheels {packages}'"
        )
    return message
