"""Detail records: there from the first moment, whatever the disk does."""

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from trunkline.calls import records, records_db
from trunkline.calls.errors import RecordsError, UnknownCallError
from trunkline.calls.record import CallRecord
from trunkline.calls.records import RecordStore
from trunkline.calls.spill import Spill
from trunkline.errors import UsageError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.db"


@pytest.fixture
def store(path: Path) -> Iterator[RecordStore]:
    store = RecordStore(path, node="north")
    yield store
    assert store.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts that fail do so at once."""
    monkeypatch.setattr(records_db, "BUSY_SECONDS", 0.0)
    monkeypatch.setattr(records, "RETRY_SECONDS", ())


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def record(call_id: str, started_at: float = 100.0) -> CallRecord:
    return CallRecord(id=call_id, direction="inbound", caller="ann", started_at=started_at)


# A call's life


def test_a_record_is_there_while_the_call_is(store: RecordStore) -> None:
    store.begin(record("a"))
    assert store.flush()
    found = store.get("a")
    assert (found.state, found.caller, found.node) == ("live", "ann", "north")
    assert found.ended_at is None
    assert found.talked_seconds == 0


def test_a_record_tells_the_whole_call(store: RecordStore) -> None:
    turns = [{"by": "agent", "text": "Hello", "stages_ms": {"endpointing": 600.0}}]
    store.begin(record("a"))
    store.update("a", answered_at=101.0, recording=Path("x/a.wav"))
    store.finish(
        "a",
        reason="hangup",
        by="them",
        code=200,
        ended_at=111.5,
        turns=turns,
        quality={"loss": 0.01, "rtt_ms": float("nan")},
    )
    assert store.flush()
    found = store.get("a")
    assert found == CallRecord(
        id="a",
        direction="inbound",
        caller="ann",
        state="ended",
        node="north",
        started_at=100.0,
        answered_at=101.0,
        ended_at=111.5,
        end_reason="hangup",
        end_by="them",
        end_code=200,
        recording="x/a.wav",
        turns=turns,  # type: ignore[arg-type]
        quality={"loss": 0.01, "rtt_ms": None},
    )
    assert found.talked_seconds == 10.5


def test_the_end_is_now_unless_told(path: Path) -> None:
    store = RecordStore(path, clock=lambda: 123.0)
    store.begin(record("a"))
    store.finish("a", reason="hangup", by="us")
    assert store.close()
    assert store.get("a").ended_at == 123.0


def test_a_clock_set_back_does_not_revive_a_call(path: Path) -> None:
    times = iter([200.0, 100.0, 100.0, 100.0])
    store = RecordStore(path, clock=lambda: next(times, 100.0))
    store.begin(record("a"))
    store.finish("a", reason="hangup", by="us", ended_at=100.0)
    assert store.close()
    assert store.get("a").state == "ended"


def test_a_node_without_a_name_has_its_hosts(path: Path) -> None:
    assert RecordStore(path).node == os.uname().nodename


def test_a_field_there_is_not_is_a_mistake_of_ours(store: RecordStore) -> None:
    with pytest.raises(UsageError, match="no field colour"):
        store.update("a", colour="red")
    with pytest.raises(UsageError, match="no field"):
        store.update("a", id="b")


def test_many_calls_at_once_share_commits(store: RecordStore) -> None:
    def calls(worker: int) -> None:
        for number in range(100):
            store.begin(record(f"{worker}-{number}"))
            store.finish(f"{worker}-{number}", reason="hangup", by="them")

    workers = [threading.Thread(target=calls, args=(worker,)) for worker in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert store.flush()
    assert len(store.list(1000, state="ended")) == 400
    assert store.list(1000, state="live") == []


# Reading


def test_records_are_listed_newest_first(store: RecordStore) -> None:
    for number in range(5):
        store.begin(record(f"call-{number}", started_at=100.0 + number))
    store.finish("call-3", reason="busy", by="them")
    assert store.flush()
    assert [found.id for found in store.list(3)] == ["call-4", "call-3", "call-2"]
    assert [found.id for found in store.list(state="ended")] == ["call-3"]
    assert len(store.list(state="live")) == 4


def test_without_a_database_there_are_no_calls(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "none" / "calls.db")
    assert store.list() == []
    assert store.close_crashed(0.0) == []
    with pytest.raises(UnknownCallError):
        store.get("a")
    assert store.flush()
    assert store.close()
    assert not (tmp_path / "none").exists()


def test_the_beginning_of_an_id_is_enough(store: RecordStore) -> None:
    for call_id in ("abc-1", "abd-2", "ab"):
        store.begin(record(call_id))
    assert store.flush()
    assert store.get("abc").id == "abc-1"
    assert store.get("ab").id == "ab", "a whole id wins over beginnings"
    with pytest.raises(UnknownCallError, match="several calls begin with 'a': ab"):
        store.get("a")


@pytest.mark.parametrize("call_id", ["", "%", "_bc", "zzz", "a' OR 1=1 --"])
def test_an_id_nobody_has_is_said_to_be_unknown(store: RecordStore, call_id: str) -> None:
    store.begin(record("abc"))
    assert store.flush()
    with pytest.raises(UnknownCallError, match="no call has the id"):
        store.get(call_id)


def test_records_can_be_read_after_the_writer_is_gone(path: Path) -> None:
    store = RecordStore(path)
    store.begin(record("a"))
    assert store.close()
    assert RecordStore(path).get("a").id == "a"


def test_a_database_that_cannot_be_read_is_named(path: Path) -> None:
    path.write_text("diary" * 1000)
    with pytest.raises(RecordsError, match=r"calls\.db"):
        RecordStore(path).list()


# Trouble


def test_a_busy_database_is_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records_db, "BUSY_SECONDS", 0.0)
    monkeypatch.setattr(records, "RETRY_SECONDS", (0.02,) * 200)
    with closing(records_db.open_to_write(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        store = RecordStore(path)
        store.begin(record("a"))
        until(lambda: store.failures >= 2)
        other.execute("ROLLBACK")
        assert store.flush()
    assert store.get("a").state == "live"
    assert store.spilled == store.lost == 0
    assert store.close()


@pytest.mark.usefixtures("impatient")
def test_what_cannot_be_written_is_spilled_and_taken_back(path: Path) -> None:
    with closing(records_db.open_to_write(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        store = RecordStore(path)
        store.begin(record("a"))
        store.update("a", answered_at=101.0)
        assert store.flush()
        assert store.spilled == 2
        other.execute("ROLLBACK")
    assert store.list() == []
    store.finish("a", reason="hangup", by="them")
    assert store.close()
    found = store.get("a")
    assert (found.caller, found.answered_at, found.state) == ("ann", 101.0, "ended")
    assert store.lost == 0


@pytest.mark.usefixtures("impatient")
def test_spilled_records_survive_the_process(path: Path) -> None:
    path.write_text("diary" * 1000)
    store = RecordStore(path)
    store.begin(record("a"))
    store.finish("a", reason="hangup", by="them")
    assert store.close()
    assert store.spilled == 2
    path.unlink()
    after = RecordStore(path)
    after.begin(record("b"))
    assert after.close()
    assert after.get("a").state == "ended"
    assert after.get("b").state == "live"


@pytest.mark.usefixtures("impatient")
def test_one_bad_change_does_not_take_others_with_it(path: Path) -> None:
    store = RecordStore(path)
    store.begin(record("a"))
    store.update("b", end_code=2**70)  # more than an SQLite integer holds
    store.begin(record("c"))
    assert store.close()
    assert {found.id for found in store.list()} == {"a", "c"}
    assert store.spilled == 1


def test_one_bad_line_of_the_spill_file_does_not_keep_others_out(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    columns = ({"caller": "ann"}, {"end_code": 2**70}, {"callee": "bob"})
    Spill(path).add([records_db.Change(1.0, "a", each) for each in columns])
    store = RecordStore(path)
    store.begin(record("b"))
    assert store.close()
    assert (store.get("a").caller, store.get("a").callee) == ("ann", "bob")
    assert store.lost == 1
    assert str(2**70) in caplog.text
    assert Spill(path).path.stat().st_size == 0


def test_a_full_queue_spills_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "QUEUE_CHANGES", 2)
    monkeypatch.setattr(records, "GATHER_SECONDS", 60.0)
    store = RecordStore(path)
    for number in range(5):
        store.begin(record(f"call-{number}"))
    assert store.spilled == 3
    assert store.close()
    assert store.close_crashed(0.0) == [], "taking back happens here too"
    assert len(store.list()) == 5


def test_after_the_end_changes_are_spilled(path: Path) -> None:
    store = RecordStore(path)
    store.begin(record("a"))
    assert store.close()
    store.finish("a", reason="hangup", by="us")
    assert store.spilled == 1
    store.close_crashed(0.0)
    assert store.get("a").state == "ended"


@pytest.mark.usefixtures("impatient")
def test_as_the_very_last_resort_the_log_has_the_change(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    store = RecordStore(tmp_path / "file" / "calls.db")
    with caplog.at_level(logging.CRITICAL):
        store.begin(record("a"))
        assert store.close()
    assert store.lost == 1
    assert '"caller": "ann"' in caplog.text


def test_broken_lines_of_the_spill_file_are_counted(path: Path) -> None:
    path.with_name("calls.db.spill.jsonl").write_text("{half a li")
    store = RecordStore(path)
    store.begin(record("a"))
    assert store.close()
    assert store.lost == 1
    assert store.get("a")


# Crashes

NODE = """
import sys, time
from pathlib import Path
from trunkline.calls.record import CallRecord
from trunkline.calls.records import RecordStore
from trunkline.calls.spill import Spill

