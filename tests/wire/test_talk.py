"""What a talking page and we tell each other."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.wire.events import Connected, Dtmf, MarkReached, Stopped
from trunkline.wire.talk import decode, encode, encode_clear, encode_mark


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ('{"type":"client-ready","data":{"version":"2.1.0"}}', (Connected("rtvi-ai", "2.1.0"),)),
        ('{"label":"rtvi-ai","id":"1","type":"client-ready"}', (Connected("rtvi-ai", ""),)),
        (
            '{"type":"audio-mark-reached","data":{"name":"0:160"}}',
            (MarkReached("0:160", cleared=False),),
        ),
        ('{"type":"dtmf","data":{"buttons":["1","#"]}}', (Dtmf("1"), Dtmf("#"))),
        ('{"type":"dtmf","data":{"buttons":[]}}', ()),
        ('{"type":"disconnect-bot","data":null}', (Stopped(),)),
    ],
)
def test_what_a_page_says(text: str, events: tuple[object, ...]) -> None:
    assert decode(text) == events
    assert decode(text.encode()) == events


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"[]",
        b'{"type":"later"}',
        b'{"type":"client-ready","data":7}',
        b'{"type":"audio-mark-reached"}',
        b'{"type":"audio-mark-reached","data":{"name":null}}',
        b'{"type":"dtmf","data":{"buttons":["x"]}}',
        b'{"type":"dtmf","data":{"buttons":["12"]}}',
        b'{"type":"dtmf","data":{"buttons":"12"}}',
        b'{"type":"dtmf","data":{"buttons":[' + b",".join([b'"1"'] * 33) + b"]}}",
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_anything_else_is_ignored(text: bytes) -> None:
    assert decode(text) == ()


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_nothing_raises(text: bytes | str) -> None:
    decode(text)


def test_no_message_leaks_into_the_next() -> None:
    decode('{"type":"dtmf","data":{"buttons":["1"]}}')
    assert decode('{"type":"dtmf","data":{}}') == ()


def test_messages_to_the_page_have_the_envelope() -> None:
    assert json.loads(encode("bot-ready", {"version": "x"})) == {
        "label": "rtvi-ai",
        "type": "bot-ready",
        "data": {"version": "x"},
    }
    assert json.loads(encode_clear()) == {"label": "rtvi-ai", "type": "audio-clear"}
    assert json.loads(encode_mark("1:2"))["data"] == {"name": "1:2"}
