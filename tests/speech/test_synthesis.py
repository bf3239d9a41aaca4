import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import trunkline
from trunkline.errors import MissingDependencyError, UsageError
from trunkline.speech import SynthesisFailed, create, synthesis
from trunkline.speech.synthesis import Synthesiser, clean_text

from .telephone import gather

ENGINES = [
    pytest.param("flite", marks=pytest.mark.needs("flite")),
    pytest.param("espeak", marks=pytest.mark.needs("espeak")),
]
LONG = "We are open from nine to six on weekdays, and from ten to two on Saturdays. " * 8


def use(name: str, test: Callable[[Synthesiser], Awaitable[None]], **options: object) -> None:
    async def run() -> None:
        voice: Synthesiser = create("tts", name, **options)
        try:
            async with asyncio.timeout(30):
                await test(voice)
        finally:
            await voice.aclose()

    asyncio.run(run())


class TestCleaning:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("Hello,  there.\n", "Hello, there."),
            ("a\x00b\x07c\x1b[31m", "a b c [31m"),
            ("a\u202eb\u200bc", "a b c"),
            ('<speak><break time="9s"/>Hi <b>you</b></speak>', "Hi you"),
            ("[[h@'loU]] five < six", "h@'loU five six"),
            ("<mark", "mark"),
            ("x < y > z", "x z"),
            ("caf\u00e9 \u00a35", "caf\u00e9 \u00a35"),
            ("", ""),
            (" \t ", ""),
        ],
    )
    def test_only_what_can_be_spoken_is_left(self, text: str, said: str) -> None:
        assert clean_text(text) == said

    def test_a_text_is_never_longer_than_two_thousand_characters(self) -> None:
        assert len(clean_text("word " * 100_000)) <= 2000

    @given(st.text(max_size=300))
    def test_nothing_an_engine_would_obey_is_left(self, text: str) -> None:
        said = clean_text(text)
        assert not set(said) & set("<>{}\\|^~`\x00\x1b\r\n")
        assert "[[" not in said and "]]" not in said


