"""Wake words by pocketsphinx: a phrase is heard while nobody has been asked anything.

Each call that is listened to costs 5 MB and 2 to 3 % of a core, in a process of its own.
Choose phrases of three syllables and more. A threshold is how much the phrase must be
better than any other sounds: 1 is strict, smaller ones hear it more readily. At 1e-20, at
8 kHz through mu-law, "hello computer", alone and after "Good morning", was found in 8 of 8
clips of four synthetic voices (flite), "operator please" in 2 of 4, and neither in 8 other
clips; espeak-ng's voices were found at no threshold (4 of them, 16 kHz). Synthetic voices
prove little about people: try your phrase, then choose its threshold.
"""

import asyncio
import importlib.util
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from trunkline.errors import ConfigError, MissingDependencyError, TrunklineError, UsageError

from .errors import RecognitionFailed, SpeechError
from .hints import setup_speech
from .interfaces import Detection, Pcm
from .lexicon import Lexicon
from .pipes import Kind
from .sphinx import find_model
from .worker import Worker

__all__ = ["DEFAULT_THRESHOLD", "SphinxSpotter", "SphinxWake"]

DEFAULT_THRESHOLD = 1e-20
_MODULE = "trunkline.speech.sphinx_worker"
_WORD = re.compile(r"[^\W\d_][\w'.-]*")
_PIECE_BYTES = 1 << 20
_KEPT = 256


class SphinxWake:
    """Keyword spotting in a worker process, for calls of a node. Belongs to one loop."""

    name = "sphinx"

    def __init__(
        self,
        phrases: Mapping[str, float] | Iterable[str] | str = ("hello computer",),
        calls: int = 32,
        pronunciations: Mapping[str, str] | None = None,
        model_path: str | Path | None = None,
    ) -> None:
        """A spotter for these phrases; starts nothing yet.

        Args:
            phrases: each with its threshold, above 0 and at most 1, or without one.
            calls: how many may be listened to at once; 30 to 40 fill a core.
            pronunciations: words the dictionary lacks, as `Sphinx` has them.
            model_path: the model's folder; None finds the installed package's.

        Raises:
            MissingDependencyError: pocketsphinx is not installed.
            ConfigError: the model is not there or a pronunciation is ill-formed.
            UnknownWords: a phrase has words without a pronunciation; names them.
            UsageError: there is no phrase, or a phrase or a number makes no sense.
        """
        self.phrases = _checked(phrases)
        """What is listened for, in lower case, and the threshold of each."""
        if calls < 1:
            raise UsageError("at least one call must be listened to")
        if importlib.util.find_spec("pocketsphinx") is None:
            raise MissingDependencyError(f"pocketsphinx is not installed; run: {setup_speech()}")
        model = Path(model_path) if model_path else find_model()
        if not (model / "en-us").is_dir():
            raise ConfigError(f"there is no acoustic model in {model}")
        lexicon = Lexicon(model / "cmudict-en-us.dict", pronunciations)
        words = [word for phrase in self.phrases for word in phrase.split()]
        try:
            said = lexicon.pronounce("wake words", words)
        finally:
            lexicon.close()
        self._asked = {"keywords": self.phrases, "words": said}
        self._worker = Worker(_MODULE, (str(model / "en-us"), "0"))
        self._calls = calls
        self._open: set[SphinxSpotter] = set()

    def open(self, rate_hz: int) -> "SphinxSpotter":
        """One call's spotter, for audio at 8000 to 48000 Hz.

        Raises:
            UsageError: another rate.
            SpeechError: as many calls are listened to as may be.
        """
        if not 8000 <= rate_hz <= 48000:
            raise UsageError(f"a spotter hears 8000 to 48000 Hz, not {rate_hz}")
        if len(self._open) >= self._calls:
            raise SpeechError(f"{self._calls} calls are listened to for wake words, not more")
        asked = json.dumps({**self._asked, "rate_hz": rate_hz}).encode()
        spotter = SphinxSpotter(self._worker, asked, rate_hz, self._open.discard)
        self._open.add(spotter)
        return spotter

    async def warm(self) -> None:
        """Start the process, so that the first call need not wait.

        Raises:
            SpeechError: it did not start.
        """
        await self._worker.ready()

    async def aclose(self) -> None:
        """End the process."""
        for spotter in tuple(self._open):
            spotter.close()
        await self._worker.aclose()


