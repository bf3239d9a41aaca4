"""The settings as a flat list of dotted keys, and what each accepts, in words."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import fields

from .secret import Secret
from .tree import Settings

__all__ = ["Key", "accepts", "closest", "keys", "sections"]


class Key(NamedTuple):
    """One setting."""

    path: str
    """Dotted, as in ``agent.turns.silence_ms``."""
    type: Any
    """The annotation, with its range."""
    default: Any
    """The value when nobody says otherwise."""
    owner: type[Struct]
    """The section it is defined in."""

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]

    @property
    def secret(self) -> bool:
        """Whether its value may be shown to nobody."""
        return self.type is Secret or Secret in get_args(self.type)


@cache
def keys() -> Mapping[str, Key]:
    """Every setting by its dotted path, in the order of the definition."""
    return {key.path: key for key in _walk(Settings, "")}


@cache
def sections() -> Mapping[str, type[Struct]]:
    """Every section by its dotted path, in the order of the definition."""
    return dict(_sections(Settings, ""))


def _walk(owner: type[Struct], prefix: str) -> Iterator[Key]:
    for item in fields(owner):
        path = prefix + item.name
        if _is_section(item.type):
            yield from _walk(item.type, f"{path}.")
        else:
            made = item.default_factory is not msgspec.NODEFAULT
            yield Key(path, item.type, item.default_factory() if made else item.default, owner)


def _sections(owner: type[Struct], prefix: str) -> Iterator[tuple[str, type[Struct]]]:
    for item in fields(owner):
        if _is_section(item.type):
            yield prefix + item.name, item.type
            yield from _sections(item.type, f"{prefix}{item.name}.")


def _is_section(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


def closest(path: str) -> str:
    """The key or section a mistyped one probably means; empty if none is near.

    Looks at whole paths first, then for the same last word in another section,
    because ``[agent] silence_ms`` is a more common mistake than a misspelling.
    """
    known = [*keys(), *sections()]
    name = path.rpartition(".")[2]
    same_name = [other for other in known if other.rpartition(".")[2] == name]
    if same_name:
        return same_name[0]
    near = get_close_matches(path, known, n=1, cutoff=0.75)
    if near:
        return near[0]
    section = path.rpartition(".")[0]
    inside = [other for other in known if other.rpartition(".")[0] == section]
    by_name = {other.rpartition(".")[2]: other for other in inside}
    found = get_close_matches(name, by_name, n=1, cutoff=0.5)
    return by_name[found[0]] if found else ""


_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    Secret: 'text, "file:PATH" or "env:NAME"',
}


def accepts(kind: Any) -> str:
    """What a setting of this type accepts, in words."""
    origin = get_origin(kind)
    if origin is Annotated:
        base, *rest = get_args(kind)
        metas = [meta for meta in rest if isinstance(meta, Meta)]
        said = next((meta.description for meta in metas if meta.description), None)
        return said or accepts(base) + "".join(map(_range, metas))
    if _is_section(kind):
        return f"a table of {', '.join(item.name for item in fields(kind))}"
    if origin is Literal:
        return "one of " + ", ".join(f'"{value}"' for value in get_args(kind))
    if origin is tuple:
        return f"a list, each {accepts(get_args(kind)[0])}"
    if origin in (Union, UnionType):
        return " or ".join(accepts(part) for part in get_args(kind))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"a table, each value {accepts(get_args(kind)[1])}"
    return _WORDS[kind]


def _range(meta: Meta) -> str:
    low = f" from {meta.ge}" if meta.ge is not None else ""
    high = f" to {meta.le}" if meta.le is not None else ""
    above = f" above {meta.gt}" if meta.gt is not None else ""
    below = f" below {meta.lt}" if meta.lt is not None else ""
    return f"{above}{' and' if above and (high or below) else ''}{low}{high}{below}".replace(
        "and to", "up to"
    )
