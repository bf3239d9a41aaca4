import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.agent.speaking import SpeakingSettings, Speech, Trimmer
from trunkline.agent.testing import MemoryLine, run_virtual, silence, tone
from trunkline.speech import Pcm, SynthesisFailed


class Voice:
    """Every text is the same audio, in pieces."""

    name = "fixed"

    def __init__(self, *pieces: Pcm, rate_hz: int = 8000, delay: float = 0.0) -> None:
        self.pieces = pieces
        self.rate_hz = rate_hz
        self.delay = delay
        self.texts: list[str] = []
        self.closed = 0

    async def speak(self, text: str) -> AsyncIterator[Pcm]:
        self.texts.append(text)
        try:
            for piece in self.pieces:
                await asyncio.sleep(self.delay)
                yield piece
        finally:
            self.closed += 1

    async def aclose(self) -> None:
        pass


class PlainIterator:
    """A stream that is not a generator and cannot be closed."""

    name = "plain"
    rate_hz = 8000

    def __init__(self) -> None:
        self.left = 2

    def speak(self, text: str) -> "PlainIterator":
        return self

    def __aiter__(self) -> "PlainIterator":
        return self

    async def __anext__(self) -> Pcm:
        if not self.left:
            raise StopAsyncIteration
        self.left -= 1
        return tone(100)

    async def aclose_engine(self) -> None:
        pass


def speak(
    voice: object, *texts: str, rate_hz: int = 8000, settings: SpeakingSettings | None = None
) -> tuple[MemoryLine, Speech]:
    """Say some texts to their end; the line has played everything."""

    async def main() -> tuple[MemoryLine, Speech]:
        loop = asyncio.get_running_loop()
        line = MemoryLine(clock=loop.time, rate_hz=rate_hz)
        speech = Speech(
            line,
            0,
            voice,  # type: ignore[arg-type]
            settings or SpeakingSettings(),
            clock=loop.time,
        )
        async with line:
            for text in texts:
                speech.write(text)
            speech.close()
            await speech.run()
            await asyncio.sleep(max(0.0, speech.played_until - loop.time()) + 0.2)
        return line, speech

    return run_virtual(main())


def test_a_text_becomes_audio_and_the_generation_is_finished() -> None:
    voice = Voice(tone(300), tone(200))
    line, speech = speak(voice, "Hello.")
    assert voice.texts == ["Hello."]
    assert np.array_equal(line.played()[0][:4000], np.concatenate((tone(300), tone(200))))
    assert line.generation == 1, "finished: the next utterance is another generation"
    assert speech.first_audio_at == 0.0
    assert speech.text == "Hello."


def test_between_sentences_there_is_the_same_pause_whatever_the_voice_leaves() -> None:
    padded = np.concatenate((silence(200), tone(300), silence(500)))
    line, speech = speak(Voice(padded), "One. Two.", settings=SpeakingSettings(pause_ms=180))
    played = line.played()[0]
    loud = np.flatnonzero(np.abs(played) > 1000)
    gap = int(np.diff(loud).max()) / 8
    assert gap == pytest.approx(180 + 40, abs=2)  # and 20 ms kept at each end
    assert loud[0] <= 21 * 8
    assert len(played) == pytest.approx((300 + 220 + 300 + 40) * 8, abs=160)
    assert speech.told(len(played)).unheard == ""


def test_a_voice_at_another_rate_is_resampled() -> None:
    line, _ = speak(Voice(tone(500, rate_hz=16_000), rate_hz=16_000), "Hello.")
    played = line.played()[0]
    assert len(played) == pytest.approx(4000, abs=160)
    spectrum = np.abs(np.fft.rfft(played[400:3600].astype(float)))
    assert np.argmax(spectrum) * 8000 / 3200 == pytest.approx(300, abs=3)


def test_what_cannot_be_spoken_is_kept_in_the_text_and_not_synthesised() -> None:
    voice = Voice(tone(100))
    _, speech = speak(voice, "**Yes!** 😀")
    assert voice.texts == ["Yes!"]
    assert speech.text == "**Yes!** 😀"


def test_a_text_with_nothing_to_speak_plays_and_finishes_nothing() -> None:
    line, speech = speak(Voice(tone(100)), " 😀 ")
    assert line.sent == []
    assert line.generation == 0
    assert speech.first_audio_at is None


def test_a_stream_that_is_no_generator_will_do() -> None:
    line, _ = speak(PlainIterator(), "Hello.")
    assert len(line.played()[0]) == 1600


def test_synthesis_stays_a_bounded_time_ahead() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        line = MemoryLine(clock=loop.time)
        voice = Voice(*[tone(500)] * 40)
        settings = SpeakingSettings(ahead_seconds=2.0)
        speech = Speech(line, 0, voice, settings, clock=loop.time)
        speech.write("One long sentence.")
        speech.close()
        async with line:
            task = loop.create_task(speech.run())
            for _ in range(10):
                await asyncio.sleep(1.0)
                assert 1.4 <= speech.played_until - loop.time() <= 2.6
            task.cancel()
            await asyncio.wait([task])
        assert voice.closed == 1

    run_virtual(main())


