"""The speaking half of an agent: text in, audio on the line.

A `Speech` is one reply. Sentences come as the model writes them; each is synthesised
while the one before is played, a bounded time ahead, so that an interrupted reply has
cost little. Everything it plays carries the generation it was made for: once the line
has been cleared nothing of it leaves, however late this half learns of it.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from types import TracebackType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from trunkline.media.resample import StreamResampler
from trunkline.speech import SynthesisFailed, TextToSpeech

from .foreign import closable
from .line import Line
from .sentences import SentenceSplitter, speakable
from .timeline import Timeline, Told

__all__ = ["SpeakingSettings", "Speech", "Trimmer"]

Frame: TypeAlias = NDArray[np.int16]
_END = None
_REFILL_SECONDS = 0.2
"""How much of what was ahead is played before synthesis goes on."""


@dataclass(frozen=True, slots=True)
class SpeakingSettings:
    """How text becomes speech."""

    first_clause: int = 24
    """The first piece may end at a comma after so many letters: sooner spoken, though
    its melody is that of a whole sentence."""
    longest: int = 240
    """A piece is cut after so many letters if nothing ends it; about 16 seconds."""
    ahead_seconds: float = 2.0
    """How much audio may wait to be played before synthesis pauses. It bridges a slow
    sentence; more of it would be thrown away at every interruption."""
    pause_ms: int = 180
    """Silence left between sentences; synthesisers add anything from none to 700 ms."""
    stall_seconds: float = 5.0
    """A synthesiser that gives nothing for so long has failed."""


class Speech:
    """One reply, spoken. All methods belong to the application's loop.

    ``saying`` is told of each piece when its first audio is queued: the piece, and when
    it will be played. ``clock`` is the monotonic clock.
    """

    def __init__(
        self,
        line: Line,
        generation: int,
        voice: TextToSpeech,
        settings: SpeakingSettings,
        *,
        clock: Callable[[], float],
        saying: Callable[[str, float], None] = lambda text, at: None,
    ) -> None:
        self.generation = generation
        self.first_audio_at: float | None = None
        """When the first audio was queued; None while there was none."""
        self._line = line
        self._voice = voice
        self._settings = settings
        self._clock = clock
        self._saying = saying
        self._splitter = SentenceSplitter(
            first_clause=settings.first_clause, longest=settings.longest
        )
        self._pieces: asyncio.Queue[tuple[str, int] | None] = asyncio.Queue()
        self._timeline = Timeline(line.rate_hz)
        self._rest = ""  # text that was given and has not come to be spoken
        self._round = 0
        self._joins = False  # a round has begun and has no text yet
        self._play_until = 0.0

    @property
    def played_until(self) -> float:
        """When everything queued so far will have been played, in seconds."""
        return self._play_until

    def played(self, at: float) -> int:
        """The samples of it that had been played at a moment, if nothing stood in the way."""
        waiting = max(0.0, self._play_until - at)
        return max(0, self._timeline.samples - int(waiting * self._line.rate_hz))

    @property
    def text(self) -> str:
        """Everything that was given to be said."""
        return self._timeline.text + self._rest

    def told(self, samples: int) -> Told:
        """What a caller who heard so many samples has heard, and what not."""
        return self._timeline.tell(samples, self._rest)

    def write(self, text: str) -> None:
        """More text, of any length."""
        if self._joins and text:
            self._joins = False
            said = self.text
            if said and not (said[-1].isspace() or text[0].isspace()):
                text = " " + text  # a model does not know that there are words before its own
        self._rest += text
        for piece in self._splitter.push(text):
            self._pieces.put_nowait((piece, self._round))

    def next_round(self) -> None:
        """What follows belongs to the next round: a tool was called in between."""
        self._flush()
        self._round += 1
        self._joins = True

    def close(self) -> None:
        """There is no more text."""
        self._flush()
        self._pieces.put_nowait(_END)

    async def run(self) -> None:
        """Speak until the text ends. Cancelling it closes the synthesiser's stream.

        Raises:
            SpeechError: the synthesiser failed; what was said before stays said.
        """
        while (item := await self._pieces.get()) is not _END:
            piece, round = item
            self._rest = self._rest[len(piece) :]
            self._timeline.begin(piece, round)
            words = speakable(piece)
            if words:
                await self._speak(words, piece)
        self._timeline.end()
        if self.first_audio_at is not None:
            self._line.finish(self.generation)

    def _flush(self) -> None:
        for piece in self._splitter.flush():
            self._pieces.put_nowait((piece, self._round))

    async def _speak(self, words: str, piece: str) -> None:
        """Synthesise one piece and queue its audio."""
        rates = self._voice.rate_hz, self._line.rate_hz
        resampler = None if rates[0] == rates[1] else StreamResampler(*rates)
        trimmer = Trimmer(self._line.rate_hz)
        told = False
        await self._wait()
        if self._timeline.samples:
            self._pause()
        chunks = closable(self._voice.speak(words))
        seconds = self._settings.stall_seconds
        patience = _Patience(seconds, f"{self._voice.name} gave no audio for {seconds} s")
        async with patience, aclosing(chunks):
            async for chunk in chunks:
                pcm = trimmer.push(chunk if resampler is None else resampler.push(chunk))
                if not told and len(pcm):
                    told = True
                    self._saying(piece, max(self._clock(), self._play_until))
                self._play(pcm)
                await self._wait(patience)
        if resampler is not None:
            self._play(trimmer.push(resampler.flush()))

    def _play(self, pcm: Frame) -> None:
        if len(pcm):
            self._timeline.extend(len(pcm))
            self._queue(pcm)

    def _pause(self) -> None:
        """The silence between two sentences."""
        silence = np.zeros(self._settings.pause_ms * self._line.rate_hz // 1000, np.int16)
        self._timeline.gap(len(silence))
        self._queue(silence)

    def _queue(self, pcm: Frame) -> None:
        now = self._clock()
        if self.first_audio_at is None:
            self.first_audio_at = now
        self._line.play(pcm, self.generation)
        self._play_until = max(self._play_until, now) + len(pcm) / self._line.rate_hz

    async def _wait(self, patience: "_Patience | None" = None) -> None:
        """Wait while there is more audio ahead than needed."""
        enough = self._settings.ahead_seconds
        ahead = self._play_until - self._clock() - enough
        if ahead > 0:
            if patience is not None:
                patience.pause()
            # A little longer: else every chunk of 20 ms would be a timer of its own.
            await asyncio.sleep(ahead + min(_REFILL_SECONDS, enough / 4))
        if patience is not None:
            patience.renew()


class _Patience:
    """A limit on how long nothing may come; what comes renews it.

    Raises `SynthesisFailed` when it ends. One timer serves many chunks: it is set to a
    quarter more than ``seconds`` and moved only when a quarter of that has passed.
    """

    def __init__(self, seconds: float, complaint: str) -> None:
        self._seconds = seconds
        self._complaint = complaint
        self._timeout = asyncio.timeout(None)
        self._renewed_at: float | None = None

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()
        self.renew()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError as timeout:
            raise SynthesisFailed(self._complaint) from timeout

    def renew(self) -> None:
        """Something has come."""
        now = asyncio.get_running_loop().time()
        if self._renewed_at is None or now - self._renewed_at > self._seconds / 4:
            self._renewed_at = now
            self._timeout.reschedule(now + self._seconds * 5 / 4)

    def pause(self) -> None:
        """Nothing is asked for until `renew`."""
        self._renewed_at = None
        self._timeout.reschedule(None)


class Trimmer:
    """Takes the silence from both ends of a sentence, as it streams.

    Up to 20 ms of it stay before the first sound and after the last, so that soft
    consonants are not cut. Silence inside stays as it is.
    """

    def __init__(self, rate_hz: int, *, level: int = 104) -> None:
        self._keep = rate_hz // 50
        self._level = level  # of int16: -50 dBov, below any speech a synthesiser makes
        self._begun = False
        self._held: list[Frame] = []  # silence that may turn out to be inside

    def push(self, pcm: Frame) -> Frame:
        """More audio; what of it is certain to be played."""
        if self._begun and not self._held and self._is_loud(pcm[-self._keep :]):
            return pcm  # the common case, at a third of the time
        loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > self._level)
        if not loud.size:
            self._hold(pcm)
            return pcm[:0]
        first, last = int(loud[0]), int(loud[-1]) + 1
        end = min(len(pcm), last + self._keep)
        head = [*self._held, pcm[:first]]
        if not self._begun:
            quiet = np.concatenate(head)
            head = [quiet[max(0, len(quiet) - self._keep) :]]
            self._begun = True
        self._held = [pcm[end:]] if end < len(pcm) else []
        return np.concatenate((*head, pcm[first:end]))

    def _is_loud(self, pcm: Frame) -> bool:
        return len(pcm) > 0 and (int(pcm.max()) > self._level or int(pcm.min()) < -self._level)

    def _hold(self, pcm: Frame) -> None:
        if len(pcm):
            self._held.append(pcm)
        if not self._begun and sum(map(len, self._held)) > 50 * self._keep:
            self._held = self._held[-1:]  # a second of silence before the first sound
