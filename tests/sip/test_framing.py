"""Messages out of a stream, however it is cut; and streams that cannot be followed."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.sip.framing import FramingError, StreamFramer

OPTIONS = (
    b"OPTIONS sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1\r\n"
    b"Content-Length: 0\r\n\r\n"
)
INVITE = (
    b"INVITE sip:a@example.com SIP/2.0\r\nl :  12\r\nVia: SIP/2.0/TCP h\r\n\r\nv=0\r\no=a\r\n\r\n"
)


def fed(pieces, **limits: int) -> tuple[list[bytes], int]:
    framer = StreamFramer(**limits)
    messages: list[bytes] = []
    pings = 0
    for piece in pieces:
        framed = framer.feed(piece)
        messages += framed.messages
        pings += framed.pings
    return messages, pings


@given(
    st.lists(st.sampled_from([OPTIONS, INVITE, b"\r\n\r\n"]), max_size=8),
    st.lists(st.integers(0, 700), max_size=12),
)
def test_it_does_not_matter_how_the_stream_is_cut(parts, cuts) -> None:
    stream = b"".join(parts)
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    pieces = [stream[a:b] for a, b in zip(places, places[1:], strict=False)]
    messages, pings = fed(pieces)
    assert messages == [part for part in parts if part != b"\r\n\r\n"]
    assert pings == parts.count(b"\r\n\r\n")


def test_a_body_is_as_long_as_its_length_says() -> None:
    assert fed([INVITE + OPTIONS]) == ([INVITE, OPTIONS], 0)
    assert INVITE.endswith(b"o=a\r\n\r\n")


def test_single_line_ends_between_messages_are_nothing() -> None:
    assert fed([b"\r\n" + OPTIONS + b"\r\n", OPTIONS]) == ([OPTIONS, OPTIONS], 0)


def test_bare_line_feeds_are_lenient() -> None:
    plain = OPTIONS.replace(b"\r\n", b"\n")
    assert fed([b"\n" + plain + plain]) == ([plain, plain], 0)


def test_a_ping_may_come_in_halves() -> None:
    framer = StreamFramer()
    assert framer.feed(b"\r\n").pings == 0
    assert framer.feed(b"\r\n").pings == 1
    assert framer.pending_bytes == 0


@pytest.mark.parametrize(
    "wrong",
    [
        b"OPTIONS sip:a SIP/2.0\r\nVia: x\r\n\r\n",
        b"OPTIONS sip:a SIP/2.0\r\nContent-Length: many\r\n\r\n",
        b"OPTIONS sip:a SIP/2.0\r\nContent-Length: -1\r\n\r\n",
        b"OPTIONS sip:a SIP/2.0\r\nContent-Length:\r\n\r\n",
        b"OPTIONS sip:a SIP/2.0\r\nContent-Length: 1\r\nl: 2\r\n\r\n",
        b"OPTIONS sip:a SIP/2.0\r\nContent-Length: 9999999999\r\n\r\n",
        b"OPTIONS sip:a SIP/2.0\r\nContent-Length: 70000\r\n\r\n",
        b"X" * 20_000,
        b"\x16\x03\x01\x02\x00" * 4000,
    ],
)
def test_a_stream_that_cannot_be_followed_is_given_up(wrong: bytes) -> None:
    with pytest.raises(FramingError):
        fed([wrong])


def test_the_same_length_twice_is_one() -> None:
    twice = b"OPTIONS sip:a SIP/2.0\r\nContent-Length: 2\r\nl: 2\r\n\r\nhi"
    assert fed([twice]) == ([twice], 0)


def test_a_header_that_only_contains_the_name_is_not_it() -> None:
    message = b"OPTIONS sip:a SIP/2.0\r\nX-Content-Length: 5\r\nContent-Length: 0\r\n\r\n"
    assert fed([message]) == ([message], 0)


def test_memory_is_bounded_while_nothing_ends() -> None:
    framer = StreamFramer(max_head_bytes=1000)
    for _ in range(1000):
        framer.feed(b"x")
    with pytest.raises(FramingError, match="1000"):
        framer.feed(b"x")
    assert framer.pending_bytes == 1001


def test_a_byte_at_a_time_costs_no_more_than_its_length() -> None:
    head = b"OPTIONS sip:a SIP/2.0\r\nX: " + b"y" * 10_000 + b"\r\nl: 0\r\n\r\n"
    messages, _ = fed([head[at : at + 1] for at in range(len(head))])
    assert messages == [head]


@given(st.binary(max_size=300))
def test_any_bytes_are_taken_or_refused(data: bytes) -> None:
    framer = StreamFramer()
    try:
        framed = framer.feed(data)
    except FramingError:
        return
    assert sum(map(len, framed.messages)) + framer.pending_bytes <= len(data)


def test_what_was_complete_before_a_wrong_message_is_not_lost() -> None:
    wrong = OPTIONS.replace(b"Content-Length: 0", b"Content-Length: x")
    with pytest.raises(FramingError) as raised:
        fed([OPTIONS + b"\r\n\r\n" + INVITE + wrong + OPTIONS])
    assert raised.value.framed.messages == (OPTIONS, INVITE)
    assert raised.value.framed.pings == 1
    assert raised.value.head == wrong


def test_headers_without_an_end_leave_nothing_to_answer() -> None:
    with pytest.raises(FramingError) as raised:
        fed([b"X" * 20_000])
    assert raised.value.head == b""


def test_a_length_may_be_folded() -> None:
    folded = OPTIONS.replace(b"Content-Length: 0", b"Content-Length:\r\n 3") + b"abc"
    assert fed([folded + OPTIONS]) == ([folded, OPTIONS], 0)


def test_the_headers_of_what_is_not_finished_are_known() -> None:
    framer = StreamFramer()
    framer.feed(INVITE[:20])
    assert framer.pending_head == b""
    framer.feed(INVITE[20:-2])
    assert INVITE.startswith(framer.pending_head) and framer.pending_head.endswith(b"\r\n\r\n")
    framer.feed(INVITE[-2:])
    assert framer.pending_head == b""


def test_the_answer_to_a_ping_is_not_half_a_ping() -> None:
    framer = StreamFramer()
    framer.expect_pong()
    framed = framer.feed(b"\r\n")
    assert (framed.pings, framed.line_ends, framer.pending_bytes) == (0, 1, 0)
    framer.expect_pong(False)
    assert framer.feed(b"\r\n").line_ends == 0
    assert framer.feed(b"\r\n").pings == 1


def test_a_pong_may_come_with_a_message() -> None:
    framer = StreamFramer()
    framer.expect_pong()
    framed = framer.feed(b"\r\n" + OPTIONS)
    assert (framed.messages, framed.pings, framed.line_ends) == ((OPTIONS,), 0, 1)


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=4))
def test_any_bytes_are_messages_or_an_error(data: bytes, cuts: list[int]) -> None:
    framer = StreamFramer()
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    with contextlib.suppress(FramingError):
        for a, b in zip(places, places[1:], strict=False):
            framed = framer.feed(data[a:b])
            assert all(b"\n" in message for message in framed.messages)
