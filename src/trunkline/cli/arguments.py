"""What every command that reads the settings accepts, and the settings it makes of it."""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from trunkline.errors import ConfigError
from trunkline.server.logs import configure, secrets_of
from trunkline.settings import Loaded, Settings, check, config_files, load

__all__ = ["Common", "app_file", "arguments", "given", "settled"]

_arguments: ContextVar[tuple[str, ...]] = ContextVar("arguments", default=())


@contextlib.contextmanager
def given(tokens: Sequence[str]) -> Iterator[None]:
    """Remember the arguments of this run, for a command that starts itself again."""
    token = _arguments.set(tuple(tokens))
    try:
        yield
    finally:
        _arguments.reset(token)


def arguments() -> tuple[str, ...]:
    """The arguments of this run, without the program's name."""
    return _arguments.get()


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    """Where settings come from."""

    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None
    """Read this file in place of ./trunkline.toml."""

    set: Annotated[tuple[str, ...], Parameter(name=["--set", "-s"], negative=())] = ()
    """Any setting as section.key=value; may be given several times."""

    def load(self, flags: Mapping[str, object] | None = None) -> Loaded:
        """The settings of files, environment and flags; remarks go to standard error.

        Raises:
            ConfigError: they are wrong.
        """
        dotted = {**_pairs(self.set), **{k: v for k, v in (flags or {}).items() if v is not None}}
        files = config_files(self.config, os.environ)
        loaded = load(files, environ=os.environ, flags=dotted)
        for note in loaded.notes:
            print(f"trunkline: note: {note}", file=sys.stderr)
        return loaded


@contextlib.contextmanager
def settled(common: Common | None, flags: Mapping[str, object]) -> Iterator[Settings]:
    """The settings that a node is run with, checked; what it logs goes where they say.

    Raises:
        ConfigError: they are wrong.
    """
    settings = (common or Common()).load(flags).settings
    check(settings)
    log = configure(settings.log, secrets=secrets_of(settings))
    try:
        yield settings
    finally:
        log.close()


def app_file(path: Path | None) -> Path | None:
    """An app's file, where one is named and there.

    Raises:
        ConfigError: it is not there.
    """
    if path is not None and not path.is_file():
        raise ConfigError(f"there is no file {path}")
    return path


def _pairs(written: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for item in written:
        key, equals, value = item.partition("=")
        if not equals:
            raise ConfigError(f"--set takes section.key=value, not {item!r}")
        pairs[key.strip()] = value
    return pairs
