"""What is heard in the pauses of a far end that sends nothing then."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from trunkline.media.codec import Codec
from trunkline.media.g711 import Law
from trunkline.media.jitter import JitterBank, Kind
from trunkline.media.jitter_state import JitterSettings
from trunkline.speech.opus import Opus, OpusEncoder, OpusLibrary, OpusSettings, find_opus

from .test_jitter_coded import CONCEALED, SETTINGS, NumberCodec, Numbers, Row

NOISE = 60
PAUSE = slice(40, 100)
"""Frames in which nobody speaks."""


@pytest.fixture(scope="module")
def library() -> OpusLibrary:
    found = find_opus()
    if found is None:
        pytest.skip("libopus is not installed")
    return found


def talk(frames: int = 150) -> NDArray[np.int16]:
    """A voice in a room with some noise, that pauses: (frames, 20 ms)."""
    at = np.arange(frames * 160) / 8000
    voice = sum(np.sin(2 * np.pi * 130 * k * at) / k for k in range(1, 20))
    swell = 1 + 0.6 * np.sin(2 * np.pi * 4 * at)
    speaks = np.ones(frames)
    speaks[PAUSE] = 0
    noise = np.random.default_rng(3).normal(0, NOISE, at.size)
    return (3000 * voice * swell * np.repeat(speaks, 160) + noise).astype(np.int16).reshape(-1, 160)


class Line:
    """A far end with discontinuous transmission, and what a bank plays of it."""

    def __init__(self, library: OpusLibrary, *, jitter_seconds: float = 0.0) -> None:
        rng = np.random.default_rng(1)
        encoder = OpusEncoder(library, 8000, OpusSettings(dtx=True))
        self.packets: list[tuple[float, int, int, bytes]] = []
        for index, frame in enumerate(talk()):
            if payload := encoder.encode(frame):
                arrival = 0.03 + index * 0.02 + rng.random() * jitter_seconds
                self.packets.append((arrival, len(self.packets), index * 960, payload))
        self.codec: Codec = Opus(library, 8000)

    def play(self, *, lost: frozenset[int] = frozenset(), frames: int = 152) -> None:
        self.bank = JitterBank(settings=JitterSettings())
        self.row = self.bank.open(Law.ULAW)
        self.bank.set_codec(self.row, self.codec)
        waiting = sorted(packet for packet in self.packets if packet[1] not in lost)
        heard, kinds = [], []
        for tick in range(frames):
            while waiting and waiting[0][0] <= tick * 0.02:
                arrival, number, timestamp, payload = waiting.pop(0)
                self.bank.put_coded(self.row, number, timestamp, 7, False, payload, arrival)
            taken = self.bank.take(np.array([self.row]), tick * 0.02)
            heard.append(taken.pcm[0].astype(float))
            kinds.append(int(taken.kind[0]))
        self.levels = np.sqrt((np.array(heard) ** 2).mean(axis=1))
        self.kinds = np.array(kinds)


@pytest.mark.parametrize("jitter_seconds", [0.0, 0.02])
def test_a_pause_sounds_like_the_room_and_is_no_loss(
    library: OpusLibrary, jitter_seconds: float
) -> None:
    line = Line(library, jitter_seconds=jitter_seconds)
    assert len(line.packets) < 125  # the pause was not sent
    line.play()
    # The encoder goes on for 200 ms, and the jitter buffer holds some 60 ms.
    pause = line.levels[PAUSE.start + 18 : PAUSE.stop]
    assert pause.min() > NOISE / 3 and pause.max() < NOISE * 1.5
    assert (line.kinds[PAUSE] == Kind.SILENT).sum() >= 20
    statistics = line.bank.statistics(line.row)
    assert statistics.lost == statistics.late == statistics.recovered_frames == 0
    assert statistics.concealed_frames <= 2
    assert line.levels[PAUSE.stop + 8 : 145].min() > 500  # and the voice comes back


def test_a_lost_update_of_the_noise_is_not_heard(library: OpusLibrary) -> None:
    line = Line(library)
    update = next(
        before[1]
        for before, after in zip(line.packets, line.packets[1:], strict=False)
        if after[2] - before[2] > 10 * 960
    )
    line.play(lost=frozenset({update + 1}))
    assert line.levels[PAUSE.start + 18 : PAUSE.stop].min() > NOISE / 4


def test_who_stops_for_good_is_silent_after_a_second(library: OpusLibrary) -> None:
    line = Line(library)
    line.packets = line.packets[:30]
    line.play(frames=150)
    assert not line.levels[-40:].any()


def test_a_voice_that_was_cut_off_does_not_begin_again(library: OpusLibrary) -> None:
    line = Line(library)
    line.packets = line.packets[:30]
    line.play(frames=100)
    assert line.levels[30] > 500 and not line.levels[45:].any()


# -- with a codec whose audio says which packet it is ------------------------------------


def quiet_row(**options: object) -> Row:
    return Row(Numbers(quiet=frozenset({5}), **options))  # type: ignore[arg-type]


def test_after_a_quiet_packet_nobody_waits_for_the_next() -> None:
    row = quiet_row()
    row.run([(index, 0.02 * index) for index in range(5)], 12)
    assert row.bank.statistics(row.row).concealed_frames == 0
    heard = [value for value in row.heard if value]
    assert heard[:5] == [1, 2, 3, 4, 5] and set(heard[5:]) == {CONCEALED}


def test_after_a_voice_the_bank_conceals_first_in_case_it_is_late() -> None:
    row = Row()
    row.run([(index, 0.02 * index) for index in range(5)], 30)
    assert row.bank.statistics(row.row).concealed_frames == 8
    assert not any(row.heard[row.heard.index(5) + 1 :])  # and it was not known to pause


def test_a_pause_whose_end_is_here_already_is_filled_too() -> None:
    steady = replace(SETTINGS, min_ms=100, start_ms=100)
    row = Row(bank=JitterBank(settings=steady))
    for tick in range(14):
        if tick < 5:
            row.put(tick, row.now)
        elif tick in (7, 8):
            row.put(tick - 2, row.now, pause=2)
        row.take()
    begin = row.heard.index(5)
    assert row.heard[begin : begin + 5] == [5, CONCEALED, CONCEALED, 6, 7]
    assert row.bank.statistics(row.row).concealed_frames == 0


def test_before_the_first_packet_and_without_a_codecs_noise_there_is_silence() -> None:
    row = quiet_row(conceals=False)
    for _ in range(5):
        row.take()
    assert not any(row.heard)
    row.now = 0.0
    heard = row.run([(index, 0.02 * index) for index in range(5)], 40)
    assert heard == [1, 2, 3, 4, 5]
    waiting = Row()
    for _ in range(5):
        waiting.take()
    assert not any(waiting.heard)


def test_another_codec_begins_in_silence() -> None:
    row = quiet_row()
    row.run([(index, 0.02 * index) for index in range(5)], 12)
    row.bank.set_codec(row.row, NumberCodec(Numbers()))
    row.heard.clear()
    row.take()
    assert row.heard == [0]


def test_noise_on_one_row_never_changes_its_neighbour() -> None:
    together = JitterBank(settings=SETTINGS)
    quiet, plain = Row(Numbers(quiet=frozenset({5})), together), Row(Numbers(), together)
    alone = Row(Numbers())
    arrivals = [(index, 0.02 * index) for index in range(5)]
    for tick in range(60):
        for index, at in arrivals:
            if at == 0.02 * tick:
                for row in (quiet, plain, alone):
                    row.put(index, at)
        both = together.take(np.array([quiet.row, plain.row]), 0.02 * tick).pcm
        single = alone.bank.take(np.array([alone.row]), 0.02 * tick).pcm
        assert np.array_equal(both[1], single[0])


def test_a_pause_within_a_frame_is_filled_from_where_the_audio_ends() -> None:
    row = quiet_row()
    row.run([(index, 0.02 * index) for index in range(5)], 6)
    # Half a frame further on, so that the last packet ends in the middle of one.
    row.bank._state.read[row.row] += 80
    frames = []
    for _ in range(8):
        row.now += 0.02
        frames.append(row.bank.take(np.array([row.row]), row.now).pcm[0])
    audio = np.concatenate(frames)
    assert audio.all()  # nowhere silent
    assert np.count_nonzero(np.diff(audio.astype(int)) != 0) <= 6
