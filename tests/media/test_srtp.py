"""SRTP: RFC 3711's own figures, wraps, new keys, replays, and what was tampered with."""

import os
import struct
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.errors import MissingDependencyError, UsageError
from trunkline.media.srtp import (
    MAX_PACKET_BYTES,
    SRTP_SUITES,
    SrtpKey,
    SrtpReceiver,
    SrtpSender,
    require_srtp,
    srtp_available,
)

pytest.importorskip("pylibsrtp")

SUITE = "AES_CM_128_HMAC_SHA1_80"
SUITES = sorted(SRTP_SUITES)


def key(suite: str = SUITE, mki: bytes = b"") -> SrtpKey:
    return SrtpKey(suite, os.urandom(SRTP_SUITES[suite].secret_bytes), mki)


def rtp(sequence: int, ssrc: int = 7, payload: bytes = b"\xd5" * 160) -> bytes:
    return struct.pack("!BBHII", 0x80, 0, sequence & 0xFFFF, sequence * 160, ssrc) + payload


def report(ssrc: int = 7) -> bytes:
    return struct.pack("!BBHI", 0x80, 201, 1, ssrc)


def sealed(sender: SrtpSender, sequences: list[int], ssrc: int = 7) -> list[bytes]:
    packets = [sender.protect(rtp(sequence, ssrc)) for sequence in sequences]
    assert all(isinstance(packet, bytes) for packet in packets)
    return [packet for packet in packets if isinstance(packet, bytes)]


def test_the_keystream_of_rfc_3711_appendix_b() -> None:
    """A packet of zeros is the keystream: AES-CM of the derived session key (B.3)."""
    master = bytes.fromhex("E1F97A0D3E018BE0D64FA32C06DE4139")
    salt = bytes.fromhex("0EC675AD498AFEEBB6960B3AABE6")
    cipher_key = bytes.fromhex("C61E7A93744F39EE10734AFE3FF7A087")
    cipher_salt = bytes.fromhex("30CBBC08863D8C85D49DB34A9AE1")
    ciphers = pytest.importorskip("cryptography.hazmat.primitives.ciphers")
    sender = SrtpSender(SrtpKey(SUITE, master + salt))
    packet = sender.protect(rtp(0x1234, 0xCAFEBABE, bytes(64)))
    assert isinstance(packet, bytes)
    # IV = (k_s * 2^16) XOR (SSRC * 2^64) XOR (i * 2^16), section 4.1.1.
    start = (int.from_bytes(cipher_salt) << 16) ^ (0xCAFEBABE << 64) ^ (0x1234 << 16)
    counter = ciphers.modes.CTR(start.to_bytes(16, "big"))
    stream = ciphers.Cipher(ciphers.algorithms.AES(cipher_key), counter).encryptor()
    assert packet[12:76] == stream.update(bytes(64))
    assert len(packet) == 12 + 64 + 10


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("mki", [b"", b"\x01", b"\x00\x00\x00\x2a"])
def test_what_is_encrypted_is_decrypted(suite: str, mki: bytes) -> None:
    secret = key(suite, mki)
    sender, receiver = SrtpSender(secret), SrtpReceiver(secret)
    for sequence, packet in enumerate(sealed(sender, list(range(5)))):
        assert b"\xd5" * 8 not in packet
        assert receiver.unprotect(packet) == rtp(sequence)
    for _ in range(3):
        data = sender.protect_rtcp(report())
        assert isinstance(data, bytes) and receiver.unprotect_rtcp(data) == report()
    assert (receiver.tampered, receiver.replayed) == (0, 0)


@pytest.mark.parametrize("suite", SUITES)
def test_an_identifier_stands_where_its_suite_wants_it(suite: str) -> None:
    plain = key(suite)
    marked = SrtpKey(suite, plain.secret, b"\xaa\xbb")
    tag = SRTP_SUITES[suite].tag_bytes
    without, with_mki = (SrtpSender(each).protect(rtp(1)) for each in (plain, marked))
    assert isinstance(without, bytes) and isinstance(with_mki, bytes)
    end = len(without) - tag
    assert with_mki == without[:end] + b"\xaa\xbb" + without[end:]
    other = SrtpReceiver(SrtpKey(suite, plain.secret, b"\xaa\xbc"))
    assert other.unprotect(with_mki) is None and other.tampered == 1


