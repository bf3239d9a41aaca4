"""What the talk page is told of an agent's events."""

from typing import Any

import msgspec
import pytest

from trunkline.agent.events import (
    AgentEvent,
    AgentFailed,
    AgentSaying,
    AgentSpoke,
    AgentStarted,
    BargeIn,
    CallerSilent,
    CallerStarted,
    CallerTurn,
    FalseStart,
    KeyPressed,
    ToolCalled,
    TurnLatency,
)
from trunkline.server.talk import page_messages

CASES: list[tuple[AgentEvent, list[str], dict[str, Any]]] = [
    (CallerStarted(1.0, 2), ["user-started-speaking"], {"turn": 2}),
    (FalseStart(1.0, 120, True), ["user-stopped-speaking"], {"false_start": True}),
    (
        CallerTurn(1.0, 2, "a bike", 0.9, 800, 0.1, 0.9),
        ["user-transcription"],
        {"turn": 2, "text": "a bike", "final": True, "confidence": 0.9, "keys": ""},
    ),
    (
        AgentSaying(1.0, "We have. ", 1.2, 3),
        ["bot-output"],
        {
            "reply": 3,
            "text": "We have. ",
            "spoken_status": "new",
            "spoken_progress": {"accumulated_text": "We have. ", "remaining_text": ""},
            "interrupted": False,
        },
    ),
    (AgentStarted(1.0, 3), ["bot-started-speaking"], {"reply": 3}),
    (BargeIn(1.0, 0.9), ["bot-interrupted"], {}),
    (
        AgentSpoke(1.0, 3, "We have ", "four.", True, False),
        ["bot-output", "bot-stopped-speaking"],
        {
            "reply": 3,
            "text": "We have four.",
            "spoken_status": "completed",
            "spoken_progress": {"accumulated_text": "We have ", "remaining_text": "four."},
            "interrupted": True,
        },
    ),
    (
        ToolCalled(1.0, "hours", "{}", "9 to 5", 0.2),
        ["llm-function-call-stopped"],
        {"function_name": "hours", "arguments": "{}", "result": "9 to 5", "seconds": 0.2},
    ),
    (
        TurnLatency(1.0, 2, 200.0, 250.0, 260.0, 300.0, 310.0),
        ["metrics"],
        {
            "turn": 2,
            "stages": {
                "endpointing_ms": 200.0,
                "recognition_ms": 250.0,
                "first_token_ms": 260.0,
                "first_audio_ms": 300.0,
                "first_packet_ms": 310.0,
            },
        },
    ),
    (KeyPressed(1.0, "5"), ["server-message"], {"key": "5"}),
    (AgentFailed(1.0, "model", "no"), ["error"], {"error": "model: no", "fatal": False}),
]


@pytest.mark.parametrize(("event", "types", "data"), CASES)
def test_an_event_becomes_messages(
    event: AgentEvent, types: list[str], data: dict[str, Any]
) -> None:
    messages = page_messages(event)
    assert [type for type, _ in messages] == types
    assert messages[0][1] == data
    assert msgspec.json.encode(messages)


def test_silence_is_not_shown() -> None:
    assert page_messages(CallerSilent(1.0, 1)) == []
