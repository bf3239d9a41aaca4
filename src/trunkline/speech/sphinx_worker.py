"""The process that recognises: ``python -m trunkline.speech.sphinx_worker MODEL DECODERS``.

pocketsphinx holds the interpreter's lock while it works (1.5 ms for 100 ms of audio,
40 ms to make a decoder), its C code may abort, and its grammar scanner prints: so it
runs here. One loop serves all calls, a decoder is lent to an utterance from its first
audio to its result, and utterances that find none keep their audio until one is free;
decoding is some 50 times faster than speaking, so that they catch up at once.
"""

import json
import sys
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from math import exp, log
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.media.resample import StreamResampler

from .hints import setup_speech
from .pipes import Kind, claim_stdio, pack, read, write
from .sphinx_level import (
    MEASURE_MS,
    RATE_HZ,
    TELEPHONE_MEAN,
    filling,
    gain_for,
    is_steady,
    speech_level,
)
from .sphinx_spotting import KeywordEar, Spotting

__all__ = [
    "DICTATION_CONFIDENCE",
    "Bench",
    "DictationEar",
    "Heard",
    "confidence",
    "is_steady",
    "main",
    "speech_level",
]

MAX_SECONDS = 30
"""Audio of one utterance that is looked at; what follows is dropped."""

# Audio is decoded in pieces of 60 ms: less costs overhead, more costs time at the end.
_PIECE_MS = 60
DICTATION_CONFIDENCE = 0.5
"""Of dictation: of many words a fifth to a half are wrong, and nothing says which."""
_GRAMMARS = 64  # kept compiled in each decoder
_LOG_UNIT = log(1.0001)


@dataclass(frozen=True, slots=True)
class Heard:
    """A decoder's answer to one utterance."""

    text: str
    confidence: float
    mean: str
    """The cepstral mean after it, for the call's next utterance."""


def confidence(frame_score: float, frames: int) -> float:
    """How sure it is that a sentence of the grammar was said, 0..1.

    Args:
        frame_score: mean acoustic score of the words' frames, in the decoder's log units
            (0.1 nats), relative to the best sound of all in each frame. Speech that is
            not in the grammar has to be forced into it, and scores worse.
        frames: how many frames of 10 ms the words cover; short matches come by chance.

    The coefficients are a logistic regression over 300 sentences of a grammar and 680
    that were not, of six synthetic voices through mu-law: at 0.5, 4 % of the former are
    doubted and 4 % of the latter believed. It cannot tell which of two words that sound
    alike was said.
    """
    if frames <= 0:
        return 0.0
    logit = 6.44 + 0.336 * frame_score + 0.955 * log(frames)
    return 1 / (1 + exp(-max(-30.0, min(30.0, logit))))


class Ear:
    """One pocketsphinx decoder, for grammars."""

    def __init__(self, model: Path, dictionary: Path) -> None:
        from pocketsphinx import Decoder

        # Without a language model, and with words only as grammars bring them, a decoder is
        # 5 MB and not 28. The lattice's best path is worse than the search's own for grammars.
        self._decoder: Any = Decoder(
            hmm=str(model),
            dict=str(dictionary),
            lm=None,
            samprate=RATE_HZ,
            bestpath=False,
            topn=8,  # Gaussians a frame; 4 misunderstand one digit in 60 more
            loglevel="FATAL",
        )
        self._words: set[str] = set()
        self._grammars: dict[str, str] = {}
        self._made = 0

    def start(self, jsgf: str, words: dict[str, list[str]], mean: str) -> None:
        """An utterance in this grammar begins.

        Raises:
            ValueError: pocketsphinx refuses the grammar.
        """
        self._learn(words)
        self._decoder.activate_search(self._compile(jsgf))
        self._decoder.set_cmn(mean or TELEPHONE_MEAN)
        self._decoder.start_utt()

    def hear(self, pcm: NDArray[np.int16]) -> None:
        """Audio at 16 kHz."""
        self._decoder.process_raw(pcm.tobytes())

    def finish(self) -> Heard:
        """The end of the utterance, and what was in it."""
        self._decoder.end_utt()
        mean = str(self._decoder.get_cmn(True))
        found = self._decoder.hyp()
        if found is None or not found.hypstr:
            return Heard("", 0.0, mean)
        return Heard(found.hypstr, self._confidence(self._decoder.seg()), mean)

    def _confidence(self, segments: Iterable[Any]) -> float:
        """How sure it is of what was found."""
        score, frames = 0.0, 0
        for segment in segments:
            if segment.word[0] in "<[(":  # silence, noise, the grammar's own joints
                continue
            score += log(segment.ascore) / _LOG_UNIT if segment.ascore > 0 else -1e6
            frames += segment.end_frame - segment.start_frame + 1
        return confidence(score / frames, frames) if frames else 0.0

    def _learn(self, words: dict[str, list[str]]) -> None:
        for word, ways in words.items():
            if word in self._words:
                continue
            for number, phones in enumerate(ways, 1):
                name = word if number == 1 else f"{word}({number})"
                self._decoder.add_word(name, phones, False)
            self._words.add(word)

    def _compile(self, jsgf: str) -> str:
        if (name := self._grammars.pop(jsgf, None)) is None:
            self._made += 1
            name = f"g{self._made}"
            self._decoder.add_jsgf_string(name, jsgf.encode())
            if len(self._grammars) >= _GRAMMARS:
                self._decoder.remove_search(self._grammars.pop(next(iter(self._grammars))))
        self._grammars[jsgf] = name  # last used, last in order
        return name


