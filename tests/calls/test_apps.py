"""Apps that need no code."""

import asyncio
from pathlib import Path

import numpy as np

from trunkline.calls.apps import echo, play
from trunkline.calls.call import Call
from trunkline.media.wav import serialise_wav
from trunkline.transports.leg import Ended

from .fakes import FakeLeg, FakeMedia, turn


def make() -> tuple[Call, FakeLeg, FakeMedia]:
    media = FakeMedia()
    leg = FakeLeg(media)
    call = Call("call_1", leg, media)  # type: ignore[arg-type]
    leg.observer = call.leg_event
    return call, leg, media


def test_echo_sends_back_what_it_hears_until_the_end() -> None:
    async def main() -> None:
        call, leg, media = make()
        await call.answer()
        app = asyncio.create_task(echo(call))
        await turn()
        for code in (0x10, 0x20, 0x30):
            leg.inlet.push(bytes([code]) * 160)
            media.tick()
        assert len(leg.outlet.sent) == 3
        leg.tell(Ended("hangup", "them"))
        await app

    asyncio.run(main())


def test_a_file_is_played_as_often_as_is_said(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    path.write_bytes(serialise_wav(np.full((320, 1), 5000, np.int16), 8000))

    async def main() -> None:
        call, leg, media = make()
        await call.answer()
        app = asyncio.create_task(play(path, times=3)(call))  # type: ignore[arg-type]
        while not app.done():
            media.tick()
            await asyncio.sleep(0.002)
        assert len(leg.outlet.sent) == 6

    asyncio.run(main())
