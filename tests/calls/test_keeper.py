"""What is kept of a call: its record as it goes, its recording."""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any

from trunkline.calls.call import Call
from trunkline.calls.events import RecordingRestored, RecordingTroubled
from trunkline.calls.keeper import Keeper
from trunkline.calls.recorder import Recorder
from trunkline.calls.recording import Recorded
from trunkline.calls.recording_manifest import manifests
from trunkline.calls.recording_options import RecordingOptions
from trunkline.calls.records import RecordStore
from trunkline.media.wav import parse_wav
from trunkline.transports.leg import Ended

from .fakes import FakeLeg, FakeMedia, turn

HEADERS = {"Call-ID": "abc@peer", "From": "<sip:a@b>", "Authorization": "Digest secret", "X-A": "1"}


def make(transport: str = "sip") -> tuple[Call, FakeLeg, FakeMedia]:
    media = FakeMedia()
    leg = FakeLeg(media, headers=HEADERS)
    leg.transport = transport
    call = Call("call_1", leg, media)  # type: ignore[arg-type]
    leg.observer = call.leg_event
    return call, leg, media


def test_a_record_says_at_every_step_how_far_the_call_has_come(tmp_path: Path) -> None:
    async def main() -> None:
        store = RecordStore(tmp_path / "calls.db", node="n1")
        keeper = Keeper(store, None)
        call, leg, _ = make()
        keeper.call_started(call, "menu")
        store.flush()
        (record,) = store.list()
        assert (record.state, record.app, record.answered_at) == ("live", "menu", None)
        assert record.sip_call_id == "abc@peer"
        assert set(record.headers) == {"Call-ID", "From"}  # no secret of theirs is kept
        await call.answer()
        store.flush()
        assert store.list()[0].answered_at is not None
        leg.tell(Ended("media-timeout", "us", 200))
        await turn()
        store.flush()
        (record,) = store.list()
        assert (record.state, record.end_reason, record.end_by, record.end_code) == (
            "ended", "media-timeout", "us", 200,
        )  # fmt: skip
        assert record.quality == {"received": 1.0} and record.recording == ""
        store.close()

    asyncio.run(main())


def test_the_parameters_of_a_media_stream_are_kept_whole(tmp_path: Path) -> None:
    async def main() -> None:
        store = RecordStore(tmp_path / "calls.db")
        call, _, _ = make("twilio")
        Keeper(store, None).call_started(call, "")
        store.flush()
        assert store.list()[0].headers == HEADERS
        store.close()

    asyncio.run(main())


def test_every_call_is_recorded_when_that_is_wanted(tmp_path: Path) -> None:
    told: list[tuple[Any, Recorded]] = []

    async def main() -> None:
        recorder = Recorder(tmp_path)
        keeper = Keeper(
            None,
            recorder,
            record_all=True,
            on_recorded=lambda call, done: told.append((call, done)),
        )
        call, leg, media = make()
        keeper.call_started(call, "")
        await call.answer()
        for _ in range(10):
            leg.inlet.push(bytes(160))
            media.tick()
        leg.tell(Ended("hangup", "them"))
        await turn()
        await asyncio.to_thread(recorder.close)

    asyncio.run(main())
    ((_, done),) = told
    (path,) = tmp_path.rglob("*.wav")
    audio = parse_wav(path.read_bytes())
    assert audio.samples.shape[1] == 2 and len(audio.samples) == 10 * 160
    assert done is not None


def test_nothing_is_kept_where_nothing_is_wanted() -> None:
    async def main() -> None:
        call, _, _ = make()
        Keeper(None, None, record_all=True).call_started(call, "")
        await call.hangup()
        await call.wait_ended()
        assert call.recordings == []

    asyncio.run(main())


def recorded_call(
    folder: Path, record: Any = None, steps: Any = None, **options: Any
) -> tuple[Call, list[object]]:
    """A call of ten ticks whose route says ``record``; what its observers were told."""
    events: list[object] = []

    async def main() -> Call:
        recorder = Recorder(folder, flush_seconds=3600)
        keeper = Keeper(None, recorder, **options)
        call, leg, media = make()
        call.observe(events.append)
        call.record = record
        keeper.call_started(call, "support")
        await call.answer()
        while any(recorder.writer(one).file is None for one in call.recordings):
            await asyncio.sleep(0.002)
        for number in range(10):
            if steps is not None:
                steps(call, number, recorder, keeper)
            leg.inlet.push(bytes(160))
            media.tick()
            await turn()
        leg.tell(Ended("hangup", "them"))
        await turn()
        await asyncio.to_thread(recorder.close)
        await turn()
        return call

    return asyncio.run(main()), events