class DictationEar(Ear):
    """A decoder with a general language model: any of 134,000 words, many of them wrong.

    Measured on 30 everyday sentences (229 words) at 8 kHz, as three synthetic voices in
    one call each: 20, 25 and 42 % of words wrong; each sentence as a call's first: 31, 33
    and 56 %. It takes 1 s and 100 MB to make, and a third of a core while somebody speaks.
    """

    def __init__(self, model: Path) -> None:
        from pocketsphinx import Decoder

        self._decoder = Decoder(
            hmm=str(model),
            dict=str(model.parent / "cmudict-en-us.dict"),
            lm=str(model.parent / "en-us.lm.bin"),
            samprate=RATE_HZ,
            loglevel="FATAL",
        )

    def start(self, jsgf: str, words: dict[str, list[str]], mean: str) -> None:
        """An utterance begins; there is no grammar."""
        self._decoder.set_cmn(mean or TELEPHONE_MEAN)
        self._decoder.start_utt()

    def _confidence(self, segments: Iterable[Any]) -> float:
        return DICTATION_CONFIDENCE


@dataclass
class _Room:
    """Decoders of one kind, and the utterances that wait for one."""

    free: list[Ear] = field(default_factory=list)
    waiting: "deque[_Utterance]" = field(default_factory=deque)
    make: Callable[[], Ear] | None = None
    """Makes the one decoder there is, when it is first needed."""

    def ear(self) -> Ear | None:
        """A free decoder.

        Raises:
            RuntimeError: pocketsphinx cannot make it; ValueError as well.
        """
        if self.make is not None:
            self.free.append(self.make())
            self.make = None
        return self.free.pop() if self.free else None


@dataclass
class _Utterance:
    request: int
    jsgf: str
    words: dict[str, list[str]]
    mean: str
    rate_hz: int
    level: float | None
    """Of the call's speech so far, in dBov."""
    audio: list[NDArray[np.int16]] = field(default_factory=list)
    """Not decoded yet."""
    waiting: int = 0
    """Samples in ``audio``."""
    samples: int = 0
    heard: list[NDArray[np.int16]] = field(default_factory=list)
    """All of it, to measure its level."""
    gain: float = 0.0
    """As a factor; 0 is not known yet."""
    room: _Room = field(default_factory=_Room)
    """Where its decoder comes from, and goes back to."""
    ear: Ear | None = None
    resampler: StreamResampler | None = None
    finished: bool = False


