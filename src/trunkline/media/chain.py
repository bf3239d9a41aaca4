"""The whole audio chain of one call, for users' own pipelines.

    packets -> jitter buffer -> echo -> noise -> input buffer  -> your recogniser
    the far end <- you <- output buffer <- your synthesiser
                    |
                    +-> what was sent is the echo canceller's reference

Everything is a function of ``now``, in seconds of any clock (where it steps back, time goes
on from there): a frame is
due every 20 ms from the first packet on, and is made when the chain is next told the
time. So it runs the same in real time and in a test. For threads and coroutines that
wait there is ``transports.WaitingChain``.
"""

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .audio_buffer import AudioBuffer, AudioChunk
from .chain_bank import ChainBank, ChainStages, EchoFactory, StageFactory
from .chain_state import ChainHealth, ChainMetrics, ChainSettings, judged
from .echo import EchoStage
from .frames import FRAME_MS, FRAMES_PER_SECOND, Audio, FitCounts, as_float, as_given, fit
from .jitter import Kind
from .jitter_buffer import JitterBuffer
from .onward import OnwardClock
from .stage import Stage

__all__ = ["Chain"]

_Frame = NDArray[np.float32]
_TICK_SECONDS = FRAME_MS / 1000
_NEAR_SECONDS = 1e-6
"""Times are sums of 0.02: they are due a hair before they are reached."""
_CATCH_UP = 15
"""Frames made at once when packets are long or lost, 300 ms. If more are due we were stopped:
they would be silence, and whoever reads one frame a tick would hear all that follows late."""
_FAR_FRAMES = 500
"""Audio sent ahead that is remembered, 10 s."""
_STALE_SECONDS = 0.06
"""A frame sent this long before the one heard belongs to a time nothing was heard of."""
_NEVER = float("-inf")


