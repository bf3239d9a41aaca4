"""The vocabulary of media streams."""

import dataclasses

import pytest

import trunkline.wire as wire


@pytest.mark.parametrize("name", wire.__all__)
def test_the_vocabulary_is_frozen_and_slotted(name: str) -> None:
    kind = getattr(wire, name)
    if name in ("Event", "Command"):
        return
    assert dataclasses.is_dataclass(kind)
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert "__dict__" not in dir(kind)


def test_there_are_eleven_words() -> None:
    words = [name for name in wire.__all__ if name not in ("Event", "Command")]
    assert len(words) == 11


def test_events_with_the_same_content_are_equal() -> None:
    assert wire.Media(b"x", "MZ1") == wire.Media(b"x", "MZ1")
    assert wire.Mark("a") != wire.Mark("b")
