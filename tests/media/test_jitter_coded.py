"""Rows of the jitter bank that have a codec: order, losses, copies, pauses, clocks."""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.errors import UsageError
from trunkline.media.codec import G722, Encoder, Pcm
from trunkline.media.errors import MalformedAudioError
from trunkline.media.g711 import DECODE, Law
from trunkline.media.jitter import JitterBank, JitterSettings, Kind
from trunkline.media.jitter_coded import ClockScale, CodedRow
from trunkline.media.resampled_codec import ResampledCodec

SETTINGS = JitterSettings(concealment="silence", max_ms=140, far_ms=200)
CONCEALED, COPIED = 40, 0.5
"""The number the codec below conceals with; what it adds to one that came from a copy."""


def level(number: float, samples: int = 160) -> Pcm:
    """Audio that says a number; loud, for the bank leaves out what is quiet."""
    return np.full(samples, min(round(500 * (number + 20)), 32_767), np.int16)


@dataclass
class Numbers:
    """A decoder whose payloads say a number (two bytes): 20 ms of it. Copies if told to."""

    copies: bool = True
    conceals: bool = True
    order: list[int] = field(default_factory=list)
    closed: int = 0
    quiet: frozenset[int] = frozenset()
    """Numbers of packets in which nobody speaks."""

    def decode(self, payload: bytes) -> Pcm:
        number = int.from_bytes(payload, "big")
        if number == 0xFFFF:
            raise MalformedAudioError("the codec finds nothing in it")
        self.order.append(number)
        return level(number)

    def conceal(self, samples: int) -> Pcm | None:
        return level(CONCEALED, samples) if self.conceals else None

    def recover(self, payload: bytes, samples: int) -> Pcm | None:
        number = int.from_bytes(payload, "big")
        return level(number - 1 + COPIED, samples) if self.copies else None

    def close(self) -> None:
        self.closed += 1


@dataclass
class NumberCodec:
    leg: Numbers
    name: str = "NUMBERS"
    rate_hz: int = 8000
    rtp_clock_hz: int = 48_000
    channels: int = 1

    def samples(self, payload: bytes) -> int:
        if len(payload) != 2:
            raise MalformedAudioError("not a number")
        return 160

    def quiet(self, payload: bytes) -> bool:
        return int.from_bytes(payload, "big") in self.leg.quiet

    def encoder(self) -> Encoder:
        raise NotImplementedError

    def decoder(self) -> Numbers:
        return self.leg


class Row:
    """A bank with one row that has the codec, and what was played."""

    def __init__(self, leg: Numbers | None = None, bank: JitterBank | None = None) -> None:
        self.leg = leg if leg is not None else Numbers()
        self.bank = bank if bank is not None else JitterBank(settings=SETTINGS)
        self.row = self.bank.open(Law.ULAW)
        self.bank.set_codec(self.row, NumberCodec(self.leg))
        self.heard: list[float] = []
        """The numbers; 0 is silence."""
        self.kinds: list[Kind] = []
        self.now = 0.0

    def put(self, index: int, now: float, *, pause: int = 0, payload: bytes | None = None) -> None:
        """Packet ``index`` of a stream, its number 1 more; after a pause of so many frames."""
        data = (index + 1).to_bytes(2, "big") if payload is None else payload
        timestamp = 4_294_960_000 + (index + pause) * 960 & 0xFFFFFFFF
        self.bank.put_coded(self.row, 65_530 + index & 0xFFFF, timestamp, 7, False, data, now)

    def take(self) -> None:
        taken = self.bank.take(np.array([self.row]), self.now)
        pcm = taken.pcm[0]
        self.kinds.append(Kind(int(taken.kind[0])))
        self.heard.append(pcm[80] / 500 - 20 if pcm[80] else 0)
        self.now += 0.02

    def run(self, arrivals: Iterable[tuple[int, float]], frames: int = 20) -> list[float]:
        """Packets and when they come; gives what was heard, silence left out."""
        waiting = sorted(arrivals, key=lambda item: item[1])
        for _ in range(frames):
            while waiting and waiting[0][1] <= self.now:
                self.put(*waiting.pop(0))
            self.take()
        return [value for value in self.heard if value]


