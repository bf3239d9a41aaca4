"""Events come out the same however their bytes are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import PeerError
from trunkline.speech.sse import EventStream, EventTooLarge


def read(*parts: bytes) -> list[str]:
    stream = EventStream()
    return [data for part in parts for data in stream.feed(part)]


def feed_often(stream: EventStream, data: bytes) -> None:
    for _ in range(200):
        list(stream.feed(data))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"data: hello\n\n", ["hello"]),
        (b"data:hello\n\n", ["hello"]),
        (b"data:  two spaces\n\n", [" two spaces"]),
        (b"data: one\n\ndata: two\n\n", ["one", "two"]),
        (b"data: one\r\n\r\ndata: two\r\n\r\n", ["one", "two"]),
        (b"data: one\r\rdata: two\r\r", ["one", "two"]),
        (b"data: first\ndata: second\n\n", ["first\nsecond"]),
        (b": keep-alive\n\ndata: x\n\n", ["x"]),
        (b"data: x\n: in between\ndata: y\n\n", ["x\ny"]),
        (b"event: message\nid: 7\nretry: 10\ndata: x\n\n", ["x"]),
        (b"event: only a name\n\n", []),
        (b"data\n\n", [""]),
        (b"data:\n\n", [""]),
        (b"datum: x\n\n", []),
        (b"data: never ended", []),
        (b"data: never ended\n", []),
        (b"\xef\xbb\xbfdata: after a mark\n\n", ["after a mark"]),
        (b"\n\n\n\n", []),
        (b"", []),
        ("data: größer ✓\n\n".encode(), ["größer ✓"]),
        ("data: no\u2028line\x0bend\u0085here\n\n".encode(), ["no\u2028line\x0bend\u0085here"]),
        (b"data: \xff\xfe\n\n", ["\ufffd\ufffd"]),
    ],
)
def test_reads_the_data_of_events(raw: bytes, expected: list[str]) -> None:
    assert read(raw) == expected


@pytest.mark.parametrize("ending", [b"\n", b"\r", b"\r\n"])
def test_single_bytes_say_the_same_as_the_whole(ending: bytes) -> None:
    raw = ending.join(
        [b": hi", b"data: gr\xc3\xb6\xc3\x9fer", b"data: \xe2\x9c\x93", b"", b"data: 2", b"", b""]
    )
    whole = read(raw)
    assert whole == ["größer\n✓", "2"]
    assert read(*(raw[i : i + 1] for i in range(len(raw)))) == whole


LINES = st.sampled_from([b"data: a", b"data: \xe2\x9c\x93b", b"", b": c", b"id: 1", b"data:"])
ENDINGS = st.sampled_from([b"\n", b"\r", b"\r\n"])


@given(st.lists(st.tuples(LINES, ENDINGS), max_size=12), st.lists(st.integers(0, 80), max_size=8))
def test_cuts_do_not_matter(lines: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    raw = b"".join(line + ending for line, ending in lines)
    edges = sorted({0, len(raw), *(cut for cut in cuts if cut < len(raw))})
    parts = [raw[a:b] for a, b in zip(edges, edges[1:], strict=False)]
    assert read(*parts) == read(raw)


@given(st.lists(st.binary(max_size=50), max_size=10))
def test_garbage_raises_nothing(parts: list[bytes]) -> None:
    assert all(isinstance(data, str) for data in read(*parts))


def test_an_event_handed_over_is_complete_at_once() -> None:
    stream = EventStream()
    assert list(stream.feed(b"data: now\n\ndata: la")) == ["now"]
    assert list(stream.feed(b"ter\n\n")) == ["later"]


def test_a_line_without_end_is_refused() -> None:
    stream = EventStream(max_event_bytes=100)
    with pytest.raises(EventTooLarge) as caught:
        feed_often(stream, b"x")
    assert isinstance(caught.value, PeerError)


def test_an_event_without_end_is_refused() -> None:
    stream = EventStream(max_event_bytes=100)
    with pytest.raises(EventTooLarge):
        feed_often(stream, b"data: x\n")


def test_many_events_are_not_one_large_one() -> None:
    stream = EventStream(max_event_bytes=100)
    got = [data for _ in range(200) for data in stream.feed(b"data: " + b"y" * 60 + b"\n\n")]
    assert len(got) == 200
