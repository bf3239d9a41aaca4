"""Control messages of plain streams."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.wire.events import Clear, Hangup, Mark, SendDtmf, Started
from trunkline.wire.plain import (
    decode_command,
    encode_dtmf,
    encode_mark,
    encode_start,
    encode_stop,
)


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ('{"type":"clear"}', Clear()),
        ('{"type":"hangup"}', Hangup()),
        ('{"type":"mark","name":"utt-7"}', Mark("utt-7")),
        ('{"type":"dtmf","digits":"12#"}', SendDtmf("12#")),
        ('{"type":"dtmf","digit":"d"}', SendDtmf("D")),
        ('{"type":"clear","why":{"not":[1]}}', Clear()),
    ],
)
def test_what_a_bot_asks_for(text: str, command: object) -> None:
    assert decode_command(text) == command
    assert decode_command(text.encode()) == command


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"clear",
        b"{}",
        b"[]",
        b"null",
        b'{"type":"mark"}',
        b'{"type":"mark","name":""}',
        b'{"type":"mark","name":7}',
        b'{"type":"dtmf"}',
        b'{"type":"dtmf","digits":"1x"}',
        b'{"type":"dtmf","digits":"' + b"1" * 65 + b'"}',
        b'{"type":"later"}',
        b'{"type":7}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_anything_else_is_ignored(text: bytes) -> None:
    assert decode_command(text) is None


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_nothing_raises(text: bytes | str) -> None:
    decode_command(text)


def test_the_start_says_which_call_it_is() -> None:
    started = Started(
        "s1", call_id="call_1", caller="+15550100", callee="+15550199", encoding="l16",
        parameters={"a": "b"},
    )  # fmt: skip
    assert json.loads(encode_start(started, "inbound")) == {
        "type": "start",
        "call": {
            "id": "call_1",
            "from": "+15550100",
            "to": "+15550199",
            "direction": "inbound",
        },
        "media": {"encoding": "l16", "rate_hz": 8000, "channels": 1},
        "parameters": {"a": "b"},
    }


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_mark_comes_back_with_its_name(name: str) -> None:
    assert decode_command(encode_mark(name)) == Mark(name)
    assert json.loads(encode_mark(name, cleared=True)) == {
        "type": "mark",
        "name": name,
        "cleared": True,
    }


def test_keys_and_the_end_are_told() -> None:
    assert json.loads(encode_dtmf("#")) == {"type": "dtmf", "digit": "#"}
    assert json.loads(encode_stop("hangup")) == {"type": "stop", "reason": "hangup"}
