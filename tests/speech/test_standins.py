import asyncio

import numpy as np
import pytest

from trunkline.errors import UsageError
from trunkline.speech import Grammar, create
from trunkline.speech.standins import SttStandIn, ToneVoice, TtsStandIn

from .telephone import gather

FRAME = np.ones(160, np.int16)


def test_the_recogniser_understands_the_same_whatever_it_hears() -> None:
    async def run() -> None:
        recognition = SttStandIn("hello there").open(8000)
        recognition.start(Grammar("#JSGF V1.0;", "g"))
        for _ in range(5):
            recognition.feed(FRAME)
        heard = await recognition.finish()
        assert (heard.text, heard.confidence, heard.final) == ("hello there", 1.0, True)
        assert heard.audio_ms == 100

    asyncio.run(run())


def test_several_texts_follow_each_other_in_each_call() -> None:
    async def run() -> None:
        engine = SttStandIn(["one", "two"])
        for _ in range(2):
            recognition = engine.open(8000)
            texts = []
            for _ in range(3):
                recognition.start(None)
                recognition.feed(FRAME)
                texts.append((await recognition.finish()).text)
            assert texts == ["one", "two", "one"]
            recognition.close()
            assert recognition.closed
        await engine.aclose()

    asyncio.run(run())


def test_nothing_heard_is_nothing_understood() -> None:
    async def run() -> None:
        recognition = SttStandIn().open(8000)
        recognition.start(None)
        assert (await recognition.finish()).text == ""
        recognition.start(None)
        recognition.feed(FRAME)
        recognition.cancel()
        assert (await recognition.finish()).text == ""

    asyncio.run(run())


def test_a_recogniser_without_texts_is_refused() -> None:
    with pytest.raises(UsageError):
        SttStandIn([])


@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_the_voice_says_everything_in_a_second_of_frames(rate_hz: int) -> None:
    async def run() -> None:
        voice = TtsStandIn(rate_hz)
        chunks = [chunk async for chunk in voice.speak("anything")]
        assert [chunk.size for chunk in chunks] == [rate_hz // 50] * 50
        assert all(chunk.dtype == np.int16 for chunk in chunks)
        assert [chunk async for chunk in voice.speak("  ")] == []
        await voice.aclose()

    asyncio.run(run())


def test_the_tone_voice_says_each_text_its_own_way_and_always_the_same() -> None:
    voice = create("tts", "tone")
    assert isinstance(voice, ToneVoice)
    first = asyncio.run(gather(voice.speak("abc")))
    assert np.array_equal(first, asyncio.run(gather(ToneVoice().speak("abc"))))
    assert np.array_equal(first, voice.render("abc"))
    assert not np.array_equal(first, voice.render("abd"))
    assert first.size == 3 * 480
    assert voice.render("").size == 0


def test_a_pitch_can_be_found_again() -> None:
    spectrum = np.abs(np.fft.rfft(ToneVoice().render("a"), 8000))
    assert abs(int(spectrum.argmax()) - (200 + 20 * (ord("a") % 64))) <= 3
