"""Speech-to-text by a server, over real sockets."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from trunkline.errors import ConfigError, UsageError
from trunkline.media.wav import parse_wav
from trunkline.speech import Grammar, RecognitionFailed, Transcript, create
from trunkline.speech.openai_stt import OpenAIRecogniser

from .openai_server import Answer, Exchange, Request, Server, body, error, serve

KEY = "sk-not-for-anybody"
SECOND = (8000 * np.sin(np.arange(8000) / 3)).astype(np.int16)


def heard(text: str) -> Answer:
    return body(200, {"text": text})


def run(
    work: Callable[[Server, OpenAIRecogniser], Awaitable[None]],
    *answers: Answer,
    **options: object,
) -> None:
    async def whole() -> None:
        async with asyncio.timeout(10), serve(*answers) as server:
            made = {"url": server.url, "timeout_seconds": 2.0, **options}
            engine: OpenAIRecogniser = create("stt", "openai", **made)
            try:
                await work(server, engine)
            finally:
                await engine.aclose()

    asyncio.run(whole())


async def recognise(engine: OpenAIRecogniser, rate_hz: int = 8000) -> Transcript:
    recognition = engine.open(rate_hz)
    recognition.start(None)
    for frame in SECOND.reshape(-1, 160):
        recognition.feed(frame)
    return await recognition.finish()


def parts(request: Request) -> dict[str, bytes]:
    """The parts of a form, by name (RFC 7578)."""
    boundary = request.headers["content-type"].partition("boundary=")[2].encode()
    found = {}
    for part in request.body.split(b"--" + boundary)[1:-1]:
        head, _, content = part.strip(b"\r\n").partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]*)"', head)
        assert name is not None
        found[name[1].decode()] = content
    return found


async def drop(exchange: Exchange) -> None:
    exchange.abort()


async def cut(exchange: Exchange) -> None:
    await exchange.head(200, "application/json")
    await exchange.write(b'{"text": "when are')
    exchange.abort()


async def stall(exchange: Exchange) -> None:
    await exchange.stall()


def test_an_utterance_is_uploaded_as_a_wav_and_its_text_comes_back() -> None:
    async def work(server: Server, engine: OpenAIRecogniser) -> None:
        transcript = await recognise(engine)
        assert transcript == Transcript("When are you open?", 0.9, True, 1000)
        (request,) = server.requests
        assert (request.method, request.path) == ("POST", "/v1/audio/transcriptions")
        assert request.headers["authorization"] == f"Bearer {KEY}"
        form = parts(request)
        sound = parse_wav(form.pop("file"))
        assert sound.rate_hz == 16_000
        assert abs(len(sound.mono()) - 16_000) <= 32
        assert {name: value.decode() for name, value in form.items()} == {
            "model": "large", "response_format": "json", "temperature": "0", "language": "en",
        }  # fmt: skip

    run(work, heard(" When are you open? "), api_key=KEY, model="large", language="en")


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        ("[BLANK_AUDIO]", ""),
        (" (music) ", ""),
        ("*coughs*", ""),
        ("...", ""),
        ("", ""),
        ("♪ hello ♪", "hello"),
        ("nine  three\n two", "nine three two"),
        ("Gruß aus Köln", "Gruß aus Köln"),
    ],
)
def test_what_is_no_speech_is_no_text(reply: str, text: str) -> None:
    async def work(server: Server, engine: OpenAIRecogniser) -> None:
        transcript = await recognise(engine)
        assert transcript.text == text
        assert (transcript.confidence > 0) == bool(text)

    run(work, heard(reply))


def test_utterances_follow_each_other_on_one_connection() -> None:
    async def work(server: Server, engine: OpenAIRecogniser) -> None:
        recognition = engine.open(16_000)
        for _ in range(3):
            recognition.start(Grammar("#JSGF V1.0;", "ignored"))
            recognition.feed(SECOND)
            assert (await recognition.finish()).audio_ms == 500
        assert server.connections == 1
        assert len(server.requests) == 3

    run(work, heard("yes"))


def test_a_new_start_drops_what_was_not_finished() -> None:
    async def work(server: Server, engine: OpenAIRecogniser) -> None:
        recognition = engine.open(8000)
        recognition.start(None)
        recognition.feed(SECOND)
        recognition.start(None)
        recognition.feed(SECOND[:4000])
        assert (await recognition.finish()).audio_ms == 500
        recognition.feed(SECOND)
        recognition.cancel()
        assert (await recognition.finish()) == Transcript("", 0.0, True, 0)
        assert len(server.requests) == 1

    run(work, heard("yes"))


def test_less_than_a_word_is_not_sent() -> None:
    async def work(server: Server, engine: OpenAIRecogniser) -> None:
        recognition = engine.open(8000)
        recognition.start(None)
        recognition.feed(SECOND[:700])
        assert (await recognition.finish()).text == ""
        assert not server.requests

    run(work)


def test_audio_without_end_is_bounded_and_counted() -> None:
    async def work(server: Server, engine: OpenAIRecogniser) -> None:
        recognition = engine.open(8000)
        recognition.start(None)
        for _ in range(63):
            recognition.feed(SECOND)
        assert recognition.dropped_samples == 3 * 8000
        assert (await recognition.finish()).audio_ms == 60_000

    run(work, heard("a long story"))


@pytest.mark.parametrize("first", [error(503, "loading"), error(429, "later"), drop, cut])
def test_what_may_pass_is_tried_a_second_time(first: Answer) -> None:
    async def work(server: Server, engine: OpenAIRecogniser) -> None:
        assert (await recognise(engine)).text == "yes"
        assert len(server.requests) == 2
        assert parts(server.requests[0]).keys() == parts(server.requests[1]).keys()

    run(work, *in_order(first, heard("yes")))


def test_and_not_a_third_time() -> None:
    async def work(server: Server, engine: OpenAIRecogniser) -> None:
        with pytest.raises(RecognitionFailed, match="loading"):
            await recognise(engine)
        assert len(server.requests) == 2

    run(work, error(503, "loading"))


def in_order(*answers: Answer) -> list[Answer]:
    """One answer that gives these, one after the other (the server counts only chats)."""
    left = list(answers)

    async def answer(exchange: Exchange) -> None:
        await left.pop(0)(exchange)

    return [answer]


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (error(401, f"Incorrect API key provided: {KEY}"), "check the API key"),
        (error(404, "no such model"), "are the base URL and the model's name right"),
        (error(413, "too large"), "too large"),
        (body(200, "<html>", kind="text/html"), "not JSON"),
        (body(200, {"words": []}), "no text"),
        (body(200, ["text"]), "no text"),
        (body(200, "[" * 100_000), "not JSON"),
    ],
)
def test_a_refusal_is_told_once_and_without_the_key(
    refusal: Answer, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(server: Server, engine: OpenAIRecogniser) -> None:
        with pytest.raises(RecognitionFailed, match=said) as caught:
            await recognise(engine)
        assert len(server.requests) == 1
        shown = f"{caught.value} {caught.value.__cause__} {engine!r} {caplog.text}"
        assert KEY not in shown

    with caplog.at_level(logging.DEBUG):
        run(work, refusal, api_key=KEY)


def test_a_stall_ends_in_time_and_leaves() -> None:
    async def work(server: Server, engine: OpenAIRecogniser) -> None:
        with pytest.raises(RecognitionFailed, match=r"within 0\.8 s"):
            await recognise(engine)
        await server.requests[0].client_left.wait()
        assert len(server.requests) == 1

    run(work, stall, timeout_seconds=0.8)


def test_giving_up_closes_the_request() -> None:
    async def work(server: Server, engine: OpenAIRecogniser) -> None:
        task = asyncio.create_task(recognise(engine))
        while not server.requests:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.requests[0].client_left.wait()

    run(work, stall)


def test_a_server_that_is_not_there_is_named() -> None:
    async def work(server: Server, engine: OpenAIRecogniser) -> None:
        nobody = OpenAIRecogniser("http://127.0.0.1:9/v1")
        with pytest.raises(RecognitionFailed, match=r"cannot connect to http://127\.0\.0\.1:9"):
            await nobody.warm()
        await nobody.aclose()

    run(work)


def test_warming_up_is_a_request_like_any_other() -> None:
    async def work(server: Server, engine: OpenAIRecogniser) -> None:
        await engine.warm()
        assert len(parse_wav(parts(server.requests[0])["file"]).mono()) == 8000

    run(work, heard(""))


def test_calls_are_recognised_side_by_side() -> None:
    async def work(server: Server, engine: OpenAIRecogniser) -> None:
        texts = await asyncio.gather(*(recognise(engine) for _ in range(20)))
        assert {one.text for one in texts} == {"yes"}

    run(work, heard("yes"))


def test_misuse_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"speech\.stt_options\.url"):
        create("stt", "openai")
    with pytest.raises(ConfigError, match="http"):
        OpenAIRecogniser("localhost:8000")
    with pytest.raises(ConfigError, match="timeout_seconds"):
        OpenAIRecogniser("http://x", timeout_seconds=0)
    engine = OpenAIRecogniser("http://x/v1/audio/transcriptions")
    assert repr(engine) == ("OpenAIRecogniser('http://x/v1', model='whisper-1')")
    with pytest.raises(UsageError, match="8000"):
        engine.open(4000)
    recognition = engine.open(8000)
    recognition.close()
    recognition.feed(SECOND)
    with pytest.raises(UsageError, match="closed"):
        recognition.start(None)
