"""``trunkline config``: the sample, a check, and what is in force."""

import os
import sys
from pathlib import Path

from cyclopts import App

from trunkline.errors import ConfigError
from trunkline.settings import Settings, load, problems
from trunkline.settings.load import PREFIX
from trunkline.settings.sample import Shown
from trunkline.settings.sample import sample as sample_text
from trunkline.settings.sample import show as shown

from .arguments import Common
from .output import print_json

__all__ = ["app"]

app = App(name="config", help="The settings: a sample, a check, the effect.")


@app.command
def sample() -> None:
    """Print a file of all settings with their defaults and what each is for.

    Example: `trunkline config sample > trunkline.toml`
    """
    print(sample_text(), end="")


@app.command
def check(file: Path, /) -> int:
    """Check a file by itself: keys, values, secrets, and whether it exposes the node.

    Example: `trunkline config check trunkline.toml`

    Parameters
    ----------
    file
        The file to check. Secrets it refers to must be there.
    """
    # The environment is for its secrets ("env:NAME"); settings in it are another matter.
    environ = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    try:
        settings = load([file], environ=environ).settings
        found = [*problems(settings), *_of_trunks(settings)]
    except ConfigError as error:
        found = [str(error)]
    for problem in found:
        print(f"trunkline: {problem}", file=sys.stderr)
    if not found:
        print(f"{file} is fine")
    return 1 if found else 0


def _of_trunks(settings: Settings) -> list[str]:
    # Here and not above: other commands need none of numpy.
    from trunkline.server import trunk_settings

    return list(trunk_settings.problems(settings))


@app.command
def show(*, common: Common | None = None, json: bool = False) -> None:
    """Print every setting in force and where it comes from. Secrets are masked.

    Example: `TRUNKLINE_SIP__PORT=5070 trunkline config show`

    Parameters
    ----------
    json
        As JSON.
    """
    lines = list(shown((common or Common()).load()))
    if json:
        print_json([line._asdict() for line in lines])
    else:
        print("\n".join(_sections(lines)))


def _sections(lines: list[Shown]) -> list[str]:
    """TOML, with the origin of what is not a default as a comment."""
    written: list[str] = []
    before = ""
    # A table of tables stands before all sections, where TOML takes a key for the top's.
    for line in sorted(lines, key=lambda line: "." in line.key):
        section, _, name = line.key.rpartition(".")
        if section != before:
            written += ["", f"[{section}]"] if written else [f"[{section}]"]
            before = section
        origin = "" if line.origin == "default" else f"  # {line.origin}"
        written.append(f"{name} = {line.value}{origin}")
    return written
