"""Packets of another length than our frames."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.media.packet_time import PacketTime, packet_ms


@pytest.mark.parametrize(
    ("wanted", "longest", "ms"),
    [(None, None, 20), (20, None, 20), (10, None, 10), (30, None, 30), (40, 60, 40), (60, 40, 40),
     (150, None, 60), (5, None, 10), (25, None, 20), (0, None, 20), (None, 10, 10), (20, 0, 20)],
)  # fmt: skip
def test_what_they_ask_for_is_rounded_down_to_what_we_can(
    wanted: int | None, longest: int | None, ms: int
) -> None:
    assert packet_ms(wanted, longest) == ms


@pytest.mark.parametrize("ms", [10, 20, 30, 40, 50, 60])
@pytest.mark.parametrize(("size", "units"), [(160, 160), (640, 320), (320, 160)])
@given(frames=st.integers(1, 20))
def test_nothing_is_lost_and_every_packet_but_the_last_is_full(
    ms: int, size: int, units: int, frames: int
) -> None:
    packing = PacketTime(ms)
    sent = [bytes([number]) * size for number in range(frames)]
    found = [
        chunk
        for number, payload in enumerate(sent)
        for chunk in packing.push(payload, units, number == 0)
    ]
    full = len(found)
    found += packing.flush()
    assert b"".join(payload for payload, _, _ in found) == b"".join(sent)
    assert sum(units for _, units, _ in found) == frames * units
    for payload, lasts, _ in found[:full]:
        assert len(payload) == size * ms // 20 and lasts == units * ms // 20
    assert [marker for _, _, marker in found] == [True] + [False] * (len(found) - 1)
    assert packing.flush() == []


def test_a_new_beginning_is_marked_on_the_packet_it_is_in() -> None:
    packing = PacketTime(40)
    assert packing.push(b"a" * 160, 160, True) == []
    assert packing.flush() == [(b"a" * 160, 160, True)]
    assert packing.push(b"b" * 160, 160, False) == []
    assert packing.push(b"c" * 160, 160, False) == [(b"b" * 160 + b"c" * 160, 320, False)]
