"""``examples/early_media.py``: a voice before the answer, and a call that is never answered."""

from typing import Any

from tests.interop.kit import until
from tests.interop.peer import sdp

from .conftest import Example, Run, Telephones


def opened(example: Example, is_open: bool) -> Example:
    module: Any = example.module
    module.is_open = lambda now: is_open
    return example


def test_outside_opening_hours_the_caller_hears_why_and_is_refused(
    run: Run, telephone: Telephones
) -> None:
    example = opened(run("early_media.py"), False)
    phone = telephone(example)
    phone.call.invite(sdp(phone.media.port))
    phone.peer.status(180)
    phone.peer.status(183)
    until(phone.sounds)
    phone.call.refuse_ack(phone.peer.status(480))
    assert [text.split(".")[0] for text in example.said] == ["We are closed"]
    example.node.assert_clean()
    (record,) = example.node.records()
    assert (record.answered_at, record.end_code) == (None, 480)


def test_in_opening_hours_the_call_is_answered(run: Run, telephone: Telephones) -> None:
    example = opened(run("early_media.py"), True)
    phone = telephone(example)
    phone.dial()
    assert [message.code for message in phone.peer.seen] == [100, 180, 200]
    phone.wait_hung_up()
    assert [text.split(".")[0] for text in example.said] == ["Good day"]


def test_the_hours_are_weekdays_from_eight_to_six(run: Run) -> None:
    from datetime import datetime

    is_open: Any = run("early_media.py").module.is_open
    assert is_open(datetime(2026, 11, 20, 8)) and is_open(datetime(2026, 11, 20, 17, 59))
    assert not is_open(datetime(2026, 11, 20, 18)) and not is_open(datetime(2026, 11, 20, 7, 59))
    assert not is_open(datetime(2026, 11, 21, 12))
