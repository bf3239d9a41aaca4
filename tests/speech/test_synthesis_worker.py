import json
import threading
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.speech.pipes import HEADER, Kind, Piped
from trunkline.speech.synthesis_worker import Desk, sentences


class TestSentences:
    def test_a_text_is_cut_after_its_sentences(self) -> None:
        assert sentences("Hello there. How are you? Fine!  So: am I.") == [
            "Hello there.",
            "How are you?",
            "Fine!",
            "So:",
            "am I.",
        ]

    def test_points_inside_numbers_and_times_do_not_cut(self) -> None:
        assert sentences("It is 3.50 at 10:30, e.g.") == ["It is 3.50 at 10:30, e.g."]

    def test_a_long_sentence_is_cut_at_a_comma_or_a_space(self) -> None:
        pieces = sentences("word " * 20 + "end, " + "more " * 100)
        assert all(len(piece) <= 200 for piece in pieces)
        assert pieces[0].endswith("end")

    def test_one_endless_word_is_cut_anyway(self) -> None:
        assert [len(piece) for piece in sentences("x" * 500)] == [200, 200, 100]

    @given(st.text(max_size=1500))
    def test_no_word_is_lost_and_no_piece_is_long_or_empty(self, text: str) -> None:
        pieces = sentences(text)
        assert all(0 < len(piece) <= 200 for piece in pieces)
        spoken = "".join(pieces).translate({ord(","): None})
        assert "".join(spoken.split()) == "".join(text.replace(",", "").split())


class Engine:
    """Says a text as one chunk a word, and remembers the order."""

    rate_hz = 16000
    licence = "none"

    def __init__(self) -> None:
        self.spoken: list[str] = []
        self.before: Callable[[str], None] = lambda _word: None

    def speak(
        self, text: str, settings: dict[str, object], emit: Callable[[bytes, int], bool]
    ) -> None:
        if settings.get("voice") == "nobody":
            raise ValueError("there is no such voice")
        self.spoken.append(text)
        for word in text.split():
            self.before(word)
            if not emit(np.full(160, 1000, np.int16).tobytes(), self.rate_hz):
                return


class Sent:
    """The messages a desk sent."""

    def __init__(self) -> None:
        self.messages: list[Piped] = []

    def __call__(self, data: bytes) -> None:
        kind, request, length = HEADER.unpack(data[: HEADER.size])
        assert len(data) == HEADER.size + length
        self.messages.append(Piped(kind, request, data[HEADER.size :]))

    def kinds(self, request: int) -> list[int]:
        return [message.kind for message in self.messages if message.request == request]


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
def desk(engine: Engine, sent: Sent) -> Desk:
    return Desk(engine, 16000, sent)


def ask(desk: Desk, request: int, text: str, **settings: object) -> None:
    desk.take(Kind.SPEAK, request, json.dumps({"text": text, **settings}).encode())


def test_a_text_is_chunks_and_then_done(desk: Desk, sent: Sent) -> None:
    ask(desk, 1, "one two three.")
    desk.turn()
    assert sent.kinds(1) == [Kind.CHUNK] * 3 + [Kind.DONE]
    assert len(sent.messages[0].payload) == 320


def test_texts_take_turns_sentence_by_sentence(desk: Desk, engine: Engine) -> None:
    ask(desk, 1, "a1. a2. a3. a4.")
    ask(desk, 2, "b1. b2.")
    ask(desk, 3, "c1.")
    for _ in range(7):
        desk.turn()
    assert engine.spoken == ["a1.", "b1.", "c1.", "a2.", "b2.", "a3.", "a4."]


def test_a_text_that_comes_late_need_not_wait_for_the_long_one(desk: Desk, engine: Engine) -> None:
    ask(desk, 1, ". ".join(f"a{number}" for number in range(50)))
    desk.turn()
    ask(desk, 2, "b1.")
    desk.turn()
    desk.turn()
    assert "b1." in engine.spoken[:3]


