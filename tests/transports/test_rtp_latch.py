"""Whose packets are the far end's: an attacker against every rule of the latch."""

import random
import struct
from collections import Counter

import pytest

from trunkline.media.g711 import Law
from trunkline.transports.rtp_format import StreamFormat
from trunkline.transports.rtp_latch import RtpLatch
from trunkline.transports.rtp_policy import MediaPolicy

FORMAT = StreamFormat(Law.ULAW, 0, {0: Law.ULAW}, 101, 101)
FAR, OTHER_PORT = ("203.0.113.5", 4000), ("203.0.113.5", 4444)
THIEF, PRIVATE = ("198.51.100.66", 6000), ("192.168.1.20", 4000)
PUBLIC = ("203.0.113.9", 31_000)


def rtp(sequence: int, ssrc: int = 5, kind: int = 0) -> bytes:
    return struct.pack("!BBHII", 0x80, kind, sequence & 0xFFFF, sequence * 160, ssrc) + bytes(160)


class Line:
    """A latch as a stream uses it."""

    def __init__(self, announced: tuple[str, int] = FAR, peer: str = "203.0.113.5") -> None:
        self.counters: Counter[str] = Counter()
        self.latch = RtpLatch(MediaPolicy(loopback_only=False), self.counters)
        self.latch.peer = peer
        self.latch.announce(announced)
        self.ssrc: int | None = None
        self.last: float | None = None

    def comes(
        self, source: tuple[str, int], data: bytes, now: float, *, authentic: bool = False
    ) -> bool:
        """Whether a packet is taken."""
        taken = source == self.latch.source or self.latch.judge(
            source,
            data,
            FORMAT,
            now,
            far_ssrc=self.ssrc,
            last_packet=self.last,
            authentic=authentic,
        )
        if taken:
            self.last = now
            self.ssrc = int.from_bytes(data[8:12], "big")
        return taken


def test_the_announced_address_is_believed_at_once() -> None:
    line = Line()
    assert line.comes(FAR, rtp(1), 0.0) and line.latch.source == FAR


@pytest.mark.parametrize("kind", [0, 13, 101])
def test_any_payload_type_that_may_come_opens_the_latch(kind: int) -> None:
    line = Line()
    assert line.comes(FAR, rtp(1, kind=kind), 0.0)


@pytest.mark.parametrize("data", [b"", b"hello", rtp(1, kind=77), rtp(1)[:11]])
def test_noise_does_not(data: bytes) -> None:
    line = Line()
    assert not line.comes(FAR, data, 0.0)
    assert line.latch.source is None and sum(line.counters.values()) == 1


def test_another_host_has_to_wait_a_second_and_send_two_in_a_row() -> None:
    line = Line()
    for tick in range(50):
        assert not line.comes(PUBLIC, rtp(tick), 0.02 * tick)
    assert not line.comes(PUBLIC, rtp(60), 1.0)  # not in a row
    assert line.comes(PUBLIC, rtp(61), 1.02)
    assert line.latch.source == PUBLIC


def test_another_port_of_the_same_host_has_to_wait_a_tenth_of_that() -> None:
    line = Line()
    taken = [line.comes(OTHER_PORT, rtp(tick), 0.02 * tick) for tick in range(8)]
    assert taken == [False] * 6 + [True] * 2


def test_a_private_address_is_known_by_where_its_signalling_comes_from() -> None:
    line = Line(PRIVATE, peer=PUBLIC[0])
    assert not line.comes(THIEF, rtp(1, 9), 0.0) and not line.comes(THIEF, rtp(2, 9), 0.0)
    assert not line.comes(PUBLIC, rtp(1), 0.0)
    assert line.comes(PUBLIC, rtp(2), 0.02)


