"""Docstrings as people write them."""

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.agent.docstrings import Docstring, read_docstring


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Docstring()),
        ("Do it.", Docstring("Do it.")),
        ("Do it\n    over two lines.", Docstring("Do it over two lines.")),
        ("Do it.\n\n    And more.", Docstring("Do it.\n\nAnd more.")),
        (
            """Do it.

            Args:
                day: The day.
                time (str, optional): When
                    it is to be:
                    early.

            Returns:
                result: not an argument.
            """,
            Docstring("Do it.", {"day": "The day.", "time": "When it is to be: early."}),
        ),
        (
            "Do it.\n\nArgs:\n  a: One.\n  b: Two.\n",
            Docstring("Do it.", {"a": "One.", "b": "Two."}),
        ),
        ("Do it.\n\nArguments:\n    a:\n        One.\n", Docstring("Do it.", {"a": "One."})),
        ("Do it.\n\nRaises:\n    E: no.\n\nArgs:\n    a: One.", Docstring("Do it.", {"a": "One."})),
        ("Do it.\n\nArgs:\n", Docstring("Do it.")),
        ("Do it.\n\nArgs:\n    nothing of the sort\n", Docstring("Do it.")),
        ("Args:\n    a: One.", Docstring("", {"a": "One."})),
    ],
)
def test_reads_the_summary_and_the_arguments(text: str, expected: Docstring) -> None:
    assert read_docstring(inspect.cleandoc(text)) == expected


@given(st.text())
def test_any_text_is_survived(text: str) -> None:
    assert isinstance(read_docstring(text).summary, str)
