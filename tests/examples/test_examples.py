"""Every example: has a test, says how to run it, is small."""

import ast
from pathlib import Path

import pytest

from trunkline.cli import main

from .conftest import EXAMPLES

PROGRAMS = sorted(EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name)
def test_an_example_says_what_it_is_and_how_to_run_it(path: Path) -> None:
    told = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    assert f"examples/{path.name}" in told


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name)
def test_an_example_is_read_at_one_glance(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 45


def test_every_example_is_run_by_a_test_of_its_name() -> None:
    # bot.py is the other half of stream_to_bot.py.
    tested = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}
    assert {path.stem for path in PROGRAMS} - {"bot"} <= tested


def test_a_file_that_is_not_there_is_said_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "examples/shpo.py"]) == 2
    assert "examples/shpo.py" in capsys.readouterr().err
