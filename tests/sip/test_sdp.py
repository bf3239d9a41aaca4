"""Session descriptions as they are met."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.sip.errors import SdpError
from trunkline.sip.sdp import Codec, Direction, MediaDescription, Origin, SessionDescription

CARRIER = (
    b"v=0\r\no=SBC 1234567890 42 IN IP4 203.0.113.1\r\ns=call\r\ni=info\r\n"
    b"c=IN IP4 203.0.113.2\r\nb=AS:84\r\nt=0 0\r\na=sendrecv\r\n"
    b"m=audio 16384 RTP/AVP 18 0 8 96 13\r\nc=IN IP4 203.0.113.3/127\r\n"
    b"a=rtpmap:96 telephone-event/8000\r\na=fmtp:96 0-15,16\r\na=fmtp:18 annexb=no\r\n"
    b"a=ptime:30\r\na=rtcp:16400\r\n"
    b"m=video 0/2 RTP/AVP 31\r\n"
)


def test_a_carriers_offer_is_taken_apart() -> None:
    description = SessionDescription.parse(CARRIER)
    assert description.origin == Origin("1234567890", 42, "203.0.113.1", "SBC")
    audio, video = description.media
    assert (audio.kind, audio.port, audio.protocol) == ("audio", 16384, "RTP/AVP")
    assert audio.codecs == (
        Codec("G729", 18, 8000, "annexb=no"),
        Codec("PCMU", 0),
        Codec("PCMA", 8),
        Codec("TELEPHONE-EVENT", 96, 8000, "0-15,16"),
        Codec("CN", 13),
    )
    assert audio.ptime_ms == 30
    assert description.address(audio) == "203.0.113.3"
    assert description.address(video) == "203.0.113.2"
    assert description.direction(audio) is Direction.SENDRECV
    assert (video.port, video.port_count) == (0, 2)
    assert description.direction(video) is Direction.INACTIVE


def test_a_description_is_written_in_the_order_the_rfc_wants() -> None:
    text = bytes(SessionDescription.parse(CARRIER)).decode()
    assert "".join(line[0] for line in text.split("\r\n") if line) == "vosicbtamcaaaaam"
    assert SessionDescription.parse(text.encode()) == SessionDescription.parse(CARRIER)


@pytest.mark.parametrize(
    ("session", "media", "address", "direction"),
    [
        ("", "", "192.0.2.1", Direction.SENDRECV),
        ("a=sendonly\r\n", "", "192.0.2.1", Direction.SENDONLY),
        ("a=sendonly\r\n", "a=recvonly\r\n", "192.0.2.1", Direction.RECVONLY),
        ("", "a=inactive\r\n", "192.0.2.1", Direction.INACTIVE),
        ("", "", "0.0.0.0", Direction.SENDONLY),
        ("", "a=recvonly\r\n", "0.0.0.0", Direction.INACTIVE),
        ("", "c=IN IP6 ::\r\n", "192.0.2.1", Direction.SENDONLY),
    ],
)
def test_direction_comes_from_session_media_and_address(
    session: str, media: str, address: str, direction: Direction
) -> None:
    description = SessionDescription.parse(
        f"v=0\r\no=- 1 1 IN IP4 1.1.1.1\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n{session}"
        f"m=audio 9 RTP/AVP 0\r\n{media}".encode()
    )
    assert description.direction(description.media[0]) is direction


def test_bare_line_feeds_empty_names_and_missing_times_are_read() -> None:
    description = SessionDescription.parse(b"v=0\no=- 1 1 IN IP4 h\ns=\nm=audio 1 RTP/AVP 0\n\n")
    assert b"s=-\r\n" in bytes(description)
    assert b"t=0 0\r\n" in bytes(description)


@pytest.mark.parametrize(
    "data",
    [b"", b"v=1\r\n", b"v=0\r\n", b"v=0\r\no=- 1 1 IN IP4\r\n", b"v=0\r\no=- 1 x IN IP4 h\r\n",
     b"v=0\r\no=- 1 1 IN IP4 h\r\nm=audio\r\n", b"v=0\r\no=- 1 1 IN IP4 h\r\nm=audio x RTP/AVP 0",
     b"v=0\r\no=- 1 1 IN IP4 h\r\nm=audio 70000 RTP/AVP 0",
     b"v=0\r\no=- 1 1 IN IP4 h\r\nm=audio 1/x RTP/AVP 0", b"v=0\r\no=- 1 1 IN IP4 h\r\nrubbish",
     b"v=0\r\no=- 1 1 IN IP4 h\r\nc=IN IP5 x\r\n", b"v=0\r\n" + b"a=x\r\n" * 5000],
)  # fmt: skip
def test_a_malformed_description_is_answered_400(data: bytes) -> None:
    with pytest.raises(SdpError) as caught:
        SessionDescription.parse(data)
    assert caught.value.code == 400


@pytest.mark.parametrize("value", ["", "x", "-20", "0", "99999999999"])
def test_a_silly_ptime_is_no_ptime(value: str) -> None:
    attributes = (("ptime", value), ("maxptime", value))
    line = MediaDescription("audio", 1, "RTP/AVP", ("0",), attributes=attributes)
    assert line.ptime_ms is line.maxptime_ms is None


def test_unreadable_codecs_are_left_out() -> None:
    line = MediaDescription(
        "audio", 1, "RTP/AVP", ("0", "999", "x", "97", "98", "99"),
        attributes=(("rtpmap", "97 opus"), ("rtpmap", "98 /8000"), ("rtpmap", "99 L16/x"),
                    ("rtpmap", None)),
    )  # fmt: skip
    assert line.codecs == (Codec("PCMU", 0),)


def test_channels_follow_the_clock_rate() -> None:
    line = MediaDescription(
        "audio", 1, "RTP/AVP", ("96", "97", "98"),
        attributes=(("rtpmap", "96 opus/48000/2"), ("rtpmap", "97 L16/16000"),
                    ("rtpmap", "98 L16/16000/x")),
    )  # fmt: skip
    assert [codec.channels for codec in line.codecs] == [2, 1, 1]


TOKEN = st.from_regex(r"[A-Za-z0-9./-]{1,8}", fullmatch=True)
ATTRIBUTE = st.tuples(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.none() | TOKEN)
ADDRESS = st.none() | st.ip_addresses().map(str)
MEDIA = st.builds(
    MediaDescription,
    kind=st.sampled_from(["audio", "video"]),
    port=st.integers(0, 65535),
    protocol=st.sampled_from(["RTP/AVP", "RTP/SAVP"]),
    formats=st.lists(TOKEN, min_size=1, max_size=4).map(tuple),
    connection=ADDRESS,
    attributes=st.lists(ATTRIBUTE, max_size=4).map(tuple),
)
DESCRIPTION = st.builds(
    SessionDescription,
    origin=st.builds(Origin, TOKEN, st.integers(0, 10**20), st.ip_addresses().map(str)),
    media=st.lists(MEDIA, max_size=3).map(tuple),
    connection=ADDRESS,
    attributes=st.lists(ATTRIBUTE, max_size=3).map(tuple),
)


@given(DESCRIPTION)
def test_every_description_survives_being_written_and_read(description: SessionDescription) -> None:
    assert SessionDescription.parse(bytes(description)) == description


@given(st.binary(max_size=200))
def test_any_bytes_are_a_description_or_an_error(data: bytes) -> None:
    for candidate in (data, CARRIER + data, CARRIER[: len(data)] + data):
        with contextlib.suppress(SdpError):
            description = SessionDescription.parse(candidate)
            for line in description.media:
                assert description.direction(line) in Direction
                assert isinstance(line.codecs, tuple)
