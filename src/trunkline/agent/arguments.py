"""Python types and JSON: the schema of a function's parameters, and values that fit it.

What a language model writes for arguments is checked here against the annotations, and
turned into the types they name. `plain` goes the other way, for results.
"""

import dataclasses
import enum
import inspect
import json
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from trunkline.errors import UsageError

from .docstrings import Docstring, read_docstring

__all__ = [
    "BadArgument",
    "Parameter",
    "defaults_of",
    "object_schema",
    "parameters_of",
    "plain",
    "read_arguments",
]

_SCALARS: dict[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}


class BadArgument(Exception):  # noqa: N818 - an answer to a model, not a failure of ours
    """What a model wrote does not fit the parameters; the message is meant for it."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a function, or one field of a dataclass."""

    annotation: Any
    required: bool


def parameters_of(function: Callable[..., Any], name: str) -> dict[str, Parameter]:
    """The parameters of a function.

    Raises:
        UsageError: one has no annotation, or one that has no JSON schema.
    """
    target = function if inspect.isroutine(function) else type(function).__call__
    hints = typing.get_type_hints(inspect.unwrap(target), include_extras=False)
    parameters = {}
    for one in inspect.signature(function).parameters.values():
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD, one.POSITIONAL_ONLY):
            raise UsageError(f"the tool {name!r} cannot take {one}: it is called by keywords")
        if one.name not in hints:
            raise UsageError(f"the tool {name!r} needs an annotation for {one.name!r}")
        parameters[one.name] = Parameter(hints[one.name], one.default is one.empty)
        _schema(hints[one.name], f"{name}({one.name})")
    return parameters


