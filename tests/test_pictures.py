"""The guide's pictures: there, small, whole, and those that the script draws."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PICTURES = sorted((DOCS / "guide/pictures").iterdir())


@pytest.fixture(scope="module")
def drawing() -> ModuleType:
    specification = importlib.util.spec_from_file_location("docs_pictures", DOCS / "pictures.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_script_draws_each_and_no_other(drawing: ModuleType) -> None:
    assert set(drawing.PICTURES) == {path.name for path in PICTURES}


def test_the_guide_shows_each_and_says_what_it_is() -> None:
    text = (DOCS / "guide/audio.md").read_text(encoding="utf-8")
    shown = re.findall(r"!\[([^\]]{10,})\]\(pictures/([^)]+)\)", text)
    assert {name for _, name in shown} == {path.name for path in PICTURES}


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_a_picture_is_small_and_whole(path: Path) -> None:
    data = path.read_bytes()
    assert len(data) < 60_000
    if path.suffix == ".svg":
        root = ElementTree.fromstring(data)
        assert root.tag.endswith("svg")
        assert b"nan" not in data
    else:
        assert data.startswith(b"\x89PNG") and data.endswith(b"IEND\xaeB`\x82")


@pytest.mark.parametrize("name", ["concealment.svg", "noise-after.png"])
def test_it_can_be_drawn_again(drawing: ModuleType, name: str) -> None:
    drawn = drawing.PICTURES[name]()
    kept = (DOCS / "guide/pictures" / name).read_bytes()
    # Another numpy may round otherwise.
    assert len(drawn) == pytest.approx(len(kept), rel=0.02)