def test_the_short_suite_has_a_short_tag_on_audio_and_the_long_one_on_reports() -> None:
    sender = SrtpSender(key("AES_CM_128_HMAC_SHA1_32"))
    audio, words = sender.protect(rtp(1)), sender.protect_rtcp(report())
    assert isinstance(audio, bytes) and isinstance(words, bytes)
    assert len(audio) == 172 + 4 and len(words) == 8 + 4 + 10


def test_reports_count_up_and_say_that_they_are_encrypted() -> None:
    sender = SrtpSender(key())
    packets = [sender.protect_rtcp(report()) for _ in range(3)]
    words = [struct.unpack("!I", data[8:12])[0] for data in packets if isinstance(data, bytes)]
    assert all(word >> 31 for word in words)
    assert [b - a for a, b in pairwise(words)] == [1, 1]


def test_a_report_in_the_clear_is_refused_even_if_it_is_signed() -> None:
    secret = key()
    data = SrtpSender(secret).protect_rtcp(report())
    assert isinstance(data, bytes)
    clear = data[:8] + bytes([data[8] & 0x7F]) + data[9:]
    receiver = SrtpReceiver(secret)
    assert receiver.unprotect_rtcp(clear) is None and receiver.tampered == 1


# -- the rollover counter -----------------------------------------------------------------


def test_sequence_numbers_wrap() -> None:
    secret = key()
    sender, receiver = SrtpSender(secret), SrtpReceiver(secret)
    for sequence, packet in zip(
        range(65_530, 65_545), sealed(sender, list(range(65_530, 65_545))), strict=True
    ):
        assert receiver.unprotect(packet) == rtp(sequence)


def test_packets_change_places_at_the_wrap() -> None:
    secret = key()
    packets = sealed(SrtpSender(secret), list(range(65_530, 65_545)))
    receiver = SrtpReceiver(secret)
    for index in (0, 1, 2, 3, 6, 4, 7, 5, 9, 8):
        assert receiver.unprotect(packets[index]) == rtp(65_530 + index)


def test_the_same_key_again_keeps_the_counter() -> None:
    secret = key()
    sender, receiver = SrtpSender(secret), SrtpReceiver(secret)
    for packet in sealed(sender, list(range(65_530, 65_540))):
        receiver.unprotect(packet)
    receiver.change(SrtpKey(SUITE, secret.secret))
    for packet in sealed(sender, list(range(65_540, 65_545))):
        assert receiver.unprotect(packet) is not None


def test_a_new_key_begins_at_zero() -> None:
    old, new = key(), key()
    sender, receiver = SrtpSender(old), SrtpReceiver(old)
    for packet in sealed(sender, list(range(65_530, 65_540))):
        receiver.unprotect(packet)
    receiver.change(new)
    assert receiver.key == new
    (late,) = sealed(sender, [65_540])
    assert receiver.unprotect(late) is not None  # it has not turned yet
    for packet in sealed(SrtpSender(new), list(range(65_541, 65_545))):
        assert receiver.unprotect(packet) is not None
    (later,) = sealed(sender, [65_546])
    assert receiver.unprotect(later) is None  # now it has
    assert receiver.tampered == 1


def test_a_new_source_begins_at_zero() -> None:
    secret = key()
    sender, receiver = SrtpSender(secret), SrtpReceiver(secret)
    for packet in sealed(sender, list(range(65_530, 65_540))):
        receiver.unprotect(packet)
    for packet in sealed(sender, [65_000, 65_001], ssrc=8):
        assert receiver.unprotect(packet) is not None


@pytest.mark.parametrize("begins", [65_000, 100, 5, 65_535])
def test_who_moved_and_began_anew_under_the_old_key_is_found(begins: int) -> None:
    secret = key()
    sender, receiver = SrtpSender(secret), SrtpReceiver(secret)
    for packet in sealed(sender, list(range(65_530, 65_545))):
        receiver.unprotect(packet)
    receiver.change(secret, moved=True)
    for packet in sealed(SrtpSender(secret), [begins + n for n in range(3)]):
        assert receiver.unprotect(packet) is not None