def test_a_cancelled_text_stops_at_its_next_chunk(desk: Desk, engine: Engine, sent: Sent) -> None:
    ask(desk, 1, "one two three four. five.")
    engine.before = lambda word: desk.take(Kind.CANCEL, 1, b"") if word == "three" else None
    desk.turn()
    assert sent.kinds(1) == [Kind.CHUNK] * 2
    ask(desk, 2, "six.")
    desk.turn()
    desk.turn()
    assert engine.spoken == ["one two three four.", "six."]
    assert sent.kinds(2) == [Kind.CHUNK, Kind.DONE]


def test_a_text_cancelled_before_its_turn_is_never_spoken(desk: Desk, engine: Engine) -> None:
    ask(desk, 1, "one.")
    ask(desk, 2, "two.")
    desk.take(Kind.CANCEL, 1, b"")
    desk.turn()
    desk.turn()
    assert engine.spoken == ["two."]


def test_an_empty_text_is_done_at_once(desk: Desk, sent: Sent) -> None:
    ask(desk, 1, "  ")
    desk.turn()
    assert sent.kinds(1) == [Kind.DONE]


def test_what_the_engine_refuses_is_an_error_and_the_next_text_goes_on(
    desk: Desk, sent: Sent
) -> None:
    ask(desk, 1, "one.", voice="nobody")
    ask(desk, 2, "two.")
    desk.turn()
    desk.turn()
    assert sent.messages[0] == Piped(Kind.ERROR, 1, b"there is no such voice")
    assert sent.kinds(2) == [Kind.CHUNK, Kind.DONE]


def test_audio_comes_at_the_rate_asked_for(engine: Engine, sent: Sent) -> None:
    desk = Desk(engine, 8000, sent)
    ask(desk, 1, "word " * 20)
    desk.turn()
    audio = b"".join(message.payload for message in sent.messages)
    assert abs(len(audio) // 2 - 20 * 80) <= 1


def test_silence_before_the_speech_is_left_out(desk: Desk, sent: Sent) -> None:
    class Slow(Engine):
        def speak(self, text: str, settings: object, emit: Callable[[bytes, int], bool]) -> None:
            emit(np.zeros(3000, np.int16).tobytes(), 16000)
            emit(np.r_[np.zeros(500, np.int16), np.full(1000, 1000, np.int16)].tobytes(), 16000)
            emit(np.zeros(2000, np.int16).tobytes(), 16000)

    desk.engine = Slow()
    ask(desk, 1, "x")
    desk.turn()
    sizes = [len(m.payload) // 2 for m in sent.messages if m.kind == Kind.CHUNK]
    assert sizes == [1160, 2000]  # 10 ms before the speech stay, and all after it


def test_a_text_that_is_all_silence_keeps_what_is_beyond_the_first_300_ms(
    desk: Desk, sent: Sent
) -> None:
    class Mute(Engine):
        def speak(self, text: str, settings: object, emit: Callable[[bytes, int], bool]) -> None:
            for _ in range(4):
                emit(np.zeros(1600, np.int16).tobytes(), 16000)

    desk.engine = Mute()
    ask(desk, 1, "x")
    desk.turn()
    assert sum(len(m.payload) for m in sent.messages) // 2 == 1600


def test_a_sentence_that_becomes_too_long_is_cut(desk: Desk, sent: Sent) -> None:
    ask(desk, 1, "x " * 90 + "end. ok.")

    class Endless(Engine):
        def speak(self, text: str, settings: object, emit: Callable[[bytes, int], bool]) -> None:
            chunks = 0
            while text != "ok." and emit(np.full(16000, 1000, np.int16).tobytes(), 16000):
                chunks += 1
            self.spoken.append(f"{text[-4:]} {chunks}")

    desk.engine = Endless()
    desk.turn()
    desk.turn()
    assert desk.engine.spoken == ["end. 20", "ok. 0"]
    assert sent.kinds(1)[-1] == Kind.DONE


def test_a_desk_without_work_waits(desk: Desk, engine: Engine) -> None:
    thread = threading.Thread(target=desk.turn, daemon=True)
    thread.start()
    ask(desk, 1, "now.")
    thread.join(5)
    assert engine.spoken == ["now."]
