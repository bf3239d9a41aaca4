import dataclasses

import pytest

import trunkline.speech
from trunkline.speech import Finished, Grammar, Message, ToolCall, ToolSpec, Transcript, interfaces


def test_everything_public_can_be_reached_from_the_package() -> None:
    for name in trunkline.speech.__all__:
        assert getattr(trunkline.speech, name) is not None
    assert set(interfaces.__all__) <= set(trunkline.speech.__all__)


def test_what_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        trunkline.speech.nothing  # noqa: B018


@pytest.mark.parametrize(
    "value",
    [
        Grammar("#JSGF V1.0;", "g"),
        Transcript("yes", 0.9, True, 400),
        Message("user", "hello"),
        ToolCall("1", "hours", "{}"),
        ToolSpec("hours", "when the shop is open"),
        Finished("stop"),
    ],
)
def test_values_cannot_be_changed(value: object) -> None:
    name = dataclasses.fields(value)[0].name  # type: ignore[arg-type]
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, name, "other")