def test_a_voice_that_stalls_has_failed() -> None:
    with pytest.raises(SynthesisFailed, match="no audio for"):
        speak(Voice(tone(100), delay=10.0), "Hello.", settings=SpeakingSettings(stall_seconds=1))


@pytest.mark.parametrize("after", [1, 3, 20])
def test_a_voice_that_stalls_in_the_middle_has_failed_too(after: int) -> None:
    class Stalls(Voice):
        async def speak(self, text: str) -> AsyncIterator[Pcm]:
            for _ in range(after):
                await asyncio.sleep(0.05)
                yield tone(100)
            await asyncio.sleep(60)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        line = MemoryLine(clock=loop.time)
        settings = SpeakingSettings(stall_seconds=1)
        speech = Speech(line, 0, Stalls(), settings, clock=loop.time)
        speech.write("Hello there.")
        speech.close()
        began = loop.time()
        async with line:
            with pytest.raises(SynthesisFailed, match="no audio for"):
                await speech.run()
        silent = loop.time() - began - 0.05 * after
        assert 0.99 <= silent <= 1.26

    run_virtual(main())


def test_a_slow_voice_and_one_far_ahead_have_not_stalled() -> None:
    settings = SpeakingSettings(stall_seconds=1, ahead_seconds=0.5)
    slow = Voice(*[tone(100)] * 20, delay=0.9)
    speak(slow, "Hello.", settings=settings)
    ahead = Voice(tone(8000), tone(8000), tone(100))
    speak(ahead, "Hello.", settings=settings)
    assert slow.closed == ahead.closed == 1


def test_a_voice_that_is_ahead_is_asked_for_several_pieces_at_a_time() -> None:
    asked: list[float] = []

    class Eager(Voice):
        async def speak(self, text: str) -> AsyncIterator[Pcm]:
            for _ in range(250):
                asked.append(asyncio.get_running_loop().time())
                yield tone(20)

    speak(Eager(), "Hello.")
    assert len(set(asked)) <= 1 + 3.0 / 0.18  # five seconds, two of them at once


def test_after_a_tool_the_text_belongs_to_the_next_round() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        line = MemoryLine(clock=loop.time)
        speech = Speech(line, 0, Voice(tone(1000)), SpeakingSettings(), clock=loop.time)
        speech.write("Let me look")
        speech.next_round()
        speech.write("We are closed.")
        speech.close()
        async with line:
            await speech.run()
        assert speech.told(8200).rounds == ("Let me look", "")
        assert speech.told(80_000).rounds == ("Let me look", "We are closed.")
        assert speech.told(0).unheard == "Let me look We are closed."

    run_virtual(main())


def test_text_that_has_not_come_to_be_spoken_is_unheard() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        line = MemoryLine(clock=loop.time)
        speech = Speech(line, 0, Voice(tone(1000)), SpeakingSettings(), clock=loop.time)
        speech.write("One. Two. Thr")
        assert speech.told(0).unheard == "One. Two. Thr"
        assert speech.text == "One. Two. Thr"

    run_virtual(main())


# Trimming


def trimmed(pcm: Pcm, size: int) -> Pcm:
    trimmer = Trimmer(8000)
    pieces = [trimmer.push(pcm[at : at + size]) for at in range(0, len(pcm), size)]
    return np.concatenate(pieces) if pieces else pcm


@pytest.mark.parametrize("size", [1, 7, 80, 160, 1000, 100_000])
def test_silence_is_cut_from_both_ends_but_for_20_ms(size: int) -> None:
    pcm = np.concatenate((silence(700), tone(100, level=9000)[3:], silence(900)))
    result = trimmed(pcm, size)
    loud = np.flatnonzero(np.abs(result) > 104)
    assert loud[0] == pytest.approx(160, abs=1)
    assert 0 <= len(result) - loud[-1] <= 162


@pytest.mark.parametrize("size", [1, 160, 1000, 100_000])
def test_silence_inside_stays(size: int) -> None:
    inside = np.concatenate((tone(100), silence(400), tone(100)))
    result = trimmed(np.concatenate((silence(100), inside, silence(100))), size)
    assert inside.tobytes() in result.tobytes()


def test_nothing_but_silence_is_nothing() -> None:
    assert len(trimmed(silence(5000), 160)) == 0


@given(
    st.lists(st.sampled_from([0, 50, -60, 3000, -9000]), max_size=400),
    st.integers(1, 100),
)
def test_trimming_does_not_depend_on_the_pieces_and_changes_no_sample(
    samples: list[int], size: int
) -> None:
    pcm = np.repeat(np.array(samples, np.int16), 9)
    result = trimmed(pcm, size)
    assert result.tobytes() in pcm.tobytes() or not len(result)
    loud = np.abs(pcm.astype(int)) > 104
    assert np.count_nonzero(np.abs(result.astype(int)) > 104) == np.count_nonzero(loud)