def test_who_moved_and_went_on_is_heard_as_before() -> None:
    secret = key()
    sender, receiver = SrtpSender(secret), SrtpReceiver(secret)
    for packet in sealed(sender, list(range(65_530, 65_545))):
        receiver.unprotect(packet)
    receiver.change(secret, moved=True)
    for packet in sealed(sender, list(range(65_545, 65_550))):
        assert receiver.unprotect(packet) is not None


def test_who_did_not_move_may_not_begin_anew() -> None:
    secret = key()
    sender, receiver = SrtpSender(secret), SrtpReceiver(secret)
    first = sealed(sender, list(range(60_000, 60_003)))
    for packet in (*first, *sealed(sender, list(range(60_003, 65_545)))):
        assert receiver.unprotect(packet) is not None
    assert all(receiver.unprotect(packet) is None for packet in first)
    assert receiver.replayed + receiver.tampered == 3


# -- what is not theirs ---------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES)
def test_a_packet_that_comes_again_is_counted_and_refused(suite: str) -> None:
    secret = key(suite)
    sender, receiver = SrtpSender(secret), SrtpReceiver(secret)
    packets = sealed(sender, list(range(200)))
    words = sender.protect_rtcp(report())
    assert isinstance(words, bytes) and receiver.unprotect_rtcp(words)
    for packet in packets:
        receiver.unprotect(packet)
    for packet in (packets[199], packets[100], packets[0]):  # in the window and behind it
        assert receiver.unprotect(packet) is None
    assert receiver.unprotect_rtcp(words) is None
    assert (receiver.replayed, receiver.tampered) == (4, 0)


@settings(max_examples=60)
@given(st.sampled_from(SUITES), st.data())
def test_one_changed_bit_anywhere_is_found(suite: str, data: st.DataObject) -> None:
    secret = key(suite)
    (packet,) = sealed(SrtpSender(secret), [1000])
    bit = data.draw(st.integers(0, 8 * len(packet) - 1))
    changed = bytearray(packet)
    changed[bit // 8] ^= 1 << bit % 8
    receiver = SrtpReceiver(secret)
    assert receiver.unprotect(bytes(changed)) is None
    assert receiver.tampered + receiver.replayed == 1
    assert receiver.unprotect(packet) == rtp(1000)


@given(st.binary(max_size=3000))
def test_anything_may_come(data: bytes) -> None:
    receiver = SrtpReceiver(FIXED)
    assert receiver.unprotect(data) is None
    assert receiver.unprotect_rtcp(data) is None
    assert receiver.tampered + receiver.replayed == 2


FIXED = SrtpKey(SUITE, bytes(range(30)))


def test_the_longest_packet_that_is_read_fits() -> None:
    receiver = SrtpReceiver(FIXED)
    for size in (MAX_PACKET_BYTES, MAX_PACKET_BYTES + 1):
        assert receiver.unprotect(bytes([0x80]) + bytes(size - 1)) is None
    long = SrtpSender(FIXED).protect(rtp(1, payload=bytes(1900)))
    assert isinstance(long, bytes)
    assert receiver.unprotect(long) == rtp(1, payload=bytes(1900))


def test_another_key_opens_nothing() -> None:
    (packet,) = sealed(SrtpSender(key()), [1])
    receiver = SrtpReceiver(key())
    assert receiver.unprotect(packet) is None and receiver.tampered == 1


# -- keys --------------------------------------------------------------------------------------


def test_a_key_is_in_no_repr() -> None:
    secret = key()
    assert repr(secret.secret)[2:12] not in repr(secret)
    assert secret.secret.hex() not in repr(secret)


@pytest.mark.parametrize(
    ("suite", "length"), [("AES_256_CM_HMAC_SHA1_80", 46), (SUITE, 29), (SUITE, 31), ("", 0)]
)
def test_a_key_that_does_not_fit_is_refused(suite: str, length: int) -> None:
    with pytest.raises(UsageError):
        SrtpKey(suite, bytes(length))


def test_what_to_install_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert srtp_available()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not srtp_available()
    with pytest.raises(MissingDependencyError, match=r"pip install 'trunkline\[srtp\]'"):
        require_srtp()
