"""Keyword spotting inside the worker process: a decoder a call, listening all the time.

pocketsphinx compares a loop of phones with each phrase; a threshold is how much better the
phrase has to be. A detection ends the search's utterance and begins another. The
audio is brought to the model's rate and level as recognition does it (`sphinx_level`).
"""

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from trunkline.media.resample import StreamResampler

from .pipes import Kind, pack
from .sphinx_level import RATE_HZ, TELEPHONE_MEAN, filling, gain_for, speech_level

__all__ = ["FRAME", "KeywordEar", "KeywordFinder", "Spotted", "Spotting"]

FRAME = 160
"""Samples in a frame of the decoder, 10 ms."""
_PIECE_MS = 100
_LEVEL_PIECES = 30  # the level is that of the last 3 s
_LEAST_DBOV = -50.0  # below this it is not speech whose level is measured
# A search is begun afresh in a silence after a minute, and after five in any case: what it
# holds of an utterance grows.
_RESTART_PIECES, _FORCED_PIECES = 600, 3000
_SILENCE_DBOV = -45.0


class Spotted(NamedTuple):
    """A phrase in a decoder's audio."""

    phrase: str
    first: int
    """Frame of 10 ms since the decoder began, or began again."""
    last: int


class KeywordFinder(Protocol):
    """What `Spotting` needs of a decoder; 16 kHz."""

    def hear(self, pcm: NDArray[np.int16]) -> list[Spotted]:
        """The next piece, and the phrases it completed."""
        ...

    def restart(self) -> None:
        """Forget what was heard; frames count from 0 again."""
        ...


class KeywordEar:
    """One pocketsphinx decoder that looks for phrases."""

    def __init__(self, model: Path, asked: Mapping[str, Any]) -> None:
        """``asked["keywords"]``: phrase → threshold; ``asked["words"]``: word → pronunciations.

        Raises:
            RuntimeError: pocketsphinx refuses them; ValueError as well.
        """
        from pocketsphinx import Decoder

        words: Mapping[str, list[str]] = asked["words"]
        entries = [
            f"{word} {phones}" if number == 1 else f"{word}({number}) {phones}"
            for word, ways in words.items()
            for number, phones in enumerate(ways, 1)
        ]
        phrases = [f"{phrase} /{limit:g}/" for phrase, limit in asked["keywords"].items()]
        with TemporaryDirectory() as folder:
            dictionary, keywords = Path(folder, "words.dict"), Path(folder, "phrases")
            dictionary.write_text("\n".join([*entries, ""]), encoding="utf-8")
            keywords.write_text("\n".join([*phrases, ""]), encoding="utf-8")
            self._decoder: Any = Decoder(
                hmm=str(model),
                dict=str(dictionary),
                kws=str(keywords),
                lm=None,
                samprate=RATE_HZ,
                loglevel="FATAL",
            )
        self._decoder.set_cmn(TELEPHONE_MEAN)
        self._decoder.start_utt()

    def hear(self, pcm: NDArray[np.int16]) -> list[Spotted]:
        """The next piece, and the phrases it completed."""
        self._decoder.process_raw(pcm.tobytes())
        if self._decoder.hyp() is None:
            return []
        return [
            Spotted(each.word.strip(), each.start_frame, each.end_frame)
            for each in self._decoder.seg()
        ]

    def restart(self) -> None:
        """Forget what was heard, but for the channel's mean."""
        self._decoder.end_utt()
        self._decoder.start_utt()


@dataclass
class _Listening:
    ear: KeywordFinder
    rate_hz: int
    resampler: StreamResampler | None
    audio: list[NDArray[np.int16]] = field(default_factory=list)
    waiting: int = 0
    recent: "deque[NDArray[np.int16]]" = field(default_factory=lambda: deque(maxlen=_LEVEL_PIECES))
    gain: float = 1.0
    given: int = 0
    """Samples at 16 kHz the decoder has had."""
    base: int = 0
    """Those before its frame 0."""
    pieces: int = 0


class Spotting:
    """The calls that are listened to, each with a decoder of its own."""

    def __init__(
        self,
        make: Callable[[Mapping[str, Any]], KeywordFinder],
        send: Callable[[bytes], None],
    ) -> None:
        self._make = make
        self._send = send
        self._listening: dict[int, _Listening] = {}
        self._fill = filling()

    def start(self, request: int, asked: Mapping[str, Any]) -> None:
        """A call's audio is going to come."""
        try:
            ear = self._make(asked)
        except (ImportError, RuntimeError, ValueError) as error:
            self._send(pack(Kind.ERROR, request, str(error).encode()))
            return
        rate_hz = int(asked["rate_hz"])
        resampler = StreamResampler(rate_hz, RATE_HZ) if rate_hz != RATE_HZ else None
        self._listening[request] = _Listening(ear, rate_hz, resampler)

    def take(self, kind: int, request: int, payload: bytes) -> None:
        """Audio of a call, or its end; anything else, and unknown calls, are nothing."""
        call = self._listening.get(request)
        if call is None:
            return
        if kind == Kind.AUDIO:
            pcm = np.frombuffer(payload, "<i2")
            call.audio.append(pcm)
            call.waiting += pcm.size
            if call.waiting * 1000 >= _PIECE_MS * call.rate_hz:
                self._decode(request, call)
        elif kind == Kind.CANCEL:
            del self._listening[request]

    def _decode(self, request: int, call: _Listening) -> None:
        waiting = np.concatenate(call.audio)
        call.audio.clear()
        call.waiting = 0
        size = call.rate_hz * _PIECE_MS // 1000
        for at in range(0, waiting.size, size):
            piece = waiting[at : at + size]
            found = call.ear.hear(self._prepared(call, piece))
            for each in found:
                self._send(pack(Kind.RESULT, request, _answer(call, each)))
            if found or _may_restart(call, piece):
                call.ear.restart()
                call.base, call.pieces = call.given, 0

    def _prepared(self, call: _Listening, piece: NDArray[np.int16]) -> NDArray[np.int16]:
        """At the model's level and rate, its empty band filled."""
        call.recent.append(piece)
        call.pieces += 1
        level = speech_level(np.concatenate(call.recent), call.rate_hz)
        if level is not None and level > _LEAST_DBOV:
            call.gain = gain_for(level)
        at_rate = call.resampler.push(piece) if call.resampler is not None else piece
        call.given += at_rate.size
        audio = at_rate * np.float32(call.gain)
        if call.rate_hz < RATE_HZ:
            audio += np.resize(self._fill, audio.size)
        return audio.clip(-32768, 32767).astype(np.int16)


def _may_restart(call: _Listening, piece: NDArray[np.int16]) -> bool:
    if call.pieces < _RESTART_PIECES:
        return False
    level = speech_level(piece, call.rate_hz)
    return call.pieces >= _FORCED_PIECES or level is None or level < _SILENCE_DBOV


def _answer(call: _Listening, found: Spotted) -> bytes:
    """A detection, in samples of the call's own audio."""
    start, end = (
        (call.base + frame * FRAME) * call.rate_hz // RATE_HZ
        for frame in (found.first, found.last + 1)
    )
    return json.dumps({"phrase": found.phrase, "start": start, "end": end}).encode()
