"""Gaps in rows of the jitter bank: filled as a whole, gone on with, opened again."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trunkline.media.g711 import DECODE, Law, encode
from trunkline.media.jitter import JitterBank, JitterSettings, Kind

FRAME, TICK, SSRC = 160, 0.02, 7
FADE = 32


def voice(samples: int, hertz: float = 125.0, begin: int = 0) -> NDArray[np.int16]:
    """A voice of steady pitch, as it is after µ-law."""
    at = (begin + np.arange(samples)) / 8000
    waves = [np.cos(2 * np.pi * hertz * n * at + n) / n for n in range(1, 11)]
    pcm = (2500 * np.sum(waves, axis=0)).astype(np.int16)
    return DECODE[Law.ULAW][encode(pcm, Law.ULAW)]


class Call:
    """One row; its packets of 20 ms begin ``off`` samples before its frames do."""

    def __init__(self, off: int = 0, method: str = "pitch") -> None:
        self.bank = JitterBank(settings=JitterSettings(concealment=method, min_ms=60, start_ms=60))
        self.row = self.bank.open(Law.ULAW)
        self.off, self.tick = off, 0
        self.audio = voice(60 * FRAME)
        self.heard: list[NDArray[np.int16]] = []
        self.kinds: list[Kind] = []

    def put(self, index: int) -> None:
        """Packet ``index``; the first is the one that is ``off`` samples long."""
        begin = 0 if index == 0 else self.off + (index - 1) * FRAME
        size = FRAME if index or not self.off else self.off
        if not self.off:
            begin = index * FRAME
        payload = encode(self.audio[begin : begin + size], Law.ULAW).tobytes()
        self.bank.put(self.row, index, begin, SSRC, False, payload, self.tick * TICK)

    def take(self) -> None:
        taken = self.bank.take(np.array([self.row]), self.tick * TICK + 0.001)
        self.heard.append(taken.pcm[0])
        self.kinds.append(Kind(int(taken.kind[0])))
        self.tick += 1

    def run(self, ticks: int, *lost: int) -> "Call":
        for _ in range(ticks):
            if self.tick not in lost:
                self.put(self.tick)
            self.take()
        return self

    def played(self) -> tuple[NDArray[np.int16], list[Kind]]:
        """From the first frame that is not silent on."""
        first = self.kinds.index(Kind.PLAYED)
        return np.concatenate(self.heard[first:]), self.kinds[first:]


def test_a_lost_packet_is_one_frame_concealed_and_nothing_else_is_touched() -> None:
    pcm, kinds = Call().run(30, 12).played()
    assert kinds.count(Kind.CONCEALED) == 1
    assert kinds[12] == Kind.CONCEALED
    same = pcm == voice(60 * FRAME)[: len(pcm)]
    assert same[: 12 * FRAME].all()
    assert same[13 * FRAME :].all()


@pytest.mark.parametrize("off", [1, 40, 80, 120, 159])
def test_a_packet_over_two_frames_is_concealed_in_both_and_counted_so(off: int) -> None:
    call = Call(off).run(30, 12)
    pcm, kinds = call.played()
    assert [index for index, kind in enumerate(kinds) if kind == Kind.CONCEALED] == [11, 12]
    assert call.bank.statistics(call.row).concealed_frames == 2
    begin = off + 11 * FRAME
    same = pcm == call.audio[: len(pcm)]
    assert same[:begin].all()
    assert same[begin + FRAME :].all()
    error = pcm[begin : begin + FRAME].astype(float) - call.audio[begin : begin + FRAME]
    assert np.mean(error**2) < 0.02 * np.mean(call.audio.astype(float) ** 2)


def test_a_gap_of_three_packets_is_filled_at_once() -> None:
    call = Call(80).run(16, 12, 13)
    call.run(14)
    pcm, kinds = call.played()
    assert kinds.count(Kind.CONCEALED) == 3
    begin = 80 + 11 * FRAME
    same = pcm == call.audio[: len(pcm)]
    assert same[:begin].all()
    assert same[begin + 2 * FRAME :].all()


def test_what_comes_of_a_gap_after_its_beginning_is_heard_after_all() -> None:
    call = Call(80)
    call.run(15, 12)
    while call.kinds[-1] != Kind.CONCEALED:
        call.run(1)
    call.put(12)
    call.run(10)
    pcm, kinds = call.played()
    assert kinds.count(Kind.CONCEALED) == 1
    frame = kinds.index(Kind.CONCEALED) + 1
    begin = frame * FRAME
    # Blended for 4 ms with what had gone on, then as it was sent.
    assert np.array_equal(pcm[begin + FADE :], call.audio[begin + FADE : len(pcm)])
    assert call.bank.statistics(call.row).lost == 0


def test_methods_that_look_at_the_past_alone_conceal_frame_by_frame() -> None:
    call = Call(80, "simple").run(30, 12)
    _, kinds = call.played()
    assert kinds.count(Kind.CONCEALED) == 2
    assert call.bank.statistics(call.row).concealed_frames == 2


def test_a_closed_row_leaves_nothing_filled_behind() -> None:
    call = Call(80).run(15, 12)
    while call.kinds[-1] != Kind.CONCEALED:
        call.run(1)
    call.bank.close(call.row)
    call.row = call.bank.open(Law.ULAW)
    call.tick, call.heard, call.kinds = 0, [], []
    _, kinds = call.run(30).played()
    assert set(kinds) == {Kind.PLAYED}


@st.composite
def arrivals(draw: st.DrawFn) -> list[tuple[int, int, int]]:
    """(tick, row, index) of packets that are lost, late, early and twice there."""
    found = []
    for row in range(draw(st.integers(6, 12))):
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        loss, spread = rng.choice([0, 0.1, 0.4]), rng.choice([1, 2, 5])
        for index in range(40):
            copies = int(rng.random() >= loss) + int(rng.random() < 0.05)
            found += [(index + int(rng.integers(0, spread)), row, index)] * copies
    return sorted(found, key=lambda packet: packet[0])


@given(arrivals(), st.sampled_from([FRAME, 80, 240]))
@settings(max_examples=20, deadline=None)
def test_rows_with_losses_play_to_the_bit_what_each_plays_alone(
    packets: list[tuple[int, int, int]], ptime: int
) -> None:
    rows = 1 + max(row for _, row, _ in packets)
    voices = [encode(voice(40 * ptime, 90 + 17 * row), Law.ULAW) for row in range(rows)]

    def play(chosen: list[int]) -> NDArray[np.int16]:
        bank = JitterBank(capacity=len(chosen))
        opened = {row: bank.open(Law.ULAW) for row in chosen}
        waiting, heard = [packet for packet in packets if packet[1] in opened], []
        for tick in range(50 * ptime // FRAME):
            now = tick * TICK
            while waiting and waiting[0][0] * ptime / 8000 <= now:
                _, row, index = waiting.pop(0)
                payload = voices[row][index * ptime : (index + 1) * ptime].tobytes()
                stamp = index * ptime + 40 * row
                number = 65_520 + index & 0xFFFF
                bank.put(opened[row], number, stamp, row, False, payload, now)
            heard.append(bank.take(np.array(list(opened.values())), now + 0.001).pcm)
        return np.stack(heard)

    together = play(list(range(rows)))
    for row in range(rows):
        assert np.array_equal(play([row])[:, 0], together[:, row])