def on_time(indices: Iterable[int]) -> list[tuple[int, float]]:
    return [(index, index * 0.02) for index in indices]


def test_packets_are_played_in_order_across_wrapping_numbers_and_timestamps() -> None:
    row = Row()
    assert row.run(on_time(range(12)))[:12] == list(range(1, 13))
    assert row.leg.order == list(range(1, 13))
    assert row.bank.statistics(row.row).received == 12


def test_packets_that_overtake_each_other_reach_the_decoder_in_order() -> None:
    row = Row()
    arrivals = [(0, 0.0), (2, 0.01), (1, 0.03), (3, 0.06), (5, 0.09), (4, 0.1), (6, 0.12)]
    assert row.run(arrivals)[:7] == [1, 2, 3, 4, 5, 6, 7]
    assert row.leg.order == [1, 2, 3, 4, 5, 6, 7]


def test_a_lost_packet_comes_from_the_copy_in_the_next() -> None:
    row = Row()
    heard = row.run(on_time([0, 1, 2, 4, 5, 6]))
    assert heard[:7] == [1, 2, 3, 4 + COPIED, 5, 6, 7]
    statistics = row.bank.statistics(row.row)
    assert (statistics.recovered_frames, statistics.concealed_frames >= 0) == (1, True)
    assert statistics.lost == 1


def test_what_has_no_copy_is_concealed_by_the_codec() -> None:
    row = Row()
    assert row.run(on_time([0, 1, 2, 5, 6]))[:7] == [1, 2, 3, CONCEALED, 5 + COPIED, 6, 7]
    row = Row(Numbers(copies=False))
    assert row.run(on_time([0, 1, 2, 4, 5]))[:6] == [1, 2, 3, CONCEALED, 5, 6]


def kinds_of(row: Row, *heard: float) -> list[Kind]:
    """What the frames were in which these numbers were heard."""
    return [kind for value, kind in zip(row.heard, row.kinds, strict=True) if value in heard]


def test_what_the_codec_concealed_is_told_and_counted_as_concealed() -> None:
    row = Row(Numbers(copies=False))
    assert row.run(on_time([0, 1, 2, 5, 6, 7]), 10) == [1, 2, 3, CONCEALED, CONCEALED, 6, 7]
    assert kinds_of(row, CONCEALED) == [Kind.CONCEALED] * 2
    assert Kind.CONCEALED not in kinds_of(row, 1, 2, 3, 6, 7)
    assert row.bank.statistics(row.row).concealed_frames == 2


def test_what_came_from_a_copy_is_played_and_not_concealed() -> None:
    row = Row()
    row.run(on_time([0, 1, 2, 5, 6, 7]), 9)
    assert kinds_of(row, CONCEALED) == [Kind.CONCEALED]
    assert Kind.CONCEALED not in kinds_of(row, 5 + COPIED)
    statistics = row.bank.statistics(row.row)
    assert (statistics.concealed_frames, statistics.recovered_frames) == (1, 1)


def test_a_frame_that_the_codec_concealed_in_part_is_concealed() -> None:
    row = Row(Numbers(copies=False))
    half = 480  # of the clock: packets begin in the middle of frames
    for index, now in on_time([0, 1, 2, 4, 5, 6]):
        while row.now < now:
            row.take()
        data = (index + 1).to_bytes(2, "big")
        stamp = index * 960 + (half if index else 0)
        row.bank.put_coded(row.row, index, stamp, 7, False, data, now)
    for _ in range(6):
        row.take()
    assert row.kinds.count(Kind.CONCEALED) >= 2


def test_what_the_codec_cannot_conceal_stays_to_the_bank() -> None:
    row = Row(Numbers(copies=False, conceals=False))
    row.run(on_time([0, 1, 2, 4, 5]))
    start = row.heard.index(1)
    assert row.heard[start : start + 6] == [1, 2, 3, 0, 5, 6]
    assert row.bank.statistics(row.row).concealed_frames >= 1


