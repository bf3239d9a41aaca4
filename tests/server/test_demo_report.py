"""The demo's terminal after the call."""

import io
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from trunkline.server.demo_report import print_report, shown_path, waterfall
from trunkline.server.demo_result import DemoResult

from .demo_material import a_conversation, a_latency, a_record


def a_result(folder: Path, **changes: Any) -> DemoResult:
    record = a_record(recording=str(folder / "recordings" / "call.wav"))
    fields: dict[str, Any] = {
        "conversation": a_conversation(),
        "latencies": [a_latency(1, 650.0), a_latency(2, 1300.0)],
        "understood": {1: "when are you open and for how long is that", 2: ""},
        "record": record,
        "page": folder / "call.html",
        **changes,
    }
    return DemoResult(folder, **fields)


def report(result: DemoResult, *, width: int = 80, terminal: bool = False, **more: Any) -> str:
    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        force_terminal=terminal,
        color_system="standard" if terminal else None,
        highlight=False,
        **more,
    )
    print_report(console, result)
    return out.getvalue()


def test_a_good_call_is_reported_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / ".venv/bin/trunkline"), "demo"])
    text = report(a_result(tmp_path))
    assert "✓ The call went as it should: 7 turns in 24 s" in text
    assert "Median 975 ms: 610 of silence" in text
    assert "packets       1,200 received, none lost" in text
    assert "recording     recordings/call.wav  left: caller, right: agent" in text
    assert "page          call.html  open it in a browser" in text
    assert (
        "record        .venv/bin/trunkline calls show call_0123456789abcdef "
        "--set records.path=calls.db" in text
    )


def test_what_went_wrong_is_a_line_each(tmp_path: Path) -> None:
    text = report(a_result(tmp_path, problems=["nothing was booked", "it took [too] long"]))
    assert text.endswith(
        "✗ The call did not go as it should:\n  nothing was booked\n  it took [too] long\n"
    )
    assert "✓" not in text


def test_a_call_that_left_nothing_is_reported(tmp_path: Path) -> None:
    result = DemoResult(tmp_path, problems=["the call left no record"])
    assert report(result).splitlines()[-1] == "  the call left no record"


@pytest.mark.parametrize("width", [80, 100, 160])
def test_the_waterfall_fits(tmp_path: Path, width: int) -> None:
    text = report(a_result(tmp_path), width=width)
    table = text.split("What is left")[0].splitlines()
    assert all(len(line) <= width for line in table)
    assert all(line == line.rstrip() for line in table)


def test_bars_are_in_proportion_and_told_apart_without_colours() -> None:
    out = io.StringIO()
    console = Console(file=out, width=120)
    console.print(waterfall([a_latency(1, 650.0), a_latency(2, 1250.0)], {1: "yes"}, console))
    first, second = (line.split()[-1] for line in out.getvalue().splitlines()[1:3])
    assert set(first) == set("░▒▓█■")
    assert first.count("░") == second.count("░")
    assert first.count("■") == 1
    assert second.count("■") == second.count("░")


def test_each_stage_is_what_it_took_by_itself() -> None:
    out = io.StringIO()
    console = Console(file=out, width=120)
    console.print(waterfall([a_latency(1, 650.0)], {1: "yes please"}, console))
    heading, row = out.getvalue().splitlines()
    assert heading.split() == [
        "the", "caller", "said", "░silence", "▒hear", "▓think", "█voice", "■send", "total",
    ]  # fmt: skip
    assert row.split()[:-1] == ["yes", "please", "610", "4", "2", "24", "10", "650"]


def test_a_narrow_terminal_has_whole_numbers_and_bars_or_none() -> None:
    out = io.StringIO()
    console = Console(file=out, width=40)
    console.print(waterfall([a_latency(1, 650.0)], {1: "yes please"}, console))
    heading, row = out.getvalue().splitlines()
    assert heading.split() == ["the", "caller", "said", "total"]
    assert row.split()[:3] == ["yes", "please", "650"]
    assert len(row.split()[3]) >= 5
    assert "…" not in out.getvalue()


def test_a_turn_without_words_says_so() -> None:
    out = io.StringIO()
    console = Console(file=out, width=120)
    console.print(waterfall([a_latency(3)], {}, console))
    assert "(not understood)" in out.getvalue()


def test_colours_only_where_they_are_wanted(tmp_path: Path) -> None:
    assert "\x1b[34m" in report(a_result(tmp_path), terminal=True)
    assert "\x1b[34m" not in report(a_result(tmp_path), terminal=True, no_color=True)
    assert "▒" in report(a_result(tmp_path), terminal=True, no_color=True)


def test_paths_are_as_short_as_they_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shown_path(tmp_path / "a" / "b.wav") == "a/b.wav"
    assert shown_path("/elsewhere/b.wav") == "/elsewhere/b.wav"


def test_paths_are_never_broken_into_lines(tmp_path: Path) -> None:
    folder = tmp_path / ("deep/" * 30)
    text = report(a_result(folder))
    assert any(line.startswith(f"page          {folder / 'call.html'}") for line in
               text.splitlines())  # fmt: skip