class Chain:
    """Jitter buffer, echo cancellation, noise suppression and buffers of one call.

        chain = Chain(rate_hz=16000)
        chain.process_input(packet, sequence, now)
        chain.process_output(speech, now)
        heard = chain.read_input(now)       # for the recogniser
        to_send = chain.read_output(now)    # for the far end

    Audio is int16, or float32 or float64 of full scale 1.0, and comes back as it was given.
    """

    def __init__(
        self,
        rate_hz: int = 16000,
        settings: ChainSettings | None = None,
        *,
        echo: str | EchoStage | EchoFactory = "kalman",
        noise: str | Stage | StageFactory = "logmmse",
        gain: str | Stage | StageFactory = "off",
    ) -> None:
        """``echo``, ``noise`` and ``gain``: see `ChainStages`; the settings turn them on.

        A stage that is made already will do too, as ``trunkline.speech.create`` makes it:
        ``Chain(16000, echo=create("echo", "speex", rate_hz=16000))``.

        Raises:
            UsageError: a rate or a name does not suit.
        """
        self.rate_hz = rate_hz
        self.settings = settings = settings or ChainSettings()
        stages = ChainStages(
            echo=_made(echo) if settings.enable_echo_cancellation else "off",
            noise=_made(noise) if settings.enable_noise_reduction else "off",
            gain=_made(gain),
            noise_strength=settings.noise_reduction_strength,
            echo_taps=settings.echo_filter_length,
        )
        self._bank = ChainBank(rate_hz, stages, 1)
        self._row = self._bank.open()
        self._rows = np.array([self._row], np.intp)
        self.frame_samples = self._bank.frame_samples
        self.delay_ms = 1000 * self._bank.delay_samples / rate_hz
        """What the stages add to the latency, without jitter buffer and buffers."""
        buffer_ms = settings.audio_buffer_duration_ms
        self.input = AudioBuffer(rate_hz, duration_ms=buffer_ms)
        """Processed audio that waits for `read_input`."""
        self.output = AudioBuffer(rate_hz, duration_ms=buffer_ms)
        """Audio that waits for `read_output`."""
        self._jitter: JitterBuffer | None = None
        if settings.enable_jitter_buffer:
            self._jitter = JitterBuffer(rate_hz, settings.jitter())
        # What the far end plays, and from when on: one frame after another.
        self._far: deque[tuple[float, _Frame]] = deque()
        self._forget()

    def _forget(self) -> None:
        self._clock = OnwardClock()
        self._next: float | None = None
        self._sequence = -1
        self._far_until = _NEVER
        # The fewest frames that reads of late left behind, and how many reads that is of.
        self._spare, self._reads = self.input.capacity, 0
        # Ticks so far, and how far what was heard last is ahead of them, in samples.
        self._ticks = 0
        self._ahead: int | None = None
        self._heard = False
        self._quiet = 0
        self._skipped = self._far_dropped = 0
        self._fit = FitCounts()
        self._dtype: np.dtype[Any] = np.dtype(np.int16)

    # -- what comes ----------------------------------------------------------------------

    def process_input(
        self,
        audio: Audio,
        sequence: int | None,
        now: float,
        *,
        timestamp: int | None = None,
        is_speech: bool | None = None,
    ) -> Audio | None:
        """A packet arrived ``now``: the audio that is ready, which is also in `input`.

        With a jitter buffer the result is older audio, whole frames of it, or None while
        that fills. Without one it is this packet.

        Args:
            audio: a packet's; without ``timestamp`` 20 ms, padded or cut, and counted.
            sequence: its number, which may wrap at 65,536; None is the next one.
            now: seconds.
            timestamp: when it was sent, in samples, as RTP counts: packets may then be of
                any length up to 250 ms, and there may be pauses between them.
            is_speech: False says that it is noise alone, and the noise is learnt from it.

        Raises:
            UsageError: the audio is no row of audio, or the time none.
        """
        now = self._clock(now)
        sound = self._sound(audio, whole=timestamp is not None)
        self._dtype = audio.dtype
        self._sequence = self._sequence + 1 if sequence is None else sequence
        if self._jitter is None:
            self._note_speech(is_speech, 0.0)
            return self._clean(sound, now, made_up=False)
        made = self._run(now - 2 * _NEAR_SECONDS)
        waits_ms = max(self._jitter.statistics.delay_ms, self.settings.jitter_buffer_target_ms)
        self._note_speech(is_speech, waits_ms)
        self._jitter.put(sound, self._sequence, now, timestamp=timestamp)
        if self._next is None:
            self._next = now
        made += self._run(now)
        joined: Any = np.concatenate(made) if made else None
        ready: Audio | None = joined
        return ready

    def advance(self, now: float) -> int:
        """Make the frames that are due, as when packets fail to come; how many."""
        now = self._clock(now)
        return len(self._run(now))

    def read_input(self, now: float) -> AudioChunk | None:
        """The oldest processed frame that nobody has read; None if there is none.

        Its latency counts from when its audio came in.
        """
        now = self._clock(now)
        self._run(now)
        chunk = self.input.read(now)
        self._catch_up()
        return chunk

    def _catch_up(self) -> None:
        """Let go of frames that waited through a second of reads: they are latency alone.

        Whoever reads a frame a tick would never be rid of what a stall left behind.
        """
        self._spare = min(self._spare, len(self.input))
        self._reads += 1
        if self._reads < FRAMES_PER_SECOND:
            return
        if self._spare > 1:
            self._skipped += self.input.clear(keep=len(self.input) - self._spare + 1)
        self._spare, self._reads = self.input.capacity, 0

    # -- what is sent --------------------------------------------------------------------

    def process_output(self, audio: Audio, now: float, timestamp: float | None = None) -> bool:
        """Queue audio to be sent: any length, cut into frames, the last one padded.

        False if the oldest had to go for it: it is written faster than it is read.
        Raises `UsageError` as `process_input` does.
        """
        now = self._clock(now)
        as_float(audio)  # all of it is audio, or none of it is queued
        if timestamp is not None:
            timestamp += self._clock.shift
        room = True
        for start in range(0, max(1, audio.size), self.frame_samples):
            piece = audio[start : start + self.frame_samples]
            room &= self.output.write(piece, now, timestamp)
        return room

    def read_output(self, now: float) -> AudioChunk | None:
        """The next frame to be sent, which the echo canceller takes as sent; or None."""
        chunk = self.output.read(self._clock(now))
        if chunk is not None:
            self.sent(chunk.audio, now)
        return chunk

    def sent(self, audio: Audio, now: float) -> None:
        """Audio was sent that did not come from `read_output`: the echo's reference.

        In frames, the last one padded; the far end is taken to play them one after another
        at an even pace, so that they may be sent ahead. Raises `UsageError` as
        `process_input` does.
        """
        now = self._clock(now)
        as_float(audio)
        for start in range(0, audio.size, self.frame_samples):
            begins = max(now, self._far_until)
            self._far_until = begins + _TICK_SECONDS
            piece = audio[start : start + self.frame_samples]
            self._far.append((begins, fit(piece, self.frame_samples, self._fit)))
        while len(self._far) > _FAR_FRAMES:
            self._far.popleft()
            self._far_dropped += 1

    def clear_output(self, *, sent_ahead: bool = False) -> int:
        """Drop what waits to be sent, as when the caller interrupts; how many frames.

        ``sent_ahead``: the far end, too, drops what it has not played yet.
        """
        if sent_ahead:
            self._far.clear()
            self._far_until = _NEVER
        return self.output.clear()

    # -- all of it -----------------------------------------------------------------------

    def metrics(self) -> ChainMetrics:
        """All counts and figures as they are now."""
        jitter = None if self._jitter is None else self._jitter.statistics
        waiting, stages = self.input.metrics(), self._bank.metrics(self._row)
        output = self.output.metrics()
        delay_ms = 0.0 if jitter is None else jitter.delay_ms
        return ChainMetrics(
            input=waiting,
            output=output,
            jitter=jitter,
            stages=stages,
            padded=self._fit.padded + output.padded,
            truncated=self._fit.truncated,
            faults=self._fit.faults + output.faults,
            skipped=self._skipped,
            far_waiting=len(self._far),
            far_dropped=self._far_dropped,
            loss_rate=0.0 if jitter is None else jitter.loss_rate,
            processing_delay_ms=self.delay_ms,
            total_latency_ms=delay_ms + self.delay_ms + waiting.buffered_ms,
        )

    def health(self) -> ChainHealth:
        """Whether all is well, in words."""
        return judged(self.metrics(), self.settings)

    def reset(self) -> None:
        """Begin anew, as for another call: audio, what was learnt, and counts."""
        if self._jitter is not None:
            self._jitter.reset()
        self._bank.reset(self._row)
        self.input.reset()
        self.output.reset()
        self._far.clear()
        self._forget()

    # -- frames --------------------------------------------------------------------------

    def _run(self, now: float) -> list[Audio]:
        """Every frame that is due; after a stall the newest alone."""
        made: list[Audio] = []
        if self._next is None or self._jitter is None:
            return made
        due = int((now + _NEAR_SECONDS - self._next) // _TICK_SECONDS) + 1
        if due > _CATCH_UP:
            self._skip(due - 1)
        while self._next <= now + _NEAR_SECONDS:
            frame = self._play(self._jitter, self._next)
            if frame is not None:
                made.append(frame)
            self._next += _TICK_SECONDS
        return made

    def _skip(self, frames: int) -> None:
        """Time went by in which nobody asked."""
        assert self._next is not None
        self._next += frames * _TICK_SECONDS
        self._skipped += frames
        self._ticks += frames

    def _play(self, jitter: JitterBuffer, due: float) -> Audio | None:
        """The frame of one tick; None before the first audio."""
        ahead = jitter.position - self._ticks * self.frame_samples
        self._ticks += 1
        frame, _ = as_float(jitter.take(due))
        made_up = jitter.kind in (Kind.SILENT, Kind.CONCEALED)
        self._heard |= not made_up
        later = 0 if made_up else self._moved(ahead)
        waited_ms = jitter.statistics.delay_ms
        return self._clean(frame, due, made_up=made_up, waited_ms=waited_ms, later=later)

    def _moved(self, ahead: int) -> int:
        """By how many samples the echo is later than in the frame heard before.

        A jitter buffer that stretches, leaves out or adds audio moves the echo in it; what
        jumps further than half a second is another source.
        """
        later = 0 if self._ahead is None else self._ahead - ahead
        self._ahead = ahead
        return later if abs(later) <= self.rate_hz // 2 else 0

    def _clean(
        self,
        frame: _Frame,
        now: float,
        *,
        made_up: bool,
        waited_ms: float = 0.0,
        later: int = 0,
    ) -> Audio | None:
        """One frame through the stages and into the buffer."""
        changed = self._jitter is not None and self._jitter.kind is not Kind.PLAYED
        far = self._played(now)
        people = self._bank.process(
            frame[np.newaxis],
            self._rows,
            None if far is None else far[np.newaxis],
            np.array([changed]),
            np.array([self._quiet > 0 and not made_up]),
            np.array([later]) if later else None,
        ).people[0]
        if self._jitter is not None and not self._heard:
            return None
        out = as_given(np.asarray(people, np.float32), self._dtype)
        self.input.write(out, now, now - (waited_ms + self.delay_ms) / 1000)
        return out

    def _played(self, now: float) -> _Frame | None:
        """What the far end began to play in the last 20 ms; None is nothing."""
        far = self._far
        while far and far[0][0] < now - _STALE_SECONDS:
            far.popleft()
        return far.popleft()[1] if far and far[0][0] <= now + _NEAR_SECONDS else None

    def _note_speech(self, is_speech: bool | None, delay_ms: float) -> None:
        """Learn from a frame only once everything the jitter buffer holds is said to be noise."""
        if is_speech is not False:
            self._quiet = -int(-(-delay_ms // FRAME_MS))
        elif self._quiet <= 0:
            self._quiet += 1

    def _sound(self, audio: Audio, *, whole: bool) -> _Frame:
        """A packet as float32: as long as it is, or a frame of it."""
        if not whole:
            return fit(audio, self.frame_samples, self._fit)
        sound, faulty = as_float(audio)
        self._fit.faults += faulty
        return sound


def _made(choice: Any) -> Any:
    """A stage as what makes one; names and what makes one as they are."""
    return (lambda rate_hz: choice) if hasattr(choice, "process") else choice