def test_a_late_packet_is_waited_for_until_its_time() -> None:
    row = Row()
    arrivals = [(index, time) for index, time in on_time(range(10)) if index != 4]
    assert row.run([*arrivals, (4, 4 * 0.02 + 0.025)])[:10] == list(range(1, 11))
    assert row.bank.statistics(row.row).recovered_frames == 0


def test_a_packet_that_comes_after_its_gap_was_filled_is_late() -> None:
    row = Row()
    arrivals = [(index, time) for index, time in on_time(range(10)) if index != 4]
    heard = row.run([*arrivals, (4, 0.19)])
    assert heard[4] == 5 + COPIED and 5 not in row.leg.order
    assert row.bank.statistics(row.row).late == 1


def test_a_pause_is_not_concealed() -> None:
    """Discontinuous transmission: timestamps go on, sequence numbers do not."""
    row = Row()
    for index in range(5):
        row.put(index, row.now)
        row.take()
    for _ in range(25):
        row.take()
    for index in range(5, 10):
        row.put(index, row.now, pause=25)
        row.take()
    for _ in range(8):
        row.take()
    numbers = [value for value in row.heard if value]
    assert [value for value in numbers if value != CONCEALED] == list(range(1, 11))
    assert row.leg.order == list(range(1, 11))
    statistics = row.bank.statistics(row.row)
    assert (statistics.lost, statistics.recovered_frames) == (0, 0)


def test_what_no_encoder_makes_is_lost_and_harms_nothing() -> None:
    row = Row()
    for index in range(10):
        payload = {3: b"xyz", 6: b"\xff\xff"}.get(index)
        row.put(index, row.now, payload=payload)
        row.take()
    for _ in range(6):
        row.take()
    heard = [value for value in row.heard if value]
    assert heard[:6] == [1, 2, 3, 4 + COPIED, 5, 6] and heard[-3:] == [8, 9, 10]


def test_another_source_begins_with_a_new_decoder() -> None:
    row = Row()
    for index in range(6):
        row.put(index, row.now)
        row.take()
    for index in range(20, 26):
        data = (index + 1).to_bytes(2, "big")
        row.bank.put_coded(row.row, index, index * 960, 8, index == 20, data, row.now)
        row.take()
    for _ in range(6):
        row.take()
    assert row.leg.closed == 1
    assert row.leg.order == [*range(1, 7), *range(21, 27)]
    assert row.bank.statistics(row.row).ssrc_changes == 1


def test_codes_and_payloads_may_follow_each_other_on_one_row() -> None:
    row = Row()
    row.run(on_time(range(4)), frames=4)
    row.bank.set_law(row.row, Law.ULAW)
    assert row.leg.closed == 1
    code = bytes([0x10]) * 160
    for index in range(4, 10):
        row.bank.put(row.row, index, 90_000 + index * 160, 7, False, code, row.now)
        row.take()
    for _ in range(6):
        row.take()
    assert DECODE[Law.ULAW][0x10] / 500 - 20 in row.heard
    assert row.heard[row.heard.index(1) :][:4] == [1, 2, 3, 4]
    with pytest.raises(UsageError, match="has no codec"):
        row.put(11, row.now)


def test_a_codec_has_the_banks_rate_and_is_freed_with_its_row() -> None:
    row = Row()
    with pytest.raises(UsageError, match="16000 Hz"):
        row.bank.set_codec(row.row, G722())
    row.bank.reset(row.row)
    assert row.leg.closed == 1
    row.put(0, 0.0)
    row.bank.close(row.row)
    assert row.leg.closed == 2 and not row.bank._state.coded


