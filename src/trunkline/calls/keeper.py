"""Keeps what is left of a call: its detail record and its recording.

A `Keeper` is a switchboard's listener. It turns the events of a call into its
record, step by step, so that a process that dies leaves a record that says how
far the call had come.
"""

import logging
import math
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from trunkline.agent.events import AgentSpoke, AgentStarted, CallerTurn, ToolCalled, TurnLatency
from trunkline.media.engine import TICK_SECONDS
from trunkline.media.lane import Frame

from .alarms import Alarms
from .call import Call
from .events import (
    CallAnswered,
    CallBridged,
    CallEnded,
    CallEvent,
    CallTransferFailed,
    CallTransferred,
    RecordingRestored,
    RecordingTroubled,
)
from .record import CallRecord, ToolUse, TransferRecord, TurnRecord
from .recorder import Recorder
from .recording import Recorded, Recording
from .recording_manifest import Manifest, Party
from .recording_options import RecordingOptions
from .records import RecordStore

__all__ = ["Keeper", "RecordingTap", "TurnLog"]

log = logging.getLogger(__name__)

KEPT_HEADERS: Final = frozenset(
    ("from", "to", "call-id", "user-agent", "p-asserted-identity", "diversion", "history-info")
)
"""SIP headers that are kept; the parameters of a media stream are kept whole."""


class RecordingTap:
    """Shows a recording both sides of a lane, a frame of each a tick.

    The media clock leaves out the ticks a stalled machine was too late for; they
    are silence in the recording, so that it keeps the time of the call.
    """

    __slots__ = ("_origin", "_ticks", "recording")

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self._origin = math.inf
        self._ticks = 0

    def frame(self, heard: Frame | None, sent: Frame | None, now: float) -> None:
        """One tick."""
        if not self._ticks:
            self.recording.began_at = now
        # A tick that is not left out comes less than a tick late, so the most
        # punctual one tells where the grid is and the rest can be counted off.
        begun = now - self._ticks * TICK_SECONDS
        if begun < self._origin:
            self._origin = begun
        elif begun - self._origin >= TICK_SECONDS:
            missed = int((begun - self._origin) / TICK_SECONDS)
            self.recording.skip(missed)
            self._ticks += missed
        self.recording.write(heard, sent)
        self._ticks += 1

    def late(self, heard: Frame, now: float) -> None:
        """A frame that belongs to an earlier tick."""
        self.recording.write_late(heard)


class TurnLog:
    """An agent's events as the turns of a conversation."""

    def __init__(self, started_at: float) -> None:
        """``started_at`` is when the call began, on the events' clock."""
        self._started_at = started_at
        self.turns: list[TurnRecord] = []
        """Who said what, in order."""
        self._caller_turns: dict[int, TurnRecord] = {}
        self._reply_began: dict[int, float] = {}
        self._stages: dict[str, float] = {}
        self._tools: list[ToolUse] = []

    def note(self, event: object) -> bool:
        """Take in one event; whether it changed the turns."""
        match event:
            case CallerTurn() if event.text or event.keys:
                self._caller(event)
                return True
            case AgentStarted():
                self._reply_began[event.reply] = event.at
            case TurnLatency():
                self._stages = {
                    "endpointing": event.endpointing_ms,
                    "recognition": event.recognition_ms,
                    "first_token": event.first_token_ms,
                    "first_audio": event.first_audio_ms,
                    "first_packet": event.first_packet_ms,
                }
            case ToolCalled():
                self._tools.append(
                    ToolUse(
                        name=event.name,
                        arguments=event.arguments,
                        result=event.result,
                        duration_ms=event.seconds * 1000,
                    )
                )
            case AgentSpoke() if event.heard or event.unheard:
                self._agent(event)
                return True
        return False

    def _caller(self, event: CallerTurn) -> None:
        turn = TurnRecord(
            by="caller",
            text=event.text or event.keys,
            started_seconds=self._seconds(event.speech_started_at),
            ended_seconds=self._seconds(event.speech_ended_at),
            confidence=event.confidence,
        )
        # The same number again means that the caller went on.
        former = self._caller_turns.get(event.turn)
        if former is not None:
            former.update(turn)
        else:
            self._caller_turns[event.turn] = turn
            self.turns.append(turn)

    def _agent(self, event: AgentSpoke) -> None:
        turn = TurnRecord(
            by="agent",
            text=event.heard,
            unheard=event.unheard,
            started_seconds=self._seconds(self._reply_began.pop(event.reply, event.at)),
            ended_seconds=self._seconds(event.at),
            interrupted=event.interrupted,
        )
        if self._stages:
            turn["stages_ms"] = self._stages
            self._stages = {}
        if self._tools:
            turn["tools"] = self._tools
            self._tools = []
        self.turns.append(turn)

    def _seconds(self, at: float) -> float:
        return round(max(0.0, at - self._started_at), 3)


