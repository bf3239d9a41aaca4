"""What the talk page is told of an agent's events, in RTVI's words where they exist."""

from collections.abc import Mapping
from typing import Any

from trunkline.agent.events import (
    AgentEvent,
    AgentFailed,
    AgentSaying,
    AgentSpoke,
    AgentStarted,
    BargeIn,
    CallerStarted,
    CallerTurn,
    FalseStart,
    KeyPressed,
    ToolCalled,
    TurnLatency,
)

__all__ = ["page_messages"]

Message = tuple[str, Mapping[str, Any]]


def page_messages(event: AgentEvent | object) -> list[Message]:
    """Type and data of every message an event becomes; none if it is not shown."""
    match event:
        case CallerStarted():
            return [("user-started-speaking", {"turn": event.turn})]
        case FalseStart():
            return [("user-stopped-speaking", {"false_start": True})]
        case CallerTurn():
            return [_transcription(event)]
        case AgentSaying():
            return [_output(event.reply, "new", event.text, "", False)]
        case AgentStarted():
            return [("bot-started-speaking", {"reply": event.reply})]
        case BargeIn():
            return [("bot-interrupted", {})]
        case AgentSpoke():
            spoken = _output(
                event.reply, "completed", event.heard, event.unheard, event.interrupted
            )
            return [spoken, ("bot-stopped-speaking", {"reply": event.reply})]
        case ToolCalled():
            return [_tool(event)]
        case TurnLatency():
            return [_metrics(event)]
        case KeyPressed():
            return [("server-message", {"key": event.digit})]
        case AgentFailed():
            error = f"{event.stage}: {event.message}"
            return [("error", {"error": error, "fatal": False})]
    return []


def _transcription(event: CallerTurn) -> Message:
    data = {
        "turn": event.turn,
        "text": event.text,
        "final": True,
        "confidence": event.confidence,
        "keys": event.keys,
    }
    return ("user-transcription", data)


def _output(reply: int, status: str, said: str, unsaid: str, interrupted: bool) -> Message:
    data = {
        "reply": reply,
        "text": said + unsaid,
        "spoken_status": status,
        "spoken_progress": {"accumulated_text": said, "remaining_text": unsaid},
        "interrupted": interrupted,
    }
    return ("bot-output", data)


def _tool(event: ToolCalled) -> Message:
    data = {
        "function_name": event.name,
        "arguments": event.arguments,
        "result": event.result,
        "seconds": event.seconds,
    }
    return ("llm-function-call-stopped", data)


def _metrics(event: TurnLatency) -> Message:
    stages = ("endpointing", "recognition", "first_token", "first_audio", "first_packet")
    data = {
        "turn": event.turn,
        "stages": {f"{stage}_ms": getattr(event, f"{stage}_ms") for stage in stages},
    }
    return ("metrics", data)
