"""Twilio Media Streams: what is decoded, what is ignored, what is sent."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.wire.events import (
    Clear,
    Connected,
    Dtmf,
    Mark,
    MarkReached,
    Media,
    Started,
    Stopped,
)
from trunkline.wire.twilio import Encoder, ProviderEncoder, decode, decode_command

SID = "MZ0123456789abcdef0123456789abcdef"
AUDIO = bytes(range(160))

START: dict[str, Any] = {
    "event": "start",
    "sequenceNumber": "1",
    "streamSid": SID,
    "start": {
        "accountSid": "AC1",
        "streamSid": SID,
        "callSid": "CA1",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"from": "+15550100", "to": "+15550199"},
    },
}


def media(**chunk: Any) -> dict[str, Any]:
    fields = {
        "track": "inbound",
        "chunk": "2",
        "timestamp": "25",
        "payload": base64.b64encode(AUDIO).decode(),
    }
    return {
        "event": "media",
        "sequenceNumber": "4",
        "streamSid": SID,
        "media": {name: value for name, value in (fields | chunk).items() if value is not ...},
    }


def text(message: Any) -> bytes:
    return json.dumps(message).encode()


def test_connected_names_the_protocol() -> None:
    message = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
    assert decode(text(message)) == Connected("Call", "1.0.0")


def test_start_becomes_the_stream_and_its_format() -> None:
    assert decode(text(START)) == Started(
        stream_id=SID,
        call_id="CA1",
        account_id="AC1",
        encoding="ulaw",
        rate_hz=8000,
        channels=1,
        tracks=("inbound",),
        parameters={"from": "+15550100", "to": "+15550199"},
    )


def test_start_needs_only_a_stream_sid() -> None:
    event = decode(text({"event": "start", "start": {"streamSid": SID}}))
    assert event == Started(stream_id=SID)
    assert decode(text({"event": "start", "streamSid": SID, "start": {}})) == event


@pytest.mark.parametrize(
    "message",
    [
        {"event": "start"},
        {"event": "start", "start": {}},
        {"event": "start", "streamSid": "", "start": {}},
        {"event": "start", "streamSid": SID, "start": None},
        {"event": "start", "streamSid": SID, "start": {"mediaFormat": {"sampleRate": "fast"}}},
        {"event": "start", "streamSid": 7, "start": {}},
    ],
)
def test_a_start_that_cannot_be_used_is_ignored(message: Any) -> None:
    assert decode(text(message)) is None


def test_another_encoding_is_reported_not_hidden() -> None:
    start = START["start"] | {"mediaFormat": {"encoding": "audio/x-l16", "sampleRate": "16000"}}
    event = decode(text(START | {"start": start}))
    assert isinstance(event, Started)
    assert (event.encoding, event.rate_hz) == ("l16", 16000)
    start = START["start"] | {"mediaFormat": {"encoding": "audio/opus"}}
    event = decode(text(START | {"start": start}))
    assert isinstance(event, Started)
    assert event.encoding == "audio/opus"


def test_parameters_that_are_not_text_become_their_json() -> None:
    start = START["start"] | {"customParameters": {"n": 3, "list": [1, 2], "no": None, "s": "x"}}
    event = decode(text(START | {"start": start}))
    assert isinstance(event, Started)
    assert event.parameters == {"n": "3", "list": "[1,2]", "no": "null", "s": "x"}


def test_media_becomes_its_samples() -> None:
    assert decode(text(media())) == Media(AUDIO, SID, "inbound", 25)


def test_media_is_decoded_from_text_as_well_as_from_bytes() -> None:
    assert decode(text(media()).decode()) == decode(text(media()))


def test_counters_may_be_numbers_or_strings() -> None:
    assert decode(text(media(timestamp=25, chunk=2) | {"sequenceNumber": 4})) == Media(
        AUDIO, SID, "inbound", 25
    )


@pytest.mark.parametrize("timestamp", ["soon", "", {}, [], None, 1.5, 10**400])
def test_audio_with_an_unreadable_timestamp_is_still_audio(timestamp: object) -> None:
    event = decode(text(media(timestamp=timestamp)))
    assert isinstance(event, Media)
    assert event.payload == AUDIO


def test_unreadable_sequence_numbers_do_not_matter() -> None:
    message = media(chunk={"a": 1}) | {"sequenceNumber": ["x"]}
    assert decode(text(message)) == Media(AUDIO, SID, "inbound", 25)


@pytest.mark.parametrize("payload", [..., None, "", "***", "A", 7, ["AAAA"]])
def test_media_without_a_payload_is_ignored(payload: object) -> None:
    assert decode(text(media(payload=payload))) is None
    assert decode(text(media(payload=payload, timestamp="bad"))) is None


def test_a_key_press_becomes_a_digit() -> None:
    message = {"event": "dtmf", "streamSid": SID, "dtmf": {"track": "inbound_track", "digit": "1"}}
    assert decode(text(message)) == Dtmf("1", SID, 0)
    message["dtmf"] = {"digit": "d", "duration": "260"}
    assert decode(text(message)) == Dtmf("D", SID, 260)


@pytest.mark.parametrize("digit", ["", "12", "E", "é", "١", "w", " "])
def test_what_is_not_a_digit_is_ignored(digit: str) -> None:
    assert decode(text({"event": "dtmf", "streamSid": SID, "dtmf": {"digit": digit}})) is None


@pytest.mark.parametrize("duration", ["x", None, [], {}, -5, "1e9"])
def test_an_unreadable_duration_counts_as_unknown(duration: object) -> None:
    message = {"event": "dtmf", "streamSid": SID, "dtmf": {"digit": "5", "duration": duration}}
    assert decode(text(message)) == Dtmf("5", SID, 0)


def test_a_mark_comes_back_without_saying_why() -> None:
    message = {"event": "mark", "streamSid": SID, "mark": {"name": "utt-7"}}
    assert decode(text(message)) == MarkReached("utt-7", SID, None)


@pytest.mark.parametrize("mark", [{}, {"name": ""}, {"name": None}, {"name": 7}, None, "utt-7"])
def test_a_mark_without_a_name_is_ignored(mark: object) -> None:
    assert decode(text({"event": "mark", "streamSid": SID, "mark": mark})) is None
    assert decode_command(text({"event": "mark", "streamSid": SID, "mark": mark})) is None


def test_stop_ends_the_stream_whatever_it_carries() -> None:
    message = {"event": "stop", "streamSid": SID, "stop": {"accountSid": "AC1", "callSid": "CA1"}}
    assert decode(text(message)) == Stopped(SID)
    assert decode(text({"event": "stop"})) == Stopped("")


def test_fields_twilio_may_add_are_ignored() -> None:
    message = media() | {"new": {"deep": [1, 2, {"x": None}]}}
    message["media"]["codec"] = "x"
    assert decode(text(message)) == Media(AUDIO, SID, "inbound", 25)


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"7",
        b'"media"',
        b"{}",
        b'{"event":null}',
        b'{"event":7}',
        b'{"event":"someday"}',
        b'{"event":"media"}',
        b'{"event":"media","media":null}',
        b'{"event":"media","media":[]}',
        b"\xff\xfe\x00",
        b'{"event":"mark","mark":{"name":"\xff"}}',
        b'{"event":"media","x":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b"[" * 100_000,
        b"\x00" * 1000,
    ],
)
def test_garbage_is_ignored(garbage: bytes) -> None:
    assert decode(garbage) is None
    assert decode_command(garbage) is None


@given(st.binary(max_size=400))
def test_no_bytes_raise(garbage: bytes) -> None:
    assert decode(garbage) is None
    assert decode_command(garbage) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
EVENTS = st.sampled_from(["connected", "start", "media", "mark", "dtmf", "stop", "clear", "x"])


@given(EVENTS, JSON, JSON)
def test_no_json_of_the_wrong_shape_raises(event: str, body: object, sid: object) -> None:
    message = text({"event": event, event: body, "streamSid": sid})
    decode(message)
    decode_command(message)


@given(st.data())
def test_a_damaged_message_never_raises(data: st.DataObject) -> None:
    message = bytearray(text(data.draw(st.sampled_from([START, media()]))))
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    decode(bytes(message))
    decode(bytes(message[: data.draw(st.integers(0, len(message)))]))


def test_the_encoder_writes_the_documented_messages() -> None:
    encoder = Encoder(SID)
    assert json.loads(encoder.media(AUDIO)) == {
        "event": "media",
        "streamSid": SID,
        "media": {"payload": base64.b64encode(AUDIO).decode()},
    }
    assert json.loads(encoder.mark("utt-7")) == {
        "event": "mark",
        "streamSid": SID,
        "mark": {"name": "utt-7"},
    }
    assert json.loads(encoder.clear()) == {"event": "clear", "streamSid": SID}


def test_messages_are_one_line_without_spaces() -> None:
    encoder = Encoder(SID)
    for message in (encoder.media(AUDIO), encoder.mark("x"), encoder.clear()):
        assert b"\n" not in message
        assert b" " not in message


# Twilio's own ids are ASCII; ours must survive whatever a compatible server invents.
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@given(NAMES, st.binary(min_size=1, max_size=400), NAMES)
def test_what_an_application_encodes_twilio_decodes(sid: str, audio: bytes, mark: str) -> None:
    encoder = Encoder(sid)
    assert decode_command(encoder.media(audio)) == Media(audio, sid, "outbound", 0)
    assert decode_command(encoder.mark(mark)) == Mark(mark)
    assert decode_command(encoder.clear()) == Clear()


@given(
    st.builds(
        Started,
        stream_id=NAMES,
        call_id=NAMES,
        account_id=NAMES,
        encoding=st.sampled_from(["ulaw", "alaw", "l16"]),
        rate_hz=st.sampled_from([8000, 16000]),
        channels=st.just(1),
        tracks=st.sampled_from([("inbound",), ("inbound", "outbound")]),
        parameters=st.dictionaries(NAMES, NAMES, max_size=3),
    ),
    st.binary(min_size=1, max_size=400),
    NAMES,
    st.sampled_from("0123456789*#ABCD"),
)
def test_what_we_encode_as_twilio_an_application_decodes(
    started: Started, audio: bytes, mark: str, digit: str
) -> None:
    provider = ProviderEncoder(started)
    sid = started.stream_id
    assert decode(provider.connected()) == Connected("Call", "1.0.0")
    assert decode(provider.start()) == started
    assert decode(provider.media(audio)) == Media(audio, sid, "inbound", 0)
    assert decode(provider.media(audio)) == Media(audio, sid, "inbound", 20)
    assert decode(provider.mark(mark)) == MarkReached(mark, sid)
    assert decode(provider.dtmf(digit)) == Dtmf(digit, sid)
    assert decode(provider.stop()) == Stopped(sid)


def test_the_provider_counts_as_twilio_does() -> None:
    provider = ProviderEncoder(Started(SID, call_id="CA1", account_id="AC1"))
    assert json.loads(provider.start())["sequenceNumber"] == "1"
    first, second = json.loads(provider.media(AUDIO)), json.loads(provider.media(AUDIO))
    assert (first["sequenceNumber"], second["sequenceNumber"]) == ("2", "3")
    assert (first["media"]["chunk"], second["media"]["chunk"]) == ("1", "2")
    assert (first["media"]["timestamp"], second["media"]["timestamp"]) == ("0", "20")
    assert json.loads(provider.mark("m"))["sequenceNumber"] == "4"
    assert json.loads(provider.media(AUDIO))["media"]["chunk"] == "3"
    assert json.loads(provider.stop())["stop"] == {"accountSid": "AC1", "callSid": "CA1"}


def test_a_sid_that_is_not_text_never_reaches_an_encoder() -> None:
    assert decode(b'{"event":"start","start":{},"streamSid":"\\ud800"}') is None


@pytest.mark.parametrize("timestamp", [..., "bad"])
def test_an_application_that_sends_no_audio_in_its_media_is_ignored(timestamp: object) -> None:
    assert decode_command(text(media(payload="", timestamp=timestamp))) is None
