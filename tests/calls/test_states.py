"""The states of a call."""

import pytest

from trunkline.calls.states import TRANSITIONS, CallState, IllegalTransitionError, next_state
from trunkline.errors import UsageError
from trunkline.transports.leg import (
    Answered,
    Digit,
    EarlyMedia,
    Ended,
    Held,
    HoldChanged,
    Resumed,
    Ringing,
)


def walk(*events: object) -> CallState:
    state = CallState.NEW
    for event in events:
        state = next_state(state, event)  # type: ignore[arg-type]
    return state


def test_a_call_rings_plays_is_answered_held_and_resumed() -> None:
    assert walk(Ringing(), EarlyMedia(), Ringing(), Answered()) is CallState.UP
    assert walk(Answered(), Held(), Digit("1", 0), Resumed()) is CallState.UP
    assert walk(Answered(), HoldChanged(True)) is CallState.UP
    assert walk(Answered(), Held(), HoldChanged(True)) is CallState.HELD


@pytest.mark.parametrize("state", [state for state in CallState if state is not CallState.ENDED])
def test_a_call_may_end_in_any_state(state: CallState) -> None:
    assert next_state(state, Ended("hangup", "us")) is CallState.ENDED


def test_nothing_happens_to_a_call_that_has_ended() -> None:
    assert not [key for key in TRANSITIONS if key[0] is CallState.ENDED]
    with pytest.raises(IllegalTransitionError, match="Ended cannot happen to a call that is ended"):
        next_state(CallState.ENDED, Ended("hangup", "us"))


def test_a_call_that_is_not_answered_cannot_be_held() -> None:
    with pytest.raises(UsageError):
        walk(Ringing(), Held())
