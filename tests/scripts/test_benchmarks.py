"""Benchmarks are run seldom, so what they take from each other and from us is held here."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(FOLDER.glob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """(module, name) of everything a script takes from a module by name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.module, alias.name) for alias in node.names)


def defined(path: Path) -> set[str]:
    """The names a script has at its top."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_what_a_benchmark_takes_from_another_is_there(script: Path) -> None:
    for module, name in imports(script):
        other = FOLDER / f"{module}.py"
        if other.exists():
            assert name in defined(other), f"{module} has no {name}"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_what_a_benchmark_takes_from_the_package_is_there(script: Path) -> None:
    for module, name in imports(script):
        if module.split(".")[0] == "trunkline":
            found = importlib.import_module(module)
            assert hasattr(found, name) or importlib.import_module(f"{module}.{name}")


@pytest.mark.parametrize(
    "script", [path for path in SCRIPTS if path.stem[0] != "_"], ids=lambda path: path.stem
)
def test_a_benchmark_is_in_the_readme(script: Path) -> None:
    assert script.name in (FOLDER / "README.md").read_text()
