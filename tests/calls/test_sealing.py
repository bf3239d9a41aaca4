"""Sealed files: nobody reads or changes them, and what is cut short is read up to there."""

import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.calls.errors import RecordingError
from trunkline.calls.sealing import MAGIC, Sealer, key_ids, open_sealed, whole_bytes
from trunkline.calls.sealing_keys import SealingKey, new_key, new_pair, parse_key, parse_keys
from trunkline.errors import UsageError

KEY = new_key()
PUBLIC, PRIVATE = new_pair()
CHUNKS = (b"first second", b"second second", b"", b"third" * 1000)


def sealed(chunks: tuple[bytes, ...] = CHUNKS, *keys: SealingKey, end: bool = True) -> bytes:
    sealer = Sealer(keys or (KEY,))
    body = b"".join(sealer.seal(chunk) for chunk in chunks)
    return sealer.header + body + (sealer.seal(b"", last=True) if end else b"")


def opened(data: bytes, *keys: SealingKey) -> tuple[bytes, bool]:
    reading = open_sealed(io.BytesIO(data), keys or (KEY,))
    return b"".join(reading), reading.whole


def chunk_places(data: bytes) -> list[tuple[int, int]]:
    """Where each chunk begins and ends."""
    (length,) = struct.unpack_from(">I", data, len(MAGIC))
    at, places = len(MAGIC) + 4 + length, []
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        places.append((at, at + 4 + size))
        at += 4 + size
    return places


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=200), max_size=6))
def test_what_is_sealed_is_what_is_opened(chunks: list[bytes]) -> None:
    assert opened(sealed(tuple(chunks))) == (b"".join(chunks), True)


def test_nothing_of_it_is_in_the_file() -> None:
    assert b"second" not in sealed()


def test_no_two_files_have_the_same_key() -> None:
    first, second = Sealer((KEY,)), Sealer((KEY,))
    assert first.data_key != second.data_key
    assert first.seal(b"same") != second.seal(b"same")


def test_another_key_does_not_open_it_and_is_told_which_would() -> None:
    with pytest.raises(RecordingError, match=KEY.id):
        opened(sealed(), new_key())


def test_a_public_key_seals_and_only_its_private_one_opens() -> None:
    data = sealed(CHUNKS, PUBLIC)
    assert opened(data, PRIVATE) == (b"".join(CHUNKS), True)
    with pytest.raises(RecordingError, match="none of the keys"):
        opened(data, PUBLIC)


def test_each_of_several_readers_opens_it() -> None:
    other_public, other_private = new_pair()
    data = sealed(CHUNKS, KEY, PUBLIC, other_public)
    for key in (KEY, PRIVATE, other_private):
        assert opened(data, key)[1]
    assert key_ids(io.BytesIO(data)) == [KEY.id, PUBLIC.id, other_public.id]


def test_a_key_of_before_a_rotation_is_found_among_others() -> None:
    assert opened(sealed(CHUNKS, KEY), new_key(), PRIVATE, KEY)[1]


def test_a_file_without_its_end_is_read_and_known_to_be_cut_short() -> None:
    assert opened(sealed(end=False)) == (b"".join(CHUNKS), False)


def test_wherever_it_is_cut_the_whole_chunks_are_read() -> None:
    data = sealed((b"one", b"two", b"three"))
    places = chunk_places(data)
    for end in range(places[0][0], len(data)):
        whole = [place for place in places if place[1] <= end]
        text, complete = opened(data[:end])
        assert text == b"".join((b"one", b"two", b"three")[: len(whole)])
        assert not complete
        assert whole_bytes(io.BytesIO(data[:end])) == (whole[-1][1] if whole else places[0][0])


def test_a_changed_bit_anywhere_is_noticed() -> None:
    data = sealed((b"one", b"two"))
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1
        try:
            text, complete = opened(bytes(changed))
        except RecordingError:
            continue
        # A changed length may look like a file cut short, never like another text.
        assert not complete
        assert b"onetwo".startswith(text)


def test_chunks_cannot_change_places_be_left_out_or_doubled() -> None:
    data = sealed((b"one", b"two"))
    (a, b), (c, d), (e, f) = chunk_places(data)
    head, one, two, end = data[:a], data[a:b], data[c:d], data[e:f]
    for forged in (two + one + end, two + end, one + end, one + one + two + end, one + two + two):
        with pytest.raises(RecordingError):
            opened(head + forged)
    with pytest.raises(RecordingError, match="behind the end"):
        opened(data + one)


def test_a_chunk_of_another_file_is_not_taken() -> None:
    first, second = sealed((b"one",)), sealed((b"two",))
    (a, b), *_ = chunk_places(first)
    (c, d), *_ = chunk_places(second)
    with pytest.raises(RecordingError):
        opened(first[:a] + second[c:d] + first[b:])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF" + bytes(60),
        MAGIC,
        MAGIC + b"\xff\xff\xff\xff" + bytes(10),
        MAGIC + (5).to_bytes(4) + b"{}{}{",
        MAGIC + (2).to_bytes(4) + b"{}",
        MAGIC + (2).to_bytes(4) + b"[]",
        MAGIC + (26).to_bytes(4) + b'{"cipher": "X","keys": []}',
        MAGIC + (12).to_bytes(4) + b'{"keys": 12}',
    ],
)
def test_what_is_no_sealed_file_is_refused(data: bytes) -> None:
    with pytest.raises(RecordingError):
        opened(data)


@settings(max_examples=200)
@given(st.binary(max_size=120))
def test_no_header_brings_it_down(noise: bytes) -> None:
    for data in (noise, MAGIC + noise, MAGIC + len(noise).to_bytes(4) + noise):
        with pytest.raises(RecordingError):
            opened(data)


def test_sealing_for_nobody_is_refused() -> None:
    with pytest.raises(UsageError):
        Sealer(())


# Keys


@pytest.mark.parametrize("key", [KEY, PUBLIC, PRIVATE], ids=["secret", "public", "private"])
def test_a_key_is_read_as_it_was_written(key: SealingKey) -> None:
    assert parse_key(f"  {key.written()}\n", key.id) == key
    assert parse_key(key.written()).id == key.id


def test_both_halves_of_a_pair_have_one_id() -> None:
    assert PUBLIC.id == PRIVATE.id
    assert PRIVATE.public_bytes() == PUBLIC.material


def test_a_secret_key_may_be_base64() -> None:
    assert parse_key("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").material == bytes(range(32))


def test_keys_may_be_named() -> None:
    named = f"2025={KEY.written()}"
    first, second, third = parse_keys((named, PRIVATE.written(), KEY.written()))
    assert (first.id, first.material) == ("2025", KEY.material)
    assert second == PRIVATE
    assert third == KEY


@pytest.mark.parametrize("text", ["", "secret", "zz" * 32, "public:", "private:abc", "00" * 31])
def test_what_is_no_key_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(UsageError) as told:
        parse_key(text)
    said = str(told.value).replace("public:...", "").replace("private:...", "")
    assert not text or text not in said


def test_no_key_shows_itself() -> None:
    for key in (KEY, PUBLIC, PRIVATE):
        assert key.written() not in repr(key) + str(key) + f"{key}"
        assert key.material.hex() not in repr(key)
