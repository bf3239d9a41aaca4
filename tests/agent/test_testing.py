import asyncio
import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from trunkline.agent.testing import Loudness, MemoryLine, run_virtual, silence, tone
from trunkline.errors import UsageError
from trunkline.media.lane import Heard, Window


class Notes:
    """An ear that writes everything down."""

    def __init__(self) -> None:
        self.frames: list[NDArray[np.int16]] = []
        self.windows: list[Window] = []
        self.notes: list[object] = []

    def hear(self, frame: NDArray[np.int16], windows: Sequence[Window], now: float) -> None:
        self.frames.append(frame.copy())
        self.windows += windows

    def started(self, generation: int, now: float) -> None:
        self.notes.append(("started", generation, round(now, 3)))

    def drained(self, heard: Heard, now: float) -> None:
        self.notes.append(("drained", heard, round(now, 3)))

    def digit(self, digit: str, now: float) -> None:
        self.notes.append(("digit", digit))

    def ended(self, now: float) -> None:
        self.notes.append("ended")


def test_virtual_time_passes_without_waiting() -> None:
    async def hour() -> float:
        loop = asyncio.get_running_loop()
        before = loop.time()
        await asyncio.sleep(3600)
        return loop.time() - before

    began = time.monotonic()
    assert run_virtual(hour()) == pytest.approx(3600)
    assert time.monotonic() - began < 5


def test_threads_still_work_in_virtual_time() -> None:
    async def main() -> int:
        return await asyncio.to_thread(threading.get_ident)

    assert run_virtual(main()) != threading.get_ident()


def test_an_ear_hears_what_the_caller_says_in_frames_and_windows() -> None:
    async def main() -> None:
        line = MemoryLine(clock=asyncio.get_running_loop().time)
        ear = Notes()
        line.listen(ear)
        async with line:
            await line.say(tone(130))
            await asyncio.sleep(0.1)
        heard = np.concatenate(ear.frames)
        assert {len(frame) for frame in ear.frames} == {160}
        assert np.array_equal(heard[: len(tone(130))], tone(130))
        assert not heard[len(tone(130)) :].any()
        assert len(ear.windows) == len(heard) // 256
        assert [window.probability > 0.5 for window in ear.windows][:6] == [True] * 5 + [False]

    run_virtual(main())


def test_what_is_played_leaves_in_frames_and_is_drained_after_the_far_buffer() -> None:
    async def main() -> None:
        line = MemoryLine(clock=asyncio.get_running_loop().time, far_buffer_ms=60)
        ear = Notes()
        line.listen(ear)
        async with line:
            line.play(tone(100), 0)
            line.finish(0)
            assert line.generation == 1
            await asyncio.sleep(0.3)
        assert np.array_equal(line.played()[0], tone(100))
        # five frames, at 0 to 80 ms; heard to the end 60 ms after the last
        assert ear.notes == [("started", 0, 0.0), ("drained", Heard(0, 800, 0, False), 0.14)]

    run_virtual(main())


def test_a_clear_drops_what_is_queued_and_what_comes_late() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        line = MemoryLine(clock=loop.time)
        async with line:
            line.play(tone(1000), 0)
            await asyncio.sleep(0.21)
            heard = line.clear(loop.time())
            line.play(tone(1000), 0)
            await asyncio.sleep(1)
        assert heard.generation == 0
        assert heard.samples == len(line.played()[0]) - 480
        assert heard.queued_samples == 8000 - len(line.played()[0])
        assert line.outlet.clears == 1

    run_virtual(main())


def test_keys_and_the_end_reach_every_ear_once() -> None:
    async def main() -> None:
        line = MemoryLine(clock=asyncio.get_running_loop().time)
        first, second = Notes(), Notes()
        line.listen(first)
        line.listen(second)
        async with line:
            await asyncio.sleep(0.05)
            line.press("5")
            line.unlisten(second)
            await asyncio.sleep(0.05)
            line.end()
            line.end()
            late = Notes()
            line.listen(late)
            await asyncio.sleep(0.05)
        assert first.notes == [("digit", "5"), "ended"]
        assert second.notes == [("digit", "5")]
        assert late.notes == ["ended"]

    run_virtual(main())


def test_an_ear_listens_once() -> None:
    async def main() -> None:
        line = MemoryLine(clock=asyncio.get_running_loop().time)
        ear = Notes()
        line.listen(ear)
        line.listen(ear)
        with pytest.raises(UsageError):
            line.tick()

    run_virtual(main())


def test_loudness_is_speech_at_any_rate() -> None:
    for rate_hz in (8000, 16_000):
        detector = Loudness(rate_hz)
        windows = detector(tone(320, rate_hz=rate_hz)) + detector(silence(320, rate_hz=rate_hz))
        assert [window.probability > 0.5 for window in windows] == [True] * 10 + [False] * 10
        assert {window.length for window in windows} == {rate_hz * 32 // 1000}
        assert windows[-1].end_offset == 0