class Bench:
    """Utterances and the decoders they take turns on."""

    def __init__(
        self,
        ears: Iterable[Ear],
        send: Callable[[bytes], None],
        dictation: Callable[[], Ear] | None = None,
        spotting: Spotting | None = None,
    ) -> None:
        self._grammars = _Room(list(ears))
        self._dictation = _Room(make=dictation)
        self._send = send
        self._utterances: dict[int, _Utterance] = {}
        self._spotting = spotting
        self._fill = filling()

    def take(self, kind: int, request: int, payload: bytes) -> None:
        """A message from the pipe."""
        if kind == Kind.START:
            asked = json.loads(payload)
            if self._spotting is not None and "keywords" in asked:
                self._spotting.start(request, asked)
                return
            utterance = _Utterance(request, **asked)
            utterance.room = self._grammars if utterance.jsgf else self._dictation
            self._utterances[request] = utterance
            utterance.room.waiting.append(utterance)
            self._lend(utterance.room)
            return
        found = self._utterances.get(request)
        if found is None:
            if self._spotting is not None:
                self._spotting.take(kind, request, payload)
            return
        if kind == Kind.AUDIO:
            self._hear(found, np.frombuffer(payload, "<i2"))
        elif kind == Kind.FINISH:
            found.finished = True
            if found.ear is not None:
                self._conclude(found)
        elif kind == Kind.CANCEL:
            self._drop(found)

    def _lend(self, room: _Room) -> None:
        """Give free decoders to those who wait; a loop, as some are over at once."""
        while room.waiting:
            ear = None
            try:
                ear = room.ear()
                if ear is None:
                    return
                utterance = room.waiting.popleft()
                ear.start(utterance.jsgf, utterance.words, utterance.mean)
            except (ValueError, RuntimeError) as error:
                if ear is None:  # no decoder can be made: nobody need wait for it
                    utterance = room.waiting.popleft()
                else:
                    room.free.append(ear)
                self._utterances.pop(utterance.request, None)
                self._send(pack(Kind.ERROR, utterance.request, str(error).encode()))
                continue
            utterance.ear = ear
            if utterance.rate_hz != RATE_HZ:
                utterance.resampler = StreamResampler(utterance.rate_hz, RATE_HZ)
            self._decode(utterance)
            if utterance.finished:
                self._conclude(utterance, lend=False)

    def _hear(self, utterance: _Utterance, pcm: NDArray[np.int16]) -> None:
        if utterance.samples >= MAX_SECONDS * utterance.rate_hz:
            return
        utterance.audio.append(pcm)
        utterance.heard.append(pcm)
        utterance.waiting += pcm.size
        utterance.samples += pcm.size
        wanted_ms = _PIECE_MS if utterance.gain or utterance.level else MEASURE_MS
        if utterance.ear is not None and utterance.waiting * 1000 >= wanted_ms * utterance.rate_hz:
            self._decode(utterance)

    def _decode(self, utterance: _Utterance) -> None:
        if not utterance.audio:
            return
        pcm = np.concatenate(utterance.audio)
        utterance.audio.clear()
        utterance.waiting = 0
        if not utterance.gain:
            utterance.gain = gain_for(utterance.level or speech_level(pcm, utterance.rate_hz))
        self._give(utterance, utterance.resampler.push(pcm) if utterance.resampler else pcm)

    def _give(self, utterance: _Utterance, pcm: NDArray[np.int16]) -> None:
        assert utterance.ear is not None
        audio = pcm * np.float32(utterance.gain)
        if utterance.rate_hz < RATE_HZ:
            audio += np.resize(self._fill, audio.size)
        if audio.size:
            utterance.ear.hear(audio.clip(-32768, 32767).astype(np.int16))

    def _conclude(self, utterance: _Utterance, lend: bool = True) -> None:
        self._decode(utterance)
        if utterance.resampler is not None:
            self._give(utterance, utterance.resampler.flush())
        assert utterance.ear is not None
        heard = utterance.ear.finish()
        self._release(utterance)
        audio = np.concatenate(utterance.heard or [np.zeros(0, np.int16)])
        if is_steady(audio, utterance.rate_hz):  # some noises score like a short word
            heard = Heard("", 0.0, heard.mean)
        answer = {
            "text": heard.text,
            "confidence": round(heard.confidence, 4),
            "mean": heard.mean,
            "level": speech_level(audio, utterance.rate_hz),
            "audio_ms": utterance.samples * 1000 // utterance.rate_hz,
        }
        self._send(pack(Kind.RESULT, utterance.request, json.dumps(answer).encode()))
        if lend:
            self._lend(utterance.room)

    def _drop(self, utterance: _Utterance) -> None:
        if utterance.ear is None:
            utterance.room.waiting.remove(utterance)
            self._utterances.pop(utterance.request)
            return
        utterance.ear.finish()
        self._release(utterance)
        self._lend(utterance.room)

    def _release(self, utterance: _Utterance) -> None:
        assert utterance.ear is not None
        utterance.room.free.append(utterance.ear)
        utterance.ear = None
        self._utterances.pop(utterance.request)


def main(arguments: list[str]) -> None:
    """Serve until the input ends."""
    source, sink = claim_stdio()
    send = partial(write, sink)
    model, decoders = Path(arguments[0]), int(arguments[1])
    try:
        with TemporaryDirectory() as folder:
            dictionary = Path(folder, "words.dict")
            dictionary.write_text("(nothing) AH\n", encoding="ascii")  # it may not be empty
            ears = [Ear(model, dictionary) for _ in range(decoders)]
    except ImportError as error:
        text = f"pocketsphinx cannot be used ({error}); run: {setup_speech()}"
        send(pack(Kind.ERROR, 0, text.encode()))
        return
    spotting = Spotting(lambda asked: KeywordEar(model, asked), send)
    bench = Bench(ears, send, lambda: DictationEar(model), spotting)
    send(pack(Kind.READY, 0, json.dumps({"decoders": decoders}).encode()))
    while (message := read(source)) is not None:
        bench.take(*message)


if __name__ == "__main__":
    main(sys.argv[1:])
