"""A call like the demo's: its record, its events and its recording."""

from pathlib import Path
from typing import Any

import numpy as np

from trunkline.agent.events import AgentSpoke, TurnLatency
from trunkline.agent.session import Conversation
from trunkline.calls.record import CallRecord, TurnRecord
from trunkline.media.wav import serialise_wav
from trunkline.speech import Message, ToolCall

STARTED = 1_795_000_000.0
RATE_HZ = 8000
SECONDS = 24.0
RECORDED_AFTER = 0.5
"""The recording begins this much after the call."""
STAGES = {
    "endpointing": 610.0,
    "recognition": 614.0,
    "first_token": 616.0,
    "first_audio": 640.0,
    "first_packet": 650.0,
}


def agent(start: float, end: float, text: str, **more: Any) -> TurnRecord:
    turn: dict[str, Any] = {
        "by": "agent", "text": text, "unheard": "", "started_seconds": start,
        "ended_seconds": end, "interrupted": False, "stages_ms": STAGES, **more,
    }  # fmt: skip
    return turn  # type: ignore[return-value]


def caller(start: float, end: float, text: str, confidence: float = 0.97) -> TurnRecord:
    return TurnRecord(
        by="caller", text=text, started_seconds=start, ended_seconds=end, confidence=confidence
    )


def tool(name: str, arguments: str = "{}", result: str = "ok") -> dict[str, Any]:
    return {"name": name, "arguments": arguments, "result": result, "duration_ms": 1.4}


TURNS = (
    agent(0.5, 2.0, "Copper Street Cycles.", stages_ms={}),
    caller(3.0, 4.0, "what are your opening hours"),
    agent(4.6, 6.4, "From Monday to Friday. On", unheard=" Sundays never.", interrupted=True),
    caller(6.2, 7.4, "hold on please is my bicycle ready", 0.31),
    agent(8.0, 9.0, "Your ticket?"),
    caller(9.5, 10.5, "nine three two zero"),
    agent(11.2, 12.4, "Your green touring bicycle is ready.",
          tools=[tool("repair_status", '{"ticket": "9320"}', '{"status": "ready"}')]),
    caller(12.9, 13.9, "i would like to book a repair"),
    agent(14.5, 15.3, "Which day?"),
    caller(15.8, 16.6, "on saturday please"),
    agent(17.2, 18.2, "Is that right?"),
    caller(18.7, 19.3, "yes please"),
    agent(19.9, 20.9, "It is booked.", tools=[tool("book_repair")]),
    caller(21.4, 22.0, "no thank you"),
    agent(22.6, 24.4, "Goodbye.", tools=[tool("hang_up")]),
)  # fmt: skip


def a_record(**changes: Any) -> CallRecord:
    fields: dict[str, Any] = {
        "id": "call_0123456789abcdef",
        "direction": "inbound",
        "transport": "sip",
        "caller": "5551234",
        "callee": "shop",
        "app": "bicycle_shop",
        "state": "ended",
        "started_at": STARTED,
        "answered_at": STARTED + 0.4,
        "ended_at": STARTED + 24.6,
        "recorded_at": STARTED + RECORDED_AFTER,
        "end_reason": "hangup",
        "end_by": "us",
        "sip_call_id": "abc@127.0.0.1",
        "quality": {
            "received": 1200.0, "lost": 0.0, "late": 3.0, "packets_sent": 1190.0,
            "jitter_ms": 1.3, "rtt_ms": None, "delay_ms": 21.0, "target_ms": 10.0,
            "concealed_frames": 5.0, "remote_loss": 0.01, "remote_jitter_ms": 2.0,
        },
        "turns": TURNS,
        "headers": {"User-Agent": "a phone"},
        "node": "north",
    }  # fmt: skip
    return CallRecord(**{**fields, **changes})


def a_recording(path: Path, record: CallRecord, late: float = 0.0) -> Path:
    """Noise where the record says that somebody spoke, ``late`` seconds after that."""
    rng = np.random.default_rng(5)
    stereo = np.zeros((int(SECONDS * RATE_HZ), 2), np.int16)
    for turn in record.turns:
        start = turn["started_seconds"] - RECORDED_AFTER + late
        end = turn["ended_seconds"] - RECORDED_AFTER + late
        first, last = int(start * RATE_HZ), min(len(stereo), int(end * RATE_HZ))
        channel = 0 if turn["by"] == "caller" else 1
        stereo[first:last, channel] = rng.normal(0, 3000, last - first)
    path.write_bytes(serialise_wav(stereo, RATE_HZ))
    return path


def a_conversation() -> Conversation:
    """What the demo's shortcomings are looked for in; it has none."""
    calls = (
        ToolCall("1", "repair_status", '{"ticket": "9320"}'),
        ToolCall("2", "book_repair", '{"day": "Saturday", "time": "11:00"}'),
        ToolCall("3", "hang_up", "{}"),
    )
    said = "From Monday to Friday. your green touring bicycle. It is booked."
    return Conversation((Message("assistant", said, calls),), 7, "agent")


def some_replies() -> list[AgentSpoke]:
    return [
        AgentSpoke(106.4, 2, "From Monday to Friday. On", " Sundays never.", True, False),
        AgentSpoke(124.4, 8, "Thank you for calling. Goodbye.", "", False, False),
    ]


def a_latency(turn: int = 1, total_ms: float = 650.0) -> TurnLatency:
    return TurnLatency(105.0, turn, 610.0, 614.0, 616.0, 640.0, total_ms)
