"""The spill file: nothing twice, nothing lost, broken lines counted."""

import multiprocessing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.calls.records_db import Change
from trunkline.calls.spill import Spill

CHANGE = Change(1.5, "call-1", {"state": "ended", "end_code": 200, "caller": None})


@pytest.fixture
def spill(tmp_path: Path) -> Spill:
    return Spill(tmp_path / "folder" / "calls.db")


def taken(spill: Spill) -> tuple[list[Change], int]:
    found: list[Change] = []
    bad = spill.take(found.extend)
    return found, bad


def test_it_lies_beside_the_database(spill: Spill, tmp_path: Path) -> None:
    assert spill.path == tmp_path / "folder" / "calls.db.spill.jsonl"


def test_changes_come_back_in_order_and_once(spill: Spill) -> None:
    other = Change(2.5, "call-2", {"state": "live"})
    spill.add([CHANGE])
    spill.add([other, CHANGE])
    assert taken(spill) == ([CHANGE, other, CHANGE], 0)
    assert taken(spill) == ([], 0)


def test_without_a_file_there_is_nothing(spill: Spill) -> None:
    assert taken(spill) == ([], 0)
    assert not spill.path.exists()


def test_if_they_cannot_be_used_they_stay(spill: Spill) -> None:
    def refuse(changes: list[Change]) -> None:
        raise OSError("full")

    spill.add([CHANGE])
    with pytest.raises(OSError, match="full"):
        spill.take(refuse)
    assert taken(spill) == ([CHANGE], 0)


@pytest.mark.parametrize(
    "line", ["{", "[1]", "[1, 2, 3, 4]", "null", '["x", "id", {}]', '[1, "id", 5]', "\x00\xff"]
)
def test_a_broken_line_costs_only_itself(spill: Spill, line: str) -> None:
    spill.add([CHANGE])
    with spill.path.open("a", encoding="latin-1") as file:
        file.write(line + "\n")
    spill.add([CHANGE])
    assert taken(spill) == ([CHANGE, CHANGE], 1)


def test_it_is_nobody_elses_business(spill: Spill) -> None:
    spill.add([CHANGE])
    assert spill.path.stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("")
    with pytest.raises(OSError):
        Spill(tmp_path / "folder" / "calls.db").add([CHANGE])


def _add(path: Path, name: str) -> None:
    spill = Spill(path)
    for number in range(50):
        spill.add([Change(float(number), name, {"caller": "x" * 500})])


def test_several_processes_share_it(tmp_path: Path) -> None:
    path = tmp_path / "calls.db"
    spawn = multiprocessing.get_context("fork")
    writers = [spawn.Process(target=_add, args=(path, f"call-{n}")) for n in range(3)]
    for writer in writers:
        writer.start()
    found: list[Change] = []
    bad = 0
    while any(writer.is_alive() for writer in writers):
        bad += Spill(path).take(found.extend)
    for writer in writers:
        writer.join()
    bad += Spill(path).take(found.extend)
    assert bad == 0
    assert sorted((change.id, change.at) for change in found) == [
        (f"call-{n}", float(number)) for n in range(3) for number in range(50)
    ]


columns = st.dictionaries(st.text(), st.none() | st.text() | st.integers() | st.floats(-1e9, 1e9))


@given(st.lists(st.builds(Change, st.floats(0, 2e9), st.text(), columns), max_size=5))
def test_whatever_is_spilled_comes_back(
    tmp_path_factory: pytest.TempPathFactory, changes: list[Change]
) -> None:
    spill = Spill(tmp_path_factory.getbasetemp() / "round-trip.db")
    spill.add(changes)
    assert taken(spill) == (changes, 0)
