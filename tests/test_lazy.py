"""Names that are imported when they are first used."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from trunkline.lazy import lazily


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package with one module, ``.home``, that defines ``thing``."""
    name = "lazy_example"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "home.py").write_text("thing = object()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    for module in [module for module in sys.modules if module.split(".")[0] == name]:
        del sys.modules[module]


def imported(package: str) -> ModuleType:
    __import__(package)
    return sys.modules[package]


def test_a_name_is_imported_when_it_is_asked_for_and_not_before(package: str) -> None:
    imported(package)
    find = lazily(package, {".home": ("thing",)})
    assert f"{package}.home" not in sys.modules
    assert find("thing") is sys.modules[f"{package}.home"].thing


def test_a_name_that_was_found_is_an_ordinary_attribute_afterwards(package: str) -> None:
    module = imported(package)
    thing = lazily(package, {".home": ("thing",)})("thing")
    assert module.__dict__["thing"] is thing


def test_a_name_nobody_listed_is_missing_as_from_any_module(package: str) -> None:
    imported(package)
    with pytest.raises(AttributeError, match="module 'lazy_example' has no attribute 'other'"):
        lazily(package, {".home": ("thing",)})("other")


def test_a_module_that_lacks_what_was_listed_says_so(package: str) -> None:
    imported(package)
    with pytest.raises(AttributeError, match="promised"):
        lazily(package, {".home": ("promised",)})("promised")
