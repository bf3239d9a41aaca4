"""``trunkline calls`` and ``trunkline calls show``."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from trunkline.calls.record import CallRecord
from trunkline.calls.records import RecordStore
from trunkline.cli.calls import show_record

TURNS = [
    {"by": "agent", "text": "Copper Street Cycles, hello.", "started_seconds": 0.4},
    {
        "by": "caller",
        "text": "when are you open",
        "started_seconds": 3.25,
        "confidence": 0.31,
    },
    {
        "by": "agent",
        "text": "Monday to Friday",
        "unheard": "eight to six, Saturday nine to two.",
        "started_seconds": 5.0,
        "interrupted": True,
        "stages_ms": {"endpointing": 600.0, "recognition": 655.2, "first_packet": 741.0},
        "tools": [{"name": "hours", "arguments": '{"day": "all"}', "result": "open"}],
    },
]
HELD = CallRecord(
    id="call-abc",
    direction="inbound",
    transport="sip",
    caller="+4930123",
    callee="shop",
    app="support",
    state="ended",
    started_at=1_795_000_000.0,
    answered_at=1_795_000_001.5,
    ended_at=1_795_000_064.0,
    end_reason="hangup",
    end_by="them",
    end_code=200,
    sip_call_id="xyz@pbx",
    recording="/data/call-abc.wav",
    quality={"loss": 0.0125, "rtt_ms": None},
    turns=TURNS,  # type: ignore[arg-type]
    headers={"User-Agent": "phone"},
    node="north",
)


@pytest.mark.parametrize("limit", ["0", "-5"])
def test_a_limit_of_no_calls_is_refused(run, limit: str) -> None:
    ran = run("calls", "--limit", limit)
    assert ran.status == 2
    assert "from 1 on" in ran.err


def test_an_id_stays_in_one_piece_in_a_narrow_terminal(
    run, store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trunkline.cli.calls.console", lambda: Console(width=40))
    keep(store, replace(HELD, id="call_5e3426eedec20502"))
    assert "call_5e3426eedec20502" in run("calls").out


def test_the_call_id_is_shown_once(run, store: RecordStore) -> None:
    keep(store, replace(HELD, headers={"Call-ID": "xyz@pbx"}))
    assert run("calls", "show", HELD.id).out.count("xyz@pbx") == 1


@pytest.fixture
def store(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordStore:
    path = tmp_path / "calls.db"
    monkeypatch.setenv("TRUNKLINE_RECORDS__PATH", str(path))
    return RecordStore(path)


def keep(store: RecordStore, *records: CallRecord) -> None:
    for record in records:
        store.begin(record)
        if record.state == "ended":
            store.finish(
                record.id,
                reason=record.end_reason,
                by=record.end_by,
                code=record.end_code,
                ended_at=record.ended_at,
            )
    assert store.close()


def shown(record: CallRecord, *, terminal: bool = False) -> str:
    out = io.StringIO()
    colours = "standard" if terminal else None
    console = Console(
        file=out, width=100, force_terminal=terminal, highlight=False, color_system=colours
    )
    show_record(record, console)
    return out.getvalue()


def test_without_calls_it_says_so(run, store) -> None:
    assert run("calls").out == "There are no calls yet.\n"
    assert run("calls", "--live").out == "There are no live calls.\n"
    assert run("calls", "--json").data == []


def test_calls_are_listed_newest_first(run, store) -> None:
    keep(store, HELD, CallRecord(id="later", caller="ann", started_at=1_795_000_100.0))
    heading, first, second = run("calls").out.splitlines()
    assert heading.split() == ["began", "id", "from", "to", "app", "talked", "end"]
    assert "later" in first
    assert "live" in first
    assert "call-abc" in second
    assert "1:02" in second
    assert "hangup by them (200)" in second


def test_live_calls_alone(run, store) -> None:
    keep(store, HELD, CallRecord(id="later", started_at=1_795_000_100.0))
    assert [call["id"] for call in run("calls", "--live", "--json").data] == ["later"]


def test_as_many_as_asked_for(run, store) -> None:
    keep(store, *(CallRecord(id=f"c{n}", started_at=float(n)) for n in range(30)))
    assert len(run("calls", "--json").data) == 20
    assert len(run("calls", "-n", "5", "--json").data) == 5


def test_one_call_as_json_has_everything(run, store) -> None:
    keep(store, HELD)
    data = run("calls", "show", "call", "--json").data
    assert data["id"] == "call-abc"
    assert data["started_utc"] == "2026-11-18T11:06:40.000+00:00"
    assert data["talked_seconds"] == 62.5
    assert data["turns"] == TURNS
    assert data["quality"] == {"loss": 0.0125, "rtt_ms": None}


def test_one_call_for_people(run, store) -> None:
    keep(store, HELD)
    out = run("calls", "show", "call-abc").out
    for expected in (
        "+4930123", "shop", "support", "(+1.5 s)", "(+64.0 s)", "hangup by them (200)", "xyz@pbx",
        "/data/call-abc.wav", "north", "phone", "0.0125",
    ):  # fmt: skip
        assert expected in out


def test_the_conversation_reads_from_top_to_bottom() -> None:
    out = shown(HELD)
    places = [
        out.index(text)
        for text in ("Copper Street", "when are you open", "(31% sure)", "Monday to Friday",
                     "eight to six", "✂ interrupted", 'hours({"day": "all"}) → open')
    ]  # fmt: skip
    assert places == sorted(places)


def test_what_nobody_heard_is_struck_through() -> None:
    out = shown(HELD, terminal=True)
    heard, struck = out.index("Monday to Friday"), out.index("eight to six")
    assert "\x1b[2;9m" in out[heard:struck]


def test_each_answers_stages_are_shown() -> None:
    out = shown(HELD)
    assert "endpointing" in out
    row = next(line for line in out.splitlines() if "741" in line)
    assert row.split()[:4] == ["5.0", "600", "655", "741"]
    assert "█" in row


def test_a_call_of_which_nothing_is_known_can_be_shown() -> None:
    assert "live" in shown(CallRecord(id="x"))


@pytest.mark.parametrize(
    "turn",
    [
        {},
        {"by": "agent"},
        {"by": "caller", "confidence": 0.0, "text": ""},
        {"stages_ms": {}, "tools": [{}]},
        {"stages_ms": {"endpointing": 0.0}},
    ],
)
def test_turns_may_lack_anything(turn: dict[str, object]) -> None:
    assert "conversation" in shown(CallRecord(id="x", turns=[turn]))  # type: ignore[list-item]


def test_what_strangers_sent_cannot_drive_the_terminal() -> None:
    evil = "\x1b]0;owned\x07[bold]x[/bold]\r\n\u202e"
    record = CallRecord(
        id="x",
        caller=evil,
        headers={evil: evil},
        turns=[{"by": "caller", "text": evil, "unheard": evil}],
    )
    out = shown(record)
    assert not set(out) & set("\x1b\x07\r\u202e")
    assert "[bold]x[/bold]" in out


def test_an_unknown_call_is_told_in_one_line(run, store) -> None:
    keep(store, HELD)
    ran = run("calls", "show", "nope")
    assert ran.status == 2
    assert ran.err == "trunkline: no call has the id 'nope'; `trunkline calls` lists them\n"


def test_a_broken_database_is_told_in_one_line(run, store) -> None:
    store.path.write_text("diary" * 1000)
    ran = run("calls")
    assert ran.status == 1
    assert len(ran.err.splitlines()) == 1
    assert "calls.db" in ran.err