store = RecordStore(Path(sys.argv[1]), node="south")
store.begin(CallRecord(id="ended", started_at=100.0))
store.finish("ended", reason="hangup", by="them", ended_at=101.0)
store.begin(CallRecord(id="live", started_at=100.0, recording=sys.argv[2]))
store.flush()
print("ready", flush=True)
time.sleep(60)
"""


def test_calls_of_a_killed_node_are_closed_as_crashed(path: Path, tmp_path: Path) -> None:
    wav = tmp_path / "live.wav"
    wav.write_bytes(b"")
    node = subprocess.Popen(
        [sys.executable, "-c", NODE, str(path), str(wav)], stdout=subprocess.PIPE
    )
    assert node.stdout is not None
    assert node.stdout.readline() == b"ready\n"
    store = RecordStore(path)
    assert store.close_crashed(time.time()) == [], "it lives"
    node.send_signal(signal.SIGKILL)
    node.wait(10)
    node.stdout.close()
    last_sign = time.time()
    (crashed,) = store.close_crashed(last_sign + 1000)
    found = store.get("live")
    assert found == crashed
    assert (found.state, found.end_reason, found.end_by) == ("crashed", "crashed", "us")
    assert found.ended_at == pytest.approx(last_sign, abs=10)
    assert found.node == "south"
    assert store.get("ended").end_reason == "hangup"
    assert store.close_crashed(last_sign + 1000) == []


def test_a_crashed_call_ends_where_its_recording_does(path: Path, tmp_path: Path) -> None:
    wav = tmp_path / "a.wav"
    wav.write_bytes(b"")
    os.utime(wav, (5000.0, 5000.0))
    with closing(records_db.open_to_write(path)) as connection:
        columns = {"state": "live", "started_at": 100.0, "recording": str(wav), "process": "gone"}
        records_db.apply(connection, [records_db.Change(100.0, "a", columns)])
        columns = {"state": "live", "started_at": 100.0, "answered_at": 130.0, "process": "gone"}
        records_db.apply(connection, [records_db.Change(100.0, "b", columns)])
    ends = {found.id: found.ended_at for found in RecordStore(path).close_crashed(9000.0)}
    assert ends == {"a": 5000.0, "b": 130.0}


def test_a_crash_never_ends_in_the_future(path: Path) -> None:
    with closing(records_db.open_to_write(path)) as connection:
        columns = {"state": "live", "started_at": 100.0, "process": "gone"}
        records_db.apply(connection, [records_db.Change(100.0, "a", columns)])
    (crashed,) = RecordStore(path).close_crashed(90.0)
    assert crashed.ended_at == 90.0
    assert RecordStore(path).get("a").state == "crashed"


def test_a_database_that_cannot_be_repaired_is_named(path: Path) -> None:
    path.write_text("diary" * 1000)
    with pytest.raises(RecordsError, match=r"calls\.db"):
        RecordStore(path).close_crashed(0.0)


def test_the_process_gives_signs_of_life(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "HEARTBEAT_SECONDS", 0.005)
    now = [100.0]
    store = RecordStore(path, clock=lambda: now[0])
    store.begin(record("a"))
    assert store.flush()
    now[0] = 200.0

    def beat() -> bool:
        with closing(sqlite3.connect(path)) as connection:
            return bool(
                connection.execute("SELECT heartbeat_at FROM processes").fetchone()[0] == 200
            )

    until(beat)
    assert store.close()