class SphinxSpotter:
    """One call's wake words; made by `SphinxWake.open`."""

    def __init__(
        self,
        worker: Worker,
        asked: bytes,
        rate_hz: int,
        closed: "Callable[[SphinxSpotter], None]",
    ) -> None:
        self._worker = worker
        self._asked = asked
        self._gone = closed
        self._rate_hz = rate_hz
        self._request = 0
        self._base = 0  # samples fed before this request
        self._fed = 0
        self._again_at = 0  # until this much was fed nothing is tried
        self._found: deque[Detection] = deque(maxlen=_KEPT)
        self._news = asyncio.Event()
        self._error: TrunklineError | None = None
        self._closed = False
        self.dropped_samples = 0
        """Audio that nobody listened to: the pipe was full or the process not there."""
        self.deaths = 0
        """How often the process died; the next audio starts it again."""

    def feed(self, pcm: Pcm) -> None:
        """More of the call's audio, int16, any length. Never blocks.

        Raises:
            UsageError: this is not one row of int16, or the spotter was closed.
        """
        if self._closed:
            raise UsageError("this spotter was closed")
        if pcm.dtype.kind != "i" or pcm.dtype.itemsize != 2 or pcm.ndim != 1:
            raise UsageError(f"a spotter hears one row of int16, not {pcm.shape} {pcm.dtype}")
        data = pcm.astype("<i2", copy=False).tobytes()
        for at in range(0, len(data), _PIECE_BYTES):
            piece = data[at : at + _PIECE_BYTES]
            if not self._say(piece):
                self._lose(len(piece) // 2)
            self._fed += len(piece) // 2

    def detections(self) -> Sequence[Detection]:
        """What was found since the last time this was asked, the oldest first.

        Raises:
            RecognitionFailed: the engine refused to listen.
            MissingDependencyError: pocketsphinx cannot run here.
        """
        found = tuple(self._found)
        self._found.clear()
        self._news.clear()
        if not found and self._error is not None:
            raise self._error
        return found

    async def wait(self) -> Detection:
        """The next detection that `detections` has not given.

        Raises:
            RecognitionFailed: the engine refused to listen.
            MissingDependencyError: pocketsphinx cannot run here.
            UsageError: the spotter was closed.
        """
        while not self._found:
            if self._error is not None:
                raise self._error
            if self._closed:
                raise UsageError("this spotter was closed")
            self._news.clear()
            await self._news.wait()
        return self._found.popleft()

    def close(self) -> None:
        """The call is over."""
        if self._closed:
            return
        self._closed = True
        self._end()
        self._gone(self)
        self._news.set()

    def _say(self, piece: bytes) -> bool:
        if self._error is not None or self._fed < self._again_at:
            return False
        try:
            if not self._request:
                self._base = self._fed
                self._request = self._worker.open(self._hear)
                self._worker.send(Kind.START, self._request, self._asked)
            return self._worker.send(Kind.AUDIO, self._request, piece)
        except TrunklineError as error:
            self._worker.forget(self._request)
            self._request = 0
            if isinstance(error, MissingDependencyError):  # the others pass: it died too often
                self._fail(error)
            return False

    def _lose(self, samples: int) -> None:
        """Positions after a gap would be wrong: a second later a new request begins."""
        self.dropped_samples += samples
        if self._fed >= self._again_at:
            self._again_at = self._fed + self._rate_hz
        self._end()

    def _end(self) -> None:
        if self._request:
            self._worker.forget(self._request)
            if self._worker.running:
                self._worker.send(Kind.CANCEL, self._request)
            self._request = 0

    def _hear(self, kind: int, payload: bytes) -> None:
        if kind == Kind.RESULT:
            found = json.loads(payload)
            start, end = self._base + int(found["start"]), self._base + int(found["end"])
            self._found.append(Detection(str(found["phrase"]), start, end))
        elif kind == Kind.DIED:
            self.deaths += 1
            self._request = 0
        else:
            self._fail(RecognitionFailed(payload.decode(errors="replace")))
        self._news.set()

    def _fail(self, error: TrunklineError) -> None:
        """For good: this spotter hears nothing any more."""
        self._error = error
        self._end()
        self._news.set()


def _checked(phrases: Mapping[str, float] | Iterable[str] | str) -> dict[str, float]:
    """Phrases in lower case, with one space between words, and their thresholds."""
    if isinstance(phrases, str):
        phrases = (phrases,)
    given = phrases if isinstance(phrases, Mapping) else dict.fromkeys(phrases, DEFAULT_THRESHOLD)
    checked: dict[str, float] = {}
    for phrase, threshold in given.items():
        words = phrase.lower().split()
        if not words or not all(_WORD.fullmatch(word) for word in words):
            raise UsageError(f"a wake phrase is words, not {phrase!r}")
        if isinstance(threshold, bool) or not 1e-50 <= threshold <= 1:
            raise UsageError(f"the threshold of {phrase!r} is 1e-50 to 1, not {threshold!r}")
        checked[" ".join(words)] = float(threshold)
    if not checked:
        raise UsageError("there is no phrase to listen for")
    return checked
