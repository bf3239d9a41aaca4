"""Alarms: said once a minute, listed for the command line, cleared when it is right again."""

import logging
from pathlib import Path

import pytest

from trunkline.calls.alarms import FILE, FILE_BYTES, Alarms, alarms_of


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_what_is_wrong_is_listed_until_it_is_right() -> None:
    clock = Clock()
    alarms = Alarms(clock=clock)
    alarms.raise_("disk", "full")
    clock.now += 5
    alarms.raise_("disk", "very full")
    alarms.raise_("s3", "503")
    assert [(a.kind, a.detail, a.since, a.count) for a in alarms.current()] == [
        ("disk", "very full", 1_000_000.0, 2),
        ("s3", "503", 1_000_005.0, 1),
    ]
    alarms.clear("disk")
    alarms.clear("disk")
    assert [alarm.kind for alarm in alarms.current()] == ["s3"]
    assert alarms.raised == 3


def test_the_log_has_it_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    alarms = Alarms(clock=clock)
    with caplog.at_level(logging.WARNING):
        for _ in range(600):
            alarms.raise_("disk", "full")
            clock.now += 0.5
        assert len(caplog.records) == 5
        alarms.clear("disk")
    assert "right again after 300 s" in caplog.records[-1].getMessage()


def test_the_command_line_reads_them(tmp_path: Path) -> None:
    alarms = Alarms(tmp_path)
    assert alarms_of(tmp_path) == []
    alarms.raise_("disk", "full")
    assert [alarm.detail for alarm in alarms_of(tmp_path)] == ["full"]
    size = (tmp_path / FILE).stat().st_size
    alarms.raise_("s3", "503 " * 100)
    assert (tmp_path / FILE).stat().st_size == size == FILE_BYTES
    alarms.clear("disk")
    alarms.clear("s3")
    assert alarms_of(tmp_path) == []


def test_those_of_a_node_that_is_gone_are_none(tmp_path: Path) -> None:
    Alarms(tmp_path).raise_("disk", "full")
    text = (tmp_path / FILE).read_text()
    number = text.split('"process":"')[1].split("/")[0]
    (tmp_path / FILE).write_text(text.replace(f'"{number}/', '"999999999/'))
    assert alarms_of(tmp_path) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"process": 1}'])
def test_a_broken_list_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / ".queue").mkdir()
    (tmp_path / FILE).write_text(text)
    assert alarms_of(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    alarms = Alarms(tmp_path / "file")
    alarms.raise_("disk", "full")
    assert len(alarms.current()) == 1
