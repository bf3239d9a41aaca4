"""Signatures as schemas, and what models write as arguments."""

import enum
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, Optional, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.agent.arguments import (
    BadArgument,
    Parameter,
    defaults_of,
    object_schema,
    parameters_of,
    plain,
    read_arguments,
)
from trunkline.agent.docstrings import read_docstring
from trunkline.errors import UsageError


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclass
class Address:
    """Where somebody lives.

    Args:
        street: With the number.
    """

    street: str
    city: str = "Bremen"
    floors: list[int] = field(default_factory=list)
    key: str = field(default="", init=False)


@dataclass
class Order:
    address: Address
    sizes: list[Size]


def schema_of(annotation: Any) -> dict[str, Any]:
    parameters = {"it": Parameter(annotation, required=True)}
    made = object_schema(parameters, {}, read_docstring(""))
    return made["properties"]["it"]  # type: ignore[no-any-return]


def read(annotation: Any, value: Any) -> Any:
    parameters = {"it": Parameter(annotation, required=True)}
    return read_arguments(parameters, json.dumps({"it": value}))["it"]


TEXT = {"type": "string"}
ADDRESS = {
    "type": "object",
    "properties": {
        "street": {"type": "string", "description": "With the number."},
        "city": {"type": "string", "default": "Bremen"},
        "floors": {"type": "array", "items": {"type": "integer"}},
    },
    "required": ["street"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (str, {"type": "string"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (Any, {}),
        (dict, {"type": "object"}),
        (dict[str, int], {"type": "object"}),
        (list, {"type": "array", "items": {}}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (
            list[list[str]],
            {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
        ),
        (Literal["a", "b"], {"enum": ["a", "b"]}),
        (Literal[1, 2], {"enum": [1, 2]}),
        (Size, {"enum": ["small", "large"]}),
        (Level, {"enum": [1, 2]}),
        (int | None, {"type": "integer"}),
        (Optional[str], {"type": "string"}),  # noqa: UP045 - people write it
        (Union[int, str], {"anyOf": [{"type": "integer"}, {"type": "string"}]}),  # noqa: UP007
        (Address, ADDRESS),
    ],
)
def test_a_type_becomes_a_schema(annotation: Any, schema: dict[str, Any]) -> None:
    assert schema_of(annotation) == schema


@pytest.mark.parametrize(
    "annotation", [bytes, object, tuple[int, int], set[int], Callable, complex]
)
def test_other_types_are_refused(annotation: Any) -> None:
    with pytest.raises(UsageError, match="no JSON schema"):
        schema_of(annotation)


def test_a_function_becomes_an_object() -> None:
    def book(day: Literal["Monday"], time: str = "10:00", note: str | None = None) -> None:
        """Book.

        Args:
            day: Which day.
        """

    docs = read_docstring("Book.\n\nArgs:\n    day: Which day.")
    assert object_schema(parameters_of(book, "book"), defaults_of(book), docs) == {
        "type": "object",
        "properties": {
            "day": {"enum": ["Monday"], "description": "Which day."},
            "time": {"type": "string", "default": "10:00"},
            "note": {"type": "string"},
        },
        "required": ["day"],
        "additionalProperties": False,
    }


def _bare(day):  # type: ignore[no-untyped-def]
    pass


def _star(*days: str) -> None: ...


def _stars(**days: str) -> None: ...


def _positional(day: str, /) -> None: ...


@pytest.mark.parametrize("function", [_bare, _star, _stars, _positional])
def test_functions_that_cannot_be_called_by_keywords_and_types_are_refused(
    function: Callable[..., Any],
) -> None:
    with pytest.raises(UsageError, match="'f'"):
        parameters_of(function, "f")


@pytest.mark.parametrize(
    ("annotation", "value", "fitted"),
    [
        (str, "x", "x"),
        (str, 4711, "4711"),
        (int, 5, 5),
        (int, "5", 5),
        (int, 5.0, 5),
        (int, -3, -3),
        (float, 5, 5.0),
        (float, "2.5", 2.5),
        (bool, True, True),
        (bool, "false", False),
        (Any, {"a": [1]}, {"a": [1]}),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (list[int], ["1", 2], [1, 2]),
        (list, [1, "a"], [1, "a"]),
        (Literal["Monday", "Friday"], "friday", "Friday"),
        (Literal[1, 2], "2", 2),
        (Literal[True, 1], 1, 1),
        (Size, "large", Size.LARGE),
        (Size, "Large", Size.LARGE),
        (Level, 2, Level.HIGH),
        (int | None, None, None),
        (int | None, "7", 7),
        (int | str, "7", "7"),
        (str | int, 7, 7),
        (float | None, 1, 1.0),
        (Address, {"street": "Am Wall 1"}, Address("Am Wall 1")),
        (
            Order,
            {"address": {"street": "A", "city": "B", "floors": [1]}, "sizes": ["small"]},
            Order(Address("A", "B", [1]), [Size.SMALL]),
        ),
    ],
)
def test_what_a_model_wrote_fits(annotation: Any, value: Any, fitted: Any) -> None:
    got = read(annotation, value)
    assert got == fitted
    assert type(got) is type(fitted)


@pytest.mark.parametrize(
    ("annotation", "value", "told"),
    [
        (str, None, "text"),
        (str, True, "text"),
        (str, ["a"], "text"),
        (int, "five", "a whole number"),
        (int, 5.5, "a whole number"),
        (int, True, "a number"),
        (int, "1e400", "a whole number"),
        (int, None, "a whole number"),
        (float, "nan", "a number"),
        (float, "inf", "a number"),
        (bool, 1, "true or false"),
        (bool, "yes", "true or false"),
        (list[int], 5, "a list"),
        (list[int], [1, "x"], "it[1]"),
        (dict, [], "an object"),
        (Literal["Monday"], "Sunday", "one of 'Monday'"),
        (Size, "medium", "one of 'small', 'large'"),
        (int | None, "x", "a whole number"),
        (Address, "Am Wall", "an object"),
        (Address, {}, "'it.street' is missing"),
        (Address, {"street": "A", "zip": 1}, "no argument 'it.zip'"),
        (Address, {"street": "A", "key": "k"}, "no argument 'it.key'"),
        (Order, {"address": {"street": []}, "sizes": []}, "'it.address.street'"),
    ],
)
def test_what_does_not_fit_is_told(annotation: Any, value: Any, told: str) -> None:
    with pytest.raises(BadArgument) as caught:
        read(annotation, value)
    assert told in str(caught.value)
    assert "'it" in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[1]", "null", "7", "nonsense", "[" * 100_000])
def test_arguments_are_one_json_object(text: str) -> None:
    with pytest.raises(BadArgument, match="JSON"):
        read_arguments({}, text)


@pytest.mark.parametrize("text", ["", "  ", "{}"])
def test_no_arguments_are_none(text: str) -> None:
    assert read_arguments({}, text) == {}


def test_everything_wrong_is_told_at_once() -> None:
    parameters = {"a": Parameter(int, True), "b": Parameter(str, True)}
    with pytest.raises(BadArgument) as caught:
        read_arguments(parameters, '{"a": "x", "c": 1}')
    assert "'a' must be" in str(caught.value)
    assert "'b' is missing" in str(caught.value)
    assert "'c'" in str(caught.value)


def test_an_answer_to_a_bad_argument_is_short() -> None:
    with pytest.raises(BadArgument) as caught:
        read(int, "x" * 10_000)
    assert len(str(caught.value)) < 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@pytest.mark.parametrize(
    "annotation", [str, int, float, bool, list[int], Size, Literal[1, "a"], Address, int | None]
)
@given(value=JSON)
def test_any_json_fits_or_is_refused(annotation: Any, value: Any) -> None:
    with suppress(BadArgument):
        read(annotation, value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Size.SMALL, "small"),
        (Level.LOW, 1),
        ((1, "a", None), [1, "a", None]),
        ({Size.SMALL: {1}}, {"small": [1]}),
        (Address("A"), {"street": "A", "city": "Bremen", "floors": [], "key": ""}),
        (b"raw", "b'raw'"),
        (3 + 0j, "(3+0j)"),
    ],
)
def test_results_become_plain(value: Any, expected: Any) -> None:
    assert plain(value) == expected
    json.dumps(plain(value))