def test_nobody_who_never_takes_is_sent_out_of_memory() -> None:
    row = Row()
    for index in range(5000):
        row.put(index, index * 0.02)
    row.bank.statistics(row.row)
    assert len(row.bank._state.coded[row.row]._held) <= 60


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 300)), max_size=40))
def test_a_row_with_a_codec_never_changes_its_neighbour(packets: list[tuple[int, int]]) -> None:
    def play(disturbed: bool) -> list[int]:
        bank = JitterBank(settings=SETTINGS)
        plain = bank.open(Law.ULAW)
        other = Row(bank=bank)
        waiting = sorted(packets, key=lambda packet: packet[1]) if disturbed else []
        found = []
        for tick in range(30):
            now = tick * 0.02
            code = bytes([tick + 1]) * 160
            bank.put(plain, tick, tick * 160, 1, False, code, now)
            while waiting and waiting[0][1] <= tick * 10:
                index, after = waiting.pop(0)
                other.put(index, now, pause=after % 3)
            pcm = bank.take(np.array([plain, other.row]), now).pcm
            found.append(zlib.crc32(pcm[0].tobytes()))
        assert other.leg.order == sorted(other.leg.order) or disturbed
        return found

    assert play(True) == play(False)


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(-3, 50), max_size=50))
def test_timestamps_keep_their_distances_on_another_clock(first: int, steps: list[int]) -> None:
    scale, timestamp = ClockScale(48_000, 8000), first
    before = scale.scale(first)
    for step in steps:
        timestamp += step * 960
        now = scale.scale(timestamp & 0xFFFFFFFF)
        assert (now - before - step * 160) & 0xFFFFFFFF == 0
        before = now
    assert ClockScale(8000, 8000).scale(first) == first


def test_a_gap_longer_than_the_ring_is_not_filled() -> None:
    coded = CodedRow(NumberCodec(Numbers()), 8000)
    payload = type("P", (), {"samples": 160, "data": b"\0\1"})()
    coded.hold(0, payload, 1, 0)
    assert len(list(coded.decode(0, 160))) == 1
    coded.hold(160 * 200, payload, 200, 0)
    assert [position for position, _ in coded.decode(160, 320)] == [160 * 200]
    assert coded.decoder.concealed == 0


def test_many_rows_at_once_are_what_each_is_alone() -> None:
    codec = ResampledCodec(G722(), 8000)
    rng = np.random.default_rng(5)
    encoders = [codec.encoder() for _ in range(3)]
    audio = rng.normal(0, 3000, (25, 3, 160)).astype(np.int16)
    sent = [[encoders[leg].encode(audio[tick, leg]) for leg in range(3)] for tick in range(25)]
    lost = rng.random((25, 3)) < 0.15

    def play(legs: list[int]) -> list[Pcm]:
        bank = JitterBank()
        rows = [bank.open(Law.ULAW) for _ in legs]
        for row in rows:
            bank.set_codec(row, codec)
        frames = []
        for tick in range(25):
            for row, leg in zip(rows, legs, strict=True):
                if not lost[tick, leg]:
                    data = sent[tick][leg]
                    bank.put_coded(row, tick, tick * 160, leg, False, data, tick * 0.02)
            frames.append(bank.take(np.array(rows), tick * 0.02).pcm)
        return [np.stack(frames)[:, index] for index in range(len(legs))]

    together = play([0, 1, 2])
    for leg in range(3):
        assert np.array_equal(together[leg], play([leg])[0])
        assert np.abs(together[leg].astype(np.int32)).max() > 3000


PACKETS = st.tuples(
    st.one_of(st.integers(0, 40), st.integers(0, 0xFFFF)),
    st.one_of(st.integers(0, 40).map(lambda at: at * 960), st.integers(0, 2**32 - 1)),
    st.integers(0, 1),
    st.booleans(),
    st.one_of(st.binary(min_size=2, max_size=2), st.binary(max_size=5)),
    st.integers(0, 3),
)


@settings(deadline=None, max_examples=100)
@given(st.lists(PACKETS, max_size=80), st.booleans(), st.booleans())
def test_nothing_that_is_sent_raises(packets: list[tuple], copies: bool, conceals: bool) -> None:
    row = Row(Numbers(copies, conceals))
    for sequence, timestamp, ssrc, marker, payload, ticks in packets:
        row.bank.put_coded(row.row, sequence, timestamp, ssrc, marker, payload, row.now)
        for _ in range(ticks):
            row.take()
    for _ in range(70):
        row.take()
    assert not any(row.heard[-10:])
    assert len(row.bank._state.coded[row.row]._held) <= 60
    row.bank.statistics(row.row)
    row.bank.close(row.row)