def test_probation_wants_one_source_one_ssrc_and_numbers_that_follow() -> None:
    line = Line(PRIVATE, peer=PUBLIC[0])
    other = (PUBLIC[0], 9)
    for source, data in [
        (PUBLIC, rtp(1)),
        (other, rtp(2)),
        (PUBLIC, rtp(3)),
        (PUBLIC, rtp(4, ssrc=6)),
        (PUBLIC, rtp(5)),
        (PUBLIC, rtp(5)),
        (PUBLIC, rtp(7)),
    ]:
        assert not line.comes(source, data, 0.0)
    assert line.comes(PUBLIC, rtp(8), 0.0)
    assert line.counters["on probation"] == 7
    wrapped = Line(PRIVATE, peer=PUBLIC[0])
    assert not wrapped.comes(PUBLIC, rtp(0xFFFF), 0.0) and wrapped.comes(PUBLIC, rtp(0), 0.0)


def test_an_attacker_gets_in_at_no_moment_of_a_call() -> None:
    """A thief that sprays all the time, with all that who did not see the call can know."""
    rng = random.Random(1)
    for seed in range(100):
        line, now, sequence = Line(), 0.0, seed
        stages = ["before", "up", "hold", "again", "moved", "up"]
        for stage in stages:
            if stage == "moved":
                line.latch.announce(OTHER_PORT)
            source = line.latch.announced
            assert source is not None
            for tick in range(40 if stage == "before" else 120):
                now += 0.02
                thief = rtp(sequence + tick, rng.getrandbits(32))
                assert not line.comes(THIEF, thief, now)
                assert not line.comes((THIEF[0], 7000 + tick % 2), rtp(tick, 99), now)
                if stage not in ("before", "hold"):
                    assert line.comes(source, rtp(sequence), now)
                    sequence += 1
            assert line.latch.source in (None, FAR, OTHER_PORT)


def test_the_stream_itself_may_go_on_from_elsewhere_after_a_silence() -> None:
    line = Line()
    line.comes(FAR, rtp(1), 0.0)
    assert not line.comes(PUBLIC, rtp(2), 0.5)  # it is not silent yet
    assert not line.comes(PUBLIC, rtp(3, ssrc=6), 2.0)  # who does not know the number
    assert not line.comes(PUBLIC, rtp(4), 2.0)  # the first of two
    assert line.comes(PUBLIC, rtp(5), 2.02) and line.latch.source == PUBLIC


def test_a_new_description_lets_only_its_address_in_once_they_were_heard_from_where_they_said() -> (
    None
):
    line = Line()
    line.comes(FAR, rtp(1), 0.0)
    assert line.latch.announce(PUBLIC) and not line.latch.announce(PUBLIC)
    for tick in range(100):
        assert not line.comes(THIEF, rtp(tick, 77), 0.1 + 0.02 * tick)
    assert line.comes(PUBLIC, rtp(1, ssrc=12), 3.0)


def test_who_was_authenticated_is_the_far_end_wherever_it_is() -> None:
    line = Line()
    assert line.comes(THIEF, rtp(1), 0.0, authentic=True)
    assert line.comes(PUBLIC, rtp(2), 0.01, authentic=True)
    assert line.latch.source == PUBLIC


def test_media_from_where_it_may_not_go_to_is_not_taken() -> None:
    line = Line(peer="203.0.113.5")
    for source in (("10.0.0.9", 4000), ("127.0.0.1", 4000)):
        for tick in range(100):
            assert not line.comes(source, rtp(tick), 0.02 * tick)
        assert not line.comes(source, rtp(1), 9.0, authentic=True)
    assert line.counters == {"forbidden source": 202}


def test_reports_are_taken_from_the_far_end_and_open_nothing() -> None:
    line, report = Line(), rtp(1, kind=72)[:2].replace(b"\x80\x48", b"\x80\xc9") + bytes(30)
    assert line.comes(FAR, report, 0.0) and not line.comes(THIEF, report, 0.0)
    assert line.comes(THIEF, report, 0.0, authentic=True)
    assert line.latch.source is None
