"""The trunks of a node: settings applied and applied again, alarms handed on."""

import time
from pathlib import Path

import msgspec
import pytest

from trunkline.calls.guard_outbound import Alarm
from trunkline.calls.guard_store import GuardStore
from trunkline.calls.processes import identity
from trunkline.calls.record import CallRecord
from trunkline.calls.records import RecordStore
from trunkline.calls.switchboard import Switchboard
from trunkline.calls.trunks import Trunk
from trunkline.errors import ConfigError, UsageError
from trunkline.server.node import Node
from trunkline.server.trunk_side import TrunkSide
from trunkline.settings import Records, Routing, RoutingRuleSettings, Settings, TrunkSettings


def settings(folder: Path, *names: str, **more: object) -> Settings:
    trunks = {name: TrunkSettings(addresses=(f"192.0.2.{n}",)) for n, name in enumerate(names)}
    return Settings(records=Records(path=folder / "calls.db"), trunks=trunks, **more)  # type: ignore[arg-type]


def test_trunks_of_the_file_come_and_go_and_those_of_the_code_stay(tmp_path: Path) -> None:
    board = Switchboard()
    board.trunks.add(Trunk(name="code", addresses=("198.51.100.1",)))
    side = TrunkSide(settings(tmp_path, "a", "b"), board)
    assert list(board.trunks) == ["code", "a", "b"]
    assert side.reload(settings(tmp_path, "b", "c")) == ["code", "b", "c"]
    assert side.reload(settings(tmp_path)) == ["code"]
    side.close()


def test_what_is_wrong_changes_nothing(tmp_path: Path) -> None:
    board = Switchboard()
    side = TrunkSide(settings(tmp_path, "a"), board)
    rules = Routing(rules=(RoutingRuleSettings(trunks=("gone",)),))
    for wrong in (
        settings(tmp_path, "b", routing=rules),
        settings(tmp_path, "b", routing=Routing(rates=tmp_path / "none.csv")),
        msgspec.structs.replace(
            settings(tmp_path), trunks={"x": TrunkSettings(addresses=("nowhere",))}
        ),
    ):
        with pytest.raises(ConfigError):
            side.reload(wrong)
        assert list(board.trunks) == ["a"]
    side.close()


def test_rules_that_are_taken_out_of_the_file_are_gone(tmp_path: Path) -> None:
    board = Switchboard()
    rules = Routing(rules=(RoutingRuleSettings(trunks=("a",)),))
    side = TrunkSide(settings(tmp_path, "a", routing=rules), board)
    assert len(board.trunks.table.rules) == 1
    side.reload(settings(tmp_path, "a"))
    assert not board.trunks.table.rules
    side.close()


def test_a_node_that_cannot_read_its_settings_again_says_so(tmp_path: Path) -> None:
    node = Node(settings(tmp_path), Switchboard(), sip=False)
    with pytest.raises(UsageError):
        node.reload()


def test_a_signal_with_a_wrong_file_is_a_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = msgspec.structs.replace(
        settings(tmp_path), trunks={"x": TrunkSettings(addresses=("nowhere",))}
    )
    board = Switchboard()
    node = Node(settings(tmp_path, "a"), board, sip=False, reread=lambda: wrong)
    node.reload_soon()
    assert "not reloaded" in caplog.text and "nowhere" in caplog.text
    assert list(board.trunks) == ["a"]


def test_alarms_are_kept_and_told(tmp_path: Path) -> None:
    board = Switchboard()
    side = TrunkSide(settings(tmp_path), board)
    told: list[Alarm] = []
    board.on_alarm(told.append)
    for number in range(300):
        side._alarmed(Alarm("cap", "key:a", str(number), 0.0))
    assert len(told) == 300 and len(side.alarms) == 200
    side.close()


def test_figures_come_from_the_records_of_the_last_day(tmp_path: Path) -> None:
    now = time.time()
    store = RecordStore(tmp_path / "calls.db")
    attempts = [
        {"trunk": "a", "at": now - 60, "code": 503},
        {"trunk": "b", "at": now - 58, "delay_ms": 120.0, "answered": True, "seconds": 30.0},
    ]
    store.begin(CallRecord(id="1", direction="outbound", trunk="b", started_at=now - 60))
    store.finish("1", reason="hangup", by="us", trunk="b", attempts=attempts)
    store.begin(CallRecord(id="2", direction="inbound", trunk="a", started_at=now - 50))
    store.finish("2", reason="hangup", by="us", answered_at=now - 40, ended_at=now - 30)
    store.begin(CallRecord(id="3", direction="inbound", trunk="a", started_at=now - 90_000))
    store.finish("3", reason="rejected", by="us", code=404)
    store.begin(CallRecord(id="4", direction="inbound", started_at=now - 50))
    store.finish("4", reason="hangup", by="us")
    assert store.close()
    board = Switchboard()
    side = TrunkSide(settings(tmp_path, "a", "b"), board)
    side.restore_figures(RecordStore(tmp_path / "calls.db"), now)
    a, b = board.trunks.summaries()
    assert (a["attempts_in"], a["attempts_out"], a["codes"]) == (1, 1, {"200": 1, "503": 1})
    assert (b["answered_out"], b["average_seconds"], b["post_dial_delay_p50_ms"]) == (1, 30, 120)
    side.close()


def test_an_old_database_gets_the_new_columns(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "calls.db")
    store.begin(CallRecord(id="1", trunk="t", attempts=({"trunk": "t"},)))
    assert store.close()
    (record,) = RecordStore(tmp_path / "calls.db").list()
    assert record.trunk == "t" and list(record.attempts) == [{"trunk": "t"}]


def test_a_call_of_a_process_that_died_used_all_it_had_and_a_living_ones_did_not(
    tmp_path: Path,
) -> None:
    day = time.strftime("%Y-%m-%d")
    store = GuardStore(tmp_path / "calls.guard.db")
    begun = {"pots": [["trunk:a", day]], "seconds": 60.0, "micros": 1_000_000}
    store.put("begun", "living", {**begun, "process": identity(), "saved_at": time.time()})
    dead = identity().replace("/", "9/", 1)
    store.put("begun", "dead", {**begun, "process": dead, "saved_at": time.time()})
    store.put("begun", "older", begun)
    assert store.close()
    side = TrunkSide(settings(tmp_path, "a"), Switchboard())
    assert sorted(side._left_behind(time.time())) == ["dead", "older"]
    side._save("begun", "mine", begun)
    assert side.store.flush()
    assert side.store.load("begun")["mine"]["process"] == identity()
    side.close()
