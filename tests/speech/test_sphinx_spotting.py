"""The calls that are listened to, with decoders that only count."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trunkline.speech.pipes import HEADER, Kind
from trunkline.speech.sphinx_spotting import Spotted, Spotting

Pcm = NDArray[np.int16]


class Ear:
    """Finds a phrase that ends in each piece asked for; remembers what it heard."""

    def __init__(self, at: set[int]) -> None:
        self.at = at
        self.pieces: list[Pcm] = []
        self.restarts: list[int] = []

    def hear(self, pcm: Pcm) -> list[Spotted]:
        assert pcm.dtype == np.int16
        self.pieces.append(pcm)
        return [Spotted("hello", 2, 5)] if len(self.pieces) in self.at else []

    def restart(self) -> None:
        self.restarts.append(len(self.pieces))


class Rig:
    def __init__(self) -> None:
        self.ears: dict[int, Ear] = {}
        self.answers: list[tuple[int, int, Any]] = []
        self.spotting = Spotting(self._make, self._send)

    def _make(self, asked: Mapping[str, Any]) -> Ear:
        if not asked["keywords"]:
            raise RuntimeError("no phrase")
        return self.ears.setdefault(len(self.ears) + 1, Ear(set(asked["keywords"])))

    def _send(self, data: bytes) -> None:
        kind, request, _ = HEADER.unpack(data[: HEADER.size])
        body = data[HEADER.size :]
        answer = json.loads(body) if kind == Kind.RESULT else body.decode()
        self.answers.append((kind, request, answer))

    def start(self, request: int, at: list[int], rate_hz: int = 16000) -> None:
        self.spotting.start(request, {"keywords": at, "words": {}, "rate_hz": rate_hz})

    def audio(self, request: int, pcm: Pcm) -> None:
        self.spotting.take(Kind.AUDIO, request, pcm.tobytes())


def loud(samples: int) -> Pcm:
    return np.where(np.arange(samples) % 40 < 20, 4000, -4000).astype(np.int16)


def test_a_detection_is_placed_in_the_calls_own_samples_across_restarts() -> None:
    rig = Rig()
    rig.start(1, [3, 5])
    rig.audio(1, loud(1600 * 6))
    assert rig.ears[1].restarts == [3, 5]
    (_, _, first), (_, _, second) = rig.answers
    assert first == {"phrase": "hello", "start": 2 * 160, "end": 6 * 160}
    assert second == {"phrase": "hello", "start": 4800 + 2 * 160, "end": 4800 + 6 * 160}


def test_at_8_khz_positions_are_at_8_khz_and_the_decoder_hears_16() -> None:
    rig = Rig()
    rig.start(1, [1], 8000)
    rig.audio(1, loud(8000))
    assert sum(piece.size for piece in rig.ears[1].pieces) == pytest.approx(16000, abs=200)
    assert rig.answers == [(Kind.RESULT, 1, {"phrase": "hello", "start": 160, "end": 480})]


@pytest.mark.parametrize("decibels", [-20, 0, 12])
def test_every_caller_is_brought_to_the_same_level(decibels: float) -> None:
    rig = Rig()
    rig.start(1, [])
    assert rig.answers == [(Kind.ERROR, 1, "no phrase")]
    rig.start(2, [99])
    rig.audio(2, (loud(16000) * 10 ** (decibels / 20) / 2).astype(np.int16))
    heard = rig.ears[1].pieces[-1].astype(float) / 32768
    assert 10 * np.log10(np.mean(heard**2)) == pytest.approx(-26, abs=1)


def test_a_background_is_not_brought_to_the_level_of_speech() -> None:
    rig = Rig()
    rig.start(1, [99])
    hiss = (np.random.default_rng(0).standard_normal(16000) * 30).astype(np.int16)
    rig.audio(1, hiss)
    assert np.array_equal(np.concatenate(rig.ears[1].pieces), hiss)


def test_a_search_is_begun_afresh_in_a_silence_and_at_last_without_one() -> None:
    rig = Rig()
    rig.start(1, [9999])
    rig.audio(1, loud(1600 * 650))
    assert not rig.ears[1].restarts
    rig.audio(1, np.zeros(1600, np.int16))
    assert rig.ears[1].restarts == [651]
    for _ in range(30):
        rig.audio(1, loud(1600 * 100))
    assert rig.ears[1].restarts == [651, 3651]


def test_unknown_calls_and_ended_ones_are_nothing() -> None:
    rig = Rig()
    rig.audio(7, loud(16000))
    rig.start(1, [1])
    rig.spotting.take(Kind.FINISH, 1, b"")
    rig.spotting.take(Kind.CANCEL, 1, b"")
    rig.audio(1, loud(16000))
    assert not rig.answers


@given(
    st.lists(st.integers(0, 5000), max_size=20), st.sampled_from([8000, 16000, 48000]), st.binary()
)
def test_any_pieces_give_the_decoder_whole_tenths_of_a_second_and_nothing_twice(
    sizes: list[int], rate_hz: int, noise: bytes
) -> None:
    rig = Rig()
    rig.start(1, [1], rate_hz)
    for size in sizes:
        rig.audio(1, np.resize(np.frombuffer(noise[: len(noise) // 2 * 2] or b"\0\0", "<i2"), size))
    heard = sum(piece.size for piece in rig.ears[1].pieces)
    assert heard <= sum(sizes) * 16000 // rate_hz
    assert heard >= (sum(sizes) - rate_hz // 10) * 16000 // rate_hz - 200
