"""Ears that applications hear with."""

import asyncio
import logging

import numpy as np
import pytest

from trunkline.agent.line import Heard
from trunkline.calls.ears import DrainEar, EchoEar, FrameQueue
from trunkline.calls.line import CallLine

from .fakes import FakeLeg, FakeMedia, turn

FRAME = np.full(160, 700, np.int16)


def make() -> tuple[CallLine, FakeLeg, FakeMedia]:
    media = FakeMedia()
    line = CallLine("call", 8000, media)  # type: ignore[arg-type]
    leg = FakeLeg(media)
    media.engine.open(leg.made)
    line.open(leg.made)
    return line, leg, media


def test_a_drain_ear_waits_for_its_own_generation() -> None:
    async def main() -> None:
        line, _, _ = make()
        ear = DrainEar(line, 3)
        waiting = asyncio.create_task(ear.wait())
        ear.drained(Heard(2, 100, 0, False), 0.0)
        await turn()
        assert not waiting.done()
        ear.drained(Heard(3, 100, 0, False), 0.0)
        ear.ended(0.0)  # too late to change it
        assert await waiting is True

    asyncio.run(main())


def test_a_drain_ear_notices_that_its_audio_was_cleared() -> None:
    async def main() -> None:
        line, _, _ = make()
        ear = DrainEar(line, line.generation)
        ear.hear(FRAME, (), 0.0)
        line.clear(0.0)
        ear.hear(FRAME, (), 0.0)
        assert await ear.wait() is False

    asyncio.run(main())


def test_frames_that_nobody_reads_go_oldest_first_and_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        line, _, _ = make()
        queue = FrameQueue(line, 3)
        for number in range(5):
            queue.hear(FRAME + number, (), 0.0)
        await turn()
        queue.ended(0.0)
        await turn()
        assert [int(frame[0]) async for frame in queue] == [702, 703, 704]
        assert queue.dropped == 2

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    assert len(caplog.records) == 1


def test_a_reader_wakes_up_for_frames_that_come_later() -> None:
    async def main() -> None:
        line, _, _ = make()
        queue = FrameQueue(line, 10)
        read: list[int] = []

        async def reader() -> None:
            read.extend([int(frame[0]) async for frame in queue])

        reading = asyncio.create_task(reader())
        await turn()
        queue.hear(FRAME, (), 0.0)
        await turn()
        queue.ended(0.0)
        await reading
        assert read == [700]

    asyncio.run(main())


def test_an_echo_leaves_in_the_tick_it_came_in() -> None:
    line, leg, media = make()
    line.listen(EchoEar(line), activity=False)
    leg.inlet.push(bytes(range(160)))
    media.tick()
    assert len(leg.outlet.sent) == 1 and len(leg.outlet.sent[0]) == 320
