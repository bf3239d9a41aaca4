"""An agent's events as the turns of a conversation, in the time of its call."""

from trunkline.agent.events import (
    AgentSpoke,
    AgentStarted,
    CallerSilent,
    CallerTurn,
    ToolCalled,
    TurnLatency,
)
from trunkline.calls.keeper import TurnLog


def caller(number: int, text: str, started: float, ended: float, keys: str = "") -> CallerTurn:
    return CallerTurn(ended + 0.5, number, text, 0.9, 800, started, ended, keys)


def spoke(reply: int, at: float, heard: str, unheard: str = "") -> AgentSpoke:
    return AgentSpoke(at, reply, heard, unheard, bool(unheard), True)


def latency(at: float) -> TurnLatency:
    return TurnLatency(at, 1, 600.0, 700.0, 800.0, 900.0, 950.0)


def test_a_conversation_is_its_turns_in_order_and_in_seconds_of_the_call() -> None:
    log = TurnLog(100.0)
    assert not log.note(AgentStarted(100.25, 1))
    assert log.note(spoke(1, 101.5, "Hello."))
    assert log.note(caller(1, "hi there", 102.0, 103.0))
    assert not log.note(latency(103.9))
    assert not log.note(ToolCalled(103.2, "hours", "{}", "9 to 5", 0.125))
    assert not log.note(AgentStarted(103.95, 2))
    assert log.note(spoke(2, 105.0, "We open", " at nine."))
    assert log.turns == [
        {"by": "agent", "text": "Hello.", "unheard": "", "started_seconds": 0.25,
         "ended_seconds": 1.5, "interrupted": False},
        {"by": "caller", "text": "hi there", "started_seconds": 2.0, "ended_seconds": 3.0,
         "confidence": 0.9},
        {"by": "agent", "text": "We open", "unheard": " at nine.", "started_seconds": 3.95,
         "ended_seconds": 5.0, "interrupted": True,
         "stages_ms": {"endpointing": 600.0, "recognition": 700.0, "first_token": 800.0,
                       "first_audio": 900.0, "first_packet": 950.0},
         "tools": [{"name": "hours", "arguments": "{}", "result": "9 to 5",
                    "duration_ms": 125.0}]},
    ]  # fmt: skip


def test_stages_and_tools_belong_to_one_reply_only() -> None:
    log = TurnLog(0.0)
    log.note(latency(1.0))
    log.note(ToolCalled(1.0, "hours", "{}", "", 0.0))
    log.note(spoke(1, 2.0, "One."))
    log.note(spoke(2, 3.0, "Two."))
    assert "stages_ms" in log.turns[0] and "tools" in log.turns[0]
    assert "stages_ms" not in log.turns[1] and "tools" not in log.turns[1]


def test_a_caller_who_goes_on_has_one_turn_that_says_it_all() -> None:
    log = TurnLog(0.0)
    log.note(caller(1, "I would like", 1.0, 2.0))
    log.note(spoke(1, 2.5, "Yes?"))
    log.note(caller(1, "I would like a bicycle", 1.0, 4.0))
    log.note(caller(2, "a red one", 5.0, 6.0))
    assert [turn["text"] for turn in log.turns] == ["I would like a bicycle", "Yes?", "a red one"]
    assert log.turns[0]["ended_seconds"] == 4.0


def test_keys_are_the_text_of_a_turn_without_words() -> None:
    log = TurnLog(0.0)
    assert log.note(caller(1, "", 1.0, 1.0, keys="42#"))
    assert log.note(caller(2, "forty two", 2.0, 3.0, keys="1"))
    assert [turn["text"] for turn in log.turns] == ["42#", "forty two"]


def test_what_nobody_said_is_no_turn() -> None:
    log = TurnLog(0.0)
    assert not log.note(caller(1, "", 1.0, 2.0))
    assert not log.note(spoke(1, 2.0, ""))
    assert not log.note(CallerSilent(3.0, 1))
    assert not log.note("something else")
    assert log.turns == []


def test_a_reply_of_which_no_beginning_was_told_began_when_it_was_over() -> None:
    log = TurnLog(10.0)
    log.note(spoke(1, 12.0, "", "Good day."))
    assert log.turns[0]["started_seconds"] == log.turns[0]["ended_seconds"] == 2.0


def test_nothing_is_said_before_the_call_began() -> None:
    log = TurnLog(10.0)
    log.note(caller(1, "hello", 9.9, 10.1234567))
    assert (log.turns[0]["started_seconds"], log.turns[0]["ended_seconds"]) == (0.0, 0.123)