def defaults_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The default values of those parameters that have one."""
    found = inspect.signature(function).parameters.items()
    return {name: one.default for name, one in found if one.default is not one.empty}


def object_schema(
    parameters: Mapping[str, Parameter], defaults: Mapping[str, Any], docs: Docstring
) -> dict[str, Any]:
    """The JSON schema of an object with these parameters as its properties."""
    properties = {}
    for name, parameter in parameters.items():
        schema = _schema(parameter.annotation, name)
        if name in docs.arguments:
            schema["description"] = docs.arguments[name]
        if defaults.get(name) is not None:
            schema["default"] = plain(defaults[name])
        properties[name] = schema
    required = [name for name, parameter in parameters.items() if parameter.required]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _schema(annotation: Any, where: str) -> dict[str, Any]:
    """The JSON schema of a type; `_fit` is its other half."""
    if annotation in _SCALARS:
        return {"type": _SCALARS[annotation]}
    if annotation is Any or annotation is dict or get_origin(annotation) is dict:
        return {} if annotation is Any else {"type": "object"}
    if get_origin(annotation) is Literal:
        return {"enum": list(get_args(annotation))}
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [_schema(one, where) for one in get_args(annotation) if one is not type(None)]
        return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    if annotation is list or get_origin(annotation) is list:
        of = get_args(annotation)
        return {"type": "array", "items": _schema(of[0], where) if of else {}}
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return {"enum": [one.value for one in annotation]}
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        fields = _dataclass_parameters(annotation)
        defaults = {
            one.name: one.default
            for one in dataclasses.fields(annotation)
            if one.default is not dataclasses.MISSING
        }
        docs = read_docstring(inspect.getdoc(annotation) or "")
        return object_schema(fields, defaults, docs)
    raise UsageError(f"{where}: a tool cannot be given {annotation!r}; it has no JSON schema")


def _dataclass_parameters(kind: Any) -> dict[str, Parameter]:
    hints = typing.get_type_hints(kind)
    missing = dataclasses.MISSING
    return {
        one.name: Parameter(
            hints[one.name], one.default is missing and one.default_factory is missing
        )
        for one in dataclasses.fields(kind)
        if one.init
    }


# From what a model wrote to arguments


def read_arguments(parameters: Mapping[str, Parameter], text: str) -> dict[str, Any]:
    """Arguments as a model wrote them, as the types their parameters have.

    Raises:
        BadArgument: they are no JSON object or do not fit; says all that is wrong.
    """
    try:
        # Models write nothing at all for tools without parameters.
        given = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError):
        raise BadArgument("the arguments are not JSON; write one JSON object") from None
    if not isinstance(given, dict):
        raise BadArgument("the arguments are not a JSON object")
    return _fit_object(parameters, given, "")


def _fit_object(
    parameters: Mapping[str, Parameter], given: Mapping[str, Any], inside: str
) -> dict[str, Any]:
    problems = [
        f"there is no argument {inside + name!r}" for name in given if name not in parameters
    ]
    fitted = {}
    for name, parameter in parameters.items():
        where = inside + name
        if name not in given:
            if parameter.required:
                problems.append(f"the argument {where!r} is missing")
            continue
        try:
            fitted[name] = _fit(parameter.annotation, given[name], where)
        except BadArgument as error:
            problems.append(str(error))
    if problems:
        raise BadArgument("; ".join(problems))
    return fitted


def _fit(annotation: Any, value: Any, where: str) -> Any:
    """A JSON value as the type a parameter has.

    Lenient where models are sloppy and the meaning is plain: "5" for 5, 5 for "5", 5.0 for 5.
    """
    origin = get_origin(annotation)
    if annotation is Any:
        return value
    if annotation in _SCALARS:
        return _fit_scalar(annotation, value, where)
    if origin is Literal:
        return _fit_choice([(one, one) for one in get_args(annotation)], value, where)
    if origin in (Union, types.UnionType):
        return _fit_union(get_args(annotation), value, where)
    if annotation is list or origin is list:
        if not isinstance(value, list):
            raise _wrong(where, "a list", value)
        of = (*get_args(annotation), Any)[0]
        return [_fit(of, one, f"{where}[{index}]") for index, one in enumerate(value)]
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return _fit_choice([(one.value, one) for one in annotation], value, where)
    if not isinstance(value, dict):
        raise _wrong(where, "an object", value)
    if dataclasses.is_dataclass(annotation):
        return annotation(**_fit_object(_dataclass_parameters(annotation), value, f"{where}."))  # type: ignore[operator]
    return value


def _fit_scalar(kind: Any, value: Any, where: str) -> Any:
    if kind is bool:
        if isinstance(value, bool):
            return value
        if value in ("true", "false"):
            return value == "true"
        raise _wrong(where, "true or false", value)
    if kind is str and isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, bool):
        raise _wrong(where, "a number" if kind is not str else "text", value)
    if kind in (int, float) and isinstance(value, int | float | str):
        try:
            number = float(value)
            if kind is float and number - number == 0:  # neither infinite nor not a number
                return number
            if number.is_integer():
                return int(value)
        except (ValueError, OverflowError):
            pass
    raise _wrong(where, {int: "a whole number", float: "a number", str: "text"}[kind], value)


def _fit_choice(choices: Sequence[tuple[Any, Any]], value: Any, where: str) -> Any:
    """What is meant by the choice that ``value`` names; choices are (JSON value, meant)."""
    for choice, meant in choices:
        if value == choice and isinstance(value, bool) == isinstance(choice, bool):
            return meant
    for choice, meant in choices:  # models change capitals, and quote numbers
        if str(value).casefold() == str(choice).casefold():
            return meant
    raise _wrong(where, f"one of {', '.join(repr(choice) for choice, _ in choices)}", value)


def _fit_union(kinds: Sequence[Any], value: Any, where: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    others = [one for one in kinds if one is not type(None)]
    # The exact type first: "5" for int | str stays text.
    others.sort(key=lambda one: not (isinstance(one, type) and type(value) is one))
    wrong: BadArgument | None = None
    for one in others:
        try:
            return _fit(one, value, where)
        except BadArgument as error:
            wrong = wrong or error
    raise wrong or _wrong(where, "nothing", value)


def _wrong(where: str, wanted: str, value: Any) -> BadArgument:
    return BadArgument(f"the argument {where!r} must be {wanted}, not {json.dumps(value)[:80]}")


def plain(value: Any) -> Any:
    """A value as JSON's types; what has none, as its text."""
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in value]
    return str(value)