class TransferLog:
    """A call's transfers, into its record."""

    def __init__(self, call: Call, records: RecordStore | None) -> None:
        self._call = call
        self._records = records
        self.transfers: list[TransferRecord] = []

    def note(self, event: object) -> None:
        """Take in one event of the call."""
        if not isinstance(event, CallTransferred | CallTransferFailed):
            return
        done = TransferRecord(
            by="us" if event.by == "us" else "them",
            to=event.target,
            code=event.code,
            done=isinstance(event, CallTransferred),
            at_seconds=round(max(0.0, event.at - self._call.started_monotonic), 3),
        )
        if done["done"] and done["by"] == "them":
            done["sip_call_id"] = _sip_call_id(self._call.party.headers)
            done["quality"] = self._call.former_statistics[-1]
        self.transfers.append(done)
        if self._records is not None:
            self._records.update(self._call.id, transfers=tuple(self.transfers))


class Keeper:
    """Writes the record of every call, and its recording where that is wanted."""

    def __init__(
        self,
        records: RecordStore | None,
        recorder: Recorder | None,
        *,
        record_all: bool = False,
        on_recorded: Callable[[Call, Recorded], None] | None = None,
        ladder: Callable[[Call], dict[str, Any]] | None = None,
        alarms: Alarms | None = None,
        keep_days: Mapping[str, int] | None = None,
    ) -> None:
        """``keep_days`` says for each route, by its app's name, how long recordings are kept."""
        self.alarms = alarms or Alarms()
        """What is wrong with recordings now, and how often anything was."""
        self._keep_days = keep_days or {}
        self._lock = threading.Lock()
        self._recorded: dict[Recording, Call] = {}
        self._troubled: set[Recording] = set()
        if recorder is not None:
            recorder.listen(self._recording_failed, self._recording_troubled)
        self._records = records
        self._ladder = ladder
        self._recorder = recorder
        self._record_all = record_all
        self._on_recorded = on_recorded

    def call_started(self, call: Call, app: str) -> None:
        """See ``switchboard.Listener``."""
        log_of_turns = TurnLog(call.started_monotonic)
        if self._records is not None:
            self._records.begin(_first_record(call, app))
        if self._recorder is not None:
            call.recorder = partial(self.record, app=app)
            if call.record or (call.record is None and self._record_all):
                self.record(call, app=app)
        call.observe(lambda event: self._note(call, log_of_turns, event))
        call.observe(TransferLog(call, self._records).note)

    def record(
        self, call: Call, options: RecordingOptions | None = None, *, app: str = ""
    ) -> Recording:
        """Record a call from now on, to a file named after it."""
        assert self._recorder is not None
        wanted = RecordingOptions(keep_days=self._keep_days.get(app))
        if isinstance(call.record, RecordingOptions):
            wanted = call.record.over(wanted)
        recording = self._recorder.open(
            call.id,
            call.rate_hz,
            options=wanted if options is None else options.over(wanted),
            about=_about(call, app),
            wall_time=lambda at: datetime.fromtimestamp(_wall_time(call, at), UTC),
        )
        with self._lock:
            self._recorded[recording] = call
        recording.done.add_done_callback(lambda _: self._forget(recording))
        tap = RecordingTap(recording)
        call.tap(tap)
        call.recordings.append(recording)
        if self._records is not None:
            # Now and not only at the end: after a crash somebody has to find it.
            self._records.update(call.id, recording=str(recording.path))
        return recording

    def stored(self, call_id: str, place: str) -> None:
        """A recording has got its final form and place: a path, or a URL. Any thread."""
        if self._records is not None:
            self._records.update(call_id, recording=place)

    # -- trouble: on the writer thread ---------------------------------------------------

    def _recording_failed(self, recording: Recording, error: OSError) -> None:
        self.alarms.raise_("disk", f"{recording.path} ended early: {_text(error)}")
        self._tell(recording, partial(_troubled, recording.path, error, True))
        self._mended(recording)

    def _recording_troubled(self, recording: Recording, error: OSError | None) -> None:
        if error is None:
            self._tell(recording, partial(_restored, recording.path))
            self._mended(recording)
            return
        self.alarms.raise_("disk", f"recordings wait: {_text(error)}")
        with self._lock:
            known = recording in self._troubled
            self._troubled.add(recording)
        if not known:
            self._tell(recording, partial(_troubled, recording.path, error, False))

    def _mended(self, recording: Recording) -> None:
        with self._lock:
            waited = recording in self._troubled
            self._troubled.discard(recording)
            over = waited and not self._troubled
        if over:
            self.alarms.clear("disk")

    def _tell(self, recording: Recording, event: Callable[[str, float], CallEvent]) -> None:
        with self._lock:
            call = self._recorded.get(recording)
        if call is None:
            return

        def tell() -> None:
            if not call.is_over:  # its end is the last event of a call
                call.tell(event(call.id, call.media.now()))

        call.on_media(call.post, tell)

    def _forget(self, recording: Recording) -> None:
        with self._lock:
            self._recorded.pop(recording, None)

    def _note(self, call: Call, turns: TurnLog, event: object) -> None:
        records = self._records
        if turns.note(event) and records is not None:
            records.update(call.id, turns=tuple(turns.turns))
        if isinstance(event, CallAnswered) and records is not None:
            records.update(
                call.id,
                answered_at=_wall_time(call, event.at),
                # Of several attempts, the one that was answered.
                sip_call_id=_sip_call_id(call.party.headers),
            )
        elif isinstance(event, CallBridged) and records is not None:
            records.update(call.id, bridged_with=event.other_id)
        elif isinstance(event, CallEnded):
            self._finish(call, turns, event)

    def _finish(self, call: Call, turns: TurnLog, end: CallEnded) -> None:
        for recording in call.recordings:
            done = recording.close()
            tell = self._on_recorded
            if tell is not None:
                done.add_done_callback(partial(_tell, tell, call))
        if self._records is not None:
            last = call.recordings[-1] if call.recordings else None
            began_at = last.began_at if last else None
            self._records.finish(
                call.id,
                reason=end.reason,
                by=end.by,
                code=end.code,
                end_detail=end.detail,
                ended_at=_wall_time(call, end.at),
                quality=call.statistics,
                series=call.quality_series,
                ladder={} if self._ladder is None else self._ladder(call),
                turns=tuple(turns.turns),
                **_over_trunks(call),
                recording=str(last.path) if last else "",
                recorded_at=None if began_at is None else _wall_time(call, began_at),
            )


