"""Keeps what is left of a call: its detail record and its recording.

A `Keeper` is a switchboard's listener. It turns the events of a call into its
record, step by step, so that a process that dies leaves a record that says how
far the call had come.
"""

import logging
import math
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Final

from trunkline.agent.events import AgentSpoke, AgentStarted, CallerTurn, ToolCalled, TurnLatency
from trunkline.media.engine import TICK_SECONDS
from trunkline.media.lane import Frame

from .call import Call
from .events import CallAnswered, CallEnded
from .record import CallRecord, ToolUse, TurnRecord
from .recording import Recorded, Recorder, Recording
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
        self._origin = min(self._origin, now - self._ticks * TICK_SECONDS)
        missed = int((now - self._origin) / TICK_SECONDS) - self._ticks
        if missed > 0:
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


class Keeper:
    """Writes the record of every call, and its recording where that is wanted."""

    def __init__(
        self,
        records: RecordStore | None,
        recorder: Recorder | None,
        *,
        record_all: bool = False,
        on_recorded: Callable[[Call, Recorded], None] | None = None,
    ) -> None:
        self._records = records
        self._recorder = recorder
        self._record_all = record_all
        self._on_recorded = on_recorded

    def call_started(self, call: Call, app: str) -> None:
        """See ``switchboard.Listener``."""
        log_of_turns = TurnLog(call.started_monotonic)
        if self._records is not None:
            self._records.begin(_first_record(call, app))
        if self._recorder is not None:
            call.recorder = self.record
            if self._record_all:
                self.record(call)
        call.observe(lambda event: self._note(call, log_of_turns, event))

    def record(self, call: Call) -> Recording:
        """Record a call from now on, to a file named after it."""
        assert self._recorder is not None
        recording = self._recorder.open(call.id, call.rate_hz)
        tap = RecordingTap(recording)
        call.tap(tap)
        call.recordings.append(recording)
        if self._records is not None:
            # Now and not only at the end: after a crash somebody has to find it.
            self._records.update(call.id, recording=str(recording.path))
        return recording

    def _note(self, call: Call, turns: TurnLog, event: object) -> None:
        records = self._records
        if turns.note(event) and records is not None:
            records.update(call.id, turns=tuple(turns.turns))
        if isinstance(event, CallAnswered) and records is not None:
            records.update(call.id, answered_at=_wall_time(call, event.at))
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
                ended_at=_wall_time(call, end.at),
                quality=call.statistics,
                turns=tuple(turns.turns),
                **_over_trunks(call),
                recording=str(last.path) if last else "",
                recorded_at=None if began_at is None else _wall_time(call, began_at),
            )


def _tell(told: Callable[[Call, Recorded], None], call: Call, future: "Future[Recorded]") -> None:
    told(call, future.result())


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
        sip_call_id=next(
            (value for name, value in headers.items() if name.lower() == "call-id"), ""
        ),
        headers=headers,
    )
