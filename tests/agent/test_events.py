import dataclasses
from typing import get_args

import pytest

from trunkline.agent.events import AgentEvent, AgentStarted, Observers


def test_observers_hear_in_order_even_after_one_has_failed() -> None:
    heard: list[str] = []

    def broken(event: AgentEvent) -> None:
        heard.append("broken")
        raise RuntimeError

    Observers([broken, lambda event: heard.append("second")])(AgentStarted(1.0, 1))
    assert heard == ["broken", "second"]


@pytest.mark.parametrize("event", get_args(AgentEvent), ids=lambda event: event.__name__)
def test_every_event_is_frozen_and_says_when(event: type) -> None:
    assert "at" in {field.name for field in dataclasses.fields(event)}
    assert event.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert event.__slots__  # type: ignore[attr-defined]
