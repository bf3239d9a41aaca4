"""What is wrong inside a table or a list of the settings, and where."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from msgspec import Struct
from msgspec.structs import fields

from .keys import accepts
from .secret import Secret

__all__ = ["inside"]


def inside(value: object, kind: Any, path: str) -> str:
    """The first thing wrong in a value that is a table or a list, with its place.

    Empty where nothing is, or where it is the value as a whole.
    """
    for found in _parts(value, kind, path):
        if isinstance(found, str):
            return found
        part, part_kind, place = found
        if deeper := inside(part, part_kind, place):
            return deeper
        if not _fits(part, part_kind):
            accepted = " or ".join(accepts(one) for one in _either(part_kind))
            shown = "" if _is_secret(part_kind) else f" is {str(part)[:60]!r} but"
            return f"{place}{shown} must be {accepted}"
    return ""


def _parts(value: object, kind: Any, path: str) -> list[tuple[object, Any, str] | str]:
    """What a value consists of, each with its type and place, or what is wrong with a key."""
    kind = next((one for one in _either(kind) if _is_made_for(one, value)), None)
    if kind is None:
        return []
    if isinstance(value, list):
        item = get_args(kind)[0]
        return [(one, item, f"{path}[{number}]") for number, one in enumerate(value)]
    assert isinstance(value, Mapping)
    if get_args(kind):
        item = get_args(kind)[1]
        return [(one, item, f'{path}."{name}"') for name, one in value.items()]
    known = {one.name: one.type for one in fields(kind)}
    missing = [one.name for one in fields(kind) if one.required and one.name not in value]
    return [
        *(
            (one, known[name], f"{path}.{name}") if name in known else _unknown(path, name, known)
            for name, one in value.items()
        ),
        *(f"{path} needs a {name}: {accepts(known[name])}" for name in missing),
    ]


def _is_made_for(kind: Any, value: object) -> bool:
    """Whether values like this one are taken apart by that type."""
    if isinstance(value, list):
        return get_origin(kind) is tuple
    origin = get_origin(kind) or kind
    return (
        isinstance(value, Mapping)
        and isinstance(origin, type)
        and (issubclass(origin, Struct | Mapping))
    )


def _unknown(path: str, name: str, known: Mapping[str, Any]) -> str:
    close = get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
    return f"there is no key {path}.{name}; {hint}"


def _fits(value: object, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind, dec_hook=_any_text)
    except msgspec.ValidationError:
        return False
    return True


def _any_text(kind: type, value: object) -> object:
    """A secret or a path, as far as its being text goes."""
    if not isinstance(value, str):
        raise ValueError("not text")
    return Secret(value) if kind is Secret else Path(value)


def _is_secret(kind: Any) -> bool:
    return kind is Secret or Secret in get_args(kind)


def _either(kind: Any) -> tuple[Any, ...]:
    """The types that a setting may have, None aside."""
    if get_origin(kind) is Annotated and get_origin(get_args(kind)[0]) is not None:
        kind = get_args(kind)[0]
    if get_origin(kind) not in (Union, UnionType):
        return (kind,)
    return tuple(one for one in get_args(kind) if one is not type(None))
