import asyncio

import numpy as np
import pytest

from trunkline.agent.recognising import BACKLOG, Recogniser
from trunkline.agent.testing import run_virtual
from trunkline.speech import Grammar, Pcm, RecognitionFailed, Transcript

PIECE = np.zeros(800, np.int16)


class Slow:
    """Takes a second for every text; one utterance at a time, or it breaks."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.finishing = False
        self.error: Exception | None = None
        self.delay = 1.0

    def start(self, grammar: Grammar | None) -> None:
        assert not self.finishing
        self.log.append("start" if grammar is None else grammar.name)

    def feed(self, pcm: Pcm) -> None:
        assert not self.finishing
        if self.error is not None:
            raise self.error
        self.log.append("feed")

    async def finish(self) -> Transcript:
        self.finishing = True
        self.log.append("finish")
        try:
            await asyncio.sleep(self.delay)
            if self.error is not None:
                raise self.error
            return Transcript(f"text {self.log.count('finish')}", 1.0, True, 100)
        finally:
            self.finishing = False

    def cancel(self) -> None:
        pass

    def close(self) -> None:
        pass


def test_what_is_said_while_a_text_is_awaited_is_kept_and_heard_afterwards() -> None:
    async def main() -> None:
        slow, failures = Slow(), []
        async with asyncio.TaskGroup() as group:
            recogniser = Recogniser(slow, group, failures.append)
            recogniser.start(Grammar("", "one"))
            recogniser.feed(PIECE)
            first = recogniser.finish()
            await asyncio.sleep(0)
            recogniser.start(Grammar("", "two"))
            recogniser.feed(PIECE)
            recogniser.feed(PIECE)
            second = recogniser.finish()
            recogniser.start(None)
            assert slow.log == ["one", "feed", "finish"]
            assert (await first).text == "text 1"
            assert (await second).text == "text 2"
        assert slow.log == ["one", "feed", "finish", "two", "feed", "feed", "finish", "start"]
        assert failures == []

    run_virtual(main())


def test_an_engine_that_fails_gives_an_empty_text_and_goes_on() -> None:
    async def main() -> None:
        slow, failures = Slow(), []
        async with asyncio.TaskGroup() as group:
            recogniser = Recogniser(slow, group, failures.append)
            recogniser.start(None)
            slow.error = RecognitionFailed("crashed")
            recogniser.feed(PIECE)
            transcript = await recogniser.finish()
            assert (transcript.text, transcript.confidence) == ("", 0.0)
            slow.error = None
            recogniser.start(None)
            assert (await recogniser.finish()).text == "text 2"
        assert [type(error) for error in failures] == [RecognitionFailed] * 2

    run_virtual(main())


def test_an_engine_that_hangs_is_given_up() -> None:
    async def main() -> None:
        slow, failures = Slow(), []
        slow.delay = 1000.0
        async with asyncio.TaskGroup() as group:
            recogniser = Recogniser(slow, group, failures.append, timeout_seconds=2)
            recogniser.start(None)
            assert (await recogniser.finish()).text == ""
        assert [type(error) for error in failures] == [TimeoutError]

    run_virtual(main())


def test_waiting_for_a_text_may_be_cancelled_without_losing_it() -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            recogniser = Recogniser(Slow(), group, lambda error: None)
            recogniser.start(None)
            future = recogniser.finish()
            waiting = asyncio.create_task(asyncio.wait([future]))
            await asyncio.sleep(0.1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert (await future).text == "text 1"

    run_virtual(main())


def test_what_does_not_fit_while_waiting_is_counted() -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            recogniser = Recogniser(Slow(), group, lambda error: None)
            recogniser.start(None)
            recogniser.finish()
            for _ in range(BACKLOG + 5):
                recogniser.feed(PIECE)
            assert recogniser.dropped == 5
            recogniser.close()

    run_virtual(main())


def test_closing_stops_waiting() -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            recogniser = Recogniser(Slow(), group, lambda error: None)
            recogniser.start(None)
            future = recogniser.finish()
            await asyncio.sleep(0.1)
            recogniser.close()
        assert future.result().text == ""

    run_virtual(main())


def test_an_engine_that_cannot_begin_is_reported_and_its_text_still_comes() -> None:
    class Unready(Slow):
        def start(self, grammar: Grammar | None) -> None:
            raise OSError("no engine")

    async def main() -> None:
        failures: list[Exception] = []
        async with asyncio.TaskGroup() as group:
            recogniser = Recogniser(Unready(), group, failures.append)
            recogniser.start(None)
            assert [str(error) for error in failures] == ["no engine"]
            recogniser.feed(PIECE)
            first = recogniser.finish()
            await asyncio.sleep(0)
            recogniser.start(None)  # kept until the text has come, and fails then
            assert (await first).text == "text 1"
            await asyncio.sleep(0)
            assert len(failures) == 2

    run_virtual(main())
