"""A call: one conversation as the application sees it.

`Call` lives on the application's loop. It is an agent's ``Line`` as well (it
inherits the media side), so ``await agent.talk(call)`` is all there is to it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from trunkline.agent.agent import Host
from trunkline.errors import TrunklineError, UsageError
from trunkline.media.dtmf_tones import dtmf_audio
from trunkline.media.lane import Lane
from trunkline.media.resample import StreamResampler
from trunkline.media.wav import parse_wav
from trunkline.speech import TextToSpeech
from trunkline.transports.leg import (
    Answered,
    DialOptions,
    Digit,
    Direction,
    EarlyMedia,
    Ended,
    Held,
    HoldableLeg,
    HoldChanged,
    Leg,
    LegEvent,
    Party,
    RedirectableLeg,
    Resumed,
    Ringing,
)
from trunkline.transports.media_thread import MediaThread

from .audio import AudioDefaults, AudioPath, CallAudio
from .ears import DrainEar, FrameQueue
from .errors import CallEndedError, HoldRefusedError
from .events import (
    CallAnswered,
    CallDigit,
    CallEarlyMedia,
    CallEnded,
    CallEvent,
    CallHeld,
    CallMarked,
    CallQuality,
    CallResumed,
    CallRinging,
    CallTransferred,
    RecordingPaused,
    RecordingResumed,
)
from .forking import Fork
from .music import Music, MusicSource
from .quality import QualityWatch
from .quality_alarms import Alarm
from .quality_snapshot import QualitySnapshot
from .recording import Recording
from .recording_options import RecordingOptions
from .states import CallState, IllegalTransitionError, next_state
from .succession import NextLeg
from .transferring import TransferringCall

__all__ = ["Board", "Call", "LegWatcher"]

log = logging.getLogger(__name__)

T = TypeVar("T")
Observer = Callable[[object], None]
LegWatcher = Callable[["Call", LegEvent, float], None]
"""Told what a leg says, on the media thread."""
DIGITS_KEPT = 256
AHEAD_SECONDS = 20.0
"""How far ahead of what is heard a long file is queued: the playout holds 60 s and
refuses more."""


class Board(Protocol):
    """The switchboard of a call, as the call needs it."""

    hold_music: MusicSource
    """What is played to whoever is held with music."""
    tones_in: bool
    """Whether keys are also heard as tones, of far ends that know no telephone events."""

    async def place(
        self,
        target: str | Fork,
        *,
        caller: str = "",
        headers: Mapping[str, str] | None = None,
        name: str = "dial",
        options: DialOptions = ...,
        prepare: Callable[["Call"], object] | None = None,
    ) -> "Call":
        """Begin a call and return it at once."""

    async def bridge(self, a: "Call", b: "Call") -> CallEnded | None:
        """Have two calls hear each other until one ends; then the other is ended."""


class Call(TransferringCall):
    """One call. Made by a `Switchboard`, given to an app.

    Waiting methods raise `CallEndedError` when the call ends meanwhile.
    """

    def __init__(
        self,
        id: str,
        leg: Leg,
        media: MediaThread,
        *,
        rate_hz: int = 8000,
        audio: CallAudio | None = None,
        party: Party | None = None,
    ) -> None:
        super().__init__(id, rate_hz, media, leg)
        party = party or leg.party
        self._audio = audio or CallAudio(AudioDefaults(), leg.transport, party)
        self.direction: Direction = leg.direction
        """``inbound`` or ``outbound``."""
        self.transport = leg.transport
        """What it came in on: sip, twilio, browser."""
        self.caller = party.caller
        self.callee = party.callee
        self.trunk = party.trunk
        """The trunk it came in on, or goes out on; empty where there is none."""
        self.attempts: Sequence[Mapping[str, Any]] = ()
        """Of a call over trunks that is over: what each gateway made of it."""
        self.headers: Mapping[str, str] = MappingProxyType(dict(party.headers))
        """SIP headers, or a media stream's parameters."""
        self.state = CallState.NEW
        self.started_at = datetime.now(UTC)
        self.started_monotonic = media.now()
        """The same moment on the clock of events."""
        self.answered_at: datetime | None = None
        self.ended_at: datetime | None = None
        self.on_hold = False
        """Whether we hold the far end; whether it holds us is in ``state``."""
        self.end: CallEnded | None = None
        """How it ended; None while it has not."""
        self.statistics: dict[str, float] = {}
        """Loss, jitter, round trip and the like, as the leg last told them."""
        self.former_statistics: list[dict[str, float]] = []
        """The same of legs that another one took the place of, in order."""
        self.quality: QualitySnapshot | None = None
        """How it was when last looked at, every few seconds; None before that."""
        self.quality_series: dict[str, Any] = {}
        """How it was over time, once it has ended."""
        self.sip_call_ids: list[str] = []
        """Of its legs, in the order they came."""
        self.monitor: Callable[[Call, Leg], QualityWatch | None] | None = None
        """Keeps a leg's messages for the record, and makes who looks at its quality."""
        self.watch: QualityWatch | None = None
        """Who looks, where the node has anybody look. Media thread only."""
        self.recorder: Callable[[Call, RecordingOptions | None], Recording] | None = None
        """Makes recordings of it, where the node keeps any."""
        self.record: bool | RecordingOptions | None = None
        """Whether its route has it recorded, and how; None is as the settings say."""
        self.host: Callable[[Call], Host] | None = None
        """Makes what the node offers agents: its engines."""
        self.voice: Callable[[], TextToSpeech] | None = None
        """Makes the node's voice and no other engine."""
        self.bridged: object | None = None
        """The `Bridge` it is on. Media thread."""
        self.board: Board | None = None
        """The switchboard it belongs to."""
        self.recordings: list[Recording] = []
        """What is being recorded of it; ends with the call."""
        self._observers: list[Observer] = []
        self._watchers: list[LegWatcher] = []
        self._music: Music | None = None
        self._digits: asyncio.Queue[str] = asyncio.Queue(DIGITS_KEPT)
        self._hold_waiters: list[asyncio.Future[HoldChanged]] = []
        self._answered, self._ended = asyncio.Event(), asyncio.Event()

    def __repr__(self) -> str:
        return (
            f"<Call {self.id} {self.direction} {self.caller} -> {self.callee} {self.state.value}>"
        )

    # -- what the leg says (media thread), and what becomes of it (application) ------

    def own_event(self, leg: Leg, event: LegEvent, now: float) -> None:
        """Something happened to the leg it has; on the media thread."""
        if isinstance(event, EarlyMedia | Answered) and leg.lane is not None:
            self.open(leg.lane)
            self._follow_audio()
            self._follow_tones(leg.lane)
            self._watch_lane(leg.lane, isinstance(event, Answered), now)
        elif isinstance(event, Digit):
            self.digit(event.digit, now)
        for watcher in tuple(self._watchers):
            try:
                watcher(self, event, now)
            except Exception:
                log.exception("call %s: %r failed on %s", self.id, watcher, event)
        statistics = None
        if isinstance(event, Answered | Ended):
            # A leg that tried several ways has become the one that was taken.
            self.trunk = leg.party.trunk or self.trunk
            self.settle(leg)
        if isinstance(event, Ended):
            self.attempts = self.attempts_made()
            statistics = self._figures(leg.statistics())
            if self.watch is not None:
                self.post(self._keep_series, self.watch.series())
            self.close(now)
        self.post(self._happened, event, now, statistics)
        self.media.to_app.flush()

    def be_watched(self) -> None:
        """Have the leg's messages kept and its quality looked at, as the node does."""
        if self.monitor is not None:
            self.watch = self.monitor(self, self._leg)

    def followed(self, following: NextLeg) -> None:
        """A leg is being set up that is to take the place of ours."""
        if self.monitor is not None:
            following.watch = self.monitor(self, following.leg)

    def _watch_lane(self, lane: Lane, answered: bool, now: float) -> None:
        if self.watch is None:
            return
        lanes = self.media.engine.quality
        self.watch.open(lane, None if lanes is None else lanes.bank, now)
        if answered:
            self.watch.answered(now)

    def _figures(self, statistics: Mapping[str, float]) -> dict[str, float]:
        """A leg's, and what was found of its quality."""
        return {**statistics, **(self.watch.summary() if self.watch is not None else {})}

    def _follow_tones(self, lane: Lane) -> None:
        """Listen for keys as tones, where that is wanted and the far end has no other."""
        wanted = self.board is not None and self.board.tones_in and self.transport == "sip"
        if wanted and not self._leg.takes_keys:
            self.media.engine.want_tones(lane, self._tone)

    def _tone(self, digit: str, duration_ms: int, now: float) -> None:
        self.leg_event(self._leg, Digit(digit, duration_ms), now)

    def quality_alarm(self, alarm: Alarm, now: float) -> None:
        """Its quality has changed. Media thread only."""
        self.post(self.tell, CallQuality(self.id, now, *alarm))

    def quality_seen(self, snapshot: QualitySnapshot) -> None:
        """Its quality was looked at. Media thread only."""
        self.post(self._keep_snapshot, snapshot)

    def _keep_snapshot(self, snapshot: QualitySnapshot) -> None:
        self.quality = snapshot

    def _keep_series(self, series: dict[str, Any]) -> None:
        self.quality_series = series

    def _happened(self, event: LegEvent, now: float, statistics: dict[str, float] | None) -> None:
        try:
            self.state = next_state(self.state, event)
        except IllegalTransitionError as error:
            log.warning("call %s: %s; ignored", self.id, error)
            return
        if statistics is not None:
            self.statistics = statistics
        self._note(event, now)
        told = self._told(event, now)
        if self.end is not None and self._transfer is not None:
            self._transfer.call_ended(self.end)
        if told is not None:
            self.tell(told)
        if isinstance(event, Ended):
            self.stop_music()
            self._ended.set()
            self._answered.set()

    def _note(self, event: LegEvent, now: float) -> None:
        if isinstance(event, HoldChanged):
            for waiter in self._hold_waiters:
                if not waiter.done():
                    waiter.set_result(event)
        elif isinstance(event, Answered):
            self.answered_at = datetime.now(UTC)
            if self.direction == "outbound":  # of several, who answered
                self.callee = (self._compound or self._leg).party.callee
            self._answered.set()
        elif isinstance(event, Digit):
            if self._digits.full():
                self._digits.get_nowait()
                log.warning("call %s: more than %d digits unread", self.id, DIGITS_KEPT)
            self._digits.put_nowait(event.digit)
        elif isinstance(event, Ended):
            self.ended_at = datetime.now(UTC)
            self.end = CallEnded(self.id, now, event.reason, event.by, event.code, event.detail)

    def _told(self, event: LegEvent, now: float) -> CallEvent | None:
        match event:
            case Ringing(code):
                return CallRinging(self.id, now, code)
            case EarlyMedia():
                return CallEarlyMedia(self.id, now)
            case Answered():
                return CallAnswered(self.id, now)
            case Held():
                return CallHeld(self.id, now)
            case Resumed():
                return CallResumed(self.id, now)
            case HoldChanged(held):
                changed, self.on_hold = held is not self.on_hold, held
                if not changed:
                    return None
                return (CallHeld if held else CallResumed)(self.id, now, "us")
            case Digit(digit, duration_ms):
                return CallDigit(self.id, now, digit, duration_ms)
            case _:
                return self.end

    def observe(self, observer: Observer) -> None:
        """Have a callable told every event of this call, on the application's loop."""
        self._observers.append(observer)

    def unobserve(self, observer: Observer) -> None:
        """Stop telling an observer. Legal more than once."""
        if observer in self._observers:
            self._observers.remove(observer)

    def watch_leg(self, watcher: LegWatcher) -> None:
        """Have a callback told what the leg says. Media thread only."""
        self._watchers.append(watcher)

    def unwatch_leg(self, watcher: LegWatcher) -> None:
        """Stop that. Legal more than once; media thread only."""
        if watcher in self._watchers:
            self._watchers.remove(watcher)

    @property
    def leg(self) -> Leg:
        """The leg. Media thread only."""
        return self._leg

    def tell(self, event: object) -> None:
        """Tell the observers something; one that fails is logged, the others still hear."""
        for observer in tuple(self._observers):
            try:
                observer(event)
            except Exception:
                log.exception("call %s: observer %r failed", self.id, observer)

    # -- signalling --------------------------------------------------------------------

    @property
    def leg_id(self) -> str:
        """What its transport calls its leg."""
        return self._leg.id

    @property
    def is_over(self) -> bool:
        """True once the call has ended."""
        return self.state is CallState.ENDED

    @property
    def is_answered(self) -> bool:
        """True while the call is up."""
        return self.state in (CallState.UP, CallState.HELD)

    async def ring(self) -> None:
        """Tell an inbound caller that somebody is being alerted."""
        await self.media.run(lambda: self._leg.ring())

    async def early_media(self) -> None:
        """Open the audio towards an inbound caller before the answer."""
        await self.media.run(self._leg.early_media)

    async def answer(self) -> None:
        """Answer an inbound call and wait until it is up."""
        await self.media.run(self._leg.answer)
        await self.wait_answered()

    async def reject(self, code: int = 486, reason: str = "") -> None:
        """Refuse an inbound call that is not answered: busy, unless told otherwise.

        Raises `UsageError` for a call that is up, or that we placed.
        """
        if self.is_answered or self.direction == "outbound":
            raise UsageError(f"{self!r} cannot be refused; hangup() ends it")
        await self.media.run(self._leg.reject, code, reason)
        await self._ended.wait()

    async def redirect(self, *targets: str, code: int = 302) -> None:
        """Send an inbound caller who is not answered elsewhere: SIP URIs, the best first.

        Raises `UsageError` for a call that is up, or that we placed, or whose transport
        cannot, and for what is no address.
        """
        leg = self._leg
        if self.is_answered or self.direction == "outbound":
            raise UsageError(f"{self!r} cannot be sent elsewhere")
        if not isinstance(leg, RedirectableLeg):
            raise UsageError(f"a call over {leg.transport} cannot be sent elsewhere")
        await self.media.run(leg.redirect, targets, code)
        await self._ended.wait()

    async def hangup(self, reason: str = "hangup") -> None:
        """End the call in whatever state it is; legal more than once."""
        if not self.is_over:
            await self.media.run(self.end_legs, reason)

    async def hold(self, *, silent: bool = False, music: bool | str | Path = False) -> None:
        """Put the far end on hold: it is not heard until `resume`.

        What is played meanwhile it hears; with ``silent`` nothing is sent either, and what
        is played waits. ``music`` plays over and over until `resume`: True is the node's,
        anything else a WAV file, which is read as it plays. Raises `UsageError` for a call
        whose transport knows no hold or that is not answered, `HoldRefusedError`,
        `CallEndedError`, and `OSError` and ``WavError`` for such a file.
        """
        source = None if music is False else self.music_source(music)
        if source is not None:
            await asyncio.to_thread(source.check)
        await self._change_hold(True, silent)
        if source is not None:
            self.play_music(source)

    def music_source(self, music: bool | str | Path = True) -> MusicSource:
        """Music from a WAV file; True is the node's, and without a node our own."""
        if isinstance(music, bool):
            return self.board.hold_music if self.board is not None else MusicSource()
        return MusicSource(music)

    def play_music(self, source: MusicSource) -> None:
        """Play something over and over until `stop_music`, `resume` or the end."""
        self.stop_music()
        self._music = Music(self, source)

    def stop_music(self) -> None:
        """Stop what `play_music` began. Legal at any time."""
        music, self._music = self._music, None
        if music is not None:
            music.stop()

    async def resume(self) -> None:
        """Take the far end off hold; raises as `hold` does."""
        await self._change_hold(False, False)
        self.stop_music()

    async def _change_hold(self, held: bool, silent: bool) -> None:
        leg = self._leg
        if not isinstance(leg, HoldableLeg):
            raise UsageError(f"a call over {self.transport} cannot be held")
        if not self.is_answered:
            raise UsageError(f"{self!r} is not up and cannot be held or resumed")
        waiter = asyncio.get_running_loop().create_future()
        self._hold_waiters.append(waiter)
        try:
            await self.media.run(partial(leg.hold, silent=silent) if held else leg.resume)
            result = await self.unless_ended(_value(waiter))
        finally:
            self._hold_waiters.remove(waiter)
        if result.held is not held:
            raise HoldRefusedError(result.code, result.reason)

    def adopted(self, following: NextLeg, statistics: Mapping[str, float], now: float) -> None:
        """The call has another leg; on the media thread."""
        leg, before = self._leg, self.watch
        if before is not None:
            before.close()
            statistics = self._figures(statistics)
        self.watch = following.watch
        if self.watch is not None and before is not None:
            self.watch.succeed(before)
        if leg.lane is not None:
            self._watch_lane(leg.lane, True, now)
        self._audio.follow(leg.transport, leg.party)
        self._follow_audio()
        self.post(self._goes_on, following, dict(statistics), now)
        self.media.to_app.flush()

    def _goes_on(self, following: NextLeg, statistics: dict[str, float], now: float) -> None:
        """It has another leg."""
        if self.is_over:
            return
        self.transport = following.leg.transport
        self.former_statistics.append(statistics)
        for waiter in self._hold_waiters:
            if not waiter.done():
                waiter.set_result(HoldChanged(False, 481, "another leg took its place"))
        if self.answered_at is None:
            self._happened(Answered(), now, None)
        if self.on_hold:  # that was the other leg: this one nobody holds
            self.on_hold = False
            self.tell(CallResumed(self.id, now, "us"))
        if self.state is CallState.HELD:
            self.tell(CallResumed(self.id, now))
        self.state = CallState.UP
        if self._transfer is not None:
            self._transfer.fail(481, "another leg took its place")
        self.tell(CallTransferred(self.id, now, following.target, 200, "them"))

    def send_dtmf_soon(self, digits: str) -> None:
        """`send_dtmf` without waiting; for callbacks."""
        self.on_media(self.send_digits, digits)

    def send_digits(self, digits: str) -> None:
        """`send_dtmf` without waiting; what cannot be sent is logged. Media thread only."""
        try:
            self.press(digits)
        except UsageError as error:
            log.warning("call %s: digits not sent: %s", self.id, error)

    def agent_host(self) -> Host:
        """What the call's node offers an agent (see ``agent.Hosted``)."""
        self._audio.agent = True
        self.on_media(self._follow_audio)
        if self.host is None:
            transfer = self.transfer if self.can_transfer else None
            return Host(hangup=self.hangup_soon, transfer=transfer, observers=(self.tell,))
        return self.host(self)

    async def wait_answered(self) -> None:
        """Wait until the call is up; raises `CallEndedError` if it never is."""
        await self._answered.wait()
        if self.answered_at is None:
            raise CallEndedError(self.end)

    async def wait_ended(self) -> CallEnded:
        """Wait for the end and say how it came."""
        await self._ended.wait()
        assert self.end is not None
        return self.end

    async def send_dtmf(self, digits: str) -> None:
        """Press keys towards the far end: as telephone events, or as tones if it has none.

        Raises `UsageError` for what is no key, and before the call has audio.
        """
        await self.media.run(self.press, digits)

    def press(self, digits: str, duration_ms: int = 100) -> None:
        """`send_dtmf` with how long each key is held. Media thread only."""
        if self._leg.takes_keys or self.lane is None:
            self._leg.send_dtmf(digits, duration_ms)
        else:
            self.push(dtmf_audio(digits, self.rate_hz, tone_ms=duration_ms), self.generation)

    async def bridge(self, other: "Call") -> CallEnded | None:
        """Have two far ends hear each other until one hangs up; then the other is hung up.

        See `trunkline.calls.bridge.bridge`, which has options. Raises `UsageError` for a call
        without a switchboard.
        """
        if self.board is None:
            raise UsageError("this call has no switchboard to bridge it")
        return await self.board.bridge(self, other)

    async def next_digit(self, timeout: float | None = None) -> str:
        """The next key the far end presses; raises `TimeoutError`, `CallEndedError`."""
        async with asyncio.timeout(timeout):
            return await self.unless_ended(self._digits.get())

    # -- recording -----------------------------------------------------------------------

    def start_recording(self, options: RecordingOptions | None = None) -> Recording:
        """Record both sides from now on, until the call ends or it is closed.

        ``options`` say otherwise than the route and the settings: format, mix, sides.
        Raises `UsageError` where the node keeps no recordings.
        """
        if self.recorder is None:
            raise UsageError("this call's node keeps no recordings")
        return self.recorder(self, options)

    def pause_recording(self, reason: str = "") -> None:
        """Have silence in every recording of the call from now on; any thread.

        For what must not be kept, as a card number: what is said meanwhile is not even
        put into memory for the recordings. The manifest tells from when to when, and why.
        """
        for recording in self.recordings:
            recording.pause(reason)
        self.on_media(self.post, self.tell, RecordingPaused(self.id, self.media.now(), reason))

    def resume_recording(self) -> None:
        """Have sound in the recordings again; any thread.

        What comes now was said up to a jitter buffer's delay ago (0.2 s at most).
        """
        for recording in self.recordings:
            recording.resume()
        self.on_media(self.post, self.tell, RecordingResumed(self.id, self.media.now()))

    def mark(self, name: str, detail: str = "") -> None:
        """Name this moment, as in ``call.mark("consent")``; any thread.

        It is an event of the call, and in the manifest of each of its recordings.
        """
        for recording in self.recordings:
            recording.mark(name, detail)
        self.on_media(self.post, self.tell, CallMarked(self.id, self.media.now(), name, detail))

    # -- audio ---------------------------------------------------------------------------

    def set_audio(self, audio: AudioPath | None) -> None:
        """Change what is done with the audio that comes, from now on; any thread.

        What the path says nothing of, and with None everything, is as the route, the trunk
        or the kind of call has it. Raises ``MissingDependencyError`` for an engine that is
        not installed; then nothing has changed.
        """
        self._audio.path(audio).stages()
        self._audio.asked = audio
        self.on_media(self._follow_audio)

    def _follow_audio(self) -> None:
        """Have the lane do as was said. Media thread only."""
        if self.lane is None or not self.lane.active:
            return
        try:
            self.media.engine.set_chain(self.lane, self._audio.stages())
        except TrunklineError as error:
            log.error("call %s: its audio stays as it was: %s", self.id, error)

    async def play_file(self, path: str | Path) -> bool:
        """Play a WAV file (PCM, µ-law or A-law, any common rate) to its end.

        Returns False when it was cut off. Raises `OSError` and ``WavError``.
        """
        data = await asyncio.to_thread(Path(path).read_bytes)
        audio = parse_wav(data)
        return await self.play_audio(audio.mono(), audio.rate_hz)

    async def play_audio(self, pcm: NDArray[np.int16], rate_hz: int) -> bool:
        """Play int16 samples to their end; returns False when they were cut off."""

        async def pieces() -> AsyncIterator[NDArray[np.int16]]:
            for at in range(0, len(pcm), rate_hz):
                yield pcm[at : at + rate_hz]

        return await self._play(pieces(), rate_hz)

    async def say(self, text: str) -> bool:
        """Say a text with the node's voice, to its end; returns False when it was cut off.

        Raises `UsageError` where the node has no voice, and ``SpeechError`` when it fails.
        """
        if self.voice is None:
            raise UsageError(
                "this call's node has no voice; play_audio() and play_file() need none"
            )
        voice = self.voice()
        return await self._play(voice.speak(text), voice.rate_hz)

    async def _play(self, chunks: AsyncIterator[NDArray[np.int16]], rate_hz: int) -> bool:
        """Play audio as it comes, as one utterance."""
        resampler = StreamResampler(rate_hz, self.rate_hz) if rate_hz != self.rate_hz else None
        generation = self.generation
        queued_until = self.media.now()
        ear = DrainEar(self, generation)
        self.listen(ear, activity=False)
        try:
            async for chunk in chunks:
                self.play(chunk if resampler is None else resampler.push(chunk), generation)
                queued_until = max(queued_until, self.media.now()) + len(chunk) / rate_hz
                ahead = queued_until - self.media.now() - AHEAD_SECONDS
                if ahead > 0 and not await self._pause(ahead, generation):
                    break
            if resampler is not None:
                self.play(resampler.flush(), generation)
            self.finish(generation)
            whole = await self.unless_ended(ear.wait())
            if not whole and self.is_over:
                raise CallEndedError(self.end)
            return whole
        finally:
            self.unlisten(ear)

    async def _pause(self, seconds: float, generation: int) -> bool:
        """Wait until the playout has room; False when what it holds was cleared."""
        await self.unless_ended(asyncio.sleep(seconds))
        return self.floor <= generation

    async def stop_playing(self) -> None:
        """Drop everything that is queued to be played."""
        await self.media.run(lambda: self.clear(self.media.now()))

    async def frames(self, keep_ms: int = 1000) -> AsyncIterator[NDArray[np.int16]]:
        """What the far end says, frame by frame (20 ms, int16), until the call ends.

        A reader that falls behind by more than ``keep_ms`` loses the oldest
        frames; `FrameQueue.dropped` counts them and the log says so once.
        """
        ear = FrameQueue(self, keep_ms // 20)
        self.listen(ear, activity=False)
        try:
            async for frame in ear:
                yield frame
        finally:
            self.unlisten(ear)

    async def unless_ended(self, waiting: Coroutine[object, object, T]) -> T:
        """Await something; raises `CallEndedError` when the call ends first."""
        task = asyncio.ensure_future(waiting)
        ended = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait({task, ended}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise CallEndedError(self.end)
        finally:
            task.cancel()
            ended.cancel()


async def _value(future: asyncio.Future[T]) -> T:
    """A future as a coroutine."""
    return await future
