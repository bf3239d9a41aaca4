"""Wake words as calls use them: a real worker process, real speech on a telephone line."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from trunkline.errors import UsageError
from trunkline.media.resample import StreamResampler
from trunkline.speech import Detection, SpeechError, UnknownWords, create
from trunkline.speech.sphinx_wake import DEFAULT_THRESHOLD, SphinxWake
from trunkline.speech.worker import Worker

from .telephone import said

pytestmark = pytest.mark.needs("sphinx")

Pcm = NDArray[np.int16]
TWO = {"hello computer": 1e-20, "operator please": 1e-15}


def use(test: Callable[[SphinxWake], Awaitable[None]], **options: object) -> None:
    async def run() -> None:
        engine: SphinxWake = create("wake", "sphinx", **{"phrases": TWO, **options})
        try:
            async with asyncio.timeout(30):
                await test(engine)
        finally:
            await engine.aclose()

    asyncio.run(run())


async def hear(engine: SphinxWake, line: Pcm, rate_hz: int = 8000) -> list[Detection]:
    """All that is found in a line, which is fed in frames and followed by a phrase at the end."""
    spotter = engine.open(rate_hz)
    for at in range(0, line.size, rate_hz // 50):
        spotter.feed(line[at : at + rate_hz // 50])
    found: list[Detection] = []
    while not found or found[-1].end < line.size - 2 * rate_hz:
        found.append(await spotter.wait())
    spotter.close()
    return found


def hiss(seconds: float, rate_hz: int = 8000) -> Pcm:
    noise = np.random.default_rng(3).standard_normal(int(seconds * rate_hz)) * 30
    return noise.astype(np.int16)


@pytest.fixture(scope="module")
def wake() -> Pcm:
    return said(["hello computer"], voice="rms")[0]


@pytest.mark.needs("flite")
class TestHearing:
    def test_phrases_are_found_where_they_are_and_nothing_else_is(self, wake: Pcm) -> None:
        other = said(["I would like to book a repair for Tuesday.", "operator please"], voice="rms")
        line = np.concatenate([other[0], wake, hiss(1), other[1], other[0], wake, hiss(1)])

        async def test(engine: SphinxWake) -> None:
            found = await hear(engine, line)
            assert [each.phrase for each in found] == [
                "hello computer", "operator please", "hello computer",
            ]  # fmt: skip
            first = found[0]
            begin = other[0].size
            assert begin - 800 < first.start < begin + 8000 * 0.6
            assert begin + wake.size - 8000 < first.end < begin + wake.size
            begin = line.size - 8000 - wake.size
            assert begin - 800 < found[-1].start < begin + 8000 * 0.6

        use(test)

    def test_at_another_rate_positions_are_in_its_samples(self, wake: Pcm) -> None:
        wide = StreamResampler(8000, 48000).push(wake)

        async def test(engine: SphinxWake) -> None:
            (found,) = await hear(engine, np.concatenate([wide, hiss(1, 48000)]), 48000)
            assert 0.1 < found.start / 48000 < 0.6
            assert found.end / 48000 < wake.size / 8000

        use(test)

    @pytest.mark.parametrize("decibels", [-20, 15])
    def test_soft_and_loud_callers_are_heard(self, wake: Pcm, decibels: int) -> None:
        line = (wake * 10 ** (decibels / 20)).clip(-32768, 32767).astype(np.int16)

        async def test(engine: SphinxWake) -> None:
            assert len(await hear(engine, np.concatenate([line, hiss(1) // 8]))) == 1

        use(test)

    def test_a_threshold_of_its_own_makes_a_phrase_strict(self) -> None:
        wake = said(["hello computer"], voice="slt")[0]  # found from 1e-20 down
        please = said(["operator please"], voice="rms")[0]

        async def test(engine: SphinxWake) -> None:
            found = await hear(engine, np.concatenate([wake, hiss(0.5), please, hiss(1)]))
            assert [each.phrase for each in found] == ["operator please"]

        use(test, phrases={"hello computer": 1e-5, "operator please": 1e-20})

    def test_calls_are_listened_to_apart(self, wake: Pcm) -> None:
        async def test(engine: SphinxWake) -> None:
            spotters = [engine.open(8000) for _ in range(4)]
            heard = np.concatenate([wake, hiss(1)])
            lines = [hiss(3) if number % 2 else heard for number in range(4)]
            for at in range(0, lines[0].size, 160):
                for spotter, line in zip(spotters, lines, strict=True):
                    spotter.feed(line[at : at + 160])
            assert (await spotters[0].wait()).phrase == "hello computer"
            assert (await spotters[2].wait()).phrase == "hello computer"
            assert not spotters[1].detections()
            assert not spotters[3].detections()

        use(test)

    def test_after_the_process_died_it_listens_again_and_positions_go_on(self, wake: Pcm) -> None:
        async def test(engine: SphinxWake) -> None:
            spotter = engine.open(8000)
            spotter.feed(hiss(1))
            await engine.warm()
            assert engine._worker.pid
            os.kill(engine._worker.pid, signal.SIGKILL)
            while not spotter.deaths:
                await asyncio.sleep(0.01)
            spotter.feed(wake)
            spotter.feed(hiss(1))
            found = await spotter.wait()
            assert 8000 < found.start < 8000 + 4800
            assert spotter.deaths == 1

        use(test)


class TestHostile:
    def test_rubbish_is_no_phrase_and_the_next_call_is_heard(self) -> None:
        random = np.random.default_rng(0)
        lines = [
            np.zeros(80000, np.int16),
            np.where(np.arange(80000) % 2, 32767, -32768).astype(np.int16),
            random.integers(-32768, 32768, 80000).astype(np.int16),
            np.full(80000, -32768, np.int16),
            np.zeros(0, np.int16),
            np.ones(1, np.int16),
        ]

        async def test(engine: SphinxWake) -> None:
            for line in lines:
                spotter = engine.open(8000)
                spotter.feed(line)
                await asyncio.sleep(0.05)
                assert not spotter.detections()
                assert not spotter.deaths
                spotter.close()

        use(test)

    def test_audio_of_another_kind_is_refused(self) -> None:
        async def test(engine: SphinxWake) -> None:
            spotter = engine.open(8000)
            square = np.zeros((2, 160), np.int16)
            for wrong in (np.full(160, np.nan), square, np.zeros(5, np.uint8)):
                with pytest.raises(UsageError):
                    spotter.feed(wrong)  # type: ignore[arg-type]
            with pytest.raises(UsageError):
                engine.open(4000)

        use(test)

    def test_a_closed_spotter_says_so_and_wakes_who_waits(self) -> None:
        async def test(engine: SphinxWake) -> None:
            spotter = engine.open(8000)
            waiting = asyncio.ensure_future(spotter.wait())
            await asyncio.sleep(0)
            spotter.close()
            spotter.close()
            with pytest.raises(UsageError):
                await waiting
            with pytest.raises(UsageError):
                spotter.feed(np.zeros(160, np.int16))

        use(test)

    def test_no_more_calls_than_said_are_listened_to(self) -> None:
        async def test(engine: SphinxWake) -> None:
            first = engine.open(8000)
            with pytest.raises(SpeechError, match="1 calls"):
                engine.open(8000)
            first.close()
            engine.open(8000)

        use(test, calls=1)

    def test_what_the_process_refuses_is_told_to_who_asks(self) -> None:
        async def test(engine: SphinxWake) -> None:
            engine._worker = Worker("trunkline.speech.sphinx_worker", ("/no/model", "0"))
            spotter = engine.open(8000)
            spotter.feed(hiss(1))
            with pytest.raises(SpeechError):
                await spotter.wait()
            spotter.feed(hiss(1))
            assert spotter.dropped_samples == 8000
            with pytest.raises(SpeechError):
                spotter.detections()
            await engine._worker.aclose()

        use(test)

    def test_audio_that_nobody_can_take_is_counted_and_bounded(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def test(engine: SphinxWake) -> None:
            monkeypatch.setattr("trunkline.speech.worker._PIPE_BYTES", 40_000)
            spotter = engine.open(8000)
            for _ in range(500):  # ten seconds in which the process cannot be reached
                spotter.feed(np.zeros(160, np.int16))
            assert spotter.dropped_samples > 40_000
            assert engine._worker._waiting_bytes < 60_000

        use(test)


class TestPhrases:
    def test_a_phrase_alone_has_the_usual_threshold(self) -> None:
        engine = create("wake", "sphinx", phrases="  Hello   COMPUTER ")
        assert engine.phrases == {"hello computer": DEFAULT_THRESHOLD}

    @pytest.mark.parametrize(
        "wrong",
        [(), "", "  ", "hello /1e-50/", "hello\ncomputer /1/", {"hello": 0.0}, {"hello": 2.0},
         {"hello": float("nan")}, {"hello": True}],
    )  # fmt: skip
    def test_what_is_no_phrase_is_refused(self, wrong: object) -> None:
        with pytest.raises((UsageError, UnknownWords)):
            create("wake", "sphinx", phrases=wrong)

    def test_a_word_without_pronunciation_is_named_and_can_be_given_one(self) -> None:
        with pytest.raises(UnknownWords, match="zzyzx"):
            create("wake", "sphinx", phrases="hello zzyzx")
        ways = {"zzyzx": "Z AY Z IH K S"}
        create("wake", "sphinx", phrases="hello zzyzx", pronunciations=ways)

    def test_no_calls_are_not_enough(self) -> None:
        with pytest.raises(UsageError):
            create("wake", "sphinx", calls=0)
