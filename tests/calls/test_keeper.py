"""What is kept of a call: its record as it goes, its recording."""

import asyncio
from pathlib import Path
from typing import Any

from trunkline.calls.call import Call
from trunkline.calls.keeper import Keeper
from trunkline.calls.recorder import Recorder
from trunkline.calls.recording import Recorded
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
