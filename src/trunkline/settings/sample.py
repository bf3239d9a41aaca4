"""Writing settings down: the annotated sample, and what is in force and why."""

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct

from .keys import Key, accepts, keys, sections
from .load import Loaded
from .secret import MASK, Secret

__all__ = ["Shown", "documentation", "sample", "show", "toml_value"]

_WIDTH = 96
_PLAIN = {"text", "a path", "true or false"}  # the value shown says as much
_EXAMPLES = {
    "audio.trunks": '"203.0.113.0/24" = { echo = "off", noise = "logmmse" }',
    "recording.retention_days_by_app": "support = 90",
    "sip.accounts": 'alice = "file:/run/secrets/alice"',
    "speech.activity_options": "option = 1",
    "speech.stt_options": 'url = "http://127.0.0.1:8000/v1"',
    "speech.tts_options": 'option = "text"',
    "protection.keys": "support = { channels = 5, minutes_per_day = 600, spend_per_month = 200 }",
    "trunks": 'carrier = { gateways = [{ server = "sip:203.0.113.9" }], country_code = "49" }',
}

_HEADER = """\
Trunkline's settings, with their defaults: delete what you do not change.

Read in this order, each over the last: defaults, /etc/trunkline/trunkline.toml,
./trunkline.toml (or --config FILE), the environment (TRUNKLINE_SIP__PORT=5060), flags.
Secrets are best kept elsewhere: "file:/run/secrets/token" or "env:NAME"."""


def sample() -> str:
    """The annotated file of all settings, made of their definitions; parses to the defaults."""
    parts = [_comment(_HEADER)]
    for path, owner in sections().items():
        plain = [key for key in keys().values() if _section(key) == path]
        tables = [key for key in plain if isinstance(key.default, Mapping)]
        about = _comment(inspect.cleandoc(owner.__doc__ or ""))
        parts.append(f"{about}\n[{path}]")
        parts += [_entry(key) for key in plain if key not in tables]
        parts += [_table(key) for key in tables]
    parts += [_table(key) for key in keys().values() if "." not in key.path]
    return "\n\n".join(parts) + "\n"


class Shown(NamedTuple):
    """One setting in force."""

    key: str
    """Its dotted path."""
    value: str
    """Its value as TOML; of a secret only where it was read from, or a mask."""
    origin: str
    """Who set it: "default", a file's path, "env NAME" or "flag"."""


def show(loaded: Loaded) -> Iterator[Shown]:
    """Every setting in force, with where it came from; secrets masked."""
    for path in keys():
        value: Any = loaded.settings
        for part in path.split("."):
            value = getattr(value, part)
        yield Shown(path, toml_value(value), loaded.origins[path])


def toml_value(value: object) -> str:
    """A setting's value as TOML. A secret is its origin, or a mask."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Secret):
        return _quoted(value.origin or (MASK if value else ""))
    if isinstance(value, tuple):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_quoted(name)} = {toml_value(item)}" for name, item in value.items())
        return "{ " + inner + " }" if inner else "{}"
    if isinstance(value, Struct):
        given = {one: getattr(value, one) for one in value.__struct_fields__}
        return toml_value({one: item for one, item in given.items() if item is not None})
    if isinstance(value, str | Path):
        return _quoted(str(value))
    raise TypeError(f"no TOML for {type(value).__name__}")


def _quoted(text: str) -> str:
    """A TOML basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'


def _section(key: Key) -> str:
    return key.path.rpartition(".")[0]


def _entry(key: Key) -> str:
    return f"{_about(key)}\n{key.name} = {toml_value(key.default)}"


def _table(key: Key) -> str:
    return f"{_about(key)}\n[{key.path}]\n# {_EXAMPLES[key.path]}"


def _about(key: Key) -> str:
    text = documentation(key.owner)[key.name]
    accepted = accepts(key.type)
    return _comment(text if accepted in _PLAIN else f"{text}\nAccepts {accepted}.")


def _comment(text: str) -> str:
    lines = [
        wrapped
        for line in text.splitlines()
        for wrapped in (textwrap.wrap(line, _WIDTH, break_long_words=False) or [""])
    ]
    return "\n".join(f"# {line}".rstrip() for line in lines)


@cache
def documentation(owner: type[Struct]) -> Mapping[str, str]:
    """The docstring under each field of a section, on one line; read from the source."""
    module = ast.parse(inspect.getsource(sys.modules[owner.__module__]))
    bodies = {node.name: node.body for node in module.body if isinstance(node, ast.ClassDef)}
    found: dict[str, str] = {}
    for here, below in pairwise(bodies[owner.__name__]):
        if isinstance(here, ast.AnnAssign) and isinstance(here.target, ast.Name):
            match below:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    found[here.target.id] = " ".join(text.split())
    return found
