"""HEP3: the bytes of the specification, round trips, and what is no packet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import UsageError
from trunkline.wire.hep import HepError, HepPacket, HepPayload

ADDRESSES = st.one_of(
    *(
        st.tuples(
            st.tuples(st.ip_addresses(v=version).map(str), st.integers(0, 65535)),
            st.tuples(st.ip_addresses(v=version).map(str), st.integers(0, 65535)),
        )
        for version in (4, 6)
    )
)


@given(
    ADDRESSES,
    st.integers(0, 2**32 * 1_000_000 - 1),
    st.sampled_from(HepPayload),
    st.binary(max_size=500),
    st.integers(0, 2**32 - 1),
    st.text(max_size=40),
    st.text(max_size=40),
)
def test_what_is_written_is_read(ends, microseconds, kind, payload, agent, call, key) -> None:
    packet = HepPacket(*ends, microseconds / 1_000_000, kind, payload, agent, 17, call, key)
    read = HepPacket.parse(bytes(packet))
    assert read.time == pytest.approx(packet.time, abs=2e-6)
    assert bytes(read)[6:] == bytes(packet)[6:]
    assert (read.source, read.destination, read.payload) == (*ends, payload)
    assert (read.correlation, read.key, read.kind) == (call, key, kind)


def test_a_packet_is_laid_out_as_specified() -> None:
    packet = HepPacket(
        ("192.0.2.1", 5060), ("192.0.2.2", 5080), 1_700_000_000.25, HepPayload.SIP, b"OPTIONS"
    )
    data = bytes(packet)
    assert data[:6] == b"HEP3" + len(data).to_bytes(2, "big")
    assert data[6:13] == bytes([0, 0, 0, 1, 0, 7, 2])
    assert bytes([0, 0, 0, 3, 0, 10, 192, 0, 2, 1]) in data
    assert bytes([0, 0, 0, 10, 0, 10]) + (250_000).to_bytes(4, "big") in data
    assert data.endswith(bytes([0, 0, 0, 15, 0, 13]) + b"OPTIONS")


def test_time_is_rounded_without_a_million_microseconds() -> None:
    packet = HepPacket(("::1", 1), ("::1", 2), 9.9999999, HepPayload.SIP, b"x")
    assert HepPacket.parse(bytes(packet)).time == 10.0


def test_other_vendors_are_passed_over() -> None:
    data = bytes(HepPacket(("::1", 1), ("::1", 2), 1.0, HepPayload.SIP, b"x"))
    more = data[6:] + bytes([0, 9, 0, 15, 0, 7, 0x41])
    read = HepPacket.parse(b"HEP3" + (6 + len(more)).to_bytes(2, "big") + more)
    assert read.payload == b"x"


def test_a_key_is_in_no_repr() -> None:
    assert "hush" not in repr(HepPacket(("::1", 1), ("::1", 2), 1.0, 1, b"x", key="hush"))


def test_what_cannot_be_is_not_written() -> None:
    with pytest.raises(UsageError, match="IPv4"):
        bytes(HepPacket(("::1", 1), ("127.0.0.1", 2), 1.0, 1, b"x"))
    with pytest.raises(UsageError, match="at most"):
        bytes(HepPacket(("::1", 1), ("::1", 2), 1.0, 1, bytes(70_000)))


@pytest.mark.parametrize("cut", [0, 3, 5, 6, 20, 60])
def test_what_is_cut_short_is_refused(cut: int) -> None:
    data = bytes(HepPacket(("::1", 1), ("::1", 2), 1.0, 1, b"x"))[:cut]
    with pytest.raises(HepError):
        HepPacket.parse(data)
    if cut > 6:
        with pytest.raises(HepError):
            HepPacket.parse(data[:4] + cut.to_bytes(2, "big") + data[6:])


@given(st.binary(max_size=120))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    data = b"HEP3" + (6 + len(body)).to_bytes(2, "big") + body
    with pytest.raises(HepError):
        HepPacket.parse(data)
