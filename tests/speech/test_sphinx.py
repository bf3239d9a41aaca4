"""The recogniser as calls use it: a real worker process, real speech on a telephone line."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from trunkline.errors import ConfigError, MissingDependencyError, UsageError
from trunkline.speech import Grammar, GrammarError, RecognitionFailed, UnknownWords, create
from trunkline.speech import sphinx as sphinxes
from trunkline.speech.sphinx import Sphinx

from .jsgf import grammar
from .telephone import said

pytestmark = pytest.mark.needs("sphinx", "flite")

MENU = grammar(
    "menu",
    "[hello] i would like <what> [please]",
    "what are your opening hours",
    "is my bicycle ready",
    "goodbye",
    what="to book a repair | to order a part | to speak to a person",
)
CONFIRM = grammar("confirm", "yes [please]", "no [thank you]", "that is (right | wrong)")
WHEN = grammar(
    "when",
    "[on] <day> {day} [at <hour>]",
    day="monday | tuesday | wednesday | friday | saturday",
    hour="nine o'clock | ten o'clock | three o'clock",
)
SPOKEN = [
    (MENU, "i would like to book a repair"),
    (MENU, "hello i would like to speak to a person"),
    (MENU, "what are your opening hours"),
    (MENU, "is my bicycle ready"),
    (CONFIRM, "yes please"),
    (CONFIRM, "no thank you"),
    (WHEN, "on tuesday at three o'clock"),
    (WHEN, "saturday"),
]
STRANGE = [
    "my grandmother bought seventeen chickens",
    "the quick brown fox jumps over the lazy dog",
    "elephants never forget anything important",
    "could you sing me a song about the sea",
]

Pcm = NDArray[np.int16]


@pytest.fixture(scope="module")
def spoken() -> list[Pcm]:
    return said([text for _, text in SPOKEN], voice="kal16")


@pytest.fixture(scope="module")
def strange() -> list[Pcm]:
    return said(STRANGE, voice="kal16")


def use(test: Callable[[Sphinx], Awaitable[None]], **options: object) -> None:
    async def run() -> None:
        engine: Sphinx = create("stt", "sphinx", **options)
        try:
            async with asyncio.timeout(30):
                await test(engine)
        finally:
            await engine.aclose()

    asyncio.run(run())


def frames(line: Pcm) -> list[Pcm]:
    return [line[at : at + 160] for at in range(0, line.size, 160)]


class TestUnderstanding:
    def test_sentences_of_the_grammar_are_understood(self, spoken: list[Pcm]) -> None:
        async def test(engine: Sphinx) -> None:
            recognition = engine.open(8000)
            heard = []
            for (wanted, _), line in zip(SPOKEN, spoken, strict=True):
                recognition.start(wanted)
                for frame in frames(line):
                    recognition.feed(frame)
                heard.append(await recognition.finish())
            assert [each.text for each in heard] == [text for _, text in SPOKEN]
            assert min(each.confidence for each in heard) > 0.5
            assert all(each.final for each in heard)
            for each, line in zip(heard, spoken, strict=True):
                assert each.audio_ms == line.size // 8

        use(test)

    def test_the_first_utterance_of_a_call_is_understood_at_any_usual_level(
        self, spoken: list[Pcm]
    ) -> None:
        async def test(engine: Sphinx) -> None:
            for gain in (0.25, 2.0):  # -38 and -20 dBov
                for number in (0, 2, 4):
                    recognition = engine.open(8000)
                    recognition.start(SPOKEN[number][0])
                    recognition.feed((spoken[number] * gain).astype(np.int16))
                    assert (await recognition.finish()).text == SPOKEN[number][1]

        use(test)

    def test_speech_that_is_not_of_the_grammar_is_doubted(self, strange: list[Pcm]) -> None:
        async def test(engine: Sphinx) -> None:
            recognition = engine.open(8000)
            doubts = []
            for line in strange:
                for wanted in (MENU, CONFIRM, WHEN):
                    recognition.start(wanted)
                    recognition.feed(line)
                    heard = await recognition.finish()
                    doubts.append(not heard.text or heard.confidence < 0.5)
            assert sum(doubts) >= len(doubts) - 1

        use(test)

    @pytest.mark.parametrize("dbov", [-120, -60, -40, -25])
    def test_noise_is_not_understood(self, dbov: float) -> None:
        async def test(engine: Sphinx) -> None:
            random = np.random.default_rng(0)
            noise = (random.standard_normal(12000) * 32768 * 10 ** (dbov / 20)).astype(np.int16)
            recognition = engine.open(8000)
            for wanted in (MENU, CONFIRM):
                recognition.start(wanted)
                recognition.feed(noise)
                heard = await recognition.finish()
                assert not heard.text or heard.confidence < 0.5

        use(test)

    def test_noise_and_nonsense_do_not_spoil_the_next_utterance(
        self, spoken: list[Pcm], strange: list[Pcm]
    ) -> None:
        async def test(engine: Sphinx) -> None:
            recognition = engine.open(8000)
            loudest = np.where(np.arange(16000) % 7 < 3, 32767, -32768).astype(np.int16)
            for rubbish in (loudest, strange[0]):
                recognition.start(CONFIRM)
                recognition.feed(rubbish)
                await recognition.finish()
            recognition.start(MENU)
            recognition.feed(spoken[0])
            assert (await recognition.finish()).text == SPOKEN[0][1]

        use(test)

    @pytest.mark.parametrize("rate_hz", [16000, 48000])
    def test_wideband_calls_are_understood_too(self, rate_hz: int) -> None:
        from trunkline.media.resample import StreamResampler

        async def test(engine: Sphinx) -> None:
            voice = create("tts", "flite", rate_hz=16000, voice="kal16")
            audio = [chunk async for chunk in voice.speak("I would like to book a repair")]
            await voice.aclose()
            line = np.concatenate([np.zeros(4000, np.int16), *audio, np.zeros(8000, np.int16)])
            line = line + np.random.default_rng(0).integers(-30, 30, line.size).astype(np.int16)
            recognition = engine.open(rate_hz)
            recognition.start(MENU)
            if rate_hz == 48000:
                line = StreamResampler(16000, 48000).push(line)
            recognition.feed(line)
            assert (await recognition.finish()).text == "i would like to book a repair"

        use(test)

    def test_a_word_of_ones_own_is_understood(self) -> None:
        line = said(["call trunk line"], voice="kal16")[0]

        async def test(engine: Sphinx) -> None:
            recognition = engine.open(8000)
            recognition.start(grammar("own", "call trunkline", "call a taxi"))
            recognition.feed(line)
            assert (await recognition.finish()).text == "call trunkline"

        use(test, pronunciations={"Trunkline": "T R AH NG K L AY N"})


class TestUtterances:
    def test_without_dictation_nothing_is_understood_without_a_grammar(
        self, spoken: list[Pcm], caplog: pytest.LogCaptureFixture
    ) -> None:
        async def test(engine: Sphinx) -> None:
            recognition = engine.open(8000)
            recognition.start(None)
            recognition.feed(spoken[0])
            heard = await recognition.finish()
            assert (heard.text, heard.confidence) == ("", 0.0)
            assert heard.audio_ms == spoken[0].size // 8
            assert engine._workers[0].started == 0
            assert await engine.warm_dictation() == sphinxes.NO_DICTATION
            assert engine._workers[0].started == 0

        use(test, dictation="off")
        assert sphinxes.NO_DICTATION in caplog.text

    def test_dictation_is_taken_and_what_to_expect_of_it_is_said_once(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        texts = ["please call me back this afternoon", "when does the next train leave for london"]
        lines = said(texts, voice="rms")

        async def test(engine: Sphinx) -> None:
            recognition = engine.open(8000)
            heard = []
            for line in lines:
                recognition.start(None)
                recognition.feed(line)
                heard.append(await recognition.finish())
            words = {word for text in texts for word in text.split()}
            right = words & {word for one in heard for word in one.text.split()}
            assert len(right) >= len(words) / 4  # it is dictation over the telephone
            assert {one.confidence for one in heard} == {0.5}

        use(test)
        assert caplog.text.count("takes dictation badly") == 1

    def test_grammars_and_dictation_go_on_side_by_side(self, spoken: list[Pcm]) -> None:
        async def test(engine: Sphinx) -> None:
            assert await engine.warm_dictation() == sphinxes.DICTATION
            free, bound = engine.open(8000), engine.open(8000)
            free.start(None)
            bound.start(MENU)
            for at in range(0, spoken[0].size, 160):
                free.feed(spoken[0][at : at + 160])
                bound.feed(spoken[0][at : at + 160])
            texts = await asyncio.gather(free.finish(), bound.finish())
            assert texts[0].text
            assert texts[1].text == SPOKEN[0][1]
            assert engine._workers[0].started == 1

        use(test)

    def test_no_audio_is_no_text(self) -> None:
        async def test(engine: Sphinx) -> None:
            recognition = engine.open(8000)
            for samples in (0, 1, 159, 160):
                recognition.start(MENU)
                recognition.feed(np.zeros(samples, np.int16))
                assert (await recognition.finish()).text == ""

        use(test)

    def test_finish_without_start_is_empty(self) -> None:
        async def test(engine: Sphinx) -> None:
            assert (await engine.open(8000).finish()).text == ""

        use(test)

    def test_a_new_start_drops_the_unfinished_utterance(self, spoken: list[Pcm]) -> None:
        async def test(engine: Sphinx) -> None:
            recognition = engine.open(8000)
            recognition.start(MENU)
            recognition.feed(spoken[2])
            recognition.start(MENU)
            recognition.feed(spoken[0])
            heard = await recognition.finish()
            assert heard.text == SPOKEN[0][1]
            assert heard.audio_ms == spoken[0].size // 8

        use(test, decoders=1)

    def test_cancelled_and_closed_utterances_free_their_decoder(self, spoken: list[Pcm]) -> None:
        async def test(engine: Sphinx) -> None:
            for leave in ("cancel", "close"):
                recognition = engine.open(8000)
                recognition.start(MENU)
                recognition.feed(spoken[2])
                getattr(recognition, leave)()
            recognition = engine.open(8000)
            recognition.start(MENU)
            recognition.feed(spoken[0])
            assert (await recognition.finish()).text == SPOKEN[0][1]

        use(test, decoders=1)

    def test_a_cancelled_finish_frees_its_decoder(self, spoken: list[Pcm]) -> None:
        async def test(engine: Sphinx) -> None:
            recognition = engine.open(8000)
            recognition.start(MENU)
            recognition.feed(spoken[0])
            task = asyncio.create_task(recognition.finish())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            recognition.start(MENU)
            recognition.feed(spoken[2])
            assert (await recognition.finish()).text == SPOKEN[2][1]

        use(test, decoders=1)

    @pytest.mark.parametrize("processes", [1, 2])
    def test_more_callers_than_decoders_are_all_understood(
        self, spoken: list[Pcm], processes: int
    ) -> None:
        async def test(engine: Sphinx) -> None:
            calls = [engine.open(8000) for _ in range(16)]
            for number, call in enumerate(calls):
                call.start(SPOKEN[number % 8][0])
            cut = [frames(line) for line in spoken]
            for at in range(max(map(len, cut))):
                for number, call in enumerate(calls):
                    if at < len(cut[number % 8]):
                        call.feed(cut[number % 8][at])
            heard = await asyncio.gather(*(call.finish() for call in calls))
            assert [each.text for each in heard] == [text for _, text in SPOKEN] * 2
            assert [worker.started for worker in engine._workers] == [1] * processes

        use(test, decoders=2, processes=processes)

    def test_an_endless_utterance_is_bounded(self) -> None:
        async def test(engine: Sphinx) -> None:
            recognition = engine.open(8000)
            recognition.start(CONFIRM)
            minute = np.zeros(8000 * 60, np.int16)
            recognition.feed(minute)
            recognition.feed(minute)
            heard = await recognition.finish()
            assert heard.audio_ms == 120_000
            assert heard.text == ""

        use(test)


class TestGrammars:
    def test_unknown_words_are_named_at_once(self) -> None:
        async def test(engine: Sphinx) -> None:
            with pytest.raises(UnknownWords, match="flurb, xyzzy"):
                engine.open(8000).start(grammar("odd", "say xyzzy [flurb]"))
            with pytest.raises(UnknownWords):
                engine.check(grammar("odd", "say xyzzy"))
            assert engine._workers[0].started == 0

        use(test)

    def test_a_broken_grammar_is_refused_at_once(self) -> None:
        async def test(engine: Sphinx) -> None:
            for text in ("", "nonsense", "#JSGF V1.0; grammar g; public <g> = <h>;"):
                with pytest.raises(GrammarError):
                    engine.open(8000).start(Grammar(text, "broken"))

        use(test)

    def test_many_grammars_are_used_in_turn(self, spoken: list[Pcm]) -> None:
        async def test(engine: Sphinx) -> None:
            recognition = engine.open(8000)
            for number in range(70):  # more than a decoder keeps
                recognition.start(grammar(f"g{number}", "yes", "no" + " please" * number))
                recognition.feed(np.zeros(800, np.int16))
                await recognition.finish()
            recognition.start(CONFIRM)
            recognition.feed(spoken[4])
            assert (await recognition.finish()).text == "yes please"
            assert engine._workers[0].started == 1

        use(test, decoders=1)

    def test_equal_names_with_other_texts_are_other_grammars(self, spoken: list[Pcm]) -> None:
        async def test(engine: Sphinx) -> None:
            recognition = engine.open(8000)
            for wanted in (grammar("same", "no"), Grammar(CONFIRM.jsgf, "same")):
                recognition.start(wanted)
                recognition.feed(spoken[4])
                heard = await recognition.finish()
            assert heard.text == "yes please"

        use(test, decoders=1)


class TestFailing:
    def test_a_process_that_dies_fails_its_utterances_and_no_later_one(
        self, spoken: list[Pcm]
    ) -> None:
        async def test(engine: Sphinx) -> None:
            await engine.warm()
            recognition = engine.open(8000)
            recognition.start(MENU)
            recognition.feed(spoken[0])
            pid = engine._workers[0].pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(RecognitionFailed, match="died"):
                await recognition.finish()
            recognition.start(MENU)
            recognition.feed(spoken[0])
            assert (await recognition.finish()).text == SPOKEN[0][1]

        use(test)

    def test_a_process_that_hangs_is_given_up(
        self, spoken: list[Pcm], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sphinxes, "_FINISH_SECONDS", 0.05)

        async def test(engine: Sphinx) -> None:
            await engine.warm()
            pid = engine._workers[0].pid
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
            recognition = engine.open(8000)
            recognition.start(MENU)
            recognition.feed(spoken[0])
            with pytest.raises(RecognitionFailed, match="no text"):
                await recognition.finish()
            recognition.close()

        use(test)

    def test_audio_that_finds_the_pipe_full_is_counted(self) -> None:
        async def test(engine: Sphinx) -> None:
            await engine.warm()
            pid = engine._workers[0].pid
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
            recognition = engine.open(8000)
            recognition.start(CONFIRM)
            for _ in range(12):
                recognition.feed(np.zeros(8000 * 30, np.int16))
            assert recognition.dropped_samples > 0
            os.kill(pid, signal.SIGCONT)
            await recognition.finish()

        use(test)

    def test_misuse_is_refused(self, tmp_path: Path) -> None:
        async def test(engine: Sphinx) -> None:
            with pytest.raises(UsageError):
                engine.open(4000)
            recognition = engine.open(8000)
            recognition.close()
            with pytest.raises(UsageError, match="closed"):
                recognition.start(MENU)
            recognition.feed(np.zeros(160, np.int16))  # late audio is nobody's fault

        use(test)
        with pytest.raises(UsageError):
            Sphinx(decoders=0)
        with pytest.raises(ConfigError, match="acoustic model"):
            Sphinx(model_path=tmp_path)
        with pytest.raises(ConfigError, match="ARPAbet"):
            Sphinx(pronunciations={"x": "no such phones"})

    def test_without_the_package_it_says_what_to_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
        with pytest.raises(MissingDependencyError, match="trunkline setup speech"):
            Sphinx()
        with pytest.raises(MissingDependencyError, match="trunkline setup speech"):
            sphinxes.find_model()

    def test_closing_the_engine_leaves_no_process(self, spoken: list[Pcm]) -> None:
        async def run() -> list[int]:
            engine = Sphinx(processes=2)
            await engine.warm()
            pids = [worker.pid for worker in engine._workers if worker.pid]
            recognition = engine.open(8000)
            recognition.start(MENU)
            recognition.feed(spoken[0])
            await engine.aclose()
            with pytest.raises(RecognitionFailed):
                await recognition.finish()
            recognition.close()
            return pids

        pids = asyncio.run(run())
        assert len(pids) == 2
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


LOADS_NOTHING = """
import asyncio
from pathlib import Path
from trunkline.speech.sphinx import Sphinx

async def main():
    engine = Sphinx()
    await engine.warm()
    await engine.aclose()

asyncio.run(main())
assert "_pocketsphinx" not in Path("/proc/self/maps").read_text()
"""


def test_a_process_that_recognises_does_not_load_the_engine() -> None:
    """In a process of its own: other tests of this one may well have loaded it."""
    done = subprocess.run(
        [sys.executable, "-c", LOADS_NOTHING], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