def _tell(told: Callable[[Call, Recorded], None], call: Call, future: "Future[Recorded]") -> None:
    told(call, future.result())


def _text(error: OSError) -> str:
    return error.strerror or str(error)


def _troubled(path: Path, error: OSError, ended: bool, call_id: str, at: float) -> CallEvent:
    return RecordingTroubled(call_id, at, str(path), _text(error), ended)


def _restored(path: Path, call_id: str, at: float) -> CallEvent:
    return RecordingRestored(call_id, at, str(path))


def _about(call: Call, app: str) -> Manifest:
    """What a recording's manifest tells of its call."""
    inbound = call.direction == "inbound"
    far, near = (call.caller, call.callee) if inbound else (call.callee, call.caller)
    return Manifest(
        direction=call.direction,
        caller=call.caller,
        callee=call.callee,
        transport=call.transport,
        app=app,
        sip_call_id=_sip_call_id(call.headers),
        legs=[
            Party(channel=0, side="heard", party=far, leg=call.leg_id),
            Party(channel=1, side="sent", party=near, leg=call.leg_id),
        ],
    )


def _sip_call_id(headers: Mapping[str, str]) -> str:
    return next((value for name, value in headers.items() if name.lower() == "call-id"), "")


def _wall_time(call: Call, at: float) -> float:
    """When something happened to a call, not when this thread got to hear of it."""
    return call.started_at.timestamp() + at - call.started_monotonic


def _over_trunks(call: Call) -> dict[str, object]:
    """What a call over trunks has more; nothing of any other."""
    found: dict[str, object] = {"trunk": call.trunk} if call.trunk else {}
    return {**found, "attempts": tuple(call.attempts)} if call.attempts else found


def _first_record(call: Call, app: str) -> CallRecord:
    headers = {
        name: value
        for name, value in call.headers.items()
        if call.transport != "sip" or name.lower() in KEPT_HEADERS
    }
    return CallRecord(
        id=call.id,
        direction=call.direction,
        transport=call.transport,
        caller=call.caller,
        callee=call.callee,
        app=app,
        trunk=call.trunk,
        started_at=call.started_at.timestamp(),
        sip_call_id=_sip_call_id(headers),
        headers=headers,
    )