def test_a_route_may_have_its_calls_recorded_or_not(tmp_path: Path) -> None:
    recorded_call(tmp_path / "a", record=False, record_all=True)
    assert not list(tmp_path.rglob("*.wav"))
    recorded_call(tmp_path / "b", record=True, record_all=False)
    assert len(list((tmp_path / "b").rglob("*.wav"))) == 1
    recorded_call(tmp_path / "c", record=RecordingOptions(mix="mono"), record_all=False)
    (path,) = (tmp_path / "c").rglob("*.wav")
    assert parse_wav(path.read_bytes()).samples.shape[1] == 1


def test_the_manifest_tells_of_the_call(tmp_path: Path) -> None:
    call, _ = recorded_call(tmp_path, record_all=True, keep_days={"support": 30, "sales": 7})
    ((_, manifest),) = manifests(tmp_path)
    assert (manifest.call_id, manifest.app, manifest.keep_days) == (call.id, "support", 30)
    assert (manifest.caller, manifest.callee, manifest.sip_call_id) == ("alice", "100", "abc@peer")
    assert [(leg.side, leg.party, leg.leg) for leg in manifest.legs] == [
        ("heard", "alice", "leg"),
        ("sent", "100", "leg"),
    ]
    first = datetime.fromisoformat(manifest.started)
    assert abs((first - call.started_at).total_seconds()) < 0.1


def test_an_app_pauses_and_marks_every_recording_of_its_call(tmp_path: Path) -> None:
    def steps(call: Call, number: int, recorder: Recorder, keeper: Keeper) -> None:
        if number == 2:
            call.start_recording(RecordingOptions(sides="heard"))
            call.mark("consent", "by key")
        elif number == 4:
            call.pause_recording("card number")
        elif number == 6:
            call.resume_recording()

    _, events = recorded_call(tmp_path, record_all=True, steps=steps)
    found = sorted(
        ((path.stem, manifest) for path, manifest in manifests(tmp_path)), key=lambda one: one[0]
    )
    assert [name for name, _ in found] == ["call_1", "call_1-2"]
    for (_, manifest), began in zip(found, (0.0, 0.04), strict=True):
        (mark,) = manifest.marks
        (pause,) = manifest.pauses
        assert (mark.name, mark.detail) == ("consent", "by key")
        assert mark.at_seconds == round(0.04 - began, 3)
        assert pause.from_seconds == round(0.08 - began, 3)
        assert pause.to_seconds == round(0.12 - began, 3)
    said = [type(event).__name__ for event in events]
    assert said.index("CallMarked") < said.index("RecordingPaused") < said.index("RecordingResumed")
    assert said[-1] == "CallEnded"


def test_a_full_disk_is_an_event_an_alarm_and_no_end_of_the_call(tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def steps(call: Call, number: int, recorder: Recorder, keeper: Keeper) -> None:
        (recording,) = call.recordings
        full = OSError(28, "No space left on device")
        writer = recorder.writer(recording)
        if number in (3, 4):
            writer.flush(full)
        elif number == 6:
            writer.flush(None)
        seen.append([alarm.kind for alarm in keeper.alarms.current()])

    call, events = recorded_call(tmp_path, record_all=True, steps=steps)
    troubles = [event for event in events if isinstance(event, RecordingTroubled)]
    restored = [event for event in events if isinstance(event, RecordingRestored)]
    assert [(event.detail, event.ended) for event in troubles] == [
        ("No space left on device", False)
    ]
    assert len(restored) == 1 and restored[0].path == str(call.recordings[0].path)
    assert seen[2:7] == [[], ["disk"], ["disk"], ["disk"], []]
    ((_, manifest),) = manifests(tmp_path)
    assert manifest.state == "ended" and manifest.duration_seconds == 0.2


def test_a_recording_that_ends_early_is_told_too(tmp_path: Path) -> None:
    def steps(call: Call, number: int, recorder: Recorder, keeper: Keeper) -> None:
        (recording,) = call.recordings
        if number == 3:
            recording.path.unlink()
            recorder.writer(recording).flush(None, 0)
            assert [alarm.kind for alarm in keeper.alarms.current()] == ["disk"]

    _, events = recorded_call(tmp_path, record_all=True, steps=steps)
    (trouble,) = (event for event in events if isinstance(event, RecordingTroubled))
    assert trouble.ended and "deleted" in trouble.detail


def test_where_a_recording_ends_up_is_in_the_record(tmp_path: Path) -> None:
    async def main() -> None:
        store = RecordStore(tmp_path / "calls.db")
        keeper = Keeper(store, None)
        call, _, _ = make()
        keeper.call_started(call, "")
        keeper.stored(call.id, "s3://bucket/call_1.flac")
        store.flush()
        assert store.get(call.id).recording == "s3://bucket/call_1.flac"
        store.close()

    asyncio.run(main())
