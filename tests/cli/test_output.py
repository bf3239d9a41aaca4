"""Durations and strangers' text."""

import pytest

from trunkline.cli.output import seconds, text


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (0, "0.0 s"), (4.24, "4.2 s"), (60, "1:00"), (187.4, "3:07"), (3753, "1:02:33")],
)
def test_durations_are_short(value: float | None, shown: str) -> None:
    assert seconds(value) == shown


def test_text_keeps_what_can_be_seen() -> None:
    assert text("Grüße, 世界 [x]").plain == "Grüße, 世界 [x]"
    assert text("a\x1b\n\u202eb").plain == r"a\x1b\n\u202eb"