@pytest.mark.parametrize("engine", ENGINES)
class TestSpeaking:
    @pytest.mark.parametrize("rate_hz", [8000, 16000, 24000])
    def test_a_text_is_audio_of_a_plausible_length(self, engine: str, rate_hz: int) -> None:
        async def test(voice: Synthesiser) -> None:
            assert voice.rate_hz == rate_hz
            chunks = [chunk async for chunk in voice.speak("Hello, how can I help you?")]
            audio = np.concatenate(chunks)
            assert all(chunk.dtype == np.int16 and chunk.size for chunk in chunks)
            assert 1.0 < audio.size / rate_hz < 4.0
            assert 2000 < np.abs(audio.astype(int)).max() <= 32767
            # It begins to speak at once: engines' own leading silence is left out.
            assert np.abs(audio[: rate_hz // 20].astype(int)).max() > 100

        use(engine, test, rate_hz=rate_hz)

    def test_audio_comes_while_the_rest_is_still_being_made(self, engine: str) -> None:
        async def test(voice: Synthesiser) -> None:
            chunks = [chunk async for chunk in voice.speak("This is one sentence of some length")]
            assert len(chunks) > 10
            assert max(chunk.size for chunk in chunks) < 16000 // 5

        use(engine, test)

    def test_the_same_text_sounds_the_same_length_again(self, engine: str) -> None:
        async def test(voice: Synthesiser) -> None:
            lengths = [(await gather(voice.speak("Good morning."))).size for _ in range(3)]
            assert max(lengths) - min(lengths) < 160

        use(engine, test)

    def test_nothing_to_say_is_no_audio_and_no_process(self, engine: str) -> None:
        async def test(voice: Synthesiser) -> None:
            assert (await gather(voice.speak(" \n<br/> "))).size == 0
            assert voice._worker.started == 0

        use(engine, test)

    def test_many_speak_at_once_and_each_gets_its_own(self, engine: str) -> None:
        async def test(voice: Synthesiser) -> None:
            texts = [f"This is number {number}." + " Yes." * (number % 3) for number in range(12)]
            alone = [(await gather(voice.speak(text))).size for text in texts]
            together = await asyncio.gather(*(gather(voice.speak(text)) for text in texts))
            for one, other in zip(alone, together, strict=True):
                assert abs(one - other.size) < 400
            assert voice._worker.started == 1

        use(engine, test)

    def test_a_short_text_does_not_wait_for_a_long_one(self, engine: str) -> None:
        async def test(voice: Synthesiser) -> None:
            done: list[str] = []

            async def say(name: str, text: str) -> None:
                await gather(voice.speak(text))
                done.append(name)

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(say("long", LONG))
                await asyncio.sleep(0.01)
                tasks.create_task(say("short", "Yes."))
            assert done == ["short", "long"]

        use(engine, test)

    def test_closing_the_iterator_stops_the_synthesis(self, engine: str) -> None:
        async def test(voice: Synthesiser) -> None:
            speech = voice.speak(LONG)
            await anext(speech)
            await speech.aclose()  # type: ignore[attr-defined]
            assert not voice._worker._listeners
            # The engine is free at once: far sooner than it could have finished.
            assert (await gather(voice.speak("Yes."))).size > 1000

        use(engine, test)

    def test_a_task_that_is_cancelled_stops_the_synthesis(self, engine: str) -> None:
        async def test(voice: Synthesiser) -> None:
            task = asyncio.create_task(gather(voice.speak(LONG)))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not voice._worker._listeners

        use(engine, test)

    def test_hostile_text_harms_nothing(self, engine: str) -> None:
        async def test(voice: Synthesiser) -> None:
            for text in (
                "%s%n%x" * 3,
                "x" * 60,
                "\u4f60\u597d \U0001f600 \u0440\u0443",
                "..." * 500,
                "<phoneme alphabet='ipa' ph='" + "a" * 40 + "'>",
                "1" * 40,
                "\ud800 lone",
                "-" * 300,
            ):
                await gather(voice.speak(text))
            assert (await gather(voice.speak("Still here."))).size > 1000
            assert voice._worker.started == 1

        use(engine, test)

    def test_a_process_killed_between_texts_is_replaced(self, engine: str) -> None:
        async def test(voice: Synthesiser) -> None:
            await voice.warm()
            assert voice._worker.pid is not None
            os.kill(voice._worker.pid, signal.SIGKILL)
            assert (await gather(voice.speak("Hello."))).size > 1000

        use(engine, test)

    def test_a_process_killed_in_the_middle_fails_that_text_only(self, engine: str) -> None:
        async def test(voice: Synthesiser) -> None:
            speech = voice.speak(LONG)
            await anext(speech)
            assert voice._worker.pid is not None
            os.kill(voice._worker.pid, signal.SIGKILL)
            with pytest.raises(SynthesisFailed, match="died"):
                await gather(speech)
            assert (await gather(voice.speak("Hello."))).size > 1000

        use(engine, test)


class TestVoices:
    @pytest.mark.needs("flite")
    def test_flite_voices_differ(self) -> None:
        lengths = []
        for name in ("slt", "rms"):

            async def test(voice: Synthesiser) -> None:
                lengths.append((await gather(voice.speak("The same words."))).size)

            use("flite", test, voice=name)
        assert lengths[0] != lengths[1]

    @pytest.mark.needs("flite")
    def test_an_unknown_flite_voice_is_refused_at_once(self) -> None:
        with pytest.raises(UsageError, match="slt, rms"):
            create("tts", "flite", voice="nobody")

    @pytest.mark.needs("espeak")
    def test_an_unknown_espeak_voice_fails_when_it_should_speak(self) -> None:
        async def test(voice: Synthesiser) -> None:
            with pytest.raises(SynthesisFailed, match="no voice 'zz-nobody'"):
                await gather(voice.speak("Hello."))

        use("espeak", test, voice="zz-nobody")

    @pytest.mark.needs("espeak")
    def test_espeak_speaks_faster_when_told(self) -> None:
        lengths = []
        for speed in (100, 200):

            async def test(voice: Synthesiser) -> None:
                lengths.append((await gather(voice.speak("One two three four."))).size)

            use("espeak", test, speed=speed)
        assert lengths[0] > 1.4 * lengths[1]

    def test_a_rate_no_voice_has_is_refused(self) -> None:
        with pytest.raises(UsageError, match="4000"):
            Synthesiser("flite", 4000, {})


class TestChoosing:
    @pytest.mark.parametrize(
        ("flite", "espeak", "chosen"), [(1, 1, "flite"), (1, 0, "flite"), (0, 1, "espeak")]
    )
    def test_flite_goes_before_espeak(
        self, monkeypatch: pytest.MonkeyPatch, flite: int, espeak: int, chosen: str
    ) -> None:
        monkeypatch.setattr(synthesis._flite, "is_installed", lambda: bool(flite))
        monkeypatch.setattr(synthesis._espeak, "is_installed", lambda: bool(espeak))
        voice = create("tts", "best", rate_hz=8000)
        assert voice.name == chosen
        assert voice.rate_hz == 8000

    def test_with_neither_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(synthesis._flite, "is_installed", lambda: False)
        monkeypatch.setattr(synthesis._espeak, "is_installed", lambda: False)
        for name in ("best", "flite", "espeak"):
            with pytest.raises(MissingDependencyError, match="install"):
                create("tts", name)
        with pytest.raises(MissingDependencyError, match="GPL-3"):
            create("tts", "best")

    @pytest.mark.needs("espeak")
    def test_espeaks_licence_is_named_and_its_code_stays_out_of_this_process(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")

        async def test(voice: Synthesiser) -> None:
            await gather(voice.speak("Hello."))

        use("espeak", test)
        assert "GPL-3.0-or-later" in caplog.text
        assert "espeak" not in Path("/proc/self/maps").read_text()


def test_a_silent_engine_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthesis, "_SILENT_SECONDS", 0.05)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.setattr(synthesis, "_MODULE", "mute_worker")

    async def run() -> None:
        voice = Synthesiser("flite", 8000, {})
        await voice.warm()
        with pytest.raises(SynthesisFailed, match="silent"):
            await gather(voice.speak("Hello."))
        await voice.aclose()

    asyncio.run(run())


def test_an_engine_that_always_crashes_fails_after_two_tries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(synthesis, "_MODULE", "there_is_no_such_module")

    async def run() -> None:
        voice = Synthesiser("flite", 8000, {})
        with pytest.raises(SynthesisFailed, match="died"):
            await gather(voice.speak("Hello."))
        assert voice._worker.started == 2
        await voice.aclose()

    asyncio.run(run())


def test_the_worker_begins_without_heavy_imports() -> None:
    code = (
        "import sys, trunkline.speech.synthesis_worker\n"
        "print([m for m in ('numpy', 'asyncio', 'onnxruntime') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(Path(trunkline.__file__).parents[1])},
    )
    assert done.stdout.strip() == "[]"


def test_speech_is_an_async_iterator() -> None:
    assert isinstance(Synthesiser("flite", 8000, {}).speak("x"), AsyncIterator)
